"""The pages in docs: their commands exist, and the training commands compose as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins

from annealtrain.cli import COMMANDS
from annealtrain.hydra_app import compose_config

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.M | re.S)
PAGES = [DOCS / "scale.md"]
LINES = [
    line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines() if line.strip()
]


def words(line: str) -> list[str]:
    """The words of a line after the variables set before the command."""
    found = shlex.split(line)
    return found[next(k for k, word in enumerate(found) if "=" not in word) :]


def test_the_pages_have_commands() -> None:
    assert len(LINES) >= 14


@pytest.mark.parametrize("line", LINES)
def test_commands_of_the_pages(line: str) -> None:
    program, command, *rest = words(line)
    assert program == "annealtrain"
    assert command in COMMANDS
    if command != "train":
        return
    installed = " ".join(plugin.__module__ for plugin in Plugins.instance().discover())
    for word in rest:
        plugin = {"sweep": "optuna" if word == "sweep=search" else ""}.get(word.split("=")[0], "")
        if word.startswith("sweep/launcher="):
            plugin = word.partition("=")[2].partition("_")[0]
        if plugin not in installed:
            pytest.skip(f"the plugin {plugin} is not installed: pip install 'annealtrain[sweep,ray]'")
    single = [word for word in rest if not word.startswith("-")]
    single = [re.sub(r"=range\(\d+\)$", "=0", re.sub(r"=([^,\[{(]+),[^=]*$", r"=\1", word)) for word in single]
    assert compose_config(single, None)["epochs"] > 0
