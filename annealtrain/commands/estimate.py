"""What a run asks of memory, of time and of a quantum annealer, layer by layer, before it is begun."""

from dataclasses import dataclass
from math import prod

from annealtrain.commands.footing import Footing, footing_of
from annealtrain.commands.probe import probe
from annealtrain.errors import DataMissing
from annealtrain.experiment import data_of_run
from annealtrain.experiment.builder import Experiment, build, check_whole, maker_of, network_of, optimizer_of
from annealtrain.experiment.config import Config, threads_of
from annealtrain.nn.model import Model
from annealtrain.runtime import memory, thread_pool
from annealtrain.runtime.memory import readable
from annealtrain.solvers.effort import plural

WIDE = 1_000_000_000  # bytes of a run from which on another optimizer is told of
# Largest clique that the standard embedding finds on a fault-free chip: 12 (m - 1) on Pegasus, 16 m - 8 on Zephyr.
CLIQUES = {"Pegasus P16": 180, "Zephyr Z12": 184, "Zephyr Z15": 232}


@dataclass(frozen=True)
class LayerEstimate:
    """Sizes of one trainable layer's Hamiltonians; bytes of J, between weights, and of dense J', between spins."""

    layer: int
    kind: str
    units: int
    weights: int
    spins: int
    rows: int
    weight_bytes: int
    dense_bytes: int

    @property
    def couplers(self) -> int:
        """Pairs of spins in one unit's Hamiltonian."""
        return self.spins * (self.spins - 1) // 2


def layer_estimates(network: Model, *, samples: int, bits: int) -> list[LayerEstimate]:
    """Return the sizes of each trainable layer for `samples` training images."""
    found = []
    for k, layer in enumerate(network.trainable):
        M, N = layer.weight_shape
        rows = samples * prod(layer.out_shape) // M
        found.append(
            LayerEstimate(
                layer=k,
                kind=type(layer).__name__.removeprefix("Torch"),
                units=M,
                weights=N,
                spins=N * bits,
                rows=rows,
                weight_bytes=8 * N * N,
                dense_bytes=8 * (N * bits) ** 2,
            )
        )
    return found


