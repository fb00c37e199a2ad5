"""anneal by a schedule, from levels and with trajectories of one's own, and its reads as a dimod.SampleSet."""

import dimod
import numpy as np
import pytest

from annealtrain import anneal


def problem(units: int = 2, weights: int = 12, dead: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, weights))
    inputs[:, dead] = 0
    h = random.normal(size=(units, weights))
    h[:, dead] = 0
    return inputs.T @ inputs / 40, h


@pytest.mark.parametrize("move", ["bit", "slice"])
def test_a_schedule_of_the_automatic_betas_gives_the_same_bits(move: str) -> None:
    J, h = problem(units=1)
    plain = anneal(J, h, bits=3, num_reads=5, num_sweeps=40, move=move, seed=4)
    schedule = np.geomspace(plain.stats["beta_first"], plain.stats["beta_last"], 40)
    guided = anneal(J, h, bits=3, num_reads=5, beta_schedule=schedule, move=move, seed=4)
    np.testing.assert_array_equal(guided.levels, plain.levels)
    assert guided.stats["sweeps"] == 40


def test_a_schedule_may_rise_fall_and_begin_at_no_temperature_at_all() -> None:
    J, h = problem()
    schedule = [0.0, *np.geomspace(0.1, 100, 30), *np.geomspace(100, 1, 10), *np.geomspace(1, 1e4, 60)]
    found = anneal(J, h, bits=3, num_reads=8, beta_schedule=schedule)
    best = anneal(J, h, bits=3, num_reads=64, num_sweeps=400).energies[:, 0]
    np.testing.assert_allclose(found.energies[:, 0], best, rtol=0.01)


def test_hot_chains_leave_their_first_levels_and_cold_ones_do_not_rise() -> None:
    J, h = problem()
    first = anneal(J, h, bits=3, num_reads=16, num_sweeps=200)
    cold = anneal(J, h, bits=3, num_reads=3, beta_schedule=[1e12], initial_levels=first.levels[:, 0])
    assert np.all(cold.energies <= first.energies[:, :1] + 1e-9)
    none = anneal(J, h, bits=3, num_reads=3, move="greedy", num_sweeps=50, initial_levels=cold.levels[:, 0])
    np.testing.assert_array_equal(none.levels[:, 0, 3], cold.levels[:, 0, 3])  # a dead weight stays where it is
    hot = anneal(J, h, bits=3, num_reads=3, beta_schedule=[1.0] * 5, initial_levels=np.zeros(12, int))
    assert len(np.unique(hot.levels)) > 4


@pytest.mark.parametrize("shape", ["shared", "own"])
def test_trajectories_are_the_energies_of_the_same_chains(shape: str) -> None:
    J, h = problem(units=3)
    J = J if shape == "shared" else np.stack([J, 2 * J, 3 * J])
    settings = {"bits": 2, "num_reads": 20, "seed": 1}
    plain = anneal(J, h, num_sweeps=30, **settings)
    found = anneal(J, h, num_sweeps=30, record_every=7, threads=2, **settings)
    np.testing.assert_array_equal(found.levels, plain.levels)
    np.testing.assert_array_equal(found.recorded, [7, 14, 21, 28, 30])
    assert found.trajectories.shape == (3, 20, 5)
    np.testing.assert_allclose(found.trajectories[:, :, -1], found.energies, rtol=1e-12)
    schedule = np.geomspace(1, 50, 30)
    whole = anneal(J, h, beta_schedule=schedule, record_every=10, **settings)
    short = anneal(J, h, beta_schedule=schedule[:10], **settings)
    np.testing.assert_allclose(np.sort(whole.trajectories[:, :, 0]), short.energies, rtol=1e-12)
    assert plain.trajectories is None


def test_what_nothing_moves_has_trajectories_of_its_one_energy() -> None:
    constant = dimod.BinaryQuadraticModel({"a": 0, "b": 0}, {}, 2.5, "BINARY")
    found = anneal(constant, num_reads=3, num_sweeps=10, record_every=4)
    np.testing.assert_array_equal(found.trajectories, np.full((1, 3, 3), 2.5))
    np.testing.assert_array_equal(found.recorded, [4, 8, 10])
    J, h = problem(units=3)
    J, h = np.stack([J, 0 * J, J]), h * [[1], [0], [1]]  # the one between the others has none that moves
    found = anneal(J, h, bits=2, num_reads=3, num_sweeps=10, record_every=5)
    assert not found.trajectories[1].any()
    np.testing.assert_allclose(found.trajectories[:, :, -1], found.energies, rtol=1e-12)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_reads_of_a_model_are_a_sample_set_of_its_own_variables(vartype: str) -> None:
    model = dimod.generators.ran_r(1, 9, seed=0).change_vartype(vartype, inplace=False)
    model.relabel_variables({k: f"x{8 - k}" for k in range(9)})
    found = anneal(model, num_reads=6, num_sweeps=50)
    samples = found.sampleset()
    assert (samples.vartype.name, len(samples)) == (vartype, 6)
    np.testing.assert_allclose(model.energies(samples), samples.record.energy)
    assert list(samples.variables) == list(model.variables)


def test_reads_of_arrays_are_spins_bit_by_bit() -> None:
    J, h = problem()
    found = anneal(J, h, L=0.5, bits=3, num_reads=4, num_sweeps=5)
    samples = found.sampleset(1)
    up = samples.record.sample.reshape(4, 12, 3) > 0
    np.testing.assert_array_equal((up * [1, 2, 4]).sum(axis=2), found.levels[1])
    with pytest.raises(ValueError, match="problem 2: there are 2, 0 to 1"):
        found.sampleset(2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"beta_schedule": [-1]}, r"beta_schedule=\[-1\] is not a number of at least 0 for each sweep"),
        ({"beta_schedule": []}, "is not a number of at least 0 for each sweep"),
        ({"beta_schedule": [[1, 2]]}, "is not a number of at least 0 for each sweep"),
        ({"beta_schedule": [1, np.nan]}, "is not a number of at least 0 for each sweep"),
        ({"beta_schedule": "warm"}, "beta_schedule is not an array of numbers"),
        ({"beta_schedule": [1, 2], "num_sweeps": 3}, "has 2 numbers, num_sweeps=3: leave num_sweeps out"),
        ({"beta_schedule": [1], "beta_range": [1, 2]}, "leave one of them out"),
        ({"initial_levels": [1]}, r"initial_levels \(1,\) is neither \(12,\) nor \(2, 12\)"),
        ({"initial_levels": np.full(12, 8)}, "whole numbers from 0 to 7"),
        ({"initial_levels": np.full(12, 0.5)}, "whole numbers from 0 to 7"),
        ({"record_every": 0}, "record_every=0 is not a whole number of at least 1"),
        ({"record_every": 1, "order": "random"}, "record_every is for order=sequential"),
        ({"record_every": 1, "time_limit_s": 1.0}, "record_every is for order=sequential"),
        ({"record_every": 1, "num_sweeps": 10**7, "num_reads": 1000}, "are kept: record fewer"),
    ],
)
def test_what_does_not_go_together_is_one_line(given: dict, said: str) -> None:
    J, h = problem()
    with pytest.raises(ValueError, match=said):
        anneal(J, h, bits=3, **given)
