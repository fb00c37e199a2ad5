"""`dataset=arrays`: a set from .npz, .npy, CSV or Parquet files of a user's own."""

import re
import shlex
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annealtrain.data.array_sets import BEYOND, SHARE, float64_tells_apart, from_arrays, require_own_share
from annealtrain.data.dataset import REGRESSION, Dataset
from annealtrain.data.file_readers import one_line
from annealtrain.errors import DataMissing, InputError, nearest
from annealtrain.runtime import archives, files, memory
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import Rule, checked, each_of, either, number, optional

TEXT = Rule("a text", lambda value: isinstance(value, str) and value != "")
KINDS = (".npz", ".npy", ".csv", ".parquet")
# What the arrays of an .npz may be called, whatever their case.
NAMES = {
    "X": ("x", "x_train", "train_images", "images", "data"),
    "y": ("y", "y_train", "train_labels", "labels", "target"),
    "X_test": ("x_test", "test_images"),
    "y_test": ("y_test", "test_labels"),
}
LEADING_ZERO = r"0\d+$"  # of a code, not of a number
SMALLER = "take a smaller file, or one of bytes (uint8)"


@checked(
    "dataset.",
    file=TEXT,
    labels=optional(TEXT),
    target=optional(either(TEXT, each_of(TEXT))),
    drop=optional(each_of(TEXT)),
    test_file=optional(TEXT),
    test_labels=optional(TEXT),
    test_share=number(above=0, below=1),
)
def arrays(
    file: str,
    labels: str | None = None,
    target: str | Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    test_file: str | None = None,
    test_labels: str | None = None,
    test_share: float = SHARE,
    task: str | None = None,
) -> Dataset:
    """Return a set from files.

    file: X.npz with X and y (and X_test, y_test); X.npy, its labels in a second .npy; a .csv or .parquet with a column
    `target`, or several real ones, the other columns being the features but for those in `drop`. test_file,
    test_labels: the same, for test; without them `test_share` of the samples. task: classification or regression.
    Raises InputError, in one line, for what is missing or not readable.
    """
    path = _existing(file, "dataset.file")
    if path.suffix.lower() not in KINDS:
        raise InputError(f"dataset.file={file}: its name must end in {', '.join(KINDS)}")
    is_table = _is_table(file)
    if is_table and target is None:
        raise InputError(f"dataset.file={file} is a table: name the column to learn, dataset.target=COLUMN")
    if not is_table and (target or drop):
        raise InputError(f"dataset.file={file} has no named columns: leave dataset.target and dataset.drop out")
    if test_file is not None and _is_table(_existing(test_file, "dataset.test_file")) != is_table:
        raise InputError(f"dataset.test_file={test_file} is of another kind than {file}: a table for a table")
    _only_for_npy(file, "labels", labels)
    _only_for_npy(test_file, "test_labels", test_labels)
    targets = [target] if isinstance(target, str) else list(target or ())
    require_own_share(path.stem, test_share, has_test=test_file is not None)
    parts: dict[str, Any] = {"X": None, "y": None, "X_test": None, "y_test": None}
    names: Sequence[str] = ()
    for one, two, X, y in ((file, labels, "X", "y"), (test_file, test_labels, "X_test", "y_test")):
        if one is None:
            continue
        if is_table:
            parts[X], parts[y], names = _table(_existing(one, "dataset.file"), targets, drop or (), names)
            if len(targets) == 1 and task != REGRESSION:
                parts[y] = _with_zeros(_existing(one, "dataset.file"), targets[0], parts[y])
        elif Path(one).suffix.lower() == ".npz":
            held = _npz(_existing(one, "dataset.file"))
            parts |= held if X == "X" else _of_test(file, parts, one, held)
        else:
            setting = "dataset.labels" if y == "y" else "dataset.test_labels"
            if two is None:
                raise InputError(f"{one} holds samples alone: name the file of their labels, {setting}=y.npy")
            parts[X], parts[y] = _npy(_existing(one, "dataset.file")), _npy(_existing(two, setting))
    return from_arrays(path.stem, **parts, task=task, test_share=test_share, feature_names=names)


def _of_test(file: str, parts: dict[str, Any], test_file: str, held: dict[str, Any]) -> dict[str, Any]:
    """Return X_test and y_test of a test_file; InputError where it or the file has a test set of its own."""
    for name, one in ((file, parts), (test_file, held)):
        if one["X_test"] is not None:
            double = f"dataset.test_file={test_file}: {name} holds a test set of its own"
            raise InputError(f"{double}: leave it out, or give files of X and y alone")
    return {"X_test": held["X"], "y_test": held["y"]}


