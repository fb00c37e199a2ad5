"""Files that are whole at any moment where they are written, and never more than expected where they are read.

What lies in a folder may be of others: no symbolic link is written through, none to a file of a run is read, and what
is no file (a pipe would be waited for, a device never ends) is refused. A file that is replaced leaves its hard links
as they are; one that is written to in place, as a log is, is made a file of its own first.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from annealtrain.errors import InputError

# Missing on Windows: no links are followed, nothing is waited for, bytes stay as they are.
NO_LINK, NO_WAIT, BINARY = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
MOST_COPIED = 100_000_000  # bytes of a log
PART = r"\.{name}\.[0-9a-f]{{8}}\.part"  # of the name of a file while it is being written


def write_atomically(path: Path, content: bytes, remedy: str) -> None:
    """Write a file atomically, through a part file beside it; InputError, with the remedy, where it cannot be.

    A symbolic link of that name is replaced, what it leads to stays as it is; a folder, a pipe or a device is refused.
    """
    try:
        part = _written_part(path, content)
        try:
            os.replace(part, path)
        except BaseException:
            _remove(part)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def write_text(path: Path, text: str, remedy: str) -> None:
    """Write text as UTF-8, atomically; what UTF-8 has no bytes for (of file names) as an escape."""
    write_atomically(path, text.encode("utf-8", "backslashreplace"), remedy)


def require_writable(path: Path, remedy: str) -> None:
    """Raise InputError where `write_atomically` could not write: asked before work whose result is to go there."""
    try:
        _remove(_written_part(path, b""))
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def require_place(path: Path, remedy: str) -> None:
    """Raise InputError where `write_atomically` could not write, after its folder has been made; no folder is left."""
    try:
        made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            require_writable(path, remedy)
        finally:
            for folder in made:
                folder.rmdir()
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def detach(path: Path, remedy: str) -> None:
    """Make a file that others will write to in place one of its own; InputError, with the remedy, where it cannot be.

    Where it has other names, as in a snapshot of hard links, a copy takes its place and those keep what they have.
    """
    try:
        if os.path.lexists(path) and _is_shared(os.lstat(path)):
            _copy_in_place(path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def opened_to_append(path: Path) -> int:
    """Return the number of a file open for appending, made if need be: through no link, and detached as by `detach`."""
    for _ in range(2):
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK | NO_WAIT | BINARY, 0o666)
        if not _is_shared(os.fstat(number)):
            return number
        os.close(number)
        _copy_in_place(path)
    raise OSError(0, "it is a hard link", str(path))


def _is_shared(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def _copy_in_place(path: Path) -> None:
    """Replace a file by a copy of it, that nobody can read who could not read the file."""
    mode = stat.S_IMODE(os.lstat(path).st_mode) & 0o777
    part = _written_part(path, read_bytes(path, MOST_COPIED), mode)
    try:
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def _written_part(path: Path, content: bytes, mode: int = 0o666) -> Path:
    """Return a new file beside `path` that holds the content, on the disk."""
    if path.exists() and not path.is_file():
        raise OSError(0, "it is a folder" if path.is_dir() else "it is no regular file")
    if not os.path.lexists(path.parent):
        raise OSError(0, f"there is no folder {path.parent}")
    if _holds_devices(path.parent):  # a link there, as /dev/stdout is, may lead to a regular file
        raise OSError(0, "it is the name of a device")
    part = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | BINARY, mode)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _remove(part)
        raise
    return part


def _holds_devices(folder: Path) -> bool:
    """Whether a folder lies where the system keeps its devices."""
    if not os.path.isdir("/dev"):
        return False
    of_devices = os.stat("/dev").st_dev
    return os.stat(folder).st_dev == of_devices != os.stat("/").st_dev


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


def opened(path: Path, *, follow: bool = False) -> BinaryIO:
    """Return a regular file open for reading; OSError for what is none, and for a symbolic link unless `follow`."""
    try:
        number = os.open(path, os.O_RDONLY | NO_WAIT | BINARY | (0 if follow else NO_LINK))
    except OSError as error:
        if not follow and path.is_symlink():
            raise OSError(0, "it is a symbolic link", str(path)) from error
        raise
    except ValueError as error:  # a null character
        raise OSError(0, "no file has such a name", str(path)) from error
    file = open(number, "rb")  # noqa: SIM115 (the caller closes it)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return file
    file.close()
    raise OSError(0, "it is no regular file", str(path))


def read_bytes(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Return a file's content, opened as `opened` does; OSError for more than `most` bytes too."""
    with opened(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= most else b""  # no more: memory for all that is asked is taken first
        while size <= most and len(content) <= most and (more := file.read(2**20)):  # it has grown
            content += more
    if size > most or len(content) > most:
        raise OSError(0, f"it is larger than {most / 1e6:g} MB", str(path))
    return content


def read_text(path: Path, most: int) -> str:
    """Return a regular file's text, UTF-8 whatever the locale; OSError as `read_bytes`, ValueError for other bytes."""
    return read_bytes(path, most).decode("utf-8")
