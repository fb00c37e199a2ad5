"""Estimates against numbers by hand (networks.md), and against what a small training really allocates."""

import tracemalloc

import numpy as np
import pytest

from annealtrain.commands.estimate import LayerEstimate, layer_estimates, table, training_bytes
from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.layers import Conv2d, Flatten, Layer, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.layerwise import pinv
from annealtrain.runtime import memory, thread_pool
from annealtrain.schedule import GeometricSchedule
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing
from annealtrain.training.trainer import Trainer


def linear() -> list[Layer]:
    return [Flatten(), Linear(10)]


def linear_small() -> list[Layer]:
    return [SpectralPool2d([4, 2]), Flatten(), Linear(10)]


def conv() -> list[Layer]:
    return [SpectralPool2d([8, 8]), Conv2d(10, 8), Flatten()]


def conv_small() -> list[Layer]:
    return [SpectralPool2d([4, 4]), Conv2d(10, 4), Flatten()]


def two_conv_small() -> list[Layer]:
    return [SpectralPool2d([4, 4]), Conv2d(4, 3), Conv2d(10, 2), Flatten()]


def lenet_small() -> list[Layer]:
    convolutions = [Conv2d(6, 5), SpectralPool2d([14, 14]), Conv2d(12, 5), SpectralPool2d([5, 5]), Conv2d(24, 5)]
    return [*convolutions, Flatten(), Linear(18), Linear(10)]


def estimates(
    layers: list[Layer], bits: int, *, samples: int = 100, threads: int = 1, channels: int = 1, **settings
) -> list[LayerEstimate]:
    network = Network(layers, (channels, 32, 32), 10, **settings)
    return layer_estimates(network, samples=samples, bits=bits, threads=threads)


@pytest.mark.parametrize(
    ("layers", "bits", "spins", "couplers", "dense_bytes"),
    [
        (linear, 8, [8192], [33_550_336], [536_870_912]),
        (linear_small, 4, [32], [496], [8192]),
        (linear_small, 2, [16], [120], [2048]),
        (conv, 8, [512], [130_816], [2_097_152]),
        (conv_small, 4, [64], [2016], [32_768]),
        (two_conv_small, 4, [36, 64], [630, 2016], [10_368, 32_768]),
        (
            lenet_small,
            4,
            [100, 600, 1200, 96, 72],
            [4950, 179_700, 719_400, 4560, 2556],
            [80_000, 2_880_000, 11_520_000, 73_728, 41_472],
        ),
    ],
)
def test_spins_and_couplers_by_hand(layers, bits, spins, couplers, dense_bytes):
    found = estimates(layers(), bits)
    assert [e.spins for e in found] == spins
    assert [e.couplers for e in found] == couplers
    assert [e.dense_bytes for e in found] == dense_bytes


def test_layers_are_described():
    found = estimates(lenet_small(), 4, samples=7)
    assert [e.layer for e in found] == [0, 1, 2, 3, 4]
    assert [e.kind for e in found] == ["Conv2d"] * 3 + ["Linear"] * 2
    assert [e.units for e in found] == [6, 12, 24, 18, 10]
    assert [e.weights for e in found] == [25, 150, 300, 24, 18]
    assert [e.rows for e in found] == [7 * 784, 7 * 100, 7, 7, 7]


def test_a_bias_is_one_more_weight_and_colours_are_three_times_as_many():
    assert [e.spins for e in estimates(linear_small(), 4, bias=True)] == [36]
    assert [e.spins for e in estimates(two_conv_small(), 4, bias=True, channels=3)] == [4 * 28, 4 * 17]


# What a quantum annealer takes


def qpu_column(layers: list[Layer], bits: int, size: int = 32) -> list[str]:
    network = Network(layers, (1, size, size), 10)
    lines = table(layer_estimates(network, samples=10, bits=bits, threads=1)).split("\n\n")[0].splitlines()
    start = lines[0].index("dense J'") + len("dense J'")
    return [line[start:].strip() for line in lines[1:]]


@pytest.mark.parametrize(
    ("layers", "bits", "told"),
    [
        (linear(), 8, ["no"]),
        (linear_small(), 4, ["fits"]),
        (conv(), 8, ["at most 3 bits"]),
        (conv(), 3, ["Zephyr Z15"]),  # 192 spins
        (conv(), 2, ["fits"]),
        (two_conv_small(), 4, ["fits", "fits"]),
        (lenet_small(), 4, ["fits", "at most 1 bit", "no", "fits", "fits"]),
    ],
)
def test_qpu_column(layers, bits, told):
    assert qpu_column(layers, bits) == told


