"""Many small independent jobs on a few threads, with the same bits for any number of them.

NumPy's BLAS is held to one thread while a pool is open; jobs have fixed sizes and their results are put together in
order, so the number of threads changes the time of a run and nothing else.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")
_pool: ThreadPoolExecutor | None = None
_pool_size = 1
_cancelled = threading.Event()
_own = threading.local()  # is_job: whether this thread is one of a pool's


class Cancelled(Exception):
    """A job found that its run was interrupted."""


def available_threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def width() -> int:
    """Return how many jobs `each` runs at once."""
    return _pool_size if _pool is not None else 1


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run the body's `each` calls on `count` threads, NumPy's BLAS on one thread each."""
    global _pool, _pool_size
    outer = _pool, _pool_size
    _cancelled.clear()  # a second Ctrl-C, while jobs were being stopped, leaves it set
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(count, initializer=_mark) as pool:
        _pool, _pool_size = pool, count
        try:
            yield
        finally:
            _pool, _pool_size = outer


def is_cancelled() -> bool:
    """Return whether the run of this job was interrupted."""
    return _cancelled.is_set()


def _mark() -> None:
    _own.is_job = True


def check_cancelled() -> None:
    """Raise Cancelled in a job whose run was interrupted; long jobs call this every few milliseconds."""
    if _cancelled.is_set():
        raise Cancelled


SMALL_S = 0.01  # estimated seconds of work below which threads cost more than they save


def parallel_map(
    job: Callable[[Item], Result],
    items: Iterable[Item],
    done: Callable[[int], None] | None = None,
    seconds: float = math.inf,
) -> list[Result]:
    """Return [job(item) for item in items] in order; done(k) is told when k results are there.

    seconds: what all jobs together are expected to take; a single job and small work stay on the caller's thread.
    Within a job it goes through its items one by one, on the job's own thread. A job's exception, or Ctrl-C, stops the
    others and is raised here.
    """
    results: list[Result] = []

    def take(result: Result) -> None:
        results.append(result)
        if done:
            done(len(results))

    is_small = seconds < SMALL_S or (isinstance(items, Sized) and len(items) == 1)
    if _pool is None or _pool_size == 1 or is_small or getattr(_own, "is_job", False):
        for item in items:
            take(job(item))
        return results
    waiting, futures = iter(items), list[Future[Result]]()
    try:
        # A few jobs ahead, not all: items may be made lazily, and results wait in memory.
        futures.extend(_pool.submit(job, item) for item in islice(waiting, 4 * _pool_size))
        while futures:
            take(futures[0].result())  # still among the futures while it is waited for: Ctrl-C stops it too
            del futures[0]
            futures.extend(_pool.submit(job, item) for item in islice(waiting, 1))
    except BaseException:
        _cancelled.set()
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()
        _cancelled.clear()
        raise
    return results


def chunks(count: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover range(count); their borders depend on nothing else."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
