"""What this process may still allocate, asked before anything large is built; arrays for vector registers."""

import ctypes
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.errors import InputError


def available_bytes() -> int | None:
    """Return the bytes that can still be allocated (system, control group, ulimit -v), None where it is not known."""
    limits = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="utf-8").strip()
        if limit != "max":
            held = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
            reclaimable = int(held.get("inactive_file", 0))  # page cache that gives way
            limits.append(int(limit) - int((group / "memory.current").read_text(encoding="utf-8")) + reclaimable)
    except OSError:
        pass
    limits += _address_space()
    return max(min(limits), 0) if limits else None


def _address_space() -> list[int]:
    """Return what `ulimit -v` leaves to this process, as a list of one number, or of none where there is no limit."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return []
        return [limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()]
    except (ImportError, AttributeError, OSError):  # the system does not tell
        return []


def limit_address_space(size: int) -> None:
    """Make allocations of this process beyond `size` bytes fail: they end it, and not the machine. Linux and macOS."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def held_bytes() -> int:
    """Return what this process holds in memory, 0 where the system does not tell."""
    try:
        line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return 0
    return int(line.split()[1]) * 1024


def readable(size: float) -> str:
    """Return a number of bytes as people write it: 77 MB, 4.9 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 9.95 or unit == "bytes" else f"{size:.2g} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


def require(size: int, what: str, remedy: str) -> None:
    """Raise InputError if `what` needs more bytes than are available."""
    available = available_bytes()
    if available is not None and size > available:
        raise InputError(f"{what} needs {readable(size)}; {readable(available)} are available: {remedy}")


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray[Any, np.dtype[Any]]:
    """Return zeros on a 64-byte border, as vector registers read them."""
    size = prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def keep_freed() -> None:
    """Let the C library (glibc) keep what is freed, up to a gigabyte.

    Else large arrays that come and go are mapped anew each time, page by page: up to half of a training step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the largest that is taken
    mallopt(-1, 2**30)  # M_TRIM_THRESHOLD


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resettable_peak_mb(*, reset: bool = False) -> float | None:
    """Return the most memory that this process has held, in MB, or None where the system does not tell."""
    try:
        if reset:
            CLEAR.write_text("5", encoding="utf-8")  # Linux: the high-water mark falls back to what is held now
        line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1e3
