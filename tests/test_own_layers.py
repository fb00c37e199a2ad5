"""Layers of a user's own whose units see inputs of their own, and those that are not what they say."""

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.layer import Layer, TrainableLayer
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.kronecker_model import factor_sums
from annealtrain.optimizers.quantization.of_network import NetworkSource
from annealtrain.testing import TrainableLayerContract


class Depthwise(TrainableLayer):
    """Windows of `size` pixels of each channel by itself: unit m sees channel m alone. Samples: (channels, pixels)."""

    has_shared_rows = False

    def __init__(self, size=2, alpha=None):
        self.size, self.alpha = size, alpha

    def connect(self, in_shape):
        self.sites = in_shape[1] - self.size + 1
        self.in_shape, self.out_shape = in_shape, (in_shape[0], self.sites)
        self.fan = (self.size, 1)
        return self.out_shape

    @property
    def weight_shape(self):
        return self.in_shape[0], self.size + self.has_bias

    def windows(self, x):  # (Q, channels, sites, size)
        return np.lib.stride_tricks.sliding_window_view(x, self.size, axis=2)

    def forward(self, x):
        return np.einsum("qcsi,ci->qcs", self.windows(x), self.kernel(x.dtype)) + self.offset(x.dtype)

    def adjoint(self, y):
        x, kernel = np.zeros((len(y), *self.in_shape), y.dtype), self.kernel(y.dtype)
        for i in range(self.size):
            x[:, :, i : i + self.sites] += y * kernel[:, i, None]
        return x

    def flatten_outputs(self, y):
        return np.moveaxis(y, 1, -1).reshape(-1, self.in_shape[0])

    def sample_gradients(self, x, dz):
        found = np.einsum("qcsi,qcs->qci", self.windows(x), dz)
        return np.concatenate([found, -dz.sum(axis=2)[:, :, None]], axis=2) if self.has_bias else found

    def gradient(self, x, dz):
        return self.sample_gradients(x, dz).sum(axis=0)


class TestDepthwise(TrainableLayerContract):
    in_shape = (3, 6)

    def make(self):
        return Depthwise()


def network(layer, **more):
    return Network([layer, Flatten(), Linear(None)], (3, 6), 4, bias=True, output_activation="linear", **more)


@pytest.mark.parametrize("size", [2, 6], ids=["five sites", "one site"])
def test_what_gauss_newton_knows_of_a_unit_is_the_difference_that_its_weights_make(size):
    made, rng = network(Depthwise(size, alpha=1)), np.random.default_rng(0)
    x = rng.normal(size=(7, 3, 6))
    jacobian, layer = Jacobian(made, 0, x, np.zeros((7, 4))), made.trainable[0]
    before, first = made.outputs(x), layer.weights.copy()
    for unit in range(3):
        change = rng.normal(size=size + 1)
        layer.weights = first.copy()
        layer.weights[unit] += change
        np.testing.assert_allclose(jacobian.effect(unit, change), made.outputs(x) - before, atol=1e-12)


@pytest.mark.parametrize("size", [2, 6], ids=["five sites", "one site"])
def test_kronecker_factors_are_those_of_the_gradients_of_each_sample(size):
    layer, rng = network(Depthwise(size)).trainable[0], np.random.default_rng(0)
    x, dz = rng.normal(size=(7, 3, 6)), rng.normal(size=(7, *layer.out_shape))
    S = layer.sample_gradients(x, dz)
    R, gamma, rows, _ = factor_sums(layer, x, dz)
    np.testing.assert_allclose(R, sum(s.T @ s for s in S), rtol=1e-12)
    np.testing.assert_allclose(gamma, sum(s @ s.T for s in S), rtol=1e-12)
    assert rows == 7


def test_quantize_leaves_it_as_it_is():
    source = NetworkSource(network(Depthwise()))
    assert (source.names, source.left) == (["layer2"], {"depthwise0": "its units see inputs of their own"})


class SaysShared(Depthwise):
    has_shared_rows = True

    def unfold(self, x):
        rows = self.windows(x).transpose(0, 2, 1, 3).reshape(-1, self.size)
        return np.hstack([rows, np.full((len(rows), 1), -1.0)])


class UnitsLast(Depthwise):
    def connect(self, in_shape):
        super().connect(in_shape)
        self.out_shape = self.out_shape[::-1]
        return self.out_shape

    def forward(self, x):
        return super().forward(x).swapaxes(1, 2)

    def adjoint(self, y):
        return super().adjoint(y.swapaxes(1, 2))


class WrongWayBack(Depthwise):
    def adjoint(self, y):
        return super().adjoint(y[:, ::-1])


class WrongSlope(Layer):
    is_linear = False

    def connect(self, in_shape):
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x):
        return np.tanh(x)

    def backward_at(self, x):
        return lambda dy: dy * (1 - x**2)


class WrongShape(WrongSlope):
    def forward(self, x):
        return x[:, :, 1:]


class NoForward(Layer):
    def connect(self, in_shape):
        self.in_shape = self.out_shape = in_shape
        return in_shape


class WrongGradient(Depthwise):
    def sample_gradients(self, x, dz):
        return 2 * super().sample_gradients(x, dz)


def test_a_layer_without_a_way_back_is_told_so_where_one_is_needed():
    class OneWay(NoForward):
        def forward(self, x):
            return 2 * x

    made = Network([Linear(3), OneWay()], (4,), 3)
    with pytest.raises(InputError, match=r"^OneWay has no `adjoint`: docs/layers\.md tells what"):
        Jacobian(made, 0, np.ones((2, 4)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            SaysShared(),
            "layer 0 of the model, SaysShared: `unfold` times its weights is not what `forward` gives: let it",
        ),
        (
            UnitsLast(),
            "layer 0 of the model, UnitsLast: its outputs are 5x3 and its weights 3x3: the 3 units must come",
        ),
        (WrongWayBack(), "layer 0 of the model, WrongWayBack: `adjoint` is not the way back of its `forward`; anneal"),
        (WrongSlope(), "layer 0 of the model, WrongSlope: `backward_at` is not the way back of its `forward`; anneal"),
        (
            WrongShape(),
            "layer 0 of the model, WrongShape: `connect` tells (3, 6) for a sample, and `forward` gives (3, 5)",
        ),
        (NoForward(), "NoForward has no `forward`: docs/layers.md tells what a layer of one's own needs"),
        (WrongGradient(), "layer 0 of the model, WrongGradient: `sample_gradients` is not the gradient of what"),
    ],
)
def test_a_layer_that_is_not_what_it_says_is_refused(layer, message):
    with pytest.raises(InputError) as caught:
        network(layer)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
