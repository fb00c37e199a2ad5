"""The configuration of a run: what it must hold, its fingerprint, and how it is saved."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import MAX_BITS
from annealtrain.runs import recorder

Config = dict[str, Any]
PLAIN = (
    "bits",
    "epochs",
    "alpha",
    "seed",
    "samples",
    "validation",
    "batch_size",
    "augment",
    "averaging",
    "bias",
    "conv_inverse",
    "threads",
    "progress",
    "resume",
)


def check_values(config: Config) -> None:
    """Raise InputError for a missing setting, or a plain value outside its limits."""
    for name in ("model", "dataset", "solver", "targets", "schedule", *PLAIN):
        if name not in config:
            raise InputError(f"the configuration has no {name!r}: annealtrain train --help lists what a run needs")
    for name, low, high in (
        ("bits", 1, MAX_BITS),
        ("epochs", 1, 100_000),
        ("seed", 0, 2**63 - 1),
        ("samples", 1, 2**31),
        ("threads", 1, 1024),
        ("validation", 0, 2**31),
        ("batch_size", 1, 2**31),
    ):
        value = config[name]
        if value is None and name in ("threads", "validation", "batch_size"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name}={value!r} is not a whole number from {low} to {high}")
    alpha = config["alpha"]
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise InputError(f"alpha={alpha!r} is not a number from 0 (ReLU) to 1 (linear)")
    averaging = config["averaging"]
    if isinstance(averaging, bool) or not isinstance(averaging, int | float) or not 0 <= averaging < 1:
        raise InputError(f"averaging={averaging!r} is not a number from 0 (none) to below 1")
    if not isinstance(config["augment"], dict) or config["augment"].keys() - {"shift", "flip"}:
        raise InputError(f"augment={config['augment']!r} is not shift and flip: augment.shift=2 augment.flip=true")
    for name, choices in (
        ("bias", (True, False)),
        ("resume", (True, False)),
        ("progress", (True, False, "auto")),
        ("conv_inverse", ("fourier", "exact")),
    ):
        if not any(config[name] == choice and type(config[name]) is type(choice) for choice in choices):  # 1 == True
            listed = ", ".join(str(choice).lower() for choice in choices)
            raise InputError(f"{name}={config[name]!r} is not one of {listed}")


# What changes how a run is done, but not its numbers.
INDIFFERENT = ("resume", "progress", "threads", "data_dir")


def config_hash(config: Config) -> str:
    """Return a fingerprint of all settings that can change a run's numbers."""
    settings = {key: value for key, value in config.items() if key not in INDIFFERENT}
    settings["dataset"] = {key: value for key, value in config["dataset"].items() if key != "data_dir"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def saved_config(folder: Path) -> Config:
    """Return the configuration of the run in `folder`; InputError if there is none."""
    path = folder / recorder.CONFIG
    if not path.is_file() or not (folder / recorder.META).is_file():
        raise InputError(f"{folder} is not a run folder: it has no {recorder.CONFIG} and {recorder.META}")
    try:
        return plain(OmegaConf.load(path))  # type: ignore[arg-type]
    except Exception as error:  # of YAML, of OmegaConf, or for a file of another kind
        why = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({why}): start the run anew in another folder") from error


def plain(config: DictConfig) -> Config:
    """Return a composed configuration as plain dictionaries, its interpolations resolved, its paths absolute."""
    content: Config = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for holder in (content, content.get("dataset")):
        if isinstance(holder, dict) and isinstance(holder.get("data_dir"), str):
            holder["data_dir"] = os.path.abspath(os.path.expanduser(holder["data_dir"]))
    return content
