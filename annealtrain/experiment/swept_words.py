"""The words of a sweep, checked before its first job: each is read by one of the jobs at least."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import OverrideParseException

from annealtrain.errors import InputError
from annealtrain.experiment.compose import compose, explain
from annealtrain.experiment.known_settings import check_known, groups, unread_line, unread_words


def is_swept(words: Sequence[str]) -> bool:
    """Whether one of these overrides has several values; InputError for one that cannot be read."""
    return any(override.is_sweep_override() for override in _parsed(words))


def check_sweep(words: Sequence[str], config_dir: str | None) -> None:
    """Raise InputError for a sweep whose first job would be refused, or a word that none of its jobs reads.

    Jobs may have different solvers and optimizers: what one of them reads is not ignored.
    """
    unread: dict[str, str] = {}
    for at, job in enumerate(_jobs(_parsed(words), config_dir)):
        composed = compose(job, config_dir)
        if at == 0:
            check_known(composed)
        found = {word.partition("=")[0]: unread_line(composed, word) for word in unread_words(composed, job)}
        unread = {key: line for key, line in found.items() if at == 0 or key in unread}
        if not unread:
            return
    if unread:
        raise InputError(next(iter(unread.values())))


def _parsed(words: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except OverrideParseException as error:
        raise InputError(explain(error)) from error


def _jobs(overrides: Sequence[Override], config_dir: str | None) -> Iterator[list[str]]:
    """Yield the overrides of jobs with all combinations of options of groups, and the first of all other values."""
    if any(isinstance(override.value(), Glob) for override in overrides):
        return  # Hydra alone knows what it finds
    known = set(groups())
    choices = []
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            choices.append([f"{key}={value.start}"])
        elif override.is_sweep_override():
            values = [f"{key}={text}" for text in override.sweep_string_iterator()]
            name = override.key_or_group
            is_group = "/" in name or name in known or (config_dir is not None and (Path(config_dir) / name).is_dir())
            choices.append(values if is_group else values[:1])
        else:
            choices.append([str(override.input_line)])
    yield from map(list, product(*choices))
