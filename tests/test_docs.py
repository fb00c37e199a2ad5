"""Every command in README.md and docs/ is run as it stands, on a few of the embedded digits and for one epoch.

Those inside a sentence or a table are composed where they train, and what `make` is told to do is in the Makefile.
"""

import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import LIMIT_S, finished, process
from http_examples import served
from hydra.core.plugins import Plugins
from own_data import write_pictures, write_tables

import annealtrain
from annealtrain.cli import COMMANDS as NAMES
from annealtrain.commands.bench_solvers import task_of
from annealtrain.commands.sweep import figure_words
from annealtrain.errors import InputError
from annealtrain.experiment.builder import optimizer_of
from annealtrain.experiment.compose import compose_config
from annealtrain.reports.paper import check_name

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    (page.stem, line)
    for page in PAGES
    for language, block in BLOCK.findall(page.read_text())
    for line in block.splitlines()
    if not language and line.strip()
]
# Files that a page has its reader write: a block whose first line is a comment with the path.
FILES = [
    (page.stem, Path(text.splitlines()[0].removeprefix("# ")), text)
    for page in PAGES
    for _, text in BLOCK.findall(page.read_text())
    if re.match(r"# \S+\.(py|yaml)\n", text)
]
PROSE = {page.stem: BLOCK.sub("", page.read_text()) for page in PAGES}


def inline(text: str) -> list[str]:
    """The commands in backticks; the first column of a table of commands names the program only once a row."""
    rows = re.findall(r"^\| (`annealtrain .*?) \|", text, re.M)
    cells = [f"annealtrain {word.removeprefix('annealtrain ')}" for row in rows for word in re.findall("`(.*?)`", row)]
    return [" ".join(line.split()) for line in [*cells, *re.findall(r"`(annealtrain\s[^`]*)`", text)]]


INLINE = sorted({(page, line) for page, text in PROSE.items() for line in inline(text)})
MADE = sorted({name for text in PROSE.values() for name in re.findall(r"(?:^    |`)make\s([\w-]+)", text, re.M)})
# What is put in the place of a command's own.
SMALL = {"dataset": "digits", "samples": "30", "validation": "20", "epochs": "1", "annealing.num_sweeps": "1"}
TRIALS = "hydra.sweeper.n_trials"


ANNEALING = ("solver=sa", "solver=sqa", "solver=neal", "solver=reference")  # the solvers that read annealing.num_sweeps


def small_for(words: list[str]) -> list[str]:
    """The words of SMALL that a command with these words reads."""
    solvers = [word for word in words if word.startswith("solver=") and not set(word.split(",")) & {*ANNEALING}]
    is_other = solvers or any("backprop" in word and "," not in word for word in words)
    return [f"{name}={value}" for name, value in SMALL.items() if not (is_other and name == "annealing.num_sweeps")]


def key(word: str) -> str:
    return word.partition("=")[0]


def few(word: str) -> str:
    """A swept word with two of its numbers at most; a sweep over a group keeps all its options."""
    word = re.sub(r"=range\(\d+\)$", "=range(2)", word)
    return re.sub(r"(=[\d.]+,[\d.]+)(,[\d.]+)*$", r"\1", word)


OWN = ("folder", "arrays", "sklearn", "own")  # datasets that stay, see `tests/own_data.py`


def reduced(words: list[str]) -> list[str]:
    """The words of a training command with small settings; its launcher, solver and experiment stay."""
    if any(word == f"dataset={name}" for word in words for name in OWN):
        return [
            *map(few, words),
            *(f"{name}={value}" for name, value in SMALL.items() if name != "dataset"),
            "threads=1",
        ]
    kept = [few(word) for word in words if key(word) not in {*SMALL, TRIALS, "data_dir"}]
    small = small_for(words)
    if "sweep=search" in words:
        small.append(f"{TRIALS}=2")
    if any("dwave" in word for word in words):
        small.append("model=two_linear_small")  # for the largest clique
    if "sweep=figure" in words:
        small.append("seeds=1")
    return [*kept, *small, "threads=1"]


def split(line: str) -> list[str]:
    """The words after `annealtrain`, which a line begins with: nothing is said by variables of the environment."""
    program, *words = shlex.split(line, comments=True)
    assert program == "annealtrain"
    return words


