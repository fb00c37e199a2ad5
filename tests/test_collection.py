"""Gathering run folders: what is found, and what is left out, by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL, table
from run_folders import write_run

from annealtrain.errors import InputError
from annealtrain.runs import collection


def test_finds_runs_and_names_what_it_leaves_out(tree: Path) -> None:
    found, foreign = collection.find(tree)
    assert [run.name for run in found] == [
        "CoordinateDescent/seed=0",
        "CoordinateDescent/seed=1",
        "SimulatedAnnealing/seed=0",
        "SimulatedAnnealing/seed=1",
    ]
    assert [run.state for run in found] == ["finished", "epoch 2 of 2", "finished", "finished"]
    assert len(foreign) == 2
    assert f"{tree}/damaged/config.yaml cannot be read" in foreign[0]
    assert f"{tree}/foreign is not a run folder" in foreign[1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metrics.csv", "a,b\n1,2\n", "metrics.csv is not what a run writes"),
        ("metrics.csv", "epoch,val_accuracy\n", "has no epoch yet: annealtrain resume"),
        ("result.json", "{", "result.json cannot be read"),
        ("result.json", "{}", "result.json is not what a run writes"),
        ("meta.json", "nonsense", "meta.json cannot be read"),
        ("config.yaml", "just words", "config.yaml is not what a run writes"),
    ],
)
def test_a_damaged_run_is_told_by_its_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    (write_run(tmp_path / "run") / name).write_text(text)
    with pytest.raises(InputError, match="run") as caught:
        collection.read_run(tmp_path / "run")
    assert said in str(caught.value)
    write_run(tmp_path / "good")
    found, foreign = collection.find(tmp_path)
    assert [run.name for run in found] == ["good"]
    assert foreign == [str(caught.value)]


def test_a_failed_job_of_a_sweep_is_told_by_its_line(tmp_path: Path) -> None:
    write_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / collection.STATUS).write_text("seed=1  failed: ValueError: no\n")
    assert collection.find(tmp_path)[1] == [f"{tmp_path}/bad: seed=1  failed: ValueError: no"]


def test_a_run_folder_itself_can_be_given(tmp_path: Path) -> None:
    found, foreign = collection.find(write_run(tmp_path / "run"))
    assert ([run.name for run in found], foreign) == (["."], [])


def test_nothing_to_gather(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        collection.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no run with an epoch in"):
        collection.find(tmp_path)


def test_where_all_jobs_failed_their_logs_are_named(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / f"seed={seed}").mkdir()
        (tmp_path / f"seed={seed}" / collection.STATUS).write_text(f"seed={seed}  failed: ValueError: no\n")
    with pytest.raises(InputError) as caught:
        collection.find(tmp_path)
    first = f"no run with an epoch in {tmp_path} ({tmp_path}/seed=0: seed=0  failed: ValueError: no)"
    assert str(caught.value) == f"{first}: see {tmp_path}/seed=0/{collection.STATUS} and 1 more"
    (tmp_path / "seed=1" / collection.LOG).write_text("Traceback")
    with pytest.raises(InputError, match=r"see \S+/seed=1/train.log$"):
        collection.find(tmp_path)


def test_collect_of_a_sweep_whose_jobs_all_failed(cli: Callable) -> None:
    assert cli("train", *SMALL, "--multirun", "seed=0,1", "dataset=mnist", "hydra.sweep.dir=sweep").code == 1
    outcome = cli("collect", "sweep")
    assert outcome.code == 2
    assert outcome.err.endswith(": see sweep/seed=0/train.log and 1 more\n")


def test_configurations_become_columns() -> None:
    config = {
        "seed": 1,
        "solver": {"_target_": "a.B", "num_sweeps": {"_target_": "a.Step", "first": 4}},
        "schedule": {"first": [0.1, 0.2]},
        "model": {"name": "lenet", "layers": [{"_target_": "x"}]},
        "data_dir": None,
    }
    assert collection.flatten(config) == {
        "seed": 1,
        "solver": "a.B",
        "solver.num_sweeps": "a.Step",
        "solver.num_sweeps.first": 4,
        "schedule.first": "[0.1, 0.2]",
        "data_dir": None,
        "model": "lenet",
    }
    assert collection.flatten({"model": {"layers": [1]}}) == {"model": "[1]"}


def test_collect_of_real_runs(cli: Callable, tmp_path: Path) -> None:
    cli("train", *SMALL, "--multirun", "seed=0,1", "bits=2,3", "hydra.sweep.dir=sweep")
    (tmp_path / "sweep" / "foreign").mkdir()
    (tmp_path / "sweep" / "foreign" / "notes.txt").write_text("mine")
    outcome = cli("collect", "sweep")
    assert outcome.code == 0
    assert outcome.err == "left out: sweep/foreign is not a run folder: it has no meta.json\n"
    lines = outcome.out.splitlines()
    assert lines[0].split()[:2] == ["bits", "runs"]
    assert [line.split()[:2] for line in lines[1:3]] == [["2", "2"], ["3", "2"]]
    assert lines[3] == "4 runs, 12 rows: sweep/runs.csv"
    rows = table(tmp_path / "sweep" / "runs.csv", times=True)
    job = tmp_path / "sweep" / rows[0]["run"]
    assert rows[0]["test_accuracy"] == table(job / "metrics.csv")[0]["test_accuracy"]
    assert cli("collect", "sweep", "--output", "other.csv").code == 0
    assert (tmp_path / "other.csv").read_bytes() == (tmp_path / "sweep" / "runs.csv").read_bytes()


def test_collect_refuses_in_one_line(refused: Callable) -> None:
    assert "there is no folder nowhere" in refused("collect", "nowhere")
