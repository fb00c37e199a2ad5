"""What outputs are fitted to, and how they are scored: against scikit-learn's measures."""

import numpy as np
import pytest

from annealtrain.training.task import Classification, Regression


def test_classes():
    task, labels = Classification(), np.array([2, 0])
    outputs = task.outputs(labels, 3, 10.0)
    assert (outputs.dtype, outputs.tolist()) == (np.float32, [[0, 0, 10], [10, 0, 0]])
    assert task.scores(np.array([[1, 2, 3], [1, 2, 3.0]]), labels, 10.0) == {"accuracy": 0.5}


@pytest.mark.parametrize("amplitude", [1.0, 10.0])
def test_real_targets_are_scored_in_their_own_units(amplitude):
    from sklearn.metrics import mean_squared_error, r2_score, root_mean_squared_error

    random = np.random.default_rng(0)
    unit, offset = np.array([20.0, 0.3]), np.array([5.0, -1.0])
    labels = random.normal(0, 1, (50, 2)).astype(np.float32)
    outputs = ((labels + random.normal(0, 0.3, labels.shape)) * amplitude).astype(np.float32)
    task = Regression(unit)
    np.testing.assert_allclose(task.outputs(labels, 2, amplitude), labels * amplitude)
    found = task.scores(outputs, labels, amplitude)
    true, told = labels * unit + offset, outputs / amplitude * unit + offset
    assert found["mse"] == pytest.approx(mean_squared_error(true, told), rel=1e-4)
    assert found["r2"] == pytest.approx(r2_score(true, told), rel=1e-4)
    one = Regression(unit[:1]).scores(outputs[:, :1], labels[:, :1], amplitude)
    assert one["rmse"] == pytest.approx(root_mean_squared_error(true[:, 0], told[:, 0]), rel=1e-4)


def test_r2_of_a_constant_target():
    task, labels = Regression(np.ones(1)), np.ones((4, 1), np.float32)
    assert task.scores(labels, labels, 1.0)["r2"] == 1
    assert task.scores(labels + 1, labels, 1.0)["r2"] == 0
