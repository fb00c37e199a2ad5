"""Networks as ONNX models: the same outputs in onnxruntime, for any number of images."""

import sys

import numpy as np
import pytest
from exported_networks import CASES, Mine, Twice, images, network, outputs

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'annealtrain[export]'")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'annealtrain[export]'")

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.nn.layers import Flatten, Linear, SpectralPool2d  # noqa: E402
from annealtrain.nn.network import Network  # noqa: E402
from annealtrain.nn.onnx_export import onnx_file  # noqa: E402


@pytest.mark.parametrize("case", CASES)
def test_the_onnx_model_gives_the_same_outputs(case):
    made = CASES[case]()
    content = onnx_file(made)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = images(made)
    (found,) = session.run(["outputs"], {"images": x})
    wanted = outputs(made, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), wanted.argmax(axis=1))
    (one,) = session.run(None, {"images": x[:1]})  # any number of images
    np.testing.assert_allclose(one, found[:1], rtol=1e-5, atol=1e-6)
    nodes = onnx.load_from_string(content).graph.node
    slopes = [a.f for node in nodes if node.op_type == "LeakyRelu" for a in node.attribute]
    np.testing.assert_allclose(slopes, [layer.slope for layer in made.trainable if layer.slope != 1], rtol=1e-7)


def test_the_constant_matrix_is_the_spectral_pool():
    made = network()
    held = {c.name: onnx.numpy_helper.to_array(c) for c in onnx.load_from_string(onnx_file(made)).graph.initializer}
    x = images(made)[:, :1, :8, :6]
    pool = SpectralPool2d([5, 4])
    pool.connect((1, 8, 6))
    np.testing.assert_allclose(
        (x.reshape(40, 48) @ held["layer1.matrix"]).reshape(40, 1, 5, 4), pool.forward(x), rtol=1e-5, atol=1e-6
    )


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"--format onnx needs .*: pip install 'annealtrain\[export\]'$"):
        onnx_file(network())


def test_a_layer_of_the_users_own_has_no_counterpart():
    onnx_file(Network([Mine(), Linear(5)], (1, 2, 3), 5))
    with pytest.raises(InputError, match="--format onnx has no counterpart of Twice: it knows Linear"):
        onnx_file(Network([Twice(), Flatten(), Linear(5)], (1, 2, 3), 5))
