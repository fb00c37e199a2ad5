"""The samplers of dwave-samplers on a dimod model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annealtrain.commands.field.ising import in_order, levels_of
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime.array_types import Array

SWEPT = ("SimulatedAnnealingSampler", "PathIntegralAnnealingSampler")


def sample(
    name: str,
    model: Any,
    form: QuadraticForm,
    betas: Sequence[float] | None,
    *,
    sweeps: int,
    reads: int,
    seed: int,
    timeout_ms: int | None = None,
) -> tuple[Array, Array]:
    """Return levels (reads, N) and energies (reads,) of a sampler by its class. betas: None for its own.

    timeout_ms: of tabu search; None: 20, or more where there are many spins.
    """
    import dwave.samplers

    asked: dict[str, Any] = {"num_reads": reads, "seed": seed}
    if name in SWEPT:
        asked["num_sweeps"] = sweeps
        if betas is not None:
            asked["beta_range"] = list(betas)
    if name == "TabuSampler":
        asked["timeout"] = timeout_ms or max(20, len(model.variables) // 4)  # its default is 20 for any size
    found = getattr(dwave.samplers, name)().sample(model, **asked)
    return levels_of(form, in_order(found)), np.array(found.record.energy)
