"""What a user writes is read or refused: unknown keys at every depth, settings that nothing reads, YAML of his own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL, composed

from annealtrain.commands.search import with_params
from annealtrain.commands.train_flags import parted
from annealtrain.errors import InputError
from annealtrain.experiment.builder import check_whole
from annealtrain.experiment.compose import compose_config
from annealtrain.experiment.hydra_settings import check_words
from annealtrain.experiment.reading import paths_read
from annealtrain.experiment.swept_words import check_sweep

GLOBAL = "# @package _global_\n"


@pytest.fixture
def own(tmp_path: Path) -> Callable:
    """A function that writes a YAML of the user's own and returns the folder of all."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / "mine")

    return write


def line(*words: str, config_dir: str | None = None) -> str:
    """Return the refusal of what these words compose, or build."""
    with pytest.raises(InputError) as caught:
        check_whole(compose_config(list(words), config_dir))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Keys that nothing knows


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("+epoch=1", "no setting 'epoch'; did you mean 'epochs'?"),
        ("+annealing.num_sweep=3", "no setting 'annealing.num_sweep'; did you mean 'num_sweeps' in annealing?"),
        ("+pinv.half_range.frist=3", "'first' in pinv.half_range?"),
        ("+num_sweeps=3", "did you mean 'annealing.num_sweeps'?"),
        ("+augment.shft=1", "'shift' in augment?"),
        ("+model.nme=x", "'name' in model?"),
        ("+model@mine=lenet", "no setting 'mine'"),
        ("+=3", "+=3: there is no name before the =: write key=value"),
        ("+@=abc", "there is no name before the ="),
        ("pinv=3", "pinv= is a group of settings, not a value"),
        ("+solver.epochs=3", "did you mean 'epochs'?"),
        ("+solver.num_starts=3", "no setting 'solver.num_starts': it is of solver=descent"),
        ("+schedule.valu=3", "did you mean 'value' of schedule=constant?"),
        ("+optimizer.annealing=3", "did you mean 'annealing'?"),
        ("num_reads=3", "did you mean 'solver.num_reads'?"),
        ("learning-rate=3", "did you mean 'optimizer.learning_rate' of optimizer=backprop?"),
        ("output_dir=x", "did you mean hydra.run.dir=FOLDER?"),
        ("epochs=${bitz}", "epochs: ${bitz} refers to no setting; did you mean 'bits'?"),
        ("dataset=MNIST", "did you mean 'mnist'?"),
        ("solver._target_=annealtrain.solvers.exact.Exakt", "did you mean annealtrain.solvers.exact.Exact?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(word: str, said: str) -> None:
    assert said in line(word)


@pytest.mark.parametrize(
    ("chosen", "word", "said"),
    [
        ("optimizer=pinv", "optimizer.block=16", "no setting 'optimizer.block': it is of optimizer=gauss_newton"),
        ("solver=sqa", "solver.move=slice", "no setting 'solver.move': it is of solver=sa"),
    ],
)
def test_what_the_default_option_of_a_group_has_is_named_by_it(chosen: str, word: str, said: str) -> None:
    assert said in line(chosen, word)


@pytest.mark.parametrize("group", ["experiment", "method", "optimizer", "sweep"])
def test_an_unknown_key_of_a_yaml_is_refused(own: Callable, group: str) -> None:
    said = line(f"{group}=mine", config_dir=own(f"{group}/mine", f"{GLOBAL}epoch: 1\n"))
    assert said.startswith("no setting 'epoch'; did you mean 'epochs'?")
    said = line(f"{group}=mine", config_dir=own(f"{group}/mine", f"{GLOBAL}annealing:\n  num_sweep: 3\n"))
    assert "'num_sweeps' in annealing?" in said


def test_an_unknown_argument_is_refused_at_every_depth(refused: Callable, own: Callable) -> None:
    folder = own("solver/mine", (Path(__file__).parents[1] / "configs/solver/sa.yaml").read_text() + "num_read: 2\n")
    assert "'solver.num_read'; did you mean 'num_reads' in solver?" in refused(
        "train", f"--config-dir={folder}", "solver=mine"
    )
    beta = "{_target_:annealtrain.schedule.LinearSchedule,first:1,lst:2}"
    assert "'solver.beta.lst'; did you mean 'last' in solver.beta?" in refused("train", f"annealing.beta={beta}")
    assert "'optimizer.rigde'; did you mean 'ridge' in optimizer?" in refused("train", "+optimizer.rigde=2")
    assert "'dataset.data_dri'; did you mean 'data_dir' in dataset?" in refused(
        "train", "dataset=mnist", "+dataset.data_dri=x"
    )


def test_a_key_of_ones_own_is_known_where_something_refers_to_it(own: Callable) -> None:
    assert compose_config(["+mine=3", "bits=${mine}"], None)["bits"] == 3
    folder = own("experiment/mine", GLOBAL + "mine:\n  which: a\n  a: {n: 5}\n  last: ${.a}\nbits: ${mine.last.n}\n")
    said = line("experiment=mine", config_dir=folder)
    assert said.startswith("no setting 'mine'")  # mine.which is not read
    assert compose_config(["experiment=mine", "epochs=${oc.select:mine.which,7}", "~mine.which"], folder)["epochs"] == 7


def test_references_in_references_and_in_circles_end() -> None:
    config = {"bits": "${a.${b}}", "a": {"x": "${c.0}", "y": 1}, "b": "x", "c": ["${b}", 2], "epochs": "${epochs}"}
    read = paths_read(config)
    assert {("bits",), ("a", "x"), ("b",), ("c", "0")} <= read
    assert not {("a", "y"), ("c", "1")} & read


def test_a_missing_header_is_named(own: Callable) -> None:
    for group in ("experiment", "method", "sweep"):
        said = line(f"{group}=mine", config_dir=own(f"{group}/mine", "epochs: 1\n"))
        assert f"the YAML of {group}= must begin with the line '# @package _global_'" in said


# Settings of a command line that nothing in its run reads


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer=kronecker", "pinv.ridge=1"], "choose optimizer=pinv or optimizer=pinv_weighted"),
        (["solver=descent", "annealing.move=slice"], "choose solver=reference or solver=sa"),
        (["schedule=constant", "half_range.first=1"], "schedule=geometric or schedule=linear"),
        (["model=linear", "pool_crop=author"], "model=lenet"),
        (["optimizer.ridge=3", "gauss_newton.ridge=2"], "leave it out, as another setting stands in its place"),
        (["solver.num_sweeps=3", "annealing.num_sweeps=2"], "annealing.num_sweeps=2: nothing in this run reads"),
    ],
)
def test_a_setting_that_nothing_reads_is_refused(words: list[str], said: str) -> None:
    assert said in line(*words)
    assert composed(words[0])


