"""One pass of a module with other people's hooks, compiled parts and checkpoints in it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_networks import one_thread, seeded  # noqa: E402, F401

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.nn.jacobian import Jacobian  # noqa: E402
from annealtrain.nn.torch_module import TorchModule  # noqa: E402
from annealtrain.optimizers.kronecker_model import KroneckerModel  # noqa: E402
from annealtrain.torch import IsingKronecker  # noqa: E402

X = np.random.default_rng(0).normal(size=(6, 5, 4))


class Words(nn.Module):
    """A layer on the words of a sentence: side by side, or one after the other, or with the words first."""

    def __init__(self, form="tokens", reentrant=None):
        super().__init__()
        self.wide, self.head, self.form, self.reentrant = nn.Linear(4, 7), nn.Linear(7, 3), form, reentrant
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        x = x + self.shift
        if self.form == "flat":
            return self.head(self._wide(x.reshape(-1, 4)).reshape(len(x), -1, 7).mean(1))
        if self.form == "first":
            return self.head(self._wide(x.movedim(1, 0)).mean(0))
        return self.head(self._wide(x).mean(1))

    def _wide(self, x):
        def wide(x):
            return torch.tanh(self.wide(x))

        return wide(x) if self.reentrant is None else checkpoint(wide, x, use_reentrant=self.reentrant)


def gradients(network):
    """Return the gradients of a layer's weights, by way of its inputs and of what its outputs get back."""
    tape = network.tape(X)
    back = tape.backward(np.ones((6, 3)))
    return [layer.gradient(x, dz) for layer, x, dz in zip(network.trainable, tape.inputs, back, strict=True)]


def changed(module, how):
    if how == "outputs":
        module.wide.register_forward_hook(lambda part, args, z: 3 * z)
    elif how == "inputs":
        module.wide.register_forward_pre_hook(lambda part, args: (2 * args[0],))
    elif how == "compiled":
        module.wide.compile(backend="eager")
        module(torch.from_numpy(X)).sum().backward()
    return module


@pytest.mark.parametrize("how", ["outputs", "inputs", "compiled"])
def test_what_others_hang_on_a_module_is_part_of_it(how):
    network = TorchModule(changed(seeded(Words), how), (5, 4))
    found = gradients(network)
    for part, layer in zip(found, network.trainable, strict=True):
        grads = torch.autograd.grad(network.module(torch.from_numpy(X)).sum(), layer.parameters)
        np.testing.assert_allclose(part, layer.joined(grads), rtol=1e-9, atol=1e-12)


def test_the_curvature_is_the_same_however_words_lie():
    held = []
    for form in ("tokens", "flat", "first"):
        network = TorchModule(seeded(Words, form), (5, 4))
        model = KroneckerModel([layer.weight_shape for layer in network.trainable], damping=0.1, momentum=0, memory=0)
        model.measure(network, network.tape(X), np.random.default_rng(1).normal(size=(6, 3)))
        held.append([*model.input_factor.sums, *model.output_factor.sums])
    for tokens, flat, first in zip(*held, strict=True):
        np.testing.assert_allclose(flat, tokens, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(first, tokens, rtol=1e-9, atol=1e-12)


def test_a_jacobian_is_of_samples_that_come_first():
    targets = np.eye(3)[np.arange(6) % 3]
    Jacobian(TorchModule(seeded(Words), (5, 4)), 0, X, targets)
    for form, rows in (("flat", 30), ("first", 5)):
        network = TorchModule(seeded(Words, form), (5, 4))
        with pytest.raises(InputError, match=f"layer wide gets {rows} inputs for 6 outputs: gauss_newton needs"):
            Jacobian(network, 0, X, targets)


@pytest.mark.filterwarnings("ignore:None of the inputs")  # in passes without gradients
def test_activations_that_are_made_again():
    plain, again = (TorchModule(seeded(Words, reentrant=way), (5, 4)) for way in (None, False))
    for one, other in zip(gradients(plain), gradients(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    hidden = TorchModule(seeded(Words, reentrant=True), (5, 4), rest=torch.optim.SGD)
    tape = hidden.tape(X)
    assert [tape.hides(k) for k in range(2)] == [True, False]
    with pytest.raises(InputError, match=r"torch.utils.checkpoint, .*: call it with use_reentrant=False"):
        tape.gradients(np.ones((6, 3)))
    opt = IsingKronecker(hidden.module, rest=torch.optim.AdamW)
    with pytest.raises(InputError, match=r"hides gradients from layer wide: call it with use_reentrant=False"):
        opt.step(lambda: F.cross_entropy(hidden.module(torch.from_numpy(X)), torch.arange(6) % 3))


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 3, device="meta"), lambda: nn.LazyLinear(3)])
def test_weights_without_values_are_told(make):
    with pytest.raises(InputError, match=r"the module has (weights on the meta device|lazy layers)"):
        TorchModule(nn.Sequential(nn.Linear(4, 4), make()))
