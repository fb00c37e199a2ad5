"""What is recorded of each solve, and how a step's promise compares with what came true."""

import numpy as np

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime.array_types import Array, Row
from annealtrain.solvers.solver import SolveResult, relative_gap

DIAGNOSED_ROWS = 4096


def epoch_columns(solves: list[Row]) -> Row:
    """Return an epoch's columns of metrics.csv from its rows of solves.csv; none where nothing was annealed."""
    if not solves or not all(row.keys() >= {"L", "energy", "start_energy"} for row in solves):
        return {}
    betas = [row["beta_last"] for row in solves if row.get("beta_last") is not None]
    energy, start = (sum(row[name] for row in solves) for name in ("energy", "start_energy"))
    bounds = [row["lower_bound"] for row in solves if row.get("lower_bound") is not None]
    bound = sum(bounds) if len(bounds) == len(solves) else None
    return {
        "L": float(np.mean([row["L"] for row in solves])),
        "beta": float(np.mean(betas)) if betas else None,
        "energy": energy,
        "lower_bound": bound,
        "gap": None if bound is None else relative_gap(energy, start, bound),
    }


def layer_diagnosis(problem: LayerProblem) -> Row:
    """Return how far a layer's targets are from what it gives, and how its weights hang together.

    target_cosine: between targets and gamma (inputs @ S0); condition: of inputs' inputs; both on the first rows.
    """
    rows = problem.least_squares
    assert rows is not None
    inputs, targets = rows.inputs[:DIAGNOSED_ROWS], rows.targets[:DIAGNOSED_ROWS]
    given = inputs @ problem.S0.T.astype(inputs.dtype)
    if rows.factors is not None:
        given *= rows.factors[:DIAGNOSED_ROWS]
    size = float(np.linalg.norm(given)) * float(np.linalg.norm(targets))
    cosine = float((given * targets).sum()) / size if size else None
    return {"target_cosine": cosine, "condition": condition_number(np.asarray(inputs.T @ inputs, np.float64))}


def solve_row(epoch: int, k: int, problem: LayerProblem, result: SolveResult) -> Row:
    """Return a row of solves.csv: layer k's solve in an epoch."""
    return {
        "epoch": epoch + 1,
        "layer": k,
        "units": problem.num_units,
        "spins": problem.num_spins,
        "L": float(np.mean(problem.half_range)),
        "bits": problem.bits,
        "start_energy": float(result.start_energies.sum()),
        "energy": float(result.energies[:, 0].sum()),
        "lower_bound": float(result.lower_bounds.sum()) if problem.convex else None,
        "gap": result.gap if problem.convex else None,
        **result.stats,
        "saturated_share": saturated_share(problem, result),
    }


def saturated_share(problem: LayerProblem, result: SolveResult) -> float:
    """Return the share of live weights that ended at the wall of their box."""
    levels = result.levels[:, 0][result.best_weights != problem.S0]  # live: no change is not on the grid
    walls = np.count_nonzero(levels == 0) + np.count_nonzero(levels == problem.encoding.top_level)
    return walls / levels.size if levels.size else 0.0


def condition_number(J: Array) -> float | None:
    """Return the condition number of J (N, N) on its live weights; None where N > 512: that would take too long."""
    live = J.diagonal() > 0
    if len(J) > MAX_CONDITION or not live.any():
        return None
    own = J[np.ix_(live, live)]
    if not np.isfinite(own).all():
        return None
    try:
        spectrum = np.linalg.eigvalsh(own)
    except np.linalg.LinAlgError:  # numbers too far apart to be told from each other
        return None
    return float(spectrum[-1] / max(spectrum[0], spectrum[-1] * np.finfo(np.float64).eps))


MAX_CONDITION = 512
