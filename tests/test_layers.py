"""Layers against brute-force sums, explicit matrices and the Penrose conditions."""

from collections.abc import Callable
from math import prod

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from annealtrain.errors import InputError
from annealtrain.nn.layer import PINV_CUTOFF
from annealtrain.nn.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Pad,
    SpectralPool2d,
    TrainableLayer,
)
from annealtrain.nn.layout import samples_first, samples_last
from annealtrain.testing import LayerContract, TrainableLayerContract

CROPS = ("centred", "author")
examples = settings(max_examples=50, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 7)


def connected(layer: Layer, in_shape: tuple[int, ...], *, seed: int = 0, bias: bool = False) -> Layer:
    """Return the layer, connected, with Gaussian weights (thresholds too)."""
    if isinstance(layer, TrainableLayer):
        layer.has_bias = bias
    layer.connect(in_shape)
    if isinstance(layer, TrainableLayer):
        layer.weights = np.random.default_rng(seed).normal(size=layer.weight_shape)
    return layer


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).normal(size=shape)


def matrix(apply: Callable[[np.ndarray], np.ndarray], in_shape: tuple[int, ...]) -> np.ndarray:
    """Return the matrix of a linear map of samples: its columns are the images of the unit vectors."""
    images = apply(np.eye(prod(in_shape)).reshape(-1, *in_shape))
    return images.reshape(len(images), -1).T


def linear_part(layer: Layer) -> np.ndarray:
    return matrix(lambda x: layer.forward(x) - layer.forward(np.zeros_like(x)), layer.in_shape)


def assert_penrose(A: np.ndarray, X: np.ndarray) -> None:
    """The four conditions that only the Moore-Penrose inverse X of A meets."""
    close = {"rtol": 0, "atol": 1e-9 * max(1, np.abs(X).max() * np.abs(A).max())}
    np.testing.assert_allclose(A @ X @ A, A, **close)
    np.testing.assert_allclose(X @ A @ X, X, **close)
    np.testing.assert_allclose(A @ X, (A @ X).T, **close)
    np.testing.assert_allclose(X @ A, (X @ A).T, **close)


@st.composite
def any_layer(draw: st.DrawFn) -> Layer:
    """A connected layer of each kind that has an adjoint, of any shape."""
    kind = draw(st.sampled_from(["linear", "conv", "pool", "flatten"]))
    seed, bias = draw(seeds), draw(st.booleans())
    if kind == "linear":
        return connected(Linear(draw(sizes)), (draw(sizes),), seed=seed, bias=bias)
    shape = (draw(st.integers(1, 3)), draw(sizes), draw(sizes))
    if kind == "conv":
        kernel = draw(st.integers(1, min(shape[1:])))
        return connected(Conv2d(draw(st.integers(1, 4)), kernel), shape, seed=seed, bias=bias)
    if kind == "pool":
        size = [draw(st.integers(1, shape[1])), draw(st.integers(1, shape[2]))]
        return connected(SpectralPool2d(size), shape)
    return connected(Flatten(), shape)


# The contract


class TestLinear(TrainableLayerContract):
    in_shape = (6,)

    def make(self):
        return Linear(4)


class TestConv2d(TrainableLayerContract):
    has_exact_inverse = False

    def make(self):
        return Conv2d(3, 2)


class TestConv2dWithItsExactInverse(TrainableLayerContract):
    def make(self):
        layer = Conv2d(3, 2)
        layer.inverse_kind = "exact"
        return layer


class TestConv2dOfOneSite(TrainableLayerContract):
    in_shape = (2, 3, 3)
    has_exact_inverse = False

    def make(self):
        return Conv2d(4, 3)


class TestSpectralPool2d(LayerContract):
    def make(self):
        return SpectralPool2d([3, 2])


class TestSpectralPool2dAsTheAuthorCropsIt(LayerContract):
    in_shape = (2, 4, 6)

    def make(self):
        return SpectralPool2d([3, 3], "author")


class TestFlatten(LayerContract):
    def make(self):
        return Flatten()


