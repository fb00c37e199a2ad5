"""A torch module of a run for other programs: its state dict, an ONNX model."""

import copy
import io
import json
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from annealtrain.errors import InputError
from annealtrain.nn.onnx_export import IR_VERSION, OPSET
from annealtrain.nn.run_module import RunModule


def state_file(network: RunModule) -> bytes:
    """Return what torch.save writes of the module's state dict."""
    buffer = io.BytesIO()
    torch.save(dict(network.module.state_dict()), buffer)
    return buffer.getvalue()


def onnx_file(network: RunModule, about: Mapping[str, Any] | None = None) -> bytes:
    """Return the module in evaluation mode for ONNX: input `images` (Q, *in_shape), output `outputs` (Q, classes).

    Both are float32, and so are the weights, whatever the module's own type is.

    about: goes into the model's metadata, each value as JSON. Raises InputError for what ONNX has no form of.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise InputError(f"--format onnx needs onnx ({error}): pip install 'annealtrain[export]'") from error

    if network.dtype != torch.float32:  # what runtimes take, and have all layers for
        network = copy.deepcopy(network)
        network.module.float()
    buffer: Any = io.BytesIO()
    images = torch.zeros((2, *network.in_shape))
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["outputs"]}
    names["dynamic_axes"] = {"images": {0: "Q"}, "outputs": {0: "Q"}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its successor needs a package more, and older runtimes read this form
            torch.onnx.export(_Outputs(network).eval(), (images,), buffer, dynamo=False, opset_version=OPSET, **names)
    except Exception as error:  # whatever the exporter raises of what it cannot express
        said = " ".join(str(error).split())[:300]
        raise InputError(f"--format onnx has no form of this module ({type(error).__name__}: {said})") from error
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version, model.producer_name = IR_VERSION, "annealtrain"
    helper.set_model_props(model, {name: json.dumps(value) for name, value in (about or {}).items()})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


class _Outputs(torch.nn.Module):
    """The module, of what it returns the outputs alone."""

    def __init__(self, network: RunModule) -> None:
        super().__init__()
        self.module, self._run = network.module, network.run

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._run(images)
