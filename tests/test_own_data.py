"""Data of a user's own from the command line: every kind trains, and all commands work with its runs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same_run, table
from own_data import write_pictures, write_tables

import annealtrain
from annealtrain.commands.evaluate import is_rounding
from annealtrain.runs import tables

PLACE = ("threads=1", "hydra.run.dir=run")
QUICK = ("epochs=2", "annealing.num_sweeps=2", "bits=4", *PLACE)
REGRESSION = ("mse", "rmse", "r2")
# Steps that few and small rows need; the pseudo-inverse's targets are else ten times as large.
ANNEALED = ("epochs=20", "annealing.num_sweeps=2", "bits=4", "half_range.first=0.3", "half_range.last=0.02")
BATCHES = ("batch_size=16", "epochs=10")
OWN = {
    "gauss_newton": ANNEALED,
    "kronecker": (*ANNEALED, *BATCHES),
    "difference": ANNEALED,
    "pinv": (*ANNEALED, "pinv.amplitude=1"),
    "pinv_weighted": (*ANNEALED, "pinv.amplitude=1"),
    "backprop_tuned": (*BATCHES, "optimizer.learning_rate.first=0.05"),
}

FUNCTIONS = """
import numpy as np

def bands(count=60):
    y = np.arange(count) % 3
    return np.random.default_rng(0).normal(0, 0.2, (count, 4, 6)) + y[:, None, None], y

def line():
    X = np.random.default_rng(0).normal(0, 1, (80, 2))
    return {"X": X, "y": np.column_stack([X @ [3, 4], X @ [1, -200]])}

def nothing():
    return None
