"""What the files of a run may hold: a folder with anything else is left out with its reason, or refused in one line."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import META, META_OF_OLD, damaged, reseal, write_run

from annealtrain.errors import InputError
from annealtrain.runs import checkpoint, checksums, collection, contents, yaml_files
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runs.tables import read_json

PAIRS = zip("abcdefghijk", "bcdefghijkl", strict=True)
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in PAIRS)
BAD = [
    ("metrics.csv", "epoch,val_accuracy\n0,high\n", "val_accuracy='high' is no number"),
    ("metrics.csv", "epoch,val_accuracy\n0,nan\n", "val_accuracy='nan' is no number"),
    ("metrics.csv", "epoch,val_accuracy\n0,1.5\n", "val_accuracy=1.5 lies outside"),
    ("metrics.csv", "epoch,val_r2,val_mse\n0,-3.5,2\n1,1.5,2\n", "val_r2=1.5 lies outside"),
    ("metrics.csv", "epoch,val_r2,val_rmse\n0,-3.5,-2\n", "val_rmse=-2 lies outside"),
    ("meta.json", '{"data": "mine"}', "data is no mapping"),
    ("metrics.csv", "epoch,total_s\n0,-1\n", "total_s=-1 lies outside"),
    ("metrics.csv", "epoch,train_loss\n0,1_0\n", "train_loss='1_0' is no number"),
    ("metrics.csv", "epoch\n4611686018427387904\n", "epoch 4.611686018427388e+1 in the place of 0"),
    ("metrics.csv", "epoch\n0\n2\n", "epoch 2 in the place of 1"),
    ("metrics.csv", "epoch,epoch\n0,0\n", "two columns of one name"),
    ("metrics.csv", "epoch\n\ud800\n".encode("utf-8", "surrogatepass"), "it is not text in UTF-8"),
    ("config.yaml", "model: {name: [a, b]}", "model has no name that is a text"),
    ("config.yaml", "model: linear", "model has no name that is a text"),
    ("config.yaml", "epochs: <script>alert(1)</script>", "epochs is no whole number"),
    ("config.yaml", "seed: [1]", "seed is no whole number"),
    ("config.yaml", "solver: {_target_: [a]}", "a _target_ is no text"),
    ("config.yaml", "a: " + "[" * 5000 + "]" * 5000, "nested deeper"),
    ("config.yaml", BOMB, "alias"),
    ("config.yaml", "a: !!python/object/apply:os.getpid []", "tag"),
    ("config.yaml", "\x00\x01", "cannot be read"),
    ("meta.json", '{"packages": ["numpy"]}', "packages are no versions by name"),
    ("meta.json", '{"command": {"a": 1}}', "command is no text"),
    ("meta.json", '{"resumed_at": 3}', "resumed_at is no list of times"),
    ("meta.json", "[" * 100_000, "nested too deeply"),
    ("meta.json", '{"a": ' + "[" * 500 + "]" * 500 + "}", "nested deeper than 40 levels"),
    ("result.json", '{"last": {"epoch": 2}, "best_validation": null, "seconds": 1' + "0" * 400 + "}", "is not the"),
    ("meta.json", '{"seed": ' + "9" * 5000 + "}", "too many digits"),
    ("result.json", '{"last": [1], "best_validation": null}', "last has no epoch"),
    ("result.json", '{"last": {"epoch": 2, "val_accuracy": "x"}, "best_validation": null}', "is no number"),
    ("result.json", '{"last": {"epoch": 9}, "best_validation": null}', "last is not the epoch 9 of the metrics"),
    ("result.json", '{"last": {"epoch": 1}, "best_validation": null, "seconds": "long"}', "is not the epoch"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD)
def test_one_bad_folder_is_left_out_with_its_reason(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    path = write_run(tmp_path / "bad") / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = damaged(path, lambda _: collection.read_run(tmp_path / "bad"))
    assert said in line
    write_run(tmp_path / "good")
    found, left_out = collection.find(tmp_path)
    assert ([run.name for run in found], left_out) == (["good"], [line])


def no_file(path: Path, kind: str) -> None:
    """Put something that is no file of a run under its name."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(10**12)  # of holes


READERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(
        ("config.yaml", "meta.json", "metrics.csv", "result.json"), lambda at: collection.read_run(at.parent)
    ),
    "solves.csv": contents.read_solves,
    "histograms.csv": contents.read_histograms,
    "last.npz": checkpoint.read_checkpoint,
}


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "huge"])
def test_what_is_no_file_is_never_read(cli: Callable, tmp_path: Path, kind: str) -> None:
    for name, read in READERS.items():
        path = write_run(tmp_path / name) / name
        no_file(path, kind)
        damaged(path, read)
    outcome = cli("plot", "solves.csv")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    write_run(tmp_path / "run")
    no_file(tmp_path / "run" / "report.html", kind)
    assert cli("report", "run").code == (0 if kind == "huge" else 2)  # a device, too, is behind the link


def test_a_run_s_checksums_are_checked_wherever_it_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "best.npz").write_bytes(b"weights")
    reseal(folder)
    collection.read_run(folder)
    for name in ("config.yaml", "meta.json", "metrics.csv", "best.npz"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + b" ")
        assert str(folder / name) in damaged(folder / name, lambda _: collection.read_run(folder))
        (folder / name).write_bytes(whole)
    (folder / "best.npz").unlink()
    collection.read_run(folder)  # who has no need of the weights may remove them
    result = read_json(folder / "result.json")
    for sums in ({}, [], {**result["checksums"], "../secret": "0"}):
        (folder / "result.json").write_text(json.dumps(result | {"checksums": sums}))
        assert "checksums of other files" in damaged(folder / "result.json", lambda _: collection.read_run(folder))
    (folder / "result.json").write_text(json.dumps(result | {"seconds": 2.5}))
    damaged(folder / "result.json", lambda _: collection.read_run(folder))
    for name in ("seconds", "peak_memory_mb"):
        (folder / "result.json").write_text(json.dumps(result | {name: -2.5}))
        assert f"{name} is no number" in damaged(folder / "result.json", lambda _: collection.read_run(folder))


@pytest.mark.parametrize(
    "of_meta", [{"checksums": True}, {"blas": None}, {"annealtrain": "0.2.0"}, {"annealtrain": None}]
)
def test_checksums_are_missed_where_a_run_had_them(tmp_path: Path, of_meta: dict[str, Any]) -> None:
    folder = write_run(tmp_path / "run")
    assert not checksums.verify(folder, contents.read_result(folder / "result.json"))  # of an older version
    (folder / "meta.json").write_text(json.dumps(META_OF_OLD | of_meta))
    assert "result.json has lost its checksums" in damaged(
        folder / "result.json", lambda _: collection.read_run(folder)
    )


def test_every_run_says_that_it_has_checksums(tmp_path: Path) -> None:
    for folder, resume in ((tmp_path, False), (tmp_path, True)):
        record = RunRecorder(folder)
        record.begin("bits: 3\n", META, resume=resume)
        assert contents.read_meta(folder / "meta.json")["checksums"] is True
        (folder / "meta.json").write_text(json.dumps(META))  # as one that an older version has begun


@pytest.mark.parametrize("name", ["solves.csv", "best.npz"])
def test_a_file_that_was_put_beside_those_of_a_run_is_told(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run")
    reseal(folder)
    (folder / name).symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=rf"{name}: the run wrote no such file: remove it"):
        collection.read_run(folder)


@pytest.mark.parametrize(
    ("name", "size", "limit"), [("metrics.csv", 10**13, "256 MB"), ("last.npz", 10**13, "16000 MB")]
)
def test_files_of_terabytes_are_refused_unread(tmp_path: Path, name: str, size: int, limit: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "last.npz").write_bytes(b"weights")
    reseal(folder)
    os.truncate(folder / name, size)  # it takes no place on the disk
    with pytest.raises(InputError, match=rf"{name} cannot be read \(it is larger than {limit}\)"):
        checksums.verify_run(folder)


def test_large_files_are_summed_in_little_memory(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "last.npz").touch()
    os.truncate(folder / "last.npz", 2**26)
    reseal(folder)
    tracemalloc.start()
    try:
        checksums.verify_run(folder)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_spaces_of_a_result_may_change(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    reseal(folder)
    path = folder / "result.json"
    path.write_text(json.dumps(read_json(path), indent=7, sort_keys=True))
    assert checksums.verify(folder, contents.read_result(path))


def test_plain_values_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("\ufeffa: 1e-5\nb: [true, null, 2020-01-01]\n", encoding="utf-8")
    assert yaml_files.read_mapping(path) == {"a": 1e-5, "b": [True, None, "2020-01-01"]}
