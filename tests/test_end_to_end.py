"""Whole runs on the digits: what they write, that they repeat, and that they survive being stopped anywhere."""

import json
import os
import platform
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL, assert_same_run, composed, cpu_s, ended_cpu_s, finished, process, table, until, weights
from run_folders import reseal

import annealtrain
from annealtrain.commands import evaluate, train
from annealtrain.experiment import config
from annealtrain.experiment.builder import Experiment
from annealtrain.runs import checkpoint, tables
from annealtrain.runs.recorder import RunRecorder
from annealtrain.runtime import blas

SCORES = ["epoch", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy"]
STAGES = ["forward_s", "targets_s", "build_s", "anneal_s", "bound_s", "evaluate_s", "total_s"]
METRICS = [*SCORES, "L", "beta", "energy", "lower_bound", "gap", *STAGES]


def small(*overrides: str) -> dict[str, Any]:
    return composed(*SMALL, "progress=false", *overrides)


def run(config: dict[str, Any], folder: Path) -> float:
    folder.mkdir(parents=True, exist_ok=True)
    return train.train(config, folder, "annealtrain train")


class Crash(BaseException):
    """Stands for a process that is killed."""


# What a run writes


def test_a_run_and_its_folder(cli: Callable, tmp_path: Path) -> None:
    outcome = cli(
        "train", *SMALL, "method=difference", "annealing.num_sweeps=3", "seed=3", "epochs=3", "hydra.run.dir=run"
    )
    assert (outcome.code, outcome.err) == (0, "")
    folder = tmp_path / "run"
    names = {"config.yaml", "meta.json", "metrics.csv", "solves.csv", "result.json", "last.npz", "best.npz"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

    rows = table(folder / "metrics.csv", times=True)
    assert list(rows[0]) == METRICS
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert all(row[name] == "" for row in rows[:1] for name in METRICS[5:10])
    assert all(row[name] != "" for row in rows[1:] for name in METRICS)
    for epoch, row in enumerate(rows[1:]):
        assert np.isclose(float(row["L"]), 0.1 * 0.01 ** (epoch / 3))
        assert 0 <= float(row["gap"]) <= 1
        assert float(row["lower_bound"]) <= float(row["energy"])
        assert np.isclose(sum(float(row[name]) for name in STAGES[:-1]), float(row["total_s"]))
    solves = table(folder / "solves.csv")
    assert [(row["epoch"], row["layer"]) for row in solves] == [(e, k) for e in "123" for k in "01"]
    assert [(row["units"], row["spins"], row["bits"], row["sweeps"]) for row in solves[:2]] == [
        ("8", "24", "3", "3.0"),
        ("10", "24", "3", "3.0"),
    ]
    for solve in table(folder / "solves.csv", times=True):
        visits, flips = float(solve["visits"]), float(solve["flips"])
        assert visits == 3 * float(solve["units"]) * float(solve["spins"])
        assert float(solve["acceptance"]) == pytest.approx(flips / visits)
        assert float(solve["visit_ns"]) == pytest.approx(1e9 * float(solve["anneal_s"]) / visits)
        assert 0 < float(solve["beta_first"]) <= float(solve["beta_last"])
    for row in rows[1:]:
        own = [float(solve["energy"]) for solve in solves if solve["epoch"] == row["epoch"]]
        assert float(row["energy"]) == sum(own)

    meta = tables.read_json(folder / "meta.json")
    assert meta["command"].startswith("annealtrain train model=two_linear_small ")
    assert (meta["seed"], meta["annealtrain"], meta["resumed_at"]) == (3, annealtrain.__version__, [])
    assert {"numpy", "scipy", "hydra-core"} <= set(meta["packages"])
    assert {"git_revision", "python", "machine", "started_at", "config_hash"} <= set(meta)

    result = tables.read_json(folder / "result.json")
    assert result["last"] == {name: json.loads(rows[-1][name]) for name in SCORES}
    best = max(rows, key=lambda row: float(row["val_accuracy"]))
    assert result["best_validation"] == {name: json.loads(best[name]) for name in SCORES}
    assert result["seconds"] > 0
    assert result["peak_memory_mb"] > 10
    assert f"test {result['last']['test_accuracy']:.4f}" in outcome.out
    assert outcome.out.endswith(f"run folder: {folder}\n")


def test_the_saved_configuration_is_the_run_again(cli: Callable, tmp_path: Path) -> None:
    assert cli("train", *SMALL, "experiment=fig2b", "dataset=digits", "hydra.run.dir=run").code == 0
    saved = config.saved_config(tmp_path / "run")
    assert saved["solver"]["beta"] == {
        "_target_": "annealtrain.schedule.GeometricSchedule",
        "first": 5e3,
        "last": 5e8,
    }
    assert config.config_hash(saved) == tables.read_json(tmp_path / "run" / "meta.json")["config_hash"]
    run(saved, tmp_path / "again")
    assert_same_run(tmp_path / "run", tmp_path / "again")


def test_the_score_is_the_validation_accuracy(tmp_path: Path) -> None:
    score = run(small(), tmp_path / "with")
    assert score == tables.read_json(tmp_path / "with" / "result.json")["last"]["val_accuracy"]
    score = run(small("validation=0"), tmp_path / "without")
    assert score == tables.read_json(tmp_path / "without" / "result.json")["last"]["train_accuracy"]


def test_without_validation_there_is_no_column_and_no_best(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", *SMALL, "validation=0", "hydra.run.dir=run")
    assert outcome.code == 0, outcome
    assert " val " not in outcome.out
    rows = table(tmp_path / "run" / "metrics.csv", times=True)
    assert list(rows[0]) == [name for name in METRICS if name != "val_accuracy"]
    result = tables.read_json(tmp_path / "run" / "result.json")
    assert result["best_validation"] is None
    assert result["last"]["val_accuracy"] is None
    assert not (tmp_path / "run" / "best.npz").exists()
    assert cli("eval", "run").code == 0


def test_annealing_learns(tmp_path: Path) -> None:
    """Far above the .1 of chance: 300 digits are enough for nine of ten."""
    run(composed("model=three_linear", "samples=300", "epochs=4", "progress=false"), tmp_path)
    assert tables.read_json(tmp_path / "result.json")["last"]["test_accuracy"] > 0.9
    rows = table(tmp_path / "metrics.csv")
    losses = [float(row["train_loss"]) for row in rows]
    assert losses[1:] == sorted(losses[1:], reverse=True)  # the first epoch's wide range may overshoot
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    ("optimizer", "epochs"),
    [
        ("pinv", 4),
        ("pinv_weighted", 4),
        ("difference", 4),
        ("gauss_newton", 4),
        ("kronecker", 20),  # three batches an epoch
        ("backprop", 8),
        ("backprop_tuned", 20),  # five batches an epoch
    ],
)
def test_each_optimizer_named_alone_trains(tmp_path: Path, optimizer: str, epochs: int) -> None:
    """Half of the digits and more, where chance gives one of ten: so with other seeds, and most get nine of ten."""
    if optimizer.startswith("backprop"):
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'annealtrain[torch]'")
    settings = ["model=three_linear", "samples=300", "threads=1", "progress=false", f"epochs={epochs}"]
    run(composed(f"optimizer={optimizer}", *settings), tmp_path)
    first, *_, last = table(tmp_path / "metrics.csv")
    assert float(first["test_accuracy"]) < 0.3  # random weights
    assert float(last["test_accuracy"]) > 0.5


# The same again


@pytest.mark.parametrize("model", ["two_linear_small", "two_conv_small"])
def test_the_same_seed_gives_the_same_run_on_any_number_of_threads(tmp_path: Path, model: str) -> None:
    for threads in (1, 2):
        run(small(f"model={model}", f"threads={threads}"), tmp_path / str(threads))
    assert_same_run(tmp_path / "1", tmp_path / "2")
    one, two = (tables.read_json(tmp_path / name / "result.json") for name in "12")
    assert all(one[kind] == two[kind] for kind in ("last", "best_validation"))


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    run(small(), tmp_path / "0")
    run(small("seed=1"), tmp_path / "1")
    assert weights(tmp_path / "0" / "last.npz") != weights(tmp_path / "1" / "last.npz")


def test_a_finished_run_is_left_as_it_is(cli: Callable, tmp_path: Path) -> None:
    arguments = ("train", *SMALL, "hydra.run.dir=run")
    assert cli(*arguments).code == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()}
    for again in (arguments, (*arguments, "resume=true"), ("resume", "run")):
        outcome = cli(*again)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.startswith("This run is finished and left as it is.\nlast epoch (2):  ")
        after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()}
        assert after == before


