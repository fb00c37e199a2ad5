"""Hydra around `train`: composition, run folders, and its errors in one line each."""

import logging
import os
import shlex
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from annealtrain import sweeps
from annealtrain.errors import InputError, nearest
from annealtrain.parts import Config
from annealtrain.train import plain, remove_if_empty, train

log = logging.getLogger(__name__)

CONFIGS = "annealtrain.configs"
# The launchers and sweepers that are packages of their own, and the extra that brings each.
PLUGINS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/submitit_local": "sweep",
    "hydra/launcher/submitit_slurm": "sweep",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "sweep",
}


def run_hydra(arguments: list[str]) -> int:
    """Run `annealtrain train` with Hydra's grammar and return the exit code: 1 if a job of a sweep failed.

    Raises InputError for what Hydra or the run refuses.
    """
    if fixed := sweeps.fixed_keys(arguments):
        unnamed = ",".join([*sweeps.UNNAMED, *fixed])
        at = next(k for k, word in enumerate(arguments) if "=" in word and not word.startswith("-"))
        arguments = [*arguments[:at], f"hydra.job.config.override_dirname.exclude_keys=[{unnamed}]", *arguments[at:]]
    # Hydra's parser wants its flags before or after the overrides, not between them.
    sys.argv = ["annealtrain", *sorted(arguments, key=lambda word: word not in ("-m", "--multirun"))]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us, not to Hydra's own printer
    refused: list[InputError] = []
    is_composed = False
    sweeps.Watch.folder = None

    def job(composed: DictConfig) -> float:
        nonlocal is_composed
        is_composed = True
        settings = HydraConfig.get()
        if settings.mode == RunMode.MULTIRUN:
            return sweeps.run_job(settings.sweep.subdir, _folder(), lambda: _train_in_sweep(composed))
        try:
            return _job(composed)
        except InputError as error:
            refused.append(error)  # raised below: Hydra would print a line of its own before ours
            return float("nan")

    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="train")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error)) from error
    except ValueError as error:  # Hydra has it for some overrides; a run's own goes on as it is
        if is_composed:
            raise
        raise InputError(explain(error)) from error
    if refused:
        raise refused[0]
    return sweeps.conclude() if sweeps.Watch.folder else 0


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _command() -> str:
    """Return the command that makes this one run, whatever sweep it is a job of."""
    settings = HydraConfig.get()
    words = [word for word in settings.overrides.task if word.partition("=")[0] not in ("sweep", "sweep/launcher")]
    if (sweep := settings.runtime.choices.get("sweep")) not in (None, "null"):  # whose YAML may hold settings too
        words = [f"sweep={sweep}", "hydra.mode=RUN", *words]
    own = [source.path for source in settings.runtime.config_sources if source.provider == "command-line"]
    return shlex.join(["annealtrain", "train", *(f"--config-dir={path}" for path in own), *words])


def _train_in_sweep(composed: DictConfig) -> float:
    """A job of a sweep: quiet, and going on where an earlier sweep into the same folder left it."""
    settings = HydraConfig.get()
    excluded = settings.job.config.override_dirname.exclude_keys
    sweeps.check_fixed(Path(settings.runtime.cwd, settings.sweep.dir), settings.overrides.task, excluded)
    try:
        config = plain(composed)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error
    if settings.runtime.choices.get("hydra/sweeper") == "optuna" and config["validation"] == 0:
        raise InputError("a search maximises the accuracy on validation images: validation=0 leaves none")
    quiet = False if config["progress"] == "auto" else config["progress"]
    return train({**config, "resume": True, "progress": quiet}, _folder(), _command(), tell=log.debug)


def _job(composed: DictConfig) -> float:
    folder = _folder()
    try:
        return train(plain(composed), folder, _command())
    except (InputError, KeyboardInterrupt):
        remove_if_empty(folder)
        raise
    except OmegaConfBaseException as error:
        remove_if_empty(folder)
        raise InputError(explain(error)) from error
    except Exception:
        log.exception("this run failed")
        raise


def compose_config(overrides: list[str], config_dir: str | None) -> Config:
    """Return the configuration that `annealtrain train` would run with these overrides."""
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
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        listed = ", ".join(sorted(error.options))
        return f"{group}={name} is not known{nearest(name, error.options)}: choose one of {listed}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        key = str(cause.full_key)
        if " not in " in str(cause):  # the keys of a YAML, or of Hydra's own settings
            parent, _, name = key.rpartition(".")
            known = list(_keys(cause.parent_node)) + (_groups() if not parent else [])
            found = nearest(name, known).replace("'?", f"'{' in ' + parent if parent else ''}?")
            return f"no setting {key!r}{found}: annealtrain train --help lists all"
        return f"{key}: {' '.join(str(cause).split('full_key')[0].split())}"
    if isinstance(error, ConfigCompositionException) and "Could not override" in first:
        name = first.split("'")[1]
        return f"no group {name!r}{nearest(name, _groups())}: annealtrain train --help lists all"
    if first.startswith("Ambiguous value"):
        return f"{first}: add --multirun to sweep over it, or write key=[a,b] for a list"
    if first.startswith("Config group override"):
        return f"{first}: give a group the name of one of its options, as in model=lenet"
    return first


def _keys(node: Any) -> Iterable[str]:
    return map(str, node.keys()) if isinstance(node, DictConfig) else ()


def _groups() -> list[str]:
    return [entry.name for entry in files(CONFIGS).iterdir() if entry.is_dir() and not entry.name.startswith("_")]
