"""Layers of a PyTorch module as optimizers see them: weights (M, N), what they see, their gradients.

Arrays are NumPy's, on the CPU. x and dz have the samples first; of tensors, wherever they lie, tensors follow. The
pre-activations of a layer that is applied at several places are (Q, M, *places): a Linear on sequences (Q, T, N) has
its tokens there, as a convolution its sites.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annealtrain.errors import InputError
from annealtrain.nn.layer import Shape
from annealtrain.runtime.array_types import Array

KINDS = "Conv2d, Linear"


def as_array(tensor: Tensor) -> Array:
    """Return a tensor as NumPy's, on the CPU, in single precision where NumPy has not its own or it is half."""
    found: Array = at_least_single(tensor.detach().cpu()).numpy()
    return found


def at_least_single(tensor: Tensor) -> Tensor:
    """Return a tensor in single precision where it is half."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def logits(found: Any) -> Any:
    """Return what is of the classes in what a module returned: models of Hugging Face's have it as `logits`."""
    return getattr(found, "logits", found)


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the type of a module's first weights that are real numbers: those of masks or transforms are others."""
    return next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)


class TorchLayer:
    """A Linear or a Conv2d: row m of its weights (M, N) holds what leads to output m; the bias is the last column.

    The input of the bias is -1, as in Eq. (1): its weight is -bias. Weights are float64 copies; setting them writes
    through to the module's parameters, in their precision.
    name: in the module. in_shape, out_shape: of one sample, known once the module has run.
    """

    slope = 1.0  # of the activation that it would have of its own
    in_shape: Shape = ()
    out_shape: Shape = ()

    def __init__(self, name: str, module: Any) -> None:
        self.name, self.module = name, module
        self.has_bias = module.bias is not None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Its weight, and its bias if it has one."""
        return [self.module.weight, *([self.module.bias] if self.has_bias else [])]

    @property
    def weight_shape(self) -> tuple[int, int]:
        weight = self.module.weight
        return len(weight), prod(weight.shape[1:]) + self.has_bias

    @property
    def weights(self) -> Array:
        return self.joined(self.parameters)

    @weights.setter
    def weights(self, values: Array) -> None:
        M, N = self.weight_shape
        values = np.asarray(values, np.float64)
        if values.shape != (M, N):
            raise ValueError(f"weights {values.shape} of layer {self.name}: it has {(M, N)}")
        weight = self.module.weight
        with torch.no_grad():
            weight.copy_(torch.from_numpy(np.ascontiguousarray(values[:, : N - self.has_bias])).reshape(weight.shape))
            if self.has_bias:
                self.module.bias.copy_(torch.from_numpy(-values[:, -1]))

    def joined(self, tensors: Sequence[Tensor]) -> Array:
        """Return tensors that are shaped as the parameters, such as their gradients, as (M, N) float64."""
        parts = [tensors[0].detach().cpu().to(torch.float64).reshape(len(tensors[0]), -1).numpy()]
        if self.has_bias:
            parts.append(-tensors[1].detach().cpu().to(torch.float64).numpy()[:, None])
        return np.hstack(parts)

    @property
    def has_shared_rows(self) -> bool:
        """Whether all units see the same rows; not in a convolution of groups."""
        return True

    @property
    def is_on_tokens(self) -> bool:
        """Whether it is applied to each token of a sequence by itself."""
        return False

    def saw(self, x: Tensor, z: Tensor) -> None:
        """Take the shapes of inputs and pre-activations."""
        self.in_shape, self.out_shape = tuple(x.shape[1:]), tuple(self.units_first(z).shape[1:])

    def units_first(self, z: Tensor) -> Tensor:
        """Return pre-activations, as the module gives them, as (Q, M, *places)."""
        raise NotImplementedError

    def unfold(self, x: Any) -> Any:
        """Return what one unit's weights see, (R, N), sample by sample and place by place."""
        raise NotImplementedError

    def flatten_outputs(self, y: Any) -> Any:
        """Return y (Q, *out_shape) as (R, M), in the order of `unfold`."""
        moved = y.movedim(1, -1) if isinstance(y, Tensor) else np.moveaxis(y, 1, -1)
        return moved.reshape(-1, y.shape[1])

    def gradient(self, x: Array, dz: Array) -> Array:
        """Return d/dW sum(dz * z), (M, N)."""
        found: Array = self.sample_gradients(x, dz).sum(axis=0)
        return found

    def sample_gradients(self, x: Any, dz: Any) -> Any:
        """Return the same for each sample alone, (Q, M, N)."""
        rows = self.unfold(x).reshape(len(x), -1, self.weight_shape[1])
        return dz.reshape(*dz.shape[:2], -1) @ rows

    def _with_bias_column(self, rows: Any) -> Any:
        if not self.has_bias:
            return rows
        if isinstance(rows, Tensor):
            return torch.hstack([rows, rows.new_full((len(rows), 1), -1)])
        return np.hstack([rows, np.full((len(rows), 1), -1, rows.dtype)])