def table(estimates: list[LayerEstimate]) -> str:
    """Return the estimates as text, with what fits on a quantum annealer."""
    head = ("layer", "kind", "units", "weights", "spins", "couplers", "J", "dense J'", "QPU")
    lines = [head]
    for e in estimates:
        fits = [name for name, size in CLIQUES.items() if e.spins <= size]
        bits = max(CLIQUES.values()) // e.weights
        most = f"at most {bits} bit{'s' * (bits > 1)}" if bits else "no"
        lines.append(
            (
                str(e.layer),
                e.kind,
                str(e.units),
                str(e.weights),
                str(e.spins),
                f"{e.couplers:,}",
                readable(e.weight_bytes),
                readable(e.dense_bytes),
                "fits" if len(fits) == len(CLIQUES) else " or ".join(fits) or most,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    left = (1, 8)
    text = [
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    cliques = ", ".join(f"{name} {size}" for name, size in CLIQUES.items())
    return "\n".join(
        [
            *text,
            "",
            "spins, couplers, J (between weights) and dense J' (between spins) are of one unit's Hamiltonian.",
            f"Largest clique of spins that a fault-free chip embeds: {cliques}.",
        ]
    )


def estimate(config: Config, probe_s: float = 0.0, queue_s: float = 0.0) -> str:
    """Return, as text, what a run of a composed configuration asks of memory, of time and of a quantum annealer.

    probe_s: measure the first steps for about so long, where the set's files are at hand; 0: not at all. queue_s: that
    a call of the solver waits for its turn.
    """
    check_whole(config)
    maker_of(config)  # with the packages that it loads; check_whole has loaded the optimizer's
    held, at_hand = memory.held_bytes(), None
    if probe_s or not (data_of_run.known_shape(config) and config["samples"] is not None):
        try:
            at_hand = build(config)
        except DataMissing:
            if not data_of_run.known_shape(config):
                raise
    footing, note = (footing_of(at_hand), at_hand.note) if at_hand else _unread(config)
    network = footing.network
    lines = [table(layer_estimates(network, samples=footing.samples, bits=_bits(config, footing)))]
    lines += [*_memory_lines(footing, held), _calls_line(config, footing, queue_s)]
    if probe_s:
        lines.append(_seconds_line(at_hand, footing, probe_s))
    return "\n".join([*lines, *([f"{note[0].upper()}{note[1:]}."] if note else [])])


def _unread(config: Config) -> tuple[Footing, str | None]:
    """Return what decides the memory of a run on a known set without reading it, and what is done to its images."""
    known = data_of_run.known_shape(config)
    assert known is not None
    (shape, classes), (total, tests) = known, data_of_run.known_counts(config)
    size = data_of_run.size_for(config, shape)
    optimizer = optimizer_of(config)
    network = network_of(config, data_of_run.in_shape(shape, size), classes)
    optimizer.check(network)
    held = total // 10 if config["validation"] is None else config["validation"]
    samples, batch = config["samples"] or max(total - held, 1), config["batch_size"]
    footing = Footing(
        network,
        optimizer,
        samples=samples,
        others=held + tests,
        set_bytes=(total + tests) * prod(shape),
        batch=batch and min(batch, samples),
        threads=threads_of(config),
    )
    return footing, data_of_run.resize_note(shape, size)


def _memory_lines(footing: Footing, held: int) -> list[str]:
    needed, available = footing.run_bytes, memory.available_bytes()
    step = f"in batches of {footing.batch}" if footing.batch else "all at once"
    told = f"Training on {footing.samples} samples {step} holds about {readable(held + needed)}"
    lines = [f"{told}, {readable(held)} of it the program itself."]
    if available is not None and needed > available:
        lines.append(f"{readable(available)} are available: {' or '.join(footing.remedies(available))} would fit.")
    if needed > WIDE and not footing.is_kronecker and footing.kronecker_bytes() < needed / 2:
        lines.append(
            f"optimizer=kronecker, for wide networks, holds about {readable(held + footing.kronecker_bytes())}."
        )
    return lines


def _bits(config: Config, footing: Footing) -> int:
    """Return the bits of a weight's step, which are not the run's where its weights have a grid."""
    bits: int = config["bits"] if footing.optimizer.bits is None else footing.optimizer.bits
    return bits


def _calls_line(config: Config, footing: Footing, queue_s: float) -> str:
    optimizer, shapes = footing.optimizer, [layer.weight_shape for layer in footing.network.trainable]
    steps = config["epochs"] * -(-footing.samples // (footing.batch or footing.samples))
    run = f"A run of {plural(config['epochs'], 'epoch')} is {steps:,} step{'s' * (steps > 1)}"
    if optimizer.solver is None:
        return f"{run} and calls no solver."
    solver, calls, problems, most = optimizer.solver, 0, 0, 0
    for one, times in optimizer.asking(steps):
        bits = config["bits"] if one.bits is None else one.bits
        for M, N in shapes:
            count, spins = solver.most_problems(units=M, weights=N, bits=bits)
            problems, most, at_once = problems + times * count, max(most, spins), one.units_a_solve(M)
            calls += times * sum(
                count * solver.calls(units=units, weights=N, bits=bits)
                for units, count in ((at_once, M // at_once), (M % at_once, 1))
                if units
            )
    line = f"{run}, {calls:,} calls of the solver and {problems:,} problems of up to {most:,} spins."
    return line + (f" With {queue_s:g} s of queue a call: {duration(calls * queue_s)}." if queue_s else "")


def _seconds_line(experiment: Experiment | None, footing: Footing, probe_s: float) -> str:
    solver, available = footing.optimizer.solver, memory.available_bytes()
    if experiment is None:
        return "Seconds are measured where the set's files are at hand."
    if solver is not None and solver.is_metered:
        return "Seconds are not measured: the solver's calls cost QPU time, or wait in a queue."
    if available is not None and footing.run_bytes - footing.set_bytes > available:
        return "Seconds are not measured: there is not the memory."
    epochs, threads = experiment.config["epochs"], experiment.threads
    with thread_pool.threads(threads):
        experiment.optimizer.prepare(experiment.network, experiment.steps)
    found = probe(experiment, probe_s)
    run_s = epochs * found.epoch_s + found.scores_s  # those of the first weights too
    return (
        f"An epoch takes about {duration(found.epoch_s)} on {threads} thread{'s' * (threads > 1)}, "
        f"{duration(found.scores_s)} of it scores; the run {duration(run_s)}: measured on {found.on}."
    )


def duration(seconds: float) -> str:
    """Return seconds as people write them: 0.4 s, 12 s, 3.5 min, 2.1 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
