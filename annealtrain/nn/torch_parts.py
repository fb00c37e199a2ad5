"""Where a pass of a PyTorch module may begin: at a layer that a chain of nn.Sequential leads to."""

from typing import Any

from torch import nn


def parts_from(module: nn.Module, layer: nn.Module) -> list[nn.Module] | None:
    """Return the parts that bring a layer's inputs to the module's outputs, the layer first, one after the other.

    None where what is before the layer may reach the outputs by other ways, as it can in a `forward` that is not
    nn.Sequential's, or where somebody's hooks watch what would be passed by.
    """
    if module is layer:
        return [module]
    if not _is_chain(module):
        return None
    children: list[Any] = list(module._modules.values())  # one that is there twice is twice here, unlike children()
    for number, child in enumerate(children):
        found = parts_from(child, layer)
        if found is not None:
            return [*found, *children[number + 1 :]]
    return None


def _is_chain(module: nn.Module) -> bool:
    is_plain = type(module).forward is nn.Sequential.forward and "forward" not in vars(module)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return is_plain and not any(getattr(module, name) for name in hooks)
