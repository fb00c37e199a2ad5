"""A trained network for other frameworks: a PyTorch state dict, an ONNX model. Both take images as `predict` does."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.frozen import Frozen
from annealtrain.nn.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Pad,
    SpectralPool2d,
    TrainableLayer,
)
from annealtrain.nn.network import Network

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ONE_PRODUCT = 256  # pixels of images up to which a spectral pool is quicker as one product with its matrix


def torch_network(network: Network) -> torch.nn.Sequential:
    """Return the same network for PyTorch, float32, from images (Q, *in_shape) to outputs (Q, classes).

    Its state dict names a layer by its place: `0.weight`, `0.bias` (-theta of Eq. 1), and `0.matrix` for a spectral
    pool, the constant (A B, a b) that acts on each channel. LeakyReLU stands after each trainable layer that has one.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"--format torch needs PyTorch ({error}): pip install 'annealtrain[torch]'") from error

    modules = []
    for layer in network.layers:
        modules.append(torch_module(layer))
        if isinstance(layer, TrainableLayer) and layer.slope != 1:
            modules.append(torch.nn.LeakyReLU(layer.slope))
    return torch.nn.Sequential(*modules)


def torch_module(layer: Layer) -> Any:
    """Return a layer for PyTorch, float32, without its activation; InputError for one that it has no form of."""
    import torch

    if isinstance(layer, TrainableLayer):
        made: Any
        if isinstance(layer, Conv2d):
            places = (layer.windows.size, layer.windows.stride, layer.windows.padding)
            made = torch.nn.Conv2d(layer.in_shape[0], layer.out_channels, *places, bias=layer.has_bias)
        elif isinstance(layer, Linear):
            made = torch.nn.Linear(layer.in_shape[0], layer.out_features, bias=layer.has_bias)
        else:
            raise unknown_layer(layer, "torch")
        with torch.no_grad():
            made.weight.copy_(torch.from_numpy(layer.kernel(np.float32)).reshape(made.weight.shape))
            if layer.has_bias:
                made.bias.copy_(torch.from_numpy(layer.offset(np.float32).ravel()))
        return made
    if isinstance(layer, SpectralPool2d):
        return _spectral_pool(layer)
    if isinstance(layer, MaxPool2d | AvgPool2d):
        kind = torch.nn.MaxPool2d if isinstance(layer, MaxPool2d) else torch.nn.AvgPool2d
        return kind(layer.windows.size, layer.windows.stride, layer.windows.padding)
    if isinstance(layer, Pad):
        above, below, before, behind = layer.margin
        return torch.nn.ZeroPad2d((before, behind, above, below))
    if isinstance(layer, Flatten):
        return torch.nn.Flatten()
    raise unknown_layer(layer, "torch")


def _spectral_pool(layer: SpectralPool2d, in_steps: bool = True) -> torch.nn.Module:
    """Return the pool as a module with its matrix; in_steps: large images are pooled one direction after the other."""
    import torch

    across, along = layer.sides()
    is_large = layer.in_shape[1] * layer.in_shape[2] > ONE_PRODUCT

    class SpectralPool(torch.nn.Module):
        matrix: Any
        across: Any
        along: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.from_numpy(layer.matrix().astype(np.float32)))
            self.in_steps = in_steps and is_large
            if self.in_steps:
                self.register_buffer("across", torch.from_numpy(across.astype(np.float32)), persistent=False)
                self.register_buffer("along", torch.from_numpy(along.astype(np.float32)), persistent=False)

        def forward(self, x: Any) -> Any:
            if not self.in_steps:
                return (x.flatten(2) @ self.matrix).unflatten(2, layer.size)
            images = x.reshape(-1, *x.shape[2:])
            tall = torch.bmm(self.across.expand(len(images), -1, -1), images).reshape(-1, self.along.shape[1])
            return (self.along @ tall.t()).t().unflatten(0, (*x.shape[:2], layer.size[0]))

        def _load_from_state_dict(self, *given: Any) -> None:
            ours = self.matrix.clone()
            super()._load_from_state_dict(*given)
            self.in_steps = self.in_steps and torch.equal(ours, self.matrix)  # or else it is another pool's

    return SpectralPool()


