"""An ordered list of layers with their activations, and the forward pass that keeps what training needs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from annealtrain.errors import InputError
from annealtrain.nn.frozen import Frozen
from annealtrain.nn.layer import forward_through
from annealtrain.nn.layer_check import check_layer
from annealtrain.nn.layers import Conv2d, Layer, Shape, TrainableLayer
from annealtrain.nn.layout import CHUNK_SAMPLES, map_samples
from annealtrain.nn.matrices import NUMPY
from annealtrain.nn.named_arrays import require_same
from annealtrain.nn.tape import Tape
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.ranks import ALONE, Ranks
from annealtrain.runtime.validation import check_all, one_of, shown

Result = TypeVar("Result")
RULES = {"conv_inverse": one_of("fourier", "exact"), "output_activation": one_of("leaky_relu", "linear")}


class Network:
    """Layers as the paper draws them: LeakyReLU(alpha) after each trainable one, the last one too.

    A layer may have an alpha of its own; output_activation="linear" leaves out that of the last one.
    The fixed layers before any weights are applied to the data (`preprocess`). For each trainable layer k
    the network keeps the fixed layers `leading[k]` that lie before it and `following[k]` behind it; `tail` follows
    the last one.
    trainable: those of the layers with weights that change, by number or name (`named`); None: all. The others are
    fixed layers of those groups.
    Raises InputError naming the layer whose shapes do not fit.
    """

    is_chain = True  # a pass may begin at any layer
    matrices = NUMPY
    has_more = False  # than the weights of its layers that training changes
    has_rest = False  # no optimizer beside that of the layers

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
        trainable: Sequence[int | str] | None = None,
    ) -> None:
        check_all({"conv_inverse": conv_inverse, "output_activation": output_activation}, RULES)
        self.layers, self.classes = list(layers), classes
        self.named: dict[str, TrainableLayer] = {}  # all layers with weights, such as conv2d0, linear1
        self.in_shape = shape = tuple(in_shape)
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
                why = f"layer {number} of the model does not fit: {error}"
                if len(self.in_shape) == 1 and why.endswith(": put it before a Flatten"):
                    why = f"{why.rpartition(':')[0]}: samples that are rows need Linear layers, as model=mlp has"
                raise InputError(why) from None
            if isinstance(layer, TrainableLayer):
                units, weights = layer.weight_shape
                memory.require(3 * 8 * units * weights, f"layer {number} of the model", "make it smaller")
                layer.initialize(generator(seed, Stream.WEIGHTS, len(self.named)))
                self.named[f"{type(layer).__name__.lower()}{len(self.named)}"] = layer
            check_layer(layer, f"layer {number} of the model")
        if not self.named:
            raise InputError("the model has no trainable layer: add a Linear or a Conv2d")
        if output_activation == "linear":
            list(self.named.values())[-1].slope = 1.0
        self.train_only(chosen(list(self.named), trainable))
        if shape != (classes,):
            raise InputError(
                f"the model's output is {'x'.join(map(str, shape))}, the dataset has {classes} classes: "
                f"end it with {classes} outputs, or with out_features: null"
            )

    def train_only(self, chosen: set[str]) -> None:
        """Part the layers into those that are trained, by name, and the fixed ones around them."""
        kept = {id(layer) for name, layer in self.named.items() if name in chosen}
        self.trainable: list[TrainableLayer] = []
        self.leading: list[list[Layer]] = [[]]
        for layer in self.layers:
            if id(layer) in kept and isinstance(layer, TrainableLayer):
                self.trainable.append(layer)
                self.leading.append([])
            else:
                self.leading[-1].append(Frozen(layer) if isinstance(layer, TrainableLayer) else layer)
        self.following = self.leading[1:]
        self.tail = self.leading.pop()

    @property
    def frozen(self) -> dict[str, TrainableLayer]:
        """The layers whose weights stay, by name."""
        kept = {id(layer) for layer in self.trainable}
        return {name: layer for name, layer in self.named.items() if id(layer) not in kept}

    def about(self) -> list[str]:
        """Return a line that names the frozen layers, none where there are none."""
        return [f"frozen: {', '.join(self.frozen)}"] if self.frozen else []

    def others(self) -> dict[str, Array]:
        """Return the weights that no step changes, by layer."""
        return {name: layer.weights for name, layer in self.frozen.items()}

    def take_others(self, arrays: Mapping[str, Array]) -> None:
        """Take back what `others` returned; ValueError for other names or shapes."""
        _take(self.frozen, arrays)

    def take_named(self, arrays: Mapping[str, Array]) -> None:
        """Give all layers weights, by name; ValueError for other names or shapes."""
        _take(self.named, arrays)

    def moving(self) -> dict[str, Array]:
        """Return the weights that move and are no layer's: none."""
        return {}

    def set_moving(self, arrays: Mapping[str, Array]) -> None:
        """Give those other values."""

    def rest_state(self) -> dict[str, Array]:
        """Return what the optimizer of those remembers: nothing."""
        return {}

    def restore_rest(self, state: Mapping[str, Array]) -> None:
        """Take that back."""

    def calibrate(self, batches: Iterable[Array]) -> None:
        """Fit running statistics to the present weights: these layers have none."""

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

    training_outputs = predict  # no layer behaves otherwise in training

    def begins_at(self, k: int, dtype: Any) -> bool:
        """Return whether a pass may begin at the inputs of trainable layer k, kept in `dtype`: at any."""
        return True

    def tape(self, inputs: Array, first: int | None = None) -> Tape:
        """Return a pass of a few samples with what backward needs; inputs: of trainable layer `first`, None: 0."""
        return Tape(self, inputs, first or 0)

    def outputs(self, inputs: Array, first: int | None = None) -> Array:
        """Return the outputs (Q, classes) of such a pass."""
        return self.tape(inputs, first).outputs

    def training_tape(self, inputs: Array, step: int | None = None) -> Tape:
        """Return the same: a pass leaves no trace in these layers, be it a step's own or a look."""
        return Tape(self, inputs)

    def in_parts(self, job: Callable[[slice], Result], count: int, *, is_training: bool = False) -> list[Result]:
        """Return what a job gives for each part of `count` samples that a pass takes at once, on the pool's threads."""
        return thread_pool.parallel_map(job, thread_pool.chunks(count, CHUNK_SAMPLES))

    def move_rest(self, share: float = 1.0, ranks: Ranks = ALONE) -> None:
        """Do nothing: there are no weights beside those of the layers."""

    def check_inverses(self) -> None:
        """Raise InputError for the first layer behind the first weights that outputs cannot be brought back through."""
        fixed = [layer for group in (*self.following, self.tail) for layer in group]
        for layer in fixed:
            if isinstance(layer, Frozen):
                layer.check_inverse()
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


def _take(layers: Mapping[str, TrainableLayer], arrays: Mapping[str, Array]) -> None:
    require_same({name: layer.weight_shape for name, layer in layers.items()}, arrays)
    for name, layer in layers.items():
        layer.weights = arrays[name]


def chosen(names: Sequence[str], wanted: Sequence[int | str] | None) -> set[str]:
    """Return which of some layers are wanted by number or name; all where that is None.

    Raises InputError, with all there are, for one that is not among them.
    """
    if wanted is None:
        return set(names)
    found: set[str] = set()
    for word in wanted:
        at = [word] if isinstance(word, str) and word in names else []
        if isinstance(word, int) and -len(names) <= word < len(names):
            at = [names[word]]
        if not at:
            listed = ", ".join(f"{k} {name}" for k, name in enumerate(names))
            raise InputError(f"trainable: the model has no layer {word!r}; it has {listed}")
        found.update(at)
    return found
