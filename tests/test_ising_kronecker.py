"""The optimizer for loops of PyTorch's users."""

import copy
import io
import re
import warnings
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_networks import Block, Residual, Tied, images, one_hot, one_thread, seeded  # noqa: E402, F401

import annealtrain  # noqa: E402
from annealtrain.errors import Diverged, InputError  # noqa: E402
from annealtrain.nn.losses import BinaryCrossEntropy  # noqa: E402
from annealtrain.nn.torch_module import TorchModule  # noqa: E402
from annealtrain.optimizers.kronecker import Kronecker  # noqa: E402
from annealtrain.optimizers.optimizer import Batch, Step  # noqa: E402
from annealtrain.runtime.stage_timer import StageTimer  # noqa: E402
from annealtrain.schedule import ConstantSchedule  # noqa: E402
from annealtrain.solvers.annealing.simulated_annealing import SimulatedAnnealing  # noqa: E402
from annealtrain.torch import IsingKronecker  # noqa: E402

GREEDY = SimulatedAnnealing(2, move="greedy", start="present")
ADAMW = partial(torch.optim.AdamW, lr=0.01)


def data(count=24, dtype=torch.float32):
    labels = torch.from_numpy(one_hot(count).argmax(1))
    pictures = torch.from_numpy(images(count)) + 0.8 * F.one_hot(labels, 3)[:, :2, None, None]
    return pictures.to(dtype), labels


def residual(dtype=torch.float32, **settings):
    return seeded(Residual, dtype=dtype, **settings)


def optimizer(module, **settings):
    return IsingKronecker(module, **{"solver": GREEDY, "rest": ADAMW, "half_range": 0.01, "threads": 1, **settings})


def run(module, opt, steps=4, scheduler=None):
    """Take steps on batches of eight; return the losses."""
    x, y = data()
    losses = []
    for number in range(steps):
        at = slice(8 * (number % 3), 8 * (number % 3) + 8)
        opt.zero_grad()
        loss = F.cross_entropy(module(x[at]), y[at])
        loss.backward()
        opt.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return losses


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_two_lines_in_a_loop_lower_the_loss():
    module = residual()
    opt = annealtrain.torch.IsingKronecker(module, half_range=0.01, rest=torch.optim.AdamW, threads=1)
    x, y = data()
    losses = [opt.step(lambda: F.cross_entropy(module(x), y)).item() for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert opt.layers == ["stem", "inner", "down", "head"]


def test_a_closure_may_call_backward_itself():
    found = []
    for kind in ("loop", "closure", "backward in it"):
        module = residual()
        opt, (x, y) = optimizer(module), data()

        def closure(module=module, opt=opt, x=x, y=y):
            opt.zero_grad()
            loss = F.cross_entropy(module(x), y)
            loss.backward()
            return loss

        for _ in range(2):
            if kind == "loop":
                closure()
                opt.step()
            elif kind == "closure":
                opt.step(lambda module=module, x=x, y=y: F.cross_entropy(module(x), y))
            else:
                opt.step(closure)
        found.append(module)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.parametrize("power", [1, 0.5])
def test_its_steps_are_those_of_the_runners_kronecker(power):
    x, y = data(dtype=torch.float64)
    module, other = (residual(torch.float64, affine=False) for _ in range(2))
    opt = optimizer(module, eta=0.4, power=power, every=3)
    network = TorchModule(other, (2, 7, 7))
    settings = {"every": 3, "loss": "cross_entropy", "solver": GREEDY, "half_range": ConstantSchedule(0.01), "bits": 8}
    theirs = Kronecker(0.4, power=power, **settings)
    theirs.start(network, seed=0, timer=StageTimer())
    theirs._left = lambda step: 1.0  # eta falls with the range here, and with the steps there
    for number in range(3):
        opt.step(lambda: F.cross_entropy(module(x), y))
        theirs.step(Batch(x.numpy(), one_hot(24)), Step(0, 1, number, 3), lambda layer, share: None)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-9, atol=1e-11)


