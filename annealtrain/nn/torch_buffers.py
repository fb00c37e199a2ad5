"""A module's buffers, such as running statistics, kept as they are while somebody looks at it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def buffers_aside(module: nn.Module) -> Iterator[None]:
    """Let a module work on copies of its buffers for a while, so that running statistics stay."""
    held = [(part, name, buffer) for part in module.modules() for name, buffer in part._buffers.items()]
    for part, name, buffer in held:
        if buffer is not None:
            part._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for part, name, buffer in held:
            part._buffers[name] = buffer
