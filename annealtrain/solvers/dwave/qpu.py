"""A quantum annealer as this project sees it: reached or emulated, its limits, its clock."""

import os
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from annealtrain.errors import InputError

if TYPE_CHECKING:
    import dimod

MOCKS = {"pegasus": [16], "zephyr": [12]}
OFFLINE = "solver.mock=pegasus emulates one offline"


def reach(name: str | None) -> "dimod.Sampler":
    """Return the QPU of this name, or the largest that the account offers; InputError where it cannot be reached."""
    system = _system()
    _refuse_file_here()
    from dwave.cloud import exceptions
    from dwave.cloud.api.exceptions import RequestError
    from dwave.cloud.config.exceptions import ConfigFileError

    try:
        found: dimod.Sampler = system.DWaveSampler(solver=name) if name else system.DWaveSampler()
        return found
    except exceptions.SolverAuthenticationError as error:
        raise InputError(f"solver=dwave: the API token is not accepted: set DWAVE_API_TOKEN anew; {OFFLINE}") from error
    except exceptions.SolverNotFoundError as error:
        which = f"QPU {name!r}" if name else "QPU"
        raise InputError(
            f"solver=dwave: this account has no {which} online: see dwave solvers, set solver.qpu; {OFFLINE}"
        ) from error
    except (RequestError, exceptions.PollingTimeout, OSError) as error:
        raise InputError(f"solver=dwave: D-Wave's service cannot be reached ({_line(error)}); {OFFLINE}") from error
    except ConfigFileError as error:
        raise InputError(f"solver=dwave: {_line(error)}: run dwave config create; {OFFLINE}") from error
    except ValueError as error:
        if "token" not in str(error).lower():
            raise
        raise InputError(
            f"solver=dwave has no API token: set DWAVE_API_TOKEN or run dwave config create; {OFFLINE}"
        ) from error


def has_token() -> bool:
    """Return whether D-Wave's tools find an API token: in DWAVE_API_TOKEN or in a file of dwave config create."""
    _system()
    _refuse_file_here()
    from dwave.cloud.config import load_config
    from dwave.cloud.config.exceptions import ConfigFileError

    try:
        return bool(load_config().get("token"))
    except ConfigFileError as error:
        raise InputError(f"solver=dwave: {_line(error)}: run dwave config create") from error


def emulated(topology: str, sweeps: int) -> "dimod.Sampler":
    """Return an emulated QPU: a fault-free chip's graph, D-Wave's simulated annealing in place of its physics."""
    _system()
    from dwave.samplers import SimulatedAnnealingSampler
    from dwave.system.testing import MockDWaveSampler

    made: dimod.Sampler = MockDWaveSampler(
        topology_type=topology,
        topology_shape=MOCKS[topology],
        parameter_warnings=False,
        substitute_sampler=SimulatedAnnealingSampler(),
        substitute_kwargs={"num_sweeps": sweeps},
    )
    return made


def emulated_s(problem: "dimod.BinaryQuadraticModel", reads: int, sweeps: int) -> float:
    """Return the estimated seconds that an emulated QPU takes for a problem, as measured."""
    return float(problem.num_variables + 2 * problem.num_interactions) * sweeps * reads * 2e-9


def emulated_answer(topology: str, sweeps: int, seed: int, problem: "Ordered", keywords: dict[str, Any]) -> Any:
    """Return what an emulated QPU answers: a job for another process, which keeps its own QPU."""
    return answer(_emulated_once(topology, sweeps), seed, problem.model(), keywords)


@dataclass(frozen=True)
class Ordered:
    """A model that can be sent to another process; sent as it is, its variables would change their order."""

    labels: list[Any]
    vectors: Any
    vartype: Any

    @classmethod
    def of(cls, model: "dimod.BinaryQuadraticModel") -> "Ordered":
        labels = list(model.variables)
        return cls(labels, model.to_numpy_vectors(variable_order=labels), model.vartype)

    def model(self) -> "dimod.BinaryQuadraticModel":
        import dimod

        linear, quadratic, offset = self.vectors[:3]
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            linear, quadratic, offset, self.vartype, variable_order=self.labels
        )


