"""An ordered list of layers with their activations, and the forward pass that keeps what training needs."""

from collections.abc import Callable, Sequence
from typing import Any

from annealtrain.errors import InputError
from annealtrain.nn.layer import forward_through
from annealtrain.nn.layers import Conv2d, Layer, Shape, TrainableLayer
from annealtrain.nn.layout import map_samples
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.validation import check_all, one_of, shown

RULES = {"conv_inverse": one_of("fourier", "exact"), "output_activation": one_of("leaky_relu", "linear")}


class Network:
    """Layers as the paper draws them: LeakyReLU(alpha) after each trainable one, the last one too.

    A layer may have an alpha of its own; output_activation="linear" leaves out that of the last one.
    The fixed layers before any weights are applied to the data (`preprocess`). For each trainable layer k
    the network keeps the fixed layers `leading[k]` that lie before it and `following[k]` behind it; `tail` follows
    the last one.
    Raises InputError naming the layer whose shapes do not fit.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        in_shape: Shape,
        classes: int,
        *,
        alpha: float = 0.0,
        output_activation: str = "leaky_relu",
        bias: bool = False,
        conv_inverse: str = "fourier",
        seed: int = 0,
    ) -> None:
        check_all({"conv_inverse": conv_inverse, "output_activation": output_activation}, RULES)
        self.layers, self.classes = list(layers), classes
        self.trainable: list[TrainableLayer] = []
        self.leading: list[list[Layer]] = [[]]
        shape = tuple(in_shape)
        _give_outputs(self.layers, classes)
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise InputError(f"layer {number} of the model is {shown(layer)}, not a layer: give it a _target_")
            if isinstance(layer, TrainableLayer):
                layer.has_bias, layer.slope = bias, alpha if layer.alpha is None else layer.alpha
            if isinstance(layer, Conv2d):
                layer.inverse_kind = conv_inverse
            try:
                shape = layer.connect(shape)
            except InputError as error:
                raise InputError(f"layer {number} of the model does not fit: {error}") from None
            if isinstance(layer, TrainableLayer):
                units, weights = layer.weight_shape
                memory.require(3 * 8 * units * weights, f"layer {number} of the model", "make it smaller")
                layer.initialize(generator(seed, Stream.WEIGHTS, len(self.trainable)))
                self.trainable.append(layer)
                self.leading.append([])
            else:
                self.leading[-1].append(layer)
        self.following = self.leading[1:]
        self.tail = self.leading.pop()
        if not self.trainable:
            raise InputError("the model has no trainable layer: add a Linear or a Conv2d")
        if output_activation == "linear":
            self.trainable[-1].slope = 1.0
        if shape != (classes,):
            raise InputError(
                f"the model's output is {'x'.join(map(str, shape))}, the dataset has {classes} classes: "
                f"end it with {classes} outputs, or with out_features: null"
            )

    def preprocess(self, images: Array) -> Array:
        """Return the inputs (Q, ...) of the first trainable layer for images (Q, *in_shape), on the pool's threads."""
        return map_samples(self.preprocess_chunk, images)

    def preprocess_chunk(self, images: Array) -> Array:
        """Return the same for a few images, on this thread."""
        return forward_through(self.leading[0], images)

    def predict(self, inputs: Any) -> Array:
        """Return the network's outputs (Q, classes) for inputs (Q, ...) as `preprocess` gives them.

        inputs: an array, or whatever has a length and gives an array for a slice, as a Loader does.
        """

        def outputs(x: Array) -> Array:
            for k, layer in enumerate(self.trainable):
                x = layer.activate(layer.forward(forward_through(self.leading[k], x) if k else x))
            return forward_through(self.tail, x)

        return map_samples(outputs, inputs)

    def check_inverses(self) -> None:
        """Raise InputError for the first layer behind the first weights that outputs cannot be brought back through."""
        started = self.layers.index(self.trainable[0]) + 1
        for number, layer in enumerate(self.layers[started:], started):
            try:
                layer.check_inverse()
            except InputError as error:
                raise InputError(f"layer {number} of the model: {error}") from None

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

        return lambda targets: map_samples(back, targets)

    def adjoint(self, k: int, y: Array) -> Array:
        """Return the transposed map of layer k and the fixed layers before it, from its outputs to layer k-1's."""

        def back(t: Array) -> Array:
            for layer in (self.trainable[k], *reversed(self.leading[k])):
                t = layer.adjoint(t)
            return t

        return map_samples(back, y)

    def flatten_outputs(self, k: int, y: Array) -> Array:
        """Return outputs y (Q, *out_shape) of trainable layer k as (R, M), see TrainableLayer.flatten_outputs."""
        return map_samples(self.trainable[k].flatten_outputs, y)

    def before_tail(self, outputs: Array) -> Array:
        """Return (Q, classes) outputs as those of the last trainable layer: the pseudo-inverse of the tail."""
        for layer in reversed(self.tail):
            outputs = layer.inverse()(outputs)
        return outputs


def _give_outputs(layers: Sequence[Layer], classes: int) -> None:
    """Let the last layer with weights have as many outputs as there are classes, where it leaves that open."""
    trainable = [layer for layer in layers if isinstance(layer, TrainableLayer)]
    for layer in trainable[:-1]:
        if layer.is_open:
            name = type(layer).__name__
            raise InputError(f"a {name} before the model's last has as many outputs as null: give it a number")
    if trainable and trainable[-1].is_open:
        trainable[-1].take_outputs(classes)
