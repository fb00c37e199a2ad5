"""The network: the paper's ten models, its passes against layers composed by hand, and its errors."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig

from annealtrain.errors import InputError
from annealtrain.nn.forward import ActivationCache, Tape
from annealtrain.nn.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Pad, SpectralPool2d
from annealtrain.nn.layout import CHUNK_SAMPLES
from annealtrain.nn.network import Network
from annealtrain.runtime import thread_pool

MODELS = sorted(
    path.stem
    for path in (Path(__file__).parents[1] / "configs" / "model").glob("*.yaml")
    if "layers:" in path.read_text()
)

# As the paper draws them: the shape after each layer for one input channel, and (M, N) of each trainable one.
PAPER = {
    "linear": (["1024", "10"], [(10, 1024)]),
    "linear_small": (["1x4x2", "8", "10"], [(10, 8)]),
    "three_linear": (["1x8x8", "64", "128", "64", "10"], [(128, 64), (64, 128), (10, 64)]),
    "two_linear_small": (["1x4x2", "8", "8", "10"], [(8, 8), (10, 8)]),
    "conv": (["1x8x8", "10x1x1", "10"], [(10, 64)]),
    "three_conv": (
        ["10x28x28", "10x14x14", "30x10x10", "30x5x5", "10x1x1", "10"],
        [(10, 25), (30, 250), (10, 750)],
    ),
    "conv_small": (["1x4x4", "10x1x1", "10"], [(10, 16)]),
    "two_conv_small": (["1x4x4", "4x2x2", "10x1x1", "10"], [(4, 9), (10, 16)]),
    "lenet": (
        ["6x28x28", "6x14x14", "16x10x10", "16x5x5", "120x1x1", "120", "84", "10"],
        [(6, 25), (16, 150), (120, 400), (84, 120), (10, 84)],
    ),
    "lenet_small": (
        ["6x28x28", "6x14x14", "12x10x10", "12x5x5", "24x1x1", "24", "18", "10"],
        [(6, 25), (12, 150), (24, 300), (18, 24), (10, 18)],
    ),
}


@cache
def composed(name: str) -> DictConfig:
    with initialize_config_module("annealtrain.configs", version_base="1.3"):
        return compose("train", [f"model={name}"]).model


def model(name: str) -> list[Layer]:
    return instantiate(composed(name).layers, _convert_="all")


def paper_network(name: str, *, channels: int = 1, **settings) -> Network:
    return Network(model(name), (channels, 32, 32), 10, **settings)


def images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *(shape or (1, 32, 32))), dtype=np.float32)


def small(**settings) -> Network:
    """Fixed layers before, between and after two trainable ones: 2x6x6 -> 3x5x5 -> 3x3x3 -> 4x2x2 -> 4x1x1 -> 4."""
    layers = [SpectralPool2d([6, 6]), Conv2d(3, 2), SpectralPool2d([3, 3]), Conv2d(4, 2), SpectralPool2d([1, 1])]
    return Network([*layers, Flatten()], (2, 8, 8), 4, **settings)


def dense(sizes: Sequence[int] = (5, 7, 6, 3), **settings) -> Network:
    return Network([Linear(size) for size in sizes[1:]], (sizes[0],), sizes[-1], **settings)


def text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


# The models


def test_every_model_of_the_paper_is_there():
    assert set(PAPER) <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_grey_and_colour_images(name):
    for channels in (1, 3):
        network = paper_network(name, channels=channels)
        inputs = network.preprocess(images(2, channels, 32, 32))
        assert inputs.shape == (2, *network.trainable[0].in_shape)
        outputs = network.predict(inputs)
        assert outputs.shape == (2, 10)
        assert outputs.dtype == np.float32


@pytest.mark.parametrize("name", PAPER)
def test_shapes_are_those_of_the_paper(name):
    shapes, weights = PAPER[name]
    network = paper_network(name)
    assert [text(layer.out_shape) for layer in network.layers] == shapes
    assert [layer.weights.shape for layer in network.trainable] == weights
    with_bias = paper_network(name, bias=True)
    assert [layer.weights.shape for layer in with_bias.trainable] == [(M, N + 1) for M, N in weights]


@pytest.mark.parametrize(
    ("name", "weights"),
    [("linear", (10, 3072)), ("three_linear", (128, 192)), ("conv", (10, 192)), ("lenet", (6, 75))],
)
def test_the_first_layer_takes_three_channels_of_colour_images(name, weights):
    assert paper_network(name, channels=3).trainable[0].weights.shape == weights


# Forward passes


def hartley(x: np.ndarray, a: int, b: int) -> np.ndarray:
    """Pool (C, A, B) images to (C, a, b) through explicit tables of cas."""
    A, B = x.shape[1:]
    k, j = np.arange(-(a // 2), a - a // 2), np.arange(-(b // 2), b - b // 2)

    def cas(height: int, width: int) -> np.ndarray:
        turns = np.add.outer(np.outer(k, np.arange(height) / height), np.outer(j, np.arange(width) / width))
        return np.cos(2 * np.pi * turns) + np.sin(2 * np.pi * turns)  # (k, m, j, n)

    spectrum = np.einsum("kmjn,cmn->ckj", cas(A, B), x) / (A * B)
    return np.einsum("kmjn,ckj->cmn", cas(a, b), spectrum)


def by_hand(network: Network, image: np.ndarray, alpha: float) -> np.ndarray:
    """The outputs for one image, in float64, LeakyReLU(alpha) after every convolution and linear layer."""
    x = image.astype(np.float64)
    for layer in network.layers:
        if isinstance(layer, SpectralPool2d):
            x = hartley(x, *layer.size)
        elif isinstance(layer, Flatten):
            x = x.ravel()
        elif isinstance(layer, MaxPool2d):
            k, m = layer.windows.size
            rows, columns = range(0, x.shape[1], k), range(0, x.shape[2], m)
            x = np.array([[[c[i : i + k, j : j + m].max() for j in columns] for i in rows] for c in x])
        else:
            W, theta = layer.weights, 0.0
            if layer.has_bias:
                W, theta = W[:, :-1], W[:, -1]
            if isinstance(layer, Conv2d):
                kernels = W.reshape(len(W), -1, *layer.windows.size)
                z = np.array([scipy.signal.correlate(x, kernel, mode="valid")[0] for kernel in kernels])
                z -= np.reshape(theta, (-1, 1, 1))
            else:
                z = W @ x - theta
            x = np.where(z >= 0, z, alpha * z)
    return x


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", ["two_linear_small", "three_linear", "two_conv_small", "three_conv", "lenet_small"])
def test_predict_is_the_layers_by_hand(name, alpha, bias):
    network, batch = paper_network(name, alpha=alpha, bias=bias), images(3) - np.float32(0.3)
    for layer in network.trainable:
        if bias:
            layer.weights[:, -1] = np.random.default_rng(1).normal(size=len(layer.weights), scale=0.1)
    expected = np.array([by_hand(network, image, alpha) for image in batch])
    assert expected.any()
    np.testing.assert_allclose(network.predict(network.preprocess(batch)), expected, rtol=2e-4, atol=2e-5)


def test_the_last_layer_is_activated_too():
    network = dense((4, 3), alpha=0.25)
    network.trainable[0].weights = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(network.predict(np.array([[2.0, 0, 0, 0]])), [[2, -0.5, 0]])


def test_fixed_layers_after_the_last_trainable_one_follow_its_activation():
    network = small(alpha=0.5)
    x = images(2, 2, 8, 8).astype(np.float64) - 0.5
    a = network.trainable[0].forward(network.layers[0].forward(x))
    a = network.trainable[1].forward(network.layers[2].forward(np.where(a >= 0, a, a / 2)))
    a = np.where(a >= 0, a, a / 2).mean(axis=(2, 3))  # a pool to 1x1 is the mean
    np.testing.assert_allclose(network.predict(network.preprocess(x)), a, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [dense, small])
def test_alpha_1_is_a_linear_network(make):
    network = make(alpha=1.0)
    x, y = (np.random.default_rng(k).normal(size=(4, *network.trainable[0].in_shape)) for k in (0, 1))
    combined = 2 * network.predict(x) - 3 * network.predict(y)
    np.testing.assert_allclose(network.predict(2 * x - 3 * y), combined, rtol=1e-10, atol=1e-12)
    assert network.trainable[0].activation_derivative(x) is None


def test_activation_and_its_derivative():
    layer, z = dense(alpha=0.1).trainable[0], np.array([-2.0, -0.5, 0.0, 3.0])
    np.testing.assert_array_equal(layer.activate(z), [-0.2, -0.05, 0, 3])
    np.testing.assert_array_equal(layer.activation_derivative(z), [0.1, 0.1, 1, 1])
    single = z.astype(np.float32)
    assert layer.activate(single).dtype == layer.activation_derivative(single).dtype == np.float32
    relu = dense(alpha=0.0).trainable[0]
    np.testing.assert_array_equal(relu.activate(z), [0, 0, 0, 3])
    np.testing.assert_array_equal(relu.activation_derivative(z), [0, 0, 1, 1])


def test_preprocess_is_the_fixed_layers_before_any_weights():
    network, batch = paper_network("two_linear_small"), images(3)
    expected = batch.reshape(3, 4, 8, 2, 16).max(axis=(2, 4)).reshape(3, 8)
    np.testing.assert_array_equal(network.preprocess(batch), expected)
    np.testing.assert_array_equal(paper_network("lenet").preprocess(batch), batch)


# Going back


def test_inverses_are_the_pseudo_inverse_then_the_unpool():
    network = small(conv_inverse="exact")
    conv, pool = network.trainable[1], network.layers[2]
    t = np.random.default_rng(0).normal(size=(5, 4, 2, 2))
    inverses = network.inverses()
    assert list(inverses) == [1]
    expected = pool.inverse()(conv.inverse()(t))
    assert expected.shape == (5, 3, 5, 5)
    np.testing.assert_array_equal(inverses[1](t), expected)


def test_inverses_from_a_layer_on():
    network = dense(alpha=1.0)
    assert list(network.inverses()) == [1, 2]
    assert list(network.inverses(0)) == [1, 2]
    assert list(network.inverses(2)) == [2]
    assert network.inverses(3) == {}
    t = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(network.inverses()[2](t), t @ np.linalg.pinv(network.trainable[2].weights).T, rtol=1e-9)


def test_conv_inverse_reaches_the_layers():
    t = np.random.default_rng(0).normal(size=(5, 4, 2, 2))
    fourier, exact = (small(conv_inverse=kind) for kind in ("fourier", "exact"))
    assert fourier.trainable[1].inverse_kind == small().trainable[1].inverse_kind == "fourier"
    assert exact.trainable[1].inverse_kind == "exact"
    assert not np.allclose(fourier.inverses()[1](t), exact.inverses()[1](t))


@pytest.mark.parametrize("make", [dense, small])
def test_adjoint_is_the_transposed_map_between_two_trainable_layers(make):
    network = make(bias=True)
    for k in range(1, len(network.trainable)):
        below, layer = network.trainable[k - 1], network.trainable[k]
        x = np.random.default_rng(0).normal(size=(3, *below.out_shape))
        y = np.random.default_rng(1).normal(size=(3, *layer.out_shape))
        Ax = x
        for fixed in network.leading[k]:
            Ax = fixed.forward(Ax)
        Ax = layer.forward(Ax)
        back = network.adjoint(k, y)
        assert back.shape == x.shape
        np.testing.assert_allclose(np.sum(Ax * y), np.sum(x * back), rtol=1e-10)


def test_before_tail_is_the_pseudo_inverse_of_the_tail():
    network = small()
    outputs = np.random.default_rng(0).normal(size=(5, 4))
    targets = network.before_tail(outputs)
    assert targets.shape == (5, 4, 2, 2)
    np.testing.assert_allclose(targets, np.broadcast_to(outputs[:, :, None, None], targets.shape), rtol=1e-12)
    pool, flatten = network.tail
    np.testing.assert_allclose(flatten.forward(pool.forward(targets)), outputs, rtol=1e-12)
    np.testing.assert_array_equal(dense().before_tail(outputs[:, :3]), outputs[:, :3])


# The same numbers every time


def test_seed_gives_the_weights():
    first, same, other = (paper_network("lenet_small", seed=seed) for seed in (0, 0, 1))
    for a, b, c in zip(first.trainable, same.trainable, other.trainable, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)
        assert not np.any(a.weights == c.weights)


def test_layers_of_one_shape_start_apart():
    first, second = dense((4, 4, 4)).trainable
    assert not np.any(first.weights == second.weights)


def test_fixed_layers_do_not_move_the_weights():
    with_pool = Network([SpectralPool2d([2, 2]), Flatten(), Linear(3)], (1, 4, 4), 3)
    np.testing.assert_array_equal(with_pool.trainable[0].weights, dense((4, 3)).trainable[0].weights)


def passes(network: Network, batch: np.ndarray) -> list[np.ndarray]:
    """Everything that a network computes in blocks."""
    inputs = network.preprocess(batch)
    state, last = ActivationCache(network, inputs), len(network.trainable) - 1
    found = [inputs, network.predict(inputs)]
    for k in range(last + 1):
        found += [state.input(k), state.unfolded(k), state.preactivation(k)]
    for k, inverse in network.inverses().items():
        t = state.preactivation(k)
        found += [inverse(t), network.adjoint(k, t)]
    return found


@pytest.mark.parametrize("name", ["three_linear", "lenet_small"])
def test_bits_do_not_depend_on_the_number_of_threads(name):
    batch, found = images(2 * CHUNK_SAMPLES + 17), []
    for count in (1, 2, 3):
        with thread_pool.threads(count):
            found.append(passes(paper_network(name, alpha=0.1), batch))
    for arrays in zip(*found, strict=True):
        assert arrays[0].tobytes() == arrays[1].tobytes() == arrays[2].tobytes()


def test_bits_of_a_block_of_samples_do_not_depend_on_the_samples_after_it():
    network, batch = paper_network("lenet_small", alpha=0.1), images(2 * CHUNK_SAMPLES + 17)
    with thread_pool.threads(1):
        for whole, part in zip(passes(network, batch), passes(network, batch[:CHUNK_SAMPLES]), strict=True):
            assert whole[: len(part)].tobytes() == part.tobytes()


# Activations of layers, and inverses


def test_a_layer_may_have_an_activation_of_its_own():
    network = Network([Linear(4, alpha=0.5), Linear(4), Linear(3, alpha=1.0)], (2,), 3, alpha=0.1)
    assert [layer.slope for layer in network.trainable] == [0.5, 0.1, 1.0]
    network = Network([Linear(4), Linear(3, alpha=0.5)], (2,), 3, alpha=0.1, output_activation="linear")
    assert [layer.slope for layer in network.trainable] == [0.1, 1.0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv2d(2, 3), MaxPool2d(2), Conv2d(3, 3), Flatten()], r"layer 1 of the model: MaxPool2d has no inverse"),
        ([Conv2d(3, 7), MaxPool2d(2), Flatten()], r"layer 1 of the model: MaxPool2d has no inverse"),
        (
            [Conv2d(2, 3), Conv2d(3, 6, padding=1), Conv2d(3, 3), Flatten()],
            r"layer 1 of the model: Conv2d with a stride or padding has no inverse in Fourier .* conv_inverse=exact",
        ),
    ],
)
def test_layers_without_an_inverse_are_told(layers, message):
    with pytest.raises(InputError, match=message):
        Network(layers, (1, 8, 8), 3).check_inverses()


def test_layers_with_an_inverse_where_one_is_needed():
    exact = [Conv2d(2, 3, padding=1), AvgPool2d(2), Pad(1), Conv2d(3, 3, 2), Conv2d(3, 2), Flatten()]
    Network(exact, (1, 8, 8), 3, conv_inverse="exact").check_inverses()
    before_weights = [MaxPool2d(2), Pad(1), MaxPool2d(3, 1), Conv2d(3, 3, stride=2), Conv2d(3, [1, 1]), Flatten()]
    Network(before_weights, (1, 6, 6), 3).check_inverses()


# Errors


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"the model has no trainable layer: add a Linear or a Conv2d"),
        ([SpectralPool2d([2, 2]), Flatten()], r"the model has no trainable layer: add a Linear or a Conv2d"),
        ([Flatten(), Linear(4)], r"the model's output is 4, the dataset has 3 classes: end it with 3 outputs"),
        ([Conv2d(3, 8)], r"the model's output is 3x1x1, the dataset has 3 classes: end it with 3 outputs"),
        ([Flatten(), "Linear"], r"layer 1 of the model is 'Linear', not a layer: give it a _target_"),
        ([Linear(3)], r"layer 0 of the model does not fit: Linear takes a vector, its input is 1x8x8: put a Flatten"),
        (
            [Conv2d(2, 5), Conv2d(3, 5), Flatten()],
            r"layer 1 of the model does not fit: .*kernel_size=5 does not fit its input 2x4x4: at most 4",
        ),
    ],
)
def test_models_that_are_refused(layers, message):
    with pytest.raises(InputError, match=message):
        Network(layers, (1, 8, 8), 3)


def test_max_pool_may_be_the_first_layer():
    assert Network([MaxPool2d([2, 2]), Flatten(), Linear(3)], (1, 8, 8), 3).trainable[0].weights.shape == (3, 16)


def test_unknown_conv_inverse():
    with pytest.raises(InputError, match=r"conv_inverse='fft' is not one of fourier, exact"):
        dense(conv_inverse="fft")


def test_outputs_may_be_linear_and_as_many_as_classes():
    layers = [Linear(4), Linear(None)]
    network = Network(layers, (5,), 3, alpha=0.1, output_activation="linear")
    x = np.random.default_rng(0).normal(0, 1, (20, 5))
    (A, B), slopes = (layer.weights for layer in network.trainable), [layer.slope for layer in network.trainable]
    hidden = x @ A.T
    np.testing.assert_allclose(network.predict(x), np.where(hidden > 0, hidden, 0.1 * hidden) @ B.T)
    assert (B.shape, slopes) == ((3, 4), [0.1, 1])
    tape = Tape(network, x)
    np.testing.assert_array_equal(tape.outputs, network.predict(x))
    assert tape.derivatives[1] is None
    with pytest.raises(InputError, match="output_activation='relu' is not one of leaky_relu, linear"):
        Network([Linear(3)], (5,), 3, output_activation="relu")
    with pytest.raises(InputError, match="a Linear before the model's last has as many outputs as null"):
        Network([Linear(None), Linear(3)], (5,), 3)
    assert Network([Conv2d(None, 4), Flatten()], (1, 4, 4), 7).trainable[0].weight_shape == (7, 16)
