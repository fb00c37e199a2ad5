"""Annealing on shared inputs: the chains of the formed J, without forming it."""

import tracemalloc

import numpy as np
import pytest
from ticks import ticking

from annealtrain import _anneal
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.cost_model import Executor
from annealtrain.solvers.annealing.shared_inputs import SharedInputs
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.bounds import lower_bound
from annealtrain.solvers.exact import Exact
from annealtrain.testing import check_result


def problem(M=5, N=40, R=70, bits=4, alpha=0.1, ridge=0.0, sites=1, dead=(), seed=0):
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(R, N)).astype(np.float32), generator.normal(size=(R, M))
    inputs[:, list(dead)] = 0
    S0 = generator.normal(size=(M, N)) * 0.2
    factors = np.where(inputs @ S0.T >= 0, 1.0, alpha)
    return LayerProblem.from_rows(inputs, targets, S0, 0.3, bits, factors=factors, samples=R // sites, ridge=ridge)


@pytest.fixture
def choose(monkeypatch):
    """Make annealing go by the shared inputs, or form J, whatever it would choose."""

    def set_path(by_inputs):
        executor = Executor.SHARED_INPUTS if by_inputs else Executor.LANES
        monkeypatch.setattr(SimulatedAnnealing, "executor", lambda self, problem: executor)

    return set_path


@pytest.mark.parametrize("move", ["bit", "slice", "greedy"])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("settings", [{"N": 40}, {"N": 33, "bits": 1}, {"N": 70, "bits": 8}, {"sites": 7}, {"M": 20}])
def test_both_forms_give_the_same_chain(choose, move, ridge, settings):
    layer = problem(ridge=ridge, dead=(3, 17), **settings)
    solver = SimulatedAnnealing(15, num_reads=2, move=move, beta_range=[0.5, 500.0])
    results = []
    for by_inputs in (False, True):
        choose(by_inputs)
        # The forms round differently, and a decision closer than rounding goes either way: at this seed there is none.
        results.append(solver.solve(layer, seed=5))
        check_result(layer, results[-1])
    formed, rows = results
    np.testing.assert_array_equal(rows.levels[:, :, layer.unit(0).live], formed.levels[:, :, layer.unit(0).live])
    np.testing.assert_allclose(rows.energies, formed.energies, rtol=1e-9)
    np.testing.assert_allclose(rows.start_energies, formed.start_energies, rtol=1e-9)
    assert rows.stats["flips"] == formed.stats["flips"]
    np.testing.assert_array_equal(rows.best_weights[:, [3, 17]], layer.S0[:, [3, 17]])


def test_the_automatic_range_is_the_same(choose):
    layer = problem(ridge=0.05)
    stats = []
    for by_inputs in (False, True):
        choose(by_inputs)
        stats.append(SimulatedAnnealing(10).solve(layer).stats)
    for name in ("beta_first", "beta_last"):
        assert stats[0][name] == pytest.approx(stats[1][name], rel=1e-9)


def test_the_same_bits_on_any_kernel_threads_and_in_any_company(choose):
    choose(True)
    layer = problem(M=37, N=50, bits=5)
    solver = SimulatedAnnealing(12, num_reads=3)
    expected = solver.solve(layer, seed=2)
    try:
        for name in _anneal.kernels():
            _anneal.use_kernel(name)
            for threads in (1, 3):
                with thread_pool.threads(threads):
                    found = solver.solve(layer, seed=2)
                np.testing.assert_array_equal(found.levels, expected.levels)
                np.testing.assert_allclose(found.lower_bounds, expected.lower_bounds, rtol=1e-9)
    finally:
        _anneal.use_kernel(_anneal.kernels()[0])
    rows = layer.least_squares
    alone = LayerProblem.from_rows(rows.inputs, rows.targets[:, :2], layer.S0[:2], 0.3, 5, factors=rows.factors[:, :2])
    np.testing.assert_array_equal(solver.solve(alone, seed=2).levels, expected.levels[:2])


def test_energies_gradients_and_bounds_are_those_of_the_unit():
    layer = problem(ridge=0.2, alpha=0.01, dead=(0,))
    shared = SharedInputs(layer)
    weights = layer.S0 + np.random.default_rng(3).uniform(-0.3, 0.3, layer.S0.shape) * shared.live
    np.testing.assert_allclose(shared.energies(weights), layer.energies(weights), rtol=1e-9)
    bounds = shared.lower_bounds(weights)
    for i in range(layer.num_units):
        form = layer.unit(i)
        np.testing.assert_allclose(shared.gradients(weights)[i], form.gradient(weights[i]), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(shared.diagonal[i], form.J.diagonal() - shared.ridge[i] * form.live, rtol=1e-9)
        np.testing.assert_array_equal(shared.live[i], form.live)
        assert bounds[i] <= form.energy(weights[i])
        assert bounds[i] == pytest.approx(lower_bound(form, weights[i]), rel=1e-2)


def test_bounds_hold_and_ground_states_are_found(choose):
    choose(True)
    for seed in range(3):
        layer = problem(M=4, N=5, bits=2, seed=seed)
        found = SimulatedAnnealing(100, num_reads=20).solve(layer)
        check_result(layer, found)
        np.testing.assert_allclose(found.energies[:, 0], Exact().solve(layer).energies[:, 0], rtol=1e-9)


def test_a_unit_that_is_off_everywhere_keeps_its_weights(choose):
    choose(True)
    layer = problem(alpha=0.0)
    rows = layer.least_squares
    factors = rows.factors.copy()
    factors[:, 2] = 0
    layer = LayerProblem.from_rows(rows.inputs, rows.targets, layer.S0, 0.3, 4, factors=factors)
    found = SimulatedAnnealing(20).solve(layer)
    check_result(layer, found)
    np.testing.assert_array_equal(found.best_weights[2], layer.S0[2])


def test_memory_is_that_of_the_inputs(choose):
    """J of the 100 units would take 64 MB, and one of them in float64 1.3 MB."""
    choose(True)
    layer = problem(M=100, N=400, R=60)
    tracemalloc.start()
    try:
        SimulatedAnnealing(3).solve(layer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16e6


def test_a_time_limit_tells_the_sweeps_done(choose, monkeypatch):
    choose(True)
    layer, clock = problem(M=20), ticking(monkeypatch)
    found = SimulatedAnnealing(1_000_000, time_limit_s=8).solve(layer)
    groups = -(-20 // _anneal.lanes())
    # As the solve begins, until the limit has passed, once for each group; and for the bound of each.
    assert clock.now == 1 + 8 + 2 * groups
    assert 1 <= found.stats["sweeps"] < 1_000_000
    assert found.stats["visits"] == pytest.approx(20 * found.stats["sweeps"] * 40 * 4)
    assert found.stats["beta_last"] < SimulatedAnnealing(2).solve(layer).stats["beta_last"]


def test_wrong_shapes_are_refused():
    wide = _anneal.lanes()
    raw = np.zeros(64 * 1024, np.uint8)
    raw = raw[-raw.ctypes.data % 64 :]

    def floats(*shape):
        return raw[: 4 * int(np.prod(shape))].view(np.float32).reshape(shape)

    good = {
        "inputs": np.zeros((1, 8, 32), np.float32),
        "weights": floats(8, wide),
        "grams": np.zeros((32, 32, wide), np.float32),
        "ridges": np.zeros(wide, np.float32),
        "half_range": 1.0,
        "delta": np.zeros(2, np.float32),
        "move": 0,
        "betas": np.zeros((3, wide), np.float32),
        "first": 0,
        "keys": np.zeros((2, wide), np.uint32),
        "residuals": floats(8, wide),
        "levels": floats(5, wide).view(np.int32),
        "flips": np.zeros(wide, np.int32),
    }
    for change in (
        {"inputs": np.zeros((2, 8, 32), np.float32)},
        {"inputs": np.zeros((1, 7, 32), np.float32), "weights": floats(7, wide), "residuals": floats(7, wide)},
        {"weights": floats(9, wide)},
        {"grams": np.zeros((31, 32, wide), np.float32)},
        {"keys": np.zeros((2, wide + 1), np.uint32)},
        {"betas": np.zeros((3, wide + 1), np.float32)},
        {"weights": np.zeros(8 * wide + 1, np.float32)[1:].reshape(8, wide)},
    ):
        with pytest.raises(ValueError, match=r"agree|lanes wide|64-byte"):
            _anneal.anneal_shared_inputs(**good | change)
    with pytest.raises(ValueError, match="agree"):
        _anneal.block_grams(40, good["inputs"], good["weights"], good["grams"])
    with pytest.raises(ValueError, match="agree"):
        _anneal.input_products(np.zeros((4, 3), np.float32), np.zeros((2, 1)), np.zeros((4, 1)))


@pytest.mark.parametrize("reads", [1, 4])
@pytest.mark.parametrize("nothing", ["inputs", "factors"])
def test_units_that_no_row_reaches_keep_their_weights(reads, nothing):
    """As behind a layer whose outputs are all 0, or where all units of a ReLU are off."""
    whole = problem(M=10, N=64, R=30)
    rows = whole.least_squares
    inputs, factors = rows.inputs * (nothing != "inputs"), rows.factors * (nothing != "factors")
    layer = LayerProblem.from_rows(inputs, rows.targets, whole.S0, 0.3, 4, factors=factors)
    solver = SimulatedAnnealing(5, num_reads=reads)
    assert solver.executor(layer) is Executor.SHARED_INPUTS
    result = solver.solve(layer)
    check_result(layer, result)
    np.testing.assert_array_equal(result.weights, np.repeat(whole.S0[:, None], reads, axis=1))
