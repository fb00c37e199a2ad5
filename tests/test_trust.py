"""Run folders of others: whatever they name, nothing is built but this package's own and what the user trusts."""

import importlib.util
import json
import os
import pickle
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import composed, finished, started
from hydra.utils import get_object
from run_folders import reseal, write_run

import annealtrain
from annealtrain.commands.train import train
from annealtrain.errors import InputError
from annealtrain.experiment import trust
from annealtrain.experiment.config import saved_config
from annealtrain.reports import run_plots

WORDS = (
    "model=linear_small",
    "samples=30",
    "validation=20",
    "epochs=1",
    "bits=2",
    "annealing.num_sweeps=1",
    "threads=1",
)
MARK = "executed"  # the file that each hostile form would leave
EVIL = f"open({MARK!r}, 'w').close()\n\ndef make(*arguments, **settings):\n    pass\n"
TOUCH = ["touch", MARK]


class Pickled:
    def __reduce__(self) -> Any:
        return open, (MARK, "w")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust") / "run"
    folder.mkdir()
    train(composed(*WORDS), folder, "annealtrain train", tell=len)
    return folder


@pytest.fixture
def shared(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, as a colleague shares it, with what its author would have run beside it."""
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    (folder / "evil.py").write_text(EVIL)
    (folder / "evil.pkl").write_bytes(pickle.dumps(Pickled()))
    monkeypatch.setenv("EVIL", "os.system")
    return folder


def at(place: str, **node: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a configuration: a node in the place of what stands there."""

    def change(config: dict[str, Any]) -> None:
        *above, last = place.split(".")
        for name in above:
            config = config.setdefault(name, {})
        config[last] = node

    return change


def target(name: str, *arguments: Any, **settings: Any) -> dict[str, Any]:
    return {"_target_": name, **({"_args_": list(arguments)} if arguments else {}), **settings}


def solver(name: str, *arguments: Any, **settings: Any) -> Callable[[dict[str, Any]], None]:
    return at("solver", **target(name, *arguments, **settings))


def layers(config: dict[str, Any]) -> None:
    config["model"]["layers"].insert(0, target("evil.make"))


def text(of: str) -> Callable[[dict[str, Any]], None]:
    """A solver that is an interpolation as a whole."""
    return lambda config: config.update(solver=of, extra={"_target_name": "os.system", "node": {"command": "true"}})


DIMOD = "annealtrain.solvers.dimod_samplers.DimodSolver"
SYSTEM = target("os.system", f"touch {MARK}")
FORMS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a shell": solver("os.system", command=f"touch {MARK}"),
    "a shell by its other name": solver("posix.system", f"touch {MARK}"),
    "a process": solver("subprocess.run", TOUCH),
    "another process": solver("subprocess.Popen", args=TOUCH),
    "a method": solver("pathlib.Path.write_text", target("pathlib.Path", MARK), "x"),
    "a link": solver("os.symlink", "evil.py", MARK),
    "a folder": solver("os.mkdir", MARK),
    "a copy": solver("shutil.copyfile", "evil.py", MARK),
    "code": solver("builtins.exec", f"open({MARK!r}, 'w')"),
    "an expression": solver("builtins.eval", f"open({MARK!r}, 'w')"),
    "a file": solver("builtins.open", MARK, "w"),
    "a pickle of PyTorch": solver("torch.load", "evil.pkl", weights_only=False),
    "a pickle of pandas": solver("pandas.read_pickle", "evil.pkl"),
    "a pickle of NumPy": solver("numpy.load", "evil.pkl", allow_pickle=True),
    "a pickle of joblib": solver("joblib.load", "evil.pkl"),
    "a coroutine": solver("asyncio.run", target("asyncio.create_subprocess_shell", f"touch {MARK}")),
    "a script": solver("runpy.run_path", "evil.py"),
    "an import": solver("importlib.import_module", "evil"),
    "a module in the folder": solver("evil.make"),
    "a dataset": at("dataset", **target("evil.make")),
    "an optimizer": at("optimizer", **target("evil.make")),
    "a schedule": at("schedule", **target("evil.make")),
    "a layer": layers,
    "a sampler": at("solver", **target(DIMOD, sampler=SYSTEM)),
    "in a list": at("solver", **target(DIMOD, sampler=target("dwave.samplers.TabuSampler"), options={"a": [[SYSTEM]]})),
    "an argument": at("optimizer.ridge", **SYSTEM),
    "a scheduled value": at("solver.num_sweeps", **target("annealtrain.schedule.StepSchedule", SYSTEM, 1, 1)),
    "where nothing is read": at("extra.deep", **SYSTEM),
    "partial": solver("os.system", f"touch {MARK}", _partial_=True),
    "partial by hand": solver("functools.partial", target("builtins.open", MARK, "w")),
    "not recursive": at("solver", **target(DIMOD, _recursive_=False, sampler=SYSTEM)),
    "converted": solver("builtins.open", MARK, "w", _convert_="object"),
    "Hydra in Hydra": solver("hydra.utils.instantiate", target("evil.make"), _recursive_=False),
    "from the environment": solver("${oc.env:EVIL}", f"touch {MARK}"),
    "half from the environment": solver("os.${oc.env:NO_SUCH,system}", f"touch {MARK}"),
    "by another key": lambda config: config.update(extra="os.system", solver=target("${extra}", f"touch {MARK}")),
    "made of text": text("${oc.create:{_target_:evil.make}}"),
    "decoded": text("${oc.decode:'{_target_: evil.make}'}"),
    "escaped": text("\\${oc.create:{_target_:evil.make}}"),
    "Hydra's own resolver": solver("${hydra:runtime.cwd}"),
    "a missing value": solver("???"),
    "through this package": solver("annealtrain.runs.provenance.subprocess.run", TOUCH),
    "through its command line": solver("annealtrain.cli.os.system", f"touch {MARK}"),
    "through its JSON": solver("annealtrain.runs.recorder.json.loads", "{}"),
    "a function of it": solver("annealtrain.runtime.files.write_atomically", target("pathlib.Path", MARK), "x", "y"),
    "a download of it": solver("annealtrain.data.downloads.download", "mnist", "."),
    "its own command": solver("annealtrain.cli.main", ["collect", ".", "--output", MARK]),
    "a callback of it": solver("annealtrain.commands.sweep.Watch"),
    "its testing": solver("annealtrain.testing.solvers.np.load", "evil.pkl", allow_pickle=True),
    "a method of a layer": solver("annealtrain.nn.layers.Linear.__init__.__globals__.clear"),
    "a space before": solver(" evil.make"),
    "two lines": solver("evil.make\n\x1b[2J", 1),
    "like this package": solver("\u0430nnealtrain.solvers.exact.Exact"),
    "no name": at("solver", _target_=["os.system"]),
    "nothing": solver(""),
}
# What YAML itself would make of a text that stands in the place of the solver.
YAML_FORMS = {
    "a tag": "!!python/object/apply:os.system ['touch executed']",
    "a new object": "!!python/object/new:os.system ['touch executed']",
    "a name": "{_target_: !!python/name:os.system ''}",
    "an alias": "{_target_: &name evil.make, again: *name}",
    "a key twice": "{_target_: annealtrain.solvers.exact.Exact, _target_: evil.make}",
    "a merge": "{<<: {_target_: evil.make}}",
}
ALL = [*FORMS, *YAML_FORMS]


