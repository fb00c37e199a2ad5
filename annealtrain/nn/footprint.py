"""How many bytes a network's passes hold, in float32, told from its shapes before anything is computed."""

from math import prod

from annealtrain.nn.layout import CHUNK_SAMPLES, PREDICTED
from annealtrain.nn.model import Model, ModelLayer

OF_TORCH = 100_000_000  # bytes that PyTorch takes at its first steps, as measured


def sites(layer: ModelLayer) -> int:
    """Return at how many places a layer's weights see a sample: 1 for a linear layer."""
    return prod(layer.out_shape) // layer.weight_shape[0]


def unfolded(layer: ModelLayer) -> int:
    """Return how many numbers a sample is for a layer's weights, all sites together."""
    return sites(layer) * layer.weight_shape[1]


def activations(network: Model) -> int:
    """Return how many numbers of a sample one pass keeps: each layer's input, pre-activation, slope and output."""
    return sum(prod(layer.in_shape) + 3 * prod(layer.out_shape) for layer in network.trainable)


def chunk_bytes(network: Model) -> int:
    """Return what a pass of a few samples forward and back holds on one thread."""
    widest = max(unfolded(layer) + 2 * prod(layer.out_shape) for layer in network.trainable)
    return 4 * CHUNK_SAMPLES * (activations(network) + widest)


def pass_bytes(network: Model, samples: int, threads: int) -> int:
    """Return what passes forward and back hold: in chunks on threads, or a module's with all samples at once."""
    if network.is_chain:
        return min(threads, -(-samples // CHUNK_SAMPLES)) * chunk_bytes(network)
    # What lies between its layers, norms and activations, keeps as much as they do.
    kept = [2 * (prod(layer.in_shape) + prod(layer.out_shape)) for layer in network.trainable]
    return 4 * max(samples * sum(kept), PREDICTED * max(kept)) + OF_TORCH


def input_bytes(network: Model, samples: int) -> int:
    """Return what the inputs of the first trainable layer take; a module's are the samples."""
    return 4 * samples * prod(network.trainable[0].in_shape if network.is_chain else network.in_shape)


def image_bytes(network: Model, samples: int) -> int:
    """Return what preprocessed samples take."""
    return 4 * samples * prod(network.in_shape)
