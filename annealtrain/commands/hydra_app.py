"""Hydra around `train`: composition, run folders, and its errors in one line each."""

import logging
import os
import re
import shlex
import sys
import uuid
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from annealtrain.commands import job_folder, search, sweep
from annealtrain.commands.train import train
from annealtrain.errors import InputError
from annealtrain.experiment.compose import CONFIGS, explain, refuse_doubled_words, refuse_old_words
from annealtrain.experiment.config import Config, plain
from annealtrain.runtime import parent_watch, safe_path

log = logging.getLogger(__name__)
RERUN = "--experimental-rerun"  # an option of Hydra's


def run_hydra(arguments: list[str]) -> int:
    """Run `annealtrain train` with Hydra's grammar and return the exit code: 1 if a job of a sweep failed.

    Raises InputError for what Hydra or the run refuses.
    """
    if any(len(word) > 2 and RERUN.startswith(word.partition("=")[0]) for word in arguments):
        raise InputError(f"{RERUN} runs whatever a pickle holds: annealtrain resume goes on with a run folder")
    arguments = _spelled_out(arguments)
    # Hydra's parser wants its flags before or after the overrides, not between them.
    sys.argv = ["annealtrain", *sorted(arguments, key=lambda word: word not in ("-m", "--multirun"))]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us, not to Hydra's own printer
    refused: list[InputError | OSError] = []
    is_composed = False
    started, origin = uuid.uuid4().hex, parent_watch.this_process()  # both go with the jobs to where those run
    sweep.Watch.entered = None

    def job(composed: DictConfig) -> float:
        nonlocal is_composed
        is_composed = True
        safe_path.forget()
        settings = HydraConfig.get()
        if settings.mode == RunMode.MULTIRUN:
            if "slurm" not in settings.launcher._target_.lower():  # its jobs are Slurm's to end
                parent_watch.end_with(origin)
            name, folder = job_folder.found(settings), Path(settings.runtime.cwd, settings.sweep.dir)
            return sweep.run_job(name, folder, started, lambda own: _train_in_sweep(composed, own))
        try:
            return _job(composed)
        except (InputError, OSError) as error:
            refused.append(error)  # raised below: Hydra would print a line of its own before ours
            return float("nan")

    try:
        with safe_path.for_workers():
            hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="train")(job)()
    except sweep.Refused as refusal:
        raise refusal.__cause__ or refusal from None
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error)) from error
    except ValueError as error:  # Hydra has it for some overrides; a run's own goes on as it is
        if is_composed:
            raise
        raise InputError(explain(error)) from error
    except KeyboardInterrupt as interrupt:
        raise sweep.interrupted(interrupt) from None
    finally:
        sweep.leave()
    if refused:
        raise refused[0]
    return sweep.conclude(started) if sweep.Watch.entered else 0


def _spelled_out(arguments: list[str]) -> list[str]:
    """Return the arguments with a figure's sweep, what is searched over and the names of jobs put in Hydra's words."""
    refuse_old_words(arguments)
    refuse_doubled_words(arguments)
    arguments = search.with_params(sweep.figure_words(arguments))
    if naming := job_folder.naming_word(arguments):
        at = next(k for k, word in enumerate(arguments) if "=" in word and not word.startswith("-"))
        arguments = [*arguments[:at], naming, *arguments[at:]]
    return arguments


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _command() -> str:
    """Return the command that makes this one run, whatever sweep it is a job of."""
    settings = HydraConfig.get()
    words = [word for word in settings.overrides.task if word.partition("=")[0] not in ("sweep", "sweep/launcher")]
    if (name := settings.runtime.choices.get("sweep")) not in (
        None,
        "null",
        "figure",
    ):  # its YAML may hold settings too
        words = [f"sweep={name}", "hydra.mode=RUN", *words]
    own = [source.path for source in settings.runtime.config_sources if source.provider == "command-line"]
    return shlex.join(["annealtrain", "train", *(f"--config-dir={path}" for path in own), *words])


def _train_in_sweep(composed: DictConfig, folder: Path) -> float:
    """A job of a sweep: quiet, and going on where an earlier sweep into the same folder left it."""
    settings = HydraConfig.get()
    try:
        config = _plain(composed)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error
    if settings.runtime.choices.get("hydra/sweeper") == "optuna" and config["validation"] == 0:
        raise InputError("a search maximises the accuracy on validation images: validation=0 leaves none")
    quiet = False if config["progress"] == "auto" else config["progress"]
    return train({**config, "resume": True, "progress": quiet}, folder, _command(), tell=log.debug)


def _plain(composed: DictConfig) -> Config:
    """Return a configuration whose paths are those of where the command was given, also with hydra.job.chdir=true."""
    here = os.getcwd()
    os.chdir(HydraConfig.get().runtime.cwd)
    try:
        return plain(composed)
    finally:
        os.chdir(here)


def _job(composed: DictConfig) -> float:
    folder = _folder()
    try:
        return train(_plain(composed), folder, _command())
    except (InputError, KeyboardInterrupt):
        remove_if_empty(folder)
        raise
    except OmegaConfBaseException as error:
        remove_if_empty(folder)
        raise InputError(explain(error)) from error
    except Exception:
        log.exception("this run failed")
        raise


def remove_if_empty(folder: Path) -> None:
    """Remove the run folder that Hydra made for a run that did not begin, and the default folders around it."""
    try:
        folder.rmdir()
        if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.parent.name):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
    except OSError:
        return
