"""The live line of a run: the epoch, the accuracies and the time left are whole, however narrow the terminal."""

import io
import sys

import pytest
from rich.console import Console

from annealtrain.commands import progress
from annealtrain.commands.progress import Display

ROW = {"epoch": 20, "train_loss": 0.012345, "train_accuracy": 0.99, "val_accuracy": 0.944, "test_accuracy": 0.947}
SCORES = "train 0.990  val 0.944  test 0.947"


def shown(width: int, epochs: int, what: str) -> str:
    """Return the line of a run at its epoch 20 in a terminal of so many columns."""
    console = Console(file=io.StringIO(), width=width)
    line = progress.one_line(console)
    line.add_task("", total=epochs, completed=20, what=what)
    console.print(line.get_renderable())
    (line,) = console.file.getvalue().splitlines()
    return line.rstrip()


@pytest.mark.parametrize("epochs", [40, 600])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_that_counts_is_cut(width: int, epochs: int) -> None:
    text = f"{SCORES}  loss 0.0123  layer 3"
    line = shown(width, epochs, text)
    assert len(line) == width
    assert line.split()[:2] == ["epoch", f"{20:{len(str(epochs))}}/{epochs}".strip()]
    assert SCORES in line
    assert line.endswith(" -:--:--")
    assert bool(set("━╸") & set(line)) == (width == 120)
    assert (text in line) == (width > 60)
    assert ("…" in line) == (width == 60)


def test_it_tells_the_accuracies_and_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    with Display(40, 4, start=19, live=True) as live:
        live.epoch_done(ROW, [])
        live.solving(20, 3, 0.5)
    assert f"epoch 20/40 {SCORES}  loss 0.0123  layer 3" in screen.getvalue()


def test_it_is_silent_where_it_is_not_live(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(40, 4, start=0, live=False) as silent:
        silent.epoch_done(ROW, [])
        silent.solving(20, 3, 0.5)
    assert capsys.readouterr() == ("", "")
