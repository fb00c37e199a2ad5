"""What a person sees of a run: a live line while it trains, and its accuracies at the end."""

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from annealtrain.runs import scores
from annealtrain.runtime.array_types import Row
from annealtrain.runtime.foreign_text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

BAR, ROOM_FOR_BAR = 20, 100  # columns of the bar, and of the narrowest terminal that has it


class Display:
    """A live progress display of one run; silent where `live` is False."""

    def __init__(self, epochs: int, layers: int, *, start: int, live: bool) -> None:
        self.layers, self._progress = layers, None
        if not live:
            return
        from rich.console import Console

        self._progress = one_line(Console(file=sys.stderr))
        self._task = self._progress.add_task("", total=epochs, completed=start, what="first accuracies")

    def __enter__(self) -> "Display":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def solving(self, epoch: int, layer: int, done: float) -> None:
        """Show layer `layer` of epoch `epoch` with a fraction `done` of its units solved."""
        if self._progress:
            at = epoch + (layer + done) / self.layers
            what = "  ".join(filter(None, [self._scores, f"layer {layer}"]))
            self._progress.update(self._task, completed=at, what=what)

    def epoch_done(self, row: Row, solves: list[Row]) -> None:
        """Show the accuracies of a finished epoch."""
        if self._progress:
            self._scores = f"{accuracies(row, digits=3)}  loss {row['train_loss']:.3g}"
            self._progress.update(self._task, completed=row["epoch"], what=self._scores)

    _scores = ""


def one_line(console: "Console", counted: str = "epoch") -> "Progress":
    """Return a progress display of tasks with a text `what`: one line, of which a narrow terminal cuts that text."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    bar: list[ProgressColumn] = [BarColumn(BAR)] if console.width >= ROOM_FOR_BAR else []
    return Progress(
        TextColumn(counted),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        *bar,
        TextColumn("{task.fields[what]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=7)),
        console=console,
        expand=True,  # the text has what the others leave
    )


def accuracies(row: Row, digits: int = 4) -> str:
    """Return the accuracies of a row as "train 0.9900  val 0.9440  test 0.9470"; of real targets R2 and RMSE."""
    named = ((name, scores.score(row, name)) for name in scores.SPLITS)
    told = "  ".join(f"{name} {value:.{digits}f}" for name, value in named if value is not None)
    if scores.kind(row) == "accuracy":
        return told
    errors = ((name, row.get(f"{name}_rmse")) for name in scores.SPLITS)
    return f"R2 {told}  RMSE " + "  ".join(f"{name} {value:.4g}" for name, value in errors if value is not None)


def summary(result: Row, folder: Path, note: str | None = None) -> str:
    """Return the last lines of a run: accuracies, time and memory, a note where there is one, and where it lies."""
    last, best = result["last"], result["best_validation"]
    lines = [f"last epoch ({last['epoch']}):  {accuracies(last)}"]
    if best:
        lines.append(f"best validation (epoch {best['epoch']}):  {accuracies(best)}")
    if "seconds" in result:
        memory = f", peak memory {result['peak_memory_mb']:.0f} MB" if result.get("peak_memory_mb") else ""
        lines.append(f"{result['seconds']:.1f} s{memory}")
    if note:
        lines.append(note)
    if result.get("warning"):
        lines.append(f"warning: {printable(result['warning'])}")
    return "\n".join([*lines, f"run folder: {folder.absolute()}"])
