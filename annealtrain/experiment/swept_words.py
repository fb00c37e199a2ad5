"""The words of a sweep, checked before its first job: each is read by one of the jobs at least."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil, inf, isfinite, prod
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep, Sweep
from omegaconf import DictConfig

from annealtrain.errors import InputError
from annealtrain.experiment.compose import ERRORS, compose, explain
from annealtrain.experiment.config import check_values, plain
from annealtrain.experiment.known_settings import check_known, groups, options, unread_line, unread_words

MOST_JOBS = 100_000  # of a sweep, each of which has a folder of its own


def is_swept(words: Sequence[str]) -> bool:
    """Whether one of these overrides has several values; InputError for one that cannot be read."""
    return any(override.is_sweep_override() for override in _parsed(words))


def check_sweep(words: Sequence[str], config_dir: str | None) -> None:
    """Raise InputError for a sweep whose first job would be refused, or a word that none of its jobs reads.

    Jobs may have different solvers and optimizers: what one of them reads is not ignored.
    """
    overrides = _parsed(words)
    searches = any(override.key_or_group in ("sweep", "hydra/sweeper") for override in overrides)
    for override in overrides:
        if override.is_sweep_override():
            _check_values(override, config_dir)
            if isinstance(override.value(), IntervalSweep) and not searches:
                raise InputError(
                    f"{override.input_line}: an interval is for sweep=search: give values, as in 0,1,2 or range(3)"
                )
    _check_count(overrides, config_dir)
    unread: dict[str, str] = {}
    for at, job in enumerate(_jobs(overrides, config_dir)):
        composed = compose(job, config_dir)
        if at == 0:
            check_known(composed)
            _check_shared(composed, overrides)
        found = {word.partition("=")[0]: unread_line(composed, word) for word in unread_words(composed, job)}
        unread = {key: line for key, line in found.items() if at == 0 or key in unread}
        if not unread:
            return
    if unread:
        raise InputError(next(iter(unread.values())))


def _check_shared(composed: DictConfig, overrides: Sequence[Override]) -> None:
    """Raise InputError for a value that all jobs of a sweep share and none of them could run with."""
    swept = [override.key_or_group for override in overrides if override.is_sweep_override()]
    try:
        check_values(plain(composed))
    except InputError as error:
        key = str(error).partition("=")[0]
        is_shared = key in [override.key_or_group for override in overrides if not override.is_sweep_override()]
        if key not in swept and (is_shared or not any("/" in key or key in groups() for key in swept)):
            raise
    except ERRORS:  # told by each job
        return


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InputError for what hydra.sweeper.params sweeps over no value, or over one of them twice."""
    for key, value in params.items():
        if not isinstance(value, str | int | float):
            raise InputError(f"hydra.sweeper.params.{key} is not text: write the values as {key}: 0,1,2")
    overrides = _parsed([f"{key}={value}" for key, value in params.items()])
    for override in overrides:
        if override.is_sweep_override():
            _check_values(override, None)
    _check_count(overrides, None)


def _parsed(words: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except ERRORS as error:
        raise InputError(explain(error)) from error


def _check_values(override: Override, config_dir: str | None) -> None:
    """Raise InputError for what is swept over no value, or over one of them twice, which would count a run again."""
    word, value = str(override.input_line).lstrip("+"), override.value()
    if isinstance(value, IntervalSweep):
        return
    if isinstance(value, Glob):
        if not _is_group(override.key_or_group, config_dir):
            raise InputError(f"{word}: glob is for the options of a group: write the values, as in seed=0,1,2")
        if not _options_of(override, config_dir):
            raise InputError(f"{word} matches none of {', '.join(sorted(options(override.key_or_group)))}")
        return
    if isinstance(value, ChoiceSweep) and any(isinstance(one, Sweep) for one in value.list):
        raise InputError(f"{word}: a range among other values cannot be swept over: write them all, as in seed=0,1,2")
    if isinstance(value, RangeSweep) and value.step == 0:
        raise InputError(f"{word} never ends: give a step other than 0")
    if isinstance(value, RangeSweep) and _length(value) > MOST_JOBS:
        raise InputError(f"{word} holds more than {MOST_JOBS} values, more than a sweep may have jobs: give fewer")
    texts = list(override.sweep_string_iterator())
    if not texts:
        raise InputError(f"{word} holds no value: range(1,4) is 1, 2, 3")
    if twice := next((text for text, count in Counter(texts).items() if count > 1), None):
        raise InputError(f"{word} holds {twice} twice, which would count one run two times: leave one out")


def _check_count(overrides: Sequence[Override], config_dir: str | None) -> None:
    """Raise InputError for words whose combinations are more than a sweep may have jobs."""
    counts = []
    for override in overrides:
        if override.is_sweep_override() and not isinstance(value := override.value(), IntervalSweep):
            values = _options_of(override, config_dir) if isinstance(value, Glob) else override.sweep_string_iterator()
            counts.append(sum(1 for _ in values))
    if (jobs := prod(counts)) > MOST_JOBS:
        raise InputError(
            f"a sweep of {jobs} jobs: at most {MOST_JOBS}, each has a folder of its own: give fewer values"
        )


def _length(values: RangeSweep) -> float:
    """Return how many values a range holds: infinitely many where its bounds are not finite."""
    start, stop, step = (float(each) for each in (values.start or 0, values.stop or 0, values.step))
    if not all(map(isfinite, (start, stop, step, (stop - start) / step))):
        return inf
    return max(0, ceil((stop - start) / step))


def _is_group(name: str, config_dir: str | None) -> bool:
    return "/" in name or name in groups() or (config_dir is not None and (Path(config_dir) / name).is_dir())


def _options_of(override: Override, config_dir: str | None) -> list[str]:
    """Return the options of a group that a glob matches."""
    group, found = override.key_or_group, override.value()
    own = [path.stem for path in Path(config_dir, group).glob("*.yaml")] if config_dir else []
    assert isinstance(found, Glob)
    return found.filter([*options(group), *own])


def _jobs(overrides: Sequence[Override], config_dir: str | None) -> Iterator[list[str]]:
    """Yield the overrides of jobs with all combinations of options of groups, and the first of all other values."""
    choices = []
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            choices.append([f"{key}={value.start}"])
        elif isinstance(value, Glob):
            choices.append([f"{key}={name}" for name in _options_of(override, config_dir)])
        elif override.is_sweep_override():
            values = [f"{key}={text}" for text in override.sweep_string_iterator()]
            choices.append(values if _is_group(override.key_or_group, config_dir) else values[:1])
        else:
            choices.append([str(override.input_line)])
    yield from map(list, product(*choices))