class TestConv2dWithPadding(TrainableLayerContract):
    def make(self):
        layer = Conv2d(3, 3, padding=1)
        layer.inverse_kind = "exact"
        return layer


class TestConv2dWithAStride(TrainableLayerContract):
    def make(self):
        layer = Conv2d(3, 2, stride=2)
        layer.inverse_kind = "exact"
        return layer


class TestConv2dOfARectangle(TrainableLayerContract):
    has_exact_inverse = False

    def make(self):
        return Conv2d(3, [3, 2])


class TestConv2dWithAllOfThem(TrainableLayerContract):
    in_shape = (2, 6, 5)

    def make(self):
        layer = Conv2d(3, [2, 3], stride=[3, 2], padding=[2, 1])
        layer.inverse_kind = "exact"
        return layer


class TestConv2dWithoutAnInverse(TrainableLayerContract):
    def make(self):
        return Conv2d(3, 3, padding=1)  # in Fourier space


class TestConv2dOfOneSiteThatSeesAPart(TrainableLayerContract):
    in_shape = (2, 4, 4)

    def make(self):
        layer = Conv2d(3, 3, stride=3)
        layer.inverse_kind = "exact"
        return layer


class TestMaxPool2d(LayerContract):
    in_shape = (2, 6, 4)

    def make(self):
        return MaxPool2d([3, 2])


class TestMaxPool2dThatOverlaps(LayerContract):
    def make(self):
        return MaxPool2d(3, stride=[2, 1], padding=1)


class TestAvgPool2d(LayerContract):
    in_shape = (2, 6, 4)

    def make(self):
        return AvgPool2d([3, 2])


class TestAvgPool2dThatOverlaps(LayerContract):
    def make(self):
        return AvgPool2d([2, 3], stride=[2, 1], padding=1)


class TestPad(LayerContract):
    def make(self):
        return Pad([1, 0, 2, 3])


class TestPadOfAllSides(LayerContract):
    def make(self):
        return Pad(1)


CONTRACTS = [each for name, each in list(globals().items()) if name.startswith("Test")]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_images_in_any_order_in_memory_give_the_same_bits(contract: type) -> None:
    for layer in contract().connected():
        for apply, samples, _ in contract().maps(layer):
            if samples.ndim == 4:
                np.testing.assert_array_equal(apply(samples_first(samples_last(samples))), apply(samples))


# Every linear layer


@examples
@given(any_layer(), seeds, st.integers(1, 4))
def test_adjoint_identity(layer, seed, samples):
    x, y = normal(seed, samples, *layer.in_shape), normal(seed + 1, samples, *layer.out_shape)
    Ax = layer.forward(x) - layer.forward(np.zeros_like(x))
    back = layer.adjoint(y)
    assert Ax.shape == y.shape
    assert back.shape == x.shape
    np.testing.assert_allclose(np.sum(Ax * y), np.sum(x * back), rtol=1e-9, atol=1e-9)


@examples
@given(any_layer(), seeds)
def test_samples_do_not_mix(layer, seed):
    x, y = normal(seed, 3, *layer.in_shape), normal(seed, 3, *layer.out_shape)
    for apply, samples in ((layer.forward, x), (layer.adjoint, y), (layer.inverse(), y)):
        alone = np.concatenate([apply(samples[k : k + 1]) for k in range(3)])
        np.testing.assert_allclose(apply(samples), alone, rtol=1e-12, atol=1e-12 * np.abs(alone).max())


# Weights


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("layer", "in_shape", "limit", "weights"),
    [
        (Linear(40), (60,), np.sqrt(6 / 100), (40, 60)),
        (Conv2d(20, 5), (3, 9, 9), np.sqrt(6 / (3 * 25 + 20 * 25)), (20, 75)),
    ],
    ids=["linear", "conv"],
)
def test_first_weights_are_xavier_uniform_and_biases_zero(layer, in_shape, limit, weights, bias):
    layer.has_bias = bias
    layer.connect(in_shape)
    layer.initialize(np.random.default_rng(0))
    M, N = weights
    assert layer.weights.shape == layer.weight_shape == (M, N + bias)
    W = layer.weights[:, :N]
    assert np.abs(W).max() <= limit
    # Of 1,500 or more uniform numbers: the extremes, the mean and the variance limit^2 / 3.
    assert W.max() > 0.99 * limit
    assert W.min() < -0.99 * limit
    assert abs(W.mean()) < 0.06 * limit
    assert W.var() == pytest.approx(limit**2 / 3, rel=0.1)
    if bias:
        np.testing.assert_array_equal(layer.weights[:, -1], 0)


