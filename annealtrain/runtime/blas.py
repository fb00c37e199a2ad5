"""The BLAS of this process: held to one thread while anyone's pool is open, and which of its kernels does the work."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from annealtrain.runtime.array_types import Row


class OneThread:
    """Counts who needs BLAS on one thread: its setting is the whole process's, and callers come and go in any order.

    The first sets it, those after it take in what was loaded meanwhile, and the last puts back what was found.
    """

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), set[object]()
        self._found: dict[str, tuple[Any, int]] = {}  # by the library's file: its controls, and the threads it had

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        """Hold BLAS to one thread in the body, and longer where others hold it too.

        Yields what each further thread of the body's has to call: to OpenMP a limit is of the thread that sets it.
        Ctrl-C may come at any moment: what gives the threads back is done again where it was cut short.
        """
        of_process, of_threads = blas_libraries(len(sys.modules))
        before = [library.num_threads for library in of_threads]
        user, interrupt = object(), None
        try:
            self._enter(user, of_process)
            _set_all(of_threads, [1] * len(of_threads))
            yield lambda: _set_all(of_threads, [1] * len(of_threads))
        finally:
            while True:
                try:
                    _set_all(of_threads, before)
                    self._leave(user)
                    break
                except KeyboardInterrupt as pressed:
                    interrupt = pressed
            if interrupt:
                raise interrupt

    def _enter(self, user: object, libraries: Sequence[Any]) -> None:
        with self._lock:
            self._users.add(user)
            for library in libraries:
                if library.filepath not in self._found:
                    self._found[library.filepath] = library, library.num_threads
                    _set(library, 1)

    def _leave(self, user: object) -> None:
        with self._lock:
            self._users.discard(user)
            if not self._users:
                self._release()

    def _release(self) -> None:
        for library, count in self._found.values():
            _set(library, count)
        self._found = {}

    def forget(self) -> None:
        """Begin anew in a process that was forked: its other threads, and what they held, are not there."""
        self._lock, self._users = threading.Lock(), set()
        self._release()


def _set_all(libraries: Sequence[Any], counts: Sequence[int]) -> None:
    for library, count in zip(libraries, counts, strict=True):
        library.set_num_threads(count)


def _set(library: Any, count: int) -> None:
    """Set the threads of a library whose setting is the whole process's, from whatever thread.

    threadpoolctl lets one thread set OpenBLAS's, the first that does, and is silent to others until that gives up.
    """
    library.set_num_threads(count)
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread()


ONE_THREAD = OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ONE_THREAD.forget)


@lru_cache(maxsize=1)
def blas_libraries(modules: int) -> tuple[list[Any], list[Any]]:
    """Return the controls of what BLAS this process has loaded, looked for anew once there are other `modules`.

    First those whose setting is the whole process's, then those (of OpenMP) whose it is each thread's. Python loads
    libraries with its modules, and to look for them takes as long as many a small solve.
    """
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    of_threads = [library for library in found if getattr(library, "threading_layer", None) == "openmp"]
    return [library for library in found if library not in of_threads], of_threads


def blas_kernel() -> Row | None:
    """Return library, version and kernel of NumPy's BLAS, which sets how products are rounded; None if not known."""
    _ = np.ones((2, 2)) @ np.ones((2, 2))  # some libraries choose their kernel at the first product
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    if not libraries:
        return None
    found = min(libraries, key=lambda library: "numpy" not in library.filepath).info()
    return {"library": found["internal_api"], "version": found["version"], "kernel": found.get("architecture")}
