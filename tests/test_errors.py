"""Errors of Python and of libraries in words: one line, no names of classes."""

import json

import numpy as np
import pytest
import yaml

from annealtrain.commands import sweep
from annealtrain.errors import in_words, nearest
from annealtrain.runtime.validation import shown


class TerminatedWorkerError(Exception):
    """As joblib raises one."""


def caught(call: object, *arguments: object) -> BaseException:
    with pytest.raises(Exception) as found:  # noqa: PT011 (any: it is looked at)
        call(*arguments)  # type: ignore[operator]
    return found.value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (lambda: caught(open, "absent"), "No such file or directory"),
        (lambda: caught(b"\xff".decode), "it is not text in UTF-8"),
        (
            lambda: caught(json.loads, "{"),
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (lambda: caught(yaml.safe_load, "a: [\nb"), "line 2: expected ',' or ']', but got '<stream end>'"),
        (lambda: caught({}.__getitem__, "last"), "it has no 'last'"),
        (lambda: caught(int, "9" * 5000), "it holds a number of too many digits"),
        (lambda: RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (lambda: ZeroDivisionError(), "zero division error"),
        (lambda: ValueError("two\nlines."), "two lines"),
    ],
)
def test_errors_in_words(error, said) -> None:
    assert in_words(error()) == said


def test_objects_without_a_text_of_their_own() -> None:
    assert shown(object()) == "a object"
    assert "0x" not in shown(test_errors_in_words)
    assert shown(np.arange(2)) == "array([0, 1])"


def test_the_nearest_name_is_near() -> None:
    assert nearest("MNIST", ["mnist", "digits"]) == "; did you mean 'mnist'?"
    assert nearest("sb", ["sa", "exact"]) == "; did you mean 'sa'?"
    assert nearest("lr", ["solver", "alpha"]) == ""


def test_a_worker_that_is_killed_is_one_line() -> None:
    ended = sweep.worker_ended(TerminatedWorkerError("A worker process\nwas unexpectedly terminated"))
    assert ended is not None
    assert ended.code == 1
    assert str(ended).endswith("finished jobs and epochs are kept; the same command goes on")
    assert sweep.worker_ended(ValueError("of the user's own code")) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys\n\nsys.exit('no licence')\n", "ends.py, line 3 calls sys.exit: no licence"),
        (
            "class Ends:\n    def __init__(self):\n        raise SystemExit(3)\n",
            "ends.py, line 3 calls sys.exit: 3",
        ),
    ],
)
def test_a_module_of_the_users_that_ends_the_program_is_told(text, told, cli, refused, tmp_path) -> None:
    (tmp_path / "ends.py").write_text(text)
    (tmp_path / "mine/solver").mkdir(parents=True)
    (tmp_path / "mine/solver/ends.yaml").write_text("_target_: ends.Ends\n")
    words = ["--config-dir=mine", "model=linear_small", "bits=2", "samples=30", "validation=20", "epochs=1"]
    assert refused("estimate", *words, "solver=ends") == told
    assert refused("train", *words, "solver=ends", "hydra.run.dir=run") == told
    swept = cli("train", "-m", *words, "solver=ends,sa", "hydra.sweep.dir=runs")  # the other job goes on
    assert swept.code == 1
    assert told in swept.out
    assert "2 jobs, 1 failed" in swept.out
