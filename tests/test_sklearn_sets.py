"""`dataset=sklearn`: tables by name, with the names of their classes and columns."""

import pytest
from image_sets import error_of

from annealtrain.data.datasets import default_data_dir
from annealtrain.data.sklearn_sets import sklearn


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("iris", 150, 4, 3), ("digits", 1797, 64, 10)],
)
def test_classes(name, rows, columns, classes):
    made = sklearn(name)
    assert len(made.train_labels) + len(made.test_labels) == rows
    assert (made.name, made.shape, made.classes, made.is_regression) == (name, (columns,), classes, False)
    assert len(made.feature_names) == columns
    assert len(made.class_names) == classes
    assert made.class_names[0] in ("malignant", "class_0", "setosa", "0")


@pytest.mark.parametrize(("name", "columns", "targets"), [("diabetes", 10, 1), ("linnerud", 3, 3)])
def test_real_targets(name, columns, targets):
    made = sklearn(name, task="regression")
    assert (made.shape, made.classes, made.is_regression, made.class_names) == ((columns,), targets, True, ())


def test_what_is_refused(monkeypatch):
    assert "dataset.name='wines' is" not in error_of(sklearn, "wines")
    assert "dataset.name=wines is not a table of scikit-learn; did you mean 'wine'?: breast" in error_of(
        sklearn, "wines"
    )
    assert "dataset.name=null is not a table of scikit-learn" in error_of(sklearn)
    assert "task=classification: the table diabetes is one of regression" in error_of(
        sklearn, "diabetes", task="classification"
    )

    def fails(data_home):
        assert data_home == str(default_data_dir())  # it keeps a pickle there: no folder that a run may name
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", fails)
    message = error_of(sklearn, "california_housing")
    assert message.startswith("dataset california_housing cannot be downloaded (OSError: no network)")