def test_linear_is_w_q_minus_theta():
    layer = connected(Linear(2), (3,), bias=True)
    layer.weights = np.array([[1.0, 2.0, 3.0, 0.5], [-1.0, 0.0, 4.0, -2.0]])
    np.testing.assert_array_equal(layer.forward(np.array([[1.0, 10.0, 100.0]])), [[320.5, 401.0]])
    np.testing.assert_array_equal(layer.offset(np.float64), [-0.5, 2.0])
    np.testing.assert_array_equal(layer.unfold(np.array([[1.0, 10.0, 100.0]])), [[1, 10, 100, -1]])


def test_conv_subtracts_each_channels_threshold():
    layer = connected(Conv2d(2, 2), (1, 3, 3), bias=True)
    layer.weights = np.array([[1.0, 0, 0, 0, 0.5], [0, 0, 0, 1.0, -2.0]])
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    expected = [[[[-0.5, 0.5], [2.5, 3.5]], [[6, 7], [9, 10]]]]
    np.testing.assert_array_equal(layer.forward(x), expected)


@examples
@given(st.booleans(), st.booleans(), seeds, sizes, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_rows_times_weights_are_the_outputs(is_conv, bias, seed, width, C1, C2, samples):
    K = 1 + seed % width
    layer = connected(
        Conv2d(C2, K) if is_conv else Linear(C2), (C1, width, width + 1) if is_conv else (C1,), seed=seed, bias=bias
    )
    x = normal(seed, samples, *layer.in_shape)
    rows, outputs = layer.unfold(x), layer.flatten_outputs(layer.forward(x))
    sites = prod(layer.out_shape) // C2
    assert rows.shape == (samples * sites, layer.weight_shape[1])
    assert outputs.shape == (samples * sites, C2)
    np.testing.assert_allclose(rows @ layer.weights.T, outputs, rtol=1e-10, atol=1e-10)


def test_rows_of_a_convolution_go_sample_by_sample_and_site_by_site():
    layer = connected(Conv2d(1, 2), (2, 3, 4))
    x = normal(0, 2, 2, 3, 4)
    patches = [x[q, :, i : i + 2, j : j + 2].ravel() for q in range(2) for i in range(2) for j in range(3)]
    np.testing.assert_array_equal(layer.unfold(x), patches)


# Forward maps


@examples
@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_conv_is_the_sum_of_eq_13(seed, C1, C2, K, more_rows, more_columns):
    height, width = K + more_rows, K + more_columns
    layer = connected(Conv2d(C2, K), (C1, height, width), seed=seed)
    W, x = layer.weights.reshape(C2, C1, K, K), normal(seed, 2, C1, height, width)
    loops, correlated = (np.zeros((2, C2, more_rows + 1, more_columns + 1)) for _ in range(2))
    for q in range(2):
        for c2 in range(C2):
            correlated[q, c2] = scipy.signal.correlate(x[q], W[c2], mode="valid", method="direct")[0]
            for i in range(more_rows + 1):
                for j in range(more_columns + 1):
                    for c1 in range(C1):
                        for k in range(K):
                            for m in range(K):
                                loops[q, c2, i, j] += W[c2, c1, k, m] * x[q, c1, i + k, j + m]
    np.testing.assert_allclose(layer.forward(x), loops, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(layer.forward(x), correlated, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("in_shape", "kernel"), [((1, 4, 4), (2, 2)), ((2, 6, 9), (3, 1)), ((1, 32, 32), (8, 16))])
def test_max_pool_is_the_largest_of_each_window(in_shape, kernel):
    layer, (C, A, B), (k, m) = MaxPool2d(kernel), in_shape, kernel
    assert layer.connect(in_shape) == (C, A // k, B // m)
    x = normal(0, 2, *in_shape) - 5  # all negative: a padding with zeros would show
    expected = np.empty((2, *layer.out_shape))
    for place in np.ndindex(expected.shape):
        q, c, i, j = place
        expected[place] = max(x[q, c, i * k + p, j * m + r] for p in range(k) for r in range(m))
    np.testing.assert_array_equal(layer.forward(x), expected)


def test_flatten_goes_channel_by_channel():
    layer = connected(Flatten(), (2, 2, 3))
    x = np.arange(24.0).reshape(2, 2, 2, 3)
    np.testing.assert_array_equal(layer.forward(x), [np.arange(12), np.arange(12, 24)])
    np.testing.assert_array_equal(layer.adjoint(layer.forward(x)), x)
    np.testing.assert_array_equal(layer.inverse()(layer.forward(x)), x)


# SpectralPool


def hartley_pool(A: int, B: int, a: int, b: int, crop: str) -> np.ndarray:
    """The pool as a matrix (ab, AB) by its definition: cas(2 pi (k m/A + l n/B)) / (AB), and cas back."""
    below = [crop == "author" and full % 2 == 0 and kept % 2 == 1 for full, kept in ((A, a), (B, b))]

    def cas(k: int, j: int, height: int, width: int) -> np.ndarray:
        turns = k * np.arange(height)[:, None] / height + j * np.arange(width) / width
        return (np.cos(2 * np.pi * turns) + np.sin(2 * np.pi * turns)).ravel()

    pool = np.zeros((a * b, A * B))
    for k in range(-(a // 2), a - a // 2):
        for j in range(-(b // 2), b - b // 2):
            pool += np.outer(cas(k, j, a, b), cas(k - below[0], j - below[1], A, B)) / (A * B)
    return pool


POOLS = [(10, 10, 5, 5), (28, 28, 14, 14), (32, 32, 4, 2), (32, 32, 4, 4), (6, 9, 4, 3), (7, 5, 3, 2), (5, 8, 5, 1)]


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize(("A", "B", "a", "b"), POOLS)
def test_spectral_pool_is_the_hartley_formula(A, B, a, b, crop):
    layer = connected(SpectralPool2d([a, b], crop), (2, A, B))
    pool, x = hartley_pool(A, B, a, b, crop), normal(0, 3, 2, A, B)
    expected = (x.reshape(6, -1) @ pool.T).reshape(3, 2, a, b)
    assert layer.out_shape == (2, a, b)
    np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-12)
    # The cas functions are orthogonal: the inverse is the transpose, but for the two normalisations.
    back = (expected.reshape(6, -1) @ pool * (A * B) / (a * b)).reshape(x.shape)
    np.testing.assert_allclose(layer.inverse()(expected), back, rtol=0, atol=1e-12)


@examples
@given(sizes, sizes, st.data())
def test_spectral_pool_inverse(A, B, data):
    a, b = data.draw(st.integers(1, A)), data.draw(st.integers(1, B))
    layer = connected(SpectralPool2d([a, b], data.draw(st.sampled_from(CROPS))), (1, A, B))
    pool, unpool = matrix(layer.forward, (1, A, B)), matrix(layer.inverse(), (1, a, b))
    np.testing.assert_allclose(pool @ unpool, np.eye(a * b), rtol=0, atol=1e-12)
    np.testing.assert_allclose(unpool, np.linalg.pinv(pool), rtol=0, atol=1e-12)
    np.testing.assert_allclose(unpool, A * B / (a * b) * pool.T, rtol=0, atol=1e-12)
    assert_penrose(pool, unpool)
    projection = unpool @ pool
    np.testing.assert_allclose(projection @ projection, projection, rtol=0, atol=1e-12)
    np.testing.assert_allclose(projection, projection.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("A", "B", "a", "b"), POOLS)
def test_spectral_pool_keeps_constants(A, B, a, b):
    layer = connected(SpectralPool2d([a, b]), (1, A, B))
    np.testing.assert_allclose(layer.forward(np.full((1, 1, A, B), 0.7)), 0.7, rtol=1e-12)
    np.testing.assert_allclose(layer.inverse()(np.full((1, 1, a, b), 0.7)), 0.7, rtol=1e-12)


@pytest.mark.parametrize("crop", CROPS)
def test_spectral_pool_to_its_own_size_changes_nothing(crop):
    layer, x = connected(SpectralPool2d([5, 4], crop), (2, 5, 4)), normal(0, 2, 2, 5, 4)
    np.testing.assert_allclose(layer.forward(x), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("A", "a", "zero"), [(10, 5, 1), (10, 4, 0), (9, 4, 0), (9, 5, 0)])
def test_the_authors_crop_of_the_shifted_spectrum(A, a, zero):
    x = normal(0, 3, 2, A, A)
    spectrum = np.fft.fftshift(np.fft.fft2(x, norm="forward"), axes=(-2, -1))
    start = (A - a) // 2
    kept = (spectrum.real - spectrum.imag)[..., start : start + a, start : start + a]
    back = np.fft.fft2(np.fft.ifftshift(kept, axes=(-2, -1)), norm="backward")
    layer = connected(SpectralPool2d([a, a], "author"), (2, A, A))
    np.testing.assert_allclose(layer.forward(x), back.real - back.imag, rtol=0, atol=1e-13)
    # A constant comes out as the wave whose place the zero frequency has taken.
    turns = 2 * np.pi * zero * np.add.outer(np.arange(a), np.arange(a)) / a
    wave = np.broadcast_to(0.7 * (np.cos(turns) + np.sin(turns)), (1, 2, a, a))
    np.testing.assert_allclose(layer.forward(np.full((1, 2, A, A), 0.7)), wave, rtol=0, atol=1e-13)


# Inverses


@examples
@given(sizes, sizes, seeds, st.booleans())
def test_linear_inverse_meets_the_penrose_conditions(inputs, outputs, seed, bias):
    layer = connected(Linear(outputs), (inputs,), seed=seed, bias=bias)
    A = linear_part(layer)
    np.testing.assert_allclose(A, layer.weights[:, :inputs], rtol=0, atol=1e-14)
    assert_penrose(A, matrix(layer.inverse(), layer.out_shape))


@examples
@given(
    seeds,
    st.tuples(sizes, sizes),
    st.tuples(sizes, sizes),
    st.tuples(sizes, sizes),
    st.tuples(*[st.integers(0, 3)] * 2),
)
def test_conv_with_a_stride_and_padding_is_that_of_scipy(seed, image, kernel, stride, padding):
    kernel = [min(k, n + 2 * p) for k, n, p in zip(kernel, image, padding, strict=True)]
    layer = connected(Conv2d(2, kernel, stride, padding), (3, *image), seed=seed)
    W, x = layer.weights.reshape(2, 3, *kernel), normal(seed, 2, 3, *image)
    around = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    whole = [[scipy.signal.correlate(each, w, mode="valid", method="direct")[0] for w in W] for each in around]
    expected = np.array(whole)[:, :, :: stride[0], :: stride[1]]
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("stride", "padding"), [(None, 0), ([1, 2], 0), ([2, 1], [1, 0])])
def test_pools_are_the_largest_and_the_mean_of_each_window(stride, padding):
    x, (k, m) = normal(0, 2, 2, 6, 4) - 5, (3, 2)
    (p, r), (s, t) = (padding, padding) if padding == 0 else padding, stride or (k, m)
    for kind, best, around in ((MaxPool2d, np.max, -np.inf), (AvgPool2d, np.mean, 0)):
        layer = connected(kind([k, m], stride, padding), (2, 6, 4))
        padded = np.pad(x, [(0, 0), (0, 0), (p, p), (r, r)], constant_values=around)
        expected = np.empty((2, *layer.out_shape))
        for i, j in np.ndindex(*layer.out_shape[1:]):
            expected[:, :, i, j] = best(padded[:, :, s * i : s * i + k, t * j : t * j + m], axis=(2, 3))
        np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12)


def test_of_equal_pixels_the_first_takes_the_gradient_of_a_max_pool():
    layer = connected(MaxPool2d(2), (1, 2, 4))
    back = layer.backward_at(np.array([[[[0.0, 0, 1, 2], [0, 0, 2, 1]]]]))
    np.testing.assert_array_equal(back(np.array([[[[3.0, 5.0]]]])), [[[[3, 0, 0, 5], [0, 0, 0, 0]]]])


@examples
@given(seeds, st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))
def test_exact_conv_inverse_meets_the_penrose_conditions(seed, C1, C2, K, more_rows, more_columns):
    layer = connected(Conv2d(C2, K), (C1, K + more_rows, K + more_columns), seed=seed, bias=bool(seed % 2))
    layer.inverse_kind = "exact"
    assert_penrose(linear_part(layer), matrix(layer.inverse(), layer.out_shape))


@pytest.mark.parametrize("kind", ["linear", "exact"])
def test_singular_values_below_the_cutoff_are_taken_as_zero(kind):
    """Two units that differ by rounding, as float32 weights do: their difference must not be blown up."""
    layer = connected(Linear(2), (4,)) if kind == "linear" else connected(Conv2d(2, 2), (1, 2, 2))
    if kind == "exact":
        layer.inverse_kind = "exact"
    layer.weights[1] = layer.weights[0] * (1 + 1e-9 * np.arange(4))
    inverse = layer.inverse()(np.array([[1.0, -1.0]]).reshape(1, *layer.out_shape))
    assert np.abs(inverse).max() < 1e-3


def circular_correlation(kernels: np.ndarray, period: tuple[int, int]) -> np.ndarray:
    """The dense (C2 P P', C1 P P') matrix of Y[c2, i, j] = sum K[c2, c1, k, m] X[c1, i + k mod P, j + m mod P']."""
    C2, C1, K, _ = kernels.shape
    P, R = period
    dense = np.zeros((C2, P, R, C1, P, R))
    for c2, i, j, c1, k, m in np.ndindex(C2, P, R, C1, K, K):
        dense[c2, i, j, c1, (i + k) % P, (j + m) % R] += kernels[c2, c1, k, m]
    return dense.reshape(C2 * P * R, C1 * P * R)


def embedding(inner: tuple[int, ...], outer: tuple[int, ...]) -> np.ndarray:
    """The matrix that puts an image of shape `inner` at offset 0 into zeros of shape `outer`."""
    place = np.arange(prod(outer)).reshape(outer)[tuple(map(slice, inner))]
    return np.eye(prod(outer))[:, place.ravel()]


def dense_fourier_inverse(layer: Conv2d) -> np.ndarray:
    """crop . pinv(circular correlation with period P = W + K - 1) . zero-embed."""
    C1, height, width = layer.in_shape
    C2, (K, _) = layer.out_channels, layer.windows.size
    period = (height + K - 1, width + K - 1)
    kernels = layer.weights[:, : C1 * K * K].reshape(C2, C1, K, K)
    crop = embedding(layer.in_shape, (C1, *period)).T
    inverse = np.linalg.pinv(circular_correlation(kernels, period), rcond=PINV_CUTOFF)
    return crop @ inverse @ embedding(layer.out_shape, (C2, *period))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("C1", "C2", "K", "height", "width"),
    [(1, 1, 2, 4, 4), (1, 3, 2, 5, 5), (3, 2, 3, 5, 5), (2, 3, 3, 3, 3), (2, 2, 1, 4, 3), (2, 4, 2, 4, 6)],
)
def test_fourier_inverse_is_the_dense_operator(C1, C2, K, height, width, bias):
    layer = connected(Conv2d(C2, K), (C1, height, width), seed=C1 + 7 * C2, bias=bias)
    found, dense = matrix(layer.inverse(), layer.out_shape), dense_fourier_inverse(layer)
    np.testing.assert_allclose(found, dense, rtol=0, atol=1e-10 * np.abs(dense).max())


def test_fourier_inverse_drops_a_frequency_that_the_kernels_lack():
    """A kernel whose sum is zero up to rounding: constants cannot come back, and must not come back as 1e15."""
    layer = connected(Conv2d(1, 2), (1, 4, 4))
    layer.weights = np.array([[0.1, 0.7, 0.2, -1.0]])
    found, dense = matrix(layer.inverse(), layer.out_shape), dense_fourier_inverse(layer)
    np.testing.assert_allclose(found, dense, rtol=0, atol=1e-10 * np.abs(dense).max())


def test_fourier_inverse_of_dead_weights_is_zero():
    layer = connected(Conv2d(2, 3), (2, 5, 5))
    layer.weights = np.zeros_like(layer.weights)
    np.testing.assert_array_equal(layer.inverse()(normal(0, 1, 2, 3, 3)), 0)


def test_fourier_inverse_is_not_the_pseudo_inverse():
    """Its images are several times smaller (why the paper needed gains of 10 to 100), and solve no least squares."""
    layer = connected(Conv2d(6, 3), (3, 8, 8))
    y, reachable = normal(0, 3, *layer.out_shape), layer.forward(normal(1, 3, *layer.in_shape))
    found = {}
    for kind in ("fourier", "exact"):
        layer.inverse_kind = kind
        found[kind] = layer.inverse()
    assert np.linalg.norm(found["fourier"](y)) < 0.2 * np.linalg.norm(found["exact"](y))
    np.testing.assert_allclose(layer.forward(found["exact"](reachable)), reachable, rtol=0, atol=1e-10)
    left = np.linalg.norm(layer.forward(found["fourier"](reachable)) - reachable) / np.linalg.norm(reachable)
    assert 0.1 < left < 0.5


def test_conv_inverse_is_fourier_unless_asked():
    assert Conv2d(1, 1).inverse_kind == "fourier"


# Errors: the value, its limit, and what to do


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(0), r"Linear: out_features=0 is not a whole number of at least 1"),
        (lambda: Linear(2.0), r"Linear: out_features=2.0 is not a whole number of at least 1"),
        (lambda: Linear("10"), r"Linear: out_features='10' is not a whole number of at least 1"),
        (lambda: Conv2d(True, 3), r"Conv2d: out_channels=true is not a whole number of at least 1"),
        (lambda: Conv2d(3, -1), r"Conv2d: kernel_size=-1 is not a whole number of at least 1"),
        (
            lambda: SpectralPool2d(8),
            r"SpectralPool2d: size=8 is not a pair of whole numbers .* 1, such as \[8, 8\]",
        ),
        (lambda: SpectralPool2d("88"), r"SpectralPool2d: size='88' is not a pair of whole numbers"),
        (lambda: SpectralPool2d([4, 4, 4]), r"SpectralPool2d: size=\[4, 4, 4\] is not a pair"),
        (lambda: SpectralPool2d([4, 4], "low"), r"SpectralPool2d: crop='low' is not one of centred, author"),
        (lambda: SpectralPool2d([4, 0]), r"SpectralPool2d: size=\[4, 0\] is not a pair of whole numbers of at least 1"),
        (lambda: Conv2d(3, [3, 0]), r"Conv2d: kernel_size=\[3, 0\] is not .* or a pair of them, such as \[3, 5\]"),
        (lambda: Conv2d(3, 3, stride=0), r"Conv2d: stride=0 is not a whole number of at least 1 or a pair of them"),
        (lambda: Conv2d(3, 3, padding="same"), r"Conv2d: padding='same' is not a whole number of at least 0 or a pair"),
        (lambda: Conv2d(3, 3, alpha=2), r"Conv2d: alpha=2 is not a number from 0 \(ReLU\) to 1 \(linear\), or null"),
        (lambda: Linear(3, alpha=-1), r"Linear: alpha=-1 is not a number from 0"),
        (lambda: AvgPool2d(2, padding=2), r"AvgPool2d: padding=2 is more than half of kernel_size=2: lower it"),
        (lambda: MaxPool2d(3, 0), r"MaxPool2d: stride=0 is not a whole number .*, or null"),
        (lambda: Pad([1, 2, 3]), r"Pad: margin=\[1, 2, 3\] is not a whole number of at least 0 .* or four, \[above"),
        (
            lambda: MaxPool2d(None),
            r"MaxPool2d: kernel_size=null is not a whole number of at least 1 or a pair of them, such as \[3, 5\]",
        ),
        (lambda: MaxPool2d([2, 0.5]), r"MaxPool2d: kernel_size=\[2, 0.5\] is not a whole number"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "in_shape", "message"),
    [
        (Linear(3), (1, 4, 4), r"Linear takes a vector, its input is 1x4x4: put a Flatten before it"),
        (Conv2d(3, 2), (16,), r"Conv2d takes \(channels, height, width\), its input is 16: put it before a Flatten"),
        (Conv2d(3, 5), (2, 7, 4), r"kernel_size=5 does not fit its input 2x7x4: at most 4"),
        (Conv2d(3, [2, 7]), (2, 7, 4), r"kernel_size=\[2, 7\] does not fit its input 2x7x4: at most \[7, 4\]"),
        (Conv2d(3, 7, padding=1), (2, 7, 4), r"does not fit its input 2x7x4 with its padding: at most 6"),
        (AvgPool2d(2), (1, 5, 4), r"kernel_size=\[2, 2\] does not divide its input 1x5x4: .* or give a stride"),
        (AvgPool2d(5, 1), (1, 4, 4), r"AvgPool2d with kernel_size=5 does not fit its input 1x4x4: at most 4"),
        (Pad(1), (16,), r"Pad takes .* its input is 16: put it before a Flatten"),
        (SpectralPool2d([2, 2]), (16,), r"SpectralPool2d takes .* its input is 16: put it before a Flatten"),
        (SpectralPool2d([5, 2]), (1, 4, 4), r"to 5x2 is larger than its input 1x4x4: at most 4x4"),
        (SpectralPool2d([2, 5]), (1, 4, 4), r"to 2x5 is larger than its input 1x4x4: at most 4x4"),
        (MaxPool2d([2, 3]), (1, 4, 4), r"kernel_size=\[2, 3\] does not divide its input 1x4x4: take divisors"),
        (MaxPool2d([3, 2]), (1, 4, 4), r"kernel_size=\[3, 2\] does not divide its input 1x4x4: take divisors"),
        (MaxPool2d([2, 2]), (16,), r"MaxPool2d takes .* its input is 16: put it before a Flatten"),
    ],
)
def test_shapes_that_do_not_fit(layer, in_shape, message):
    with pytest.raises(InputError, match=message):
        layer.connect(in_shape)


