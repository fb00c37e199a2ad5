"""Run folders of other versions: a setting that came later is what a run was before it, and both are told."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import composed
from run_folders import reseal

import annealtrain
from annealtrain.commands.train import train
from annealtrain.errors import Diverged
from annealtrain.experiment import versions
from annealtrain.experiment.config import config_hash

WORDS = (
    "model=linear_small",
    "samples=30",
    "validation=20",
    "epochs=1",
    "bits=2",
    "annealing.num_sweeps=1",
    "threads=1",
)
NOW = annealtrain.__version__


def made_by(folder: Path, version: str, without: tuple[str, ...] = (), **more: Any) -> None:
    """Make a run what a version would have written that had no such settings."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config = {name: value for name, value in config.items() if name not in without} | more
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    meta = json.loads((folder / "meta.json").read_text())
    meta |= {"annealtrain": version, "config_hash": config_hash(config)}
    (folder / "meta.json").write_text(json.dumps(meta))
    reseal(folder)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    train(composed(*WORDS), folder, "annealtrain train", tell=len)
    return folder


def test_a_later_setting_is_what_it_was_before(run: Path, cli: Callable, caplog: pytest.LogCaptureFixture) -> None:
    made_by(run, "0.1.9", without=("averaging", "augment", "batch_size", "threads"))
    with caplog.at_level(logging.WARNING):
        assert cli("eval", "run").code == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        "run/config.yaml lacks augment, averaging, batch_size, threads "
        f"(the run is of annealtrain 0.1.9, this is {NOW}): "
        "taken as augment={'shift': 0, 'flip': False} averaging=0 batch_size=null threads=null, which changes nothing"
    )
    assert cli("export", "run", "--format=coo").code == 0
    assert annealtrain.load(run).evaluate()["test_accuracy"] == annealtrain.load(run).result["last"]["test_accuracy"]
    (run / "result.json").unlink()
    assert cli("resume", "run").code == 0  # its fingerprint is that of what it holds
    assert cli("eval", "run").code == 0


@pytest.mark.parametrize("name", ["bits", "alpha", "seed", "bias", "conv_inverse", "model", "dataset", "optimizer"])
def test_one_that_decides_the_numbers_is_not_guessed(run: Path, cli: Callable, name: str) -> None:
    made_by(run, "0.1.9", without=(name,))
    (run / "result.json").unlink()
    for command in ("eval", "resume"):
        line = cli(command, "run").err
        assert line.count("\n") == 1
        if command == "resume":
            assert f"the configuration has no {name!r}" in line
            assert f"(the run is of annealtrain 0.1.9, this is {NOW})" in line


@pytest.mark.parametrize(
    ("version", "said"), [("0.9.0", "0.9.0"), ("\x1b[2J" + "9" * 999, "\\x1b[2J99"), (None, None), (3, None)]
)
def test_a_class_of_a_newer_version(run: Path, refused: Callable, version: Any, said: str | None) -> None:
    made_by(run, version, solver={"_target_": "annealtrain.solvers.newer.Newer"})
    line = refused("eval", "run")
    assert "solver._target_=annealtrain.solvers.newer.Newer is not one of annealtrain's solvers" in line
    assert "--trust" not in line
    assert ("the run is of annealtrain" in line) == (said is not None)
    assert said is None or f"(the run is of annealtrain {said}" in line


def test_an_argument_of_a_newer_version(run: Path, refused: Callable) -> None:
    schedule = {"_target_": "annealtrain.schedule.ConstantSchedule", "value": 1.0, "warm_up": 3}
    made_by(run, "0.9.0", schedule=schedule)
    line = refused("eval", "run")
    assert "warm_up" in line
    assert f"(the run is of annealtrain 0.9.0, this is {NOW})" in line


def test_a_run_of_the_first_version(run: Path, cli: Callable, refused: Callable) -> None:
    made_by(run, "0.1.0", without=("optimizer", "scale"), targets={"_target_": "annealtrain.gauss_newton.GaussNewton"})
    result, meta = (json.loads((run / name).read_text()) for name in ("result.json", "meta.json"))
    for name, content in (("result.json", result), ("meta.json", meta)):  # it wrote neither
        kept = {key: value for key, value in content.items() if key not in ("checksums", "blas")}
        (run / name).write_text(json.dumps(kept))
    both = f"(the run is of annealtrain 0.1.0, this is {NOW})"
    words = ("--format=coo", "hydra.run.dir=run")
    for command in (("eval", "run"), ("resume", "run"), ("export", "run", words[0]), ("train", *WORDS, words[1])):
        line = refused(*command)
        assert both in line
        assert line.count("the run is of") == 1
        assert ("holds a run with other settings" if command[0] == "train" else "run/config.yaml has targets") in line
    for command in ("plot", "report", "collect"):
        assert cli(command, "run").code == 0
    (run / "result.json").unlink()
    assert both in refused("resume", "run")
    assert both in refused("train", *WORDS, words[1], "resume=true")


def test_a_diverged_run_of_another_version_is_still_one(run: Path, cli: Callable) -> None:
    made_by(run, "0.1.9")
    with pytest.raises(Diverged, match=r"epoch 1 .* \(the run is of annealtrain 0\.1\.9"), versions.told(run):
        raise Diverged("epoch 1 has no loss")


def test_a_damaged_meta_file_tells_no_version(run: Path, refused: Callable) -> None:
    made_by(run, "0.1.9", without=("bits",))
    (run / "meta.json").write_text("{")
    assert "the run is of" not in refused("eval", "run")


@pytest.mark.parametrize("line", ["epoch: 7", "seconds: -5", "alpha: 0.5", "annealing: {num_sweep: 1}"])
def test_settings_that_were_changed_after_the_run(run: Path, refused: Callable, line: str) -> None:
    path, result = run / "config.yaml", json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({name: result[name] for name in result if name != "checksums"}))
    config = yaml.safe_load(path.read_text()) | yaml.safe_load(line)
    path.write_text(yaml.safe_dump(config))
    for arguments in (("eval", "run"), ("export", "run", "--format=coo", "--output=x")):
        assert refused(*arguments) == (
            "run/config.yaml holds other settings than the run was made with: restore it, "
            "or start the run anew in another folder"
        )
    path.write_text(yaml.safe_dump(config | {"bits": 99}))
    assert "bits=99 is not a whole number from 1 to 16" in refused("eval", "run")  # by the rules of what is written
