"""The command line: its grammar, its help, its one-line refusals, and completion in a real bash."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import LIMIT_S, MOODY, SMALL, composed, ended_cpu_s, finished, process, table, write_mnist

import annealtrain
from annealtrain.cli import COMMANDS, main
from annealtrain.errors import InputError
from annealtrain.experiment import config
from annealtrain.runs import lock, tables
from annealtrain.runtime import memory

GROUPS = ("model", "dataset", "optimizer", "solver", "schedule", "experiment", "method", "sweep")


def model(*layers: str) -> str:
    """Return the override that makes a model of these layers, each as Name or Name,key:value."""

    def node(layer: str) -> str:
        name, *arguments = layer.split(";")
        return "{" + ",".join([f"_target_:annealtrain.nn.layers.{name}", *arguments]) + "}"

    return f"model.layers=[{','.join(map(node, layers))}]"


# The program by itself


def test_help_lists_every_command(cli: Callable) -> None:
    for arguments in (["--help"], ["-h"], ["help"]):
        outcome = cli(*arguments)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(f"annealtrain {command} " in outcome.out for command in COMMANDS)


def test_help_answers_at_once(tmp_path: Path) -> None:
    before = ended_cpu_s()
    outcome = finished(process(["--help"], tmp_path))
    assert (outcome.code, outcome.err) == (0, "")
    assert ended_cpu_s() - before < 0.5  # NumPy and Hydra alone take longer


def test_no_command_shows_the_help_and_is_bad_input(cli: Callable) -> None:
    assert cli().code == 2


def test_version(cli: Callable) -> None:
    assert cli("--version").out == f"annealtrain {annealtrain.__version__}\n"


def test_unknown_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    outcome = finished(process(["trian", "model=lenet"], tmp_path))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "annealtrain: no command 'trian'; did you mean 'train'?; see annealtrain --help\n"


@pytest.mark.parametrize("command", ["resume", "eval", "estimate", "data"])
def test_each_command_has_a_help(cli: Callable, command: str) -> None:
    outcome = cli(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: annealtrain {command} ")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["eval"], ["folder", "annealtrain eval --help"]),
        (["resume", "a", "b"], ["b: a run goes on as it was begun", "epochs=N"]),
        (["data", "--nope"], ["--nope", "annealtrain data --help"]),
        (["data", "--download", "mnits"], ["'mnits'", "did you mean 'mnist'?"]),
        (["estimate", "--config-dir", "nowhere"], ["nowhere"]),
        (["estimate", "solver=sb"], ["solver=sb", "did you mean 'sa'?"]),
        (["estimate", "bits=17"], ["bits=17", "1 to 16"]),
        (["estimate", "model=5"], ["model=5 names no option", "model=lenet"]),
        (["eval", "nowhere"], ["there is no folder nowhere"]),
        (["resume", "nowhere"], ["there is no folder nowhere"]),
    ],
)
def test_other_commands_refuse_in_one_line(refused: Callable, arguments: list[str], parts: list[str]) -> None:
    line = refused(*arguments)
    assert all(part in line for part in parts), line


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = process(["data"], tmp_path, output=writing)
    os.close(writing)
    outcome = finished(running)
    assert (outcome.code, outcome.err) == (1, "")


def test_data_shows_what_is_at_hand_and_where(cli: Callable, tmp_path: Path) -> None:
    raw = write_mnist(tmp_path / "images")
    outcome = cli("data", "--data-dir", "images")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
    states = ["absent" if " absent " in line else "at hand" if " at hand " in line else "?" for line in lines[::2]]
    assert states == ["at hand", "at hand", "absent", "absent", "absent"]
    assert str(raw.relative_to(tmp_path)) in lines[2]
    assert "60 training and 20 test" in lines[3]
    assert "annealtrain data --download cifar10" in lines[7]


# Hydra's grammar


def test_help_of_train_lists_all_groups_and_settings(cli: Callable) -> None:
    outcome = cli("train", "--help")
    assert (outcome.code, outcome.err) == (0, "")
    configs = Path(__file__).resolve().parents[1] / "configs"
    for group in GROUPS:
        names = sorted(path.stem for path in (configs / group).glob("*.yaml"))
        assert f"{group}: {', '.join(names)}\n" in outcome.out
    for name in ("bits", "epochs", "alpha", "seed", "samples", "bias", "progress"):
        assert f"\n{name}: " in outcome.out
    assert 'eval "$(annealtrain train -sc install=bash)"' in outcome.out


def test_cfg_job_prints_the_composed_configuration(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("train", "--cfg", "job", "model=conv_small", "bits=4", "solver=descent")
    assert (outcome.code, outcome.err) == (0, "")
    assert "bits: 4\n" in outcome.out
    assert "name: conv_small\n" in outcome.out
    assert "CoordinateDescent" in outcome.out
    assert not any(tmp_path.iterdir())


def test_info_defaults(cli: Callable) -> None:
    outcome = cli("train", "--info", "defaults")
    assert (outcome.code, outcome.err) == (0, "")
    chosen = ("model/lenet", "dataset/digits", "solver/sa", "optimizer/gauss_newton", "schedule/geometric")
    assert all(name in outcome.out for name in chosen)


def test_an_error_of_the_users_own_code_shows_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    running = process(["train", *SMALL, "+solver.mood=1", "solver._target_=moody.Moody"], tmp_path)
    outcome = finished(running)
    assert outcome.code == 1
    assert 'moody.py", line' in outcome.err
    assert outcome.err.endswith("ValueError: not in the mood for epoch 1\n")


# Bad input: one line with value, limit and remedy, exit code 2, no run folder


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["solver=sb"], ["solver=sb", "did you mean 'sa'?", "choose one of ", "exact, ", "dimod, "]),
        (["model=lenett"], ["model=lenett", "did you mean 'lenet'?", "three_conv"]),
        (["experiment=fig5e"], ["experiment=fig5e", "did you mean 'fig", "fig6a_2024"]),
        (["bitz=4"], ["'bitz'", "did you mean 'bits'?"]),
        (["modle=lenet"], ["'modle'", "did you mean 'model'?"]),
        (["solver.num_sweep=3"], ["'solver.num_sweep'", "did you mean 'num_sweeps' in solver?"]),
        (["hydra.run.dri=x"], ["'hydra.run.dri'", "did you mean 'dir' in hydra.run?"]),
        (["model=5"], ["model=5 names no option", "model=lenet"]),
        (["bits=0"], ["bits=0", "1 to 16"]),
        (["bits=17"], ["bits=17", "1 to 16"]),
        (["bits=abc"], ["bits='abc'", "1 to 16"]),
        (["bits=4,8"], ["bits=4,8", "--multirun"]),
        (["seed=-1"], ["seed=-1", "0 to"]),
        (["bias=maybe"], ["bias='maybe'", "true, false"]),
        (["model=lenet", "pool_crop=low"], ["SpectralPool2d", "crop='low'", "centred, author"]),
        (["schedule.first=0"], ["schedule.first=0", "above 0"]),
        (["schedule=constant", "schedule.value=0"], ["schedule.value=0", "above 0"]),
        (["schedule.first=[.1,.1,.1]"], ["3 values for 2 trainable layers"]),
        (["alpha=-1"], ["alpha=-1", "0", "1"]),
        (["alpha=2"], ["alpha=2", "0", "1"]),
        (["samples=1398", "validation=0"], ["samples=1398", "1397", "at most"]),
        (["samples=1000", "validation=398"], ["samples=1000", "validation=398", "1397", "samples=999"]),
        (["solver=exact", "solver.max_nodes=0", "bits=4"], ["layer 0 needs 32 spins", "at most 24", "lower bits"]),
        (["x=["], ["'x=['", "key=value"]),
        (["method=pinv", "solver=descent"], ["method= names an optimizer and a solver at once: leave solver out"]),
        (["method=pinv", "optimizer=pinv", "solver=sa"], ["at once: leave optimizer and solver out, or method"]),
        (["~solver"], ["this run needs a solver: add solver=sa"]),
        (["~optimizer"], ["'optimizer'", "--help"]),
        (["~bits"], ["'bits'", "--help"]),
        (["solver._target_=no_such_module.Best"], ["solver", "no_such_module"]),
        (
            ["solver._target_=annealtrain.solvers.annealing.simulated_annealing.Best"],
            ["solver", "annealtrain.solvers.annealing.simulated_annealing.Best"],
        ),
        (["schedule._target_=annealtrain.schedule.ConstantSchedule"], ["'schedule.first'", "takes value"]),
        (["+schedule.middle=1"], ["'schedule.middle'", "takes first, last"]),
        (["solver.num_sweeps=0"], ["solver.num_sweeps=0", "at least 1"]),
        (["data_dir=${nowhere}"], ["data_dir", "nowhere"]),
        (["--config-dir=nowhere"], ["nowhere"]),
        (["model.layers=5"], ["model.layers=5", "list of layers"]),
        ([model()], ["no trainable layer", "Linear"]),
    ],
)
def test_bad_settings(refused: Callable, overrides: list[str], parts: list[str]) -> None:
    line = refused("train", *SMALL, *overrides)
    assert all(part in line for part in parts), line


def written(value: object) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else repr(value)


def test_bad_plain_values() -> None:
    settings = composed()
    config.check_values(settings)
    for name, limit, values in (
        ("bits", "1 to 16", (-1, 4.5, True, None, "8", [8])),
        ("epochs", "1 to 100000", (0, 1.5, None)),
        ("seed", "0 to", (-1, 2**63, None, "a")),
        ("samples", "1 to", (0, 1e3, "all")),
        ("validation", "0 to", (-1, 0.5, False)),
        ("threads", "1 to 1024", (0, 1025, "all")),
        ("alpha", "from 0", (-1e-9, 1.0001, float("nan"), float("inf"), True, None, "0.1")),
        ("bias", "true, false", (0, 1, 1.0, None, "true")),
        ("resume", "true, false", (1, "yes", None)),
        ("progress", "true, false, auto", (1, "loud", None)),
        ("conv_inverse", "fourier, exact", ("best", None, True)),
        ("output_activation", "leaky_relu, linear", ("relu", 1, None)),
    ):
        for value in values:
            with pytest.raises(InputError) as caught:
                config.check_values({**settings, name: value})
            assert f"{name}={written(value)} is not" in str(caught.value)
            assert limit in str(caught.value)
    referred = (
        "data_dir",
        "annealing",
        "half_range",
        "pinv",
        "gauss_newton",
        "kronecker",
        "pool_crop",
    )  # by other lines
    for name in settings:
        if name not in (*referred, "solver", "schedule"):  # which backpropagation has not
            with pytest.raises(InputError, match=f"no '{name}'"):
                config.check_values({key: value for key, value in settings.items() if key != name})


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        (["Linear;out_features:10"], ["layer 0", "Linear", "1x32x32", "Flatten"]),
        (["Conv2d;out_channels:4;kernel_size:33"], ["layer 0", "kernel_size=33", "1x32x32", "at most 32"]),
        (["SpectralPool2d;size:[33,4]"], ["layer 0", "33x4", "at most 32x32"]),
        (["MaxPool2d;kernel_size:[5,5]"], ["layer 0", "[5, 5]", "1x32x32"]),
        (["Flatten", "MaxPool2d;kernel_size:[2,2]"], ["layer 1", "MaxPool2d", "its input is 1024", "before a Flatten"]),
        (["Flatten", "Linear;out_features:9"], ["output is 9", "10 classes"]),
        (["Conv2d;out_channels:10;kernel_size:31"], ["output is 10x2x2", "10 classes"]),
        (["Flatten", "Linear;out_features:0"], ["out_features=0", "at least 1"]),
        (["Flatten", "Linear;features:10"], ["model", "'out_features'"]),
        (["Flatten", "Linear;out_features:10;features:10"], ["'model.layers.1.features'", "'out_features'"]),
    ],
)
def test_models_that_do_not_fit(refused: Callable, layers: list[str], parts: list[str]) -> None:
    line = refused("train", *SMALL, model(*layers))
    assert all(part in line for part in parts), line


def test_an_object_of_the_wrong_kind(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "solver").mkdir(parents=True)
    (tmp_path / "mine" / "solver" / "wrong.yaml").write_text("_target_: annealtrain.nn.layers.Flatten\n")
    (tmp_path / "mine" / "solver" / "none.yaml").write_text("num_sweeps: 3\n")
    line = refused("train", "--config-dir=mine", *SMALL, "solver=wrong")
    assert line == "solver._target_=annealtrain.nn.layers.Flatten makes a Flatten, not a solver"
    assert "no _target_" in refused("train", "--config-dir=mine", *SMALL, "solver=none")


def test_data_that_is_absent_or_damaged(refused: Callable, tmp_path: Path) -> None:
    def line() -> str:
        said: str = refused("train", *SMALL, "dataset=mnist", "samples=20", "validation=10", "data_dir=images")
        return said

    folder = tmp_path / "images"
    absent = line()
    assert f"{folder}/MNIST/raw" in absent
    assert "data_dir" in absent
    assert "annealtrain data --download mnist" in absent

    images = write_mnist(folder) / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    assert f"{images} holds {len(whole) - 1} bytes" in (cut := line())
    assert f"promises {len(whole)}" in cut
    images.write_bytes(b"\0\0\x08\x01" + whole[4:])
    assert f"{images} has magic number 2049, expected 2051" in line()
    images.write_bytes(whole[:7])
    assert "holds 7 bytes" in line()
    images.unlink()
    assert "missing train-images-idx3-ubyte" in line()


def test_nan_in_the_data(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import numpy as np\n"
        "from annealtrain.data.datasets import Dataset\n\n"
        "def noisy():\n"
        "    images, labels = np.zeros((90, 1, 8, 8), np.float32), np.arange(90) % 10\n"
        "    images[7, 0, 3, 3] = np.nan\n"
        "    return Dataset('noisy', 10, images, labels, np.zeros((5, 1, 8, 8), np.float32), np.arange(5), scale=1.0)\n"
    )
    line = refused("train", *SMALL, "samples=20", "validation=10", "dataset._target_=noisy.noisy")
    assert "dataset noisy, training set" in line
    assert "NaN" in line


def test_a_problem_larger_than_memory(refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**5)
    line = refused("train", *SMALL, "samples=1000")
    assert re.search(r"training needs [\d.]+ .B; 100 kB are available: take a smaller model", line)


def test_run_folders_that_cannot_be_made_or_written(
    refused: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "file/below"):
        line = refused("train", *SMALL, f"hydra.run.dir={folder}")
        assert folder in line
        assert "hydra.run.dir" in line

    def forbidden(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(lock, "_opened", forbidden)
    line = refused("train", *SMALL, "hydra.run.dir=locked")
    assert f"cannot write {tmp_path}/locked/.annealtrain-lock (Permission denied)" in line
    assert "hydra.run.dir" in line


def test_run_folders_of_something_else(refused: Callable, cli: Callable, tmp_path: Path) -> None:
    for name in ("notes.txt", ".hidden", "config.yaml"):
        folder = tmp_path / f"with_{name}"
        folder.mkdir()
        (folder / name).write_text("bits: 3\n")
        line = refused("train", *SMALL, f"hydra.run.dir={folder}")
        assert f"{folder} holds other files" in line
        assert "hydra.run.dir" in line
        for command in ("resume", "eval"):
            assert "is not a run folder" in refused(command, str(folder))


def test_run_folders_of_other_settings(refused: Callable, cli: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("train", *SMALL, "epochs=1", f"hydra.run.dir={run}")
    assert cli(*arguments).code == 0
    for more in ("seed=1", "solver.num_reads=2"):
        assert "other settings" in refused(*arguments, more)
    (run / "result.json").unlink()
    for more in (["seed=1"], ["seed=1", "resume=true"]):
        line = refused(*arguments, *more)
        assert f"{run} holds a run with other settings: choose another hydra.run.dir" in line
    line = refused(*arguments)
    assert f"{run} holds an unfinished run: add resume=true" in line
    assert cli(*arguments, "resume=true", "progress=true", "threads=2").code == 0  # these change no number


def test_a_refused_run_keeps_what_was_there_before(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "reference").mkdir(parents=True)
    refused("train", *SMALL, "bits=0")
    refused("train", *SMALL, "bits=0", "hydra.run.dir=outputs/mine")


# Progress


def test_progress_is_shown_where_it_is_asked_for(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = cli("train", *SMALL, "progress=false")
    assert (silent.code, silent.err) == (0, "")
    assert cli("train", *SMALL).err == ""  # auto, and no terminal
    shown = cli("train", *SMALL, "progress=true")
    assert "2/2" in shown.err
    assert re.search(r"train \d\.\d+  val \d\.\d+  test \d\.\d+  loss \S+", shown.err)
    for outcome in (silent, shown):
        last = outcome.out.splitlines()[-1]
        assert Path(last.removeprefix("run folder: ")).is_dir()
        assert re.match(r"last epoch \(2\):  train \d\.\d{4}  val \d\.\d{4}  test \d\.\d{4}\n", outcome.out)


# Bash completion


@pytest.mark.parametrize(
    ("line", "suggested", "unwanted"),
    [
        ("annealtrain ", set(COMMANDS), set()),
        ("annealtrain tr", {"train"}, set()),
        ("annealtrain train mod", {"model="}, {"train", "bits="}),
        ("annealtrain train ", {"model=", "bits=", "solver."}, {"train"}),
        ("annealtrain train model=three", {"model=three_conv", "model=three_linear"}, {"model=lenet"}),
        ("annealtrain train model=lenet solver.num", {"solver.num_sweeps=", "solver.num_reads="}, {"solver=sa"}),
        ("annealtrain estimate data", {"dataset=", "data_dir="}, {"data"}),
        ("annealtrain eval ", set(), {"train", "model="}),
    ],
)
def test_completion_query(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, line: str, suggested: set[str], unwanted: set[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    outcome = cli("-sc", "query=bash")
    assert (outcome.code, outcome.err) == (0, "")
    words = set(outcome.out.split())
    assert suggested <= words
    assert not unwanted & words


COMPLETE = """
set -e
eval "$(annealtrain train -sc install=bash)"
complete -p annealtrain > /dev/null
complete_line() {
  COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$2; COMPREPLY=()
  hydra_bash_completion
  echo "${COMPREPLY[@]}"
}
complete_line "annealtrain tr" 1
complete_line "annealtrain train model=lenet_s" 2
complete_line "annealtrain train model=lenet optimizer=pinv_" 3
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_a_real_bash(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    if not (scripts / "annealtrain").exists():
        pytest.skip(f"annealtrain is not installed in {scripts}")
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE],
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["train", "model=lenet_small", "optimizer=pinv_weighted"]