def _is_table(file: str | Path) -> bool:
    return Path(file).suffix.lower() in (".csv", ".parquet")


def _only_for_npy(file: str | None, setting: str, value: str | None) -> None:
    """Refuse a file of labels beside one that holds its own, or beside none."""
    if value is not None and (file is None or Path(file).suffix.lower() != ".npy"):
        held = "there is no test_file" if file is None else f"{file} holds its own labels"
        raise InputError(f"dataset.{setting}={value} belongs to a .npy of samples, and {held}: leave it out")


def _existing(file: str, setting: str) -> Path:
    path = Path(file).expanduser()
    if path.exists() and not path.is_file():
        raise InputError(f"{setting}={file} is a folder, a pipe or a device: give a regular file")
    if not path.is_file():
        raise DataMissing(path, f"{setting}={file}: there is no such file")
    return path


def _unreadable(path: Path, error: Exception) -> InputError:
    why = str(error) if type(error) is ValueError else one_line(error)  # of this package, in words already
    return InputError(f"{path} cannot be read ({why}): write it anew")


def _npy(path: Path) -> np.ndarray:
    try:
        memory.require(path.stat().st_size, f"{path}", SMALLER)
        with files.opened(path, follow=True) as file:
            return archives.array(file, path.stat().st_size)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise _unreadable(path, error) from error


def _npz(path: Path) -> dict[str, Any]:
    """Return X, y, X_test and y_test of a file, the last two None where they are not in it."""
    try:
        with files.opened(path, follow=True) as file:
            with zipfile.ZipFile(file) as held:
                unpacked = sum(member.file_size for member in held.infolist())
                kept = [name.removesuffix(".npy") for name in held.namelist()]
            memory.require(unpacked, f"{path}", SMALLER)
            known = {name.lower(): name for name in kept}
            found = {part: next((known[n] for n in names if n in known), None) for part, names in NAMES.items()}
            for part, names in NAMES.items():
                if len(both := [known[n] for n in names if n in known]) > 1:
                    raise InputError(f"{path} holds {' and '.join(both)}, each a name of {part}: keep one of them")
            if lacking := [part for part in ("X", "y") if found[part] is None]:
                held_names = ", ".join(kept) or "nothing"
                raise InputError(f"{path} holds {held_names}, and no {' and no '.join(lacking)}: save X=... and y=...")
            parts = archives.arrays(file, unpacked, [name for name in found.values() if name is not None])
            return {part: None if name is None else parts[name] for part, name in found.items()}
    except InputError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _table(path: Path, targets: Sequence[str], drop: Sequence[str], names: Sequence[str]) -> tuple[Any, Any, list[str]]:
    """Return features (n, d), targets (n,), or (n, T) of several, and the features' names.

    names: those that it must have, in this order.
    """
    frame = _frame(path)
    columns = [str(name) for name in frame.columns]
    frame.columns = columns
    for name in (*targets, *drop):
        if name not in columns:
            setting = "target" if name in targets else "drop"
            held = nearest(name, columns) or f"; it has {_listed(columns)}"
            raise InputError(f"{path} has no column {name!r} (dataset.{setting}){held}")
    if wrong := [name for name in targets if name in drop]:
        raise InputError(f"dataset.drop=[{wrong[0]}]: that is dataset.target too, the column to learn: leave one out")
    if twice := _twice(targets):
        raise InputError(f"dataset.target names {twice!r} twice: name each column once")
    features = list(names) or [name for name in columns if name not in targets and name not in drop]
    if lacking := [name for name in features if name not in columns]:
        raise InputError(f"{path} has no column {lacking[0]!r}, which the training table has")
    if not features:
        raise InputError(f"{path} has no column beside {', '.join(map(repr, targets))}: give features to learn from")
    _check_columns(path, frame, features, targets)
    y = frame[list(targets)] if len(targets) > 1 else frame[targets[0]]
    return _numbers(frame[features]), y.to_numpy(), features


def _numbers(frame: Any) -> Array:
    """Return columns as (n, d) float64, which a set makes float32 where that is enough; missing values as NaN."""
    found: Array = frame.to_numpy(np.float64, na_value=np.nan)
    return found


