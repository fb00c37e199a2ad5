"""Hamiltonians of which a solver sees only some couplings: the strongest, or those that the graph of a QPU has."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import stream
from annealtrain.runtime.validation import Rule, checked, is_number, is_whole, number
from annealtrain.solvers.decompose import shares_couplings
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.wrapping import INNER, Wrapping

GRAPHS = {"chimera": 1, "pegasus": 2, "zephyr": 1}  # of D-Wave's machines, and the size of the smallest
KEEP = Rule(
    "a whole number of couplings a weight, a share of them above 0 and below 1, or one of " + ", ".join(GRAPHS),
    lambda value: (
        value in GRAPHS
        if isinstance(value, str)
        else value >= 1
        if is_whole(value)
        else is_number(value) and 0 < value < 1
    ),
)


class Sparse(Wrapping):
    """`solver=sparse`: lets another solver search units in which only some couplings between weights are left.

    inner: that solver. keep: at most so many couplings of each weight, a unit's strongest first; or a share of the
    unit's; or those that the smallest graph `chimera`, `pegasus` or `zephyr` for its weights has, of one bit, which are
    placed next to those that they are coupled with most.
    compensate: what of the couplings that a weight has lost, added up without their signs, its J_jj gets. From 1 on
    no state is lower than it is in truth; 0: none. To weights of one bit it is a constant.
    The gradient at the present weights stays as it is. Reads are judged by their true energies.
    """

    @checked("solver.", keep=KEEP, compensate=number(0, most=1e6))
    def __init__(self, inner: Solver, keep: int | float | str = 8, compensate: float = 0.0) -> None:
        super().__init__(inner)
        self.keep, self.compensate = keep, compensate

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        if isinstance(self.keep, str):
            if bits > 1:
                raise InputError(
                    f"solver.keep={self.keep} is for weights of one bit, one a qubit: set bits=1, not {bits}, or keep "
                    "a number of couplings"
                )
            qubits(self.keep, 1)  # told here where what knows the graphs is missing
        super().check(bits=bits, weights=weights)

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        is_shared = shares_couplings(forms)
        thinned = [self._thinned(form.couplings) for form in (forms[:1] if is_shared else forms)]
        couplings = [one for one, _ in thinned]
        made: Any = couplings[0] if is_shared else couplings.__getitem__
        h, E0, first = [], [], forms[0]
        for i, form in enumerate(forms):
            P, J = form.S0 if form.present is None else form.weights(form.present), couplings[0 if is_shared else i].J
            h.append(form.gradient(P) - 2 * J @ P)
            E0.append(float(form.energy(P)) - float((J @ P + h[-1]) @ P))
        problem = LayerProblem(
            made,
            np.array(h),
            np.array(E0),
            np.array([form.S0 for form in forms]),
            first.half_range,
            first.bits if first.num_levels is None else None,
            num_levels=first.num_levels,
            sites=first.sites,
            convex=False,
            present=None if first.present is None else np.array([form.present for form in forms]),
        )
        result = INNER(self.inner.solve)(problem, seed=stream(seeds[0]))
        told = self.told([result.stats], len(forms)) | {"kept_share": float(np.mean([share for _, share in thinned]))}
        return [(levels, dict(told)) for levels in result.levels]

    def _thinned(self, couplings: Couplings) -> tuple[Couplings, float]:
        """Return the couplings that are left, and which share of all they are."""
        live, J = couplings.indices, couplings.live_J
        if live.size < 2:
            return couplings, 1.0
        kept = strongest(J, self.keep)
        left = np.where(kept, J, 0.0)
        left[np.diag_indices_from(J)] = J.diagonal()
        lost = np.abs(J - left).sum(axis=1)
        whole = np.zeros_like(couplings.J)
        whole[np.ix_(live, live)] = left + self.compensate * np.diag(lost)
        convex = couplings.convex if self.compensate >= 1 else None
        return Couplings(whole, couplings.live, convex=convex), float(kept.sum() / (live.size * (live.size - 1)))


def strongest(J: Array, keep: int | float | str) -> Array:
    """Return which couplings of J (n, n) stay, see `Sparse`: (n, n) bool, symmetric, none of a weight with itself."""
    n, sizes = len(J), np.abs(J)
    np.fill_diagonal(sizes, -1.0)
    if isinstance(keep, str):
        return _on_graph(sizes, keep)
    if is_whole(keep):
        return _of_each(sizes, min(int(keep), n - 1))
    pairs = np.triu_indices(n, 1)
    count = max(1, round(keep * len(pairs[0])))
    best = np.argpartition(-sizes[pairs], count - 1)[:count]
    kept = np.zeros((n, n), bool)
    kept[pairs[0][best], pairs[1][best]] = True
    return kept | kept.T


def _of_each(sizes: Array, most: int) -> Array:
    """Return the strongest couplings, one after the other, as long as both ends have less than `most`."""
    n = len(sizes)
    kept, room, pairs = np.zeros((n, n), bool), [most] * n, np.array(np.triu_indices(n, 1))
    pairs = pairs[:, np.argsort(-sizes[pairs[0], pairs[1]], kind="stable")]
    while pairs.size:
        for i, j in pairs[:, : n * most].T.tolist():
            if room[i] and room[j]:
                kept[i, j] = kept[j, i] = True
                room[i], room[j] = room[i] - 1, room[j] - 1
        has_room = np.array(room) > 0
        pairs = pairs[:, n * most :]
        pairs = pairs[:, has_room[pairs[0]] & has_room[pairs[1]]]
    return kept


def _on_graph(sizes: Array, family: str) -> Array:
    """Return which couplings a graph has, each qubit with that weight which is coupled most with those beside it."""
    n = len(sizes)
    neighbours, left = qubits(family, n), np.ones(n, bool)
    placed, kept = list[int](), np.zeros((n, n), bool)
    for qubit in range(n):
        near = [placed[other] for other in neighbours[qubit] if other < qubit]
        pulls = sizes[near].sum(axis=0) if near else sizes.sum(axis=1)
        taken = int(np.argmax(np.where(left, pulls, -np.inf)))
        left[taken] = False
        placed.append(taken)
        kept[taken, near] = kept[near, taken] = True
    return kept


@cache
def qubits(family: str, count: int) -> list[list[int]]:
    """Return the neighbours of the first `count` qubits of the smallest graph that has as many, each near the first."""
    import networkx

    make, size = getattr(_graphs(), f"{family}_graph"), GRAPHS[family]
    while (graph := make(size)).number_of_nodes() < count:
        size += 1
    middle = list(graph)[graph.number_of_nodes() // 2]
    order = [middle, *(node for _, node in networkx.bfs_edges(graph, middle))][:count]
    number = {node: place for place, node in enumerate(order)}
    return [sorted(number[other] for other in graph[node] if other in number) for node in order]


def _graphs() -> Any:
    for name in ("dwave.graphs", "dwave_networkx"):  # the one of dwave-system from 1.35 on, and before
        try:
            return import_module(name)
        except ImportError:
            continue
    raise InputError("the graphs of QPUs need the extra dwave: pip install 'annealtrain[dwave]'")
