"""The settings of Hydra's own: those that nothing reads, in this version of it or in this kind of call, are refused."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.conf import HydraConf, JobConf, RunDir, SweepDir
from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError, nearest
from annealtrain.runs import checksums
from annealtrain.runs.contents import RESULT

GROUPS = ("env", "help", "hydra_help", "hydra_logging", "job_logging", "launcher", "output", "sweeper")
TYPED = ("", "run", "sweep", "job", "launcher", "sweeper")  # nodes whose classes list their keys
OF_SWEEP = ("hydra.sweep.", "hydra.sweeper.", "hydra.launcher.", "hydra/sweeper=", "hydra/launcher=", "sweep/launcher=")
OF_RUN = ("hydra.run.",)
OF_WATCH = "hydra.callbacks.watch"  # which keeps runs and sweeps from files of others
# What Hydra sets itself, over what is written.
OF_HYDRA = ("runtime", "overrides", *(f"job.{name}" for name in ("num", "id", "override_dirname", "config_name")))
OF_A_RUN = {*checksums.TEXTS, *checksums.WEIGHTS, RESULT}


def check_words(words: Sequence[str]) -> None:
    """Raise InputError for words that Hydra would not heed, that take this program's own callback, or lead nowhere."""
    for word in words:
        key, _, value = word.lstrip("+~").partition("=")
        for own, why in (
            (OF_WATCH, "is annealtrain's own"),
            *((f"hydra.{one}", "is Hydra's to set") for one in OF_HYDRA),
        ):
            if f"{key}.".startswith(f"{own}.") or (key == "hydra.callbacks" and own == OF_WATCH):
                raise InputError(f"{word}: {own} {why}: leave it out")
        for path in re.findall(r"file://([^]\[,'\"]+)", value) if key == "hydra.searchpath" else ():
            if "$" not in path and not os.path.isdir(path):
                raise InputError(f"{word}: there is no folder {path}")


def check_hydra(settings: DictConfig, *, is_sweep: bool, is_single: bool = False) -> None:
    """Raise InputError for a setting of Hydra's that it does not know, or that a run, or a sweep, has no use for.

    settings: the node hydra of a composed configuration. is_single: whether hydra.mode=RUN says that a sweep's YAML is
    to give one run.
    """
    for name in ("sweeper", "launcher"):
        if settings[name] is None:
            raise InputError(f"hydra.{name}=null is none: choose one, such as hydra/{name}=basic")
    _check_names(settings)
    for key, known in _unknown(settings):
        node, _, name = key.rpartition(".")
        raise InputError(f"no setting {key!r}{nearest(name, known)}: {node} has {', '.join(known)}")
    unread, remedy = (OF_RUN, "hydra.sweep.dir=...") if is_sweep else (OF_SWEEP, "--multirun")
    given = OmegaConf.to_container(settings.overrides, resolve=False)
    assert isinstance(given, dict)
    for word in map(str, [*given["hydra"], *given["task"]]):
        if word.lstrip("+~").startswith(unread):
            kind = ("a single run", "a sweep") if is_sweep else ("a sweep", "a single run")
            raise InputError(
                f"{word.lstrip('+')} is of {kind[0]}, and this is {kind[1]}: leave it out, or add {remedy}"
            )
    where, name = ("sweep", "hydra.sweep.dir") if is_sweep else ("run", "hydra.run.dir")
    if not settings[where].dir:  # the working directory, if it were taken as a path
        raise InputError(f"{name} is empty: give the folder that is to be made, or leave it out")
    params = settings.sweeper.get("params")
    if params and not (is_sweep or is_single):
        key = next(iter(params))
        raise InputError(f"hydra.sweeper.params.{key} is of a sweep, and this is a single run: add --multirun")


def _check_names(settings: DictConfig) -> None:
    """Raise InputError for names of what Hydra writes into a run folder that lie elsewhere, or are the run's own."""
    for key, name in (("output_subdir", settings.output_subdir), ("job.name", settings.job.name)):
        if name is not None and (name in ("", ".", "..") or re.search(r"[/\\]", name) or name in OF_A_RUN):
            raise InputError(f"hydra.{key}={name!r} is no name for what lies in a run folder: choose another")
    given: Any = OmegaConf.to_container(settings.sweep, resolve=False)
    if re.match(r"/|(.*/)?\.\.(/|$)", str(given["subdir"])):
        raise InputError(f"hydra.sweep.subdir={given['subdir']} leads out of the sweep's folder: write a name in it")


def names() -> list[str]:
    """Return the names of Hydra's own settings."""
    kinds = (HydraConf, RunDir, SweepDir, JobConf, BasicSweeperConf)
    return sorted({*GROUPS, *(field.name for kind in kinds for field in fields(kind))})


def _unknown(settings: DictConfig) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys that nodes have and their classes do not, and those that these know."""
    for name in TYPED:
        node = OmegaConf.select(settings, name) if name else settings
        kind = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
        if is_dataclass(kind):
            known = sorted(
                {*(field.name for field in fields(kind)), *(() if name else GROUPS)} - {"_target_", "defaults"}
            )
            above = f"hydra.{name}" if name else "hydra"
            unknown = [str(key) for key in node if key not in (*known, "_target_", "defaults")]
            yield from ((f"{above}.{key}", known) for key in unknown)
