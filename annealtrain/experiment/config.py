"""The configuration of a run: what it must hold, its fingerprint, and how it is read back from a run folder."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError
from annealtrain.experiment import data_of_run, model_of_run, moved_data, trust, versions
from annealtrain.hamiltonian.layer_problem import MAX_BITS
from annealtrain.runs import contents, foreign, recorder, tables, yaml_files
from annealtrain.runtime import thread_pool
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
    "grid": one_of("step", "fixed"),
    "levels": optional(whole(2, 2**MAX_BITS, "as a weight has at most 16 spins")),
    "fixed_grid": Rule(
        "moves and shadow: fixed_grid.moves=1 fixed_grid.shadow=0.3",
        lambda value: isinstance(value, dict) and value.keys() == {"moves", "shadow"},
    ),
    "bias": YES_OR_NO,
    "weight_histograms": whole(0, 10_000),
    "resume": YES_OR_NO,
    "progress": one_of(True, False, "auto"),
    "conv_inverse": one_of("fourier", "exact"),
    "output_activation": one_of("leaky_relu", "linear"),
    **data_of_run.RULES,
    **model_of_run.RULES,
}
TEXT = Rule("text", lambda value: isinstance(value, str))
PLACE = Rule("a folder", lambda value: isinstance(value, str) and value != "")
TEXTS = {"data_dir": optional(PLACE), "model.name": optional(TEXT)}  # which not every configuration has
# What changes how a run is done, but not its numbers.
INDIFFERENT = ("resume", "progress", "threads", "device", "data_dir")


def threads_of(config: Config) -> int:
    """Return how many threads a run may use; InputError for what is no number of them."""
    given: int | None = config.get("threads")
    RULES["threads"].check("threads", given)
    return given or thread_pool.available_threads()


def check_values(config: Config) -> None:
    """Raise InputError for a missing setting, one of an older version, or a plain value outside its limits."""
    for old, new in versions.RENAMED.items():
        if old in config:
            raise InputError(
                f"{old}: this setting is called {new} since 0.2.0: "
                f"write {new}, or take version 0.1.0 for a run that it made"
            )
    for name in (*NODES, *RULES):
        if name not in config:
            raise InputError(f"the configuration has no {name!r}: annealtrain train --help lists what a run needs")
    check_all(config, RULES)
    model = config["model"] if isinstance(config["model"], dict) else {}
    check_all({"data_dir": config.get("data_dir"), "model.name": model.get("name")}, TEXTS)


def config_hash(config: Config) -> str:
    """Return a fingerprint of all settings that can change a run's numbers."""
    told = model_of_run.without_defaults(data_of_run.without_defaults(config))
    later = {name: versions.BEFORE[name] for name in ("grid", "levels", "fixed_grid", "weight_histograms")}
    told = {key: value for key, value in told.items() if key not in later or value != later[key]}
    settings = {key: value for key, value in told.items() if key not in INDIFFERENT}
    if isinstance(config.get("dataset", {}), dict):
        settings["dataset"] = {key: value for key, value in config.get("dataset", {}).items() if key != "data_dir"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def config_text(config: Config) -> str:
    """Return a configuration as YAML."""
    return OmegaConf.to_yaml(config)


def read_config(folder: Path) -> Config:
    """Return the configuration of the run in `folder`, as it is written there; InputError if there is none.

    Nothing that it names is imported, and nothing is to be built of it: `saved_config` is for that.
    """
    path = folder / contents.CONFIG
    if lacking := [name for name in (contents.CONFIG, contents.META) if not (folder / name).is_file()]:
        raise InputError(f"{folder} is not a run folder: it has no {' and '.join(lacking)}")
    return _with_absolute_paths(yaml_files.read_mapping(path))


def saved_config(
    folder: Path,
    trusted: str | Sequence[str] = (),
    replaced: Mapping[str, Any] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> Config:
    """Return the configuration of the run in `folder` as it is to be built.

    trusted: modules of the user's own whose objects may be built, see `trust.check`. replaced: nodes in the place of
    those that the folder has. data_dir: where its data are on this machine, see `moved_data`. device: in the place
    of the run's own. A setting that the run's version did not know yet is what it was before, see `versions`.
    Raises InputError where there is no run, or its configuration names what is not to be built.
    """
    written = read_config(folder)
    foreign.refuse_quantized(folder)
    config = versions.completed(written, folder)
    config |= {name: node for name, node in (replaced or {}).items() if config.get(name) is not None}
    for name in NODES:
        if not isinstance(config.get(name, {}), dict):
            raise InputError(f"{folder / contents.CONFIG}: {name} is not a mapping: {tables.START_ANEW}")
    trust.check(config, trusted)
    check_values(config)
    meta = contents.read_meta(folder / contents.META)
    if config_hash(written) not in (meta.get("config_hash"), meta.get(recorder.NEXT_HASH)):
        raise InputError(
            f"{folder / contents.CONFIG} holds other settings than the run was made with: restore it, or "
            f"{tables.START_ANEW}"
        )
    return model_of_run.on_this_machine(moved_data.moved(config, data_dir), device)


def plain(config: DictConfig) -> Config:
    """Return a composed configuration as plain dictionaries, its interpolations resolved, its paths absolute."""
    return _with_absolute_paths(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def _with_absolute_paths(content: Config) -> Config:
    for holder in (content, content.get("dataset")):
        if isinstance(holder, dict) and isinstance(holder.get("data_dir"), str):
            holder["data_dir"] = _absolute(holder["data_dir"])
    if isinstance(content.get("init"), str):
        content["init"] = _absolute(content["init"])
    dataset = content.get("dataset")
    if isinstance(dataset, dict) and str(dataset.get("_target_")).startswith("annealtrain.data.array_files."):
        dataset |= {name: _absolute(dataset[name]) for name in data_of_run.FILES if isinstance(dataset.get(name), str)}
    return content


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path not in ("", "???") else path  # ???: not given
