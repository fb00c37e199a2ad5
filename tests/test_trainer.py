"""The epoch loop: step 3's order, what it reports, and that it learns."""

import numpy as np
import pytest

from annealtrain.data.loader import Samples
from annealtrain.errors import InputError
from annealtrain.hamiltonian.layer_problem import LayerProblem
from annealtrain.nn.layers import Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.optimizers.diagnostics import condition_number, saturated_share
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.optimizers.targets import DifferenceTargets, PseudoInverseTargets, WeightedPseudoInverseTargets
from annealtrain.runtime import thread_pool
from annealtrain.schedule import ConstantSchedule, GeometricSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.solver import Solver, SolveResult
from annealtrain.training.trainer import Trainer


class Log:
    def __init__(self):
        self.rows, self.solves, self.told, self.checkpoints = [], [], [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.checkpoints.append(checkpoint)
        self.solves.extend(solves)

    def solving(self, epoch, layer, done):
        self.told.append((epoch, layer, done))


def blobs(count, seed):
    """Three Gaussian classes in 8 dimensions."""
    centres = np.random.default_rng(99).normal(size=(3, 8)) * 2
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    return Samples((centres[labels] + generator.normal(size=(count, 8))).astype(np.float32), labels)


def trainer(targets=None, solver=None, schedule=None, alpha=0.1, epochs=6, seed=0, validation=True, bits=6, **more):
    network = Network([Flatten(), Linear(6), Linear(3)], (1, 2, 4), 3, alpha=alpha, seed=seed)
    sets = {"train": blobs(90, 1), "val": blobs(30, 2), "test": blobs(60, 3)}
    if not validation:
        del sets["val"]
    return Trainer(
        network,
        sets,
        targets or DifferenceTargets(),
        solver or SimulatedAnnealing(60),
        schedule or GeometricSchedule(0.5, 0.01),
        bits=bits,
        epochs=epochs,
        seed=seed,
        **more,
    )


def untimed(rows):
    return [{key: value for key, value in row.items() if not key.endswith(("_s", "_ns"))} for row in rows]


def test_it_learns_and_reports_each_epoch():
    log, run = Log(), trainer()
    run.run(log)
    assert [row["epoch"] for row in log.rows] == list(range(7))
    assert list(log.rows[1])[:5] == ["epoch", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy"]
    assert log.rows[-1]["test_accuracy"] > 0.9 > log.rows[0]["test_accuracy"]
    assert log.rows[-1]["train_loss"] < 0.3 * log.rows[0]["train_loss"]
    assert [(s["epoch"], s["layer"]) for s in log.solves] == [(e, k) for e in range(1, 7) for k in (0, 1)]
    row, solves = log.rows[3], log.solves[4:6]
    assert row["energy"] == sum(s["energy"] for s in solves)
    assert row["L"] == pytest.approx(0.5 * (0.02) ** (2 / 6))
    assert solves[0]["spins"] == 48
    assert solves[1]["units"] == 3
    assert row["total_s"] == pytest.approx(sum(v for k, v in row.items() if k.endswith("_s") and k != "total_s"))
    assert log.told[0] == (0, 0, 1 / 6)
    assert log.told[-1] == (5, 1, 1.0)


def test_scores_are_the_loss_and_accuracies():
    run = trainer(PseudoInverseTargets(amplitude=4.0))
    outputs = run.network.predict(run.sets["train"].inputs).astype(float)
    labels = run.sets["train"].labels
    scores = run.scores()
    assert scores["train_loss"] == pytest.approx(((outputs - 4 * np.eye(3)[labels]) ** 2).sum() / 90, rel=1e-6)
    assert scores["train_accuracy"] == (outputs.argmax(axis=1) == labels).mean()
    assert "val_accuracy" not in trainer(validation=False).scores()


class Spy(Solver):
    """Keeps the problems it is given; moves every live weight to its upper end."""

    def __init__(self):
        self.problems, self.epochs = [], []

    def resolve_schedules(self, epoch, epochs):
        self.epochs.append((epoch, epochs))
        return self

    def solve(self, problem, *, seed=0, progress=None):
        self.problems.append((problem, seed))
        return super().solve(problem, seed=seed, progress=progress)

    def sample(self, form, seed):
        return np.full((1, form.S0.size), 2**form.bits - 1), {}


def test_each_layer_sees_the_weights_just_updated_below_it():
    spy = Spy()
    run = trainer(PseudoInverseTargets(), spy, ConstantSchedule([0.25, 0.125]), epochs=1)
    W0, W1 = (layer.weights.copy() for layer in run.network.trainable)
    run.run(Log())
    first, second = (problem for problem, _ in spy.problems)
    x = run.sets["train"].inputs
    np.testing.assert_array_equal(first.least_squares.inputs, x)
    np.testing.assert_array_equal(first.S0, W0)
    z = x @ (W0 + 0.25).T
    np.testing.assert_allclose(second.least_squares.inputs, np.maximum(z, 0.1 * z), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.network.trainable[0].weights, W0 + 0.25)
    np.testing.assert_allclose(run.network.trainable[1].weights, W1 + 0.125)
    # The slopes are those of the weights before the solve.
    np.testing.assert_array_equal(
        first.least_squares.factors, np.where(x @ W0.T.astype(np.float32) >= 0, 1, np.float32(0.1))
    )
    assert (first.half_range, second.half_range) == (0.25, 0.125)
    assert spy.epochs == [(0, 1), (0, 1)]


def test_the_diagnosis_of_an_epoch_is_what_its_layers_did():
    schedule = ConstantSchedule([20.0, 2.0])  # so wide a range that the first layer raises the loss
    run, log = trainer(PseudoInverseTargets(), schedule=schedule, epochs=1, seed=2), Log()
    old = [layer.weights for layer in run.network.trainable]
    x, outputs = run.sets["train"].inputs.astype(float), 10 * np.eye(3)[run.sets["train"].labels]
    run.run(log)
    new = log.checkpoints[-1].weights

    def slopes(z):
        return np.where(z >= 0, 1, 0.1)

    def loss(first, last):
        z = x @ first.T
        z = (slopes(z) * z) @ last.T
        return ((slopes(z) * z - outputs) ** 2).sum() / 90

    losses = [loss(*old), loss(new[0], old[1]), loss(*new)]
    hidden = x @ new[0].T
    given = [x, slopes(hidden) * hidden]
    wanted = [outputs @ np.linalg.pinv(old[1]).T, outputs]
    for k, solve in enumerate(log.solves):
        gamma = slopes(given[k] @ old[k].T)
        before, after = (gamma * (given[k] @ weights[k].T) for weights in (old, new))
        predicted = (((after - wanted[k]) ** 2).sum() - ((before - wanted[k]) ** 2).sum()) / 90
        cosine = (before * wanted[k]).sum() / np.linalg.norm(before) / np.linalg.norm(wanted[k])
        assert solve["predicted_change"] == pytest.approx(predicted, rel=1e-4)
        assert solve["actual_change"] == pytest.approx(losses[k + 1] - losses[k], rel=1e-4)
        assert solve["target_cosine"] == pytest.approx(cosine, rel=1e-4)
        assert solve["condition"] == pytest.approx(np.linalg.cond(given[k].T @ given[k]), rel=1e-2)
    assert [solve["raised_share"] for solve in log.solves] == [1.0, 0.0]
    assert losses[1] > losses[0] > losses[2]


def test_walls_are_counted_where_weights_changed():
    start = np.array([[0.0, 0.5, -1.0], [0.25, 0.0, 0.0]])
    problem = LayerProblem.from_moments(np.eye(3), np.zeros((2, 3)), np.zeros(2), start, 1.0, 3)
    levels = np.array([[[7, 3, 0]], [[5, 0, 1]]])
    weights = start[:, None] - 1 + 2 * levels / 7
    weights[0, 0, 2] = -1.0  # as it was: no wall
    result = SolveResult(levels, weights, np.zeros((2, 1)), np.zeros(2), np.zeros(2), {})
    assert saturated_share(problem, result) == 2 / 5
    still = SolveResult(levels, start[:, None], np.zeros((2, 1)), np.zeros(2), np.zeros(2), {})
    assert saturated_share(problem, still) == 0.0


def test_the_condition_number_leaves_out_dead_weights():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    J = np.zeros((5, 5))
    J[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])] = turn @ np.diag([0.5, 1.0, 3.0, 20.0]) @ turn.T
    assert condition_number(J) == pytest.approx(40.0)
    assert condition_number(np.ones((2, 2))) == pytest.approx(
        1 / np.finfo(float).eps
    )  # singular: as far as numbers tell
    assert condition_number(np.zeros((2, 2))) is None
    assert condition_number(np.eye(512)) == 1.0
    assert condition_number(np.eye(513)) is None


