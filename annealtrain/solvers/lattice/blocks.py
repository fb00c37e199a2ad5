"""Blocks of coupled weights put on their best levels together, one block after another, the others held.

Where J is ill-conditioned, what is lower lies many weights away: no move of one weight, or of two, gets there. Given
the others, half of a unit's weights are a problem of the same kind, but a smaller and much better conditioned one,
whose beam search takes a fraction of the time. Each block has a triangle of its own, and so an order of its own.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.hamiltonian.triangle import Triangle, triangle
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Seed, generator
from annealtrain.solvers.lattice.beam import STATES, grow
from annealtrain.solvers.lattice.nearest_plane import gradients

WIDTH = 8  # states of a block's beam search
LEAST, MOST = 0.4, 0.8  # of all live weights that a block has; up to .6 suits one bit, above it more bits
NOISE = 0.3  # power of the exponential numbers that couplings are multiplied by, so that blocks differ
GAIN = 1e-9  # of a block's excess that a change has to be worth


def blocks(J: Array, seed: Seed, count: int) -> Iterator[Array]:
    """Yield the weights (b,) of so many random blocks: one weight, and those that J (n, n) couples to it most."""
    random, n = generator(seed), len(J)
    sizes = np.sqrt(np.maximum(J.diagonal(), np.finfo(float).tiny))
    for _ in range(count):
        size = min(n, max(2, round(random.uniform(LEAST, MOST) * n)))
        first = random.integers(n)
        strength = np.abs(J[first]) / sizes * random.exponential(size=n) ** NOISE
        strength[first] = np.inf
        yield np.sort(np.argpartition(-strength, size - 1)[:size])


def search_blocks(
    forms: Sequence[QuadraticForm], levels: Array, seed: Seed, count: int, deadline: float = np.inf
) -> Array:
    """Return levels (M, N) of units that share J and L after `count` blocks, each put on the best of a beam search.

    A block's new levels are kept where they lower the energy. deadline: on time.perf_counter(), for the next block.
    """
    couplings, encoding = forms[0].couplings, forms[0].encoding
    J, given, levels = couplings.live_J, levels, levels[:, couplings.indices]
    pulls = gradients(forms) / 2 + encoding.offsets(levels) @ J  # half of dE/dS
    for block in blocks(J, seed, count):
        thread_pool.check_cancelled()
        if time.perf_counter() > deadline:
            break
        own = J[np.ix_(block, block)]
        of_block, rows = triangle(own), J[block]

        def searched(part: slice, place: Array = block, factor: Triangle = of_block, J_rows: Array = rows) -> None:
            _search(factor, encoding, place, J_rows, levels[part], pulls[part])

        thread_pool.parallel_map(searched, thread_pool.chunks(len(levels), max(1, STATES // (WIDTH * block.size))))
    found = given.copy()
    found[:, couplings.indices] = levels
    return found


def _search(factor: Triangle, encoding: Encoding, block: Array, rows: Array, levels: Array, pulls: Array) -> None:
    """Put a block of some units' weights on better levels. rows: J of the block (b, n). levels, pulls: in place."""
    offsets = encoding.offsets(levels[:, block])
    targets = factor.targets(2 * (pulls[:, block] - offsets @ rows[:, block]))
    states, costs = grow(factor, np.ascontiguousarray(targets.T), encoding, WIDTH, 2)
    units = np.arange(len(levels))
    best = costs.argmin(axis=1)
    held = factor.excess(targets, offsets[:, factor.order].T)
    better = np.flatnonzero(costs[units, best] < held * (1 - GAIN))
    if better.size:
        order = block[factor.order]
        found = states[better, best[better]]
        change = encoding.offsets(found) - encoding.offsets(levels[np.ix_(better, order)])
        pulls[better] += change @ rows[factor.order]
        levels[np.ix_(better, order)] = found
