"""Jobs in worker processes: for libraries that hold the interpreter's lock, and for long calls that Ctrl-C must end."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool
from annealtrain.runtime.lifeline import end_with_parent

POLL_S = 0.05  # how soon Ctrl-C is heard
# A plain interpreter, not one of multiprocessing's: those run the user's own script again. It is started with -P, so
# that even json is not looked for in the working directory first.
SERVE = "import json, sys; sys.path[:] = json.loads(sys.argv[3]); import {module}; {module}.serve(*sys.argv[1:3])"


class Workers:
    """Processes that wait for jobs. As many are started as threads call `run` at once; they end with this process."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._idle: list[tuple[subprocess.Popen[bytes], Connection]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._idle, self._owner)

    def run(self, job: Callable[..., Any], *arguments: Any) -> Any:
        """Return job(*arguments), computed in a process of its own; job is a function of a module.

        What it raises is raised here. Ctrl-C, or thread_pool.Cancelled, ends the process at once.
        Raises InputError where the job cannot be sent, or its process was killed.
        """
        try:
            message = pickle.dumps((job, arguments))
        except Exception as error:  # pickle raises anything
            raise InputError(f"a job cannot be sent to another process ({error}): set processes=false") from error
        process, connection = self._take()
        try:
            connection.send_bytes(message)
            while not connection.poll(POLL_S):
                thread_pool.check_cancelled()
            done, value = connection.recv()
        except (EOFError, ConnectionError) as error:
            code = process.wait()
            remedy = "if memory was short, set threads=1, or processes=false"
            raise InputError(f"a worker process ended with exit code {code}: {remedy}") from error
        except BaseException:
            process.kill()
            process.wait()
            raise
        with self._lock:
            self._idle.append((process, connection))
        if not done:
            raise value
        return value

    def _take(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if os.getpid() != self._owner:  # this process is a fork: those that wait are its parent's
            self._begin()
        with self._lock:
            if self._idle:
                return self._idle.pop()
        ours, theirs = multiprocessing.Pipe()
        with theirs:  # closed here, so that the pipe ends with the process
            code, place = SERVE.format(module=__name__), str(theirs.fileno())
            command = [sys.executable, "-P", "-c", code, place, str(self._owner), json.dumps(sys.path)]
            return _started(command, theirs.fileno()), ours


_starter: ThreadPoolExecutor | None = None
_starter_lock = threading.Lock()


def _started(command: list[str], place: int) -> subprocess.Popen[bytes]:
    """Start a process from a thread that lives as long as this one: on Linux it would end with the thread."""
    global _starter
    with _starter_lock:
        _starter = _starter or ThreadPoolExecutor(1)
        starter = _starter
    start = starter.submit(subprocess.Popen, command, stdin=subprocess.DEVNULL, pass_fds=[place])
    try:
        return start.result()
    except BaseException:  # Ctrl-C: its pipe's number must not be another file's before it has begun
        if not start.cancel() and start.exception() is None:
            start.result().kill()
            start.result().wait()
        raise


def _forget_starter() -> None:
    global _starter, _starter_lock
    _starter, _starter_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_starter)


def _end(idle: list[tuple[subprocess.Popen[bytes], Connection]], owner: int) -> None:
    """End processes that wait for jobs, in the process whose they are."""
    if os.getpid() != owner:
        return
    for process, connection in idle:
        connection.close()
        process.kill()
        process.wait()


def serve(place: str, parent: str) -> None:
    """Run jobs that come through the pipe of this file number until it closes.

    parent: the process that has started this one, with which it ends. Signals to both are the parent's to hear.
    """
    end_with_parent(int(parent))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(int(place))
    with threadpool_limits(limits=1):
        while True:
            try:
                message = connection.recv_bytes()
            except EOFError:
                return
            try:
                job, arguments = pickle.loads(message)
                answer = pickle.dumps((True, job(*arguments)))
            except Exception as error:
                answer = _told(error)
            try:
                connection.send_bytes(answer)
            except OSError:  # who asked has gone
                return


def _told(error: Exception) -> bytes:
    """Return an exception as the parent can raise it: itself, or its text where it does not survive pickling."""
    try:
        message = pickle.dumps((False, error))
        pickle.loads(message)
        return message
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
