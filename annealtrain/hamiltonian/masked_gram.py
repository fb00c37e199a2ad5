"""X'X over a subset of X's rows for each unit of an activated layer: the J's of many units, for little more than one.

Units in groups of up to 8 split the rows into classes by which of them a row belongs to. Each class is squared once
and added to the units that it is of, so that a group costs what one J over all rows does.
"""

import numpy as np

from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array

MOST_BLOCKS, BLOCK_ROWS = 4, 2**16  # the rows are cut into at most so many blocks, of at least so many rows
SOME_ROWS = 1024  # that are squared at once
ADDING = 60  # two additions of N^2 numbers take as long as the square of so many rows


def masked_grams(inputs: Array, member: Array) -> tuple[Array, Array]:
    """Return the sums of x x' over the rows x of each unit, (M, N, N), and over all, (N, N): float64.

    inputs: (R, N). member: (R, M) bool, whether a row is of a unit's subset.
    """
    (R, N), M = inputs.shape, member.shape[1]
    borders = thread_pool.chunks(R, max(BLOCK_ROWS, -(-R // MOST_BLOCKS)))
    groups = thread_pool.chunks(M, _group_size(M, borders[0].stop))

    def part(job: tuple[slice, slice]) -> tuple[Array, Array]:
        group, block = job
        return _of_group(inputs[block], member[block, group])

    parts = thread_pool.parallel_map(part, [(group, block) for group in groups for block in borders])
    own, count = np.zeros((M, N, N)), len(borders)
    for k, (sums, _) in enumerate(parts):
        own[groups[k // count]] += sums
    return own, np.sum([whole for _, whole in parts[:count]], axis=0)


def _group_size(units: int, rows: int) -> int:
    """Return how many units share their classes: more save squares of rows, and double the classes to add up."""
    return min(range(1, 9), key=lambda size: -(-units // size) * (rows + ADDING * 2**size))


def _of_group(inputs: Array, member: Array) -> tuple[Array, Array]:
    """Return the sums of a few units, (g, N, N), and of all rows, (N, N), of one block."""
    g, N = member.shape[1], inputs.shape[1]
    classes: Array = np.packbits(member, axis=1, bitorder="little")[:, 0]
    order = np.argsort(classes, kind="stable")
    borders = np.concatenate([[0], np.cumsum(np.bincount(classes, minlength=2**g))])
    some = np.empty((SOME_ROWS, N))
    own, waiting = np.zeros((g, N, N)), list[Array]()
    for k in range(2**g):
        total = _square(inputs, order[borders[k] : borders[k + 1]], some)
        # As a binary number is counted up: two sums that differ in one unit only meet, and are one from then on.
        for unit in range(g):
            if not k >> unit & 1:
                break
            own[unit] += total
            total += waiting.pop()
        waiting.append(total)
    return own, waiting[0]


def _square(inputs: Array, members: Array, some: Array) -> Array:
    """Return the sum of x x' over some rows of the inputs, (N, N) float64; `some` is room for rows."""
    thread_pool.check_cancelled()
    total = np.zeros((inputs.shape[1],) * 2)
    for k in range(0, len(members), len(some)):
        index = members[k : k + len(some)]
        rows = some[: len(index)]
        rows[...] = inputs[index]
        total += rows.T @ rows
    return total
