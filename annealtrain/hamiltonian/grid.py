"""Grids of weights as users give them: bits or levels, and ranges of all, of a unit, of a group or of a weight."""

from typing import Any

import numpy as np

from annealtrain.runtime.array_types import Array, real
from annealtrain.runtime.validation import LARGEST, number, shown

MAX_BITS = 16
RANGE = number(above=0, words="a finite number above 0")


def numbers(name: str, values: Any) -> Array:
    """Return what a user gives for an array of numbers, float64, not copied where it is one; ValueError for others."""
    return real(name, values).astype(np.float64, copy=False)


def spins_and_levels(bits: int | None, num_levels: int | None) -> tuple[int, int | None]:
    """Return the spins of a weight and its number of levels, None for all that they have; ValueError for neither."""
    if (bits is None) == (num_levels is None):
        raise ValueError(" ".join(f"bits={bits} and num_levels={num_levels}: give one of them, the other None".split()))
    if num_levels is None:
        assert bits is not None
        if isinstance(bits, bool) or not 1 <= bits <= MAX_BITS or int(bits) != bits:
            raise ValueError(f"bits={shown(bits)} is not a whole number from 1 to {MAX_BITS}")
        return int(bits), None
    if not 2 <= num_levels <= 2**MAX_BITS or int(num_levels) != num_levels:
        raise ValueError(f"num_levels={num_levels} is not a whole number from 2 to {2**MAX_BITS}")
    spins = (int(num_levels) - 1).bit_length()
    return spins, None if num_levels == 2**spins else int(num_levels)


def in_words(bits: int, num_levels: int | None) -> str:
    """Return how many levels a weight has, for people: bits, where these are all that as many spins have."""
    return f"{bits} bit{'s' * (bits > 1)}" if num_levels is None else f"{num_levels} levels"


def half_ranges(half_range: Any, shape: tuple[int, ...]) -> Any:
    """Return L as a number, one for each unit (M,), or one for each weight (M, N)."""
    if isinstance(half_range, float) or np.ndim(half_range) == 0:
        value = half_range.item() if isinstance(half_range, np.ndarray) else half_range
        RANGE.check("half_range", value)
        return float(value)
    values = numbers("half_range", half_range)
    good = (values > 0) & (values <= LARGEST)
    if not good.all():
        raise ValueError(f"half_range={values[~good][0]} of a weight is not a finite number above 0")
    if values.shape == shape[:1] or values.shape == (*shape[:1], 1):
        return values.reshape(shape[0])
    return per_weight(values, shape, "half_range")


def per_weight(values: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return numbers given for all weights, each unit, group or weight as one for each weight (M, N)."""
    values, (M, N) = numbers(name, values), shape
    if values.ndim == 0:
        return np.full(shape, values)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) != M or not values.shape[1] or N % values.shape[1]:
        raise ValueError(f"{name} {values.shape} is neither ({M},) nor ({M}, G) with G groups that divide {N} weights")
    return np.repeat(values, N // values.shape[1], axis=1)
