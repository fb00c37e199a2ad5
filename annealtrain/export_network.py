"""A trained network for other frameworks: a PyTorch state dict, an ONNX model. Both take images as `predict` does."""

import io
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.layers import Conv2d, Flatten, Layer, Linear, MaxPool2d, SpectralPool2d, TrainableLayer
from annealtrain.network import Network

if TYPE_CHECKING:
    import onnx
    import torch

Array = np.ndarray[Any, np.dtype[Any]]

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file


def network_file(network: Network, kind: str) -> bytes:
    """Return the content of a file: `torch`, a state dict, or `onnx`, a model. InputError for a missing package."""
    return FORMATS[kind](network)


def torch_network(network: Network) -> "torch.nn.Sequential":
    """Return the same network for PyTorch, float32, from images (Q, *in_shape) to outputs (Q, classes).

    Its state dict names a layer by its place: `0.weight`, `0.bias` (-theta of Eq. 1), and `0.matrix` for a spectral
    pool, the constant (A B, a b) that acts on each channel. LeakyReLU stands after each trainable layer.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"--format torch needs PyTorch ({error}): pip install 'annealtrain[torch]'") from error

    class SpectralPool(torch.nn.Module):
        def __init__(self, matrix: Array, size: tuple[int, int]) -> None:
            super().__init__()
            self.size = size
            self.register_buffer("matrix", torch.from_numpy(matrix.astype(np.float32)))

        def forward(self, x: Any) -> Any:
            return (x.flatten(2) @ self.matrix).unflatten(2, self.size)

    def module(layer: Layer) -> Any:
        if isinstance(layer, SpectralPool2d):
            return SpectralPool(layer.matrix(), layer.size)
        if isinstance(layer, MaxPool2d):
            return torch.nn.MaxPool2d(layer.kernel_size)
        if isinstance(layer, Flatten):
            return torch.nn.Flatten()
        if isinstance(layer, Conv2d):
            made: Any = torch.nn.Conv2d(layer.in_shape[0], layer.out_channels, layer.kernel_size, bias=layer.has_bias)
        elif isinstance(layer, Linear):
            made = torch.nn.Linear(layer.in_shape[0], layer.out_features, bias=layer.has_bias)
        else:
            raise _unknown(layer, "torch")
        with torch.no_grad():
            made.weight.copy_(torch.from_numpy(layer.kernel(np.float32)).reshape(made.weight.shape))
            if layer.has_bias:
                made.bias.copy_(torch.from_numpy(layer.offset(np.float32).ravel()))
        return made

    modules = []
    for layer in network.layers:
        modules.append(module(layer))
        if isinstance(layer, TrainableLayer) and network.alpha != 1:
            modules.append(torch.nn.LeakyReLU(network.alpha))
    return torch.nn.Sequential(*modules)


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
            raise _unknown(layer, "onnx")
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


def _torch_file(network: Network) -> bytes:
    state = torch_network(network).state_dict()
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _onnx_file(network: Network) -> bytes:
    content: bytes = onnx_network(network).SerializeToString()
    return content


FORMATS: dict[str, Callable[[Network], bytes]] = {"torch": _torch_file, "onnx": _onnx_file}


def _unknown(layer: Layer, kind: str) -> InputError:
    known = "Linear, Conv2d, SpectralPool2d, MaxPool2d, Flatten"
    return InputError(f"--format {kind} has no counterpart of {type(layer).__name__}: it knows {known}")
