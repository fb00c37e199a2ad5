"""`python -m bench.passes`: the project's NumPy layers beside PyTorch's, forward and back, on one core.

Prints microseconds an image, the best of many repetitions of each in turn, for LeNet and three_conv.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from annealtrain.nn.forward import Tape
from annealtrain.nn.layers import Conv2d, Flatten, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import TorchNetwork
from annealtrain.runtime import thread_pool

BATCH = 64
NETWORKS = {
    "lenet": lambda: [
        Conv2d(6, 5),
        SpectralPool2d([14, 14]),
        Conv2d(16, 5),
        SpectralPool2d([5, 5]),
        Conv2d(120, 5),
        Flatten(),
        Linear(84),
        Linear(10),
    ],
    "three_conv": lambda: [
        Conv2d(10, 5),
        SpectralPool2d([14, 14]),
        Conv2d(30, 5),
        SpectralPool2d([5, 5]),
        Conv2d(10, 5),
        Flatten(),
    ],
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.passes", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    asked = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    print("| network | pass | PyTorch, us an image | NumPy | ratio |\n| --- | --- | --- | --- | --- |")
    with thread_pool.threads(1):
        for name, layers in NETWORKS.items():
            network = Network(layers(), (1, 32, 32), 10, alpha=0.001)
            for kind, theirs, ours in (("forward", *forward(network)), ("forward and back", *both(network))):
                seconds = best_of(asked.repeats, theirs, ours)
                peer, own = (1e6 * s / BATCH for s in seconds)
                print(f"| {name} | {kind} | {peer:.0f} | {own:.0f} | {own / peer:.2f} |", flush=True)
    return 0


def images() -> np.ndarray:
    return np.random.default_rng(0).random((BATCH, 1, 32, 32)).astype(np.float32)


def forward(network: Network) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    peer_network, x = TorchNetwork(network), images()
    weights, tensor = [w.detach() for w in peer_network.weights()], torch.from_numpy(images())
    return (lambda: peer_network(tensor, weights)), (lambda: Tape(network, x))


def both(network: Network) -> tuple[Callable[[], object], Callable[[], object]]:
    import torch

    peer_network, x = TorchNetwork(network), images()
    weights, tensor = peer_network.weights(), torch.from_numpy(images())

    def theirs() -> None:
        (peer_network(tensor, weights) ** 2).sum().backward()

    def ours() -> None:
        there = Tape(network, x)
        for layer, held, dz in zip(network.trainable, there.inputs, there.backward(2 * there.outputs), strict=True):
            layer.gradient(held, dz)

    return theirs, ours


def best_of(repeats: int, *jobs: Callable[[], object]) -> list[float]:
    """Return the shortest time of each job; they take turns, so that a busy machine is busy for all."""
    best = [np.inf] * len(jobs)
    for _ in range(repeats):
        for k, job in enumerate(jobs):
            started = time.perf_counter()
            job()
            best[k] = min(best[k], time.perf_counter() - started)
    return best


if __name__ == "__main__":
    raise SystemExit(main())
