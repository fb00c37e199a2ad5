"""Files that are whole at any moment, and what is said where they cannot be written."""

import os
from pathlib import Path

import pytest
from run_folders import save, started

from annealtrain.errors import InputError
from annealtrain.runs.recorder import RunRecorder


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
