"""Runs of torch modules: a user's own class trains, is kept whole, resumes, is scored and exported the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_run, composed, table, write_mnist
from small_module import SMALL_MODULE

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")

import annealtrain  # noqa: E402
from annealtrain.commands.estimate import _unread  # noqa: E402
from annealtrain.experiment import first_weights  # noqa: E402
from annealtrain.experiment.builder import network_of  # noqa: E402
from annealtrain.nn import footprint  # noqa: E402
from annealtrain.nn.run_module import RunModule  # noqa: E402
from annealtrain.runs import checkpoint  # noqa: E402
from annealtrain.runtime import memory  # noqa: E402
from annealtrain.training.trainer import Trainer  # noqa: E402

QUICK = ("dataset=digits", "samples=120", "validation=40", "epochs=3", "threads=1", "batch_size=40")
OWN = "model={_target_: my_models.Small, width: 6}"
TRUST = ("--trust", "my_models")


@pytest.fixture
def mine(cli: Callable, tmp_path: Path) -> Path:
    (tmp_path / "my_models.py").write_text(SMALL_MODULE)
    return tmp_path


def train(cli: Callable, name: str, *words: str) -> str:
    outcome = cli("train", *QUICK, *words, f"hydra.run.dir={name}")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return str(outcome.out)


WAYS = {
    "kronecker": ("augment.shift=1", "averaging=0.5"),
    "gauss_newton": ("optimizer=gauss_newton", "rest=sgd", "batch_size=null", "annealing.num_sweeps=2", "bits=4"),
    "kronecker in half precision": ("precision=bfloat16", "kronecker.loss=cross_entropy"),
    "backprop": ("optimizer=backprop", "optimizer.batch_size=10", "averaging=0.5"),
    "backprop_sgd": ("optimizer=backprop_sgd",),
    "kronecker on a grid": ("grid=fixed", "levels=5", "optimizer.loss=cross_entropy"),
    "gauss_newton on a grid": ("optimizer=gauss_newton", "grid=fixed", "bits=2", "rest=adamw", "batch_size=null"),
    "backprop on a grid": ("optimizer=backprop_sgd", "grid=fixed", "bits=1"),
}


def assert_on_grid(cli: Callable, folder: Path) -> None:
    """Assert that the weights of a run on a grid are those of its codes, with the bias as one more weight."""
    counts = json.loads((folder / "result.json").read_text()).get("levels")
    if counts is None:
        return
    assert cli("export", str(folder), *TRUST, "--format=codes").code == 0
    with np.load(folder / "codes.npz") as codes:
        top = int(codes["num_levels"]) - 1
        for k, weights in enumerate(checkpoint.read_checkpoint(folder / "last.npz")[0]):
            assert counts[k] <= top + 1
            given = codes[f"scales_{k}"][:, None] * (2.0 * codes[f"levels_{k}"] / top - 1)
            np.testing.assert_allclose(weights, given, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_kept_whole_and_resumes_to_the_same_bits(cli: Callable, mine: Path, way: str) -> None:
    words = (OWN, *WAYS[way])
    told = train(cli, "whole", *words)
    assert ("by Hamiltonians: " in told) == ("backprop" not in way)
    rows = table(mine / "whole" / "metrics.csv")
    assert float(rows[-1]["train_loss"]) < float(rows[1]["train_loss"])
    outcome = cli("eval", "whole", *TRUST)
    assert (outcome.code, outcome.out.count("the same as recorded")) == (0, 2)
    assert_on_grid(cli, mine / "whole")

    class Killed(Exception):
        pass

    batches = Trainer._batches

    def dies(self: Trainer, epoch: int) -> Any:
        if epoch == 2:
            raise Killed
        return batches(self, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_batches", dies)
        with pytest.raises(Killed):
            train(cli, "cut", *words)
    assert "add --trust my_models" in cli("resume", "cut").err
    assert cli("resume", "cut", *TRUST).code == 0
    assert_same_run(mine / "whole", mine / "cut")


@pytest.mark.parametrize("way", ["bfloat16 kronecker", "bfloat16 backprop", "float64 kronecker"])
def test_modules_of_other_types_are_kept_and_exported(cli: Callable, mine: Path, way: str) -> None:
    """NumPy has no bfloat16: files hold float32, which has all its numbers."""
    kind, optimizer = way.split()
    other = f"\n\ndef other(**settings):\n    return Small(**settings).to(torch.{kind})\n"
    (mine / "my_models.py").write_text(SMALL_MODULE + other)
    model = "model={_target_: my_models.other, width: 6, num_classes: 10, in_channels: 1}"
    train(cli, "whole", model, f"optimizer={optimizer}", "epochs=2")
    train(cli, "run", model, f"optimizer={optimizer}", "epochs=1")
    outcome = cli("eval", "run", *TRUST)
    assert (outcome.code, outcome.out.count("the same as recorded")) == (0, 2)
    assert cli("resume", "run", "epochs=2", *TRUST).code == 0
    held = checkpoint.read_module(Path("run/last.npz"))
    assert held["head.weight"].dtype == (np.float64 if kind == "float64" else np.float32)
    assert cli("export", "run", "--format=torch", *TRUST).code == 0
    state = torch.load("run/network.pt", weights_only=True)
    assert state["head.weight"].dtype == getattr(torch, kind)
    np.testing.assert_array_equal(state["head.weight"].double().numpy(), held["head.weight"].astype(np.float64))
    runtime = pytest.importorskip("onnxruntime")
    assert cli("export", "run", "--format=onnx", *TRUST).code == 0
    trained = annealtrain.load("run", trust="my_models")._trainer[0]
    images = np.ascontiguousarray(trained.sets["test"][:20], np.float32)
    found = runtime.InferenceSession("run/network.onnx").run(None, {"images": images})[0]
    np.testing.assert_allclose(found, trained.network.predict(images), atol=0.1 if kind == "bfloat16" else 1e-5)


def test_what_trains_which_weights_is_told(cli: Callable, mine: Path) -> None:
    told = train(cli, "run", OWN, "epochs=1")
    lines = [
        "by Hamiltonians: 310 weights of 2 layers: features.0, head",
        "by AdamW: 12 weights of features.1 (BatchNorm2d)",
    ]
    assert told.splitlines()[:2] == lines
    assert json.loads(Path("run/meta.json").read_text())["weights"] == lines
    told = train(cli, "none", "model={_target_: my_models.Small, width: 6, affine: false}", "epochs=1")
    assert told.splitlines()[0] == "all weights by Hamiltonians: 310 weights of 2 layers: features.0, head"
    told = train(cli, "frozen", OWN, "epochs=1", "rest=frozen", "trainable=[head]")
    assert told.splitlines()[1] == ("frozen: features.0.weight, features.0.bias, features.1.weight, features.1.bias")
    held = [checkpoint.read_module(Path("frozen") / f"{name}.npz") for name in ("last", "best")]
    first = torch.nn.Module.state_dict(annealtrain.load("frozen", "my_models")._trainer[0].network.module)
    for name in ("features.0.weight", "features.1.bias"):
        np.testing.assert_array_equal(held[0][name], first[name])
    assert not np.array_equal(held[0]["features.1.running_mean"], np.zeros(6))  # statistics are no weights: they go on


def test_averaged_weights_have_statistics_of_their_own(cli: Callable, mine: Path) -> None:
    """Those of the module with the averages: what one pass over the training samples would measure."""
    train(cli, "run", OWN, "averaging=0.9")
    run = annealtrain.load("run", trust="my_models")
    trainer = run._trainer[0]
    network: RunModule = trainer.network
    held = network.others()
    with torch.no_grad():
        z = network.module.features[0](torch.from_numpy(trainer.sets["train"][:]))
    np.testing.assert_allclose(held["features.1.running_mean"], z.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(held["features.1.running_var"], z.var(dim=(0, 2, 3)), rtol=1e-4)
    assert float(held["features.1.num_batches_tracked"]) == 1
    state = checkpoint.read_state(Path("run/last.npz"))
    assert not np.array_equal(state["present.features.1.running_mean"], held["features.1.running_mean"])


def test_the_library_works_on_it(cli: Callable, mine: Path) -> None:
    train(cli, "run", OWN)
    run = annealtrain.load("run", trust=["my_models"])
    assert run.evaluate() == {name: value for name, value in run.result["last"].items() if name != "epoch"}
    problem = run.problem(1)
    assert (problem.num_units, problem.num_weights) == (10, 25)
    run.set_unit(1, 3, problem.solve(num_sweeps=2, threads=1).best_weights[3])
    assert not np.array_equal(run.weights(1)[3], annealtrain.load("run", trust="my_models").weights(1)[3])
    assert set(run.evaluate()) == set(run.result["last"]) - {"epoch"}
    again = annealtrain.train(folder="again", model={"_target_": "my_models.Small", "width": 6}, **_settings())
    assert again.result["last"] == run.result["last"]


def _settings() -> dict[str, Any]:
    words = dict(word.split("=") for word in QUICK)
    return {name: int(value) if value.isdigit() else value for name, value in words.items()}


def test_exports_score_as_the_run_does(cli: Callable, mine: Path) -> None:
    """A trained module is brought in, its last layer annealed, and exported: the same classes everywhere."""
    runtime = pytest.importorskip("onnxruntime")
    train(cli, "trained", OWN, "optimizer=backprop_sgd", "epochs=5")
    assert cli("export", "trained", "--format=torch", "--output=mine.pt", *TRUST).code == 0
    train(
        cli,
        "run",
        OWN,
        "init=mine.pt",
        "trainable=[head]",
        "rest=frozen",
        "epochs=2",
        "kronecker.half_range.first=0.05",
    )
    for kind in ("torch", "onnx", "coo"):
        assert cli("export", "run", f"--format={kind}", *TRUST).code == 0
    assert "layer 0, unit 0" in Path("run/layer0_unit0.coo").read_text()
    recorded = json.loads(Path("run/result.json").read_text())["last"]
    test = annealtrain.load("run", trust="my_models")._trainer[0].sets["test"]
    images, labels = test[:], test.labels

    import my_models

    module = my_models.Small(10, 1, 6)
    module.load_state_dict(torch.load("run/network.pt", weights_only=True))
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(images)).numpy()
    session = runtime.InferenceSession(Path("run/network.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["outputs"], {"images": images})
    for each in (outputs, found):
        assert (each.argmax(axis=1) == labels).mean() == recorded["test_accuracy"]
    before = torch.load("mine.pt", weights_only=True)
    after = torch.load("run/network.pt", weights_only=True)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {"features.1.running_mean", "features.1.running_var", "features.1.num_batches_tracked"}
    assert changed == {"head.weight", "head.bias"} | statistics


def test_rows_of_a_table_and_regression(cli: Callable, mine: Path) -> None:
    words = ("model={_target_: my_models.Rows}", "dataset=sklearn", "epochs=4", "validation=40", "samples=200")
    train(cli, "classes", *words, "dataset.name=breast_cancer")
    assert float(table(mine / "classes" / "metrics.csv")[-1]["test_accuracy"]) > 0.8
    line = cli("train", *QUICK, *words, "dataset.name=diabetes", "hydra.run.dir=refused").err
    assert "by default, is for classes: add optimizer.loss=squared_error for real targets" in line
    train(cli, "targets", *words, "dataset.name=diabetes", "kronecker.loss=squared_error")
    rows = table(mine / "targets" / "metrics.csv")
    assert float(rows[-1]["test_r2"]) > float(rows[0]["test_r2"])


def test_a_run_travels_and_goes_on(cli: Callable, refused: Callable, mine: Path) -> None:
    write_mnist(mine / "data")
    model = "model={_target_: my_models.Small, affine: false}"
    words = [
        model,
        "dataset=mnist",
        "data_dir=data",
        "image_size=8",
        "samples=30",
        "validation=10",
        *WAYS["gauss_newton"],
    ]
    train(cli, "run", *words, "epochs=1")
    (mine / "data").rename(mine / "moved")
    line = refused("eval", "run", *TRUST)
    assert line.endswith("MNIST/raw: say where they are, --data-dir DIR")
    where = (*TRUST, "--data-dir", "moved")
    assert cli("eval", "run", *where, "--exact").out.count("the same as recorded") == 2
    assert cli("export", "run", "--format=torch", *where).code == 0
    outcome = cli("resume", "run", "epochs=2", *where)
    assert outcome.err == "goes on from epoch 1 to 2, as a run of 2 epochs does: nothing falls over its length\n"
    (mine / "moved").rename(mine / "data")
    train(cli, "whole", *words, "epochs=2")
    assert_same_run(mine / "whole", mine / "run")

    assert cli("quantize", "run", "samples=20", "solver=babai", *TRUST, "--output", "few").code == 0
    write_mnist(mine / "others", train=61)
    assert "are not those of the run in run" in refused("eval", "run", *TRUST, "--data-dir", "others")


def test_rates_of_the_rest_fall_over_a_run(cli: Callable, mine: Path) -> None:
    train(cli, "run", OWN, *WAYS["gauss_newton"], "epochs=1")
    assert (
        "from epoch 1 to 2: the learning rate of rest is from here on" in cli("resume", "run", "epochs=2", *TRUST).err
    )
    assert json.loads(Path("run/meta.json").read_text())["extended"][0]["rescheduled"] == ["the learning rate of rest"]


@pytest.mark.parametrize("way", WAYS)
def test_estimates_of_memory_and_seconds(cli: Callable, refused: Callable, mine: Path, monkeypatch, way: str) -> None:
    words = (*QUICK, OWN, *WAYS[way])
    lines = cli("estimate", *words, "--probe", "0.01").out.splitlines()
    assert "Conv2d" in lines[1]
    assert re.match(
        r"Training on 120 samples .* holds about [\d.]+ [MG]B, [\d.]+ [MG]B of it the program itself\.", lines[-3]
    )
    assert re.match(r"An epoch takes about \S+ s on 1 thread, .*: measured on ", lines[-1])
    monkeypatch.setattr(memory, "available_bytes", lambda: 90_000_000)
    assert "MB; 90 MB are available: take " in refused("train", *words)


def test_images_stay_as_they_are(cli: Callable) -> None:
    """A set that need not be read, a module that the package brings: its inputs are the images, no smaller ones."""
    words = ("model=resnet8", "dataset=cifar10", "samples=1000", "validation=0", "threads=1")
    network = network_of(composed(*words), (3, 32, 32), 10)
    assert footprint.input_bytes(network, 1000) == 4 * 1000 * 3 * 32 * 32
    for more, least in (([], 0), (["optimizer=gauss_newton", "batch_size=null"], 10**9)):
        footing = _unread(composed(*words, *more))[0]
        assert footing.set_bytes == 60_000 * 3 * 32 * 32
        assert footing.run_bytes > footing.set_bytes + footprint.OF_TORCH + least
    assert "Training on 1000 samples in batches of" in cli("estimate", *words, "--probe", "0").out


def test_a_batch_of_one_sample_that_a_norm_cannot_take_is_told(cli: Callable) -> None:
    small = ("dataset=digits", "image_size=[16,16]", "samples=20", "validation=10", "epochs=1", "threads=1")
    words = ("model=vgg_airbench", "optimizer=backprop", *small)
    outcome = cli("train", *words, "optimizer.batch_size=1", "hydra.run.dir=one")
    assert outcome.code != 0
    assert "a norm of the module has no statistics of a batch of one sample in training mode (" in outcome.err
    assert "Traceback" not in outcome.err
    assert cli("train", *words, "optimizer.batch_size=10", "hydra.run.dir=ten").code == 0


def test_half_precision_is_of_training_passes_alone() -> None:
    def made(precision: str) -> RunModule:
        torch.manual_seed(0)
        layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 5)
        )
        return RunModule(layers, (3, 8, 8), precision=precision)

    plain, half = made("float32"), made("bfloat16")
    images = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)
    assert plain.tensor(images).is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(half.predict(images), plain.predict(images))
    tapes = [network.training_tape(images, 0) for network in (plain, half)]
    assert tapes[1].outputs.dtype == np.float32
    towards = np.ones_like(tapes[0].outputs)
    pairs = [(tapes[0].outputs, tapes[1].outputs)]
    for way in ("gradients", "backward"):
        pairs += zip(*(getattr(tape, way)(towards) for tape in tapes), strict=True)
    for exact, coarse in pairs:
        assert 0 < np.linalg.norm(coarse - exact) < 0.05 * np.linalg.norm(exact) or np.ptp(exact) == 0


FAULTY = """
import torch
from torch import nn
from my_models import Small

