"""The files of a quantised PyTorch module: its state dict, and an ONNX model whose weights are integer codes."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from annealtrain.nn.module_export import Outputs, onnx_model
from annealtrain.nn.torch_layers import as_array, logits
from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.optimizers.quantization.of_torch import TorchSource
from annealtrain.optimizers.quantization.qdq import Placed, with_codes
from annealtrain.optimizers.quantization.torch_files import torch_bytes

if TYPE_CHECKING:
    import onnx


def state_of(source: TorchSource) -> bytes:
    """Return the module's state dict as a file: its norms that were folded have no part in it."""
    return torch_bytes({name: as_array(tensor) for name, tensor in source.module.state_dict().items()})


def onnx_of(
    source: TorchSource, layers: Sequence[QuantizedLayer], in_shape: Sequence[int], about: Mapping[str, Any]
) -> tuple[bytes, list[str]]:
    """Return an ONNX model of samples (Q, *in_shape), and the names of layers whose weights stay float in it.

    Those are layers of which the exporter makes other weights. Raises InputError for a module that ONNX has no form of.
    """
    module = copy.deepcopy(source.module).float()

    def run(images: Tensor) -> Tensor:
        found = logits(module(images))
        assert isinstance(found, Tensor)  # as the outputs that were scored
        return found

    with torch.no_grad():
        model = onnx_model(Outputs(module, run), in_shape, about)
    placed, left = list[Placed](), list[str]()
    for layer in layers:
        weight = as_array(module.get_submodule(layer.name).weight)  # type: ignore[arg-type]
        place = _place(model, layer, weight, [one.initializer for one in placed])
        if place is None:
            left.append(layer.name)
        else:
            placed.append(place)
    return with_codes(model, placed), left


def _place(model: "onnx.ModelProto", layer: QuantizedLayer, weight: Any, taken: Sequence[str]) -> Placed | None:
    """Return where a model has a layer's weights, by their name or, where the exporter gave it another, by value."""
    from onnx import numpy_helper

    own = f"module.{layer.name}.weight"
    for held in sorted(model.graph.initializer, key=lambda one: one.name != own):
        turned = tuple(held.dims) == weight.T.shape and weight.ndim == 2 and held.name != own
        if held.name in taken or not (turned or tuple(held.dims) == weight.shape):
            continue
        found = numpy_helper.to_array(held)
        if np.array_equal(found, weight):
            return Placed(held.name, layer)
        if turned and np.array_equal(found, weight.T):
            return Placed(held.name, layer, is_transposed=True)
    return None
