"""Sweeps: readable folders, jobs that are kept, resumed or refused, failures that stay their own; the launchers."""

import errno
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LIMIT_S, MOODY, SMALL, assert_same_run, composed, finished, members, process, started, table, until
from omegaconf import OmegaConf
from run_folders import write_run

from annealtrain.commands import job_folder, sweep, sweep_folder
from annealtrain.errors import InputError
from annealtrain.experiment.compose import compose_config
from annealtrain.reports import paper
from annealtrain.runs import foreign, tables
from annealtrain.solvers.dwave import qpu

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def count_of(name: str, folder: Path) -> int:
    """Return how many files below a folder have a name; the folder, and those in it, may come and go meanwhile."""
    return sum(name in files for _, _, files in os.walk(folder))


def jobs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def test_folders_are_named_by_what_varies(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", *SMALL, "epochs=1", f"data_dir={tmp_path}/nowhere", "-m", "seed=0,1", "solver=sa,descent")
    assert outcome.code == 0, outcome
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    names = ["seed=0,solver=descent", "seed=0,solver=sa", "seed=1,solver=descent", "seed=1,solver=sa"]
    assert jobs(sweep) == names
    for name in names:
        assert tables.read_json(sweep / name / "meta.json")["seed"] == int(name[5])
        assert len(table(sweep / name / "metrics.csv")) == 2
        assert cli("eval", str(sweep / name)).code == 0


def test_a_job_tells_the_command_that_makes_it_alone(cli: Callable, tmp_path: Path) -> None:
    own = ["dataset=digits", *SMALL, "method=pinv", "seed=3,4", "annealing.beta=null"]
    arguments = ["sweep=figure", "figure=fig2b", *own, "hydra.sweep.dir=sweep", "sweep/launcher=basic"]
    assert cli("train", *arguments).code == 0
    job = tmp_path / "sweep" / "method=pinv,seed=4"
    command = tables.read_json(job / "meta.json")["command"].split()
    assert command == ["annealtrain", "train", *own[:-2], "seed=4", own[-1], "experiment=fig2b"]
    assert cli(*command[1:], "hydra.run.dir=alone").code == 0
    assert_same_run(job, tmp_path / "alone")


def test_a_line_a_job_and_one_for_the_sweep(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", *SMALL, "--multirun", "seed=0,1", "hydra.sweep.dir=sweep")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert len(lines) == 3
    for seed in (0, 1):
        assert re.fullmatch(rf"seed={seed}  train 0\.\d{{4}}  val 0\.\d{{4}}  test 0\.\d{{4}}  \d+\.\d s", lines[seed])
    assert lines[2] == f"2 jobs, 0 failed; run folders: {tmp_path}/sweep"


def test_the_same_sweep_again_keeps_finished_jobs_and_resumes_others(cli: Callable, tmp_path: Path) -> None:
    arguments = ("train", *SMALL, "--multirun", "seed=0,1,2")
    assert cli(*arguments, "hydra.sweep.dir=whole").code == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "again", copy_function=os.link)  # a snapshot: it stays as it is
    before = held_by(tmp_path / "whole")
    shutil.rmtree(tmp_path / "again" / "seed=2")
    (tmp_path / "again" / "seed=1" / "result.json").unlink()
    kept = (tmp_path / "again" / "seed=0" / "result.json").stat().st_mtime_ns
    outcome = cli(*arguments, "hydra.sweep.dir=again")
    assert outcome.code == 0
    assert ["finished before" in line for line in outcome.out.splitlines()] == [True, False, False, False]
    assert held_by(tmp_path / "whole") == before
    assert (tmp_path / "again" / "seed=0" / "result.json").stat().st_mtime_ns == kept
    assert len(tables.read_json(tmp_path / "again" / "seed=1" / "meta.json")["resumed_at"]) == 1
    for name in jobs(tmp_path / "whole"):
        assert_same_run(tmp_path / "whole" / name, tmp_path / "again" / name)


MORTAL = """
import os, signal, time
from pathlib import Path
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing

class Mortal(SimulatedAnnealing):
    def resolve_schedules(self, epoch, epochs):
        if epoch == 1 and os.environ.get("DIE"):
            os.kill(os.getpid(), signal.SIGKILL)
        while epoch == 1 and os.environ.get("WAIT_FOR") and not Path(os.environ["WAIT_FOR"]).exists():
            time.sleep(0.01)
        return super().resolve_schedules(epoch, epochs)
"""


def mortal(folder: Path) -> tuple[str, ...]:
    """Return a sweep of two jobs whose solver dies, or waits for a file, in the second epoch if it is told to."""
    (folder / "mortal.py").write_text(MORTAL)
    return ("train", *SMALL, "--multirun", "seed=0,1", "solver._target_=mortal.Mortal")


def test_a_killed_sweep_goes_on_to_the_same_numbers(cli: Callable, tmp_path: Path) -> None:
    arguments = mortal(tmp_path)
    killed = finished(process([*arguments, "hydra.sweep.dir=killed"], tmp_path, DIE="1"))
    assert killed.code == -signal.SIGKILL, killed
    assert (tmp_path / "killed" / "seed=0" / "last.npz").exists()
    assert not (tmp_path / "killed" / "seed=0" / "result.json").exists()
    assert not (tmp_path / "killed" / "seed=1").exists()
    for folder in ("whole", "killed"):
        assert cli(*arguments, f"hydra.sweep.dir={folder}").code == 0
    for name in ("seed=0", "seed=1"):
        assert_same_run(tmp_path / "whole" / name, tmp_path / "killed" / name)


ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -signal.SIGKILL}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here to see processes in")
@pytest.mark.parametrize(
    ("launcher", "number", "is_group"),
    [
        ("joblib", signal.SIGKILL, False),
        ("joblib", signal.SIGHUP, True),
        ("submitit_local", signal.SIGKILL, False),
        ("submitit_local", signal.SIGINT, True),
    ],
)
def test_workers_end_with_their_sweep(
    launcher: str, number: signal.Signals, is_group: bool, cli: Callable, tmp_path: Path
) -> None:
    require("launcher", launcher, "sweep")
    arguments = mortal(tmp_path)
    parallel = [*arguments, f"sweep/launcher={launcher}", "hydra.sweep.dir=killed"]
    ends, held = os.pipe()
    killed = process(parallel, tmp_path, output=held, WAIT_FOR=str(tmp_path / "never"), PYTHONPATH=str(tmp_path))
    os.close(held)
    until(lambda: count_of("last.npz", tmp_path / "killed") == 2, killed)
    (os.killpg if is_group else os.kill)(killed.pid, number)
    assert finished(killed).code == ENDS[number], killed.said()
    limit = time.monotonic() + LIMIT_S
    while members(killed.pid):
        assert time.monotonic() < limit
        time.sleep(0.01)
    with open(ends, "rb") as pipe:
        pipe.read()  # ends: nobody holds it
    if number != signal.SIGKILL:
        said = "annealtrain train: interrupted: finished jobs and epochs are kept; the same command goes on\n"
        assert killed.said()[1] == said
    assert cli(*arguments, "hydra.sweep.dir=killed").code == 0
    assert [*(tmp_path / "killed").glob("*/result.json")] != []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here to see processes in")