def test_every_solve_has_its_own_stream():
    spy = Spy()
    trainer(solver=spy, epochs=2).run(Log())
    words = {tuple(seed.generate_state(4)) for _, seed in spy.problems}
    assert len(words) == 4


def test_a_ridge_reaches_the_problem():
    spy = Spy()
    trainer(DifferenceTargets(ridge=0.5), spy, epochs=1).run(Log())
    problem = spy.problems[0][0]
    plain = problem.least_squares.unit_gram(0)
    np.testing.assert_allclose(problem.unit(0).J, plain + 0.5 * np.trace(plain) / 8 * np.eye(8), rtol=1e-12)


def test_the_same_seed_is_the_same_run_on_any_number_of_threads():
    logs = []
    for threads in (1, 1, 3):
        logs.append(Log())
        with thread_pool.threads(threads):
            trainer(alpha=0.01).run(logs[-1])
    assert untimed(logs[0].rows) == untimed(logs[1].rows) == untimed(logs[2].rows)
    assert untimed(logs[0].solves) == untimed(logs[2].solves)
    other = Log()
    trainer(alpha=0.01, seed=1).run(other)
    assert untimed(other.rows) != untimed(logs[0].rows)


@pytest.mark.parametrize(
    ("targets", "more"),
    [
        (DifferenceTargets, {}),
        (DifferenceTargets, {"batch_size": 40, "averaging": 0.5}),
        (PseudoInverseTargets, {"batch_size": 40}),
        (WeightedPseudoInverseTargets, {"batch_size": 40, "averaging": 0.5}),
    ],
)
def test_going_on_after_some_epochs_is_the_same_run(targets, more):
    whole, run = Log(), trainer(targets(), **more)
    run.run(whole)
    assert whole.rows[-1]["train_loss"] < 0.8 * whole.rows[0]["train_loss"]
    part = trainer(targets(), **more)

    class Stop(Exception):
        pass

    class Stopping(Log):
        def epoch_done(self, row, solves, checkpoint):
            super().epoch_done(row, solves, checkpoint)
            if row["epoch"] == 3:
                raise Stop

    first = Stopping()
    with pytest.raises(Stop):
        part.run(first)
    rest, again = Log(), trainer(targets(), **more)
    held = first.checkpoints[-1]
    for layer, weights in zip(again.network.trainable, held.weights, strict=True):
        layer.weights = weights
    again.restore(held.state)
    again.run(rest, done=3)
    assert untimed(first.least_squares + rest.rows) == untimed(whole.rows)
    assert untimed(first.solves + rest.solves) == untimed(whole.solves)


