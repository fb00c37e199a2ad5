"""Exponential averages: their weights written out, their state, and that they take copies."""

import numpy as np
import pytest

from annealtrain.optimizers.moving_average import MovingAverage


def added(decay, values):
    average = MovingAverage([np.zeros(2), np.zeros((1, 3))], decay)
    for value in values:
        average.add([np.full(2, value), np.full((1, 3), -value)])
    return average


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_means_weigh_each_step_by_the_decay_and_have_no_bias_to_zero(decay):
    values = [1.0, 4.0, -2.0]
    weights = np.array([decay**2, decay, 1.0]) * (1 - decay)
    average = added(decay, values)
    assert average.count == 3
    assert average.weight == pytest.approx(weights.sum())
    expected = (weights @ values) / weights.sum()
    np.testing.assert_allclose(average.mean(0), np.full(2, expected), rtol=1e-12)
    np.testing.assert_allclose(average.mean(1), np.full((1, 3), -expected), rtol=1e-12)


def test_the_first_mean_is_the_first_value():
    np.testing.assert_allclose(added(0.99, [3.0]).mean(0), [3.0, 3.0], rtol=1e-12)


def test_it_goes_on_from_its_state_to_the_same_bits():
    whole, first = added(0.9, [1.0, 0.3, 0.7]), added(0.9, [1.0, 0.3])
    state = first.state("average")
    assert set(state) == {"average_count", "average_0", "average_1"}
    first.add([np.ones(2), np.ones((1, 3))])  # what was taken stays
    again = MovingAverage([np.zeros(2), np.zeros((1, 3))], 0.9)
    again.restore("average", state)
    again.add([np.full(2, 0.7), np.full((1, 3), -0.7)])
    assert again.count == 3
    for k in (0, 1):
        np.testing.assert_array_equal(again.mean(k), whole.mean(k))


def test_what_is_added_is_not_kept_and_as_many_arrays_are_asked_for():
    average, value = MovingAverage([np.zeros(2)], 0.5), np.ones(2)
    average.add([value])
    value[:] = 100
    np.testing.assert_array_equal(average.mean(0), [1.0, 1.0])
    with pytest.raises(ValueError, match="zip"):
        average.add([value, value])