def test_an_experiment_keeps_settings_of_an_optimizer_that_is_exchanged() -> None:
    assert composed("experiment=fig5b", "optimizer=kronecker")["pinv"]["ridge"] == 0


def test_the_words_of_a_sweep_are_read_by_one_of_its_jobs() -> None:
    check_sweep(["solver=exact,sa", "annealing.num_sweeps=3", "seed=range(2)"], None)
    with pytest.raises(InputError, match=r"nothing in this run reads annealing\.num_sweeps"):
        check_sweep(["solver=exact,descent", "annealing.num_sweeps=3", "seed=0,1"], None)
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        check_sweep(["+epoch=1,2"], None)


def test_a_sweep_is_refused_before_its_first_job(refused: Callable) -> None:
    assert "reads pinv.ridge" in refused("train", "-m", "seed=0,1", "pinv.ridge=0.1")
    assert "nothing to sweep over" in refused("train", "-m")
    assert "nothing to sweep over" in refused("train", "--multirun", "hydra.sweep.dir=x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("seed=1,1", "seed=1,1 holds 1 twice"),
        ("model=lenet,linear,lenet", "holds lenet twice"),
        ("seed=choice(1,1)", "holds 1 twice"),
        ("seed=range(3,0)", "holds no value"),
        ("seed=range(0,3,0)", "never ends"),
        ("seed=range(0,1e9)", "holds more than 100000 values, more than a sweep may have jobs"),
        ("alpha=range(0.1,1,1e-300)", "holds more than 100000 values"),
        ("alpha=range(0,inf)", "holds more than 100000 values"),
        ("seed=range(0,1000) bits=1,2 alpha=range(0,1,1e-2)", "a sweep of 200000 jobs: at most 100000"),
        ("seed=range(2),1", "a range among other values"),
        ("seed=glob(*)", "glob is for the options of a group"),
        ("model=glob(nope*)", "matches none of conv, "),
        ("seed=0-2", "seed='0-2' is not a whole number"),
        ("model=lenet,linear bits=99", "bits=99 is not a whole number"),
        ("seed=interval(0,1)", "an interval is for sweep=search"),
        ("seed=0,1 hydra.run.dir=x", "hydra.run.dir=x is of a single run, and this is a sweep"),
        ("seed=0,1 +hydra.launcher.n_jobs=2", "no setting 'hydra.launcher.n_jobs'"),
    ],
)
def test_what_a_sweep_cannot_mean(refused: Callable, words: str, said: str) -> None:
    assert said in refused("train", "-m", *words.split())


