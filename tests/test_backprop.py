"""The baseline: PyTorch's network is ours, its gradients too; steps, schedules, refusals, and runs that resume."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL, assert_same_run, table

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.experiment.builder import build  # noqa: E402
from annealtrain.experiment.compose import compose_config  # noqa: E402
from annealtrain.nn.forward import ActivationCache  # noqa: E402
from annealtrain.nn.layers import Flatten, Layer  # noqa: E402
from annealtrain.nn.network import Network  # noqa: E402
from annealtrain.nn.torch_network import TorchNetwork  # noqa: E402
from annealtrain.optimizers.backprop import Backpropagation  # noqa: E402
from annealtrain.optimizers.optimizer import Batch, Step  # noqa: E402
from annealtrain.runtime.stage_timer import StageTimer  # noqa: E402
from annealtrain.schedule import DropSchedule, LinearSchedule  # noqa: E402
from annealtrain.testing import OptimizerContract  # noqa: E402


class TestBackpropagation(OptimizerContract):
    anneals = False

    def make(self, **annealing: Any) -> Backpropagation:
        return Backpropagation(1e-2, 30)


class TestBackpropagationOfWholeBatchesByASchedule(OptimizerContract):
    anneals = False

    def make(self, **annealing: Any) -> Backpropagation:
        return Backpropagation(LinearSchedule(5e-2, 1e-3), None)


MODELS = ("linear", "three_linear", "two_linear_small", "conv", "three_conv", "two_conv_small", "lenet")


def network(model: str, alpha: float, bias: bool = False) -> Network:
    overrides = ["samples=4", "validation=0", f"model={model}", f"alpha={alpha}", f"bias={str(bias).lower()}"]
    made = build(compose_config(overrides, None)).network
    random = np.random.default_rng(1)
    for layer in made.trainable:
        layer.weights = random.normal(0, 0.2, layer.weight_shape)
    return made


def gradients(made: Network, inputs: np.ndarray, outputs: np.ndarray) -> list[np.ndarray]:
    """The gradients of the summed squared error by the transposed maps of NumPy's network."""
    state, last = ActivationCache(made, inputs), len(made.trainable) - 1
    error = 2 * (made.predict(inputs) - outputs)
    for layer in reversed(made.tail):
        error = layer.adjoint(error)
    found = []
    for k in range(last, -1, -1):
        derivative = made.trainable[k].activation_derivative(state.preactivation(k))
        error = error if derivative is None else error * derivative
        found.insert(0, made.trainable[k].gradient(state.input(k), error))
        error = made.adjoint(k, error) if k else error
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("alpha", "bias"), [(0.0, True), (0.1, False), (1.0, True)])
def test_outputs_and_gradients_are_those_of_the_network(model: str, alpha: float, bias: bool) -> None:
    made, random = network(model, alpha, bias), np.random.default_rng(0)
    inputs = made.preprocess(random.random((5, 1, 32, 32), dtype=np.float32))
    outputs = random.random((5, 10), dtype=np.float32)
    theirs = TorchNetwork(made)
    weights = theirs.weights()
    found = theirs(torch.from_numpy(np.ascontiguousarray(inputs)), weights)
    ours = made.predict(inputs)
    assert np.abs(found.detach().numpy() - ours).max() <= 1e-5 * np.abs(ours).max()
    ((found - torch.from_numpy(outputs)) ** 2).sum().backward()
    for w, gradient in zip(weights, gradients(made, inputs, outputs), strict=True):
        assert np.abs(w.grad.numpy() - gradient).max() <= 1e-4 * np.abs(gradient).max()