@pytest.mark.parametrize(
    ("spins", "told"),
    [
        (180, "fits"),
        (181, "Zephyr Z12 or Zephyr Z15"),
        (184, "Zephyr Z12 or Zephyr Z15"),
        (185, "Zephyr Z15"),
        (232, "Zephyr Z15"),
        (233, "no"),
    ],
)
def test_cliques_that_fit(spins, told):
    """12 (m - 1) on Pegasus P16, 16 m - 8 on Zephyr Z12 and Z15."""
    network = Network([Linear(10)], (spins,), 10)
    row = table(layer_estimates(network, samples=10, bits=1, threads=1)).splitlines()[1]
    assert row.endswith(f"  {told}")
    assert row.split()[4] == str(spins)


def test_table_as_people_read_it():
    lines = table(estimates(linear(), 8)).splitlines()
    assert lines[0].split() == [
        "layer",
        "kind",
        "units",
        "weights",
        "spins",
        "couplers",
        "structured",
        "dense",
        "J'",
        "QPU",
    ]
    assert lines[1].split()[:6] == ["0", "Linear", "10", "1024", "8192", "33,550,336"]
    assert lines[1].split()[8:] == ["537", "MB", "no"]
    assert [len(line) for line in lines[:2]] == [lines[0].index("QPU") + 3, lines[0].index("QPU") + 2]
    assert (
        lines[-1]
        == "Largest clique of spins that a fault-free chip embeds: Pegasus P16 180, Zephyr Z12 184, Zephyr Z15 232."
    )


# Memory


class Silent:
    def epoch_done(self, row, solves, checkpoint):
        pass

    def solving(self, epoch, layer, done):
        pass


@pytest.mark.parametrize(
    ("layers", "samples", "threads"),
    [(linear, 100, 1), (linear, 1000, 1), (conv_small, 2000, 1), (lenet_small, 50, 1), (lenet_small, 100, 2)],
)
def test_training_bytes_is_near_what_an_epoch_allocates(layers, samples, threads):
    network = Network(layers(), (1, 32, 32), 10, alpha=0.1)
    labels, scored = np.arange(samples) % 10, 20
    solver = SimulatedAnnealing(num_sweeps=1, order="random")  # forms J, as is estimated; by rows it takes less
    tracemalloc.start()
    try:
        images = np.random.default_rng(0).random((samples, 1, 32, 32), dtype=np.float32)
        stems = network.preprocess(images)
        with thread_pool.threads(threads):
            trainer = Trainer(
                network,
                {"train": Loader(stems.copy(), labels), "test": Loader(stems[:scored].copy(), labels[:scored])},
                pinv(solver=solver, half_range=GeometricSchedule(0.1, 0.01), bits=4),
                epochs=1,
                seed=0,
            )
            trainer.run(Silent())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = training_bytes(network, samples=samples, scored=scored, bits=4, threads=threads)
    assert peak / 1.2 < told < 3 * peak


def test_training_bytes_grows_with_what_is_held():
    def told(**changed):
        given = {"samples": 100, "scored": 0, "bits": 4, "threads": 1} | changed
        return training_bytes(Network(lenet_small(), (1, 32, 32), 10), **given)

    assert told(scored=50) - told() == 50 * 4 * (32 * 32 + 32 * 32)  # images, and the first layer's inputs
    assert told(samples=1000) > 5 * told()
    assert told(threads=4) > told()


def test_structured_bytes_hold_one_dense_form_a_thread():
    one, two = (estimates(linear(), 8, threads=threads)[0].structured_bytes for threads in (1, 2))
    assert two - one >= 20 * 1024**2  # J in float64 twice, in float32 once
    assert one > 4 * 100 * 1024


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1049, "1 kB"),
        (4_900_000_000, "4.9 GB"),
        (9_960, "10 kB"),
        (77_000_000, "77 MB"),
        (99_700, "100 kB"),
        (536_870_912, "537 MB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),
        (2_500_000_000_000, "2.50 TB"),
    ],
)
def test_readable(size, text):
    assert memory.readable(size) == text


def test_require_tells_need_limit_and_remedy(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2_000_000)
    memory.require(2_000_000, "training", "lower samples")
    with pytest.raises(InputError) as caught:
        memory.require(4_900_000, "training", "lower samples")
    assert str(caught.value) == "training needs 4.9 MB; 2 MB are available: lower samples"
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require(10**18, "training", "lower samples")


def test_available_bytes_is_a_sensible_number():
    available = memory.available_bytes()
    assert available is None or 2**20 < available < 2**50
