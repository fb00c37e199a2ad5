"""Checks of a solver's settings, and settings that follow a schedule over the epochs."""

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

from annealtrain.errors import InputError
from annealtrain.runtime.validation import positive, positive_pair
from annealtrain.schedule import Schedule
from annealtrain.solvers.deadline import Watch
from annealtrain.solvers.solver import Solver

SolverKind = TypeVar("SolverKind", bound=Solver)


def started(
    solver: SolverKind, time_limit_s: float | None, tell: Callable[[float], None] | None, chains: int
) -> SolverKind:
    """Return a copy of a solver for one solve: its deadline so many seconds from now or never, see `Watch`."""
    timed = copy(solver)
    timed.watch = Watch(time.perf_counter() + time_limit_s if time_limit_s else math.inf, tell, chains)
    return timed


def is_scheduled(name: str, value: Any) -> bool:
    """Return whether a setting is a schedule; InputError if it is one with a value for each layer."""
    if isinstance(value, Schedule) and value.per_layer:
        raise InputError(f"solver.{name} has {value.per_layer} values a step: a solver is one for all layers")
    return isinstance(value, Schedule)


def inverse_temperatures(beta: Any, beta_range: Any) -> None:
    """Raise InputError unless at most one is set: a beta, which may be a schedule, or a range that does not fall."""
    if beta is not None and beta_range is not None:
        raise InputError("solver.beta and solver.beta_range are both set: keep one, the other null")
    if beta is not None and not is_scheduled("beta", beta):
        positive("beta", beta)
    if beta_range is not None:
        positive_pair("beta_range", beta_range)
        if beta_range[0] > beta_range[1]:
            raise InputError(f"solver.beta_range={list(beta_range)} falls: annealing cools, give first <= last")


def resolve_schedules(solver: SolverKind, names: Sequence[str], epoch: int, epochs: int) -> SolverKind:
    """Return a copy of a solver with the value of one epoch for each of these settings that is a schedule."""
    bound = copy(solver)
    for name in names:
        setting = getattr(solver, name)
        if isinstance(setting, Schedule):
            value = setting.value(epoch, epochs)
            setattr(bound, name, max(1, round(value)) if name == "num_sweeps" else value)
    return bound
