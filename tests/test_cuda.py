"""Modules on a GPU: passes and curvature equal those on the CPU to rounding, and runs repeat, resume and travel."""

import copy
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same_run, composed, table
from small_module import SMALL_MODULE

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_networks import one_thread  # noqa: E402, F401

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.experiment import model_of_run  # noqa: E402
from annealtrain.experiment.config import config_hash  # noqa: E402
from annealtrain.nn import torch_device  # noqa: E402
from annealtrain.nn.matrices import NUMPY  # noqa: E402
from annealtrain.nn.run_module import RunModule  # noqa: E402
from annealtrain.nn.torch_matrices import TorchMatrices  # noqa: E402
from annealtrain.nn.torch_models import ResNet8, ViTTiny  # noqa: E402
from annealtrain.nn.torch_module import TorchModule  # noqa: E402
from annealtrain.optimizers.kronecker import Kronecker, kronecker_bytes  # noqa: E402
from annealtrain.optimizers.kronecker_model import FORMS, KroneckerModel  # noqa: E402
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing  # noqa: E402
from annealtrain.torch import IsingKronecker  # noqa: E402
from annealtrain.training.trainer import Trainer  # noqa: E402

HAS_GPU = torch.cuda.is_available()
on_gpu = pytest.mark.skipif(not HAS_GPU, reason="PyTorch finds no GPU")
DEVICES = [pytest.param("cpu"), pytest.param("cuda", marks=on_gpu)]
QUICK = ("dataset=digits", "samples=120", "validation=40", "epochs=3", "threads=1", "batch_size=40")
OWN = "model={_target_: my_models.Small, width: 6}"
WAYS = {
    "kronecker": ("augment.shift=1", "averaging=0.5"),
    "kronecker with decay": ("optimizer.power=0.5", "optimizer.weight_decay=0.01", "kronecker.loss=cross_entropy"),
    "kronecker in half precision": ("precision=bfloat16", "kronecker.loss=cross_entropy"),
    "kronecker with a penalty": ("optimizer.l2=0.001",),
    "kronecker on a grid": ("grid=fixed", "levels=5"),
    "gauss_newton": ("optimizer=gauss_newton", "rest=sgd", "batch_size=null", "annealing.num_sweeps=2", "bits=4"),
    "backprop": ("optimizer=backprop", "optimizer.batch_size=10", "averaging=0.5"),
    "backprop on a grid": ("optimizer=backprop_sgd", "grid=fixed", "bits=1"),
}


class Groups(nn.Module):
    """Layers of all kinds of curvature: groups of a convolution, tokens, a bias, a norm without weights."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, groups=3)
        self.norm = nn.BatchNorm2d(6, affine=False)
        self.tokens = nn.Linear(6, 5)
        self.head = nn.Linear(5, 10)

    def forward(self, x):
        found = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        return self.head(torch.tanh(self.tokens(found)).mean(dim=1))


MODULES = {
    "resnet8": ResNet8,
    "vit_tiny": partial(ViTTiny, num_classes=10, in_channels=3, image_size=[16, 16]),
    "groups": Groups,
}


@pytest.fixture(autouse=True)
def full_precision():
    """As a run on a GPU has it."""
    if HAS_GPU:
        torch_device.torch_device("cuda")


def measured(module, matrices, form, power):
    """Return a model of one step's curvature and gradient, and the Hamiltonians of its layers."""
    network = RunModule(module, (3, 16, 16))
    generator = np.random.default_rng(0)
    x, probe = generator.normal(size=(8, 3, 16, 16)).astype(np.float32), generator.normal(size=(8, 10))
    type(network).matrices = property(lambda self: matrices)
    try:
        tape = network.training_tape(x)
        shapes = [layer.weight_shape for layer in network.trainable]
        settings = {"damping": 0.1, "momentum": 0.9, "memory": 0.9, "weight_decay": 0.02}
        model = KroneckerModel(shapes, form=form, power=power, matrices=matrices, **settings)
        model.measure(network, tape, probe.astype(np.float32))
        model.gradient.add(tape.gradients(probe.astype(np.float32)))
    finally:
        del type(network).matrices
    problems = [model.problem(k, layer.weights, 0.5, 0.01, 8).unit(0) for k, layer in enumerate(network.trainable)]
    curved = [model.curved(k, layer.weights) for k, layer in enumerate(network.trainable)]
    return model, problems, curved


