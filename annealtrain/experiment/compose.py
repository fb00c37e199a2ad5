"""Hydra's composition of configurations, and its errors in one line each."""

import os
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import hydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from annealtrain.errors import InputError, nearest
from annealtrain.experiment.config import Config, plain

CONFIGS = "annealtrain.configs"
# The launchers and sweepers that are packages of their own, and the extra that brings each.
PLUGINS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/submitit_local": "sweep",
    "hydra/launcher/submitit_slurm": "sweep",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "sweep",
}


# Words of version 0.1.0, and what they are called now.
OLD_GROUPS = {"targets": "optimizer"}
OLD_OPTIONS = ("backprop", "backprop_tuned")  # of the group solver
OF_BACKPROP = ("learning_rate", "batch_size", "loss", "weight_decay", "threads")
OLD_KEYS = {f"solver.{name}": f"optimizer.{name}" for name in OF_BACKPROP}


def refuse_doubled_words(overrides: Sequence[str]) -> None:
    """Raise InputError where a method stands beside the optimizer or the solver that it is a name for."""
    keys = {word.partition("=")[0] for word in overrides if "=" in word and not word.endswith("=null")}
    if "method" in keys and (beside := [key for key in ("optimizer", "solver") if key in keys]):
        raise InputError(
            f"method= names an optimizer and a solver at once: leave {' and '.join(beside)} out, or method"
        )


def refuse_old_words(overrides: Sequence[str]) -> None:
    """Raise InputError for a word of an older version, in one line with the word for it now."""
    for word in overrides:
        if new := _new_word(word):
            raise InputError(f"{word}: this is called {new} now")


def _new_word(word: str) -> str | None:
    """Return what an override of an older version is called now, None for one that is not old."""
    key, _, value = word.lstrip("+~").partition("=")
    first, _, rest = key.partition(".")
    if first in OLD_GROUPS:
        return f"{OLD_GROUPS[first]}{'.' if rest else ''}{rest}={value}"
    if key == "solver" and (old := [option for option in value.split(",") if option in OLD_OPTIONS]):
        return f"optimizer={','.join(old)}"
    if key == "sweep" and (
        figures := [name for name in value.split(",") if name.startswith("fig") and name != "figure"]
    ):
        return f"sweep=figure figure={figures[0]}"
    return next(
        (
            new + key.removeprefix(old) + "=" + value
            for old, new in OLD_KEYS.items()
            if key == old or key.startswith(old + ".")
        ),
        None,
    )


def compose_config(overrides: list[str], config_dir: str | None) -> Config:
    """Return the configuration that `annealtrain train` would run with these overrides."""
    refuse_old_words(overrides)
    refuse_doubled_words(overrides)
    if config_dir:
        folder = os.path.abspath(config_dir)
        if not os.path.isdir(folder):
            raise InputError(f"--config-dir: there is no folder {folder}")
        quoted = folder.replace("\\", "\\\\").replace('"', '\\"')
        overrides = [f'hydra.searchpath=["file://{quoted}"]', *overrides]
    try:
        with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
            return plain(hydra.compose("train", overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise InputError(explain(error)) from error


def explain(error: BaseException) -> str:
    """Return one line for an error of Hydra or OmegaConf: what was wrong, and the nearest valid name."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: write key=value, quoted where it holds spaces, brackets or another ="
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        if extra := PLUGINS.get(str(error.missing_cfg_file)):
            return f"{error.missing_cfg_file} is not installed: pip install 'annealtrain[{extra}]'"
        group, _, name = str(error.missing_cfg_file).partition("/")
        if group == "dataset" and os.path.exists(name):
            return f"dataset={name} is not known: write {_own_set(name)}"
        options = sorted({*error.options, *_options(group)})
        if elsewhere := [
            other for other in ("optimizer", "solver", "method") if other != group and name in _options(other)
        ]:
            return f"{group}={name} is not known: write {elsewhere[0]}={name}"
        return f"{group}={name} is not known{nearest(name, options)}: choose one of {', '.join(options)}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        key = str(cause.full_key)
        if key in ("figure", "seeds"):
            return f"{key}= is read by the sweep of a figure: sweep=figure figure=fig5b seeds=3"
        if " not in " in str(cause):  # the keys of a YAML, or of Hydra's own settings
            parent, _, name = key.rpartition(".")
            known = list(_keys(cause.parent_node)) + (_groups() if not parent else [])
            if name in known:
                return f"{key}: this run has no {name} that could have settings"
            found = nearest(name, known).replace("'?", f"'{' in ' + parent if parent else ''}?")
            return f"no setting {key!r}{found}: annealtrain train --help lists all"
        if named := re.search(r"node .([\w.]+). is not a container", str(cause)):
            return f"{named[1]}= is a group of settings, not a value: set those in it, such as {named[1]}.first="
        return f"{key}: {' '.join(str(cause).split('full_key')[0].split())}"
    if isinstance(error, ConfigCompositionException) and (named := re.search("Could not override '([^'@]+)", first)):
        name = named[1].lstrip("/")
        if name in _groups():
            return f"a YAML that overrides the group {name} must begin with the line '# @package _global_'"
        if name in OLD_GROUPS:
            return f"the group {name} is called {OLD_GROUPS[name]} now: override /{OLD_GROUPS[name]}"
        return f"no group {name!r}{nearest(name, _groups())}: annealtrain train --help lists all"
    if first.startswith("Ambiguous value"):
        return f"{first}: add --multirun to sweep over it, or write key=[a,b] for a list"
    if first.startswith("Config group override"):
        return f"{first}: give a group the name of one of its options, as in model=lenet"
    return first


def _own_set(path: str) -> str:
    """Return the words that read a file or a folder of a user's own."""
    if os.path.isdir(path):
        return f"dataset=folder data_dir={path}"
    return f"dataset=arrays dataset.file={path}"


def _keys(node: Any) -> Iterable[str]:
    return map(str, node.keys()) if isinstance(node, DictConfig) else ()


def _options(group: str) -> list[str]:
    """Return the names of a group's options, those in folders of its own as FOLDER/NAME."""
    here = files(CONFIGS) / group
    entries = list(here.iterdir()) if here.is_dir() else []
    below = [
        f"{entry.name}/{name}" for entry in entries if entry.is_dir() for name in _options(f"{group}/{entry.name}")
    ]
    return [entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")] + below


def _groups() -> list[str]:
    return [entry.name for entry in files(CONFIGS).iterdir() if entry.is_dir() and not entry.name.startswith("_")]
