"""New interpreters that do not look for modules in the working directory before all others, as `-c` and `-m` do.

A run folder that somebody else has made may hold a json.py.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE, OURS = "PYTHONSAFEPATH", "annealtrain"  # any text turns it on; this one tells who has set it


@contextmanager
def for_workers() -> Iterator[None]:
    """Have the interpreters that libraries start meanwhile leave the working directory out of their path."""
    if os.environ.get(VARIABLE):
        yield
        return
    os.environ[VARIABLE] = OURS
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """Leave what is started from now on as it is without `for_workers`: it is the user's own, as in a job of theirs."""
    if os.environ.get(VARIABLE) == OURS:
        del os.environ[VARIABLE]
