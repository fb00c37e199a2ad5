"""Words of a command line that are empty: `Path("")` is the working directory, and nobody named that."""

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "command",
    [
        "bench field",
        "bench solvers",
        "instances",
        "spectrum model=linear_small",
        "export model=linear_small --format coo",
        "quantize run bits=2",
        "collect run",
        "figure fig5b",
    ],
)
def test_an_empty_output_is_not_the_working_directory(refused: Callable, command: str) -> None:
    for words in (["--output", ""], ["--output="]):
        said = refused(*command.split(), *words)
        assert said.startswith("--output is empty: give a value, or leave it out: see annealtrain ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "run", "--data-dir="], "--data-dir is empty"),
        (["data", "--data-dir", ""], "--data-dir is empty"),
        (["estimate", "--config-dir", ""], "--config-dir is empty"),
        (["bench", "field", "--solvers="], "--solvers is empty"),
        (["collect", "runs", "--format=latex", "--columns="], "--columns is empty"),
        (["plot", ""], "a word is empty"),
        (["report", ""], "a word is empty"),
    ],
)
def test_no_other_word_is_empty(refused: Callable, words: list[str], said: str) -> None:
    assert refused(*words).startswith(f"{said}: give a value, or leave it out: see annealtrain ")
