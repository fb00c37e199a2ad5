"""Networks in PyTorch: the same outputs from a state dict that PyTorch reads, and names for its tensors."""

import io
import sys

import numpy as np
import pytest
from exported_networks import CASES, Mine, Twice, images, network, outputs

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'annealtrain[torch]'")

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.nn.layers import Flatten, Linear  # noqa: E402
from annealtrain.nn.network import Network  # noqa: E402
from annealtrain.nn.torch_network import torch_file, torch_network  # noqa: E402


@pytest.mark.parametrize("case", CASES)
def test_the_torch_state_dict_gives_the_same_outputs(case):
    made = CASES[case]()
    state = torch.load(io.BytesIO(torch_file(made)), weights_only=True)
    other = CASES[case]()
    for layer in other.trainable:
        layer.weights = np.zeros_like(layer.weights)
    module = torch_network(other)
    module.load_state_dict(state, strict=True)
    x = images(made)
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, outputs(made, x), rtol=1e-5, atol=1e-5)


def test_the_torch_names_are_places_in_the_network():
    state = torch.load(io.BytesIO(torch_file(network(bias=True))), weights_only=True)
    wanted = [
        "0.weight",
        "0.bias",
        "2.matrix",
        "3.weight",
        "3.bias",
        "5.matrix",
        "7.weight",
        "7.bias",
        "9.weight",
        "9.bias",
    ]
    assert list(state) == wanted
    assert tuple(state["2.matrix"].shape) == (48, 20)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"--format torch needs .*: pip install 'annealtrain\[torch\]'$"):
        torch_file(network())


def test_a_layer_of_the_users_own_has_no_counterpart():
    torch_file(Network([Mine(), Linear(5)], (1, 2, 3), 5))
    with pytest.raises(InputError, match="--format torch has no counterpart of Twice: it knows Linear"):
        torch_file(Network([Twice(), Flatten(), Linear(5)], (1, 2, 3), 5))
