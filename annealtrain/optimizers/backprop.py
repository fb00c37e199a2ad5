"""Backpropagation in PyTorch: the paper's baseline, on the same network, weights and samples as annealing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import TorchNetwork, import_torch
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import GridLayer, GridWeights, WeightGrid
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.runtime.validation import Rule, checked, either, number, one_of, optional, whole
from annealtrain.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW remembers of each weight


class Backpropagation(Optimizer):
    """`optimizer=backprop`: AdamW on the mean squared error of outputs and one-hot targets, or on cross-entropy.

    learning_rate: a number, or a schedule over the steps. batch_size: images a step of AdamW, drawn anew from those
    that the trainer hands over; None: all of them. threads: of PyTorch; another number may change the last bits.
    With grid=fixed it is straight-through training: the network has the weights on the grid closest to the float ones,
    and the gradients at those move the float ones; after a first share of float training, by default none of it.
    """

    step_setting = "optimizer.learning_rate"

    @checked(
        "optimizer.",
        learning_rate=either(number(above=0), Rule("a schedule", lambda value: isinstance(value, Schedule))),
        batch_size=optional(whole()),
        loss=one_of("mse", "cross_entropy"),
        weight_decay=number(0),
        threads=whole(1, 1024, "as more threads only wait"),
    )
    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        batch_size: int | None = 1,
        loss: str = "mse",
        weight_decay: float = 0.01,
        threads: int = 1,
    ) -> None:
        import_torch()
        self.learning_rate, self.batch_size, self.loss = learning_rate, batch_size, loss
        self.weight_decay, self.threads = weight_decay, threads
        self.grid: WeightGrid | None = None

    def on_grid(self, grid: WeightGrid) -> Optimizer:
        if grid.moves is not None:
            raise InputError(f"fixed_grid.moves={grid.moves} is for optimizers that anneal: backprop takes null")
        self.grid = grid
        return self

    def check(self, network: Network) -> None:
        TorchNetwork(network)

    def start(self, network: Network, *, seed: int, timer: StageTimer) -> None:
        import torch

        super().start(network, seed=seed, timer=timer)
        self._held = None if self.grid is None else GridWeights(network.trainable, self.grid)
        torch.set_num_threads(self.threads)
        # oneDNN's convolutions take twice the time of plain ones on single images, and less from 16 on.
        torch.backends.mkldnn.set_flags(self.batch_size is None or self.batch_size >= 16)
        self._torch_network = TorchNetwork(network)
        self._weights = self._torch_network.weights()
        self._optimizer = torch.optim.AdamW(self._weights, lr=1.0, weight_decay=self.weight_decay, fused=True)

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        import torch

        if self._held is not None:
            self._held.put_shadow()
        with torch.no_grad():
            for w, layer in zip(self._weights, self.network.trainable, strict=True):
                w.copy_(torch.from_numpy(layer.weights))
        inputs, outputs = (torch.from_numpy(np.ascontiguousarray(part)) for part in (batch.inputs, batch.outputs))
        parts = self._parts(len(outputs), step)
        rate = 0.0
        with self.timer.stage("backprop_s"):
            for number, part in enumerate(parts):
                at, total = step.number * len(parts) + number, step.total * len(parts)
                rate = self._rate(at, total)
                is_float = self.grid is None or at < int((self.grid.shadow or 0.0) * total)
                self._descend(inputs[part], outputs[part], rate, None if is_float else self.grid)
                if number % 64 == 0:
                    progress(0, number / len(parts))
        rows = []
        for k, (layer, w) in enumerate(zip(self.network.trainable, self._weights, strict=True)):
            layer.weights = w.detach().numpy().astype(np.float64)
            assert w.grad is not None
            norm = float(w.grad.norm())
            rows.append({"epoch": step.epoch + 1, "layer": k, "learning_rate": rate, "gradient_norm": norm})
        if self._held is not None:
            self._held.round_shadow()
        return rows

    def _parts(self, samples: int, step: Step) -> list[Any]:
        """Return which samples each step of AdamW sees, in an order of the run's seed."""
        import torch

        if self.batch_size is None:
            return [slice(None)]
        order = torch.from_numpy(generator(self.seed, Stream.SHUFFLE, step.number).permutation(samples))
        return list(order.split(self.batch_size))

    def _rate(self, number: int, total: int) -> float:
        rate = self.learning_rate
        return rate.value(number, total) if isinstance(rate, Schedule) else rate

    def _descend(self, inputs: Tensor, outputs: Tensor, rate: float, grid: WeightGrid | None) -> None:
        import torch
        from torch.nn.functional import cross_entropy, mse_loss

        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        weights = self._weights
        if grid is not None:
            # w + (S - w), of which the second term has no gradient: that of S goes straight through to w.
            on_grid = [GridLayer.nearest(w.detach().numpy(), grid).weights for w in weights]
            weights = [w + (torch.from_numpy(S).float() - w.detach()) for w, S in zip(weights, on_grid, strict=True)]
        found = self._torch_network(inputs, weights)
        (mse_loss if self.loss == "mse" else cross_entropy)(found, outputs).backward()
        self._optimizer.step()

    def state(self) -> dict[str, Array]:
        moments = [self._optimizer.state[w] for w in self._weights]
        found = {f"{name}_{k}": held[name].numpy().copy() for k, held in enumerate(moments) for name in held}
        return found | (self._held.state() if self._held is not None else {})

    def restore(self, state: dict[str, Array]) -> None:
        import torch

        if self._held is not None:
            self._held.restore(state)
        for k, w in enumerate(self._weights):
            held = {name: torch.from_numpy(state[f"{name}_{k}"]) for name in MOMENTS if f"{name}_{k}" in state}
            if any(moment.shape != w.shape for name, moment in held.items() if name != "step"):
                raise ValueError(f"moments of weights {k} have another shape than {tuple(w.shape)}")
            if held:  # none after epoch 0
                self._optimizer.state[w] = held
