"""A torch module in a run: what a checkpoint keeps of it, running statistics that fit averaged weights, its report."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from annealtrain.nn.named_arrays import require_same
from annealtrain.nn.torch_module import TorchModule
from annealtrain.runtime.array_types import Array


class RunModule(TorchModule):
    """A TorchModule all of whose tensors are kept and brought back, those that nothing trains among them."""

    def others(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, those of the layers too, by name."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.module.state_dict().items()}

    def take_others(self, arrays: Mapping[str, Array]) -> None:
        """Take back what `others` returned; ValueError for other names or shapes."""
        held = self.module.state_dict()
        require_same({name: tuple(tensor.shape) for name, tensor in held.items()}, arrays)
        for name, tensor in held.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def moving(self) -> dict[str, Array]:
        """Return copies of the parameters that the rest's optimizer moves, by name."""
        held = self.rest if self.rest_optimizer is not None else {}
        return {name: parameter.detach().cpu().numpy().copy() for name, parameter in held.items()}

    def set_moving(self, arrays: Mapping[str, Array]) -> None:
        """Give those parameters other values."""
        held = self.rest
        with torch.no_grad():
            for name, array in arrays.items():
                held[name].copy_(torch.from_numpy(array))

    def rest_state(self) -> dict[str, Array]:
        """Return what the rest's optimizer remembers, as arrays by name."""
        return {name: array for name, array in self.state().items() if name.startswith("rest.")}

    def restore_rest(self, state: Mapping[str, Array]) -> None:
        """Take that back from what a checkpoint holds; ValueError where it is another module's."""
        held = {name: array for name, array in state.items() if name.startswith("rest.")}
        parameters = list(self.rest.values())
        for name, array in held.items():
            number = int(name.split(".")[1])
            if number >= len(parameters) or array.shape not in ((), tuple(parameters[number].shape)):
                raise ValueError(f"{name} holds {array.shape}")
        self.restore(held)

    @property
    def _norms(self) -> list[Any]:
        """The parts that keep running statistics of what goes through them."""
        parts = self.module.modules()
        return [part for part in parts if getattr(part, "running_mean", None) is not None]

    def calibrate(self, batches: Iterable[Array]) -> None:
        """Measure the running statistics anew, as means over batches of inputs at the present weights."""
        norms = self._norms
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        with self._mode(False), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean of all that it sees
                norm.train()
            for inputs in batches:
                self.run(inputs)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def about(self) -> list[str]:
        """Return lines that name which weights Hamiltonians take, what trains the others, and what is frozen."""
        layers = self.trainable
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters)
        lines = [f"by Hamiltonians: {count:,} weights of {len(layers)} layers: {', '.join(x.name for x in layers)}"]
        if self.rest_optimizer is not None:
            lines += [f"by {type(self.rest_optimizer).__name__}: {line}" for line in self.about_rest()]
        gone = [name for name, parameter in self.module.named_parameters() if not parameter.requires_grad]
        if self.rest_optimizer is None:
            gone += list(self.rest)
        lines += [f"frozen: {', '.join(gone)}"] if gone else []
        return lines if len(lines) > 1 else [f"all weights {lines[0]}"]
