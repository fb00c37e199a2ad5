"""The run folder's files, whole at any moment, and what is said where they are not."""

import errno
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import table, weights

from annealtrain.errors import InputError
from annealtrain.runs import lock, recorder
from annealtrain.runs.checkpoint import BEST, LAST, read_checkpoint
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runs.tables import read_json, read_rows

META = {"config_hash": "abc", "started_at": "now"}
VALIDATION = (0.1, 0.5, 0.5, 0.4)  # its best is epoch 1: the first of equals


def row(epoch: int, **more: Any) -> dict[str, Any]:
    scores = {"train_loss": 1 / (3 + epoch), "train_accuracy": 0.2, "val_accuracy": VALIDATION[epoch]}
    trained = {"L": 0.1, "beta": None} if epoch else {}
    return {"epoch": epoch, **scores, "test_accuracy": 0.3, **trained, "total_s": 0.5, **more}


def layers(epoch: int) -> list[np.ndarray]:
    return [np.full((2, 3), epoch + 0.1), np.arange(4.0).reshape(1, 4) / (epoch + 1)]


def save(record: RunRecorder, epoch: int) -> None:
    solves = [{"epoch": epoch, "layer": k, "energy": 0.1 * epoch, "solve_s": 0.01} for k in range(2)]
    record.save(row(epoch), solves if epoch else [], layers(epoch))


def started(folder: Path, epochs: int) -> RunRecorder:
    """Return the recorder of a new run after `epochs` epochs and the one before them."""
    record = RunRecorder(folder)
    assert record.begin("bits: 3\n", META, resume=False) is None
    for epoch in range(epochs + 1):
        save(record, epoch)
    return record


def test_files_of_a_run(tmp_path: Path) -> None:
    record = started(tmp_path, 3)
    result = record.finish({"seconds": 2.0})
    names = {"config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json", LAST, BEST}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "config.yaml").read_text() == "bits: 3\n"
    assert read_json(tmp_path / "meta.json") == {**META, "resumed_at": []}
    header = "epoch,train_loss,train_accuracy,val_accuracy,test_accuracy,L,beta,total_s"
    lines = (tmp_path / "metrics.csv").read_text().split("\n")
    assert lines[:2] == [header, f"0,{1 / 3!r},0.2,0.1,0.3,,,0.5"]
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2", "3", ""]
    assert [(r["epoch"], r["layer"]) for r in table(tmp_path / "solves.csv")] == [
        (str(epoch), str(layer)) for epoch in (1, 2, 3) for layer in (0, 1)
    ]
    scores = ("epoch", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy")
    assert result == read_json(tmp_path / "result.json")
    assert result == {
        "last": {name: row(3)[name] for name in scores},
        "best_validation": {name: row(1)[name] for name in scores},
        "seconds": 2.0,
    }


def test_checkpoints_hold_weights_and_epoch_and_nothing_to_run(tmp_path: Path) -> None:
    started(tmp_path, 3)
    for name, epoch in ((LAST, 3), (BEST, 1)):
        with np.load(tmp_path / name, allow_pickle=False) as held:
            assert set(held.files) == {"epoch", "weights_0", "weights_1"}
        arrays, found = read_checkpoint(tmp_path / name)
        assert found == epoch
        assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays, layers(epoch), strict=True))


def test_more_than_ten_layers_keep_their_order(tmp_path: Path) -> None:
    record = RunRecorder(tmp_path)
    record.begin("", META, resume=False)
    record.save(row(0), [], [np.full((1, 1), k) for k in range(12)])
    assert [int(a[0, 0]) for a in read_checkpoint(tmp_path / LAST)[0]] == list(range(12))


def test_numbers_survive_reading_and_writing_again(tmp_path: Path) -> None:
    record = RunRecorder(tmp_path)
    record.begin("", META, resume=False)
    record.save(row(0), [], layers(0))
    values = {"a": 0.1 + 0.2, "b": 5e12, "c": 1e-300, "d": float("-inf"), "e": 100.0, "f": 7, "g": None}
    record.save(row(1, **values), [{"epoch": 1, "layer": 0, **values}], layers(1))
    text = [(tmp_path / name).read_bytes() for name in ("metrics.csv", "solves.csv")]
    assert {name: read_rows(tmp_path / "metrics.csv")[1][name] for name in values} == values
    again = RunRecorder(tmp_path)
    assert again.begin("", META, resume=True) == 1
    again.save(row(2), [{"epoch": 2, "layer": 0, **values}], layers(2))
    for name, before in zip(("metrics.csv", "solves.csv"), text, strict=True):
        assert (tmp_path / name).read_bytes().startswith(before)


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
    for name in (".config.yaml.part", ".meta.json.part", ".lock", "train.log"):
        (tmp_path / name).touch()
    (tmp_path / "config.yaml").write_text("bits: 3\n")
    with pytest.raises(InputError, match="holds other files"):
        RunRecorder(tmp_path).begin("bits: 4\n", META, resume=True)
    assert RunRecorder(tmp_path).begin("bits: 3\n", META, resume=False) is None
    assert read_json(tmp_path / "meta.json") == {**META, "resumed_at": []}


CONTENDER = """
import os, sys, pathlib
from annealtrain import recorder
folder, waits = pathlib.Path(sys.argv[1]), []
for _ in range(200):
    told = len(waits)
    with recorder.alone(folder, lambda: waits.append(1)):
        assert len(waits) - told <= 1
        os.close(os.open(folder / "held", os.O_CREAT | os.O_EXCL))
        os.unlink(folder / "held")
"""


