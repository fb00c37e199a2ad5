"""Networks with every kind of layer that differs in its Jacobian."""

import numpy as np

from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Pad, SpectralPool2d
from annealtrain.nn.network import Network


def network(alpha=0.1, bias=False, seed=0):
    """A convolution with several sites, a pool, a convolution with one site, and two linear layers."""
    layers = [Conv2d(3, 3), SpectralPool2d([3, 3]), Conv2d(5, 3), Flatten(), Linear(4), Linear(3)]
    return moved(Network(layers, (2, 7, 7), 3, alpha=alpha, bias=bias, seed=seed))


def varied(alpha=0.1, bias=False, seed=0):
    """The same number of layers and shapes at both ends, with strides, margins, other pools and activations between."""
    layers = [Conv2d(3, [3, 2], [2, 1], [0, 1], alpha=0.3), MaxPool2d([2, 3], 1), Pad([1, 0]), Conv2d(5, 3, padding=1)]
    layers = [Pad([0, 0, 1, 0]), *layers, AvgPool2d([2, 3], [2, 2]), Flatten(), Linear(4, alpha=1.0), Linear(3)]
    return moved(Network(layers, (2, 7, 7), 3, alpha=alpha, output_activation="linear", bias=bias, seed=seed))


def moved(made):
    for layer in made.trainable:  # thresholds too
        layer.weights = layer.weights + 0.05 * np.random.default_rng(1).normal(size=layer.weights.shape)
    return made