def test_without_a_gradient_weights_decay_by_a_share_of_eta():
    x, _ = data()
    module = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3, bias=False))
    before = module[1].weight.detach().clone()
    settings = {"solver": "descent", "damping": 10, "half_range": 0.1, "bits": 12}  # solved to the last level
    opt = optimizer(module, rest=None, eta=0.5, weight_decay=0.2, **settings)
    (0 * module(x).sum()).backward()
    opt.step()
    assert torch.allclose(module[1].weight, (1 - 0.5 * 0.2) * before, atol=1e-4)


def test_gradients_accumulate():
    found = []
    for parts in (1, 3):
        module = residual(torch.float64, affine=False).eval()  # batch norm would see the parts
        opt, (x, y) = optimizer(module, every=1), data(dtype=torch.float64)
        for part in range(parts):
            at = slice(part * 24 // parts, (part + 1) * 24 // parts)
            (F.cross_entropy(module(x[at]), y[at]) / parts).backward()
        opt._annealed.inputs.call = type(opt._annealed.inputs.call)((x,))  # the same curvature for both
        opt.step()
        found.append(module)
    for one, other in zip(*(module.parameters() for module in found), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_a_scheduler_acts_on_the_range_and_on_the_rest():
    module = residual()
    opt = optimizer(module)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    before = [layer.weights for layer in opt._annealed.network.trainable]
    run(module, opt, 1, scheduler)
    assert [group["lr"] for group in opt.param_groups] == [0.005, 0.005]
    assert opt._annealed.network.rest_optimizer.param_groups[0]["lr"] == 0.005
    for layer, weights in zip(opt._annealed.network.trainable, before, strict=True):
        assert np.abs(layer.weights - weights).max() == pytest.approx(0.01, rel=1e-3)
    before = [layer.weights for layer in opt._annealed.network.trainable]
    run(module, opt, 1, scheduler)
    for layer, weights in zip(opt._annealed.network.trainable, before, strict=True):
        assert np.abs(layer.weights - weights).max() < 0.00501
    before = [layer.weights for layer in opt._annealed.network.trainable]
    opt.param_groups[0]["lr"] = 0.0  # as a warm-up begins
    run(module, opt, 1)
    for layer, weights in zip(opt._annealed.network.trainable, before, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    with pytest.raises(InputError, match="the next step moves nothing"):
        opt.problems()
    opt.param_groups[0]["lr"] = -0.1
    with pytest.raises(InputError, match=r"lr=-0\.1 of the first group, is no number from 0"):
        run(module, opt, 1)
    with pytest.raises(InputError, match="has all of the module's parameters already"):
        opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})


def test_state_in_mid_run_goes_on_to_the_same_bits():
    def made():
        module = residual(dropout=0.3)
        opt = optimizer(module, every=2)
        return module, opt, torch.optim.lr_scheduler.StepLR(opt, 3, 0.5)

    module, opt, scheduler = made()
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        run(module, opt, 13, scheduler)
        saved, random = io.BytesIO(), torch.get_rng_state()
        states = {"module": module.state_dict(), "opt": opt.state_dict(), "scheduler": scheduler.state_dict()}
        torch.save(states, saved)
        whole = run(module, opt, 5, scheduler)
        saved.seek(0)
        held = torch.load(saved)
        again, other, later = made()
        again.load_state_dict(held["module"])
        other.load_state_dict(held["opt"])
        later.load_state_dict(held["scheduler"])
        torch.set_rng_state(random)
        assert run(again, other, 5, later) == whole
    assert same(module, again)
    assert other.param_groups[1] is other._annealed.network.rest_optimizer.param_groups[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("averages"), "this is no state of IsingKronecker: it has no averages"),
        (lambda state: state["layers"].append("fc"), "the state is of other layers: fc are not among stem"),
        (lambda state: state.update(rest=None), "another rest"),
    ],
)
def test_foreign_states_are_refused(change, told):
    state = optimizer(residual()).state_dict()
    change(state)
    with pytest.raises(InputError, match=told):
        optimizer(residual()).load_state_dict(state)


