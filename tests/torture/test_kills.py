"""Runs and sweeps ended at random moments: the same bits in the end, and nothing left behind.

PYTHONPATH=tests python -m pytest -m torture tests/torture/test_kills.py
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from torture import kills

RUNS, SWEEPS = (int(os.environ.get(f"TORTURE_{what}", count)) for what, count in (("RUNS", 100), ("SWEEPS", 20)))
pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here to see processes in"),
]


def test_ended_runs_go_on_to_the_same_bits(cli: Callable, tmp_path: Path) -> None:
    seconds = {kind: kills.timed(words, tmp_path, f"hydra.run.dir=whole_{kind}") for kind, words in kills.KINDS.items()}
    ended = [
        kills.ended_run(kill, tmp_path / f"whole_{kill.kind}", tmp_path / f"run{number}", seconds[kill.kind], cli)
        for number, kill in enumerate(kills.kills(tuple(kills.KINDS), RUNS, seed=RUNS))
    ]
    print(f"{sum(ended)} of {len(ended)} runs were ended at work; seconds of a whole one: {seconds}")
    assert sum(ended) > 0.3 * RUNS


def test_ended_sweeps_leave_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launchers = ("joblib", "submitit_local")
    seconds = {
        name: kills.timed(kills.sweep_words(name), tmp_path, f"hydra.sweep.dir=whole_{name}") for name in launchers
    }
    ended = [
        kills.ended_sweep(kill, tmp_path / f"whole_{kill.kind}", tmp_path / f"sweep{number}", seconds[kill.kind])
        for number, kill in enumerate(kills.kills(launchers, SWEEPS, seed=SWEEPS))
    ]
    print(f"{sum(ended)} of {len(ended)} sweeps were ended at work; seconds of a whole one: {seconds}")
    assert sum(ended) > 0.3 * SWEEPS
