"""Streams of random numbers: children of one seed, the same whatever else is drawn."""

import numpy as np

Seed = int | np.random.SeedSequence


def stream(seed: Seed, *key: int) -> np.random.SeedSequence:
    """Return the child of `seed` at `key`, such as (unit, read): the same whatever else is drawn."""
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, *key))
