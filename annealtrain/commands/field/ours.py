"""This project's solvers in the race, and `annealtrain`, which takes turns among them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, log2

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.annealing.temperatures import beta_range_of_start
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.lattice.babai import Babai, Klein, descended
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.lattice.beam import beam as search
from annealtrain.solvers.lattice.enumeration import enumerate_levels
from annealtrain.solvers.lattice.nearest_plane import gradients
from annealtrain.solvers.solver import Solver

Run = Callable[[int, int, float], Array | None]  # of an effort, a seed and the seconds left: levels (reads, N)
Make = Callable[[int, float], Solver]  # of an effort and the seconds that are left
MOST_EFFORT = 2**24  # sweeps of a run: small instances are annealed again, not for longer than memory holds betas
WIDEST = 4096  # of a beam
DESCENDED = 4  # of its ends
MOST_WEIGHTS = 128  # that are enumerated
MANY_BITS = 4  # of a weight, from which annealing by bits is left out
SHARE = 0.5  # of the time goes to all alike: what brings nothing for two turns may do so later
AHEAD = 4.0  # times what has been spent: how far is looked ahead
RECENT = 2  # turns that tell what the next will bring


def run_of(make: Make, form: QuadraticForm) -> Run:
    """Return a run of a solver on a form."""

    def run(effort: int, seed: int, left_s: float) -> Array:
        levels, _ = make(effort, left_s).sample(form, stream(seed))
        return levels

    return run


def sa(effort: int, left_s: float, **how: object) -> Solver:
    return SimulatedAnnealing(effort, _anneal.lanes(), time_limit_s=max(left_s, 1e-3), **how)  # type: ignore[arg-type]


def sa_slice(effort: int, left_s: float) -> Solver:
    return sa(effort, left_s, move="slice")


def sa_beam(effort: int, left_s: float) -> Solver:
    return sa(effort, left_s, start="beam")


def sqa(effort: int, left_s: float) -> Solver:
    return SimulatedQuantumAnnealing(effort, time_limit_s=max(left_s, 1e-3))


def descent(effort: int, left_s: float) -> Solver:
    return CoordinateDescent(effort)


def babai(effort: int, left_s: float) -> Solver:
    return Babai(descent=True)


def klein(effort: int, left_s: float) -> Solver:
    return Klein(effort)


def beam(effort: int, left_s: float) -> Solver:
    return Beam(min(effort, WIDEST), descent=False)


def enumerated(form: QuadraticForm, start: Array | None, nodes: int) -> tuple[Array, bool]:
    """Return levels (1, N) by enumeration of at most so many nodes, and whether they are the best of all.

    start: levels (N,) that are known already; None: those of a beam.
    """
    if start is None:
        reads, _ = Beam(16, descent=False).sample(form, stream(0))
        start = reads[np.argmin(form.energy(form.weights(reads)))]
    triangle = form.couplings.triangle
    places = form.couplings.indices[triangle.order]
    targets = triangle.targets(gradients([form]))[:, 0]
    found = enumerate_levels(triangle, targets, form.encoding, start[places], nodes)
    levels = np.zeros((1, form.S0.size), np.int32)
    levels[0, places] = found.levels
    return levels, found.is_certified


def exact(form: QuadraticForm) -> Run:
    """Return a run of enumeration; effort: thousands of nodes. After a certified one there is no other."""
    is_done, best = False, None
    if form.couplings.indices.size > MOST_WEIGHTS:
        raise InputError(f"{form.couplings.indices.size} weights are not enumerated, at most {MOST_WEIGHTS} are")

    def run(effort: int, seed: int, left_s: float) -> Array | None:
        nonlocal is_done, best
        if is_done:
            return None
        levels, is_done = enumerated(form, best, 1000 * effort)
        best = levels[0]
        return levels

    return run


@dataclass
class Member:
    """A solver that `annealtrain` gives turns to: its effort doubles from turn to turn.

    goes_on: whether it begins at the best levels of all so far. last_s: seconds of its last turn. drops: by how much
    its turns ended below where they began, or, if that was anywhere, below what those before them had found.
    """

    run: Callable[[int, int, float], Array]
    effort: int
    most: int = MOST_EFFORT
    goes_on: bool = False
    spent_s: float = 0.0
    last_s: float = 0.0
    lowest: float = inf
    drops: list[float] = field(default_factory=list)

    def forecast(self, left_s: float) -> float:
        """Return the energy that all the time left would bring it to, if each doubling brings what the last ones did.

        One of whom nothing can be said yet has the lowest.
        """
        if not self.drops:
            return -inf
        recent = self.drops[-RECENT:]
        return self.lowest - sum(recent) / len(recent) * max(0.0, log2(max(left_s, 1e-9) / self.last_s))

    def next_effort(self, left_s: float) -> int:
        """Return twice the last effort, or what fills the time left where another turn would not fit behind it."""
        if not self.last_s or 2.2 * 2 * self.last_s < left_s:
            return self.effort
        return max(1, int(self.effort / 2 * 0.9 * left_s / self.last_s))

    def note(self, effort: int, seconds: float, energy: float, best: float) -> None:
        """Keep what a turn has come to. best: the lowest energy of all before it."""
        before = best if self.goes_on else self.lowest
        if before < inf:
            self.drops.append(max(0.0, before - energy))
        self.lowest = min(self.lowest, energy)
        self.spent_s, self.last_s = self.spent_s + seconds, max(seconds, 1e-6)
        self.effort = min(2 * effort, MOST_EFFORT)


class Portfolio:
    """A run of `annealtrain`: each turn goes to the solver that the time left would bring lowest, see Member.forecast.

    Annealing from random states, by bits or by levels. Where J is positive semidefinite also beam search, annealing
    from the best levels so far at a temperature that does not forget them, and enumeration; in any case where weights
    have one bit, and where J is not, `sqa`.
    """

    def __init__(self, form: QuadraticForm) -> None:
        self.form, self.lowest, self.is_done = form, inf, False
        self.best: Array | None = None
        by_levels = form.bits > 1 and not np.any(form.couplings.diagonal < 0)  # slices of a bowl, not of a hill
        self.members = [self._member(sa_slice if by_levels else sa, 16)]
        if by_levels and form.encoding.is_binary and form.bits < MANY_BITS:
            self.members.append(self._member(sa, 16))
        self.are_all_there = False

    def _member(self, make: Make, effort: int, most: int = MOST_EFFORT) -> Member:
        def run(effort: int, seed: int, left_s: float) -> Array:
            return make(effort, left_s).sample(self.form, stream(seed))[0]

        return Member(run, effort, most)

    def _join(self) -> None:
        """Let those join that work on the triangle of J, if it has one: after a first turn, for it takes time."""
        try:
            _ = self.form.couplings.triangle
        except InputError:
            self.members.append(self._member(sqa, 16))
            return
        if self.form.bits == 1:
            self.members.append(self._member(sqa, 16))
        self.members += [Member(self._beam, 32, WIDEST), Member(self._again, 64, goes_on=True)]
        if self.form.couplings.indices.size <= MOST_WEIGHTS:
            self.members.append(Member(self._enumerate, 4, goes_on=True))

    def _beam(self, effort: int, seed: int, left_s: float) -> Array:
        """Return the best ends of a beam search after coordinate descent: where the box is tight it goes astray."""
        levels, costs = search([self.form], min(effort, WIDEST))
        best = np.argsort(costs[0])[:DESCENDED]
        found: Array = descended([self.form], levels[:, best])[0]
        return found

    def _enumerate(self, effort: int, seed: int, left_s: float) -> Array:
        levels, self.is_done = enumerated(self.form, self.best, 1000 * effort)
        return levels

    def _again(self, effort: int, seed: int, left_s: float) -> Array:
        """Return what annealing leaves that begins at the best levels so far."""
        form, triangle = self.form, self.form.couplings.triangle
        assert self.best is not None
        offsets = form.encoding.offsets(self.best[form.couplings.indices[triangle.order]])[:, None]
        excess = float(triangle.excess(triangle.targets(gradients([form])), offsets)[0])
        how = {"beta_range": beta_range_of_start(form, excess), "move": "slice", "start": "present"}
        levels: Array = sa(effort, left_s, **how).sample(replace(form, present=self.best), stream(seed))[0]
        return levels

    def __call__(self, effort: int, seed: int, left_s: float) -> Array | None:
        if self.is_done:
            return None
        if self.best is not None and not self.are_all_there:
            self.are_all_there = True
            self._join()
        able = [each for each in self.members if each.effort <= each.most]
        least = min(able, key=lambda each: each.spent_s)
        is_due = least.spent_s < SHARE / len(able) * sum(each.spent_s for each in able)
        horizon_s = min(left_s, AHEAD * sum(each.spent_s for each in able))
        one = least if is_due else min(able, key=lambda each: each.forecast(horizon_s))
        started, effort = time.process_time(), one.next_effort(left_s)
        levels = one.run(effort, seed, left_s)
        seconds = time.process_time() - started
        energies = self.form.energy(self.form.weights(levels))
        lowest = int(np.argmin(energies))
        one.note(effort, seconds, float(energies[lowest]), self.lowest)
        if energies[lowest] < self.lowest:
            self.best, self.lowest = levels[lowest], float(energies[lowest])
        assert self.best is not None
        return self.best[None]


RUNS: dict[str, Callable[[QuadraticForm], Run]] = {
    "annealtrain": Portfolio,
    "exact": exact,
    **{
        name: partial(run_of, make)
        for name, make in {
            "sa": sa,
            "sa_slice": sa_slice,
            "sa_beam": sa_beam,
            "sqa": sqa,
            "descent": descent,
            "babai": babai,
            "klein": klein,
            "beam": beam,
        }.items()
    },
}