def test_mini_batches_show_each_sample_once_an_epoch_in_a_new_order():
    class Spying(Optimizer):
        amplitude = 2.0

        def __init__(self):
            self.batches, self.steps = [], []

        def step(self, batch, step, observer):
            self.batches.append(batch)
            self.steps.append(step)
            return [{"layer": 0, "L": 1.0, "energy": 1.0, "start_energy": 2.0, "lower_bound": 0.0, "x_s": 1.0}]

    spy, log = Spying(), Log()
    run = trainer(spy, epochs=2, batch_size=40)
    run.run(log)
    inputs, labels = run.sets["train"].inputs, run.sets["train"].labels
    assert [len(batch.inputs) for batch in spy.batches] == [30, 30, 30] * 2
    assert [(s.epoch, s.epochs, s.number, s.total) for s in spy.steps] == [(n // 3, 2, n, 6) for n in range(6)]
    orders = []
    for epoch in (spy.batches[:3], spy.batches[3:]):
        shown = np.concatenate([batch.inputs for batch in epoch])
        order = [int(np.flatnonzero((inputs == x).all(axis=1))[0]) for x in shown]
        assert sorted(order) == list(range(90))
        outputs = np.concatenate([batch.outputs for batch in epoch])
        np.testing.assert_array_equal(outputs, 2 * np.eye(3)[labels[order]])
        orders.append(order)
    assert orders[0] != orders[1]
    assert orders[0] != list(range(90))
    assert [solve["x_s"] for solve in log.solves] == [3.0, 3.0]
    assert log.rows[-1]["energy"] == 1.0


def test_averaged_weights_are_what_is_scored_and_kept():
    log, plain = Log(), Log()
    run = trainer(epochs=4, averaging=0.5)
    run.run(log)
    trainer(epochs=4).run(plain)
    weights = np.array([0.0, 1, 2, 4, 8]) / 15
    for k in range(2):
        mean = sum(w * c.weights[k] for w, c in zip(weights, plain.checkpoints, strict=True))
        np.testing.assert_allclose(log.checkpoints[-1].weights[k], mean, rtol=1e-12)
        np.testing.assert_array_equal(run.network.trainable[k].weights, plain.checkpoints[-1].weights[k])
    for layer, kept in zip(run.network.trainable, log.checkpoints[-1].weights, strict=True):
        layer.weights = kept
    test = run.sets["test"]
    accuracy = (run.network.predict(test.inputs).argmax(axis=1) == test.labels).mean()
    assert log.rows[-1]["test_accuracy"] == accuracy


def test_numbers_out_of_range_end_in_one_line():
    run = trainer(PseudoInverseTargets(), schedule=ConstantSchedule(1e38))
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"epoch 1, layer 1 \(h has values .* not finite\)"):
        run.run(Log())


def test_parts_that_do_not_fit_are_refused_before_any_work():
    with pytest.raises(InputError, match="3 values for 2 trainable layers"):
        trainer(schedule=ConstantSchedule([1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match="has 2 values, the model 1 hidden"):
        trainer(PseudoInverseTargets(gain=[1.0, 2.0]))


@pytest.mark.parametrize("targets", [DifferenceTargets, lambda: PseudoInverseTargets(amplitude=4.0)])
def test_the_next_problem_is_the_one_that_is_solved_next(targets):
    """In the first layer; the layers above it see that one's new weights."""
    log, run = Log(), trainer(targets())
    problem = run.next_problem(0, epoch=0)
    assert (problem.num_units, problem.num_weights, problem.bits, problem.half_range) == (6, 8, 6, 0.5)
    np.testing.assert_array_equal(problem.S0, run.network.trainable[0].weights)
    start = float(sum(problem.unit(i).energy(problem.S0[i]) for i in range(6)))
    last = run.next_problem(1, epoch=6)
    assert (last.num_units, last.num_weights, last.half_range) == (3, 6, pytest.approx(0.01))
    run.run(log)
    assert log.solves[0]["start_energy"] == pytest.approx(start, rel=1e-12)
