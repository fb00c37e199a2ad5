"""The quadratic model of the network's loss: against the loss itself, its gradient by differences and by autograd."""

import numpy as np
import pytest
from small_network import network, varied

from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.layers import MaxPool2d
from annealtrain.nn.torch_network import torch_network
from annealtrain.optimizers.optimizer import Batch


def batch(count=150, seed=0):
    generator = np.random.default_rng(seed)
    outputs = np.eye(3)[generator.integers(0, 3, count)]
    return Batch(generator.random((count, 2, 7, 7)), outputs)


def inputs_of(make, count):
    """Return a batch as the first layer with weights sees it."""
    shown = batch(count)
    return Batch(make().preprocess(shown.inputs), shown.outputs)


def loss(made, shown):
    return ((made.predict(shown.inputs) - shown.outputs) ** 2).sum() / len(shown.outputs)


def signs(made, shown):
    """Return where the pre-activations are positive, and which pixels a max pool takes, for all samples and layers."""
    forward, found = ActivationCache(made, shown.inputs), []
    for k in range(len(made.trainable)):
        x = forward.activation(k)
        found.append(forward.preactivation(k) >= 0)
        for layer in made.following[k]:
            if isinstance(layer, MaxPool2d):
                found += layer._winners(x)
            x = layer.forward(x)
    return np.hstack([each.reshape(len(shown.inputs), -1) for each in found])


@pytest.mark.parametrize("make", [network, varied])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("k", range(4))
def test_the_model_is_the_loss_inside_an_activation_region(k, bias, make):
    made, shown = make(bias=bias), inputs_of(make, 8)
    model, layer = Jacobian(made, k, shown.inputs, shown.outputs), made.trainable[k]
    assert model.loss() == pytest.approx(loss(made, shown), rel=1e-12)
    generator, region = np.random.default_rng(k), signs(made, shown)
    for unit in range(min(3, len(layer.weights))):
        change, old, before = generator.normal(size=layer.weights.shape[1]), layer.weights, loss(made, shown)
        change *= 1e-2 / np.linalg.norm(change)
        while True:  # as far as no sample changes the sign of an activation
            layer.weights = old + np.eye(len(old))[:, [unit]] * change
            if (signs(made, shown) == region).all():
                break
            change /= 2
        assert np.linalg.norm(change) > 1e-5  # else d'Jd is lost in rounding
        linear, quadratic = model.gradient(unit) @ change, change @ model.gram(unit) @ change
        actual = loss(made, shown) - before
        assert actual == pytest.approx(linear + quadratic, rel=1e-9)
        assert actual - linear == pytest.approx(quadratic, rel=1e-5)
        model.move(unit, change)
        assert model.loss() == pytest.approx(loss(made, shown), rel=1e-12)
        assert model.true_loss() == pytest.approx(loss(made, shown), rel=1e-12)


@pytest.mark.parametrize("k", range(4))
def test_a_linear_network_has_one_region(k):
    made, shown = network(alpha=1.0), batch()
    model, layer = Jacobian(made, k, shown.inputs, shown.outputs), made.trainable[k]
    change = np.random.default_rng(0).normal(size=layer.weights.shape[1])
    before, expected = model.loss(), model.gradient(1) @ change + change @ model.gram(1) @ change
    model.move(1, change)
    layer.weights = layer.weights + np.eye(len(layer.weights))[:, [1]] * change
    assert model.loss() - before == pytest.approx(expected, rel=1e-9)
    assert loss(made, shown) - before == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("make", [network, varied])
@pytest.mark.parametrize("k", range(4))
def test_the_gradient_is_that_of_finite_differences(k, make):
    made, shown = make(bias=True), inputs_of(make, 20)
    model, layer = Jacobian(made, k, shown.inputs, shown.outputs), made.trainable[k]
    weights, step = layer.weights, 1e-6
    for unit in range(len(weights)):
        numeric = np.empty(weights.shape[1])
        for j in range(weights.shape[1]):
            sides = []
            for sign in (1, -1):
                layer.weights = weights.copy()
                layer.weights[unit, j] += sign * step
                sides.append(loss(made, shown))
            numeric[j] = (sides[0] - sides[1]) / (2 * step)
        layer.weights = weights
        np.testing.assert_allclose(model.gradient(unit), numeric, rtol=1e-5, atol=1e-8)


def test_the_gradient_is_that_of_autograd():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")
    made, shown = network(), batch()
    weights = [torch.tensor(layer.weights, requires_grad=True) for layer in made.trainable]
    x = torch.tensor(shown.inputs)
    leaky = torch.nn.functional.leaky_relu
    x = leaky(torch.nn.functional.conv2d(x, weights[0].reshape(3, 2, 3, 3)), 0.1)
    x = (x.flatten(2) @ torch.tensor(made.leading[1][0].matrix())).flatten(1)
    for k in range(1, 4):
        x = leaky(x @ weights[k].T, 0.1)
    (((x - torch.tensor(shown.outputs)) ** 2).sum() / len(x)).backward()
    for k, layer in enumerate(made.trainable):
        model = Jacobian(made, k, shown.inputs, shown.outputs)
        ours = np.array([model.gradient(unit) for unit in range(len(layer.weights))])
        np.testing.assert_allclose(ours, weights[k].grad.numpy(), rtol=1e-9, atol=1e-12)


def test_the_gradient_of_a_varied_network_is_that_of_autograd():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")
    made, shown = varied(bias=True), batch()
    module = torch_network(made).double()
    found = module(torch.tensor(shown.inputs))
    np.testing.assert_allclose(found.detach().numpy(), made.predict(made.preprocess(shown.inputs)), rtol=0, atol=1e-6)
    (((found - torch.tensor(shown.outputs)) ** 2).sum() / len(found)).backward()
    modules = [each for each in module if isinstance(each, torch.nn.Conv2d | torch.nn.Linear)]
    for k, (layer, theirs) in enumerate(zip(made.trainable, modules, strict=True)):
        model = Jacobian(made, k, made.preprocess(shown.inputs), shown.outputs)
        ours = np.array([model.gradient(unit) for unit in range(len(layer.weights))])
        wanted = np.hstack([theirs.weight.grad.flatten(1).numpy(), -theirs.bias.grad[:, None].numpy()])
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("k", range(4))
def test_some_units_from_a_later_layers_inputs_have_the_rows_of_all(k):
    made, shown = varied(bias=True), inputs_of(varied, 8)
    whole = Jacobian(made, k, shown.inputs, shown.outputs)
    inputs, first = whole.starts
    some = Jacobian(made, k, inputs, shown.outputs, units=[2, 0], first=first)
    assert first == k
    for place, unit in enumerate((2, 0)):
        np.testing.assert_allclose(some.gram(place), whole.gram(unit), rtol=1e-12)
        np.testing.assert_allclose(some.gradient(place), whole.gradient(unit), rtol=1e-12, atol=1e-15)
    assert some.true_loss() == pytest.approx(whole.true_loss(), rel=1e-12)