def test_workers_without_a_job_yet_end_with_their_sweep(tmp_path: Path) -> None:
    require("launcher", "joblib", "sweep")
    killed = process([*mortal(tmp_path), "sweep/launcher=joblib", "hydra.sweep.dir=killed"], tmp_path, WAIT_FOR="never")
    until(lambda: len(members(killed.pid)) > 3, killed)  # joblib's tracker and a worker that has just begun
    killed.kill()
    killed.wait(LIMIT_S)
    limit = time.monotonic() + 30  # joblib's own limit for idle workers is 300 s
    while members(killed.pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_value_that_refers_to_nothing_fails_its_jobs(cli: Callable, tmp_path: Path) -> None:
    arguments = ("train", *SMALL, "--multirun", "hydra.sweep.dir=sweep")
    outcome = cli(*arguments, "seed=0,1", "alpha=${nothing}")
    assert (outcome.code, outcome.err) == (1, "")
    assert "2 jobs, 2 failed" in outcome.out
    outcome = cli("train", *SMALL, "--multirun", "hydra.sweep.dir=${nothing}", "seed=0,1")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "${nothing} refers to no setting" in outcome.err


def test_a_sweep_that_never_began_does_not_hold_its_folder(cli: Callable) -> None:
    arguments = ("train", *SMALL, "--multirun", "seed=0,1", "hydra.sweep.dir=sweep")
    assert "2 failed" in cli(*arguments, "samples=99999").out
    assert cli(*arguments).code == 0
    figure = ["sweep=figure", "figure=fig2b", *SMALL, "dataset=digits", "method=pinv", "seed=5"]
    other = cli("train", *figure, "hydra.sweep.dir=sweep")
    assert (other.code, other.out) == (2, "")
    assert "is of " in other.err
    assert ", this sweep of " in other.err


def test_a_folder_made_by_another_configuration_is_refused(cli: Callable, refused: Callable, tmp_path: Path) -> None:
    assert cli("train", *SMALL, "--multirun", "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    before = (tmp_path / "sweep" / "seed=0" / "metrics.csv").read_bytes()
    said = refused("train", *SMALL, "epochs=3", "--multirun", "seed=1,2", "hydra.sweep.dir=sweep")  # seed=2 is free
    assert said == "sweep folder sweep is of epochs=2, this sweep of epochs=3: choose another hydra.sweep.dir"
    unnamed = refused("train", *SMALL[:3], *SMALL[4:], "--multirun", "seed=2,3", "hydra.sweep.dir=sweep")
    assert ", this sweep of no epochs=" in unnamed
    assert cli("train", *SMALL, "--multirun", "seed=4", "hydra.sweep.dir=sweep").code == 0  # one more
    assert cli("train", *SMALL, "--multirun", "seed=2,3", "hydra.sweep.dir=sweep", "threads=1").code == 0
    shutil.rmtree(tmp_path / "sweep" / sweep_folder.CLAIM)  # as in a folder of an older version
    outcome = cli("train", *SMALL, "alpha=0.3", "--multirun", "seed=0,1", "hydra.sweep.dir=sweep")
    assert "2 jobs, 2 failed" in outcome.out
    assert f"{tmp_path}/sweep/seed=0 holds a run with other settings: choose another hydra.sweep.dir" in outcome.out
    assert (tmp_path / "sweep" / "seed=0" / "metrics.csv").read_bytes() == before


def test_a_job_tells_where_its_own_yaml_lies(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    own = "# @package _global_\nbits: 2\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 3,4\n"
    (tmp_path / "mine" / "sweep" / "mine.yaml").write_text(own)
    small = [word for word in SMALL if not word.startswith("bits=")]
    assert cli("train", "--config-dir=mine", "sweep=mine", *small, "hydra.sweep.dir=sweep").code == 0
    command = tables.read_json(tmp_path / "sweep" / "seed=4" / "meta.json")["command"].split()
    assert cli(*command[1:], "hydra.run.dir=alone").code == 0
    assert_same_run(tmp_path / "sweep" / "seed=4", tmp_path / "alone")
    assert {row["bits"] for row in table(tmp_path / "alone" / "solves.csv")} == {"2"}


def test_a_failed_job_leaves_its_traceback_and_lets_the_others_run(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    (tmp_path / "mine" / "solver").mkdir(parents=True)
    (tmp_path / "mine" / "solver" / "moody.yaml").write_text("_target_: moody.Moody\nmood: ${seed}\nnum_sweeps: 2\n")
    outcome = cli("train", "--multirun", "--config-dir=mine", *SMALL, "solver=moody", "seed=0,1,2")
    assert outcome.code == 1
    assert "3 jobs, 1 failed" in outcome.out
    assert "seed=1  failed: ValueError: not in the mood for epoch 1" in outcome.out
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    folders = [sweep / name for name in jobs(sweep)]
    assert [(job / "result.json").exists() for job in folders] == [True, False, True]
    assert len(table(folders[1] / "metrics.csv")) == 2
    logs = [(job / "train.log").read_text() if (job / "train.log").exists() else "" for job in folders]
    assert "Traceback" in logs[1]
    assert 'moody.py", line' in logs[1]
    assert "ValueError: not in the mood for epoch 1" in logs[1]
    assert logs[0] == logs[2] == ""


def test_what_lies_behind_a_bad_input_is_in_the_log(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "mine" / "solver").mkdir(parents=True)
    (tmp_path / "mine" / "solver" / "broken.yaml").write_text("_target_: broken.Solver\n")
    arguments = ["--config-dir=mine", *SMALL, "solver=broken", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert "2 failed" in cli("train", "--multirun", *arguments).out
    text = (tmp_path / "sweep" / "seed=0" / "train.log").read_text()
    assert 'broken.py", line 1' in text
    assert "No module named 'nothing_of_this_name'" in text


def test_a_job_of_bad_input_leaves_its_line_and_lets_the_others_run(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", "--multirun", *SMALL, "epochs=1", "seed=-1,0", "hydra.sweep.dir=sweep")
    assert outcome.code == 1
    assert "seed=-1  failed: seed=-1 is not a whole number" in outcome.out
    assert "Traceback" not in outcome.err + (tmp_path / "sweep" / "seed=-1" / "train.log").read_text()
    assert (tmp_path / "sweep" / "seed=0" / "result.json").exists()
    # A later sweep into the same folder tells of its own jobs alone.
    assert "2 jobs, 0 failed" in cli("train", "-m", *SMALL, "epochs=1", "seed=2,3", "hydra.sweep.dir=sweep").out


FOREIGN = (
    *("job.log", "train.log", "annealtrain-job.log", ".lock", ".annealtrain-lock", "sweep.json", "multirun.yaml"),
    *("meta.json", "config.yaml", "metrics.csv", "solves.csv", "result.json", "last.npz", "best.npz", "runs.csv"),
    *("optimization_results.yaml", "report.html", "run.png", ".config.yaml.part", ".meta.json.part", "notes.txt"),
    *(".annealtrain-sweep", ".hydra/config.yaml", ".submitit/log", "seed=0/train.log", "deep/er/job.log"),
)


def held_by(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("only", [None, *FOREIGN])
def test_foreign_files_are_left_as_they_are(refused: Callable, tmp_path: Path, only: str | None) -> None:
    for name in FOREIGN if only is None else [only]:
        (tmp_path / "proj" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proj" / name).write_text("mine")
    before = held_by(tmp_path)
    said = refused("train", *SMALL, "-m", "seed=0,1", "hydra.sweep.dir=proj")
    assert said.endswith("choose another hydra.sweep.dir")
    if only is None:
        refused("train", *SMALL, "hydra.run.dir=proj", "hydra.output_subdir=.hydra")
    assert held_by(tmp_path) == before


def test_hydra_writes_through_no_link(cli: Callable, refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    words = ("train", *SMALL[:-1], "epochs=1")
    for run in ("run", "sweep/seed=1"):
        folder = write_run(tmp_path / run)
        (folder / "train.log").symlink_to(tmp_path / "mine")
    assert refused(*words, "hydra.run.dir=run").startswith("run/train.log is a link, which")
    outcome = cli(*words, "-m", "hydra.sweep.dir=sweep", "seed=0,1")
    assert re.search(r"seed=1  failed: \S+/seed=1/train.log is a link, which a run would write through", outcome.out)
    for name in (".hydra", ".hydra/config.yaml"):
        folder = write_run(tmp_path / name.replace("/", "_"))
        if "/" in name:
            (folder / ".hydra").mkdir()
        else:
            (tmp_path / "config.yaml").write_text("mine")
        (folder / name).symlink_to(tmp_path / "mine" if "/" in name else tmp_path)
        with pytest.raises(InputError, match=rf"{re.escape(name)} is a link, which a run would write through"):
            foreign.refuse_foreign(folder, job_folder.OF_A_START)
    (tmp_path / "sweep" / ".submitit").symlink_to(tmp_path)
    said = refused(*words, "-m", "hydra.sweep.dir=sweep", "seed=0,1")
    assert "sweep/.submitit is a link, which the sweep would write through" in said
    assert (tmp_path / "mine").read_text() == (tmp_path / "config.yaml").read_text() == "mine"


def test_hydra_writes_into_no_other_name_of_a_file(cli: Callable, tmp_path: Path) -> None:
    words = ("train", *SMALL, "epochs=1", "hydra/job_logging=default", "hydra.output_subdir=.hydra")
    assert cli(*words, "hydra.run.dir=run").code == 0
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "train.log").write_text("[2026-01-01 00:00:00,000][annealtrain.x][INFO] - begun\n")
    shutil.copytree(tmp_path / "run", tmp_path / "snapshot", copy_function=os.link)
    before = held_by(tmp_path / "snapshot")
    assert cli(*words, "resume=true", "hydra.run.dir=run").code == 0
    assert held_by(tmp_path / "snapshot") == before
    assert (tmp_path / "run" / "train.log").read_bytes().startswith(before["train.log"])
    assert "resume=true" in (tmp_path / "run" / ".hydra" / "overrides.yaml").read_text()
    assert not any(path.stat().st_nlink > 1 for path in (tmp_path / "run").rglob("*.log"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_for_hydra_names_the_sweep(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(OmegaConf, "save", full)  # of multirun.yaml
    outcome = cli("train", *SMALL, "-m", "hydra.sweep.dir=sweep", "seed=0,1")
    said = f"annealtrain train: cannot write in sweep ({os.strerror(number)}): make room, or write elsewhere\n"
    assert (outcome.code, outcome.err) == (2, said)


def test_a_line_that_finds_no_room_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    def refuse(_: Path) -> float:
        raise InputError("mine")

    monkeypatch.setattr("builtins.print", full)
    assert sweep.run_job("seed=0", tmp_path, "now", refuse) == 0
    assert sweep_folder.take_lines(tmp_path, "now") == ["seed=0  failed: mine"]


def test_what_is_put_beside_a_sweeps_runs_stays(cli: Callable, refused: Callable, tmp_path: Path) -> None:
    arguments = ("train", *SMALL, "epochs=1", "-m", "hydra.sweep.dir=sweep")
    assert cli(*arguments, "seed=0,4").code == 0
    assert cli("collect", "sweep").code == cli("report", "sweep").code == 0
    (tmp_path / "sweep" / "notes.txt").write_text("mine")
    (tmp_path / "sweep" / "seed=1").write_text("a file")
    (tmp_path / "sweep" / "seed=2").mkdir()
    (tmp_path / "sweep" / "seed=2" / "train.log").write_text("mine")
    outcome = cli(*arguments, "seed=0,1,2,3")
    assert outcome.code == 1
    assert "4 jobs, 2 failed" in outcome.out
    assert re.search(r"seed=1  failed: cannot make the run folder \S+ \(File exists\)", outcome.out)
    assert re.search(r"seed=2  failed: run folder \S+ holds other files and no run", outcome.out)
    assert held_by(tmp_path / "sweep" / "seed=2") == {"train.log": b"mine"}
    assert (tmp_path / "sweep" / "notes.txt").read_text() == "mine"
    (tmp_path / "theirs.yaml").write_text("mine")
    (tmp_path / "sweep" / "multirun.yaml").unlink()
    (tmp_path / "sweep" / "multirun.yaml").symlink_to(tmp_path / "theirs.yaml")
    assert "multirun.yaml is not of a sweep of annealtrain" in refused(*arguments, "seed=0,3")
    assert (tmp_path / "theirs.yaml").read_text() == "mine"


def test_two_sweeps_do_not_mix(tmp_path: Path) -> None:
    words = {"seed": "0,1", "epochs": "2"}
    first = sweep_folder.Entered(tmp_path / "sweep", words, ["epochs"])
    other = """
import sys, json, pathlib
from annealtrain.commands import sweep_folder
sweep_folder.Entered(pathlib.Path("sweep"), json.loads(sys.argv[1]), ["epochs"])
"""
    command = [sys.executable, "-c", other]
    same = started([*command, json.dumps(words)], tmp_path)
    more = started([*command, json.dumps({**words, "seed": "2"})], tmp_path)
    assert finished(same).code == 0  # it goes on beside itself, each of its runs one at a time
    assert "another sweep is at work in sweep: wait for its end, or choose another" in finished(more).err
    first.leave()
    assert finished(started([*command, json.dumps({**words, "seed": "2"})], tmp_path)).code == 0


def test_a_folder_of_an_older_version_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    (folder / "seed=0").mkdir(parents=True)
    (folder / "multirun.yaml").write_text("_target_: annealtrain.commands.sweep.Watch")
    (folder / "sweep.json").write_text('{"epochs": "2"}')
    (folder / "seed=0" / "meta.json").write_text('{"config_hash": "a"}')
    with pytest.raises(InputError, match=r"sweep folder .* is of epochs=2, this sweep of epochs=3"):
        sweep_folder.Entered(folder, {"seed": "0,1", "epochs": "3"}, ["epochs"])
    sweep_folder.Entered(folder, {"seed": "0,1", "epochs": "2"}, ["epochs"]).leave()


def test_every_swept_key_names_its_folder(cli: Callable, tmp_path: Path) -> None:
    assert cli("train", *SMALL[:-1], "epochs=1", "-m", "threads=1,2", "hydra.sweep.dir=sweep").code == 0
    assert jobs(tmp_path / "sweep") == ["threads=1", "threads=2"]
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    own = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      progress: false,auto\n"
    (tmp_path / "mine" / "sweep" / "mine.yaml").write_text(own)
    assert cli("train", "--config-dir=mine", "sweep=mine", *SMALL, "epochs=1", "hydra.sweep.dir=own").code == 0
    assert jobs(tmp_path / "own") == ["progress=False", "progress=auto"]
    assert cli(
        "train", *SMALL, "-m", "experiment=best/conv,best/linear", "seed=0", "epochs=1", "hydra.sweep.dir=e"
    ).code
    assert jobs(tmp_path / "e") == ["experiment=best%2Fconv", "experiment=best%2Flinear"]  # no data: but one level deep


def test_long_names_are_cut_and_told_by_a_hash() -> None:
    texts = ["a" * 200, "a" * 201, "a" * 202, "\u00e9" * 101, "a/b", "a%2Fb/", ""]
    names = [job_folder.shortened(text) for text in texts]
    assert len(set(names)) == len(names)
    assert max(len(name.encode()) for name in names) <= 200
    assert not any("/" in name or not name for name in names)
    assert names[0] == texts[0]


@pytest.mark.parametrize("word", ["hydra.job.chdir=true", "hydra.output_subdir=.hydra", "hydra/job_logging=none"])
def test_hydras_own_settings_work(word: str, cli: Callable, tmp_path: Path) -> None:
    arguments = ("train", *SMALL, "epochs=1", word, "data_dir=here")
    assert cli(*arguments, "hydra.run.dir=run").code == 0
    for _ in range(2):  # the second finds what the first has left
        assert cli(*arguments, "-m", "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    assert_same_run(tmp_path / "run", tmp_path / "sweep" / "seed=0")
    assert f"data_dir: {tmp_path}/here\n" in (tmp_path / "sweep" / "seed=0" / "config.yaml").read_text()
    (tmp_path / "sweep" / "seed=0" / "result.json").unlink()
    assert cli(*arguments, "-m", "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    failed = cli("train", *SMALL, word, "-m", "seed=-1,-2", "hydra.sweep.dir=failed")
    assert "seed=-1 is not a whole number" in failed.out
    assert [*(tmp_path / "failed").rglob("train.log")] == (
        [] if "none" in word else [*(tmp_path / "failed").glob("*/train.log")]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Optuna's own
def test_a_search_is_kept_in_a_database(cli: Callable, refused: Callable, tmp_path: Path) -> None:
    require("sweeper", "optuna", "sweep")
    small = [word for word in SMALL if not word.startswith("bits=")]
    arguments = ["train", *small, "sweep=search", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=search"]
    arguments += ["hydra.sweeper.storage=sqlite:///x.db", "hydra.sweeper.study_name=mine"]
    arguments += ['hydra.sweeper.params={alpha: "interval(0.1, 0.3)", bits: "choice(2, 4)"}']  # one new, one known
    for seed in (0, 1):
        outcome = cli(*arguments, f"hydra.sweeper.sampler.seed={seed}")
        assert outcome.code == 0, outcome
        assert "2 jobs, 0 failed" in outcome.out
    assert {re.sub(r"=[^,]*", "", name) for name in jobs(tmp_path / "search")} == {
        "alpha,bits,half_range.first,optimizer.ridge"
    }
    assert len(jobs(tmp_path / "search")) == 4  # the second went on where the first had ended
    said = cli(*arguments[:-2], "hydra.sweeper.storage=sqlite:///absent/x.db", "hydra.sweep.dir=other")
    assert said.code == 2
    assert "hydra.sweeper.storage=sqlite:///absent/x.db cannot be used" in said.err


def test_keys_that_do_not_vary() -> None:
    assert job_folder.fixed_keys(["-m", "seed=0,1", "bits=3", "+x.y=1", "hydra.sweep.dir=a"]) == ["bits", "x.y"]
    assert job_folder.fixed_keys(["sweep=search", "bits=3"]) == ["sweep", "bits"]
    assert job_folder.fixed_keys(["sweep=figure", "method=pinv", "seed=5", "bits=3"]) == ["sweep", "bits"]
    assert job_folder.fixed_keys(["bits=3", "model=lenet"]) == []
    assert job_folder.fixed_keys(["seed=range(3)", "x=["]) == []


@pytest.mark.parametrize("name", paper.PAPER)
def test_a_figure_is_its_experiment_with_its_methods_and_seeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qpu, "has_token", lambda: False)
    own = ["sweep=figure", f"figure={name}", "bits=3"]
    words = sweep.figure_words([*own, "seeds=3"])
    methods = words[3].removeprefix("method=").split(",")
    assert words == [
        "sweep=figure",
        "bits=3",
        f"experiment={name}",
        f"method={','.join(methods)}",
        "seed=range(3)",
        f"hydra.sweep.dir=outputs/figures/{name}/runs",
    ]
    assert methods[0] == "pinv"
    assert set(methods) <= set(paper.METHODS)
    assert ("dwave_emulated" in methods) == ("QPU" in paper.PAPER[name].others)
    assert "seed=range(10)" in sweep.figure_words(own)
    monkeypatch.setattr(qpu, "has_token", lambda: True)  # an account is used where there is one
    real = sweep.figure_words(own)[3].removeprefix("method=").split(",")
    assert real == [{"dwave_emulated": "dwave"}.get(method, method) for method in methods]
    narrowed = sweep.figure_words([*own, "method=mine", "seed=7", "hydra.sweep.dir=here"])
    assert narrowed == ["sweep=figure", "bits=3", "method=mine", "seed=7", "hydra.sweep.dir=here", f"experiment={name}"]
    composed_twice = composed(f"experiment={name}", "sweep=figure"), composed(f"experiment={name}")
    assert composed_twice[0] == composed_twice[1]


def test_a_figures_sweep_is_many_runs_and_leaves_other_words_alone() -> None:
    import hydra

    with hydra.initialize_config_module("annealtrain.configs", version_base="1.3"):
        config = hydra.compose("train", ["sweep=figure", "experiment=fig5b"], return_hydra_config=True)
        assert config.hydra.mode.name == "MULTIRUN"
    words = ["sweep=search", "seeds=3", "bits=2"]
    assert sweep.figure_words(words) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["figure=fig5e"], "no figure 'fig5e'; did you mean 'fig"),
        ([], "sweep=figure needs a figure=NAME, one of fig1a, fig1b, "),
        (["figure=fig5b", "seeds=0"], "seeds=0 is not a whole number of at least 1"),
        (["figure=fig5b", "seeds=few"], "seeds=few is not a whole number of at least 1"),
    ],
)
def test_a_figure_that_there_is_not_is_refused(refused: Callable, words: list[str], said: str) -> None:
    assert said in refused("train", "sweep=figure", *words)


# Launchers and the search


LAUNCHERS = {"joblib": "sweep", "submitit_local": "sweep", "ray": "ray"}


def require(kind: str, name: str, extra: str) -> None:
    """Skip a test, with the reason, where one of Hydra's plugins is not installed."""
    from hydra.core.plugins import Plugins

    found = [plugin.__module__ for plugin in Plugins.instance().discover()]
    if not any(name.split("_")[0] in module for module in found):
        pytest.skip(f"the {name} {kind} is not installed: pip install 'annealtrain[{extra}]'")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_run_jobs_and_tell_of_failures(launcher: str, cli: Callable, tmp_path: Path) -> None:
    require("launcher", launcher, LAUNCHERS[launcher])
    (tmp_path / "home").mkdir()
    # One job has been run before, one is run by the launcher, and one is refused.
    for folder in ("sweep/seed=1", "alone/seed=0"):
        assert cli("train", *SMALL, folder.partition("/")[2], f"hydra.run.dir='{folder}'").code == 0
    kept = (tmp_path / "sweep" / "seed=1" / "result.json").stat().st_mtime_ns
    arguments = ["train", *SMALL, "--multirun", "hydra.sweep.dir=sweep", f"sweep/launcher={launcher}"]
    if launcher == "ray":
        arguments.append("+hydra.launcher.ray.init.num_cpus=2")
    outcome = finished(process([*arguments, "seed=0,1,-1"], tmp_path, HOME=str(tmp_path / "home")))
    assert outcome.code == 1, outcome
    assert "3 jobs, 1 failed" in outcome.out
    assert outcome.out.count("seed=-1  failed: seed=-1 is not a whole number") == 2
    assert re.search(r"seed=0  train 0\.\d{4}", outcome.out)  # a line each, wherever it ran
    assert re.search(r"seed=1  train 0\.\d{4}.*finished before", outcome.out)
    assert jobs(tmp_path / "sweep") == ["seed=-1", "seed=0", "seed=1"]
    assert_same_run(tmp_path / "alone" / "seed=0", tmp_path / "sweep" / "seed=0")
    assert (tmp_path / "sweep" / "seed=1" / "result.json").stat().st_mtime_ns == kept


FIGURE = (
    *("figure", "fig2b", "--seeds=2", "dataset=digits", "method=pinv,difference", "epochs=2"),
    *(word for word in SMALL if not word.startswith(("epochs", "model"))),
)


@pytest.fixture(scope="module")
def figure_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a figure lies that nothing has killed."""
    folder = tmp_path_factory.mktemp("alone")
    assert finished(process([*FIGURE, "--output=outputs"], folder)).code == 0
    return folder / "outputs"


@pytest.mark.slow
@pytest.mark.xdist_group("killed figures")
@pytest.mark.parametrize("moment", ["a job has ended", "all jobs have ended"])
def test_a_killed_figure_ends_as_one_left_alone(moment: str, cli: Callable, figure_alone: Path, tmp_path: Path) -> None:
    require("launcher", "joblib", "sweep")
    pytest.importorskip("matplotlib")
    jobs_ended, launcher = {"a job has ended": (1, "joblib"), "all jobs have ended": (4, "basic")}[moment]
    killed = process([*FIGURE, f"sweep/launcher={launcher}", "--output=killed"], tmp_path)
    until(lambda: count_of("result.json", tmp_path / "killed") >= jobs_ended, killed)
    killed.kill()
    killed.wait(LIMIT_S)  # its workers finish the jobs that they are at
    outcome = cli(*FIGURE, "--output=killed")
    assert outcome.code == 0, outcome
    assert outcome.out.count("finished before") >= jobs_ended
    reference, tidy = "figures/fig2b/reference/fig2b.csv", "figures/fig2b/fig2b.csv"
    assert (tmp_path / "killed" / reference).read_bytes() == (figure_alone / reference).read_bytes()
    rows = [
        [{name: cell for name, cell in row.items() if name != "seconds"} for row in table(folder / tidy)]
        for folder in (tmp_path / "killed", figure_alone)
    ]
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Optuna's own
def test_a_search_finds_the_best_of_its_trials_and_goes_on(cli: Callable, tmp_path: Path) -> None:
    require("sweeper", "optuna", "sweep")
    arguments = ["train", *SMALL, "sweep=search", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=search"]
    arguments = [word for word in arguments if not word.startswith("bits=")]
    outcome = cli(*arguments)
    assert outcome.code == 0, outcome
    assert "4 jobs, 0 failed" in outcome.out
    scores = {
        path.parent.name: tables.read_json(path)["last"]["val_accuracy"] for path in tmp_path.rglob("result.json")
    }
    assert len(scores) == 4
    text = (tmp_path / "search" / "optimization_results.yaml").read_text()
    assert f"best_value: {max(scores.values())}" in text
    assert cli(*arguments).out.count("finished before") == 4
    settings = ["sweep=search", "validation=0", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=none"]
    outcome = cli("train", *(word for word in SMALL if not word.startswith(("bits=", "validation="))), *settings)
    assert outcome.code == 1
    assert "a search maximises the accuracy on validation images: validation=0 leaves none" in outcome.out


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "sweep" / "launcher").glob("*.yaml")))
def test_launchers_compose_or_name_what_to_install(name: str) -> None:
    from hydra.core.plugins import Plugins

    if name != "basic" and not any(name.split("_")[0] in plugin.__module__ for plugin in Plugins.instance().discover()):
        with pytest.raises(InputError, match=r"pip install 'annealtrain\["):
            compose_config([f"sweep/launcher={name}"], None)
        return
    config = compose_config([f"sweep/launcher={name}"], None)
    assert config["threads"] == (None if name == "basic" else 1)