@pytest.mark.parametrize("group", ["solver", "optimizer", "model", "experiment"])
def test_a_group_is_given_the_name_of_an_option(group: str) -> None:
    for value in ("null", "3", "true", "a,null"):
        assert f"{group}={value.removeprefix('a,')} names no option: choose one, such as {group}=" in line(
            f"{group}={value}"
        )


# Hydra's own settings


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.runn=x", "'hydra.runn'; did you mean 'run'"),
        ("+hydra.runn=x", "'hydra.runn'; did you mean 'run'"),
        ("+hydra.job.chdirr=true", "'hydra.job.chdirr'; did you mean 'chdir'?"),
        ("hydra.run.dir=null", "hydra.run.dir=null is no value"),
        ("hydra.sweep.dir=x", "is of a sweep, and this is a single run: leave it out, or add --multirun"),
        ("sweep/launcher=joblib", "is of a sweep, and this is a single run"),
        (
            "hydra.sweeper.params.epoch=1,2",
            "nothing reads it without a search: add sweep=search, or write --multirun epoch=",
        ),
        ("~nonexist", "there is no nonexist that could be left out"),
        ("+epochs=3", "epochs is there already: write epochs=... without +"),
        ("--cfg=foo", "--cfg=foo is not known: choose one of job, hydra, all"),
        ("--experiment=a", "settings are written without dashes, experiment=a"),
    ],
)
def test_words_of_hydras_that_nothing_reads(refused: Callable, word: str, said: str) -> None:
    assert said in refused("train", *SMALL, word)


def test_what_a_sweeps_yaml_searches_over(refused: Callable, own: Callable) -> None:
    params = "hydra:\n  sweeper:\n    params:\n      seed: "
    mode = params.replace("hydra:\n", "hydra:\n  mode: MULTIRUN\n")
    for name, content, said in (
        ("twice", mode + "1,1", "seed=1,1 holds 1 twice"),
        ("list", mode + "[0, 1]", "hydra.sweeper.params.seed is not text: write the values as seed: 0,1,2"),
        ("single", params + "0,1", "hydra.sweeper.params.seed is of a sweep, and this is a single run"),
        (
            "typo",
            mode.replace("params", "parms") + "0,1",
            "sweep/typo.yaml: no setting 'parms' of Hydra's; did you mean",
        ),
    ):
        folder = own(f"sweep/{name}", f"{GLOBAL}{content}\n")
        assert said in refused("train", *SMALL, f"--config-dir={folder}", f"sweep={name}")


def test_what_is_searched_over_needs_no_quotes() -> None:
    assert with_params(["sweep=search", "hydra.sweeper.params.half_range.first=interval(0.1,1)"])[1] == (
        "++hydra.sweeper.params={half_range.first: 'interval(0.1,1)'}"
    )


# YAML that cannot be read


@pytest.mark.parametrize(
    ("content", "at", "said"),
    [
        (GLOBAL + "a:\n\t- b\n", 3, "'\\t'"),
        (GLOBAL + "a: [1,\n", 3, "expected"),
        (GLOBAL + "epochs: 1\nepochs: 2\n", 3, "duplicate key epochs"),
        (GLOBAL + "epochs: *x\n", 2, "undefined alias"),
        ((GLOBAL + "epochs: 2 # \xe4\n").encode("latin-1"), 2, "is not UTF-8 (byte 0xe4)"),
        (GLOBAL + "epochs: \x01\n", 2, "U+0001"),
    ],
)
def test_yaml_that_does_not_parse(own: Callable, refused: Callable, content: str, at: int, said: str) -> None:
    folder = own("experiment/mine", content)
    for words in (["estimate"], ["train"], ["train", "-m", "seed=0,1"]):
        told = refused(*words, f"--config-dir={folder}", "experiment=mine")
        assert told.startswith(f"{folder}/experiment/mine.yaml, line {at}: ")
        assert said in told


