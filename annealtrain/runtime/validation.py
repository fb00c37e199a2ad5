"""Checks of settings, declared beside the constructor that takes them: value, limit and remedy in one line.

@checked("solver.", num_sweeps=whole(), beta=optional(number(above=0)), move=one_of("bit", "slice"))
def __init__(self, num_sweeps, beta=None, move="bit"): ...
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, TypeVar

from annealtrain.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])

OBJECT = re.compile(r"<(?:\w+ )?([\w.]+)(?: object)? at 0x[0-9a-f]+>")  # of a class that has no text of its own
INT32 = 2**31 - 1  # what the compiled kernel and most samplers of others count with
LARGEST = 1e18  # numbers are squared in single precision, which ends at 3e38


@dataclass(frozen=True)
class Rule:
    """What a setting must be: `words` complete "... is not", `holds` tells whether a value is.

    limit: the largest that can be computed with; cap: words for it, said of a value beyond it only.
    """

    words: str
    holds: Callable[[Any], bool]
    limit: float = inf
    cap: str = ""

    def check(self, name: str, value: Any) -> None:
        """Raise InputError, in the setting's full name, for a value that is not what the rule asks."""
        if not self.holds(value):
            cap = f" and {self.cap}" if _is_beyond(value, self.limit) else ""
            raise InputError(f"{name}={shown(value)} is not {self.words}{cap}")


def whole(least: int = 1, most: int | None = None, why: str = "") -> Rule:
    """A whole number from `least` to `most`, a bool not being one.

    why: the reason of the upper limit, where it goes without saying for common values.
    """
    if most is not None and not why:
        words = f"a whole number from {least} to {most}"
        return Rule(words, lambda value: is_whole(value) and least <= value <= most)
    limit, why = (INT32, "as it is counted in 32 bits") if most is None else (most, why)
    cap = f"at most {limit}, {why}"
    words = f"a whole number of at least {least}"
    return Rule(words, lambda value: is_whole(value) and least <= value <= limit, limit, cap)


def number(least: float = -inf, most: float = inf, *, above: float = -inf, below: float = inf, words: str = "") -> Rule:
    """A finite number from `least` to `most`, or above and below a limit that is not itself allowed."""
    said = [f"at least {least:g}"] * (least > -inf) + [f"above {above:g}"] * (above > -inf)
    said += [f"at most {most:g}"] * (most < inf) + [f"below {below:g}"] * (below < inf)
    if least > -inf and most < inf:
        said = [f"from {least:g} to {most:g}"]
    words = words or " ".join(["a number", " and ".join(said)]).replace("number at", "number of at").strip()
    lowest, highest = max(least, -LARGEST), min(most, LARGEST)
    cap = f"at most {LARGEST:g} in size, as single precision holds its square"

    def holds(value: Any) -> bool:
        return is_number(value) and lowest <= value <= highest and above < value < below

    return Rule(words, holds, LARGEST if highest == LARGEST else inf, cap)


def one_of(*choices: Any) -> Rule:
    """One of some values, and of their type: 1 is not true."""
    listed = ", ".join(shown(choice) if not isinstance(choice, str) else choice for choice in choices)
    return Rule(f"one of {listed}", lambda value: any(type(value) is type(one) and value == one for one in choices))


def optional(rule: Rule) -> Rule:
    """What another rule asks, or null."""
    return Rule(f"{rule.words}, or null", lambda value: value is None or rule.holds(value), rule.limit, rule.cap)


def either(first: Rule, second: Rule) -> Rule:
    """What one of two rules asks."""
    words = f"{first.words} or {second.words}"
    return Rule(words, lambda value: first.holds(value) or second.holds(value), first.limit, first.cap)


