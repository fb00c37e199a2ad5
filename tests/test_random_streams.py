"""Streams of random numbers: which words decide which draws, for all runs there are."""

import numpy as np

from annealtrain.runtime.random_streams import Stream, generator, stream


def test_the_numbers_of_the_streams_stay():
    """Another number is another run for every seed: results of older versions would no longer repeat."""
    assert {one.name: int(one) for one in Stream} == {
        "SPLIT": 0,
        "WEIGHTS": 1,
        "SOLVE": 2,
        "ORDER": 3,
        "AUGMENT": 4,
        "SIGNS": 5,
        "UNIT_ORDER": 6,
        "SHUFFLE": 7,
    }


def test_streams_are_children_of_the_seed():
    words = [stream(0, 1, 2).generate_state(4), stream(stream(0, 1), 2).generate_state(4)]
    np.testing.assert_array_equal(*words)
    seen = {tuple(stream(seed, *key).generate_state(4)) for seed in (0, 1) for key in ((), (0,), (1,), (0, 0))}
    assert len(seen) == 8


def test_a_stream_is_numpys_child_and_the_same_whatever_else_is_drawn():
    child = np.random.SeedSequence(5, spawn_key=(2, 3, 4))
    first = stream(5, Stream.SOLVE, 3, 4)
    stream(5).spawn(3)
    np.testing.assert_array_equal(first.generate_state(8), child.generate_state(8))
    np.testing.assert_array_equal(stream(5, Stream.SOLVE, 3, 4).generate_state(8), child.generate_state(8))
    drawn = np.random.Generator(np.random.PCG64(child)).random(5)
    np.testing.assert_array_equal(generator(5, Stream.SOLVE, 3, 4).random(5), drawn)