# Estimate


def test_estimate_needs_no_files(cli: Callable, tmp_path: Path) -> None:
    outcome = cli("estimate", "model=lenet", "dataset=cifar10", "bits=4")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split() for line in outcome.out.splitlines()[1:6]]
    assert [row[:5] for row in rows] == [
        ["0", "Conv2d", "6", "75", "300"],
        ["1", "Conv2d", "16", "150", "600"],
        ["2", "Conv2d", "120", "400", "1600"],
        ["3", "Linear", "84", "120", "480"],
        ["4", "Linear", "10", "84", "336"],
    ]
    assert rows[2][5] == f"{1600 * 1599 // 2:,}"
    assert "Pegasus P16 180, Zephyr Z12 184, Zephyr Z15 232" in outcome.out
    assert not any(tmp_path.iterdir())


def test_estimate_composes_like_train(cli: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "with space, comma=and [brackets]" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "layers:\n  - {_target_: annealtrain.nn.layers.Flatten}\n"
        "  - {_target_: annealtrain.nn.layers.Linear, out_features: 10}\n"
    )
    outcome = cli("estimate", "bits=2", "--config-dir", str(folder.parent), "model=mine")
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[1].split()[:5] == ["0", "Linear", "10", "64", "128"]  # 8 x 8, as they are
    assert cli("estimate", "experiment=fig8").out.splitlines()[1].split()[4] == "16"


