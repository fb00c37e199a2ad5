"""Hydra's composition of configurations, and its errors in one line each."""

import os
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from annealtrain.errors import InputError, nearest
from annealtrain.experiment import hydra_settings, own_folder, own_yaml
from annealtrain.experiment.config import Config, plain
from annealtrain.experiment.known_settings import (
    CONFIGS,
    DEFAULT,
    HEADER,
    LISTED,
    check_known,
    check_read,
    groups,
    no_setting,
    options,
    shipped_names,
)
from annealtrain.runtime.validation import shown

# What Hydra and OmegaConf raise for words and YAML that they cannot make a configuration of.
ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError, ValueError, AssertionError)
# The launchers and sweepers that are packages of their own, and the extra that brings each.
PLUGINS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/submitit_local": "sweep",
    "hydra/launcher/submitit_slurm": "sweep",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "sweep",
}
SWEPT = "add --multirun to sweep over them"
# What Hydra says, and what is said in its place.
PLAINLY = (
    (r"Ambiguous value.*'(.+)'", "{} has several values: " + SWEPT + ", or write key=[a,b] for a list"),
    (r"Could not append.* '(.+)'", "{0} is there already: write {0}=... without +"),
    (r"Could not delete from config. '(.+)'", "~{0}: there is no {0} that could be left out"),
    (r"Could not delete '(.+)'\.", "~{}: that is not chosen, so that it cannot be left out"),
    (r"Multiple values for (\w+)|(\w+) appears more than once", "a run has that group already: write it without +"),
    (r"BasicSweeper does not", "an interval is for sweep=search: give values, as in key=a,b or key=range(1,5)"),
    (r"Error merging override (.+)", "{}: a key in it is no name"),
    (r"Config group override", "a group is given no name: choose one of its options, as in model=lenet"),
)

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
    for former, now in OLD_KEYS.items():
        if key == former or key.startswith(former + "."):
            return now + key.removeprefix(former) + "=" + value
    return None


INNER = {"solver.inner": "solver@solver.inner"}  # settings that are named as options of a group are
OWN = {"model": "torch", "dataset": "own"}  # options that are what their `_target_` makes, a user's own
COMPOSING = threading.Lock()  # Hydra composes in one place for the whole process


def refuse_nameless(words: Sequence[str]) -> None:
    """Raise InputError for a word that has a value, or a package, and no name."""
    for word in words:
        key, sets, _ = word.lstrip("+~").partition("=")
        if (sets or key.startswith("@")) and not key.partition("@")[0].strip():
            raise InputError(f"{word}: there is no name before the {'=' if sets else '@'}: write key=value")


def refuse_no_options(words: Sequence[str]) -> None:
    """Raise InputError where a group is given a list, null or a number in place of an option."""
    for word in words:
        key = word.lstrip("+").partition("=")[0]
        is_hydras = key.startswith("hydra/")
        if not (is_hydras or key.partition("@")[0].partition("/")[0] in groups()) or "." in key:
            continue
        option = min(options(key), key=lambda name: (name not in DEFAULT, "/" in name, name), default="...")
        if is_hydras:
            option = "basic" if key in ("hydra/launcher", "hydra/sweeper") else "default"
        for value in _values(word):
            if isinstance(value, list):
                given = word.lstrip("+")
                raise InputError(
                    f"{given} is a list: name one option, such as {key}={option}; --multirun sweeps over a,b"
                )
            if value is None or isinstance(value, int | float):
                remedy = f"choose one, such as {key}={option}, or leave the group out by '~{key}'"
                raise InputError(f"{key}={shown(value)} names no option: {remedy}")


def _values(word: str) -> list[Any]:
    """Return the values of a word, several in a sweep; none where it deletes, or cannot be read, as Hydra will say."""
    try:
        override = OverridesParser.create().parse_override(word)
    except (HydraException, OmegaConfBaseException):
        return []
    value = override.value()
    if override.is_delete() or not override.is_sweep_override():
        return [] if override.is_delete() else [value]
    return list(value.list) if isinstance(value, ChoiceSweep) else []


def check_words(words: Sequence[str]) -> None:
    """Raise InputError for overrides that are refused whatever they are composed with."""
    refuse_nameless(words)
    refuse_old_words(words)
    refuse_doubled_words(words)
    refuse_no_options(words)
    hydra_settings.check_words(words)


def with_own(words: Sequence[str]) -> list[str]:
    """Return words as Hydra takes them.

    "model={_target_: ...}" is the option `torch`, and what is set in it; solver.inner=NAME an option of solver too.
    """
    spelled = []
    for word in words:
        group, _, value = word.partition("=")
        if group in INNER and re.fullmatch(r"[\w,/ -]+", value):
            spelled.append(f"{INNER[group]}={value}")
            continue
        is_node = group in OWN and value.lstrip().startswith("{")
        spelled += [f"{group}={OWN[group]}", f"+{word}"] if is_node else [word]
    return spelled


def compose_config(overrides: list[str], config_dir: str | None, *, is_shared: bool = False) -> Config:
    """Return the configuration that `annealtrain train` would run with these overrides.

    is_shared: the overrides serve other runs too, and this one need not read them all.
    Raises InputError for what cannot be composed, and for settings that nothing reads.
    """
    composed = compose(overrides, config_dir)
    return finished(composed, [] if is_shared else overrides)


