"""Statistics of solves: what adds up over units and steps, and what is averaged."""

import pytest

from annealtrain.solvers.statistics import combine_units, merge_by_layer, merge_rows, with_rates


def test_units_add_up_in_seconds_and_counts_and_are_averaged_in_all_else():
    units = [
        {"sweeps": 10.0, "flips": 30.0, "visits": 100.0, "anneal_s": 0.5, "beta_last": 2.0},
        {"sweeps": 20.0, "flips": 10.0, "visits": 300.0, "anneal_s": 1.5, "beta_last": 4.0},
    ]
    found = combine_units(units)
    rates = {"acceptance": 40 / 400, "visit_ns": pytest.approx(2.0 / 400 * 1e9)}
    assert found == {"sweeps": 15, "flips": 40, "visits": 400, "anneal_s": 2, "beta_last": 3, **rates}


def test_rates_are_of_the_sums_and_there_are_none_without_visits():
    assert with_rates({"anneal_s": 1.0}) == {"anneal_s": 1.0}
    dead = with_rates({"visits": 0.0, "flips": 0.0, "anneal_s": 0.0})  # all weights are dead
    assert (dead["acceptance"], dead["visit_ns"]) == (0, 0)


def test_steps_of_an_epoch_are_a_row_for_each_layer():
    steps = [
        {"layer": 1, "L": 0.5, "solve_s": 1.0, "gap": None, "backtracks": 1, "bits": 4},
        {"layer": 0, "L": 0.1, "solve_s": 2.0, "gap": 0.5, "backtracks": 0, "bits": 4},
        {"layer": 1, "L": 0.3, "solve_s": 3.0, "gap": 0.2, "backtracks": 2, "bits": 4},
    ]
    first, second = merge_by_layer(steps)
    assert first == steps[1]
    assert second == {"layer": 1, "L": pytest.approx(0.4), "solve_s": 4.0, "gap": 0.2, "backtracks": 3, "bits": 4}


def test_what_only_some_rows_tell_is_of_those():
    rows = [{"layer": 0, "condition": 4.0}, {"layer": 0}, {"layer": 0, "condition": 8.0, "note": None}]
    assert merge_rows(rows) == {"layer": 0, "condition": 6.0, "note": None}


def test_counts_add_up_also_where_all_are_equal():
    assert merge_rows([{"layer": 0, "retries": 1.0, "emulated": 1.0}] * 3) == {"layer": 0, "retries": 3, "emulated": 1}