def test_other_faults_of_yaml(own: Callable) -> None:
    bom = own("experiment/bom", b"\xef\xbb\xbf" + GLOBAL.encode() + b"epochs: 2\n")
    assert "bom.yaml begins with a byte order mark" in line("experiment=bom", config_dir=bom)
    assert "did you mean 'model'?" in line(
        "experiment=x", config_dir=own("experiment/x", f"{GLOBAL}defaults:\n  - override /modell: lenet\n")
    )
    assert "list.yaml holds no settings" in line("experiment=list", config_dir=own("experiment/list", GLOBAL + "- 1\n"))
    assert "word.yaml holds no settings, but 'hello'" in line(
        "experiment=word", config_dir=own("experiment/word", GLOBAL + "hello\n")
    )
    deep = own("experiment/deep", GLOBAL + "a: " + "[" * 3000 + "]" * 3000)
    assert "deep.yaml: is nested too deeply" in line("experiment=deep", config_dir=deep)
    assert "nested too deeply" in line("bits=" + "[" * 1000 + "]" * 1000)


def test_a_yaml_that_a_built_in_hides_is_told(own: Callable, refused: Callable) -> None:
    shipped = Path(__file__).parents[1] / "configs/model/lenet.yaml"
    folder = own("model/lenet", shipped.read_text())
    compose_config([], folder)  # a copy says the same
    own("model/lenet", shipped.read_text().replace("84", "85"))
    assert "model/lenet.yaml would not be read, a built-in model/lenet hides it" in line(config_dir=folder)
    assert "hides it: rename it" in refused("train", f"--config-dir={folder}")


# The words of a line


@pytest.mark.parametrize(
    "group", ["model", "dataset", "optimizer", "solver", "schedule", "method", "experiment", "sweep"]
)
def test_a_list_of_options_is_refused(group: str) -> None:
    for value in ("[1,2]", "[]", "[a,b]"):
        assert f"{group}={value} is a list: name one option" in line(f"{group}={value}")
    said = line("hydra/job_logging=[1,2]")
    assert "hydra/job_logging=[1,2] is a list: name one option, such as hydra/job_logging=default" in said
    assert "hydra/launcher=3 names no option: choose one, such as hydra/launcher=basic" in line("hydra/launcher=3")


def test_flags_stand_anywhere(own: Callable, cli: Callable) -> None:
    folder = own("model/mine", "name: mine\nlayers: []\n")
    outcome = cli("train", "epochs=3", "--config-dir", folder, "model=mine", "--cfg", "job", "bits=2")
    assert outcome.code == 0
    assert "name: mine" in outcome.out
    assert "epochs: 3" in outcome.out
    assert parted(["a=1", "-m", "b=2", "-cd", "x"]) == ({"--multirun": None, "--config-dir": "x"}, ["a=1", "b=2"])
    assert parted(["--info", "defaults", "a=1"]) == ({"--info": "defaults"}, ["a=1"])
    assert parted(["--info", "a=1"]) == ({"--info": None}, ["a=1"])


def test_flags_that_are_none_name_the_setting(refused: Callable) -> None:
    assert "without dashes, optimizer=pinv" in refused("train", "--optimizer", "pinv")
    assert "without dashes, data_dir=x" in refused("train", "--data-dir=x")
    assert "without dashes, model=..." in refused("estimate", "--model", "lenet")
    assert "did you mean '--multirun'" in refused("train", "--mutlirun")
    assert "--config-dir is given twice" in refused("train", "--config-dir=a", "bits=2", "--config-dir=b")
    assert "needs a value" in refused("train", "--config-dir")


def test_a_folder_that_reads_like_a_setting_is_a_run(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "s" / "seed=0").mkdir(parents=True)
    (tmp_path / "seed=0").mkdir()
    for name in ("s/seed=0", "seed=0"):
        assert "is not a run folder" in refused("export", name, "--format", "coo", "--output", "x")
    assert "stands alone" in refused("export", "seed=0", "bits=2", "--format", "coo", "--output", "x")


