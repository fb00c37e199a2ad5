"""The one error of bad input: a value, its limit, and the remedy."""

import re
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

GPU_FULL = ("CUDA error: out of memory", "STATUS_ALLOC_FAILED", "CUDA out of memory")  # of PyTorch, cuBLAS, cuDNN


class InputError(ValueError):
    """Something the user can put right: the command line prints its one line and exits with `code`."""

    code = 2


class DataMissing(InputError):
    """Samples that are not where they are looked for. `place`: where that is."""

    def __init__(self, place: object, message: str) -> None:
        super().__init__(message)
        self.place = place


class Diverged(InputError):
    """A run whose loss is no longer a number: it has ended, its files are whole."""

    code = 1


class NothingRan(InputError):
    """A comparison none of whose solvers had a result: what it asked holds, and what there is to tell is written."""

    code = 1


class MachineLost(InputError):
    """A machine elsewhere that no longer answers: its run has stopped, and can be resumed."""

    code = 1


class WrongAnswer(MachineLost):
    """What a machine, or a class of the user's, gave is no answer: its run has stopped, and can be resumed."""

    code = 2


def in_words(error: BaseException) -> str:
    """Return what an error of Python's or of a library says, in one line and without the names of classes."""
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    if mark := getattr(error, "problem_mark", None):  # of YAML
        return f"line {mark.line + 1}: {' '.join(str(getattr(error, 'problem', None)).split())}"
    said = " ".join(str(error).split()).removesuffix(".")
    if said.startswith("Exceeds the limit"):  # of Python, for the digits of a whole number
        return "it holds a number of too many digits"
    if "allow_pickle" in said:  # NumPy's advice, which would run what the file holds
        return "it does not hold arrays of numbers alone"
    if isinstance(error, KeyError):
        return f"it has no {said}"
    return said or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice closest to `name`, or an empty string."""
    known = {choice.lower(): choice for choice in choices if len(choice) < 3 * len(name)}  # MNIST is mnist
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6 if len(name) > 2 else 0.5)
    return f"; did you mean '{known[close[0]]}'?" if close else ""


def exit_code(end: SystemExit) -> int:
    """Return the exit code that a SystemExit stands for; InputError where a user's own code has raised it."""
    if place := own_place(end):
        raise InputError(f"{place} calls sys.exit: {' '.join(str(end.code).split())}") from end
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def own_place(error: BaseException) -> str | None:
    """Return file and line of a user's own code that an error comes from, None where none of it was running."""
    of_others = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib")), str(Path(__file__).parent), "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_in(frame.filename, of_others)]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else None


def _is_in(file: str, folders: Sequence[str]) -> bool:
    return "site-packages" in file or file.startswith(tuple(folders))


def is_memory_full(error: BaseException) -> bool:
    """Return whether an error says that memory is full, the CPU's or, as PyTorch and its libraries tell it, a GPU's."""
    return isinstance(error, MemoryError) or is_gpu_memory_full(error)


def is_gpu_memory_full(error: BaseException) -> bool:
    """Return whether an error says that a GPU's memory is full."""
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in GPU_FULL)
    return told or type(error).__name__ == "OutOfMemoryError"
