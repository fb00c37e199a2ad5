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
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from annealtrain.commands import job_folder, search, streams, sweep, together, train_flags
from annealtrain.commands.interrupts import through_libraries
from annealtrain.commands.train import train
from annealtrain.errors import InputError
from annealtrain.experiment import own_folder, own_yaml
from annealtrain.experiment.compose import ERRORS, check_words, explain, finished, with_own
from annealtrain.experiment.config import Config
from annealtrain.experiment.known_settings import CONFIGS
from annealtrain.experiment.swept_words import check_sweep, is_swept
from annealtrain.runtime import lifeline, safe_path

log = logging.getLogger(__name__)


def run_hydra(arguments: list[str]) -> int:
    """Run `annealtrain train` with Hydra's grammar and return the exit code: 1 if a job of a sweep failed.

    Raises InputError for what Hydra or the run refuses.
    """
    sys.argv = ["annealtrain", *_spelled_out(arguments)]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us, not to Hydra's own printer
    refused: list[Exception] = []
    is_composed = False
    started, origin = uuid.uuid4().hex, lifeline.this_process()  # both go with the jobs to where those run
    sweep.Watch.entered = None

    def job(composed: DictConfig) -> float:
        nonlocal is_composed
        is_composed = True
        safe_path.forget()
        settings = HydraConfig.get()
        if settings.mode == RunMode.MULTIRUN:
            if "slurm" not in settings.launcher._target_.lower():  # its jobs are Slurm's to end
                lifeline.end_with(origin)
            name, folder = job_folder.found(settings), Path(settings.runtime.cwd, settings.sweep.dir)
            return sweep.run_job(name, folder, started, lambda own: _train_in_sweep(composed, own))
        try:
            return _job(composed)
        except (InputError, OSError, MemoryError, RuntimeError) as error:
            refused.append(error)  # raised below: Hydra would print a line of its own before ours
            return float("nan")

    try:
        with safe_path.for_workers():
            hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="train")(job)()
    except sweep.Refused as refusal:
        raise refusal.__cause__ or refusal from None
    except (*ERRORS, OSError) as error:  # of a composition; a run's own go on as they are
        if said := sweep.full_disk(error):
            raise InputError(said) from error
        if is_composed or not (isinstance(error, ERRORS) or own_yaml.fault(error)):
            raise
        raise InputError(explain(error)) from error
    except Exception as error:
        if ended := sweep.worker_ended(error):
            raise ended from error
        raise
    except KeyboardInterrupt as interrupt:
        raise sweep.interrupted(interrupt) from None
    finally:
        sweep.leave()
    if refused:
        raise refused[0]
    return sweep.conclude(started) if sweep.Watch.entered else 0


def _spelled_out(arguments: list[str]) -> list[str]:
    """Return the arguments with a figure's sweep, what is searched over and the names of jobs put in Hydra's words."""
    flags, words = train_flags.parted(arguments)
    if train_flags.RERUN in flags:
        raise InputError(
            f"{train_flags.RERUN} runs whatever a pickle holds: annealtrain resume goes on with a run folder"
        )
    if main := flags.keys() & {"--config-name", "--config-path"}:
        raise InputError(f"{min(main)}: annealtrain has a main YAML of its own: give a folder of yours by --config-dir")
    check_words(words)
    if "--config-dir" in flags:
        own_folder.check(flags["--config-dir"] or "", words)
    words = search.with_params(with_own(sweep.figure_words(words)))
    if flags.keys() <= {"--multirun", "--run", "--config-dir"}:
        _check_sweep(words, flags)
    naming = job_folder.naming_word(words)
    if naming and together.count() > 1:
        raise InputError("torchrun gives one run several processes: start a sweep without it")
    # Hydra's parser wants its flags before or after the overrides, not between them.
    return [*train_flags.line_of(flags), *([naming] if naming else []), *words]


def _check_sweep(words: list[str], flags: dict[str, str | None]) -> None:
    """Raise InputError for a sweep over nothing, or one whose settings nothing in it reads."""
    keys = {word.lstrip("+").partition("=")[0] for word in words}
    is_named = bool(
        keys & {"sweep", "hydra.mode", "hydra/sweeper"} or any(key.startswith("hydra.sweeper.") for key in keys)
    )
    if (
        "--multirun" in flags
        and keys <= {*job_folder.INDIFFERENT} | {key for key in keys if key.startswith("hydra.")}
        and not is_swept(words)
    ):
        raise InputError("--multirun has nothing to sweep over: give a setting several values, such as seed=0,1,2")
    if "--multirun" in flags or is_named:
        check_sweep(words, flags.get("--config-dir"))


def _configuration(composed: DictConfig) -> Config:
    """Return the configuration of a run or a job that Hydra composed; InputError for settings that nothing reads."""
    settings = HydraConfig.get()
    own_yaml.check_own(settings)
    # The jobs of a sweep share their words: `check_sweep` has seen that one of them reads each.
    own = [] if settings.mode == RunMode.MULTIRUN else OmegaConf.to_container(settings.overrides.task, resolve=False)
    here = os.getcwd()
    os.chdir(settings.runtime.cwd)  # paths are those of where the command was given, also with hydra.job.chdir=true
    try:
        return finished(composed, list(map(str, own)))  # type: ignore[arg-type]
    finally:
        os.chdir(here)


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
    config = _configuration(composed)
    if settings.runtime.choices.get("hydra/sweeper") == "optuna" and config["validation"] == 0:
        raise InputError("a search maximises the accuracy on validation images: validation=0 leaves none")
    quiet = False if config["progress"] == "auto" else config["progress"]
    return train({**config, "resume": True, "progress": quiet}, folder, _command(), tell=log.debug)


def _job(composed: DictConfig) -> float:
    folder = _folder()
    try:
        with through_libraries():
            return train(_configuration(composed), folder, _command())
    except (InputError, KeyboardInterrupt):
        remove_if_empty(folder)
        raise
    except Exception:
        log.exception("this run failed")
        raise


def remove_if_empty(folder: Path) -> None:
    """Remove the run folder that Hydra made for a run that did not begin, and the default folders around it."""
    try:
        folder.rmdir()
        streams.end_log(folder)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.parent.name):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
    except OSError:
        return
