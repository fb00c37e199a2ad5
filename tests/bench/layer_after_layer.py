"""n-bit LeNet, layer after layer: `python -m bench.layer_after_layer --tasks all_fashion_mnist --bits 2`.

One layer of a float run is quantised; the others, still float, train on and make up for its error; then the next layer
follows, to the last. Each step is a command that anybody may give, and is not made again. Beside it:
straight-through training in as many epochs. A line a network: test accuracy after the last epoch.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.grid import LARGE, words
from bench.results import Results

WEIGHTS = {1: "binary", 2: "two_bit"}
FLOAT_EPOCHS = 12  # of the experiments
# Chosen on validation images of Fashion-MNIST, 2 bits. The largest layer comes last, as it makes up best for others.
ORDER = (0, 1, 4, 3, 2)
RANGES = ("kronecker.half_range.first=0.001", "kronecker.half_range.last=0.0001")
CALIBRATION = 4096


def call(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "annealtrain", *command], check=True, stdout=subprocess.DEVNULL)


def scores(folder: Path) -> dict[str, float]:
    """Return the accuracies of a run's last epoch, or of a quantised network."""
    result = json.loads((folder / "result.json").read_text())
    held: dict[str, float] = result["quantized"] if "quantized" in result else result["last"]
    return {name: value for name, value in held.items() if name.endswith("accuracy") and value is not None}


def layer_after_layer(
    task: str, bits: int, seed: int, epochs: int, more: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Return what the float network, each of its stages on the way and the network of n bits score."""
    common = ["resume=true", *more]
    run = folder / f"{task}-{seed}-float"
    call("train", *words(task, "float", "annealing", seed), *common, f"hydra.run.dir={run}")
    found: dict[str, Any] = {"float": scores(run), "stages": []}
    rest = sorted(ORDER)
    for k in ORDER:
        grids = ",".join(str(bits) if j == k else "null" for j in rest)
        place = folder / f"{task}-{seed}-{bits}-layer{k}"
        how = [f"bits=[{grids}]", f"samples={CALIBRATION}", "objective=full", "progress=false"]
        call("quantize", str(run), *how, f"--output={place}")
        found["stages"].append(scores(place))
        rest.remove(k)
        if rest:
            run = folder / f"{task}-{seed}-{bits}-after{k}"
            those = f"trainable=[{','.join(map(str, rest))}]"
            settings = [those, f"init={place}/network.pt", f"epochs={epochs}", "averaging=0.99", *RANGES]
            whole = [one for one in words(task, "float", "annealing", seed) if one != "averaging=0"]
            call("train", *whole, *settings, *common, f"hydra.run.dir={run}")
    return found | found["stages"][-1]


def straight_through(task: str, bits: int, seed: int, epochs: int, more: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return what straight-through training scores in as many epochs."""
    run, total = folder / f"{task}-{seed}-{bits}-straight", FLOAT_EPOCHS + epochs * (len(ORDER) - 1)
    settings = [*words(task, WEIGHTS[bits], "backprop", seed), f"epochs={total}", "resume=true", *more]
    call("train", *settings, f"hydra.run.dir={run}")
    return scores(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/layer_after_layer"))
    parser.add_argument("--tasks", nargs="*", default=list(LARGE), choices=LARGE)
    parser.add_argument("--bits", type=int, nargs="*", default=[2, 1], choices=WEIGHTS)
    parser.add_argument("--methods", nargs="*", default=["annealing", "backprop"], choices=["annealing", "backprop"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument(
        "--epochs", type=int, default=4, help="of the layers that are left, after each that is quantised"
    )
    parser.add_argument("--more", nargs="*", default=[], help="settings of every run, such as validation=5000")
    given = parser.parse_args()
    results = Results(given.out / "results.jsonl")
    makers = {"annealing": layer_after_layer, "backprop": straight_through}
    for seed in given.seeds:
        for task in given.tasks:
            for bits in given.bits:
                for method in given.methods:
                    key = {"task": task, "bits": bits, "method": method, "seed": seed, "epochs": given.epochs}
                    if not results.has(key):
                        results.add(key | makers[method](task, bits, seed, given.epochs, given.more, given.out))


if __name__ == "__main__":
    main()
