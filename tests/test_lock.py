"""One process at a time in a run folder."""

import errno
import sys
from pathlib import Path

import pytest
from conftest import Outcome, finished, started, until

from annealtrain.errors import InputError
from annealtrain.runs import lock

CONTENDER = """
import os, sys, pathlib
from annealtrain.runs import lock
folder, waits = pathlib.Path(sys.argv[1]), []
for _ in range(200):
    told = len(waits)
    with lock.exclusive(folder, lambda: waits.append(1)):
        assert len(waits) - told <= 1
        os.close(os.open(folder / "held", os.O_CREAT | os.O_EXCL))
        os.unlink(folder / "held")
"""


def test_many_processes_take_turns(tmp_path: Path) -> None:
    others = [started([sys.executable, "-c", CONTENDER, str(tmp_path)], tmp_path) for _ in range(5)]
    assert [finished(other) for other in others] == [Outcome(0, "", "")] * 5
    assert not any(tmp_path.iterdir())


HOLDER = """
import sys, pathlib, time
from annealtrain.runs import lock
folder, signs = map(pathlib.Path, sys.argv[1:])
with lock.exclusive(folder, lambda: None):
    (signs / "held").touch()
    while not (signs / "told").exists():
        time.sleep(0.01)
    (signs / "done").touch()
"""


def unlockable(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_folder_is_one_process_s_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    folder, waits = tmp_path / "run", []
    folder.mkdir()
    holder = started([sys.executable, "-c", HOLDER, str(folder), str(tmp_path)], tmp_path)
    until((tmp_path / "held").exists, holder)

    def waiting() -> None:
        waits.append("waiting")
        (tmp_path / "told").touch()  # for this the other one holds its lock

    with lock.exclusive(folder, waiting):
        assert (tmp_path / "done").exists()
    assert waits == ["waiting"]
    with lock.exclusive(folder, lambda: waits.append("again")):
        pass
    assert waits == ["waiting"]
    assert not any(folder.iterdir())
    monkeypatch.setattr(fcntl, "lockf", unlockable)
    with lock.exclusive(folder, lambda: waits.append("no locks here")):
        assert waits == ["waiting"]
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot write"), lock.exclusive(folder / "absent", lambda: None):
        pass


@pytest.mark.parametrize("text", ["mine", "the lock of annealtrain\nand more"])
def test_a_file_of_another_s_is_no_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lock").write_text("theirs")  # the name that older versions took
    (tmp_path / lock.LOCK).write_text(text)
    with pytest.raises(InputError, match="is not a lock of annealtrain"), lock.exclusive(tmp_path, lambda: None):
        pass
    (tmp_path / lock.LOCK).rename(tmp_path / "elsewhere")
    (tmp_path / lock.LOCK).symlink_to("elsewhere")
    with pytest.raises(InputError, match="cannot write"), lock.exclusive(tmp_path, lambda: None):
        pass
    assert (tmp_path / "elsewhere").read_text() == text
    assert (tmp_path / ".lock").read_text() == "theirs"


@pytest.mark.parametrize("held", [b"", lock.MARK])
def test_a_lock_of_two_names_is_written_to_neither(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "mine").write_bytes(held)
    (tmp_path / lock.LOCK).hardlink_to(tmp_path / "mine")
    with lock.exclusive(tmp_path, lambda: None):
        assert (tmp_path / lock.LOCK).read_bytes() == lock.MARK
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_bytes() == held


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    for held in (b"", lock.MARK):
        (tmp_path / lock.LOCK).write_bytes(held)
        with lock.exclusive(tmp_path, lambda: None):
            pass
        assert not any(tmp_path.iterdir())
