"""The same torch module on the same batches by Hamiltonians and by PyTorch's optimizers, a JSON line a run.

    cd tests; python -m bench.torch_rivals tune --output rivals.jsonl
    cd tests; python -m bench.torch_rivals final --output rivals.jsonl --seeds 0,1,2 --optimizers kronecker,sgd
    cd tests; python -m bench.torch_rivals table --output rivals.jsonl

tune: eight settings of each optimizer on 10,000 images, 5 epochs, scored on 5,000 validation images. final: the best of
those, or what --settings says, on all images, with the epochs and seeds that are asked for, scored on test images.
Runs whose line is there are left out, and one that was stopped goes on behind its last epoch. table: what was found,
and steps and seconds to fixed training losses.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from annealtrain.errors import Diverged
from annealtrain.experiment.builder import Experiment, build
from annealtrain.experiment.compose import compose_config
from annealtrain.experiment.config import INDIFFERENT
from annealtrain.nn.torch_network import torch_threads
from annealtrain.runtime import thread_pool
from annealtrain.training.trainer import Trainer
from bench.results import Results
from bench.torch_optimizers import GRIDS, Rival, Settings, Trace, WatchedKronecker, grid, words

LOSSES = (1.5, 1.2, 1.0, 0.8, 0.6, 0.5, 0.4)  # of training batches, smoothed
NEEDS = {"soap": "pytorch_optimizer"}


class Part:
    """A file with the last epoch of a run that is on its way; of another run, by its key, it is not read."""

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path, self.key = path, key

    def read(self, trainer: Trainer) -> list[dict[str, Any]]:
        """Let the trainer go on from what is held; return the rows of the epochs that are done."""
        held = torch.load(self.path, map_location="cpu", weights_only=False) if self.path.exists() else {}
        if held.get("key") != self.key:
            return []
        trainer.network.take_others(held["weights"])
        trainer.restore(held["state"])
        trainer.optimizer.trace.__dict__ = held["trace"]
        return held["rows"]

    def write(self, trainer: Trainer, rows: list[dict[str, Any]]) -> None:
        """Hold the trainer as it is after an epoch."""
        held = trainer.checkpoint()
        trace = vars(trainer.optimizer.trace)
        torch.save(
            {"key": self.key, "weights": held.module, "state": held.state, "trace": trace, "rows": rows}, self.path
        )


def experiment_of(name: str, settings: Settings, run: dict[str, Any], more: list[str]) -> Experiment:
    """Return the run of one line, its optimizer not yet the rival."""
    validation = run["validation"]
    given = [
        f"model={run['model']}",
        *words(name, settings),
        *("augment.shift=4", "augment.flip=true", "standardise=true", "batch_size=128", "bits=8"),
        f"samples={run['samples'] or 'null'}",
        *(f"{key}={run[key]}" for key in ("epochs", "seed")),
        f"validation={validation}",
        *more,
    ]
    return build(compose_config(given, None))


def trained(name: str, settings: Settings, run: dict[str, Any], more: list[str], part: Part) -> dict[str, Any]:
    """Train once, on from what `part` holds; return the scores of each epoch and the trace of losses."""
    experiment = experiment_of(name, settings, run, more)
    with thread_pool.threads(experiment.threads):
        optimizer: Any = experiment.optimizer
        if name == "kronecker":
            optimizer.__class__, optimizer.trace = WatchedKronecker, Trace()
        else:
            optimizer = Rival(name, settings)
        experiment.optimizer.prepare(experiment.network, experiment.steps)
        sets = experiment.trainer().sets
        torch_threads(experiment.threads)  # the runner's own backpropagation, in whose place the rival is, takes one
        if run["stage"] == "tune":
            del sets["test"]
        trainer = Trainer(
            experiment.network,
            sets,
            optimizer,
            epochs=run["epochs"],
            seed=run["seed"],
            batch_size=experiment.config["batch_size"],
        )
        try:
            epochs = _epochs(trainer, part)
        except Diverged as error:
            return {"epochs": [], "trace": [], "fault": str(error)}
    return {"epochs": epochs, "trace": optimizer.trace.rows}


def _epochs(trainer: Trainer, part: Part) -> list[dict[str, Any]]:
    rows = part.read(trainer)
    for epoch in range(len(rows), trainer.epochs):
        for step, batch in trainer._batches(epoch):
            trainer.optimizer.step(batch, step, lambda layer, done: None)
        row = {"epoch": epoch + 1}
        for name in set(trainer.sets) - {"train"}:
            loader = trainer.sets[name]
            outputs = trainer.network.predict(loader)
            row[f"{name}_accuracy"] = float((outputs.argmax(axis=1) == loader.labels).mean())
            if not np.isfinite(outputs).all():
                raise Diverged("its outputs are no numbers")
        rows.append(row)
        part.write(trainer, rows)
    return rows


def best_settings(rows: list[dict[str, Any]], model: str, name: str) -> Settings:
    """Return the settings of the highest validation accuracy of the last epoch, a mean over seeds."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if (row["stage"], row["model"], row["optimizer"]) == ("tune", model, name) and row["epochs_done"]:
            found.setdefault(json.dumps(row["settings"]), []).append(row["epochs_done"][-1]["val_accuracy"])
    if not found:
        raise SystemExit(f"{name}: no tuned settings of {model} in the file: run tune first")
    best: Settings = json.loads(max(found, key=lambda key: float(np.mean(found[key]))))
    return best


