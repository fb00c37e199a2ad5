"""The torch optimizer of the parameters that no Hamiltonian takes."""

from inspect import signature
from typing import Any

import torch
from torch import nn

from annealtrain.errors import InputError


def rest_optimizer(make: Any, parameters: list[nn.Parameter]) -> torch.optim.Optimizer | None:
    """Return the optimizer that `make`, a class or a function, makes of a list of parameters; None without either.

    Raises InputError for what makes none.
    """
    if make is None or not parameters:
        return None
    made = make(parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"rest makes a {type(made).__name__} of parameters, and no torch.optim.Optimizer")
    asked = [one.name for one in signature(made.step).parameters.values() if one.default is one.empty]
    if "closure" in asked:
        raise InputError(f"rest makes a {type(made).__name__}, whose steps need a closure: take another optimizer")
    return made


def first_rates(optimizer: torch.optim.Optimizer | None) -> list[Any]:
    """Return the learning rates of an optimizer's groups."""
    return [group["lr"] for group in optimizer.param_groups] if optimizer else []
