"""The order of images in memory, and functions mapped over samples on the pool's threads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array


def samples_last(x: Array) -> Array:
    """Return images (Q, C, H, W) as (H, C, W, Q), contiguous: the order in memory that the layers work in."""
    return np.ascontiguousarray(x.transpose(2, 1, 3, 0))


def samples_first(x: Array) -> Array:
    """Return a view of images (H, C, W, Q) as (Q, C, H, W); `samples_last` gives it back without a copy."""
    return x.transpose(3, 1, 0, 2)


def with_margin(x: Array, margin: Sequence[int], value: float = 0.0) -> Array:
    """Return images x (Q, C, H, W) with `value` around them, samples last in memory.

    margin: rows above and below, columns before and behind.
    """
    (above, below, before, behind), (Q, C, H, W) = margin, x.shape
    images = samples_first(np.full((above + H + below, C, before + W + behind, Q), value, x.dtype))
    images[:, :, above : above + H, before : before + W] = x
    return images


CHUNK_SAMPLES = 64  # so that a block's activations stay in the core's cache
TAPED = 128  # samples of one pass of a torch module with gradients, whose kernels are quicker with more
PREDICTED = 256  # samples of one pass of a torch module without gradients


def map_samples(function: Callable[[Array], Array], x: Any) -> Array:
    """Return function(x) computed in blocks of samples on the pool's threads.

    function: gives each sample as many rows; images (4 axes) stay in the order in memory that the layers work in.
    """
    blocks = thread_pool.chunks(len(x), CHUNK_SAMPLES)
    first = function(x[blocks[0]])
    if len(blocks) == 1:
        return first
    rows = len(first) // blocks[0].stop
    shape = (len(x) * rows, *first.shape[1:])
    if len(shape) == 4:
        Q, C, H, W = shape
        joined = samples_first(np.empty((H, C, W, Q), first.dtype))
    else:
        joined = np.empty(shape, first.dtype)
    joined[: len(first)] = first

    def fill(block: slice) -> None:
        joined[block.start * rows : block.stop * rows] = function(x[block])

    thread_pool.parallel_map(fill, blocks[1:])
    return joined
