"""Arrays as users give them: numbers of any type and layout are taken, what would lose something is not."""

import numpy as np
import pytest

from annealtrain import LayerProblem
from annealtrain.errors import InputError
from annealtrain.runtime.array_types import plain, real

X = np.arange(6.0).reshape(3, 2)
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False
GOOD = {
    "a type": [X.astype(kind) for kind in (np.float16, np.float32, np.longdouble, ">f8", np.int8, np.uint64, object)],
    "a layout": [READ_ONLY, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1][::-1], memoryview(X)],
    "a kind": [X.tolist(), tuple(map(tuple, X)), np.ma.masked_array(X)],
}


@pytest.mark.parametrize("values", [pytest.param(v, id=f"{of}{k}") for of in GOOD for k, v in enumerate(GOOD[of])])
def test_numbers_are_taken_as_they_are(values):
    np.testing.assert_array_equal(np.asarray(real("X", values), float), X)


def test_pandas_and_pytorch():
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    for values in (pandas.DataFrame(X, index=[2, 0, 1]), pandas.DataFrame(X).astype("Int64"), torch.tensor(X)):
        np.testing.assert_array_equal(np.asarray(real("X", values), float), X)
    for values, said in (
        (torch.tensor(X, requires_grad=True), r"Use tensor\.detach\(\)\.numpy\(\) instead\.$"),
        (torch.tensor(X).bfloat16(), r"of torch.bfloat16 that NumPy cannot read: give its \.float\(\)\.cpu\(\)$"),
        (torch.tensor(X).to_sparse(), r"X is a sparse tensor: give its \.to_dense\(\)$"),
        (pandas.DataFrame([[1, pandas.NA]]), "X is not an array of numbers$"),
    ):
        with pytest.raises(InputError, match=f"^[^\n]*{said}"):
            real("X", values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ma.masked_less(X, 1), "X has masked values"),
        ([*np.ma.masked_less(X, 1)], "X has masked values"),
        (X + 1j, "X is complex"),
        ((X + 1j).astype(object), "X is not an array of numbers"),
        (X.astype(str), "X is not an array of numbers"),
        (X.astype("datetime64[s]"), "X is not an array of numbers"),
        (np.zeros(3, [("a", float)]), "X is not an array of numbers"),
        ([[1], [2, 3]], "X is not an array of numbers"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values, said):
    with pytest.raises(InputError, match=f"^{said}"):
        real("X", values)


def test_classes_may_be_of_any_kind_but_not_masked():
    assert plain("y", ["a", "b"]).tolist() == ["a", "b"]
    with pytest.raises(InputError, match=r"^y has masked values"):
        plain("y", np.ma.masked_equal(np.array(["a", "b"]), "a"))


@pytest.mark.parametrize("name", ["inputs", "targets", "S0", "factors"])
def test_rows_of_a_layer_are_checked_one_by_one(name):
    rows = {"inputs": X, "targets": np.ones((3, 1)), "S0": np.zeros((1, 2)), "factors": np.ones((3, 1))}
    with pytest.raises(InputError, match=f"^{name} has masked values"):
        LayerProblem.from_rows(**rows | {name: np.ma.masked_array(rows[name], mask=True)}, half_range=1.0, bits=2)
    with pytest.raises(InputError, match=f"^{name} is complex"):
        LayerProblem.from_rows(**rows | {name: rows[name] + 1j}, half_range=1.0, bits=2)
