"""New interpreters: none looks for modules in the working directory first."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL

from annealtrain.commands.sweep import Watch
from annealtrain.runtime import safe_path
from annealtrain.runtime.process_pool import Workers

TRAP = "open('executed', 'w').close()\n"


def test_workers_are_told_and_what_comes_after_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with safe_path.for_workers():
        assert os.environ["PYTHONSAFEPATH"]
        safe_path.forget()  # as a job does that runs in the same process
        assert "PYTHONSAFEPATH" not in os.environ
    with safe_path.for_workers():
        pass
    assert "PYTHONSAFEPATH" not in os.environ
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    with safe_path.for_workers():
        safe_path.forget()
    assert os.environ["PYTHONSAFEPATH"] == "1"  # the user's own


def test_a_worker_takes_no_module_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("json", "pickle", "threadpoolctl", "numpy"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    assert Workers().run(os.getcwd) == str(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_the_launcher_of_a_sweep_is_told_and_its_jobs_are_not(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (tmp_path / "heard.py").write_text(
        "import os\n"
        "from annealtrain.solvers.exact import Exact\n"
        "class Heard(Exact):\n"
        "    def __init__(self, **_):\n"
        "        assert 'PYTHONSAFEPATH' not in os.environ\n"
    )
    seen, start = [], Watch.on_multirun_start

    def watched(self: Watch, *arguments: Any, **named: Any) -> None:
        seen.append(os.environ.get("PYTHONSAFEPATH"))
        start(self, *arguments, **named)

    monkeypatch.setattr(Watch, "on_multirun_start", watched)
    words = ("optimizer=pinv", "bits=1", "solver._target_=heard.Heard")
    outcome = cli("train", "-m", *SMALL, *words, "model=linear_small", "epochs=1", "seed=0", "hydra.sweep.dir=sweep")
    assert outcome.code == 0, outcome
    assert "1 jobs, 0 failed" in outcome.out
    assert seen == ["annealtrain"]
    assert "PYTHONSAFEPATH" not in os.environ
