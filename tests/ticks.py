"""A clock for the tests of time limits, which then count blocks of sweeps and depend on no machine."""

import pytest

from annealtrain.solvers import scheduled_settings
from annealtrain.solvers.annealing import markov_chains


class Ticks:
    """A clock that moves by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """Return the clock of solves' deadlines: looked at when a solve begins, and after each block of its sweeps."""
    clock = Ticks()
    for module in (scheduled_settings, markov_chains):
        monkeypatch.setattr(module, "time", clock)
    return clock
