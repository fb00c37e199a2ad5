"""Any PyTorch module as an optimizer sees a network: layers that are annealed, and one taped pass.

Conv2d and Linear layers are chosen (all of them, or those that `trainable` names); all other weights are `rest`, which
a torch optimizer moves, or nothing. Hooks are there only while a tape is made.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from annealtrain.errors import InputError
from annealtrain.nn.layer import Shape
from annealtrain.nn.layout import PREDICTED, TAPED
from annealtrain.nn.matrices import NUMPY, Matrices
from annealtrain.nn.torch_buffers import buffers_aside
from annealtrain.nn.torch_device import seed_device
from annealtrain.nn.torch_layers import TorchLayer, as_array, choices, chosen, dtype_of, logits, require_values
from annealtrain.nn.torch_matrices import TorchMatrices
from annealtrain.nn.torch_parts import parts_from
from annealtrain.nn.torch_rest import first_rates, rest_optimizer
from annealtrain.nn.torch_tape import TorchTape, eagerly
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.ranks import ALONE, Ranks, current_ranks

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """What a module is called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


class TorchModule:
    """A module, the layers of it that are annealed, and the rest of its parameters.

    in_shape: of one sample; the module runs once on zeros to find which layers it reaches, and how often. None: it
    tells that itself, see `meet`. trainable: layers by name (a name of a part means all in it) or by number among
    those that could be chosen; None: all. rest: makes the torch optimizer of all other parameters; None: they stay.
    outputs: gets the outputs (Q, C) from what the module returns. seed: of dropout.
    Raises InputError for a module without such layers, for names it has not, and for other outputs.
    """

    is_chain = False  # a pass begins at the module's inputs, at no later layer
    in_shape: Shape = ()  # of one sample, where it is told
    remedy = "give outputs=, a function that takes that out of it"  # for outputs of another form

    def __init__(
        self,
        module: nn.Module,
        in_shape: Shape | None = None,
        *,
        trainable: Sequence[int | str] | None = None,
        rest: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
        outputs: Callable[[Any], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.module, self.seed, self.classes = module, seed, 0
        self.getter = outputs
        require_values(module)
        self.trainable: list[TorchLayer] = chosen(choices(module), trainable)
        if in_shape is not None:
            self.in_shape = tuple(in_shape)
            self.meet(Call((torch.zeros((2, *in_shape), dtype=self.dtype, device=self.device),)))
        self.makes_rest = rest
        self.rest_optimizer = rest_optimizer(rest, list(self.rest.values()))
        self.rest_rates = first_rates(self.rest_optimizer)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def matrices(self) -> Matrices:
        """Where the curvature of its layers is computed and kept: with NumPy, or on the GPU that the module is on.

        Devices of other kinds may have no float64.
        """
        return TorchMatrices(self.device) if self.device.type == "cuda" else NUMPY

    @property
    def dtype(self) -> torch.dtype:
        return dtype_of(self.module)

    @property
    def has_more(self) -> bool:
        """Whether training changes more than the weights of its layers: running statistics, weights of the rest."""
        return self.has_rest or any(True for _ in self.module.buffers())

    @property
    def has_rest(self) -> bool:
        """Whether a torch optimizer moves weights that no Hamiltonian takes."""
        return self.rest_optimizer is not None

    @property
    def rest(self) -> dict[str, nn.Parameter]:
        """All parameters that no Hamiltonian takes and that are not frozen, by name."""
        taken = {id(parameter) for layer in self.trainable for parameter in layer.parameters}
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad and id(p) not in taken}

    def enlarge_rest(self, parameters: list[nn.Parameter]) -> None:
        """Let the rest's optimizer have more parameters; it is made now if there were none for it before."""
        if self.rest_optimizer is not None:
            self.rest_optimizer.param_groups[0]["params"].extend(parameters)
        else:
            self.rest_optimizer = rest_optimizer(self.makes_rest, parameters)
            self.rest_rates = first_rates(self.rest_optimizer)

    def about_rest(self) -> list[str]:
        """Return a line for each module that holds other weights: which they are, and how many."""
        found: dict[str, list[tuple[str, int]]] = {}
        for name, parameter in self.rest.items():
            owner, _, own = name.rpartition(".")
            found.setdefault(owner, []).append((own, parameter.numel()))
        lines = []
        for owner, held in found.items():
            kind, names = type(self.module.get_submodule(owner)).__name__, ", ".join(own for own, _ in held)
            lines.append(f"{owner or 'the module'} ({kind}): {names}, {sum(size for _, size in held)} weights")
        return lines

    def meet(self, inputs: Any, training: bool | None = False) -> list[str]:
        """Run once, without a trace, to learn shapes; layers not reached, or more than once, go to the rest.

        Return the names of those. inputs: a few samples, an array, a tensor or a Call. training: mode.
        """
        with torch.no_grad():
            tape = TorchTape(self, inputs, self._untouched(training))
        counts = tape.counts
        gone = [layer.name for layer, count in zip(self.trainable, counts, strict=True) if count != 1]
        self.trainable = [layer for layer, count in zip(self.trainable, counts, strict=True) if count == 1]
        if not self.trainable:
            raise InputError(
                f"the module's pass goes through none of its layers once ({', '.join(gone)}): none is left"
            )
        self.classes = tape.outputs.shape[-1]
        return gone

    def run(self, inputs: Any, first: int | None = None) -> Tensor:
        """Return what the module gives, (Q, C), in the mode that it is in; inputs: of layer `first`, None: its own."""
        call = inputs if isinstance(inputs, Call) else Call((self.tensor(inputs),))
        if first is None:
            found = self.module(*call.args, **call.kwargs)
        else:
            (found,) = call.args
            for part in parts_from(self.module, self.trainable[first].module) or []:
                found = part(found)
        found = self.getter(found) if self.getter else logits(found)
        if not isinstance(found, Tensor) or found.ndim < 2:
            told = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"the module's output is {told}: it must be (samples, classes): {self.remedy}")
        return found

    def tensor(self, inputs: Any) -> Tensor:
        """Return inputs on the module's device, in its type where they are no integers."""
        if isinstance(inputs, Tensor):
            return inputs.to(self.device, self.dtype if inputs.is_floating_point() else None)
        array = np.ascontiguousarray(inputs)
        return torch.from_numpy(array).to(self.device, self.dtype if array.dtype.kind == "f" else None)

    def in_parts(self, job: Callable[[slice], Result], count: int, *, is_training: bool = False) -> list[Result]:
        """Return what a job gives for each part of `count` samples that a pass takes at once, one after the other.

        A training pass takes all of them, as batch norm needs them.
        """
        parts = [slice(0, count)] if is_training else thread_pool.chunks(count, TAPED)
        return [job(part) for part in parts]

    def begins_at(self, k: int, dtype: Any) -> bool:
        """Return whether a pass may begin at the inputs of layer k, kept in `dtype`, as `parts_from` tells."""
        layer = self.trainable[k].module
        is_exact = layer.weight.dtype == self.dtype and as_array(layer.weight[:0]).dtype == dtype
        return is_exact and parts_from(self.module, layer) is not None

    def tape(self, inputs: Any, first: int | None = None) -> TorchTape:
        """Return a pass as `predict` runs it, each sample by itself. It leaves no trace in the module.

        inputs: the module's own, or those of layer `first`, one that `begins_at` allows.
        """
        return TorchTape(self, inputs, self._untouched(training=False), first)

    def outputs(self, inputs: Any, first: int | None = None) -> Array:
        """Return the outputs (Q, C) of such a pass; gradients are on, as attention takes other kernels without."""
        with self._untouched(training=False), eagerly():
            return as_array(self.run(inputs, first))

    def training_tape(self, inputs: Any, step: int | None = None) -> TorchTape:
        """Return a pass in training mode: batch norm takes the batch's statistics, dropout drops.

        step: number of the step whose one pass it is: running statistics move. None: a look, which leaves no trace.
        """
        return TorchTape(self, inputs, self._untouched(True) if step is None else self._stepping(step))

    def own_tape(self, inputs: Any) -> TorchTape:
        """Return a pass in the modes that the module's parts are in now; it leaves no trace."""
        return TorchTape(self, inputs, self._untouched(training=None))

    def training_outputs(self, inputs: Any) -> Array:
        """Return the outputs (Q, C) of a pass in training mode that leaves no trace."""
        with torch.no_grad(), self._untouched(training=True):
            return as_array(self.run(inputs))

    def preprocess(self, images: Array) -> Array:
        """Return the images: no layer stands before the module's own."""
        return images

    preprocess_chunk = preprocess

    def predict(self, inputs: Any) -> Array:
        """Return the outputs (Q, classes), in evaluation mode; inputs: an array, or what gives one for a slice."""
        with torch.no_grad(), self._mode(False):
            parts = [self.run(inputs[start : start + PREDICTED]) for start in range(0, len(inputs), PREDICTED)]
            return as_array(torch.cat(parts))

    def check_inverses(self) -> None:
        raise InputError(
            "a PyTorch module has no inverse, as pinv, pinv_weighted and difference need it: "
            "take optimizer=kronecker or gauss_newton"
        )

    def move_rest(self, share: float = 1.0, ranks: Ranks = ALONE) -> None:
        """Let the rest's optimizer take a step with the gradients that the last tape left, its rates times `share`.

        ranks: processes whose gradients are added up.
        """
        if self.rest_optimizer is None:
            return
        if ranks.size > 1:
            grads = [parameter.grad for parameter in self.rest.values() if parameter.grad is not None]
            for grad, total in zip(grads, ranks.sums([g.double().cpu().numpy() for g in grads]), strict=True):
                grad.copy_(torch.from_numpy(total))
        for group, rate in zip(self.rest_optimizer.param_groups, self.rest_rates, strict=True):
            group["lr"] = rate * share
        self.rest_optimizer.step()
        self.rest_optimizer.zero_grad()

    def state(self) -> dict[str, Array]:
        """Return what training goes on from beside the layers' weights: other parameters, buffers, their optimizer."""
        held = {name: p for name, p in self.module.named_parameters() if name in self.rest}
        tensors: dict[str, Tensor] = {**held, **dict(self.module.named_buffers())}
        found = {f"module.{name}": as_array(tensor).copy() for name, tensor in tensors.items()}
        if self.rest_optimizer is not None:
            for number, entries in self.rest_optimizer.state_dict()["state"].items():
                for key, value in entries.items():
                    if value is not None:
                        found[f"rest.{number}.{key}"] = np.array(as_array(torch.as_tensor(value)))
        return found

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what `state` returned."""
        held: dict[str, Tensor] = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        entries: dict[int, dict[str, Any]] = {}
        with torch.no_grad():
            for name, array in state.items():
                kind, _, below = name.partition(".")
                if kind == "module":
                    held[below].copy_(torch.from_numpy(np.array(array)))
                elif kind == "rest":
                    number, _, key = below.partition(".")
                    entries.setdefault(int(number), {})[key] = torch.from_numpy(np.array(array))
        if self.rest_optimizer is not None:
            self.rest_optimizer.load_state_dict(self.rest_optimizer.state_dict() | {"state": entries})

    @contextmanager
    def _mode(self, training: bool | None) -> Iterator[None]:
        """Let all parts of the module be in one mode for a while; None: each in its own."""
        modes = [(part, part.training) for part in self.module.modules()]
        if training is not None:
            self.module.train(training)
        try:
            yield
        finally:
            for part, was in modes:
                part.training = was

    @contextmanager
    def _untouched(self, training: bool | None) -> Iterator[None]:
        """Run in a mode on copies of all buffers, with random numbers that nobody else sees."""
        devices = [self.device] if self.device.type == "cuda" else []
        with ExitStack() as held:
            held.enter_context(self._mode(training))
            held.enter_context(torch.random.fork_rng(devices))
            held.enter_context(buffers_aside(self.module))
            yield

    @contextmanager
    def _stepping(self, step: int) -> Iterator[None]:
        """Run in training mode, dropout drawn from the seed, the step and the rank alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        with self._mode(True), torch.random.fork_rng(devices):
            words = np.random.SeedSequence([self.seed, step, current_ranks().rank]).generate_state(1, np.uint64)
            seed_device(int(words[0]) >> 1, self.device)
            yield
