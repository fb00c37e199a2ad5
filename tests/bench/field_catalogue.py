"""What is known of the field's instances, found and written into the package: `python -m bench.field_catalogue`.

Makes all forty, writes the files of those that ship, looks for lower energies with the solvers named, tries to certify
them, and writes catalogue.json and best.npz. What is known already of the same Hamiltonian is kept where nothing better
is found. It needs MNIST and Fashion-MNIST.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from time import process_time

import numpy as np

from annealtrain.commands.field.ising import in_order, levels_of, model
from annealtrain.commands.field.making import make
from annealtrain.commands.field.ours import RUNS, enumerated
from annealtrain.commands.field.race import fresh
from annealtrain.commands.field.specs import SPECS, Spec
from annealtrain.hamiltonian import instances
from annealtrain.hamiltonian.instances import Instance, Known
from annealtrain.hamiltonian.quadratic import Couplings, QuadraticForm
from annealtrain.runtime import thread_pool
from annealtrain.solvers.bounds import lower_bound

FOLDER = Path(instances.__file__).parent / "field"
MOST_NODES, MOST_ENUMERATED = 3_000_000, 130
MOST_TREE = 128  # spins of a Chimera graph whose tree decomposition is solved


def known_of(spec: Spec, seconds: float, solvers: Sequence[str], seed: int, nodes: int) -> tuple[Known, np.ndarray]:
    """Return what is known of an instance, and levels (N,) of its lowest energy."""
    instance = make(spec, None)
    if spec.is_shipped:
        (FOLDER / f"{spec.name}.npz").write_bytes(instance.to_bytes())
    old = instances.catalogue().get(spec.name)
    best, how, certified = instance.start.astype(np.int32), "start", False
    if old and old.hash == instance.hash:
        best, how, certified = instances.best_levels(spec.name), old.how, old.is_certified
    if not certified:
        with thread_pool.threads(1):
            best, how = searched(instance, best, how, seconds, solvers, seed)
            best, how, certified = proven(instance, best, how, nodes)
    energy = int(instance.energy(best))
    bound = float(energy) if certified else bound_of(instance, best)
    about = {
        "weights": instance.num_weights,
        "levels": instance.num_levels,
        "spins": instance.num_spins,
    } | instance.about
    return Known(instance.hash, energy, bound, certified, instance.start_energy, how, about), best


def searched(
    instance: Instance, best: np.ndarray, how: str, seconds: float, solvers: Sequence[str], seed: int
) -> tuple[np.ndarray, str]:
    """Return the best levels of so many seconds of each solver, or those known before."""
    form = instance.form()
    for name in solvers:
        run, spent, turn, effort = RUNS[name](fresh(form)), 0.0, 0, 64
        while spent < seconds:
            started = process_time()
            levels = run(effort, seed * 1000 + turn, seconds - spent)
            spent, turn, effort = spent + process_time() - started, turn + 1, min(2 * effort, 1 << 14)
            if levels is None:
                break
            found = levels[int(np.argmin(form.energy(form.weights(levels))))]
            if instance.energy(found) < instance.energy(best):
                best, how = found, f"found by {name}"
    return best, how


def proven(instance: Instance, best: np.ndarray, how: str, nodes: int) -> tuple[np.ndarray, str, bool]:
    """Return levels at least as good, what found and certified them, and whether they are certified as the best."""
    form = instance.form()
    live = form.couplings.indices.size
    if instance.convex and live <= MOST_ENUMERATED and nodes:
        levels, certified = enumerated(form, best, nodes)
        better = levels[0] if instance.energy(levels[0]) < instance.energy(best) else best
        return better, "certified by enumeration" if certified else how, certified
    if not instance.convex and live <= MOST_TREE:
        from dwave.samplers import TreeDecompositionSolver

        found = TreeDecompositionSolver().sample(model(form))
        return levels_of(form, in_order(found))[0], "certified by a tree decomposition", True
    return best, how, False


def bound_of(instance: Instance, best: np.ndarray) -> float:
    """Return a lower bound, that of the box; where J is not convex its diagonal is raised: spins do not notice."""
    form = instance.form()
    if instance.convex:
        found, scale = lower_bound(form, form.weights(best)), abs(float(instance.c))
    else:
        spins = form.spin_form()
        shift = -np.linalg.eigvalsh(spins.J)[0] * (1 + 1e-9)
        raised = Couplings(spins.J + shift * np.eye(len(spins.J)))
        lifted = QuadraticForm(raised, spins.h, spins.E0 - shift * len(spins.J), spins.S0, 1.0, 1)
        found, scale = (
            lower_bound(lifted, form.encoding.spins(best).astype(float)),
            abs(spins.E0) + shift * len(spins.J),
        )
    return float(np.floor(found - 1e-9 * scale))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.field_catalogue", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--solvers", default="annealtrain")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=MOST_NODES)
    parser.add_argument("--only", default="", help="instances whose name has this in it")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    specs = [spec for spec in SPECS if asked.only in spec.name]
    found = {name: (known, instances.best_levels(name)) for name, known in instances.catalogue().items()}
    with ProcessPoolExecutor(asked.jobs) as pool:
        words = (asked.seconds, asked.solvers.split(","), asked.seed, asked.nodes)
        for spec, future in [(spec, pool.submit(known_of, spec, *words)) for spec in specs]:
            found[spec.name] = future.result()
            known = found[spec.name][0]
            print(f"{spec.name}: {known.energy}, bound {-known.gap(known.bound):.2g} below, {known.how}", flush=True)
    order = [spec.name for spec in SPECS if spec.name in found]
    entries = [f'  "{name}": {json.dumps(asdict(found[name][0]))}' for name in order]
    (FOLDER / "catalogue.json").write_text("{\n" + ",\n".join(entries) + "\n}\n")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: found[name][1].astype(np.uint8) for name in order})
    (FOLDER / "best.npz").write_bytes(buffer.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
