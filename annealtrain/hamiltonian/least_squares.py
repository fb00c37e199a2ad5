"""The least-squares view of a layer: paper Eqs. (2), (14), (21)."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from annealtrain.hamiltonian import masked_gram
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

BLOCK_ROWS = 8192


class LeastSquares:
    """The least-squares view: loss_i = 1/Q sum_rows (gamma_i (inputs @ S_i) - targets_i)^2, Eqs. (2), (14), (21).

    inputs: (R, N). targets: (R, M). factors: gamma, (R, M), or None where it is 1. samples: Q, so that R / Q is
    the number of output sites (the paper divides a convolution's loss by Q alone).
    """

    def __init__(self, inputs: Array, targets: Array, factors: Array | None, samples: int) -> None:
        self.inputs, self.targets, self.factors, self.samples = inputs, targets, factors, samples

    @cached_property
    def factor_values(self) -> tuple[float, float] | None:
        """The two values that the factors take, the larger one last (LeakyReLU), or None if they take others."""
        if self.factors is None:
            return None
        low, high = sorted((float(self.factors.min()), float(self.factors.max())), key=abs)
        return (low, high) if np.all((self.factors == low) | (self.factors == high)) else None

    @cached_property
    def gram(self) -> Array:
        """1/Q inputs' inputs, (N, N) float64: J without factors, Eqs. (4), (15)."""
        borders = thread_pool.chunks(len(self.inputs), BLOCK_ROWS)
        return self._sum_of_squares(thread_pool.parallel_map(lambda block: self._square(self.inputs[block]), borders))

    @cached_property
    def grams(self) -> Array | None:
        """All units' J at once, (M, N, N) float64, for factors of two values; None where they outgrow the inputs."""
        (R, N), M = self.inputs.shape, self.targets.shape[1]
        if self.factors is None or self.factor_values is None or M * N > R:
            return None
        low, high = self.factor_values
        J, whole = masked_gram.masked_grams(self.inputs, self.factors == high)
        J *= (high**2 - low**2) / self.samples
        J += whole * (low**2 / self.samples)
        return J

    def prepare(self) -> None:
        """Form the J that all units share, on all threads: left to the units, each thread would form it again."""
        if self.grams is None and self.factor_values and self.factor_values[0]:
            _ = self.gram

    def unit_gram(self, unit: int) -> Array:
        """Return 1/Q inputs' diag(gamma^2) inputs, (N, N) float64: J of one unit, Eq. (21)."""
        assert self.factors is not None
        gamma = self.factors[:, unit]
        borders = thread_pool.chunks(len(self.inputs), BLOCK_ROWS)
        if self.factor_values is None:
            return self._sum_of_squares(self._square(self.inputs[b], gamma[b, None]) for b in borders)
        if self.grams is not None:
            gram: Array = self.grams[unit]
            return gram
        # Two factors: J = low^2 J_all + (high^2 - low^2) J_high = high^2 J_all - (high^2 - low^2) J_low needs the rows
        # of one factor only: the rarer one, but for ReLU, where the difference would leave rounding in dead weights.
        low, high = self.factor_values
        is_high = gamma == high
        rare = high if low == 0 or 2 * np.count_nonzero(is_high) <= len(gamma) else low
        J = self._sum_of_squares(self._square(self.inputs[b][is_high[b] == (rare == high)]) for b in borders)
        J *= (high**2 - low**2) * (1 if rare == high else -1)
        if low:
            J += (low if rare == high else high) ** 2 * self.gram
        return J

    def _sum_of_squares(self, squares: Iterable[Array]) -> Array:
        total = np.zeros((self.inputs.shape[1],) * 2)
        for square in squares:
            total += square
        total /= self.samples
        return total

    @staticmethod
    def _square(rows: Array, factors: Array | None = None) -> Array:
        thread_pool.check_cancelled()
        rows = rows.astype(np.float64)
        if factors is not None:
            rows *= factors
        return rows.T @ rows

    def fields(self) -> tuple[Array, Array]:
        """Return h (M, N) and E0 (M,), Eqs. (4), (11), (15), (21), in float64."""

        def part(block: slice) -> tuple[Array, Array]:
            targets = self.targets[block].astype(np.float64)
            seen = targets if self.factors is None else targets * self.factors[block]
            return seen.T @ self.inputs[block].astype(np.float64), (targets**2).sum(axis=0)

        parts = thread_pool.parallel_map(part, thread_pool.chunks(len(self.inputs), BLOCK_ROWS))
        h, E0 = (np.sum([part[k] for part in parts], axis=0) for k in (0, 1))
        return h * (-2 / self.samples), E0 / self.samples
