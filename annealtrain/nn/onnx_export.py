"""A trained network as an ONNX model."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import unknown_layer
from annealtrain.runtime.array_types import Array

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file


def onnx_network(network: Network) -> "onnx.ModelProto":
    """Return the same network for ONNX: input `images` (Q, *in_shape) float32, output `outputs` (Q, classes)."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise InputError(f"--format onnx needs onnx ({error}): pip install 'annealtrain[export]'") from error

    nodes: list[Any] = []
    constants: list[Any] = []
    value = "images"

    def constant(name: str, content: Array) -> str:
        constants.append(numpy_helper.from_array(content, name))
        return name

    def then(operator: str, *inputs: str, **settings: Any) -> None:
        nonlocal value
        result = f"value{len(nodes)}"
        nodes.append(helper.make_node(operator, [value, *inputs], [result], f"{operator}{len(nodes)}", **settings))
        value = result

    for number, layer in enumerate(network.layers):
        if isinstance(layer, SpectralPool2d):
            # 0: as many as there were, the samples.
            then("Reshape", constant(f"layer{number}.flat", np.array([0, layer.in_shape[0], prod(layer.in_shape[1:])])))
            then("MatMul", constant(f"layer{number}.matrix", layer.matrix().astype(np.float32)))
            then("Reshape", constant(f"layer{number}.shape", np.array([0, *layer.out_shape])))
        elif isinstance(layer, MaxPool2d):
            then("MaxPool", kernel_shape=layer.kernel_size, strides=layer.kernel_size)
        elif isinstance(layer, Flatten):
            then("Flatten", axis=1)
        elif isinstance(layer, Conv2d | Linear):
            weight, bias = layer.kernel(np.float32), []
            if layer.has_bias:
                bias = [constant(f"layer{number}.bias", layer.offset(np.float32).ravel())]
            if isinstance(layer, Conv2d):
                weight = weight.reshape(-1, layer.in_shape[0], layer.kernel_size, layer.kernel_size)
                then("Conv", constant(f"layer{number}.weight", weight), *bias)
            else:
                then("Gemm", constant(f"layer{number}.weight", weight), *bias, transB=1)
            if network.alpha != 1:
                then("LeakyRelu", alpha=float(network.alpha))
        else:
            raise unknown_layer(layer, "onnx")
    nodes[-1].output[0] = "outputs"
    graph = helper.make_graph(
        nodes,
        "annealtrain",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["Q", *network.layers[0].in_shape])],
        [helper.make_tensor_value_info("outputs", onnx.TensorProto.FLOAT, ["Q", network.classes])],
        constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="annealtrain")
    onnx.checker.check_model(model, full_check=True)
    return model


def onnx_file(network: Network) -> bytes:
    content: bytes = onnx_network(network).SerializeToString()
    return content
