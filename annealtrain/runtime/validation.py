"""Checks of settings, each written once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from annealtrain.errors import InputError


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def count(layer: str, name: str, value: Any) -> int:
    """Return a layer\'s setting if it is a whole number of at least 1; InputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{layer}: {name}={value!r} is not a whole number of at least 1")
    return value


def pair(layer: str, name: str, value: Any) -> tuple[int, int]:
    """Return a layer\'s setting if it is a pair of such numbers; InputError otherwise."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise InputError(f"{layer}: {name}={value!r} is not a pair of whole numbers, such as [8, 8]")
    return count(layer, name, value[0]), count(layer, name, value[1])


def any_number(name: str, value: Any) -> float:
    """Return a setting as a float; ValueError where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}={value!r} is not a number") from None


def any_whole(name: str, value: Any, least: int) -> int:
    """Return a setting as an int; ValueError where it is none, or less than `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} is not a whole number of at least {least}")
    return int(value)


def whole(name: str, value: Any) -> None:
    """Raise InputError unless a setting is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"solver.{name}={value!r} is not a whole number of at least 1")


def positive(name: str, value: Any) -> None:
    """Raise InputError unless a setting is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"solver.{name}={value!r} is not a number above 0")


def positive_pair(name: str, value: Any) -> None:
    """Raise InputError unless a setting is [first, last], both above 0."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InputError(f"solver.{name}={value!r} is not [first, last]")
    for number in value:
        positive(name, number)
