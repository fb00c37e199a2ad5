"""The configuration of a run: what it must hold, its fingerprint, and how it is read back from a run folder."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError
from annealtrain.experiment import data_of_run
from annealtrain.hamiltonian.layer_problem import MAX_BITS
from annealtrain.runs import recorder
from annealtrain.runtime.validation import YES_OR_NO, Rule, check_all, number, one_of, optional, whole

Config = dict[str, Any]

NODES = ("model", "dataset", "optimizer")  # what every run is built from; solver and schedule go with its optimizer
RULES = {
    "bits": whole(1, MAX_BITS),
    "epochs": whole(1, 100_000),
    "seed": whole(0, 2**63 - 1),
    "samples": optional(whole(1, 2**31)),
    "threads": optional(whole(1, 1024)),
    "validation": optional(whole(0, 2**31)),
    "batch_size": optional(whole(1, 2**31)),
    "alpha": number(0, 1, words="a number from 0 (ReLU) to 1 (linear)"),
    "averaging": number(0, below=1, words="a number from 0 (none) to below 1"),
    "augment": Rule(
        "shift and flip: augment.shift=2 augment.flip=true",
        lambda value: isinstance(value, dict) and value.keys() <= {"shift", "flip"},
    ),
    "bias": YES_OR_NO,
    "resume": YES_OR_NO,
    "progress": one_of(True, False, "auto"),
    "conv_inverse": one_of("fourier", "exact"),
    **data_of_run.RULES,
}
RENAMED = {"targets": "optimizer"}  # of groups, and the names that they have now
# What changes how a run is done, but not its numbers.
INDIFFERENT = ("resume", "progress", "threads", "data_dir")


def check_values(config: Config) -> None:
    """Raise InputError for a missing setting, one of an older version, or a plain value outside its limits."""
    for old, new in RENAMED.items():
        if old in config:
            raise InputError(
                f"{old}: this setting is called {new} since 0.2.0: "
                f"write {new}, or take version 0.1.0 for a run that it made"
            )
    for name in (*NODES, *RULES):
        if name not in config:
            raise InputError(f"the configuration has no {name!r}: annealtrain train --help lists what a run needs")
    check_all(config, RULES)


def config_hash(config: Config) -> str:
    """Return a fingerprint of all settings that can change a run's numbers."""
    told = data_of_run.without_defaults(config)
    settings = {key: value for key, value in told.items() if key not in INDIFFERENT}
    settings["dataset"] = {key: value for key, value in config["dataset"].items() if key != "data_dir"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def config_text(config: Config) -> str:
    """Return a configuration as YAML."""
    return OmegaConf.to_yaml(config)


def saved_config(folder: Path) -> Config:
    """Return the configuration of the run in `folder`; InputError if there is none."""
    path = folder / recorder.CONFIG
    if not path.is_file() or not (folder / recorder.META).is_file():
        raise InputError(f"{folder} is not a run folder: it has no {recorder.CONFIG} and {recorder.META}")
    try:
        return data_of_run.BEFORE | plain(OmegaConf.load(path))  # type: ignore[arg-type]
    except Exception as error:  # of YAML, of OmegaConf, or for a file of another kind
        why = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({why}): start the run anew in another folder") from error


def plain(config: DictConfig) -> Config:
    """Return a composed configuration as plain dictionaries, its interpolations resolved, its paths absolute."""
    content: Config = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for holder in (content, content.get("dataset")):
        if isinstance(holder, dict) and isinstance(holder.get("data_dir"), str):
            holder["data_dir"] = _absolute(holder["data_dir"])
    dataset = content.get("dataset")
    if isinstance(dataset, dict) and str(dataset.get("_target_")).startswith("annealtrain.data.array_files."):
        dataset |= {name: _absolute(dataset[name]) for name in data_of_run.FILES if isinstance(dataset.get(name), str)}
    return content


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path not in ("", "???") else path  # ???: not given