def _check_columns(path: Path, frame: Any, features: Sequence[str], targets: Sequence[str]) -> None:
    """Raise InputError for columns that are no features or no targets, by their names."""
    if not len(frame):
        raise InputError(f"{path} has a head and no rows: write at least 2 of each class")
    for name in features:
        if path.suffix.lower() == ".csv" and name.startswith("Unnamed: "):
            why = "if it counts the rows, leave it out"
            raise InputError(f"{path} has a column without a name: name it, or, {why}: {_dropped(name)}")
        if frame[name].dtype.kind not in "biuf":
            remedy = f"encode it as numbers, or leave it out: {_dropped(name)}"
            raise InputError(f"{path}: column {name!r} holds {frame[name].dtype} values, not numbers: {remedy}")
        kind = frame[name].dtype.kind
        if kind in "iu" and not float64_tells_apart(frame[name].dropna().to_numpy(f"{kind}8")):
            remedy = f"take a constant off them, or leave them out: {_dropped(name)}"
            raise InputError(f"{path}: column {name!r} holds {BEYOND}: {remedy}")
    for name in targets:
        if missing := int(frame[name].isna().sum()):
            read = "" if path.suffix.lower() != ".csv" else " (it is empty there, or NA, None, null: words for none)"
            raise InputError(
                f"{path}: column {name!r} lacks a value in {missing} of {len(frame)} rows{read}: leave those out"
            )


def _dropped(name: str) -> str:
    """Return the word that leaves a column out, as a shell takes it."""
    if re.fullmatch(r"[A-Za-z_]\w*", name):
        return f"dataset.drop=[{name}]"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'dataset.drop=["{escaped}"]')


def _with_zeros(path: Path, target: str, y: np.ndarray) -> np.ndarray:
    """Return classes as a CSV writes them where one begins with a 0, as 01: as numbers it would be the class 1 too."""
    if path.suffix.lower() != ".csv" or y.dtype.kind not in "iuf":
        return y
    import pandas

    written = pandas.read_csv(path, index_col=False, usecols=[target], dtype=str)[target].str.strip()
    return written.to_numpy(object) if written.str.match(LEADING_ZERO).any() else y


def _listed(columns: Sequence[str]) -> str:
    told = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
    apart = next((mark for mark in ";\t" if len(columns) == 1 and mark in columns[0]), None)
    return told if apart is None else f"one column, {columns[0]!r}: separate values by commas, not by {apart!r}"


def _twice(names: Sequence[str]) -> str | None:
    return next((name for at, name in enumerate(names) if name in names[:at]), None)


def _plain(path: Path, frame: Any) -> Any:
    """Return a table of Parquet as a CSV has it: its named index as columns, decimals as numbers."""
    import pandas

    named = [name for name in frame.index.names if name is not None]
    if twice := [name for name in named if name in frame.columns]:
        raise InputError(f"{path} has two columns {twice[0]!r}, one of them its index: name each once")
    frame = frame.reset_index(named)
    for name in frame.columns:
        if frame[name].dtype == object and pandas.api.types.infer_dtype(frame[name], skipna=True) == "decimal":
            frame[name] = pandas.to_numeric(frame[name])
    return frame


def _frame(path: Path) -> Any:
    import pandas

    memory.require(2 * path.stat().st_size, f"{path}", "take fewer rows or columns")
    try:
        if path.suffix.lower() != ".csv":
            return _plain(path, pandas.read_parquet(path))
        head = pandas.read_csv(path, index_col=False, header=None, nrows=1, dtype=str).iloc[0].dropna().tolist()
        if twice := _twice(head):  # which pandas would call NAME.1, a feature
            raise InputError(f"{path} has two columns {twice!r}: name each once")
        if len(head) == 1 and ";" in head[0]:
            raise InputError(f"{path} has {_listed(head)}, and write decimals with points")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            # index_col: else a value too many shifts all columns; low_memory: else it guesses a type every few rows.
            return pandas.read_csv(path, index_col=False, low_memory=False)
    except pandas.errors.ParserWarning:
        raise InputError(
            f"{path}: rows have more values than its head has names: is there a comma at their ends?"
        ) from None
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text ({one_line(error)}): save it as CSV UTF-8") from error
    except ImportError as error:
        raise InputError(f"{path} needs a reader of Parquet files: pip install pyarrow") from error
    except Exception as error:  # of a file of another kind, or a damaged one
        raise _unreadable(path, error) from error
