"""Estimated seconds of the kernel's ways to anneal a layer."""

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem


def chain_sweep_s(spins: int, live: int) -> float:
    """Return the estimated seconds of one sweep of a chain alone."""
    return spins * (5e-9 + live * 4e-11)


def lanes_sweep_s(live: int, bits: int) -> float:
    """Return the estimated seconds of one sweep of full lanes."""
    return _anneal.lanes() * live * (live * 3e-11 + bits * 1e-9)


# The choice of the form must not depend on the machine: the two round differently. So it counts on full lanes.
COUNTED_LANES = 16


def estimate_cost(problem: LayerProblem, chains: int, sweeps: int) -> tuple[float, float]:
    """Return estimated core seconds of solving an activated layer with J formed, and by rows (fitted on one core)."""
    assert problem.rows is not None
    (R, N), M, bits = problem.rows.inputs.shape, problem.num_units, problem.bits
    formed = M * R * N * N * 1e-11 + chains * sweeps * N * (bits * 5e-9 + N * 6e-11) + M * 50 * N * N * 1.2e-10
    padded = -(-chains // COUNTED_LANES) * COUNTED_LANES
    by_rows = padded * N * (16 * R * 2.5e-11 + sweeps * (2 * R * 2.5e-11 + bits * 1e-9) + 25 * 2 * R * 2.5e-11)
    return formed, by_rows
