"""What an optimizer's class gives for a step, checked before it is recorded or scored."""

from collections.abc import Iterable
from typing import Any

from annealtrain.errors import WrongAnswer
from annealtrain.nn.model import Model
from annealtrain.runtime.array_types import Row
from annealtrain.solvers.answers import kind


def checked_rows(name: str, network: Model, rows: Any) -> list[Row]:
    """Return what `step` of an optimizer of this class gave, a row for each layer solved; WrongAnswer if it is not."""
    count = len(network.trainable)
    asked = f"return a list of rows, dicts with 'layer', 0 to {count - 1}; [] where nothing is recorded"
    if not isinstance(rows, Iterable) or isinstance(rows, dict | str):
        raise WrongAnswer(f"{name}.step gave {kind(rows)}: {asked}")
    found = list(rows)
    for row in found:
        if not isinstance(row, dict) or row.get("layer") not in range(count):
            raise WrongAnswer(f"{name}.step gave a row without the layer that it is of: {asked}")
    return found


def check_weights(name: str, network: Model) -> None:
    """Raise WrongAnswer where an optimizer of this class has left weights of another shape than their layer's."""
    for k, layer in enumerate(network.trainable):
        if layer.weights.shape != tuple(layer.weight_shape):
            gave, asked = layer.weights.shape, tuple(layer.weight_shape)
            raise WrongAnswer(f"{name}.step left weights of shape {gave} in layer {k}: it has {asked}")