def do(
    results: Results, jobs: list[tuple[str, Settings, dict[str, Any]]], more: list[str], tell: Callable[..., None]
) -> None:
    """Train what the file does not hold yet; each line is written as its run ends."""
    for name, settings, run in jobs:
        key = {**run, "optimizer": name, "settings": settings}
        if results.has(key):
            continue
        if name in NEEDS and find_spec(NEEDS[name]) is None:
            tell(f"{name} is left out: pip install {NEEDS[name].replace('_', '-')}")
            continue
        began = time.perf_counter()
        settled = [word for word in more if word.partition("=")[0] not in INDIFFERENT]
        part = Part(results.path.with_suffix(".part"), {**key, "more": settled})
        found = trained(name, settings, run, more, part)
        line = {**key, "epochs_done": found.pop("epochs"), **found, "seconds": time.perf_counter() - began}
        results.add(line, told=False)
        part.path.unlink(missing_ok=True)
        last = line["epochs_done"][-1] if line["epochs_done"] else line.get("fault")
        tell(f"{run['stage']} {name} {settings} seed {run['seed']}: {last}, {line['seconds']:.0f} s")


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line an optimizer and stage: accuracies, and steps and seconds to fixed training losses."""
    lines = []
    for row in rows:
        done = row["epochs_done"]
        scores = ", ".join(f"{name} {value:.4f}" for name, value in (done[-1] if done else {}).items() if "acc" in name)
        reached = []
        for loss in LOSSES:
            first = next((entry for entry in row["trace"] if entry[2] <= loss), None)
            reached.append(f"{loss}: {first[0]:.0f} steps {first[1]:.0f} s" if first else f"{loss}: -")
        lines.append(f"{row['stage']} {row['model']} {row['optimizer']} {row['settings']} seed {row['seed']}: {scores}")
        lines.append(f"    {'; '.join(reached)}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["tune", "final", "table"])
    parser.add_argument("--output", type=Path, required=True, help="the file of JSON lines")
    parser.add_argument("--model", default="resnet8", help="a name of the group model")
    parser.add_argument("--optimizers", default=",".join(GRIDS))
    parser.add_argument("--epochs", type=int, help="tune: 5, final: 20")
    parser.add_argument("--samples", type=int, help="tune: 10000, final: all; 0: all")
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--settings", type=json.loads, help='of one optimizer, as JSON, such as {"rate": 0.1, "decay": 0.01}'
    )
    parser.add_argument("--validation", type=int, help="images held back from training; tune: 5000, final: 0")
    parser.add_argument("more", nargs="*", help="words for every run, such as dataset=digits threads=1")
    given = parser.parse_intermixed_args(arguments)
    results = Results(given.output)
    if given.stage == "table":
        print(table(results.rows))
        return
    is_tune = given.stage == "tune"
    run = {
        "stage": given.stage,
        "model": given.model,
        "samples": given.samples if given.samples is not None else 10_000 if is_tune else 0,
        "epochs": given.epochs or (5 if is_tune else 20),
        "validation": given.validation if given.validation is not None else 5000 if is_tune else 0,
    }
    more = given.more if any(word.startswith("dataset=") for word in given.more) else ["dataset=cifar10", *given.more]
    jobs = []
    for name in given.optimizers.split(","):
        if given.settings:
            tried = [given.settings]
        else:
            tried = list(grid(name)) if is_tune else [best_settings(results.rows, given.model, name)]
        jobs += [(name, settings, {**run, "seed": int(seed)}) for settings in tried for seed in given.seeds.split(",")]
    do(results, jobs, more, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
