"""Networks in other frameworks: the same outputs, read by those frameworks themselves."""

import io
import sys

import numpy as np
import pytest

from annealtrain.commands.export import network_file
from annealtrain.errors import InputError
from annealtrain.nn import layers
from annealtrain.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import torch_network


def network(alpha=0.1, bias=False):
    """A convolutional one with pools between its layers, colour images in."""
    made = Network(
        [Conv2d(4, 3), SpectralPool2d([5, 4]), Conv2d(6, 3), SpectralPool2d([2, 2]), Flatten(), Linear(7), Linear(5)],
        (3, 10, 8),
        5,
        alpha=alpha,
        bias=bias,
    )
    return with_biases(made) if bias else made


def pooled_network():
    return Network([MaxPool2d([2, 4]), Flatten(), Linear(5)], (1, 6, 8), 5, alpha=0.001)


def with_biases(made):
    for k, layer in enumerate(made.trainable):
        layer.weights[:, -1] = np.random.default_rng(k).normal(size=len(layer.weights))
    return made


CASES = {
    "leaky": network,
    "relu": lambda: network(alpha=0),
    "linear": lambda: network(alpha=1),
    "bias": lambda: network(bias=True),
    "max": pooled_network,
}


def images(made, count=40):
    shape = made.layers[0].in_shape
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


def outputs(made, x):
    return made.predict(made.preprocess(x))


@pytest.mark.parametrize("case", CASES)
def test_the_torch_state_dict_gives_the_same_outputs(case):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'annealtrain[torch]'")
    made = CASES[case]()
    state = torch.load(io.BytesIO(network_file(made, "torch")), weights_only=True)
    other = CASES[case]()
    for layer in other.trainable:
        layer.weights = np.zeros_like(layer.weights)
    module = torch_network(other)
    module.load_state_dict(state, strict=True)
    x = images(made)
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, outputs(made, x), rtol=1e-4, atol=1e-5)


def test_the_torch_names_are_places_in_the_network():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'annealtrain[torch]'")
    state = torch.load(io.BytesIO(network_file(network(bias=True), "torch")), weights_only=True)
    wanted = [
        "0.weight",
        "0.bias",
        "2.matrix",
        "3.weight",
        "3.bias",
        "5.matrix",
        "7.weight",
        "7.bias",
        "9.weight",
        "9.bias",
    ]
    assert list(state) == wanted
    assert tuple(state["2.matrix"].shape) == (48, 20)


@pytest.mark.parametrize("case", CASES)
def test_the_onnx_model_gives_the_same_outputs(case):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'annealtrain[export]'")
    runtime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: pip install 'annealtrain[export]'"
    )
    made = CASES[case]()
    content = network_file(made, "onnx")
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
    count = 0 if made.alpha == 1 else len(made.trainable)
    np.testing.assert_allclose(slopes, [made.alpha] * count, rtol=1e-7)


def test_the_constant_matrix_is_the_spectral_pool():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'annealtrain[export]'")
    made = network()
    held = {
        c.name: onnx.numpy_helper.to_array(c)
        for c in onnx.load_from_string(network_file(made, "onnx")).graph.initializer
    }
    x = images(made)[:, :1, :8, :6]
    pool = SpectralPool2d([5, 4])
    pool.connect((1, 8, 6))
    np.testing.assert_allclose(
        (x.reshape(40, 48) @ held["layer1.matrix"]).reshape(40, 1, 5, 4), pool.forward(x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("kind", "package", "extra"), [("torch", "torch", "torch"), ("onnx", "onnx", "export")])
def test_a_missing_package_is_one_line(kind, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"--format {kind} needs .*: pip install 'annealtrain\[{extra}\]'$"):
        network_file(network(), kind)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_layer_of_the_users_own_has_no_counterpart(kind):
    pytest.importorskip(kind, reason=f"{kind} is not installed")

    class Mine(layers.Flatten):
        pass

    class Twice(layers.Layer):
        def connect(self, in_shape):
            self.in_shape = self.out_shape = in_shape
            return in_shape

    network_file(Network([Mine(), Linear(5)], (1, 2, 3), 5), kind)
    with pytest.raises(InputError, match=f"--format {kind} has no counterpart of Twice: it knows Linear"):
        network_file(Network([Twice(), Flatten(), Linear(5)], (1, 2, 3), 5), kind)
