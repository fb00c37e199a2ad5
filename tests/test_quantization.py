"""Grids, scales and levels of a layer against every state counted; a NumPy network layer after layer."""

import itertools

import numpy as np
import pytest
from small_network import network, varied

import annealtrain
from annealtrain.errors import InputError
from annealtrain.nn.forward import ActivationCache
from annealtrain.optimizers.quantization.full_objective import curvature, full_error, on_grid_together
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.layer import Target, errors, on_grid, target_of
from annealtrain.optimizers.quantization.moments import Moments, measure, output_errors
from annealtrain.optimizers.quantization.network import Method, quantized
from annealtrain.optimizers.quantization.of_network import NetworkSource
from annealtrain.optimizers.quantization.rounding import SOLVERS
from annealtrain.optimizers.quantization.scales import best_scales, first_scales
from annealtrain.solvers.coordinate_descent import CoordinateDescent
from annealtrain.solvers.lattice.babai import Babai


def layer(M: int = 3, N: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return H (N, N), ill-conditioned, and W (M, N)."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(40, N)) @ (random.normal(size=(N, N)) * np.arange(1, N + 1.0) ** -1)
    return X.T @ X / 40, random.normal(size=(M, N))


def error(H: np.ndarray, D: np.ndarray) -> np.ndarray:
    return np.einsum("mi,ij,mj->m", D, H, D)


@pytest.mark.parametrize(("bits", "num_levels"), [(1, None), (2, None), (None, 3)])
def test_a_layer_has_the_best_of_all_levels(bits: int | None, num_levels: int | None) -> None:
    H, W = layer()
    scales, top = np.array([0.7, 1.1, 1.6]), (2**bits if bits else num_levels) - 1
    levels = annealtrain.quantize_layer(H, W, bits, scales, num_levels=num_levels, solver="exact")
    assert levels.shape == W.shape
    every = np.array(list(itertools.product(range(top + 1), repeat=5)))
    for m in range(3):
        S = scales[m] * (2 * every / top - 1)
        best = every[error(H, S - W[m]).argmin()]
        assert levels[m].tolist() == best.tolist()


def test_solvers_by_name_and_groups() -> None:
    H, W = layer(N=6)
    groups = np.full((3, 2), 0.8) * [1, 0.5]
    found = {}
    for name in SOLVERS:
        levels = annealtrain.quantize_layer(H, W, 2, groups, solver=name, seed=3)
        assert levels.min() >= 0
        assert levels.max() <= 3
        found[name] = error(H, np.repeat(groups, 3, axis=1) * (2 * levels / 3 - 1) - W)
    assert np.allclose(np.minimum.reduce(list(found.values())), found["exact"])
    assert (found["sa"] <= found["babai"] + 1e-12).all()
    H[2] = H[:, 2] = 0  # an input that is always 0: the closest level
    assert (annealtrain.quantize_layer(H, W, 2, groups)[:, 2] == Grid(2, None, 3).nearest(W, groups)[:, 2]).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"scales": None}, "scales is missing"),
        ({"scales": -1.0}, r"scales \(3, 1\) are not numbers from 1e-18 to 1e\+18, one or more for each of 3 units"),
        ({"scales": 1e-320}, "are not numbers from 1e-18"),
        ({"scales": np.ones(5)}, r"scales \(5, 1\) are not"),
        ({"bits": np.ones(2)}, "bits="),
        ({"bits": None}, "give one of them"),
        ({"num_levels": 3}, "give one of them"),
        ({"solver": "gptqq"}, "did you mean 'gptq'"),
        ({"W": np.zeros((3, 4))}, "or H .* is not"),
        ({"W": np.full((3, 5), np.nan)}, "not finite"),
        ({"seed": -1}, "seed=-1"),
        (
            {"H": np.arange(25.0).reshape(5, 5)},
            r"^H is not symmetric \(H\[0, 4\]=4, H\[4, 0\]=20\): pass \(H \+ H",
        ),
        ({"H": 1e308 * np.eye(5)}, r"H has values beyond 1e\+250: divide it by its largest, levels stay the same"),
        ({"H": -np.eye(5)}, "H has -1 on its diagonal: second moments of inputs, X.T @ X, have nothing below 0"),
        ({"H": np.ones((5, 5)) - 0.5 * np.eye(5)}, "^H is not positive semidefinite: give second moments of inputs"),
    ],
)
def test_what_is_no_layer_is_refused(words: dict, said: str) -> None:
    H, W = layer()
    given = {"H": H, "W": W, "bits": 2, "scales": np.ones(3)} | words
    with pytest.raises(ValueError, match=said):
        annealtrain.quantize_layer(**given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("solver", ["sa", "sqa", "babai", "klein", "beam", "descent", "exact"])
@pytest.mark.parametrize("power", [-1000, -700, 0, 700, 820])
def test_the_size_of_moments_is_of_no_account(solver: str, power: int) -> None:
    H, W = layer()
    given = {"bits": 2, "scales": np.ones(3), "solver": solver}
    levels = annealtrain.quantize_layer(np.ldexp(H, power), W, **given)
    np.testing.assert_array_equal(levels, annealtrain.quantize_layer(H, W, **given))
    assert annealtrain.quantize_layer(H * 1e-320, W, **given).max() <= 3  # of which few digits are left


@pytest.mark.parametrize("size", [None, 2])
def test_scales_are_those_of_least_error(size: int | None) -> None:
    H, W = layer()
    H = H if size is None else 0.1 * H + np.eye(5)  # all scales of a unit are above 0 at once
    grid = Grid(2, None, size)
    scales = first_scales(H, W, grid)
    assert scales.shape == (3, 1 if size is None else 3)  # the last group has one input
    levels = grid.nearest(W, scales)
    best = best_scales(H, W, levels, grid, scales)
    least = error(H, grid.weights(levels, best) - W)
    for factor in (0.99, 1.01):
        for k in range(scales.shape[1]):
            other = best.copy()
            other[:, k] *= factor
            assert (error(H, grid.weights(levels, other) - W) >= least).all()
    assert (least <= error(H, grid.weights(levels, scales) - W) + 1e-12).all()


def test_scales_stay_above_0() -> None:
    H, W = layer()
    grid = Grid(2, None, 2)
    scales, levels = first_scales(H, W, grid), grid.top - grid.nearest(W, np.ones((3, 3)))  # of the other sign
    found = best_scales(H, W, levels, grid, scales)
    assert (found > 0).all()
    before, after = (error(H, grid.weights(levels, one) - W) for one in (scales, found))
    assert (after <= before).all()


@pytest.mark.parametrize("dead", [8, 24])
def test_weights_that_no_sample_sees_are_rounded_as_others_are(dead: int) -> None:
    H, W = layer(6, 24)
    H[:dead] = H[:, :dead] = 0
    unseen, live = slice(0, dead), slice(dead, None)
    for grid in (Grid(2, None, 8), Grid(None, 3, 8)):
        found = on_grid(Target(H, W), grid, Babai(), rounds=3)
        # Within the factors of a search among those of the closest levels of the same weights by themselves.
        alone = first_scales(np.eye(dead), W[:, unseen], grid)
        np.testing.assert_array_less(abs(np.log(found.scales[:, : dead // 8] / alone)), 0.52)
        others = on_grid(Target(H[live, live], W[:, live]), grid, Babai(), rounds=3) if dead < 24 else None
        assert others is None or found.errors.sum() < 1.001 * others.errors.sum()


def test_codes_are_the_weights() -> None:
    scales = np.array([[0.3], [2.0]])
    for grid, kind in ((Grid(1), np.int8), (Grid(None, 3), np.int8), (Grid(7), np.int8), (Grid(8), np.int16)):
        levels = np.array([[0, grid.top, 1], [grid.top, 0, grid.top // 2]])
        codes, steps = grid.codes(levels, scales)
        assert codes.dtype == kind
        assert np.allclose(codes * steps, grid.weights(levels, scales), rtol=1e-6)
    assert Grid(None, 3).codes(np.array([[0, 1, 2]]), scales[:1])[0].tolist() == [[-1, 0, 1]]
    assert Grid(2).codes(np.array([[0, 1, 2, 3]]), scales[:1])[0].tolist() == [[-3, -1, 1, 3]]


def test_more_rounds_and_better_solvers_err_less() -> None:
    H, W = layer(M=8, N=24)
    target = Target(H, W)
    one, four = (on_grid(target, Grid(2), Babai(), rounds=rounds).errors for rounds in (1, 4))
    assert (four <= one).all()
    best = on_grid(target, Grid(2), SOLVERS["sa"](), rounds=4)
    assert best.errors.sum() < four.sum()
    assert np.allclose(best.errors, errors(target, Grid(2), best.levels, best.scales))


def test_a_target_makes_up_for_errors_before_it() -> None:
    random = np.random.default_rng(0)
    X, W = random.normal(size=(60, 4)), random.normal(size=(2, 4))
    seen = X + 0.3 * random.normal(size=X.shape)
    moments = Moments(seen.T @ seen, seen.T @ X, 60.0, np.array([seen.mean(0), X.mean(0)]))
    best = np.linalg.lstsq(seen, X @ W.T, rcond=None)[0].T
    assert np.allclose(target_of(moments, W, 0.0).W, best)
    assert np.allclose(target_of(moments, W, 1e9).W, W, atol=1e-6)
    assert target_of(moments, W, 0.0, corrects=False).W is W


@pytest.mark.parametrize("make", [network, varied])
@pytest.mark.parametrize("bias", [False, True])
def test_moments_are_those_of_what_layers_see(make, bias: bool) -> None:
    made = make(bias=bias)
    x = np.random.default_rng(0).normal(size=(9, 2, 7, 7)).astype(np.float32)
    inputs = made.preprocess(x)
    cache = ActivationCache(made, inputs)
    source = NetworkSource(made)
    for k, one in enumerate(made.trainable):
        rows = cache.unfolded(k).astype(np.float64)[:, : source.weights(k).shape[1]]
        found = measure(source, k, inputs)
        assert np.allclose(found.H, rows.T @ rows / 9, rtol=1e-5)
        assert np.allclose(found.cross, found.H)
        W = source.weights(k) * 1.5
        away, whole = output_errors(source, k, inputs, W)
        assert away == pytest.approx(0.25 * whole)
        assert np.prod(source.shape(k)) == one.weight_shape[0] * W.shape[1]


def test_a_network_lies_on_its_grids() -> None:
    made = varied(bias=True)
    inputs = made.preprocess(np.random.default_rng(0).normal(size=(40, 2, 7, 7)).astype(np.float32))
    source = NetworkSource(made)
    grids = [Grid(2), Grid(None, 3), None, Grid(1, None, 2)]
    method = Method(Babai())
    layers = list(quantized(source, inputs, inputs, grids, method))
    assert [one.row["levels"] for one in layers] == [4, 3, 2]
    for one, k in zip(layers, (0, 1, 3), strict=True):
        assert np.array_equal(made.trainable[k].weights[:, :-1], one.weights)
        assert one.row["error"] == pytest.approx(one.row["held_out_error"])
        assert len(np.unique(one.weights[0])) <= one.grid.levels * one.scales.shape[1]
    assert np.array_equal(made.trainable[2].weights, source.exact.trainable[2].weights)
    again = NetworkSource(varied(bias=True))
    list(quantized(again, inputs, inputs, grids, method, done={0: layers[0], 1: layers[1]}))
    assert all(
        np.array_equal(a.weights, b.weights) for a, b in zip(made.trainable, again.network.trainable, strict=True)
    )
    with pytest.raises(InputError, match="no layer is to be"):
        list(quantized(again, inputs, None, [None] * 4, method))


def test_the_mean_error_goes_to_the_bias() -> None:
    made = network(bias=True)
    inputs = made.preprocess(np.random.default_rng(0).normal(1, 1, size=(30, 2, 7, 7)).astype(np.float32))
    source = NetworkSource(made)
    first = next(quantized(source, inputs, None, [Grid(1)] + [None] * 3, Method(Babai(), damping=0.0)))
    exact, now = (one.trainable[0].forward(inputs).mean(axis=(0, 2, 3)) for one in (source.exact, made))
    assert first.bias_change is not None
    assert np.allclose(exact, now, atol=1e-5)


def test_the_full_objective_falls() -> None:
    made = network()
    inputs = made.preprocess(np.random.default_rng(0).normal(size=(50, 2, 7, 7)).astype(np.float32))
    source, grid = NetworkSource(made), Grid(1)
    gamma = curvature(source, 1, inputs, 0)
    assert np.linalg.eigvalsh(gamma).min() > 0
    target = target_of(measure(source, 1, inputs), source.weights(1), 0.01)
    alone = on_grid(target, grid, Babai())
    both = on_grid_together(target, gamma, grid, CoordinateDescent(start="babai"), alone)
    before, after = (
        full_error(target, gamma, grid.weights(one.levels, one.scales) - target.W) for one in (alone, both)
    )
    assert after < before


def test_scales_of_three_axes_and_tensors_that_numpy_cannot_read() -> None:
    H, W = np.eye(6), np.ones((4, 6))
    with pytest.raises(ValueError, match=r"scales \(4, 2, 1\) are neither \(4,\) nor \(4, G\)"):
        annealtrain.quantize_layer(H, W, 2, np.ones((4, 2, 1)))
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"H is a tensor of torch.bfloat16 .*: give its \.float\(\)\.cpu\(\)"):
        annealtrain.quantize_layer(torch.eye(6, dtype=torch.bfloat16), W, 2, np.ones(4))
