"""Many small independent jobs on a few threads, with the same bits for any number of them.

NumPy's BLAS is held to one thread while a pool is open; jobs have fixed sizes and their results are put together in
order, so the number of threads changes the time of a run and nothing else.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from weakref import WeakSet

from annealtrain.errors import InputError
from annealtrain.runtime.blas import ONE_THREAD
from annealtrain.runtime.validation import whole

Item = TypeVar("Item")
Result = TypeVar("Result")

COUNT = whole(1, 1024)  # of threads: no machine has more cores by far, and systems start no more


class Cancelled(Exception):
    """A job found that its run was interrupted."""


@dataclass(frozen=True)
class Place:
    """Where code runs: on a caller's thread, with the pool that `threads` opened there, or in a job of a pool.

    cancelled: set when the call of parallel_map that a job is of was interrupted; None where there is no job.
    """

    pool: ThreadPoolExecutor | None = None
    size: int = 1
    cancelled: threading.Event | None = None


# Of each caller its own: two threads that anneal at once share no pool, and an error of one is not the other's.
OUTSIDE = Place()
_here = ContextVar("_here", default=OUTSIDE)


def _leave() -> None:
    _here.set(OUTSIDE)


if hasattr(os, "register_at_fork"):  # a process that is forked in the body of `threads` has none of its threads
    os.register_at_fork(after_in_child=_leave)


def available_threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def width() -> int:
    """Return how many jobs `parallel_map` runs at once."""
    return _here.get().size


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run the body's `parallel_map` calls on `count` threads, NumPy's BLAS on one thread each.

    In a job of another pool it changes nothing: what a job maps stays on its own thread.
    """
    if is_in_job():
        yield
        return
    before = _here.get()
    with ONE_THREAD.held() as hold, ThreadPoolExecutor(count, initializer=hold) if count > 1 else nullcontext() as pool:
        try:  # Ctrl-C may come at any moment, the one at which the place is set among them
            _here.set(Place(pool, count))
            yield
        finally:
            _here.set(before)


def is_in_job() -> bool:
    """Return whether this is one of a pool's threads, to which Ctrl-C does not come."""
    return _here.get().cancelled is not None


def is_cancelled() -> bool:
    """Return whether the run of this job was interrupted."""
    cancelled = _here.get().cancelled
    return cancelled is not None and cancelled.is_set()


def check_cancelled() -> None:
    """Raise Cancelled in a job whose run was interrupted; long jobs call this every few milliseconds."""
    if is_cancelled():
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

    here = _here.get()
    if here.size == 1 or here.pool is None or seconds < SMALL_S or (isinstance(items, Sized) and len(items) == 1):
        for item in items:
            take(job(item))
        return results
    place = Place(cancelled=_new_event())

    def run(item: Item) -> Result:
        _here.set(place)  # in the worker's own context
        return job(item)

    waiting, futures = iter(items), list[Future[Result]]()
    try:
        # A few jobs ahead, not all: items may be made lazily, and results wait in memory.
        futures.extend(_submitted(here.pool, run, item) for item in islice(waiting, 4 * here.size))
        while futures:
            take(futures[0].result())  # still among the futures while it is waited for: Ctrl-C stops it too
            del futures[0]
            futures.extend(_submitted(here.pool, run, item) for item in islice(waiting, 1))
    except BaseException:
        assert place.cancelled is not None
        place.cancelled.set()
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()
        if _has_ended.is_set():
            threading.Event().wait()  # as a daemon does at the end of a program: it stops without a word
        raise
    return results


def _submitted(pool: ThreadPoolExecutor, run: Callable[[Item], Result], item: Item) -> "Future[Result]":
    """Return a job that the pool has taken; InputError where the system starts no thread for it."""
    try:
        return pool.submit(run, item)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        raise InputError("no thread can be started: take threads=1, or raise the limit (ulimit -u, -v)") from error


# Python ends without a word of its daemons, but waits for the jobs of their pools.
_of_daemons: WeakSet[threading.Event] = WeakSet()
_has_ended = threading.Event()


def _new_event() -> threading.Event:
    """Return what cancels the jobs of a call: set as the program ends, where the calling thread is a daemon."""
    event = threading.Event()
    if threading.current_thread().daemon:
        _of_daemons.add(event)
    return event


def _cancel_at_end() -> None:
    _has_ended.set()
    for event in list(_of_daemons):
        event.set()


if hasattr(threading, "_register_atexit"):  # as the pools do it, whose wait comes after this
    threading._register_atexit(_cancel_at_end)


def chunks(count: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover range(count); their borders depend on nothing else."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
