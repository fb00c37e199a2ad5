"""`annealtrain quantize`: a run, a PyTorch module and an ONNX file, to folders that others read."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, table

import annealtrain
from annealtrain.commands import quantize as command
from annealtrain.commands import quantize_folder
from annealtrain.errors import InputError
from annealtrain.experiment.builder import build
from annealtrain.experiment.config import saved_config
from annealtrain.experiment.quantize_config import compose_quantize, grids_of
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.network import Method, quantized
from annealtrain.solvers.lattice.babai import Babai

FAST = ("samples=40", "solver=babai", "rounds=1", "threads=1")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("once") / "run"


@pytest.fixture
def run(cli: Callable, once: Path) -> Path:
    """A finished run with biases."""
    if not once.exists():
        assert cli("train", *SMALL, "bias=true", "epochs=1", f"hydra.run.dir={once}").code == 0
    return once


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all else."""
    monkeypatch.setattr(quantize_folder, "plot_quantization", lambda *_: [])


def test_a_run_becomes_a_network_of_few_levels(cli: Callable, run: Path) -> None:
    outcome = cli("quantize", str(run), "bits=[2,null]", *FAST, "--output", "q")
    assert outcome.code == 0, outcome
    assert "4 levels" in outcome.out
    assert outcome.out.endswith(f"folder: {Path.cwd()}/q\n")
    rows, result = table(Path("q/layers.csv")), json.loads(Path("q/result.json").read_text())
    assert len(rows) == result["layers"] == 1
    assert float(rows[0]["error"]) > 0
    assert set(result["float"]) == set(result["quantized"])
    assert result["bytes"]["quantized"] < result["bytes"]["float"]
    with np.load("q/codes.npz") as codes, np.load("q/weights.npz") as weights:
        (name,) = {key.removesuffix(".codes") for key in codes if key.endswith(".codes")}
        assert set(np.unique(codes[f"{name}.codes"])) <= {-3, -1, 1, 3}
        assert np.array_equal(codes[f"{name}.codes"] * codes[f"{name}.steps"], weights[f"{name}.weight"])
        assert len(weights.files) == 4  # of two layers, with biases
    assert Path("q/quantization.png").stat().st_size > 5000
    again = cli("quantize", str(run), "bits=[2,null]", *FAST, "--output", "q")
    assert again.out.startswith("This network is quantised")
    assert "other settings" in cli("quantize", str(run), "bits=3", *FAST, "--output", "q").err


def test_layers_that_stay_float_are_told(cli: Callable, undrawn: None) -> None:
    words = ["model=two_linear", "dataset=digits", "samples=40", "validation=20", "epochs=1", "optimizer=kronecker"]
    assert cli("train", *words, "trainable=[-1]", "threads=1", "hydra.run.dir=run").code == 0
    outcome = cli("quantize", "run", "bits=3", *FAST, "--output", "q")
    assert outcome.code == 0, outcome
    assert "still float, frozen in the run: linear0\n" in outcome.out
    assert json.loads(Path("q/result.json").read_text())["network"]["left"] == {"linear0": "frozen in the run"}


def test_other_frameworks_read_it(cli: Callable, run: Path, undrawn: None) -> None:
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    from annealtrain.nn.torch_network import torch_network

    for words in (["bits=2"], ["levels=3", "group_size=10"], ["bits=9"]):
        folder = words[0]
        assert cli("quantize", str(run), *words, *FAST, "--output", folder).code == 0
        experiment = build(saved_config(run))
        x = experiment.splits.test.images[:50]
        module = torch_network(experiment.network)
        module.load_state_dict(torch.load(f"{folder}/network.pt", weights_only=True))
        session = runtime.InferenceSession(f"{folder}/network.onnx")
        (found,) = session.run(None, {"images": x})
        assert np.allclose(found, module(torch.from_numpy(x)).detach().numpy(), atol=1e-4)
        assert torch.load(f"{folder}/codes.pt", weights_only=True)


