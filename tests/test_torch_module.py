"""A PyTorch module as an optimizer sees it: gradients, what it leaves alone, what it names."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_networks import Block, Residual, Tied, images, one_hot, one_thread, seeded  # noqa: E402, F401

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.hamiltonian.layer_problem import LayerProblem  # noqa: E402
from annealtrain.nn.jacobian import Jacobian  # noqa: E402
from annealtrain.nn.layers import Conv2d, Flatten, Linear  # noqa: E402
from annealtrain.nn.losses import LOSSES  # noqa: E402
from annealtrain.nn.network import Network  # noqa: E402
from annealtrain.nn.run_module import RunModule  # noqa: E402
from annealtrain.nn.torch_module import TorchModule  # noqa: E402
from annealtrain.nn.torch_network import torch_network  # noqa: E402
from annealtrain.optimizers.gauss_newton import GaussNewton  # noqa: E402
from annealtrain.optimizers.kronecker import Kronecker, kronecker_factors  # noqa: E402
from annealtrain.optimizers.layerwise import Layerwise  # noqa: E402
from annealtrain.optimizers.optimizer import Batch, Step  # noqa: E402
from annealtrain.optimizers.targets import DifferenceTargets  # noqa: E402
from annealtrain.runtime.stage_timer import StageTimer  # noqa: E402
from annealtrain.schedule import ConstantSchedule  # noqa: E402
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing  # noqa: E402
from annealtrain.testing import OptimizerContract  # noqa: E402


def residual(**settings):
    module = seeded(Residual, **settings)
    module.norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
    return TorchModule(module, (2, 7, 7))


def block():
    return TorchModule(seeded(Block), None, trainable=["wide", "head"])


def words(count=6):
    return torch.randint(0, 11, (count, 5), generator=torch.Generator().manual_seed(0))


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def is_left_alone(module, before):
    same = all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
    return same and not hooks and all(part.training for part in module.modules())


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("kind", ["residual", "block"])
def test_gradients_are_those_of_autograd(kind, is_training):
    network, x = (residual(), images()) if kind == "residual" else (block(), words())
    d = np.random.default_rng(3).normal(size=(6, 3))
    tape = network.training_tape(x) if is_training else network.tape(x)
    found, back = tape.gradients(d), tape.backward(d)
    module = network.module.train(is_training)
    (module(torch.as_tensor(x)) * torch.from_numpy(d)).sum().backward()
    for layer, seen, dz, gradient in zip(network.trainable, tape.inputs, back, found, strict=True):
        weight, bias = layer.module.weight.grad, layer.module.bias
        expected = weight.reshape(len(weight), -1).numpy()
        if bias is not None:
            expected = np.hstack([expected, -bias.grad.numpy()[:, None]])
        close = {"rtol": 1e-10, "atol": 1e-12 * np.abs(expected).max()}
        np.testing.assert_allclose(gradient, expected, **close)
        np.testing.assert_allclose(layer.gradient(seen, dz), expected, **close)
        np.testing.assert_allclose(layer.sample_gradients(seen, dz).sum(axis=0), expected, **close)
        if layer.has_shared_rows:
            np.testing.assert_allclose(layer.flatten_outputs(dz).T @ layer.unfold(seen), expected, **close)
    assert np.array_equal(tape.backward(d, first=1)[0], back[1])


def test_gradients_in_single_precision_are_those_of_autograd():
    module = seeded(Residual, dtype=torch.float32)
    network, x, y = TorchModule(module, (2, 7, 7)), images(40).astype(np.float32), one_hot(40).astype(np.float32)
    tape = network.training_tape(x)
    found = tape.gradients(LOSSES["cross_entropy"].gradient(tape.outputs, y, 40))
    nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    for layer, gradient in zip(network.trainable, found, strict=True):
        expected = layer.joined([parameter.grad for parameter in layer.parameters])
        assert np.linalg.norm(gradient - expected) < 1e-5 * np.linalg.norm(expected)


def test_the_samples_gradients_are_each_ones_own():
    network, x, d = residual(), images(), np.random.default_rng(3).normal(size=(6, 3))
    tape = network.tape(x)
    back = tape.backward(d)
    for a in range(6):
        alone = network.tape(x[a : a + 1]).gradients(d[a : a + 1])
        for k, layer in enumerate(network.trainable):
            of_all = layer.sample_gradients(tape.inputs[k], back[k])[a]
            np.testing.assert_allclose(of_all, alone[k], rtol=1e-9, atol=1e-12)


def test_looking_leaves_the_module_as_it_was():
    network, x = residual(dropout=0.5), images()
    before, random = copied(network.module), torch.get_rng_state()
    network.tape(x).backward(np.ones((6, 3)))
    network.training_tape(x).gradients(np.ones((6, 3)))
    network.training_outputs(x)
    network.predict(x)
    Jacobian(network, 1, x, one_hot()).true_loss()
    assert is_left_alone(network.module, before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.module.parameters())


def test_a_module_that_fails_is_left_as_it_was():
    network = residual()
    before = copied(network.module)
    with pytest.raises(RuntimeError, match="channels"):
        network.tape(images(shape=(3, 7, 7)))
    assert is_left_alone(network.module, before)


def started(optimizer, network):
    optimizer.check(network)
    optimizer.start(network, seed=0, timer=StageTimer())
    return optimizer


def settings(**more):
    solver = SimulatedAnnealing(2, move="greedy", start="present")
    return {"solver": solver, "half_range": ConstantSchedule(0.01), "bits": 8, **more}


def nothing(layer, share):
    pass


@pytest.mark.parametrize("make", [Kronecker, GaussNewton])
def test_a_step_moves_running_statistics_once(make):
    module = seeded(Residual)
    network = TorchModule(module, (2, 7, 7), rest=lambda rest: torch.optim.SGD(rest, lr=0.1))
    reference = seeded(Residual)
    reference(torch.from_numpy(images(10)))
    scales = module.norm.weight.detach().clone()
    optimizer = started(make(**settings(loss="cross_entropy")), network)
    optimizer.step(Batch(images(10), one_hot(10)), Step(0, 1, 0, 4), nothing)
    assert module.norm.num_batches_tracked == 1
    torch.testing.assert_close(module.norm.running_mean, reference.norm.running_mean, rtol=1e-12, atol=1e-14)
    assert not torch.equal(module.norm.weight, scales)  # by the rest's optimizer
    assert module.norm.weight.grad is None


def test_dropout_is_the_steps_own():
    network, x = residual(dropout=0.5), images()
    one, same, other = (network.training_tape(x, step).outputs for step in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_what_no_hamiltonian_takes_is_named():
    assert residual().about_rest() == ["norm (BatchNorm2d): weight, bias, 12 weights"]
    assert residual(affine=False).about_rest() == []
    network = TorchModule(seeded(Block))
    network.meet(words())
    assert [layer.name for layer in network.trainable] == ["wide", "head"]
    assert network.about_rest() == [
        "words (Embedding): weight, 88 weights",
        "attention (MultiheadAttention): in_proj_weight, in_proj_bias, 216 weights",
        "attention.out_proj (NonDynamicallyQuantizableLinear): weight, bias, 72 weights",
        "norm (LayerNorm): weight, bias, 16 weights",
    ]
    tied = TorchModule(seeded(Tied))
    assert tied.meet(np.ones((2, 4))) == ["twice", "never"]
    assert [layer.name for layer in tied.trainable] == ["first", "head"]
    assert list(tied.rest) == ["twice.weight", "twice.bias", "never.weight", "never.bias", "one.weight"]


def test_frozen_weights_are_nobodys():
    module = seeded(Residual)
    module.stem.weight.requires_grad_(False)
    network = TorchModule(module, (2, 7, 7))
    assert [layer.name for layer in network.trainable] == ["inner", "down", "head"]
    assert "stem.weight" not in network.rest


@pytest.mark.parametrize(
    ("trainable", "names"),
    [(None, ["0.stem", "0.inner", "0.down", "0.head"]), (["0.head"], ["0.head"]), ([-1, 0], ["0.stem", "0.head"])],
)
def test_layers_are_chosen_by_name_or_number(trainable, names):
    network = TorchModule(nn.Sequential(seeded(Residual)), (2, 7, 7), trainable=trainable)
    assert [layer.name for layer in network.trainable] == names
    whole = TorchModule(nn.Sequential(seeded(Residual)), (2, 7, 7), trainable=["0"])
    assert len(whole.trainable) == 4


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: TorchModule(nn.Sequential(seeded(Residual)), trainable=["fc"]), "trainable=fc: .* it has 0 0.stem, "),
        (lambda: TorchModule(seeded(Residual), trainable=[4]), "trainable=4: .* 3 head"),
        (lambda: TorchModule(seeded(Residual), trainable=[]), "trainable is empty"),
        (lambda: TorchModule(nn.Tanh()), "no layer that can be annealed: it needs a Conv2d or a Linear"),
        (lambda: TorchModule(nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 3)), (4,)), "output is tuple"),
        (lambda: TorchModule(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), (4,)), r"output is \(2,\): it must be"),
    ],
)
def test_modules_that_cannot_be_trained_are_refused(make, told):
    with pytest.raises(InputError, match=told):
        make()


def test_inverses_are_refused_in_one_line():
    optimizer = Layerwise(DifferenceTargets(), **settings())
    with pytest.raises(
        InputError, match=r"^a PyTorch module has no inverse, .*take optimizer=kronecker or gauss_newto"
    ):
        optimizer.check(residual())


def test_weights_are_written_through_as_they_are_read():
    network = TorchModule(seeded(Residual, dtype=torch.float32), (2, 7, 7))
    for layer in network.trainable:
        held = layer.weights
        layer.weights = held + 0.3
        again = layer.weights
        layer.weights = again
        np.testing.assert_array_equal(layer.weights, again)
        np.testing.assert_allclose(again, held + 0.3, rtol=1e-6)
    with pytest.raises(ValueError, match=r"layer stem: it has \(6, 18\)"):
        network.trainable[0].weights = np.zeros((6, 17))


def chain(alpha=0.1):
    return Network([Conv2d(3, 3), Conv2d(4, 2, stride=2), Flatten(), Linear(3)], (2, 7, 7), 3, alpha=alpha, bias=True)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make", [Kronecker, GaussNewton])
def test_both_paths_take_the_same_steps(make, loss):
    """The NumPy network and its copy in PyTorch, float64: the same problems, and so the same weights."""
    numpy_chain = chain()
    module = torch_network(numpy_chain).to(torch.float64)
    network = TorchModule(module, (2, 7, 7))
    for layer, other in zip(network.trainable, numpy_chain.trainable, strict=True):
        layer.weights = other.weights  # not those rounded to single precision
    batch = Batch(images(30), one_hot(30))
    for one in (numpy_chain, network):
        optimizer = started(make(**settings(loss=loss)), one)
        for number in range(3):
            optimizer.step(batch, Step(0, 1, number, 3), nothing)
    for layer, other in zip(network.trainable, numpy_chain.trainable, strict=True):
        np.testing.assert_allclose(layer.weights, other.weights, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make", ["residual", "block"])
def test_a_units_hamiltonian_is_the_loss_to_second_order(make, loss):
    network, x = (residual(), images()) if make == "residual" else (block(), words().numpy())
    y, objective = one_hot(), LOSSES[loss]
    if make == "block":
        network.meet(x)
    for k, layer in enumerate(network.trainable):
        model, weights = Jacobian(network, k, x, y, objective), layer.weights
        assert model.loss() == pytest.approx(model.true_loss(), rel=1e-12 if make == "residual" else 1e-6)
        way = np.zeros_like(weights)
        way[1] = np.random.default_rng(k).normal(size=weights.shape[1]) * 1e-5
        layer.weights = weights + way
        up = model.true_loss()
        layer.weights = weights - way
        down = model.true_loss()
        layer.weights = weights
        assert (up - down) / 2 == pytest.approx(float(model.gradient(1) @ way[1]), rel=1e-5, abs=1e-11)
        before = model.loss()
        predicted = float(model.gradient(1) @ way[1] + way[1] @ model.gram(1) @ way[1])
        model.move(1, way[1])
        assert model.loss() - before == pytest.approx(predicted, rel=1e-6)


def test_the_softmax_matrix_is_half_the_second_derivative():
    objective, outputs = LOSSES["cross_entropy"], np.random.default_rng(0).normal(size=(4, 3))
    model = objective.model(outputs, one_hot(4))
    roots = model.weighted(np.repeat(np.eye(3)[None], 4, axis=0))
    F = np.einsum("aci,acj->aij", roots, roots)
    for a in range(4):
        tensor = torch.from_numpy(outputs[a])
        hessian = torch.autograd.functional.hessian(lambda z: z.logsumexp(0), tensor).numpy()
        np.testing.assert_allclose(F[a], hessian / 2, atol=1e-12)
    draws = np.array([objective.probe(outputs, np.random.default_rng(n)) for n in range(4000)])
    products = np.einsum("nai,naj->naij", draws, draws)
    away = np.abs(products.mean(axis=0) - F)
    assert (away < 5 * products.std(axis=0) / np.sqrt(4000) + 1e-12).all()


def reference_factors(form, x, dz):
    """KFAC's factors by loops: x (Q, T, N) with its bias column, dz (Q, T, M)."""
    Q, T, N = x.shape
    A, B = np.zeros((N, N)), np.zeros((dz.shape[2],) * 2)
    for a in range(Q):
        if form == "reduce":
            A += np.outer(x[a].sum(0) / T, x[a].sum(0) / T) / Q
            B += np.outer(dz[a].sum(0), dz[a].sum(0)) / Q
            continue
        for t in range(T):
            A += np.outer(x[a, t], x[a, t]) / (Q * T)
            B += np.outer(dz[a, t], dz[a, t]) / Q
    return A, B


