"""The types that all rooms share, and arrays as users give them."""

from typing import Any

import numpy as np

from annealtrain.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, Any]


def plain(name: str, values: Any) -> Array:
    """Return what a user gives for an array, not copied where it is one; of any type.

    Raises InputError for what would become something else without a word: masked values, which come back from under
    their mask, a sparse matrix, and what cannot be read as an array.
    """
    if type(values) is np.ndarray:
        return values
    parts = values if isinstance(values, list | tuple) else (values,)  # rows may have masks of their own
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise InputError(f"{name} has masked values: fill them, as .filled(0) does, or leave their rows out")
    if type(values).__module__.startswith("scipy.sparse"):
        raise InputError(f"{name} is a sparse matrix: give its .toarray()")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        if str(kind := getattr(values, "dtype", "")).startswith("torch."):
            if str(values.layout) != "torch.strided":
                raise InputError(f"{name} is a sparse tensor: give its .to_dense()") from None
            told = f"{name} is a tensor of {kind} that NumPy cannot read"  # a type that it has not, or on a GPU
            raise InputError(f"{told}: give its .float().cpu()") from None
        raise InputError(f"{name} is not an array of numbers") from None
    except RuntimeError as error:  # a tensor of PyTorch's that has a gradient
        raise InputError(f"{name} is not an array of numbers: {' '.join(str(error).split())}") from error


def real(name: str, values: Any) -> Array:
    """Return an array of real numbers as a user gives it, of their own type; InputError for any others."""
    found = plain(name, values)
    if found.dtype.kind in "iuf":
        return found
    if np.iscomplexobj(found):
        raise InputError(f"{name} is complex: its numbers must be real")
    try:
        if found.dtype.kind not in "bO":  # text and dates become numbers too, if they are let
            raise TypeError
        return found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is not an array of numbers") from None
