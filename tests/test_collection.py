"""Gathering run folders: what is found, and what is left out, by name."""

import shlex
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
        ("config.yaml", "just words", "it is not a mapping"),
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


def test_a_damaged_run_is_not_excused_by_the_line_of_its_success(tmp_path: Path) -> None:
    write_run(tmp_path / "good")
    folder = write_run(tmp_path / "bad")
    (folder / collection.STATUS).write_text("seed=1  train 0.9000  val 0.8000  1.5 s\n")
    (folder / "metrics.csv").write_text("epoch\n1\n")
    (line,) = collection.find(tmp_path)[1]
    assert "metrics.csv is not what a run writes (epoch 1 in the place of 0)" in line


def test_each_real_folder_is_found_once(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_run(root / "r1")
    write_run(root / "deep" / "r2")
    write_run(tmp_path / "elsewhere" / "r3")
    (root / "a_link").symlink_to("r1")
    (root / "deep" / "loop").symlink_to(root)
    (root / "deep" / "up").symlink_to("..")
    (root / "linked").symlink_to("deep")
    (root / "to_r3").symlink_to(tmp_path / "elsewhere" / "r3")
    (root / "to_r3_again").symlink_to(tmp_path / "elsewhere" / "r3")
    (root / "dangling").symlink_to("nowhere")
    (root / "all").symlink_to("/")
    found, left_out = collection.find(root)
    assert [run.name for run in found] == ["deep/r2", "r1", "to_r3"]
    assert left_out == [f"{root}/all leads to /, which is no run: give that folder itself"]


def test_a_folder_that_cannot_be_opened_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "good")
    (tmp_path / "closed").mkdir()
    listed = Path.iterdir

    def iterdir(self: Path) -> object:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found, left_out = collection.find(tmp_path)
    assert ([run.name for run in found], left_out) == (
        ["good"],
        [f"{tmp_path}/closed cannot be read (Permission denied)"],
    )


def test_a_printed_command_is_one_that_a_shell_takes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "two words; rm x")
    (folder / "metrics.csv").unlink()
    with pytest.raises(InputError, match="has no epoch yet") as caught:
        collection.read_run(folder)
    command = str(caught.value).partition("yet: ")[2]
    assert shlex.split(command) == ["annealtrain", "resume", str(folder)]


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
    assert lines[3] == "+-: standard deviation (n - 1) over the runs of a group, which differ in their seed alone"
    assert lines[4] == "4 runs, 12 rows: sweep/runs.csv"
    rows = table(tmp_path / "sweep" / "runs.csv", times=True)
    job = tmp_path / "sweep" / rows[0]["run"]
    assert rows[0]["test_accuracy"] == table(job / "metrics.csv")[0]["test_accuracy"]
    assert cli("collect", "sweep", "--output", "other.csv").code == 0
    assert (tmp_path / "other.csv").read_bytes() == (tmp_path / "sweep" / "runs.csv").read_bytes()


def test_collect_refuses_in_one_line(refused: Callable) -> None:
    assert "there is no folder nowhere" in refused("collect", "nowhere")


def test_collect_writes_to_no_folder_and_over_no_file_of_a_run(
    refused: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(collection, "find", None)  # told before all runs are read
        assert "there is no folder absent" in refused("collect", "run", "--output", "absent/x.csv")
    assert (
        refused("collect", "run", "--output", "run")
        == "--output run is a folder: name a file in it, such as run/runs.csv"
    )
    for name in ("metrics.csv", "meta.json"):
        assert "is a file of the run in run: give it another name" in refused(
            "collect", "run", "--output", f"run/{name}"
        )