def test_the_next_problems_are_those_of_the_step():
    module = residual(torch.float64)
    opt, (x, y) = optimizer(module), data(dtype=torch.float64)
    for _ in range(2):
        opt.step(lambda: F.cross_entropy(module(x), y))
    opt.zero_grad()
    F.cross_entropy(module(x), y).backward()
    before = copy.deepcopy(module.state_dict())
    problems = opt.problems()
    assert [problem.name for problem in problems] == opt.layers
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    bqm, form = problems[3].to_bqm(0), problems[3].unit(0)
    levels = np.random.default_rng(0).integers(0, 256, (3, 5))
    spins = dict(enumerate(problems[3].encoding.spins(levels[0])))
    assert bqm.energy(spins) == pytest.approx(float(form.energy(form.weights(levels[0]))), rel=1e-9)
    for problem in problems:
        problem.apply(problem.solve().levels[:, 0])
    by_hand = copy.deepcopy(module.state_dict())
    module.load_state_dict(before)
    opt._annealed.network.rest_optimizer.param_groups[0]["lr"] = 0.0
    opt._annealed.network.rest_optimizer.param_groups[0]["weight_decay"] = 0.0
    opt.step()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, by_hand[name], rtol=0, atol=1e-15)
    with pytest.raises(InputError, match=r"levels \(3, 4\) of layer head: give \(3, 5\)"):
        problems[3].apply(levels[:, :4])
    with pytest.raises(InputError, match="whole numbers from 0 to 255"):
        problems[3].apply(levels + 256)


def test_looking_takes_nothing_from_the_loop():
    module = residual(dropout=0.5)
    opt, (x, y) = optimizer(module, every=1), data()
    reference = residual(dropout=0.5)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        F.cross_entropy(module(x), y).backward()
        before, random = copy.deepcopy(dict(module.named_buffers())), torch.get_rng_state()
        opt.problems()
        opt.step()
        assert torch.equal(torch.get_rng_state(), random)
        torch.manual_seed(1)
        reference(x)
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, before[name])
        assert torch.equal(buffer, dict(reference.named_buffers())[name])
    assert module.training


def test_passes_without_gradients_are_passed_over():
    module = residual()
    opt, (x, y) = optimizer(module), data()
    F.cross_entropy(module(x), y).backward()
    with torch.no_grad():
        module.eval()(x[:1] * float("nan"))
    module.train()
    opt.step()
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())
    opt.close()
    assert not module._forward_pre_hooks
    other = residual()
    optimizer(other)  # and goes at once
    assert not other._forward_pre_hooks


