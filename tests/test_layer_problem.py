"""Every equation of Secs. 1-3 against the loss itself, summed by brute force on random data."""

import numpy as np
import pytest

from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.quadratic import Couplings
from annealtrain.nn.layers import Conv2d, Linear
from annealtrain.runtime import memory
from annealtrain.solvers.bounds import descend, lower_bound

Q, N, M = 40, 7, 3


def data(seed=0, rows=Q, alpha=None):
    """Random rows, targets, weights and (for an alpha) LeakyReLU factors."""
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(rows, N)), generator.normal(size=(rows, M))
    S0 = generator.normal(size=(M, N)) * 0.3
    factors = None if alpha is None else np.where(inputs @ S0.T >= 0, 1.0, alpha)
    return inputs, targets, S0, factors


def loss(inputs, targets, weights, factors, samples):
    """The MSE of each unit, term by term: Eqs. (2), (14) with activation factors (20)."""
    total = np.zeros(len(weights))
    for i, S in enumerate(weights):
        for row in range(len(inputs)):
            gamma = 1.0 if factors is None else factors[row, i]
            total[i] += (gamma * sum(S[j] * inputs[row, j] for j in range(len(S))) - targets[row, i]) ** 2
    return total / samples


def some_weights(problem, seed=1):
    levels = np.random.default_rng(seed).integers(0, 2**problem.bits, problem.S0.shape)
    return np.array([problem.unit(i).weights(levels[i]) for i in range(problem.num_units)]), levels


