"""Estimates against numbers by hand (networks.md), and against what a small training really allocates."""

import dataclasses
import re
import tracemalloc

import numpy as np
import pytest

from annealtrain.commands import estimate as estimating
from annealtrain.commands.estimate import LayerEstimate, duration, layer_estimates, table
from annealtrain.commands.footing import Footing
from annealtrain.commands.probe import Probe, _of_a_step
from annealtrain.data.loader import Loader
from annealtrain.errors import InputError
from annealtrain.nn.layers import Conv2d, Flatten, Layer, Linear, SpectralPool2d
from annealtrain.nn.network import Network
from annealtrain.optimizers.gauss_newton import GaussNewton
from annealtrain.optimizers.kronecker import Kronecker
from annealtrain.optimizers.layerwise import difference, pinv
from annealtrain.optimizers.optimizer import Optimizer
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
    layers: list[Layer], bits: int, *, samples: int = 100, channels: int = 1, **settings
) -> list[LayerEstimate]:
    network = Network(layers, (channels, 32, 32), 10, **settings)
    return layer_estimates(network, samples=samples, bits=bits)


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
    lines = table(layer_estimates(network, samples=10, bits=bits)).split("\n\n")[0].splitlines()
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
    row = table(layer_estimates(network, samples=10, bits=1)).splitlines()[1]
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
        "J",
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


ANNEALED = {"pinv": pinv, "difference": difference, "gauss_newton": GaussNewton, "kronecker": Kronecker}


def made(name: str, bits: int = 4) -> Optimizer:
    solver = SimulatedAnnealing(num_sweeps=1, order="random")  # forms J, as is estimated; by rows it takes less
    return ANNEALED[name](solver=solver, half_range=GeometricSchedule(0.1, 0.01), bits=bits)


@pytest.mark.parametrize("name", ANNEALED)
@pytest.mark.parametrize(
    ("layers", "samples", "threads"), [(linear_small, 3000, 1), (conv_small, 500, 1), (lenet_small, 100, 1)]
)
def test_step_bytes_are_near_what_an_epoch_allocates(name, layers, samples, threads):
    network = Network(layers(), (1, 32, 32), 10, alpha=0.1)
    labels, scored = np.arange(samples) % 10, 20
    tracemalloc.start()
    try:
        images = np.random.default_rng(0).random((samples, 1, 32, 32), dtype=np.float32)
        stems = network.preprocess(images)
        with thread_pool.threads(threads):
            trainer = Trainer(
                network,
                {"train": Loader(stems.copy(), labels), "test": Loader(stems[:scored].copy(), labels[:scored])},
                made(name),
                epochs=1,
                seed=0,
            )
            trainer.run(Silent())
        peak = tracemalloc.get_traced_memory()[1] - images.nbytes - 2 * stems.nbytes
    finally:
        tracemalloc.stop()
    told = made(name).step_bytes(network, samples, threads)
    assert peak / 2 - 1_000_000 < told < 4 * peak + 1_000_000  # of scores, and of what is small


def test_the_hamiltonians_of_a_wide_layer_are_held_a_group_at_a_time():
    """J of 40 units of 1,024 weights are 340 MB; those of a group are let go before the next group's are made."""
    network = Network([Flatten(), Linear(40), Linear(10)], (1, 32, 32), 10, alpha=0.1)
    inputs = np.random.default_rng(0).random((50, 1, 32, 32), dtype=np.float32)
    optimizer = GaussNewton(
        solver=SimulatedAnnealing(1, move="greedy"), half_range=GeometricSchedule(0.1, 0.01), bits=4
    )
    tracemalloc.start()
    try:
        with thread_pool.threads(1):
            sets = {"train": Loader(network.preprocess(inputs), np.arange(50) % 10)}
            Trainer(network, sets, optimizer, epochs=1, seed=0).run(Silent())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = optimizer.step_bytes(network, 50, 1)
    assert 16 * 8 * 1024**2 < peak < 1.2 * told < 2 * peak


def footing(name: str = "gauss_newton", **changed) -> Footing:
    network = changed.pop("network", None) or Network(lenet_small(), (1, 32, 32), 10)
    given = {"samples": 1000, "others": 0, "set_bytes": 0, "batch": None, "threads": 1} | changed
    return Footing(network, made(name), **given)


def test_run_bytes_grow_with_what_is_held():
    assert footing(others=50_000).run_bytes > footing().run_bytes + 50_000 * 4 * 32 * 32
    assert footing(samples=10_000).run_bytes > 5 * footing().run_bytes
    assert footing(samples=10_000, batch=64).run_bytes == footing(batch=64).run_bytes
    assert footing("pinv", threads=4).run_bytes > footing("pinv").run_bytes
    assert footing(set_bytes=10**9).run_bytes > 10**9


def test_wide_networks_are_told_of_kronecker():
    network = Network([Conv2d(256, 5), SpectralPool2d([4, 4]), Flatten(), Linear(10)], (3, 32, 32), 10)
    wide = footing(network=network, samples=20_000)
    lines = estimating._memory_lines(wide, 10**8)
    assert lines[-1].startswith("optimizer=kronecker, for wide networks, holds about ")
    assert wide.run_bytes > 10 * wide.kronecker_bytes()
    assert len(estimating._memory_lines(footing("kronecker", network=network, batch=64), 10**8)) == 1


