"""An ONNX model whose weights are integer codes: DequantizeLinear makes the weights of them when it is loaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from annealtrain.errors import InputError
from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.runtime.validation import fault_in_one_line

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 21, 10  # the first with integers of 4 and 16 bits, and scales of blocks
MOST = {4: 7, 8: 127, 16: 32767}  # the largest code of as many bits, which zero lies in the middle of


class Placed(NamedTuple):
    """A quantised layer and the initialiser that holds its weights; is_transposed: (N, M) in place of (M, N)."""

    initializer: str
    layer: QuantizedLayer
    is_transposed: bool = False


def with_codes(model: "onnx.ModelProto", placed: Sequence[Placed]) -> bytes:
    """Return a model as a file, the weights of some layers as codes; those of more than 15 bits as they are in floats.

    Codes of up to 3 bits (15 levels where their number is odd) take 4 bits, others 8 or 16. Raises InputError where the
    model has no version with codes.
    """
    try:
        return _with_codes(model, placed)
    except Exception as error:  # whatever its converter and its checker raise
        raise InputError(f"ONNX has no form of this model with integer codes ({fault_in_one_line(error)})") from error


def _with_codes(model: "onnx.ModelProto", placed: Sequence[Placed]) -> bytes:
    import onnx

    model = converted(model)
    held = {one.name: one for one in model.graph.initializer}
    made: list[Any] = []
    given = {one.name: one for one in model.graph.input}  # old files list their weights there, too
    for name, layer, is_transposed in placed:
        integers, _ = layer.codes
        dims = tuple(held[name].dims)
        bits = next((bits for bits, most in MOST.items() if np.abs(integers).max() <= most), None)
        if bits is None:
            floats = layer.weights
            floats = np.ascontiguousarray((floats.T if is_transposed else floats).reshape(dims))
            held[name].CopyFrom(onnx.numpy_helper.from_array(floats, name))
            continue
        model.graph.initializer.remove(held[name])
        if name in given:
            model.graph.input.remove(given[name])
        made += _dequantize(model, name, bits, layer, dims, is_transposed)
    nodes = [*made, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def converted(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a model in the version that codes need."""
    from onnx import version_converter

    if next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")) < OPSET:
        model = version_converter.convert_version(model, OPSET)
    model.ir_version = max(model.ir_version, IR_VERSION)
    return model


def _dequantize(
    model: "onnx.ModelProto",
    name: str,
    bits: int,
    layer: QuantizedLayer,
    dims: tuple[int, ...],
    is_transposed: bool,
) -> list[Any]:
    """Return the nodes that make the weights `name` of codes and steps, which go to the model's initialisers.

    Transposed ones are turned after that, and their codes are blocks, if of one block a unit: of one step a column
    before a product onnxruntime makes a product of its own, which rounds its inputs to 8 bits.
    """
    from onnx import TensorProto, helper, numpy_helper

    kind = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16}[bits]
    constants, (integers, steps) = model.graph.initializer, layer.codes
    is_plain = steps.shape[1] == 1 and not is_transposed
    codes = integers.reshape(dims) if is_plain else integers
    constants.append(helper.make_tensor(f"{name}.codes", kind, codes.shape, codes.ravel().tolist()))
    constants.append(numpy_helper.from_array(steps[:, 0] if is_plain else steps, f"{name}.steps"))
    inputs = [f"{name}.codes", f"{name}.steps"]
    if is_plain:
        return [helper.make_node("DequantizeLinear", inputs, [name], f"{name}.dequantize", axis=0)]
    size = layer.grid.parts(integers.shape[1])[0].stop
    flat = f"{name}.flat"
    nodes = [helper.make_node("DequantizeLinear", inputs, [flat], f"{name}.dequantize", axis=1, block_size=size)]
    if is_transposed:
        return [*nodes, helper.make_node("Transpose", [flat], [name], f"{name}.transpose", perm=[1, 0])]
    constants.append(numpy_helper.from_array(np.array(dims, np.int64), f"{name}.shape"))
    return [*nodes, helper.make_node("Reshape", [flat, f"{name}.shape"], [name], f"{name}.reshape")]
