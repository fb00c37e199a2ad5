"""Random changes of training images: what they do, how often, and that a seed decides them."""

import numpy as np
import pytest

from annealtrain.data.augmentation import Augment
from annealtrain.errors import InputError


def seed(number=0):
    return np.random.SeedSequence(number)


def test_nothing_is_changed_unless_asked_for():
    assert not Augment().changes
    assert Augment(shift=1).changes
    assert Augment(flip=True).changes
    images = np.random.default_rng(0).random((3, 1, 4, 4))
    np.testing.assert_array_equal(Augment()(images, seed()), images)


def test_shifts_move_zeros_in_each_way_equally_often():
    image = np.arange(1.0, 26).reshape(1, 1, 5, 5)
    shifted = Augment(shift=1)(np.repeat(image, 900, axis=0), seed())
    padded = np.pad(image[0, 0], 1)
    ways = {padded[y : y + 5, x : x + 5].tobytes(): (y, x) for y in range(3) for x in range(3)}
    found = [ways[one.tobytes()] for one in shifted]
    counts = [found.count(way) for way in ways.values()]
    assert ((np.array(counts) - 100) ** 2 / 100).sum() < 26.1  # chi-square, 8 degrees of freedom, p = .001


def test_half_of_the_images_are_mirrored():
    images = np.random.default_rng(0).random((400, 2, 3, 4))
    flipped = Augment(flip=True)(images, seed())
    mirrored = (flipped == images[..., ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == images).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.sum() - 200) < 33  # p = .001


def test_a_seed_is_a_change():
    images = np.random.default_rng(0).random((20, 1, 8, 8))
    augment = Augment(shift=2, flip=True)
    np.testing.assert_array_equal(augment(images, seed(1)), augment(images, seed(1)))
    assert not np.array_equal(augment(images, seed(1)), augment(images, seed(2)))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shift": -1}, "augment.shift=-1 is not a whole number from 0 to 16"),
        ({"shift": 17}, "augment.shift=17 is not a whole number from 0 to 16"),
        ({"shift": 1.5}, "augment.shift=1.5 is not a whole number from 0 to 16"),
        ({"flip": 1}, "augment.flip=1 is not one of true, false"),
    ],
)
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        Augment(**wrong)
