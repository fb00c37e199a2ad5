"""Batch norm folded into the layer before it: at fixed statistics both together are one layer with a bias."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from annealtrain.nn.torch_layers import logits

CLOSE = 1e-3  # of the largest output: what single precision may differ by once constants are folded
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norms(module: nn.Module, x: Tensor) -> list[str]:
    """Fold each batch norm that takes a convolution's or linear layer's output, in place; return the norms' names.

    module: in evaluation mode. x: a few samples. A norm stays where the outputs would change, as they do where
    something else takes the layer's output too.
    """
    folded = []
    for name, layer_name in _pairs(module, x):
        before, layer, norm = module(x), module.get_submodule(layer_name), module.get_submodule(name)
        held = (layer._parameters["weight"], layer._parameters.get("bias"))
        _fold(layer, norm)
        _replace(module, name, nn.Identity())
        if _differ(before, module(x)):
            layer._parameters["weight"], layer._parameters["bias"] = held
            _replace(module, name, norm)
            continue
        folded.append(name)
    return folded


def _pairs(module: nn.Module, x: Tensor) -> list[tuple[str, str]]:
    """Return names of norms, each with that of the layer whose very output it takes; both are run once."""
    made: dict[int, str] = {}
    kept: list[Any] = []  # so that no two outputs have one id
    counts: dict[str, int] = {}
    found: list[tuple[str, str]] = []

    def after(name: str) -> Any:
        def hook(part: Any, args: Any, output: Any) -> None:
            counts[name] = counts.get(name, 0) + 1
            made[id(output)] = name
            kept.append(output)

        return hook

    def before(name: str) -> Any:
        def hook(part: Any, args: Any) -> None:
            counts[name] = counts.get(name, 0) + 1
            if id(args[0]) in made:
                found.append((name, made[id(args[0])]))

        return hook

    hooks = []
    for name, part in module.named_modules():
        if type(part) in (nn.Conv2d, nn.Linear) and part._parameters.get("weight") is not None:  # not computed ones
            hooks.append(part.register_forward_hook(after(name)))
        elif isinstance(part, NORMS) and part.track_running_stats and part.running_mean is not None:
            hooks.append(part.register_forward_pre_hook(before(name)))

    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    parts: dict[str, Any] = dict(module.named_modules())
    return [
        (name, layer)
        for name, layer in found
        if counts[name] == counts[layer] == 1 and _is_by_unit(parts[name], parts[layer])
    ]


def _is_by_unit(norm: Any, layer: Any) -> bool:
    """Whether a norm has statistics of each unit: of a sequence it may have those of each token."""
    return bool(norm.num_features == len(layer.weight))


def _fold(layer: Any, norm: Any) -> None:
    factor = torch.rsqrt(norm.running_var.double() + norm.eps)
    factor = factor if norm.weight is None else factor * norm.weight.detach().double()
    shift = -norm.running_mean.double() * factor
    shift = shift if norm.bias is None else shift + norm.bias.detach().double()
    weight = layer.weight.detach()
    new = weight.double() * factor.reshape(-1, *[1] * (weight.ndim - 1))
    bias = shift if layer.bias is None else shift + layer.bias.detach().double() * factor
    layer._parameters["weight"] = nn.Parameter(new.to(weight.dtype))
    layer._parameters["bias"] = nn.Parameter(bias.to(weight.dtype))


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    owner, _, own = name.rpartition(".")
    setattr(module.get_submodule(owner), own, part)


def _differ(one: Any, other: Any) -> bool:
    """Whether any tensor of what a module returned, by itself or in tuples and mappings, is another."""
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return any(bool((a - b).abs().max() > CLOSE * a.abs().max()) for a, b in pairs)


def _tensors(outputs: Any) -> list[Tensor]:
    return [one for one in _pytree.tree_leaves(logits(outputs)) if isinstance(one, Tensor) and one.is_floating_point()]
