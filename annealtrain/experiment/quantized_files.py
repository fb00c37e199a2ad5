"""The files for other programs that `annealtrain quantize` writes of a network: torch, and ONNX with integer codes."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from annealtrain.errors import InputError
from annealtrain.nn.network import Network
from annealtrain.nn.onnx_export import onnx_network
from annealtrain.nn.torch_network import torch_file
from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.optimizers.quantization.qdq import Placed, with_codes
from annealtrain.optimizers.quantization.torch_files import torch_bytes
from annealtrain.runtime.array_types import Array, Row

Codes = dict[str, Array]
Files = tuple[dict[str, bytes], list[str]]  # by name, and what is to be said of them
Exports = Callable[[Sequence[QuantizedLayer], Codes], Files]
NO_ONNX = "no network.onnx: onnx is not installed (pip install 'annealtrain[export]')"
NO_TORCH = "torch is not installed (pip install 'annealtrain[torch]')"


def of_numpy(network: Network, about: Row) -> Exports:
    """Return what makes the files of a NumPy network; about["data"] goes into ONNX metadata."""

    def exports(layers: Sequence[QuantizedLayer], codes: Codes) -> Files:
        found, notes = dict[str, bytes](), list[str]()
        if find_spec("torch"):
            found |= {"network.pt": torch_file(network), "codes.pt": torch_bytes(codes)}
        else:
            notes.append(f"no network.pt and codes.pt: {NO_TORCH}")
        if find_spec("onnx"):
            placed = [Placed(f"{layer.name}.weight", layer) for layer in layers]
            found["network.onnx"] = with_codes(onnx_network(network, about["data"]), placed)
        else:
            notes.append(NO_ONNX)
        return found, notes

    return exports


def of_module(source: Any, in_shape: Sequence[int], about: Row) -> Exports:
    """Return what makes the files of a PyTorch module; in_shape: of one sample."""

    def exports(layers: Sequence[QuantizedLayer], codes: Codes) -> Files:
        from annealtrain.optimizers.quantization.torch_exports import onnx_of, state_of

        found = {"network.pt": state_of(source), "codes.pt": torch_bytes(codes)}
        if not find_spec("onnx"):
            return found, [NO_ONNX]
        try:
            content, left = onnx_of(source, layers, in_shape, about["data"])
        except InputError as error:
            return found, [f"no network.onnx: {error}"]
        told = [f"weights that are floats in network.onnx: {', '.join(left)}"] if left else []
        return found | {"network.onnx": content}, told

    return exports


def of_onnx(source: Any) -> Exports:
    """Return what makes the files of an ONNX model."""

    def exports(layers: Sequence[QuantizedLayer], codes: Codes) -> Files:
        found = {"network.onnx": source.file(list(layers))}
        if not find_spec("torch"):
            return found, [f"no codes.pt: {NO_TORCH}"]
        return found | {"codes.pt": torch_bytes(codes)}, []

    return exports