def assert_close(found, expected, rtol=1e-4):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODULES)
def test_curvature_where_the_module_is_equals_numpys(name, form, power, device):
    torch.manual_seed(0)
    module = MODULES[name]()
    there = copy.deepcopy(module).to(device)
    model, problems, curved = measured(module, NUMPY, form, power)
    again, others, curved_there = measured(there, TorchMatrices(torch.device(device)), form, power)
    held, found = model.state(), again.state()
    assert held.keys() == found.keys()
    for key, array in held.items():
        assert_close(found[key], array)
    for one, other in zip(problems, others, strict=True):
        assert_close(other.couplings.J, one.couplings.J)
        assert_close(other.h, one.h, rtol=1e-3)
    assert_close(np.array(curved_there), np.array(curved))
    fresh = KroneckerModel(
        [total.shape for total in model.gradient.sums],
        **{"damping": 0.1, "momentum": 0.9, "memory": 0.9, "weight_decay": 0.02},
        form=form,
        power=power,
        matrices=again.matrices,
    )
    fresh.restore(found)
    for key, array in fresh.state().items():
        np.testing.assert_array_equal(array, found[key])


@pytest.fixture
def mine(cli, tmp_path) -> Path:
    (tmp_path / "my_models.py").write_text(SMALL_MODULE)
    return tmp_path


def train(cli, name, *words):
    outcome = cli("train", *QUICK, *words, f"hydra.run.dir={name}")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return outcome.out


