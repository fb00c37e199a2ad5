"""Files that are whole at any moment, and what is said where they cannot be written."""

import os
import secrets
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_folders import save, started

from annealtrain.errors import InputError
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import files


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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("is_there", [True, False])
def test_no_link_is_written_through(tmp_path: Path, is_there: bool) -> None:
    other, link = tmp_path / "other", tmp_path / "run.png"
    if is_there:
        other.write_text("theirs")
    link.symlink_to(other)
    files.write_atomically(link, b"ours", "")
    assert (link.read_bytes(), link.is_symlink()) == (b"ours", False)
    assert (other.read_text() == "theirs") if is_there else not other.exists()


def test_parts_have_names_that_nobody_foresees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda part, path: (seen.append(part.name), replace(part, path))[1])
    for _ in range(2):
        files.write_atomically(tmp_path / ("x" * 250), b"", "")
    assert len(set(seen)) == 2
    assert names(tmp_path) == ["x" * 250]


def test_a_file_of_two_names_becomes_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_text("ours")
    mine.chmod(0o600)
    number = mine.stat().st_ino
    files.detach(mine, "")
    files.detach(tmp_path / "absent", "")
    assert mine.stat().st_ino == number  # nothing to do
    other.hardlink_to(mine)
    files.detach(mine, "")
    assert (mine.read_text(), mine.stat().st_nlink, stat.S_IMODE(mine.stat().st_mode)) == ("ours", 1, 0o600)
    assert other.stat().st_ino == number
    third = tmp_path / "third"
    third.hardlink_to(other)
    os.close(files.opened_to_append(third))
    assert third.stat().st_nlink == 1
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        files.opened_to_append(tmp_path / "link")
    monkeypatch.setattr(files, "MOST_COPIED", 3)
    (tmp_path / "fourth").hardlink_to(other)
    with pytest.raises(InputError, match=r"fourth \(it is larger than 3e-06 MB\): remove it"):
        files.detach(tmp_path / "fourth", "remove it")
    assert names(tmp_path) == ["fourth", "link", "mine", "other", "third"]


def test_a_part_that_lies_there_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0")
    (tmp_path / ".a.0.part").symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match="File exists"):
        files.write_atomically(tmp_path / "a", b"", "")
    assert names(tmp_path) == [".a.0.part"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/null")
    for name in ("pipe", "folder", "device"):
        with pytest.raises(InputError, match=r"it is (a folder|no regular file)\): choose another"):
            files.write_atomically(tmp_path / name, b"", "choose another")
    assert names(tmp_path) == ["device", "folder", "pipe"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise error

    for where in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, where, interrupted)
            with pytest.raises(error):
                files.write_atomically(tmp_path / "a", b"content", "")
    assert names(tmp_path) == []


@pytest.mark.skipif(
    not Path("/dev").is_dir() or os.stat("/dev").st_dev == os.stat("/").st_dev, reason="no devices here"
)
def test_no_name_of_a_device_is_replaced() -> None:
    before = os.readlink("/dev/stdout") if os.path.islink("/dev/stdout") else None
    for name in ("stdout", "annealtrain"):  # a link to what may be a regular file, and what is not there
        with pytest.raises(InputError, match=f"cannot write /dev/{name} \\(it is "):
            files.require_writable(Path("/dev", name), "")
    assert before is None or os.readlink("/dev/stdout") == before


def test_it_is_asked_before_the_work_whether_there_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files.require_place(tmp_path / "new" / "deep" / "a.csv", "")
    assert names(tmp_path) == ["file"]
    for check in (files.require_place, files.require_writable):
        with pytest.raises(InputError, match=r"Not a directory|File exists"):
            check(tmp_path / "file" / "a.csv", "")
    with pytest.raises(InputError, match="there is no folder"):
        files.require_writable(tmp_path / "absent" / "a.csv", "")


def test_text_is_utf_8_whatever_the_locale_and_whatever_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    files.write_text(tmp_path / "a", "ü \udce9", "")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xbc \\udce9"
    assert files.read_text(tmp_path / "a", 100) == "ü \\udce9"


def test_only_files_of_a_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    assert files.read_bytes(tmp_path / "a", 5) == files.read_bytes(tmp_path / "link", 5, follow=True) == b"12345"
    for name, most, why in (("a", 4, "larger than"), ("link", 5, "a symbolic link"), ("pipe", 5, "no regular file")):
        with pytest.raises(OSError, match=why):
            files.read_bytes(tmp_path / name, most)


def test_reading_takes_no_more_memory_than_a_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", 2**62) == b"12345"
    with monkeypatch.context() as patch:  # a file that grows while it is read
        patch.setattr(os, "fstat", lambda _: SimpleNamespace(st_size=2, st_mode=stat.S_IFREG))
        assert files.read_bytes(tmp_path / "a", 5) == b"12345"
        with pytest.raises(OSError, match="larger than"):
            files.read_bytes(tmp_path / "a", 4)