def test_an_interrupted_call_goes_on(cli: Callable, run: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["quantize", str(run), "bits=1", *FAST]
    assert cli(*words, "--output", "whole").code == 0
    save, saved = command.QuantizedFolder.save_layer, []

    def interrupted(self, k, layer) -> None:
        save(self, k, layer)
        saved.append(k)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.QuantizedFolder, "save_layer", interrupted)
    outcome = cli(*words, "--output", "part")
    assert outcome.code == 130
    assert "1 of 2 layers are kept; to go on: annealtrain quantize" in outcome.err
    parts = [".network.pt.0123abcd.part", ".quantization.png.0123abcd.part", "layers/.1.npz.0123abcd.part"]
    others = [".network.pt.part", ".mine.pt.0123abcd.part", "layers/.x.npz.0123abcd.part"]
    for name in [*parts, *others]:  # as a call leaves that is killed
        Path("part", name).write_bytes(b"cut")
    assert cli(*words, "--output", "part").code == 0
    assert [name for name in [*parts, *others] if Path("part", name).exists()] == others
    assert saved == [0, 1]
    Path("part/result.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(command, "divergence", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        outcome = cli(*words, "--output", "part")  # behind its last layer
        assert "2 of 2 layers are kept; to go on: annealtrain quantize" in outcome.err
    assert (cli(*words, "--output", "part").code, saved) == (0, [0, 1])
    for name in ("codes.npz", "weights.npz"):
        with np.load(f"whole/{name}") as one, np.load(f"part/{name}") as other:
            assert all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bits=0"], "bits=0 is not"),
        (["bits=[2]"], "bits is a list of 1 values, for 2 layers that can be quantised: "),
        (["bits=2", "levels=3"], "give one of them"),
        (["bits=null"], "give one of them"),
        (["bits=[null,null]"], "no layer is to be quantised"),
        (["bitz=2"], "no setting 'bitz'; did you mean 'bits'?: annealtrain quantize --help lists all"),
        (["annealing.stat=babai"], "no setting 'annealing.stat'; did you mean 'start'?"),
        (["epochs=3"], "no setting 'epochs': annealtrain quantize --help lists all"),
        (["+bias=true"], "no setting 'bias'"),
        (["solver=babai", "annealing.start=beam"], "the solver reads no annealing.start"),
        (["dataset=digits"], "a run has its own dataset"),
        (["samples=100"], "samples=100: the run has 60 training samples"),
        (["damping=-1"], "damping=-1 is not"),
        (["objective=all"], "objective='all' is not"),
        (["solver=exact", "solver.max_nodes=0", "bits=4"], "needs 32 spins"),
        (["solver=saa"], "solver=saa is not known"),
        (["group_size=0"], "group_size=0 is not"),
    ],
)
def test_what_cannot_be_is_refused(run: Path, refused: Callable, words: list[str], said: str) -> None:
    assert said in refused("quantize", str(run), *words)


def test_networks_that_are_none(refused: Callable, cli: Callable, tmp_path: Path) -> None:
    assert "name a network" in refused("quantize", "bits=2")
    assert "neither a run folder nor" in refused("quantize", "nowhere")
    (tmp_path / "no.onnx").write_bytes(b"no")
    assert "not an ONNX model" in refused("quantize", "no.onnx", "dataset=digits")
    (tmp_path / "notes").mkdir()
    assert "not a run folder" in refused("quantize", "notes")
    assert cli("quantize", "--help").out.count("rounds: ") == 1


MODULE = """
from torch import nn

def net(width=4):
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10))
"""


