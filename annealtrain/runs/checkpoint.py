"""Checkpoints: the weights of an epoch, and what going on from it needs beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.runs.tables import unreadable
from annealtrain.runtime.array_types import Array

LAST, BEST = "last.npz", "best.npz"
STATE = "state_"  # before the names of arrays in a checkpoint that are not weights


def read_checkpoint(path: Path) -> tuple[list[Array], int]:
    """Return the weights of each trainable layer and their epoch; nothing in the file is run."""
    with _opened(path) as held:
        layers = sum(not name.startswith(STATE) for name in held.files) - 1
        return [held[f"weights_{k}"] for k in range(layers)], int(held["epoch"])


def read_state(path: Path) -> dict[str, Array]:
    """Return the other arrays that `RunRecorder.save` was given, by name."""
    with _opened(path) as held:
        return {name.removeprefix(STATE): held[name] for name in held.files if name.startswith(STATE)}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            yield held
    except Exception as error:  # a damaged zip may raise anything
        raise unreadable(path, error) from error
