"""What a solve asks of memory and time, estimated before the work and refused where it is more than there is."""

from dataclasses import dataclass
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runtime import memory
from annealtrain.schedule import Schedule

LONGEST_S = 86400.0  # of one solve on all its threads: a day
SMALL_BYTES = 1e8  # below which nobody asks what is available: that takes longer than a small solve
COUNTED = 10**15  # numbers beyond it are as impossible
READ_BYTES, READ_S = 1200, 6e-5  # of the Python objects of each read, as measured


@dataclass(frozen=True)
class Effort:
    """The estimate of a solve: what it is, bytes held at once, seconds on one core, and the settings to lower."""

    what: str
    size: float
    seconds: float
    lower: str

    def require(self, threads: int, where: str = "") -> None:
        """Raise InputError where the memory is not there, or it takes more than LONGEST_S."""
        if self.size > SMALL_BYTES:
            memory.require(int(self.size), f"{where}{self.what}", f"lower {self.lower}")
        if (seconds := self.seconds / threads) > LONGEST_S:
            raise InputError(
                f"{where}{self.what} takes about {_duration(seconds)} on {threads} thread{'s' * (threads > 1)}; "
                f"one solve may take a day: lower {self.lower}"
            )


def counted(setting: Any) -> int:
    """Return a whole number, or the largest of a schedule of them, as far as estimates count."""
    if isinstance(setting, Schedule):
        setting = round(max(*setting.first, *setting.last))
    return int(min(setting, COUNTED))


def result_bytes(units: int, reads: int, weights: int) -> float:
    """Return what levels and weights take while they are collected and sorted."""
    return float(units) * reads * (100 + 34 * weights)


def plural(count: int, word: str) -> str:
    """Return a count with its word: 1 read, 20 reads."""
    return f"{count} {word}{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:.3g} days" if days < 1000 else f"{days / 365:.3g} years"
