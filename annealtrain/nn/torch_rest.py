"""The torch optimizer of the parameters that no Hamiltonian takes."""

from typing import Any

import torch
from torch import nn

from annealtrain.errors import InputError


def rest_optimizer(make: Any, parameters: list[nn.Parameter]) -> torch.optim.Optimizer | None:
    """Return the optimizer that `make`, a class or a function, makes of a list of parameters; None without either.

    Raises InputError for what makes none, such as an optimizer that is made already.
    """
    if make is None or not parameters:
        return None
    if not callable(make):
        raise InputError(f"rest is a {type(make).__name__}: give a class, such as torch.optim.AdamW, or a function")
    made = make(parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"rest makes a {type(made).__name__} of parameters, and no torch.optim.Optimizer")
    return made