def each_of(rule: Rule, count: int | None = None, words: str = "") -> Rule:
    """A list of values, `count` of them or at least one, each of which is what a rule asks."""

    def holds(value: Any) -> bool:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and len(value) == (count or max(len(value), 1)) and all(rule.holds(each) for each in value)

    return Rule(
        words or f"a list of {f'{count} ' if count else ''}values, each {rule.words}", holds, rule.limit, rule.cap
    )


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
        required = {name for name, one in taken.parameters.items() if one.default is one.empty}
        defaults = {name: one.default for name, one in taken.parameters.items() if name not in required}
        wrong = {name: value for name, value in defaults.items() if name in rules and not rules[name].holds(value)}

        @wraps(function)
        def checking(*given: Any, **named: Any) -> Any:
            values = dict(zip(names, given, strict=False)) | named
            if not (len(given) + len(named) == len(values) and required <= values.keys() <= names):
                taken.bind(*given, **named)  # its TypeError says what is missing or too much; always, it takes long
            for name, value in (wrong | values if wrong else values).items():  # other defaults were checked above
                if name in rules and not rules[name].holds(value):
                    rules[name].check(prefix + name, value)
            return function(*given, **named)

        return checking  # type: ignore[return-value]

    return decorate


def taken_by(make: Any) -> tuple[dict[str, Parameter], bool]:
    """Return the arguments of a class or a function by name, and whether it takes others too.

    What a constructor hands on to those of the classes that it derives from (`**given`) it takes as they do.
    """
    own = [vars(kind)["__init__"] for kind in getattr(make, "__mro__", ())[:-1] if "__init__" in vars(kind)]
    found, is_open = dict[str, Parameter](), True
    for taken in map(signature, own or [make]):
        each = list(taken.parameters.values())[bool(own) :]  # without self
        found = {one.name: one for one in each if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)} | found
        is_open = any(one.kind is one.VAR_KEYWORD for one in each)
        if not is_open:
            break
    return found, is_open


def check_all(values: dict[str, Any], rules: dict[str, Rule], prefix: str = "") -> None:
    """Raise InputError for the first of some named values that is not what its rule asks. prefix: of their names."""
    for name, rule in rules.items():
        if not rule.holds(values[name]):
            rule.check(prefix + name, values[name])


def _is_beyond(value: Any, limit: float) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(one, int | float | Integral) and limit < abs(one) < inf for one in values)  # type: ignore[operator]


def reworded(words: dict[str, str]) -> Callable[[Function], Function]:
    """Return a decorator: an InputError of the function says what its caller wrote, not what settings of a run are.

    words: what begins a name in messages, and what the caller knows it as.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def rewording(*given: Any, **named: Any) -> Any:
            try:
                return function(*given, **named)
            except InputError as error:
                raise renamed(error, words)  # noqa: B904  it is the same one

        return rewording  # type: ignore[return-value]

    return decorate


def renamed(error: InputError, words: dict[str, str]) -> InputError:
    """Return an error, the same object, that has other words; files that begin like one keep their names."""
    known = re.compile(rf"(?<![\w./])({'|'.join(map(re.escape, words))})(?!py\b)")
    error.args = (known.sub(lambda found: words[found[1]], str(error)),)
    return error


def inside(name: str, key: str) -> dict[str, str]:
    """Return the words of what is a setting of another: "solver.KEY" is solver.inner.KEY there."""
    return {f"{name}.": f"{name}.{key}.", f"{name}=": f"{name}.{key}="}


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
    """Return a value as people write it in YAML: true, false, null, everything else as Python does; one short line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**100:
        # Roughly: Python writes no more than 4300 digits.
        return f"{'-' * (value < 0)}1e{int(abs(value).bit_length() * 0.30103)}"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else in_one_line(OBJECT.sub(r"a \1", repr(value)))


def fault_in_one_line(error: Exception) -> str:
    """Return the kind of an error of somebody else's code and what it says."""
    return f"{type(error).__name__}: {in_one_line(' '.join(str(error).split()))}"


def in_one_line(text: str, most: int = 200) -> str:
    """Return a text in one line; of a long one both ends."""
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 4 :]}"


YES_OR_NO = one_of(True, False)
FUNCTION = Rule("a function", callable)
READS = whole(1, 1_000_000, "as all reads are held at once")
SEED = whole(0, 2**63 - 1, "as it is counted in 64 bits")
