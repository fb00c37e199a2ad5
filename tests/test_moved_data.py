"""Runs whose data lie elsewhere on this machine, are gone, or are others of the same name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_mnist
from own_data import write_pictures, write_tables

import annealtrain
from annealtrain.data.dataset import Dataset
from annealtrain.errors import InputError
from annealtrain.experiment.moved_data import moved
from annealtrain.runs import provenance, tables

QUICK = ("model=linear", "epochs=1", "annealing.num_sweeps=1", "bits=2", "threads=1", "hydra.run.dir=run")
SETS = {
    "arrays": ["dataset=arrays", "dataset.file=data/points.csv", "dataset.target=kind"],
    "folder": ["dataset=folder", "data_dir=data/pictures", "image_size=4"],
    "mnist": ["dataset=mnist", "data_dir=data", "samples=20", "validation=10"],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_tables(tmp_path / "data")
    write_pictures(tmp_path / "data" / "pictures", each=5, size=(8, 8))
    write_mnist(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("name", SETS)
def test_data_that_have_moved_are_found_again(cli: Callable, refused: Callable, data: Path, name: str) -> None:
    assert cli("train", *QUICK, *SETS[name]).code == 0
    data.rename(data.with_name("moved"))
    place = {"arrays": data / "points.csv", "folder": data / "pictures", "mnist": data / "MNIST" / "raw"}[name]
    line = refused("eval", "run")
    assert line == f"the data of the run in run are not at {place}: say where they are, --data-dir DIR"
    assert refused("resume", "run", "epochs=2") == line
    assert refused("export", "run", "--format", "torch") == line
    with pytest.raises(InputError, match="say where they are"):
        annealtrain.load("run").evaluate()

    where = ("--data-dir", "moved/pictures" if name == "folder" else "moved")
    assert cli("eval", "run", *where, "--exact").out.count("the same as recorded") == 2
    assert annealtrain.load("run", data_dir=where[1]).evaluate()["train_loss"] > 0
    assert cli("export", "run", "--format", "coo", *where).code == 0
    if name == "arrays":
        assert "not at" in refused("quantize", "run", "bits=2", "--output", "codes")
        assert cli("quantize", "run", "bits=2", "--output", "codes", *where).code == 0
    assert cli("resume", "run", "epochs=2", *where).code == 0
    assert str(data) in Path("run/config.yaml").read_text()  # where they were when it began


def test_other_samples_of_the_same_name_are_refused(cli: Callable, refused: Callable, data: Path) -> None:
    assert cli("train", *QUICK, *SETS["arrays"]).code == 0
    path = data / "points.csv"
    path.write_text(path.read_text().replace("ant", "bee", 1).replace("bee", "ant", 1).replace("cat", "ant", 1))
    known = tables.read_json(Path("run/meta.json"))["data"]["fingerprint"]
    for words in (["eval", "run"], ["resume", "run", "epochs=2"], ["export", "run", "--format", "coo"]):
        line = refused(*words)
        assert line.startswith("the samples of points are not those of the run in run (fingerprint ")
        assert line.endswith(f"the run's {known}): restore them, or say where they are, --data-dir DIR")


def test_a_place_that_cannot_be(cli: Callable, refused: Callable, data: Path) -> None:
    assert cli("train", *QUICK, "samples=20", "validation=10").code == 0
    assert refused("eval", "run", "--data-dir", "nowhere") == "--data-dir nowhere: there is no such folder"
    line = "--data-dir: the data of this run (digits) are read from no folder: leave it out"
    assert refused("eval", "run", "--data-dir", "data") == line
    line = "--data-dir is for run folders: settings of your own say data_dir=DIR"
    assert refused("export", "seed=1", "--format", "coo", "--output", "x", "--data-dir", "data") == line


def test_files_lie_to_each_other_as_they_did(tmp_path: Path) -> None:
    dataset = {"file": "/a/b/X.npy", "labels": "/a/b/y.npy", "test_file": "/a/test/X.npy", "target": None}
    found = moved({"dataset": dataset}, tmp_path)["dataset"]
    assert found == {
        "file": f"{tmp_path}/b/X.npy",
        "labels": f"{tmp_path}/b/y.npy",
        "test_file": f"{tmp_path}/test/X.npy",
        "target": None,
    }


def test_fingerprints_tell_samples_labels_and_kinds() -> None:
    X, y = np.arange(12, dtype=np.uint8).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])

    def told(X: np.ndarray, y: np.ndarray) -> str:
        return Dataset("a", 2, X, y, X[:2], y[:2]).fingerprint()

    others = [told(X[::-1], y), told(X, 1 - y), told(X.astype(np.float32), y), told(X[:5], y[:5])]
    assert told(X, y) == told(X.copy(), y.copy())
    assert len({told(X, y), *others}) == 5
    assert told(np.asfortranarray(X), y) == told(X, y)  # whatever its order in memory


def test_what_rounds_otherwise_on_this_machine() -> None:
    here = provenance.provenance(0, "", "")
    assert provenance.differences(here) == []
    assert provenance.differences(here | {"packages": {}, "cores": None}) == []  # of an older version
    other = here | {"cores": 10_000, "packages": here["packages"] | {"numpy": "1.0", "dimod": "0"}}
    numpy, cores = provenance.differences(other)
    assert (numpy, cores) == (f"numpy 1.0, here {np.__version__}", f"cores 10000, here {here['cores']}")
    (kernel,) = provenance.differences(here | {"blas": {"library": "mkl"}})
    assert kernel.startswith("made on mkl, scored on ")


def test_a_run_of_before_there_were_fingerprints(cli: Callable, data: Path) -> None:
    import json

    from run_folders import reseal

    assert cli("train", *QUICK, "samples=20", "validation=10").code == 0
    meta = tables.read_json(Path("run/meta.json"))
    del meta["data"]
    Path("run/meta.json").write_text(json.dumps(meta))
    reseal(Path("run"))
    assert cli("eval", "run").code == 0
    shutil.rmtree("run")
