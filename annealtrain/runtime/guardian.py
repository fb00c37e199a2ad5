"""A process that ends what another has started and left behind when it ended, killed or not.

It is run as a script, by its path: nothing is imported but what every Python has, and it needs some milliseconds.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "ANNEALTRAIN_STARTED_BY"  # in the environment of what is to end, and so of all that it starts
PATIENCE_S = 0.7  # left to them to end by themselves
WELL, NOW = b"all is well", b"end them now"  # what the guarded process may say; nothing where it was killed
LIMIT_S = 4.0  # then to what cleans up after them


class Guardian:
    """Ends all processes that this one starts from now on, when it ends; Linux only, elsewhere it does nothing."""

    def __init__(self, mark: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if Path("/proc/self/environ").exists():
            command = [sys.executable, "-I", "-S", __file__, mark]
            # In a session of its own: what ends its charges by their group is not to end it.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            os.environ[MARK] = mark

    def dismiss(self) -> None:
        """Let it go: all is well, and what still runs ends by itself."""
        self._end(WELL)

    def call(self) -> None:
        """Have it end now what has been started, and wait for that."""
        self._end(NOW)

    def _end(self, message: bytes) -> None:
        os.environ.pop(MARK, None)
        if self._process is not None:
            self._process.communicate(message)
        self._process = None


def marked(mark: bytes, *, is_killed: bool) -> list[int]:
    """Return the processes whose environment holds the mark: those that work; where there are none, what cleans up.

    is_killed: the guarded process has ended, else what cleans up goes on with it.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0") and path.name != str(os.getpid()):
                found.append((b"resource_tracker" in (path / "cmdline").read_bytes(), int(path.name)))
        except OSError:  # another user's, or it has ended
            continue
    workers = [pid for cleans_up, pid in found if not cleans_up]
    return workers or [pid for _, pid in found if is_killed]


def guard(mark: str) -> None:
    """Wait for the end of the process at the other end of standard input; end those that it has left."""
    said = sys.stdin.buffer.read()
    if said == WELL:
        return
    entry, began = f"{MARK}={mark}".encode(), time.monotonic()
    while (left := marked(entry, is_killed=not said)) and time.monotonic() - began < LIMIT_S:
        if time.monotonic() - began > PATIENCE_S:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.1)


if __name__ == "__main__":
    guard(sys.argv[1])
