"""A network with every kind of layer that differs in its Jacobian."""

import numpy as np

from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network


def network(alpha=0.1, bias=False, seed=0):
    """A convolution with several sites, a pool, a convolution with one site, and two linear layers."""
    layers = [Conv2d(3, 3), SpectralPool2d([3, 3]), Conv2d(5, 3), Flatten(), Linear(4), Linear(3)]
    made = Network(layers, (2, 7, 7), 3, alpha=alpha, bias=bias, seed=seed)
    for layer in made.trainable:  # thresholds too
        layer.weights = layer.weights + 0.05 * np.random.default_rng(1).normal(size=layer.weights.shape)
    return made
