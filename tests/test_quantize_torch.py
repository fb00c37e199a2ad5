"""`annealtrain.quantize`: modules of PyTorch, their batch norms, what stays float."""

import numpy as np
import pytest

import annealtrain
from annealtrain.errors import InputError

torch = pytest.importorskip("torch")
nn = torch.nn

from annealtrain.optimizers.quantization.batch_norm import fold_batch_norms  # noqa: E402
from annealtrain.optimizers.quantization.moments import Moments, measure  # noqa: E402
from annealtrain.optimizers.quantization.of_torch import TorchSource  # noqa: E402


class Residual(nn.Module):
    """A convolution whose output goes to a norm, one to a norm and around it, one in groups, a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 3)  # before the others in the module, the last of a pass
        self.one, self.bn1 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.two, self.bn2 = nn.Conv2d(4, 4, 3, 2, 1, dilation=2), nn.BatchNorm2d(4, affine=False)
        self.grouped, self.twice = nn.Conv2d(4, 8, 1, groups=2), nn.Linear(8, 8)

    def forward(self, x):
        x = torch.relu(self.bn1(self.one(x)))
        y = self.two(x)
        x = self.grouped(y + self.bn2(y)).mean((2, 3))
        return self.last(self.twice(torch.relu(self.twice(x))))


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    made = Residual()
    with torch.no_grad():
        for norm in (made.bn1, made.bn2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return made.eval()


@pytest.fixture
def x():
    return torch.randn(24, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def test_a_module_lies_on_its_grids(module: nn.Module, x) -> None:
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    loader = [(x[:16], 0), (x[16:], 0)]
    found = annealtrain.quantize(module, loader, bits=2, samples=20, solver="babai", held_out=[x], threads=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert [layer.name for layer in found.layers] == ["one", "two", "last"]  # as a pass meets them
    assert found.folded == ["bn1"]
    assert set(found.left) == {"grouped", "twice"}
    state = found.module.state_dict()
    for layer in found.layers:
        weights = state[f"{layer.name}.weight"].numpy()
        codes, steps = found.codes[f"{layer.name}.codes"], found.codes[f"{layer.name}.steps"]
        assert codes.shape == weights.shape
        assert np.array_equal(codes.reshape(len(codes), -1) * steps, weights.reshape(len(codes), -1))
        assert set(np.unique(codes)) <= {-3, -1, 1, 3}
        assert layer.row["held_out_error"] > 0
    assert found.bytes[1] < found.bytes[0]
    assert list(found.to_dataframe().name) == ["one", "two", "last"]


def test_fine_grids_give_the_module_back(module: nn.Module, x) -> None:
    found = annealtrain.quantize(module, [x], bits=12, solver="babai", damping=1e-6, rounds=1, threads=1)
    assert torch.allclose(found.module(x), module(x), atol=5e-3)
    found = annealtrain.quantize(module, [x], {"two": 3}, solver="babai", threads=1)
    assert [layer.name for layer in found.layers] == ["two"]
    assert torch.equal(found.module.last.weight, module.last.weight)


def test_norms_are_folded_where_nothing_changes(module: nn.Module, x) -> None:
    with torch.no_grad():
        before = module(x)
        assert fold_batch_norms(module, x[:4]) == ["bn1"]  # bn2's layer is read elsewhere too
        assert torch.allclose(module(x), before, atol=1e-5)
    assert isinstance(module.bn1, nn.Identity)
    assert isinstance(module.bn2, nn.BatchNorm2d)


def test_rows_give_outputs_and_gradients(module: nn.Module, x) -> None:
    source = TorchSource(module, x)
    for k, name in enumerate(source.names):
        seen = {}
        layer = source.exact.get_submodule(name)
        handle = layer.register_forward_hook(lambda part, args, z, seen=seen: seen.update(z=z))
        source.exact(x)
        handle.remove()
        z = seen["z"].detach().movedim(1, -1).reshape(-1, len(layer.weight)).numpy()
        rows = source.inputs(k, x, is_float=True)
        assert np.allclose(rows @ source.weights(k).T + layer.bias.detach().numpy(), z, atol=1e-4)
        assert source.curvature(k, x, np.ones((24, 3))).shape == z.shape
        assert np.allclose(measure(source, k, x).H, rows.astype(float).T @ rows / 24, rtol=1e-4)


def test_what_is_no_model_or_setting_is_refused(module: nn.Module, x) -> None:
    for words, said in (
        ({}, "give one of them"),
        ({"bits": 2, "levels": 3}, "give one of them"),
        ({"bits": [2]}, "1 values for 3 layers"),
        ({"bits": {"nine": 2}}, "no layer 'nine'"),
        ({"bits": 0}, "bits=0"),
        ({"bits": 2, "samples": 0}, "samples=0"),
        ({"bits": 2, "solver": "gpt"}, "did you mean"),
        ({"bits": 2, "objective": "both"}, "objective='both'"),
        ({"levels": 1}, "^levels=1 is not a whole number from 2"),
        ({"levels": "333"}, "^levels='333' is not a whole number from 2"),
    ):
        with pytest.raises(ValueError, match=said):
            annealtrain.quantize(module, [x], **words)
    for loader, said in (
        (3, "3 is no loader"),
        ([3], "samples are its first axis"),
        ([None], "the loader gives null, not a tensor of samples"),
        ([x, x[:, :, :3]], "samples are its first axis, all alike"),
    ):
        with pytest.raises(InputError, match=said):
            annealtrain.quantize(module, loader, 2)
    with pytest.raises(InputError, match=r"'net' is no torch.nn.Module: give the model itself"):
        annealtrain.quantize("net", [x], 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="progress="):
        annealtrain.quantize(module, [x], 2, progress=[])  # type: ignore[arg-type]
    assert annealtrain.quantize(module, [x], np.int8(2), solver="babai").layers[0].grid.bits == 2  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no samples"):
        annealtrain.quantize(module, [], 2)
    with pytest.raises(InputError, match="no layer that can be quantised"):
        annealtrain.quantize(nn.Sequential(nn.PReLU()), [x], 2)
    with pytest.raises(InputError, match=r"no layer that can be quantised \(it has no Conv2d and no Linear\)"):
        annealtrain.quantize(nn.Flatten(), [x], 2)  # a module without any weights


class Odd(nn.Module):
    """What people's modules have: whole numbers first, a norm of tokens, complex weights, and outputs in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.order = nn.Parameter(torch.arange(6).flip(0), requires_grad=False)
        self.tokens, self.norm = nn.Linear(6, 5), nn.BatchNorm1d(12)
        self.wide, self.own = nn.Linear(60, 4), nn.BatchNorm1d(4)
        self.waves = nn.Linear(3, 2, dtype=torch.complex64)

    def forward(self, x):
        x = torch.relu(self.norm(self.tokens(x.flatten(1, 2)[:, :, self.order])))
        x = self.own(self.wide(x.flatten(1)))
        return {"classes": x, "all": (x, self.waves(torch.fft.rfft(x)).abs())}


