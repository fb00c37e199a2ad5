"""Time to solution: how long repeated runs take until one of them has found what is looked for."""

import math
from typing import NamedTuple

from annealtrain.runtime.validation import check_all, number, whole


class TimeToSolution(NamedTuple):
    """Seconds, and the interval [low, high] that holds them; inf where no run succeeded."""

    seconds: float
    low: float
    high: float


def tts(run_s: float, successes: int, runs: int, *, confidence: float = 0.99, interval: float = 0.95) -> TimeToSolution:
    """Return the time to solution of runs of run_s seconds, of which so many succeeded.

    With p = successes / runs it is run_s ln(1 - confidence) / ln(1 - p), the seconds after which one run has succeeded
    with that confidence; one run at least. low and high are the same at both ends of Wilson's score interval of p,
    which holds the true share with the probability `interval`.
    Raises InputError for numbers out of their limits.
    """
    share = number(above=0, below=1)
    given = {"run_s": run_s, "runs": runs, "confidence": confidence, "interval": interval}
    check_all(given, {"run_s": number(above=0), "runs": whole(), "confidence": share, "interval": share})
    whole(0, runs).check("successes", successes)
    least, most = success_interval(successes, runs, interval)
    needed = [float(run_s) * runs_needed(p, confidence) for p in (successes / runs, most, least)]
    return TimeToSolution(*needed)


def runs_needed(p: float, confidence: float = 0.99) -> float:
    """Return how many runs succeed once with this confidence, if each does with probability p; at least 1, or inf."""
    if p <= 0:
        return math.inf
    return 1.0 if p >= confidence else math.log1p(-confidence) / math.log1p(-p)


def success_interval(successes: int, runs: int, interval: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the probability of a success."""
    from scipy.special import ndtri

    z, p = float(ndtri((1 + interval) / 2)), successes / runs
    middle = p + z**2 / (2 * runs)
    width = z * math.sqrt(p * (1 - p) / runs + z**2 / (4 * runs**2))
    ends = [(middle + side * width) / (1 + z**2 / runs) for side in (-1, 1)]
    return max(0.0, ends[0]) if successes else 0.0, min(1.0, ends[1]) if successes < runs else 1.0
