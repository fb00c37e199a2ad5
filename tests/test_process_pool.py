"""Jobs in worker processes: their results, their errors, and their end."""

import os
import threading
import time

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool
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


def waits_and_writes(path):
    """Write a file as the job begins, and another 60 seconds later."""
    path.touch()
    time.sleep(60)
    path.with_suffix(".late").touch()


def test_ctrl_c_ends_a_job_and_its_process(tmp_path, monkeypatch):
    """The job never comes to its end: its process is gone before the call returns."""
    started, workers, processes = tmp_path / "job.started", Workers(), []
    take = Workers._take
    monkeypatch.setattr(Workers, "_take", lambda self: processes.append(take(self)) or processes[-1])

    def interrupt():
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        thread_pool._cancelled.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(thread_pool.Cancelled):
            workers.run(waits_and_writes, started)
    finally:
        thread.join()
        thread_pool._cancelled.clear()
    assert started.exists()
    assert not started.with_suffix(".late").exists()
    assert processes[0][0].poll() is not None  # it has ended
    assert not workers._idle