"""


def train(cli: Callable, *words: str, how: Sequence[str] = QUICK) -> dict:
    outcome = cli("train", *how, *words)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return json.loads(Path("run/result.json").read_text())["last"]


def is_installed(optimizer: str) -> bool:
    return "backprop" not in optimizer or pytest.importorskip("torch") is not None


@pytest.mark.parametrize("optimizer", OWN)
def test_every_optimizer_trains_on_rows(cli: Callable, tmp_path: Path, optimizer: str) -> None:
    assert is_installed(optimizer)
    write_tables(tmp_path)
    words = ["dataset=arrays", "dataset.file=points.csv", "dataset.target=kind", f"optimizer={optimizer}"]
    assert train(cli, *words, "model=linear", "alpha=0.1", how=(*PLACE, *OWN[optimizer]))["test_accuracy"] >= 0.8
    data = json.loads(Path("run/meta.json").read_text())["data"]
    assert (data["dataset"], data["task"], data["shape"]) == ("points", "classification", [5])
    assert (data["classes"], data["features"]) == (["ant", "bee", "cat"], list("abcde"))
    assert data["samples"] == {"training": 65, "validation": 7, "test": 18}
    assert len(data["preprocessing"]["mean"]) == 5


@pytest.mark.parametrize("optimizer", OWN)
def test_every_optimizer_fits_real_targets(cli: Callable, tmp_path: Path, optimizer: str) -> None:
    assert is_installed(optimizer)
    write_tables(tmp_path)
    words = ["dataset=arrays", "dataset.file=prices.csv", "dataset.target=price", "task=regression", "model=linear"]
    last = train(cli, *words, f"optimizer={optimizer}", how=(*PLACE, *OWN[optimizer]))
    assert last["test_r2"] > 0.9
    assert list(last) == [
        "epoch",
        "train_loss",
        *(f"{s}_{kind}" for s in ("train", "val", "test") for kind in REGRESSION),
    ]
    assert last["test_rmse"] ** 2 == pytest.approx(last["test_mse"])
    rows = table(tmp_path / "run" / "metrics.csv")
    assert float(rows[-1]["test_r2"]) == last["test_r2"]
    assert "train_accuracy" not in rows[-1]


def test_all_commands_know_real_targets(cli: Callable, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the export extra is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    write_tables(tmp_path)
    words = ["dataset=arrays", "dataset.file=prices.csv", "dataset.target=price", "task=regression", "model=mlp"]
    assert cli("estimate", *words).out.splitlines()[1].split()[:5] == ["0", "Linear", "32", "6", "48"]
    outcome = cli("train", *QUICK, *words)
    assert outcome.out.startswith("last epoch (2):  R2 train 0.")
    assert "  RMSE train " in outcome.out
    assert cli("eval", "run").out.count("the same as recorded") == 2
    assert cli("plot", "run").code == cli("report", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "<th>test R2</th>" in page
    assert "<th>test RMSE</th>" in page
    assert "test last R2" in cli("collect", "run", "--output", "all.csv").out
    assert "test_r2" in Path("all.csv").read_text()
    assert "test_r2 0." in repr(annealtrain.load("run"))

    assert cli("export", "run", "--format", "onnx").code == 0
    about = {one.key: json.loads(one.value) for one in onnx.load("run/network.onnx").metadata_props}
    done = about["preprocessing"]
    assert about == json.loads(Path("run/meta.json").read_text())["data"]
    session = runtime.InferenceSession("run/network.onnx")
    content = np.loadtxt("prices.csv", delimiter=",", skiprows=1)
    x = ((content[:, :5] - done["mean"]) / done["std"]).astype(np.float32)
    (outputs,) = session.run(None, {"images": x})
    prices = outputs[:, 0] * done["target_std"] / done["amplitude"] + done["target_mean"]
    assert np.corrcoef(prices, content[:, 5])[0, 1] > 0.8
    assert prices.min() < content[:, 5].mean() - 50  # no LeakyReLU at the end


def test_an_interrupted_run_of_rows_goes_on_to_the_same_bits(cli: Callable, tmp_path: Path, monkeypatch) -> None:
    from annealtrain.runs.recorder import RunRecorder

    write_tables(tmp_path)
    words = ["dataset=arrays", "dataset.file=prices.csv", "dataset.target=price", "task=regression", "model=mlp"]
    train(cli, *words)
    save = RunRecorder.save

    def dying(self, row, *rest):
        save(self, row, *rest)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunRecorder, "save", dying)
    assert cli("train", *QUICK, *words, "hydra.run.dir=other").code == 130
    monkeypatch.setattr(RunRecorder, "save", save)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the file is found again
    assert cli("resume", str(tmp_path / "other")).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "other")


@pytest.mark.parametrize(
    ("words", "shape", "resized"),
    [
        (["model=linear"], (3, 2), "images of 64x64 are resized to 32x32"),
        (["model=linear", "image_size=16"], (3, 2), "images of 64x64 are resized to 16x16"),
        (["model=lenet_small", "optimizer=kronecker", "model.image_size=null", "augment.flip=true"], (3, 2), None),
        (["model=conv_small", "optimizer=pinv", "image_size=[64,64]"], (3, 2), None),
        (["model=linear", "optimizer=kronecker", "image_size=16"], (100, 3), "images of 64x64 are resized to 16x16"),
        (["model=conv_small", "optimizer=kronecker", "validation=0"], (100, 3), "images of 64x64 are resized to 32x32"),
    ],
)
def test_colour_pictures_of_3_and_100_classes(
    cli: Callable, tmp_path: Path, words: list[str], shape: tuple[int, int], resized: str | None
) -> None:
    """The last layer has as many outputs as there are classes, and a resize is said."""
    classes, each = shape
    write_pictures(tmp_path / "pictures", classes=classes, each=5 if classes == 3 else each)
    outcome = cli("train", *QUICK, "epochs=1", "dataset=folder", "data_dir=pictures", *words)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert [line for line in outcome.out.splitlines() if "resized" in line] == ([resized] if resized else [])
    with np.load("run/last.npz") as held:
        assert len(held[f"weights_{len(held.files) - 2 - sum(n.startswith('state') for n in held.files)}"]) == classes
    assert len(json.loads(Path("run/meta.json").read_text())["data"]["classes"]) == classes


def test_pictures_are_learnt(cli: Callable, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", each=15)
    assert (
        train(cli, "dataset=folder", "data_dir=pictures", "model=linear", "image_size=8", "epochs=6")["test_accuracy"]
        >= 0.9
    )


def test_a_function_of_the_users_own(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "my_sets.py").write_text(FUNCTIONS)
    assert (
        train(cli, "dataset=own", "dataset._target_=my_sets.bands", "model=linear", "epochs=5")["test_accuracy"] > 0.9
    )
    data = json.loads(Path("run/meta.json").read_text())["data"]
    assert (data["dataset"], data["shape"], data["preprocessing"]["resize"]) == ("bands", [1, 4, 6], [32, 32])
    words = ["dataset=own", "dataset._target_=my_sets.line", "task=regression", "model=linear", "epochs=9"]
    assert cli("train", *QUICK, *words, "hydra.run.dir=line").code == 0
    last = json.loads(Path("line/result.json").read_text())["last"]
    assert last["test_r2"] > 0.9
    more = ["dataset=own", "dataset._target_=my_sets.bands", "+dataset.count=30", "model=linear"]
    assert cli("train", *QUICK, *more, "hydra.run.dir=more").code == 0
    assert tables.read_json(Path("more/meta.json"))["data"]["samples"]["test"] == 6
    untrusted = cli("eval", "line")
    assert (untrusted.code, "dataset._target_=my_sets.line is not one of" in untrusted.err) == (2, True)
    assert cli("eval", "line", "--trust", "my_sets").out.count("the same as recorded") == 2


def test_real_targets_may_differ_by_rounding_alone() -> None:
    recorded = {"epoch": 2, "train_loss": 0.5, "val_mse": 4.0, "val_rmse": 2.0, "val_r2": 0.25}
    assert is_rounding(recorded | {"val_mse": 4.0 * (1 + 1e-9), "val_r2": 0.25 - 1e-9}, recorded, {})
    assert not is_rounding(recorded | {"val_r2": 0.2}, recorded, {})
    assert not is_rounding(recorded | {"val_mse": 4.1}, recorded, {})


def test_a_file_or_a_folder_in_the_place_of_a_set(refused: Callable, tmp_path: Path) -> None:
    write_tables(tmp_path / "mine")
    line = refused("train", "dataset=mine/points.npz")
    assert line == "dataset=mine/points.npz is not known: write dataset=arrays dataset.file=mine/points.npz"
    assert refused("train", "dataset=mine") == "dataset=mine is not known: write dataset=folder data_dir=mine"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["dataset=folder"], "dataset=folder needs a folder of class folders: data_dir=DIR"),
        (["dataset=arrays"], "dataset.file is missing: add dataset.file=..."),
        (["dataset=sklearn", "dataset.name=wines"], "did you mean 'wine'?"),
        (["dataset=own"], "dataset._target_ is missing: add dataset._target_=..."),
        (
            ["dataset=own", "dataset._target_=my_sets.nothing"],
            "dataset nothing gave a NoneType: return a Dataset, (X, y)",
        ),
        (["dataset=own", "dataset._target_=my_sets.none"], "my_sets.none"),
        (
            ["dataset=sklearn", "dataset.name=wine", "model=lenet"],
            "Conv2d takes (channels, height, width), its input is 13",
        ),
        (["dataset=sklearn", "dataset.name=wine", "augment.flip=true"], "the samples of wine are rows of numbers"),
        (
            ["dataset=sklearn", "dataset.name=wine", "image_size=8"],
            "the samples of wine are rows of numbers, no images",
        ),
        (["dataset=sklearn", "dataset.name=wine", "samples=500"], "wine has 142 for training: at most samples=128"),
        (
            [
                "dataset=sklearn",
                "dataset.name=diabetes",
                "optimizer=backprop",
                "optimizer.loss=cross_entropy",
                "~solver",
            ],
            "optimizer.loss=cross_entropy, as given or by default, is for classes: add optimizer.loss=mse",
        ),
        (["task=ranking"], "task='ranking' is not one of classification, regression, or null"),
        (["task=regression"], "task=regression: dataset digits is one of classification"),
        (["image_size=0"], "image_size=0 is not a whole number of at least 1 or two whole numbers"),
        (["image_size=[8]"], "image_size=[8] is not"),
        (["model.image_size=[8,a]"], "model.image_size=[8, 'a'] is not"),
        (["standardise=1"], "standardise=1 is not one of true, false, or null"),
        (["scale=-1"], "scale=-1 is not a number above 0"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(refused: Callable, tmp_path: Path, words: list[str], found: str) -> None:
    (tmp_path / "my_sets.py").write_text(FUNCTIONS)
    assert found in refused("train", "model=linear", *words)