# Stopped and resumed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    run(small("epochs=3"), folder)
    return folder


def crashed(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> bool:
    """Run in `folder`, killed in the `at`-th call of os.replace, or in RunRecorder.save; return if it came so far."""
    owner: Any = os if name == "replace" else RunRecorder
    original, calls = getattr(owner, name), 0

    def dying(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Crash
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        try:
            run(small("epochs=3"), folder)
        except Crash:
            return True
    return False


def test_a_run_killed_at_any_file_it_writes_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    number, resumed = 1, []
    while crashed(tmp_path / str(number), monkeypatch, "replace", number):
        folder = tmp_path / str(number)
        if (folder / "meta.json").exists():
            train.resume(folder, "annealtrain resume")
            assert_same_run(whole, folder)
            resumed.append(number)
        number += 1
    # config and meta; two or three files in epoch 0, three or four in each other; the result.
    assert number - 1 >= 2 + 3 + 3 * 3 + 1
    assert len(resumed) == number - 3


@pytest.mark.parametrize(
    ("epoch", "command"),
    [
        (0, ["resume", "run"]),
        (0, ["train", "resume=true"]),
        (1, ["resume", "run"]),
        (2, ["train", "resume=true", "threads=2"]),
        (3, ["resume", "run"]),
    ],
)
def test_resume_by_both_commands(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, epoch: int, command: list[str]
) -> None:
    arguments = ("train", *SMALL, "epochs=3", "hydra.run.dir=run")
    save = RunRecorder.save

    def dying(record: RunRecorder, row: dict[str, Any], *rest: Any) -> None:
        save(record, row, *rest)
        if row["epoch"] == epoch:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "save", dying)
        with pytest.raises(Crash):
            cli(*arguments)
    folder = tmp_path / "run"
    assert len(table(folder / "metrics.csv")) == epoch + 1
    outcome = cli(*(arguments + tuple(command[1:]) if command[0] == "train" else command))
    assert (outcome.code, outcome.err) == (0, "")
    assert_same_run(whole, folder)
    meta = tables.read_json(folder / "meta.json")
    assert len(meta["resumed_at"]) == 1
    assert meta["command"].startswith("annealtrain train model=")
    assert cli("eval", "run").code == 0


def test_a_run_interrupted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    folder = tmp_path / "run"
    assert crashed(folder, monkeypatch, "save", 2)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(RunRecorder, "finish", lambda *_: (_ for _ in ()).throw(Crash))
            with pytest.raises(Crash):
                train.resume(folder, "annealtrain resume")
    monkeypatch.setattr(RunRecorder, "seconds", property(lambda _: 1000.0))  # of the epochs before
    train.resume(folder, "annealtrain resume")
    assert_same_run(whole, folder)
    assert len(tables.read_json(folder / "meta.json")["resumed_at"]) == 3
    result = tables.read_json(folder / "result.json")
    assert result["last"] == tables.read_json(whole / "result.json")["last"]
    assert 1000 < result["seconds"] < 1100


def test_a_run_whose_configuration_was_changed_is_not_resumed(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    assert crashed(folder, monkeypatch, "save", 2)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("bits: 3\n", "bits: 4\n"))
    outcome = cli("resume", "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "annealtrain resume: run/config.yaml holds other settings than the run was made with: restore it, "
        "or start the run anew in another folder\n"
    )


def test_damaged_run_folders_are_one_line(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert crashed(tmp_path / "run", monkeypatch, "save", 2)
    folder = tmp_path / "run"

    for name in ("last.npz", "meta.json", "metrics.csv", "config.yaml"):
        held = (folder / name).read_bytes()
        for content in (b"", held[: len(held) // 2], b"[1, 2", b"\xff\0"):
            (folder / name).write_bytes(content)
            outcome = cli("resume", "run")
            assert (outcome.code, outcome.out) == (2, "")
            assert outcome.err.startswith("annealtrain resume: ")
            assert outcome.err.count("\n") == 1, outcome.err
            # Half a YAML is one, of other settings.
            assert name in outcome.err or (name == "config.yaml" and "configuration has no" in outcome.err)
        (folder / name).write_bytes(held)
    assert cli("resume", "run").code == 0


def test_a_checkpoint_of_another_network_is_refused(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crashed(tmp_path / "run", monkeypatch, "save", 3)
    np.savez(tmp_path / "run" / "last.npz", weights_0=np.zeros((8, 8)), weights_1=np.zeros((9, 8)), epoch=np.int64(1))
    outcome = cli("resume", "run")
    assert outcome.code == 2
    assert "holds weights [(8, 8), (9, 8)], the model has [(8, 8), (10, 8)]" in outcome.err
    assert outcome.err.count("\n") == 1


MORTAL = """
import os, signal
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing

class Mortal(SimulatedAnnealing):
    def resolve_schedules(self, epoch, epochs):
        if str(epoch) == os.environ.get("DIE_AT"):
            os.kill(os.getpid(), getattr(signal, os.environ["DIE_OF"]))
        return super().resolve_schedules(epoch, epochs)
"""


@pytest.mark.parametrize(("by", "at"), [("SIGKILL", 1), ("SIGINT", 2)])
def test_a_killed_process_is_resumed_to_the_same_bits(
    cli: Callable, tmp_path: Path, whole: Path, by: str, at: int
) -> None:
    (tmp_path / "mortal.py").write_text(MORTAL)
    arguments = [*SMALL, "epochs=3", "solver._target_=mortal.Mortal", "hydra.run.dir=run"]
    outcome = finished(process(["train", *arguments], tmp_path, DIE_AT=str(at), DIE_OF=by))
    folder = tmp_path / "run"
    assert len(table(folder / "metrics.csv")) == at + 1
    assert not (folder / "result.json").exists()
    command = ["resume", "run", "--trust", "mortal"]
    if by == "SIGKILL":
        assert (outcome.code, outcome.err) == (-signal.SIGKILL, "")
    else:
        assert outcome.code == 130
        line = f"annealtrain train: interrupted: {at} of 3 epochs are kept; to go on: annealtrain resume {folder}"
        assert outcome.err == f"{line} --trust mortal\n"
        line = outcome.err
        command = shlex.split(line.partition("to go on: annealtrain ")[2])  # what it says works
    resumed = cli(*command)
    assert (resumed.code, resumed.err) == (0, "")
    assert_same_run(whole, folder)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_is_heard_within_a_second_in_a_long_solve(tmp_path: Path, threads: int) -> None:
    """Each of the ten units takes the compiled kernel minutes: 3,072 spins, 20 million sweeps."""
    arguments = [*SMALL, "model=linear", "annealing.num_sweeps=20000000", "hydra.run.dir=run", f"threads={threads}"]
    running, before = process(["train", *arguments], tmp_path), ended_cpu_s()
    until((tmp_path / "run" / "last.npz").exists, running)
    epoch_0 = cpu_s(running)
    until(lambda: cpu_s(running) > epoch_0 + 0.3, running)  # well into the solve
    sent = cpu_s(running)
    running.send_signal(signal.SIGINT)
    outcome = finished(running)
    used = ended_cpu_s() - before - sent
    assert used < 2 * threads  # a second of work on each thread, and the end of the interpreter
    assert outcome.code == 130
    assert outcome.err == (
        f"annealtrain train: interrupted: 0 of 2 epochs are kept; to go on: annealtrain resume {tmp_path / 'run'}\n"
    )


def test_ctrl_c_before_anything_is_written_leaves_no_folder(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Experiment, "build", interrupted)
    outcome = cli("train", *SMALL)
    assert (outcome.code, outcome.err) == (130, "annealtrain train: interrupted\n")
    assert not any(tmp_path.iterdir())


def test_ctrl_c_ends_a_whole_sweep(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = RunRecorder.save

    def interrupted(record: RunRecorder, row: dict[str, Any], *rest: Any) -> None:
        save(record, row, *rest)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunRecorder, "save", interrupted)
    outcome = cli("train", "--multirun", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=${seed}")
    assert outcome.code == 130
    assert outcome.err.endswith(
        f"interrupted: 1 of 2 epochs are kept; to go on: annealtrain resume {tmp_path / 'sweep' / '0'}\n"
    )
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [".annealtrain-sweep", "0", "multirun.yaml"]


# Scored again


@pytest.fixture
def scored(cli: Callable, tmp_path: Path) -> Path:
    """A finished run, in `run`."""
    assert cli("train", *SMALL, "hydra.run.dir=run").code == 0
    return tmp_path / "run"


def test_eval_reproduces_the_result_exactly(cli: Callable, scored: Path) -> None:
    result = tables.read_json(scored / "result.json")
    before = {path.name: path.read_bytes() for path in scored.iterdir()}
    for threads in ("1", "2", "null"):
        config = scored / "config.yaml"
        config.write_text(config.read_text().replace("threads: 1", f"threads: {threads}"))
        reseal(scored)
        outcome = cli("eval", "run")
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert len(lines) == 4
        assert lines[1] == lines[3] == "  the same as recorded"
        for line, (name, kind) in zip(lines[::2], (("last", "last"), ("best_validation",) * 2), strict=True):
            assert line.startswith(f"{name} (epoch {result[kind]['epoch']}):  ")
            assert all(f"{key} {value!r}" in line for key, value in result[kind].items() if key != "epoch")
        config.write_bytes(before["config.yaml"])
        (scored / "result.json").write_bytes(before["result.json"])
    assert {path.name: path.read_bytes() for path in scored.iterdir()} == before


@pytest.mark.parametrize("which", ["last", "best"])
def test_eval_notices_changed_weights(cli: Callable, scored: Path, which: str) -> None:
    held, epoch = checkpoint.read_checkpoint(scored / f"{which}.npz")
    held[0][0, 0] += 1e-3
    RunRecorder(scored)._write_checkpoint(f"{which}.npz", epoch, held, {})
    refused = cli("eval", "run")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"annealtrain eval: run/{which}.npz: it is not what the run wrote: restore it")
    reseal(scored)
    outcome = cli("eval", "run")
    assert outcome.code == 1
    notes = outcome.out.splitlines()[1::2]
    assert [note.startswith("  NOT as recorded:  ") for note in notes] == [which == "last", which == "best"]


def test_eval_notices_a_changed_result(cli: Callable, scored: Path) -> None:
    result = tables.read_json(scored / "result.json")
    before = result["last"]["test_accuracy"]
    result["last"]["test_accuracy"] = after = float(np.nextafter(before, 1))
    (scored / "result.json").write_text(json.dumps(result))
    refused = cli("eval", "run")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "last is not the epoch 2 of the metrics" in refused.err
    head, _, last = (scored / "metrics.csv").read_text().rstrip("\n").rpartition("\n")
    (scored / "metrics.csv").write_text(f"{head}\n{last.replace(repr(before), repr(after))}\n")
    assert "result.json: it is not what the run wrote" in cli("eval", "run").err
    reseal(scored)
    outcome = cli("eval", "run")
    assert outcome.code == 1
    assert f"NOT as recorded:  train_loss {result['last']['train_loss']!r}" in outcome.out


def test_eval_of_a_run_of_an_older_version_says_that_it_has_no_checksums(cli: Callable, scored: Path) -> None:
    result, meta = (tables.read_json(scored / name) for name in ("result.json", "meta.json"))
    del result["checksums"], meta["checksums"], meta["blas"]
    for name, content in (("result.json", result), ("meta.json", meta | {"annealtrain": "0.1.0"})):
        (scored / name).write_text(json.dumps(content))
    outcome = cli("eval", "run")
    assert outcome.code == 0
    said, *lines = outcome.out.splitlines()
    assert said == "made by a version that kept no checksums: whether a file was changed since cannot be told"
    assert lines[1] == lines[3] == "  the same as recorded"
    (scored / "result.json").write_text(json.dumps(result | {"checksumt": {}}))  # a letter that has changed
    assert "checksumt is nothing that a run has" in cli("eval", "run").err


OTHER = {"library": "openblas", "version": "0.3", "kernel": "Other"}


def made_on(folder: Path, kernel: dict[str, str] | None) -> str:
    """Let a run have been made on another kernel, of which its scores are another's rounding; return its text."""
    meta, result = tables.read_json(folder / "meta.json"), tables.read_json(folder / "result.json")
    for kind in ("last", "best_validation"):
        result[kind]["train_loss"] *= 1 + 1e-6
        result[kind]["test_accuracy"] += 1 / 360  # a tie among the test images
    rows = table(folder / "metrics.csv", times=True)
    for row in rows:
        row["train_loss"] = repr(float(row["train_loss"]) * (1 + 1e-6))
        row["test_accuracy"] = repr(float(row["test_accuracy"]) + 1 / 360)
    (folder / "metrics.csv").write_text(tables.csv_text(rows))
    (folder / "meta.json").write_text(json.dumps(meta | {"blas": kernel}))
    (folder / "result.json").write_text(json.dumps(result))
    reseal(folder)
    return "openblas 0.3 Other" if kernel else "one that is not recorded"


@pytest.mark.parametrize("kernel", [OTHER, None])
def test_eval_tells_the_rounding_of_another_blas_kernel_from_a_mismatch(
    cli: Callable, scored: Path, kernel: dict[str, str] | None
) -> None:
    here = tables.read_json(scored / "meta.json")["blas"]
    text = made_on(scored, kernel)
    outcome = cli("eval", "run")
    assert outcome.code == 0, outcome
    notes = outcome.out.splitlines()[1::2]
    said = f"  as recorded but for rounding: made on {text}, scored on {' '.join(here.values())}"
    assert notes == [said, said]
    assert cli("eval", "run", "--exact").code == 1
    # On the kernel that it was made on the same scores are not what was recorded.
    meta = tables.read_json(scored / "meta.json")
    (scored / "meta.json").write_text(json.dumps(meta | {"blas": here}))
    reseal(scored)
    assert cli("eval", "run").code == 1


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"a_accuracy": 0.52}, True),
        ({"a_accuracy": 0.53}, False),
        ({"train_loss": 2.0019}, True),
        ({"train_loss": 2.003}, False),
        ({"epoch": 2}, False),
        ({"b_accuracy": 0.5}, False),
    ],
)
def test_what_rounding_may_change(changed: dict[str, float], holds: bool) -> None:
    """Two of 100 samples, a thousandth of the loss, and nothing else."""
    recorded = {"epoch": 3, "train_loss": 2.0, "a_accuracy": 0.5}
    assert evaluate.is_rounding(recorded | changed, recorded, {"a_accuracy": 100}) is holds


def test_resume_warns_on_another_blas_kernel_and_keeps_both(cli: Callable, scored: Path) -> None:
    (scored / "result.json").unlink()
    here = tables.read_json(scored / "meta.json")["blas"]
    for warns in (True, False):  # once: from then on it is one of the run's own
        if warns:
            made_on_other = tables.read_json(scored / "meta.json") | {"blas": OTHER}
            (scored / "meta.json").write_text(json.dumps(made_on_other))
        else:
            (scored / "result.json").unlink()
        outcome = cli("resume", "run")
        assert outcome.code == 0, outcome
        warning = f"begun on other kernels (openblas 0.3 Other; here {' '.join(here.values())}): sums are rounded"
        assert (warning in outcome.err) is warns
        assert outcome.err.count("\n") == int(warns)
        meta = tables.read_json(scored / "meta.json")
        assert (meta["blas"], meta["resumed_blas"]) == (OTHER, [here])


def test_an_intact_run_is_as_recorded_on_another_kernel_of_openblas(cli: Callable, tmp_path: Path) -> None:
    if not (here := blas.blas_kernel()) or here["library"] != "openblas" or platform.machine() != "x86_64":
        pytest.skip("no OpenBLAS here that can be told its kernel")
    assert cli("train", *SMALL, "epochs=1", "samples=400", "bits=6", "hydra.run.dir=run").code == 0
    ended = finished(process(["eval", "run"], tmp_path, OPENBLAS_CORETYPE="Sandybridge"))
    assert ended.code == 0, ended
    assert " Sandybridge" in ended.out or "the same as recorded" in ended.out
    assert "NOT" not in ended.out


def test_eval_of_an_unfinished_or_damaged_run_is_one_line(cli: Callable, scored: Path) -> None:
    held = (scored / "last.npz").read_bytes()
    (scored / "last.npz").write_bytes(held[:-100])
    outcome = cli("eval", "run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "last.npz: it is not what the run wrote" in outcome.err
    (scored / "last.npz").write_bytes(held)
    (scored / "result.json").write_text("{}")
    for command in ("eval", "resume"):
        outcome = cli(command, "run")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "result.json is not what a run writes" in outcome.err
    (scored / "result.json").unlink()
    outcome = cli("eval", "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "annealtrain eval: the run in run is not finished: annealtrain resume run\n"


def test_what_a_users_solver_logs_is_kept_and_refuses_nothing(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "talking.py").write_text(
        "import logging\n"
        "from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing\n\n"
        "class Talking(SimulatedAnnealing):\n"
        "    def __init__(self, **settings):\n"
        "        super().__init__(**settings)\n"
        "        logging.getLogger(__name__).info('made with %s', sorted(settings))\n"
    )
    outcome = cli("train", *SMALL, "solver._target_=talking.Talking", "hydra.run.dir=run")
    assert outcome.code == 0, outcome
    assert "made with ['beta', " in (tmp_path / "run" / "train.log").read_text()


DIVERGING = ("method=backprop", "optimizer.learning_rate=1e18", *SMALL[:4])


def test_a_diverged_run_ends_in_one_line_and_is_what_it_says(cli: Callable, tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is there
        outcome = cli("train", *DIVERGING, "epochs=3", "hydra.run.dir=run")
        assert (outcome.code, outcome.out) == (1, "")
        said = "the run has diverged: its loss in epoch 1 is no finite number: lower optimizer.learning_rate"
        assert outcome.err == f"annealtrain train: {said}; run folder: {tmp_path}/run\n"

    def no_number(text: str) -> None:
        raise AssertionError(text)

    result = json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=no_number)
    assert (result["last"]["epoch"], result["last"]["train_loss"], result["warning"]) == (1, None, said)
    assert [row["train_loss"] for row in table(tmp_path / "run" / "metrics.csv")][1:] == ["nan"]
    assert cli("eval", "run").out.count("the same as recorded") == 2
    assert cli("collect", "run").code == 0
    assert cli("resume", "run").code == 1
    assert cli("train", *DIVERGING, "epochs=1", "-m", "seed=0", "hydra.sweep.dir=sweep").code == 1


HUGE = ("model=three_linear", "method=pinv", "schedule.first=1e18", "schedule.last=1e18")  # three of them overflow


def test_a_run_that_leaves_the_range_of_numbers_in_a_solve_fails_in_one_line(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", *SMALL[1:], *HUGE, "hydra.run.dir=run")
    assert (outcome.code, outcome.out) == (1, "")
    said = "training left the range of numbers in epoch 1: lower half_range.first"
    assert outcome.err == f"annealtrain train: {said}\n"


def test_resume_refuses_a_checkpoint_whose_state_is_of_another_kind(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMALL, "averaging=0.5", "hydra.run.dir=run")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "finish", interrupted)
        assert cli("train", *words).code == 130
    with np.load(tmp_path / "run" / "last.npz") as held:
        arrays = dict(held)
    name = next(name for name in arrays if name.startswith("state_average_0"))
    for wrong in (np.zeros((2, 2, 2)), np.array("text")):
        np.savez(tmp_path / "run" / "last.npz", **arrays | {name: wrong})
        outcome = cli("resume", "run")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "run/last.npz cannot be read (average_0 holds" in outcome.err
