"""The end of a process with the one that gave it its work, however that one ends: not even KILL leaves it behind.

Linux's kernel sees to it where it can, in the midst of any call; elsewhere a thread looks, which a call that holds the
interpreter's lock delays. What is killed at any moment goes on from its last epoch.
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LOOK_S = 0.5  # how often the thread looks
PR_SET_PDEATHSIG = 1  # of Linux's prctl


class Origin(NamedTuple):
    """A process as others can know it: its number alone may be another's later. began: in the kernel's ticks."""

    host: str
    pid: int
    began: str

    def is_alive(self) -> bool:
        """Whether it is there still; a zombie is not."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _began(self.pid) == self.began


def this_process() -> Origin:
    """Return what tells others of this process."""
    return Origin(_host(), os.getpid(), _began(os.getpid()))


def end_with_parent(parent: int) -> None:
    """End this process as soon as the process `parent`, which has started it, has ended; at once if it has already.

    To Linux's kernel the parent is the *thread* that has started this process: that must be one that lives on.
    """
    if not ended_by_kernel():
        _watch(lambda: os.getppid() == parent)
    if os.getppid() != parent:  # it was faster
        os._exit(1)


def end_with_pipe(end: int) -> None:
    """End this process as soon as all writers of a pipe are gone, of which `end` is the reading end's file number.

    For a process whose parent is not the one that has asked for it. Nothing may be written to the pipe.
    """
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    else:
        _watch(lambda: not select.select([end], [], [], 0)[0])
    if select.select([end], [], [], 0)[0]:  # they were faster
        os._exit(1)


def end_with(origin: Origin) -> None:
    """End this process as soon as `origin` has ended, or now if it has; a process of another machine is not watched."""
    if origin.host != _host() or origin.pid == os.getpid() or origin in WATCHED:
        return
    WATCHED.add(origin)
    if os.getppid() == origin.pid:
        ended_by_kernel()
    _watch(origin.is_alive)
    if not origin.is_alive():
        os._exit(1)


WATCHED: set[Origin] = set()


def ended_by_kernel() -> bool:
    """Ask the kernel to kill this process when the thread that has started it ends; return whether it will."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) == 0)
    except (OSError, AttributeError):  # another C library
        return False


def _watch(holds: Callable[[], bool]) -> None:
    """End this process, from a thread that looks, as soon as something no longer holds."""

    def look() -> None:
        while holds():
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=look, name="lifeline", daemon=True).start()


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""


def _began(pid: int) -> str:
    """Return when a process began, "" where the system does not tell, and "ended" for one that only its parent sees."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]
