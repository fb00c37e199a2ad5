"""Jobs in worker processes: for libraries that hold the interpreter's lock, and for long calls that Ctrl-C must end."""

import json
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from threadpoolctl import threadpool_limits

from annealtrain.errors import InputError
from annealtrain.runtime import thread_pool

POLL_S = 0.05  # how soon Ctrl-C is heard
# A plain interpreter, not one of multiprocessing's: those run the user's own script again. It is started with -P, so
# that even json is not looked for in the working directory first.
SERVE = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); import {module}; {module}.serve(int(sys.argv[1]))"


class Workers:
    """Processes that wait for jobs. As many are started as threads call `run` at once; they end with this process."""

    def __init__(self) -> None:
        self._idle: list[tuple[subprocess.Popen[bytes], Connection]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._idle)

    def run(self, job: Callable[..., Any], *arguments: Any) -> Any:
        """Return job(*arguments), computed in a process of its own; job is a function of a module.

        What it raises is raised here. Ctrl-C, or parallel.Cancelled, ends the process at once.
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
        with self._lock:
            if self._idle:
                return self._idle.pop()
        ours, theirs = multiprocessing.Pipe()
        with theirs:  # closed here, so that the pipe ends with the process
            code, place = SERVE.format(module=__name__), str(theirs.fileno())
            command = [sys.executable, "-P", "-c", code, place, json.dumps(sys.path)]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]), ours


def _end(idle: list[tuple[subprocess.Popen[bytes], Connection]]) -> None:
    """End processes that wait for jobs."""
    for process, connection in idle:
        connection.close()
        process.kill()
        process.wait()


def serve(place: int) -> None:
    """Run jobs that come through the pipe of this file number until it closes; Ctrl-C is the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(place)
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
            connection.send_bytes(answer)


def _told(error: Exception) -> bytes:
    """Return an exception as the parent can raise it: itself, or its text where it does not survive pickling."""
    try:
        message = pickle.dumps((False, error))
        pickle.loads(message)
        return message
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
