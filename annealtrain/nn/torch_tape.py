"""One pass of a PyTorch module, with what its annealed layers saw, and back."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from annealtrain.errors import InputError
from annealtrain.nn.matrices import NUMPY, Matrices
from annealtrain.nn.torch_layers import TorchLayer, as_array
from annealtrain.nn.torch_matrices import TorchMatrices
from annealtrain.runtime.array_types import Array

HIDDEN = "the module makes activations anew, by torch.utils.checkpoint, in a form that hides gradients"


class TorchTape:
    """A few samples through a module and back.

    inputs[k]: (Q, *in_shape) of annealed layer k, None before layer `first`. outputs: (Q, C). counts: how often the
    pass came by each layer. A layer that it did not come by has zeros.
    network: the TorchModule. context: what the pass runs in. first: the layer whose inputs are given, None: the
    module's own.
    """

    def __init__(
        self, network: Any, inputs: Any, context: AbstractContextManager[Any], first: int | None = None
    ) -> None:
        self.network = network
        layers, begun = network.trainable, first or 0
        self.counts = [0] * len(layers)
        self._seen: list[Any] = [None] * len(layers)
        self._edges: list[Any] = [None] * len(layers)
        # Before hooks of others: what they make of z is what follows it.
        hooks = [
            layer.module.register_forward_hook(self._keep(k, layer), with_kwargs=True, prepend=True)
            for k, layer in enumerate(layers)
            if k >= begun
        ]
        try:
            with context, eagerly():
                self._given = network.run(inputs, first)
        finally:
            for hook in hooks:
                hook.remove()
        self.outputs: Array = as_array(self._given)
        self._begun = begun

    @cached_property
    def inputs(self) -> list[Any]:
        """What each layer saw, NumPy's."""
        return [None if k < self._begun else as_array(self._input(k)) for k in range(len(self._seen))]

    def _keep(self, k: int, layer: TorchLayer) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any], z: Tensor) -> None:
            x = args[0] if args else kwargs["input"]
            self.counts[k] += 1
            layer.saw(x, z)
            self._seen[k] = x.detach()
            # The edge, not z: what follows may change z in its place.
            self._edges[k] = get_gradient_edge(z) if z.requires_grad else None

        return hook

    def _input(self, k: int) -> Tensor:
        if self._seen[k] is None:
            found: Tensor = self._given.new_zeros((len(self.outputs), *self.network.trainable[k].in_shape))
        else:
            found = self._seen[k]
        return found

    def backward(self, outputs: Array, first: int = 0) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) with respect to z_k for k = first, first + 1, ...

        outputs: (Q, C). Each gradient is (Q, *out_shape).
        """
        return [np.ascontiguousarray(as_array(found)) for found in self._back(outputs, first)]

    def pairs(self, outputs: Array, matrices: Matrices = NUMPY) -> list[tuple[Any, Any]]:
        """Return the inputs of each layer and the gradient by its z, where these matrices lie."""
        if isinstance(matrices, TorchMatrices):  # parts of a module may be on other GPUs
            seen = [self._input(k) for k in range(len(self._seen))]
            pairs = zip(seen, self._back(outputs, 0), strict=True)
            return [(matrices.beside(x), matrices.beside(dz)) for x, dz in pairs]
        return list(zip(self.inputs, self.backward(outputs), strict=True))

    def _back(self, outputs: Array, first: int) -> list[Tensor]:
        layers = self.network.trainable[first:]
        edges = [edge for edge in self._edges[first:] if edge is not None]
        grads = iter(self._grad(edges, outputs))
        found = []
        for layer, edge in zip(layers, self._edges[first:], strict=True):
            grad = None if edge is None else next(grads)
            if grad is None:
                found.append(self._given.new_zeros((len(self.outputs), *layer.out_shape)))
            else:
                found.append(layer.units_first(grad))
        return found

    def hides(self, k: int) -> bool:
        """Return whether the pass came by layer k in a way that no gradient comes back from."""
        return self.counts[k] > 0 and self._edges[k] is None

    def leaves_out(self, k: int) -> bool:
        """Return whether the pass came by layer k, and the outputs do not depend on it."""
        edge = self._edges[k]
        return edge is not None and id(edge.node) not in self._behind_outputs

    @cached_property
    def _behind_outputs(self) -> dict[int, Any]:
        """All that the outputs were computed by, by its id."""
        found: dict[int, Any] = {}
        waiting = [self._given.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is not None and id(node) not in found:
                found[id(node)] = node
                waiting.extend(before for before, _ in node.next_functions)
        return found

    def gradients(self, outputs: Array) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) by each layer's weights, (M, N) float64.

        That by the rest of the parameters goes to their `grad`, where there is an optimizer that moves them.
        """
        network = self.network
        own = [layer.parameters for layer in network.trainable]
        rest = list(network.rest.values()) if network.rest_optimizer is not None else []
        wanted = [*(parameter for each in own for parameter in each), *rest]
        grads = self._grad(wanted, outputs)
        found = [torch.zeros_like(p) if grad is None else grad for p, grad in zip(wanted, grads, strict=True)]
        for parameter, grad in zip(rest, found[len(found) - len(rest) :], strict=True):
            parameter.grad = grad
        parts = iter(found)
        return [layer.joined([next(parts) for _ in each]) for layer, each in zip(network.trainable, own, strict=True)]

    def _grad(self, wanted: list[Any], outputs: Array) -> tuple[Any, ...]:
        if not wanted or not self._given.requires_grad:
            return (None,) * len(wanted)
        given = torch.from_numpy(np.ascontiguousarray(outputs)).to(self._given)
        try:
            return torch.autograd.grad(self._given, wanted, given, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if "use_reentrant" not in str(error):
                raise
            raise InputError(f"{HIDDEN}: call it with use_reentrant=False") from error


@contextmanager
def eagerly() -> Iterator[None]:
    """Run parts of a module that are compiled as they were written: compiled ones pass by hooks that come later."""
    if "torch._dynamo" in sys.modules:  # else nothing is compiled, and it takes a second to import
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield
