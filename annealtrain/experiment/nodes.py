"""Any object that a node of a configuration describes by its `_target_`, or one line on why there can be none."""

import re
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from annealtrain.errors import InputError, own_place
from annealtrain.experiment import trust
from annealtrain.experiment.known_settings import meant
from annealtrain.runtime.validation import inside, renamed, taken_by

DEFAULTS = {"solver": "sa", "schedule": "geometric", "optimizer": "gauss_newton"}  # named where one is missing
OF_HYDRA = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


def create(node: Any, what: str, kind: type) -> Any:
    """Return the object that a configuration node describes; InputError in one line where it cannot be made."""
    return of_kind(instantiated(described(node, what), what), node, what, kind)


def described(node: Any, what: str) -> dict[str, Any]:
    """Return a node that has a `_target_`; InputError for what has none."""
    if not isinstance(node, dict) or "_target_" not in node:
        if node is None:
            raise InputError(f"this run needs a {what}: add {what}={DEFAULTS.get(what, '...')}")
        raise InputError(f"{what} has no _target_: choose one of the group, such as annealtrain train {what}=...")
    return node


def of_kind(made: Any, node: dict[str, Any], what: str, kind: type) -> Any:
    """Return an object if it is of a kind, InputError if not."""
    if not isinstance(made, kind):
        raise InputError(f"{what}._target_={node['_target_']} makes a {type(made).__name__}, not a {what}")
    return made


def instantiated(node: Any, what: str) -> Any:
    """Return the object that a node of any `_target_` describes; InputError in one line where it cannot be made."""
    trust.locate_all(what, node)
    try:
        return instantiate(node, _convert_="all")
    except (InstantiationException, OmegaConfBaseException, TypeError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        if isinstance(cause, InputError):
            nested = re.search(r"\nfull_key: ([\w.]+)$", str(error))  # it is of an object in the node
            raise renamed(cause, inside(what, nested[1])) if nested else cause from None
        raise unbuilt(what, node, cause) from error


def unknown_argument(key: str, node: Any) -> str | None:
    """Return one line for the first setting at any depth of a node that its `_target_` does not take, None without."""
    if isinstance(node, list):
        found = (unknown_argument(f"{key}.{at}", below) for at, below in enumerate(node))
        return next(filter(None, found), None)
    if not isinstance(node, dict):
        return None
    if isinstance(node.get("_target_"), str):
        taken, is_open = taken_by(trust.located(node["_target_"], f"{key}._target_"))
        for name in node:
            if name not in (*taken, *OF_HYDRA) and not is_open:
                close = meant(f"{key}.{name}", taken)
                return f"no setting {f'{key}.{name}'!r}{close}: {node['_target_']} takes {', '.join(taken) or 'none'}"
    return next(filter(None, (unknown_argument(f"{key}.{name}", below) for name, below in node.items())), None)


def unbuilt(what: str, node: Any, error: BaseException) -> InputError:
    """Return the line for an object that cannot be made: a setting that its class has not, or what it has raised."""
    if isinstance(error, TypeError) and (unknown := unknown_argument(what, node)):
        return InputError(unknown)
    while error.__cause__ is not None:
        error = error.__cause__
    if "Expected a callable target" in str(error):
        error = TypeError("a _target_ is no class and no function")
    if isinstance(error, MissingMandatoryValue) and (lacking := re.search(r"full_key: ([\w.\[\]]+)", str(error))):
        return InputError(f"{what}.{lacking[1]} has no value: add {what}.{lacking[1]}=...")
    said = " ".join(str(error).split()).removesuffix(".") + trust.hidden(node)
    if isinstance(error, TypeError) and (lacking := re.search(r"missing .* argument.*?: '(\w+)'", said)):
        return InputError(f"{what} cannot be built: {said}: add +{what}.{lacking[1]}=...")
    if place := own_place(error):
        return InputError(f"{what} cannot be built: {type(error).__name__} in {place}: {said or 'no word why'}")
    return InputError(f"{what} cannot be built: {said}: see annealtrain train --help")
