"""One of the processes that train together: what tests/test_ranks.py starts, and its reference where there is one.

python tests/two_ranks.py RANK SIZE STORE PARENT OUT
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_networks import images, one_hot, seeded

from annealtrain.cli import main
from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.layers import Conv2d, Flatten, Linear
from annealtrain.nn.network import Network
from annealtrain.nn.run_module import RunModule
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.runtime.lifeline import end_with_parent
from annealtrain.schedule import LinearSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.torch import IsingKronecker
from annealtrain.training.trainer import Trainer

WORDS = [
    *("train", "model=linear_small", "dataset=digits", "samples=100", "validation=20", "epochs=2", "batch_size=30"),
    *("optimizer=kronecker", "threads=1", "progress=false", "averaging=0.9"),
]
LIMIT = timedelta(seconds=300)
GREEDY = SimulatedAnnealing(2, move="greedy", start="present")


def module(seed=0):
    """A network with norms that no batch moves: group norm sees each sample alone."""

    def made():
        layers = [nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.Tanh()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 3))

    return seeded(made)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01)


def in_a_loop(rank, size, wrapped=False):
    """Train with IsingKronecker on a rank's share of batches of 24; return the weights."""
    made = module()
    if rank:
        with torch.no_grad():
            made[0].weight.add_(1)  # the first rank's are taken
    model = nn.parallel.DistributedDataParallel(made) if wrapped and size > 1 else made
    opt = IsingKronecker(model, solver=GREEDY, half_range=0.01, every=3, rest=adamw, threads=1)
    x, y = torch.from_numpy(images(48)), torch.from_numpy(one_hot(48).argmax(1))
    for number in range(3 if wrapped else 12):
        at = slice(24 * (number % 2) + rank, 24 * (number % 2) + 24, size)
        opt.step(lambda at=at: F.cross_entropy(model(x[at]), y[at]))
    return {f"loop.{wrapped}.{name}": value.numpy() for name, value in made.state_dict().items()}


class Log:
    def __init__(self):
        self.rows, self.solves = [], []

    def epoch_done(self, row, solves, checkpoint):
        self.rows.append(row)
        self.solves += solves

    def solving(self, epoch, layer, done):
        pass


def in_a_run(kind):
    """Train with the runner's loop, NumPy layers or a module; return the weights, and each epoch's loss."""
    if kind == "numpy":
        layers = [Conv2d(4, 3, padding=1), Conv2d(4, 3, 2), Flatten(), Linear(3)]
        network = Network(layers, (2, 7, 7), 3, alpha=0.1, bias=True)
    else:
        network = RunModule(module(), (2, 7, 7), rest=adamw)
    optimizer = Kronecker(loss="cross_entropy", solver=GREEDY, half_range=LinearSchedule(0.01, 0.001), bits=8, every=3)
    samples = Loader(images(70), one_hot(70).argmax(1))
    log = Log()
    Trainer(network, {"train": samples}, optimizer, epochs=1, seed=0, batch_size=23).run(log)
    found = {f"{kind}.{k}": layer.weights for k, layer in enumerate(network.trainable)}
    found[f"{kind}.loss"] = np.array([row["train_loss"] for row in log.rows])
    found[f"{kind}.changes"] = np.array([row["actual_change"] for row in log.solves])
    return found


def refusals(rank):
    """Return what processes are told that differ in a setting, in the layers, in the module, or in their data."""
    told = []

    def attempt(call):
        try:
            call()
            told.append("")
        except InputError as error:
            told.append(str(error))

    attempt(lambda: IsingKronecker(module(), rest=adamw, bits=8 - rank))
    attempt(lambda: IsingKronecker(module(), rest=adamw, layers=[1] if rank else None))
    attempt(lambda: IsingKronecker(nn.Linear(3, 2 + rank), solver=GREEDY))
    attempt(lambda: IsingKronecker(nn.Linear(3, 2), threads=1 + rank).close())  # may differ
    network = Network([Conv2d(4, 3), Flatten(), Linear(3)], (2, 7, 7), 3)
    optimizer = Kronecker(solver=GREEDY, half_range=LinearSchedule(0.01, 0.001), bits=8)
    samples = Loader(images(20), np.roll(one_hot(20).argmax(1), rank))
    attempt(lambda: Trainer(network, {"train": samples}, optimizer, epochs=1, seed=0, batch_size=10).run(Log()))
    return told


def all_of_them(rank=0, size=1):
    torch.set_num_threads(1)
    loops = in_a_loop(rank, size) | in_a_loop(rank, size, wrapped=True)
    return loops | in_a_run("numpy") | in_a_run("module")


if __name__ == "__main__":
    rank, size, store, parent, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
    end_with_parent(parent)
    store = torch.distributed.FileStore(store, size)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=LIMIT)
    (Path(out) / f"{rank}.json").write_text(json.dumps(refusals(rank)))
    np.savez(Path(out) / f"{rank}.npz", **all_of_them(rank, size))
    os.environ |= {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": str(size), "RANK": str(rank)}  # as torchrun does
    code = main([*WORDS, f"hydra.run.dir={out}/two"])
    torch.distributed.destroy_process_group()
    sys.exit(code)
