"""All solvers of the race, by name: what each needs, where it begins, and how it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from annealtrain.commands.field import dwave_rivals, milp, openjij_rivals, ours, tensor_rivals
from annealtrain.commands.field.ising import model
from annealtrain.errors import InputError, nearest
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.annealing.temperatures import automatic_beta_range

Run = ours.Run
READS = 16  # of samplers that take several one after the other in a call
MOST_SPINS = 4096  # of models that hold all pairs: 8,192 spins take two gigabytes and minutes to copy


@dataclass(frozen=True)
class Rival:
    """A solver of the race.

    make: its model of a form, built before the clock runs, and a run of it. first: the effort of its first run.
    needs: a module that must be installed, and the package that has it. most_spins: that it is given. is_fixed: another
    run would be the same. is_ours: of this project.
    """

    name: str
    make: Callable[[QuadraticForm], Run]
    about: str
    first: int = 1
    needs: tuple[str, str] | None = None
    most_spins: int = MOST_SPINS
    is_fixed: bool = False
    is_ours: bool = False

    def check(self, spins: int) -> None:
        """Raise InputError where it is not installed, or takes no model of so many spins."""
        if self.needs and find_spec(self.needs[0]) is None:
            raise InputError(f"not installed: pip install {self.needs[1]}")
        if spins > self.most_spins:
            raise InputError(f"not asked: {spins} spins, at most {self.most_spins}")


def _dwave(name: str, form: QuadraticForm) -> Run:
    held, betas = model(form), automatic_beta_range(form)

    def run(effort: int, seed: int, left_s: float) -> Array:
        # The path-integral sampler's own schedule of its field goes with its own betas.
        given: Any = {"sweeps": effort, "reads": 1, "seed": seed, "timeout_ms": max(1, min(effort, int(1000 * left_s)))}
        if name == "SteepestDescentSampler":
            given["reads"] = effort
        own = None if name == "PathIntegralAnnealingSampler" else betas
        return dwave_rivals.sample(name, held, form, own, **given)[0]

    return run


def _openjij(form: QuadraticForm) -> Run:
    graph, betas = openjij_rivals.core_graph(form), automatic_beta_range(form)
    return lambda effort, seed, left_s: openjij_rivals.anneal_core(
        graph, form, betas, sweeps=effort, reads=1, seed=seed
    )[0]


def _openjij_integers(form: QuadraticForm) -> Run:
    held, betas = openjij_rivals.core_integers(form), automatic_beta_range(form)
    return lambda effort, seed, left_s: openjij_rivals.anneal_core_integers(
        held, form, betas, sweeps=effort, reads=1, seed=seed
    )[0]


def _ours(name: str, about: str, first: int, *, is_fixed: bool = False) -> Rival:
    return Rival(name, ours.RUNS[name], about, first, most_spins=2**20, is_fixed=is_fixed, is_ours=True)


DWAVE = ("dwave.samplers", "dwave-samplers")
OPENJIJ = ("openjij", "'annealtrain[bench]'")
SB, QAIA = ("simulated_bifurcation", "'annealtrain[bench]'"), ("mindquantum", "--no-deps mindquantum")
ALL = (
    _ours("annealtrain", "beam, annealing from it, enumeration and annealing in turns", 1),
    _ours("sa", "annealing on bits, a read a lane", 8),
    _ours("sa_slice", "annealing on levels, a read a lane", 8),
    _ours("sa_beam", "annealing from a beam's end", 64),
    _ours("sqa", "path-integral annealing", 8),
    _ours("descent", "coordinate descent from several starts", 8),
    _ours("babai", "nearest plane, then descent", 1, is_fixed=True),
    _ours("klein", "randomised nearest plane, then descent", 8),
    _ours("beam", "beam search", 8),
    _ours("exact", "enumeration", 4),
    Rival("neal", partial(_dwave, "SimulatedAnnealingSampler"), "dwave-samplers: simulated annealing", 16, DWAVE),
    Rival("tabu", partial(_dwave, "TabuSampler"), "dwave-samplers: tabu search", 10, DWAVE),
    Rival("pathintegral", partial(_dwave, "PathIntegralAnnealingSampler"), "dwave-samplers: path integral", 8, DWAVE),
    Rival("steepest", partial(_dwave, "SteepestDescentSampler"), "dwave-samplers: steepest descent", 16, DWAVE),
    Rival("openjij", _openjij, "OpenJij's core: simulated annealing", 16, OPENJIJ),
    Rival("openjij_integer", _openjij_integers, "OpenJij's core: simulated annealing of integers", 16, OPENJIJ),
    Rival("bsb", lambda form: tensor_rivals.simulated_bifurcation(form, "ballistic"), "simulated-bifurcation", 64, SB),
    Rival("dsb", lambda form: tensor_rivals.simulated_bifurcation(form, "discrete"), "the same, discrete", 64, SB),
    Rival("qaia_bsb", lambda form: tensor_rivals.qaia(form, "BSB"), "MindQuantum's QAIA: ballistic", 64, QAIA),
    Rival("qaia_dsb", lambda form: tensor_rivals.qaia(form, "DSB"), "MindQuantum's QAIA: discrete", 64, QAIA),
    Rival("qqa", tensor_rivals.quasi_quantum, "qqa: quasi-quantum annealing", 8, ("qqa", "'annealtrain[bench]'")),
    Rival("milp", milp.linearised, "HiGHS on products of spins as variables", 1, most_spins=160, is_fixed=True),
)
RIVALS = {rival.name: rival for rival in ALL}


def chosen(names: str | None) -> list[Rival]:
    """Return the solvers of a list with commas, all for none; InputError for an unknown or a repeated one."""
    if names is None:
        return list(ALL)
    words = [word.strip() for word in names.split(",")]
    for at, word in enumerate(words):
        if word not in RIVALS:
            raise InputError(f"--solvers: there is no {word!r}{nearest(word, RIVALS)}: {', '.join(RIVALS)}")
        if word in words[:at]:
            raise InputError(f"--solvers: {word} stands there twice")
    return [RIVALS[word] for word in words]