@on_gpu
@pytest.mark.parametrize("way", WAYS)
def test_a_run_on_a_gpu_repeats_resumes_and_is_scored_as_recorded(cli, mine, monkeypatch, way):
    words = (OWN, *WAYS[way], "device=cuda")
    train(cli, "whole", *words)
    rows = table(mine / "whole" / "metrics.csv")
    assert float(rows[-1]["train_loss"]) < float(rows[1]["train_loss"])
    assert cli("eval", "whole", "--trust", "my_models").out.count("the same as recorded") == 2
    train(cli, "on_cpu", *words[:-1])
    start, also = (float(table(mine / name / "metrics.csv")[0]["train_loss"]) for name in ("whole", "on_cpu"))
    assert start == pytest.approx(also, rel=1e-5)

    class Killed(Exception):
        pass

    batches = Trainer._batches

    def dies(self, epoch):
        if epoch == 2:
            raise Killed
        return batches(self, epoch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_batches", dies)
        with pytest.raises(Killed):
            train(cli, "again", *words)
    assert cli("resume", "again", "--trust", "my_models").code == 0
    assert_same_run(mine / "whole", mine / "again")


@on_gpu
def test_a_run_of_a_gpu_is_exported_scored_and_gone_on_with_on_the_cpu(cli, mine, monkeypatch, caplog):
    pytest.importorskip("onnxruntime")
    train(cli, "run", OWN, "device=cuda")
    for form in ("torch", "onnx"):
        outcome = cli("export", "run", "--trust", "my_models", f"--format={form}")
        assert outcome.code == 0, outcome
    state = torch.load(next((mine / "run").glob("*.pt")), weights_only=True)
    assert {tensor.device.type for tensor in state.values()} == {"cpu"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = cli("eval", "run", "--trust", "my_models")
    assert outcome.code == 0, outcome
    assert "device=cuda is not on this machine: device=cpu is taken" in caplog.text + outcome.err
    assert cli("resume", "run", "epochs=4", "--trust", "my_models").code == 0
    assert len(table(mine / "run" / "metrics.csv")) == 5


@on_gpu
@pytest.mark.parametrize("half", [False, True])
def test_loops_of_ones_own_on_a_gpu(half):
    torch.manual_seed(0)
    module = ResNet8(4).cuda()
    labels = torch.arange(32, device="cuda") % 4
    x = torch.randn(32, 3, 16, 16, device="cuda") + labels[:, None, None, None].float()

    def loop(module, opt, steps):
        scaler, losses = torch.amp.GradScaler("cuda", enabled=half), []
        for _ in range(steps):
            opt.zero_grad()
            with torch.autocast("cuda", torch.float16, enabled=half):
                loss = F.cross_entropy(module(x), labels)
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()
            losses.append(loss.item())
        return losses

    settings = {"solver": SimulatedAnnealing(2, move="greedy", start="present"), "threads": 1, "half_range": 0.02}
    made = partial(IsingKronecker, rest=partial(torch.optim.AdamW, lr=0.01), loss="cross_entropy", **settings)
    opt = made(module)
    losses = loop(module, opt, 12)
    assert losses[-1] < 0.5 * losses[0]
    problem = opt.problems()[0]
    problem.apply(problem.solve().levels[:, 0])
    assert next(module.parameters()).device.type == "cuda"
    if not half:
        other = copy.deepcopy(module)
        again = made(other)
        again.load_state_dict(opt.state_dict())
        assert loop(module, opt, 3) == loop(other, again, 3)


@pytest.mark.skipif(HAS_GPU, reason="PyTorch finds a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_one_line(cli, mine):
    outcome = cli("train", *QUICK, OWN, "device=cuda", "hydra.run.dir=run")
    assert outcome.code == 2
    assert re.search(r"device=cuda: PyTorch finds no GPU here.*: take device=cpu", outcome.err), outcome
    assert not (mine / "run").exists()


def test_devices_that_are_none_are_refused(cli, mine, monkeypatch):
    for word in ("gpu", "cuda:", "mps", "cuda:-1", "3"):
        outcome = cli("train", *QUICK, OWN, f"device='{word}'", "hydra.run.dir=run")
        assert (outcome.code, "device=" in outcome.err) == (2, True), outcome
        assert "cpu, cuda or a GPU's number, as cuda:1" in outcome.err, outcome
    outcome = cli("train", "model=linear", "device=cuda", "hydra.run.dir=run")
    assert outcome.code == 2
    assert "device=cuda is for torch modules" in outcome.err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    outcome = cli("train", *QUICK, OWN, "device=cuda:2", "hydra.run.dir=run")
    assert "there is no GPU number 2, PyTorch finds 2: 0 to 1" in outcome.err, outcome


FULL = {
    "GPU": (
        torch.OutOfMemoryError("CUDA out of memory. Tried ...\nmore"),
        "out of memory on the GPU: take a smaller",
    ),
    "CPU": (MemoryError("Unable to allocate 8 TiB"), "out of memory (Unable to allocate 8 TiB): take a smaller model"),
}


@pytest.mark.parametrize("where", FULL)
def test_memory_that_is_full_is_told_in_one_line(cli, mine, monkeypatch, where):
    error, told = FULL[where]

    def full(self, batch, step, progress):
        raise error

    monkeypatch.setattr(Kronecker, "step", full)
    outcome = cli("train", *QUICK, OWN, "optimizer=kronecker", "hydra.run.dir=run")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert told in outcome.err


def failing(error):
    def fails(*given, **more):
        raise error

    return fails


@pytest.mark.parametrize("place", ["meet", "rehearse"])
def test_a_gpu_that_is_full_at_the_start_is_told_as_such(cli, mine, monkeypatch, place):
    error = RuntimeError("CUDA error: out of memory") if place == "meet" else FULL["GPU"][0]
    monkeypatch.setattr(RunModule, place, failing(error))
    outcome = cli("train", *QUICK, OWN, "optimizer=kronecker", "hydra.run.dir=run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "out of memory on the GPU: take a smaller batch_size or model, or device=cpu" in outcome.err


class Dropped(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(x.flatten(1))


def own_loop(count, moved=lambda number: None, autocast=False):
    """Take steps on an own loop; return the optimizer. moved: called before each."""
    torch.manual_seed(0)
    module, x, y = Dropped(), torch.randn(80, 3, 2, 2), torch.arange(80) % 3
    opt = IsingKronecker(module, solver=SimulatedAnnealing(2, move="greedy", start="present"), threads=1, every=1)
    for number in range(count):
        moved(number)
        opt.zero_grad()
        F.cross_entropy(module(x), y).backward()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            opt.step()
    return opt


def factors(opt):
    return {name: value for name, value in opt.state_dict()["averages"].items() if "factor" in name}


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_module_may_move_to_a_gpu_and_back_while_it_is_trained(monkeypatch, way):
    """In the place of a GPU its form of matrices."""
    there = TorchMatrices(torch.device("cpu"))
    now = [way == "back"]
    monkeypatch.setattr(TorchModule, "matrices", property(lambda self: there if now[0] else NUMPY))

    def moved(number):
        now[0] = (way == "there") == (number >= 2)

    held = factors(own_loop(4, moved))
    monkeypatch.undo()
    for name, value in factors(own_loop(4)).items():
        torch.testing.assert_close(held[name], value, rtol=1e-5, atol=1e-6)


def test_curvature_on_a_gpu_is_in_full_precision_under_autocast(monkeypatch):
    monkeypatch.setattr(TorchModule, "matrices", property(lambda self: TorchMatrices(torch.device("cpu"))))
    held = factors(own_loop(1, autocast=True))
    for name, value in factors(own_loop(1)).items():
        torch.testing.assert_close(held[name], value, rtol=1e-2, atol=1e-3)  # the pass itself is in bfloat16
    seen = []
    TorchMatrices(torch.device("cpu")).each(lambda item: seen.append(torch.is_autocast_enabled("cpu")), [1])
    with torch.autocast("cpu", torch.bfloat16):
        TorchMatrices(torch.device("cpu")).each(lambda item: seen.append(torch.is_autocast_enabled("cpu")), [1])
    assert seen == [False, False]


def test_a_full_gpu_in_the_pass_that_is_looked_at_is_not_taken_for_the_loops_fault(monkeypatch):
    error = FULL["GPU"][0]
    opt = own_loop(1)
    monkeypatch.setattr(TorchModule, "own_tape", failing(error))
    with pytest.raises(torch.OutOfMemoryError):
        opt.step()


@pytest.mark.parametrize("number", [0, 2])
def test_dropout_is_seeded_on_the_gpu_that_it_is_drawn_on(monkeypatch, number):
    current, seeded = [0], []

    class Current:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device.index)

        def __exit__(self, *error):
            current.pop()

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append((current[-1], seed)))
    with torch.random.fork_rng(devices=[]):
        torch_device.seed_device(5, torch.device("cuda", number))
    assert seeded == [(number, 5)]


def test_a_module_without_values_is_refused_before_it_is_moved():
    with torch.device("meta"):
        module = Dropped()
    with pytest.raises(InputError, match="weights on the meta device, without values"):
        RunModule(module, (3, 2, 2), device="cuda")


def test_what_a_gpu_holds_is_not_asked_of_the_machines_memory(monkeypatch):
    network = RunModule(ResNet8(), (3, 32, 32))
    here = kronecker_bytes(network, 4096, 1)
    monkeypatch.setattr(TorchModule, "matrices", property(lambda self: TorchMatrices(torch.device("cpu"))))
    largest = max(8 * N * N for _, N in (layer.weight_shape for layer in network.trainable))
    assert largest < kronecker_bytes(network, 4096, 1) < here / 5


def test_a_run_is_scored_and_gone_on_with_on_another_device(cli, mine):
    train(cli, "run", OWN, "epochs=1")
    for command in ("eval", "resume"):
        more = ("epochs=2",) if command == "resume" else ()
        flags = ("run", *more, "--trust", "my_models")
        outcome = cli(command, *flags, "--device", "gpu")
        assert (outcome.code, "--device='gpu' is not cpu, cuda or a GPU's number" in outcome.err) == (2, True), outcome
        if not HAS_GPU:
            assert "device=cuda: PyTorch finds no GPU here" in cli(command, *flags, "--device", "cuda").err
        assert cli(command, *flags, "--device", "cpu").code == 0
    assert len(table(mine / "run" / "metrics.csv")) == 3


@on_gpu
def test_curvature_lies_on_the_modules_gpu():
    assert RunModule(ResNet8(), (3, 16, 16), device="cuda").matrices.own(np.eye(2)).device.type == "cuda"


def test_processes_that_train_together_have_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert torch_device.torch_device("cuda").index == 0  # alone, whatever else is set
    monkeypatch.setattr(torch_device, "current_ranks", lambda: type("Four", (), {"size": 4}))
    assert torch_device.torch_device("cuda").index == 3
    assert torch_device.torch_device("cuda:1").index == 1


@pytest.mark.skipif(HAS_GPU, reason="PyTorch finds a GPU")
def test_a_run_of_a_gpu_that_is_not_here_is_read_on_the_cpu_and_says_so(caplog):
    config = {"device": "cuda", "seed": 3}
    assert model_of_run.on_this_machine(config) == {"device": "cpu", "seed": 3}
    assert "the run's device=cuda is not on this machine: device=cpu is taken" in caplog.text
    assert model_of_run.on_this_machine({"device": "cpu"}) == {"device": "cpu"}


@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_the_hash_of_a_run_is_that_of_all_devices(device):
    config = composed("model=resnet8", f"device={device}")
    assert config_hash(config) == config_hash({**config, "device": "cpu"})
