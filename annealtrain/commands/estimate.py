"""What a network asks of memory and of a quantum annealer, layer by layer, before anything is built."""

from dataclasses import dataclass
from math import prod

from annealtrain.data.dataset import CLASSIFICATION
from annealtrain.experiment import data_of_run
from annealtrain.experiment.builder import Experiment, check_whole, dataset_of, network_of
from annealtrain.experiment.config import Config, threads_of
from annealtrain.nn.layout import CHUNK_SAMPLES
from annealtrain.nn.network import Network
from annealtrain.runtime import memory
from annealtrain.runtime.memory import readable

# Largest clique that the standard embedding finds on a fault-free chip: 12 (m - 1) on Pegasus, 16 m - 8 on Zephyr.
CLIQUES = {"Pegasus P16": 180, "Zephyr Z12": 184, "Zephyr Z15": 232}


@dataclass(frozen=True)
class LayerEstimate:
    """Sizes of one trainable layer's Hamiltonians; bytes of what training holds at once, and of dense J'."""

    layer: int
    kind: str
    units: int
    weights: int
    spins: int
    rows: int
    structured_bytes: int
    dense_bytes: int

    @property
    def couplers(self) -> int:
        """Pairs of spins in one unit's Hamiltonian."""
        return self.spins * (self.spins - 1) // 2


def layer_estimates(network: Network, *, samples: int, bits: int, threads: int) -> list[LayerEstimate]:
    """Return the sizes of each trainable layer for `samples` training images."""
    found = []
    for k, layer in enumerate(network.trainable):
        M, N = layer.weight_shape
        rows = samples * prod(layer.out_shape) // M
        # float32: rows, and targets, slopes, their row forms; float64: J whole, live, packed, and one block of rows.
        row_bytes = 4 * rows * (2 * N + 6 * M)
        unit_bytes = (8 + 8 + 4) * N * N + 8 * min(rows, 8192) * N
        found.append(
            LayerEstimate(
                layer=k,
                kind=type(layer).__name__,
                units=M,
                weights=N,
                spins=N * bits,
                rows=rows,
                structured_bytes=row_bytes + (threads + 1) * unit_bytes,
                dense_bytes=8 * (N * bits) ** 2,
            )
        )
    return found


def training_bytes(network: Network, *, samples: int, scored: int, bits: int, threads: int) -> int:
    """Return an estimate of the most that a run holds at once: its images, activations and largest layer.

    scored: validation and test images.
    """
    stem = 4 * prod(network.trainable[0].in_shape) + 4 * prod(network.layers[0].in_shape)
    activations = 4 * samples * 2 * sum(prod(layer.in_shape) + prod(layer.out_shape) for layer in network.trainable)
    block = (
        4
        * threads
        * CHUNK_SAMPLES
        * max(
            prod(layer.out_shape) + prod(layer.out_shape) // layer.weight_shape[0] * layer.weight_shape[1]
            for layer in network.trainable
        )
    )
    largest = max(e.structured_bytes for e in layer_estimates(network, samples=samples, bits=bits, threads=threads))
    return (samples + scored) * stem + activations + block + largest


def require_memory(experiment: Experiment) -> None:
    """Raise InputError if a run would hold more than is available."""
    config, splits = experiment.config, experiment.splits
    samples = len(splits.train)
    batch = config["batch_size"] and min(config["batch_size"], samples)
    scored = len(splits.test) + (len(splits.validation) if splits.validation else 0)
    needed = training_bytes(
        experiment.network,
        samples=batch or samples,
        scored=0 if batch else scored,
        bits=config["bits"],
        threads=experiment.threads,
    )
    setting = f"batch_size={batch}" if batch else f"samples={samples}"
    memory.require(needed, "training", f"lower {setting}, or take a smaller model")


def table(estimates: list[LayerEstimate]) -> str:
    """Return the estimates as text, with what fits on a quantum annealer."""
    head = ("layer", "kind", "units", "weights", "spins", "couplers", "structured", "dense J'", "QPU")
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
                readable(e.structured_bytes),
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
            "spins, couplers and dense J' are of one unit's Hamiltonian; structured is what training the layer holds.",
            f"Largest clique of spins that a fault-free chip embeds: {cliques}.",
        ]
    )


def estimate(config: Config) -> str:
    """Return, as text, what each layer of a composed configuration asks of memory and of a quantum annealer."""
    check_whole(config)
    task, resized_from, samples = CLASSIFICATION, "", config["samples"]
    known = data_of_run.known_shape(config)
    if known and samples is not None:
        shape, classes = known
    else:
        dataset = dataset_of(config)
        shape, classes, task, resized_from = dataset.shape, dataset.classes, dataset.task, dataset.resized_from
        held = dataset.held_out if config["validation"] is None else config["validation"]
        samples = samples or max(len(dataset.train_images) - held, 1)
    size = data_of_run.size_for(config, shape)
    network = network_of(config, data_of_run.in_shape(shape, size), classes, task)
    threads = threads_of(config)
    layers = layer_estimates(network, samples=samples, bits=config["bits"], threads=threads)
    whole = training_bytes(network, samples=samples, scored=0, bits=config["bits"], threads=threads)
    note = data_of_run.resize_note(shape, size, resized_from)
    lines = [table(layers), f"Training on {samples} samples holds about {memory.readable(whole)}."]
    return "\n".join([*lines, *([f"{note[0].upper()}{note[1:]}."] if note else [])])
