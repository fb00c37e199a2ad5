"""Images read batch by batch, and their random changes."""

import tracemalloc

import numpy as np
import pytest

from annealtrain.data.augmentation import Augment
from annealtrain.data.datasets import digits
from annealtrain.data.images import split
from annealtrain.data.loader import Pictures
from annealtrain.errors import InputError
from annealtrain.experiment.builder import build, trainer_of
from annealtrain.experiment.compose import compose_config
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runtime import thread_pool


def seed(number=0):
    return np.random.SeedSequence(number)


def test_any_batch_is_a_part_of_all():
    images = split(digits(), samples=50, validation=0, seed=3).train
    pictures, all_of_them = Pictures(images, lambda x: 2 * x), 2 * images.images
    assert len(pictures) == 50
    np.testing.assert_array_equal(pictures[7:19], all_of_them[7:19])
    chosen = np.array([3, 1, 49])
    np.testing.assert_array_equal(pictures[chosen], all_of_them[chosen])
    np.testing.assert_array_equal(pictures.augmented(chosen, seed()), all_of_them[chosen])


def test_shifts_move_zeros_in_each_way_equally_often():
    image = np.arange(1.0, 26).reshape(1, 1, 5, 5)
    shifted = Augment(shift=1)(np.repeat(image, 900, axis=0), seed())
    padded = np.pad(image[0, 0], 1)
    ways = {padded[y : y + 5, x : x + 5].tobytes(): (y, x) for y in range(3) for x in range(3)}
    found = [ways[one.tobytes()] for one in shifted]
    counts = [found.count(way) for way in ways.values()]
    assert ((np.array(counts) - 100) ** 2 / 100).sum() < 26.1  # chi-square, 8 degrees of freedom, p = .001


def test_half_of_the_images_are_mirrored():
    images = np.random.default_rng(0).random((400, 2, 3, 4))
    flipped = Augment(flip=True)(images, seed())
    mirrored = (flipped == images[..., ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == images).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.sum() - 200) < 33  # p = .001


def test_a_seed_is_a_change():
    images = np.random.default_rng(0).random((20, 1, 8, 8))
    augment = Augment(shift=2, flip=True)
    np.testing.assert_array_equal(augment(images, seed(1)), augment(images, seed(1)))
    assert not np.array_equal(augment(images, seed(1)), augment(images, seed(2)))


class Log:
    def epoch_done(self, row, solves, checkpoint):
        pass

    def solving(self, epoch, layer, done):
        pass


def config(*overrides):
    return compose_config(["dataset=digits", "validation=20", "epochs=1", "threads=1", *overrides], None)


class Spying(Optimizer):
    """Keeps the batches it is given."""

    def __init__(self):
        self.batches = []

    def step(self, batch, step, observer):
        self.batches.append(batch)
        return [{"layer": 0}]


@pytest.mark.parametrize("batch_size", [15, "null"])
def test_only_what_is_trained_on_is_augmented(batch_size):
    settings = config("model=two_conv_small", "samples=60", f"batch_size={batch_size}", "augment.shift=2")
    parts = build(settings)
    stems = {
        name: parts.network.preprocess(getattr(parts.splits, name).images) for name in ("train", "validation", "test")
    }
    parts.targets = spy = Spying()
    trainer = trainer_of(parts, settings)
    trainer.run(Log())
    shown, plain = np.concatenate([batch.inputs for batch in spy.batches]), stems["train"]
    assert shown.shape == plain.shape
    same = np.isclose(shown[:, None], plain, rtol=0, atol=1e-5).all(axis=(2, 3, 4)).any(axis=1)
    assert same.mean() < 0.25  # one of 25 shifts is none
    for name, held in (("train", "train"), ("val", "validation"), ("test", "test")):
        # Some BLAS kernels round a product of all images otherwise than those of blocks: the same path, the same bits.
        at_once = parts.network.preprocess_chunk(getattr(parts.splits, held)[:]) if batch_size == 15 else stems[held]
        np.testing.assert_array_equal(trainer.sets[name].inputs[:], at_once)
        outputs, labels = trainer.network.predict(stems[held]), trainer.sets[name].labels
        assert trainer.scores()[f"{name}_accuracy"] == (outputs.argmax(axis=1) == labels).mean()
    outputs = trainer.network.predict(stems["train"]) - np.eye(10)[trainer.sets["train"].labels]
    assert trainer.scores()["train_loss"] == pytest.approx((outputs**2).sum() / 60)


def test_memory_follows_the_batch_and_not_the_set():
    peaks = []
    with thread_pool.threads(1):
        for samples in (20, 300, 1200):  # the first fills what is kept for good
            settings = config("method=kronecker", "model=lenet", "batch_size=10", f"samples={samples}")
            parts = build(settings)
            tracemalloc.start()
            try:
                trainer_of(parts, settings).run(Log())
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    assert peaks[2] - peaks[1] < 900 * 32 * 32 * 4 / 4  # a quarter of what the images added are as float32


@pytest.mark.parametrize(
    ("wrong", "told"), [({"shift": -1}, "0 to 16"), ({"shift": 1.5}, "1.5"), ({"flip": 1}, "flip=1")]
)
def test_wrong_settings_are_named(wrong, told):
    with pytest.raises(InputError, match=told):
        Augment(**wrong)
