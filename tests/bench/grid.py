"""Networks of 1 bit, three levels and 2 bits: annealed, straight-through, and in floats: `python -m bench.grid`.

Each run is a command that anybody may give. Its result is one JSON line; runs that have theirs are not made again, so
that a benchmark which was stopped goes on. The table is of test accuracy after the last epoch.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.report import markdown
from bench.results import Results

WEIGHTS = {"binary": "bits=1", "ternary": "levels=3", "two_bit": "bits=2"}
NAMES = {"binary": "1 bit", "ternary": "3 levels", "two_bit": "2 bits", "float": "float"}
SMALL, LARGE = ("three_linear", "lenet"), ("all_mnist", "all_fashion_mnist", "all_cifar10")
# Learning rate and batch of AdamW, chosen on validation images (see docs/grid.md), for straight-through and float runs.
STRAIGHT = {"three_linear": (0.01, 32), "lenet": (0.01, 16)} | dict.fromkeys(LARGE, (0.005, 64))
FLOAT = {"three_linear": (0.005, 64), "lenet": (0.005, 64)} | dict.fromkeys(LARGE, (0.005, 64))
EPOCHS = {"three_linear": 20, "lenet": 20}  # of experiments whose float form is shorter
METHODS = ("annealing", "backprop")


def words(task: str, weights: str, method: str, seed: int) -> list[str]:
    """Return the settings of a run."""
    name = task if weights == "float" else f"{weights}_{task}"
    found = [f"experiment=best/{name}", f"seed={seed}", "averaging=0", "threads=1", "progress=false"]
    if weights == "float" and task in EPOCHS:
        found.append(f"epochs={EPOCHS[task]}")
    if method == "backprop":
        rate, batch = (FLOAT if weights == "float" else STRAIGHT)[task]
        found += ["optimizer=backprop_tuned", f"optimizer.learning_rate.first={rate}", f"batch_size={batch}"]
    return found


def runs(tasks: Sequence[str], weights: Sequence[str], methods: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Yield what tells each run from the others."""
    for seed in range(seeds):
        for task in tasks:
            for kind in weights:
                for method in methods:
                    yield {"task": task, "weights": kind, "method": method, "seed": seed}


def run(key: dict[str, Any], folder: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """Make a run, or go on with one that was stopped; return its line."""
    place = folder / "-".join(str(value) for value in key.values())
    settings = [*words(key["task"], key["weights"], key["method"], key["seed"]), *more]
    command = [sys.executable, "-m", "annealtrain", "train", *settings, f"hydra.run.dir={place}", "resume=true"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    result = json.loads((place / "result.json").read_text())
    last = {name: result["last"].get(name) for name in ("val_accuracy", "test_accuracy", "train_accuracy")}
    return {**key, **last, "levels": result.get("levels"), "seconds": result["seconds"]}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a row for each task and kind of weights: mean and deviation over seeds, seconds, most levels."""
    lines = []
    for task in (*SMALL, *LARGE):
        for kind in ("float", *WEIGHTS):
            cells = [task, NAMES[kind]]
            for method in METHODS:
                own = [row for row in rows if (row["task"], row["weights"], row["method"]) == (task, kind, method)]
                found = [row["test_accuracy"] for row in own]
                spread = f" +- {stdev(found):.4f}" if len(found) > 1 else ""
                seconds = f"{mean(row['seconds'] for row in own):.0f}" if own else ""
                cells += [f"{mean(found):.4f}{spread} ({len(found)})" if found else "", seconds]
            if any(cells[2:]):
                lines.append(cells)
    return markdown(["network and data", "weights", "annealing", "s", "backpropagation", "s"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/grid"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=list(SMALL), choices=[*SMALL, *LARGE])
    parser.add_argument("--weights", nargs="*", default=["float", *WEIGHTS], choices=["float", *WEIGHTS])
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--more", nargs="*", default=[], help="settings of every run, such as epochs=3")
    given = parser.parse_args()
    results = Results(given.out / "results.jsonl")
    for key in runs(given.tasks, given.weights, given.methods, given.seeds):
        if not results.has(key):
            results.add(run(key, given.out, given.more))
    print(table(results.rows))


if __name__ == "__main__":
    main()
