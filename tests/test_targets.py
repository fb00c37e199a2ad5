"""Targets of hidden layers against the equations of Sec. 4, on networks small enough to write them out."""

import math

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.targets import DifferenceTargets, PseudoInverseTargets, WeightedPseudoInverseTargets

Q = 6


def two_layers(alpha, bias=False):
    network = Network([Flatten(), Linear(5), Linear(3)], (1, 2, 4), 3, alpha=alpha, bias=bias, seed=3)
    generator = np.random.default_rng(0)
    if bias:
        for layer in network.trainable:
            layer.weights[:, -1] = generator.normal(size=len(layer.weights))
    return network, generator.normal(size=(Q, 8)), np.eye(3)[generator.integers(0, 3, Q)] * 10


def convolutional(alpha):
    layers = [Conv2d(3, 3), SpectralPool2d([4, 4]), Conv2d(4, 4), Flatten(), Linear(2)]
    network = Network(layers, (1, 8, 8), 2, alpha=alpha, seed=1)
    generator = np.random.default_rng(1)
    return network, generator.random((Q, 1, 8, 8)), np.eye(2)[generator.integers(0, 2, Q)] * 10


def test_pinv_is_the_pseudo_inverse_of_the_layers_above():
    network, q, xi = two_layers(0.1)
    targets = PseudoInverseTargets(gain=[3.0])
    state = ActivationCache(network, q)
    targets.start_epoch(state, xi)
    last, _ = targets.of_layer(1, state)
    np.testing.assert_array_equal(last, xi)
    hidden, gamma = targets.of_layer(0, state)
    np.testing.assert_allclose(hidden, 3 * xi @ np.linalg.pinv(network.trainable[1].weights).T, rtol=1e-9)
    z = q @ network.trainable[0].weights.T
    np.testing.assert_array_equal(gamma, np.where(z >= 0, 1, 0.1))


def test_pinv_solves_the_hidden_layer_when_its_targets_are_met():
    """If layer 0 met its targets exactly, a linear network's outputs would be the targets (W has full row rank)."""
    network, q, xi = two_layers(1.0)
    state = ActivationCache(network, q)
    targets = PseudoInverseTargets()
    targets.start_epoch(state, xi)
    hidden, gamma = targets.of_layer(0, state)
    assert gamma is None
    np.testing.assert_allclose(hidden @ network.trainable[1].weights.T, xi, atol=1e-9)


def test_pinv_inverts_a_bias():
    network, q, xi = two_layers(1.0, bias=True)
    state = ActivationCache(network, q)
    targets = PseudoInverseTargets()
    targets.start_epoch(state, xi)
    hidden, _ = targets.of_layer(0, state)
    np.testing.assert_allclose(network.trainable[1].forward(hidden), xi, atol=1e-9)


def test_the_inverse_activation_of_equation_24():
    network, q, xi = two_layers(0.5)
    state = ActivationCache(network, q)
    targets = PseudoInverseTargets(inverse_activation=True)
    targets.start_epoch(state, xi)
    gamma = np.where(state.preactivation(1) >= 0, 1, 0.5)
    expected = (xi / gamma) @ np.linalg.pinv(network.trainable[1].weights).T
    np.testing.assert_allclose(targets.of_layer(0, state)[0], expected, rtol=1e-9)


def test_gains_accumulate_and_pools_are_inverted():
    network, images, xi = convolutional(0.1)
    inputs = network.preprocess(images)
    state = ActivationCache(network, inputs)
    targets = PseudoInverseTargets(gain=[2.0, 5.0])
    targets.start_epoch(state, xi)
    _, pool, conv1, _, linear = network.layers
    second = 5 * (xi @ np.linalg.pinv(linear.weights).T).reshape(Q, 4, 1, 1)
    np.testing.assert_allclose(targets.of_layer(1, state)[0], second, rtol=1e-9)
    first = 2 * pool.inverse()(conv1.inverse()(second))
    np.testing.assert_allclose(targets.of_layer(0, state)[0], first, rtol=1e-9)
    # One number is the gain of every hidden layer; a short list leaves the others at 1.
    for gain, ratio in ((4.0, 4 * 4 / 10), ([2.0], 2 / 10)):
        other = PseudoInverseTargets(gain=gain)
        other.start_epoch(state, xi)
        np.testing.assert_allclose(other.of_layer(0, state)[0], ratio * first, rtol=1e-9)


