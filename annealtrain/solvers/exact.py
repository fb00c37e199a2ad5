"""The ground state by enumeration."""

from collections.abc import Sequence

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.solver import Solver

MAX_SPINS = 24


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
        field = form.gradient(form.S0)[live]
        grids = [_all_levels(count, form.bits) for count in (half, live.size - half)]
        moves = [form.encoding.offsets(grid) for grid in grids]
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
