"""What a module was last called with, so that its curvature can be looked at after the loss's backward pass."""

import contextlib
import weakref
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from annealtrain.nn.torch_module import Call

PLAIN = (Tensor, int, float, str, NoneType)  # what holds no samples, or those of its first axis


class _Keeping:
    """The hook. In a copy of the module, or in a file of it, nothing is kept: the optimizer is the first one's."""

    def __init__(self, kept: "LastInputs") -> None:
        self._kept = weakref.ref(kept)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept = self._kept()
        if kept is not None and not kept.is_paused and torch.is_grad_enabled():
            kept.call = kept.first(args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")  # takes as much, and does nothing, in any Python


class LastInputs:
    """Keeps the first `samples` samples of a module's last call that gradients were recorded of.

    Samples are the first axis of its tensors. It hangs on the module by a hook, which goes with `close`, or with this.
    """

    def __init__(self, module: nn.Module, samples: int = 64) -> None:
        self.samples, self.call, self.is_paused = samples, None, False
        self.count, self.is_cut = 0, False  # samples of the call that are kept; whether there were more
        self.is_empty = False  # whether it had none
        self._hook = module.register_forward_pre_hook(_Keeping(self), with_kwargs=True)
        self._finalizer = weakref.finalize(self, self._hook.remove)

    call: Call | None

    def close(self) -> None:
        """Take the hook off the module."""
        self._finalizer()

    def first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return a call with its first samples; with all of them where it holds what cannot be cut."""
        held = [*_parts(args), *_parts(kwargs)]
        sizes = [len(one) for one in held if isinstance(one, Tensor) and one.ndim]
        size = sizes[0] if sizes else 0
        self.is_empty = bool(sizes) and not size
        self.is_cut = size > self.samples and all(isinstance(one, PLAIN) for one in held)
        self.count = self.samples if self.is_cut else size

        def kept(one: Any) -> Any:
            if type(one) in (list, tuple):
                return type(one)(map(kept, one))
            if type(one) is dict:
                return {name: kept(each) for name, each in one.items()}
            if not isinstance(one, Tensor):
                return one
            return one.detach()[: self.samples] if self.is_cut and one.ndim and len(one) == size else one.detach()

        return Call(kept(args), kept(kwargs))


def _parts(given: Any) -> list[Any]:
    """Return what lists, tuples and dicts hold, at any depth."""
    if type(given) in (list, tuple):
        return [part for one in given for part in _parts(one)]
    return [part for one in given.values() for part in _parts(one)] if type(given) is dict else [given]
