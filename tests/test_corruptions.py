"""Corrupted run folders end every command in one line, and none that a checksum tells is taken for whole."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from torture.corruptions import trials, tried

from annealtrain.runs.recorder import RunRecorder


@pytest.fixture
def runs(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[bool, Path]:
    """A finished run, and one that was interrupted after its first epoch."""
    assert cli("train", *SMALL, "hydra.run.dir=finished").code == 0
    save = RunRecorder.save

    def interrupted(self: RunRecorder, row: dict, *rest: object) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        save(self, row, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "save", interrupted)
        assert cli("train", *SMALL, "hydra.run.dir=unfinished").code == 130
    return {True: tmp_path / "finished", False: tmp_path / "unfinished"}


@pytest.mark.parametrize("count", [60, pytest.param(400, marks=pytest.mark.torture)])
def test_corrupted_folders(cli: Callable, tmp_path: Path, runs: dict[bool, Path], count: int) -> None:
    found = Counter(
        (trial.is_finished, tried(trial, runs, tmp_path / f"trial{number}", cli))
        for number, trial in enumerate(trials(count, seed=count))
    )
    assert found[True, "refused"] > 0.8 * (found[True, "refused"] + found[True, "accepted"])
    assert sum(found.values()) == count
