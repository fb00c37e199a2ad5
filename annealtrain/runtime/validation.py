"""Checks of settings, declared beside the constructor that takes them: value, limit and remedy in one line.

@checked("solver.", num_sweeps=whole(), beta=optional(number(above=0)), move=one_of("bit", "slice"))
def __init__(self, num_sweeps, beta=None, move="bit"): ...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, TypeVar

from annealtrain.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Rule:
    """What a setting must be: `words` complete "... is not", `holds` tells whether a value is."""

    words: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise InputError, in the setting's full name, for a value that is not what the rule asks."""
        if not self.holds(value):
            raise InputError(f"{name}={shown(value)} is not {self.words}")


def whole(least: int = 1, most: int | None = None) -> Rule:
    """A whole number from `least` to `most`, a bool not being one."""
    words = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    return Rule(words, lambda value: is_whole(value) and least <= value and (most is None or value <= most))


def number(least: float = -inf, most: float = inf, *, above: float = -inf, below: float = inf, words: str = "") -> Rule:
    """A finite number from `least` to `most`, or above and below a limit that is not itself allowed."""
    said = [f"at least {least:g}"] * (least > -inf) + [f"above {above:g}"] * (above > -inf)
    said += [f"at most {most:g}"] * (most < inf) + [f"below {below:g}"] * (below < inf)
    if least > -inf and most < inf:
        said = [f"from {least:g} to {most:g}"]
    words = words or " ".join(["a number", " and ".join(said)]).replace("number at", "number of at").strip()
    return Rule(words, lambda value: is_number(value) and least <= value <= most and above < value < below)


def one_of(*choices: Any) -> Rule:
    """One of some values, and of their type: 1 is not true."""
    listed = ", ".join(shown(choice) if not isinstance(choice, str) else choice for choice in choices)
    return Rule(f"one of {listed}", lambda value: any(value == one and type(value) is type(one) for one in choices))


def optional(rule: Rule) -> Rule:
    """What another rule asks, or null."""
    return Rule(f"{rule.words}, or null", lambda value: value is None or rule.holds(value))


def either(first: Rule, second: Rule) -> Rule:
    """What one of two rules asks."""
    return Rule(f"{first.words} or {second.words}", lambda value: first.holds(value) or second.holds(value))


def each_of(rule: Rule, count: int | None = None, words: str = "") -> Rule:
    """A list of values, `count` of them or at least one, each of which is what a rule asks."""

    def holds(value: Any) -> bool:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and len(value) == (count or max(len(value), 1)) and all(rule.holds(each) for each in value)

    return Rule(words or f"a list of {f'{count} ' if count else ''}values, each {rule.words}", holds)


def first_and_last(rule: Rule) -> Rule:
    """A pair [first, last], both what a rule asks."""
    return each_of(rule, 2, f"[first, last], each {rule.words}")


def checked(prefix: str, **rules: Rule) -> Callable[[Function], Function]:
    """Return a decorator of a constructor or a factory: its arguments are checked before it runs.

    prefix: of the settings' names in messages, such as "solver.".
    """

    def decorate(function: Function) -> Function:
        taken = signature(function)
        names = taken.parameters.keys()
        defaults = {name: one.default for name, one in taken.parameters.items() if one.default is not one.empty}

        @wraps(function)
        def checking(*given: Any, **named: Any) -> Any:
            values = defaults | dict(zip(names, given, strict=False)) | named
            if values.keys() != names:
                taken.bind(*given, **named)  # its TypeError says what is missing or too much; always, it takes long
            check_all(values, rules, prefix)
            return function(*given, **named)

        return checking  # type: ignore[return-value]

    return decorate


def check_all(values: dict[str, Any], rules: dict[str, Rule], prefix: str = "") -> None:
    """Raise InputError for the first of some named values that is not what its rule asks. prefix: of their names."""
    for name, rule in rules.items():
        if not rule.holds(values[name]):
            rule.check(prefix + name, values[name])


def reworded(words: dict[str, str]) -> Callable[[Function], Function]:
    """Return a decorator: an InputError of the function says what its caller wrote, not what settings of a run are.

    words: what stands in messages, and what the caller knows it as.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def rewording(*given: Any, **named: Any) -> Any:
            try:
                return function(*given, **named)
            except InputError as error:
                said = str(error)
                for old, new in words.items():
                    said = said.replace(old, new)
                raise InputError(said) from error.__cause__

        return rewording  # type: ignore[return-value]

    return decorate


def is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_number(value: Any) -> bool:
    if type(value) is float:  # most are: an abstract class takes longer to ask
        return isfinite(value)
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def shown(value: Any) -> str:
    """Return a value as people write it in YAML: true, false, null, everything else as Python does."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else repr(value)


YES_OR_NO = one_of(True, False)
