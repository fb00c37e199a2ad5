"""The estimators are scikit-learn's in all that its own checks ask, and they learn."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from annealtrain import AnnealClassifier, AnnealRegressor


@pytest.mark.filterwarnings("default")  # those of the checks themselves
@pytest.mark.parametrize("kind", [AnnealClassifier, AnnealRegressor])
def test_they_pass_scikit_learns_checks(kind: type) -> None:
    found = check_estimator(kind(epochs=5), on_fail=None)
    assert [check["check_name"] for check in found if check["status"] == "failed"] == []
    assert sum(check["status"] == "passed" for check in found) > 40


@pytest.mark.parametrize(("load", "least"), [(load_breast_cancer, 0.96), (load_wine, 0.96)])
def test_the_classifier_learns_tables(load, least: float) -> None:
    """Logistic regression on standardised columns has .979 and .983."""
    X, y = load(return_X_y=True)
    assert cross_val_score(AnnealClassifier(), X, y, cv=3).mean() > least


def test_the_regressor_fits_tables() -> None:
    """Ridge regression on standardised columns has .480."""
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(AnnealRegressor((), epochs=5), X, y, cv=3).mean() > 0.47
    both = AnnealRegressor((), epochs=5).fit(X, np.column_stack([y, -y])).predict(X)
    assert np.corrcoef(both.T)[0, 1] < -0.97


def test_one_seed_gives_one_network_on_any_number_of_threads() -> None:
    X, y = load_wine(return_X_y=True)
    one, two = (AnnealClassifier(epochs=3, threads=threads).fit(X, y).decision_function(X) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    other = AnnealClassifier(epochs=3, random_state=1).fit(X, y).decision_function(X)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden": (0,)}, "hidden=(0,) is not a list of whole numbers of at least 1"),
        ({"hidden": 3}, "hidden=3 is not a list"),
        ({"hidden": b"1"}, "hidden=b'1' is not a list"),
        ({"bits": 17}, "bits=17 is not a whole number from 1 to 16"),
        ({"L": 0}, "L=0 is not a number above 0"),
        ({"alpha": 2}, "alpha=2 is not a number from 0 to 1"),
    ],
)
def test_settings_out_of_their_limits_are_told_by_fit(settings: dict, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        AnnealClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
    assert said in str(caught.value)


def test_what_scikit_learn_says_of_bad_data_is_one_line() -> None:
    for X in (3.0, [1.0, 2.0], 1j):
        with pytest.raises(ValueError, match=r"\A.+\Z"):
            AnnealClassifier().fit(X, [0, 1])


def test_a_mask_is_not_ignored() -> None:
    X, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    for given in ((np.ma.masked_less(X, 1), y), (X, np.ma.masked_equal(y, 1))):
        for kind in (AnnealClassifier, AnnealRegressor):
            with pytest.raises(ValueError, match=r"\A[Xy] has masked values"):
                kind().fit(*given)
    with pytest.raises(ValueError, match=r"\AX has masked values"):
        AnnealClassifier(epochs=1).fit(X, y).predict(np.ma.masked_less(X, 1))
    with pytest.raises(ValueError, match=r"\Ay has values that are not finite"):
        AnnealRegressor().fit(X, [None] * 4)


def test_short_numbers_lose_no_digits_in_sums() -> None:
    X, y = load_wine(return_X_y=True)
    short = (X // 1).astype(np.float16)  # the sum of a column's squares is beyond what they hold
    one, two = (
        AnnealClassifier(epochs=1).fit(given, y).decision_function(given) for given in (short, short.astype(float))
    )
    np.testing.assert_array_equal(one, two)


def test_a_constant_column_counts_little_where_it_changes() -> None:
    """The deviation of 0.1 in all rows is that of rounding, not 0."""
    X = np.column_stack([np.linspace(0, 1, 97), np.full(97, 0.1)])
    assert X[:, 1].std() > 0
    for made, y in ((AnnealRegressor((), epochs=5), X[:, 0]), (AnnealClassifier((), epochs=5), X[:, 0] > 0.5)):
        made.fit(X, y)
        np.testing.assert_allclose(made._inputs(np.add(X[:3], [0, 0.2]))[:, 1], 0.2)
    constant = AnnealRegressor((), epochs=5).fit(X, np.full(97, 0.1))
    assert constant._unit.tolist() == [1]
