"""Gathering run folders: what is found, what is left out by name, the tidy table, and the groups of the summary."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from conftest import SMALL, table

from annealtrain.errors import InputError
from annealtrain.runs import collection, summary, tables

VALUES = (0.5, 0.7, 0.6)  # validation accuracy of epochs 0 to 2


def write_run(folder: Path, *, finished: bool = True, shift: float = 0.0, **settings: Any) -> Path:
    """Write a run folder as a recorder does: three epochs, validation accuracies VALUES + shift."""
    folder.mkdir(parents=True)
    config = {
        "seed": 0,
        "epochs": 2,
        "progress": "auto",
        "model": {"name": "linear", "layers": [{"_target_": "annealtrain.nn.layers.Flatten"}]},
        "solver": {"_target_": "annealtrain.solvers.annealing.simulated_annealing.SimulatedAnnealing", "num_reads": 1},
        "schedule": {"first": [0.1, 0.2]},
        "bias": False,
        **settings,
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (folder / "meta.json").write_text(json.dumps({"config_hash": "a", "command": "annealtrain train"}))
    rows = [
        {"epoch": e, "train_loss": 1.0, "val_accuracy": v + shift, "test_accuracy": v + shift + 0.01, "total_s": 0.5}
        for e, v in enumerate(VALUES)
    ]
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if finished:
        result = {"last": rows[-1], "best_validation": rows[1], "seconds": 1.5}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


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
    assert str(caught.value) == f"{first}: see {tmp_path}/seed=0/job.log and 1 more"
    (tmp_path / "seed=1" / collection.LOG).write_text("Traceback")
    with pytest.raises(InputError, match=r"see \S+/seed=1/train.log$"):
        collection.find(tmp_path)


def test_collect_of_a_sweep_whose_jobs_all_failed(cli: Callable) -> None:
    assert cli("train", *SMALL, "--multirun", "seed=0,1", "dataset=mnist", "hydra.sweep.dir=sweep").code == 1
    outcome = cli("collect", "sweep")
    assert outcome.code == 2
    assert outcome.err.endswith(": see sweep/seed=0/train.log and 1 more\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("annealtrain.solvers.annealing.reference.reference_annealing", "reference_annealing"),
        ("mine.Solver", "Solver"),
        ("lenet", "lenet"),
        ("[0.1]", "[0.1]"),
        ("../shared/data", "../shared/data"),
        ("0.1.0", "0.1.0"),
        (0.1, "0.1"),
        (True, "true"),
        (None, ""),
    ],
)
def test_a_class_is_shown_by_its_own_name_and_nothing_else_is_cut(value: Any, text: str) -> None:
    assert tables.shown(value) == text


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


def test_the_tidy_table_has_a_row_an_epoch(tree: Path) -> None:
    rows = summary.tidy(collection.find(tree)[0])
    assert len(rows) == 4 * 3
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert list(rows[0])[:3] == ["run", "state", "seed"]
    assert [row["epoch"] for row in rows[:4]] == [0, 1, 2, 0]
    assert rows[0]["solver"] == "annealtrain.solvers.CoordinateDescent"
    tables.write_csv(tree / "runs.csv", rows)
    assert table(tree / "runs.csv")[0]["bias"] == "false"
    assert len(table(tree / "runs.csv")) == 12


def test_groups_are_told_by_as_few_settings_as_will_do(tmp_path: Path) -> None:
    for bits in (3, 4):
        for seed in (0, 1):
            # The schedule follows the bits and adds nothing; threads and the progress display are no settings.
            extra = {"schedule": {"first": bits / 10}, "threads": seed, "progress": bool(seed)}
            write_run(tmp_path / f"{bits}-{seed}", bits=bits, seed=seed, **extra)
    found = collection.find(tmp_path)[0]
    assert summary.varying(found) == ["bits"]
    assert {values: len(members) for values, members in summary.groups(found).items()} == {(3,): 2, (4,): 2}


def test_summary_holds_means_and_deviations_over_seeds(tree: Path) -> None:
    head, rows = summary.summary(collection.find(tree)[0])
    assert head == ["solver", "runs", "val last", "test last", "best val", "test at best val"]
    assert [row[0] for row in rows] == ["CoordinateDescent", "SimulatedAnnealing"]
    assert [row[1] for row in rows] == ["2 (1 unfinished)", "2"]
    last, best = [0.6, 0.62], [0.7, 0.72]
    assert rows[1][2] == f"{mean(last):.4f} +- {stdev(last):.4f}"
    assert rows[1][4] == f"{mean(best):.4f} +- {stdev(best):.4f}"
    assert rows[0][2].startswith("0.7100")


def test_spread() -> None:
    assert summary.spread([1.0, 2.0, None]) == "1.5000 +- 0.7071"
    assert summary.spread([1.0]) == "1.0000"
    assert summary.spread([None]) == ""


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
