"""Standard streams that are closed, full or of another encoding, and a working directory that is gone."""

import errno
import io
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL, finished, started
from run_folders import reseal, write_run

from annealtrain.commands import streams
from annealtrain.commands.hydra_app import remove_if_empty
from annealtrain.runs import recorder
from annealtrain.runs.tables import read_json

CLOSED = """
import os, sys
for number in map(int, sys.argv[1]):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "annealtrain", *sys.argv[2:]])
"""


@pytest.mark.parametrize("numbers", ["1", "2", "012"])
def test_a_closed_stream_spoils_no_file(tmp_path: Path, numbers: str) -> None:
    write_run(tmp_path / "run")
    running = started([sys.executable, "-c", CLOSED, numbers, "collect", "run"], tmp_path)
    outcome = finished(running)
    assert (outcome.code, outcome.err) == (0, "")
    assert (tmp_path / "run" / "runs.csv").read_text().startswith("run,state,")
    assert ("3 rows" in outcome.out) == (numbers == "2")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_full_standard_output_is_one_line(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "annealtrain", "collect", "run"]
        outcome = finished(started(command, tmp_path, output=full.fileno()))
    said = "cannot write standard output (No space left on device): make room, or write elsewhere"
    assert (outcome.code, outcome.err) == (2, f"annealtrain collect: {said}\n")
    assert (tmp_path / "run" / "runs.csv").is_file()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_fails_in_the_work_of_others_is_one_line(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    Path("run").mkdir()
    monkeypatch.setattr("annealtrain.commands.collect.collect", full)
    outcome = cli("collect", "run")
    assert (outcome.code, outcome.out.strip()) == (2, "")
    assert outcome.err.count("\n") == 1
    assert f"({os.strerror(number)})" in outcome.err


def test_an_error_that_is_none_of_files_is_not_hidden(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    Path("run").mkdir()
    monkeypatch.setattr("annealtrain.commands.collect.collect", fail)
    with pytest.raises(OSError, match="allocate"):
        cli("collect", "run")


def test_errors_that_nobody_reads_change_no_exit_code(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    assert streams.complain("collect", "no") is None
    assert cli("collect", "nowhere").code == 2


def test_any_text_is_printed_whatever_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    streams.prepare()
    print("ü \udce9")
    ascii_only.flush()
    assert ascii_only.buffer.getvalue() == b"\\xfc \\udce9\n"  # type: ignore[attr-defined]


def test_a_working_directory_that_is_gone_is_one_line(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        outcome = cli("collect", str(tmp_path))
        assert cli("--version").code == 0
    finally:
        os.chdir(tmp_path)
    said = "the working directory is gone (No such file or directory): change to another one"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"annealtrain collect: {said}\n")


def test_the_remedy_is_one_that_the_command_has(
    refused: Callable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".annealtrain-lock").write_text("mine")
    words = ("bench", "field", "digits-linear_small-step-2", "--output", "new")
    assert refused(*words).endswith("is not a lock of annealtrain: choose another --output")
    streams.complain("resume", f"cannot write r/last.npz (No space left on device): {recorder.REMEDY}")
    line = "copy the run elsewhere, or put that right and resume again\n"
    assert capsys.readouterr().err.endswith(f"(No space left on device): {line}")
    streams.complain("train", recorder.REMEDY)
    assert capsys.readouterr().err == f"annealtrain train: {recorder.REMEDY}\n"


def test_a_working_directory_that_goes_during_the_work_is_one_line(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def work(*_: object) -> None:
        (tmp_path / "gone").rmdir()
        os.getcwd()  # as what starts processes does

    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    monkeypatch.setattr("annealtrain.commands.collect.collect", work)
    try:
        outcome = cli("collect", str(tmp_path))
    finally:
        os.chdir(tmp_path)
    said = "the working directory is gone (No such file or directory): change to another one"
    assert (outcome.code, outcome.err) == (2, f"annealtrain collect: {said}\n")


@pytest.mark.parametrize("name", ["link.log", "/dev/full", "missing/train.log"])
def test_a_log_that_cannot_be_written_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link.log").symlink_to("mine")
    if name == "/dev/full" and not Path(name).exists():
        pytest.skip("no device here that is always full")
    log = logging.Logger("mine")
    log.addHandler(streams.LogFile(str(tmp_path / name), delay=True))
    for _ in range(3):
        log.error("gone wrong")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    why = {"link.log": "it is a symbolic link", "/dev/full": "No space left on device"}
    assert f"cannot write {tmp_path / name} ({why.get(name, 'No such file or directory')}): " in said
    assert (tmp_path / "mine").read_text() == "mine"
    log.handlers[0].close()


def test_a_log_takes_any_text(tmp_path: Path) -> None:
    log = logging.Logger("mine")
    log.addHandler(streams.LogFile(str(tmp_path / "train.log"), delay=True))
    log.error("\udcff \u00e9")
    log.handlers[0].close()
    assert (tmp_path / "train.log").read_bytes() == "\\udcff \u00e9\n".encode()


def test_a_log_of_two_names_is_continued_in_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "snapshot.log").write_text("begun\n")
    (tmp_path / "train.log").hardlink_to(tmp_path / "snapshot.log")
    log = logging.Logger("mine")
    log.addHandler(streams.LogFile(str(tmp_path / "train.log"), delay=True))
    for _ in range(2):
        log.error("gone wrong")
    log.handlers[0].close()
    assert (tmp_path / "snapshot.log").read_text() == "begun\n"
    assert (tmp_path / "train.log").read_text() == "begun\ngone wrong\ngone wrong\n"
    assert capsys.readouterr().err == ""


def test_what_is_logged_after_a_runs_folder_is_removed_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders, handlers = [tmp_path / "ended", tmp_path / "other"], []
    for folder in folders:
        folder.mkdir()
        handlers.append(streams.LogFile(str(folder / "train.log"), delay=True))
        logging.getLogger().addHandler(handlers[-1])
    try:
        remove_if_empty(folders[0])  # as Ctrl-C does before a run has written
        folders[1].rmdir()  # as somebody else does
        logging.getLogger().error("a library ends")
    finally:
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "cannot write" in line] == [
        f"annealtrain: cannot write {folders[1] / 'train.log'} (No such file or directory): "
        "what goes wrong in this run is not kept there"
    ]


def test_folders_of_others_steer_no_terminal(cli: Callable, tmp_path: Path) -> None:
    escape = "\x1b]8;;http://x\x07\u202e\x9b1m"
    run = write_run(tmp_path / f"{escape.replace('/', '')}")
    for words in (("plot", run.name), ("collect", run.name), ("report", run.name), ("collect", ".")):
        outcome = cli(*words)
        assert outcome.code == 0
        assert "\\x1b]8;;http:x\\x07\\u202e\\x9b1m" in outcome.out or words == ("collect", ".")
        assert (outcome.out + outcome.err).replace("\n", "").isprintable()


def test_results_of_others_steer_no_terminal(cli: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    streams.say("val 0.5\n\x1b[2J", Path("a\x07"))
    assert capsys.readouterr().out == "val 0.5\n\\x1b[2J\na\\x07\n"
    assert cli("train", *SMALL, "hydra.run.dir=run").code == 0
    result = read_json(Path("run/result.json"))
    result["last"]["\x1b[2J"] = 0.5
    Path("run/result.json").write_text(json.dumps(result))
    reseal(Path("run"))
    outcome = cli("eval", "run")
    assert outcome.code == 1
    assert "\\x1b[2J 0.5" in outcome.out
    assert (outcome.out + outcome.err).replace("\n", "").isprintable()


def test_a_process_that_cannot_be_started_is_told() -> None:
    limit = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    assert str(streams.fault(limit)).startswith("no process can be started (Resource temporarily unavailable)")
    assert streams.fault(BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 0)) is None
