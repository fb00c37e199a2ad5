"""Nonsense for arguments ends every command in one line, and every call of the library in a ValueError of one."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LIMIT_S, SMALL
from torture import bad_arguments, bad_calls

from annealtrain.commands import bench_solvers
from annealtrain.training.trainer import Trainer

TORTURE = pytest.mark.torture
TRAINED_S = 0.3  # of a training that nothing was refused for, in the long form


@pytest.fixture
def run(cli: Callable, tmp_path: Path) -> Path:
    assert cli("train", *SMALL, "epochs=1", "hydra.run.dir=run").code == 0
    return tmp_path / "run"


# Ctrl-C may come within what Python does as it frees an object, where it lets no error through.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=TORTURE)])
def test_bad_arguments(cli: Callable, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    is_long, train = count > 60, Trainer.run

    def begun(self: Trainer, *rest: object) -> None:
        if not is_long:
            bad_arguments.accepted()
        with bad_arguments.interrupted_after(TRAINED_S):
            train(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "run", begun)
    monkeypatch.setattr(bench_solvers, "ground_energies", bad_arguments.accepted)
    found, faults = Counter[str](), []
    for trial in bad_arguments.trials(count, seed=count):
        try:
            found[bad_arguments.tried(trial, cli, bad_arguments.LIMIT_S if is_long else LIMIT_S)] += 1
        except AssertionError as fault:
            faults.append(fault)
        for path in tmp_path.iterdir():  # the folders that it made
            if path != run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not faults, "\n\n".join(map(str, faults))
    assert found["refused"] > 0.6 * count, found


@pytest.mark.parametrize("count", [30, pytest.param(200, marks=TORTURE)])
def test_bad_calls_of_the_library(run: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    found = bad_calls.called(count, run, seed=count)
    assert not found["faults"], "\n\n".join(found["faults"])
    assert found["refused"] > 0.7 * count, found
