"""The tests themselves: what is left out of a quick run is there, and no process outlives its test."""

import sys
from pathlib import Path

import conftest
from conftest import cpu_s, end, finished, members, started, until


def test_slow_tests_are_tests() -> None:
    for line in conftest.SLOW_TESTS.read_text().splitlines():
        seconds, name = line.split(maxsplit=1)
        path, _, test = name.partition("::")
        assert float(seconds) > 0
        function = test.partition("[")[0].rpartition("::")[2]
        text = conftest.SLOW_TESTS.with_name(path).read_text()
        assert f"def {function}(" in text or "::" in test, name  # a class may inherit a test of a contract


CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=len(sys.argv) > 1)
print("started", flush=True)
time.sleep(1000)
"""


def test_a_process_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    running = started([sys.executable, "-c", CHILD], tmp_path)
    until(lambda: running.said()[0] == "started\n", running)
    assert len(members(running.pid)) == 2
    end(running)
    assert running.poll() is not None
    until_gone(running.pid)


def until_gone(session: int) -> None:
    """Wait for killed processes, whom another one reaps."""
    idle = started([sys.executable, "-c", "import time; time.sleep(1000)"], Path.cwd())
    until(lambda: not members(session), idle)


def test_what_a_process_left_behind_ends_too(tmp_path: Path) -> None:
    script = CHILD.replace("time.sleep(1000)\n", "", 2).rstrip().removesuffix("time.sleep(1000)")
    left = started([sys.executable, "-c", script], tmp_path)
    assert finished(left).out == "started\n"
    assert len(members(left.pid)) == 1  # its child lives on
    end(left)
    until_gone(left.pid)


def test_processor_time_is_that_of_the_process_alone(tmp_path: Path) -> None:
    busy = started([sys.executable, "-c", "while True: pass"], tmp_path)
    idle = started([sys.executable, "-c", "import time; time.sleep(1000)"], tmp_path)
    until(lambda: cpu_s(busy) > 0.3, busy)
    assert cpu_s(idle) < 0.2  # the start of an interpreter
