"""One solver on one instance for so many seconds: the lowest energy over time, by runs of doubling effort."""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from annealtrain.commands.field.ours import MOST_EFFORT
from annealtrain.commands.field.rivals import Rival
from annealtrain.hamiltonian.instances import Instance
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm

SMALLEST_RUN = 0.02  # of the time: for less no other run is begun
RUNS = 10_000  # seeds of runs of one seed of the race


@dataclass(frozen=True)
class Lap:
    """What a solver made of one instance with one seed.

    points: (seconds, energy) each time that it had a lower one, by the processor's clock. build_s: to build its model,
    before. note: why there are none.
    """

    solver: str
    instance: str
    seed: int
    build_s: float = 0.0
    points: list[tuple[float, int]] = field(default_factory=list)
    note: str = ""

    @property
    def has_run(self) -> bool:
        """Whether the solver had its time: one that died, failed or was not asked tells nothing of its energies."""
        return not self.note

    def energy_at(self, seconds: float) -> int | None:
        """Return the lowest energy within so many seconds, None where there was none yet."""
        return min((energy for at, energy in self.points if at <= seconds), default=None)

    def time_to(self, energy: float) -> float | None:
        """Return the seconds until an energy this low."""
        return next((at for at, found in self.points if found <= energy), None)


def fresh(form: QuadraticForm) -> QuadraticForm:
    """Return a form with nothing prepared but what the kernel reads: J in float32."""
    couplings = Couplings(form.couplings.J, form.couplings.live, convex=form.couplings.convex)
    _ = couplings.packed, couplings.live_J
    return replace(form, couplings=couplings)


def race(rival: Rival, instance: Instance, seed: int, seconds: float, optimum: int | None = None) -> Lap:
    """Return the lap of a solver.

    Seconds are those that the processor works for the solver, on one thread: other load of the machine does not count,
    nor does the scoring of its states. A run takes twice the effort of the
    last as long as there is time for it, then as much as there is time for. optimum: an energy with which it ends.
    """
    form = instance.form()
    rival.check(form.couplings.indices.size * form.bits)
    if not form.couplings.indices.size:  # no weight moves the energy
        return Lap(rival.name, instance.name, seed, points=[(0.0, instance.start_energy)])
    started = time.process_time()
    own = fresh(form)
    run = rival.make(own)
    build_s = time.process_time() - started
    points: list[tuple[float, int]] = []
    clock, effort, turn = 0.0, rival.first, 0
    while clock < seconds:
        started = time.process_time()
        levels = run(effort, seed * RUNS + turn, seconds - clock)
        took = time.process_time() - started
        clock, turn = clock + took, turn + 1
        if levels is None:
            break
        if len(levels):
            best = levels[int(np.argmin(form.energy(form.weights(levels))))]
            energy = int(instance.energy(best))
            if not points or energy < points[-1][1]:
                points.append((clock, energy))
            if optimum is not None and energy <= optimum:
                break
        left = seconds - clock
        if rival.is_fixed or left < SMALLEST_RUN * seconds:
            break
        fills = max(1, min(effort, int(effort * 0.9 * left / max(took, 1e-9))))
        effort = min(2 * effort, MOST_EFFORT) if 2.2 * took < left else fills
    return Lap(rival.name, instance.name, seed, build_s, points)
