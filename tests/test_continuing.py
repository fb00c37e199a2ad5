"""A finished run that is given more epochs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import assert_same_run, table

from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.layerwise import pinv
from annealtrain.runs import recorder, tables
from annealtrain.schedule import ConstantSchedule, DropSchedule, GeometricSchedule, StepSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing

WORDS = ("model=linear_small", "samples=30", "validation=20", "annealing.num_sweeps=1", "threads=1")


def trained(cli: Callable, folder: str, epochs: int, *words: str) -> str:
    outcome = cli("train", *WORDS, f"epochs={epochs}", f"hydra.run.dir={folder}", *words)
    assert outcome.code == 0, outcome
    return outcome.err


@pytest.mark.parametrize("command", ["train", "resume"])
def test_gauss_newton_goes_on_to_the_bits_of_a_longer_run(cli: Callable, command: str) -> None:
    trained(cli, "run", 2)
    begun = tables.read_json(Path("run/meta.json"))
    said = trained(cli, "run", 4) if command == "train" else cli("resume", "run", "epochs=4").err
    assert said == "goes on from epoch 2 to 4, as a run of 4 epochs does: nothing falls over its length\n"
    trained(cli, "whole", 4)
    assert_same_run(Path("run"), Path("whole"))
    meta = tables.read_json(Path("run/meta.json"))
    assert meta["extended"] == [{"epochs": 2, "at": meta["resumed_at"][0], "rescheduled": []}]
    assert meta["config_hash"] == tables.read_json(Path("whole/meta.json"))["config_hash"] != begun["config_hash"]
    assert "epochs: 4\n" in Path("run/config.yaml").read_text()
    assert cli("eval", "run").out.count("the same as recorded") == 2
    assert "left as it is" in cli("resume", "run").out
    assert "left as it is" in cli("resume", "run", "epochs=4").out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["optimizer=kronecker"], "the range L and eta are"),
        (["optimizer=pinv"], "the range L is"),
        (["optimizer=kronecker", "schedule=constant"], "eta is"),
    ],
)
def test_what_falls_over_a_run_is_said(cli: Callable, words: list[str], named: str) -> None:
    trained(cli, "run", 1, *words)
    err = cli("resume", "run", "epochs=2").err
    assert f"goes on from epoch 1 to 2: {named} from here on what " in err
    assert err.endswith(" another run than one of 2 epochs from its start\n")
    assert len(table(Path("run/metrics.csv"))) == 3


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["bits=2"], ""),
        (
            ["optimizer=kronecker", "levels=3"],
            "the range L and eta are from here on what they are in a run of 8 epochs",
        ),
    ],
)
def test_a_run_on_a_grid_stays_there(cli: Callable, words: list[str], before: str) -> None:
    trained(cli, "run", 1, "grid=fixed", *words)
    err = cli("resume", "run", "epochs=8").err  # of which the first two would train float weights
    said = "fixed_grid.shadow was a share of those up to 1, and all that come are on the grid"
    assert err.startswith(f"goes on from epoch 1 to 8: {before}")
    assert f"{said}: another run than one of 8 epochs" in err
    assert all(row["moved_share"] for row in table(Path("run/solves.csv")))


def test_what_follows_a_runs_length() -> None:
    def made(kind: Callable, half_range: object, **solver: object) -> list[str]:
        return kind(solver=SimulatedAnnealing(**solver), half_range=half_range, bits=2).scheduled()

    falling = GeometricSchedule(1.0, 0.1)
    assert made(pinv, falling) == ["the range L"]
    assert made(pinv, ConstantSchedule(1.0), num_sweeps=GeometricSchedule(2, 9)) == ["solver.num_sweeps"]
    assert made(pinv, StepSchedule(1.0, 0.1, 3)) == made(pinv, GeometricSchedule(1.0, 1.0)) == []
    assert made(Kronecker, DropSchedule(1.0, 0.5, [0.5])) == ["the range L", "eta"]


def test_all_else_is_refused(cli: Callable, refused: Callable) -> None:
    trained(cli, "run", 2)
    other = "holds a run with other settings: choose another hydra.run.dir"
    for words in (["epochs=3", "bits=3"], ["epochs=1"], ["epochs=3", "seed=1"]):
        assert refused("train", *WORDS, "hydra.run.dir=run", *words).endswith(other)
    assert refused("resume", "run", "epochs=1") == "epochs=1: the run in run has 2 behind it: give more than that"
    alone = "a run goes on as it was begun, beside its folder stands epochs=N alone"
    assert refused("resume", "run", "epochs=3", "bits=3") == f"bits=3: {alone}"
    assert refused("resume", "run", "epochs=x") == f"epochs=x: {alone}"
    assert "epochs=200000 is not a whole number" in refused("resume", "run", "epochs=200000")


def test_an_unfinished_run_is_finished_first(cli: Callable, refused: Callable, monkeypatch) -> None:
    save = recorder.RunRecorder.save

    def dying(self, row, *rest):
        save(self, row, *rest)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(recorder.RunRecorder, "save", dying)
    assert cli("train", *WORDS, "epochs=2", "hydra.run.dir=run").code == 130
    monkeypatch.setattr(recorder.RunRecorder, "save", save)
    line = "the run in run is not finished: annealtrain resume run; more epochs can be given to it then"
    assert refused("resume", "run", "epochs=4") == line
    assert cli("resume", "run").code == 0
    assert cli("resume", "run", "epochs=4").code == 0


@pytest.mark.parametrize(("written", "times"), [("config.yaml", 1), ("meta.json", 1), ("meta.json", 2)])
def test_a_run_killed_as_it_is_given_more_loses_nothing(cli: Callable, monkeypatch, written: str, times: int) -> None:
    trained(cli, "run", 2)
    write, seen = recorder.RunRecorder._replace, []

    def dying(self, name, content):
        seen.append(name)
        if seen.count(written) == times:
            raise KeyboardInterrupt
        write(self, name, content)

    monkeypatch.setattr(recorder.RunRecorder, "_replace", dying)
    assert cli("resume", "run", "epochs=4").code == 130
    monkeypatch.setattr(recorder.RunRecorder, "_replace", write)
    assert not Path("run/result.json").exists()
    assert cli("resume", "run", "epochs=4").code == 0
    trained(cli, "whole", 4)
    assert_same_run(Path("run"), Path("whole"))
    assert json.loads(Path("run/meta.json").read_text())["extended"][-1]["epochs"] == 2
