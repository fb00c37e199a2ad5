"""Activated layers, all units: J formed for one unit after the other, or all units side by side on their inputs."""

import time
import tracemalloc

from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.solvers.annealing.cost_model import Executor, estimate_cost
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import SolveResult
from bench.peers import single_thread
from bench.report import markdown, number
from bench.rows import Row

SWEEPS = 100
LONGEST_S = 30.0  # by the cost model: a form that would take longer is not timed
COLUMNS = ("problem", "units", "weights", "rows", "chosen", "formed_s", "rows_s", "formed_mb", "rows_mb")


def solve(problem: LayerProblem, by_rows: bool) -> SolveResult:
    """Return what one form of the solve finds, whatever the cost model would choose."""
    solver, executor = SimulatedAnnealing(SWEEPS), Executor.SHARED_INPUTS if by_rows else Executor.CHAINS
    solver.executor = lambda problem: executor  # type: ignore[method-assign]
    return single_thread(lambda: solver.solve(fresh(problem)))


def fresh(problem: LayerProblem) -> LayerProblem:
    """Return the problem without what an earlier solve has kept of it."""
    rows = problem.least_squares
    assert rows is not None
    return LayerProblem.from_rows(
        rows.inputs,
        rows.targets,
        problem.S0,
        problem.half_range,
        problem.bits,
        factors=rows.factors,
        samples=rows.samples,
    )


def compare(name: str, problem: LayerProblem) -> Row:
    """Return seconds and peak memory of both forms, bounds included; None for one that would take too long."""
    assert problem.least_squares is not None
    (R, N), M = problem.least_squares.inputs.shape, problem.num_units
    expected = dict(zip(("formed", "rows"), estimate_cost(problem, M, SWEEPS), strict=True))
    row: Row = {
        "problem": name,
        "units": M,
        "weights": N,
        "rows": R,
        "chosen": min(expected, key=lambda k: expected[k]),
    }
    for form, by_rows in (("formed", False), ("rows", True)):
        row[f"{form}_s"] = row[f"{form}_mb"] = None
        if expected[form] > LONGEST_S:
            continue
        began = time.perf_counter()
        solve(problem, by_rows)
        row[f"{form}_s"] = time.perf_counter() - began
        tracemalloc.start()
        solve(problem, by_rows)
        row[f"{form}_mb"] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return row


def table(found: list[Row]) -> str:
    """Return the rows as a part of kernel.md."""
    text = (
        f"All units of LeNet's activated layers, {SWEEPS} sweeps of one read, one thread, building and bounds counted: "
        "J formed for each unit, or all units side by side on their inputs. chosen: by the cost model, which says more "
        f"than {LONGEST_S:g} s where nothing stands.\n"
    )
    head = [name.replace("_", " ") for name in COLUMNS]
    lines = [[number(row[name]) for name in COLUMNS] for row in found]
    return "\n".join(["## The two forms of activated layers\n", text, markdown(head, lines)])
