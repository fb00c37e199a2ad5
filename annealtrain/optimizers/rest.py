"""What trains the parameters of a torch module that no Hamiltonian takes: scales of norms, embeddings, tables.

Each makes an optimizer of PyTorch's for a list of parameters. Its learning rate is that of the first step; it falls
with the steps as eta of `kronecker` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from annealtrain.runtime.validation import checked, number

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Rest = Callable[[list["nn.Parameter"]], "Optimizer"]


@checked("rest.", learning_rate=number(above=0), weight_decay=number(0))
def adamw(learning_rate: float = 0.003, weight_decay: float = 0.0) -> Rest:
    """Return what makes AdamW."""

    def make(parameters: list[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)

    return make


@checked("rest.", learning_rate=number(above=0), momentum=number(0, below=1), weight_decay=number(0))
def sgd(learning_rate: float = 0.05, momentum: float = 0.9, weight_decay: float = 0.0) -> Rest:
    """Return what makes gradient descent with momentum."""

    def make(parameters: list[nn.Parameter]) -> Optimizer:
        import torch

        return torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)

    return make


def frozen() -> None:
    """Return None: the parameters stay at their first values."""