def test_what_stays_is_named():
    told = r"these weights stay as they are: norm \(BatchNorm2d\): weight, bias, 12 weights: give rest="
    with pytest.warns(UserWarning, match=told):
        opt = optimizer(residual(), rest=None)
    assert opt.about_rest() == ["norm (BatchNorm2d): weight, bias, 12 weights"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert optimizer(residual(affine=False), rest=None).about_rest() == []


class Twice(nn.Module):
    """Nothing but Linear layers, of which a pass uses one twice."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.relu(self.inner(torch.relu(self.inner(x)))))


def test_a_layer_used_twice_is_trained_where_nothing_else_is_the_rests(caplog):
    x, y = torch.from_numpy(images(8, shape=(4,))).float(), torch.zeros(8, 3)

    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)

    module = seeded(Twice, dtype=torch.float32)
    opt = optimizer(module, rest=sgd)
    falling = torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: 0.5**epoch)  # with a rate of each group it knows
    assert opt.about_rest() == []
    for step in range(3):
        before = module.inner.weight.detach().clone()
        loss = F.mse_loss(module(x), y)
        opt.zero_grad()
        loss.backward()
        gradient = module.inner.weight.grad.clone()
        opt.step()
        falling.step()
        if step == 0:
            torch.testing.assert_close(module.inner.weight, before - 0.1 * gradient)
        assert not torch.equal(module.inner.weight, before)
    assert opt.layers == ["head"]
    assert opt.about_rest() == ["inner (Linear): weight, bias, 20 weights"]
    assert opt._annealed.network.rest_optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.25)

    again = seeded(Twice, dtype=torch.float32)
    other = optimizer(again, rest=sgd)
    again.load_state_dict(module.state_dict())
    other.load_state_dict(opt.state_dict())
    for one, each in ((module, opt), (again, other)):
        each.step(lambda one=one: F.mse_loss(one(x), y))
    assert same(module, again)
    with pytest.raises(InputError, match="another rest: give the same rest="):
        optimizer(seeded(Twice, dtype=torch.float32), rest=None).load_state_dict(opt.state_dict())

    staying = seeded(Twice, dtype=torch.float32)
    before = staying.inner.weight.detach().clone()
    optimizer(staying, rest=None).step(lambda: F.mse_loss(staying(x), y))
    assert torch.equal(staying.inner.weight, before)
    assert "inner: it is annealed no more, it stays: give rest=torch.optim.AdamW" in caplog.text


def test_a_grad_scaler_unscales_the_gradients_of_a_rest_made_at_the_first_step():
    x, y = torch.from_numpy(images(8, shape=(4,))).float(), torch.zeros(8, 3)
    modules = []
    for is_scaled in (False, True):
        module = seeded(Twice, dtype=torch.float32)
        opt = optimizer(module, rest=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=is_scaled)
        for _ in range(4):
            opt.zero_grad()
            scaler.scale(F.mse_loss(module(x), y)).backward()
            scaler.step(opt)
            scaler.update()
        modules.append(module)
        listed = [parameter for group in opt.param_groups for parameter in group["params"]]
        assert len({id(parameter) for parameter in listed}) == len(listed) == len(list(module.parameters()))
    assert same(*modules)


def test_layers_that_a_pass_goes_by_twice_or_never_go_to_the_rest(caplog):
    module = seeded(Tied, dtype=torch.float32)
    opt = optimizer(module)
    x = torch.from_numpy(images(8, shape=(4,))).float()
    before = copy.deepcopy(module.state_dict())
    for _ in range(2):
        opt.step(lambda: F.mse_loss(module(x), torch.zeros(8, 3)))
    assert opt.layers == ["first", "head"]
    assert "twice, never: it is annealed no more, rest moves it" in caplog.text
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == set(before) - {"never.weight", "never.bias"}  # which have no gradient
    again = seeded(Tied, dtype=torch.float32)
    other = optimizer(again)
    again.load_state_dict(module.state_dict())
    other.load_state_dict(opt.state_dict())
    for one, each in ((module, opt), (again, other)):
        each.step(lambda one=one: F.mse_loss(one(x), torch.zeros(8, 3)))
    assert same(module, again)


def test_attention_and_words_train():
    module, words = seeded(Block, dtype=torch.float32), torch.arange(24).reshape(8, 3) % 11
    opt, y = optimizer(module), torch.arange(8) % 3
    losses = [opt.step(lambda: F.cross_entropy(module(words), y)).item() for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
    assert opt.layers == ["wide", "head"]


def test_a_transformer_that_answers_each_token():
    def made():
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        return nn.Sequential(
            nn.Embedding(11, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 11)
        )

    module, words = seeded(made, dtype=torch.float32), torch.arange(40).reshape(8, 5) % 11
    opt = optimizer(module, factors="reduce")
    losses = [opt.step(lambda: F.cross_entropy(module(words).movedim(-1, 1), words)).item() for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
    assert [name.split(".")[-1] for name in opt.layers] == ["linear1", "linear2"] * 2 + ["2"]


def test_the_mean_of_outputs_has_its_own_curvature():
    """F.mse_loss is squared error / C: gradient and curvature both are, and so the step is the same."""
    found = []
    for loss, scale in (("mse", 1), ("squared_error", 3)):
        module = residual(torch.float64, affine=False)
        opt, (x, _) = optimizer(module, loss=loss), data(dtype=torch.float64)
        opt.step(lambda module=module, x=x, scale=scale: scale * F.mse_loss(module(x), torch.zeros(24, 3).double()))
        found.append(module)
    for one, other in zip(*(module.parameters() for module in found), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bits": 0}, "bits=0 is not a whole number from 1 to 16"),
        ({"half_range": 0}, "half_range=0 is not a number above 0"),
        ({"loss": "hinge"}, "loss='hinge' is not one of squared_error, cross_entropy, mse"),
        ({"solver": "annealer"}, "annealer"),
        ({"solver": 3}, "solver=3 is neither a name"),
        ({"solver_settings": {"num_sweeps": 3}}, "num_sweeps: a solver that is given as an object has its settings"),
        ({"layers": ["fc"]}, "layers=fc: the module has no such layer"),
        ({"solver": "sa", "solver_settings": ["num_sweeps"]}, "is not settings by name"),
        ({"rest": torch.ones(3)}, "rest=tensor.* is not a torch optimizer's class"),
        ({"outputs": 3}, "outputs=3 is not a function"),
        ({"loss": torch.ones(3)}, "loss=tensor.* is not one of"),
        ({"layers": "head"}, "layers='head' is not a list of values, each a name or a number of a layer"),
        ({"layers": [True]}, r"layers=\[True\] is not a list"),
        ({"solver": "sa", "solver_settings": {"num_sweep": 3}}, "^no setting 'num_sweep'; .*: docs/solvers.md lists"),
        ({"solver": "sa", "solver_settings": {"num_sweeps": 0}}, "^num_sweeps=0 is not"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, told):
    with pytest.raises(InputError, match=told) as caught:
        optimizer(residual(), **settings)
    assert "\n" not in str(caught.value)


def test_wrong_use_is_refused_in_one_line():
    module = residual()
    with pytest.raises(InputError, match=re.escape("generator is no torch.nn.Module: give the model, not its")):
        IsingKronecker(module.parameters())
    opt, (x, y) = optimizer(module), data()
    with pytest.raises(InputError, match="the module has not run with gradients yet"):
        opt.step()
    loss = F.cross_entropy(module(x), y)
    with pytest.raises(InputError, match=re.escape("no gradients: call loss.backward() before step()")):
        opt.step()
    (loss * float("nan")).backward()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(Diverged, match="not finite"):
        opt.step()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Spectrum(nn.Module):
    """A layer of complex numbers before one of real ones, and a mask of whole numbers before both."""

    def __init__(self):
        super().__init__()
        self.mask = nn.Parameter(torch.arange(98) % 5, requires_grad=False)
        self.waves, self.head = nn.Linear(50, 6, dtype=torch.complex64), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.waves(torch.fft.rfft(x.flatten(1) * self.mask)).abs())


def test_complex_weights_go_to_the_rest_and_keep_both_their_parts():
    torch.manual_seed(0)
    module, (x, y) = Spectrum(), data()
    opt = optimizer(module)
    assert opt.layers == ["head"]
    assert opt.about_rest() == ["waves (Linear): weight, bias, 306 weights"]
    before = module.waves.weight.detach().clone()
    for _ in range(2):
        opt.step(lambda: F.cross_entropy(module(x), y))
    moved = (module.waves.weight.detach() - before).abs()
    assert 0 < moved.max() < 0.05
    assert TorchModule(module).dtype == torch.float32


def test_copies_and_files_of_the_module_know_nothing_of_the_optimizer():
    module, (x, _) = residual(), data()
    opt = optimizer(module)
    run(module, opt, 1)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert torch.equal(other(x[:3]), module(x[:3]))
        kept = opt._annealed.inputs.call
        other(x[:5])
        assert opt._annealed.inputs.call is kept
    for way in (copy.deepcopy, lambda one: torch.save(one, io.BytesIO())):
        with pytest.raises(InputError, match="cannot be copied or pickled: make a new one, and load its state_dict"):
            way(opt)


def test_classes_in_axis_1_of_pictures_are_not_taken_for_the_last_axis():
    torch.manual_seed(0)
    module, (x, _) = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)), data()
    wanted = torch.randint(0, 3, (24, 7, 7))
    with pytest.raises(InputError, match=re.escape("output is (24, 3, 7, 7): F.cross_entropy has classes in axis 1")):
        optimizer(module).step(lambda: F.cross_entropy(module(x), wanted))
    opt = optimizer(module, outputs=lambda z: z.movedim(1, -1))
    losses = [float(opt.step(lambda: F.cross_entropy(module(x), wanted))) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("adamw", "rest='adamw' is not a torch optimizer's class, or a function"),
        (ADAMW(nn.Linear(2, 2).parameters()), "rest=AdamW .* is not a torch optimizer's class"),
        (lambda parameters: None, "rest makes a NoneType of parameters"),
    ],
)
def test_what_makes_no_optimizer_of_the_rest_is_refused(rest, told):
    with pytest.raises(InputError, match=told):
        optimizer(residual(), rest=rest)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_layer_without_a_gradient_stays(is_frozen):
    """It has averages of earlier steps, which would still move it."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(98, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 3))
    opt, (x, y) = optimizer(module, rest=None), data()
    for _ in range(2):
        opt.step(lambda: F.cross_entropy(module(x), y))
    idle, last = module[3], module[4].weight.clone()
    before = idle.weight.clone()
    if is_frozen:
        idle.requires_grad_(False)
    for _ in range(2):
        opt.zero_grad()
        F.cross_entropy(module(x), y).backward()
        if not is_frozen:
            idle.weight.grad = idle.bias.grad = None
        opt.step()
    assert torch.equal(idle.weight, before)
    assert not torch.equal(module[4].weight, last)


def test_one_output_for_yes_or_no():
    module, (x, y) = nn.Sequential(nn.Flatten(), nn.Linear(98, 1)), data()
    wanted = (y == 1).float()[:, None]

    def loss():
        return F.binary_cross_entropy_with_logits(module(x), wanted)

    first = loss().item()
    with pytest.raises(InputError, match="needs two outputs, the module has one: loss=binary_cross_entropy"):
        optimizer(module, rest=None).step(loss)
    opt = optimizer(module, rest=None, loss="binary_cross_entropy", half_range=0.05)
    assert [opt.step(loss) for _ in range(8)][-1].item() < 0.7 * first


def test_the_curvature_of_yes_or_no():
    outputs = np.array([[0.0, 2.0]])
    drawn = [BinaryCrossEntropy().probe(outputs, np.random.default_rng(seed)) for seed in range(4000)]
    chances = 1 / (1 + np.exp(-outputs[0]))
    expected = np.diag(chances * (1 - chances)) / 2
    np.testing.assert_allclose(np.mean([one.T @ one for one in drawn], axis=0), expected, atol=0.005)


def test_a_solver_by_its_name_with_settings():
    module = residual()
    opt = optimizer(module, solver="neal", solver_settings={"num_sweeps": 5}, bits=2)
    x, y = data()
    losses = [opt.step(lambda: F.cross_entropy(module(x), y)).item() for _ in range(5)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("lr", None, "the range, lr=null of the first group, is no number from 0"),
        ("lr", float("nan"), "lr=nan of the first group"),
        ("eta", -1, r"param_groups\[0\]\['eta'\]=-1.0 is not a number above 0"),
        ("eta", "fast", "'fast' is not a number above 0"),
        ("half_range", 0, r"param_groups\[0\]\['half_range'\]=0.0 is not"),
    ],
)
def test_groups_that_were_changed_to_what_is_no_setting(key, value, told):
    module = nn.Sequential(nn.Flatten(), nn.Linear(98, 3))
    opt, (x, y) = optimizer(module, rest=None), data()
    before = module[1].weight.clone()
    opt.param_groups[0][key] = value
    with pytest.raises(InputError, match=told):
        opt.step(lambda: F.cross_entropy(module(x), y))
    assert torch.equal(module[1].weight, before)


