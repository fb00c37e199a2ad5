"""Slow and readable: the Metropolis chain in NumPy, and exact enumeration. The oracles of the tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain import _anneal, parallel
from annealtrain.errors import InputError
from annealtrain.quadratic import QuadraticForm
from annealtrain.solvers.anneal import SimulatedAnnealing
from annealtrain.solvers.base import UNWATCHED, Array, Solver, Watch
from annealtrain.solvers.chains import Chain, End, fields

MAX_SPINS = 24


def numpy_chain(chain: Chain, watch: Watch = UNWATCHED) -> End:
    """Return what `chains.alone` does, one move at a time; a reference does not hurry for a deadline."""
    form, J, N = chain.form, chain.form.couplings.live_J, chain.form.couplings.indices.size
    levels, flips = chain.start().astype(np.int64), 0
    field = fields([chain], [levels])[0]
    uniforms, pairs = np.empty(N * form.bits), np.empty(2 * N, dtype=np.float32)
    for sweep, beta in enumerate(chain.betas):
        parallel.check_cancelled()
        if chain.move == "bit":
            _anneal.random_uniforms(chain.key, sweep, uniforms)
            natural = [j * form.bits + bit for j in _anneal.visit_order(N, sweep) for bit in reversed(range(form.bits))]
            for k, spin in enumerate(chain.orders(1)[0] if chain.is_random_order else natural):
                flips += _flip(form, J, field, levels, spin, beta, uniforms[k])
        else:
            _anneal.random_numbers(chain.key, sweep, pairs, is_slice=True)
            for k, j in enumerate(_anneal.visit_order(N, sweep)):
                if chain.move == "slice":
                    level = _slice(form, J[j, j], field[j], levels[j], beta, *pairs[2 * k : 2 * k + 2])
                else:
                    level = _best(form, J[j, j], field[j], levels[j])
                field += 2 * (level - levels[j]) * form.step * J[j]
                flips += level != levels[j]
                levels[j] = level
        watch.worked(1 / len(chain.betas))
    return End(levels, int(flips), len(chain.betas))


def _flip(form: QuadraticForm, J: Array, field: Array, levels: Array, spin: int, beta: float, uniform: float) -> bool:
    """Flip a spin if dE <= 0 or u < exp(-beta dE), Eqs. (30), (31); tell whether it did."""
    j, bit = divmod(spin, form.bits)
    is_up = (levels[j] >> bit) & 1
    change = (-1 if is_up else 1) * form.step * 2**bit
    cost = beta * (change * field[j] + change**2 * J[j, j])
    accepted = bool(cost <= 0 or uniform < np.exp(-cost))
    if accepted:
        levels[j] ^= 1 << bit
        field += 2 * change * J[j]
    return accepted


def _slice(
    form: QuadraticForm, own: float, field: float, level: int, beta: float, exponential: float, uniform: float
) -> int:
    """Return one of the levels with dE <= Exp / beta, dE = x (field step + x J_jj step^2): the mirror image or any."""
    slope, curvature, height = field * form.step, own * form.step**2, exponential / beta
    # The two roots without cancellation; a straight line (J_jj = 0) has only the near one.
    total = abs(slope) + np.sqrt(slope**2 + 4 * curvature * height) + 1e-30
    far, near = total / (2 * curvature) if curvature else np.inf, 2 * height / total
    low, high = (-far, near) if slope > 0 else (-near, far)
    low, high = max(low, -level), min(high, form.top_level - level)
    low, high = min(int(np.ceil(low)), 0), max(int(np.floor(high)), 0)
    if uniform < _anneal.MIRRORED:
        return level + low + high
    share = (uniform - _anneal.MIRRORED) / (1 - _anneal.MIRRORED)
    return int(level + min(low + int(share * (high - low + 1)), high))


def _best(form: QuadraticForm, own: float, field: float, level: int) -> int:
    """Return the level of the lowest energy."""
    x = np.clip(-field * form.step / (2 * own * form.step**2 + 1e-30), -level, form.top_level - level)
    return int(level + np.floor(x + 0.5))


def reference_annealing(**settings: Any) -> SimulatedAnnealing:
    """Return `solver=reference`: simulated annealing (same settings, same random numbers) on the NumPy chain."""
    return SimulatedAnnealing(**settings, run_chain=numpy_chain)


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
