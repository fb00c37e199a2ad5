"""An ordered list of layers with one activation, and the forward pass that keeps what training needs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annealtrain import memory, parallel
from annealtrain.errors import InputError
from annealtrain.layer import samples_first
from annealtrain.layers import Conv2d, Layer, MaxPool2d, Shape, TrainableLayer

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK_SAMPLES = 64  # so that a block's activations stay in the core's cache
WEIGHTS_STREAM = 1  # SeedSequence child of a run's seed: initial weights


class Network:
    """Layers as the paper draws them: LeakyReLU(alpha) after each trainable one, the last one too.

    It is kept as a stem (fixed layers before any weights, applied once to the data), and for each trainable layer k
    the fixed layers `leading[k]` that lie before it; `tail` follows the last one.
    Raises InputError naming the layer whose shapes do not fit.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        in_shape: Shape,
        classes: int,
        *,
        alpha: float = 0.0,
        bias: bool = False,
        conv_inverse: str = "fourier",
        seed: int = 0,
    ) -> None:
        if conv_inverse not in ("fourier", "exact"):
            raise InputError(f"conv_inverse={conv_inverse!r} is not one of fourier, exact")
        self.layers, self.alpha, self.classes = list(layers), alpha, classes
        self.trainable: list[TrainableLayer] = []
        self.leading: list[list[Layer]] = [[]]
        shape = tuple(in_shape)
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise InputError(f"layer {number} of the model is {layer!r}, not a layer: give it a _target_")
            if isinstance(layer, MaxPool2d) and number:
                raise InputError(
                    f"layer {number} is a MaxPool2d: it has no inverse, so it may only be the first layer; "
                    "use SpectralPool2d"
                )
            if isinstance(layer, TrainableLayer):
                layer.has_bias = bias
            if isinstance(layer, Conv2d):
                layer.inverse_kind = conv_inverse
            try:
                shape = layer.connect(shape)
            except InputError as error:
                raise InputError(f"layer {number} of the model does not fit: {error}") from None
            if isinstance(layer, TrainableLayer):
                units, weights = layer.weight_shape
                memory.require(3 * 8 * units * weights, f"layer {number} of the model", "make it smaller")
                child = np.random.SeedSequence(seed, spawn_key=(WEIGHTS_STREAM, len(self.trainable)))
                layer.initialize(np.random.default_rng(child))
                self.trainable.append(layer)
                self.leading.append([])
            else:
                self.leading[-1].append(layer)
        self.tail = self.leading.pop()
        if not self.trainable:
            raise InputError("the model has no trainable layer: add a Linear or a Conv2d")
        if shape != (classes,):
            raise InputError(
                f"the model's output is {'x'.join(map(str, shape))}, the dataset has {classes} classes: "
                f"end it with {classes} outputs"
            )

    def activate(self, z: Array) -> Array:
        """Return f(z) = gamma(z) z, Eq. (20)."""
        if self.alpha == 1:
            return z
        scaled = z * z.dtype.type(self.alpha)
        return np.maximum(z, scaled, out=scaled)  # alpha <= 1

    def slopes(self, z: Array) -> Array | None:
        """Return gamma(z): 1 or alpha; None where it is 1 everywhere."""
        return None if self.alpha == 1 else self.slopes_of(z)

    def slopes_of(self, z: Array) -> Array:
        """Return the same, of ones where it is 1 everywhere."""
        return np.maximum((z >= 0).astype(z.dtype), z.dtype.type(self.alpha))

    def stem(self, images: Array) -> Array:
        """Return the input of the first trainable layer for images (Q, *in_shape)."""
        return _in_blocks(self.stem_of, images)

    def stem_of(self, images: Array) -> Array:
        """Return the same of a few images, on this thread."""
        return _forward(self.leading[0], images)

    def predict(self, stems: Any) -> Array:
        """Return the network's outputs (Q, classes) for stems (Q, ...), an array or Pictures, see `stem`."""

        def outputs(x: Array) -> Array:
            for k, layer in enumerate(self.trainable):
                x = self.activate(layer.forward(_forward(self.leading[k], x) if k else x))
            return _forward(self.tail, x)

        return _in_blocks(outputs, stems)

    def inverses(self, first: int = 1) -> dict[int, Callable[[Array], Array]]:
        """Return for each trainable layer k >= first the map from its outputs to layer k-1's: unpool(W_k^+ t).

        Only the linear part is inverted, at the present weights; a bias is the caller's.
        """
        return {k: self._inverse(k) for k in range(max(first, 1), len(self.trainable))}

    def _inverse(self, k: int) -> Callable[[Array], Array]:
        steps = [self.trainable[k].inverse(), *(layer.inverse() for layer in reversed(self.leading[k]))]

        def back(t: Array) -> Array:
            for step in steps:
                t = step(t)
            return t

        return lambda targets: _in_blocks(back, targets)

    def adjoint(self, k: int, y: Array) -> Array:
        """Return the transposed map of layer k and the fixed layers before it, from its outputs to layer k-1's."""

        def back(t: Array) -> Array:
            for layer in (self.trainable[k], *reversed(self.leading[k])):
                t = layer.adjoint(t)
            return t

        return _in_blocks(back, y)

    def unit_rows(self, k: int, y: Array) -> Array:
        """Return outputs y (Q, *out_shape) of trainable layer k as (R, M), see TrainableLayer.unit_rows."""
        return _in_blocks(self.trainable[k].unit_rows, y)

    def before_tail(self, outputs: Array) -> Array:
        """Return (Q, classes) outputs as those of the last trainable layer: the pseudo-inverse of the tail."""
        for layer in reversed(self.tail):
            outputs = layer.inverse()(outputs)
        return outputs


