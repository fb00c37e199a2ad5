"""`dataset=sklearn`: the tables that come with scikit-learn, by name."""

import warnings
from typing import Any

from annealtrain.data.array_sets import SHARE, from_arrays
from annealtrain.data.dataset import CLASSIFICATION, REGRESSION, Dataset
from annealtrain.data.datasets import default_data_dir
from annealtrain.data.file_readers import one_line
from annealtrain.errors import InputError, nearest
from annealtrain.runtime.validation import checked, number

CLASSES = ("breast_cancer", "digits", "iris", "wine")
TARGETS = ("california_housing", "diabetes", "linnerud")
FETCHED = ("california_housing",)  # not in the package: from the network, once


@checked("dataset.", test_share=number(above=0, below=1))
def sklearn(name: str | None = None, test_share: float = SHARE, task: str | None = None) -> Dataset:
    """Return a table of scikit-learn: CLASSES to tell apart, or real TARGETS; `test_share` of its rows are for test.

    Raises InputError for another name or task.
    """
    known = (*CLASSES, *TARGETS)
    if name not in known:
        found = nearest(str(name), known)
        raise InputError(f"dataset.name={name or 'null'} is not a table of scikit-learn{found}: {', '.join(known)}")
    own = REGRESSION if name in TARGETS else CLASSIFICATION
    if task not in (None, own):
        raise InputError(f"task={task}: the table {name} is one of {own}")
    held = _loaded(name)
    classes = () if own == REGRESSION else [str(one) for one in held.target_names]
    return from_arrays(
        name,
        held.data,
        held.target,
        task=own,
        test_share=test_share,
        feature_names=[str(one) for one in held.feature_names],
        class_names=classes,
    )


def _loaded(name: str) -> Any:
    """Return what scikit-learn has; it keeps a pickle of what it fetched, so never where a run folder may say."""
    from sklearn import datasets

    if name not in FETCHED:
        return getattr(datasets, f"load_{name}")()
    try:
        with warnings.catch_warnings(action="ignore"):  # of each further try
            return getattr(datasets, f"fetch_{name}")(data_home=str(default_data_dir()))
    except Exception as error:  # of the network, or of a file that a download left behind
        raise InputError(
            f"dataset {name} cannot be downloaded ({one_line(error)}): try again with a network"
        ) from error