class TorchLinear(TorchLayer):
    """A Linear, on vectors (Q, N) or on sequences (Q, ..., N), each of whose tokens is a row."""

    @property
    def is_on_tokens(self) -> bool:
        return len(self.in_shape) > 1

    def units_first(self, z: Tensor) -> Tensor:
        return z.movedim(-1, 1)

    def unfold(self, x: Any) -> Any:
        return self._with_bias_column(x.reshape(-1, x.shape[-1]))

    def gradient(self, x: Array, dz: Array) -> Array:
        found: Array = self.flatten_outputs(dz).T @ self.unfold(x)
        return found


class TorchConv2d(TorchLayer):
    """A Conv2d with its stride, padding in any mode, dilation and groups.

    Units of one of G groups see the channels of their group alone; N counts those. All units share one J for that.
    """

    def units_first(self, z: Tensor) -> Tensor:
        return z

    @property
    def has_shared_rows(self) -> bool:
        return bool(self.module.groups == 1)

    def unfold(self, x: Any) -> Any:
        patches = self._patches(x)
        return self._with_bias_column(patches.swapaxes(1, 2).reshape(-1, patches.shape[1]))

    def sample_gradients(self, x: Any, dz: Any) -> Any:
        count, groups = len(x), self.module.groups
        M, N = self.weight_shape
        patches = self._patches(x).reshape(count, groups, N - self.has_bias, -1)
        flat = dz.reshape(count, groups, M // groups, -1)
        found = (flat @ patches.swapaxes(2, 3)).reshape(count, M, -1)
        if not self.has_bias:
            return found
        of_bias = -flat.sum(axis=3).reshape(count, M, 1)
        return torch.cat([found, of_bias], dim=2) if isinstance(x, Tensor) else np.concatenate([found, of_bias], axis=2)

    def _patches(self, x: Any) -> Any:
        """Return what is under the kernel at each site, (Q, C K L, sites)."""
        module, windows, margin = self.module, torch.as_tensor(x), self._margin()
        if any(margin):
            mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
            windows = functional.pad(windows, margin, mode=mode)
        for axis in (0, 1):  # a copy of views, which is several times quicker than functional.unfold
            whole = module.dilation[axis] * (module.kernel_size[axis] - 1) + 1
            windows = windows.unfold(2 + axis, whole, module.stride[axis])
        seen = windows[..., :: module.dilation[0], :: module.dilation[1]].permute(0, 1, 4, 5, 2, 3)
        found = seen.reshape(len(x), prod(seen.shape[1:4]), -1)
        return found if isinstance(x, Tensor) else found.numpy()

    def _margin(self) -> list[int]:
        """Return the columns before and behind, the rows above and below, as `pad` takes them."""
        module, margin = self.module, []
        for axis in (1, 0):
            if module.padding == "same":
                whole = module.dilation[axis] * (module.kernel_size[axis] - 1)
                margin += [whole // 2, whole - whole // 2]
            else:
                margin += [module.padding[axis]] * 2 if module.padding != "valid" else [0, 0]
        return margin


def require_values(module: nn.Module) -> None:
    """Raise InputError for a module some of whose tensors have no values yet."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer) for tensor in tensors):
        raise InputError("the module has lazy layers, of no size yet: give sizes, or run a batch through it first")
    if any(tensor.is_meta for tensor in tensors):
        raise InputError("the module has weights on the meta device, without values: make it on the CPU or a GPU")


def choices(module: nn.Module) -> list[TorchLayer]:
    """Return the layers of a module whose weights Hamiltonians can take, in the module's order.

    Those are layers of exactly these kinds with real weights of their own, which no other module has and which are not
    frozen; what attention multiplies by itself, without calling the layer, is none.
    """
    owners: dict[int, int] = {}
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    found: list[TorchLayer] = []
    for name, part in module.named_modules():
        made: Any = {nn.Linear: TorchLinear, nn.Conv2d: TorchConv2d}.get(type(part))
        if made is None:
            continue
        own = list(part.parameters(recurse=False))
        is_plain = isinstance(part._parameters.get("weight"), nn.Parameter) and len(own) == 1 + (part.bias is not None)
        if is_plain and all(p.requires_grad and p.is_floating_point() and owners[id(p)] == 1 for p in own):
            found.append(made(name, part))
    return found


def chosen(found: list[TorchLayer], trainable: Sequence[int | str] | None) -> list[TorchLayer]:
    """Return those of a module's layers that are named or numbered, None: all; InputError for one that it has not."""
    if not found:
        raise InputError(f"the module has no layer that can be annealed: it needs a {KINDS.replace(', ', ' or a ')}")
    if trainable is None:
        return found
    names, taken = [layer.name for layer in found], set()
    for one in trainable:
        if isinstance(one, str):
            of_it = [k for k, name in enumerate(names) if name == one or name.startswith(f"{one}.")]
        else:
            of_it = [range(len(found))[one]] if -len(found) <= one < len(found) else []
        if not of_it:
            listed = ", ".join(f"{k} {name}" for k, name in enumerate(names))
            raise InputError(f"trainable={one}: the module has no such layer; it has {listed}")
        taken.update(of_it)
    if not taken:
        raise InputError("trainable is empty: name a layer, or leave it null for all")
    return [found[k] for k in sorted(taken)]
