"""Source archive, wheel and editable install carry the configuration and the kernel, and train outside the checkout."""

import ast
import json
import os
import re
import shutil
import sys
import sysconfig
import tarfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from conftest import finished, started
from wheel_contents import faults

pytestmark = pytest.mark.xdist_group("packages")
ROOT = Path(__file__).resolve().parents[1]
YAML = {path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
(NEXT,) = re.findall(r'^NEXT = "(.*?)"', (ROOT / "setup.py").read_text(), re.M)
PARTS = ("annealtrain", "configs", "csrc", "docs", "examples", "tests")
TRAIN = ("train", "model=linear_small", "samples=100", "epochs=1", "threads=1", "hydra.run.dir=run")


def call(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command outside of this process's own imports; return what it says."""
    cleared = {name: "" for name in os.environ if name.startswith("PYTHON")}
    outcome = finished(started([str(word) for word in command], cwd, **cleared, **variables), timeout=600)
    assert outcome.code == 0, f"{outcome.out}\n{outcome.err}"
    return outcome.out


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel alone in a new environment, then lend it this one's packages; return its scripts' folder.

    The borrowed packages come last on its path, and their .pth files are not run: annealtrain is the wheel's.
    """
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scripts = folder / "bin"
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-index", "--no-deps")
    call(*pip, "--quiet", "--disable-pip-version-check", wheel, cwd=folder.parent)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    borrowed = dict.fromkeys(path for path in sys.path if Path(path).name == "site-packages")
    (site_packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return scripts


def assert_trains(scripts: Path, folder: Path, home: Path) -> None:
    """Train an epoch in `folder` with the annealtrain that is installed beside `scripts` and lies below `home`."""
    folder.mkdir()
    where = (
        "import annealtrain, annealtrain._anneal as kernel\n"
        "from importlib.resources import files, as_file\n"
        "print(annealtrain.__file__, kernel.__file__, sep='\\n')\n"
        "with as_file(files('annealtrain.configs')) as root:\n"
        "    print(*(path.relative_to(root).as_posix() for path in root.rglob('*.yaml')))\n"
    )
    package, kernel, listed = call(scripts / "python", "-c", where, cwd=folder).splitlines()
    assert Path(package).is_relative_to(home)
    assert Path(kernel).is_relative_to(home)
    assert set(listed.split()) == YAML
    said = call(scripts / "annealtrain", *TRAIN, cwd=folder)
    assert said.endswith(f"run folder: {folder / 'run'}\n")
    assert json.loads((folder / "run" / "result.json").read_text())["last"]["epoch"] == 1
    assert json.loads((folder / "run" / "meta.json").read_text())["git_revision"] is None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source archive of this checkout, and the folder that it unpacks to."""
    pytest.importorskip("build")
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools_scm")
    work = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info", "_version.py")
    for name in PARTS:
        shutil.copytree(ROOT / name, work / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":  # a file in a worktree
            shutil.copy(path, work)
    call(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", "dist", ".", cwd=work)
    (archive,) = (work / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as held:
        held.extractall(work / "unpacked", filter="data")
    (unpacked,) = (work / "unpacked").iterdir()
    return archive, unpacked


@pytest.fixture(scope="module")
def built(source: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the editable wheel of the unpacked sources, built side by side without network."""
    script = "import sys, build; print(build.ProjectBuilder('.').build(sys.argv[1], 'out'))"
    # It is not what the compiler makes of the kernel that is tested here: without optimising, it takes a third.
    compiler = tmp_path_factory.mktemp("compiler") / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {sysconfig.get_config_var("CC") or "cc"} "$@" -O0\n')
    compiler.chmod(0o755)

    def build(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind) / "checkout"
        shutil.copytree(source[1], folder)
        return Path(call(sys.executable, "-c", script, kind, cwd=folder, CC=str(compiler)).splitlines()[-1])

    kinds = ("wheel", "editable")
    with ThreadPoolExecutor() as pool:
        return dict(zip(kinds, pool.map(build, kinds), strict=True))


@pytest.mark.slow
def test_the_source_archive_is_complete(source: tuple[Path, Path]) -> None:
    archive, unpacked = source
    assert archive.stat().st_size < 5e6
    assert {
        path.relative_to(unpacked / "configs").as_posix() for path in (unpacked / "configs").rglob("*.yaml")
    } == YAML
    wanted = [
        path
        for part in PARTS
        for ending in ("py", "pyi", "pyx", "pxd", "c", "h", "md", "ipynb", "svg", "png")
        for path in ROOT.glob(f"{part}/**/*.{ending}")
        if path.name != "_version.py"
    ]
    for name in ("mkdocs.yml", "CONTRIBUTING.md", "CITATION.cff", "Makefile", "examples/http_service.py"):
        assert (unpacked / name).is_file(), name
    assert {"csrc/anneal.pyx", "csrc/kernel.h", "configs/__init__.py", "tests/conftest.py"} <= {
        path.relative_to(ROOT).as_posix() for path in wanted
    }
    for path in [*wanted, ROOT / "LICENSE", ROOT / "pyproject.toml", ROOT / "annealtrain" / "py.typed"]:
        assert (unpacked / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert not list(unpacked.rglob("*.so"))


@pytest.mark.slow
def test_the_wheel_trains_outside_the_checkout(built: dict[str, Path], tmp_path: Path) -> None:
    wheel = built["wheel"]
    assert not faults(wheel)
    scripts = install(wheel, tmp_path / "venv")
    assert_trains(scripts, tmp_path / "elsewhere", tmp_path / "venv")
    said = call(scripts / "annealtrain", "--version", cwd=tmp_path)  # the archive's, which is of a folder without Git
    assert said.split() == ["annealtrain", wheel.name.split("-")[1]] == ["annealtrain", f"{NEXT}.dev0"]
    said = call(scripts / "python", "-m", "annealtrain", "eval", "run", cwd=tmp_path / "elsewhere")
    assert said.count("the same as recorded") == 2


@pytest.mark.slow
def test_an_editable_install_trains(built: dict[str, Path], tmp_path: Path) -> None:
    folder = built["editable"].parents[1]
    scripts = install(built["editable"], tmp_path / "venv")
    assert_trains(scripts, tmp_path / "elsewhere", folder)
    yaml = folder / "configs" / "model" / "linear_small.yaml"
    yaml.rename(yaml.with_name("renamed.yaml"))  # what is edited is what runs
    said = call(scripts / "annealtrain", "train", "--help", cwd=tmp_path)
    assert ", renamed, " in said


def test_this_install_finds_its_configuration() -> None:
    root = files("annealtrain.configs")
    assert root.joinpath("train.yaml").is_file()
    groups = {entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("_")}
    expected = {"dataset", "experiment", "hydra", "method", "model", "optimizer", "rest", "schedule", "solver", "sweep"}
    assert groups == expected


@pytest.mark.skipif(shutil.which("git") is None, reason="Git is not installed")
@pytest.mark.parametrize(("tag", "begins"), [(None, f"{NEXT}.dev1"), ("v0.1.0", f"{NEXT}.dev1"), ("v9.0.1", "9.0.1")])
def test_the_version_is_the_tag_or_of_the_next_release(tag: str | None, begins: str, tmp_path: Path) -> None:
    pytest.importorskip("setuptools_scm")
    code = "import version, setuptools_scm; print(setuptools_scm.get_version(version_scheme=version.version_of))"
    (text,) = re.findall(r"^NEXT = .*?(?=^# )", (ROOT / "setup.py").read_text(), re.M | re.S)
    (tmp_path / "version.py").write_text(f"from setuptools_scm.version import ScmVersion\n{text}")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    call(*git, "init", "--quiet", cwd=tmp_path)
    call(*git, "add", ".", cwd=tmp_path)
    call(*git, "commit", "--quiet", "--message=first", cwd=tmp_path)
    if tag:
        call(*git, "tag", tag, cwd=tmp_path)
    if tag != "v9.0.1":
        call(*git, "commit", "--quiet", "--allow-empty", "--message=second", cwd=tmp_path)
    said = call(sys.executable, "-c", code, cwd=tmp_path)
    assert said.startswith(begins if tag else f"{NEXT}.dev"), said


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", text)[0].lower() for text in requirements}


IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "hydra-core": "hydra",
    "pyyaml": "yaml",
    "dwave-samplers": "dwave",
}


def test_what_is_installed_with_the_program_is_what_it_imports() -> None:
    """Each dependency is imported somewhere, and what is imported is a dependency or of an extra."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    trees = [ast.parse(path.read_text()) for path in (ROOT / "annealtrain").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    packages = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"annealtrain"}
    needed = names_of(told["dependencies"])
    assert {IMPORTED_AS.get(name, name) for name in needed} <= packages
    of_extras = {"torch", "torchvision", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "onnx", "onnxruntime", "optuna"}
    of_dwave = {"minorminer", "networkx"}  # dwave-system brings them
    rivals = {"openjij", "simulated_bifurcation", "qqa", "mindquantum"}  # of bench field, which tells of absent ones
    assert packages - {IMPORTED_AS.get(name, name) for name in needed} <= of_extras | of_dwave | rivals | {"pytest"}