def test_a_module_and_its_onnx_file(cli: Callable, refused: Callable, undrawn: None, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    (tmp_path / "my_nets.py").write_text(MODULE)
    scope: dict = {}
    exec(MODULE, scope)
    torch.manual_seed(0)
    module = scope["net"]()
    torch.save({f"module.{name}": tensor for name, tensor in module.state_dict().items()}, "net.pt")  # of DataParallel
    named = ["model._target_=my_nets.net", "dataset=digits"]
    assert "state_dict is missing" in refused("quantize", *named, *FAST)
    assert "no.pt" in refused("quantize", *named, *FAST, "state_dict=no.pt")
    assert "net.pt is not the state dict" in refused("quantize", *named, "+model.width=5", *FAST, "state_dict=net.pt")
    outcome = cli("quantize", *named, *FAST, "state_dict=net.pt", "objective=full", "--output", "q")
    assert outcome.code == 0, outcome
    assert {"0.weight", "0.bias", "5.weight", "5.bias"} == set(torch.load("q/network.pt", weights_only=True))
    weights = torch.load("q/network.pt", weights_only=True)["5.weight"].numpy()
    assert all(len(np.unique(row)) <= 4 for row in weights)

    write_onnx(tmp_path / "net.onnx", module)
    assert "gradients" in refused("quantize", "net.onnx", "dataset=digits", *FAST, "objective=full")
    outcome = cli("quantize", "net.onnx", "dataset=digits", *FAST, "--output", "o")
    assert outcome.code == 0, outcome
    with np.load("o/codes.npz") as codes:
        assert codes["fc.codes"].shape == (10, 64)


def write_onnx(path: Path, module) -> None:
    """Write the module without its batch norm as an ONNX file, its last layer as a MatMul."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"conv": module[0].weight, "fc": module[5].weight.T, "bias": module[5].bias}
    nodes = [
        helper.make_node("Conv", ["x", "conv"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "fc"], ["e"]),
        helper.make_node("Add", ["e", "bias"], ["y"]),
    ]
    shapes = [("x", ["Q", 1, 8, 8]), ("y", ["Q", 10])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    constants = [numpy_helper.from_array(array.detach().numpy().copy(), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_grids_of_layers() -> None:
    config = compose_quantize(["levels=[3,null,16]", "group_size=8"], None, is_run=True)
    grids = grids_of(config, ["a", "b", "c"])
    assert [grid and grid.levels for grid in grids] == [3, None, 16]
    assert grids[0] is not None
    assert grids[0].group_size == 8
    with pytest.raises(InputError, match=r"^levels is a list of 3 values, for 2 layers that can be .*: conv, head$"):
        grids_of(config, ["conv", "head"])


def onnx_file(
    path: Path,
    *,
    name: str = "w",
    scale: float = 1.0,
    outside: str = "",
    count: str | int = "Q",
    out: tuple = ("Q", 10),
) -> None:
    """Write a linear classifier of the digits as an ONNX file; outside: the file that its weights lie in."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = scale * np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    held = numpy_helper.from_array(weights, name)
    if outside:
        (path.parent / "weights.bin").write_bytes(held.raw_data)
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        held.external_data.add(key="location", value=outside)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", name], ["y"], transB=1)]
    shapes = (("x", (count, 1, 8, 8)), ("y", out))
    x, y = (helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in shapes)
    graph = helper.make_graph(nodes, "net", [x], [y], [held])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("made", "words", "said"),
    [
        ({"scale": np.nan}, [], "the network's outputs for samples of digits are not finite"),
        ({"scale": 1e20}, [], "layer 'w' has weights that are not numbers of at most 1e+18 in size"),
        (
            {"count": 1, "out": (1, 10)},
            [],
            "the model takes 1 sample at a time, no more and no fewer: export it with a",
        ),
        ({"out": ("Q",)}, [], "this is not an ONNX model"),
        ({"outside": "/etc/passwd"}, [], "its weights lie outside its folder, in /etc/passwd"),
        ({"outside": "../weights.bin"}, [], "its weights lie outside its folder, in ../weights.bin"),
        ({"outside": "link.bin"}, [], "it is a symbolic link"),
        ({}, ["~dataset"], "dataset is missing: the set that the network is for, such as dataset=digits"),
        ({}, ["model._target_=my_nets.net"], "net.onnx is an ONNX file, which has its own network: leave it out"),
        ({}, ["state_dict=net.pt"], "net.onnx is an ONNX file, which has its own network: leave it out"),
        ({}, ["hydra.run.dir=mine"], "quantize reads none of Hydra's settings: --output=FOLDER names its folder"),
    ],
)
def test_onnx_files_of_others(refused: Callable, tmp_path: Path, made: dict, words: list[str], said: str) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link.bin").symlink_to("/etc/passwd")
    onnx_file(tmp_path / "sub" / "net.onnx", **made)
    (tmp_path / "weights.bin").write_bytes(bytes(2560))
    assert said in refused("quantize", "sub/net.onnx", *([] if words == ["~dataset"] else ["dataset=digits", *words]))


