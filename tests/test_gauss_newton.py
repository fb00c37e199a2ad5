"""Training by Hamiltonians of the whole network's loss: steps that are taken or halved, ranges, ridges."""

from itertools import product

import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler, SteepestDescentSolver
from small_network import network

from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.runtime import thread_pool
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import ReferenceAnnealing
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.dimod_samplers import DimodSolver
from annealtrain.solvers.exact import Exact
from annealtrain.testing import OptimizerContract
from annealtrain.training.trainer import Trainer


class TestGaussNewton(OptimizerContract):
    def make(self, **annealing):
        return GaussNewton(1e-3, **annealing)


class TestGaussNewtonByItsSchedule(OptimizerContract):
    def make(self, **annealing):
        return GaussNewton(1e-3, adaptive=False, **annealing)


class TestGaussNewtonInBlocks(OptimizerContract):
    def make(self, **annealing):
        return GaussNewton(1e-3, block=4, **annealing)


class Log:
    def __init__(self):
        self.rows, self.solves, self.checkpoints = [], [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.solves.extend(solves)
        self.checkpoints.append(checkpoint)

    def solving(self, epoch, layer, done):
        pass


def trainer(ridge=1e-3, solver=None, epochs=4, bits=6, half_range=0.2, adaptive=True, **more):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 120)
    inputs = (generator.random((120, 2, 7, 7)) + np.eye(3)[labels][:, :2, None, None]).astype(np.float32)
    sets = {"train": Loader(inputs, labels), "test": Loader(inputs[:40], labels[:40])}
    annealing = {"solver": solver or SimulatedAnnealing(5), "half_range": ConstantSchedule(half_range), "bits": bits}
    return Trainer(network(), sets, GaussNewton(ridge, adaptive, **annealing), epochs=epochs, seed=0, **more)


def test_the_accepted_loss_never_rises():
    log, run = Log(), trainer(half_range=2.0, epochs=6)  # so wide a range that steps overshoot
    run.run(log)
    assert sum(solve["backtracks"] for solve in log.solves) > 0
    assert all(solve["actual_change"] <= 0 for solve in log.solves)
    assert all(solve["predicted_change"] <= 0 for solve in log.solves)
    totals = []
    for row, held in zip(log.rows, log.checkpoints, strict=True):
        totals.append(row["train_loss"] + 1e-3 * sum((w**2).sum() for w in held.weights))
    assert np.all(np.diff(totals) <= 1e-6)
    changes = [s["actual_change"] for s in log.solves]
    assert totals[0] + sum(changes) == pytest.approx(totals[-1], rel=1e-4)
    assert log.rows[-1]["train_loss"] < 0.5 * log.rows[0]["train_loss"]


def test_the_range_follows_the_model():
    run = trainer(half_range=1e-3, epochs=3)
    log = Log()
    run.run(log)
    first = [solve["L"] for solve in log.solves if solve["layer"] == 3]
    assert first == pytest.approx([1e-3, 1.3e-3, 1.69e-3])  # so small a step is as predicted
    halved = [(a, b) for a, b in zip(wide_steps()[:-1], wide_steps()[1:], strict=True) if a["backtracks"]]
    assert halved
    assert all(b["L"] == a["L"] / 2 for a, b in halved)


def wide_steps():
    log = Log()
    trainer(half_range=2.0, epochs=5).run(log)
    return [solve for solve in log.solves if solve["layer"] == 3]


@pytest.mark.parametrize(
    ("solver", "bits"),
    [
        (SimulatedAnnealing(5, move="slice"), 8),
        (SimulatedAnnealing(5), 1),
        (SimulatedQuantumAnnealing(5, num_slices=16), 2),
        (ReferenceAnnealing(3), 2),
        (DimodSolver(SimulatedAnnealingSampler()), 2),
        (DimodSolver(SteepestDescentSolver()), 2),
    ],
)
def test_any_solver_lowers_the_loss(solver, bits):
    log = Log()
    trainer(solver=solver, bits=bits, epochs=2).run(log)
    assert log.rows[-1]["train_loss"] < 0.8 * log.rows[0]["train_loss"]


