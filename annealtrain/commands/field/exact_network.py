"""Networks in whole numbers: the same weights and activations on every machine, whatever order its sums have.

All arrays are float64 that hold whole numbers, or quarters and eighths of them, far below 2^53: products of matrices
are then exact in any order. What a layer takes is rounded to few bits, and so are the steps of its training.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.nn.layer import Layer, TrainableLayer
from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Stream, generator

INPUT_BITS, ERROR_BITS, LARGEST = 4, 8, 511
SLOPE = 0.25  # of LeakyReLU: its square, 1/16, is exact too
BATCH = 128  # samples of a step
# Of training: the largest change of a weight in each step is the largest weight / 2^k, or a little less.
STEPS = (3,) * 20 + (4,) * 16 + (5,) * 12 + (6,) * 12


def rounded(values: Array, bits: int) -> Array:
    """Return values / 2^k, whole, with k such that the largest has at most so many bits."""
    largest = float(np.abs(values).max())
    exponent = int(np.frexp(largest)[1]) - bits if largest else 0
    return np.rint(np.ldexp(values, -exponent)) + 0.0  # no -0


@dataclass
class Pass:
    """A forward pass. inputs[k], outputs[k]: of trainable layer k, before its activation. through[k]: what the fixed
    layers before it took, one after the other."""

    inputs: list[Array]
    outputs: list[Array]
    through: list[list[Array]]


class ExactNetwork:
    """A network whose weights are whole numbers from -511 to 511, drawn by a seed.

    layers: descriptions, as a model's YAML holds; average pools may stand between them.
    """

    def __init__(self, layers: list[Layer], in_shape: tuple[int, ...], classes: int, seed: int) -> None:
        self.network = Network(layers, in_shape, classes, alpha=SLOPE, output_activation="linear")
        for k, layer in enumerate(self.network.trainable):
            drawn = generator(seed, Stream.WEIGHTS, k).integers(-LARGEST, LARGEST + 1, layer.weight_shape)
            layer.weights = drawn.astype(np.float64)

    @property
    def layers(self) -> list[TrainableLayer]:
        return self.network.trainable

    def forward(self, x: Array) -> Pass:
        """Return a pass of images (Q, *in_shape), whole numbers."""
        done = Pass([], [], [])
        for leading, layer in zip(self.network.leading, self.layers, strict=True):
            seen = []
            for fixed in leading:
                seen.append(x)
                x = fixed.forward(x)
            x = rounded(x, INPUT_BITS)
            z = layer.forward(x)
            done.through.append(seen)
            done.inputs.append(x)
            done.outputs.append(z)
            x = layer.activate(z.copy())
        return done

    def errors(self, done: Pass, labels: Array) -> list[Array]:
        """Return the gradient of the loss, |z - amplitude onehot|^2, at each trainable layer's outputs, rounded.

        In the last layer with its sign and size; in the others known but for their size.
        """
        last = done.outputs[-1]
        found = [rounded(last - self.amplitude(last) * np.eye(last.shape[1])[labels], ERROR_BITS)]
        for k in range(len(self.layers) - 1, 0, -1):
            back = self.layers[k].adjoint(found[0])
            for fixed, seen in zip(self.network.leading[k][::-1], done.through[k][::-1], strict=True):
                back = fixed.backward_at(seen)(back)
            gamma: Any = self.layers[k - 1].activation_derivative(done.outputs[k - 1])
            found.insert(0, rounded(back * (1 if gamma is None else gamma), ERROR_BITS))
        return found

    @staticmethod
    def amplitude(outputs: Array) -> float:
        """Return the output that the right class is to have: a power of two near the largest output."""
        return float(2.0 ** np.frexp(np.abs(outputs).max())[1])

    def train(self, x: Array, labels: Array) -> None:
        """Take STEPS steps down the gradient, batch after batch."""
        batches = max(1, len(x) // BATCH)
        for number, smaller in enumerate(STEPS):
            part = slice(number % batches * BATCH, (number % batches + 1) * BATCH)
            done = self.forward(x[part])
            errors = self.errors(done, labels[part])
            for layer, seen, error in zip(self.layers, done.inputs, errors, strict=True):
                bits = int(np.frexp(np.abs(layer.weights).max())[1])
                change = rounded(layer.gradient(seen, error), bits - smaller)
                layer.weights = np.clip(layer.weights - change, -LARGEST, LARGEST) + 0.0

    def accuracy(self, x: Array, labels: Array) -> float:
        """Return the share of samples whose class has the largest output."""
        return float((self.forward(x).outputs[-1].argmax(axis=1) == labels).mean())
