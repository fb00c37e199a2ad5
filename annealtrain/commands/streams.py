"""Standard output and errors as commands need them: open, taking any text, and a full one told in one line."""

import errno
import io
import logging
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from annealtrain.errors import InputError, is_gpu_memory_full, is_memory_full
from annealtrain.runtime import files
from annealtrain.runtime.foreign_text import printable

# Of writes that name no file: a full disk or quota, a file or device that takes no more, one that is gone.
WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EBADF, errno.ENOTDIR, errno.ENXIO)


def prepare() -> None:
    """Open what is closed of the three standard streams, and let both outputs write what their encoding has not."""
    for number in range(3):  # else the next file would take its number, and what is printed
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (until the program's end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a log on a full disk: what else fails there is said in one line


def working_directory() -> str:
    """Return the working directory; InputError where it has been deleted."""
    if gone := _gone():
        raise InputError(gone)
    return os.getcwd()


def _gone() -> str | None:
    try:
        os.getcwd()
    except OSError as error:
        return f"the working directory is gone ({error.strerror}): change to another one"
    return None


def memory_fault(error: BaseException) -> str | None:
    """Return what is said of memory that does not suffice, the GPU's as PyTorch tells of it; None for other errors."""
    if is_gpu_memory_full(error):
        remedy = "take a smaller batch_size or model, or device=cpu (resume and eval: --device cpu)"
        return f"out of memory on the GPU: {remedy}"
    if not is_memory_full(error):
        return None
    why = " ".join(str(error).split()) or "no more can be allocated"
    return f"out of memory ({why}): take a smaller model or fewer samples"


def say(*texts: object) -> None:
    """Print texts, made harmless line by line: folders of others, and what lies in them, may steer a terminal."""
    lines = "\n".join(map(str, texts)).split("\n")
    print("\n".join(map(printable, lines)), flush=True)


# What other commands than train, which chooses its folder by a setting, have in the place of that remedy.
PLACES = dict.fromkeys(("resume", "eval", "plot", "report"), "copy the run elsewhere")
PLACES |= dict.fromkeys(("figure", "quantize", "bench", "collect", "export", "spectrum"), "choose another --output")


def complain(command: str, text: str) -> None:
    """Print why a command has failed, and the remedy in the words of that command."""
    if place := PLACES.get(command):
        text = re.sub(r"choose another hydra\.(run|sweep)\.dir", place, text)
    if command == "resume":
        text = text.replace("go on with resume=true", "resume again")
    note(f"annealtrain {command}: {text}")


def note(text: str) -> None:
    """Print a line to standard error, if there is still someone to read it."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def fault(error: OSError, file: str = "a file") -> str | None:
    """Return what is said of a file that a command could not use; None for what is of another kind.

    file: what is written to, where the error does not tell.
    """
    if error.filename is not None:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        return f"cannot use {where} ({error.strerror}): check the path, or choose another hydra.run.dir"
    if error.errno == errno.ENOENT and (gone := _gone()):  # it was deleted after the command began
        return gone
    if error.errno == errno.EAGAIN and error.strerror == os.strerror(errno.EAGAIN):  # of a write it has other words
        return f"no process can be started ({error.strerror}): raise the limit (ulimit -u), or take fewer jobs"
    if error.errno not in WRITES:
        return None
    where = file if _flushes() else "standard output"
    return f"cannot write {where} ({error.strerror}): make room, or write elsewhere"


class LogFile(logging.FileHandler):
    """The log of a run: appended to through no link, UTF-8 whatever the locale; the first failure is told."""

    is_told = False

    def _open(self) -> io.TextIOWrapper:
        number = files.opened_to_append(Path(self.baseFilename))
        return open(number, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of opening it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not self.is_told and isinstance(error, OSError):
            why = "it is a symbolic link" if os.path.islink(self.baseFilename) else error.strerror
            note(
                f"annealtrain: cannot write {self.baseFilename} ({why}): what goes wrong in this run is not kept there"
            )
        self.is_told = True
        if self.stream is not None:  # what it could not write would be tried again at the program's end
            with suppress(OSError, ValueError):
                self.stream.close()
        self.stream = None


def end_log(folder: Path) -> None:
    """Let what is logged of a run from now on go nowhere, and say nothing of it: its folder has been removed."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile) and Path(handler.baseFilename).parent == folder.absolute():
            handler.is_told = True


def let_go() -> None:
    """Send what is still to be printed nowhere, so that the interpreter's end does not stumble over it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _flushes() -> bool:
    """Whether standard output still takes a byte: it may have no buffer that could be flushed."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except io.UnsupportedOperation:  # no file, as in a notebook
        return True
    except OSError:
        let_go()
        return False
    return True
