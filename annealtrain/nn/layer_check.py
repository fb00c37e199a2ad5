"""Whether a layer with weights is what its methods say, at its first weights and one sample: see `TrainableLayer`."""

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import TrainableLayer

REMEDY = "annealtrain.testing.TrainableLayerContract tests the rest"


def check_units(layer: TrainableLayer, where: str) -> None:
    """Raise InputError where units do not come first in a layer's outputs, or where its Hamiltonians would be others'.

    Units that share rows must give `unfold` times their weights; others, by Euler, what their gradients say. A layer
    that is linear in its weights, as all must be, does; the layer is connected, and has weights.
    """
    M, N = layer.weight_shape
    kind = f"{where}, {type(layer).__name__}"
    if layer.out_shape[0] != M:
        shape = "x".join(map(str, layer.out_shape))
        raise InputError(f"{kind}: its outputs are {shape} and its weights {M}x{N}: the {M} units must come first")
    x = np.random.default_rng(0).normal(size=(1, *layer.in_shape))
    z = layer.forward(x)
    if layer.has_shared_rows:
        seen, given = layer.unfold(x), layer.flatten_outputs(z)
        if seen.shape != (len(given), N) or not _agree(seen @ layer.weights.T, given):
            raise InputError(
                f"{kind}: `unfold` times its weights is not what `forward` gives: let it tell the {N} inputs that all "
                f"units of a site see, or set has_shared_rows = False where each sees its own; {REMEDY}"
            )
    elif not _agree((layer.sample_gradients(x, z) * layer.weights).sum(), (z * z).sum()):
        raise InputError(f"{kind}: `sample_gradients` is not the gradient of what `forward` gives; {REMEDY}")


def _agree(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(found.shape == wanted.shape and np.abs(found - wanted).max() <= 1e-6 * (1 + np.abs(wanted).max()))
