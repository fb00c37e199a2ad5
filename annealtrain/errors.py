"""The one error of bad input: a value, its limit, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


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


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice closest to `name`, or an empty string."""
    close = get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