def test_many_processes_take_turns(tmp_path: Path) -> None:
    others = [subprocess.Popen([sys.executable, "-c", CONTENDER, str(tmp_path)]) for _ in range(5)]
    assert [other.wait(60) for other in others] == [0] * 5
    assert not any(tmp_path.iterdir())


def unlockable(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_folder_is_one_process_s_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    waits: list[str] = []
    holder = "import sys, pathlib, time\nfrom annealtrain import recorder\n" + (
        "with recorder.alone(pathlib.Path(sys.argv[1]), lambda: None):\n"
        "    print('held', flush=True); time.sleep(0.5); pathlib.Path(sys.argv[1], 'done').touch()\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with lock.exclusive(tmp_path, lambda: waits.append("waiting")):
            assert (tmp_path / "done").exists()
    assert waits == ["waiting"]
    with lock.exclusive(tmp_path, lambda: waits.append("again")):
        pass
    assert waits == ["waiting"]
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    monkeypatch.setattr(fcntl, "lockf", unlockable)
    with lock.exclusive(tmp_path, lambda: waits.append("no locks here")):
        assert waits == ["waiting"]
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot write"), lock.exclusive(tmp_path / "absent", lambda: None):
        pass


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
    (tmp_path / "train.log").write_text("what a solver said when it was made\n")
    assert RunRecorder(tmp_path).begin("", META, resume=False) is None


def test_other_settings_and_unfinished_runs_are_not_touched(tmp_path: Path) -> None:
    started(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="holds a run with other settings"):
        RunRecorder(tmp_path).begin("", {**META, "config_hash": "other"}, resume=True)
    with pytest.raises(InputError, match="holds an unfinished run: add resume=true"):
        RunRecorder(tmp_path).begin("", META, resume=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Crash(BaseException):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_crash_while_writing_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    record = started(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def crash(*_: object) -> None:
        raise Crash

    for name in before:
        with monkeypatch.context() as patch:
            patch.setattr(os, where, crash)
            with pytest.raises(Crash):
                record.write(name, "the new content")
        assert {key: (tmp_path / key).read_bytes() for key in before} == before
    record.write("meta.json", "{}")
    assert (tmp_path / "meta.json").read_text() == "{}"


def test_content_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b))[1])
    RunRecorder(tmp_path).write("meta.json", "{}")
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_full_disk_is_one_line_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    record = started(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, where, full)
    with pytest.raises(InputError, match=r"metrics\.csv \(No space left on device\): .*resume=true"):
        save(record, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def damaged(path: Path, read: Callable[[Path], object]) -> str:
    """Return the one line that reading a damaged file ends in."""
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert "start the run anew in another folder" in line
    return line


def test_damaged_checkpoints(tmp_path: Path) -> None:
    started(tmp_path, 1)
    path = tmp_path / LAST
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        damaged(path, read_checkpoint)
    path.write_bytes(b"\x80\x04N.")  # a pickle
    damaged(path, read_checkpoint)
    np.savez(path, weights_0=np.zeros(3))
    assert "epoch" in damaged(path, read_checkpoint)
    np.savez(path, weights_1=np.zeros(3), epoch=np.int64(1))
    assert "weights_0" in damaged(path, read_checkpoint)
    np.savez(path, weights_0=np.array([{}], dtype=object), epoch=np.int64(1))
    assert "allow_pickle" in damaged(path, read_checkpoint)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    damaged(path, read_checkpoint)
    path.unlink()
    damaged(path, read_checkpoint)


def test_a_checkpoint_with_a_wrong_byte_is_never_something_else(tmp_path: Path) -> None:
    started(tmp_path, 1)
    path = tmp_path / LAST
    whole, held = path.read_bytes(), weights(path)
    random = np.random.default_rng(0)
    found = set()
    for position in random.choice(len(whole), 300, replace=False):
        wrong = bytearray(whole)
        wrong[position] ^= 1 << int(random.integers(8))
        path.write_bytes(wrong)
        try:
            arrays, epoch = read_checkpoint(path)
        except InputError:
            found.add("refused")
            continue
        # The byte was one that no reader looks at, such as the date in the zip.
        assert (epoch, [a.tobytes() for a in arrays]) == (1, [held[f"weights_{k}"][2] for k in range(2)])
        found.add("the same")
    assert found == {"refused", "the same"}


def test_damaged_json(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    for text in ("", '{"seed": 1', "[]", "null", "\0"):
        path.write_text(text)
        damaged(path, read_json)
    path.write_bytes(b"\xff\xfe{}")
    damaged(path, read_json)
    path.write_text(json.dumps({"last": 1}))
    assert read_json(path, "last") == {"last": 1}
    damaged(path, lambda at: read_json(at, "last", "best_validation"))


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


def test_checkpoints_are_plain_zips_that_others_can_read(tmp_path: Path) -> None:
    started(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / LAST) as archive:
        assert archive.testzip() is None


def test_the_folder_module_needs_nothing_of_ours_but_the_error() -> None:
    source = Path(recorder.__file__).read_text()
    ours = [line for line in source.splitlines() if "annealtrain" in line and "import" in line]
    assert ours == ["from annealtrain.errors import InputError"]
