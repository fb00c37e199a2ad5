"""A function in a process of its own, which sends what it finds: what hangs or dies there ends nothing here."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runtime import safe_path
from annealtrain.runtime.lifeline import end_with_pipe
from annealtrain.runtime.memory import limit_address_space

LOOK_S = 0.2  # between two looks whether it is still listened to
ITS_END_S = 5.0  # for a process to end by itself after it has sent all that is waited for
Send = Callable[[Any], None]
Found = dict[str, Any]


class Lost(Exception):
    """Nothing came in time, or the process has ended; the text says which."""


class Child:
    """The process, from the side that listens."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process, self._connection = process, connection

    def receive(self, timeout_s: float, stop: threading.Event | None = None) -> Any:
        """Return what it sends next; Lost where nothing comes in time, or before `stop` is set."""
        until = time.monotonic() + timeout_s
        try:
            while not self._connection.poll(max(0.0, min(LOOK_S, until - time.monotonic())) if stop else timeout_s):
                if stop is None or stop.is_set() or time.monotonic() >= until:
                    raise Lost(f"stopped after {timeout_s:g} s")
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise Lost(f"its process ended with code {self._process.exitcode}") from None


@contextmanager
def own_process(work: Callable[..., None], *arguments: Any, preload: Sequence[str] = ()) -> Iterator[Child]:
    """Run work(send, *arguments) in a process that ends with the body. preload: modules imported once for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, arguments, there))
    with safe_path.for_workers():
        process.start()
    there.close()
    try:
        yield Child(process, here)
        process.join(ITS_END_S)  # it frees what it shares with other processes, if it is let
    finally:
        process.kill()
        process.join()
        here.close()


def _work(work: Callable[..., None], arguments: tuple[Any, ...], connection: Connection) -> None:
    safe_path.forget()
    # The fork server is this process's parent, and lives as long as this one: the one that listens is to end both.
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_with_pipe(parent.sentinel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that process hears Ctrl-C, and ends this one
    work(connection.send, *arguments)


def measured_alone(
    work: Callable[..., Found],
    *arguments: Any,
    timeout_s: float,
    most_gb: float = 0.0,
    preload: Sequence[str] = (),
) -> Found:
    """Return what work(*arguments) finds in a process of its own, or {"note": why it finds nothing}.

    most_gb: that the process may take of memory, 0: without limit.
    """
    try:
        with own_process(_send_found, work, arguments, most_gb, preload=preload) as child:
            found: Found = child.receive(timeout_s)
            return found
    except Lost as error:
        return {"note": str(error)}


def _send_found(send: Send, work: Callable[..., Found], arguments: tuple[Any, ...], most_gb: float) -> None:
    send(found_or_note(work, *arguments, most_gb=most_gb))


def found_or_note(work: Callable[..., Found], *arguments: Any, most_gb: float = 0.0) -> Found:
    """Return what work(*arguments) finds in this process, or {"note": why it finds nothing}."""
    try:
        if most_gb:
            limit_address_space(int(most_gb * 1e9))
        return work(*arguments)
    except MemoryError:
        return {"note": f"needs more than {most_gb:g} GB" if most_gb else "failed: memory was short"}
    except Exception as error:
        return {"note": reason(error)}


def one_thread_for_libraries() -> None:
    """Let the libraries that this process loads from now on compute on one thread each."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"


def reason(error: Exception) -> str:
    """Return in one line why a solver has no result: whatever others' code may raise is a row, and the rest goes on."""
    said = " ".join(str(error).split())
    return said if isinstance(error, InputError) else f"failed: {type(error).__name__}: {said}"
