"""What dimod samplers ask of memory and time, as measured: D-Wave's own, and OpenJij's for all others."""

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from annealtrain.solvers.effort import READ_S, Effort, counted, plural, result_bytes

if TYPE_CHECKING:
    import dimod

# Peak bytes for each pair (mu, nu) of spins, the model's 44 included, and seconds for each in a sweep of a read.
COSTS = {
    "SimulatedAnnealingSampler": (60, 2.5e-9),
    "PathIntegralAnnealingSampler": (70, 5e-8),
    "TabuSampler": (130, 5e-9),
    "SteepestDescentSampler": (50, 7e-9),
}
OTHERS = (280, 5e-9)
# Keywords that make a call longer, and what this project's settings call them.
SETTINGS = {
    "num_reads": "num_reads",
    "num_sweeps": "num_sweeps",
    "coefficient_z_first": "num_sweeps",
    "num_restarts": "num_restarts",
}


def pair_bytes(sampler: "dimod.Sampler") -> int:
    """Return the bytes that a sampler holds for each pair of spins."""
    return COSTS.get(type(sampler).__name__, OTHERS)[0]


def call_s(sampler: "dimod.Sampler", options: Mapping[str, Any], spins: int) -> float:
    """Return the estimated seconds of one call of a sampler on a dense model."""
    counts = [counted(options.get(name) or 1) for name in ("num_reads", "num_sweeps", "coefficient_z_first")]
    searches = 1 + counted(options.get("num_restarts") or 0) / 4  # of tabu
    return COSTS.get(type(sampler).__name__, OTHERS)[1] * spins**2 * prod(counts) * searches


def dimod_effort(sampler: "dimod.Sampler", options: Mapping[str, Any], units: int, weights: int, bits: int) -> Effort:
    """Return what the calls for all units of a layer ask, see `Solver.effort`; the models themselves not counted."""
    reads, spins = counted(options.get("num_reads") or 1), weights * bits
    lower = " or ".join(f"solver.{name}" for key, name in SETTINGS.items() if options.get(key))
    return Effort(
        f"{plural(reads, 'read')} of {type(sampler).__name__} for {plural(units, 'unit')} of {spins} spins",
        result_bytes(units, reads, weights) + 10.0 * reads * spins,
        units * (reads * READ_S + call_s(sampler, options, spins)),
        lower or "solver.options",
    )
