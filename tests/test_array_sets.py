"""Arrays of a user's own: what they are taken for, and what is refused."""

import numpy as np
import pytest
from image_sets import error_of
from own_data import table

from annealtrain.data.array_sets import from_arrays, set_of
from annealtrain.data.dataset import Dataset
from annealtrain.data.preprocessing import fitted

X, LABELS, TARGETS = table()


@pytest.mark.parametrize(
    ("shape", "dtype", "found", "scale"),
    [
        ((20, 7), np.float64, (7,), None),
        ((20, 7), np.uint8, (7,), None),
        ((20, 6, 5), np.uint8, (1, 6, 5), 255.0),
        ((20, 3, 6, 5), np.uint8, (3, 6, 5), 255.0),
        ((20, 6, 5, 3), np.uint8, (3, 6, 5), 255.0),
        ((20, 6, 5, 1), np.int64, (1, 6, 5), None),
        ((20, 8, 6, 5), np.float32, (8, 6, 5), 1.0),
        ((20, 6, 6, 5), np.float32, (5, 6, 6), 1.0),
        ((20, 2, 6, 6), np.float32, (2, 6, 6), 1.0),
        ((20, 9, 16, 4), np.float32, (4, 9, 16), 1.0),
        ((20, 12, 16, 2), np.float32, (2, 12, 16), 1.0),
    ],
)
def test_shapes_are_told_apart(shape, dtype, found, scale):
    samples = np.random.default_rng(0).random(shape) * (1 if scale == 1 else 200)
    made = from_arrays("mine", samples.astype(dtype), np.arange(20) % 2)
    assert (made.shape, made.scale, made.is_table) == (found, scale, len(found) == 1)
    assert made.train_images.dtype == (np.uint8 if scale == 255 else np.float32)
    assert (len(made.train_images), len(made.test_images)) == (16, 4)


def test_channels_that_come_last_are_moved():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 5, 3), dtype=np.uint8)
    made = from_arrays("mine", pixels, np.arange(10) % 2, pixels, np.arange(10) % 2)
    np.testing.assert_array_equal(made.test_images, pixels.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("pair", "names"),
    [
        (["b", "a"], ("a", "b")),
        ([7, -3], ("-3", "7")),
        ([2.0, 1.0], ("1", "2")),
        ([True, False], ("False", "True")),
        ([[5], [4]], ("4", "5")),
        (np.array(["no", "a word"], object), ("a word", "no")),
        ([b"no", b"a"], ("a", "no")),
    ],
)
def test_classes_of_any_kind_are_sorted_and_named(pair, names):
    """The second of a pair comes first in the order of classes."""
    y = np.concatenate([pair] * 10)
    made = from_arrays("mine", np.arange(40.0).reshape(20, 2), y)
    assert (made.classes, made.class_names) == (2, names)
    np.testing.assert_array_equal(made.train_labels, 1 - made.train_images[:, 0] // 2 % 2)


@pytest.mark.parametrize(
    ("y", "y_test", "names"),
    [
        (LABELS, LABELS.astype(str), ("0", "1", "2")),
        (LABELS.astype(object), LABELS.astype(float), ("0", "1", "2")),
        (np.array([1, 1.0, 2] * 30, object), np.array(["1", "1", "2"] * 30, object), ("1", "2")),
        (np.array([2.0, 1e300] * 45), np.array([2.0, 1e300] * 45), ("2", str(int(1e300)))),
    ],
)
def test_a_class_is_the_same_in_whatever_type_it_is_given(y, y_test, names):
    made = from_arrays("mine", X, y, X, y_test)
    assert made.class_names == names
    np.testing.assert_array_equal(made.test_labels, made.train_labels)


@pytest.mark.parametrize(("offset", "factor"), [(1.7e9, 1), (0, 1e60), (0, 1e-60)])
def test_a_column_keeps_its_values_wherever_it_lies(offset, factor):
    """Seconds since 1970 differ by less than float32 tells apart; standardised they are what they are about 0."""
    made = from_arrays("mine", X * factor + offset, LABELS)
    rows = np.arange(len(made.train_images))
    found, expected = (
        fitted(one, rows, None, None, None)(one.train_images) for one in (made, from_arrays("mine", X, LABELS))
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_names_of_a_data_frames_columns():
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcde"))
    assert from_arrays("mine", frame, LABELS).feature_names == tuple("abcde")
    assert "column 'd' contains NaN" in error_of(from_arrays, "mine", frame.assign(d=np.nan), LABELS)


def test_the_test_rows_are_always_the_same_and_of_every_class():
    one, other = (from_arrays("mine", X, LABELS) for _ in range(2))
    np.testing.assert_array_equal(one.test_images, other.test_images)
    assert np.bincount(one.test_labels).tolist() == [6, 6, 6]
    both = np.concatenate([one.train_images, one.test_images])
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, X.astype(np.float32).tolist()))
    assert one.held_out == 7  # a tenth of 72


