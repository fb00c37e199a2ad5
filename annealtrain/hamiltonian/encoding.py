"""Levels, spins and weights: the one place of paper Eqs. (6), (7).

A weight of n bits has the levels u = 0 .. Nb, Nb = 2^n - 1, evenly spaced in [S0 - L, S0 + L]; bit a of u is the spin
sigma_a = +-1 of weight 2^a:

    S = S0 + L/Nb (2 u - Nb) = S0 + L/Nb sum_a 2^a sigma_a

Any other number of levels, Nb + 1, takes as many spins as the next power of two; the last one then weighs no more than
what is missing to Nb, not 2^(n - 1): 1, 1 for three levels (ternary), 1, 2, 1 for five, 1, 2, 3 for seven. Every state
of the spins is a level, and no weight of a spin is above half of all levels; some levels have several states, of
which `spins` gives one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.runtime.array_types import Array


@dataclass(frozen=True)
class Encoding:
    """The levels of weights around a centre S0, which the caller adds.

    half_range: L > 0 in weight units, a number, or an array that broadcasts against levels: one a unit, say.
    bits: n, the spins of a weight. num_levels: None for 2^n; else above 2^(n - 1) and at most 2^n.
    """

    half_range: Any
    bits: int
    num_levels: int | None = None

    @property
    def top_level(self) -> int:
        """Nb, the highest level."""
        return (2**self.bits if self.num_levels is None else self.num_levels) - 1

    @property
    def is_binary(self) -> bool:
        """Whether the spins of a weight are the bits of its level."""
        return self.num_levels is None or self.num_levels == 2**self.bits

    @property
    def middle_level(self) -> int:
        """The level closest to the centre from above: the centre itself where the levels are odd in number."""
        return (self.top_level + 1) // 2

    @property
    def spin_levels(self) -> Array:
        """By how many levels each spin of a weight moves it: (bits,) int64, their sum is Nb."""
        powers = 2 ** np.arange(self.bits)
        powers[-1] = self.top_level - (2 ** (self.bits - 1) - 1)
        return powers

    @property
    def step(self) -> Any:
        """The distance of two neighbouring levels, 2 L / Nb, in weight units."""
        return 2 * self.half_range / self.top_level

    @property
    def spin_scale(self) -> Array:
        """What each spin of a weight adds to it, L/Nb 2^a: (bits,) float64, or (..., bits) for an array of L."""
        scale: Array = np.multiply.outer(self.half_range / self.top_level, self.spin_levels.astype(np.float64))
        return scale

    @property
    def bit_changes(self) -> Array:
        """The change of a weight by each bit that is turned on, 2 L/Nb 2^a, as the kernel reads it: (bits,) float32."""
        if self.num_levels is None:  # at each chain's start, of which many are short
            changes: Array = (self.step * 2.0 ** np.arange(self.bits)).astype(np.float32)
            return changes
        changes = (self.step * self.spin_levels.astype(np.float64)).astype(np.float32)
        return changes

    def offsets(self, levels: Any) -> Any:
        """Return S - S0 of levels (...), in weight units, float64."""
        found = 2.0 * levels  # then in place: of many short reads each further array costs as much as its numbers
        found -= self.top_level
        scale = self.half_range / self.top_level
        if isinstance(scale, np.ndarray):
            return scale * found
        found *= scale
        return found

    def nearest_levels(self, offsets: Array) -> Array:
        """Return the levels (...) int32 of the grid points closest to offsets S - S0 (...)."""
        levels = np.rint((offsets + self.half_range) / self.step)
        nearest: Array = np.clip(levels, 0, self.top_level).astype(np.int32)
        return nearest

    def levels(self, spins: Array) -> Array:
        """Return the levels (..., N) int32 of spins (..., N n) in {-1, +1}, spin j n + a being spin a of weight j."""
        up = np.asarray(spins).reshape(*np.shape(spins)[:-1], -1, self.bits) > 0
        found: Array = (up * self.spin_levels).sum(axis=-1).astype(np.int32)
        return found

    def spins(self, levels: Array) -> Array:
        """Return the spins (..., N n) int8 in {-1, +1} of levels (..., N); the last spin is up where it can be."""
        levels = np.asarray(levels)
        last = levels >= 2 ** (self.bits - 1)
        rest = levels - last * self.spin_levels[-1]
        up = (rest[..., None] >> np.arange(self.bits)) & 1
        up[..., -1] = last
        spins: Array = (2 * up - 1).reshape(*np.shape(levels)[:-1], -1).astype(np.int8)
        return spins
