"""Seconds of this process."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(job: Callable[[], Result]) -> tuple[Result, float]:
    """Return job() and its wall seconds."""
    started = time.perf_counter()
    result = job()
    return result, time.perf_counter() - started
