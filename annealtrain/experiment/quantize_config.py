"""The configuration of `annealtrain quantize`: composed as that of a run, and checked as carefully."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError, nearest
from annealtrain.experiment import compose, known_settings
from annealtrain.experiment.config import RULES as RUN_RULES
from annealtrain.experiment.config import Config, plain
from annealtrain.experiment.reading import children, leaves
from annealtrain.hamiltonian.layer_problem import MAX_BITS
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.runtime.validation import Rule, check_all, each_of, either, one_of, optional, whole

NAME = "quantize"
LISTED = "annealtrain quantize --help lists all"
BITS = optional(either(whole(1, MAX_BITS), each_of(optional(whole(1, MAX_BITS)))))
LEVELS = optional(either(whole(2, 2**MAX_BITS), each_of(optional(whole(2, 2**MAX_BITS)))))
RULES: dict[str, Rule] = {
    "bits": BITS,
    "levels": LEVELS,
    "group_size": optional(whole()),
    "samples": optional(whole()),
    "weights": one_of("best", "last"),
    "state_dict": optional(Rule("the name of a file", lambda value: isinstance(value, str))),
    **{
        name: RUN_RULES[name]
        for name in ("validation", "seed", "threads", "progress", "task", "image_size", "scale", "standardise")
    },
}
OF_DATA = ("dataset", "validation", "task", "image_size", "scale", "standardise", "data_dir")  # a run has its own
GROUPS = ("dataset", "solver", "model", "hydra")
OF_TRAINING = ("bias",)  # which YAML of data sets for a network that is yet to be trained


@cache
def shipped() -> Config:
    """Return the settings of the shipped quantize.yaml."""
    text = shipped_text()
    content: Config = OmegaConf.to_container(OmegaConf.create(text), resolve=False)  # type: ignore[assignment]
    return {name: value for name, value in content.items() if name not in ("defaults", "hydra")}


def shipped_text() -> str:
    return (files(known_settings.CONFIGS) / f"{NAME}.yaml").read_text(encoding="utf-8")


def compose_quantize(words: Sequence[str], config_dir: str | None, *, is_run: bool) -> Config:
    """Return the composed settings, checked. is_run: whether the network is that of a run folder.

    Raises InputError for what cannot be composed, for settings that nothing reads, and for values outside their limits.
    """
    words = _levels_alone(words)
    _check_named(words)
    try:
        composed = compose.compose(words, config_dir, name=NAME)
    except InputError as error:
        raise InputError(str(error).replace(known_settings.LISTED, LISTED)) from error
    _check_known(composed)
    _check_read(composed, words, is_run=is_run)
    try:
        config = plain(composed)
    except compose.ERRORS as error:
        raise InputError(compose.explain(error)) from error
    check_all(config, RULES)
    if (config["bits"] is None) == (config["levels"] is None):
        raise InputError("bits and levels are two names for one thing: give one of them")
    return config


def _levels_alone(words: Sequence[str]) -> list[str]:
    """Return the words with bits=null where levels are given in its place."""
    keys = [word.partition("=")[0] for word in words]
    return [*words, "bits=null"] if "levels" in keys and "bits" not in keys else list(words)


def grids_of(config: Config, layers: Sequence[str]) -> list[Grid | None]:
    """Return the grid of each layer, None for one that stays as it is; InputError where lists have another length.

    layers: the names of those that can be quantised.
    """
    name = "bits" if config["bits"] is not None else "levels"
    given = config[name]
    if isinstance(given, list) and len(given) != len(layers):
        told = f"{name} is a list of {len(given)} values, for {len(layers)} layers that can be quantised"
        raise InputError(f"{told}: give one for each, null to leave it as it is: {', '.join(layers)}")
    values = given if isinstance(given, list) else [given] * len(layers)
    size = config["group_size"]
    return [
        None if value is None else Grid(value, None, size) if name == "bits" else Grid(None, value, size)
        for value in values
    ]


def _check_named(words: Sequence[str]) -> None:
    """Raise InputError for a word that sets what quantize.yaml has not, whatever a training run has."""
    for word in words:
        key = word.lstrip("+~").partition("=")[0].partition("@")[0]
        top, _, below = key.partition(".")
        if top.partition("/")[0] == "hydra":
            raise InputError(f"{word}: quantize reads none of Hydra's settings: --output=FOLDER names its folder")
        if top.partition("/")[0] not in (*shipped(), *GROUPS):
            raise InputError(_unknown(key, top, shipped()))
        if top == "annealing" and below and below.partition(".")[0] not in shipped()["annealing"]:
            raise InputError(_unknown(key, below, shipped()["annealing"]))


def _unknown(key: str, name: str, known: Iterable[str]) -> str:
    return f"no setting {key!r}{nearest(name, known)}: {LISTED}"


def _check_known(composed: DictConfig) -> None:
    """Raise InputError for a setting that is not one of quantize.yaml, and below no group."""
    content = known_settings.unresolved(composed)
    for path in leaves(content):
        if path[0] not in shipped() and path[0] not in (*GROUPS, *OF_TRAINING):
            raise InputError(_unknown(path[0], path[0], shipped()))
        if path[0] == "annealing" and path[1:2] and path[1] not in shipped()["annealing"]:
            raise InputError(_unknown(".".join(path), path[1], shipped()["annealing"]))


def _check_read(composed: DictConfig, words: Sequence[str], *, is_run: bool) -> None:
    """Raise InputError for a word that sets what nothing reads here."""
    text = "".join(str(value) for _, value in children(known_settings.unresolved(composed).get("solver")))
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        top = key.partition(".")[0].partition("/")[0]
        if is_run and top in (*OF_DATA, "model", "state_dict"):
            raise InputError(f"{word}: a run has its own {top}: leave it out")
        if not is_run and key == "weights":
            raise InputError(f"{word}: best and last are weights of a run: leave it out")
        if top == "annealing" and f"${{{key}}}" not in text and key != top:
            raise InputError(f"{word}: the solver reads no {key}: leave it out, or choose solver=sa")


def described(config: Config) -> dict[str, Any]:
    """Return the settings of samples as those of a run, for a network that is none."""
    return config | {"augment": {"shift": 0, "flip": False}, "optimizer": {}}
