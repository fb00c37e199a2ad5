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
        placed = [Placed(f"{layer.name}.weight", layer) for layer in layers]
        model, told = _onnx_file(lambda: (with_codes(onnx_network(network, about["data"]), placed), []))
        return found | model, notes + told

    return exports


def of_module(source: Any, in_shape: Sequence[int], about: Row) -> Exports:
    """Return what makes the files of a PyTorch module; in_shape: of one sample."""

    def exports(layers: Sequence[QuantizedLayer], codes: Codes) -> Files:
        from annealtrain.optimizers.quantization.torch_exports import onnx_of, state_of

        found = {"network.pt": state_of(source), "codes.pt": torch_bytes(codes)}
        model, told = _onnx_file(lambda: onnx_of(source, layers, in_shape, about["data"]))
        return found | model, told

    return exports


def of_onnx(source: Any) -> Exports:
    """Return what makes the files of an ONNX model."""

    def exports(layers: Sequence[QuantizedLayer], codes: Codes) -> Files:
        found, told = _onnx_file(lambda: (source.file(list(layers)), []))
        if not find_spec("torch"):
            return found, [*told, f"no codes.pt: {NO_TORCH}"]
        return found | {"codes.pt": torch_bytes(codes)}, told

    return exports


def _onnx_file(make: Callable[[], tuple[bytes, list[str]]]) -> Files:
    """Return network.onnx, or why there is none. make: returns it, and the layers whose weights are floats in it."""
    if not find_spec("onnx"):
        return {}, [NO_ONNX]
    try:
        content, left = make()
    except InputError as error:  # the other files are there, and hours of work are in them
        return {}, [f"no network.onnx: {error}"]
    return {"network.onnx": content}, [f"weights that are floats in network.onnx: {', '.join(left)}"] if left else []