@pytest.mark.parametrize("shape", [(24,), (3, 24)], ids=["rows", "tokens"])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_products_of_codes_are_those_of_the_weights(shape: tuple[int, ...], bits: int) -> None:
    """Runtimes have products of their own for codes, which round; weights may be listed as inputs, too."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from annealtrain.optimizers.quantization.of_onnx import OnnxSource

    random = np.random.default_rng(0)
    weights = {"m": random.normal(size=(24, 32)), "n": random.normal(size=(32, 5))}
    held = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "m"], ["h"]),
        onnx.helper.make_node("Relu", ["h"], ["r"]),
        onnx.helper.make_node("MatMul", ["r", "n"], ["y"]),
    ]
    given = {"x": ["Q", *shape], "m": [24, 32], "n": [32, 5]}
    infos = [onnx.helper.make_tensor_value_info(name, 1, dims) for name, dims in given.items()]
    out = onnx.helper.make_tensor_value_info("y", 1, ["Q", *shape[:-1], 5])
    graph = onnx.helper.make_graph(nodes, "old", infos, [out], held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)], ir_version=3)
    source, x = OnnxSource(model.SerializeToString()), random.normal(size=(40, *shape)).astype(np.float32)
    layers = list(quantized(source, x, None, [Grid(bits)] * 2, Method(Babai())))
    made = runtime.InferenceSession(source.file(layers))
    assert [one.name for one in made.get_inputs()] == ["x"]
    wanted = np.maximum(x @ layers[0].weights.T, 0) @ layers[1].weights.T
    np.testing.assert_allclose(made.run(None, {"x": x})[0], wanted, rtol=1e-4, atol=1e-4)


def test_weights_beside_an_onnx_file_and_names_of_others(cli: Callable, undrawn: None, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "sub").mkdir()
    onnx_file(tmp_path / "sub" / "net.onnx", name="=w\x1b[31m", outside="weights.bin")
    outcome = cli("quantize", "sub/net.onnx", "dataset=digits", *FAST, "--output", "o")
    assert outcome.code == 0, outcome
    assert outcome.out.startswith("=w\\x1b[31m: 10 x 64, 4 levels")
    assert "'=w" in (tmp_path / "o" / "layers.csv").read_text()


def test_state_dicts_of_others(refused: Callable, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "my_nets.py").write_text(MODULE)
    words = ("quantize", "model._target_=my_nets.net", "dataset=digits", *FAST, "state_dict=net.pt")
    (tmp_path / "net.pt").write_bytes(pickle.dumps(os.getcwd))
    assert refused(*words) == "state_dict=net.pt is no file of torch.save(module.state_dict(), FILE)"
    for tensor in (torch.ones(2) * 1j, torch.sparse_coo_tensor(size=(10**6, 10**6), check_invariants=True)):
        torch.save({"0.weight": tensor}, "net.pt")
        assert "holds '0.weight', which is no dense tensor of real numbers" in refused(*words)
    torch.save([1], "net.pt")
    assert "state_dict=net.pt holds no state dict" in refused(*words)


@pytest.mark.parametrize("name", ["config.yaml", "codes.npz", "network.pt", "layers.csv", "result.json", "layers"])
def test_files_of_others_stay_as_they_are(run: Path, refused: Callable, tmp_path: Path, name: str) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / name).write_text("mine")
    assert f"o holds other files ({name}): choose another --output" in refused(
        "quantize", str(run), *FAST, "--output", "o"
    )
    assert (tmp_path / "o" / name).read_text() == "mine"


def test_a_folder_is_written_to_that_is_no_link_and_was_begun(
    run: Path, cli: Callable, refused: Callable, undrawn: None, tmp_path: Path
) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "o" / "layers").symlink_to("../elsewhere")
    words = ("quantize", str(run), *FAST, "--output", "o")
    assert "o/layers is a link, which would be written through" in refused(*words)
    (tmp_path / "o" / "layers").unlink()
    (tmp_path / "o" / "layers").mkdir()
    assert cli(*words).code == 0
    for wrong in ({"float": 3}, {"float": {"test": "x"}}, {"bytes": {}}, {"seconds": None}):
        result = json.loads((tmp_path / "o" / "result.json").read_text())
        (tmp_path / "o" / "result.json").write_text(json.dumps(result | wrong))
        assert "result.json is not what a run writes (its scores are no numbers)" in refused(*words)
        (tmp_path / "o" / "result.json").write_text(json.dumps(result))
    assert "This network is quantised" in cli(*words).out


def other_digit(content: bytes) -> bytes:
    """Return a file's content with another digit in its middle: at the end may be digits of a checksum."""
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    place = places[len(places) // 2]
    return content[:place] + bytes([48 + (content[place] - 47) % 10]) + content[place + 1 :]


def test_changed_digits_are_told(run: Path, cli: Callable, refused: Callable, undrawn: None, tmp_path: Path) -> None:
    words = ("quantize", str(run), *FAST, "--output", "q")
    assert cli(*words).code == 0
    outcome = cli("eval", "q")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Its files are what annealtrain quantize wrote; the scores are those of then.\n")
    result = json.loads((tmp_path / "q" / "result.json").read_text())
    names = sorted(path.name for path in (tmp_path / "q").iterdir() if path.is_file())
    assert sorted(result["checksums"]) == names
    assert {"config.yaml", "meta.json", "layers.csv", "result.json", "codes.npz", "weights.npz"} <= set(names)
    for name in names:
        path = tmp_path / "q" / name
        whole = path.read_bytes()
        path.write_bytes(other_digit(whole))
        assert refused("eval", "q") == f"q/{name}: {quantize_folder.QUANTIZED.restore}"
        if name == "result.json":
            assert refused(*words) == f"q/{name}: {quantize_folder.QUANTIZED.restore}"
        path.write_bytes(whole)
    meta, held = tmp_path / "q" / "meta.json", (tmp_path / "q" / "meta.json").read_text()
    meta.write_text(held.replace('"config_hash": "', '"config_hash": "0'))  # by which folders are told apart
    assert refused(*words).startswith("q/meta.json: it is not what annealtrain quantize wrote")
    meta.write_text(held)
    (tmp_path / "q" / "codes.npz").unlink()  # who has no need of it may remove it
    assert cli("eval", "q").code == 0
    (tmp_path / "q" / "layers.csv").unlink()
    assert "layers.csv cannot be read" in refused("eval", "q")


def test_what_a_quantised_folder_is_not(
    run: Path, cli: Callable, refused: Callable, undrawn: None, tmp_path: Path
) -> None:
    assert cli("quantize", str(run), *FAST, "--output", "q").code == 0
    said = "q holds a network of annealtrain quantize, no run: annealtrain eval checks its files"
    for words in (["resume"], ["plot"], ["export", "--format=coo"], ["spectrum"], ["quantize"]):
        assert refused(words[0], "q", *words[1:]) == said
    for each in ("collect", "report"):
        assert said in refused(each, "q")
    with pytest.raises(InputError, match=said):
        annealtrain.load("q")
    for flag in ("--exact", "--trust=mine", "--data-dir=.", "--device=cpu"):
        assert "only the files are checked: leave --trust, --data-dir, --device and --exact out" in refused(
            "eval", "q", flag
        )
    result = json.loads((tmp_path / "q" / "result.json").read_text())
    (tmp_path / "q" / "result.json").write_text(json.dumps(result | {"network": []}))
    assert "its network is no mapping" in refused("eval", "q")
    (tmp_path / "q" / "result.json").unlink()
    assert "is not quantised to its end" in refused("eval", "q")


def test_checksums_are_missed_where_a_folder_had_them(
    run: Path, cli: Callable, refused: Callable, undrawn: None, tmp_path: Path
) -> None:
    words = ("quantize", str(run), *FAST, "--output", "q")
    assert cli(*words).code == 0
    for name in ("result.json", "meta.json"):
        path = tmp_path / "q" / name
        held = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in held.items() if key != "checksums"}))
        if name == "result.json":
            assert "result.json has lost its checksums" in refused(*words)
    assert "This network is quantised" in cli(*words).out  # as those of older versions are
    assert cli("eval", "q").out.startswith("made by a version that kept no checksums")
    (tmp_path / "q" / "result.json").unlink()
    assert cli(*words).code == 0  # it goes on, and has them
    assert json.loads((tmp_path / "q" / "meta.json").read_text())["checksums"] is True


def test_best_weights_that_are_missing_are_not_replaced_by_others(run: Path, refused: Callable, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    (tmp_path / "r" / "best.npz").unlink()
    assert (
        refused("quantize", "r", *FAST) == "r/best.npz is missing: restore it, or take the last weights, weights=last"
    )
