"""What is done to samples: scale, resize and standardisation, fitted on a run's training samples alone."""

import numpy as np
import pytest
from image_sets import error_of, numbered
from own_data import table

from annealtrain.data.array_sets import from_arrays
from annealtrain.data.images import split

X, LABELS, TARGETS = table()


def test_columns_are_standardised_over_the_training_rows_alone():
    made = from_arrays("mine", X, LABELS)
    splits = split(made, samples=50, validation=None, seed=4)
    train = splits.train.images
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-4)
    assert (train.dtype, len(splits.train), len(splits.validation), len(splits.test)) == (np.float32, 50, 7, 18)
    assert abs(splits.test.images.mean(axis=0)).max() > 0.01
    told = splits.preprocessing.record()
    held = splits.test.images * np.array(told["std"]) + np.array(told["mean"])
    np.testing.assert_allclose(held, made.test_images, rtol=1e-4)
    assert set(told) == {"mean", "std"}
    again = split(made, samples=40, validation=None, seed=4).preprocessing.record()
    assert again["mean"] != told["mean"]


def test_a_constant_column_stays_finite():
    made = from_arrays("mine", np.column_stack([X, np.full(90, 7.0)]), LABELS)
    images = split(made, samples=None, validation=0, seed=0).train.images
    assert len(images) == 72  # all
    assert not images[:, -1].any()


def test_what_rounding_makes_of_a_constant_is_no_deviation():
    seconds = 1.6e9 + np.arange(90) * 0.001  # float32 does not tell these apart, so that the table stays float64
    table = np.column_stack([seconds, np.full(90, 0.1)])
    made = from_arrays(
        "mine",
        table,
        np.full(90, 0.1),
        np.column_stack([seconds, np.full(90, 0.6)]),
        np.full(90, 0.6),
        task="regression",
    )
    splits = split(made, samples=None, validation=0, seed=0)
    np.testing.assert_allclose(splits.train.images[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(splits.test.images[:, 1], 0.5, rtol=1e-6)
    np.testing.assert_allclose(splits.test.labels, 0.5, rtol=1e-6)
    opaque = np.random.default_rng(0).integers(0, 256, (40, 4, 9, 7), np.uint8)
    opaque[:, 3] = 201
    made = from_arrays("rgba", opaque, np.arange(40) % 2)
    pictures = split(made, samples=None, validation=0, seed=0, size=(5, 5), standardise=True)
    np.testing.assert_allclose(pictures.train.images[:, 3], 0, atol=1e-6)


def test_channels_of_images_are_standardised_after_the_resize():
    random = np.random.default_rng(0)
    pixels = (random.random((30, 3, 8, 6)) * [[[[1.0]], [[50.0]], [[-9.0]]]]).astype(np.float32)
    made = from_arrays("mine", pixels, np.arange(30) % 2)
    images = split(made, samples=None, validation=3, seed=0, size=(4, 4)).train.images
    assert images.shape == (21, 3, 4, 4)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "values", "told"),
    [
        ({}, [0, 39 / 255], {"divide_by": 255.0}),
        ({"scale": 13.0}, [0, 3], {"divide_by": 13.0}),  # beyond 1, and not cut off
        ({"scale": 39, "size": (1, 1)}, [0, 1], {"divide_by": 39, "resize": [1, 1]}),
        ({"standardise": True}, [-1.6892775, 1.6892775], None),
    ],
)
def test_settings_of_a_run(settings, values, told):
    splits = split(numbered(), samples=40, validation=0, seed=0, **settings)
    found = splits.train.images
    np.testing.assert_allclose([found.min(), found.max()], values, rtol=1e-5)
    assert told is None or splits.preprocessing.record() == told


def test_a_table_as_it_is():
    made = from_arrays("mine", X, LABELS)
    images = split(made, samples=None, validation=0, seed=0, standardise=False).test.images
    np.testing.assert_array_equal(images, made.test_images)


def test_targets_are_standardised_over_the_training_rows_alone():
    made = from_arrays("mine", X, np.column_stack([TARGETS, 7 * TARGETS - 4]), task="regression")
    splits = split(made, samples=30, validation=None, seed=1)
    np.testing.assert_allclose(splits.train.labels.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(splits.train.labels.std(axis=0), 1, atol=1e-6)
    told = splits.preprocessing.record()
    held = splits.test.labels * told["target_std"] + told["target_mean"]
    np.testing.assert_allclose(held, made.test_labels, rtol=1e-6)


def test_what_is_no_image_has_no_size():
    made = from_arrays("mine", X, LABELS)
    message = error_of(split, made, samples=None, validation=0, seed=0, size=(4, 4))
    assert message == "image_size=[4, 4]: the samples of mine are rows of numbers, no images"
    assert "scale=0 is not a number above 0" in error_of(split, made, samples=None, validation=0, seed=0, scale=0)