class ForwardPass:
    """The activations of one set of samples, computed when asked for and kept until weights change.

    stems: (Q, ...), see Network.stem.
    """

    def __init__(self, network: Network, stems: Array) -> None:
        self.network, self.stems = network, stems
        self._inputs: dict[int, Array] = {0: stems}
        self._preactivations: dict[int, Array] = {}

    def input(self, k: int) -> Array:
        """Return the input of trainable layer k, (Q, *in_shape)."""
        if k not in self._inputs:
            network, leading = self.network, self.network.leading[k]
            self._inputs[k] = _in_blocks(lambda z: _forward(leading, network.activate(z)), self.preactivation(k - 1))
        return self._inputs[k]

    def rows(self, k: int) -> Array:
        """Return what one unit's weights of trainable layer k see, (R, N), see TrainableLayer.rows."""
        return _in_blocks(self.network.trainable[k].rows, self.input(k))

    def preactivation(self, k: int) -> Array:
        """Return the output of trainable layer k before the activation, (Q, *out_shape)."""
        if k not in self._preactivations:
            self._preactivations[k] = _in_blocks(self.network.trainable[k].forward, self.input(k))
        return self._preactivations[k]

    def activation(self, k: int) -> Array:
        """Return the activated output of trainable layer k, (Q, *out_shape)."""
        return self.network.activate(self.preactivation(k))

    def slopes(self, k: int) -> Array | None:
        """Return gamma of trainable layer k, (Q, *out_shape), None where it is 1 everywhere."""
        return None if self.network.alpha == 1 else _in_blocks(self.network.slopes_of, self.preactivation(k))

    def outputs(self) -> Array:
        """Return the network's outputs, (Q, classes)."""
        return _forward(self.network.tail, self.activation(len(self.network.trainable) - 1))

    def weights_changed(self, k: int) -> None:
        """Forget what depended on the weights of layer k."""
        self._preactivations = {i: z for i, z in self._preactivations.items() if i < k}
        self._inputs = {i: x for i, x in self._inputs.items() if i <= k}


class Pass:
    """A few samples through the network and back, on one thread.

    inputs[k]: (Q, *in_shape) of trainable layer k. slopes[k]: gamma there, None where it is 1. outputs: (Q, classes).
    `inputs` may begin at a later layer `first`: those before it are then left out, as None.
    """

    def __init__(self, network: Network, inputs: Array, first: int = 0) -> None:
        self.network = network
        self.inputs: list[Any] = [None] * first
        self.slopes: list[Any] = [None] * first
        x = inputs
        for k in range(first, len(network.trainable)):
            x = _forward(network.leading[k], x) if k > first else x
            z = network.trainable[k].forward(x)
            self.inputs.append(x)
            self.slopes.append(network.slopes(z))
            x = network.activate(z)
        self.outputs = _forward(network.tail, x)

    def backward(self, outputs: Array, first: int = 0) -> list[Array]:
        """Return the gradient of sum(outputs * self.outputs) with respect to z_k for k = first, first + 1, ...

        outputs: (Q, classes). Each gradient is (Q, *out_shape).
        """
        network, d = self.network, outputs
        for layer in reversed(network.tail):
            d = layer.adjoint(d)
        found: list[Array] = []
        for k in reversed(range(first, len(network.trainable))):
            found.append(d if self.slopes[k] is None else d * self.slopes[k])
            if k > first:
                for layer in (network.trainable[k], *reversed(network.leading[k])):
                    d = layer.adjoint(found[-1] if layer is network.trainable[k] else d)
        return found[::-1]


def _forward(layers: Sequence[Layer], x: Array) -> Array:
    for layer in layers:
        x = layer.forward(x)
    return x


def _in_blocks(function: Callable[[Array], Array], x: Any) -> Array:
    """Return function(x) computed in blocks of samples on the pool's threads.

    function: gives each sample as many rows; images (4 axes) stay in the order in memory that the layers work in.
    """
    blocks = parallel.blocks(len(x), BLOCK_SAMPLES)
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

    parallel.each(fill, blocks[1:])
    return joined