# Numbers beyond all bounds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["annealing.num_sweeps=99999999999999999999"], "at most 2147483647, as it is counted in 32 bits"),
        (["solver.num_reads=100000000"], "at most 1000000, as all reads are held at once"),
        (["solver=descent", "solver.num_starts=100000000"], "at most 1000000"),
        (["optimizer.ridge=1e300"], "at most 1e+18 in size"),
        (["half_range.first=[1e30]"], "at most 1e+18"),
        (["bits=" + "9" * 400], "is not a whole number from 1 to 16"),
        (["data_dir=-1"], "data_dir=-1 is not a folder, or null"),
        (["data_dir=''"], "data_dir='' is not a folder, or null"),
        (["hydra.run.dir="], "hydra.run.dir is empty: give the folder that is to be made"),
        (["--multirun", "seed=0,1", "hydra.sweep.dir=''"], "hydra.sweep.dir is empty: give the folder"),
        (["model.name=inf"], "model.name=inf is not text"),
        (["optimizer=pinv", "optimizer.inverse_activation=abc"], "one of true, false"),
    ],
)
def test_values_that_are_none(refused: Callable, words: list[str], said: str) -> None:
    assert said in refused("train", *words)


def test_numbers_of_commands_have_upper_limits(refused: Callable) -> None:
    assert "at most 86400" in refused("bench", "solvers", "--timeout", "1e300")
    assert "at most 10000" in refused("bench", "solvers", "--repeats", "9" * 30)
    assert "at most 10000" in refused("figure", "fig5b", "--seeds", "9" * 30)


@pytest.mark.parametrize("word", ["+optimizer.bits=4", "+optimizer.half_range=0.1", "+optimizer.solver=[]"])
def test_what_a_run_gives_its_optimizer_is_not_set_there(refused: Callable, word: str) -> None:
    name = word.partition("=")[0].lstrip("+")
    said = refused("train", "model=linear_small", "samples=30", word, "hydra.run.dir=run")
    assert said.startswith(f"{name} is the run's own: set {name.partition('.')[2]}")


def test_a_yaml_of_another_ending_is_told(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "tiny.yml").write_text("name: tiny\n")
    said = refused("train", "--config-dir=mine", *SMALL)
    assert said.endswith("mine/model/tiny.yml would not be read: name it tiny.yaml")


def test_a_yaml_of_a_great_many_aliases_is_refused_at_once(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    lists = [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9) if k else '1, 2'}]" for k in range(9)]
    (tmp_path / "mine" / "experiment" / "bomb.yaml").write_text("\n".join(["# @package _global_", *lists, ""]))
    for command in ("train", "estimate"):
        said = refused(command, "--config-dir=mine", "experiment=bomb")
        assert said.endswith("bomb.yaml: its aliases stand for more than 100000 values: write fewer")


# Commands that build a part of a run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("solver.num_reads=abc", "solver.num_reads='abc' is not a whole number"),
        ("optimizer.ridge=-1", "optimizer.ridge=-1 is not a number"),
        ("schedule.last=abc", "schedule.last='abc' is not a number"),
        ("+dataset.foo=1", "no setting 'dataset.foo'"),
        ("dataset=mnist dataset.data_dir=[1]", "dataset.data_dir=[1] is not a folder"),
        ("solver=dwave solver.mock=pegasos", "is not one of pegasus, zephyr"),
        ("dataset._target_=foo.bar", "dataset._target_=foo.bar: there is no module foo in /"),
        ("solver._target_=foo.bar", "solver._target_=foo.bar: there is no module foo in /"),
    ],
)
def test_every_command_that_composes_a_run_checks_all_of_it(refused: Callable, words: str, said: str) -> None:
    assert said in refused("estimate", *words.split())
    assert said in refused("export", *words.split(), "--format=coo", "--output=x")


def test_a_command_that_makes_no_run_refuses_the_words_of_one(refused: Callable) -> None:
    """Each of them would be taken without a word."""
    of_runs = ("hydra.run.dir=x", "+hydra.sweep.dir=x", "++hydra.job.name=x", "hydra/launcher=joblib", "hydra.mode=RUN")
    small = ("model=linear_small", "bits=2", "samples=30", "validation=20")
    commands = {
        "estimate": ("--probe=0",),
        "export": ("--format=coo", "--output=x"),
        "spectrum": ("--output=x",),
        "bench": ("solvers", "--output=x"),
    }
    said = " is for annealtrain train: no run is made here: leave it out"
    for at, word in enumerate((*of_runs, "sweep=search", "sweep/launcher=joblib", "resume=true", "progress=false")):
        command = list(commands)[at % len(commands)]
        assert refused(command, *commands[command], *small, word) == word + said
    for command, words in commands.items():
        assert refused(command, *words, *small, "hydra.run.dir=x") == "hydra.run.dir=x" + said


