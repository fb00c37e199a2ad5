"""A torch module in a run: what a checkpoint keeps of it, running statistics that fit averaged weights, its report."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from annealtrain.errors import InputError
from annealtrain.nn.layer import Shape
from annealtrain.nn.named_arrays import require_same
from annealtrain.nn.torch_device import seed_device, torch_device
from annealtrain.nn.torch_layers import as_array, require_values
from annealtrain.nn.torch_module import TorchModule
from annealtrain.nn.torch_tape import TorchTape
from annealtrain.runtime.array_types import Array


class RunModule(TorchModule):
    """A TorchModule all of whose tensors are kept and brought back, those that nothing trains among them.

    Where all convolutions have 8, 16, 24, ... channels, images and kernels have their channels last in memory, as those
    are quicker so on a CPU; those of few channels are slower.
    device: that it is moved to, see `torch_device`. precision: float32; bfloat16: layers of training passes, forward
    and backward, compute in it as PyTorch's autocast chooses, while weights, gradients by weights and passes of
    evaluation are float32.
    """

    remedy = "take that alone out of it"

    def __init__(
        self,
        module: nn.Module,
        in_shape: Shape | None = None,
        *,
        precision: str = "float32",
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self.precision = precision
        if device != "cpu":
            require_values(module)
            module.to(torch_device(device))
        kernels = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
        self._has_channels_last = bool(kernels) and all(part.out_channels % 8 == 0 for part in kernels)
        if self._has_channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stub lacks
        self._buffers_stay: bool | None = None  # not known before the first step
        super().__init__(module, in_shape, **settings)

    @property
    def has_more(self) -> bool:
        """Whether training changes more than the weights of its layers; constants among the buffers are no more."""
        return self.has_rest or (super().has_more and not self._buffers_stay)

    @contextmanager
    def _stepping(self, step: int) -> Iterator[None]:
        before = [buffer.clone() for buffer in self.module.buffers()] if self._buffers_stay is None else None
        with super()._stepping(step):
            yield
        if before is not None:  # a module that has running statistics moves them at its first step too
            after = list(self.module.buffers())
            is_same = [a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(before, after, strict=False)]
            self._buffers_stay = len(before) == len(after) and all(is_same)

    def tensor(self, inputs: Any) -> Tensor:
        found = super().tensor(inputs)
        is_changed = self._has_channels_last and found.ndim == 4
        return found.contiguous(memory_format=torch.channels_last) if is_changed else found

    def run(self, inputs: Any, first: int | None = None) -> Tensor:
        try:
            if self.precision == "float32" or not self.module.training:
                found = super().run(inputs, first)
            else:
                with torch.autocast(self.device.type, torch.bfloat16):
                    found = super().run(inputs, first).float()
        except ValueError as error:
            if not self.module.training or not self._norms or np.shape(inputs)[:1] != (1,):
                raise
            told = "a norm of the module has no statistics of a batch of one sample in training mode"
            raise InputError(f"{told} ({error}): take larger batches, or another number of samples") from error
        if found.ndim != 2:  # labels are of samples, not of their tokens or sites
            raise InputError(f"the module's output is {tuple(found.shape)}: it must be (samples, classes)")
        return found

    def rehearse(self) -> None:
        """Run forward and backward once, in training mode, on two samples of zeros, and leave no trace of it."""
        tape = TorchTape(self, np.zeros((2, *self.in_shape), np.float32), self._untouched(training=True))
        tape.backward(np.ones_like(tape.outputs))

    def others(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, those of the layers too, by name."""
        return {name: as_array(tensor).copy() for name, tensor in self.module.state_dict().items()}

    def take_others(self, arrays: Mapping[str, Array]) -> None:
        """Take back what `others` returned; ValueError for other names or shapes."""
        held = self.module.state_dict()
        require_same({name: tuple(tensor.shape) for name, tensor in held.items()}, arrays)
        for name, tensor in held.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def moving(self) -> dict[str, Array]:
        """Return copies of the parameters beside the layers' that move, by name."""
        return {name: as_array(parameter).copy() for name, parameter in self.rest.items()}

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

    def weights(self) -> list[Tensor]:
        """Return all parameters that are not frozen, for backpropagation, which changes them in place."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def pull(self, weights: list[Tensor]) -> None:
        """Do nothing: the tensors are the module's own."""

    push = pull

    def gradient_norms(self, weights: list[Tensor]) -> list[float]:
        """Return the size of each layer's last gradient."""
        grads = [[p.grad.norm() for p in layer.parameters if p.grad is not None] for layer in self.trainable]
        return [float(torch.stack(each).norm()) for each in grads]

    def training(self, step: int) -> AbstractContextManager[None]:
        """Return what a step runs in: training mode, its dropout drawn from the seed and the step."""
        return self._stepping(step)

    def __call__(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        """Return the module's outputs (Q, classes)."""
        return self.run(x)

    @contextmanager
    def _untouched(self, training: bool | None) -> Iterator[None]:
        with super()._untouched(training):
            seed_device(self.seed, self.device)  # so that looks with dropout are the same in every process
            yield

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

    def check_inverses(self) -> None:
        raise InputError("a PyTorch module has no inverse")

    def about(self) -> list[str]:
        """Return lines that name which weights Hamiltonians take, what trains the others, and what is frozen."""
        layers = self.trainable
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters)
        lines = [f"by Hamiltonians: {count:,} weights of {len(layers)} layers: {', '.join(x.name for x in layers)}"]
        if self.rest:
            owners = {name.rpartition(".")[0]: None for name in self.rest}
            told = [f"{owner} ({type(self.module.get_submodule(owner)).__name__})" for owner in owners]
            size = sum(parameter.numel() for parameter in self.rest.values())
            lines += [f"by {type(self.rest_optimizer).__name__}: {size:,} weights of {', '.join(told)}"]
        gone = [name for name, parameter in self.module.named_parameters() if not parameter.requires_grad]
        lines += [f"frozen: {', '.join(gone)}"] if gone else []
        return lines if len(lines) > 1 else [f"all weights {lines[0]}"]