def test_pinv_targets_stay_while_weights_change_in_an_epoch():
    network, q, xi = two_layers(0.1)
    state = ActivationCache(network, q)
    targets = PseudoInverseTargets()
    targets.start_epoch(state, xi)
    before = targets.of_layer(0, state)[0].copy()
    network.trainable[1].weights = network.trainable[1].weights * 2
    state.weights_changed(1)
    np.testing.assert_array_equal(targets.of_layer(0, state)[0], before)
    targets.start_epoch(state, xi)
    np.testing.assert_allclose(targets.of_layer(0, state)[0], before / 2)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_weighted_targets_are_equations_28_and_29(alpha):
    network, q, xi = two_layers(alpha)
    state = ActivationCache(network, q)
    targets = WeightedPseudoInverseTargets()
    targets.start_epoch(state, xi)
    W0, W1 = (layer.weights for layer in network.trainable)
    gamma0 = np.where(state.preactivation(0) >= 0, 1, alpha)
    gamma1 = np.where(state.preactivation(1) >= 0, 1, alpha)
    inverse = np.linalg.pinv(W1)
    found, factors = targets.of_layer(0, state)
    problem = LayerProblem.from_rows(q, found, W0, 0.1, 4, factors=factors)
    for j in range(5):
        total = 0.0
        for a in range(Q):
            beta = sum(W1[i, j] * gamma1[a, i] for i in range(3))
            wanted = beta * sum(inverse[j, i] * xi[a, i] for i in range(3))
            total += (sum(W0[j, k] * beta * gamma0[a, j] * q[a, k] for k in range(8)) - wanted) ** 2
        assert problem.unit(j).energy(W0[j]) == pytest.approx(total / Q, rel=1e-9)
    last, factors = targets.of_layer(1, state)
    np.testing.assert_array_equal(last, xi)
    assert (factors is None) == (alpha == 1)


def test_weighted_targets_go_through_the_pool():
    network, images, xi = convolutional(0.1)
    state = ActivationCache(network, network.preprocess(images))
    targets, plain = WeightedPseudoInverseTargets(), PseudoInverseTargets()
    for each in (targets, plain):
        each.start_epoch(state, xi)
    _, pool, conv1, _, _ = network.layers
    beta = pool.adjoint(conv1.adjoint(np.where(state.preactivation(1) >= 0, 1, 0.1)))
    found, factors = targets.of_layer(0, state)
    unweighted, gamma = plain.of_layer(0, state)
    np.testing.assert_allclose(found, beta * unweighted, rtol=1e-9)
    np.testing.assert_allclose(factors, beta * gamma, rtol=1e-9)


@pytest.mark.parametrize("eta", [1.0, 0.25])
def test_difference_adds_the_inverse_of_the_missing_change(eta):
    network, images, xi = convolutional(0.1)
    state = ActivationCache(network, network.preprocess(images))
    targets = DifferenceTargets(eta=eta)
    targets.start_epoch(state, xi)
    _, pool, conv1, _, linear = network.layers
    change = eta * (xi - state.activation(2))
    np.testing.assert_allclose(targets.of_layer(2, state)[0], state.activation(2) + change, rtol=1e-9)
    change = (change @ np.linalg.pinv(linear.weights).T).reshape(Q, 4, 1, 1)
    np.testing.assert_allclose(targets.of_layer(1, state)[0], state.activation(1) + change, rtol=1e-9)
    change = pool.inverse()(conv1.inverse()(change))
    found, gamma = targets.of_layer(0, state)
    np.testing.assert_allclose(found, state.activation(0) + change, rtol=1e-9)
    np.testing.assert_array_equal(gamma, np.where(state.preactivation(0) >= 0, 1, 0.1))


