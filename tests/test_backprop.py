"""The baseline: PyTorch's network is ours, its gradients too; steps, schedules, refusals, and runs that resume."""

import importlib
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
from annealtrain.optimizers import backprop  # noqa: E402
from annealtrain.optimizers.backprop import Backpropagation  # noqa: E402
from annealtrain.optimizers.optimizer import Batch, Step, Task  # noqa: E402
from annealtrain.runtime.stage_timer import StageTimer  # noqa: E402
from annealtrain.schedule import DropSchedule, LinearSchedule  # noqa: E402
from annealtrain.solvers.solver import Solver  # noqa: E402

MODELS = ("linear", "three_linear", "two_linear_small", "conv", "three_conv", "two_conv_small", "lenet")


def network(model: str, alpha: float, bias: bool = False) -> Network:
    overrides = ["samples=4", "validation=0", f"model={model}", f"alpha={alpha}", f"bias={str(bias).lower()}"]
    made = build(compose_config(overrides, None)).network
    random = np.random.default_rng(1)
    for layer in made.trainable:
        layer.weights = random.normal(0, 0.2, layer.weight_shape)
    return made


def gradients(made: Network, stems: np.ndarray, outputs: np.ndarray) -> list[np.ndarray]:
    """The gradients of the summed squared error by the transposed maps of NumPy's network."""
    state, last = ActivationCache(made, stems), len(made.trainable) - 1
    error = 2 * (made.predict(stems) - outputs)
    for layer in reversed(made.tail):
        error = layer.adjoint(error)
    found = []
    for k in range(last, -1, -1):
        slopes = made.activation_derivative(state.preactivation(k))
        error = error if slopes is None else error * slopes
        found.insert(0, made.trainable[k].gradient(state.input(k), error))
        error = made.adjoint(k, error) if k else error
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("alpha", "bias"), [(0.0, True), (0.1, False), (1.0, True)])
def test_outputs_and_gradients_are_those_of_the_network(model: str, alpha: float, bias: bool) -> None:
    made, random = network(model, alpha, bias), np.random.default_rng(0)
    stems = made.preprocess(random.random((5, 1, 32, 32), dtype=np.float32))
    outputs = random.random((5, 10), dtype=np.float32)
    mirror = TorchNetwork(made)
    weights = mirror.weights()
    found = mirror(torch.from_numpy(np.ascontiguousarray(stems)), weights)
    ours = made.predict(stems)
    assert np.abs(found.detach().numpy() - ours).max() <= 1e-5 * np.abs(ours).max()
    ((found - torch.from_numpy(outputs)) ** 2).sum().backward()
    for w, gradient in zip(weights, gradients(made, stems, outputs), strict=True):
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
        ({"learning_rate": 0}, "solver.learning_rate=0"),
        ({"learning_rate": True}, "solver.learning_rate=True"),
        ({"batch_size": 0}, "solver.batch_size=0"),
        ({"threads": 0}, "solver.threads=0"),
        ({"loss": "hinge"}, "mse, cross_entropy"),
        ({"weight_decay": -1}, "solver.weight_decay=-1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Backpropagation(**settings)


def test_the_papers_learning_rate() -> None:
    rate = build(compose_config(["solver=backprop", "samples=4", "validation=0"], None)).targets.learning_rate
    assert isinstance(rate, DropSchedule)
    values = [rate.value(step, 20 * 1000) for step in (0, 9_999, 10_000, 14_999, 15_000, 19_999)]
    assert np.allclose(values, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-12)


def test_absent_torch_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'annealtrain\[torch\]'"):
        importlib.import_module("annealtrain.optimizers.backprop").Backpropagation()
    assert backprop.LOSSES


def run(cli: Callable, folder: str, *more: str) -> Path:
    arguments = [word for word in SMALL if not word.startswith(("bits", "annealing"))]
    arguments += [] if any(word.startswith("solver=") for word in more) else ["solver=backprop"]
    outcome = cli("train", *arguments, f"hydra.run.dir={folder}", *more)
    assert outcome.code == 0, outcome
    return Path(folder)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("solver=backprop_tuned", "batch_size=8", "augment.shift=1"),
        ("solver.batch_size=16", "solver.loss=cross_entropy", "solver.learning_rate=0.01"),
        ("solver.batch_size=16", "averaging=0.9"),
    ],
)
def test_a_run_learns_and_resumes_to_the_same_bits(cli: Callable, tmp_path: Path, more: tuple[str, ...]) -> None:
    more = ("model=three_linear", "samples=200", "epochs=4", *more)
    whole = run(cli, "whole", *more)
    rows = table(whole / "metrics.csv")
    assert float(rows[-1]["train_accuracy"]) > float(rows[0]["train_accuracy"]) + 0.1
    assert "L" not in rows[1]
    assert [row["layer"] for row in table(whole / "solves.csv")][:3] == ["0", "1", "2"]
    assert cli("eval", "whole").code == 0
    assert_same_run(whole, run(cli, "again", *more))

    class Killed(Exception):
        pass

    def dies(self: Any, batch: Any, step: Any, observer: Any) -> Any:
        if step.epoch == 2:
            raise Killed
        return original(self, batch, step, observer)

    original = Backpropagation.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backpropagation, "step", dies)
        with pytest.raises(Killed):
            run(cli, "cut", *more)
    assert cli("resume", "cut").code == 0
    assert_same_run(whole, Path("cut"))


def test_it_starts_from_the_same_weights_as_annealing(cli: Callable) -> None:
    first = table(run(cli, "run") / "metrics.csv")[0]
    assert cli("train", *SMALL, "hydra.run.dir=annealed").code == 0
    scores = ("train_accuracy", "val_accuracy", "test_accuracy", "train_loss")
    assert {s: first[s] for s in scores} == {s: table(Path("annealed") / "metrics.csv")[0][s] for s in scores}


class Silent:
    """An observer that is told of steps and says nothing."""

    def solving(self, epoch: int, layer: int, done: float) -> None:
        assert (epoch, layer, done) == (0, 0, 0)


def test_one_step_is_adamw() -> None:
    """From rest AdamW shrinks each weight by lr x decay and moves it by lr against the sign of its gradient."""
    made = network("three_linear", 0.1)
    before = [layer.weights.copy() for layer in made.trainable]
    update = Backpropagation(learning_rate=LinearSchedule(0.01, 0.001), batch_size=None, weight_decay=0.5)
    update.start(Task(made, Solver(), LinearSchedule(1, 1), 8, 0, StageTimer()))
    random = np.random.default_rng(0)
    stems = made.preprocess(random.random((5, 1, 32, 32), dtype=np.float32))
    outputs = random.random((5, 10), dtype=np.float32)
    expected = gradients(made, stems, outputs)
    rows = update.step(Batch(stems, outputs), Step(0, 1, 0, 10), Silent())  # type: ignore[arg-type]
    assert [row["learning_rate"] for row in rows] == [0.01] * 3
    for layer, w, gradient in zip(made.trainable, before, expected, strict=True):
        clear = np.abs(gradient) > 1e-4 * np.abs(gradient).max()
        moved = (layer.weights - w * (1 - 0.01 * 0.5))[clear]
        assert np.allclose(moved, -0.01 * np.sign(gradient[clear]), atol=2e-4)
