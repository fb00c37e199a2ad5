"""Beam search over the triangle of J: the K best partial assignments of each unit, weight after weight."""

from collections.abc import Sequence

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.triangle import Triangle
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import YES_OR_NO, checked, whole
from annealtrain.solvers.lattice.babai import as_reads
from annealtrain.solvers.lattice.nearest_plane import gradients, scattered
from annealtrain.solvers.solver import Solver

BLOCK = 32  # rows between two products with the rest of the triangle
STATES = 2**22  # numbers of a group's centres, those of all its states: 32 MB


class Beam(Solver):
    """`solver=beam`: the `width` best partial assignments of a unit, each grown by its `children` closest levels.

    J must be positive semidefinite. Width 1 is Babai's. All ends are kept as reads. descent: then coordinate descent
    of each.
    """

    @checked(
        "solver.",
        width=whole(1, 65_536, "as all of them are held at once"),
        children=whole(1, 65_536, "levels of a weight"),
        descent=YES_OR_NO,
    )
    def __init__(self, width: int = 32, children: int = 2, descent: bool = True) -> None:
        self.width, self.children, self.descent = width, children, descent

    def sample_batch(
        self, forms: Sequence[QuadraticForm], seeds: Sequence[np.random.SeedSequence]
    ) -> list[tuple[Array, dict[str, float]]]:
        if not forms[0].couplings.indices.size:
            return [(np.zeros((1, form.S0.size), np.int32), {}) for form in forms]
        levels, _ = beam(forms, self.width, self.children)
        return as_reads(forms, levels, self.descent)


def beam(forms: Sequence[QuadraticForm], width: int, children: int = 2) -> tuple[Array, Array]:
    """Return levels (M, states, N) of units that share J and L, and their energies above the least (M, states)."""
    triangle = forms[0].couplings.triangle
    targets = triangle.targets(gradients(forms)).T
    group = max(1, STATES // (width * targets.shape[1]))

    def grown(part: slice) -> tuple[Array, Array]:
        return grow(triangle, targets[part], forms[0].encoding, width, children)

    found = thread_pool.parallel_map(grown, thread_pool.chunks(len(forms), group))
    levels, costs = (np.concatenate([part[k] for part in found]) for k in (0, 1))
    return scattered(forms[0], levels), costs


def grow(triangle: Triangle, targets: Array, encoding: Encoding, width: int, children: int) -> tuple[Array, Array]:
    """Return the levels (M, states, n) of the best assignments of units with these targets (M, n), and their costs.

    All units have as many states: 1, then up to `children` times as many with each weight, at most `width`.
    """
    M, n = targets.shape
    children = min(children, encoding.top_level + 1)
    centres, costs = targets[:, None].copy(), np.zeros((M, 1))
    levels = np.zeros((M, 1, n), np.int32)
    units = np.arange(M)[:, None]
    for last in range(n, 0, -BLOCK):
        thread_pool.check_cancelled()
        first = max(0, last - BLOCK)
        # Within a block only its own columns are copied to the states that go on; the others follow at its end.
        own, chosen = centres[:, :, first:last], levels[:, :, first:last]
        parents = np.broadcast_to(np.arange(costs.shape[1]), costs.shape)
        for j in range(last - 1, first - 1, -1):
            k = j - first
            found = nearest(encoding, own[:, :, k], children)
            away = encoding.offsets(found) - own[:, :, k, None]
            grown = (costs[:, :, None] + triangle.d[j] * away**2).reshape(M, -1)
            keep = best(grown, width)
            costs, old = grown[units, keep], keep // children
            own, chosen, parents = own[units, old], chosen[units, old], parents[units, old]
            chosen[:, :, k] = found.reshape(M, -1)[units, keep]
            own[:, :, :k] -= encoding.offsets(chosen[:, :, k, None]) * triangle.R[first:j, j]
        levels = levels[units, parents]
        levels[:, :, first:last] = chosen
        centres = centres[units, parents]
        if first:
            centres[:, :, :first] -= encoding.offsets(chosen) @ triangle.R[:first, first:last].T
    return levels, costs


def nearest(encoding: Encoding, centres: Array, count: int) -> Array:
    """Return the `count` levels closest to offsets (...): (..., count) int32, in any order."""
    at = (centres + encoding.half_range) / encoding.step
    lowest = np.clip(np.rint(at - (count - 1) / 2), 0, encoding.top_level + 1 - count)
    found: Array = (lowest[..., None] + np.arange(count)).astype(np.int32)
    return found


def best(costs: Array, count: int) -> Array:
    """Return the places of the `count` lowest costs of each unit (M, count), in any order; fewer where there are."""
    if costs.shape[1] <= count:
        return np.broadcast_to(np.arange(costs.shape[1]), costs.shape)
    found: Array = np.argpartition(costs, count - 1, axis=1)[:, :count]
    return found
