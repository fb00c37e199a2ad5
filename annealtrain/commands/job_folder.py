"""Where a job of a sweep lies: in a folder one level below the sweep's, named by the settings that vary."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from annealtrain.commands.sweep_folder import CLAIM, REFUSED, place_of
from annealtrain.errors import InputError
from annealtrain.runs import foreign
from annealtrain.runs.contents import CONFIG
from annealtrain.runs.lock import LOCK

MOST_BYTES = 200  # of a name: file systems take 255, and files are named after it
INDIFFERENT = ("data_dir", "sweep/launcher", "threads", "device", "progress", "resume")  # leave the numbers alone
UNNAMED = ("sweep", *INDIFFERENT)  # never part of a job's folder name, unless they vary
OF_A_START = (CONFIG, LOCK, ".part")


def name(settings: Any) -> str:
    """Return the name of the folder of a job, from Hydra's own settings."""
    varied = str(settings.job.override_dirname or "")
    # Settings swept in a YAML of the user's own, which `fixed_keys` has not seen in the command line.
    params = OmegaConf.select(settings, "sweeper.params", default=None) or {}
    keys = [key for key in UNNAMED if key in params]
    parts = [word for word in settings.overrides.task if word.partition("=")[0].lstrip("+") in keys]
    return shortened(",".join([*([varied] if varied else []), *(part for part in parts if part not in varied)]))


def found(settings: Any) -> str:
    """Return the name of the folder that Hydra has made for a job, or would have if there were no obstacle to it."""
    given = os.path.relpath(settings.runtime.output_dir, os.path.join(settings.runtime.cwd, settings.sweep.dir))
    return name(settings) if given.startswith(CLAIM) else given


def shortened(text: str) -> str:
    """Return a name as one folder can have it: on one level, at most 200 bytes, told by a hash where it is cut."""
    text = text.replace("/", "%2F") or "job"
    if len(text.encode()) <= MOST_BYTES:
        return text
    mark = f"~{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return text.encode()[: MOST_BYTES - len(mark)].decode(errors="ignore") + mark


def obstacle(folder: Path) -> str | None:
    """Make the folder of a job; return why it cannot be one, None where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            return f"{folder} is a link: choose another hydra.sweep.dir"
        foreign.refuse_foreign(folder, OF_A_START)
    except OSError as error:
        return f"cannot make the run folder {folder} ({error.strerror}): choose another hydra.sweep.dir"
    except InputError as error:
        return str(error)
    return None


def _job_folder(*, _root_: DictConfig) -> str:
    """Return what Hydra takes for hydra.sweep.subdir.

    A job that can have no folder of its own gets one in the sweep's, so that Hydra goes on to the other jobs.
    """
    is_job = not OmegaConf.is_missing(_root_.hydra.job, "num")  # else Hydra is asked what it would do
    sweep = Path(_root_.hydra.runtime.cwd, _root_.hydra.sweep.dir)
    own = name(_root_.hydra)
    if is_job and (sweep / CLAIM).is_dir() and obstacle(sweep / own):
        return place_of(sweep, own, REFUSED).relative_to(sweep).as_posix()
    return own


def register() -> None:
    """Let configurations ask for a job's folder, as those of `annealtrain.configs` do."""
    OmegaConf.register_new_resolver("annealtrain.job_folder", _job_folder, replace=True)


register()  # here, so that a worker that is sent a job knows it: its import comes first


def fixed_keys(arguments: Sequence[str]) -> list[str]:
    """Return the settings that are the same in all jobs of a sweep with these arguments.

    They are left out of the names of run folders; the folder of the sweep is held to them.
    """
    swept, overrides = _swept(arguments)
    named = any(override.key_or_group == "sweep" for override in overrides)
    if not swept and not named:
        return []
    is_figure = any(override.key_or_group == "sweep" and override.value() == "figure" for override in overrides)
    naming = {*swept, *(("method", "seed") if is_figure else ())}  # a figure's jobs are named by both, however few
    return [
        o.key_or_group for o in overrides if o.key_or_group not in naming and not o.key_or_group.startswith("hydra")
    ]


def naming_word(arguments: Sequence[str]) -> str | None:
    """Return the override that names the jobs of a sweep with these arguments by what varies, None for one run."""
    swept, fixed = _swept(arguments)[0], fixed_keys(arguments)
    if not swept and not fixed:
        return None
    unnamed = dict.fromkeys([*(key for key in UNNAMED if key not in swept), *fixed])
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(unnamed)}]"


def _swept(arguments: Sequence[str]) -> tuple[set[str], list[Any]]:
    words = [word for word in arguments if not word.startswith("-") and "=" in word]
    try:
        overrides = OverridesParser.create().parse_overrides(words)
    except OverrideParseException:  # Hydra will say so
        return set(), []
    return {override.key_or_group for override in overrides if override.is_sweep_override()}, overrides
