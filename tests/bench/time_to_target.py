"""Seconds until a sampler has, with 99 % probability, reached a gap: repeated runs of the best length."""

import math
from collections.abc import Sequence
from typing import Any

from annealtrain.solvers.time_to_solution import runs_needed
from bench.rows import Row

TARGETS = (1e-2, 1e-3, 1e-4)
Rung = dict[str, Any]  # sweeps, seconds of one run, gaps of its repeats


def time_to_target(rungs: Sequence[Rung], target: float) -> tuple[float, int] | None:
    """Return the least expected seconds over the rungs and that rung's sweeps; None where no run reached the target."""
    found = [(rung["seconds"] * runs_needed(share(rung["gaps"], target)), rung["sweeps"]) for rung in rungs]
    best = min(found, default=(math.inf, 0))
    return best if math.isfinite(best[0]) else None


def share(gaps: Sequence[float], target: float) -> float:
    """Return the share of runs that reached the target."""
    return sum(gap <= target for gap in gaps) / len(gaps)


def to_rows(problem: str, sampler: str, settings: str, result: dict[str, Any]) -> list[Row]:
    """Return a row for each target; seconds and sweeps are None where it was not reached, or the status says why."""
    rows = []
    for target in TARGETS:
        best = time_to_target(result.get("rungs", []), target)
        status = result.get("note") or ("ok" if best else "not reached")
        seconds, sweeps = best or (None, None)
        row = {"problem": problem, "sampler": sampler, "settings": settings, "target": target}
        rows.append({**row, "seconds": seconds, "sweeps": sweeps, "status": status})
    return rows
