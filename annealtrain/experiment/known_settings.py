"""Every setting of a composed configuration is read or refused: nothing that a user writes is ignored."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError, nearest
from annealtrain.experiment.config import NODES, Config
from annealtrain.experiment.reading import (
    ABSENT,
    OF_MODEL,
    PART,
    Path,
    child,
    children,
    leaves,
    meet,
    paths_read,
    value_at,
)

CONFIGS = "annealtrain.configs"
LISTED = "annealtrain train --help lists all"
HEADER = "# @package _global_"
OF_OPTIONS = ("optimizer", "solver", "schedule", "dataset")  # groups whose options have settings of their own
DEFAULT = ("gauss_newton", "sa", "geometric", "digits", "lenet", "basic")
# Words that other programs have for what is no setting here.
ELSEWHERE = dict.fromkeys(("run", "dir", "folder", "output", "output_dir"), "hydra.run.dir=FOLDER") | {
    "config_dir": "--config-dir=FOLDER",
    "multirun": "--multirun",
    "lr": "optimizer.learning_rate of optimizer=backprop",
    "optimizer.l2": "gauss_newton.ridge, or optimizer.weight_decay of optimizer=backprop",
}
READING = ("optimizer", "solver", "schedule", "model")  # groups whose options refer to settings of train.yaml
OWN_VALUES = ("pinv", "gauss_newton", "kronecker")  # of optimizers, which their own settings refer to


def check_known(config: DictConfig) -> None:
    """Raise InputError for a setting that neither train.yaml has nor anything in this run reads."""
    content = unresolved(config)
    read = paths_read(content)
    for path in leaves(content):
        if path not in read and path[0] != "rest":  # which the YAML of a torch module chooses, whatever the optimizer
            _refuse_unknown(content, path)


def check_read(config: DictConfig, words: Sequence[str]) -> None:
    """Raise InputError for one of a user's overrides that nothing in this run reads.

    A setting of a YAML's may be there for another optimizer or solver; what is written for this one run is for it.
    """
    if unread := unread_words(config, words):
        raise InputError(unread_line(config, unread[0]))


def unread_words(config: DictConfig, words: Sequence[str]) -> list[str]:
    """Return those of a user's overrides that set what nothing in this run reads."""
    content = unresolved(config)
    read = paths_read(content)
    set_here = [(word, path) for word in words if (path := _path_set(word)) and value_at(content, path) is not ABSENT]
    return [word for word, path in set_here if not any(meet(path, one) for one in read)]


def unread_line(config: DictConfig, word: str) -> str:
    """Return the refusal of a word that sets what nothing in this run reads."""
    key = _key(word)
    content = unresolved(config)
    chosen = {group: _name(content.get(group)) for group in ("model", "optimizer", "solver", "schedule")}
    run = ", ".join(f"{group} {name}" for group, name in chosen.items() if name)
    readers = _readers(key, {group: child(content.get(group), "_target_") for group in READING})
    remedy = f", or choose {' or '.join(map(str, readers))}" if readers else ""
    if None in readers:
        remedy = ", as another setting stands in its place"
    return f"{word.lstrip('+')}: nothing in this run reads {key} ({run}): leave it out{remedy}"


def unresolved(config: DictConfig) -> Config:
    """Return a configuration as plain dictionaries and lists, its interpolations as text."""
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    return {str(name): value for name, value in content.items() if name != "hydra"}


@cache
def shipped_settings() -> Config:
    """Return the settings of the shipped train.yaml."""
    text = (files(CONFIGS) / "train.yaml").read_text(encoding="utf-8")
    content: Config = OmegaConf.to_container(OmegaConf.create(text), resolve=False)  # type: ignore[assignment]
    return {name: value for name, value in content.items() if name not in ("defaults", "hydra")}


def groups() -> list[str]:
    """Return the names of the shipped groups; the folder hydra only adds to groups of Hydra's own."""
    names = [entry.name for entry in files(CONFIGS).iterdir() if entry.is_dir() and not entry.name.startswith("_")]
    return [name for name in names if name != "hydra"]