def test_real_targets():
    made = from_arrays("mine", X, TARGETS, task="regression")
    assert (made.classes, made.train_labels.shape, made.is_regression) == (1, (72, 1), True)
    two = from_arrays("mine", X, np.column_stack([TARGETS, -TARGETS]), task="regression")
    assert (two.classes, two.test_labels.shape) == (2, (18, 2))


@pytest.mark.parametrize("kind", [object, "string", "category", "Int64", "Float64", "datetime64[ns]"])
def test_labels_that_a_frame_lacks_are_no_class(kind):
    pandas = pytest.importorskip("pandas")
    y = pandas.Series([1, 2, None] * 30, dtype=kind)
    assert "dataset mine: labels " in error_of(from_arrays, "mine", X, y)
    whole = pandas.Series([1, 2, 2] * 30, dtype="Int64" if kind == "datetime64[ns]" else kind)
    assert {*from_arrays("mine", X, whole).class_names} == {"1", "2"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"y": np.zeros(90, int)}, "dataset mine has one class, 0: a classifier needs at least 2"),
        ({"y": LABELS[:80]}, "90 samples and labels (80,): give one label a sample"),
        ({"y": TARGETS}, "labels are real numbers: give classes, or set task=regression"),
        ({"y": np.where(LABELS, 1.0, np.nan)}, "labels contain nan: give classes, or set task=regression"),
        ({"y": LABELS + 1j}, "labels are of type complex128: give whole numbers or names"),
        ({"y": LABELS.astype("V8")}, "labels are of type |V8: give whole numbers or names"),
        ({"y": LABELS.astype("M8[D]")}, "labels are of type datetime64[D]: give whole numbers or names"),
        ({"y": np.array(["a", "b", None] * 30, object)}, "labels contain None: leave samples without a class out"),
        ({"y": np.array(["a", "b", np.nan] * 30, object)}, "labels contain nan: leave samples without a class out"),
        ({"y": np.arange(90)}, "90 classes in 90 samples: set task=regression"),
        ({"y": np.eye(3)[LABELS]}, "labels are (90, 3): make them (n,), or set task=regression"),
        ({"y": LABELS.astype(str), "task": "regression"}, "not numbers: leave task=regression out"),
        ({"y": np.where(LABELS, 1.0, np.inf), "task": "regression"}, "targets contain NaN or inf"),
        ({"X": X.astype(str)}, "samples are of type <U32, not numbers: encode them as numbers"),
        ({"X": X[:, 0]}, "samples are (90,): make them rows (n, d) or images (n, C, H, W)"),
        ({"X": np.where(np.arange(5) == 3, np.inf, X)}, "column 3 contains NaN or inf in 72 of 72 rows"),
        (
            {"X_test": X, "y_test": LABELS, "test_share": 0.4},
            "dataset mine has a test set of its own: leave dataset.test_share=0.4 out",
        ),
        ({"X_test": X}, "X_test and y_test belong together"),
        ({"X_test": X, "y_test": LABELS + 1}, "test set: class 3 does not occur in the training set"),
        ({"X_test": X[:, :2], "y_test": LABELS}, "samples are 5, those of the test set 2: make both alike"),
        ({"X": X[:0], "y": []}, "has no samples: give at least 2 of each class"),
        ({"X": X * 1e200}, "samples span -"),
        ({"y": TARGETS * 1e200, "task": "regression"}, "targets span "),
        (
            {"X": np.full((90, 4, 4), 9, np.uint8), "X_test": np.full((90, 4, 4), 0.5), "y_test": LABELS},
            "of X and X_test one is bytes, one lies in [0, 1]: give both alike",
        ),
        ({"X": X[:2], "y": [0, 1]}, "class 0 has one sample, too few to keep some for test: give more, or a test set"),
        ({"class_names": ["a"]}, "1 class_names for 3 classes"),
        ({"y": ["a", " a", "b"] * 30}, "classes ' a' and 'a' differ by spaces, or by how a letter is written, alone"),
        ({"y": ["\u00e9", "e\u0301"] * 45}, "classes 'e\\u0301' and '\\xe9' differ by spaces, or by how a letter"),
        ({"y": np.array(["a", 1.5, 2] * 30, object)}, "labels contain 1.5: give classes, or set task=regression"),
        ({"y": np.array(["a", np.inf, 2] * 30, object)}, "labels contain inf: give classes"),
        ({"y": np.ones((90, 0)), "task": "regression"}, "targets are (90, 0): give at least one a sample"),
        ({"task": "ranking"}, "task='ranking' is not one of classification, regression"),
    ],
)
def test_what_cannot_be_learnt_is_refused_in_a_line(changes, found):
    assert found in error_of(from_arrays, "mine", **({"X": X, "y": LABELS} | changes))


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_every_class_is_in_both_sets(share):
    made = from_arrays("mine", np.eye(52), ["a"] * 50 + ["b"] * 2, test_share=share)
    assert np.bincount(made.test_labels).tolist() == [round(50 * share), 1]
    assert np.bincount(made.train_labels).tolist() == [50 - round(50 * share), 1]


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("annealtrain.runtime.memory.available_bytes", lambda: 1000)
    message = error_of(from_arrays, "mine", X, LABELS)
    assert message.startswith("dataset mine needs 1.8 kB; 1 kB are available: give fewer samples")


