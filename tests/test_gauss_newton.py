"""The quadratic model of the network's loss: against the loss itself, its gradient, and what training does with it."""

from itertools import product

import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler, SteepestDescentSolver

from annealtrain.data.loader import Samples
from annealtrain.errors import InputError
from annealtrain.nn.forward import ActivationCache
from annealtrain.nn.jacobian import Jacobian
from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.optimizer import Batch
from annealtrain.runtime import thread_pool
from annealtrain.schedule import ConstantSchedule
from annealtrain.solvers.annealing.path_integral import SimulatedQuantumAnnealing
from annealtrain.solvers.annealing.reference import numpy_chain
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.dimod_samplers import DimodSolver
from annealtrain.solvers.exact import Exact
from annealtrain.training.trainer import Trainer


def network(alpha=0.1, bias=False, seed=0):
    """A convolution with several sites, a pool, a convolution with one site, and two linear layers."""
    layers = [Conv2d(3, 3), SpectralPool2d([3, 3]), Conv2d(5, 3), Flatten(), Linear(4), Linear(3)]
    made = Network(layers, (2, 7, 7), 3, alpha=alpha, bias=bias, seed=seed)
    for layer in made.trainable:  # thresholds too
        layer.weights = layer.weights + 0.05 * np.random.default_rng(1).normal(size=layer.weights.shape)
    return made


def batch(count=150, seed=0):
    generator = np.random.default_rng(seed)
    outputs = np.eye(3)[generator.integers(0, 3, count)]
    return Batch(generator.random((count, 2, 7, 7)), outputs)


def loss(made, shown):
    return ((made.predict(shown.inputs) - shown.outputs) ** 2).sum() / len(shown.outputs)


def signs(made, shown):
    """Return where the pre-activations are positive, for all samples and layers."""
    forward = ActivationCache(made, shown.inputs)
    return np.hstack([forward.preactivation(k).reshape(len(shown.inputs), -1) >= 0 for k in range(len(made.trainable))])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("k", range(4))
def test_the_model_is_the_loss_inside_an_activation_region(k, bias):
    made, shown = network(bias=bias), batch(8)
    model, layer = Jacobian(made, k, shown), made.trainable[k]
    assert model.loss() == pytest.approx(loss(made, shown), rel=1e-12)
    generator, region = np.random.default_rng(k), signs(made, shown)
    for unit in range(min(3, len(layer.weights))):
        change, old, before = generator.normal(size=layer.weights.shape[1]), layer.weights, loss(made, shown)
        change *= 1e-2 / np.linalg.norm(change)
        while True:  # as far as no sample changes the sign of an activation
            layer.weights = old + np.eye(len(old))[:, [unit]] * change
            if (signs(made, shown) == region).all():
                break
            change /= 2
        assert np.linalg.norm(change) > 1e-5  # else d'Jd is lost in rounding
        linear, quadratic = model.gradient(unit) @ change, change @ model.gram(unit) @ change
        actual = loss(made, shown) - before
        assert actual == pytest.approx(linear + quadratic, rel=1e-9)
        assert actual - linear == pytest.approx(quadratic, rel=1e-5)
        model.move(unit, change)
        assert model.loss() == pytest.approx(loss(made, shown), rel=1e-12)
        assert model.true_loss() == pytest.approx(loss(made, shown), rel=1e-12)


@pytest.mark.parametrize("k", range(4))
def test_a_linear_network_has_one_region(k):
    made, shown = network(alpha=1.0), batch()
    model, layer = Jacobian(made, k, shown), made.trainable[k]
    change = np.random.default_rng(0).normal(size=layer.weights.shape[1])
    before, expected = model.loss(), model.gradient(1) @ change + change @ model.gram(1) @ change
    model.move(1, change)
    layer.weights = layer.weights + np.eye(len(layer.weights))[:, [1]] * change
    assert model.loss() - before == pytest.approx(expected, rel=1e-9)
    assert loss(made, shown) - before == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", range(4))
def test_the_gradient_is_that_of_finite_differences(k):
    made, shown = network(bias=True), batch(20)
    model, layer = Jacobian(made, k, shown), made.trainable[k]
    weights, step = layer.weights, 1e-6
    for unit in range(len(weights)):
        numeric = np.empty(weights.shape[1])
        for j in range(weights.shape[1]):
            sides = []
            for sign in (1, -1):
                layer.weights = weights.copy()
                layer.weights[unit, j] += sign * step
                sides.append(loss(made, shown))
            numeric[j] = (sides[0] - sides[1]) / (2 * step)
        layer.weights = weights
        np.testing.assert_allclose(model.gradient(unit), numeric, rtol=1e-5, atol=1e-8)


