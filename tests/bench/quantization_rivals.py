"""What other packages make of the networks of `bench.quantization`: `python -m bench.quantization_rivals`.

Brevitas and onnxsim get the same networks, calibration images and bits; weights alone are quantised, all layers, a
scale a unit, biases corrected where a package can. A method that is not installed or fails is a row that says so. They
need packages of their own, `pip install brevitas onnxsim`, and for the learned rounding `accelerate`. Rows that the
file has are not made again.
"""

import argparse
import copy
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.quantization import CALIBRATION, divergence
from bench.report import markdown
from bench.results import Results
from bench.trained_networks import HELD_OUT, NETWORKS, accuracy, pixels, trained

BITS = ("1", "2", "3", "4")
ITERATIONS, RATE, BATCH = 300, 1e-2, 64  # of learned rounding, a layer


def brevitas_layers(module: nn.Module, bits: int, is_symmetric: bool) -> nn.Module:
    """Return a copy whose weights are quantised by rounding, scales a unit of least squared error."""
    import brevitas.nn as quantised
    from brevitas.graph.quantize import layerwise_quantize
    from brevitas.quant.scaled_int import Int8WeightPerChannelFloatMSE
    from brevitas.quant.shifted_scaled_int import ShiftedUint8WeightPerChannelFloatMSE

    kind = Int8WeightPerChannelFloatMSE if is_symmetric else ShiftedUint8WeightPerChannelFloatMSE
    settings = dict.fromkeys(("bias_quant", "input_quant", "output_quant")) | {"return_quant_tensor": False}
    settings |= {"weight_quant": kind, "weight_bit_width": bits}
    layers = {nn.Conv2d: (quantised.QuantConv2d, settings), nn.Linear: (quantised.QuantLinear, settings)}
    made: nn.Module = layerwise_quantize(copy.deepcopy(module), layers).eval()
    return made


def gptq(module: nn.Module, x: Tensor) -> None:
    from brevitas.graph.gptq import gptq_mode

    with gptq_mode(module, use_quant_activations=False, act_order=True) as layers:
        for _ in range(layers.num_layers):
            layers.model(x)
            layers.update()


def gpfq(module: nn.Module, x: Tensor, **settings: Any) -> None:
    from brevitas.graph.gpfq import gpfq_mode

    with gpfq_mode(model=module, act_order=True, **settings) as layers:
        for _ in range(layers.num_layers):
            layers.model(x)
            layers.update()


def qronos(module: nn.Module, x: Tensor) -> None:
    from brevitas.graph.qronos import Qronos

    gpfq(module, x, algorithm_impl=Qronos)


def learned_round(module: nn.Module, x: Tensor) -> None:
    """AdaRound, layer by layer, in float32: half floats are for GPUs."""
    from brevitas_examples.imagenet_classification.ptq import learned_round_utils as learned

    words = {"": "hard_sigmoid", "loss": "regularised_mse", "mode": "layerwise", "iters": ITERATIONS}
    words |= {"lr_scheduler": None, "lr": RATE, "batch_size": BATCH}
    names = {f"learned_round_{name}".rstrip("_"): value for name, value in words.items()}
    settings = learned.parse_args_to_dataclass(argparse.Namespace(**names))
    settings.training_args.use_amp = False
    batches = [(part, None) for part in x.split(256)]
    learned.LearnedRoundTrainer(config=settings).train(
        model=module,
        model_forward=learned.vision_forward,
        block_forward=learned.vision_block_forward,
        data_loader=batches,
        cache=learned.CacheVision(),
        get_blocks_fn=lambda given, *rest, **more: [part for part in given.modules() if learned.is_layer(part, "")],
        keep_gpu=True,
    )
    module.eval()


def brevitas(fit: Callable[[nn.Module, Tensor], None] | None, is_symmetric: bool = False) -> Callable[..., nn.Module]:
    def made(module: nn.Module, x: Tensor, bits: int) -> nn.Module:
        from brevitas.graph.calibrate import bias_correction_mode

        found = brevitas_layers(module, bits, is_symmetric)
        with torch.no_grad():
            found(x[:8])  # scales
        if fit is learned_round:
            fit(found, x)
        with torch.no_grad():
            if fit and fit is not learned_round:
                fit(found, x)
            with bias_correction_mode(found):
                found(x)
        return found

    return made


