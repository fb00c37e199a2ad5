"""A user's own YAML, checked before it is composed: where it lies, what it chooses, what stands at its top."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from annealtrain.errors import InputError
from annealtrain.experiment import own_folder

GLOBAL = "# @package _global_\n"


@pytest.fixture
def said(tmp_path: Path) -> Callable:
    """A function that writes YAML by its places in a folder and returns the refusal of it with some words."""

    def call(files: dict[str, str], *words: str) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        with pytest.raises(InputError) as caught:
            own_folder.check(str(tmp_path), words)
        line = str(caught.value)
        assert "\n" not in line
        return line.replace(f"{tmp_path}", "DIR")

    return call


# Where it lies


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("optimiser/mine.yaml", "DIR/optimiser would not be read: rename it to optimizer"),
        ("models/mine.yaml", "DIR/models would not be read: rename it to model"),
        ("Model/mine.yaml", "DIR/Model would not be read: rename it to model"),
        ("sweep/launchers/mine.yaml", "DIR/sweep/launchers would not be read: rename it to launcher"),
        ("hydra/luncher/mine.yaml", "DIR/hydra/luncher would not be read: rename it to launcher"),
        ("config.yaml", "DIR/config.yaml would not be read, annealtrain has a main YAML of its own"),
        ("mine.yaml", "DIR has no YAML in a group's folder, mine.yaml lies in none: write DIR/GROUP/NAME.yaml"),
        ("other/mine.yaml", "DIR has no YAML in a group's folder: write"),
    ],
)
def test_yaml_where_nobody_would_read_it(said: Callable, name: str, line: str) -> None:
    assert line in said({name: "epochs: 3\n"})


def test_folders_of_something_else_are_none_of_ours(tmp_path: Path) -> None:
    for name in ("model/mine.yaml", "outputs/run/config.yaml", "docs/a.yaml", "environment.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("name: mine\nlayers: []\n")
    (tmp_path / "models").mkdir()  # of weights
    (tmp_path / "models" / "last.npz").touch()
    own_folder.check(str(tmp_path), ["model=mine"])


def test_an_option_in_another_folder_is_found(said: Callable) -> None:
    line = said({"nets/tiny.yaml": "name: x\n", "model/other.yaml": "name: x\n"}, "model=tiny")
    assert line == "DIR/nets/tiny.yaml is not read as model=tiny: move it to DIR/model/tiny.yaml"


def test_what_is_no_folder(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "a.yaml").write_text(f"{GLOBAL}epochs: 3\n")
    for command in ("train", "estimate"):
        said = refused(command, "--config-dir=mine/experiment/a.yaml")
        assert said.endswith(f"a.yaml is a file: write --config-dir={tmp_path}/mine experiment=a")
        assert "has no YAML in a group's folder, a.yaml" in refused(command, "--config-dir=mine/experiment")
        assert "there is no folder" in refused(command, "--config-dir=absent")
        assert re.search("--config-dir (needs a value|is empty)", refused(command, "--config-dir="))
    assert "annealtrain has a main YAML of its own" in refused("train", "--config-name=a")
    assert "annealtrain has a main YAML of its own" in refused("train", "-cp", "mine")


# What it chooses


@pytest.mark.parametrize(
    ("items", "at", "line"),
    [
        ("  - override /model: {a: lenet}", 3, "model is not given the name of one of its options"),
        ("  - override /solver: 3", 3, "solver is not given the name of one of its options"),
        ("  - {model: lenet, dataset: digits}", 3, "each item of the defaults is one group"),
        ("  - 3", 3, "each item of the defaults is one group"),
        ("  model: lenet", 3, "defaults must be a list"),
        ("  - model: lenet", 3, "model would be a group in experiment: write '- override /model: lenet'"),
        ("  - override model: lenet", 3, "model would be a group in experiment: write '- override /model: lenet'"),
        ("  - /model: lenet", 3, "a run has a model already: write '- override /model: lenet'"),
        ("  - override /modell: lenet", 3, "no group 'modell'; did you mean 'model'?"),
        ("  - override /targets: pinv", 3, "the group targets is called optimizer now"),
        ("  - overide /model: lenet", 3, "overide is not known in the defaults; did you mean 'override'?"),
        ("  - override /model lenet", 3, "lacks a colon: write 'override /model: lenet'"),
        (
            "  - override /model: linear\n  - override /solver: exakt",
            4,
            "solver=exakt is not known; did you mean 'exact'?",
        ),
        ("  - fig5x", 3, "experiment=fig5x is not known; did you mean 'fig5"),
        ("  - mine", 3, "the YAML includes itself"),
        ("  - ../model/lenet", 3, "../model/lenet is a path: the defaults have names"),
        ("  - _self_\n  - _self_", 3, "_self_ stands in the defaults twice"),
    ],
)
def test_what_a_defaults_list_cannot_hold(said: Callable, items: str, at: int, line: str) -> None:
    told = said({"experiment/mine.yaml": f"{GLOBAL}defaults:\n{items}\nepochs: 2\n"}, "experiment=mine")
    assert told.startswith(f"DIR/experiment/mine.yaml, line {at}: ")
    assert line in told


def test_yaml_that_includes_each_other_is_told_with_the_files(said: Callable) -> None:
    own = {f"experiment/{a}.yaml": f"{GLOBAL}defaults:\n  - {b}\nepochs: 2\n" for a, b in ("ab", "bc", "cb")}
    told = said(own, "experiment=a")
    assert told.startswith("DIR/experiment/b.yaml includes DIR/experiment/c.yaml, which includes it again")


def test_a_misspelt_option_is_told_whatever_the_command_line_chooses(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    own = tmp_path / "mine" / "experiment" / "over.yaml"
    own.write_text(f"{GLOBAL}defaults:\n  - override /model: lenett\n")
    (tmp_path / "mine" / "experiment" / "above.yaml").write_text(f"{GLOBAL}defaults:\n  - over\nepochs: 2\n")
    for name in ("over", "above"):  # itself, and by way of another
        said = refused("train", "--config-dir=mine", f"experiment={name}", "model=linear")
        assert said.startswith(f"{own}, line 3: model=lenett is not known; did you mean 'lenet'?")


def test_what_hydra_takes_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\nlayers: []\n")
    (tmp_path / "experiment" / "mine.yaml").write_text(
        f"{GLOBAL}defaults:\n  - fig5b\n  - override /model: mine\n  - override /solver: null\n  - _self_\n"
        "  - optional override /schedule: later\n  - override /hydra/sweeper: optuna\n"
        "method: null\nepochs: 2\n"
    )
    own_folder.check(str(tmp_path), ["experiment=mine,fig5a", "+model=mine", "seed=1"])


# What stands at its top


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "mine.yaml holds no settings: write key: value"),
        (GLOBAL, "mine.yaml holds no settings: write key: value"),
        (f"{GLOBAL}- 1\n", "holds no settings, but a list"),
        (f"{GLOBAL}model: lenet\n", "line 2: model: lenet chooses no model: '- override /model: lenet'"),
        (f"{GLOBAL}epochs: 2\nsolver: 3\n", "line 3: solver: 3 chooses no solver"),
        (f"{GLOBAL}method: kronecker\n", "line 2: method: kronecker chooses no method"),
        (f"{GLOBAL}annealing.num_sweeps: 3\n", "write annealing: and, indented below, num_sweeps: ..."),
        (f"{GLOBAL}epochs=3\n", "holds no settings, but 'epochs=3': write key: value"),
        (f"{GLOBAL}null: 1\n", "line 2: a key is no name: write key: value"),
        (f"{GLOBAL}epochs: 2\n? [a, b]\n: 1\n", "line 3: a key is no name: write key: value"),
        (f"{GLOBAL}epochs: 2\nannealing: {{beta: [{{null: 3}}]}}\n", "line 3: a key is no name: write key: value"),
        (f"{GLOBAL}solver:\n  own:\n    1: cat\n    ~: 3\n", "line 5: a key is no name: write key: value"),
        (f"{GLOBAL}trainable: !!set {{0, head}}\n", "line 2: !!set is no value: write a list"),
        (f"{GLOBAL}trainable: !!pairs [a: 1]\n", "line 2: !!pairs is no value: write a list"),
        (f"{GLOBAL}default: []\n", "did you mean 'defaults'?"),
        ("# @package _globl_\nepochs: 3\n", "there is no package _globl_: write '# @package _global_'"),
    ],
)
def test_what_a_yaml_cannot_say(said: Callable, content: str, line: str) -> None:
    assert line in said({"experiment/mine.yaml": content}, "experiment=mine")


@pytest.mark.parametrize(
    ("content", "at", "key"),
    [
        ("epochs: ???\n", 2, "epochs"),
        ("annealing:\n  num_sweeps: ???\nepochs: 1\n", 3, "annealing.num_sweeps"),
        ("solver:\n  num_reads: ???\n", 3, "solver.num_reads"),
    ],
)
def test_a_value_that_is_to_be_given(said: Callable, tmp_path: Path, content: str, at: int, key: str) -> None:
    """OmegaConf takes ??? for no value, so that the default stays."""
    files = {"experiment/mine.yaml": GLOBAL + content}
    line = said(files, "experiment=mine", "seed=1")
    assert line.startswith(f"DIR/experiment/mine.yaml, line {at}: {key} is to be given")
    for word in (f"{key}=1", f"++{key}=1", f"hydra.sweeper.params.{key}=1,2"):
        own_folder.check(str(tmp_path), ["experiment=mine", word])
    name, _, below = key.partition(".")
    value = f"{{{below}: 1}}" if below else "1"
    (tmp_path / "experiment" / "above.yaml").write_text(f"{GLOBAL}defaults:\n  - mine\n{name}: {value}\n")
    own_folder.check(str(tmp_path), ["experiment=above"])


def test_aliases_in_what_they_stand_for_end(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"{GLOBAL}annealing: &a {{b: *a, c: *a, d: *a}}\n")
    own_folder.check(str(tmp_path), ["experiment=mine"])  # Hydra refuses it


def test_settings_of_hydra_in_an_experiment_that_is_swept(said: Callable) -> None:
    files = {"experiment/mine.yaml": f"{GLOBAL}hydra:\n  run:\n    dir: x\n"}
    assert "line 2: hydra: is not read where a sweep varies experiment=" in said(files, "experiment=mine,fig5a")


def test_arguments_that_an_own_yaml_leaves_out_are_told_how_to_set(refused: Callable, tmp_path: Path) -> None:
    for group, name in (("solver", "Mine"), ("optimizer", "Own")):
        path = tmp_path / "mine" / group / "mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"_target_: my_{group}.{name}\nspeed: 3\n"
            if group == "solver"
            else f"{GLOBAL}{group}:\n  _target_: my_{group}.{name}\n"
        )
    told = refused("train", "--config-dir", "mine", "solver=mine", "solver.spede=4")
    assert told == (
        "the YAML of my_solver.Mine has no 'spede': an argument that it leaves out is set by +solver.spede=...; "
        "did you mean 'speed'?"
    )
    told = refused("train", "--config-dir", "mine", "optimizer=mine", "optimizer.mu=.9")
    assert (
        told == "the YAML of my_optimizer.Own has no 'mu': an argument that it leaves out is set by +optimizer.mu=..."
    )
