"""Runs as one tidy table, and their groups as mean and spread over seeds."""

from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

from annealtrain.runs.collection import Run
from annealtrain.runs.scores import NAMES, SPLITS
from annealtrain.runs.tables import shown
from annealtrain.runtime.array_types import Row

# Settings that change how a run is done, not its numbers; and the one over which groups are averaged.
INDIFFERENT = {"resume", "progress", "threads", "device", "data_dir", "dataset.data_dir"}
SEED = "seed"
DATA = "data"  # a fingerprint of the samples, which runs of older versions lack
# The settings that a reader looks for first: a group is told by these where they suffice.
FIRST = ("method", "model", "dataset", "optimizer", "solver", "grid", "bits", "levels", "alpha", "samples", "bias")
SCORES = tuple(f"{split}_{kind}" for kind in ("accuracy", "r2", "rmse") for split in SPLITS)


def tidy(runs: Sequence[Run]) -> list[Row]:
    """Return one row an epoch: the run's folder and state, its settings, then the epoch's metrics."""
    settings = list(dict.fromkeys(key for run in runs for key in run.settings))
    metrics = list(dict.fromkeys(key for run in runs for row in [*run.metrics[1:2], *run.metrics] for key in row))
    return [
        {
            "run": run.name,
            "state": run.state,
            **{key: run.settings.get(key) for key in settings},
            **{key: row.get(key) for key in metrics},
        }
        for run in runs
        for row in run.metrics
    ]


def varying(runs: Sequence[Run]) -> list[str]:
    """Return the settings that tell the runs apart, the seed excluded, without those that tell nothing more."""
    keys = dict.fromkeys([*FIRST, *(key for run in runs for key in run.settings)])
    chosen: list[str] = []
    groups = 1
    for key in keys:
        if key in INDIFFERENT or key == SEED or (key == DATA and any(DATA not in run.settings for run in runs)):
            continue
        refined = len({tuple(run.settings.get(name) for name in [*chosen, key]) for run in runs})
        if refined > groups:
            chosen, groups = [*chosen, key], refined
    return chosen


def groups(runs: Sequence[Run]) -> dict[tuple[Any, ...], list[Run]]:
    """Return the runs that differ in nothing but their seed, by their values of the `varying` settings."""
    keys, grouped = varying(runs), dict[tuple[Any, ...], list[Run]]()
    for run in runs:
        grouped.setdefault(tuple(run.settings.get(key) for key in keys), []).append(run)
    return grouped


def spread(values: Iterable[float | None]) -> str:
    """Return "mean +- std" (of a sample, n - 1) of the values that are there; "" where there are none."""
    held = [value for value in values if value is not None]
    if not held:
        return ""
    middle = f"{mean(held):.4f}"
    return f"{middle} +- {stdev(held):.4f}" if len(held) > 1 else middle


def summary(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table: a row a group, its accuracies as mean +- std over its runs."""
    keys = varying(runs)
    scores = [name for name in SCORES if any(run.last.get(name) is not None for run in runs)]
    head = [*keys, "runs", *(_title(name) for name in scores)]
    kinds = [kind for kind in NAMES if f"val_{kind}" in scores]
    head += [f"{told}{_in_words(kind)}" for kind in kinds for told in ("best val", "test at best val")]
    rows = []
    for values, members in groups(runs).items():
        unfinished = sum(run.result is None for run in members)
        cells = [shown(value) for value in values]
        cells.append(f"{len(members)} ({unfinished} unfinished)" if unfinished else str(len(members)))
        cells += [spread(run.last.get(name) for run in members) for name in scores]
        cells += [spread(run.best.get(f"{at}_{kind}") for run in members) for kind in kinds for at in ("val", "test")]
        rows.append(cells)
    return head, rows


def _title(name: str) -> str:
    split, _, kind = name.partition("_")
    return f"{split} last{_in_words(kind)}"


def _in_words(kind: str) -> str:
    return {"accuracy": "", "r2": " R2", "rmse": " RMSE"}[kind]
