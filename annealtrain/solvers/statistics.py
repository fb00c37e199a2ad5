"""Statistics of solves: what adds up over units, layers and steps, and what is averaged."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.runtime.array_types import Row


def combine_units(stats: list[dict[str, float]]) -> dict[str, float]:
    """Return the statistics of all units as one: seconds and counts add up, all else is averaged."""
    if len(stats) == 1:  # of a small unit the sums would take longer than a sweep
        return with_rates({key: float(value) for key, value in stats[0].items()})
    total = {
        key: float(sum(s[key] for s in stats)) / (1 if key.endswith(("_s", "flips", "visits")) else len(stats))
        for key in stats[0]
    }
    return with_rates(total)


def with_rates(stats: dict[str, float]) -> dict[str, float]:
    """Return statistics with acceptance and nanoseconds a visit, where visits (of spins or weights) are counted."""
    if "visits" not in stats or "anneal_s" not in stats:
        return stats
    visits = max(stats["visits"], 1)  # none where all weights are dead
    return stats | {"acceptance": stats["flips"] / visits, "visit_ns": 1e9 * stats["anneal_s"] / visits}


# Names of columns that add up over the steps of an epoch end so.
COUNTS = ("_s", "flips", "visits", "backtracks", "submissions", "retries", "blocks")


def merge_by_layer(rows: Sequence[Row]) -> list[Row]:
    """Return one row a layer for an epoch of several steps."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["layer"], []).append(row)
    return [merge_rows(groups[layer]) for layer in sorted(groups)]


def merge_rows(rows: list[Row]) -> Row:
    """Return several solves' row as one: seconds and counts add up, all else is averaged."""

    def value(name: str) -> Any:
        held = [row[name] for row in rows if row.get(name) is not None]
        if not held or (all(one == held[0] for one in held[1:]) and not name.endswith(COUNTS)):
            return held[0] if held else None
        return float(np.sum(held) if name.endswith(COUNTS) else np.mean(held))

    names = dict.fromkeys(name for row in rows for name in row)
    return with_rates({name: value(name) for name in names}) if len(rows) > 1 else rows[0]
