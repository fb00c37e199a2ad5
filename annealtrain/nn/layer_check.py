"""Whether a layer is what its methods say, at its first weights and one sample: see `Layer` and `TrainableLayer`.

The contracts of `annealtrain.testing` ask far more; this much is asked of every layer of every network, as a layer of
one's own whose way back is another layer's would be trained without a word.
"""

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import Layer, TrainableLayer
from annealtrain.runtime.array_types import Array

STEP = 1e-6  # of the differences that stand for the derivatives of a curved layer
TESTS = "annealtrain.testing tests the rest"
CLOSE = 1e-2  # of what is wanted: a max pool may switch within the step, a mistake is of its size


def check_layer(layer: Layer, where: str) -> None:
    """Raise InputError where a connected layer's way back, or what its weights see, does not fit its `forward`."""
    where = f"{where}, {type(layer).__name__}"
    x, v = np.random.default_rng(0).normal(size=(2, 1, *layer.in_shape))
    y = layer.forward(x)
    _check_shape(layer, y, where)
    _check_way_back(layer, x, v, where)
    if isinstance(layer, TrainableLayer):
        _check_units(layer, x, y, where)


def _check_shape(layer: Layer, y: Array, where: str) -> None:
    if y.shape != (1, *layer.out_shape):
        raise InputError(f"{where}: `connect` tells {layer.out_shape} for a sample, and `forward` gives {y.shape[1:]}")


def _check_way_back(layer: Layer, x: Array, v: Array, where: str) -> None:
    """Ask <v, J'Jv> = <Jv, Jv> of the derivative J at x, where the layer has a way back."""
    name = "adjoint" if layer.is_linear else "backward_at"
    if not _has(layer, "adjoint") and not _has(layer, "backward_at"):
        return  # as `pinv` alone needs none
    step = 1.0 if layer.is_linear else STEP
    moved = (layer.forward(x + step * v) - layer.forward(x - step * v)) / (2 * step)
    back = layer.backward_at(x)(moved)
    if back.shape != x.shape or not _close((v * back).sum(), (moved * moved).sum()):
        raise InputError(f"{where}: `{name}` is not the way back of its `forward`; {TESTS}")


def _check_units(layer: TrainableLayer, x: Array, y: Array, where: str) -> None:
    """Ask that units come first, and that weights times what they see, or times their gradients, give the outputs."""
    M, N = layer.weight_shape
    if layer.out_shape[0] != M:
        shape = "x".join(map(str, layer.out_shape))
        raise InputError(f"{where}: its outputs are {shape} and its weights {M}x{N}: the {M} units must come first")
    if layer.has_shared_rows and _has(layer, "unfold"):
        seen, given = layer.unfold(x), layer.flatten_outputs(y)
        if seen.shape != (len(given), N) or not _close(seen @ layer.weights.T, given):
            raise InputError(
                f"{where}: `unfold` times its weights is not what `forward` gives: let it tell the {N} inputs that all "
                f"units of a site see, or set has_shared_rows = False where each sees its own; {TESTS}"
            )
    if _has(layer, "sample_gradients") and not _close(
        (layer.sample_gradients(x, y) * layer.weights).sum(), (y * y).sum()
    ):
        raise InputError(f"{where}: `sample_gradients` is not the gradient of what `forward` gives; {TESTS}")


def _has(layer: Layer, name: str) -> bool:
    """Whether a method is the layer's own: `pinv` can do without some."""
    base = TrainableLayer if isinstance(layer, TrainableLayer) else Layer
    return getattr(type(layer), name) is not getattr(base, name)


def _close(found: Array, wanted: Array) -> bool:
    return bool(
        np.shape(found) == np.shape(wanted) and np.abs(found - wanted).max() <= CLOSE * (1e-6 + np.abs(wanted).max())
    )