@pytest.mark.parametrize("form", ["expand", "reduce"])
def test_factors_are_those_of_kfac(form):
    network, x = residual(), images()
    tape = network.tape(x)
    back = tape.backward(np.random.default_rng(3).normal(size=(6, 3)))
    for k in (0, 2, 3):
        layer, (M, N) = network.trainable[k], network.trainable[k].weight_shape
        rows, flat = layer.unfold(tape.inputs[k]), layer.flatten_outputs(back[k])
        A, B = reference_factors(form, rows.reshape(6, -1, N), flat.reshape(6, -1, M))
        R, gamma = kronecker_factors(layer, tape.inputs[k], back[k], form)
        np.testing.assert_allclose(R, A, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(gamma, B, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("form", ["expand", "reduce"])
@pytest.mark.parametrize("fisher", ["empirical", "type-2"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.filterwarnings("ignore")
def test_factors_are_those_of_curvlinops(form, fisher, loss):
    curvlinops = pytest.importorskip("curvlinops")
    module = seeded(lambda: nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)))
    network, x, y = TorchModule(module, (2, 7, 7)), images(), one_hot()
    objective = LOSSES[loss]
    torch_loss = nn.CrossEntropyLoss() if loss == "cross_entropy" else nn.MSELoss()
    targets = torch.from_numpy(y.argmax(1) if loss == "cross_entropy" else y)
    kfac = curvlinops.KFACLinearOperator(
        module,
        torch_loss,
        list(module.parameters()),
        [(torch.from_numpy(x), targets)],
        fisher_type=fisher,
        kfac_approx=form,
        separate_weight_and_bias=False,
        check_deterministic=False,
    )
    kfac.compute_kronecker_factors()
    tape = network.tape(x)
    if fisher == "empirical":
        probes = [objective.gradient(tape.outputs, y, 1)]
        scale = 1.0 if loss == "cross_entropy" else 1 / 3  # theirs is a mean over outputs
    else:
        model = objective.model(tape.outputs, y)
        roots = model.weighted(np.repeat(np.eye(3)[None], 6, axis=0))  # B' of each sample: its rows as probes
        probes = list(roots.swapaxes(0, 1))
        scale = 2.0 if loss == "cross_entropy" else 2 / 3  # ours is half the second derivative
    for k, name in enumerate(("0", "3")):
        layer = network.trainable[k]
        found = [kronecker_factors(layer, tape.inputs[k], tape.backward(s)[k], form) for s in probes]
        sign = np.ones(layer.weight_shape[1])
        sign[-1] = -1  # of the bias's input
        R = found[0][0] * np.outer(sign, sign)
        gamma = sum(gamma for _, gamma in found) * scale
        for ours, theirs in ((R, kfac._input_covariances[name]), (gamma, kfac._gradient_covariances[name])):
            assert np.linalg.norm(ours - theirs.numpy()) < 1e-5 * np.linalg.norm(theirs.numpy())


class TestKronecker(OptimizerContract):
    def make(self, **annealing):
        return Kronecker(**annealing)

    def network(self):
        def made():
            return nn.Sequential(nn.Flatten(), nn.Linear(8, 6, bias=False), nn.LeakyReLU(0.1), nn.Linear(6, 3))

        return TorchModule(seeded(made), (8,))


class TestGaussNewton(TestKronecker):
    def make(self, **annealing):
        return GaussNewton(**annealing)


def test_state_brings_back_statistics_and_the_rest():
    def one(steps, state=None, weights=None):
        module = seeded(Residual, dtype=torch.float32)
        network = TorchModule(module, (2, 7, 7), rest=lambda rest: torch.optim.AdamW(rest, lr=0.01))
        optimizer = started(Kronecker(**settings(loss="cross_entropy")), network)
        if state:
            for layer, held in zip(network.trainable, weights, strict=True):
                layer.weights = held
            network.restore(state)
            optimizer.restore(state)
        batch = Batch(images(20).astype(np.float32), one_hot(20).astype(np.float32))
        for number in steps:
            optimizer.step(batch, Step(0, 1, number, 6), nothing)
        return network, optimizer

    whole, _ = one(range(6))
    half, optimizer = one(range(3))
    state = {**half.state(), **optimizer.state()}
    rest, _ = one(range(3, 6), state, [layer.weights for layer in half.trainable])
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, rest.module.state_dict()[name]), name


def test_the_next_problem_is_a_real_one():
    network = residual()
    before = copied(network.module)
    optimizer = started(Kronecker(**settings(loss="cross_entropy")), network)
    problem = optimizer.next_problem(1, Batch(images(), one_hot()), Step(0, 1, 0, 4))
    assert isinstance(problem, LayerProblem)
    assert problem.to_bqm(0).num_variables == 8 * network.trainable[1].weight_shape[1]
    assert is_left_alone(network.module, before)


def chained(relu=None):
    relu = relu or nn.ReLU(inplace=True)
    body = nn.Sequential(nn.Conv2d(2, 4, 3), relu, nn.Conv2d(4, 3, 3), relu)
    return nn.Sequential(body, nn.Flatten(), nn.Linear(27, 5), relu, nn.Linear(5, 3))


def test_a_pass_of_a_chain_begins_at_any_layer():
    network, x = TorchModule(seeded(chained), (2, 7, 7)), images()
    whole, d = network.tape(x), np.random.default_rng(3).normal(size=(6, 3))
    for k in range(4):
        assert network.begins_at(k, np.dtype(np.float64)), k
        assert not network.begins_at(k, np.dtype(np.float32)), k  # its inputs would be rounded
        part = network.tape(whole.inputs[k], first=k)
        assert np.array_equal(part.outputs, whole.outputs)
        assert np.array_equal(network.outputs(whole.inputs[k], first=k), whole.outputs)
        assert part.inputs[:k] == [None] * k
        for one, other in zip(part.backward(d, first=k), whole.backward(d, first=k), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    handle = network.module[0].register_forward_hook(lambda module, args, z: 2 * z)
    assert [network.begins_at(k, np.dtype(np.float64)) for k in range(4)] == [False, False, True, True]
    handle.remove()
    within = TorchModule(nn.Sequential(seeded(Residual), nn.Linear(3, 3, dtype=torch.float64)), (2, 7, 7))
    assert [within.begins_at(k, np.dtype(np.float64)) for k in range(5)] == [False] * 4 + [True]


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.full((3,), 2.0))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize("part", [Constant, lambda: nn.BatchNorm1d(3)])
def test_constants_among_the_buffers_ask_for_no_pass(part):
    made = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(98, 3), part()), dtype=torch.float32)
    network = RunModule(made, (2, 7, 7))
    optimizer, batch = started(GaussNewton(**settings()), network), Batch(images().astype(np.float32), one_hot())
    assert network.has_more  # not known yet
    optimizer.step(batch, Step(0, 1, 0, 3), nothing)
    assert network.has_more == (part is not Constant)
