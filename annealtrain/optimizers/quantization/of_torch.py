"""A PyTorch module as a source of quantisation. It imports torch: import it where a module is given."""

import copy
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from annealtrain.errors import InputError
from annealtrain.nn.torch_layers import TorchLayer, as_array, choices, dtype_of, logits, require_values
from annealtrain.nn.torch_module import TorchModule
from annealtrain.nn.torch_tape import eagerly
from annealtrain.optimizers.quantization.batch_norm import fold_batch_norms
from annealtrain.optimizers.quantization.source import nothing_left
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import fault_in_one_line

FEW = 8  # samples of the passes that look at a module


class _Reached(Exception):
    """A pass has come to the layer that it was for."""


class TorchSource:
    """See `Source`. It works on a copy of the module in evaluation mode, whose batch norms are folded if they can be.

    Samples: tensors or arrays, first axis the samples. first: a few of them. leave: why some layers are to stay as they
    are, by name. folded: names of the norms. left: why layers stay float, by name.
    """

    has_gradients = True

    def __init__(self, module: nn.Module, first: Any, *, leave: Mapping[str, str] | None = None) -> None:
        require_values(module)
        try:
            self.module = copy.deepcopy(module).eval()
        except RuntimeError as error:  # of PyTorch, of weights that are computed at each pass
            raise InputError(
                "the module cannot be copied, as some of its weights are computed, by pruning or a norm of weights: "
                "make them plain ones first, such as by torch.nn.utils.prune.remove"
            ) from error
        self._try(first[:FEW])
        for parameter in self.module.parameters():
            parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
        with torch.no_grad(), eagerly():
            self.folded = fold_batch_norms(self.module, self._tensor(first[:FEW]))
        self.left: dict[str, str] = {}
        self._one_pass = threading.Lock()  # a hook would end the passes of other threads, and take their inputs
        self._layers = self._in_order(first[:FEW], leave or {})
        self.exact = copy.deepcopy(self.module)
        of_exact = {layer.name: layer for layer in choices(self.exact)}
        self._exact_layers = [of_exact[layer.name] for layer in self._layers]
        self._of_exact = TorchModule(self.exact)
        self.names = [layer.name for layer in self._layers]
        own = {id(one) for layer in self._layers for one in (layer.module.weight, layer.module.bias)}
        self.others = 4 * sum(one.numel() for one in self.module.parameters() if id(one) not in own)

    def _try(self, x: Any) -> None:
        """Raise InputError where the module does not run on samples."""
        try:
            with torch.no_grad(), eagerly():
                self.module(self._tensor(x))
        except Exception as error:  # whatever a module raises of what it cannot take
            shape, told = tuple(x.shape), fault_in_one_line(error)
            raise InputError(f"the module does not run on samples {shape} as its only argument ({told})") from error

    def _in_order(self, x: Any, leave: Mapping[str, str]) -> list[TorchLayer]:
        """Return the layers to quantise as a pass meets them, each once."""
        layers, met = choices(self.module), list[str]()
        hooks = [
            layer.module.register_forward_hook(lambda part, args, out, name=layer.name: met.append(name))
            for layer in layers
        ]
        try:
            with torch.no_grad(), eagerly():
                self.module(self._tensor(x))
        finally:
            for hook in hooks:
                hook.remove()
        named = {layer.name: layer for layer in layers}
        for name, part in self.module.named_modules():
            if any(True for _ in part.parameters(recurse=False)):
                self._look(name or type(part).__name__, named.get(name), met, leave)
        found = [named[name] for name in dict.fromkeys(met) if name not in self.left]
        if not found:
            raise nothing_left("module", self.left, "it has no Conv2d and no Linear")
        return found

    def _look(self, name: str, layer: TorchLayer | None, met: list[str], leave: Mapping[str, str]) -> None:
        if layer is None:
            self.left[name] = "of another kind, or its weights are shared"
        elif name in leave:
            self.left[name] = leave[name]
        elif met.count(name) != 1:
            self.left[name] = f"a pass meets it {met.count(name)} times"
        elif not layer.has_shared_rows:
            self.left[name] = "a convolution in groups"

    def _tensor(self, x: Any) -> Tensor:
        device = next(self.module.parameters(), torch.empty(0)).device
        found = x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x))
        return found.to(device, dtype_of(self.module) if found.is_floating_point() else None)

    def block(self, samples: Any, part: slice) -> Tensor:
        return self._tensor(samples[part])

    def weights(self, k: int) -> Array:
        layer = self._exact_layers[k]
        return layer.weights[:, : layer.weight_shape[1] - layer.has_bias]

    def shape(self, k: int) -> tuple[int, ...]:
        return tuple(self._layers[k].module.weight.shape)

    def bias(self, k: int) -> Array | None:
        layer = self._layers[k]
        return -layer.weights[:, -1] if layer.has_bias else None

    def take(self, k: int, weights: Array, bias_change: Array | None = None) -> None:
        held = self._exact_layers[k].weights
        held[:, : weights.shape[1]] = weights
        if bias_change is not None:
            held[:, -1] -= bias_change
        self._layers[k].weights = held

    def inputs(self, k: int, x: Tensor, *, is_float: bool = False) -> Array:
        module, layer = (self.exact, self._exact_layers[k]) if is_float else (self.module, self._layers[k])
        seen = []

        def hook(part: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            seen.append(args[0] if args else named["input"])
            raise _Reached

        with self._one_pass:
            handle = layer.module.register_forward_pre_hook(hook, with_kwargs=True)
            try:
                with torch.no_grad(), eagerly():
                    module(x)
            except _Reached:
                pass
            finally:
                handle.remove()
        rows: Array = layer.unfold(as_array(seen[0]))
        return rows[:, : rows.shape[1] - layer.has_bias]

    def outputs(self, x: Tensor, *, is_float: bool = False) -> Array:
        with torch.no_grad():
            found = (self.exact if is_float else self.module)(self._tensor(x))
        found = logits(found)
        if not isinstance(found, Tensor):
            told = f"the module's output is {type(found).__name__}, not (samples, classes)"
            raise InputError(f"{told}: wrap it in a module that takes those out, or take objective=layerwise")
        return as_array(found)

    def curvature(self, k: int, x: Tensor, signs: Array) -> Array:
        self._of_exact.trainable = [self._exact_layers[k]]
        dz = self._of_exact.tape(x).backward(signs.astype(np.float32))[0]
        found: Array = self._exact_layers[k].flatten_outputs(dz)
        return found
