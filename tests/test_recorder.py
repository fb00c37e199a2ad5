"""The run folder of one run: its files, how it goes on, and what it leaves alone."""

import hashlib
import re
from pathlib import Path

import pytest
from conftest import table
from run_folders import META, damaged, layers, row, save, started

from annealtrain.errors import InputError
from annealtrain.runs import recorder
from annealtrain.runs.checkpoint import BEST, LAST
from annealtrain.runs.lock import LOCK
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runs.tables import read_json


def test_files_of_a_run(tmp_path: Path) -> None:
    record = started(tmp_path, 3)
    result = record.finish({"seconds": 2.0})
    names = {"config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json", LAST, BEST}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "config.yaml").read_text() == "bits: 3\n"
    assert read_json(tmp_path / "meta.json") == {**META, "checksums": True, "resumed_at": []}
    header = "epoch,train_loss,train_accuracy,val_accuracy,test_accuracy,L,beta,total_s"
    lines = (tmp_path / "metrics.csv").read_text().split("\n")
    assert lines[:2] == [header, f"0,{1 / 3!r},0.2,0.1,0.3,,,0.5"]
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2", "3", ""]
    assert [(r["epoch"], r["layer"]) for r in table(tmp_path / "solves.csv")] == [
        (str(epoch), str(layer)) for epoch in (1, 2, 3) for layer in (0, 1)
    ]
    scores = ("epoch", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy")
    assert result == read_json(tmp_path / "result.json")
    sums = result.pop("checksums")
    assert sums.keys() == names
    for name in names - {"result.json"}:
        assert sums[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert result == {
        "last": {name: row(3)[name] for name in scores},
        "best_validation": {name: row(1)[name] for name in scores},
        "seconds": 2.0,
    }


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    record = RunRecorder(tmp_path)
    record.begin("", META, resume=False)
    for epoch in (0, 1):
        record.save({k: v for k, v in row(epoch).items() if k != "val_accuracy"}, [], layers(epoch))
    result = record.finish({})
    assert result["best_validation"] is None
    assert result["last"]["val_accuracy"] is None
    assert not (tmp_path / BEST).exists()
    assert "val_accuracy" not in (tmp_path / "metrics.csv").read_text()


def test_resume_takes_over_rows_up_to_the_checkpoint(tmp_path: Path) -> None:
    started(tmp_path, 1)
    last = (tmp_path / LAST).read_bytes()
    for path in tmp_path.iterdir():
        path.unlink()
    started(tmp_path, 2)
    (tmp_path / LAST).write_bytes(last)  # killed between the rows of epoch 2 and its checkpoint
    record = RunRecorder(tmp_path)
    assert record.begin("", META, resume=True) == 1
    assert record.epochs_done == 1
    assert record.seconds == 1.0
    save(record, 2)
    assert [r["epoch"] for r in table(tmp_path / "metrics.csv")] == ["0", "1", "2"]
    assert [r["epoch"] for r in table(tmp_path / "solves.csv")] == ["1", "1", "2", "2"]
    assert read_json(tmp_path / "meta.json")["resumed_at"] == ["now"]


def test_a_run_killed_while_it_begins_begins_anew(tmp_path: Path) -> None:
    for name in (".config.yaml.0123abcd.part", ".meta.json.4567cdef.part", LOCK, "train.log"):
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("bits: 3\n")
    with pytest.raises(InputError, match="holds other files"):
        RunRecorder(tmp_path).begin("bits: 4\n", META, resume=True)
    assert RunRecorder(tmp_path).begin("bits: 3\n", META, resume=False) is None
    assert not list(tmp_path.glob("*.part"))
    assert read_json(tmp_path / "meta.json") == {**META, "checksums": True, "resumed_at": []}


def test_resume_removes_what_was_being_written(tmp_path: Path) -> None:
    started(tmp_path, 1)
    (tmp_path / ".last.npz.0123abcd.part").touch()
    foreign = {".last.npz.mine.part", ".notes.0123abcd.part"}
    for name in foreign:
        (tmp_path / name).touch()
    assert RunRecorder(tmp_path).begin("", META, resume=True) == 1
    assert {path.name for path in tmp_path.glob("*.part")} == foreign


def test_resume_misses_a_checkpoint_that_there_was(tmp_path: Path) -> None:
    started(tmp_path, 2)
    best = (tmp_path / BEST).read_bytes()
    (tmp_path / BEST).write_bytes((tmp_path / LAST).read_bytes())
    with pytest.raises(InputError, match=r"best\.npz is of epoch 2, the best is 1"):
        RunRecorder(tmp_path).begin("", META, resume=True)
    (tmp_path / BEST).write_bytes(best)
    (tmp_path / LAST).unlink()
    with pytest.raises(InputError, match=r"last\.npz is missing, the run in .* has come further"):
        RunRecorder(tmp_path).begin("", META, resume=True)


def test_resume_of_a_run_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    RunRecorder(tmp_path).begin("", META, resume=False)
    record = RunRecorder(tmp_path)
    assert record.begin("", META, resume=True) is None
    assert record.epochs_done == 0


def test_resume_in_an_empty_folder_is_a_new_run(tmp_path: Path) -> None:
    assert RunRecorder(tmp_path).begin("bits: 3\n", META, resume=True) is None
    assert (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize("name", ["config.yaml", "notes.txt", ".part", "folder"])
def test_a_foreign_folder_is_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "folder" else (tmp_path / name).write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="holds other files and no run: choose another"):
            RunRecorder(tmp_path).begin("", META, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_log_does_not_make_a_folder_foreign(tmp_path: Path) -> None:
    said = "[2026-01-02 03:04:05,678][annealtrain.commands.hydra_app][ERROR] - what a solver said when it was made\n"
    (tmp_path / "train.log").write_text(said)
    assert RunRecorder(tmp_path).begin("", META, resume=False) is None


@pytest.mark.parametrize("text", ["mine\n", "[2026-01-02 03:04:05,678][theirs.main][INFO] - mine\n"])
def test_a_log_of_another_program_does(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.log").write_text(text)
    with pytest.raises(InputError, match="holds other files"):
        RunRecorder(tmp_path).begin("", META, resume=False)


def test_other_settings_and_unfinished_runs_are_not_touched(tmp_path: Path) -> None:
    started(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="holds a run with other settings"):
        RunRecorder(tmp_path).begin("", {**META, "config_hash": "other"}, resume=True)
    with pytest.raises(InputError, match="holds an unfinished run: add resume=true"):
        RunRecorder(tmp_path).begin("", META, resume=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_damaged_rows(tmp_path: Path) -> None:
    started(tmp_path, 2)
    path = tmp_path / "metrics.csv"
    whole = path.read_text()
    for text in (whole[: len(whole) - 9], whole + "3,1,2,3,4,5,6,7,8\n", whole.replace("0.2", '"0.2')):
        path.write_text(text)
        damaged(path, lambda _: RunRecorder(tmp_path).begin("", META, resume=True))
    for lines in ([0], [0, 1], [0, 1, 3], [1, 2, 3]):
        path.write_text("".join(whole.splitlines(keepends=True)[line] for line in lines))
        damaged(path, lambda _: RunRecorder(tmp_path).begin("", META, resume=True))
    path.write_text(whole)
    solves = tmp_path / "solves.csv"
    solves.write_text("".join(solves.read_text().splitlines(keepends=True)[:3]))
    damaged(solves, lambda _: RunRecorder(tmp_path).begin("", META, resume=True))
    solves.unlink()
    damaged(solves, lambda _: RunRecorder(tmp_path).begin("", META, resume=True))
    assert read_json(tmp_path / "meta.json")["resumed_at"] == []


def test_run_folders_need_nothing_of_ours_but_the_error_and_the_runtime() -> None:
    allowed = re.compile(r"annealtrain(\.errors|\.runs(\.\w+)?|\.runtime(\.\w+)?)?")
    for path in Path(recorder.__file__).parent.glob("*.py"):
        for module in re.findall(r"^\s*(?:from|import) (annealtrain\S*)", path.read_text(), re.M):
            assert allowed.fullmatch(module), f"{path.name} imports {module}"
