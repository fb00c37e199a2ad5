"""TERM and HUP end a command as Ctrl-C does; workers leave both to their sweep."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LIMIT_S, finished, process, started

from annealtrain.commands.interrupts import as_ctrl_c, left_to_this_process, through_libraries
from annealtrain.errors import InputError
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import lifeline
from annealtrain.runtime.guardian import MARK, Guardian

SMALLEST = ("model=linear_small", "samples=30", "validation=20", "epochs=2", "annealing.num_sweeps=1", "threads=1")


def interrupted_by(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)  # until it is heard


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
@pytest.mark.parametrize("is_left", [False, True])
def test_each_signal_has_its_exit_code(number: signal.Signals, code: int, is_left: bool) -> None:
    before = signal.getsignal(number), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with as_ctrl_c() as heard:
        if is_left:
            left_to_this_process()
            child = "import signal; print([int(n) for n in sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))])"
            said = subprocess.run(
                [sys.executable, "-c", child], capture_output=True, text=True, check=True, timeout=LIMIT_S
            )
            assert said.stdout == f"{[int(signal.SIGHUP), int(signal.SIGINT)]}\n"
        with pytest.raises(KeyboardInterrupt):
            interrupted_by(number)
    assert heard.code == code
    assert (signal.getsignal(number), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


def test_an_exit_code_holds_also_where_the_signal_came_in_an_import(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\nimport annealtrain.cli as cli\n"
        "cli.COMMANDS['data'] = lambda _: exec('os.kill(os.getpid(), signal.SIGHUP)', {'os': os, 'signal': signal})\n"
    )
    path = f"{tmp_path}{os.pathsep}{Path(__file__).resolve().parents[1]}"
    ended = finished(process(["data"], tmp_path, PYTHONPATH=path))
    assert (ended.code, ended.err) == (129, "annealtrain data: interrupted\n")


def raised_of(end: BaseException | None, *errors: Exception) -> None:
    """Raise errors, each in dealing with the one before, the first in dealing with `end`."""
    try:
        if not errors:
            raise end or InputError("of nothing")
        raised_of(end, *errors[:-1])
    except BaseException as before:
        if not errors:
            raise
        raise errors[-1] from (before if isinstance(before, OSError) else None)


@pytest.mark.parametrize(
    ("end", "errors", "raised"),
    [
        (KeyboardInterrupt(), [AttributeError("half a node")], KeyboardInterrupt),
        (
            KeyboardInterrupt(),
            [AttributeError("half a node"), ValueError("key"), InputError("line")],
            KeyboardInterrupt,
        ),
        (KeyboardInterrupt(), [OSError(28, "full"), InputError("the disk is full")], InputError),
        (OSError(28, "full"), [InputError("the disk is full")], InputError),
        (ValueError("an error"), [InputError("line")], InputError),
        (None, [], InputError),
    ],
)
def test_an_error_on_the_way_of_an_interrupt_is_one(
    end: BaseException | None, errors: list[Exception], raised: type
) -> None:
    with pytest.raises(raised), through_libraries():
        raised_of(end, *errors)


@pytest.mark.parametrize("command", ["train", "estimate"])
def test_a_library_that_ends_with_an_error_of_its_own_is_interrupted(command: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\nimport annealtrain.experiment.known_settings as settings\n"
        "def ended():\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n        None.flags\n"
        "settings.shipped_settings = ended\n"
    )
    path = f"{tmp_path}{os.pathsep}{Path(__file__).resolve().parents[1]}"
    folder = tmp_path / "run"
    own = [f"hydra.run.dir={folder}"] if command == "train" else []
    ended = finished(process([command, *SMALLEST, *own], tmp_path, PYTHONPATH=path))
    assert (ended.code, ended.err) == (143, f"annealtrain {command}: interrupted\n")
    assert not folder.exists()


def test_what_is_ignored_stays_so() -> None:
    held = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with as_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, held)


def test_a_run_that_is_told_to_end_says_how_to_go_on(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = RunRecorder.save

    def ended(record: RunRecorder, *what: object) -> None:
        save(record, *what)  # type: ignore[arg-type]
        interrupted_by(signal.SIGTERM)

    monkeypatch.setattr(RunRecorder, "save", ended)
    outcome = cli("train", *SMALLEST, "hydra.run.dir=run")
    assert outcome.code == 143
    said = f"interrupted: 0 of 2 epochs are kept; to go on: annealtrain resume {tmp_path}/run\n"
    assert outcome.err.endswith(said)


WATCHING = "import sys, time; from annealtrain.runtime import lifeline as p; p.end_with(p.Origin({})); time.sleep(99)"


def test_a_process_ends_with_another_that_is_not_its_parent(tmp_path: Path) -> None:
    other = started(["sleep", "100"], tmp_path)
    origin = lifeline.Origin(os.uname().nodename, other.pid, lifeline._began(other.pid))
    assert origin.is_alive()
    watching = started([sys.executable, "-c", WATCHING.format(", ".join(map(repr, origin)))], tmp_path)
    other.kill()
    other.wait(60)
    assert not origin.is_alive()
    assert finished(watching).code == 1
    elsewhere = lifeline.Origin("another machine", other.pid, "")
    lifeline.end_with(elsewhere)  # nothing is known of it
    assert not lifeline.Origin(origin.host, os.getpid(), "another time").is_alive()


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here to see processes in")
def test_a_guardian_ends_what_was_started_since(tmp_path: Path) -> None:
    before = started(["sleep", "100"], tmp_path)
    guardian = Guardian("mark of a test")
    since = started(["sleep", "100"], tmp_path)
    guardian.call()
    assert finished(since).code == -signal.SIGKILL
    assert before.poll() is None
    assert MARK not in os.environ
    guardian = Guardian("mark of a test")
    kept = started(["sleep", "100"], tmp_path)
    guardian.dismiss()
    assert kept.poll() is None
