"""Jobs in worker processes: their results, their errors, and their end."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from conftest import LIMIT_S, members, started, until

from annealtrain.errors import InputError
from annealtrain.runtime import lifeline, thread_pool
from annealtrain.runtime.process_pool import Workers

WORKERS = Workers()


def square_and_pid(x):
    return x**2, os.getpid()


def fails_oddly():
    class Odd(Exception):
        """Of a class that no other process knows."""

    raise Odd("in the job")


def test_each_thread_has_a_process_of_its_own_and_it_is_used_again():
    with thread_pool.threads(2):
        first = thread_pool.parallel_map(lambda x: WORKERS.run(square_and_pid, x), [np.arange(3), 2, 3, 4])
        again = thread_pool.parallel_map(lambda x: WORKERS.run(square_and_pid, x), [1, 2, 3, 4])
    np.testing.assert_array_equal(first[0][0], [0, 1, 4])
    assert [square for square, _ in again] == [1, 4, 9, 16]
    processes = {pid for _, pid in first + again}
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2


def test_errors_of_a_job_are_raised_here_and_the_process_lives_on():
    _, before = WORKERS.run(square_and_pid, 1)
    with pytest.raises(ValueError, match="could not convert"):
        WORKERS.run(float, "one")
    with pytest.raises(RuntimeError, match="Odd: in the job"):
        WORKERS.run(fails_oddly)
    assert len(WORKERS._idle) <= 2
    assert before in {process.pid for process, _ in WORKERS._idle}


def test_a_job_that_cannot_be_sent_or_whose_process_dies():
    with pytest.raises(InputError, match=r"cannot be sent to another process .*: set processes=false"):
        WORKERS.run(square_and_pid, threading.Lock())
    with pytest.raises(InputError, match="a worker process ended with exit code 7: if memory was short, set threads=1"):
        Workers().run(os._exit, 7)
    with pytest.raises(InputError, match=r"with exit code 1: .*, or processes=false"):
        Workers().run(os._exit, 1)


def test_processes_end_with_their_pool_and_with_this_process():
    workers = Workers()
    workers.run(square_and_pid, 2)
    ((process, _),) = workers._idle
    assert process.poll() is None
    del workers
    assert process.poll() is not None
    script = "from annealtrain.runtime.process_pool import Workers; W = Workers(); print(W.run(abs, -3))"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")


def waits_and_writes(path):
    """Write a file as the job begins, and another 60 seconds later."""
    path.touch()
    time.sleep(60)
    path.with_suffix(".late").touch()


def test_ctrl_c_ends_a_job_and_its_process(tmp_path, monkeypatch):
    """The job never comes to its end: its process is gone before the call returns."""
    begun, workers, processes = tmp_path / "job.started", Workers(), []
    take = Workers._take
    monkeypatch.setattr(Workers, "_take", lambda self: processes.append(take(self)) or processes[-1])

    def items():
        yield begun
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), thread_pool.threads(2):
        thread_pool.parallel_map(lambda path: workers.run(waits_and_writes, path), items())
    assert begun.exists()
    assert not begun.with_suffix(".late").exists()
    assert processes[0][0].poll() is not None  # it has ended
    assert not workers._idle


def test_a_process_outlives_the_thread_that_asked_for_it():
    """Linux ends a process with the thread that has started it: that is never one of a pool's."""
    workers = Workers()
    with thread_pool.threads(2):
        asked = thread_pool.parallel_map(lambda x: workers.run(square_and_pid, x), [1, 2])
    assert workers.run(square_and_pid, 3)[1] in {pid for _, pid in asked}


BUSY = """
import os, sys, threading, time
from annealtrain.runtime.process_pool import Workers
workers = Workers()
print(workers.run(os.getpid), flush=True)
{job}
"""


@pytest.mark.parametrize("job", ["time.sleep(60)", "workers.run(pow, 3, 10**7)"], ids=["idle", "in_a_long_call"])
def test_a_process_ends_with_its_parent_however_that_ends(job, tmp_path):
    """The parent is killed; the process that works on holds the interpreter's lock all the time."""
    parent = started([sys.executable, "-c", BUSY.format(job=job)], tmp_path)
    until(lambda: parent.said()[0].endswith("\n"), parent)
    worker = int(parent.said()[0])
    assert worker in members(parent.pid)
    parent.kill()
    parent.wait(LIMIT_S)
    limit = time.monotonic() + LIMIT_S
    while worker in members(parent.pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("told_by_kernel", [True, False])
def test_a_process_whose_parent_has_ended_already_ends_at_once(told_by_kernel, monkeypatch):
    codes = queue.Queue()
    monkeypatch.setattr(lifeline, "ended_by_kernel", lambda: told_by_kernel)
    monkeypatch.setattr(os, "_exit", codes.put)
    lifeline.end_with_parent(-1)
    for _ in range(1 if told_by_kernel else 2):  # here, and on the thread that looks
        assert codes.get(timeout=LIMIT_S) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_workers_and_a_pool_of_its_own():
    """Those of its parent, and its pool's threads, are not there: it would wait for them for good."""
    WORKERS.run(square_and_pid, 1)
    theirs = [process.pid for process, _ in WORKERS._idle]
    with thread_pool.threads(2):
        if not (child := os.fork()):
            code = 1
            try:
                own = WORKERS.run(square_and_pid, 3)
                with thread_pool.threads(2):
                    mapped = thread_pool.parallel_map(abs, [-1, -2, -3])
                code = 0 if own[0] == 9 and own[1] not in theirs and mapped == [1, 2, 3] else 2
            finally:
                os._exit(code)
        limit = time.monotonic() + LIMIT_S
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > limit:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
    assert ended[1] == 0
    assert WORKERS.run(square_and_pid, 2)[1] in theirs


def test_an_interrupt_while_a_process_begins_leaves_none(monkeypatch):
    """Its pipe is closed at once: what has begun by then must not find another file under the pipe's number."""
    started, (begun, go) = [], (threading.Event(), threading.Event())
    popen = subprocess.Popen

    def slow(*command, **settings):
        begun.set()
        assert go.wait(60)
        started.append(popen(*command, **settings))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", slow)
    monkeypatch.setattr(Future, "result", interrupted_once(Future.result, begun, go))
    with pytest.raises(KeyboardInterrupt):
        Workers().run(square_and_pid, 1)
    assert started[0].poll() is not None


def interrupted_once(result, begun, go):
    calls = []

    def wait(self, *timeout):
        calls.append(self)
        if len(calls) > 1:
            return result(self, *timeout)
        assert begun.wait(60)
        go.set()
        raise KeyboardInterrupt

    return wait
