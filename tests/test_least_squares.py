"""J and h from a layer's rows: the shortcuts for factors of two values, blocks of rows, threads."""

import numpy as np
import pytest

from annealtrain.hamiltonian import masked_gram
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.hamiltonian.least_squares import LeastSquares
from annealtrain.runtime import thread_pool

N, M = 7, 3


def data(seed, rows):
    """Random rows, targets, weights and the factors of LeakyReLU(.1)."""
    generator = np.random.default_rng(seed)
    inputs, targets = generator.normal(size=(rows, N)), generator.normal(size=(rows, M))
    S0 = generator.normal(size=(M, N)) * 0.3
    return inputs, targets, S0, np.where(inputs @ S0.T >= 0, 1.0, 0.1)


def test_factors_of_two_values_are_only_a_shortcut():
    inputs, targets, _, factors = data(7, rows=300)
    rows = LeastSquares(inputs, targets, factors, 300)
    assert rows.factor_values == (0.1, 1.0)
    other = factors.copy()
    other[0, 0] = 0.5
    assert LeastSquares(inputs, targets, other, 300).factor_values is None
    for unit in range(M):
        expected = (inputs * factors[:, [unit]] ** 2).T @ inputs / 300
        np.testing.assert_allclose(rows.unit_gram(unit), expected, rtol=1e-12, atol=1e-15)
        expected = (inputs * other[:, [unit]] ** 2).T @ inputs / 300
        np.testing.assert_allclose(
            LeastSquares(inputs, targets, other, 300).unit_gram(unit), expected, rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("units", [1, 3, 8, 9, 21])
@pytest.mark.parametrize("low", [0.0, 0.1, -0.5])
def test_all_units_at_once_are_the_units_one_by_one(units, low):
    """Sums over classes of rows, whatever the groups of units; where J's outgrow the inputs, none are held."""
    rng = np.random.default_rng(units)
    inputs, targets = rng.normal(size=(40 * units, 5)).astype(np.float32), rng.normal(size=(40 * units, units))
    factors = np.where(rng.random(targets.shape) < np.linspace(0, 1, units), 1.0, low)  # the first unit has no row
    factors[0, 0], factors[-1, -1] = 1.0, low
    rows = LeastSquares(inputs, targets, factors, len(inputs))
    assert rows.grams is not None
    exact = inputs.astype(np.float64)
    for unit in range(units):
        expected = (exact * factors[:, [unit]] ** 2).T @ exact / len(inputs)
        np.testing.assert_allclose(rows.unit_gram(unit), expected, rtol=1e-12, atol=1e-14)
        few = LeastSquares(inputs[: 5 * units - 1], targets[: 5 * units - 1], factors[: 5 * units - 1], 1)
        if few.factor_values:
            assert few.grams is None


def test_a_subset_without_rows_has_no_gram():
    inputs = np.arange(12.0).reshape(6, 2)
    own, whole = masked_gram.masked_grams(inputs, np.zeros((6, 3), bool))
    np.testing.assert_array_equal(own, np.zeros((3, 2, 2)))
    np.testing.assert_allclose(whole, inputs.T @ inputs)


def test_blocks_of_rows_and_threads_change_nothing(monkeypatch):
    inputs, targets, S0, factors = data(8, rows=50)
    whole = LayerProblem.from_rows(inputs, targets, S0, 0.1, 4, factors=factors)
    monkeypatch.setattr("annealtrain.hamiltonian.least_squares.BLOCK_ROWS", 7)
    monkeypatch.setattr("annealtrain.hamiltonian.masked_gram.BLOCK_ROWS", 7)
    by_one = LayerProblem.from_rows(inputs, targets, S0, 0.1, 4, factors=factors)
    with thread_pool.threads(3):
        by_three = LayerProblem.from_rows(inputs, targets, S0, 0.1, 4, factors=factors)
        by_three.least_squares.prepare()
    for i in range(M):
        np.testing.assert_allclose(by_one.unit(i).J, whole.unit(i).J, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(by_one.unit(i).J, by_three.unit(i).J)
        np.testing.assert_array_equal(by_one.unit(i).h, by_three.unit(i).h)