def compose(overrides: Sequence[str], config_dir: str | None, name: str = "train") -> DictConfig:
    """Return what Hydra composes of NAME.yaml and overrides, interpolations unresolved; InputError where it cannot."""
    check_words(overrides)
    words = with_own(overrides)
    if config_dir is not None:
        own_folder.check(config_dir, overrides)
        folder = os.path.abspath(config_dir)
        quoted = folder.replace("\\", "\\\\").replace('"', '\\"')
        words = [f'hydra.searchpath=["file://{quoted}"]', *words]
    try:
        with COMPOSING, hydra.initialize_config_module(CONFIGS, version_base="1.3"):
            composed = hydra.compose(name, words, return_hydra_config=True)
    except (*ERRORS, OSError) as error:
        raise InputError(explain(error).replace(SWEPT, "give one")) from error  # a run, or none: never a sweep
    own_yaml.check_own(composed.hydra)
    with read_write(composed), open_dict(composed):
        del composed["hydra"]
    return composed


def finished(composed: DictConfig, words: Sequence[str]) -> Config:
    """Return a composed configuration as plain dictionaries; InputError for settings that nothing reads.

    words: overrides for this run alone, each of which it must read.
    """
    check_known(composed)
    check_read(composed, words)
    try:
        return plain(composed)
    except ERRORS as error:
        raise InputError(explain(error)) from error


def explain(error: BaseException) -> str:
    """Return one line for an error of Hydra or OmegaConf: what was wrong, and the nearest valid name."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if yaml_fault := own_yaml.fault(error):
        return yaml_fault
    if isinstance(error, RecursionError):
        return "a value is nested too deeply, or settings refer to each other in a circle"
    if isinstance(error, OverrideParseException):
        word = error.override if len(error.override) < 100 else f"{error.override[:100]}..."
        return f"cannot read {word!r}: write key=value, quoted where it holds spaces, brackets or another ="
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        if extra := PLUGINS.get(str(error.missing_cfg_file)):
            return f"{error.missing_cfg_file} is not installed: pip install 'annealtrain[{extra}]'"
        words = str(error.missing_cfg_file).split("/")
        at = 2 if words[0] == "hydra" or words[:2] == ["sweep", "launcher"] else 1  # groups in a folder of others
        group, name = "/".join(words[:at]), "/".join(words[at:])
        key = next((key for key in INNER if key.startswith(f"{group}.") and f"In '{group}/" in first), group)
        return f"{key}={name} is not known{_instead(group, name, error.options)}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _of_key(cause)
    if own := next((key for key, package in INNER.items() if f"Could not override '{package}'" in first), None):
        return f"{own}: only solver=decompose has one: write that too"
    if isinstance(error, ConfigCompositionException) and (named := re.search("Could not override '([^'@]+)", first)):
        name = named[1].lstrip("/")
        if name in groups():
            return f"a YAML that overrides the group {name} must begin with the line '{HEADER}'"
        if name in OLD_GROUPS:
            return f"the group {name} is called {OLD_GROUPS[name]} now: override /{OLD_GROUPS[name]}"
        return f"no group {name!r}{nearest(name, groups())}: {LISTED}"
    if named := re.match(r"In '(.+)': \w+ raised while composing config", first):
        why = _one_line(error.__cause__ or error).rpartition(": ")[2]
        if unknown := re.match("Key '(.+)' not in", why):
            return f"{named[1]}.yaml: no setting {unknown[1]!r} of Hydra's{nearest(unknown[1], hydra_settings.names())}"
        return f"{named[1]}.yaml holds no settings that fit ({why}): write key: value"
    if first.startswith("Error in call to target"):
        named = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", _one_line(error))
        return f"no setting {named[2]!r} of {named[1]}: {LISTED}" if named else _one_line(error.__cause__ or error)
    for said, ours in PLAINLY:
        if named := re.match(said, first):
            return ours.format(*named.groups())
    return first


def _of_key(cause: OmegaConfBaseException) -> str:
    """Return one line for an error of OmegaConf that names a key."""
    key = str(cause.full_key)
    if key in ("figure", "seeds"):
        return f"{key}= is read by the sweep of a figure: sweep=figure figure=fig5b seeds=3"
    if " not in " in str(cause):  # the keys of a YAML, or of Hydra's own settings
        parent, _, name = key.rpartition(".")
        known = list(_keys(cause.parent_node)) + (groups() if not parent else [])
        if name in known:
            hydras = f": those of Hydra's begin with hydra.{name}." if name == "sweep" else ""
            return f"{key}: this run has no {name} that could have settings{hydras}"
        target = cause.parent_node.get("_target_") if isinstance(cause.parent_node, DictConfig) else None
        if isinstance(target, str) and not target.startswith(("annealtrain.", "dwave.")):
            own = f"the YAML of {target} has no {name!r}: an argument that it leaves out is set by +{key}=..."
            return f"{own}{nearest(name, known)}"
        return no_setting(key, known)
    if named := re.search(r"node .([\w.]+). is not a container", str(cause)):
        return f"{named[1]}= is a group of settings, not a value: set those in it, such as {named[1]}.first="
    if "is not Optional" in str(cause):
        return f"{key}=null is no value: give one, or leave {key} out"
    if named := re.match("Interpolation key '(.+)' not found", str(cause)):
        return f"{key}: ${{{named[1]}}} refers to no setting{nearest(named[1], shipped_names())}: {LISTED}"
    return f"{key}: {_one_line(cause)}"


def _instead(group: str, name: str, found: Iterable[str]) -> str:
    """Return what to write in place of an option that a group has not, as the end of a message."""
    if group == "dataset" and os.path.exists(name):  # a file or a folder of the user's own
        own = f"folder data_dir={name}" if os.path.isdir(name) else f"arrays dataset.file={name}"
        return f": write dataset={own}"
    for other in ("optimizer", "solver", "method"):
        if other != group and name in options(other):
            return f": write {other}={name}"
    known = sorted({*found, *options(group)})
    return f"{nearest(name, known)}: choose one of {', '.join(known)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split("full_key")[0].split())


def _keys(node: Any) -> Iterable[str]:
    return map(str, node.keys()) if isinstance(node, DictConfig) else ()
