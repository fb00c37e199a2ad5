"""One process at a time in a run folder."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annealtrain.errors import InputError

LOCK = ".annealtrain-lock"
MARK = b"the lock of annealtrain\n"  # its content, by which it is told from a file of another's
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of some file systems that a network shares


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other processes out of a run folder while the body runs.

    If another process is at work there, such as a worker that outlived its killed sweep, waiting() is called once and
    the body begins when that process has ended its run. Where the file system has no locks, nobody is kept out.
    Raises InputError where there can be no lock, or a file of another's lies under its name.
    """
    path = folder / LOCK
    try:
        held = _locked(path, waiting)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another hydra.run.dir") from error
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)
            os.close(held)


def _locked(path: Path, waiting: Callable[[], None]) -> int | None:
    """Return the number of an open file that holds the lock until it is closed, None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    is_told = False
    while True:
        file = _opened(path)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if not is_told:
                waiting()
            is_told = True
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            os.close(file)
            if error.errno in NO_LOCKS:
                path.unlink(missing_ok=True)
                return None
            raise
        with suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
            if os.lstat(path).st_ino == os.fstat(file).st_ino:
                if _is_marked(file):
                    return file
                path.unlink()
        os.close(file)


def _opened(path: Path) -> int:
    """Open the lock's file, made if need be, through no link and never cut; InputError for what is not ours."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(file).st_mode) or os.read(file, len(MARK) + 1) not in (b"", MARK):
        os.close(file)
        raise InputError(f"{path} is not a lock of annealtrain: choose another hydra.run.dir")
    return file


def _is_marked(file: int) -> bool:
    """Write the mark, if it is not there; return False where that would reach another file's name, by a hard link."""
    if not os.pread(file, 1, 0):
        if os.fstat(file).st_nlink > 1:
            return False
        os.pwrite(file, MARK, 0)
    return True
