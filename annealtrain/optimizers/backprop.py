"""Backpropagation in PyTorch: the paper's baseline, on the same network, weights and samples as annealing.

It trains torch modules too, all of their weights but the frozen ones.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.nn import footprint
from annealtrain.nn.losses import LOSSES
from annealtrain.nn.model import Model
from annealtrain.nn.network import Network
from annealtrain.nn.torch_network import TorchNetwork, import_torch
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.optimizers.weight_grid import HELD_BYTES, OF_SHADOW, GridLayer, GridWeights, WeightGrid
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.random_streams import Stream, generator
from annealtrain.runtime.stage_timer import StageTimer
from annealtrain.runtime.validation import Rule, checked, either, number, one_of, optional, whole
from annealtrain.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor

# What AdamW, and gradient descent, remember of each weight.
MOMENTS = ("exp_avg", "exp_avg_sq", "step", "momentum_buffer")


class Backpropagation(Optimizer):
    """`optimizer=backprop`: AdamW on the mean squared error of outputs and one-hot targets, or on cross-entropy.

    learning_rate: a number, or a schedule over the steps. batch_size: images a step of AdamW, drawn anew from those
    that the trainer hands over; None: all of them. threads: of PyTorch; another number may change the last bits.
    rule: adamw, or sgd with Nesterov's momentum.
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
        rule=one_of("adamw", "sgd"),
        momentum=number(above=0, below=1),
    )
    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        batch_size: int | None = 1,
        loss: str = "mse",
        weight_decay: float = 0.01,
        threads: int = 1,
        rule: str = "adamw",
        momentum: float = 0.9,
    ) -> None:
        import_torch()
        self.learning_rate, self.batch_size, self.loss = learning_rate, batch_size, loss
        self.weight_decay, self.threads, self.rule, self.momentum = weight_decay, threads, rule, momentum
        self.grid: WeightGrid | None = None

    def on_grid(self, grid: WeightGrid) -> Optimizer:
        if grid.moves is not None:
            raise InputError(f"fixed_grid.moves={grid.moves} is for optimizers that anneal: backprop takes null")
        self.grid = grid
        return self

    def check(self, network: Model) -> None:
        if isinstance(network, Network):
            TorchNetwork(network)

    def start(self, network: Model, *, seed: int, timer: StageTimer) -> None:
        import torch

        super().start(network, seed=seed, timer=timer)
        self._held = (
            None if self.grid is None else GridWeights(network.trainable, self.grid, share=self.grid.shadow or 0.0)
        )
        torch.set_num_threads(self.threads)
        # oneDNN's convolutions take twice the time of plain ones on single images, and less from 16 on.
        torch.backends.mkldnn.set_flags(self.batch_size is None or self.batch_size >= 16)
        self._body: Any = network
        if isinstance(network, Network):
            self._body = TorchNetwork(network)
        elif self.loss == "cross_entropy":  # the recorded loss of NumPy networks is the MSE, as it was always
            self.objective = LOSSES[self.loss]
        self._weights: list[Tensor] = self._body.weights()
        settings: dict[str, Any] = {"lr": 1.0, "weight_decay": self.weight_decay, "fused": True}
        if self.rule == "adamw":
            self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(self._weights, **settings)
        else:
            self._optimizer = torch.optim.SGD(self._weights, momentum=self.momentum, nesterov=True, **settings)

    def step_bytes(self, network: Model, samples: int, threads: int) -> int:
        weights = sum(prod(layer.weight_shape) for layer in network.trainable)
        size = min(self.batch_size or samples, samples)
        # Weights, gradients and two moments, ours in float64 and a checkpoint's copies beside them.
        held = 48 * weights + (HELD_BYTES * weights if self.grid is not None else 0)
        if not network.is_chain:
            return held + footprint.pass_bytes(network, size, threads)
        unfolded = sum(footprint.unfolded(layer) for layer in network.trainable)
        # And torch's own code that is read in as it is used.
        held += 4 * size * (2 * footprint.activations(network) + unfolded) + footprint.OF_TORCH
        return held + threads * footprint.chunk_bytes(network)

    def scheduled(self) -> list[str]:
        is_stretched = isinstance(self.learning_rate, Schedule) and self.learning_rate.is_stretched
        found = ["the learning rate"] if is_stretched else []
        return [*found, OF_SHADOW] if self.grid is not None and self.grid.shadow else found

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        import torch

        if self._held is not None:
            self._held.put_shadow()
        self._body.pull(self._weights)
        inputs, outputs = (torch.from_numpy(np.ascontiguousarray(part)) for part in (batch.inputs, batch.outputs))
        parts = self._parts(len(outputs), step)
        rate = 0.0
        with self.timer.stage("backprop_s"), self._body.training(step.number):
            for number, part in enumerate(parts):
                at, total = step.number * len(parts) + number, step.total * len(parts)
                rate = self._rate(at, total)
                is_float = self._held is None or self._held.trains_float(at, total)
                self._descend(inputs[part], outputs[part], rate, None if is_float else self.grid)
                if number % 64 == 0:
                    progress(0, number / len(parts))
        self._body.push(self._weights)
        if self._held is not None:
            self._held.round_shadow()
        norms = self._body.gradient_norms(self._weights)
        told = {"epoch": step.epoch + 1, "learning_rate": rate}
        return [{**told, "layer": k, "gradient_norm": norm} for k, norm in enumerate(norms)]

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
        from torch.nn.functional import cross_entropy, mse_loss

        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        behind = self._put_nearest(grid) if grid is not None else []
        found = self._body(inputs, self._weights)
        (mse_loss if self.loss == "mse" else cross_entropy)(found, outputs.to(found.device)).backward()
        for w, value in zip(self._weights, behind, strict=False):
            w.data.copy_(value)
        self._optimizer.step()

    def _put_nearest(self, grid: WeightGrid) -> list[Tensor]:
        """Give the weights their nearest on the grid, whose gradients then go straight through; return the float ones.

        A module's weights are its parameters, several a layer, so the layers say what lies on one grid.
        """
        behind = [w.detach().clone() for w in self._weights]
        self._body.push(self._weights)
        for layer in self.network.trainable:
            layer.weights = GridLayer.nearest(layer.weights, grid).weights
        self._body.pull(self._weights)
        return behind

    def state(self) -> dict[str, Array]:
        from annealtrain.nn.torch_layers import as_array

        moments = [self._optimizer.state[w] for w in self._weights]
        pairs = [(f"{name}_{k}", value) for k, held in enumerate(moments) for name, value in held.items()]
        found = {name: as_array(value).copy() for name, value in pairs if value is not None}
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
                to = {name: torch.float32 if name == "step" else w.dtype for name in held}
                self._optimizer.state[w] = {name: one.to(w.device, to[name]) for name, one in held.items()}
