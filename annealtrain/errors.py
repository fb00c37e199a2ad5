"""The one error of bad input: a value, its limit, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user can put right: the command line prints its one line and exits with `code`."""

    code = 2


class Diverged(InputError):
    """A run whose loss is no longer a number: it has ended, its files are whole."""

    code = 1


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice closest to `name`, or an empty string."""
    known = {choice.lower(): choice for choice in choices}  # MNIST is mnist
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{known[close[0]]}'?" if close else ""