def test_a_layer_of_the_users_own_is_refused_by_name() -> None:
    class Twice(Flatten):
        pass

    class Doubled(Layer):
        def connect(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
            return in_shape

    made = network("linear", 1)
    TorchNetwork(made)
    made.tail = [Doubled()]
    with pytest.raises(InputError, match="no form of the layer Doubled"):
        TorchNetwork(made)
    made.tail = [Twice()]
    TorchNetwork(made)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": 0}, "optimizer.learning_rate=0 is not a number above 0 or a schedule"),
        ({"learning_rate": True}, "optimizer.learning_rate=true is not a number above 0 or a schedule"),
        ({"batch_size": 0}, "optimizer.batch_size=0 is not a whole number of at least 1, or null"),
        ({"threads": 0}, "optimizer.threads=0 is not a whole number of at least 1"),
        ({"loss": "hinge"}, "optimizer.loss='hinge' is not one of mse, cross_entropy"),
        ({"weight_decay": -1}, "optimizer.weight_decay=-1 is not a number of at least 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Backpropagation(**settings)


def test_the_papers_learning_rate() -> None:
    rate = build(compose_config(["optimizer=backprop", "samples=4", "validation=0"], None)).optimizer.learning_rate
    assert isinstance(rate, DropSchedule)
    values = [rate.value(step, 20 * 1000) for step in (0, 9_999, 10_000, 14_999, 15_000, 19_999)]
    assert np.allclose(values, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-12)


def test_absent_torch_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'annealtrain\[torch\]'"):
        Backpropagation()


def run(cli: Callable, folder: str, *more: str) -> Path:
    arguments = [word for word in SMALL if not word.startswith(("bits", "annealing"))]
    arguments += [] if any(word.startswith("optimizer=") for word in more) else ["optimizer=backprop"]
    outcome = cli("train", *arguments, f"hydra.run.dir={folder}", *more)
    assert outcome.code == 0, outcome
    return Path(folder)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("optimizer=backprop_tuned", "batch_size=8", "augment.shift=1"),
        ("optimizer.batch_size=16", "optimizer.loss=cross_entropy", "optimizer.learning_rate=0.01"),
        ("optimizer.batch_size=16", "averaging=0.9"),
    ],
)
def test_a_run_learns_and_resumes_to_the_same_bits(cli: Callable, tmp_path: Path, more: tuple[str, ...]) -> None:
    more = ("model=three_linear", "samples=120", "epochs=4", *more)
    whole = run(cli, "whole", *more)
    rows = table(whole / "metrics.csv")
    assert float(rows[-1]["train_accuracy"]) > float(rows[0]["train_accuracy"]) + 0.1
    assert "L" not in rows[1]
    assert [row["layer"] for row in table(whole / "solves.csv")][:3] == ["0", "1", "2"]
    assert cli("eval", "whole").code == 0
    assert_same_run(whole, run(cli, "again", *more))

    class Killed(Exception):
        pass

    def dies(self: Any, batch: Any, step: Any, progress: Any) -> Any:
        if step.epoch == 2:
            raise Killed
        return original(self, batch, step, progress)

    original = Backpropagation.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backpropagation, "step", dies)
        with pytest.raises(Killed):
            run(cli, "cut", *more)
    assert cli("resume", "cut").code == 0
    assert_same_run(whole, Path("cut"))


def test_its_network_is_exported_and_it_has_no_hamiltonian(cli: Callable) -> None:
    run(cli, "run", "epochs=1")
    assert cli("export", "run", "--format", "torch").code == 0
    assert Path("run/network.pt").exists()
    outcome = cli("export", "run", "--format", "bqm")
    assert outcome.code == 2
    assert "this optimizer solves no Hamiltonians" in outcome.err


def test_it_starts_from_the_same_weights_as_annealing(cli: Callable) -> None:
    first = table(run(cli, "run") / "metrics.csv")[0]
    assert cli("train", *SMALL, "hydra.run.dir=annealed").code == 0
    scores = ("train_accuracy", "val_accuracy", "test_accuracy", "train_loss")
    assert {s: first[s] for s in scores} == {s: table(Path("annealed") / "metrics.csv")[0][s] for s in scores}


def test_one_step_is_adamw() -> None:
    """From rest AdamW shrinks each weight by lr x decay and moves it by lr against the sign of its gradient."""
    made = network("three_linear", 0.1)
    before = [layer.weights.copy() for layer in made.trainable]
    optimizer = Backpropagation(learning_rate=LinearSchedule(0.01, 0.001), batch_size=None, weight_decay=0.5)
    optimizer.start(made, seed=0, timer=StageTimer())
    random = np.random.default_rng(0)
    inputs = made.preprocess(random.random((5, 1, 32, 32), dtype=np.float32))
    outputs = random.random((5, 10), dtype=np.float32)
    expected = gradients(made, inputs, outputs)
    told: list[tuple[int, float]] = []
    rows = optimizer.step(Batch(inputs, outputs), Step(0, 1, 0, 10), lambda *given: told.append(given))
    assert told == [(0, 0.0)]
    assert [row["learning_rate"] for row in rows] == [0.01] * 3
    for layer, w, gradient in zip(made.trainable, before, expected, strict=True):
        clear = np.abs(gradient) > 1e-4 * np.abs(gradient).max()
        moved = (layer.weights - w * (1 - 0.01 * 0.5))[clear]
        assert np.allclose(moved, -0.01 * np.sign(gradient[clear]), atol=2e-4)
