"""How many bytes a network's passes hold, in float32, told from its shapes before anything is computed."""

from math import prod

from annealtrain.nn.layer import TrainableLayer
from annealtrain.nn.layout import CHUNK_SAMPLES
from annealtrain.nn.network import Network


def sites(layer: TrainableLayer) -> int:
    """Return at how many places a layer's weights see a sample: 1 for a linear layer."""
    return prod(layer.out_shape) // layer.weight_shape[0]


def unfolded(layer: TrainableLayer) -> int:
    """Return how many numbers a sample is for a layer's weights, all sites together."""
    return sites(layer) * layer.weight_shape[1]


def activations(network: Network) -> int:
    """Return how many numbers of a sample one pass keeps: each layer's input, pre-activation, slope and output."""
    return sum(prod(layer.in_shape) + 3 * prod(layer.out_shape) for layer in network.trainable)


def chunk_bytes(network: Network) -> int:
    """Return what a pass of a few samples forward and back holds on one thread."""
    widest = max(unfolded(layer) + 2 * prod(layer.out_shape) for layer in network.trainable)
    return 4 * CHUNK_SAMPLES * (activations(network) + widest)


def input_bytes(network: Network, samples: int) -> int:
    """Return what the inputs of the first trainable layer take."""
    return 4 * samples * prod(network.trainable[0].in_shape)


def image_bytes(network: Network, samples: int) -> int:
    """Return what preprocessed samples take."""
    return 4 * samples * prod(network.layers[0].in_shape)
