"""The epoch loop: batches, what it reports, averaged weights, going on, and that it learns."""

from functools import partial

import numpy as np
import pytest
from runs_on_blobs import Log, Spy, trainer, untimed

from annealtrain.errors import InputError
from annealtrain.optimizers.layerwise import difference, pinv, pinv_weighted
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runtime import thread_pool
from annealtrain.runtime.ranks import Ranks
from annealtrain.schedule import ConstantSchedule


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


def test_each_process_has_a_sample_of_each_batch(monkeypatch):
    several = Ranks()
    several.size = 4
    monkeypatch.setattr("annealtrain.training.trainer.current_ranks", lambda: several)
    monkeypatch.setattr(Optimizer, "shares_batches", True)
    with pytest.raises(InputError, match="a batch of 3 samples has not one for each of 4 processes"):
        trainer(batch_size=4)  # 90 samples in 23 batches
    trainer(batch_size=5)


def test_scores_are_the_loss_and_accuracies():
    run = trainer(partial(pinv, amplitude=4.0))
    outputs = run.network.predict(run.sets["train"][:]).astype(float)
    labels = run.sets["train"].labels
    scores = run.scores()
    assert scores["train_loss"] == pytest.approx(((outputs - 4 * np.eye(3)[labels]) ** 2).sum() / 90, rel=1e-6)
    assert scores["train_accuracy"] == (outputs.argmax(axis=1) == labels).mean()
    assert "val_accuracy" not in trainer(validation=False).scores()


def test_every_solve_has_its_own_stream():
    spy = Spy()
    trainer(solver=spy, epochs=2).run(Log())
    words = {tuple(seed.generate_state(4)) for _, seed in spy.problems}
    assert len(words) == 4


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
    ("make", "more"),
    [
        (difference, {}),
        (difference, {"batch_size": 40, "averaging": 0.5}),
        (pinv, {"batch_size": 40}),
        (pinv_weighted, {"batch_size": 40, "averaging": 0.5}),
    ],
)
def test_going_on_after_some_epochs_is_the_same_run(make, more):
    whole, run = Log(), trainer(make, **more)
    run.run(whole)
    assert whole.rows[-1]["train_loss"] < 0.8 * whole.rows[0]["train_loss"]
    part = trainer(make, **more)

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
    rest, again = Log(), trainer(make, **more)
    held = first.checkpoints[-1]
    for layer, weights in zip(again.network.trainable, held.weights, strict=True):
        layer.weights = weights
    again.restore(held.state)
    again.run(rest, done=3)
    assert untimed(first.rows + rest.rows) == untimed(whole.rows)
    assert untimed(first.solves + rest.solves) == untimed(whole.solves)


def test_mini_batches_show_each_sample_once_an_epoch_in_a_new_order():
    class Spying(Optimizer):
        amplitude = 2.0

        def __init__(self):
            self.batches, self.steps = [], []

        def step(self, batch, step, progress):
            self.batches.append(batch)
            self.steps.append(step)
            return [{"layer": 0, "L": 1.0, "energy": 1.0, "start_energy": 2.0, "lower_bound": 0.0, "x_s": 1.0}]

    spy, log = Spying(), Log()
    run = trainer(spy, epochs=2, batch_size=40)
    run.run(log)
    inputs, labels = run.sets["train"][:], run.sets["train"].labels
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
    accuracy = (run.network.predict(test).argmax(axis=1) == test.labels).mean()
    assert log.rows[-1]["test_accuracy"] == accuracy


def test_parts_that_do_not_fit_are_refused_before_any_work():
    with pytest.raises(InputError, match="3 values for 2 trainable layers"):
        trainer(schedule=ConstantSchedule([1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match="has 2 values, the model 1 hidden"):
        trainer(partial(pinv, gain=[1.0, 2.0]))
