"""The device that a module of a run computes on."""

import os
import warnings

import torch

from annealtrain.errors import InputError
from annealtrain.runtime.ranks import current_ranks


def torch_device(name: str) -> torch.device:
    """Return the device of a name: cpu, cuda, or cuda:N, the Nth GPU from 0; InputError where there is none such.

    In processes that train together cuda is the GPU of each one's number on its machine, LOCAL_RANK. Float32 is then
    float32 (no TF32), and convolutions add in one order: a run repeats to the bit on the same kind of GPU, unless its
    module has layers that PyTorch has no deterministic gradient of there, such as adaptive pools.
    """
    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        build = "" if torch.version.cuda else f" (this PyTorch, {torch.__version__}, is built without CUDA)"
        raise InputError(f"device={name}: PyTorch finds no GPU here{build}: take device=cpu")
    own = os.environ.get("LOCAL_RANK", "0") if current_ranks().size > 1 else "0"
    number = int(name.partition(":")[2] or own)
    if number >= count:
        raise InputError(f"device={name}: there is no GPU number {number}, PyTorch finds {count}: 0 to {count - 1}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    # The thread that goes back through the module finds out by itself what this advises.
    warnings.filterwarnings("ignore", "Attempting to run cuBLAS, but there was no current CUDA context")
    return torch.device("cuda", number)


def gpu_name(name: str) -> str | None:
    """Return what a device calls itself, such as NVIDIA H100 80GB HBM3; None for the CPU."""
    device = torch_device(name)
    return None if device.type == "cpu" else torch.cuda.get_device_name(device)


def is_there(name: str) -> bool:
    """Whether PyTorch finds a device here."""
    try:
        torch_device(name)
    except InputError:
        return False
    return True


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what a pass on a device draws from; torch.manual_seed also writes down who called it, in milliseconds."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):  # else the first GPU's alone would be seeded
            torch.cuda.manual_seed(seed)