def state_names(network: Network) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return for each layer with weights, by its name, what the state dict calls its parts, and their shapes."""
    names, found, place = {id(layer): name for name, layer in network.named.items()}, {}, 0
    for layer in network.layers:
        if isinstance(layer, TrainableLayer):
            parts = torch_module(layer).state_dict()
            found[names[id(layer)]] = {f"{place}.{part}": tuple(held.shape) for part, held in parts.items()}
            place += layer.slope != 1
        place += 1
    return found


def torch_file(network: Network) -> bytes:
    state = torch_network(network).state_dict()
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unknown_layer(layer: Layer, kind: str) -> InputError:
    known = "Linear, Conv2d, SpectralPool2d, AvgPool2d, MaxPool2d, Pad, Flatten"
    return InputError(f"--format {kind} has no counterpart of {type(layer).__name__}: it knows {known}")


_NO_FORM = "optimizer=backprop has no form of the layer {}: train it by annealing, optimizer=gauss_newton"


class TorchNetwork:
    """A network's forward pass in PyTorch, from the input of its first trainable layer to its outputs.

    It gives the outputs of `Network.predict`, to rounding, and their gradients.
    Raises InputError for a layer that it has no form of.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        for layer in network.trainable:
            if not isinstance(layer, Linear | Conv2d):
                raise InputError(_NO_FORM.format(type(layer).__name__))
        following = [*network.leading[1:], network.tail]
        self._following = [[_fixed(layer) for layer in group] for group in following]

    def weights(self) -> list[Tensor]:
        """Return the network's present weights, each (M, N), as float32 tensors that gather gradients."""
        import torch

        return [torch.tensor(layer.weights, dtype=torch.float32).requires_grad_() for layer in self.network.trainable]

    def pull(self, weights: list[Tensor]) -> None:
        """Give the tensors the network's present weights."""
        import torch

        with torch.no_grad():
            for w, layer in zip(weights, self.network.trainable, strict=True):
                w.copy_(torch.from_numpy(layer.weights))

    def push(self, weights: list[Tensor]) -> None:
        """Give the network the tensors' values."""
        for w, layer in zip(weights, self.network.trainable, strict=True):
            layer.weights = w.detach().numpy().astype(np.float64)

    def gradient_norms(self, weights: list[Tensor]) -> list[float]:
        """Return the size of each layer's last gradient."""
        return [float(w.grad.norm()) for w in weights if w.grad is not None]

    def training(self, step: int) -> AbstractContextManager[None]:
        """Return what a step runs in: nothing, as no layer behaves otherwise in training."""
        return nullcontext()

    def __call__(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        """Return outputs (Q, classes) for stems x (Q, ...), see Network.preprocess."""
        from torch.nn.functional import leaky_relu

        for layer, w, following in zip(self.network.trainable, weights, self._following, strict=True):
            x = _trainable(layer, x, w)
            x = x if layer.slope == 1 else leaky_relu(x, layer.slope)
            for fixed in following:
                x = fixed(x)
        return x


def import_torch(what: str = "optimizer=backprop") -> None:
    """Import PyTorch; InputError with the pip command where it is absent. what: needs it."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise InputError(f"{what} needs PyTorch: pip install 'annealtrain[torch]'") from error


def torch_threads(count: int) -> None:
    """Let PyTorch take so many threads, in this whole process; another number may change the last bits of a run."""
    import torch

    torch.set_num_threads(count)


def _trainable(layer: TrainableLayer, x: Tensor, weights: Tensor) -> Tensor:
    from torch.nn.functional import conv2d, linear

    theta = None
    if layer.has_bias:
        weights, theta = weights[:, :-1], -weights[:, -1]
    if isinstance(layer, Conv2d):
        windows = layer.windows
        kernels = weights.reshape(len(weights), -1, *windows.size)
        return conv2d(x, kernels, theta, windows.stride, windows.padding)
    return linear(x, weights, theta)


def _fixed(layer: Layer) -> Callable[[Tensor], Tensor]:
    if isinstance(layer, Frozen) and isinstance(layer.layer, Linear | Conv2d):
        import torch

        inner, slope = layer.layer, layer.layer.slope
        parts = torch.nn.ModuleList([torch_module(inner), *([torch.nn.LeakyReLU(slope)] if slope != 1 else [])])
        fixed: Callable[[Tensor], Tensor] = torch.nn.Sequential(*parts).requires_grad_(False)
        return fixed
    if isinstance(layer, SpectralPool2d):
        return _spectral_pool(layer, in_steps=False)  # runs of backprop keep their bits
    try:
        made: Callable[[Tensor], Tensor] = torch_module(layer)
        return made
    except InputError:
        raise InputError(_NO_FORM.format(type(layer).__name__)) from None
