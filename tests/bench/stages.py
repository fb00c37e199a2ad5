"""`python -m bench.stages`: where the time of whole training runs goes, for every network.

Writes stages.csv and stages.md into outputs/bench. Each run is `annealtrain train` in a process of its own; seconds
by stage are the sums of metrics.csv's columns, `rest` is what the command took beyond them (start, data, files).
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from annealtrain.runtime.stage_timer import STAGES
from bench import report
from bench.rows import Row

# The paper's experiment with each network (its solver and optimizer=pinv), of those with LeakyReLU where there is one.
EXPERIMENTS = {
    "linear": "fig5a",
    "linear_small": "fig1b",
    "two_linear_small": "fig2b",
    "three_linear": "fig5b",
    "conv": "fig5c",
    "conv_small": "fig4a",
    "two_conv_small": "fig4b",
    "three_conv": "fig5d",
    "lenet": "fig6a_2024",
    "lenet_small": "fig7",
}
MINI_BATCHES = ("lenet", "conv")  # also trained by kronecker
TIMEOUT_S = 300.0
SECONDS = (*STAGES, "rest_s", "total_s")
COLUMNS = ("model", "settings", *SECONDS, "slowest", "share", "train_accuracy", "test_accuracy", "memory_mb", "status")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.stages", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="where the files go")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    data, told = dataset()
    print(told, flush=True)
    rows = []
    for model, experiment in EXPERIMENTS.items():
        if asked.only not in model:
            continue
        for settings in settings_of(model, experiment):
            size = (f"epochs={asked.epochs}", f"samples={asked.samples}")
            rows.append({"model": model, "settings": " ".join(settings), **run((*settings, *data, *size))})
            print(line(rows[-1]), flush=True)
            write(asked.out, rows, f"{asked.epochs} epochs, {asked.samples} images, {told}")
    print(f"written: {asked.out}/stages.csv, stages.md")
    return 0


def settings_of(model: str, experiment: str) -> list[tuple[str, ...]]:
    """Return the overrides of each run of a network."""
    named = f"model={model}"
    found: list[tuple[str, ...]] = [(f"experiment={experiment}",), (named,), (named, "optimizer=pinv")]
    return [*found, (named, "method=kronecker", "batch_size=50")] if model in MINI_BATCHES else found


def dataset() -> tuple[list[str], str]:
    """Return the options that choose MNIST, or the embedded digits where it is not found, and which it is."""
    from bench.problems import mnist_folder

    folder = mnist_folder()
    if folder:
        return ["dataset=mnist", f"data_dir={folder.resolve()}"], "MNIST"
    return ["dataset=digits"], "the embedded digits: no MNIST in $ANNEALTRAIN_DATA"


def run(settings: Sequence[str]) -> Row:
    """Train with these settings and return the run's seconds by stage, scores and memory, or the reason of none."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        command = [sys.executable, "-m", "annealtrain", "train", *settings, "progress=false", f"hydra.run.dir={folder}"]
        began = time.perf_counter()
        try:
            done = subprocess.run(command, timeout=TIMEOUT_S, capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            return {"status": f"over {TIMEOUT_S:g} s"}
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [""]
            return {"status": f"ended with code {done.returncode}: {last[0][:160]}"}
        with open(folder / "metrics.csv", newline="") as file:
            metrics = list(csv.DictReader(file))
        return summed(metrics, json.loads((folder / "result.json").read_text()), time.perf_counter() - began)


def summed(metrics: Sequence[Row], result: Row, seconds: float) -> Row:
    """Return the row of a finished run. share: the slowest stage's part of all."""
    stages = {stage: sum(float(row[stage]) for row in metrics) for stage in STAGES}
    stages["rest_s"] = seconds - sum(stages.values())
    slowest = max(stages, key=lambda stage: stages[stage])
    scores = {name: result["last"][name] for name in ("train_accuracy", "test_accuracy")}
    named = {"slowest": slowest.removesuffix("_s"), "share": stages[slowest] / seconds}
    return {**stages, "total_s": seconds, **named, **scores, "memory_mb": result.get("peak_memory_mb"), "status": "ok"}


def line(row: Row) -> str:
    """Return a row in one line of progress."""
    if row["status"] != "ok":
        return f"{row['model']:>18}  {row['settings']:<44} {row['status']}"
    slowest = f"{row['slowest']} {row['share']:.0%}"
    return f"{row['model']:>18}  {row['settings']:<44} {row['total_s']:6.1f} s  {slowest}"


def write(folder: Path, rows: Sequence[Row], told: str) -> None:
    """Write stages.csv and stages.md."""
    report.write_csv(folder / "stages.csv", COLUMNS, rows)
    head = [name.removesuffix("_s") + (" s" if name in SECONDS else "") for name in COLUMNS if name != "share"]
    cells = [
        [
            f"{row['slowest']} {row['share']:.0%}" if name == "slowest" and "share" in row else _cell(row.get(name))
            for name in COLUMNS
            if name != "share"
        ]
        for row in rows
    ]
    (folder / "stages.md").write_text(
        "# Whole runs by stage\n\n"
        f"`make bench-train`: {told}. {report.machine()}. An experiment's solver and targets are its own; "
        "`model=` alone is the default (optimizer=gauss_newton). rest: start, data and files.\n\n"
        + report.markdown(head, cells)
    )


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) and value < 100 else report.number(value)


if __name__ == "__main__":
    sys.exit(main())
