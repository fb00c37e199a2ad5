"""The matrices of layers' curvature on a GPU, beside the passes that they are measured in."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annealtrain.nn.matrices import Item, Matrices, Result
from annealtrain.nn.torch_layers import at_least_single
from annealtrain.runtime.array_types import Array


class TorchMatrices(Matrices):
    """Tensors on a device, float64."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kind: dict[str, Any] = {"dtype": torch.float64, "device": device}

    def own(self, array: Array) -> Any:
        return torch.as_tensor(np.ascontiguousarray(array), **self._kind)

    def array(self, own: Any) -> Array:
        found: Array = own.cpu().numpy()
        return found

    def beside(self, tensor: Tensor) -> Tensor:
        """Return what a layer saw, or its gradient, on this device, at least in single precision."""
        return at_least_single(tensor).to(self.device)

    def zeros(self, *shape: int) -> Any:
        return torch.zeros(shape, **self._kind)

    def eye(self, size: int) -> Any:
        return torch.eye(size, **self._kind)

    def double(self, own: Any) -> Any:
        return own.double()

    def sum_of_squares(self, S: Any) -> Any:
        return (S @ S.swapaxes(1, 2)).sum(dim=0, dtype=torch.float64)

    def inverse(self, A: Any) -> Any:
        return torch.linalg.inv(A)

    def each(self, job: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        with torch.autocast(self.device.type, enabled=False):  # a loop's own may be on, and would halve the precision
            return [job(item) for item in items]  # PyTorch loads its solvers for GPUs once, not on two threads at once

    def eigh(self, A: Any) -> Any:
        return torch.linalg.eigh(A)
