"""`dataset=arrays`: the same set from every kind of file, and one line for what a file lacks."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from image_sets import error_of
from own_data import table, write_tables

from annealtrain.data.array_files import arrays

X, LABELS, TARGETS = table()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_tables(folder)
    return folder


def test_every_kind_of_file_gives_the_same_set(folder):
    archive = arrays(str(folder / "points.npz"))
    pair = arrays(str(folder / "X.npy"), labels=str(folder / "y.npy"))
    table = arrays(str(folder / "points.csv"), target="kind")
    for made in (pair, table):
        np.testing.assert_array_equal(made.train_images, archive.train_images)
        np.testing.assert_array_equal(made.test_labels, archive.test_labels)
    assert (archive.name, archive.class_names) == ("points", ("0", "1", "2"))
    assert (table.class_names, table.feature_names) == (("ant", "bee", "cat"), tuple("abcde"))


def test_real_targets_and_columns_that_are_left_out(folder):
    made = arrays(str(folder / "prices.csv"), target="price", drop=["b", "e"], task="regression")
    assert (made.feature_names, made.shape, made.is_regression) == (("a", "c", "d"), (3,), True)
    assert "real numbers: give classes, or set task=regression" in error_of(
        arrays, str(folder / "prices.csv"), target="price"
    )


def test_several_targets_of_a_table(folder):
    made = arrays(str(folder / "prices.csv"), target=["price", "a"], task="regression")
    assert (made.classes, made.feature_names) == (2, tuple("bcde"))


def test_commas_at_the_ends_of_rows_shift_no_column(tmp_path):
    path = tmp_path / "ends.csv"
    path.write_text("a,b,kind\n" + "".join(f"{n},7,{n % 2},\n" for n in range(20)))
    made = arrays(str(path), target="kind")
    assert (made.train_images[:, 0] % 2 == made.train_labels).all()


@pytest.mark.parametrize("codes", [("01", "1"), ("001", "002"), ("01", "1", "x")])
def test_classes_are_the_codes_that_a_table_writes(tmp_path, codes):
    path = tmp_path / "codes.csv"
    path.write_text("a,kind\n" + "".join(f"{n},{codes[n % len(codes)]}\n" for n in range(30)))
    made = arrays(str(path), target="kind")
    assert made.class_names == codes
    assert (made.train_images[:, 0] % len(codes) == made.train_labels).all()
    if codes[-1] != "x":  # 01 is a number where numbers are learnt
        real = arrays(str(path), target="kind", task="regression")
        assert set(np.ravel(real.train_labels)) == set(map(float, codes))


def test_a_class_is_the_same_in_all_rows_of_a_long_table(tmp_path, recwarn):
    path = tmp_path / "long.csv"
    path.write_text("a,kind\n" + "".join(f"{n % 7},{'x' if n > 299_000 else '01'}\n" for n in range(300_000)))
    assert arrays(str(path), target="kind").class_names == ("01", "x")
    assert not recwarn.list


def test_a_test_set_of_its_own(folder, tmp_path):
    np.savez(tmp_path / "both.npz", x_train=X, y_train=LABELS, x_test=X[:9], y_test=LABELS[:9])
    both = arrays(str(tmp_path / "both.npz"))
    (tmp_path / "test.csv").write_text("e,kind,d,c,b,a\n5,bee,4,3,2,1\n5,ant,4,3,2,0\n")
    csv = arrays(str(folder / "points.csv"), target="kind", test_file=str(tmp_path / "test.csv"))
    pair = arrays(*(str(folder / name) for name in ("X.npy", "y.npy")), None, None, *[str(folder / "points.npz")])
    assert (len(both.test_labels), len(pair.test_labels)) == (9, 90)
    assert (csv.test_images[0].tolist(), csv.test_labels.tolist()) == ([1, 2, 3, 4, 5], [1, 0])


def test_a_test_set_is_named_once(folder, tmp_path):
    both, alone = str(tmp_path / "both.npz"), str(folder / "points.npz")
    np.savez(both, X=X, y=LABELS, X_test=X[:9], y_test=LABELS[:9])
    held = f"{both} holds a test set of its own: leave it out, or give files of X and y alone"
    assert error_of(arrays, both, test_file=alone) == f"dataset.test_file={alone}: {held}"
    assert error_of(arrays, alone, test_file=both) == f"dataset.test_file={both}: {held}"
    for given in ({"file": both}, {"file": alone, "test_file": alone}):
        assert "has a test set of its own: leave dataset.test_share=0.9" in error_of(arrays, **given, test_share=0.9)


@pytest.mark.parametrize(
    ("file", "settings", "found"),
    [
        ("none.npz", {}, "dataset.file=none.npz: there is no such file"),
        ("folder.csv", {"target": "a"}, "dataset.file=folder.csv is a folder, a pipe or a device: give a regular file"),
        ("readme.txt", {}, "its name must end in .npz, .npy, .csv, .parquet"),
        ("points.csv", {}, "is a table: name the column to learn, dataset.target=COLUMN"),
        ("points.csv", {"target": "kinds"}, "has no column 'kinds' (dataset.target); did you mean 'kind'?"),
        ("points.csv", {"target": "kind", "drop": ["z"]}, "has no column 'z' (dataset.drop)"),
        ("points.csv", {"target": "a"}, "column 'kind' holds"),
        (
            "points.csv",
            {"target": "kind", "test_file": "narrow.csv"},
            "narrow.csv has no column 'b', which the training",
        ),
        ("short.csv", {"target": "a"}, "has no column beside 'a': give features to learn from"),
        ("gaps.csv", {"target": "b"}, "column 'a' contains NaN or inf in 1 of"),
        ("gaps.csv", {"target": "a"}, "column 'a' lacks a value in 1 of 13 rows (it is empty there, or NA"),
        ("points.npz", {"target": "kind"}, "has no named columns: leave dataset.target and dataset.drop out"),
        ("X.npy", {}, "holds samples alone: name the file of their labels, dataset.labels=y.npy"),
        ("X.npy", {"labels": "none.npy"}, "dataset.labels=none.npy: there is no such file"),
        ("odd.npz", {}, "holds features, and no X and no y: save X=... and y=..."),
        ("both.npz", {}, "both.npz holds x and Images, each a name of X: keep one of them"),
        ("damaged.npz", {}, "damaged.npz cannot be read (BadZipFile"),
        ("objects.npz", {}, "objects.npz cannot be read (it does not hold arrays of numbers alone): write"),
        ("damaged.csv", {"target": "a"}, "damaged.csv cannot be read (EmptyDataError"),
        ("points.npz", {"test_share": 1.5}, "dataset.test_share=1.5 is not a number above 0 and below 1"),
        ("", {}, "dataset.file='' is not a text"),
        ("points.npz", {"labels": "y.npy"}, "dataset.labels=y.npy belongs to a .npy of samples, and points.npz holds"),
        ("X.npy", {"labels": "y.npy", "test_labels": "y.npy"}, "dataset.test_labels=y.npy belongs to a .npy"),
        ("points.csv", {"target": "kind", "test_file": "points.npz"}, "is of another kind than points.csv"),
        ("points.csv", {"target": "kind", "test_file": "no.csv"}, "dataset.test_file=no.csv: there is no such file"),
        ("points.csv", {"target": "sort of"}, "has no column 'sort of' (dataset.target); it has a, b, c, d, e, kind"),
        ("semicolons.csv", {"target": "b"}, "has one column, 'a;b': separate values by commas, not by ';'"),
        ("decimals.csv", {"target": "b"}, "separate values by commas, not by ';', and write decimals with points"),
        ("commas.csv", {"target": "b"}, "rows have more values than its head has names"),
        ("twice.csv", {"target": "kind"}, "twice.csv has two columns 'kind': name each once"),
        ("latin.csv", {"target": "kind"}, "latin.csv is no UTF-8 text (UnicodeDecodeError"),
        ("words.csv", {"target": "kind"}, "lacks a value in 6 of 12 rows (it is empty there, or NA, None, null"),
        ("points.csv", {"target": "kind", "drop": ["kind"]}, "dataset.drop=[kind]: that is dataset.target too"),
        ("points.csv", {"target": ["a", "b", "a"]}, "dataset.target names 'a' twice: name each column once"),
        ("rows.csv", {"target": "b"}, "leave it out: 'dataset.drop=[\"Unnamed: 0\"]'"),
        ("odd.csv", {"target": "k"}, "leave it out: 'dataset.drop=[\"day (UTC), x\"]'"),
        ("ids.csv", {"target": "k"}, "column 'id' holds whole numbers beyond 2^53, some of which are the same for"),
        ("ids.csv", {"target": "id", "drop": ["k"], "task": "regression"}, "targets hold whole numbers beyond 2^53"),
        ("head.csv", {"target": "b"}, "head.csv has a head and no rows"),
    ],
)
def test_what_is_lacking_is_said_in_a_line(folder, monkeypatch, file, settings, found):
    monkeypatch.chdir(folder)
    Path("readme.txt").touch()
    Path("folder.csv").mkdir(exist_ok=True)
    Path("short.csv").write_text("a\n" + "1\n2\n" * 6)
    Path("narrow.csv").write_text("a,kind\n1,ant\n2,bee\n")
    Path("gaps.csv").write_text("a,b\n" + "1,0\n2,1\n" * 6 + ",1\n")
    np.savez("odd.npz", features=X)
    np.savez("both.npz", Images=X, x=X, y=np.zeros(len(X)))
    np.savez("objects.npz", X=X, y=np.array([{}] * 90, object))
    Path("damaged.npz").write_bytes(b"PK\x03\x04 no more")
    Path("damaged.csv").touch()
    Path("semicolons.csv").write_text("a;b\n1;2\n")
    Path("decimals.csv").write_text("a;b\n1,5;2,5\n3,5;2,5\n")
    Path("commas.csv").write_text("a,b\n1,5,2,5\n3,5,2,5\n")
    Path("twice.csv").write_text("a,kind,kind\n" + "1,ant,0\n2,bee,1\n" * 6)
    Path("latin.csv").write_text("a,kind\n1,abeille\n2,scarabée\n", "latin-1")
    Path("words.csv").write_text("a,kind\n" + "1,bee\n2,None\n" * 6)
    Path("rows.csv").write_text(",a,b\n0,5,2\n1,5,2\n")
    Path("odd.csv").write_text('"day (UTC), x",k\nMay,0\nJune,1\n')
    Path("ids.csv").write_text(f"id,a,k\n{2**60},1,0\n{2**60 + 1},2,1\n{2**61},3,1\n{2**61},4,0\n")
    Path("head.csv").write_text("a,b\n")
    assert found in error_of(arrays, file, **settings)


def test_what_is_too_large_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr("annealtrain.runtime.memory.available_bytes", lambda: 1000)
    for file, settings in (
        ("points.npz", {}),
        ("X.npy", {"labels": str(folder / "y.npy")}),
        ("points.csv", {"target": "kind"}),
    ):
        message = error_of(arrays, str(folder / file), **settings)
        assert message.startswith(f"{folder / file} needs ")
        assert "1 kB are available" in message


def test_parquet_needs_its_reader_or_is_read(folder, tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "points.parquet"
    try:
        pandas.read_csv(folder / "points.csv").to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        assert "needs a reader of Parquet files: pip install pyarrow" in error_of(arrays, str(path), target="kind")
    else:
        assert arrays(str(path), target="kind").class_names == ("ant", "bee", "cat")


def test_the_index_and_decimals_of_a_parquet_file_are_columns_and_numbers(folder, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    import pandas

    frame, path = pandas.read_csv(folder / "points.csv"), str(tmp_path / "points.parquet")
    whole = arrays(str(folder / "points.csv"), target="kind")
    frame["c"] = [Decimal(repr(value)) for value in frame["c"]]
    for index in (["b"], ["b", "kind"], ["a", "b", "c", "d"]):
        frame.set_index(index).to_parquet(path)
        found = arrays(path, target="kind", drop=["e"])
        at = [whole.feature_names.index(name) for name in found.feature_names]
        assert sorted(found.feature_names) == list("abcd")
        np.testing.assert_array_equal(found.train_images, whole.train_images[:, at])
        np.testing.assert_array_equal(found.train_labels, whole.train_labels)
    prices = arrays(path, target="c", drop=["kind"], task="regression")
    held = np.concatenate([prices.train_labels, prices.test_labels])
    np.testing.assert_array_equal(np.sort(held[:, 0]), np.sort(pandas.read_csv(folder / "points.csv")["c"]))
    frame[frame["a"] > 0].set_index("b").rename_axis("a").to_parquet(path)
    assert "has two columns 'a', one of them its index: name each once" in error_of(arrays, path, target="kind")
