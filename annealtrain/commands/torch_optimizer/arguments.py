"""What `IsingKronecker` is given, as it works with it: a module, a solver, numbers of its parameter groups."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from annealtrain.errors import InputError
from annealtrain.runtime.validation import shown
from annealtrain.solvers.solver import Solver


def as_number(value: Any) -> Any:
    """Return a number of a parameter group as Python's, whatever it is of; what is none as it is."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return value


def bare(module: nn.Module) -> nn.Module:
    """Return a module without what compiles it or adds its gradients up over processes: passes to look at skip both."""
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return bare(module.module)
    compiled_from = getattr(module, "_orig_mod", None)
    return module if compiled_from is None else bare(compiled_from)


def solver_of_name(solver: str | Solver, settings: Mapping[str, Any]) -> Solver:
    """Return a solver by its name with settings, or as it is given."""
    if isinstance(solver, Solver):
        if settings:
            raise InputError(f"{', '.join(settings)}: a solver that is given as an object has its settings already")
        return solver
    if not isinstance(solver, str):
        raise InputError(f"solver={shown(solver)} is neither a name, such as 'sa', nor a Solver")
    from annealtrain.experiment.builder import solver_of  # with Hydra: only where a name is to be looked up
    from annealtrain.experiment.compose import compose_config

    words = [f"solver.{name}={shown(value)}" for name, value in settings.items()]
    return solver_of(compose_config(["optimizer=kronecker", f"solver={solver}", *words], None))