@pytest.mark.parametrize("made", [(X, LABELS), [X, LABELS, X, LABELS], {"X": X, "y": LABELS}])
def test_a_function_may_return_arrays(made):
    assert set_of(made, "mine", None).classes == 3


def test_a_function_may_return_a_set():
    made = from_arrays("theirs", X, LABELS)
    assert set_of(made, "mine", None) is made
    assert "task=regression: dataset mine is one of classification" in error_of(set_of, made, "mine", "regression")


@pytest.mark.parametrize(
    ("made", "kind"), [(X, "a ndarray"), ((X,), "1 values"), ("Xy", "a str"), ({"X": X}, "a dict")]
)
def test_a_function_that_returns_something_else(made, kind):
    message = error_of(set_of, made, "mine", None)
    assert message == f"dataset mine gave {kind}: return a Dataset, (X, y), or (X, y, X_test, y_test)"


def test_a_set_of_real_targets_has_them_in_columns():
    message = error_of(Dataset, "mine", 1, X, TARGETS, X, TARGETS, scale=None, task="regression")
    assert message == "dataset mine, training set: targets are (90,) float64: make them (90, 1) floats"


def test_a_mask_is_not_ignored():
    masked = np.ma.masked_less(X, 0.5), np.ma.masked_equal(np.arange(len(X)), 1)
    assert "dataset mine: X has masked values" in error_of(lambda: from_arrays("mine", masked[0], LABELS))
    assert "dataset mine: y has masked values" in error_of(lambda: from_arrays("mine", X, masked[1]))
