"""Slow and readable: the Metropolis chain in NumPy, and exact enumeration. The oracles of the tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.errors import InputError
from annealtrain.problem import QuadraticForm
from annealtrain.solvers.anneal import SimulatedAnnealing
from annealtrain.solvers.base import Array, Solver

MAX_SPINS = 24


def numpy_chain(form: QuadraticForm, levels: Array, betas: Array, orders: Array, state: Array) -> tuple[Array, int]:
    """Return levels (live,) and the flips accepted: the chain of `compiled_chain`, one flip at a time.

    A spin is flipped if dE <= 0 or u < exp(-beta dE), Eqs. (30), (31), read as beta dE < -ln u.
    """
    live, J = form.couplings.indices, form.couplings.live_J
    levels, flips = levels.astype(np.int64), 0
    full = np.zeros(form.S0.size, dtype=np.int64)
    full[live] = levels
    field = form.gradient(form.weights(full))[live]
    visits = [(j, bit) for j in range(live.size) for bit in reversed(range(form.bits))]
    exponentials = np.empty(live.size * form.bits, dtype=np.float32)
    for sweep, beta in enumerate(betas):
        parallel.check_cancelled()
        _anneal.exponentials(state, exponentials)
        for k, (j, bit) in enumerate(visits if not len(orders) else (divmod(m, form.bits) for m in orders[sweep])):
            is_up = (levels[j] >> bit) & 1
            change = (-1 if is_up else 1) * form.step * 2**bit
            cost = change * field[j] + change**2 * J[j, j]
            if beta * cost < exponentials[k]:
                levels[j] ^= 1 << bit
                field += 2 * change * J[j]
                flips += 1
    return levels, flips


def reference_annealing(**settings: Any) -> SimulatedAnnealing:
    """Return `solver=reference`: simulated annealing (same settings, same random numbers) on the NumPy chain."""
    return SimulatedAnnealing(**settings, chain=numpy_chain)


class Exact(Solver):
    """`solver=exact`: the ground state by enumeration of all 2^(live weights * bits) configurations."""

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        for k, count in enumerate(weights):
            if count * bits > MAX_SPINS:
                raise InputError(
                    f"layer {k} needs {count * bits} spins ({count} weights of {bits} bits); "
                    f"solver=exact enumerates at most {MAX_SPINS}: lower bits, take a smaller model, or solver=sa"
                )

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        live, J = form.couplings.indices, form.couplings.live_J
        self.check(bits=form.bits, weights=[live.size])
        # E(x, y) = E(x) + E(y) + 2 x'Jy for the two halves of the weights: all pairs as one matrix product.
        half = live.size // 2
        offset = form.half_range / form.top_level
        field = form.gradient(form.S0)[live]
        grids = [_all_levels(count, form.bits) for count in (half, live.size - half)]
        moves = [offset * (2.0 * grid - form.top_level) for grid in grids]
        own = [
            ((x @ J[part, part] + field[part]) * x).sum(axis=1)
            for x, part in zip(moves, (slice(0, half), slice(half, None)), strict=True)
        ]
        energies = 2 * (moves[0] @ J[:half, half:]) @ moves[1].T + own[0][:, None] + own[1]
        first, second = np.unravel_index(int(np.argmin(energies)), energies.shape)
        levels = np.zeros((1, form.S0.size), dtype=np.int32)
        levels[0, live] = np.concatenate([grids[0][first], grids[1][second]])
        return levels, {}


def _all_levels(count: int, bits: int) -> Array:
    """Return every combination of levels of `count` weights: (2^(count bits), count)."""
    codes = np.arange(2 ** (count * bits))[:, None]
    return (codes >> (bits * np.arange(count))) & (2**bits - 1)