def test_exact_solutions_of_small_layers_are_at_least_as_low():
    made = [Flatten(), Linear(3)]
    generator = np.random.default_rng(0)
    shown = Loader(generator.normal(size=(50, 6)).astype(np.float32), generator.integers(0, 3, 50))
    energies = []
    for solver in (Exact(), SimulatedAnnealing(50)):
        optimizer = GaussNewton(solver=solver, half_range=ConstantSchedule(0.2), bits=2)
        run = Trainer(Network(made, (1, 2, 3), 3, alpha=0.1), {"train": shown}, optimizer, epochs=1, seed=0)
        log = Log()
        run.run(log)
        energies.append(log.solves[0]["energy"])
    assert energies[0] <= energies[1] + 1e-9


def one_layer(ridge):
    """One linear layer, whose units have nothing to do with one another, and its first step's row."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(50, 4))
    shown = Loader(inputs, inputs[:, :3].argmax(axis=1))
    made, log = Network([Flatten(), Linear(3)], (1, 2, 2), 3, alpha=1.0), Log()
    optimizer = GaussNewton(ridge, solver=Exact(), half_range=ConstantSchedule(0.7), bits=3)
    Trainer(made, {"train": shown}, optimizer, epochs=1, seed=0).run(log)
    return made.trainable[0].weights, log.solves[0], inputs, shown.labels


def test_a_ridge_is_part_of_the_energy_and_of_what_is_found():
    start = Network([Flatten(), Linear(3)], (1, 2, 2), 3, alpha=1.0).trainable[0].weights
    levels = np.arange(-7, 8, 2) / 10
    changes = np.array([np.zeros(4), *product(levels, repeat=4)])
    found = {}
    for ridge in (0.0, 0.5, 5.0):
        weights, row, inputs, labels = one_layer(ridge)
        outputs, by_hand, energy = np.eye(3)[labels], start.copy(), 0.0
        for unit in range(3):
            away = (start[unit] + changes) @ inputs.T - outputs[:, unit]
            energies = (away**2).sum(axis=1) / 50 + ridge * ((start[unit] + changes) ** 2).sum(axis=1)
            by_hand[unit] += changes[energies.argmin()]
            energy += energies.min()
        np.testing.assert_allclose(weights, by_hand, rtol=1e-12)
        assert row["energy"] == pytest.approx(energy, rel=1e-9)
        assert row["actual_change"] == pytest.approx(energy - row["start_energy"], rel=1e-6)
        found[ridge] = weights
    assert not np.array_equal(found[0.0], found[5.0])


def test_mini_batches_follow_the_schedule_and_resume():
    def run(**more):
        return trainer(1e-5, adaptive=False, half_range=0.05, batch_size=30, epochs=3, **more)

    whole, part = Log(), run()
    part.run(whole)
    assert {solve["L"] for solve in whole.solves} == {0.05}
    assert whole.rows[-1]["train_loss"] < whole.rows[0]["train_loss"]
    rest, again = Log(), run()
    for layer, held in zip(again.network.trainable, whole.checkpoints[2].weights, strict=True):
        layer.weights = held
    again.restore(whole.checkpoints[2].state)
    again.run(rest, done=2)
    assert rest.rows[0]["train_loss"] == whole.rows[-1]["train_loss"]


def test_an_adapted_range_survives_a_restart():
    whole, first = Log(), trainer(half_range=2.0)
    first.run(whole)
    rest, again = Log(), trainer(half_range=2.0)
    for layer, held in zip(again.network.trainable, whole.checkpoints[2].weights, strict=True):
        layer.weights = held
    again.restore(whole.checkpoints[2].state)
    again.run(rest, done=2)
    assert [s["L"] for s in rest.solves] == [s["L"] for s in whole.solves if s["epoch"] > 2]
    assert rest.rows[-1]["train_loss"] == whole.rows[-1]["train_loss"]


def test_the_number_of_threads_changes_nothing():
    logs = []
    for threads in (1, 3):
        logs.append(Log())
        with thread_pool.threads(threads):
            trainer(epochs=1).run(logs[-1])
    assert logs[0].rows[-1]["train_loss"] == logs[1].rows[-1]["train_loss"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ridge": -1}, "optimizer.ridge=-1 is not a number of at least 0"),
        ({"adaptive": 1}, "optimizer.adaptive=1 is not one of true, false"),
    ],
)
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        GaussNewton(**wrong, solver=Exact(), half_range=ConstantSchedule(0.1), bits=2)
