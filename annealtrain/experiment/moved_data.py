"""A run's data on another machine: their places there, and whether they are those that the run was made on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annealtrain.errors import DataMissing, InputError
from annealtrain.experiment.data_of_run import FILES


def moved(config: dict[str, Any], data_dir: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return a run's configuration with its data in a folder of this machine; None: where they were.

    Files of arrays lie in it as they lay in the lowest folder above all of them.
    Raises InputError for a set that lies in no folder, and for a folder that is not there.
    """
    if data_dir is None:
        return config
    root = os.path.abspath(os.path.expanduser(data_dir))
    if not os.path.isdir(root):
        raise InputError(f"--data-dir {os.fspath(data_dir)}: there is no such folder")
    dataset = dict(config["dataset"])
    files = {name: dataset[name] for name in FILES if isinstance(dataset.get(name), str)}
    if files:
        above = os.path.commonpath([os.path.dirname(path) for path in files.values()])
        dataset |= {name: os.path.join(root, os.path.relpath(path, above)) for name, path in files.items()}
    elif "data_dir" in dataset:
        dataset["data_dir"] = root
    else:
        target = str(dataset.get("_target_")).rpartition(".")[2]
        raise InputError(f"--data-dir: the data of this run ({target}) are read from no folder: leave it out")
    return config | {"dataset": dataset} | ({"data_dir": root} if "data_dir" in config else {})


@contextmanager
def looked_for(folder: Path) -> Iterator[None]:
    """Say of data of the run in a folder, where they are missing, how to tell where they are."""
    try:
        yield
    except DataMissing as missing:
        raise InputError(
            f"the data of the run in {folder} are not at {missing.place}: say where they are, --data-dir DIR"
        ) from missing
