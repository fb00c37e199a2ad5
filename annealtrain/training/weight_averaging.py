"""Averaged weights: what is scored and kept where single steps are noisy."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from annealtrain.nn.network import Network
from annealtrain.runtime.array_types import Array


class Averages:
    """An exponential average of a network's weights over the steps of a run, without bias towards the first."""

    def __init__(self, network: Network, decay: float) -> None:
        self._layers, self._decay, self._weight = network.trainable, decay, 0.0
        self._sums = [np.zeros_like(layer.weights) for layer in self._layers]

    def add(self) -> None:
        """Take the present weights into the average."""
        self._weight = self._decay * self._weight + 1 - self._decay
        for total, layer in zip(self._sums, self._layers, strict=True):
            total *= self._decay
            total += (1 - self._decay) * layer.weights

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the averages for a while."""
        present = [layer.weights for layer in self._layers]
        if self._weight:
            for total, layer in zip(self._sums, self._layers, strict=True):
                layer.weights = total / self._weight
        try:
            yield
        finally:
            for weights, layer in zip(present, self._layers, strict=True):
                layer.weights = weights

    def state(self) -> dict[str, Array]:
        sums = {f"average_{k}": total.copy() for k, total in enumerate(self._sums)}
        present = {f"present_{k}": layer.weights for k, layer in enumerate(self._layers)}
        return {"average_weight": np.array(self._weight), **sums, **present}

    def restore(self, state: dict[str, Array]) -> None:
        self._weight = float(state["average_weight"])
        self._sums = [state[f"average_{k}"] for k in range(len(self._layers))]
        for k, layer in enumerate(self._layers):
            layer.weights = state[f"present_{k}"]