def test_a_users_own_dataset_is_asked_for_its_shape(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(
        "import numpy as np\n"
        "from annealtrain.data.datasets import Dataset\n\n"
        "def tiny():\n"
        "    images, labels = np.zeros((9, 2, 8, 8), np.uint8), np.arange(9) % 3\n"
        "    return Dataset('tiny', 3, images, labels, images, labels)\n"
    )
    layers = model("Flatten", "Linear;out_features:3")
    outcome = cli("estimate", "dataset._target_=tiny.tiny", layers, "bits=1", "samples=9")
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[1].split()[:5] == ["0", "Linear", "3", "2048", "2048"]


def test_main_takes_its_arguments_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["annealtrain", "--version"])
    assert main() == 0


def test_the_command_recorded_is_the_one_that_was_typed(cli: Callable, tmp_path: Path) -> None:
    overrides = [*SMALL, "epochs=1", "solver.beta_range=[1, 2]"]
    assert cli("train", *overrides, "hydra.run.dir=run").code == 0
    command = shlex.split(tables.read_json(tmp_path / "run" / "meta.json")["command"])
    assert command == ["annealtrain", "train", *overrides]
    assert np.isclose(float(table(tmp_path / "run" / "solves.csv")[0]["beta_first"]), 1, rtol=1e-6)