class Two(Small):
    def forward(self, x):
        found = super().forward(x)
        return (found, found) if self.training else found

class Spoils(Small):
    def forward(self, x):
        seen = torch.sigmoid(self.features(x).flatten(1))
        found = self.head(seen)
        seen.add_(1)
        return found

class Lazy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.LazyLinear(num_classes)

class Lacks(nn.Module):
    def __init__(self, num_classes):
        raise KeyError("depth")

class Open(Small):
    def __init__(self, **settings):
        super().__init__(**settings)

def rows():
    return 1 / 0
"""
ROWS = ["dataset=sklearn", "dataset.name=iris", "samples=60", "validation=20"]
OTHER = "model={_target_: my_models.%s}"
REFUSED: list[tuple[list[str], str]] = [
    ([OTHER % "Smal"], "model._target_=my_models.Smal: my_models has no Smal; did you mean 'Small'?"),
    ([OTHER % "Small, num_classes: 7"], "the model has 7 outputs, the dataset needs 10: "),
    ([OTHER % "Small, widht: 7"], "no setting 'model.widht'; did you mean 'width' in model?"),
    ([OTHER % "Small, in_channels: 2"], "the model does not take samples of 1x8x8: RuntimeError"),
    (["model={_target_: os.getcwd}"], "model._target_ makes a str, not a torch.nn.Module"),
    ([OWN, "trainable=[tail]"], "trainable=tail: the module has no such layer; it has 0 features.0, 1 head"),
    ([OWN, "init=none.pt"], "none.pt cannot be read (No such file or directory): give a run folder or a .pt file"),
    ([OWN, "init=other.pt"], "it has head.weight (10, 8), the model (10, 24), lacks features.0.weight"),
    ([OWN, "init=object.pt"], "does not fit: it is no file of torch.save"),
    ([OWN, "method=pinv", "batch_size=null"], "a PyTorch module has no inverse; optimizer=pinv and difference bring"),
    ([OWN, "optimizer=backprop", "rest=sgd"], "rest=sgd: nothing in this run reads rest"),
    (["model=mlp", "trainable=[5]"], "trainable: the model has no layer 5; it has 0 linear0, 1 linear1"),
    (["model=mlp", "trainable=[0]", "method=pinv", "batch_size=null"], "a frozen Linear lies behind the first layer"),
    ([OWN, "precision=float16"], "precision='float16' is not one of float32, bfloat16"),
    (["model=mlp", "precision=bfloat16"], "precision=bfloat16 is for passes of a torch module: this model has"),
    (["model={_target_: faulty.Two}"], "in training mode the module's output is tuple: it must be (samples, classes)"),
    (["model={_target_: faulty.Spoils}"], "the model cannot be trained on samples of 1x8x8: RuntimeError"),
    (["model={_target_: faulty.Lazy}"], "the module has lazy layers, of no size yet: give sizes, or run a batch"),
    (["model={_target_: faulty.Lacks}"], "model cannot be built: KeyError in faulty.py, line 25: 'depth'"),
    (["model={_target_: faulty.Open}"], "required positional argument: 'num_classes': add +model.num_classes=..."),
    (
        ["dataset=own", "dataset._target_=faulty.rows"],
        "dataset cannot be built: ZeroDivisionError in faulty.py, line 32",
    ),
    ([*ROWS, "model=resnet8"], "ResNet8 is for images, the samples are rows of 4 numbers: take model=mlp"),
    ([*ROWS, "model=lenet"], "its input is 4: samples that are rows need Linear layers, as model=mlp has"),
    (["+model={_target_: my_models.Small}"], "model has layers and a _target_: for a torch module write model=torch"),
]


class Pickled:
    def __reduce__(self) -> Any:
        return open, ("executed", "w")


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_is_refused(refused: Callable, mine: Path, words: list[str], message: str) -> None:
    torch.save({"head.weight": torch.zeros(10, 8)}, mine / "other.pt")
    torch.save({"head.weight": Pickled()}, mine / "object.pt")
    (mine / "faulty.py").write_text(FAULTY)
    names = {word.partition("=")[0] for word in words}
    given = [*words, *(word for word in QUICK if word.partition("=")[0] not in names)]
    assert message in refused("train", *given, "hydra.run.dir=new")
    assert not (mine / "executed").exists()


@pytest.mark.parametrize("wrapped", ["module.", "_orig_mod.module.", "state_dict", "model_state_dict", "half"])
def test_state_dicts_of_other_trainers_are_taken(tmp_path: Path, wrapped: str) -> None:
    network = RunModule(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)), (3,))
    state = {name: tensor + 1 for name, tensor in network.module.state_dict().items()}
    held: dict[str, Any] = dict(state)
    if wrapped.endswith("."):
        held = {wrapped + name: tensor for name, tensor in state.items()}
    elif wrapped == "half":
        held = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    else:
        held = {wrapped: {f"net.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    torch.save(held, tmp_path / "state.pt")
    first_weights.take(network, str(tmp_path / "state.pt"))
    for name, tensor in network.module.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0.01 if wrapped == "half" else 0, atol=0)


def test_numpy_networks_start_from_weights_and_freeze_layers_too(cli: Callable, tmp_path: Path) -> None:
    train(cli, "first", "model=mlp", "bias=true")
    assert cli("export", "first", "--format=torch").code == 0
    first = checkpoint.read_checkpoint(tmp_path / "first" / "last.npz")[0]
    for name, words in {"run": ("init=first",), "file": ("init=first/network.pt", "optimizer=backprop")}.items():
        train(cli, name, "model=mlp", "bias=true", "trainable=[linear1]", "epochs=1", *words)
        held, others = (
            read(tmp_path / name / "last.npz") for read in (checkpoint.read_checkpoint, checkpoint.read_module)
        )
        assert [array.shape for array in held[0]] == [(10, 33)]
        np.testing.assert_allclose(others["linear0"], first[0], rtol=1e-6, atol=1e-7)
        assert not np.array_equal(held[0][0], first[1])
        assert cli("eval", name).code == 0
    train(cli, "more", "model=mlp", "bias=true", "init=run", "trainable=[0]", "epochs=1")  # whichever was frozen there
    assert json.loads((tmp_path / "more" / "meta.json").read_text())["init"]["file"].endswith("run/last.npz")
    assert list(checkpoint.read_module(tmp_path / "more" / "last.npz")) == ["linear1"]


def test_the_onnx_file_of_a_grid_run_holds_the_weights_on_their_grid(cli: Callable, mine: Path) -> None:
    """The exporter would fold norms into the weights before them, which then are products of other scales."""
    onnx = pytest.importorskip("onnx")
    train(cli, "run", OWN, *WAYS["kronecker on a grid"])
    for kind in ("codes", "onnx"):
        assert cli("export", "run", *TRUST, f"--format={kind}").code == 0
    held = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load("run/network.onnx").graph.initializer}
    assert any(name.endswith("running_mean") for name in held)
    with np.load("run/codes.npz") as codes:
        top = float(codes["num_levels"]) - 1
        for k in range(sum(name.startswith("levels_") for name in codes)):
            levels, scales = codes[f"levels_{k}"], codes[f"scales_{k}"]
            weights = scales[:, None] * (2 * levels / top - 1)
            same = [array for array in held.values() if array.size and array.size == levels[:, : array[0].size].size]
            rows = [array.reshape(len(levels), -1) for array in same if len(array) == len(levels)]
            assert any(np.allclose(row, weights[:, : row.shape[1]], atol=1e-6) for row in rows), k
