"""Settings of a solver that follow a schedule over the epochs, and the rules of those that several solvers have."""

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

from annealtrain.errors import InputError
from annealtrain.runtime.validation import (
    Rule,
    either,
    first_and_last,
    number,
    optional,
    whole,
)
from annealtrain.schedule import Schedule
from annealtrain.solvers.deadline import Watch
from annealtrain.solvers.solver import Solver

SolverKind = TypeVar("SolverKind", bound=Solver)


def started(
    solver: SolverKind, time_limit_s: float | None, tell: Callable[[float], None] | None, chains: int
) -> SolverKind:
    """Return a copy of a solver for one solve: its deadline so many seconds from now or never, see `Watch`.

    The solver itself where there is neither a limit nor anyone to tell.
    """
    if time_limit_s is None and tell is None:
        return solver
    timed = copy(solver)
    timed.watch = Watch(time.perf_counter() + time_limit_s if time_limit_s else math.inf, tell, chains)
    return timed


def scheduled(rule: Rule) -> Rule:
    """What a rule asks, or a schedule over the epochs with one value for all layers."""
    return either(rule, Rule("a schedule of one value for all layers", _is_schedule))


def _is_schedule(value: Any) -> bool:
    return isinstance(value, Schedule) and value.per_layer is None


def check_inverse_temperatures(beta: Any, beta_range: Any) -> None:
    """Raise InputError unless at most one is set: a beta, which may be a schedule, or a range that does not fall."""
    if beta is not None and beta_range is not None:
        raise InputError("solver.beta and solver.beta_range are both set: keep one, the other null")
    if beta_range is not None and beta_range[0] > beta_range[1]:
        raise InputError(f"solver.beta_range={list(beta_range)} falls: annealing cools, give first <= last")


COUNT = scheduled(whole())
INVERSE_TEMPERATURES = {
    "beta": optional(scheduled(number(above=0))),
    "beta_range": optional(first_and_last(number(above=0))),
}


def resolve_schedules(solver: SolverKind, names: Sequence[str], epoch: int, epochs: int) -> SolverKind:
    """Return a copy of a solver with the value of one epoch for each of these settings that is a schedule."""
    bound = copy(solver)
    for name in names:
        setting = getattr(solver, name)
        if isinstance(setting, Schedule):
            value = setting.value(epoch, epochs)
            setattr(bound, name, max(1, round(value)) if name == "num_sweeps" else value)
    return bound