_emulated_once = cache(emulated)


def answer(
    sampler: Any, seed: int | None, problem: "dimod.BinaryQuadraticModel", keywords: dict[str, Any]
) -> "dimod.SampleSet":
    """Return a QPU's answer, waited for. seed: of an emulated one; None for others."""
    if seed is not None:
        sampler.substitute_kwargs["seed"] = seed
    found: dimod.SampleSet = sampler.sample(problem, **keywords)
    found.resolve()
    return found


def is_mock(sampler: Any) -> bool:
    """Return whether a sampler is D-Wave's emulation for tests."""
    from dwave.system.testing import MockDWaveSampler

    return isinstance(sampler, MockDWaveSampler)


def failures() -> tuple[type[Exception], ...]:
    """Return the errors after which a job may be sent again."""
    from dwave.cloud import exceptions
    from dwave.cloud.api.exceptions import RequestError

    lost = (exceptions.PollingTimeout, exceptions.CanceledFutureError, exceptions.ProblemUploadError)
    return (RequestError, *lost, OSError)


def access_time_s(sampler: Any, qubits: int, reads: int, annealing_time_us: float) -> float:
    """Return D-Wave's own estimate of the QPU time of one submission; for a mock, with an Advantage's timing data."""
    from dwave.cloud.solver import StructuredSolver
    from dwave.cloud.testing.mocks import qpu_problem_timing_data

    timing = sampler.properties.get("problem_timing_data")
    if timing is None and is_mock(sampler):
        timing = qpu_problem_timing_data()
    solver = SimpleNamespace(properties={"problem_timing_data": timing})  # all that the estimate reads
    microseconds = StructuredSolver.estimate_qpu_access_time(
        solver, qubits, num_reads=reads, annealing_time=annealing_time_us
    )
    return float(microseconds) * 1e-6


def check_limits(sampler: Any, reads: int, annealing_time_us: float) -> None:
    """Raise InputError for reads or an annealing time beyond what the QPU takes."""
    for name, value, unit in (("num_reads", reads, ""), ("annealing_time", annealing_time_us, " us")):
        low, high = sampler.properties[f"{name}_range"]
        if not low <= value <= high:
            setting = "annealing_time_us" if unit else name
            raise InputError(f"solver.{setting}={value} is not in {low:g} to {high:g}{unit}, what this QPU takes")


def fit_ranges(model: "dimod.BinaryQuadraticModel", sampler: Any) -> float:
    """Scale an embedded model to the QPU's ranges of h, J and the sum of J at a qubit; return the factor."""
    properties = sampler.properties
    j_range = properties.get("extended_j_range", properties["j_range"])
    factor = float(model.normalize(properties["h_range"], j_range, ignore_offset=False))
    low, high = properties.get("per_qubit_coupling_range", (-float("inf"), float("inf")))
    totals = [sum(model.adj[qubit].values()) for qubit in model.variables]
    excess: float = max([1.0, *(total / (high if total > 0 else low) for total in totals)])
    model.scale(1 / excess)
    return factor / excess


def _system() -> Any:
    try:
        import dwave.system
    except ImportError as error:
        raise InputError("solver=dwave needs the extra dwave: pip install 'annealtrain[dwave]'") from error
    return dwave.system


def _refuse_file_here() -> None:
    """Raise InputError for settings of D-Wave's tools in the working directory, which may be another's run folder.

    They would stand above the user's own, and say where the API token is sent.
    """
    if not os.environ.get("DWAVE_CONFIG_FILE") and os.path.lexists("dwave.conf"):
        raise InputError(
            "solver=dwave: the dwave.conf of this folder would say where your API token is sent: set "
            f"DWAVE_CONFIG_FILE=dwave.conf if it is yours, or give the command elsewhere; {OFFLINE}"
        )


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:120].rstrip()
