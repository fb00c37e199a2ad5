"""This project's solvers in the race, and `annealtrain`, which takes turns among them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import stream
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
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


def portfolio(form: QuadraticForm) -> Run:
    """Return a run of `annealtrain`: of its members the one that has had the least time, with twice its last effort.

    Beam, annealing from a beam's end and enumeration where J is positive semidefinite; annealing from random states by
    bits, of several bits by levels too, and with slices where it is not.
    """
    best: Array | None = None
    is_done = False

    def enumerate_(effort: int, seed: int, left_s: float) -> Array:
        nonlocal is_done
        levels, is_done = enumerated(form, best, 1000 * effort)
        return levels

    def member(make: Make, effort: int, most: int = 2**40) -> Member:
        return Member(lambda effort, seed, left_s: make(effort, left_s).sample(form, stream(seed))[0], effort, most)

    try:
        _ = form.couplings.triangle
        members = [member(beam, 8, WIDEST), member(sa_beam, 64)]
        if form.couplings.indices.size <= MOST_WEIGHTS:
            members.append(Member(enumerate_, 4))
    except InputError:
        members = [member(sqa, 16)]
    members.append(member(sa, 16) if form.bits == 1 else member(sa_slice, 16))

    def run(effort: int, seed: int, left_s: float) -> Array | None:
        nonlocal best
        if is_done:
            return None
        one = min((each for each in members if each.effort <= each.most), key=lambda each: each.spent_s)
        started = time.perf_counter()
        levels = one.run(one.effort, seed, left_s)
        one.spent_s, one.effort = one.spent_s + time.perf_counter() - started, 2 * one.effort
        found = levels[np.argmin(form.energy(form.weights(levels)))]
        if best is None or form.energy(form.weights(found)) < form.energy(form.weights(best)):
            best = found
        return best[None]

    return run


RUNS: dict[str, Callable[[QuadraticForm], Run]] = {
    "annealtrain": portfolio,
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
