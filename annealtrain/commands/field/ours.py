"""This project's solvers in the race, and `annealtrain`, which takes turns among them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf

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
from annealtrain.solvers.lattice.babai import Babai, Klein
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.lattice.enumeration import enumerate_levels
from annealtrain.solvers.lattice.nearest_plane import gradients
from annealtrain.solvers.solver import Solver

Run = Callable[[int, int, float], Array | None]  # of an effort, a seed and the seconds left: levels (reads, N)
Make = Callable[[int, float], Solver]  # of an effort and the seconds that are left
WIDEST = 4096  # of a beam
MOST_WEIGHTS = 128  # that are enumerated
MANY_BITS = 4  # of a weight, from which annealing by bits is left out
LEADER = 4.0  # as many times as much time has the member that found the best so far


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
    """A solver that `annealtrain` gives turns to: its effort, which doubles from turn to turn, and seconds so far."""

    run: Callable[[int, int, float], Array]
    effort: int
    most: int = 2**40
    spent_s: float = 0.0


class Portfolio:
    """A run of `annealtrain`: turns go to who has had the least time; that of the one with the best so far counts less.

    Annealing from random states, by bits or by levels. Where J is positive semidefinite also beam search, annealing
    from the best levels so far at a temperature that does not forget them, and enumeration; where it is not, `sqa`.
    """

    def __init__(self, form: QuadraticForm) -> None:
        self.form, self.lowest, self.is_done = form, inf, False
        self.best: Array | None = None
        random = self._member(sa, 16) if form.bits == 1 else self._member(sa_slice, 16)
        self.members, self.leader = [random], random
        if form.bits > 1 and form.encoding.is_binary and form.bits < MANY_BITS:
            self.members.append(self._member(sa, 16))
        self.are_all_there = False

    def _member(self, make: Make, effort: int, most: int = 2**40) -> Member:
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
        self.members += [self._member(beam, 8, WIDEST), Member(self._again, 64)]
        if self.form.couplings.indices.size <= MOST_WEIGHTS:
            self.members.append(Member(self._enumerate, 4))

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
        one = min(able, key=lambda each: each.spent_s / (LEADER if each is self.leader else 1))
        started = time.process_time()
        levels = one.run(one.effort, seed, left_s)
        one.spent_s, one.effort = one.spent_s + time.process_time() - started, 2 * one.effort
        energies = self.form.energy(self.form.weights(levels))
        lowest = int(np.argmin(energies))
        if energies[lowest] < self.lowest:
            self.best, self.lowest, self.leader = levels[lowest], float(energies[lowest]), one
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
