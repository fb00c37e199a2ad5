"""What layers see of samples, added up block by block: second moments, and the error of new weights on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from annealtrain.errors import InputError
from annealtrain.optimizers.quantization.source import Source
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

BLOCK_NUMBERS, MOST_SAMPLES = 2**21, 256  # of a block's rows; of samples in it
SAME = 1e-12  # of an input's mean square: variance that sums in float64 cannot tell from none
AT_ONCE = 4  # blocks whose sums are held side by side


@dataclass(frozen=True)
class Moments:
    """Sums over the rows of Q samples divided by Q, float64.

    H: (N, N), X^'X^ of the inputs X^ that the quantised layers before give. cross: (N, N), X^'X, X those of the float
    network. rows: R / Q. means: (2, N), of X^ and of X over all rows.
    """

    H: Array
    cross: Array
    rows: float
    means: Array

    def centred(self) -> "Moments":
        """Return the moments around the means: what is left where a bias meets the means.

        An input that is the same in all samples has none, exactly: the differences of its sums are rounding alone.
        """
        seen, exact = self.means
        H, cross = self.H - self.rows * np.outer(seen, seen), self.cross - self.rows * np.outer(seen, exact)
        same = H.diagonal() <= SAME * self.H.diagonal()
        H[same], H[:, same], cross[same] = 0.0, 0.0, 0.0
        return Moments(H, cross, self.rows, self.means)


def measure(source: Source, k: int, samples: Any) -> Moments:
    """Return the moments of layer k on all samples, each block as large as BLOCK_NUMBERS allows.

    Raises InputError where they are not finite: no levels could be told from others.
    """

    def of_block(part: slice) -> tuple[Array, Array, int, Array]:
        x = source.block(samples, part)
        seen = source.inputs(k, x).astype(np.float64)
        exact = source.inputs(k, x, is_float=True).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told below
            return seen.T @ seen, seen.T @ exact, len(seen), np.array([seen.sum(axis=0), exact.sum(axis=0)])

    parts = blocks(source, k, samples)
    H, cross, rows, sums = next(found := _in_order(of_block, parts))
    for other in found:
        H += other[0]
        cross += other[1]
        rows += other[2]
        sums += other[3]
    if not (np.isfinite(H).all() and np.isfinite(cross).all()):
        raise InputError(
            f"what layer {source.names[k]} sees of the calibration samples is not finite: are there NaN among them?"
        )
    count = len(samples)
    return Moments((H + H.T) / 2 / count, cross / count, rows / count, sums / rows)


def blocks(source: Source, k: int, samples: Any) -> list[slice]:
    """Return slices of samples whose rows at layer k are no more than BLOCK_NUMBERS numbers."""
    size = source.inputs(k, source.block(samples, slice(0, 1))).size
    return thread_pool.chunks(len(samples), int(np.clip(BLOCK_NUMBERS // max(size, 1), 1, MOST_SAMPLES)))


def output_errors(source: Source, k: int, samples: Any, weights: Array, shift: Array | None = None) -> tuple[Any, Any]:
    """Return the sums of squares, over samples and units, of X^ S + shift - X w, and of X w: of layer k's outputs."""
    exact_weights = source.weights(k)

    def of_block(part: slice) -> tuple[float, float]:
        x = source.block(samples, part)
        wanted = source.inputs(k, x, is_float=True).astype(np.float64) @ exact_weights.T
        away = source.inputs(k, x).astype(np.float64) @ weights.T - wanted
        away += 0 if shift is None else shift
        return float((away**2).sum()), float((wanted**2).sum())

    found = list(_in_order(of_block, blocks(source, k, samples)))
    sums = sum(one for one, _ in found), sum(other for _, other in found)
    if not np.isfinite(sums).all():
        raise InputError(f"the outputs of layer {source.names[k]} are not finite: are there NaN among the samples?")
    return sums


def _in_order(job: Callable[[slice], Any], parts: list[slice]) -> Iterator[Any]:
    """Yield the results of blocks in order, a few of them held at once."""
    for start in range(0, len(parts), AT_ONCE):
        yield from thread_pool.parallel_map(job, parts[start : start + AT_ONCE])
