"""The end of a process with the one that started it, however that one ends."""

import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
import time

LOOK_S = 0.5  # how often the watch looks, where the system's kernel does not tell
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def end_with_parent(parent: int) -> None:
    """Kill this process as soon as the process `parent`, which has started it, has ended; at once if it has already.

    Linux's kernel does it, in the midst of any call, when the parent's *thread* that has started this process ends:
    that must be one that lives on. Elsewhere a thread looks, which a call that holds the interpreter's lock delays.
    """
    if not ended_by_kernel():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it was faster
        os._exit(1)


def end_with_pipe(end: int) -> None:
    """Kill this process as soon as all writers of a pipe are gone, of which `end` is the reading end's file number.

    For a process whose parent is not the one that has asked for it. Nothing may be written to the pipe.
    """
    if sys.platform == "linux":  # the kernel sends the signal, in the midst of any call
        fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    else:
        threading.Thread(target=_watch_pipe, args=(end,), daemon=True).start()
    if select.select([end], [], [], 0)[0]:  # they were faster
        os._exit(1)


def _watch_pipe(end: int) -> None:
    select.select([end], [], [])
    os._exit(1)


def ended_by_kernel() -> bool:
    """Ask the kernel to kill this process when the thread that has started it ends; return whether it will."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) == 0)
    except (OSError, AttributeError):  # another C library
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)
