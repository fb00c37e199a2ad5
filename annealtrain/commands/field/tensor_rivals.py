"""Solvers that move all spins at once by products of matrices: simulated bifurcation, QAIA, quasi-quantum annealing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from annealtrain.commands.field.ising import levels_of, matrices
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

Run = Callable[[int, int, float], Array]  # of an effort, a seed and the seconds that are left: levels (reads, N)
AGENTS, STEP = 32, 0.1  # states side by side; of time


def simulated_bifurcation(form: QuadraticForm, mode: str) -> Run:
    """Return a run of the package simulated-bifurcation, `ballistic` or `discrete`; effort: its steps."""
    import simulated_bifurcation as sb
    import torch

    torch.set_num_threads(1)
    J, h = (torch.from_numpy(each.astype(np.float32)) for each in matrices(form))

    def run(effort: int, seed: int, left_s: float) -> Array:
        torch.manual_seed(seed)
        how: Any = {"mode": mode, "agents": AGENTS, "max_steps": effort, "timeout": left_s, "best_only": False}
        spins, _ = sb.minimize(J, h, 0.0, domain="spin", verbose=False, early_stopping=False, **how)
        return levels_of(form, spins.numpy())

    return run


def qaia(form: QuadraticForm, name: str) -> Run:
    """Return a run of one of MindQuantum's quantum-annealing-inspired algorithms, by its class; effort: iterations.

    Its step of time is that of the package simulated-bifurcation: with its own, 1, what it finds on layers, whose J has
    one eigenvalue far above the others, is a hundred times worse.
    """
    from mindquantum.algorithm import qaia

    J, h = matrices(form)
    algorithm = getattr(qaia, name)

    def run(effort: int, seed: int, left_s: float) -> Array:
        np.random.seed(seed % 2**32)  # noqa: NPY002 (it draws from NumPy's global generator)
        state = algorithm(-2 * J, -h, n_iter=effort, batch_size=AGENTS, dt=STEP)
        state.update()
        return levels_of(form, np.where(np.asarray(state.x).T >= 0, 1, -1))

    return run


def quasi_quantum(form: QuadraticForm) -> Run:
    """Return a run of qqa, its polishing by single flips included; effort: gradient steps."""
    import qqa
    import torch
    from qqa.problems.spin import SpinProblem
    from qqa.relaxation import SpinRelaxation

    torch.set_num_threads(1)

    class Layer(SpinProblem):
        """The Hamiltonian as qqa has it, E = -s'Js / 2 - h's."""

        def __init__(self) -> None:
            J, h = matrices(form)
            self.J, self.h = torch.from_numpy((-2 * J).astype(np.float32)), torch.from_numpy(-h.astype(np.float32))
            self.num_spins, self.device = len(h), "cpu"
            self.relaxation = SpinRelaxation()

    problem = Layer()

    def run(effort: int, seed: int, left_s: float) -> Array:
        torch.manual_seed(seed)
        quiet: Any = {"verbose": False, "record_history": False, "return_population": False}
        found = qqa.anneal(problem, sol_size=AGENTS, num_epochs=effort, time_limit=max(left_s, 0.01), **quiet)
        return levels_of(form, np.atleast_2d(np.asarray(found.best_sol)))

    return run