def test_difference_follows_the_weights_at_once():
    network, q, xi = two_layers(0.1)
    state = ActivationCache(network, q)
    targets = DifferenceTargets()
    targets.start_epoch(state, xi)
    targets.of_layer(0, state)
    network.trainable[0].weights = network.trainable[0].weights + 0.1
    state.weights_changed(0)
    fresh = ActivationCache(network, q)
    np.testing.assert_allclose(state.activation(1), fresh.activation(1))
    expected = fresh.activation(0) + (xi - fresh.activation(1)) @ np.linalg.pinv(network.trainable[1].weights).T
    np.testing.assert_allclose(targets.of_layer(0, state)[0], expected, rtol=1e-9)


def test_difference_stands_still_where_the_outputs_are_right():
    network, q, _ = two_layers(0.1)
    state = ActivationCache(network, q)
    targets = DifferenceTargets()
    targets.start_epoch(state, state.activation(1))
    found, factors = targets.of_layer(0, state)
    np.testing.assert_allclose(found, state.activation(0))
    problem = LayerProblem.from_rows(q, found, network.trainable[0].weights, 0.1, 4, factors=factors)
    np.testing.assert_allclose(problem.energies(network.trainable[0].weights), 0, atol=1e-12)


@pytest.mark.parametrize("kind", [PseudoInverseTargets, WeightedPseudoInverseTargets, DifferenceTargets])
def test_targets_keep_float32(kind):
    network, q, xi = two_layers(0.1)
    state = ActivationCache(network, q.astype(np.float32))
    targets = kind()
    targets.start_epoch(state, xi.astype(np.float32))
    for k in (0, 1):
        for array in targets.of_layer(k, state):
            assert array.dtype == np.float32


GAIN = "a number from 0 to 1e\\+06"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PseudoInverseTargets(amplitude=0.0), "amplitude=0.0 is not a number above 0 and at most 1e\\+06"),
        (
            lambda: PseudoInverseTargets(amplitude=1e300),
            "amplitude=1e\\+300 is not a number above 0 and at most",
        ),
        (lambda: PseudoInverseTargets(ridge=-0.1), "ridge=-0.1 is not a number of at least 0"),
        (
            lambda: PseudoInverseTargets(gain=[1.0, -1.0]),
            rf"gain=\[1.0, -1.0\] is not {GAIN} or a list of values, each {GAIN}",
        ),
        (lambda: PseudoInverseTargets(gain=-1.0), f"gain=-1.0 is not {GAIN} or a list"),
        (lambda: WeightedPseudoInverseTargets(inverse_activation=1), "inverse_activation=1 is not one of true, false"),
        (lambda: DifferenceTargets(eta="abc"), "eta='abc' is not a number above 0 and at most 1"),
        (lambda: DifferenceTargets(eta=0.0), "eta=0.0 is not a number above 0 and at most 1"),
        (lambda: DifferenceTargets(eta=1.5), "eta=1.5 is not a number above 0 and at most 1"),
        (lambda: DifferenceTargets(ridge=math.inf), "ridge=inf is not a number of at least 0"),
    ],
)
def test_refused_settings(make, message):
    with pytest.raises(InputError, match=f"^optimizer.{message}"):
        make()


def test_settings_that_do_not_suit_the_network_are_refused():
    network, _, _ = two_layers(0.0)
    with pytest.raises(InputError, match=r"optimizer.gain has 2 values, the model 1 hidden layers"):
        PseudoInverseTargets(gain=[1.0, 2.0]).check(network)
    with pytest.raises(InputError, match=r"optimizer.inverse_activation=true divides by alpha=0"):
        PseudoInverseTargets(inverse_activation=True).check(network)
    PseudoInverseTargets(gain=[2.0]).check(network)