def composes(words: list[str], config_dir: str | None = None) -> bool:
    """Whether a command is sound as far as can be seen without running it: each value of a sweep, and all objects."""
    words = [word for word in figure_words(words) if not word.startswith("-")]
    swept = {at: word.partition("=")[2].split(",") for at, word in enumerate(words) if is_swept(word)}
    for turn in range(max([1, *map(len, swept.values())])):
        singles = [re.sub(r"=range\(\d+\)$", "=0", word) for word in words]
        for at, values in swept.items():
            singles[at] = f"{key(words[at])}={values[turn % len(values)]}"
        config = compose_config(singles, config_dir)
        assert config["epochs"] > 0
        try:
            optimizer_of(config)
        except InputError as error:
            if "pip install" not in str(error):
                raise
    return True


def is_swept(word: str) -> bool:
    """Whether a word has several values, those of `key=a,b`, none of them a list."""
    return "," in word and not re.search(r"[\[{(]", word)


@pytest.fixture
def trained(cli: Callable, tmp_path: Path, once: Path) -> Path:
    """A run in RUN_FOLDER, trained by the first test that asks for one, a copy for each of the others."""
    folder = tmp_path / "RUN_FOLDER"
    if not (once / "run").is_dir():
        small = [f"{name}={value}" for name, value in SMALL.items()]
        assert cli("train", "model=lenet", *small, "hydra.run.dir=RUN_FOLDER").code == 0
        shutil.copytree(folder, once / "run")
    else:
        shutil.copytree(once / "run", folder)
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests of this module share."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def service() -> Iterator[Any]:
    """The service of docs/machines.md, on a free port."""
    with served() as running:
        yield running


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30
    assert all("annealtrain" in line for _, line in COMMANDS)


@pytest.mark.parametrize("page", sorted({page for page, _ in COMMANDS}))
def test_commands_of_a_page(
    page: str,
    cli: Callable,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """In their order: some read what those before them wrote."""
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    Path("no_token").touch()
    monkeypatch.setenv("DWAVE_CONFIG_FILE", "no_token")
    installed = " ".join(plugin.__module__ for plugin in Plugins.instance().discover())
    running = request.getfixturevalue("service") if page == "machines" else None
    for path, text in ((path, text) for at, path, text in FILES if at == page):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("http://127.0.0.1:8765", running.url) if running else text)
    if page == "torch_models":
        pytest.importorskip("torch", reason="the torch extra is not installed")
        pytest.importorskip("onnx", reason="the export extra is not installed")
    if page == "data":
        write_tables(tmp_path)
        write_pictures(tmp_path / "pictures", each=30)
    for line in (line for at, line in COMMANDS if at == page):
        command, *words = split(line)
        told = f"{page}: {line}"
        if launcher := re.search(r"sweep/launcher=([a-z]+)", line):  # each is started by tests/test_sweep.py
            assert launcher[1] not in installed or composes(words), told
            continue
        if command == "figure":
            words = [words[0], *reduced([]), "--seeds=1"]
        elif command in ("train", "bench") and not {"--help", "field"} & {*words}:
            words = [*reduced(words), *["--repeats=1", f"--timeout={LIMIT_S}"] * (command == "bench")]
        elif command == "quantize":
            few = [word for word in words if not word.startswith("samples=")]  # runs here have fewer
            words = [*few, "solver=babai", "rounds=1", "threads=1"]
        in_process = "sweep=search" not in line  # others' plugins warn, here an error
        outcome = cli(command, *words) if in_process else finished(process([command, *words], tmp_path))
        if "solver=dwave" in line and "mock" not in line:
            assert outcome.code == 2, told
            assert "has no API token" in outcome.err, told
        else:
            assert outcome.code == 0, (told, outcome)


@pytest.mark.parametrize(("page", "line"), INLINE)
def test_a_command_in_a_sentence(page: str, line: str, cli: Callable, request: pytest.FixtureRequest) -> None:
    command, *words = shlex.split(line)[1:]
    if command.startswith("-") or not words:
        assert command in NAMES or cli(command).code == 0
    elif command in ("train", "estimate", "bench"):
        for group, name in (("model", "lenet"), ("solver", "sa"), ("optimizer", "kronecker")):  # the reader's own
            mine = Path("my_configs", group, "mine.yaml")
            mine.parent.mkdir(parents=True)
            shutil.copy(ROOT / "configs" / group / f"{name}.yaml", mine)
        settings = [word for word in words if "=" in word or word.startswith("~")]
        assert composes(task_of(settings, None, 1).overrides, "my_configs" if "--config-dir" in words else None)
    elif command == "figure":
        check_name(words[0])
    else:
        assert {"FOLDER", "RUN_FOLDER"} & set(words)
        request.getfixturevalue("trained")
        if "onnx" in words:
            pytest.importorskip("onnx", reason="the export extra is not installed")
        words = ["RUN_FOLDER" if word == "FOLDER" else word for word in words]
        assert cli(command, *words, *["solver=babai"] * (command == "quantize")).code == 0


