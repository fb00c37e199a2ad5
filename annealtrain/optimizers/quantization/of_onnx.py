"""An ONNX model as a source of quantisation: Conv, Gemm, MatMul with weights in initialisers, run by onnxruntime."""

import copy
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annealtrain.errors import InputError
from annealtrain.optimizers.quantization.network import QuantizedLayer
from annealtrain.optimizers.quantization.qdq import Placed, converted, with_codes
from annealtrain.optimizers.quantization.source import nothing_left
from annealtrain.runtime import files
from annealtrain.runtime.array_types import Array

MOST_DATA = 2_000_000_000  # bytes of a file of weights beside a model
OPERATORS = ("Conv", "Gemm", "MatMul")
FLOATS = (1, 10, 11, 16)  # float32, 16, 64 and bfloat16, as TensorProto numbers them
CODES = {2: 8, 3: 8, 4: 16, 5: 16, 21: 4, 22: 4}  # bits of the integers that weights are kept in, as it numbers them


class Place(NamedTuple):
    """A layer: its operator and node, the names of its input and initialisers; bias is None where there is none."""

    kind: str
    node: Any
    input: str
    weight: str
    bias: str | None
    is_transposed: bool  # (N, M) in place of (M, N)


class OnnxSource:
    """See `Source`. Layers are named after their weights' initialisers; samples are arrays for the model's one input.

    folder: where the file lies, and files with its weights beside it, if it has any.
    left: why operators of these kinds stay float, by name. Raises InputError where the model has no layer, or several
    inputs, and without onnx and onnxruntime.
    """

    has_gradients = False

    def __init__(self, content: bytes, folder: str | Path = ".") -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise InputError(f"an ONNX file needs onnx ({error}): pip install 'annealtrain[export]'") from error
        try:
            self.exact = onnx.load_model_from_string(content)
            _with_data(self.exact, Path(folder))
            onnx.checker.check_model(converted(copy.deepcopy(self.exact)), full_check=True)  # as it will be written
        except Exception as error:  # of protobuf, or of the checker
            raise InputError(f"this is not an ONNX model ({' '.join(str(error).split())[:200]})") from error
        self._onnx, self._runtime = onnx, onnxruntime
        self._exact = self._held(self.exact)
        given = [one.name for one in self.exact.graph.input if one.name not in self._exact]
        if len(given) != 1:
            raise InputError(f"the model has {len(given)} inputs ({', '.join(given)}): one is needed, the samples")
        self.input = given[0]
        shape = next(one.type.tensor_type.shape for one in self.exact.graph.input if one.name == self.input)
        if count := shape.dim[0].dim_value if shape.dim else 0:
            told = f"the model takes {count} sample{'s' * (count > 1)} at a time, no more and no fewer"
            raise InputError(f"{told}: export it with a first axis of any length (dynamic_axes, or dynamic_shapes)")
        self.left: dict[str, str] = {}
        self.folded: list[str] = []
        self._places = self._layers()
        self.names = [place.weight for place in self._places]
        own = {name for place in self._places for name in (place.weight, place.bias)}
        self.others = sum(_bytes(one) for name, one in self._exact.items() if name not in own)
        if not self.names:
            raise nothing_left("model", self.left, f"it has no {', '.join(OPERATORS)}")
        self.model = copy.deepcopy(self.exact)
        self._sessions: dict[tuple[str, bool], Any] = {}

    def _held(self, model: Any) -> dict[str, Any]:
        return {one.name: one for one in model.graph.initializer}

    def _layers(self) -> list[Place]:
        uses: dict[str, int] = {}
        for node in self.exact.graph.node:
            for name in [*node.input, *_inside(node)]:
                uses[name] = uses.get(name, 0) + 1
        found = []
        for node in self.exact.graph.node:
            if node.op_type not in OPERATORS:
                if node.op_type != "DequantizeLinear" and (held := self._weights_of(node)):
                    self.left[", ".join(held)] = f"of {node.op_type}"
                continue
            why = self._unfit(node, uses)
            if why:
                self.left[node.name or node.output[0]] = why
                continue
            settings = _settings(node)
            is_transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not settings.get("transB"))
            bias = node.input[2] if len(node.input) > 2 and node.input[2] in self._exact else None
            is_own = bias is not None and uses[bias] == 1 and len(self._exact[bias].dims) == 1
            found.append(
                Place(node.op_type, node, node.input[0], node.input[1], bias if is_own else None, is_transposed)
            )
        return found

    def _weights_of(self, node: Any) -> list[str]:
        """Return the float initialisers that an operator of another kind uses, in branches and loops too.

        Numbers and the vector of an Add, a bias, count for none.
        """
        inner = {one.name: one for graph in _inner(node) for one in graph.initializer}
        found = []
        for name in dict.fromkeys([*node.input, *_inside(node)]):
            held = inner.get(name, self._exact.get(name))
            if held is not None and held.data_type in FLOATS and len(held.dims) > (node.op_type == "Add"):
                found.append(name)
        return found

    def _is_of_codes(self, name: str) -> bool:
        """Whether a value is what DequantizeLinear gives of initialisers, shaped anew perhaps."""
        made = next((node for node in self.exact.graph.node if name in node.output), None)
        if made is None or not made.input:
            return False
        if made.op_type == "DequantizeLinear":
            return made.input[0] in self._exact
        return made.op_type in ("Reshape", "Transpose", "Slice", "Cast") and self._is_of_codes(made.input[0])

    def _unfit(self, node: Any, uses: dict[str, int]) -> str | None:
        """Return why a node stays float, None where it can be quantised."""
        settings, weight = _settings(node), node.input[1] if len(node.input) > 1 else ""
        if weight not in self._exact:
            return "quantised already" if self._is_of_codes(weight) else "its weights are no initialiser"
        if uses[weight] > 1:
            return "its weights are shared"
        dims = self._exact[weight].dims
        if self._exact[weight].data_type != self._onnx.TensorProto.FLOAT:
            return "its weights are not float32"
        if len(dims) != (4 if node.op_type == "Conv" else 2):
            return f"its weights have {len(dims)} axes"
        if settings.get("group", 1) != 1:
            return "a convolution in groups"
        if settings.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            return f"auto_pad={settings['auto_pad'].decode()}"
        if node.op_type == "Gemm" and (settings.get("alpha", 1) != 1 or settings.get("beta", 1) != 1):
            return "alpha or beta of its Gemm"
        return "transA of its Gemm" if settings.get("transA") else None

    def block(self, samples: Any, part: slice) -> Array:
        return np.ascontiguousarray(samples[part], np.float32)

    def weights(self, k: int) -> Array:
        return self._of(self._exact[self._places[k].weight], self._places[k])

    def _of(self, held: Any, place: Place) -> Array:
        array = self._onnx.numpy_helper.to_array(held).astype(np.float64)
        return array.T if place.is_transposed else array.reshape(len(array), -1)

    def shape(self, k: int) -> tuple[int, ...]:
        place = self._places[k]
        dims = tuple(self._exact[place.weight].dims)
        return dims[::-1] if place.is_transposed else dims

    def bias(self, k: int) -> Array | None:
        name = self._places[k].bias
        if name is None:
            return None
        found: Array = self._onnx.numpy_helper.to_array(self._held(self.model)[name]).astype(np.float64)
        return found

    def take(self, k: int, weights: Array, bias_change: Array | None = None) -> None:
        place, held = self._places[k], self._held(self.model)
        weights = weights.T if place.is_transposed else weights.reshape(self.shape(k))
        self._put(held, place.weight, weights)
        if bias_change is not None and place.bias is not None:
            self._put(held, place.bias, self._onnx.numpy_helper.to_array(self._exact[place.bias]) + bias_change)
        self._sessions = {key: one for key, one in self._sessions.items() if key[1]}

    def _put(self, held: dict[str, Any], name: str, array: Array) -> None:
        content = np.ascontiguousarray(array, np.float32)
        held[name].CopyFrom(self._onnx.numpy_helper.from_array(content, name))

    def inputs(self, k: int, x: Array, *, is_float: bool = False) -> Array:
        place = self._places[k]
        seen = x if place.input == self.input else self._run(place.input, x, is_float=is_float)
        return _patches(seen, place.node, self.shape(k)) if place.kind == "Conv" else seen.reshape(-1, seen.shape[-1])

    def outputs(self, x: Array, *, is_float: bool = False) -> Array:
        return self._run(self.exact.graph.output[0].name, self.block(x, slice(None)), is_float=is_float)

    def _run(self, name: str, x: Array, *, is_float: bool) -> Array:
        """Return a value of the model, by name."""
        key = (name, is_float)
        if key not in self._sessions:
            model = copy.deepcopy(self.exact if is_float else self.model)
            del model.graph.output[:]
            model.graph.output.append(self._onnx.helper.make_empty_tensor_value_info(name))
            options = self._runtime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 4  # what fails is raised, and told in one line
            content = model.SerializeToString()
            self._sessions[key] = self._runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        found: Array = self._sessions[key].run([name], {self.input: x})[0]
        return found

    def curvature(self, k: int, x: Array, signs: Array) -> Array:
        raise NotImplementedError

    def file(self, layers: list[QuantizedLayer]) -> bytes:
        """Return the quantised model as a file, weights as codes."""
        transposed = {place.weight: place.is_transposed for place in self._places}
        return with_codes(copy.deepcopy(self.model), [Placed(one.name, one, transposed[one.name]) for one in layers])


