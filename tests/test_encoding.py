"""Levels, spins and weights: the equations (6), (7) written out, and back."""

import numpy as np
import pytest

from annealtrain.hamiltonian.encoding import Encoding
from annealtrain.testing import random_problem


@pytest.mark.parametrize("bits", [1, 2, 5, 16])
def test_weights_are_equations_6_and_7(bits):
    """S - S0 = L (2 u / Nb - 1), u = sum_a 2^a (1 + sigma_a) / 2."""
    encoding, Nb = Encoding(0.4, bits), 2**bits - 1
    assert encoding.top_level == Nb
    spins = np.random.default_rng(bits).choice([-1, 1], (20, 3 * bits))
    levels = encoding.levels(spins)
    assert levels.dtype == np.int32
    for row, found in zip(spins.reshape(20, 3, bits), levels, strict=True):
        for j in range(3):
            level = sum(2**a * (1 + row[j, a]) // 2 for a in range(bits))
            assert found[j] == level
            by_spins = 0.4 / Nb * sum(2**a * row[j, a] for a in range(bits))
            assert encoding.offsets(found[j]) == pytest.approx(0.4 * (2 * level / Nb - 1), rel=1e-12)
            assert encoding.offsets(found[j]) == pytest.approx(by_spins, rel=1e-12)
            assert row[j] @ encoding.spin_scale == pytest.approx(by_spins, rel=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_spins_levels_and_weights_stand_for_each_other(bits):
    encoding = Encoding(0.7, bits)
    levels = np.arange(2**bits)
    spins = encoding.spins(levels)
    assert spins.shape == (2**bits * bits,)
    assert spins.dtype == np.int8
    assert set(np.unique(spins)) == {-1, 1}
    np.testing.assert_array_equal(encoding.levels(spins), levels)
    np.testing.assert_array_equal(encoding.nearest_levels(encoding.offsets(levels)), levels)
    offsets = encoding.offsets(levels)
    np.testing.assert_allclose(offsets, -offsets[::-1], atol=1e-15)  # as far up as down
    assert (offsets[0], offsets[-1]) == (-0.7, 0.7)
    np.testing.assert_allclose(np.diff(offsets), encoding.step, rtol=1e-12)


def test_any_number_of_axes_is_kept():
    encoding = Encoding(1.0, 3)
    levels = np.random.default_rng(0).integers(0, 8, (4, 2, 5))
    spins = encoding.spins(levels)
    assert spins.shape == (4, 2, 15)
    np.testing.assert_array_equal(encoding.levels(spins), levels)
    np.testing.assert_array_equal(encoding.levels(spins[1, 0]), levels[1, 0])
    assert encoding.offsets(levels).shape == levels.shape
    assert encoding.spins(np.zeros((2, 0), int)).shape == (2, 0)


def test_a_range_for_each_unit_scales_its_levels():
    ranges, levels = np.array([[0.1], [2.0]]), np.array([[0, 3, 7], [0, 3, 7]])
    encoding = Encoding(ranges, 3)
    for unit, half_range in enumerate((0.1, 2.0)):
        own = Encoding(half_range, 3)
        np.testing.assert_allclose(encoding.offsets(levels)[unit], own.offsets(levels[unit]), rtol=1e-12)
        np.testing.assert_allclose(encoding.step[unit], own.step, rtol=1e-12)
    np.testing.assert_array_equal(encoding.nearest_levels(encoding.offsets(levels)), levels)


def test_a_bit_that_is_turned_on_moves_its_weight_by_so_much():
    encoding = Encoding(0.3, 4)
    assert encoding.bit_changes.dtype == np.float32
    for bit in range(4):
        moved = encoding.offsets(1 << bit) - encoding.offsets(0)
        assert encoding.bit_changes[bit] == pytest.approx(moved, rel=1e-6)
        assert 2 * encoding.spin_scale[bit] == pytest.approx(moved, rel=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_the_middle_level_is_the_closest_to_the_centre(bits):
    """Two levels are: half a step above the centre, and half a step below."""
    encoding = Encoding(1.0, bits)
    assert encoding.offsets(encoding.middle_level) == pytest.approx(encoding.step / 2)
    assert encoding.offsets(encoding.middle_level - 1) == pytest.approx(-encoding.step / 2)


def test_nearest_levels_are_the_nearest_and_stay_on_the_grid():
    encoding = Encoding(0.5, 4)
    grid = encoding.offsets(np.arange(16))
    asked = np.random.default_rng(0).uniform(-1, 1, 500)
    away = np.abs(asked[:, None] - grid)
    found = encoding.nearest_levels(asked)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, away.argmin(axis=1))
    np.testing.assert_array_equal(encoding.nearest_levels(np.array([-9.0, 9.0])), [0, 15])


def test_a_units_levels_are_around_its_present_weights():
    form = random_problem(N=7, bits=5, half_range=0.3).unit(2)
    levels = np.random.default_rng(0).integers(0, 32, (10, 7))
    np.testing.assert_allclose(form.weights(levels), form.S0 + form.encoding.offsets(levels), rtol=1e-12)
    np.testing.assert_array_equal(form.nearest_levels(form.weights(levels)), levels)
    np.testing.assert_array_equal(form.nearest_levels(form.S0 + 9), np.full(7, 31))
    np.testing.assert_array_equal(form.nearest_levels(form.S0 - 9), np.zeros(7))


@pytest.mark.parametrize("num_levels", [2, 3, 5, 6, 7, 8, 11, 100])
def test_levels_that_are_no_power_of_two_have_spins_of_bounded_weight(num_levels):
    bits = (num_levels - 1).bit_length()
    encoding = Encoding(0.7, bits, num_levels)
    assert encoding.top_level == num_levels - 1
    assert encoding.is_binary == (num_levels in (2, 8))
    assert encoding.spin_levels.sum() == num_levels - 1
    assert encoding.spin_levels.max() <= max(num_levels // 2, 1)
    levels = np.arange(num_levels)
    spins = encoding.spins(levels)
    np.testing.assert_array_equal(encoding.levels(spins), levels)
    np.testing.assert_allclose(
        spins.reshape(num_levels, bits) @ encoding.spin_scale, encoding.offsets(levels), atol=1e-12
    )
    states = 2 * ((np.arange(2**bits)[:, None] >> np.arange(bits)) & 1) - 1
    assert set(encoding.levels(states)[:, 0].tolist()) == set(range(num_levels))
    np.testing.assert_array_equal(encoding.nearest_levels(encoding.offsets(levels)), levels)


def test_three_levels_are_minus_zero_and_plus():
    encoding = Encoding(0.5, 2, 3)
    np.testing.assert_array_equal(encoding.offsets(np.arange(3)), [-0.5, 0, 0.5])
    assert encoding.middle_level == 1
    np.testing.assert_array_equal(encoding.spin_levels, [1, 1])
