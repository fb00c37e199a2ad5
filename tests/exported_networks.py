"""Networks for the tests of other frameworks' formats: convolutions, every activation, pools, biases."""

import numpy as np

from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Pad, SpectralPool2d
from annealtrain.nn.network import Network


def network(alpha=0.1, bias=False):
    """A convolutional one with pools between its layers, colour images in."""
    made = Network(
        [Conv2d(4, 3), SpectralPool2d([5, 4]), Conv2d(6, 3), SpectralPool2d([2, 2]), Flatten(), Linear(7), Linear(5)],
        (3, 10, 8),
        5,
        alpha=alpha,
        bias=bias,
    )
    return with_biases(made) if bias else made


def pooled_network():
    return Network([MaxPool2d([2, 4]), Flatten(), Linear(5)], (1, 6, 8), 5, alpha=0.001)


def varied_network(bias=False):
    """Strides, margins, pools of both kinds that overlap or not, activations of their own."""
    layers = [
        Pad([1, 0, 2, 1]),
        Conv2d(4, [3, 2], [2, 1], [1, 0], alpha=0.3),
        MaxPool2d(3, 2, 1),
        Conv2d(6, 3, padding=1, alpha=1),
        AvgPool2d([2, 3], 1, [1, 0]),
        MaxPool2d([2, 3]),
        Flatten(),
        Linear(7),
        Linear(5),
    ]
    made = Network(layers, (3, 10, 8), 5, alpha=0.1, bias=bias, output_activation="linear")
    return with_biases(made) if bias else made


def with_biases(made):
    for k, layer in enumerate(made.trainable):
        layer.weights[:, -1] = np.random.default_rng(k).normal(size=len(layer.weights))
    return made


CASES = {
    "leaky": network,
    "relu": lambda: network(alpha=0),
    "linear": lambda: network(alpha=1),
    "bias": lambda: network(bias=True),
    "max": pooled_network,
    "varied": varied_network,
    "varied, with a bias": lambda: varied_network(bias=True),
}


def images(made, count=40):
    shape = made.layers[0].in_shape
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


def outputs(made, x):
    return made.predict(made.preprocess(x))


class Mine(Flatten):
    """A layer of the user's own that is one of the known ones."""


class Twice(Layer):
    """A layer of the user's own that no other framework knows."""

    def connect(self, in_shape):
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x):
        return 2 * x
