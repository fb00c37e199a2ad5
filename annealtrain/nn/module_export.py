"""A torch module of a run for other programs: its state dict, an ONNX model."""

import copy
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from annealtrain.errors import InputError
from annealtrain.nn.onnx_export import IR_VERSION, OPSET
from annealtrain.nn.run_module import RunModule
from annealtrain.runtime.validation import fault_in_one_line

if TYPE_CHECKING:
    import onnx


def state_file(network: RunModule) -> bytes:
    """Return what torch.save writes of the module's state dict."""
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in network.module.state_dict().items()}, buffer)
    return buffer.getvalue()


def onnx_file(network: RunModule, about: Mapping[str, Any] | None = None) -> bytes:
    """Return the module in evaluation mode as an ONNX file, float32 whatever its own type is; see `onnx_model`."""
    if network.dtype != torch.float32 or network.device.type != "cpu":  # what runtimes take, and have all layers for
        network = copy.deepcopy(network)
        network.module.float().cpu()
    content: bytes = onnx_model(Outputs(network.module, network.run), network.in_shape, about).SerializeToString()
    return content


def onnx_model(module: "Outputs", in_shape: Sequence[int], about: Mapping[str, Any] | None = None) -> "onnx.ModelProto":
    """Return a float32 module in evaluation mode for ONNX: input `images` (Q, *in_shape), output `outputs` (Q, C).

    about: goes into the model's metadata, each value as JSON. Raises InputError for what ONNX has no form of.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise InputError(f"--format onnx needs onnx ({error}): pip install 'annealtrain[export]'") from error

    buffer: Any = io.BytesIO()
    images = torch.zeros((2, *in_shape))
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["outputs"]}
    names["dynamic_axes"] = {"images": {0: "Q"}, "outputs": {0: "Q"}}
    names["training"] = (
        torch.onnx.TrainingMode.PRESERVE
    )  # evaluation, as it is told; EVAL would fold norms into weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its successor needs a package more, and older runtimes read this form
            torch.onnx.export(module.eval(), (images,), buffer, dynamo=False, opset_version=OPSET, **names)
    except Exception as error:  # whatever the exporter raises of what it cannot express
        raise InputError(f"ONNX has no form of this module ({fault_in_one_line(error)})") from error
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version, model.producer_name = IR_VERSION, "annealtrain"
    helper.set_model_props(model, {name: json.dumps(value) for name, value in (about or {}).items()})
    onnx.checker.check_model(model, full_check=True)
    return model


class Outputs(torch.nn.Module):
    """A module, of what it returns the outputs (Q, classes) alone, as `run` takes them out of it."""

    def __init__(self, module: torch.nn.Module, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.module, self._run = module, run

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._run(images)
