"""Annealing inside training loops of PyTorch's users: `IsingKronecker` is a torch.optim.Optimizer."""

from annealtrain.errors import InputError

try:
    from annealtrain.commands.torch_optimizer.ising_kronecker import IsingKronecker
    from annealtrain.commands.torch_optimizer.next_problem import NextProblem
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise InputError("annealtrain.torch needs PyTorch: pip install 'annealtrain[torch]'") from error

__all__ = ["IsingKronecker", "NextProblem"]
