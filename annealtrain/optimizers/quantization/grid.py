"""The grid of a layer's weights: levels, and a scale for each unit, or each group of neighbouring inputs of a unit."""

from dataclasses import dataclass

import numpy as np

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.hamiltonian.grid import MAX_BITS, spins_and_levels
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import whole


@dataclass(frozen=True)
class Grid:
    """Symmetric levels: S = scale (2 level / (levels - 1) - 1). bits, or num_levels such as 3 (ternary); one is None.

    group_size: inputs of a unit that share a scale, the last group may have fewer; None: all of them.
    """

    bits: int | None
    num_levels: int | None = None
    group_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("bits", "num_levels"):
            value = getattr(self, name)
            if value is not None:
                whole(1 if name == "bits" else 2, MAX_BITS if name == "bits" else 2**MAX_BITS).check(name, value)
                object.__setattr__(self, name, int(value))  # also where it is one of NumPy's
        spins_and_levels(self.bits, self.num_levels)

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return 2**self.bits if self.bits is not None else int(self.num_levels or 0)

    @property
    def top(self) -> int:
        """The highest level."""
        return self.levels - 1

    @property
    def stored_bits(self) -> int:
        """Bits that a level takes."""
        return (self.levels - 1).bit_length()

    def encoding(self, scales: Array) -> Encoding:
        """Return the encoding around 0 of scales, (M, N) or (M, 1)."""
        bits, levels = spins_and_levels(self.bits, self.num_levels)
        return Encoding(scales, bits, levels)

    def groups(self, inputs: int) -> int:
        """Return how many scales a unit with so many inputs has."""
        return -(-inputs // self._size(inputs))

    def _size(self, inputs: int) -> int:
        return inputs if self.group_size is None else min(self.group_size, inputs)

    def parts(self, inputs: int) -> list[slice]:
        """Return the inputs of each group; the last may have fewer."""
        size = self._size(inputs)
        return [slice(start, min(start + size, inputs)) for start in range(0, inputs, size)]

    def signs(self, levels: Array) -> Array:
        """Return the weights (M, N) of levels where every scale is 1, float64 in [-1, 1]."""
        return (2.0 * levels - self.top) / self.top

    def weights(self, levels: Array, scales: Array) -> Array:
        """Return the weights (M, N) of levels and scales (M, G), float64."""
        return self.signs(levels) * self.spread(scales, levels.shape[1])

    def nearest(self, W: Array, scales: Array) -> Array:
        """Return the levels (M, N) int32 that are closest to weights."""
        return self.encoding(self.spread(scales, W.shape[1])).nearest_levels(W)

    def spread(self, scales: Array, inputs: int) -> Array:
        """Return scales (M, G) as one for each weight (M, N)."""
        return np.repeat(scales, self._size(inputs), axis=1)[:, :inputs]

    def codes(self, levels: Array, scales: Array) -> tuple[Array, Array]:
        """Return whole numbers (M, N), of as few bytes as hold them, and steps (M, G) float32: weights are products."""
        integers, divisor = self.integers(levels)
        kind = next(kind for kind in (np.int8, np.int16, np.int32) if self.top <= np.iinfo(kind).max)
        return integers.astype(kind), (scales.astype(np.float32) / np.float32(divisor)).astype(np.float32)

    def kept(self, levels: Array, scales: Array) -> Array:
        """Return the weights (M, N) float32 as codes times steps give them: what files hold."""
        integers, steps = self.codes(levels, scales)
        found: Array = integers.astype(np.float32) * self.spread(steps, integers.shape[1])
        return found

    def integers(self, levels: Array) -> tuple[Array, int]:
        """Return levels as whole numbers around 0, and what a scale is divided by for one of them.

        S = scale / divisor x integer: an odd number of levels has consecutive integers, an even one the odd integers.
        """
        if self.top % 2:
            return 2 * levels.astype(np.int32) - self.top, self.top
        return levels.astype(np.int32) - self.top // 2, self.top // 2
