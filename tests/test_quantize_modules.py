"""`annealtrain quantize` of PyTorch modules: the runs of them, what is folded, and the ONNX file of integer codes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_quantize_command import FAST, undrawn  # noqa: F401

torch = pytest.importorskip("torch")

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10, odd=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.tokens, self.square = nn.Linear(4, 6), nn.Linear(6, 6)
        self.head, self.odd = nn.Linear(6, num_classes), odd

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)  # a row a site
        x = self.square(torch.relu(self.tokens(x))).mean(1)
        return self.head(torch.special.bessel_j0(x) if self.odd and not torch.is_grad_enabled() else x)
"""


@pytest.fixture
def nets(tmp_path: Path) -> None:
    (tmp_path / "few_nets.py").write_text(NETS)


def train(cli: Callable, *more: str) -> None:
    words = ["dataset=digits", "samples=40", "validation=20", "epochs=1", "batch_size=20", "threads=1", *more]
    outcome = cli("train", "model={_target_: few_nets.Net}", *words, "hydra.run.dir=run")
    assert outcome.code == 0, outcome


@pytest.mark.parametrize("words", [["bits=2"], ["levels=3", "group_size=2"], ["bits=9"], ["bits=[16,2,null,1]"]])
def test_a_run_of_a_module(cli: Callable, nets: None, undrawn: None, words: list[str]) -> None:  # noqa: F811
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    train(cli)
    outcome = cli("quantize", "run", *words, *FAST, "--trust", "few_nets", "--output", "q")
    assert outcome.code == 0, outcome
    assert "folded into the layers before them: norm\n" in outcome.out
    assert "network.onnx" not in outcome.out
    result = json.loads(Path("q/result.json").read_text())
    assert result["network"]["folded"] == ["norm"]
    assert result["network"]["notes"] == []

    scope: dict = {}
    exec(NETS, scope)
    module = scope["Net"]()
    module.conv, module.norm = torch.nn.Conv2d(1, 4, 3), torch.nn.Identity()
    module.load_state_dict(torch.load("q/network.pt", weights_only=True))
    from annealtrain.experiment.builder import build_saved
    from annealtrain.experiment.config import saved_config

    test = build_saved(saved_config(Path("run"), ["few_nets"]), Path("run")).trainer().sets["test"]
    session = runtime.InferenceSession("q/network.onnx")
    (found,) = session.run(None, {"images": test[:]})
    np.testing.assert_allclose(found, module.eval()(torch.from_numpy(test[:])).detach().numpy(), atol=2e-5)
    assert (found.argmax(axis=1) == test.labels).mean() == result["quantized"]["test_accuracy"]
    assert result["held_out_kl"] > 0
    model = onnx.load("q/network.onnx")
    with np.load("q/codes.npz") as codes:
        wide = {name for name in codes if name.endswith(".codes") and np.abs(codes[name]).max() > 32767}
        held = [one for one in model.graph.initializer if one.name.endswith(".codes")]
        assert len(held) == sum(name.endswith(".codes") for name in codes) - len(wide)
    assert {one.key for one in model.metadata_props} >= {"classes", "preprocessing"}


def test_layers_frozen_in_the_run_of_a_module(cli: Callable, nets: None, undrawn: None) -> None:  # noqa: F811
    train(cli, "trainable=[head]")
    outcome = cli("quantize", "run", "bits=2", *FAST, "--trust", "few_nets", "--output", "q")
    assert outcome.code == 0, outcome
    assert "still float, frozen in the run: conv, tokens, square\n" in outcome.out
    with np.load("q/codes.npz") as codes:
        assert {name.rpartition(".")[0] for name in codes} == {"head"}


def test_a_module_that_onnx_has_no_form_of(cli: Callable, nets: None, undrawn: None) -> None:  # noqa: F811
    pytest.importorskip("onnx")
    train(cli, "+model.odd=true")
    outcome = cli("quantize", "run", "bits=2", *FAST, "--trust", "few_nets", "--output", "q")
    assert outcome.code == 0, outcome
    assert "no network.onnx: ONNX has no form of this module (" in outcome.out
    assert Path("q/network.pt").exists()
    assert not Path("q/network.onnx").exists()
    again = cli("quantize", "run", "bits=2", *FAST, "--trust", "few_nets", "--output", "q")
    assert "no network.onnx: ONNX has no form of this module (" in again.out


@pytest.mark.parametrize("kind", ["module", "layers"])
def test_a_model_that_has_no_version_with_codes(
    cli: Callable,
    nets: None,
    undrawn: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """The converter and the checker are another's: what they refuse costs network.onnx, and nothing else."""
    onnx = pytest.importorskip("onnx")
    if kind == "module":
        train(cli)
    else:
        words = ["model=lenet_small", "dataset=digits", "samples=40", "epochs=1", "optimizer=backprop", "threads=1"]
        assert cli("train", *words, "hydra.run.dir=run").code == 0

    def refuse(model: object, *rest: object, **more: object) -> None:
        raise onnx.checker.ValidationError("no\nsuch operator")

    monkeypatch.setattr("annealtrain.optimizers.quantization.qdq.converted", refuse)
    outcome = cli("quantize", "run", "bits=2", *FAST, "--trust", "few_nets", "--output", "q")
    assert outcome.code == 0, outcome
    told = "no network.onnx: ONNX has no form of this model with integer codes (ValidationError: no such operator)"
    assert told in outcome.out
    assert json.loads(Path("q/result.json").read_text())["network"]["notes"] == [told]
    assert {one.name for one in Path("q").iterdir()} >= {"codes.npz", "codes.pt", "network.pt", "weights.npz"}
    assert not Path("q/network.onnx").exists()
