"""Run folders of other versions: which settings came later, and what a run was before them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import annealtrain
from annealtrain.errors import InputError
from annealtrain.experiment.trust import shown
from annealtrain.runs import contents, tables
from annealtrain.runtime.foreign_text import printable

log = logging.getLogger(__name__)
RENAMED = {"targets": "optimizer"}  # groups of version 0.1.0, and the names that they have now
# Settings that a run folder may lack, and the value under which a run is what it was without them. One that is neither
# here nor in the folder has no such value.
BEFORE: dict[str, Any] = {
    "augment": {"shift": 0, "flip": False},
    "averaging": 0,
    "batch_size": None,
    "fixed_grid": {"moves": None, "shadow": None},
    "grid": "step",
    "levels": None,
    "init": None,
    "trainable": None,
    "precision": "float32",
    "weight_histograms": 0,
    "output_activation": "leaky_relu",
    "task": None,
    "image_size": [32, 32],
    "scale": None,
    "standardise": None,
    # Not of the numbers, but of how a run is done.
    "progress": "auto",
    "resume": False,
    "threads": None,
    "device": "cpu",
}


def completed(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a folder's configuration with the settings that it lacks, and say so in the log.

    Raises InputError where its settings and classes have had other names since.
    """
    if old := [name for name in RENAMED if name in config]:
        raise InputError(
            f"{folder / contents.CONFIG} has {old[0]}, a setting of version 0.1.0, whose classes had other names too: "
            "go on with that version, or start the run anew with this one"
        )
    missing = {name: value for name, value in BEFORE.items() if name not in config}
    if missing:
        taken = " ".join(f"{name}={'null' if value is None else value}" for name, value in missing.items())
        path = printable(str(folder / contents.CONFIG))
        log.warning("%s lacks %s%s: taken as %s, which changes nothing", path, ", ".join(missing), said(folder), taken)
    return {**config, **missing}


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Add both versions to an InputError about the run in a folder, where another version made it."""
    try:
        yield
    except InputError as error:
        if maker(folder) in (annealtrain.__version__, None) or said(folder) in str(error):
            raise
        raise type(error)(f"{error}{said(folder)}") from error


def maker(folder: Path) -> str | None:
    """Return the version that made the run in a folder, None where it is not told."""
    try:
        version = tables.read_json(folder / contents.META).get("annealtrain")
    except InputError:
        return None
    return version if isinstance(version, str) else None


def said(folder: Path) -> str:
    """Return both versions as the end of a message."""
    then = shown(maker(folder) or "an unknown version")
    return f" (the run is of annealtrain {then}, this is {annealtrain.__version__})"