def _with_data(model: Any, folder: Path) -> None:
    """Take into a model what lies in files beside it; ValueError for files elsewhere, links, and more than a model."""
    from onnx import external_data_helper as external

    for one in external._get_all_tensors(model):
        if external.uses_external_data(one):
            place = Path(external.ExternalDataInfo(one).location)
            if place.is_absolute() or ".." in place.parts:
                raise ValueError(f"its weights lie outside its folder, in {place}")
            content = files.read_bytes(folder / place, MOST_DATA)
            info = external.ExternalDataInfo(one)
            start = int(info.offset or 0)
            one.raw_data = content[start : start + int(info.length)] if info.length else content[start:]
            one.data_location = one.DEFAULT
            del one.external_data[:]


def _inner(node: Any) -> Iterator[Any]:
    """Yield the graphs of an operator's branches, or of its loop, and those inside them."""
    from onnx import AttributeProto

    for one in node.attribute:
        for graph in [one.g] if one.type == AttributeProto.GRAPH else one.graphs:
            yield graph
            for each in graph.node:
                yield from _inner(each)


def _inside(node: Any) -> list[str]:
    """Return the names that operators of its branches or its loop take."""
    return [name for graph in _inner(node) for each in graph.node for name in each.input]


def _bytes(held: Any) -> int:
    """Return the bytes of an initialiser, floats as float32; 0 for shapes and axes, which are no weights."""
    count = prod(map(int, held.dims))
    return 4 * count if held.data_type in FLOATS else -(-count * CODES.get(held.data_type, 0) // 8)


def _settings(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _patches(x: Array, node: Any, shape: tuple[int, ...]) -> Array:
    """Return what a Conv's units see at each site, (R, C K L)."""
    settings, (K, L) = _settings(node), shape[2:]
    above, before, below, behind = settings.get("pads", [0, 0, 0, 0])
    (down, across), (apart, beside) = settings.get("strides", [1, 1]), settings.get("dilations", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (above, below), (before, behind)))
    size = (apart * (K - 1) + 1, beside * (L - 1) + 1)
    seen = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    seen = seen[:, :, ::down, ::across, ::apart, ::beside].transpose(0, 2, 3, 1, 4, 5)
    return seen.reshape(-1, x.shape[1] * K * L)