def options(group: str) -> list[str]:
    """Return the names of a group's options, those in folders of its own as FOLDER/NAME."""
    here = files(CONFIGS) / group
    entries = list(here.iterdir()) if here.is_dir() else []
    below = [f"{entry.name}/{name}" for entry in entries if entry.is_dir() for name in options(f"{group}/{entry.name}")]
    return [entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")] + below


def no_setting(key: str, known: Iterable[str]) -> str:
    """Return the refusal of a key that is none of the known names under its parent."""
    return f"no setting {key!r}{meant(key, known)}: {LISTED}"


def meant(key: str, known: Iterable[str]) -> str:
    """Return what a key that is none of those known under its parent may stand for, as the end of a message."""
    parent, _, name = key.rpartition(".")
    places, name = _places(), name.replace("-", "_")
    if key in ELSEWHERE:
        return f"; did you mean {ELSEWHERE[key]}?"
    if of := places.get(key) or _of_default(key):
        return f": it is{of}"
    elsewhere = [place for place in places if place.rpartition(".")[2] == name and place != key]
    if elsewhere and key not in places:  # the name is right, its place is not
        place = min(elsewhere, key=lambda place: place.split(".")[0] in OWN_VALUES)
        return f"; did you mean '{place}'{places[place]}?"
    if found := nearest(name, {*known} - {name}):
        return found.replace("'?", f"'{' in ' + parent if parent else ''}?")
    below = {place.rpartition(".")[2]: places[place] for place in places if place.rpartition(".")[0] == parent != ""}
    if found := nearest(name, below.keys() - {name}):
        return found.replace("'?", f"'{below[found.split(chr(39))[1]]}?")
    return ""


def _of_default(key: str) -> str:
    """Return " of GROUP=NAME" for what the default option of a group has; it is asked for where another is chosen."""
    group, _, name = key.partition(".")
    for option in DEFAULT if group in OF_OPTIONS else ():
        if option in options(group) and name in _own_settings(group, option):
            return f" of {group}={option}"
    return ""


@cache
def _places() -> dict[str, str]:
    """Return all settings, those of train.yaml first; and of what one option alone has, " of GROUP=NAME"."""
    found = {".".join(path): "" for path in leaves(shipped_settings())} | {name: "" for name in shipped_settings()}
    for group in OF_OPTIONS:
        for option in sorted(options(group), key=lambda option: (option not in DEFAULT, option)):
            for name in _own_settings(group, option):
                found.setdefault(f"{group}.{name}", "" if option in DEFAULT else f" of {group}={option}")
    return {place: of for place, of in found.items() if not place.endswith(("._target_", ".defaults", ".name"))}


def _own_settings(group: str, option: str) -> list[str]:
    """Return the names that the YAML of a shipped option sets in its group."""
    text = (files(CONFIGS) / group / f"{option}.yaml").read_text(encoding="utf-8")
    content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert isinstance(content, dict)
    return list(map(str, content.get(group, {}) if HEADER in text else content))


def shipped_names() -> list[str]:
    """Return the names of all settings and groups, those below others with dots."""
    return [*_places(), *groups()]


def _refuse_unknown(config: Config, path: Path) -> None:
    """Raise InputError unless a path is that of a value of train.yaml, or below one."""
    known: Any = shipped_settings()
    for at, name in enumerate(path):
        if not isinstance(known, dict):  # a value in train.yaml, here a mapping, such as a schedule
            return
        if name not in known:
            raise InputError(_unknown_line(config, path, at, list(known)))
        known = known[name]
    if isinstance(known, dict):
        key = ".".join(path)
        raise InputError(
            f"{key}= is a group of settings, not a value: set those in it, such as {key}.{next(iter(known))}"
        )


def _unknown_line(config: Config, path: Path, at: int, known: list[str]) -> str:
    """Return the refusal of a path whose name number `at` is none of those known there."""
    top = path[0]
    if top in groups() and top not in NODES and isinstance(config[top], dict):
        return f"the YAML of {top}= must begin with the line '{HEADER}': what it sets lies outside of {top}"
    if top == "model":
        return no_setting(".".join(path[:2]), OF_MODEL)
    return no_setting(".".join(path[: at + 1]), [*known, *(groups() if at == 0 else [])])


# Words of a command line


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _path_set(word: str) -> Path | None:
    """Return the path that an override sets, None for one that chooses an option, deletes, or is Hydra's own."""
    key = _key(word)
    if "=" not in word or word.startswith("~") or "/" in key or "@" in key or key.split(".")[0] == "hydra":
        return None
    return tuple(PART.findall(key))


def _name(node: Any) -> str:
    held = dict(children(node))
    return str(held.get("name") or held.get("_target_") or "").rpartition(".")[2]


def _readers(key: str, chosen: Mapping[str, Any]) -> list[str | None]:
    """Return the shipped options that refer to a setting, as GROUP=NAME; None for one whose class is chosen."""
    refers = re.compile(r"\$\{" + re.escape(key) + r"[.}]")
    found: list[str | None] = []
    for group in READING:
        for name in sorted(options(group)):
            text = (files(CONFIGS) / group / f"{name}.yaml").read_text(encoding="utf-8")
            if refers.search(text):
                found.append(None if chosen[group] in re.findall(r"_target_: (\S+)", text) else f"{group}={name}")
    return found
