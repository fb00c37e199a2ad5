"""What a module was last called with, so that its curvature can be looked at after the loss's backward pass."""

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from annealtrain.nn.torch_module import Call


class LastInputs:
    """Keeps the first `samples` samples of a module's last call that gradients were recorded of.

    Samples are the first axis of its tensors. It hangs on the module by a hook, which goes with `close`, or with this.
    """

    def __init__(self, module: nn.Module, samples: int = 64) -> None:
        self.samples, self.call, self.is_paused = samples, None, False
        own = weakref.ref(self)

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kept = own()
            if kept is not None and not kept.is_paused and torch.is_grad_enabled():
                kept.call = kept._first(args, kwargs)

        self._hook = module.register_forward_pre_hook(hook, with_kwargs=True)
        self._finalizer = weakref.finalize(self, self._hook.remove)

    call: Call | None

    def close(self) -> None:
        """Take the hook off the module."""
        self._finalizer()

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        sizes = [len(one) for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim]

        def cut(one: Any) -> Any:
            if not isinstance(one, Tensor):
                return one
            return one.detach()[: self.samples] if one.ndim and len(one) == sizes[0] else one.detach()

        return Call(tuple(map(cut, args)), {name: cut(one) for name, one in kwargs.items()})
