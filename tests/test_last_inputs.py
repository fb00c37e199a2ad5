"""What is kept of a module's last call: its first samples, in whatever they are given."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing  # noqa: E402
from annealtrain.torch import IsingKronecker  # noqa: E402


class Masked(nn.Module):
    """Takes a mask in a dict, or samples in a list."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x, more=None):
        x = x[0] * x[1] if isinstance(x, list) else x
        return self.head(x if more is None else x * more["mask"][0] * more["scale"])


class Later(nn.Module):
    """Has its samples in the second axis of what it is called with."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.words(x)).mean(0))


class Graph(Masked):
    """Nodes, and edges that name them."""

    def forward(self, x, edges):
        return self.head(x + torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]))


def taken(module, *given, samples=100):
    """Take a step, and return what was kept of the call."""
    opt = IsingKronecker(module, solver=SimulatedAnnealing(1, move="greedy", start="present"), threads=1)
    opt.step(lambda: F.cross_entropy(module(*given), torch.arange(samples) % 3))
    return opt._annealed.inputs


def test_what_lies_in_dicts_and_lists_is_cut_too():
    x, mask = torch.randn(100, 6), torch.ones(100, 6)
    call = taken(Masked(), x, {"mask": (mask,), "scale": 2.0, "table": torch.ones(5)}).call
    assert torch.equal(call.args[0], x[:64])
    assert call.args[1]["mask"][0].shape == (64, 6)
    assert call.args[1]["table"].shape == (5,)
    assert [len(part) for part in taken(Masked(), [x, mask]).call.args[0]] == [64, 64]


def test_all_samples_are_kept_where_some_lie_in_what_cannot_be_cut():
    class Scaled(Masked):
        def forward(self, x, more):
            return super().forward(x * more.mask)

    kept = taken(Scaled(), torch.randn(100, 6), type("Batch", (), {"mask": torch.ones(100, 6)})())
    assert (len(kept.call.args[0]), kept.count, kept.is_cut) == (100, 100, False)


def test_samples_that_do_not_come_first_are_told():
    with pytest.raises(InputError, match="the module gives 24 outputs for 64 samples: samples must come first in all"):
        taken(Later(), torch.randn(70, 24, 6), samples=24)
    taken(Later(), torch.randn(8, 24, 6), samples=24)  # nothing is cut: no harm is done
    edges = torch.arange(100).repeat(2, 1)
    with pytest.raises(
        InputError, match=r"does not run on the first 64 samples of its last call \(IndexError: .* first"
    ):
        taken(Graph(), torch.randn(100, 6), edges)
