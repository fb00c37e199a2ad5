"""Exponential averages of arrays over the steps of a run."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from annealtrain.runtime.array_types import Array


class MovingAverage:
    """sums = decay sums + (1 - decay) new, array by array; divided by `weight` they are means, without bias to the 0
    that they start from.

    zeros: arrays of the shapes to average. decay: from 0 (the last one alone) to below 1.
    """

    def __init__(self, zeros: list[Array], decay: float) -> None:
        self.sums, self.decay, self.count = zeros, decay, 0

    def add(self, values: Sequence[Array]) -> None:
        """Take one more set of arrays in."""
        for total, new in zip(self.sums, values, strict=True):
            total *= self.decay
            total += (1 - self.decay) * new
        self.count += 1

    @property
    def weight(self) -> float:
        """1 - decay^count, what the weights of all that was added come to."""
        return 1 - self.decay**self.count

    def mean(self, k: int) -> Array:
        """Return the average of array k."""
        return self.sums[k] / self.weight

    def state(self, name: str) -> dict[str, Array]:
        """Return what going on needs, under names that begin with `name`."""
        return {f"{name}_count": np.array(self.count), **{f"{name}_{k}": deepcopy(s) for k, s in enumerate(self.sums)}}

    def restore(self, name: str, state: dict[str, Array]) -> None:
        """Take back what `state` returned."""
        self.count = int(state[f"{name}_count"])
        self.sums = [state[f"{name}_{k}"].copy() for k in range(len(self.sums))]
