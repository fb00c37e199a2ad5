"""All laps of a race: each solver in processes of its own, several at once, one thread each."""

import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from annealtrain.commands.field.race import Lap, race
from annealtrain.commands.field.rivals import RIVALS, Rival
from annealtrain.commands.own_process import Lost, Send, one_thread_for_libraries, own_process, reason
from annealtrain.hamiltonian.instances import Instance, catalogue, load
from annealtrain.runtime import thread_pool

# Beyond the seconds of a lap: for building a model and scoring, and once a process for imports.
PATIENCE_S, IMPORTS_S = 60.0, 120.0
OVERRUN = 5.0  # times the seconds: a call that cannot be stopped may take so long
WARM_UP = "digits-linear_small-step-2"


@dataclass(frozen=True)
class Terms:
    """What all solvers are given: names or files of instances, seeds 0 .. seeds - 1, seconds for each."""

    instances: tuple[str, ...]
    seeds: int
    seconds: float


def heats(rivals: Sequence[Rival], terms: Terms, jobs: int, tell: Callable[[Lap], None]) -> list[Lap]:
    """Return the laps of all solvers. tell: is given each, from several threads."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            each = [pool.submit(laps_of, rival, terms, tell, stop) for rival in rivals]
            return [lap for future in each for lap in future.result()]
        except BaseException:  # Ctrl-C: what runs is ended, and what waits is not begun
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def laps_of(rival: Rival, terms: Terms, tell: Callable[[Lap], None], stop: threading.Event) -> list[Lap]:
    """Return the laps of one solver; one that hangs, dies or fails is a lap with a note, and the next goes on.

    stop: set where the others are no longer wanted.
    """
    open_laps = [(name, seed) for name in terms.instances for seed in range(1 if rival.is_fixed else terms.seeds)]
    found: list[Lap] = []

    def note(lap: Lap) -> None:
        found.append(lap)
        tell(lap)

    while open_laps and not stop.is_set():
        with own_process(_run, rival.name, terms, tuple(open_laps), preload=[__name__]) as child:
            limit = IMPORTS_S
            try:
                while open_laps and not stop.is_set():
                    note(child.receive(limit + PATIENCE_S + OVERRUN * terms.seconds, stop))
                    open_laps, limit = open_laps[1:], 0.0
            except Lost as error:  # the other seeds of this instance would not do better
                name = open_laps[0][0]
                for _, seed in (lap for lap in open_laps if lap[0] == name):
                    note(Lap(rival.name, name, seed, note=str(error)))
                open_laps = [lap for lap in open_laps if lap[0] != name]
    return found


def _run(send: Send, name: str, terms: Terms, laps: Sequence[tuple[str, int]]) -> None:
    """Send the laps of a solver, one after the other."""
    one_thread_for_libraries()
    warnings.simplefilter("ignore")  # of others' code
    rival, held = RIVALS[name], load(laps[0][0])
    with thread_pool.threads(1):
        lap(rival, load(WARM_UP), 0, 0.01)
        for instance, seed in laps:
            held = held if held.name == instance else load(instance)
            send(lap(rival, held, seed, terms.seconds, instance))


def lap(rival: Rival, instance: Instance, seed: int, seconds: float, name: str = "") -> Lap:
    """Return a lap, with a note of whatever a solver may raise. It ends early at an energy certified as the least."""
    known = catalogue().get(instance.name)
    optimum = known.energy if known and known.is_certified and known.hash == instance.hash else None
    try:
        return race(rival, instance, seed, seconds, optimum)
    except Exception as error:
        return Lap(rival.name, instance.name, seed, note=reason(error))
