"""How well a run does, by the columns of its metrics: accuracy where it tells classes apart, else R2."""

from math import isfinite

from annealtrain.runtime.array_types import Row

SPLITS = ("train", "val", "test")
KINDS = {"accuracy": ("accuracy",), "r2": ("mse", "rmse", "r2")}  # of which the first word is what runs are compared by
NAMES = {"accuracy": "accuracy", "r2": "R2"}


def kind(row: Row) -> str:
    """Return what a row of metrics, or of their last, is judged by: accuracy or r2; higher is better of both."""
    return "r2" if any(row.get(f"{split}_r2") is not None for split in SPLITS) else "accuracy"


def score(row: Row, split: str) -> float | None:
    """Return a row's score on train, val or test, None where it has none, or none that is a finite number."""
    found = row.get(f"{split}_{kind(row)}")
    return float(found) if found is not None and isfinite(found) else None


def columns(row: Row) -> list[str]:
    """Return the names of all scores that such a row has, split after split."""
    return [f"{split}_{name}" for split in SPLITS for name in KINDS[kind(row)]]
