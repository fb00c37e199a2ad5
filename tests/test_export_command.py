"""`annealtrain export`: from a run folder, from settings, and what it refuses."""

import io
from collections.abc import Callable
from pathlib import Path

import dimod
import numpy as np
import pytest
from conftest import SMALL, composed

from annealtrain.experiment.builder import build, ready
from annealtrain.experiment.config import saved_config
from annealtrain.runs import checkpoint, tables


@pytest.fixture
def run(cli, tmp_path) -> Path:
    """A finished run of two epochs."""
    assert cli("train", *SMALL, "optimizer=difference", "hydra.run.dir=run").code == 0
    return tmp_path / "run"


def test_a_runs_hamiltonian_is_the_next_one_at_its_last_weights(cli, run):
    outcome = cli("export", "run", "--format", "bqm", "--layer", "1", "--unit", "4")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "run/layer1_unit4.bqm: layer 1, unit 4 after 2 epochs: 8 weights of 3 bits\n"
    model = dimod.BinaryQuadraticModel.from_file(io.BytesIO((run / "layer1_unit4.bqm").read_bytes()))
    (_, last), epoch = checkpoint.read_checkpoint(run / "last.npz")
    trainer, start = ready(composed(*SMALL, "optimizer=difference"))
    assert (epoch, start) == (2, 0)
    for layer, weights in zip(trainer.network.trainable, checkpoint.read_checkpoint(run / "last.npz")[0], strict=True):
        layer.weights = weights
    form = trainer.next_problem(1, epoch=2).unit(4)
    np.testing.assert_array_equal(form.S0, last[4])
    assert form.half_range == pytest.approx(0.001)  # what the schedule falls to
    levels = np.random.default_rng(0).integers(0, 8, (20, 8))
    found = model.energies((form.encoding.spins(levels), range(24)))
    np.testing.assert_allclose(found, form.energy(form.weights(levels)), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["gauss_newton", "kronecker"])
def test_the_hamiltonian_of_a_change_of_the_weights(cli, tmp_path, optimizer):
    settings, where = [*SMALL, f"optimizer={optimizer}"], ["--layer=1", "--unit=3", "--output", "x.bqm"]
    outcome = cli("export", *settings, "--format=bqm", *where)
    assert (outcome.code, outcome.err) == (0, "")
    model = dimod.BinaryQuadraticModel.from_file(io.BytesIO((tmp_path / "x.bqm").read_bytes()))
    form = ready(composed(*settings))[0].next_problem(1, epoch=0).unit(3)
    assert not form.S0.any()
    levels = np.random.default_rng(0).integers(0, 8, (20, 8))
    found = model.energies((form.encoding.spins(levels), range(24)))
    np.testing.assert_allclose(found, form.energy(form.weights(levels)), rtol=1e-9)


def test_settings_alone_give_the_first_hamiltonian(cli, tmp_path):
    outcome = cli("export", *SMALL, "--format=coo", "--output", "first.coo")
    assert outcome.out == "first.coo: layer 0, unit 0 after 0 epochs: 8 weights of 3 bits\n"
    assert (tmp_path / "first.coo").read_text().startswith("# vartype=SPIN\n# annealtrain: layer 0, unit 0")


def test_the_solver_is_not_asked(cli):
    """A quantum annealer's may need an account, or take no layer of this size."""
    arguments = ["--format=coo", "--output", "first.coo", "--force"]
    for solver in ("exact", "dwave"):
        assert cli("export", *SMALL, f"solver={solver}", "bits=8", *arguments).code == 0


def test_the_network_of_a_run(cli, run):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'annealtrain[torch]'")
    outcome = cli("export", "run", "--format", "torch")
    assert outcome.out == "run/network.pt: the network after 2 epochs\n"
    state = torch.load(run / "network.pt", weights_only=True)
    for name, wanted in zip(("2.weight", "4.weight"), checkpoint.read_checkpoint(run / "last.npz")[0], strict=True):
        np.testing.assert_allclose(state[name].numpy(), wanted, rtol=1e-6)


def test_a_runs_onnx_model_predicts_what_the_run_scored(cli, run):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'annealtrain[export]'")
    runtime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: pip install 'annealtrain[export]'"
    )
    assert cli("export", "run", "--format", "onnx").out == "run/network.onnx: the network after 2 epochs\n"
    parts = build(saved_config(run))
    images, labels = parts.splits.test[:], parts.splits.test.labels
    session = runtime.InferenceSession((run / "network.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["outputs"], {"images": images})
    scored = tables.read_json(run / "result.json", "last")["last"]["test_accuracy"]
    assert (found.argmax(axis=1) == labels).mean() == scored
    network = parts.network
    first = network.predict(network.preprocess(images))
    for layer, weights in zip(network.trainable, checkpoint.read_checkpoint(run / "last.npz")[0], strict=True):
        layer.weights = weights
    wanted = network.predict(network.preprocess(images))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert np.abs(found - first).max() > 0.1


def test_a_file_is_replaced_only_if_that_is_asked_for(cli, run):
    assert cli("export", "run", "--format", "lp").code == 0
    outcome = cli("export", "run", "--format", "lp")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "annealtrain export: run/layer0_unit0.lp exists: give --output another name, or add --force"
    )
    assert cli("export", "run", "--format", "lp", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--format", "lp"], "there is no folder nowhere"),
        (["bits=2", "--format", "mps", "--output", "x"], "--format mps is not one of bqm, coo, qubo, lp, torch, onnx"),
        (["bits=2"], "the following arguments are required: --format"),
        (["bits=2", "--format", "lp"], "--output is missing: settings alone have no run folder"),
        (["bits=2", "--format", "onnx", "--output", "x"], "--format onnx writes a trained network: give a run folder"),
        (
            [*SMALL, "--format", "lp", "--output", "x", "--layer", "2"],
            "layer 2: trainable layers are counted from 0 to 1",
        ),
        ([*SMALL, "--format", "lp", "--output", "x", "--unit", "8"], "unit 8: layer 0 has 8 units, 0 to 7"),
        ([*SMALL, "--format", "lp", "--output", "no/x"], "there is no folder no: make it"),
        ([*SMALL, "--format", "lp", "--output", f"{__file__}/x"], "test_export_command.py is no folder: give --output"),
        ([*SMALL, "threads={a:1}", "--format", "lp", "--output", "x"], "threads={'a': 1} is not a whole number from 1"),
        (["modell=lenet", "--format", "lp", "--output", "x"], "no setting 'modell'; did you mean 'model'"),
    ],
)
def test_refusals(refused, arguments, message):
    assert message in refused("export", *arguments)


def test_a_damaged_run_is_not_exported(cli, run):
    (run / "last.npz").write_bytes((run / "best.npz").read_bytes())
    outcome = cli("export", "run", "--format", "coo")
    assert outcome.code == 2
    assert outcome.err.startswith("annealtrain export: run/last.npz: it is not what the run wrote: restore it")


def test_a_run_that_a_sweep_has_not_is_no_setting(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / ".annealtrain-sweep").mkdir()
    said = refused("export", "threads=7", "--format", "coo", "--output", "file")
    assert said.startswith("threads=7 is no run of this sweep")
