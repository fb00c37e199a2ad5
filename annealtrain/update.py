"""How one batch of samples changes a network's weights: the contract behind which every way of training stands."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from annealtrain.errors import InputError
from annealtrain.network import Network
from annealtrain.problem import LayerProblem
from annealtrain.schedule import Schedule
from annealtrain.solvers.base import Solver, SolveResult, with_rates

Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, Any]

SOLVE_STREAM = 2  # SeedSequence child of a run's seed: (SOLVE_STREAM, layer, step)
STAGES = ("forward_s", "targets_s", "build_s", "anneal_s", "bound_s", "evaluate_s")


@dataclass(frozen=True, eq=False)
class Batch:
    """inputs: (Q, ...) as Network.stem gives them. outputs: (Q, classes), amplitude x one-hot, float32."""

    inputs: Array
    outputs: Array


@dataclass(frozen=True)
class Step:
    """Step `number` of `total` in a run, in `epoch` of `epochs`; all counted from 0."""

    epoch: int
    epochs: int
    number: int
    total: int


class Clock:
    """Seconds by stage since they were last taken."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def take(self) -> Row:
        row: Row = {**self.seconds, "total_s": sum(self.seconds.values())}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        return row


@dataclass(frozen=True, eq=False)
class Task:
    """What a run trains, with which solver, bits and schedule of the range L; what `Update.start` is given."""

    network: Network
    solver: Solver
    half_range: Schedule
    bits: int
    seed: int
    clock: Clock

    def solve_seed(self, layer: int, step: Step) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(SOLVE_STREAM, layer, step.number))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """weights: of each trainable layer, as they are scored. state: what going on needs beside them, by name."""

    weights: list[Array]
    state: dict[str, Array]


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def epoch_done(self, row: Row, solves: list[Row], checkpoint: Checkpoint) -> None:
        """An epoch's row of metrics, a row for each layer solved in it, and what to go on from."""

    def solving(self, epoch: int, layer: int, done: float) -> None:
        """Layer `layer` of epoch `epoch` has a fraction `done` of its units solved."""


class Update:
    """Changes the weights by one batch at a time: `start` once, then `step` for batch after batch.

    amplitude: the output targets that the true loss is measured against are amplitude x one-hot.
    is_unit_by_unit: whether each unit is a problem of its own to the solver, not all units of a layer one.
    """

    amplitude: float = 1.0
    is_unit_by_unit: bool = False

    def check(self, network: Network) -> None:
        """Raise InputError if this way of training cannot serve the network."""

    def start(self, task: Task) -> None:
        """Take what to train; nothing is computed yet."""
        self.task = task

    def step(self, batch: Batch, step: Step, observer: Observer) -> list[Row]:
        """Change the network's weights by one batch; return a row for each layer solved."""
        raise NotImplementedError

    def next_problem(self, k: int, batch: Batch, step: Step) -> LayerProblem:
        """Return the Hamiltonians that `step` would solve in layer k at the present weights; InputError if none."""
        raise InputError("this way of training solves no Hamiltonians: take a solver that anneals, such as solver=sa")

    def state(self) -> dict[str, Array]:
        """Return what the next step needs beside the weights, as arrays by name."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what `state` returned."""


def solve_row(epoch: int, k: int, problem: LayerProblem, result: SolveResult) -> Row:
    """Return a row of solves.csv: layer k's solve in an epoch."""
    return {
        "epoch": epoch + 1,
        "layer": k,
        "units": problem.num_units,
        "spins": problem.num_spins,
        "L": problem.half_range,
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
    walls = np.count_nonzero(levels == 0) + np.count_nonzero(levels == 2**problem.bits - 1)
    return walls / levels.size if levels.size else 0.0


def condition(J: Array) -> float | None:
    """Return the condition number of J (N, N) on its live weights; None where N > 512: that would take too long."""
    live = J.diagonal() > 0
    if len(J) > MAX_CONDITION or not live.any():
        return None
    spectrum = np.linalg.eigvalsh(J[np.ix_(live, live)])
    return float(spectrum[-1] / max(spectrum[0], spectrum[-1] * np.finfo(np.float64).eps))


MAX_CONDITION = 512
# Names of columns that add up over the steps of an epoch end so.
COUNTS = ("_s", "flips", "visits", "backtracks", "submissions", "retries")


def by_layer(rows: Sequence[Row]) -> list[Row]:
    """Return one row a layer for an epoch of several steps."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["layer"], []).append(row)
    return [together(groups[layer]) for layer in sorted(groups)]


def together(rows: list[Row]) -> Row:
    """Return several solves' row as one: seconds and counts add up, all else is averaged."""

    def value(name: str) -> Any:
        held = [row[name] for row in rows if row.get(name) is not None]
        if not held or (all(one == held[0] for one in held[1:]) and not name.endswith(COUNTS)):
            return held[0] if held else None
        return float(np.sum(held) if name.endswith(COUNTS) else np.mean(held))

    names = dict.fromkeys(name for row in rows for name in row)
    return with_rates({name: value(name) for name in names}) if len(rows) > 1 else rows[0]
