"""What every layer must do."""

from math import prod
from typing import Any
from unittest import SkipTest

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.layer import Layer, Shape, TrainableLayer
from annealtrain.nn.layout import samples_first, samples_last
from annealtrain.nn.torch_network import torch_module
from annealtrain.runtime.array_types import Array


def normal(seed: int, count: int, shape: Shape) -> Array:
    """Return Gaussian samples (count, *shape)."""
    return np.random.default_rng(seed).normal(size=(count, *shape))


def matrix(apply: Any, in_shape: Shape) -> Array:
    """Return the matrix of a linear map of samples: its columns are the images of the unit vectors."""
    images = apply(np.eye(prod(in_shape)).reshape(-1, *in_shape))
    found: Array = images.reshape(len(images), -1).T
    return found


def check_penrose(A: Array, X: Array) -> None:
    """Assert the four conditions that only the Moore-Penrose inverse X of A meets."""
    within = 1e-9 * max(1, np.abs(X).max() * np.abs(A).max())
    for found, wanted in ((A @ X @ A, A), (X @ A @ X, X), (A @ X, (A @ X).T), (X @ A, (X @ A).T)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=within)


def check_close(found: Array, wanted: Array) -> None:
    """Assert that two arrays agree to 1e-5 of the largest value wanted."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def has_inverse(layer: Layer) -> bool:
    """Return whether a connected layer has an inverse at its settings."""
    try:
        layer.check_inverse()
    except InputError:
        return False
    return True


def by_autograd(layer: Layer, x: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Return a layer's outputs, and the gradients of sum(dy * outputs) by its inputs and by its weights (M, N)."""
    try:
        import torch

        module = torch_module(layer).double()
    except (ImportError, InputError) as error:
        raise SkipTest(f"PyTorch has no such layer: {error}") from None
    inputs = torch.tensor(x, requires_grad=True)
    outputs = module(inputs)
    (outputs * torch.from_numpy(dy)).sum().backward()
    # The last column is theta, -bias.
    grads = [-p.grad[:, None] if p.ndim == 1 else p.grad.flatten(1) for p in module.parameters()]
    weights = torch.hstack(grads).numpy() if grads else np.empty(0)
    assert inputs.grad is not None
    return outputs.detach().numpy(), inputs.grad.numpy(), weights


class LayerContract:
    """What every layer must do; one with weights is under `TrainableLayerContract`.

    make: returns a new layer, not yet connected. in_shape: of the samples that it is given.
    has_exact_inverse: `inverse` is the Moore-Penrose inverse, not one that stands for it; without one nothing is asked.
    What only a linear layer must do is asked of one whose `is_linear` says so.
    """

    in_shape: Shape = (2, 5, 4)
    has_exact_inverse = True

    def make(self) -> Layer:
        raise NotImplementedError

    def connected(self) -> list[Any]:
        """Return the layer in each of its forms, ready for samples."""
        layer = self.make()
        assert not isinstance(layer, TrainableLayer)
        assert layer.connect(self.in_shape) == layer.out_shape
        return [layer]

    def maps(self, layer: Any) -> list[tuple[Any, Array, Shape]]:
        """Return each map of samples that the layer has, three samples of what it takes, and the shape it gives."""
        x, y = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
        back = [layer.adjoint] * layer.is_linear + [layer.inverse() for _ in range(has_inverse(layer))]
        return [(layer.forward, x, layer.out_shape), *((apply, y, layer.in_shape) for apply in back)]

    def test_shapes_are_those_that_connect_tells_and_samples_do_not_mix(self) -> None:
        for layer in self.connected():
            for apply, samples, shape in self.maps(layer):
                alone = np.concatenate([apply(samples[q : q + 1]) for q in range(3)])
                assert alone.shape == apply(samples).shape == (3, *shape)
                np.testing.assert_allclose(apply(samples), alone, rtol=1e-12, atol=1e-12 * np.abs(alone).max())

    def test_single_and_double_precision_are_kept(self) -> None:
        for layer in self.connected():
            for apply, samples, _ in self.maps(layer):
                single = apply(samples.astype(np.float32))
                assert (single.dtype, apply(samples).dtype) == (np.float32, np.float64)
                np.testing.assert_allclose(single, apply(samples), rtol=1e-4, atol=1e-4)

    def test_images_may_have_any_order_in_memory(self) -> None:
        for layer in self.connected():
            for apply, samples, _ in self.maps(layer):
                if samples.ndim == 4:
                    other = samples_first(samples_last(samples))
                    assert not other.flags.c_contiguous
                    wanted = apply(samples)
                    np.testing.assert_allclose(apply(other), wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())

    def linear_part(self, layer: Any) -> Array:
        """Return A of a layer A x - theta, as a matrix."""
        if not layer.is_linear:
            raise SkipTest("the layer is not linear")
        return matrix(lambda x: layer.forward(x) - layer.forward(np.zeros_like(x)), layer.in_shape)

    def test_forward_is_linear_but_for_its_threshold(self) -> None:
        for layer in self.connected():
            x, A = normal(0, 3, layer.in_shape), self.linear_part(layer)
            found = (layer.forward(x) - layer.forward(np.zeros_like(x))).reshape(3, -1)
            np.testing.assert_allclose(found, x.reshape(3, -1) @ A.T, rtol=0, atol=1e-12 * (1 + np.abs(found).max()))

    def test_adjoint_is_the_transposed_map(self) -> None:
        for layer in self.connected():
            A = self.linear_part(layer)
            np.testing.assert_allclose(matrix(layer.adjoint, layer.out_shape), A.T, rtol=0, atol=1e-12)

    def test_inverse_meets_the_penrose_conditions_where_it_is_exact(self) -> None:
        for layer in self.connected():
            if not has_inverse(layer):
                raise SkipTest("the layer has no inverse")
            A, X = self.linear_part(layer), matrix(layer.inverse(), layer.out_shape)
            if self.has_exact_inverse:
                check_penrose(A, X)

    def test_backward_is_the_gradient_by_differences(self) -> None:
        for layer in self.connected():
            x, dy = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
            expected = np.empty_like(x)
            for place in np.ndindex(*layer.in_shape):
                step = np.zeros(layer.in_shape)
                step[place] = 1e-6
                slope = (layer.forward(x + step) - layer.forward(x - step)) / 2e-6
                expected[:, *place] = (slope * dy).reshape(3, -1).sum(axis=1)
            check_close(layer.backward_at(x)(dy), expected)

    def test_backward_has_the_shape_of_the_inputs_and_the_precision_of_the_gradients(self) -> None:
        for layer in self.connected():
            x, dy = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
            back = layer.backward_at(x.astype(np.float32))(dy.astype(np.float32))
            assert (back.shape, back.dtype) == (x.shape, np.float32)
            check_close(back, layer.backward_at(x)(dy))

    def test_what_it_is_given_stays_as_it_is(self) -> None:
        for layer in self.connected():
            x, dy = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
            for apply, samples, _ in self.maps(layer):
                given = samples.copy()
                apply(given)
                np.testing.assert_array_equal(given, samples)
            inputs, gradients = x.copy(), dy.copy()
            layer.backward_at(inputs)(gradients)
            if isinstance(layer, TrainableLayer):
                layer.gradient(inputs, gradients)
                layer.sample_gradients(inputs, gradients)
                if layer.has_shared_rows:
                    layer.unfold(inputs)
            np.testing.assert_array_equal(inputs, x)
            np.testing.assert_array_equal(gradients, dy)

    def test_outputs_and_gradients_are_those_of_autograd(self) -> None:
        """In PyTorch, where it is installed and has such a layer."""
        for layer in self.connected():
            x, dy = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
            outputs, dx, weights = by_autograd(layer, x, dy)
            check_close(layer.forward(x), outputs)
            check_close(layer.backward_at(x)(dy), dx)
            if isinstance(layer, TrainableLayer):
                check_close(layer.gradient(x, dy), weights)


