"""The optimizers that a torch module is trained by in `torch_rivals`, and the settings that are tried of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.optimizer import Batch, Optimizer, Progress, Step
from annealtrain.runtime.array_types import Row

Settings = dict[str, float]
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {  # moved until the best on resnet8 lay inside
    "kronecker": {"half_range": (0.02, 0.03, 0.05, 0.1), "eta": (1.5, 3), "power": (0.5,)},
    "sgd": {"rate": (0.1, 0.2, 0.4, 0.8), "decay": (5e-4, 2e-3)},
    "adamw": {"rate": (0.003, 0.01, 0.02, 0.05), "decay": (0.01, 0.05)},
    "muon": {"rate": (0.03, 0.1, 0.2, 0.4), "decay": (0.01, 0.05)},
    "soap": {"rate": (0.001, 0.003, 0.01, 0.02), "decay": (0.01, 0.05)},
}
WARM_UP = 0.2  # share of the steps in which the rates of rivals rise; they fall to 0 after it
SMOOTHED = 0.98  # decay of the average of batches' losses
EVERY = 10  # steps between two entries of a trace


def grid(name: str) -> Iterator[Settings]:
    """Yield the settings that are tried of an optimizer: eight of each."""
    values = GRIDS[name]
    yield from (dict(zip(values, each, strict=True)) for each in product(*values.values()))


def words(name: str, settings: Settings) -> list[str]:
    """Return the words of a run that these settings are of; rivals' are not the runner's."""
    if name != "kronecker":
        return ["optimizer=backprop", "optimizer.batch_size=null", "optimizer.loss=cross_entropy"]
    first, eta = settings["half_range"], settings["eta"]
    ranges = [f"kronecker.half_range.first={first}", f"kronecker.half_range.last={first / 20}"]
    named = {"rest_rate": "rest.learning_rate"}
    rest = {key: value for key, value in settings.items() if key not in ("half_range", "eta")}
    others = [f"{named.get(key, f'optimizer.{key}')}={value}" for key, value in rest.items()]
    return ["optimizer=kronecker", f"kronecker.eta={eta}", "kronecker.loss=cross_entropy", *ranges, *others]


class Trace:
    """What batches' losses were on the way: [steps, seconds of training, smoothed loss]."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self._seconds, self._sum, self._steps = 0.0, 0.0, 0

    def add(self, loss: float, seconds: float) -> None:
        self._seconds += seconds
        self._sum = SMOOTHED * self._sum + (1 - SMOOTHED) * loss
        self._steps += 1
        if self._steps % EVERY == 0:
            smoothed = self._sum / (1 - SMOOTHED**self._steps)
            self.rows.append([self._steps, round(self._seconds, 3), round(smoothed, 5)])


class WatchedKronecker(Kronecker):
    """`kronecker` that writes down its batches' losses."""

    trace: Trace

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        began = time.perf_counter()
        rows = super().step(batch, step, progress)
        self.trace.add(self._last, time.perf_counter() - began)
        return rows

    def _loss_and_gradients(self, batch: Batch, step: int | None = None) -> Any:
        found = super()._loss_and_gradients(batch, step)
        self._last = found[0]
        return found


class Rival(Optimizer):
    """Trains all weights of a module by an optimizer of PyTorch's: cross-entropy, rates that rise and fall."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings, self.trace = name, settings, Trace()

    def start(self, network: Any, **more: Any) -> None:
        super().start(network, **more)
        self._views: list[tuple[nn.Parameter, nn.Parameter]] = []
        self._optimizers = self._made(dict(network.module.named_parameters()))

    def _made(self, parameters: dict[str, nn.Parameter]) -> list[Any]:
        rate, decay = self.settings["rate"], self.settings["decay"]
        large = [p for p in parameters.values() if p.ndim > 1]
        small = [p for p in parameters.values() if p.ndim <= 1]  # biases and scales of norms are not decayed
        if self.name == "muon":
            head = [p for name, p in parameters.items() if name.startswith("head.") and p.ndim > 1]
            hidden = [p for p in large if all(p is not one for one in head)]
            self._views = [(p, nn.Parameter(p.detach().flatten(1).clone())) for p in hidden]  # it takes matrices
            muon = torch.optim.Muon(
                [view for _, view in self._views], lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
            return [muon, torch.optim.AdamW(_groups(head, small, decay), lr=rate)]
        groups = _groups(large, small, decay)
        if self.name == "sgd":
            return [torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)]
        if self.name == "soap":
            from pytorch_optimizer import SOAP

            return [SOAP(groups, lr=rate)]
        return [torch.optim.AdamW(groups, lr=rate)]

    def step(self, batch: Batch, step: Step, progress: Progress) -> list[Row]:
        began, share = time.perf_counter(), (step.number + 1) / step.total
        rate = self.settings["rate"] * min(share / WARM_UP, (1 - share) / (1 - WARM_UP))
        network = self.network
        with network.training(step.number):
            found = network.run(batch.inputs)
            loss = functional.cross_entropy(found, torch.from_numpy(np.ascontiguousarray(batch.outputs)).to(found))
            network.module.zero_grad()
            loss.backward()
        for parameter, view in self._views:
            view.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        for parameter, view in self._views:
            parameter.data.copy_(view.data.reshape(parameter.shape))
        self.trace.add(float(loss.detach()), time.perf_counter() - began)
        return []

    def state(self) -> dict[str, Any]:
        return {f"torch.{number}": optimizer.state_dict() for number, optimizer in enumerate(self._optimizers)}

    def restore(self, state: dict[str, Any]) -> None:
        for number, optimizer in enumerate(self._optimizers):
            optimizer.load_state_dict(state[f"torch.{number}"])
        for parameter, view in self._views:
            view.data.copy_(parameter.data.flatten(1))


def _groups(large: list[nn.Parameter], small: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    return [{"params": large, "weight_decay": decay}, {"params": small, "weight_decay": 0.0}]
