"""Quantised layers as arrays that files hold: integer codes with scales, and the weights that they stand for."""

from collections.abc import Sequence

import numpy as np

from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runtime.array_types import Array


def code_arrays(source: Source, layers: Sequence[QuantizedLayer]) -> dict[str, Array]:
    """Return NAME.codes in the shape of the layer's weights, and NAME.steps (M, G), of each quantised layer."""
    found = {}
    for layer in layers:
        integers, steps = layer.codes
        found[f"{layer.name}.codes"] = integers.reshape(source.shape(source.names.index(layer.name)))
        found[f"{layer.name}.steps"] = steps
    return found


def weight_arrays(source: Source, layers: Sequence[QuantizedLayer]) -> dict[str, Array]:
    """Return NAME.weight and, where there is one, NAME.bias of every layer with weights, float32, as they are now."""
    quantized, found = {layer.name: layer for layer in layers}, {}
    for k, name in enumerate(source.names):
        weights = quantized[name].weights if name in quantized else source.weights(k)
        found[f"{name}.weight"] = weights.astype(np.float32).reshape(source.shape(k))
        if (bias := source.bias(k)) is not None:
            found[f"{name}.bias"] = bias.astype(np.float32)
    return found


def sizes(source: Source, layers: Sequence[QuantizedLayer]) -> tuple[int, int]:
    """Return the bytes of a network's numbers as float32, and with packed codes and float32 scales of its layers."""
    quantized = {layer.name: layer for layer in layers}
    whole = packed = source.others
    for k, name in enumerate(source.names):
        own, bias = 4 * source.weights(k).size, source.bias(k)
        extra = 0 if bias is None else 4 * bias.size
        whole += own + extra
        layer = quantized.get(name)
        packed += extra + (own if layer is None else -(-layer.levels.size * layer.grid.stored_bits // 8))
        packed += 0 if layer is None else 4 * layer.scales.size
    return whole, packed
