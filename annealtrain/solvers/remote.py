"""Calls of machines elsewhere: one that fails is made again, later each time, until the machine counts as lost."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from annealtrain.errors import MachineLost
from annealtrain.runtime import thread_pool

Answer = TypeVar("Answer")

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0  # before a call is made again; it doubles each time
RETRIES = 2
LOOK_S = 0.2  # between two looks at whether the run was interrupted

log = logging.getLogger(__name__)


def called(
    call: Callable[[], Answer],
    what: str,
    *,
    failures: tuple[type[Exception], ...],
    retries: int = RETRIES,
    wait_s: float = FIRST_WAIT_S,
) -> tuple[Answer, int]:
    """Return what a call gives, and how often it was made again.

    what: the call in words, "a QPU job". failures: errors after which it is made again, at most `retries` times.
    wait_s: before the first of them; it doubles, up to a minute.
    Raises MachineLost after the last; every other error is raised as it is.
    """
    tries = 0
    while True:
        try:
            return call(), tries
        except failures as error:
            why = told(error)
            if tries >= retries:
                times = f"{tries + 1} time{'s' * (tries > 0)}"
                raise MachineLost(f"{what} failed {times} ({why})") from error
            log.warning("%s failed (%s); it is sent again", what, why)
            _wait(min(wait_s * 2**tries, LONGEST_WAIT_S))
            tries += 1


def told(error: BaseException) -> str:
    """Return the kind of an error and what it says, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _wait(seconds: float) -> None:
    """Wait, in a job too no longer than until its run is interrupted."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        thread_pool.check_cancelled()
        time.sleep(min(left, LOOK_S))
