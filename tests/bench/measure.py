"""Seconds and memory of this process."""

import contextlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def timed(job: Callable[[], Result]) -> tuple[Result, float]:
    """Return job() and its wall seconds."""
    started = time.perf_counter()
    result = job()
    return result, time.perf_counter() - started


def start_peak() -> float:
    """Forget the peak so far where the system can; return the MB that the next peak is counted from."""
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")  # Linux: the high-water mark falls back to what is resident now
    return peak_mb()


def peak_mb() -> float:
    """Return the most memory held so far, in MB.

    Linux's ru_maxrss would begin at what the parent held when it started this process.
    """
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1e3
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def limit_memory(size_gb: float) -> None:
    """Make allocations beyond `size_gb` fail, so that they end this process and not the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(size_gb * 1e9), hard))
