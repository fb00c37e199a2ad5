"""The annealed layers of a module in a training loop: their gradients, their curvature, their next Hamiltonians."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annealtrain.commands.torch_optimizer.last_inputs import LastInputs
from annealtrain.commands.torch_optimizer.next_problem import NextProblem
from annealtrain.errors import Diverged, InputError, is_memory_full
from annealtrain.nn.losses import LOSSES, SQUARED_ERROR, BinaryCrossEntropy, Loss
from annealtrain.nn.torch_layers import TorchLayer
from annealtrain.nn.torch_module import TorchModule
from annealtrain.nn.torch_tape import HIDDEN
from annealtrain.optimizers.kronecker_model import KroneckerModel
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.random_streams import Stream, generator, stream
from annealtrain.runtime.ranks import Ranks
from annealtrain.runtime.validation import fault_in_one_line
from annealtrain.solvers.solver import Solver

PROBED = 64  # samples of a curvature probe, of all ranks together
WARM_UP = 10  # first steps that each renew the curvature
SOLVES = 1000  # steps that a solver is told to expect
# Losses that PyTorch's functions average over outputs too, by what their sums over outputs curve like.
MEANS: dict[str, Loss] = {"mse": SQUARED_ERROR, "binary_cross_entropy": BinaryCrossEntropy()}
LOG = logging.getLogger(__name__)


class Annealed:
    """Layers of a module and the averages that their Hamiltonians are made of.

    ranks: processes that train together, each on its own batch. inputs: of the module's last call.
    settings: of the averages, see KroneckerModel.
    number: of the next step. The other arguments are as in `IsingKronecker`.
    """

    def __init__(
        self,
        network: TorchModule,
        solver: Solver,
        ranks: Ranks,
        inputs: LastInputs,
        *,
        bits: int,
        loss: str,
        every: int,
        seed: int,
        threads: int | None,
        **settings: Any,
    ) -> None:
        self.network, self.solver, self.ranks, self.settings = network, solver, ranks, settings
        self.bits, self.loss, self.every, self.seed, self.threads = bits, loss, every, seed, threads
        self.number = 0
        self._free: list[Array] = []  # of each layer, which weights of a unit had gradients when they were last read
        self.model: KroneckerModel | None = None  # from the first step on, when it is known what a pass goes through
        self.inputs = inputs
        inputs.samples = max(PROBED // ranks.size, 1)
        self._ready_solver()
        self._start_alike()

    def move(self, half_range: float, eta: float) -> None:
        """Move the layers' weights by one step: each solves its Hamiltonians, on the rank that it is shared out to."""
        with torch.no_grad(), self._threaded():
            model = self.met()
            self._advance(model, self._gradients())
            if half_range > 0:  # schedules may begin or end with 0
                self._solve(model, half_range, eta)
            self.number += 1

    def _solve(self, model: KroneckerModel, half_range: float, eta: float) -> None:
        layers, ranks = self.network.trainable, self.ranks
        owners = ranks.shared_out([M * N * N for M, N in (layer.weight_shape for layer in layers)])
        changes = [np.zeros(layer.weight_shape) for layer in layers]
        own = [k for k, owner in enumerate(owners) if owner == ranks.rank and self._free[k].any()]
        model.prepare(own)
        for k in own:
            changes[k] = self._problem(model, k, half_range, eta).solve().best_weights
        for layer, change in zip(layers, ranks.from_owners(changes, owners), strict=True):
            layer.weights = layer.weights + change

    def problems(self, half_range: float, eta: float) -> list[NextProblem]:
        """Return the Hamiltonians of the next step, one NextProblem a layer; nothing is moved."""
        if half_range == 0:
            raise InputError("the range, lr of the first group, is 0: the next step moves nothing")
        with torch.no_grad(), self._threaded():
            model = deepcopy(self.met())
            self._advance(model, self._gradients(keep=True))
            return [self._problem(model, k, half_range, eta) for k in range(len(self.network.trainable))]

    def met(self) -> KroneckerModel:
        """Return the averages; before the first step it is found out which layers a pass goes through once."""
        if self.model is None:
            with self._looking() as call:
                gone = self.network.meet(call, training=None)
            if gone:
                then = "rest moves it" if self.network.makes_rest else "it stays: give rest=torch.optim.AdamW"
                LOG.warning(
                    "a pass does not go exactly once through %s: it is annealed no more, %s", ", ".join(gone), then
                )
            self.model = self.new_model(self.network.trainable)
        return self.model

    def new_model(self, layers: Sequence[TorchLayer]) -> KroneckerModel:
        """Return averages of nothing yet, of some layers."""
        shapes, matrices = [layer.weight_shape for layer in layers], self.network.matrices
        return KroneckerModel(shapes, ranks=self.ranks, matrices=matrices, **self.settings)

    def restored(self, layers: Sequence[TorchLayer], averages: Mapping[str, Tensor]) -> KroneckerModel | None:
        """Return the averages of some layers that a state holds, None where it is of no step; InputError for others."""
        if not averages:
            return None
        model = self.new_model(layers)
        for name, array in model.state().items():
            held = tuple(averages[name].shape) if name in averages else "nothing"
            if held != array.shape:
                raise InputError(f"the state is of other layers: {name} holds {held}, the module's is {array.shape}")
        model.restore({name: tensor.cpu().numpy() for name, tensor in averages.items()})
        return model

    def _gradients(self, keep: bool = False) -> list[Array]:
        """Return the mean gradient over ranks of each layer, (M, N); that of the rest is put in its place.

        keep: leave the rest's as it is. Weights and biases that have none on any rank, as no pass went through their
        layer or they are frozen by now, are not free: they have zeros, and what is left of earlier ones moves them not.
        """
        layers, ranks = self.network.trainable, self.ranks
        if all(parameter.grad is None for layer in layers for parameter in layer.parameters):
            raise InputError("there are no gradients: call loss.backward() before step(), or give step a closure")
        if self.inputs.is_empty:
            raise InputError("the module's last call had no samples: let the loop pass over empty batches")

        def found(layer: Any) -> Array:
            joined: Array = layer.joined([torch.zeros_like(p) if p.grad is None else p.grad for p in layer.parameters])
            return joined

        arrays = [found(layer) for layer in layers]
        has = [[p.requires_grad and p.grad is not None for p in (layer.parameters * 2)[:2]] for layer in layers]
        held = np.array(has, np.float64)  # of weights and of biases
        if ranks.size > 1:
            (held,) = ranks.sums([held])
            rest = [p.grad for p in self.network.rest.values() if p.grad is not None]
            total = ranks.sums([*arrays, *(grad.double().cpu().numpy() for grad in rest)])
            for grad, array in zip(rest, total[len(arrays) :], strict=True):
                if not keep:
                    grad.copy_(torch.from_numpy(array / ranks.size))
            arrays = [array / ranks.size for array in total[: len(arrays)]]
        self._free = [np.full(layer.weight_shape[1], count > 0) for layer, (count, _) in zip(layers, held, strict=True)]
        for layer, free, (_, count) in zip(layers, self._free, held, strict=True):
            free[len(free) - layer.has_bias :] = count > 0
        if not all(np.isfinite(array).all() for array in arrays):
            raise Diverged("the gradients are not finite: lower half_range, or the learning rate of rest")
        return arrays

    def _advance(self, model: KroneckerModel, gradients: list[Array]) -> None:
        """Take a step's gradients in, and the curvature where it is due; nothing of either where that fails."""
        if self.number < WARM_UP or not self.number % self.every:
            self._measure(model, gradients)
        model.gradient.add(gradients)

    def _measure(self, model: KroneckerModel, gradients: list[Array]) -> None:
        with self._looking() as call, torch.enable_grad():
            tape = self.network.own_tape(call)
        for k, layer in enumerate(self.network.trainable):
            if tape.hides(k) and gradients[k].any():
                raise InputError(f"{HIDDEN} from layer {layer.name}: call it with use_reentrant=False")
            if gradients[k].any() and tape.leaves_out(k):
                raise InputError(
                    f"the loss depends on layer {layer.name}, the outputs that the module, or outputs=, gives do not: "
                    "give outputs=, a function that takes out all that the loss is of, or leave it out of layers="
                )
        if len(tape.outputs) % (self.inputs.count or 1):
            raise InputError(
                f"the module gives {len(tape.outputs)} outputs for {self.inputs.count} samples: samples must come "
                "first in all that it is called with"
            )
        model.measure(self.network, tape, self._probe(model, tape.outputs))

    def _probe(self, model: KroneckerModel, outputs: Array) -> Array:
        """Return vectors s of the outputs' shape whose mean product is half the loss's second derivative."""
        if self.loss == "cross_entropy" and outputs.shape[-1] == 1:
            raise InputError(
                "loss=cross_entropy needs two outputs, the module has one: loss=binary_cross_entropy, or mse"
            )
        if self.loss == "cross_entropy" and outputs.ndim > 3 and self.network.getter is None:
            raise InputError(
                f"the module's output is {outputs.shape}: F.cross_entropy has classes in axis 1, its curvature "
                "in the last: give outputs=lambda z: z.movedim(1, -1)"
            )
        objective = MEANS[self.loss] if self.loss in MEANS else LOSSES[self.loss]
        random = generator(self.seed, Stream.SIGNS, self.number)
        terms = math.prod(outputs.shape[1:-1]) * (outputs.shape[-1] if self.loss in MEANS else 1)  # of a mean
        found: Array = model.draw(objective, outputs, random) / outputs.dtype.type(math.sqrt(terms))
        return found

    def _problem(self, model: KroneckerModel, k: int, half_range: float, eta: float) -> NextProblem:
        layer, seed = self.network.trainable[k], stream(self.seed, Stream.SOLVE, k, self.number)
        free = None if self._free[k].all() else self._free[k]
        problem = model.problem(k, layer.weights, eta, half_range, self.bits, free=free)
        return NextProblem.of(problem, layer, self.solver, seed)

    @contextmanager
    def _looking(self) -> Iterator[Any]:
        """Yield the module's last inputs, while passes through it are not taken for the loop's own."""
        if self.inputs.call is None:
            raise InputError(
                "the module has not run with gradients yet: compute the loss with it, compiled or wrapped as it was "
                "given to the optimizer, before step()"
            )
        self.inputs.is_paused = True
        try:
            yield self.inputs.call
        except InputError:
            raise
        except Exception as error:  # whatever a module raises of what it cannot take
            if not self.inputs.is_cut or is_memory_full(error):
                raise
            told = fault_in_one_line(error)
            raise InputError(
                f"the module does not run on the first {self.inputs.samples} samples of its last call ({told}): "
                "they must come first in all that it is called with"
            ) from error
        finally:
            self.inputs.is_paused = False

    @contextmanager
    def _threaded(self) -> Iterator[None]:
        with thread_pool.threads(self.threads or torch.get_num_threads()):
            yield

    def _ready_solver(self) -> None:
        shapes = [layer.weight_shape for layer in self.network.trainable]
        weights, units = [N for _, N in shapes], [M for M, _ in shapes]
        self.solver.check(bits=self.bits, weights=weights)
        with self._threaded():
            self.solver.prepare(bits=self.bits, weights=weights, units=units, solves=[SOLVES] * len(shapes))

    def _start_alike(self) -> None:
        """Give all ranks the weights and buffers of the first."""
        if self.ranks.size == 1:
            return
        state = [*self.network.module.parameters(), *self.network.module.buffers()]
        arrays = [tensor.detach().double().cpu().numpy() for tensor in state]
        with torch.no_grad():
            for tensor, array in zip(state, self.ranks.from_owners(arrays, [0] * len(arrays)), strict=True):
                tensor.copy_(torch.from_numpy(array))