def onnxsim(name: str) -> Callable[..., nn.Module]:
    """Its int4 of 32 inputs a scale, which takes layers of 32 k inputs only, and a method of better rounding."""

    def made(module: nn.Module, x: Tensor, bits: int) -> nn.Module:
        import io

        import onnx
        import onnxsim as package

        if bits != 4:
            raise ValueError("onnxsim fits roundings of 4 bits alone")
        file = io.BytesIO()
        torch.onnx.export(module, (x[:1],), file, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False)
        exact = onnx.version_converter.convert_version(onnx.load_from_string(file.getvalue()), 21)
        rough = package.quantize_weight_only_int4(exact)
        found = getattr(package, name)(exact, rough, calibration_data=[{"x": x.numpy()}]) if name else rough
        count = sum(node.op_type == "DequantizeLinear" for node in found.graph.node)
        return OnnxModule(found, f"{count} layers of {sum(p.ndim > 1 for p in module.parameters())}")

    return made


class OnnxModule(nn.Module):
    """An ONNX model that is called as a module. note: what is told of it."""

    def __init__(self, model: Any, note: str) -> None:
        import onnxruntime

        super().__init__()
        self.session, self.note = onnxruntime.InferenceSession(model.SerializeToString()), note

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"x": x.numpy()})[0])


METHODS: dict[str, Callable[..., nn.Module]] = {
    "brevitas, rounding": brevitas(None),
    "brevitas, GPTQ": brevitas(gptq),
    "brevitas, GPFQ": brevitas(gpfq),
    "brevitas, Qronos": brevitas(qronos),
    "brevitas, GPTQ, symmetric": brevitas(gptq, is_symmetric=True),
    "brevitas, Qronos, symmetric": brevitas(qronos, is_symmetric=True),
    "brevitas, learned rounding": brevitas(learned_round),
    "onnxsim, rounding": onnxsim(""),
    "onnxsim, GPTQ": onnxsim("apply_gptq"),
    "onnxsim, AdaRound": onnxsim("apply_adaround"),
    "onnxsim, Qronos": onnxsim("apply_qronos"),
}


def row(name: str, seed: int, bits: str, method: str, folder: Path) -> dict[str, Any]:
    """Return what a method makes of a network, or its error."""
    module, dataset = trained(name, seed, folder)
    random = np.random.default_rng(seed)
    calibration = random.choice(len(dataset.train_images) - HELD_OUT, CALIBRATION, replace=False)
    held_out = pixels(dataset.train_images[-HELD_OUT:][:CALIBRATION])
    key = {"network": name, "seed": seed, "bits": bits, "method": method}
    started = time.process_time()
    try:
        found = METHODS[method](module, pixels(dataset.train_images[calibration]), int(bits))
        seconds = time.process_time() - started
        score = accuracy(found, dataset.test_images, dataset.test_labels)
        kl = divergence(module, found, held_out)
    except Exception as error:  # whatever a package raises is its row
        return key | {"error": f"{type(error).__name__}: {error}"[:200]}
    note = getattr(found, "note", "")
    return key | {"accuracy": score, "kl": kl, "seconds": seconds, "note": note}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a row for each network, bits and method: accuracy with its deviation over seeds, divergence, seconds."""
    lines = []
    for kind in dict.fromkeys((one["network"], one["bits"], one["method"]) for one in rows):
        own = [one for one in rows if (one["network"], one["bits"], one["method"]) == kind]
        good = [one for one in own if "error" not in one]
        if not good:
            lines.append([*kind, own[0]["error"][:60], "", "", ""])
            continue
        found = [one["accuracy"] for one in good]
        spread = f" ± {np.std(found):.4f}" if len(found) > 1 else ""
        kl, seconds = (np.mean([one[name] for one in good]) for name in ("kl", "seconds"))
        lines.append([*kind, f"{np.mean(found):.4f}{spread}", f"{kl:.4f}", f"{seconds:.0f}", good[0]["note"]])
    return markdown(["network", "bits", "method", "accuracy", "KL", "s", ""], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=["lenet", "cnn"], choices=list(NETWORKS))
    parser.add_argument("--bits", nargs="*", default=list(BITS), choices=BITS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of training and calibration")
    parser.add_argument("--file", type=Path, default=Path("outputs/bench/quantization_rivals.jsonl"))
    parser.add_argument("--trained", type=Path, help="a folder for the networks; default: `networks` beside the file")
    words = parser.parse_args()
    torch.set_num_threads(1)
    results, folder = Results(words.file), words.trained or words.file.parent / "networks"
    for seed, name, bits, method in product(words.seeds, words.networks, words.bits, words.methods):
        if not results.has({"network": name, "seed": seed, "bits": bits, "method": method}):
            results.add(row(name, seed, bits, method, folder))
    print(table(results.rows))


if __name__ == "__main__":
    main()
