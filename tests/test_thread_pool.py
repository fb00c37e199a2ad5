"""The pool: order, errors, Ctrl-C, and one BLAS thread a job."""

import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import Outcome, finished, started
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool

PATIENCE_S = 60  # how long a job runs that no one stops, and any wait
needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no pthread_kill")


class Stopped:
    """A job that runs until it is cancelled; keeps who was."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.cancelled: list[int] = []

    def __call__(self, item: int) -> int:
        self.started.append(item)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                thread_pool.check_cancelled()
            except thread_pool.Cancelled:
                self.cancelled.append(item)
                raise
            time.sleep(0.001)
        return item


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def blas_threads(_=None) -> set[int]:
    _ = np.ones((2, 2)) @ np.ones((2, 2))
    return {module["num_threads"] for module in threadpool_info() if module["user_api"] == "blas"}


def interrupt_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


# Results


@pytest.mark.parametrize("count", [None, 1, 2, 3])
def test_results_are_in_order(count):
    def job(item):
        time.sleep(0.002 * (item % 4 == 0))  # every fourth is overtaken by those after it
        return item * item

    expected = [k * k for k in range(40)]
    if count is None:
        assert thread_pool.parallel_map(job, range(40)) == expected
        return
    with thread_pool.threads(count):
        assert thread_pool.parallel_map(job, range(40)) == expected
        assert thread_pool.parallel_map(job, iter(range(40))) == expected
        assert thread_pool.parallel_map(job, []) == []


@pytest.mark.parametrize("count", [1, 3])
def test_done_is_told_every_count_in_the_callers_thread(count):
    told = []
    with thread_pool.threads(count):
        thread_pool.parallel_map(lambda item: item, range(20), lambda k: told.append((k, threading.current_thread())))
    assert told == [(k, threading.current_thread()) for k in range(1, 21)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_jobs_run_on_that_many_threads(count):
    meet = threading.Barrier(count)

    def job(_):
        meet.wait(PATIENCE_S)  # for count - 1 others: with fewer threads the barrier breaks
        return threading.get_ident()

    with thread_pool.threads(count):
        used = thread_pool.parallel_map(job, range(2 * count))
    assert len(set(used)) == count
    assert (threading.get_ident() in used) == (count == 1)


def test_without_a_pool_jobs_run_in_the_callers_thread():
    assert set(thread_pool.parallel_map(lambda _: threading.get_ident(), range(5))) == {threading.get_ident()}


def test_pools_nest():
    with thread_pool.threads(2):
        with thread_pool.threads(1):
            assert thread_pool.parallel_map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3
        assert threading.get_ident() not in thread_pool.parallel_map(lambda _: threading.get_ident(), range(3))
    assert thread_pool.parallel_map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3


def test_the_pool_is_closed_after_an_error():
    with pytest.raises(ZeroDivisionError), thread_pool.threads(2):
        thread_pool.parallel_map(lambda item: 1 // item, [0])
    assert thread_pool.parallel_map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3


def test_items_are_taken_a_few_ahead():
    taken, most = [0], []

    def items():
        for k in range(200):
            taken[0] += 1
            yield k

    with thread_pool.threads(2):
        thread_pool.parallel_map(lambda item: item, items(), lambda k: most.append(taken[0] - k))
    assert taken[0] == 200
    assert max(most) <= 8


def test_blas_has_one_thread_in_a_pool():
    before = blas_threads()
    if not before:
        pytest.skip("this NumPy's BLAS is not known to threadpoolctl")
    for count in (1, 2):
        with thread_pool.threads(count):
            assert blas_threads() == {1}
            assert thread_pool.parallel_map(blas_threads, range(4)) == [{1}] * 4
    assert blas_threads() == before


# Errors and Ctrl-C


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_exception_is_raised_and_stops_the_rest(count):
    started = []

    def job(item):
        started.append(item)
        if item == 5:
            raise ValueError("item 5")
        return item

    told = []
    with thread_pool.threads(count):
        with pytest.raises(ValueError, match="item 5"):
            thread_pool.parallel_map(job, range(1000), told.append)
        assert told == [1, 2, 3, 4, 5]
        assert max(started) <= 5 + 4 * count
        assert thread_pool.parallel_map(job, range(3)) == [0, 1, 2]


def test_an_exception_cancels_running_jobs():
    stopped = Stopped()

    def job(item):
        if item == 0:
            wait_until(lambda: stopped.started)
            raise ValueError("first")
        return stopped(item)

    with thread_pool.threads(2):
        with pytest.raises(ValueError, match="first"):
            thread_pool.parallel_map(job, range(100))
        assert sorted(stopped.cancelled) == sorted(stopped.started)
        thread_pool.check_cancelled()  # no longer set


def test_jobs_that_wait_for_a_thread_are_not_begun_after_an_exception():
    started = []

    def job(item):
        started.append(item)
        if item == 0:
            wait_until(lambda: 1 in started)
            raise ValueError("first")
        wait_until(thread_pool.is_cancelled)
        time.sleep(0.2)  # time to take back those that wait

    with thread_pool.threads(2), pytest.raises(ValueError, match="first"):
        thread_pool.parallel_map(job, range(100))
    assert len(started) <= 5  # 8 are handed to the pool at first


@pytest.mark.parametrize("count", [2, 3])
def test_ctrl_c_between_two_results_cancels_running_jobs(count):
    stopped = Stopped()

    def job(item):
        return stopped(item) if item else item

    def interrupt(done):
        wait_until(lambda: len(stopped.started) >= count)
        raise KeyboardInterrupt

    with thread_pool.threads(count):
        with pytest.raises(KeyboardInterrupt):
            thread_pool.parallel_map(job, range(100), interrupt)
        assert sorted(stopped.cancelled) == sorted(stopped.started)
        assert len(stopped.started) < 4 * count
        assert thread_pool.parallel_map(lambda item: item, range(10)) == list(range(10))


def test_ctrl_c_without_threads_is_raised():
    def interrupt(done):
        raise KeyboardInterrupt

    seen = []
    with thread_pool.threads(1), pytest.raises(KeyboardInterrupt):
        thread_pool.parallel_map(seen.append, range(10), interrupt)
    assert seen == [0]


@needs_signals
def test_ctrl_c_cancels_the_very_job_that_is_waited_for():
    stopped = Stopped()

    def job(item):
        if item == 0:
            wait_until(lambda: stopped.started == [1])
            threading.Timer(0.1, interrupt_main_thread).start()
        return stopped(item)

    with pytest.raises(KeyboardInterrupt), thread_pool.threads(2):
        thread_pool.parallel_map(job, [0, 1])
    assert sorted(stopped.cancelled) == [0, 1]


def test_one_job_stays_on_its_thread():
    with thread_pool.threads(2):
        assert thread_pool.parallel_map(lambda item: (item, threading.current_thread()), [7]) == [
            (7, threading.current_thread())
        ]
        assert (
            thread_pool.parallel_map(lambda item: threading.current_thread(), [7, 8])[0] != threading.current_thread()
        )


def test_an_error_while_items_are_made_cancels_running_jobs():
    stopped = Stopped()

    def items():
        yield from (0, 1)
        wait_until(lambda: len(stopped.started) == 2)
        raise KeyboardInterrupt

    with thread_pool.threads(2), pytest.raises(KeyboardInterrupt):
        thread_pool.parallel_map(stopped, items())
    assert sorted(stopped.cancelled) == [0, 1]


@needs_signals
def test_a_second_ctrl_c_does_not_cancel_a_later_run():
    started = threading.Event()

    def job(item):
        started.set()
        try:
            wait_until_cancelled()
        except thread_pool.Cancelled:
            interrupt_main_thread()  # while the first one is being dealt with
            time.sleep(0.2)
            raise

    def wait_until_cancelled():
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            thread_pool.check_cancelled()
            time.sleep(0.001)

    def items():
        yield 0
        started.wait(PATIENCE_S)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), thread_pool.threads(2):
        thread_pool.parallel_map(job, items())
    with thread_pool.threads(2):
        assert thread_pool.parallel_map(lambda item: (thread_pool.check_cancelled(), item)[1], range(4)) == [0, 1, 2, 3]


def test_check_cancelled_is_silent_in_a_run_that_goes_on():
    thread_pool.check_cancelled()
    with thread_pool.threads(2):
        thread_pool.parallel_map(lambda _: thread_pool.check_cancelled(), range(10))


# Several callers at once


@pytest.mark.parametrize("leaves_first", ["the first", "the second"])
def test_blas_gets_its_threads_back_when_the_last_caller_leaves(leaves_first):
    before = blas_threads()
    if not before:
        pytest.skip("this NumPy's BLAS is not known to threadpoolctl")
    entered, leave = threading.Event(), threading.Event()

    def other():
        with thread_pool.threads(1):
            entered.set()
            leave.wait(PATIENCE_S)

    second = threading.Thread(target=other)
    with thread_pool.threads(1):
        second.start()
        entered.wait(PATIENCE_S)
        if leaves_first == "the second":
            leave.set()
            second.join(PATIENCE_S)
            assert blas_threads() == {1}
    if leaves_first == "the first":
        assert blas_threads() == {1}
        leave.set()
        second.join(PATIENCE_S)
    assert blas_threads() == before


def test_an_error_of_one_caller_does_not_cancel_the_jobs_of_another():
    """Each has its pool: one fails again and again while the jobs of the other look whether they are cancelled."""
    stop, seen = threading.Event(), []

    def watchful(item):
        stop.wait(0.001)
        thread_pool.check_cancelled()
        return item

    def works():
        with thread_pool.threads(2):
            while not stop.is_set():
                seen.append(thread_pool.parallel_map(watchful, range(8)) == list(range(8)))

    other = threading.Thread(target=works)
    other.start()
    try:
        for _ in range(50):
            with pytest.raises(ZeroDivisionError), thread_pool.threads(2):
                thread_pool.parallel_map(lambda item: 1 // item, range(8))
        wait_until(lambda: len(seen) > 2)
    finally:
        stop.set()
        other.join(PATIENCE_S)
    assert all(seen)
    assert not other.is_alive()


def test_a_size_is_its_callers_own():
    sizes = []
    with thread_pool.threads(3):
        other = threading.Thread(target=lambda: sizes.append(thread_pool.width()))
        other.start()
        other.join(PATIENCE_S)
        sizes.append(thread_pool.width())
    assert sizes == [1, 3]


def test_a_pool_opened_in_a_job_leaves_its_items_on_the_jobs_thread_and_hears_its_cancellation():
    stopped = Stopped()

    def job(item):
        with thread_pool.threads(2):
            assert thread_pool.parallel_map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3
            if item == 0:
                wait_until(lambda: stopped.started)
                raise ValueError("first")
            return thread_pool.parallel_map(stopped, [item])

    with thread_pool.threads(2), pytest.raises(ValueError, match="first"):
        thread_pool.parallel_map(job, range(2))
    assert stopped.cancelled == [1]


def test_ctrl_c_as_a_pool_is_opened_leaves_none_behind(monkeypatch):
    here = thread_pool._here

    def interrupted(place):
        here.set(place)
        monkeypatch.setattr(thread_pool, "_here", here)
        raise KeyboardInterrupt

    monkeypatch.setattr(thread_pool, "_here", SimpleNamespace(get=here.get, set=interrupted))
    with pytest.raises(KeyboardInterrupt), thread_pool.threads(2):
        pass
    assert thread_pool.width() == 1
    assert thread_pool.parallel_map(lambda item: item, range(10)) == list(range(10))


DAEMON = """
import threading
from annealtrain.runtime import thread_pool

