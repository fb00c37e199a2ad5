"""Beam search over the triangle of J: the K best partial assignments of each unit, weight after weight."""

from collections.abc import Sequence

import numpy as np

from annealtrain import _anneal
from annealtrain.errors import InputError
from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.triangle import Triangle
from annealtrain.runtime import memory, thread_pool
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
    width = min(width, children**n)  # there are no more
    if width * children >= 2**31:
        raise InputError(f"{width} states with {children} children each are too many at once: take fewer of either")
    memory.require(
        20 * width * children, f"a beam of {width} states with {children} children each", "take fewer of either"
    )
    grid = (float(encoding.half_range), float(encoding.step), encoding.top_level)
    units, states = np.arange(M)[:, None], 1
    centres, costs = targets[:, None], np.zeros((M, width))
    blocks = []  # each with its levels, and which states before it they are of
    for last in range(n, 0, -BLOCK):
        thread_pool.check_cancelled()
        first = max(0, last - BLOCK)
        own, chosen = np.empty((M, width, last - first)), np.empty((M, width, last - first), np.int32)
        own[:, :states], parents = centres[:, :, first:last], np.empty((M, width), np.int32)
        columns = np.ascontiguousarray(triangle.R[first:last, first:last].T)
        diagonal = np.ascontiguousarray(triangle.d[first:last])
        states = _anneal.beam_rows(columns, diagonal, *grid, states, children, own, chosen, parents, costs)
        chosen, parents = chosen[:, :states], parents[:, :states]
        blocks.append((first, chosen, parents))
        if first:  # those of the block itself are at what they have been set to
            moved = encoding.offsets(chosen).reshape(M * states, -1) @ triangle.R[:first, first:last].T
            centres = centres[:, :, :first][units, parents]
            centres -= moved.reshape(centres.shape)
    levels, at = np.empty((M, states, n), np.int32), np.arange(states)[None]
    for first, chosen, parents in reversed(blocks):
        levels[:, :, first : first + chosen.shape[2]] = chosen[units, at]
        at = parents[units, at]
    return levels, costs[:, :states]
