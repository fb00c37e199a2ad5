"""Real networks on coarse grids, by rounding, GPTQ, beam search and annealing: `python -m bench.quantization`.

Each row of the file is one network (trained with a seed), one number of levels and one method: test accuracy, and the
errors of all layers on held-out images. Rows that the file has are not made again; the table is of all its rows.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import annealtrain
from annealtrain.runtime import thread_pool
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.solvers.lattice.babai import Babai
from annealtrain.solvers.lattice.beam import Beam
from annealtrain.solvers.solver import Solver
from bench.report import markdown
from bench.results import Results
from bench.trained_networks import HELD_OUT, NETWORKS, accuracy, pixels, trained

CALIBRATION = 1024


class Rounding(Solver):
    """Each weight to its closest level."""

    def sample(self, form: Any, seed: Any) -> tuple[np.ndarray, dict[str, float]]:
        return form.nearest_levels(np.zeros(form.S0.size))[None], {}


METHODS: dict[str, Callable[[], dict[str, Any]]] = {
    "rounding": lambda: {"solver": Rounding(), "compensate": False, "refit_bias": False},
    "GPTQ": lambda: {"solver": Babai()},
    "GPTQ, descent": lambda: {"solver": Babai(descent=True)},
    "beam 128": lambda: {"solver": Beam(128, descent=False)},
    "beam 128, descent": lambda: {"solver": Beam(128)},
    "sa from babai": lambda: {"solver": SimulatedAnnealing(start="babai")},
    "sa": lambda: {"solver": SimulatedAnnealing(start="beam")},
    "sa, 6,000 sweeps": lambda: {"solver": SimulatedAnnealing(6000, start="beam")},
    "sa, 48 blocks": lambda: {"solver": SimulatedAnnealing(start="beam", num_blocks=48)},
    "GPTQ, descent, damped": lambda: {"solver": Babai(descent=True), "damping": 0.1},  # as much as `full` is
    "sa, damped": lambda: {"solver": SimulatedAnnealing(start="beam"), "damping": 0.1},
    "GPTQ, descent, full": lambda: {"solver": Babai(descent=True), "objective": "full"},
    "sa, full": lambda: {"solver": SimulatedAnnealing(start="beam"), "objective": "full"},
}
PLAIN = {"compensate": False, "refit_bias": False}  # of methods called NAME, plain: each layer by itself
LEVELS = {"1": 2, "ternary": 3, "2": 4, "3": 8, "4": 16}


def row(name: str, seed: int, bits: str, method: str, folder: Path) -> dict[str, Any]:
    """Return what a method makes of a network."""
    module, dataset = trained(name, seed, folder)
    random = np.random.default_rng(seed)
    calibration = random.choice(len(dataset.train_images) - HELD_OUT, CALIBRATION, replace=False)
    held_out = pixels(dataset.train_images[-HELD_OUT:][:CALIBRATION])
    settings = METHODS[method.removesuffix(", plain")]() | (PLAIN if method.endswith(", plain") else {})
    started = time.process_time()
    found = annealtrain.quantize(
        module,
        [pixels(dataset.train_images[calibration])],
        levels=LEVELS[bits],
        held_out=[held_out],
        samples=CALIBRATION,
        seed=seed,
        threads=1,
        **settings,
    )
    return {
        "network": name,
        "seed": seed,
        "bits": bits,
        "method": method,
        "float": accuracy(module, dataset.test_images, dataset.test_labels),
        "accuracy": accuracy(found.module, dataset.test_images, dataset.test_labels),
        "kl": divergence(module, found.module, held_out),
        "held_out": [one["held_out_error"] for one in found.table],
        "calibration": [one["error"] for one in found.table],
        "seconds": time.process_time() - started,
    }


def divergence(module: Any, other: Any, x: Any) -> float:
    """Return the mean KL divergence of the quantised outputs from the float ones."""
    import torch

    with torch.no_grad():
        p, q = (one(x).double().log_softmax(1) for one in (module, other))
    return float((p.exp() * (p - q)).sum(1).mean())


def table(rows: list[dict[str, Any]], base: str = "GPTQ, descent") -> str:
    """Return a row for each network, bits and method: accuracy, and layer errors relative to GPTQ and descent."""
    lines = []
    kinds = dict.fromkeys((one["network"], one["bits"], one["method"]) for one in rows)
    for name, bits, method in kinds:
        own = [one for one in rows if (one["network"], one["bits"], one["method"]) == (name, bits, method)]
        others = {
            one["seed"]: one for one in rows if (one["network"], one["bits"], one["method"]) == (name, bits, base)
        }
        ratios = [
            float(np.mean(np.divide(one["held_out"], others[one["seed"]]["held_out"])))
            for one in own
            if one["seed"] in others
        ]
        accuracies = [one["accuracy"] for one in own]
        spread = f" ± {np.std(accuracies):.4f}" if len(own) > 1 else ""
        lines.append(
            [
                *(name, bits, method),
                f"{np.mean([one['float'] for one in own]):.4f}",
                f"{np.mean(accuracies):.4f}{spread}",
                f"{np.mean([one['kl'] for one in own]):.4f}",
                f"{np.mean(ratios):.3f}" if ratios else "",
                f"{np.mean([one['seconds'] for one in own]):.0f}",
            ]
        )
    head = ["network", "bits", "method", "float", "accuracy", "KL", "layer error", "s"]
    return markdown(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=["lenet", "cnn"], choices=list(NETWORKS))
    parser.add_argument("--bits", nargs="*", default=["1", "ternary", "2", "3"], choices=list(LEVELS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of training and calibration")
    parser.add_argument("--file", type=Path, default=Path("outputs/bench/quantization.jsonl"))
    parser.add_argument("--trained", type=Path, help="a folder for the networks; default: `networks` beside the file")
    words = parser.parse_args()
    results, folder = Results(words.file), words.trained or words.file.parent / "networks"
    for seed, name, bits, method in product(words.seeds, words.networks, words.bits, words.methods):
        if not results.has({"network": name, "seed": seed, "bits": bits, "method": method}):
            with thread_pool.threads(1):
                results.add(row(name, seed, bits, method, folder))
    print(table(results.rows))


if __name__ == "__main__":
    main()
