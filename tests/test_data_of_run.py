"""The samples of a run as its configuration has them: their size, and a fingerprint that old runs keep."""

import pytest
from conftest import composed

from annealtrain.data import datasets
from annealtrain.experiment import data_of_run
from annealtrain.experiment.config import config_hash
from annealtrain.experiment.versions import BEFORE


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ((), [32, 32]),
        (("image_size=48",), [48, 48]),
        (("image_size=[20,30]",), [20, 30]),
        (("model.image_size=null",), None),
        (("model=mlp",), None),
        (("model=mlp", "image_size=8"), [8, 8]),
    ],
)
def test_the_size_of_images(words, size):
    config = composed(*words)
    assert data_of_run.image_size(config) == data_of_run.size_for(config, (1, 8, 8)) == size
    assert data_of_run.size_for(config, (30,)) == (size if config["image_size"] else None)
    assert data_of_run.in_shape((3, 8, 8), size) == (3, *(size or (8, 8)))


def test_what_is_said_of_a_resize():
    assert data_of_run.resize_note((3, 8, 8), (32, 32)) == "images of 8x8 are resized to 32x32"
    assert data_of_run.resize_note((3, 8, 8), (8, 8)) is data_of_run.resize_note((30,), None) is None
    assert data_of_run.resize_note((3, 8, 8), (8, 8), "9x9 to 20x20") == "images of 9x9 to 20x20 are resized to 8x8"


def test_runs_of_before_keep_their_fingerprint():
    """What a run was made with then, as its config.yaml has it: 32 x 32 without a word, ten outputs."""
    config = composed("model=linear")
    before = {name: value for name, value in config.items() if name not in data_of_run.RULES}
    before["model"] = {name: value for name, value in config["model"].items() if name != "image_size"}
    assert config_hash(before) == config_hash(BEFORE | before) == config_hash(config)
    told = {config_hash(composed("model=linear", word)) for word in ("image_size=8", "scale=9", "standardise=true")}
    assert len(told | {config_hash(config)}) == 4


def test_named_sets_are_known_without_reading_them():
    for name in ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100"):
        assert data_of_run.known_shape(composed(f"dataset={name}")) == datasets.SHAPES[name]
    assert data_of_run.known_shape(composed("dataset=folder")) is None
