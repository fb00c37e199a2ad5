"""What the tests of the command line share: calling it, here or in a process of its own, and reading run folders."""

import copy
import csv
import functools
import importlib
import logging
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from run_folders import write_run

pytest.register_assert_rewrite("annealtrain.testing")

from annealtrain.cli import main  # noqa: E402
from annealtrain.experiment.compose import compose_config  # noqa: E402

# Each test that has taken more processor seconds than SLOW, as `make slow-tests` measured them; `make test-quick`
# leaves them out.
SLOW, SLOW_TESTS = 0.1, Path(__file__).with_name("slow_tests.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help=f"write the tests of more than {SLOW} s to {SLOW_TESTS}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: an archive has the time in it, and workers would collect other tests."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "torture" not in config.getoption("markexpr"):  # hours in all: only where they are asked for
        items[:] = [item for item in items if item.get_closest_marker("torture") is None]
    slow = {line.split(maxsplit=1)[1] for line in SLOW_TESTS.read_text().splitlines()}
    for item in items:
        if _name(item.nodeid) in slow:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.stash[STARTED_AT] = _processor_s()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    if call.when == "teardown":
        item.user_properties.append(("processor_s", _processor_s() - item.stash[STARTED_AT]))
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        MEASURED[_name(report.nodeid)] = dict(report.user_properties).get("processor_s", 0.0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("measure") and not hasattr(session.config, "workerinput"):
        slow = sorted(((seconds, name) for name, seconds in MEASURED.items() if seconds > SLOW), reverse=True)
        SLOW_TESTS.write_text("".join(f"{seconds:.1f} {name}\n" for seconds, name in slow))


MEASURED: dict[str, float] = {}
STARTED_AT = pytest.StashKey[float]()


def _name(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("@")[0]  # xdist adds @group


def _processor_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + ended_cpu_s()


# Who starts the tests in the background, or under nohup, leaves Ctrl-C or a hang-up ignored, also in the programs that
# they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SMALL = (
    "model=two_linear_small",
    "samples=60",
    "validation=40",
    "epochs=2",
    "bits=3",
    "threads=1",
)


def _read_once() -> None:
    """Share what Hydra reads of packages' YAML among the tests, and compose once a call where nothing sets its mode.

    Each of its hundreds of calls here would otherwise read some twenty files, and compose a first time to learn
    whether it is to sweep. Processes of the tests do both; folders of a user's own are always read anew.
    """
    load, mode, held = ConfigRepository.load_config, Hydra.get_mode, {}

    def load_config(self: ConfigRepository, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "pkg":
            return load(self, config_path)
        key = (source.path, config_path)
        if key not in held:
            held[key] = pickle.dumps(load(self, config_path))
        return pickle.loads(held[key])  # anew: what is composed of it changes it

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        own = any(at.path.startswith("file:") for at in self.config_loader.get_search_path().get_path() if at.path)
        if own or any(word.lstrip("+").startswith(("hydra.mode", "hydra/", "sweep")) for word in overrides):
            return mode(self, config_name, overrides)
        return None

    ConfigRepository.load_config, Hydra.get_mode = load_config, get_mode  # type: ignore[method-assign]


_read_once()


@dataclass(frozen=True)
class Outcome:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable]:
    """A function that runs the command line in this process, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("ANNEALTRAIN_DATA", str(tmp_path / "no_data"))
    root = logging.getLogger()
    handlers, level, modules = root.handlers[:], root.level, set(sys.modules)

    def call(*arguments: str) -> Outcome:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None  # a process has one call
        importlib.invalidate_caches()
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:  # --help of argparse
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    yield call
    GlobalHydra.instance().clear()
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level
    for name in set(sys.modules) - modules:  # a user's files: another test has others of the same name
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def refused(cli: Callable, tmp_path: Path) -> Callable:
    """A function that runs a command that must be refused as bad input is, and returns the one line it says."""

    def call(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        outcome = cli(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith(f"annealtrain {arguments[0]}: ")
        assert outcome.err.endswith("\n")
        assert outcome.err.count("\n") == 1, outcome.err
        assert "Traceback" not in outcome.err
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.err.removeprefix(f"annealtrain {arguments[0]}: ").rstrip()

    return call


@functools.cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    return compose_config(list(overrides), None)


def composed(*overrides: str) -> dict[str, Any]:
    """Return the configuration of these overrides, the caller's own to change; composed once in all tests."""
    return copy.deepcopy(_composed(overrides))


# Processes: each leads a session of its own, and ends with its test, with all that it has started.

LIMIT_S = 300  # of each wait, on a busy machine too: the slowest of these processes needs some ten seconds alone
STARTED: list["Process"] = []


class Process(subprocess.Popen):
    """What it says goes to files: pipes would be held by what it leaves behind, and fill unread."""

    def __init__(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], output: int | None = None
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
        self.outputs = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 (closed with the test)
        super().__init__(
            command,
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=self.outputs[0] if output is None else output,
            stderr=self.outputs[1],
            start_new_session=True,
        )

    def said(self) -> tuple[str, str]:
        """Return what it has written so far: output and errors."""
        out, err = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in self.outputs)
        return out, err


def process(arguments: Sequence[str], folder: Path, *, output: int | None = None, **variables: str) -> Process:
    """Start the command line in a process of its own, in `folder`; output: a file descriptor for what it prints."""
    command = [sys.executable, "-m", "annealtrain", *arguments]
    return started(command, folder, output=output, PYTHONSAFEPATH="1", **variables)


def started(command: Sequence[str], folder: Path, *, output: int | None = None, **variables: str) -> Process:
    """Start a command in a session of its own, which ends with the test."""
    STARTED.append(Process(command, folder, variables, output))
    return STARTED[-1]


def finished(running: Process, timeout: float = LIMIT_S) -> Outcome:
    """Wait for a process and return how it ended; subprocess.TimeoutExpired, and its end, where it takes too long."""
    try:
        running.wait(timeout)
    except subprocess.TimeoutExpired:
        end(running)
        raise
    return Outcome(running.returncode, *running.said())


def end(running: Process) -> None:
    """Kill a process and all others of its session."""
    with suppress(ProcessLookupError, PermissionError):  # of a group that has ended
        os.killpg(running.pid, signal.SIGKILL)
    for pid in members(running.pid):  # those with a group of their own
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.wait(LIMIT_S)


def members(session: int) -> list[int]:
    """Return the processes of a session, where the system tells (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if int(path.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(path.parent.name))
    return found


def until(holds: Callable[[], object], running: Process) -> None:
    """Wait for something that a process brings about; AssertionError where the process ends or is too slow."""
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert running.poll() is None, finished(running)
        assert time.monotonic() < limit, f"nothing after {LIMIT_S} s"
        time.sleep(0.01)


def cpu_s(running: Process) -> float:
    """Return the processor time that a running process has used: unlike the clock's, no other process adds to it."""
    path = Path(f"/proc/{running.pid}/stat")
    if not path.exists():
        pytest.skip("no /proc here to read a process's time from")
    user, system = path.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ended_cpu_s() -> float:
    """Return the processor time of all processes that have been started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        running = STARTED.pop()
        end(running)
        for file in running.outputs:
            file.close()


def table(path: Path, *, times: bool = False) -> list[dict[str, str]]:
    """Return the rows of a CSV as text; without the columns of seconds unless `times`."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: text for name, text in row.items() if times or not name.endswith(("_s", "_ns"))} for row in rows]


def weights(path: Path) -> dict[str, tuple]:
    """Return a checkpoint's arrays as comparable values."""
    with np.load(path, allow_pickle=False) as held:
        return {name: (held[name].dtype.str, held[name].shape, held[name].tobytes()) for name in held.files}


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two finished runs agree to the last bit, in all but what tells the time."""
    for name in ("metrics.csv", "solves.csv"):
        assert table(one / name) == table(other / name)
    for name in ("last.npz", "best.npz"):
        assert (one / name).exists() == (other / name).exists()
        if (one / name).exists():
            assert weights(one / name) == weights(other / name)


def write_mnist(folder: Path, *, train: int = 60, test: int = 20) -> Path:
    """Write a small image set in MNIST's files under `folder`; return where they lie."""
    random = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            values = random.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
            head = struct.pack(f">{1 + len(shape)}I", 2048 + len(shape), *shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(head + values.tobytes())
    return raw


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two solvers, two seeds each, one run not finished; a damaged run, a foreign folder, and one that is empty."""
    for k, solver in enumerate(("SimulatedAnnealing", "CoordinateDescent")):
        for seed in (0, 1):
            write_run(
                tmp_path / solver / f"seed={seed}",
                finished=(k, seed) != (1, 1),
                shift=0.1 * k + 0.02 * seed,
                seed=seed,
                solver={"_target_": f"annealtrain.solvers.{solver}"},
            )
    (write_run(tmp_path / "damaged") / "config.yaml").write_text("a: [")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "notes.txt").write_text("not looked at")
    return tmp_path


MOODY = """
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing

class Moody(SimulatedAnnealing):
    def __init__(self, mood, **settings):
        super().__init__(**settings)
        self.mood = mood

    def resolve_schedules(self, epoch, epochs):
        if self.mood == 1 and epoch == 1:
            raise ValueError("not in the mood for epoch 1")
        return super().resolve_schedules(epoch, epochs)
"""