def test_exact_inverse_has_a_limit():
    layer = connected(Conv2d(6, 5), (1, 32, 32))
    layer.inverse_kind = "exact"
    with pytest.raises(
        InputError, match=r"conv_inverse=exact .* 4704 x 1024 matrix, at most 4096 x 4096 .* conv_inverse=fourier"
    ):
        layer.inverse()


@examples
@given(any_layer(), seeds)
def test_gradients_are_those_of_the_forward_map(layer: Layer, seed: int) -> None:
    if not isinstance(layer, TrainableLayer):
        return
    x, dz = normal(seed, 3, *layer.in_shape), normal(seed + 1, 3, *layer.out_shape)
    # forward is linear in the weights: their gradient is the change by a unit weight, exactly.
    expected = np.empty((3, *layer.weight_shape))
    for place in np.ndindex(*layer.weight_shape):
        layer.weights = np.zeros(layer.weight_shape)
        layer.weights[place] = 1
        expected[:, *place] = (dz * layer.forward(x)).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(layer.sample_gradients(x, dz), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.gradient(x, dz), expected.sum(axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shape", "size", "terms"), [((28, 28), [14, 14], 3), ((10, 10), [5, 5], 1)])
def test_a_pool_separates_into_few_terms(shape: tuple[int, int], size: list[int], terms: int) -> None:
    pool = connected(SpectralPool2d(size), (2, *shape))
    assert len(pool._factors) == terms
    x = normal(0, 3, 2, *shape)
    np.testing.assert_allclose(pool.forward(x).reshape(6, -1), x.reshape(6, -1) @ pool.matrix(), rtol=0, atol=1e-13)
