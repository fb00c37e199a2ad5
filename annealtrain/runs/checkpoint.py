"""Checkpoints: the weights of an epoch, and what going on from it needs beside them."""

import io
import zipfile
from pathlib import Path

from annealtrain.runs import contents
from annealtrain.runs.tables import unreadable
from annealtrain.runtime import archives, files
from annealtrain.runtime.array_types import Array

LAST, BEST = "last.npz", "best.npz"
# Before the names of arrays in a checkpoint that are not weights of layers: what going on needs, and what else a torch
# module holds.
STATE, MODULE = "state_", "module_"
MOST_CHECKPOINT = 16_000_000_000  # bytes


def read_checkpoint(path: Path) -> tuple[list[Array], int]:
    """Return the weights of each trainable layer and their epoch; nothing in the file is run."""
    held = _arrays(path)
    try:
        names = [name for name in held if not name.startswith((STATE, MODULE))]
        epoch, weights = held["epoch"], [held[f"weights_{k}"] for k in range(len(names) - 1)]
        if epoch.shape != () or epoch.dtype.kind != "i" or not 0 <= epoch <= contents.MOST_EPOCHS:
            raise ValueError(f"its epoch is no whole number from 0 to {contents.MOST_EPOCHS}")
        if any(array.dtype.kind != "f" for array in weights):
            raise ValueError("its weights are no numbers")
    except (KeyError, ValueError) as error:
        raise unreadable(path, error) from error
    return weights, int(epoch)


def read_state(path: Path) -> dict[str, Array]:
    """Return the other arrays that `RunRecorder.save` was given, by name."""
    return _named(path, STATE)


def read_module(path: Path) -> dict[str, Array]:
    """Return what a torch module holds beside its layers' weights, by name; nothing where it was another network."""
    return _named(path, MODULE)


def _named(path: Path, kind: str) -> dict[str, Array]:
    return {name.removeprefix(kind): array for name, array in _arrays(path).items() if name.startswith(kind)}


def _arrays(path: Path) -> dict[str, Array]:
    """Return the arrays in a checkpoint by name: as many bytes as the file has, since no run writes a packed one."""
    try:
        content = files.read_bytes(path, MOST_CHECKPOINT)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("it is packed")
        return archives.arrays(content, len(content))
    except Exception as error:  # a damaged zip may raise anything
        raise unreadable(path, error) from error
