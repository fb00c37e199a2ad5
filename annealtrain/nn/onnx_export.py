"""A trained network as an ONNX model."""

import json
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import Layer, TrainableLayer
from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Pad, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import unknown_layer
from annealtrain.nn.windows import Windows
from annealtrain.runtime.array_types import Array

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file


def onnx_network(network: Network, about: Mapping[str, Any] | None = None) -> "onnx.ModelProto":
    """Return the same network for ONNX: input `images` (Q, *in_shape) float32, output `outputs` (Q, classes).

    about: goes into the model's metadata, each value as JSON.
    """
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise InputError(f"--format onnx needs onnx ({error}): pip install 'annealtrain[export]'") from error

    nodes, constants = _Nodes(helper.make_node), _Constants(numpy_helper.from_array)
    for number, layer in enumerate(network.layers):
        _add(nodes, constants, layer, f"layer{number}")
        if isinstance(layer, TrainableLayer) and layer.slope != 1:
            nodes.then("LeakyRelu", alpha=float(layer.slope))
    nodes.made[-1].output[0] = "outputs"
    graph = helper.make_graph(
        nodes.made,
        "annealtrain",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["Q", *network.layers[0].in_shape])],
        [helper.make_tensor_value_info("outputs", onnx.TensorProto.FLOAT, ["Q", network.classes])],
        constants.made,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="annealtrain")
    helper.set_model_props(model, {name: json.dumps(value) for name, value in (about or {}).items()})
    onnx.checker.check_model(model, full_check=True)
    return model


class _Nodes:
    """A chain of operators, each on the value that the one before it leaves."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.made, self._make, self._value = list[Any](), make, "images"

    def then(self, operator: str, *inputs: str, **settings: Any) -> None:
        name, result = f"{operator}{len(self.made)}", f"value{len(self.made)}"
        self.made.append(self._make(operator, [self._value, *inputs], [result], name, **settings))
        self._value = result


class _Constants:
    """The arrays of a model, by name."""

    def __init__(self, make: Callable[[Array, str], Any]) -> None:
        self.made, self._make = list[Any](), make

    def add(self, name: str, content: Array) -> str:
        self.made.append(self._make(content, name))
        return name


def _add(nodes: _Nodes, constants: _Constants, layer: Layer, name: str) -> None:
    """Add one layer's operators, without its activation."""
    if isinstance(layer, SpectralPool2d):
        # 0: as many as there were, the samples.
        flat, shape = np.array([0, layer.in_shape[0], prod(layer.in_shape[1:])]), np.array([0, *layer.out_shape])
        nodes.then("Reshape", constants.add(f"{name}.flat", flat))
        nodes.then("MatMul", constants.add(f"{name}.matrix", layer.matrix().astype(np.float32)))
        nodes.then("Reshape", constants.add(f"{name}.shape", shape))
    elif isinstance(layer, MaxPool2d):
        nodes.then("MaxPool", kernel_shape=layer.windows.size, **_places(layer.windows))
    elif isinstance(layer, AvgPool2d):
        nodes.then("AveragePool", kernel_shape=layer.windows.size, count_include_pad=1, **_places(layer.windows))
    elif isinstance(layer, Pad):
        above, below, before, behind = layer.margin
        nodes.then("Pad", constants.add(f"{name}.margin", np.array([0, 0, above, before, 0, 0, below, behind])))
    elif isinstance(layer, Flatten):
        nodes.then("Flatten", axis=1)
    elif isinstance(layer, Conv2d | Linear):
        weight, bias = layer.kernel(np.float32), []
        if layer.has_bias:
            bias = [constants.add(f"{name}.bias", layer.offset(np.float32).ravel())]
        if isinstance(layer, Conv2d):
            weight = weight.reshape(-1, layer.in_shape[0], *layer.windows.size)
            nodes.then("Conv", constants.add(f"{name}.weight", weight), *bias, **_places(layer.windows))
        else:
            nodes.then("Gemm", constants.add(f"{name}.weight", weight), *bias, transB=1)
    else:
        raise unknown_layer(layer, "onnx")


def _places(windows: Windows) -> dict[str, Any]:
    """Return stride and padding as ONNX has them; the ordinary ones are left out."""
    settings: dict[str, Any] = {} if windows.stride == (1, 1) else {"strides": windows.stride}
    return settings | ({"pads": 2 * windows.padding} if any(windows.padding) else {})


def onnx_file(network: Network, about: Mapping[str, Any] | None = None) -> bytes:
    content: bytes = onnx_network(network, about).SerializeToString()
    return content
