"""The forward pass: activations that are kept while weights change, and a tape of one pass with its way back."""

import numpy as np
import pytest

from annealtrain.nn.forward import ActivationCache, Tape
from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, SpectralPool2d
from annealtrain.nn.network import Network


def dense(**settings):
    return Network([Linear(7), Linear(6), Linear(3)], (5,), 3, **settings)


def small(**settings):
    """Fixed layers before, between and after two trainable ones: 2x6x6 -> 3x5x5 -> 3x3x3 -> 4x2x2 -> 4x1x1 -> 4."""
    layers = [SpectralPool2d([6, 6]), Conv2d(3, 2), SpectralPool2d([3, 3]), Conv2d(4, 2), SpectralPool2d([1, 1])]
    return Network([*layers, Flatten()], (2, 8, 8), 4, **settings)


def between(**settings):
    """A max pool and a pool of means between weights, other activations: 2x8x8 -> 3x8x8 -> 3x4x4 -> 4x2x2 -> 4."""
    layers = [Conv2d(3, 3, padding=1, alpha=0.5), MaxPool2d(2), Conv2d(4, 3, 2, 1), AvgPool2d(2), Flatten()]
    return Network(layers, (2, 8, 8), 4, output_activation="linear", **settings)


def inputs_of(network, count=6):
    return np.random.default_rng(0).normal(size=(count, *network.trainable[0].in_shape))


@pytest.mark.parametrize("make", [dense, small])
def test_the_cache_follows_the_weights(make):
    network = make(alpha=0.2, bias=True)
    x = np.random.default_rng(0).normal(size=(6, *network.trainable[0].in_shape))
    state, last = ActivationCache(network, x), len(network.trainable) - 1
    before = state.activation(last)
    for changed in (0, last, *range(last + 1)):
        layer = network.trainable[changed]
        layer.weights = layer.weights + np.random.default_rng(changed).normal(size=layer.weights.shape)
        state.weights_changed(changed)
        fresh = ActivationCache(network, x)
        for k in reversed(range(last + 1)):
            np.testing.assert_array_equal(state.input(k), fresh.input(k))
            np.testing.assert_array_equal(state.preactivation(k), fresh.preactivation(k))
            np.testing.assert_array_equal(state.activation(k), network.trainable[k].activate(fresh.preactivation(k)))
            np.testing.assert_array_equal(state.unfolded(k), network.trainable[k].unfold(fresh.input(k)))
        after = state.activation(last)
        assert not np.array_equal(after, before)
        before = after


def test_the_cache_keeps_what_weights_did_not_change():
    network = dense(alpha=0.2)
    state = ActivationCache(network, np.random.default_rng(0).normal(size=(6, 5)))
    state.preactivation(2)
    kept = state.input(1), state.preactivation(0), state.input(0)
    state.weights_changed(1)
    assert state.input(1) is kept[0]
    assert state.preactivation(0) is kept[1]
    assert state.input(0) is kept[2]


def test_the_cache_ends_where_predict_does():
    network = small(alpha=0.2)
    x = np.random.default_rng(0).normal(size=(6, 2, 6, 6))
    last = ActivationCache(network, x).activation(1)
    assert last.shape == (6, 4, 2, 2)
    np.testing.assert_allclose(network.predict(x), last.mean(axis=(2, 3)), rtol=1e-12)
    np.testing.assert_array_equal(ActivationCache(network, x).outputs(), network.predict(x))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_cache_has_the_derivative_of_each_activation(alpha):
    network = dense(alpha=alpha)
    state = ActivationCache(network, inputs_of(network))
    for k in range(3):
        found, z = state.activation_derivative(k), state.preactivation(k)
        assert (found is None) == (alpha == 1)
        if found is not None:
            np.testing.assert_array_equal(found, np.where(z >= 0, 1, alpha))


@pytest.mark.parametrize("make", [dense, small, between])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_a_tape_has_what_the_cache_has(make, alpha):
    network = make(alpha=alpha, bias=True)
    x = inputs_of(network)
    state, tape = ActivationCache(network, x), Tape(network, x)
    np.testing.assert_array_equal(tape.outputs, network.predict(x))
    for k in range(len(network.trainable)):
        np.testing.assert_array_equal(tape.inputs[k], state.input(k))
        derivative = state.activation_derivative(k)
        assert (tape.derivatives[k] is None) == (derivative is None)
        if derivative is not None:
            np.testing.assert_array_equal(tape.derivatives[k], derivative)


@pytest.mark.parametrize("make", [dense, small, between])
def test_backward_gives_the_gradient_at_each_preactivation(make):
    """By the weights: d/dW sum(outputs * weights of outputs), against differences."""
    network = make(alpha=0.2, bias=True)
    x = inputs_of(network, count=4)
    tape = Tape(network, x)
    wanted = np.random.default_rng(1).normal(size=tape.outputs.shape)
    back = tape.backward(wanted)
    assert len(back) == len(network.trainable)
    for k, layer in enumerate(network.trainable):
        assert back[k].shape == (4, *layer.out_shape)
        weights, way, sides = layer.weights, np.random.default_rng(k).normal(size=layer.weights.shape), []
        for sign in (1, -1):
            layer.weights = weights + sign * 1e-6 * way
            sides.append((network.predict(x) * wanted).sum())
        layer.weights = weights
        slope = (layer.gradient(tape.inputs[k], back[k]) * way).sum()
        assert slope == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)


def test_a_tape_may_begin_and_end_its_way_back_at_a_later_layer():
    network = dense(alpha=0.2)
    x = inputs_of(network)
    whole = Tape(network, x)
    part = Tape(network, whole.inputs[1], first=1)
    np.testing.assert_array_equal(part.outputs, whole.outputs)
    assert part.inputs[0] is part.derivatives[0] is None
    wanted = np.random.default_rng(1).normal(size=whole.outputs.shape)
    for one, other in zip(part.backward(wanted, first=1), whole.backward(wanted)[1:], strict=True):
        np.testing.assert_array_equal(one, other)