def test_a_state_of_other_shapes_changes_nothing():
    def made(width):
        return nn.Sequential(nn.Flatten(), nn.Linear(98, width), nn.Tanh(), nn.Linear(width, 3))

    module, other = made(4), made(5)
    opt, later = optimizer(module, rest=None), optimizer(other, rest=None)
    run(module, opt, 1)
    told = re.escape("the state is of other layers: gradient_0 holds (4, 99), the module's is (5, 99)")
    with pytest.raises(InputError, match=told):
        later.load_state_dict(opt.state_dict())
    assert later._annealed.model is None
    assert later._annealed.number == 0


def test_a_step_in_inference_mode_is_a_step():
    found = []
    for context in (torch.inference_mode, torch.enable_grad):
        module = residual()
        opt, (x, y) = optimizer(module), data()
        for _ in range(2):
            opt.zero_grad()
            F.cross_entropy(module(x), y).backward()
            with context():
                opt.problems()
                opt.step()
        found.append(module)
    assert same(*found)


@pytest.mark.parametrize("part", ["whole", "part"])
def test_a_module_compiled_in_its_place_takes_the_same_steps(part):
    found = []
    for is_compiled in (False, True):
        module = seeded(
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(98, 6), nn.Tanh(), nn.Linear(6, 3)), dtype=torch.float32
        )
        opt = optimizer(module, rest=None, every=1)
        if is_compiled:
            (module if part == "whole" else module[1]).compile(backend="eager")
        run(module, opt, 3)
        found.append(module)
    assert same(*found)
    assert not same(found[0], seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(98, 6), nn.Tanh(), nn.Linear(6, 3))))