def test_the_gradient_is_that_of_autograd():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")
    made, shown = network(), batch()
    weights = [torch.tensor(layer.weights, requires_grad=True) for layer in made.trainable]
    x = torch.tensor(shown.inputs)
    slope = torch.nn.functional.leaky_relu
    x = slope(torch.nn.functional.conv2d(x, weights[0].reshape(3, 2, 3, 3)), 0.1)
    x = (x.flatten(2) @ torch.tensor(made.leading[1][0].matrix())).flatten(1)
    for k in range(1, 4):
        x = slope(x @ weights[k].T, 0.1)
    (((x - torch.tensor(shown.outputs)) ** 2).sum() / len(x)).backward()
    for k, layer in enumerate(made.trainable):
        model = Jacobian(made, k, shown)
        ours = np.array([model.gradient(unit) for unit in range(len(layer.weights))])
        np.testing.assert_allclose(ours, weights[k].grad.numpy(), rtol=1e-9, atol=1e-12)


class Log:
    def __init__(self):
        self.rows, self.solves, self.checkpoints = [], [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.solves.extend(solves)
        self.checkpoints.append(checkpoint)

    def solving(self, epoch, layer, done):
        pass


def trainer(update=None, solver=None, epochs=4, bits=6, half_range=0.2, **more):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 120)
    inputs = (generator.random((120, 2, 7, 7)) + np.eye(3)[labels][:, :2, None, None]).astype(np.float32)
    sets = {"train": Samples(inputs, labels), "test": Samples(inputs[:40], labels[:40])}
    return Trainer(
        network(alpha=0.1),
        sets,
        update or GaussNewton(1e-3),
        solver or SimulatedAnnealing(5),
        ConstantSchedule(half_range),
        bits=bits,
        epochs=epochs,
        seed=0,
        **more,
    )


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
        (SimulatedAnnealing(3, run_chain=numpy_chain), 2),
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
    shown = Samples(generator.normal(size=(50, 1, 2, 3)).astype(np.float32), generator.integers(0, 3, 50))
    energies = []
    for solver in (Exact(), SimulatedAnnealing(50)):
        run = Trainer(
            Network(made, (1, 2, 3), 3, alpha=0.1),
            {"train": Samples(shown.inputs.reshape(50, 6), shown.labels)},
            GaussNewton(),
            solver,
            ConstantSchedule(0.2),
            bits=2,
            epochs=1,
            seed=0,
        )
        log = Log()
        run.run(log)
        energies.append(log.solves[0]["energy"])
    assert energies[0] <= energies[1] + 1e-9


def one_layer(ridge):
    """One linear layer, whose units have nothing to do with one another, and its first step's row."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(50, 4))
    shown = Samples(inputs, inputs[:, :3].argmax(axis=1))
    made, log = Network([Flatten(), Linear(3)], (1, 2, 2), 3, alpha=1.0), Log()
    update, schedule = GaussNewton(ridge), ConstantSchedule(0.7)
    run = Trainer(made, {"train": shown}, update, Exact(), schedule, bits=3, epochs=1, seed=0)
    run.run(log)
    return made.trainable[0].weights, log.solves[0], shown


def test_a_ridge_is_part_of_the_energy_and_of_what_is_found():
    start = Network([Flatten(), Linear(3)], (1, 2, 2), 3, alpha=1.0).trainable[0].weights
    levels = np.arange(-7, 8, 2) / 10
    changes = np.array([np.zeros(4), *product(levels, repeat=4)])
    found = {}
    for ridge in (0.0, 0.5, 5.0):
        weights, row, shown = one_layer(ridge)
        outputs, by_hand, energy = np.eye(3)[shown.labels], start.copy(), 0.0
        for unit in range(3):
            away = (start[unit] + changes) @ shown.inputs.T - outputs[:, unit]
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
        return trainer(GaussNewton(1e-5, adaptive=False), half_range=0.05, batch_size=30, epochs=3, **more)

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


@pytest.mark.parametrize(("wrong", "told"), [({"ridge": -1}, "ridge=-1"), ({"adaptive": 1}, "adaptive=1")])
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        GaussNewton(**wrong)
