"""Units that are larger than what a solver holds: block after block of their spins, the others as they are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import generator, stream
from annealtrain.runtime.validation import checked, whole
from annealtrain.solvers.effort import Effort
from annealtrain.solvers.ising_solver import IsingSolver
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.wrapping import INNER, Wrapping


class Decompose(Wrapping):
    """`solver=decompose`: lets another solver lower a unit's energy in blocks of at most max_spins spins.

    inner: that solver. Weights that are strongly coupled share a block, with all their spins; one round goes through
    all blocks, the next has others. The first levels are the closest to the present weights; what a block finds is
    taken where it is lower. rounds: at most so many; a unit that a whole round has not lowered is done.
    Units that share J, and all where the inner solver takes all together, go through the same block in one call.
    """

    @checked("solver.", max_spins=whole(), rounds=whole())
    def __init__(self, inner: Solver, max_spins: int = 64, rounds: int = 10) -> None:
        super().__init__(inner)
        self.max_spins, self.rounds = max_spins, rounds

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        most = self.inner.max_spins if isinstance(self.inner, IsingSolver) else None
        if isinstance(most, int) and most < bits:
            INNER(self.inner.check)(bits=bits, weights=[1])  # says that it holds no weight, which no block mends
        sizes = [self._size(count, bits) for count in weights]
        if isinstance(most, int) and bits <= most < max(sizes, default=0) * bits:
            name = type(self.inner).__name__
            raise InputError(f"solver.max_spins={self.max_spins} is more than {name} takes: lower it to {most}")
        INNER(self.inner.check)(bits=bits, weights=sizes)

    def prepare(self, *, bits: int, weights: Sequence[int], units: Sequence[int], solves: Sequence[int]) -> None:
        sizes = [self._size(count, bits) for count in weights]
        most = [times * self._blocks(count, bits) * self.rounds for count, times in zip(weights, solves, strict=True)]
        INNER(self.inner.prepare)(bits=bits, weights=sizes, units=units, solves=most)

    def effort(self, *, units: int, weights: int, bits: int) -> Effort | None:
        found = INNER(self.inner.effort)(units=units, weights=self._size(weights, bits), bits=bits)
        return found and replace(found, seconds=found.seconds * self._blocks(weights, bits) * self.rounds)

    def calls(self, *, units: int, weights: int, bits: int) -> int:
        each = INNER(self.inner.calls)(units=units, weights=self._size(weights, bits), bits=bits)
        return self.rounds * self._blocks(weights, bits) * each

    def most_problems(self, *, units: int, weights: int, bits: int) -> tuple[int, int]:
        count, spins = INNER(self.inner.most_problems)(units=units, weights=self._size(weights, bits), bits=bits)
        return self.rounds * self._blocks(weights, bits) * count, spins

    def _blocks(self, weights: int, bits: int) -> int:
        """Return in how many blocks a unit of so many weights goes."""
        if self.max_spins < bits:
            raise InputError(
                f"solver.max_spins={self.max_spins} hold no weight of {bits} bits: raise it, or lower bits"
            )
        return max(1, -(-weights // (self.max_spins // bits)))

    def _size(self, weights: int, bits: int) -> int:
        """Return how many weights the largest block has: all have as many, or one less."""
        return -(-weights // self._blocks(weights, bits))

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        is_shared = shares_couplings(forms)
        levels = np.array([form.present_levels for form in forms], dtype=np.int32)
        rests, stats = np.zeros(len(forms), dtype=bool), list[dict[str, float]]()
        for turn in range(self.rounds):
            orders = [
                by_couplings(form.couplings, self._blocks(form.S0.size, form.bits), generator(seed, turn, 0))
                for form, seed in zip(forms[:1] if is_shared else forms, seeds, strict=False)
            ]
            lowered = np.zeros(len(forms), dtype=bool)
            for number in range(len(orders[0])):
                places = [order[number] for order in orders] * (len(forms) if is_shared else 1)
                problem = block_problem(forms, places, levels)
                result = INNER(self.inner.solve)(problem, seed=stream(seeds[0], turn, 1, number))
                stats.append(result.stats)
                before = [
                    unit.energy(unit.weights(unit.present_levels)) for unit in map(problem.unit, range(len(forms)))
                ]
                better = ~rests & (result.energies[:, 0] < before)
                for i in np.flatnonzero(better):
                    levels[i, places[i]] = result.levels[i, 0]
                lowered |= better
            rests |= ~lowered
            if rests.all():
                break
        told = self.told(stats, len(forms)) | {"blocks": float(len(stats))}
        return [(own[None], dict(told)) for own in levels]


def shares_couplings(forms: Sequence[QuadraticForm]) -> bool:
    """Return whether units have one J."""
    return all(form.couplings is forms[0].couplings for form in forms)


def by_couplings(couplings: Couplings, count: int, random: np.random.Generator) -> list[Array]:
    """Return all weights in `count` blocks of one size, or one less: those that hang together share a block.

    Each block begins with any weight that is left, and takes those that are coupled most with all in it, by
    sum_b J_jb^2 / (J_jj J_bb) times a random number (exponential): the same blocks again would find little more.
    Weights that move no energy come last.
    """
    live, N = couplings.indices, len(couplings.J)
    scale = np.sqrt(np.abs(couplings.diagonal[live]))
    scale[scale == 0] = 1.0
    near = (couplings.live_J / scale / scale[:, None]) ** 2
    left, order = list(range(live.size)), list[int]()
    for part in np.array_split(np.arange(N), count):
        pulls = np.ones(live.size)
        for place in range(min(len(part), len(left))):
            taken = left.pop(int(np.argmax(pulls[left] * random.exponential(size=len(left)))))
            order.append(taken)
            pulls = near[taken] + pulls if place else near[taken].copy()
    places = np.concatenate([live[order], np.flatnonzero(~couplings.live)])
    return np.array_split(places.astype(np.intp), count)


def block_problem(forms: Sequence[QuadraticForm], places: Sequence[Array], levels: Array) -> LayerProblem:
    """Return the problem of some weights of each unit, all others of which stay at their levels (M, N).

    places: those of each unit, all as many; one array for all where they share J.
    """
    first = forms[0]
    of_all = forms[:1] if shares_couplings(forms) else forms
    couplings = [
        Couplings(form.J[np.ix_(own, own)], form.live[own], convex=form.couplings.convex or None)
        for form, own in zip(of_all, places, strict=False)
    ]
    h, E0 = [], []
    for i, (form, own) in enumerate(zip(forms, places, strict=True)):
        S, J = form.weights(levels[i]), couplings[min(i, len(couplings) - 1)].J
        h.append(2 * form.J[own] @ S + form.h[own] - 2 * J @ S[own])
        E0.append(form.energy(S) - (J @ S[own] + h[-1]) @ S[own])
    made: Any = couplings[0] if len(couplings) == 1 else couplings.__getitem__
    return LayerProblem(
        made,
        np.array(h),
        np.array(E0),
        np.array([form.S0[own] for form, own in zip(forms, places, strict=True)]),
        first.half_range,
        first.bits if first.num_levels is None else None,
        num_levels=first.num_levels,
        sites=first.sites,
        convex=False,
        present=np.array([own[place] for own, place in zip(levels, places, strict=True)]),
    )