def test_a_folder_of_yaml_may_be_named_in_hydra_s_words(cli: Callable, refused: Callable, own: Callable) -> None:
    layers = "[{_target_: annealtrain.nn.layers.Flatten}, {_target_: annealtrain.nn.layers.Linear, out_features: 10}]"
    folder = own("model/tiny", f"name: tiny\nlayers: {layers}\n")
    words = ("estimate", "model=tiny", f"hydra.searchpath=[file://{folder}]", "--probe=0")
    assert cli(*words).code == 0
    assert "--config-dir is given too" in refused(*words, f"--config-dir={folder}")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.callbacks.watch=null", "hydra.callbacks.watch is annealtrain's own: leave it out"),
        ("~hydra.callbacks", "hydra.callbacks.watch is annealtrain's own"),
        ("hydra.runtime.output_dir=/tmp", "hydra.runtime is Hydra's to set"),
        ("hydra.overrides.task=[]", "hydra.overrides is Hydra's to set"),
        ("hydra.job.num=3", "hydra.job.num is Hydra's to set"),
        ("hydra.searchpath=['file:///no/where']", "there is no folder /no/where"),
    ],
)
def test_words_that_hydra_would_not_heed(word: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"{word}: {said}")):
        check_words([word])
    check_words(["+hydra.callbacks.mine._target_=my.Callback", "hydra.job.num_x=3", "hydra.searchpath=[pkg://mine]"])


def test_hydra_writes_nothing_outside_of_a_run(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    for word in ("hydra.output_subdir=..", "hydra.output_subdir=last.npz", "hydra.job.name=../x", "hydra.job.name=''"):
        said = refused("train", *SMALL, "hydra.run.dir=run", word)
        assert said.endswith("is no name for what lies in a run folder: choose another")
    sweep = ("train", *SMALL, "--multirun", "seed=0,1", "hydra.sweep.dir=s")
    assert "/mine leads out of the sweep's folder" in refused(*sweep, "hydra.sweep.subdir='a/../../mine'")
    for word in ("hydra.launcher=null", "hydra.sweeper=null"):  # which ended the watch over foreign files
        assert f"{word} is none: choose one" in refused(*sweep, word)
    assert "hydra.sweeper=null is none: choose one" in refused("train", *SMALL, "hydra.sweeper=null")
    assert refused("train", "annealing={null:3}") == "annealing={null:3}: a key in it is no name"


def test_an_option_is_named_as_it_was_written(refused: Callable) -> None:
    assert refused("train", "sweep/launcher=nope").startswith("sweep/launcher=nope is not known: choose one of basic, ")
    assert refused("train", "hydra/launcher=nope").startswith("hydra/launcher=nope is not known: choose one of basic, ")
    assert refused("train", "solver.inner=dwave") == "solver.inner: only solver=decompose has one: write that too"


def test_what_a_figure_sets_itself(refused: Callable) -> None:
    for word, said in (
        ("seeds=3", "write --seeds N"),
        ("hydra.sweep.dir=x", "write --output DIR"),
        ("sweep.dir=x", "those of Hydra's begin with hydra.sweep."),
        ("epochs=0", "epochs=0 is not a whole number"),
        ("method=pinv,pinv", "holds pinv twice"),
    ):
        assert said in refused("figure", "fig1a", word)


def test_names_that_are_no_folder_and_no_setting(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "run" / "r1").mkdir(parents=True)
    (tmp_path / "run" / "r1" / "meta.json").write_text("{}")
    (tmp_path / "file").touch()
    for command in ("eval", "resume", "plot"):
        assert "there is no folder rum; did you mean 'run'?" in refused(command, "rum")
        assert "file is a file: give the folder" in refused(command, "file")
        assert "no meta.json, but runs such as run/r1: give one of them" in refused(command, "run")
    for command in ("collect", "report"):
        assert "there is no folder rum; did you mean 'run'?" in refused(command, "rum")
    said = refused("export", "nonexist=1", "--format=coo", "--output=x")
    assert said.startswith("no setting 'nonexist'")
    assert said.endswith("nor is there a run folder nonexist=1")
    assert "did you mean 'onnx'?" in refused("export", "run/r1", "--format=ONXX")