class TrainableLayerContract(LayerContract):
    """What every layer with weights must do: without a bias, and with one."""

    def connected(self) -> list[Any]:
        """Return the layer with Gaussian weights, thresholds too: without a bias, and with one."""
        found = []
        for has_bias in (False, True):
            layer = self.make()
            assert isinstance(layer, TrainableLayer)
            layer.has_bias = has_bias
            assert layer.connect(self.in_shape) == layer.out_shape
            layer.weights = np.random.default_rng(0).normal(size=layer.weight_shape)
            found.append(layer)
        return found

    def test_inverse_is_that_of_the_weights_it_was_made_with(self) -> None:
        for layer in self.connected():
            if not has_inverse(layer):
                raise SkipTest("the layer has no inverse")
            y, inverse = normal(0, 3, layer.out_shape), layer.inverse()
            before = inverse(y)
            layer.weights = 2 * layer.weights
            np.testing.assert_array_equal(inverse(y), before)
            half, within = layer.inverse()(y), 1e-12 * np.abs(before).max()
            np.testing.assert_allclose(half, before / 2, rtol=1e-9, atol=within)

    def test_first_weights_have_their_shape_and_biases_are_zero(self) -> None:
        for layer in self.connected():
            layer.initialize(np.random.default_rng(0))
            first = layer.weights
            assert (first.shape, first.dtype) == (layer.weight_shape, np.float64)
            assert first.any()
            layer.initialize(np.random.default_rng(0))
            np.testing.assert_array_equal(layer.weights, first)  # they are drawn from what is given alone
            assert not layer.has_bias or not layer.weights[:, -1].any()

    def test_units_come_first_in_the_outputs(self) -> None:
        for layer in self.connected():
            y, M = normal(0, 3, layer.out_shape), layer.weight_shape[0]
            assert layer.out_shape[0] == M
            np.testing.assert_array_equal(layer.flatten_outputs(y), np.moveaxis(y, 1, -1).reshape(-1, M))

    def test_what_units_see_times_their_weights_is_what_they_give(self) -> None:
        for layer in self.connected():
            if not layer.has_shared_rows:
                raise SkipTest("each unit sees inputs of its own")
            x = normal(0, 3, layer.in_shape)
            seen, given = layer.unfold(x), layer.flatten_outputs(layer.forward(x))
            np.testing.assert_allclose(seen @ layer.weights.T, given, rtol=1e-10, atol=1e-10)
            single = layer.unfold(x.astype(np.float32)), layer.flatten_outputs(layer.forward(x.astype(np.float32)))
            assert [each.dtype for each in single] == [np.float32] * 2

    def test_gradients_are_the_differences_that_weights_make(self) -> None:
        for layer in self.connected():
            x, dz = normal(0, 3, layer.in_shape), normal(1, 3, layer.out_shape)
            expected = np.empty((3, *layer.weight_shape))
            for place in np.ndindex(*layer.weight_shape):  # linear in the weights: exact for any step, such as 1
                layer.weights = np.zeros(layer.weight_shape)
                layer.weights[place] = 1
                expected[:, *place] = (dz * layer.forward(x)).reshape(3, -1).sum(axis=1)
            np.testing.assert_allclose(layer.sample_gradients(x, dz), expected, rtol=0, atol=1e-12)
            np.testing.assert_allclose(layer.gradient(x, dz), expected.sum(axis=0), rtol=0, atol=1e-12)
