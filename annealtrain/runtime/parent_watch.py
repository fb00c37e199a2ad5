"""A process that ends with the one that gave it its work, however that ends: not even KILL leaves it behind."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from annealtrain.runtime.lifeline import ended_by_kernel

POLL_S = 0.5  # how soon the end of another process is noticed where the system does not tell


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


def end_with(origin: Origin) -> None:
    """End this process at once when `origin` has ended, or now if it has; a process of another machine is not watched.

    A run that is killed at any moment goes on from its last epoch.
    """
    if origin.host != _host() or origin.pid == os.getpid() or origin in WATCHED:
        return
    WATCHED.add(origin)
    if os.getppid() == origin.pid:
        ended_by_kernel()  # the thread below does it too, but where a library holds Python's lock
    if not origin.is_alive():
        _end()
    threading.Thread(target=_watch, args=(origin,), name="watch on the parent", daemon=True).start()


WATCHED: set[Origin] = set()


def _watch(origin: Origin) -> None:
    while origin.is_alive():
        time.sleep(POLL_S)
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""


def _began(pid: int) -> str:
    """Return when a process began, "" where the system does not tell, and "ended" for one that only its parent sees."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]
