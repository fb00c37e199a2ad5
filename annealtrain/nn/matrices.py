"""Where the matrices of layers' curvature lie, and what is done with them there: on the CPU they are NumPy's."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

Item = TypeVar("Item")
Result = TypeVar("Result")


class Matrices:
    """NumPy's arrays, float64; `TorchMatrices` has those of a GPU. Sums, products and transposes are written alike."""

    def own(self, array: Array) -> Any:
        """Return an array of NumPy's as one that lies here."""
        return array

    def array(self, own: Any) -> Array:
        """Return one that lies here as NumPy's; it may be the same memory."""
        found: Array = own
        return found

    def zeros(self, *shape: int) -> Any:
        """Return zeros."""
        return np.zeros(shape)

    def eye(self, size: int) -> Any:
        """Return the identity."""
        return np.eye(size)

    def double(self, own: Any) -> Any:
        """Return numbers as float64."""
        return own.astype(np.float64)

    def sum_of_squares(self, S: Any) -> Any:
        """Return the sum over a of S_a S_a', (M, M), of S (q, M, N)."""
        return np.matmul(S, S.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)

    def inverse(self, A: Any) -> Any:
        """Return the inverse of a matrix."""
        return np.linalg.inv(A)

    def each(self, job: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return [job(item) for item in items], computed side by side."""
        return thread_pool.parallel_map(job, items)

    def eigh(self, A: Any) -> Any:
        """Return eigenvalues and eigenvectors of a symmetric matrix."""
        return np.linalg.eigh(A)


NUMPY = Matrices()
