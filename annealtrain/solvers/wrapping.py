"""Solvers that let another one do their work on Hamiltonians that they change for it."""

from collections.abc import Sequence
from copy import copy
from typing import TypeVar

from annealtrain.errors import InputError
from annealtrain.runtime.validation import inside, reworded, shown
from annealtrain.solvers.effort import Effort
from annealtrain.solvers.solver import Solver
from annealtrain.solvers.statistics import merge_rows

OWN = ("build_s", "anneal_s", "bound_s", "acceptance", "visit_ns")  # statistics that a solve of the whole has itself
PER_UNIT = ("_s", "flips", "visits")  # endings of those that add up over units
INNER = reworded(inside("solver", "inner"))  # a fault of the inner solver is told in the settings that it has here
Own = TypeVar("Own", bound="Wrapping")


class Wrapping(Solver):
    """Asks what its inner solver asks, of units as large; a subclass gives `sample_batch`."""

    def __init__(self, inner: Solver) -> None:
        if not isinstance(inner, Solver):
            raise InputError(
                f"solver.inner={shown(inner)} is not a solver: name one of the group, such as solver.inner=sa"
            )
        self.inner = inner

    @property
    def takes_all_units(self) -> bool:  # type: ignore[override]
        """Whether units that differ in J come together: as the inner solver has it."""
        return self.inner.takes_all_units

    @property
    def is_metered(self) -> bool:  # type: ignore[override]
        """Whether a solve costs money, or waits: as the inner solver has it."""
        return self.inner.is_metered

    def resolve_schedules(self: Own, epoch: int, epochs: int) -> Own:
        bound = copy(self)
        bound.inner = INNER(self.inner.resolve_schedules)(epoch, epochs)
        return bound

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        INNER(self.inner.check)(bits=bits, weights=weights)

    def prepare(self, *, bits: int, weights: Sequence[int], units: Sequence[int], solves: Sequence[int]) -> None:
        INNER(self.inner.prepare)(bits=bits, weights=weights, units=units, solves=solves)

    def effort(self, *, units: int, weights: int, bits: int) -> Effort | None:
        return INNER(self.inner.effort)(units=units, weights=weights, bits=bits)

    def calls(self, *, units: int, weights: int, bits: int) -> int:
        return INNER(self.inner.calls)(units=units, weights=weights, bits=bits)

    def most_problems(self, *, units: int, weights: int, bits: int) -> tuple[int, int]:
        return INNER(self.inner.most_problems)(units=units, weights=weights, bits=bits)

    @staticmethod
    def told(stats: Sequence[dict[str, float]], units: int) -> dict[str, float]:
        """Return the statistics of the inner solver's solves of so many units as one unit's."""
        merged = {name: value for name, value in merge_rows(list(stats)).items() if name not in OWN}
        return {name: value / (units if name.endswith(PER_UNIT) else 1) for name, value in merged.items()}
