"""What the tests of run folders share: a run written step by step or at once, and what is said of a damaged file."""

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.experiment.config import config_hash, read_config
from annealtrain.runs import checksums
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runs.tables import read_json

VALUES = (0.5, 0.7, 0.6)  # validation accuracy of epochs 0 to 2
META_OF_OLD = {"config_hash": "a", "command": "annealtrain train", "annealtrain": "0.1.0"}  # without checksums
META = {"config_hash": "abc", "started_at": "now"}
VALIDATION = (0.1, 0.5, 0.5, 0.4)  # its best is epoch 1: the first of equals


def row(epoch: int, **more: Any) -> dict[str, Any]:
    scores = {"train_loss": 1 / (3 + epoch), "train_accuracy": 0.2, "val_accuracy": VALIDATION[epoch]}
    trained = {"L": 0.1, "beta": None} if epoch else {}
    return {"epoch": epoch, **scores, "test_accuracy": 0.3, **trained, "total_s": 0.5, **more}


def layers(epoch: int) -> list[np.ndarray]:
    return [np.full((2, 3), epoch + 0.1), np.arange(4.0).reshape(1, 4) / (epoch + 1)]


def save(record: RunRecorder, epoch: int) -> None:
    solves = [{"epoch": epoch, "layer": k, "energy": 0.1 * epoch, "solve_s": 0.01} for k in range(2)]
    record.save(row(epoch), solves if epoch else [], layers(epoch))


def started(folder: Path, epochs: int) -> RunRecorder:
    """Return the recorder of a new run after `epochs` epochs and the one before them."""
    record = RunRecorder(folder)
    assert record.begin("bits: 3\n", META, resume=False) is None
    for epoch in range(epochs + 1):
        save(record, epoch)
    return record


def damaged(path: Path, read: Callable[[Path], object]) -> str:
    """Return the one line that reading a damaged file ends in."""
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert "start the run anew in another folder" in line
    return line


def reseal(folder: Path) -> None:
    """Give a finished run the fingerprint and the checksums of its files as they are now, as if it had written them."""
    with suppress(InputError):  # of a configuration, or a meta.json, that nobody can read
        meta, fingerprint = read_json(folder / "meta.json"), config_hash(read_config(folder))
        if meta["config_hash"] != fingerprint:
            (folder / "meta.json").write_text(json.dumps(meta | {"config_hash": fingerprint}))
    result = {name: value for name, value in read_json(folder / "result.json").items() if name != "checksums"}
    (folder / "result.json").write_text(json.dumps(checksums.sealed(result, folder, {})))


def write_run(folder: Path, *, finished: bool = True, shift: float = 0.0, **settings: Any) -> Path:
    """Write a run folder as a recorder does: three epochs, validation accuracies VALUES + shift."""
    folder.mkdir(parents=True)
    config = {
        "seed": 0,
        "epochs": 2,
        "progress": "auto",
        "model": {"name": "linear", "layers": [{"_target_": "annealtrain.nn.layers.Flatten"}]},
        "solver": {"_target_": "annealtrain.solvers.annealing.simulated_annealing.SimulatedAnnealing", "num_reads": 1},
        "schedule": {"first": [0.1, 0.2]},
        "bias": False,
        **settings,
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (folder / "meta.json").write_text(json.dumps(META_OF_OLD))
    rows = [
        {"epoch": e, "train_loss": 1.0, "val_accuracy": v + shift, "test_accuracy": v + shift + 0.01, "total_s": 0.5}
        for e, v in enumerate(VALUES)
    ]
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if finished:
        result = {"last": rows[-1], "best_validation": rows[1], "seconds": 1.5}
        (folder / "result.json").write_text(json.dumps(result))
    return folder
