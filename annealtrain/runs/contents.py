"""What the files of a run may hold: checked here, so that nobody who reads a run meets anything else."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annealtrain.runs import scores, tables, yaml_files
from annealtrain.runs.tables import not_of_a_run
from annealtrain.runtime.array_types import Row

CONFIG, META, METRICS, SOLVES, RESULT = "config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json"
HISTOGRAMS = "histograms.csv"
HISTOGRAM = ("epoch", "layer", "bin", "low", "high", "weights")  # its columns
MOST_EPOCHS = 10**9
LIMITS = {"accuracy": (0.0, 1.0), "mse": (0.0, math.inf), "rmse": (0.0, math.inf), "r2": (-math.inf, 1.0)}  # of scores
KNOWN = {"last", "best_validation", "warning", "seconds", "peak_memory_mb"}  # of runs without checksums
TEXTS = ("config_hash", "command", "started_at", "annealtrain", "git_revision", "python", "machine")  # of meta.json


def read_config(path: Path) -> Row:
    """Return the settings of a run."""
    content = yaml_files.read_mapping(path)
    _check_targets(path, content)
    model = content.get("model")
    if model is not None and not (isinstance(model, dict) and isinstance(model.get("name", ""), str | None)):
        raise not_of_a_run(path, "model has no name that is a text")
    for name in ("epochs", "seed"):
        if name in content and not _is_whole(content[name], 2**63 - 1):
            raise not_of_a_run(path, f"{name} is no whole number")
    return content


def _check_targets(path: Path, value: Any) -> None:
    """Raise InputError for a _target_ that is no text, at whatever depth."""
    if isinstance(value, dict) and not isinstance(value.get("_target_", ""), str):
        raise not_of_a_run(path, "a _target_ is no text")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_targets(path, part)


def read_meta(path: Path) -> Row:
    """Return where a run comes from."""
    content = tables.read_json(path)
    for name in TEXTS:
        if not isinstance(content.get(name, ""), str | None):
            raise not_of_a_run(path, f"{name} is no text")
    packages, resumed = content.get("packages") or {}, content.get("resumed_at", [])
    if not isinstance(packages, dict) or not all(isinstance(version, str) for version in packages.values()):
        raise not_of_a_run(path, "packages are no versions by name")
    if not isinstance(resumed, list) or not all(isinstance(time, str) for time in resumed):
        raise not_of_a_run(path, "resumed_at is no list of times")
    extended = content.get("extended", [])
    if not isinstance(extended, list) or not all(isinstance(one, dict) for one in extended):
        raise not_of_a_run(path, "extended is no list of mappings")
    if not isinstance(content.get("data"), dict | None):
        raise not_of_a_run(path, "data is no mapping")
    return content


def read_metrics(path: Path) -> list[Row]:
    """Return the rows of metrics.csv: epochs 0, 1, 2, ..., numbers in all columns, accuracies from 0 to 1."""
    rows = tables.read_rows(path)
    for place, row in enumerate(rows):
        if not _is_whole(row.get("epoch")) or row["epoch"] != place:
            raise not_of_a_run(path, f"epoch {str(row.get('epoch'))[:20]} in the place of {place}")
        _check_numbers(path, row)
    return rows


def read_solves(path: Path) -> list[Row]:
    """Return the rows of solves.csv, whose epochs never fall; none where there is no such file."""
    if not path.exists() and not path.is_symlink():
        return []
    rows, before = tables.read_rows(path), 1
    for row in rows:
        if not (_is_whole(row.get("epoch")) and _is_whole(row.get("layer"), 10**6)):
            raise not_of_a_run(path, "epoch or layer is no whole number")
        if row["epoch"] < before:
            raise not_of_a_run(path, f"epoch {row['epoch']} after {before}")
        before = row["epoch"]
    return rows


def read_histograms(path: Path) -> list[Row]:
    """Return the rows of histograms.csv, whose epochs never fall; none where there is no such file."""
    if not path.exists() and not path.is_symlink():
        return []
    rows, before = tables.read_rows(path), 0
    for row in rows:
        if tuple(row) != HISTOGRAM or not all(_is_whole(row[name]) for name in ("epoch", "layer", "bin", "weights")):
            raise not_of_a_run(path, "epoch, layer, bin or weights is no whole number")
        if not all(_is_number(row[name], finite=True) for name in ("low", "high")) or row["low"] >= row["high"]:
            raise not_of_a_run(path, f"no bin goes from {str(row['low'])[:40]} to {str(row['high'])[:40]}")
        if row["epoch"] < before:
            raise not_of_a_run(path, f"epoch {row['epoch']} after {before}")
        before = row["epoch"]
    return rows


def read_result(path: Path, metrics: Sequence[Row] | None = None) -> Row:
    """Return what a finished run has come to. metrics: of the same run, with which it must agree."""
    content = tables.read_json(path, "last", "best_validation")
    if "checksums" not in content and (unknown := content.keys() - KNOWN):
        raise not_of_a_run(path, f"{min(unknown)[:40]} is nothing that a run has")
    for name in ("last", "best_validation"):
        held = content[name]
        if held is None and name != "last":
            continue
        if not isinstance(held, dict) or not _is_whole(held.get("epoch")):
            raise not_of_a_run(path, f"{name} has no epoch")
        _check_numbers(path, held)
        if metrics is not None and not agree(held, metrics[min(held["epoch"], len(metrics) - 1)]):
            raise not_of_a_run(path, f"{name} is not the epoch {held['epoch']} of the metrics")
    if metrics is not None and content["last"]["epoch"] != metrics[-1]["epoch"]:
        raise not_of_a_run(path, "last is not the last epoch of the metrics")
    if not isinstance(content.get("warning"), str | None):
        raise not_of_a_run(path, "warning is no text")
    for name in ("seconds", "peak_memory_mb"):
        held = content.get(name)
        if held is not None and not (_is_number(held, finite=True) and held >= 0):
            raise not_of_a_run(path, f"{name} is no number from 0")
    return content


def of_result(row: Row) -> list[str]:
    """Return the names of what result.json repeats of a row of metrics."""
    return ["epoch", "train_loss", *scores.columns(row)]


def agree(held: Row, row: Row) -> bool:
    """Return whether the scores of a result are those of a row of metrics, NaN being null in JSON."""
    return all(held.get(name) == finite(row.get(name)) or held.get(name) == row.get(name) for name in of_result(row))


def finite(value: Any) -> Any:
    """Return a value as JSON has it: null for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_numbers(path: Path, row: Row) -> None:
    for name, value in row.items():
        if value is None:
            continue
        kind = str(name).rpartition("_")[2]  # errors of real targets grow without end, as the loss does
        least, most = (0.0, math.inf) if kind == "s" else LIMITS.get(kind, (-math.inf, math.inf))
        if not _is_number(value, finite=kind in ("s", "accuracy")):
            raise not_of_a_run(path, f"{str(name)[:40]}={str(value)[:40]!r} is no number")
        if value < least or value > most:  # of NaN, neither
            raise not_of_a_run(path, f"{str(name)[:40]}={value} lies outside of what there is")


def _is_whole(value: Any, most: int = MOST_EPOCHS) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_number(value: Any, *, finite: bool) -> bool:
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and (not finite or math.isfinite(value))