class Words(nn.Module):
    """An embedding, and an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.read, self.last = nn.Embedding(100, 8), nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 3)

    def forward(self, x):
        return self.last(self.read(self.words(x))[0][:, -1])


def test_whatever_stays_float_is_named_and_counted(x) -> None:
    words = annealtrain.quantize(Words(), [torch.randint(0, 100, (20, 6))], bits=2, solver="babai", threads=1)
    assert set(words.left) == {"words", "read"}
    others = 4 * (100 * 8 + 4 * 64 * (8 + 64 + 2))
    assert words.bytes == (others + 4 * (192 + 3), others + 192 // 4 + 4 * 3 + 4 * 3)
    grouped = nn.Sequential(nn.Conv2d(2, 40, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(640, 5))
    found = annealtrain.quantize(grouped, [x], bits=2, solver="babai", threads=1)
    assert (set(found.left), found.bytes[0]) == ({"0"}, 4 * sum(one.numel() for one in grouped.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_odd_modules_are_quantised_too(x, dtype) -> None:
    torch.manual_seed(0)
    odd = Odd()
    made = odd if dtype == torch.float32 else nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.Linear(6, 3)).to(dtype)
    found = annealtrain.quantize(made, [x], bits=8, solver="babai", damping=0, threads=1)
    if made is odd:
        assert found.folded == ["own"]
        assert set(found.left) == {"waves", "norm", "Odd"}  # of the last a parameter of its own
        one, other = (module.eval()(x)["classes"] for module in (made, found.module))
    else:
        one, other = (module(x.to(dtype)) for module in (made, found.module))
    torch.testing.assert_close(other, one, rtol=0, atol=0.05 if dtype == torch.bfloat16 else 0.02)
    layer = found.layers[0]
    weights = found.module.get_submodule(layer.name).weight
    assert weights.dtype == dtype
    assert np.allclose(weights.detach().double().numpy(), layer.weights, rtol=2**-8, atol=0)


@pytest.mark.parametrize("objective", ["layerwise", "full"])
def test_the_number_of_threads_changes_nothing(module: nn.Module, objective: str) -> None:
    """Blocks of samples go through one module side by side."""
    x = torch.randn(1100, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    one, four = (
        annealtrain.quantize(
            module, [x], bits=2, samples=1100, solver="babai", rounds=1, objective=objective, threads=threads
        )
        for threads in (1, 4)
    )
    assert one.codes.keys() == four.codes.keys()
    for name, array in one.codes.items():
        np.testing.assert_array_equal(array, four.codes[name])
    assert [row["error"] for row in one.table] == [row["error"] for row in four.table]


def test_weights_that_are_computed_are_told(module: nn.Module, x) -> None:
    from torch.nn.utils import prune

    prune.l1_unstructured(module.one, "weight", 0.5)
    with pytest.raises(InputError, match="some of its weights are computed, by pruning"):
        annealtrain.quantize(module, [x], bits=2, solver="babai")
    with torch.no_grad():
        module(x)  # the weights that it leaves can be copied
    found = annealtrain.quantize(module, [x], bits=2, solver="babai", threads=1)
    assert "one" in found.left
    assert found.folded == []
    prune.remove(module.one, "weight")
    assert "one" not in annealtrain.quantize(module, [x], bits=2, solver="babai", threads=1).left


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_refused(module: nn.Module, x, wrong) -> None:
    spoilt = x.clone()
    spoilt[3, 0, 2, 2] = wrong
    with pytest.raises(InputError, match="what layer one sees of the calibration samples is not finite"):
        annealtrain.quantize(module, [spoilt], bits=2, solver="babai", threads=1)
    for samples in (x, x.numpy()):
        with pytest.raises(InputError, match="is no loader: give batches x"):
            annealtrain.quantize(module, samples, bits=2)


def test_held_out_samples_of_another_shape_are_refused_before_layers_are_solved(module: nn.Module, x) -> None:
    told = r"^held_out has samples \(1, 20, 20\), the loader \(.*\): give alike ones"
    with pytest.raises(InputError, match=told):
        annealtrain.quantize(module, [x], bits=2, held_out=[torch.zeros(5, 1, 20, 20)], progress=pytest.fail)
    with pytest.raises(InputError, match=r"^held_out gives no samples"):
        annealtrain.quantize(module, [x], bits=2, held_out=[])


def test_held_out_samples_that_are_not_finite_are_told(module: nn.Module, x) -> None:
    with pytest.raises(InputError, match="the outputs of layer one are not finite: are there NaN among the samples"):
        annealtrain.quantize(module, [x], bits=2, solver="babai", held_out=[x * float("nan")], threads=1)


class Pair(nn.Module):
    """Takes two arguments where it needs them, and returns two tensors."""

    def __init__(self, needs: bool) -> None:
        super().__init__()
        self.one, self.two, self.needs = nn.Linear(72, 5), nn.Linear(5, 3), needs

    def forward(self, x, more=None):
        h = torch.tanh(self.one(x.flatten(1)))
        return self.two(h * more if self.needs else h), h


def test_what_a_module_cannot_take_or_give_is_told(x) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"does not run on samples \(8, 2, 6, 6\) as its only argument \(TypeError: "):
        annealtrain.quantize(Pair(needs=True), [x], bits=2)
    with pytest.raises(InputError, match=r"does not run on samples .* \(RuntimeError: mat1 and mat2 shapes cannot"):
        annealtrain.quantize(Pair(needs=False), [x[..., :5]], bits=2)
    with pytest.raises(InputError, match=r"output is tuple, not .samples, classes.: .* or take objective=layerwise"):
        annealtrain.quantize(Pair(needs=False), [x], bits=2, objective="full", solver="babai", threads=1)
    assert len(annealtrain.quantize(Pair(needs=False), [x], bits=2, solver="babai", threads=1).layers) == 2
    with pytest.raises(InputError, match="lazy layers"):
        annealtrain.quantize(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), [x], bits=2)
    with pytest.raises(InputError, match="on the meta device"):
        annealtrain.quantize(nn.Linear(6, 3, device="meta"), [x], bits=2)


@pytest.mark.parametrize("part", ["whole", "part"])
def test_modules_that_were_compiled_in_their_place(part: str, x) -> None:
    def made() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 3)).eval()

    plain, compiled = made(), made()
    compiled = torch.compile(compiled, backend="eager") if part == "whole" else compiled  # type: ignore[assignment]
    if part == "part":
        compiled[1] = torch.compile(compiled[1], backend="eager")  # type: ignore[assignment]
    with torch.no_grad():
        compiled(x)  # what is compiled by now knows of no hooks
    one, other = (annealtrain.quantize(each, [x], bits=1, solver="babai", threads=1) for each in (plain, compiled))
    assert len(other.layers) == 2
    torch.testing.assert_close(other.module(x), one.module(x), rtol=0, atol=0)


@pytest.mark.parametrize("bits", [1, 2])
def test_inputs_that_are_the_same_in_all_samples_are_the_biass(bits: int) -> None:
    """As of pixels that no picture has, behind a norm: their centred moments are rounding, of either sign."""
    torch.manual_seed(0)
    first = torch.nn.Linear(6, 410)
    with torch.no_grad():
        first.weight[10:] = 0
        first.bias[10:] = torch.rand(400) + 0.1
    module = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(410, 4))
    x = torch.randn(777, 6)
    found = annealtrain.quantize(module, [x], bits=bits, objective="layerwise")
    assert found.module[2].weight.unique(dim=1).shape[1] > 1
    with torch.no_grad():
        wanted, given = module(x), found.module(x)
    ours = float((given - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean())
    assert ours < (0.8 if bits == 1 else 0.2)
    assert float((given.mean(0) - wanted.mean(0)).abs().max()) < 1e-4  # their weights are far off, the bias makes up


def test_what_sums_cannot_tell_from_no_variance_is_none() -> None:
    X = np.random.default_rng(0).normal(size=(1000, 60))
    X[:, 5:] = np.linspace(0.1, 70, 55)
    H, mean = X.T @ X / 1000, X.mean(axis=0)
    found = Moments(H, H.copy(), 1.0, np.array([mean, mean])).centred()
    assert (H - np.outer(mean, mean))[5:, 5:].any()
    for matrix in (found.H, found.cross):
        assert not matrix[5:].any()
        np.testing.assert_allclose(matrix[:5, :5], np.cov(X[:, :5], rowvar=False, bias=True), rtol=1e-9)
    assert not found.H[:, 5:].any()