@pytest.mark.parametrize("alpha", [None, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("bits", [1, 3, 8, 16])
@pytest.mark.parametrize("sites", [1, 4])
def test_energy_is_the_loss(alpha, bits, sites):
    inputs, targets, S0, factors = data(alpha=alpha)
    problem = LayerProblem.from_rows(inputs, targets, S0, 0.4, bits, factors=factors, samples=Q // sites)
    weights, _ = some_weights(problem)
    for at in (weights, S0):
        expected = loss(inputs, targets, at, factors, Q // sites)
        np.testing.assert_allclose(problem.energies(at), expected, rtol=1e-9)
    assert problem.unit(0).sites == sites


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_moments_are_equations_4_and_21(alpha):
    inputs, targets, S0, factors = data(alpha=alpha)
    problem = LayerProblem.from_rows(inputs, targets, S0, 0.4, 4, factors=factors)
    for i in range(M):
        gamma = np.ones(Q) if factors is None else factors[:, i]
        J = sum(gamma[a] ** 2 * np.outer(inputs[a], inputs[a]) for a in range(Q)) / Q
        h = sum(-2 * gamma[a] * targets[a, i] * inputs[a] for a in range(Q)) / Q
        form = problem.unit(i)
        np.testing.assert_allclose(form.J, J, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(form.h, h, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(form.E0, (targets[:, i] ** 2).sum() / Q, rtol=1e-12)
    assert problem.is_shared == (alpha is None)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("alpha", [None, 0.001])
def test_levels_spins_and_weights_have_one_energy(bits, alpha):
    inputs, targets, S0, factors = data(2, alpha=alpha)
    inputs[:, 3] = 0  # a dead weight
    problem = LayerProblem.from_rows(inputs, targets, S0, 0.2, bits, factors=factors, ridge=0.05)
    generator = np.random.default_rng(3)
    for i in range(M):
        form = problem.unit(i)
        J, h, E0 = form.ising()
        for _ in range(5):
            spins = generator.choice([-1, 1], size=N * bits)
            levels = form.encoding.levels(spins)
            weights = form.weights(levels)
            np.testing.assert_array_equal(form.encoding.spins(levels), spins)
            by_spins = sum(J[m, n] * spins[m] * spins[n] for m in range(N * bits) for n in range(N * bits))
            by_spins += h @ spins + E0
            assert by_spins == pytest.approx(form.energy(weights), rel=1e-9)
            # Eqs. (6), (7), written out.
            Nb = 2**bits - 1
            for j in range(N):
                share = sum(2**a * (spins[j * bits + a] + 1) / 2 for a in range(bits)) / Nb
                expected = 0.2 * (2 * share - 1) + S0[i, j] if j != 3 else S0[i, 3]
                assert weights[j] == pytest.approx(expected, rel=1e-12)


def test_fields_of_spins_are_equations_8_and_18():
    inputs, targets, S0, _ = data(4)
    form = LayerProblem.from_rows(inputs, targets, S0, 0.7, 3).unit(1)
    J, h, _ = form.ising()
    for j in range(N):
        for a in range(3):
            field = (0.7 / 7) * (form.h[j] + 2 * sum(form.J[j, x] * S0[1, x] for x in range(N))) * 2**a
            assert h[j * 3 + a] == pytest.approx(field, rel=1e-10)
            for x in range(N):
                for b in range(3):
                    assert J[j * 3 + a, x * 3 + b] == pytest.approx((0.7 / 7) ** 2 * form.J[j, x] * 2**a * 2**b)


def test_a_bias_is_one_more_weight_with_input_minus_one():
    """Eqs. (10)-(12): J_NN = 1, J_Nj = -mean q_j, h_N = 2 mean xi."""
    generator = np.random.default_rng(5)
    layer = Linear(2)
    layer.has_bias = True
    layer.connect((4,))
    layer.initialize(generator)
    layer.weights[:, -1] = [0.3, -0.2]
    q, xi = generator.normal(size=(9, 4)), generator.normal(size=(9, 2))
    form = LayerProblem.from_rows(layer.unfold(q), xi, layer.weights, 0.1, 4).unit(0)
    assert form.J[4, 4] == pytest.approx(1)
    np.testing.assert_allclose(form.J[4, :4], -q.mean(axis=0))
    assert form.h[4] == pytest.approx(2 * xi[:, 0].mean())
    expected = ((q @ layer.weights[0, :4] - 0.3 - xi[:, 0]) ** 2).mean()
    assert form.energy(layer.weights[0]) == pytest.approx(expected, rel=1e-12)


def test_a_convolution_sums_over_sites_and_divides_by_samples():
    """Eqs. (14)-(16), with the convolution written as loops."""
    generator = np.random.default_rng(6)
    layer = Conv2d(2, 3)
    layer.connect((2, 5, 4))
    layer.initialize(generator)
    q, xi = generator.normal(size=(3, 2, 5, 4)), generator.normal(size=(3, 2, 3, 2))
    problem = LayerProblem.from_rows(layer.unfold(q), layer.flatten_outputs(xi), layer.weights, 0.1, 8, samples=3)
    assert problem.sites == 6
    kernels = layer.weights.reshape(2, 2, 3, 3)
    for r in range(2):
        total = 0.0
        for a in range(3):
            for i in range(3):
                for j in range(2):
                    s = sum(
                        kernels[r, p, k, m] * q[a, p, i + k, j + m]
                        for p in range(2)
                        for k in range(3)
                        for m in range(3)
                    )
                    total += (s - xi[a, r, i, j]) ** 2
        assert problem.unit(r).energy(layer.weights[r]) == pytest.approx(total / 3, rel=1e-10)


def test_ridge_holds_weights_near_S0():
    inputs, targets, S0, _ = data(9)
    inputs[:, 2] = 0
    plain = LayerProblem.from_rows(inputs, targets, S0, 0.5, 6)
    held = LayerProblem.from_rows(inputs, targets, S0, 0.5, 6, ridge=0.3)
    weights, _ = some_weights(plain)
    strength = 0.3 * np.trace(plain.unit(0).J) / N
    penalty = strength * ((weights - S0) ** 2).sum(axis=1)
    np.testing.assert_allclose(held.energies(weights), plain.energies(weights) + penalty, rtol=1e-12)
    np.testing.assert_allclose(held.energies(S0), plain.energies(S0), rtol=1e-12)
    assert not held.unit(0).live[2]


def test_dead_weights_keep_S0():
    inputs, targets, S0, factors = data(10, alpha=0.0)
    inputs[:, 5] = 0
    problem = LayerProblem.from_rows(inputs, targets, S0, 0.5, 6, factors=factors)
    form = problem.unit(0)
    np.testing.assert_array_equal(form.live, np.arange(N) != 5)
    weights = form.weights(np.full(N, 63))
    assert weights[5] == S0[0, 5]
    np.testing.assert_allclose(np.delete(weights, 5), np.delete(S0[0], 5) + 0.5)
    # A unit whose rows are all on the flat side of ReLU has nothing to move.
    factors[:, 1] = 0
    assert not LayerProblem.from_rows(inputs, targets, S0, 0.5, 6, factors=factors).unit(1).live.any()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_bqm_energies_are_the_loss(bits):
    inputs, targets, S0, factors = data(11, alpha=0.1)
    problem = LayerProblem.from_rows(inputs, targets, S0, 0.3, bits, factors=factors)
    generator = np.random.default_rng(12)
    for i in range(M):
        bqm, form = problem.to_bqm(i), problem.unit(i)
        assert bqm.num_variables == problem.num_spins == N * bits
        spins = generator.choice([-1, 1], size=(6, N * bits))
        energies = bqm.energies((spins, range(N * bits)))
        np.testing.assert_allclose(energies, form.energy(form.weights(form.encoding.levels(spins))), rtol=1e-9)


def test_dual_bound_is_below_every_energy_and_tight():
    for seed in range(5):
        inputs, targets, S0, factors = data(seed, alpha=0.1)
        problem = LayerProblem.from_rows(inputs, targets, S0, 0.3, 3, factors=factors)
        for i in range(M):
            form = problem.unit(i)
            levels = np.random.default_rng(seed).integers(0, 8, (2000, N))
            energies = form.energy(form.weights(levels))
            box = descend(form, S0[i], 0.0, 5000)
            scale = 1e-9 * form.energy(S0[i])
            for at in (S0[i], form.weights(levels[0]), box):
                assert form.dual_bound(at) <= energies.min()
                assert form.dual_bound(at) <= form.energy(box) + scale
            assert form.dual_bound(box) == pytest.approx(form.energy(box), rel=1e-9)
            assert form.energy(box) - 1e-3 <= lower_bound(form, S0[i]) <= form.energy(box) + scale
            # The continuous minimum in the box is a stationary point there.
            gradient = form.gradient(box)
            inside = np.abs(box - S0[i]) < 0.3 - 1e-9
            np.testing.assert_allclose(gradient[inside], 0, atol=1e-4)


def test_moments_view_equals_rows_view():
    inputs, targets, S0, _ = data(13)
    rows = LayerProblem.from_rows(inputs, targets, S0, 0.3, 4)
    J = rows.unit(0).J
    shared = LayerProblem.from_moments(J, rows.h, rows.E0, S0, 0.3, 4)
    own = LayerProblem.from_moments(np.array([J] * M), rows.h, rows.E0, S0, 0.3, 4)
    weights, _ = some_weights(rows)
    np.testing.assert_allclose(shared.energies(weights), rows.energies(weights), rtol=1e-12)
    np.testing.assert_allclose(own.energies(weights), rows.energies(weights), rtol=1e-12)
    assert shared.is_shared
    assert not own.is_shared
    assert shared.convex
    assert not LayerProblem.from_moments(-J, rows.h, rows.E0, S0, 0.3, 4).convex


def test_a_lone_field_is_live():
    """J = 0 in a row, but h is not: the spin still has to be set."""
    J, h = np.zeros((3, 3)), np.array([[0.0, 1.0, 0.0]])
    form = LayerProblem.from_moments(J, h, np.zeros(1), np.zeros((1, 3)), 1.0, 2).unit(0)
    np.testing.assert_array_equal(form.live, [False, True, False])
    J[0, 2] = J[2, 0] = 1  # coupled, with a zero diagonal
    assert Couplings(J).live.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 0}, "bits=0 is not a whole number from 1 to 16"),
        ({"bits": 17}, "bits=17"),
        ({"bits": 2.5}, "bits=2.5"),
        ({"half_range": 0.0}, "half_range=0.0 is not a finite number above 0"),
        ({"half_range": np.inf}, "half_range=inf"),
        ({"ridge": -1.0}, "ridge=-1.0 is negative"),
        ({"ridge": np.nan}, "ridge=nan is not a number"),
        ({"ridge": 10**400}, "ridge=1e400 is not a number"),
        ({"samples": 1.5}, r"samples=1.5 is not in 1\.\.40"),
        ({"samples": 0}, r"samples=0 is not in 1\.\.40"),
        ({"samples": 41}, "samples=41"),
        ({"targets": np.zeros((Q, M + 1))}, "do not fit"),
        ({"inputs": np.zeros((Q, N + 1))}, "do not fit"),
        ({"factors": np.ones((Q + 1, M))}, "do not fit"),
        ({"targets": np.full((Q, M), np.nan)}, "h has values that are not finite"),
        ({"S0": np.full((M, N), np.inf)}, "S0 has values that are not finite"),
    ],
)
def test_refused_rows(change, message):
    inputs, targets, S0, _ = data()
    given = {"inputs": inputs, "targets": targets, "S0": S0, "half_range": 0.1, "bits": 4, **change}
    with pytest.raises(ValueError, match=message):
        LayerProblem.from_rows(**given)


def test_refused_moments():
    good = dict(J=np.eye(3), h=np.ones((2, 3)), E0=np.zeros(2), S0=np.zeros((2, 3)), half_range=1.0, bits=2)
    LayerProblem.from_moments(**good)
    skew = np.eye(3)
    skew[0, 1] = 1
    for change, message in (
        ({"J": skew}, "not symmetric"),
        ({"J": np.full((3, 3), np.nan)}, "J has values that are not finite"),
        ({"J": np.eye(4)}, "J"),
        ({"E0": np.zeros(3)}, "E0"),
        ({"S0": np.zeros((2, 4))}, "S0"),
        ({"half_range": -1.0}, "half_range"),
    ):
        with pytest.raises(ValueError, match=message):
            LayerProblem.from_moments(**good | change)


def test_a_dense_hamiltonian_beyond_memory_is_refused(monkeypatch):
    inputs, targets, S0, _ = data()
    form = LayerProblem.from_rows(inputs, targets, S0, 0.1, 8).unit(0)
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    with pytest.raises(InputError, match=r"56 spins needs 50 kB; 10 kB are available: lower bits"):
        form.ising()


def test_rows_may_be_lists_of_numbers():
    inputs, targets, S0, factors = data(15, rows=6, alpha=0.1)
    for given in (None, factors):
        arrays = LayerProblem.from_rows(inputs, targets, S0, 0.3, 3, factors=given)
        listed = None if given is None else given.tolist()
        lists = LayerProblem.from_rows(inputs.tolist(), targets.tolist(), S0.tolist(), 0.3, 3, factors=listed)
        assert (lists.num_units, lists.num_weights, lists.num_spins) == (M, N, 3 * N)
        for i in range(M):
            one, other = arrays.unit(i), lists.unit(i)
            for name in ("J", "h", "S0", "E0"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    whole = LayerProblem.from_rows([[1, 2], [3, 4]], [[1], [0]], [[0, 0]], 1, 2)  # whole numbers too
    np.testing.assert_array_equal(whole.unit(0).J, [[5, 7], [7, 10]])
    np.testing.assert_array_equal(whole.unit(0).h, [-1, -2])
    assert whole.unit(0).E0 == 0.5


@pytest.mark.parametrize(
    "change", [{"inputs": [1.0, 2.0]}, {"targets": [1.0, 0.0]}, {"S0": [0.0, 0.0]}, {"inputs": [[[1.0], [2.0]]]}]
)
def test_rows_that_are_not_tables_are_refused(change):
    given = {"inputs": [[1.0, 2.0], [3.0, 4.0]], "targets": [[1.0], [0.0]], "S0": [[0.0, 0.0]], **change}
    with pytest.raises(ValueError, match=r"are not all two-dimensional: they are \(rows, N\), \(rows, M\), \(M, N\)"):
        LayerProblem.from_rows(**given, half_range=1.0, bits=2)


def test_only_a_sum_of_squares_has_a_floor():
    inputs, targets, S0, _ = data()
    rows = LayerProblem.from_rows(inputs, targets, S0, 0.3, 4)
    assert rows.floor == 0
    assert LayerProblem.from_moments(rows.unit(0).J, rows.h, rows.E0, S0, 0.3, 4).floor == -np.inf


@pytest.mark.parametrize("alpha", [None, 0.1])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_a_problem_of_changes_is_one_of_weights_around_a_centre(alpha, ridge):
    inputs, targets, S0, factors = data(16, alpha=alpha)
    inputs[:, 2] = 0  # a dead weight
    rows = {"factors": factors, "samples": Q // 4, "ridge": ridge}
    changes = LayerProblem.from_rows(inputs, targets, np.full_like(S0, 0.1), 0.3, 4, **rows)
    around = changes.around(S0)
    assert (around.half_range, around.bits, around.sites) == (0.3, 4, 4)
    weights, levels = some_weights(changes)
    np.testing.assert_allclose(around.energies(S0 + weights), changes.energies(weights), rtol=1e-9)
    for i in range(M):
        np.testing.assert_allclose(around.unit(i).weights(levels[i]), S0[i] + weights[i], rtol=1e-12)
        bounds = [around.unit(i).dual_bound(S0[i] + 0.2), changes.unit(i).dual_bound(np.full(N, 0.2))]
        assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)


def test_ranges_of_units_groups_and_weights():
    S0 = np.zeros((2, 6))
    made = {}
    for name, L in (("one", 0.5), ("unit", [0.5, 1.0]), ("column", [[0.5], [1.0]]), ("group", [[1, 2, 3], [4, 5, 6]])):
        made[name] = LayerProblem.from_moments(np.eye(6), S0, np.zeros(2), S0, L, 2)
    assert made["one"].has_one_range
    assert not made["unit"].has_one_range
    np.testing.assert_array_equal(made["unit"].half_range, made["column"].half_range)
    np.testing.assert_array_equal(made["group"].unit(1).half_range, [4, 4, 5, 5, 6, 6])
    assert made["unit"].unit(1).half_range == 1.0
    levels = np.full((2, 6), 3)
    np.testing.assert_allclose(made["unit"].encoding.offsets(levels)[:, 0], [0.5, 1.0])
    np.testing.assert_allclose(made["group"].unit(0).weights(levels[0]), [1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(made["group"].unit(0).nearest_levels(np.array([1, -1, 2, -2, 9, -9.0])), [3, 0] * 3)
    assert "2 bits, 12 spins a unit; L = 0.75" in repr(made["unit"])


def test_any_number_of_levels():
    S0 = np.zeros((2, 3))
    problem = LayerProblem.from_moments(np.eye(3), S0, np.zeros(2), S0, 1.0, None, num_levels=3)
    assert (problem.bits, problem.num_levels, problem.num_spins) == (2, 3, 6)
    np.testing.assert_array_equal(problem.unit(0).weights(np.array([0, 1, 2])), [-1, 0, 1])
    assert "3 levels" in repr(problem)
    assert problem.around(S0 + 0.5).num_levels == 3
    plain = LayerProblem.from_moments(np.eye(3), S0, np.zeros(2), S0, 1.0, None, num_levels=8)
    assert (plain.bits, plain.num_levels) == (3, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"half_range": [0.5, 0.0]}, "half_range=0.0 of a weight is not a finite number above 0"),
        ({"half_range": [0.5, np.nan]}, "half_range=nan of a weight"),
        ({"half_range": [0.5, 1.0, 2.0]}, r"half_range \(3, 1\) is neither \(2,\) nor \(2, G\) .* divide 4 weights"),
        ({"half_range": np.ones((2, 3))}, r"half_range \(2, 3\) is neither"),
        ({"num_levels": 3}, "bits=2 and num_levels=3: give one of them, the other None"),
        ({"bits": None}, "bits=None and num_levels=None: give one of them"),
        ({"num_levels": "3\n4"}, "^bits=2 and num_levels=3 4: give one of them"),
        ({"bits": True}, "bits=true is not a whole number"),
        ({"half_range": 10**400}, "half_range=1e400 is not a finite number above 0 and at most 1e"),
        ({"half_range": [1.0, 10**400]}, "half_range is not an array of numbers"),
        ({"half_range": "1"}, "half_range='1' is not a finite number"),
        ({"convex": "no"}, "convex='no' is not true, false or null"),
        ({"bits": None, "num_levels": 1}, "num_levels=1 is not a whole number from 2 to 65536"),
        ({"bits": None, "num_levels": 2.5}, "num_levels=2.5 is not a whole number"),
        ({"bits": None, "num_levels": 2**17}, "num_levels=131072 is not"),
    ],
)
def test_grids_that_cannot_be(change, said):
    settings = {"half_range": 1.0, "bits": 2} | change
    with pytest.raises(ValueError, match=said):
        LayerProblem.from_moments(np.eye(4), np.zeros((2, 4)), np.zeros(2), np.zeros((2, 4)), **settings)


@pytest.mark.parametrize("centre", [0.0, [0.1, -0.2], np.full((2, 2), 0.3)])
def test_rounding_is_written_in_the_residual(centre):
    generator = np.random.default_rng(0)
    rows, W = generator.normal(size=(30, 4)), generator.normal(size=(2, 4))
    H, scale = rows.T @ rows / 30, np.array([0.7, 1.1])
    problem = LayerProblem.of_rounding(H, W, scale, 2, centre=centre)
    levels = generator.integers(0, 4, (2, 4))
    middle = np.asarray(centre, float)
    middle = middle[:, None] if middle.ndim == 1 else np.repeat(middle, 2, axis=1) if middle.ndim == 2 else middle
    S = middle + scale[:, None] * (2 * levels / 3 - 1)
    for i in range(2):
        D = problem.unit(i).weights(levels[i])
        np.testing.assert_allclose(W[i] + D, np.broadcast_to(S, W.shape)[i], rtol=1e-12, atol=1e-12)
        error = ((rows @ (S[i] - W[i])) ** 2).sum() / 30
        assert problem.unit(i).energy(D) == pytest.approx(error, rel=1e-10)
