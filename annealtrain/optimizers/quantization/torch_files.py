"""Arrays as a file of PyTorch's: a dictionary of tensors, which `torch.load` reads with weights_only."""

import io
from collections.abc import Mapping

import numpy as np

from annealtrain.errors import InputError
from annealtrain.runtime.array_types import Array


def torch_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return arrays as the content of a .pt file; InputError where PyTorch is absent."""
    try:
        import torch
    except ImportError as error:
        raise InputError(f"a .pt file needs PyTorch ({error}): pip install 'annealtrain[torch]'") from error
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}, buffer)
    return buffer.getvalue()