def test_names_in_a_wrapper_are_those_of_the_module():
    module = nn.Sequential(nn.Flatten(), nn.Linear(98, 3))
    assert optimizer(nn.DataParallel(module), rest=None).layers == ["1"]


def test_outputs_of_another_form_are_told_with_the_argument_that_mends_it():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    module, (x, y) = nn.Sequential(nn.Flatten(), nn.Linear(98, 8), Pair(8, 3)), data()
    with pytest.raises(InputError, match=r"output is tuple: it must be .*: give outputs=, a function that takes"):
        optimizer(module).step(lambda: F.cross_entropy(module(x)[0], y))
    opt = optimizer(module, outputs=lambda pair: pair[0])
    losses = [float(opt.step(lambda: F.cross_entropy(module(x)[0], y))) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_what_is_frozen_later_stays(name, set_to_none):
    """The other part of its layer goes on, by Hamiltonians of its own weights alone."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(98, 6), nn.ReLU(), nn.Linear(6, 3))
    opt, (x, y) = optimizer(module, rest=None, weight_decay=0.01), data()
    for _ in range(3):
        opt.step(lambda: F.cross_entropy(module(x), y))
    held = {key: value.clone() for key, value in module[1].named_parameters()}
    getattr(module[1], name).requires_grad_(False)
    for _ in range(3):
        opt.zero_grad(set_to_none=set_to_none)
        F.cross_entropy(module(x), y).backward()
        first, _ = opt.problems()
        is_bias = np.arange(99) == 98
        assert np.array_equal((first.solve().best_weights != 0).any(axis=0), is_bias if name == "weight" else ~is_bias)
        opt.step()
    for key, value in module[1].named_parameters():
        assert torch.equal(value, held[key]) == (key == name)


def test_problems_are_solved_at_every_step():
    """Those of steps that measure no curvature too, in which the matrices of earlier ones are copied."""
    module = residual()
    opt, (x, y) = optimizer(module), data()
    for _ in range(14):
        opt.zero_grad()
        F.cross_entropy(module(x), y).backward()
        kept = [opt.problems() for _ in range(3)]  # copies, of which one in four lies on a kernel's border by chance
        assert all(problem.solve().energies.shape[0] == problem.num_units for made in kept for problem in made)
        opt.step()
    J = opt.problems()[0]._couplings
    assert J.packed.ctypes.data % 64 == copy.deepcopy(J).packed.ctypes.data % 64 == 0
    assert np.array_equal(copy.deepcopy(J).packed, J.packed)


@pytest.mark.parametrize("steps", [2, 12])  # before the first is over that measures at each, and after
def test_an_empty_batch_is_refused_and_changes_nothing(steps):
    module, other = residual(), residual()
    opt, plain, (x, y) = optimizer(module), optimizer(other), data()
    for number in range(steps + 1):
        for one, each in ((module, opt), (other, plain)):
            if one is module and number == steps:
                before = copy.deepcopy(one.state_dict())
                each.zero_grad()
                (one.eval()(x[:0]).sum() * 0 + sum(p.sum() * 0 for p in one.parameters())).backward()
                with pytest.raises(InputError, match="the module's last call had no samples"):
                    each.step()
                assert all(torch.equal(value, before[key]) for key, value in one.state_dict().items())
                one.train()
            each.zero_grad()
            F.cross_entropy(one(x), y).backward()
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.one, self.other = nn.Linear(8, 6), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        z = torch.tanh(self.body(x))
        return self.one(z), self.other(z)


def test_a_layer_that_the_loss_depends_on_and_the_outputs_do_not_is_named():
    torch.manual_seed(0)
    x, y = torch.randn(20, 8), torch.arange(20) % 3

    def step(module, **settings):
        opt = IsingKronecker(module, solver=GREEDY, half_range=0.05, threads=1, **settings)
        before = {name: parameter.clone() for name, parameter in module.named_parameters()}
        one, other = module(x)
        (F.cross_entropy(one, y) + F.cross_entropy(other, 2 - y)).backward()
        opt.step()
        return {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}

    told = r"the loss depends on layer other, the outputs .* do not: give outputs=, .* leave it out of layers="
    with pytest.raises(InputError, match=told):
        step(TwoHeads(), outputs=lambda found: found[0])
    assert len(step(TwoHeads(), outputs=lambda found: torch.stack(found, 1))) == 6
    assert len(step(TwoHeads(), outputs=lambda found: found[0], layers=["body", "one"], rest=ADAMW)) == 6


def test_the_state_of_another_rest_is_refused():
    state, other = residual(), residual()
    made = optimizer(state)
    run(state, made, steps=2)
    held = made.state_dict()
    with pytest.raises(InputError, match="of an optimizer with another rest"):
        optimizer(other, rest=partial(torch.optim.SGD, lr=0.1, momentum=0.9)).load_state_dict(held)
    del held["rest_kind"]  # of an older version
    optimizer(other).load_state_dict(held)


def test_a_rest_that_needs_a_closure_is_refused():
    with pytest.raises(InputError, match="rest makes a LBFGS, whose steps need a closure: take another optimizer"):
        optimizer(residual(), rest=torch.optim.LBFGS)


class Descent(torch.optim.Optimizer):
    """Of a user's own; its step takes nothing."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    def step(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.data.sub_(self.param_groups[0]["lr"] * parameter.grad)


def test_a_rest_of_ones_own_whose_step_takes_nothing_moves_its_weights():
    module = residual()
    made = optimizer(module, rest=Descent)
    norm = next(part for part in module.modules() if isinstance(part, nn.BatchNorm2d))
    before = norm.weight.detach().clone()
    run(module, made, steps=1)
    torch.testing.assert_close(norm.weight, before - 0.1 * norm.weight.grad, rtol=1e-6, atol=0)
    assert not torch.equal(norm.weight, before)
