"""ONNX files that others wrote: what is left as it is, and why, and what their bytes are."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the export extra is not installed: pip install 'annealtrain[export]'")
pytest.importorskip("onnxruntime", reason="the export extra is not installed: pip install 'annealtrain[export]'")

from onnx import TensorProto, helper, numpy_helper

from annealtrain.errors import InputError
from annealtrain.optimizers.quantization.codes import sizes
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.network import Method, quantized
from annealtrain.optimizers.quantization.of_onnx import OnnxSource
from annealtrain.solvers.lattice.babai import Babai


def tensor(name, *shape):
    values = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def source(nodes, tensors, out=3):
    """Return a model with the input x (Q, 4) and the output y (Q, out)."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["Q", n]) for name, n in (("x", 4), ("y", out))]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], initializer=tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxSource(made.SerializeToString())


def branch(name, weight, *tensors):
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["Q", 3])
    return helper.make_graph([helper.make_node("MatMul", ["x", weight], [name])], name, [], [out], initializer=tensors)


def test_weights_of_other_operators_are_named_and_biases_are_not():
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["i"]),
        helper.make_node("Mul", ["i", "half"], ["j"]),
        helper.make_node("BatchNormalization", ["j", "gamma", "beta", "mean", "variance"], ["y"]),
    ]
    variance = numpy_helper.from_array(np.ones(3, np.float32), "variance")
    tensors = [tensor("W", 4, 3), tensor("b", 3), tensor("half"), *map(tensor, ("gamma", "beta", "mean"), (3, 3, 3))]
    found = source(nodes, [*tensors, variance])
    assert (found.names, found.left) == (["W"], {"gamma, beta, mean, variance": "of BatchNormalization"})
    assert sizes(found, []) == (4 * (12 + 3 + 1 + 12),) * 2


def test_weights_in_branches_stay_float_are_named_and_are_shared_with_those_outside():
    condition = numpy_helper.from_array(np.array(True), "yes")
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["h"]),
        helper.make_node("MatMul", ["x", "U"], ["i"], name="beside"),
        helper.make_node(
            "If", ["yes"], ["j"], then_branch=branch("t", "T", tensor("T", 4, 3)), else_branch=branch("e", "U")
        ),
        helper.make_node("Sum", ["h", "i", "j"], ["y"]),
    ]
    found = source(nodes, [tensor("W", 4, 3), tensor("U", 4, 3), condition])
    assert (found.names, found.left) == (["W"], {"beside": "its weights are shared", "U, T": "of If"})


def test_a_model_that_is_quantised_already_is_told_so_and_its_codes_are_counted():
    nodes = [helper.make_node("MatMul", ["x", "W"], ["h"], name="one"), helper.make_node("MatMul", ["h", "V"], ["y"])]
    made = source(nodes, [tensor("W", 4, 6), tensor("V", 6, 3)])
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    method, grid = Method(Babai()), Grid(2, None, None)
    again = OnnxSource(made.file(list(quantized(made, x, None, [grid, None], method))))
    assert again.names == ["V"]
    assert again.left == {"one": "quantised already"}
    assert again.others == 4 * 6 // 2 + 4 * 6  # codes of 4 bits, and a step a unit
    with pytest.raises(InputError, match=r"^the model has no layer that can be quantised \(one: quantised already; "):
        OnnxSource(made.file(list(quantized(made, x, None, [grid, grid], method))))
