"""Schedules: their values by the formulas, per layer or not, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annealtrain.errors import InputError
from annealtrain.schedule import (
    ConstantSchedule,
    DropSchedule,
    GeometricSchedule,
    LinearSchedule,
    Schedule,
    StepSchedule,
)

positive = st.floats(1e-6, 1e13)


def values(schedule: Schedule, total: int, layer: int = 0) -> list[float]:
    return [schedule.value(step, total, layer) for step in range(total)]


def test_constant():
    assert values(ConstantSchedule(0.3), 4) == [0.3] * 4


def test_linear():
    assert values(LinearSchedule(1, 3), 4) == [1, 1.5, 2, 2.5]


def test_geometric():
    assert values(GeometricSchedule(16, 1), 4) == pytest.approx([16, 8, 4, 2], rel=1e-12)


def test_geometric_is_the_papers_formula():
    """L_e = L_first (L_last / L_first)^(e / 20), e = 0..19: L_last is never reached."""
    found = values(GeometricSchedule(0.15, 1e-4), 20)
    np.testing.assert_allclose(found, [0.15 * (1e-4 / 0.15) ** (e / 20) for e in range(20)], rtol=1e-12)
    assert found[0] == 0.15
    assert found[-1] > 1.4e-4


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([LinearSchedule, GeometricSchedule]), positive, positive, st.integers(1, 50))
def test_first_belongs_to_step_0_and_last_to_the_step_after_the_end(kind, first, last, total):
    schedule = kind(first, last)
    assert schedule.value(0, total) == first
    assert schedule.value(total, total) == pytest.approx(last, rel=1e-9, abs=1e-12 * first)
    found = values(schedule, total)
    steps = np.diff(found) * (1 if last >= first else -1)
    assert np.all(steps >= -1e-12 * max(first, last))
    if abs(last / first - 1) > 1e-6:
        assert found[-1] != last


def test_step_changes_at_its_step():
    schedule = StepSchedule(4, 1, at=10)
    assert values(schedule, 20) == [4] * 10 + [1] * 10
    assert values(schedule, 3) == [4] * 3
    assert values(StepSchedule(4, 1, at=0), 3) == [1] * 3
    assert isinstance(schedule.value(0, 20), float)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ConstantSchedule([1, 2, 3]), [1, 2, 3]),
        (LinearSchedule([1, 2, 3], [3, 4, 7]), [2, 3, 5]),
        (LinearSchedule([1, 2, 3], 5), [3, 3.5, 4]),
        (GeometricSchedule(16, [4, 1, 16]), [8, 4, 16]),
        (StepSchedule([1, 2, 3], [4, 5, 6], at=1), [4, 5, 6]),
        (StepSchedule((1, 2, 3), (4, 5, 6), at=2), [1, 2, 3]),
        (LinearSchedule([1], [3]), [2, 2, 2]),
    ],
)
def test_one_value_a_layer(schedule, expected):
    assert [schedule.value(1, 2, layer) for layer in range(3)] == pytest.approx(expected, rel=1e-12)


def test_per_layer_tells_the_number_of_layers():
    assert ConstantSchedule(1).per_layer is None
    assert LinearSchedule([1], [2]).per_layer is None
    assert LinearSchedule(1, [2, 3]).per_layer == 2
    assert LinearSchedule([1, 2, 3], 4).per_layer == 3


def test_check_layers():
    ConstantSchedule(1).check_layers(5)
    GeometricSchedule([1, 2], 3).check_layers(2)
    for count in (1, 3):
        with pytest.raises(
            InputError, match=rf"schedule: 2 values for {count} trainable layers: give one value, or {count}"
        ):
            GeometricSchedule([1, 2], 3).check_layers(count)


NUMBERS = "a number above 0 or a list of such numbers, one a layer"


@pytest.mark.parametrize("value", [0, -1, 0.0, math.inf, math.nan, "0.1", True, None, [1, -2], [1, "2"], {"a": 1}, []])
def test_values_are_numbers_above_zero_or_lists_of_them(value):
    shown = {"True": "true", "None": "null"}.get(repr(value), repr(value))
    for name, make in (
        ("first", lambda: LinearSchedule(value, 1)),
        ("last", lambda: GeometricSchedule(1, value)),
        ("value", lambda: ConstantSchedule(value)),
        ("last", lambda: StepSchedule(1, value, at=2)),
        ("first", lambda: DropSchedule(value, 0.1, [0.5])),
    ):
        with pytest.raises(InputError) as caught:
            make()
        assert str(caught.value) == f"schedule.{name}={shown} is not {NUMBERS}"


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(InputError, match=r"schedule: first has 2 values and last 3: give as many"):
        LinearSchedule([1, 2], [1, 2, 3])


@pytest.mark.parametrize("at", [-1, 2.0, "2", True, None])
def test_a_step_is_a_whole_number(at):
    with pytest.raises(InputError) as caught:
        StepSchedule(4, 1, at)
    shown = {True: "true", None: "null"}.get(at, repr(at))
    assert str(caught.value) == f"schedule.at={shown} is not a whole number of at least 0"


def test_drops_by_a_factor_at_fractions_of_the_run() -> None:
    schedule = DropSchedule(1e-3, 0.1, [0.5, 0.75])
    assert [schedule.value(step, 4) for step in range(4)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    for at in ([0], [1], [True], ["a"]):
        with pytest.raises(InputError, match=r"schedule\.at="):
            DropSchedule(1, 0.1, at)
    with pytest.raises(InputError, match=r"schedule\.factor=0"):
        DropSchedule(1, 0, [0.5])


def test_a_schedule_shows_what_it_was_made_of() -> None:
    assert repr(GeometricSchedule(1, [2, 3])) == "GeometricSchedule(first=[1.0], last=[2.0, 3.0])"
    assert repr(StepSchedule(4, 1, at=10)) == "StepSchedule(first=[4.0], last=[1.0], at=10)"