@pytest.mark.parametrize("available", [10**7, 10**8, 10**9])
@pytest.mark.parametrize("name", ANNEALED)
@pytest.mark.parametrize("batch", [None, 500])
def test_what_is_named_as_a_remedy_fits(name, batch, available):
    network = Network([Conv2d(16, 5), Flatten(), Linear(10)], (3, 32, 32), 10)
    tight = footing(name, network=network, samples=20_000, batch=batch, threads=8)
    for words in tight.remedies(available):
        key, _, value = words.partition("=")
        if key == "optimizer":
            follows = footing("kronecker", network=network, samples=20_000, batch=64, threads=8)
        elif value:
            field = {"batch_size": "batch"}.get(key, key)
            follows = dataclasses.replace(tight, **{field: int(value)})
        else:
            assert words == "a smaller model"
            continue
        assert follows.run_bytes <= available


def test_a_run_beyond_the_memory_is_refused_with_what_fits(cli, refused, monkeypatch):
    words = ["train", "model=lenet_small", "samples=600", "validation=40", "epochs=1", "threads=1"]
    words += ["annealing.num_sweeps=1", "hydra.run.dir=run"]
    monkeypatch.setattr(memory, "available_bytes", lambda: 30_000_000)
    line = refused(*words)
    assert line.startswith("training needs 70 MB; 30 MB are available: take ")
    remedies = line.rpartition(": ")[2].removeprefix("take ").split(" or take ")
    assert [word.partition("=")[0] for word in remedies] == ["samples", "optimizer"]
    for remedy in remedies:
        assert cli(*words, remedy, f"hydra.run.dir={remedy.partition('=')[0]}").code == 0


# Time and calls


def test_estimate_tells_calls_and_seconds(cli):
    words = ["estimate", "model=two_linear_small", "samples=60", "validation=40", "bits=3", "epochs=4", "threads=1"]
    lines = cli(*words, "--queue", "60").out.splitlines()
    units = sum(int(line.split()[2]) for line in lines[1:3])
    assert f"A run of 4 epochs is 4 steps, {4 * units} calls of the solver and {4 * units} problems of" in lines[-3]
    assert lines[-3].endswith(f"With 60 s of queue a call: {duration(4 * units * 60)}.")
    assert re.fullmatch(
        r"An epoch takes about \S+ s on 1 thread, \S+ s of it scores; the run .*: measured on one step.", lines[-2]
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(estimating, "probe", lambda *given: Probe(steps_s=10.0, scores_s=5.0, on="one step"))
        told = "An epoch takes about 15 s on 1 thread, 5 s of it scores; the run 65 s: measured on one step."
        assert cli(*words).out.splitlines()[-2] == told  # the scores of the first weights among it
    lines = cli(*words, "optimizer=kronecker", "batch_size=20").out.splitlines()
    assert f"is 12 steps, 24 calls of the solver and {12 * units} problems" in lines[-3]
    words = ["model=linear_small", "samples=30", "epochs=2", "grid=fixed", "levels=3"]  # the grid takes over in one
    assert "10 problems of up to 16 spins" in cli("estimate", *words, "--probe=0").out  # 8 weights of two spins
    assert lines[-2].endswith("measured on 3 of its 3 steps.")
    assert "An epoch" not in cli(*words, "--probe", "0").out


def test_estimate_makes_no_call_that_costs(cli, monkeypatch):
    monkeypatch.setattr(SimulatedAnnealing, "is_metered", True)
    monkeypatch.setattr(SimulatedAnnealing, "solve", None)
    out = cli("estimate", "model=linear_small", "samples=30").out
    assert "Seconds are not measured: the solver's calls cost QPU time, or wait in a queue." in out


@pytest.mark.parametrize("optimizer", ["gauss_newton", "pinv", "kronecker"])
def test_a_step_that_takes_too_long_is_reckoned_up(cli, optimizer):
    words = ["model=two_linear_small", "samples=300", "bits=3", "threads=1", f"optimizer={optimizer}"]
    line = cli("estimate", *words, "--probe", "1e-9").out.splitlines()[-2]
    assert re.search(r"measured on (\d+% of a step|steps on up to 9 samples|2 of its 5 steps)\.$", line)


def test_the_first_steps_of_a_run_which_measure_more_tell_nothing_of_the_others(cli, monkeypatch):
    steps, measured, step, measure = [], [], Kronecker.step, Kronecker._measure_curvature
    monkeypatch.setattr(Kronecker, "step", lambda self, *given: steps.append(given[1].number) or step(self, *given))
    monkeypatch.setattr(
        Kronecker, "_measure_curvature", lambda self, *given: measured.append(given[1].number) or measure(self, *given)
    )
    words = ["model=linear_small", "samples=100", "optimizer=kronecker", "batch_size=2", "threads=1"]
    assert "measured on 17 of its 50 steps." in cli("estimate", *words, "--probe", "600").out
    assert (steps, measured) == (list(range(16, 33)), [16, 32])
    del steps[:]
    assert "measured on 2 of its 50 steps." in cli("estimate", *words, "--probe", "1e-9").out
    assert steps == [16, 17]


@pytest.mark.parametrize(
    ("found", "first", "seconds"),
    [
        ([5.0, 1.0], 16, 20 / 16),  # one of them in sixteen is as the first
        ([5.0, *[1.0] * 15, 4.0], 16, 19 / 16),  # a period is known
        ([5.0], 16, 5.0),
        ([5.0, 1.0], 0, 1.0),
        ([*[5.0] * 16, *[1.0] * 15, 4.0], 0, 19 / 16),
    ],
)
def test_seconds_of_a_step(found, first, seconds):
    assert _of_a_step(found, first) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.034, "0.034 s"), (9.96, "10 s"), (119, "119 s"), (120, "2.0 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


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
