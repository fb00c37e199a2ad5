"""One process at a time in a run folder."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from annealtrain.errors import InputError

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of some file systems that a network shares


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other processes out of a run folder while the body runs.

    If another process is at work there, such as a worker that outlived its killed sweep, waiting() is called once and
    the body begins when that process has ended its run. Where the file system has no locks, nobody is kept out.
    """
    path = folder / LOCK
    try:
        held = _locked(path, waiting)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another hydra.run.dir") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if held:
            held.close()


def _locked(path: Path, waiting: Callable[[], None]) -> TextIO | None:
    """Return a file that holds the lock until it is closed, None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    is_told = False
    while True:
        file = open(path, "w")  # noqa: SIM115 (closing it gives the lock back)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if not is_told:
                waiting()
            is_told = True
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            file.close()
            if error.errno in NO_LOCKS:
                return None
            raise
        with suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()
