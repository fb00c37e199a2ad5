"""Time to solution: the formula, its ends, and the interval of a share."""

import math

import numpy as np
import pytest

import annealtrain
from annealtrain.errors import InputError
from annealtrain.solvers.time_to_solution import success_interval


def test_it_is_the_time_after_which_one_run_has_succeeded() -> None:
    found = annealtrain.tts(2.0, 30, 100)
    assert found.seconds == pytest.approx(2 * math.log(0.01) / math.log(0.7))
    assert found.low < found.seconds < found.high
    assert annealtrain.tts(2.0, 30, 100, confidence=0.5).seconds == pytest.approx(2 * math.log(0.5) / math.log(0.7))


def test_the_ends_are_one_run_and_never() -> None:
    assert annealtrain.tts(2.0, 5, 5)[:2] == (2.0, 2.0)
    assert annealtrain.tts(2.0, 5, 5).high > 2
    never = annealtrain.tts(2.0, 0, 5)
    assert never.seconds == never.high == math.inf
    assert 2 < never.low < math.inf


def test_the_interval_is_wilsons() -> None:
    low, high = success_interval(1, 10)  # by hand: z = 1.959964
    assert (low, high) == (pytest.approx(0.01787621, abs=1e-7), pytest.approx(0.40415, abs=1e-5))
    assert success_interval(0, 10)[0] == 0
    assert success_interval(10, 10)[1] == 1
    assert success_interval(100, 1000)[1] - success_interval(100, 1000)[0] < high - low


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.0, 1, 2), "run_s=0.0 is not a number above 0"),
        ((1.0, 1, 0), "runs=0 is not a whole number of at least 1"),
        ((1.0, 3, 2), "successes=3 is not a whole number from 0 to 2"),
        ((1.0, -1, 2), "successes=-1 is not a whole number from 0 to 2"),
    ],
)
def test_numbers_out_of_their_limits(given: tuple, said: str) -> None:
    with pytest.raises(InputError, match=said):
        annealtrain.tts(*given)
    with pytest.raises(InputError, match="confidence=1 is not a number above 0 and below 1"):
        annealtrain.tts(1.0, 1, 2, confidence=1)


def test_numbers_of_numpy_give_plain_ones() -> None:
    found = annealtrain.tts(np.float32(0.1), np.int64(3), np.int64(4))
    assert {type(value) for value in found} == {float}
    assert found == annealtrain.tts(float(np.float32(0.1)), 3, 4)
