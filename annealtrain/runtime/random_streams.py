"""Streams of random numbers: children of one seed, the same whatever else is drawn."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from annealtrain.runtime.array_types import Array

Seed = int | np.random.SeedSequence


class Stream(IntEnum):
    """What a child of a run's seed is for, the first word of its key; the words that follow it."""

    SPLIT = 0  # which images are held out, and which are trained on
    WEIGHTS = 1  # (layer): first weights
    SOLVE = 2  # (layer, step): a layer's solve; below it (unit), (unit, read)
    ORDER = 3  # (epoch): the order of samples in mini-batches
    AUGMENT = 4  # (step): how a batch's images are shifted and flipped
    SIGNS = 5  # (step): the probes of the curvature of `kronecker`
    UNIT_ORDER = 6  # (layer, step): the order of units in `gauss_newton`
    SHUFFLE = 7  # (step): the order of samples within a step of backpropagation


def stream(seed: Seed, *key: int) -> np.random.SeedSequence:
    """Return the child of `seed` at `key`, such as (unit, read): the same whatever else is drawn."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))
    return np.random.SeedSequence(seed, spawn_key=key)


def pools(siblings: Sequence[np.random.SeedSequence]) -> tuple[Array, int]:
    """Return what their children are hashed from: pools (siblings, 4) uint32, and how many words each has hashed."""
    entropy, key = siblings[0].entropy, siblings[0].spawn_key
    given = sum(_words(number) for number in (entropy if isinstance(entropy, Sequence) else [entropy or 0]))
    hashed = max(given, siblings[0].pool_size) + sum(_words(number) for number in key)
    return np.array([seed.pool for seed in siblings]), hashed


def _words(number: int) -> int:
    return max(1, -(-int(number).bit_length() // 32))


def generator(seed: Seed, *key: int) -> np.random.Generator:
    """Return a generator (PCG64) on the child of `seed` at `key`."""
    return np.random.Generator(np.random.PCG64(stream(seed, *key)))
