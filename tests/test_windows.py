"""Networks of strided and padded windows from end to end: trained, scored, drawn and exported, or refused."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import SMALL, table

VARIED = """
name: varied
image_size: [32, 32]
layers:
  - {_target_: annealtrain.nn.layers.Pad, margin: [1, 0, 0, 1]}
  - {_target_: annealtrain.nn.layers.Conv2d, out_channels: 3, kernel_size: [5, 3], stride: [2, 3], padding: [1, 2]}
  - {_target_: annealtrain.nn.layers.MaxPool2d, kernel_size: 3, stride: 2, padding: 1}
  - {_target_: annealtrain.nn.layers.Conv2d, out_channels: 4, kernel_size: 3, padding: 1, alpha: 0.3}
  - {_target_: annealtrain.nn.layers.AvgPool2d, kernel_size: [4, 3]}
  - {_target_: annealtrain.nn.layers.Flatten}
  - {_target_: annealtrain.nn.layers.Linear, out_features: 10}
"""


@pytest.fixture
def own_model(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function from a model's YAML to the words that train it."""

    def words(text: str) -> list[str]:
        (tmp_path / "mine" / "model").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / "model" / "own.yaml").write_text(text)
        return ["--config-dir=mine", "model=own", *SMALL[1:], "output_activation=linear"]

    return words


@pytest.mark.parametrize("optimizer", ["gauss_newton", "kronecker"])
def test_strides_margins_and_pools_train_and_leave_the_program(
    optimizer: str, cli: Callable, own_model: Callable, tmp_path: Path
) -> None:
    words = [*own_model(VARIED), f"optimizer={optimizer}", "bits=6"]
    assert "Conv2d" in cli("estimate", *words[:3]).out
    assert cli("train", *words, "hydra.run.dir=run").code == 0
    losses = [float(row["train_loss"]) for row in table(tmp_path / "run" / "metrics.csv")]
    assert losses[-1] < losses[0]
    assert "the same as recorded" in cli("eval", "run").out
    assert cli("plot", "run").code == 0
    for kind, package in (("torch", "torch"), ("onnx", "onnx")):
        if find_spec(package):
            assert cli("export", "run", "--format", kind).code == 0


@pytest.mark.parametrize("optimizer", ["pinv", "pinv_weighted", "difference"])
def test_optimizers_that_invert_refuse_what_has_no_inverse(
    optimizer: str, cli: Callable, refused: Callable, own_model: Callable
) -> None:
    line = refused("train", *own_model(VARIED), f"optimizer={optimizer}")
    assert "layer 2 of the model: MaxPool2d has no inverse; optimizer=pinv and difference" in line
    assert "take optimizer=gauss_newton or kronecker" in line
    others = "\n".join(line for line in VARIED.splitlines() if "MaxPool2d" not in line)
    plain = own_model(others)
    line = refused("train", *plain, f"optimizer={optimizer}")
    assert "layer 2 of the model: Conv2d with a stride or padding has no inverse in Fourier space" in line
    assert cli("train", *plain, f"optimizer={optimizer}", "conv_inverse=exact", "hydra.run.dir=run").code == 0
