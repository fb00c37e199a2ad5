"""Images read batch by batch, and their random changes."""

import numpy as np
import pytest

from annealtrain.datasets import digits, split
from annealtrain.errors import InputError
from annealtrain.pictures import Augment, Pictures


def seed(number=0):
    return np.random.SeedSequence(number)


def test_any_batch_is_a_part_of_all():
    images = split(digits(), samples=50, validation=0, seed=3).train
    pictures, all_of_them = Pictures(images, lambda x: 2 * x), 2 * images.images
    assert len(pictures) == 50
    np.testing.assert_array_equal(pictures[7:19], all_of_them[7:19])
    chosen = np.array([3, 1, 49])
    np.testing.assert_array_equal(pictures[chosen], all_of_them[chosen])
    np.testing.assert_array_equal(pictures.augmented(chosen, seed()), all_of_them[chosen])


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
    ("wrong", "told"), [({"shift": -1}, "0 to 16"), ({"shift": 1.5}, "1.5"), ({"flip": 1}, "flip=1")]
)
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        Augment(**wrong)
