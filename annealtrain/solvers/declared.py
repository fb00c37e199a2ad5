"""What the class of a machine declares and gives, checked before the machine is asked anything."""

from collections.abc import Callable
from difflib import get_close_matches
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import Any

from annealtrain.errors import InputError
from annealtrain.runtime.validation import Rule, check_all, number, one_of, optional, whole

DECLARED = {
    "max_spins": optional(whole(1)),
    "max_bits": optional(whole(1)),
    "max_problems": optional(whole(1)),
    "largest": optional(number(above=0)),
    "failures": Rule(
        "a tuple of exceptions, such as (OSError,)",
        lambda value: (
            isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, Exception) for one in value)
        ),
    ),
    "max_retries": whole(0, 1000, "as a machine is lost long before"),
    "retry_wait_s": number(0),
    "is_metered": one_of(True, False),
}
GIVEN = {"ising": ("J", "h", "seed"), "ising_batch": ("problems", "seeds")}


def check_declared(machine: Any, base: type) -> None:
    """Raise InputError where a machine, of a subclass of `base`, declares what cannot be, or cannot be asked."""
    check_all({name: getattr(machine, name) for name in DECLARED}, DECLARED, f"{type(machine).__name__}.")
    _check_names(machine, base)
    _check_method(machine, base)


def _check_names(machine: Any, base: type) -> None:
    """Refuse a limit in a name that nothing reads: the machine would be given what it cannot hold."""
    below = type(machine).__mro__[: type(machine).__mro__.index(base)]
    for name in [*vars(machine), *(name for one in below for name in vars(one))]:
        close = get_close_matches(name, DECLARED, n=1, cutoff=0.9)
        if close and name not in DECLARED and not callable(getattr(machine, name)):
            raise InputError(
                f"{type(machine).__name__}.{name} is not read; did you mean '{close[0]}'? Else give it another name"
            )


def _check_method(machine: Any, base: type) -> None:
    """Refuse a machine without a method to ask it by, or with one that cannot be called, or returns no spins."""
    own, of_base = type(machine), vars(base)
    if any(getattr(own, name) is not getattr(base, name) for name in ("sample", "sample_batch")):
        return  # it goes a way of its own
    name = "ising_batch" if own.ising_batch is not of_base["ising_batch"] else "ising"
    method: Callable[..., Any] = getattr(machine, name)
    if getattr(own, name) is of_base[name]:
        raise InputError(f"{own.__name__} gives neither ising nor ising_batch: a machine has one of them")
    if not callable(method):
        raise InputError(f"{own.__name__}.{name} is no function: it takes ({', '.join(GIVEN[name])})")
    if isgeneratorfunction(method) or iscoroutinefunction(method) or isasyncgenfunction(method):
        how = "`return` in place of `yield`" if isgeneratorfunction(method) else "asyncio.run(...) in it waits"
        raise InputError(f"{own.__name__}.{name} does not return spins when it is called: {how}")
    try:
        taken = signature(method)
    except ValueError:  # of a compiled function, which may have none
        return
    try:
        taken.bind(*GIVEN[name])
    except TypeError:
        raise InputError(f"{own.__name__}.{name} takes {taken}: it is given ({', '.join(GIVEN[name])})") from None