begun = threading.Event()

def job(item):
    begun.set()
    while True:
        thread_pool.check_cancelled()

def call():
    with thread_pool.threads(2):
        thread_pool.parallel_map(job, range(9))

threading.Thread(target=call, daemon=True).start()
begun.wait()
"""


def test_a_program_ends_without_its_daemons_jobs(tmp_path):
    assert finished(started([sys.executable, "-c", DAEMON], tmp_path)) == Outcome(0, "", "")


# Blocks


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 300))
def test_blocks_cover_the_range(count, size, more):
    found = thread_pool.chunks(count, size)
    assert [k for block in found for k in range(count)[block]] == list(range(count))
    assert all(block.stop <= count for block in found)
    assert all(block.stop - block.start == size for block in found[:-1])
    # Their borders do not depend on the count: whole blocks stay when more is added.
    whole = [block for block in found if block.stop - block.start == size]
    assert thread_pool.chunks(count + more, size)[: len(whole)] == whole


def test_blocks_by_hand():
    assert thread_pool.chunks(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert thread_pool.chunks(0, 3) == []


def test_available_threads_is_what_this_process_may_use():
    assert thread_pool.available_threads() >= 1


def test_a_job_may_have_jobs_of_its_own():
    with thread_pool.threads(2):
        found = thread_pool.parallel_map(
            lambda i: sum(thread_pool.parallel_map(lambda j: 10 * i + j, range(3))), range(8)
        )
    assert found == [30 * i + 3 for i in range(8)]


def test_a_thread_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuses)
        with thread_pool.threads(2), pytest.raises(InputError, match="no thread can be started: take threads=1"):
            thread_pool.parallel_map(abs, [-1, -2, -3])
    with thread_pool.threads(2):
        assert thread_pool.parallel_map(abs, [-1, -2, -3]) == [1, 2, 3]