def test_commands_in_sentences_are_found() -> None:
    lines = {line for _, line in INLINE}
    assert "annealtrain report FOLDER" in lines
    assert any(line.startswith("annealtrain train --multirun experiment=best/lenet") for line in lines)
    assert any(line.startswith("annealtrain train model=linear_small dataset=mnist") for line in lines)  # of two lines
    assert {"train", "test", "figures", "bench", "bench-train"} <= set(MADE)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("name", MADE)
def test_make_can_do_what_is_said(name: str) -> None:
    told = subprocess.run(["make", "-n", name], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    for command in re.findall(rf"^    make {name} .*runs: (.*)$", PROSE["README"], re.M):
        assert command in told.stdout


def test_all_methods_are_listed() -> None:
    (listed,) = re.findall(r"^`method` sets .*?\n\n", PROSE["scale"], re.M | re.S)
    assert set(re.findall("`(.*?)`", listed)) - {"method"} == {
        path.stem for path in (ROOT / "configs/method").glob("*.yaml")
    }


def test_the_python_of_the_tour(cli: Callable, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [text for _, text in BLOCK.findall((ROOT / "docs/tour.md").read_text()) if text.startswith("import")]
    Path("outputs").mkdir()
    trained.rename("outputs/tour")
    exec(compile(code, "tour.md", "exec"), {})
    assert "val_accuracy" in capsys.readouterr().out


def test_the_python_of_the_solvers_page() -> None:
    (code,) = [text for language, text in BLOCK.findall((ROOT / "docs/solvers.md").read_text()) if language == "python"]
    scope: dict = {}
    exec(compile(code, "solvers.md", "exec"), scope)
    levels = scope["S"] / scope["scales"][:, None]
    assert abs(levels - levels.round()).max() < 1e-12
    assert set(levels.round().ravel()) == {-1, 0, 1}


def test_the_python_of_the_machines_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    page = (ROOT / "docs/machines.md").read_text()
    blocks = [text for language, text in BLOCK.findall(page) if language == "python"]
    written = {text.split()[1]: text for text in blocks if text.startswith("# ")}
    Path("my_machine.py").write_text(written["my_machine.py"])
    scope: dict = {}
    try:
        exec(compile("\n".join(text for text in blocks if not text.startswith("# ")), "machines.md", "exec"), scope)
        exec(compile(written["test_my_machine.py"], "test_my_machine.py", "exec"), scope)
    finally:
        sys.modules.pop("my_machine", None)
    assert scope["found"].gap < 2 * scope["whole"].gap + 1e-3
    assert "val_accuracy" in capsys.readouterr().out
    checks = [name for name in dir(scope["TestDescent"]) if name.startswith("test_")]
    assert len(checks) > 8
    for name in checks:
        getattr(scope["TestDescent"](), name)()


def test_the_python_of_the_field_page() -> None:
    scope: dict = {}
    for language, text in BLOCK.findall((ROOT / "docs/field.md").read_text()):
        if language == "python":
            exec(compile(text, "field.md", "exec"), scope)
    assert scope["problem"].num_spins == 128
    assert scope["instance"].energy(scope["found"].levels[0, 0]) == scope["known"].energy
    assert scope["low"] < scope["seconds"] < scope["high"]
    assert scope["cold"].energies[0, 0] <= scope["first"].energies[0, 0]


def test_the_python_of_the_export_page(cli: Callable, trained: Path) -> None:
    pytest.importorskip("torch", reason="the torch extra is not installed")
    from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
    from annealtrain.nn.network import Network

    (code,) = [text for language, text in BLOCK.findall((ROOT / "docs/export.md").read_text()) if language == "python"]
    assert cli("export", str(trained), "--format", "torch", "--output", "network.pt").code == 0
    layers = [Conv2d(6, 5), SpectralPool2d([14, 14]), Conv2d(16, 5), SpectralPool2d([5, 5]), Conv2d(120, 5), Flatten()]
    scope = {"network": Network([*layers, Linear(84), Linear(10)], (1, 32, 32), 10)}
    exec(compile(code, "export.md", "exec"), scope)
    assert list(scope["module"].state_dict())


def test_the_python_of_the_torch_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    monkeypatch.chdir(tmp_path)
    blocks = [text for language, text in BLOCK.findall((ROOT / "docs/torch.md").read_text()) if language == "python"]
    scope: dict = {}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        exec(compile("\n".join(blocks), "torch.md", "exec"), scope)
    assert scope["scheduler"].last_epoch == 8
    assert Path("checkpoint.pt").exists()


def test_the_python_of_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs as one process of a group of one."""
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    (code,) = [text for page, path, text in FILES if path.name == "train_ranks.py"]
    monkeypatch.chdir(tmp_path)
    start = torch.distributed.init_process_group
    store = torch.distributed.HashStore()
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend: start(backend, store=store, rank=0, world_size=1)
    )
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    exec(compile(code, "train_ranks.py", "exec"), {})
    assert Path("model.pt").exists()


def listed_columns(title: str) -> set[str]:
    """The names in the first column of the tables under a title of docs/stats.md."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PROSE["stats"], re.M | re.S)
    return {name for cell in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall("`(.*?)`", cell)}


RECORDED = [
    *(f"optimizer={path.stem}" for path in sorted((ROOT / "configs/optimizer").glob("*.yaml"))),
    *(f"optimizer=pinv solver={name}" for name in ("sa", "sqa", "neal", "descent", "itemc")),
    "optimizer=pinv solver=sa solver.num_reads=3 annealing.move=slice alpha=0.1",
    "solver=neal",
    "solver=dwave solver.mock=pegasus solver.num_reads=5 solver.mock_sweeps=5",
]


@pytest.mark.parametrize("line", RECORDED)
def test_every_recorded_column_is_listed(line: str, cli: Callable, tmp_path: Path) -> None:
    for word, extra in (("backprop", "torch"), ("dwave", "dwave.system")):
        if word in line:
            pytest.importorskip(extra, reason=f"the extra {extra.partition('.')[0]} is not installed")
    words = ["model=linear_small", "bits=2", *small_for(line.split()), *line.split(), "hydra.run.dir=run"]
    assert cli("train", *words).code == 0
    for name in ("metrics.csv", "solves.csv"):
        columns = set((tmp_path / "run" / name).read_text().splitlines()[0].split(","))
        assert columns <= listed_columns(name), sorted(columns - listed_columns(name))


def test_no_column_is_listed_that_nothing_writes() -> None:
    source = "".join(path.read_text() for path in (ROOT / "annealtrain").rglob("*.py"))
    for name in listed_columns("metrics.csv") | listed_columns("solves.csv"):
        split, _, score = name.partition("_")
        written = f'"{name}"' in source or (split in ("train", "val", "test") and f'"{score}"' in source)
        assert written, name


def test_every_public_name_is_on_an_api_page() -> None:
    told = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    lacking = [name for name, home in annealtrain._HOMES.items() if f"::: {home}.{name}\n" not in told]
    assert lacking == []


def test_what_pages_name_is_there() -> None:
    """Modules and their members, and files of the project; NAME and the like stand for any."""
    for page, text in PROSE.items():
        for word in set(re.findall(r"`([^`\s]+)`", text)):
            if word.startswith("annealtrain.testing") and not find_spec("annealtrain.testing"):
                continue
            if re.fullmatch(r"annealtrain(\.\w+)+", word):
                assert pkgutil.resolve_name(word) is not None, (page, word)
            elif re.fullmatch(r"(annealtrain|configs|csrc|docs|tests)(/\w+)*(/|\.\w+)", word):
                assert re.search("[A-Z]{4}", word) or (ROOT / word).exists(), (page, word)
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            where = ROOT if page == "README" else ROOT / "docs"
            assert (where / link).exists(), (page, link)


def test_the_contract_of_the_house_page(tmp_path: Path) -> None:
    testing = pytest.importorskip("annealtrain.testing", reason="the contracts are not in the package")
    assert set(re.findall(r"`(\w+Contract)`", PROSE["house"])) == {n for n in dir(testing) if n.endswith("Contract")}
    passes("house", "test_mine.py", tmp_path)


def test_the_contracts_of_the_layers_page(tmp_path: Path) -> None:
    passes("layers", "test_my_layers.py", tmp_path)


def passes(page: str, test: str, tmp_path: Path) -> None:
    """Assert that the tests which a page has its reader write pass."""
    for _, path, text in (file for file in FILES if file[0] == page and file[1].suffix == ".py"):
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    told = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout
