"""`IsingKronecker`: the optimizer `kronecker` inside a training loop of one's own."""

import logging
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from annealtrain.commands.torch_optimizer.annealed import MEANS, Annealed
from annealtrain.commands.torch_optimizer.arguments import as_number, bare, solver_of_name
from annealtrain.commands.torch_optimizer.last_inputs import LastInputs
from annealtrain.commands.torch_optimizer.next_problem import NextProblem
from annealtrain.errors import InputError
from annealtrain.nn.losses import LOSSES
from annealtrain.nn.torch_module import TorchModule
from annealtrain.optimizers.kronecker_model import FORMS
from annealtrain.runtime import thread_pool
from annealtrain.runtime.ranks import current_ranks, require_alike
from annealtrain.runtime.validation import (
    FUNCTION,
    SEED,
    Rule,
    checked,
    each_of,
    is_number,
    is_whole,
    number,
    one_of,
    optional,
    reworded,
    shown,
    whole,
)
from annealtrain.solvers.solver import Solver

LEAST = 0.02  # share of eta that is left where the range has fallen to nothing
LISTED = "annealtrain train --help lists all"  # of settings, for those who call that
ETA, HALF_RANGE = number(above=0, most=10), number(above=0)
LOG = logging.getLogger(__name__)


class IsingKronecker(torch.optim.Optimizer):
    """Minimises, in each step and of every unit m of each Conv2d and Linear layer, E_m(d) = d'Jd + H_m d over changes d
    of its weights with |d_j| <= L in 2^bits levels, by an Ising solver, and moves the weights by d.

    J = (R / r + damping I)^p, H = eta (Gamma + damping g I)^-p h / r^p: h is the average of the gradients, R and Gamma
    are the Kronecker factors of the Gauss-Newton matrix (Martens and Grosse, arXiv:1503.05671), r and g the means of
    their diagonals; levels and spins are those of Eqs. (6), (7), the Ising form that of Eqs. (8), (9).

    module: any; samples come first in what it is called with. bits: of a change.
    half_range: L, which is the `lr` of the first parameter group: torch's schedulers act on it, and eta falls with it;
    0 moves nothing. solver: a name of the group `solver`, such as "sa", with solver_settings, or an object.
    loss: what the loop's loss is, for its curvature: cross_entropy, mse (F.mse_loss), binary_cross_entropy
    (F.binary_cross_entropy_with_logits), squared_error (summed over outputs); means over samples.
    layers: names or numbers of the layers to anneal; None: all Conv2d and Linear.
    rest: a torch optimizer's class, or a function of the list of parameters, for all other parameters; None: they stay
    as they are, with a warning that names them. outputs: gets (samples, classes) of what the module returns.
    eta, power p, damping, momentum, memory, every, factors, weight_decay: see `Kronecker`.
    threads: for solving; None: PyTorch's number.
    """

    @checked(
        "",
        bits=whole(1, 16),
        half_range=HALF_RANGE,
        eta=ETA,
        power=number(0, most=1),
        damping=number(above=0, most=1e6),
        momentum=number(0, below=1),
        memory=number(0, below=1),
        every=whole(),
        loss=one_of(*LOSSES, *MEANS),
        factors=one_of(*FORMS),
        weight_decay=number(0, most=1),
        seed=SEED,
        threads=optional(thread_pool.COUNT),
        solver_settings=optional(Rule("settings by name, {'num_sweeps': 5}", lambda value: isinstance(value, Mapping))),
        rest=optional(Rule("a torch optimizer's class, or a function of the parameters", callable)),
        outputs=optional(FUNCTION),
        layers=optional(
            each_of(Rule("a name or a number of a layer", lambda one: isinstance(one, str) or is_whole(one)))
        ),
    )
    @reworded({"trainable=": "layers=", "solver.": "", LISTED: "docs/solvers.md lists all"})
    def __init__(
        self,
        module: nn.Module,
        *,
        bits: int = 8,
        half_range: float = 0.005,
        solver: str | Solver = "sa",
        solver_settings: Mapping[str, Any] | None = None,
        loss: str = "cross_entropy",
        layers: list[int | str] | None = None,
        rest: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
        outputs: Callable[[Any], Tensor] | None = None,
        eta: float = 0.15,
        power: float = 1.0,
        damping: float = 0.1,
        momentum: float = 0.9,
        memory: float = 0.95,
        every: int = 16,
        factors: str = "sites",
        weight_decay: float = 0.0,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InputError(f"{type(module).__name__} is no torch.nn.Module: give the model, not its parameters")
        self._network = TorchModule(bare(module), trainable=layers, rest=rest, outputs=outputs, seed=seed)
        settings: dict[str, Any] = {
            "bits": bits,
            "loss": loss,
            "every": every,
            "seed": seed,
            "threads": threads,
            "form": factors,
            "weight_decay": weight_decay,
            "power": power,
        }
        settings |= {"damping": damping, "momentum": momentum, "memory": memory}
        solver = solver_of_name(solver, solver_settings or {})
        of_steps = {"half_range": half_range, "eta": eta, "solver_settings": solver_settings}
        self._require_alike(settings | of_steps | {"solver": type(solver).__name__})
        self._annealed = Annealed(self._network, solver, current_ranks(), LastInputs(module), **settings)
        own = [parameter for layer in self._network.trainable for parameter in layer.parameters]
        super().__init__(own, {"lr": half_range, "half_range": half_range, "eta": eta})
        self._is_whole = True
        self._join_groups()
        self._tell_rest(warn=rest is None)

    # What PyTorch expects of an optimizer

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all weights by one step; return what the closure returns.

        closure: computes the loss; it may call backward itself. None: gradients have been accumulated by then.
        Raises InputError where there are none, and Diverged where they are not finite.
        """
        with torch.inference_mode(False):  # where nothing could be differentiated, and no weight moved
            loss = None if closure is None else self._closed(closure)
            self._annealed.move(*self._range())
            self._leave_out()
            self._move_rest()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all of the module's parameters."""
        self._network.module.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return all that going on to the same bits needs beside the module's own state_dict."""
        model = self._annealed.model
        held = {} if model is None else model.state()
        rest = self._network.rest_optimizer
        return {
            **super().state_dict(),
            "number": self._annealed.number,
            "layers": [layer.name for layer in self._network.trainable],
            "averages": {name: torch.from_numpy(np.array(array)) for name, array in held.items()},
            "rest": None if rest is None else rest.state_dict(),
            "rest_kind": type(rest).__name__,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; the settings beside the groups' are this optimizer's own."""
        missing = {"number", "layers", "averages", "rest", "param_groups"} - state_dict.keys()
        if missing:
            raise InputError(f"this is no state of IsingKronecker: it has no {', '.join(sorted(missing))}")
        names = [layer.name for layer in self._network.trainable]
        if unknown := [name for name in state_dict["layers"] if name not in names]:
            other = ", ".join(unknown) or "the module itself"
            raise InputError(f"the state is of other layers: {other} are not among {', '.join(names)}")
        annealed = self._annealed
        kept = [layer for layer in self._network.trainable if layer.name in state_dict["layers"]]
        is_late = self._network.makes_rest is not None and len(kept) < len(names)  # made for layers that left
        kind = type(self._network.rest_optimizer).__name__
        is_other = not is_late and state_dict.get("rest_kind", kind) != kind
        if is_other or (self._network.rest_optimizer is not None or is_late) != (state_dict["rest"] is not None):
            raise InputError("the state is of an optimizer with another rest: give the same rest=")
        model = annealed.restored(kept, state_dict["averages"])
        self._network.trainable = kept
        self._leave_out()
        rest = self._network.rest_optimizer
        if rest is not None:
            rest.load_state_dict(deepcopy(state_dict["rest"]))  # PyTorch keeps the tensors that it is given
        super().load_state_dict({"state": {}, "param_groups": state_dict["param_groups"]})
        if rest is not None and len(self.param_groups) > 1:
            rest.param_groups = self.param_groups[1:]
        annealed.number, annealed.model = int(state_dict["number"]), model

    def __getstate__(self) -> dict[str, Any]:
        raise InputError("IsingKronecker cannot be copied or pickled: make a new one, and load its state_dict()")

    # What it has beyond

    @property
    def layers(self) -> list[str]:
        """The names of the layers that are annealed."""
        return [layer.name for layer in self._network.trainable]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take a group of parameters; InputError beyond the constructor: they are the module's."""
        if hasattr(self, "_is_whole"):
            raise InputError("IsingKronecker has all of the module's parameters already: make a new one for another")
        super().add_param_group(param_group)

    def about_rest(self) -> list[str]:
        """Return a line for each part of the module with weights that no Hamiltonian takes; [] where all are."""
        return self._network.about_rest()

    def problems(self) -> list[NextProblem]:
        """Return the Hamiltonians of the next step, one NextProblem a layer, at the gradients that are there now.

        Nothing is moved: `step` would solve the same ones. InputError where there are no gradients.
        """
        with torch.inference_mode(False):
            return self._annealed.problems(*self._range())

    def close(self) -> None:
        """Leave the module: take the hook off that keeps its last inputs."""
        self._annealed.inputs.close()

    # Its parts

    def _require_alike(self, settings: dict[str, Any]) -> None:
        """Raise InputError where other processes, if there are any, have other settings, layers or modules."""
        layers, held = [layer.name for layer in self._network.trainable], self._network.module.state_dict()
        shapes = {f"the shape of {name}": tuple(tensor.shape) for name, tensor in held.items()}
        require_alike(current_ranks(), {**settings, "layers": layers, **shapes, "threads": None})

    def _closed(self, closure: Callable[[], Any]) -> Any:
        """Return a closure's loss; its gradients are there then, the closure's own or of a backward pass here."""
        parameters = list(self._network.module.parameters())
        before = [(p.grad, None if p.grad is None else p.grad._version) for p in parameters]
        with torch.enable_grad():
            loss = closure()
        after = [(p.grad, None if p.grad is None else p.grad._version) for p in parameters]
        is_done = any(one is not two or a != b for (one, a), (two, b) in zip(before, after, strict=True))
        if not is_done and isinstance(loss, Tensor) and loss.requires_grad:
            self.zero_grad()
            loss.backward()
        return loss.detach() if isinstance(loss, Tensor) else loss

    def _join_groups(self) -> None:
        """Let the rest's groups be this optimizer's too, the same objects, so that schedulers reach them."""
        if self._network.rest_optimizer is not None:
            self.param_groups.extend(self._network.rest_optimizer.param_groups)

    def _leave_out(self) -> None:
        """Let the parameters of layers that are annealed no more go to the rest.

        Those of a rest that is made now stay in the first group: GradScaler finds their gradients there alone.
        """
        network, own = self._network, self.param_groups[0]
        taken = {id(parameter) for layer in network.trainable for parameter in layer.parameters}
        gone = [parameter for parameter in own["params"] if id(parameter) not in taken]
        if network.makes_rest is None or len(self.param_groups) > 1:
            own["params"] = [parameter for parameter in own["params"] if id(parameter) in taken]
        groups = network.rest_optimizer.param_groups if network.rest_optimizer is not None else []
        held = {id(parameter) for group in groups for parameter in group["params"]}
        if new := [parameter for parameter in gone if id(parameter) not in held]:
            network.enlarge_rest(new)

    def _move_rest(self) -> None:
        rest = self._network.rest_optimizer
        if rest is None:
            return
        if len(self.param_groups) == 1:  # made at the first step: no scheduler knows it, and it follows the range
            own = self.param_groups[0]
            share = as_number(own["lr"]) / as_number(own["half_range"])
            for group, rate in zip(rest.param_groups, self._network.rest_rates, strict=True):
                group["lr"] = share * rate
        rest.step()

    def _range(self) -> tuple[float, float]:
        """Return the range L and eta of the next step."""
        group = self.param_groups[0] if self.param_groups else {}
        if missing := {"lr", "half_range", "eta"} - group.keys():
            raise InputError(f"the first group has no {sorted(missing)[0]}: it must stay this optimizer's own")
        half_range, eta, first = (as_number(group[name]) for name in ("lr", "eta", "half_range"))
        if not (is_number(half_range) and half_range >= 0):
            told = shown(half_range)
            raise InputError(f"the range, lr={told} of the first group, is no number from 0: mend the schedule")
        ETA.check("param_groups[0]['eta']", eta)
        HALF_RANGE.check("param_groups[0]['half_range']", first)
        return half_range, eta * max(half_range / first, LEAST)

    def _tell_rest(self, warn: bool) -> None:
        lines = self.about_rest()
        if lines and warn:
            told = "; ".join(lines)
            warnings.warn(f"these weights stay as they are: {told}: give rest=torch.optim.AdamW", stacklevel=3)
        for line in lines:
            LOG.info("%s, %s", line, "which stay" if warn else "moved by rest")
