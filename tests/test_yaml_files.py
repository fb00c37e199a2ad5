"""The YAML of run folders: plain values, and nothing that takes long, runs code or hides a value."""

from pathlib import Path

import pytest

from annealtrain.errors import InputError
from annealtrain.experiment.config import config_text
from annealtrain.runs import yaml_files
from annealtrain.runs.yaml_files import read_mapping


def test_values_come_back_as_they_were_written(tmp_path: Path) -> None:
    held = {
        "numbers": [0, -3, 2**63 - 1, 1e-5, -1.5e300, 1e22, 0.1],
        "texts": ["1e-5", "2024-01-01", "12:30", "yes", "null", "", "a: b", "é", "<<", "=", "0x1f", "1_000", "~"],
        "others": [True, False, None, [], {}],
        "<<": {"yes": {"on": 1}},
    }
    (tmp_path / "config.yaml").write_text(config_text(held), encoding="utf-8")
    assert read_mapping(tmp_path / "config.yaml") == held


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-2E3", -2000.0),
        ("1.5e-05", 1.5e-5),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        (".inf", float("inf")),
    ],
)
def test_plain_words_are_numbers_or_texts(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "config.yaml").write_text(f"\ufeffa: {text}\n", encoding="utf-8")
    assert read_mapping(tmp_path / "config.yaml") == {"a": value}


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "an anchor or an alias in line 1"),
        ("a: 1\nb: *a\n", "an anchor or an alias in line 2"),
        ("a: !!python/object/apply:os.getcwd []", "a tag in line 1"),
        ("a: !!binary aGVsbG8=", "a tag in line 1"),
        ("a: 1\nb: 2\na: 3\n", "the key 'a' in line 3 stands there twice"),
        ("a: {b: 1, b: 2}", "the key 'b' in line 1 stands there twice"),
        ("1: 2", "a key in line 1 is not a text"),
        ("? [1, 2]\n: 3", "a key in line 1 is not a text"),
        ("a: " + "[" * 41 + "]" * 41, "nested deeper than 40 levels in line 1"),
        ("a: " + "[" * 100_000, "nested deeper than 40 levels in line 1"),
        ("a: " + "{a: " * 50_000, "nested deeper than 40 levels in line 1"),
        ("a: " + "x" * 20_000, "a text of more than 16384 characters in line 1"),
        ("a: " + "x " * 200_000, "larger than 0.262144 MB"),
        ("a: 9223372036854775808", "a number in line 1 is beyond 2^63"),
        ("a: 0x" + "f" * 10_000, "a number in line 1 is beyond 2^63"),
        ("a: 1" + ":59" * 5_000, "a number in line 1 is beyond 2^63"),
        ("a: " + "9" * 10_000, "cannot be read"),
        ("a: [1", "cannot be read"),
        ("\ta: 1", "cannot be read"),
        ("a: 1\n---\na: 2\n", "cannot be read"),
        ("a: \x00", "cannot be read"),
        ("- a\n- b\n", "it is not a mapping"),
        ("", "it is not a mapping"),
    ],
)
def test_all_else_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_mapping(path)
    line = str(caught.value)
    assert said in line
    assert str(path) in line
    assert line.isprintable()
    assert len(line) < len(str(path)) + 300


@pytest.mark.parametrize("content", [b"a: \xff\xfe", b"\xff\xfea\x00:\x00", b"\x80", b"a: 1\n\xed\xa0\x80"])
def test_other_encodings_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_mapping(tmp_path / "config.yaml")


def test_the_loader_of_others_is_left_as_it_is() -> None:
    import yaml

    assert yaml.safe_load("a: 1e-5\nb: 2024-01-01\nc: 99999999999999999999")["a"] == "1e-5"
    assert yaml_files._Loader is not yaml.SafeLoader