def make_hostile(folder: Path, name: str) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    if name in FORMS:
        FORMS[name](config)
        path.write_text(yaml.safe_dump(config))
    else:
        del config["solver"]
        path.write_text(f"{yaml.safe_dump(config)}solver: {YAML_FORMS[name]}\n")
    reseal(folder)


def assert_not_executed(folder: Path) -> None:
    assert not any(path.name == MARK for path in folder.rglob("*"))
    assert "evil" not in sys.modules


@pytest.fixture
def _quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    monkeypatch.setattr(run_plots, "drawn", lambda run: Figure(figsize=(1, 1)))


@pytest.mark.parametrize("name", ALL)
def test_nothing_that_a_folder_names_is_executed(
    cli: Callable, shared: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make_hostile(shared, name)
    monkeypatch.chdir(shared)
    path = list(sys.path)
    for arguments in (("eval", "."), ("export", ".", "--format=torch", "--output", "net"), ("resume", ".")):
        if arguments[0] == "resume":
            (shared / "result.json").unlink()
        outcome = cli(*arguments)
        assert_not_executed(shared)
        if arguments[0] == "export" and "solver." in name_of_place(shared, name):
            assert outcome.code == 0  # the solver is left out
            continue
        assert outcome.code == 2, (arguments, outcome)
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.startswith(f"annealtrain {arguments[0]}: "), outcome.err
        assert outcome.err[:-1].isprintable()
        assert len(outcome.err) < 500
    assert sys.path == path


def name_of_place(folder: Path, name: str) -> str:
    """Where a form stands, "" for one that is refused wherever it stands."""
    if name in YAML_FORMS and name != "a merge":
        return ""
    with pytest.raises(InputError) as caught:
        saved_config(folder)
    said = str(caught.value)
    return "solver." if said.startswith("solver") else ""


@pytest.mark.usefixtures("_quick_plots")
def test_what_only_reads_executes_nothing(
    cli: Callable, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ALL:
        shutil.copytree(shared, tmp_path / "all" / name)
        make_hostile(tmp_path / "all" / name, name)
    monkeypatch.chdir(tmp_path / "all")
    refused = {"a tag", "a new object", "a name", "an alias", "a key twice", "no name"}
    outcome = cli("collect", ".")
    assert outcome.code == 0
    assert outcome.err.count("\n") == len(refused)
    assert {line.split("/")[0].removeprefix("left out: ") for line in outcome.err.splitlines()} == refused
    assert cli("report", ".").code == 0
    for name in ALL:
        outcome = cli("plot", name)
        assert outcome.code == (2 if name in refused else 0), outcome
        assert outcome.err.count("\n") == (name in refused)
    assert_not_executed(tmp_path)


def test_these_forms_do_run_where_nothing_refuses_them(
    cli: Callable, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared)
    monkeypatch.setattr(trust, "check", lambda *_: None)
    for name in ("a link", "a folder", "a module in the folder", "a layer", "a dataset", "an optimizer", "a merge"):
        make_hostile(shared, name)
        cli("eval", ".")
        assert os.path.lexists(MARK), name
        os.rename(MARK, f"{name}, {MARK}")
        sys.modules.pop("evil", None)


def test_what_is_allowed_is_what_the_shipped_files_name() -> None:
    def named(node: Any) -> Iterator[str]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        for child in children:
            yield from named(child)
        if isinstance(node, dict) and "_target_" in node:
            yield node["_target_"]

    shipped = set()
    for folder in files("annealtrain.configs").iterdir():
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name.endswith(".yaml"):
                    shipped |= set(named(yaml.safe_load(path.read_text())))
    shipped.remove("???")  # of dataset=own: a function of the user's own
    assert shipped <= trust.ALLOWED
    others = {name.rpartition(".")[2] for name in trust.ALLOWED - shipped}
    assert others == {
        *("Layerwise", "DifferenceTargets", "PseudoInverseTargets", "WeightedPseudoInverseTargets"),
        *("Conv2d", "SpectralPool2d", "MaxPool2d"),  # by the modules that define them
        *("AvgPool2d", "Pad"),  # of a reader's own models
        *("PathIntegralAnnealingSampler", "SteepestDescentSampler", "TabuSampler"),
    }


@pytest.mark.parametrize("name", sorted(trust.ALLOWED))
def test_what_is_allowed_is_there(name: str) -> None:
    assert callable(get_object(name))


# Modules of the user's own

OWN = '''
import os
from annealtrain.nn.layers import Flatten
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.exact import Exact


class Mine(SimulatedAnnealing):
    """A solver of the user's own."""


made = Mine(1)
'''


@pytest.fixture
def own(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run with a solver of the user's own, in a folder beside its module."""
    (tmp_path / "mine.py").write_text(OWN)
    outcome = cli("train", *WORDS, "optimizer=pinv", "solver._target_=mine.Mine", "hydra.run.dir=run")
    assert outcome.code == 0, outcome
    assert sys.path[-1] == str(tmp_path)
    del sys.modules["mine"], sys.path[-1]
    return tmp_path / "run"


def test_own_modules_are_built_where_they_are_named(
    own: Path, cli: Callable, refused: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    line = refused("eval", "run")
    assert line == (
        "solver._target_=mine.Mine is not one of annealtrain's solvers, optimizers, models, layers, schedules or "
        "datasets, and building it runs its code: if you know it, add --trust mine"
    )
    assert "mine" not in sys.modules
    flag = shlex.split(line.partition("add ")[2])
    assert cli("eval", "run", *flag).code == 0
    assert caplog.messages == []
    assert cli("eval", "--trust=other", *flag, "run").code == 0
    assert caplog.messages == ["--trust other lets nothing in: the run names nothing of it"]
    assert cli("export", "run", "--format=coo", "--output=unit.coo").code == 0  # nothing is solved
    (own / "result.json").unlink()
    assert refused("eval", "run", *flag) == "the run in run is not finished: annealtrain resume run --trust mine"
    assert "add --trust mine" in refused("resume", "run")
    assert cli("resume", "run", *flag).code == 0
    assert (own / "result.json").exists()


def test_own_modules_from_python(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = annealtrain.load(own)
    assert run.config["solver"]["_target_"] == "mine.Mine"  # only read
    with pytest.raises(InputError, match="add --trust mine"):
        run.evaluate()
    recorded = run.result["last"]["test_accuracy"]
    for words in (["mine"], "mine", ["mine.Mine"]):
        assert annealtrain.load(own, trust=words).evaluate()["test_accuracy"] == recorded
    settings = ("optimizer=pinv", "solver._target_=mine.Mine")
    mine = annealtrain.train(*WORDS, *settings, folder=own)  # named in the call
    assert mine.evaluate()["test_accuracy"] == recorded


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.os.system", "is defined elsewhere, in posix.system"),
        ("mine.os.path.join", "is defined elsewhere, in posixpath.join"),
        ("mine.__builtins__.clear", "is defined elsewhere, in builtins."),
        ("mine.Mine.__subclasses__", "is defined elsewhere, in builtins."),
        ("mine.None", "solver._target_=mine.None: mine has no None"),
        ("mine.Other", "solver._target_=mine.Other: mine has no Other"),
        ("mines.Mine", "add --trust mines"),
        ("Mine.mine", "add --trust Mine"),
        ("min.Mine", "add --trust min"),
    ],
)
def test_trust_in_a_module_is_no_trust_in_what_it_imports(
    shared: Path, refused: Callable, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    config = yaml.safe_load((shared / "config.yaml").read_text())
    config["solver"] = target(name, f"touch {MARK}")
    (shared / "config.yaml").write_text(yaml.safe_dump(config))
    reseal(shared)
    sys.dont_write_bytecode, written = True, sys.dont_write_bytecode
    try:
        assert said in refused("eval", "run", "--trust", "mine")
    finally:
        sys.dont_write_bytecode = written
    assert_not_executed(tmp_path)


@pytest.mark.parametrize("value", ["-1e300", "[nan]", "{a: 1}", "true", "null"])
@pytest.mark.parametrize("group", ["optimizer", "solver", "dataset"])
def test_what_is_no_name_is_refused(refused: Callable, group: str, value: str) -> None:
    for command in ("train", "estimate"):
        said = refused(command, *WORDS, f"{group}._target_={value}")
        assert said.startswith((f"{group}._target_=", f"{group} ", f"{group}=", f"{group}:")), said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.Mine", "=nowhere.Mine: there is no module nowhere in /"),
        ("torn.Mine", "=torn.Mine cannot be imported: "),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_way(
    own: Path, refused: Callable, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "torn.py").write_text("1 / 0\n")
    (told,) = {refused(command, *WORDS, f"solver._target_={name}") for command in ("train", "estimate")}
    assert told.startswith(f"solver._target_{said}")
    assert refused("train", *WORDS, f"optimizer._target_={name}") == told.replace("solver", "optimizer")
    config = yaml.safe_load((own / "config.yaml").read_text())
    config["solver"]["_target_"] = name
    (own / "config.yaml").write_text(yaml.safe_dump(config))
    reseal(own)
    assert refused("eval", str(own), "--trust", name.partition(".")[0]) == told


def test_a_class_of_this_package_may_be_named_by_way_of_the_own_module(
    shared: Path, cli: Callable, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    config = yaml.safe_load((shared / "config.yaml").read_text())
    config["model"]["layers"][1] = target("mine.Flatten")
    (shared / "config.yaml").write_text(yaml.safe_dump(config))
    reseal(shared)
    assert cli("eval", "run", "--trust", "mine").code == 0


@pytest.mark.parametrize("word", [".", "my-solver", "mine.", "a b", "./mine.py", "mine;rm"])
def test_trust_is_in_a_module(shared: Path, refused: Callable, word: str) -> None:
    assert "is not the name of a module, such as my_solver" in refused("eval", "run", f"--trust={word}")
    assert "--trust is empty: give a value" in refused("eval", "run", "--trust=")


def test_settings_of_the_own_words_need_no_trust(refused: Callable) -> None:
    arguments = ("export", "model=linear_small", "--format=coo", "--output=unit.coo", "--trust=mine")
    assert refused(*arguments).startswith("--trust is for run folders")


def test_a_pickle_of_hydras_is_not_read(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Pickled()))
    for word in ("--experimental-rerun=evil.pkl", "--experimental-rerun"):
        assert "runs whatever a pickle holds" in refused("train", word, "evil.pkl")
    assert "runs whatever a pickle holds" in refused("train", "--exp=evil.pkl", "evil.pkl")
    assert_not_executed(tmp_path)


# The path of imports


@pytest.mark.parametrize(
    "arguments", [("collect", "."), ("eval", "run"), ("data",), ("train", "epochs=x"), ("--version",)]
)
def test_the_working_directory_is_not_on_the_path(cli: Callable, shared: Path, arguments: tuple[str, ...]) -> None:
    path = list(sys.path)
    cli(*arguments)
    assert sys.path == path


def test_an_own_module_does_not_come_before_another_of_its_name(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text(OWN)
    line = cli("train", *WORDS, "optimizer=pinv", "solver._target_=colorsys.Mine", "hydra.run.dir=run").err
    assert "colorsys.py is found before colorsys.py: give that another name" in line
    (tmp_path / "time.py").write_text(OWN)  # of one that has no file
    line = cli("train", *WORDS, "optimizer._target_=time.Mine", "hydra.run.dir=run").err
    assert "(time is found before time.py: give that another name)" in line


TRAPS = ("json", "csv", "numpy", "random", "typing", "argparse", "yaml", "shlex", "pathlib", "difflib", "pandas")


def test_no_file_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(EVIL)
    outcome = finished(started([sys.executable, "-m", "annealtrain", "collect", "."], tmp_path, PYTHONSAFEPATH=""))
    assert outcome.code == 0, outcome
    assert (tmp_path / "runs.csv").exists()
    assert not (tmp_path / MARK).exists()


# Configurations that no run has written


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("model", "dataset", "optimizer") for value in (None, 3, [1], "sa", {})),
        *((name, value) for name in ("solver", "schedule") for value in (3, [1], "sa", {})),
        *(("augment", value) for value in (3, [], {"shift": []}, {"x": 1})),
        ("model", {"layers": 3}),
        ("model", {"layers": [3]}),
        ("model", {"layers": [None, {"_target_": "annealtrain.nn.layers.Linear"}]}),
        ("model", {"layers": [{"_target_": "annealtrain.nn.layers.Linear", "_partial_": "x", "out_features": 3}]}),
        ("model", {"layers": [{"_target_": "annealtrain.nn.layers.Linear", "_recursive_": 3, "out_features": 3}]}),
        ("model", {"layers": [{"_target_": "annealtrain.nn.layers.Linear", "_args_": 3}]}),
        ("optimizer", {"_target_": "annealtrain.optimizers.kronecker.Kronecker", "_recursive_": 3}),
        ("dataset", {"_target_": "annealtrain.data.datasets.digits", "_partial_": True}),
        ("threads", "x"),
        ("seed", None),
        ("bits", float("nan")),
    ],
)
def test_nonsense_is_told_in_one_line(shared: Path, refused: Callable, name: str, value: Any) -> None:
    config = yaml.safe_load((shared / "config.yaml").read_text())
    (shared / "config.yaml").write_text(yaml.safe_dump(config | {name: value}))
    reseal(shared)
    refused("eval", "run")
    (shared / "result.json").unlink()
    refused("resume", "run")


def test_a_configuration_is_read_as_it_was_written(run_folder: Path) -> None:
    held = json.loads(json.dumps(composed(*WORDS)))
    assert saved_config(run_folder) == held


def test_a_solver_of_others_needs_trust_too(shared: Path, refused: Callable) -> None:
    config = yaml.safe_load((shared / "config.yaml").read_text())
    config["solver"] = target(DIMOD, sampler=target("openjij.SASampler"))
    (shared / "config.yaml").write_text(yaml.safe_dump(config))
    reseal(shared)
    assert refused("eval", "run").endswith("add --trust openjij")
    if importlib.util.find_spec("openjij") is None:
        assert "openjij" in refused("eval", "run", "--trust", "openjij")


DWAVE = "annealtrain.solvers.dwave.quantum_annealing"


@pytest.mark.parametrize("given", [{"cache": "/home/you/.config"}, {"_args_": [*[None] * 10, "/home/you/.config"]}])
def test_a_path_that_would_be_written_needs_trust(shared: Path, refused: Callable, given: dict[str, Any]) -> None:
    path = shared / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["solver"] = {"_target_": f"{DWAVE}.QuantumAnnealing", "mock": "pegasus", **given}
    path.write_text(yaml.safe_dump(config))
    reseal(shared)
    for command in ("eval", "resume"):
        line = refused(command, "run")
        assert line.startswith(f"solver.{next(iter(given))}=")
        assert line.endswith(f"is a path that this run would write to: if you know it, add --trust {DWAVE}")
    trust.check(config, [DWAVE])
    assert trust.flags(config) == ["--trust", DWAVE]  # as the command that goes on with it has to have
    config["solver"] |= dict.fromkeys(given)
    trust.check(config)
    assert trust.flags(config) == []
