"""From images to a network's inputs: all at once in memory, or batch by batch when they are asked for."""

import tracemalloc

import numpy as np
import pytest

from annealtrain.data.augmentation import Augment
from annealtrain.data.datasets import digits
from annealtrain.data.images import split
from annealtrain.data.loader import Loader
from annealtrain.experiment.builder import build
from annealtrain.experiment.compose import compose_config
from annealtrain.optimizers.optimizer import Optimizer
from annealtrain.runtime import thread_pool


def seed(number=0):
    return np.random.SeedSequence(number)


@pytest.fixture
def images():
    return split(digits(), samples=50, validation=0, seed=3, size=(32, 32)).train


def test_any_batch_is_a_part_of_all(images):
    loader, all_of_them = Loader.lazily(images, lambda x: 2 * x), 2 * images.images
    assert loader.is_lazy
    assert len(loader) == 50
    np.testing.assert_array_equal(loader.labels, images.labels)
    np.testing.assert_array_equal(loader[7:19], all_of_them[7:19])
    chosen = np.array([3, 1, 49])
    np.testing.assert_array_equal(loader[chosen], all_of_them[chosen])
    np.testing.assert_array_equal(loader.batch(chosen, seed()), all_of_them[chosen])


def test_inputs_in_memory_are_taken_as_they_are(images):
    inputs = 2 * images.images
    loader, chosen = Loader(inputs, images.labels), np.array([3, 1, 49])
    assert not loader.is_lazy
    assert len(loader) == 50
    np.testing.assert_array_equal(loader[7:19], inputs[7:19])
    np.testing.assert_array_equal(loader.batch(chosen, seed()), inputs[chosen])
    assert np.shares_memory(loader.batch(np.arange(50), seed()), inputs)  # all of them without a copy
    np.testing.assert_array_equal(loader.batch(np.arange(50)[::-1], seed()), inputs[::-1])


def test_the_first_few_are_a_loader_of_the_same_kind(images):
    double = Augment(flip=True)
    for whole in (Loader(images.images, images.labels), Loader.lazily(images, lambda x: 2 * x, double)):
        few = whole.take(8)
        assert (len(few), few.is_lazy) == (8, whole.is_lazy)
        np.testing.assert_array_equal(few.labels, images.labels[:8])
        np.testing.assert_array_equal(few[:], whole[:8])
        assert len(whole.take(1000)) == 50
        everyone = np.arange(8)
        np.testing.assert_array_equal(few.batch(everyone, seed(4)), whole.batch(everyone, seed(4)))


def test_only_a_batch_of_training_is_changed_at_random_before_it_is_preprocessed(images):
    augment = Augment(shift=2, flip=True)
    loader, chosen = Loader.lazily(images, lambda x: 2 * x, augment), np.array([3, 1, 49])
    np.testing.assert_array_equal(loader[chosen], 2 * images[chosen])
    np.testing.assert_array_equal(loader.batch(chosen, seed(7)), 2 * augment(images[chosen], seed(7)))
    assert not np.array_equal(loader.batch(chosen, seed(7)), loader.batch(chosen, seed(8)))


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

    def step(self, batch, step, progress):
        self.batches.append(batch)
        return [{"layer": 0}]


@pytest.mark.parametrize("batch_size", [15, "null"])
def test_only_what_is_trained_on_is_augmented(batch_size):
    settings = config("model=two_conv_small", "samples=60", f"batch_size={batch_size}", "augment.shift=2")
    experiment = build(settings)
    network, splits = experiment.network, experiment.splits
    inputs = {name: network.preprocess(getattr(splits, name).images) for name in ("train", "validation", "test")}
    experiment.optimizer = spy = Spying()
    trainer = experiment.trainer()
    trainer.run(Log())
    shown, plain = np.concatenate([batch.inputs for batch in spy.batches]), inputs["train"]
    assert shown.shape == plain.shape
    same = np.isclose(shown[:, None], plain, rtol=0, atol=1e-5).all(axis=(2, 3, 4)).any(axis=1)
    assert same.mean() < 0.25  # one of 25 shifts is none
    for name, held in (("train", "train"), ("val", "validation"), ("test", "test")):
        # Some BLAS kernels round a product of all images otherwise than those of blocks: the same path, the same bits.
        at_once = network.preprocess_chunk(getattr(splits, held)[:]) if batch_size == 15 else inputs[held]
        np.testing.assert_array_equal(trainer.sets[name][:], at_once)
        outputs, labels = trainer.network.predict(inputs[held]), trainer.sets[name].labels
        assert trainer.scores()[f"{name}_accuracy"] == (outputs.argmax(axis=1) == labels).mean()
    outputs = trainer.network.predict(inputs["train"]) - np.eye(10)[trainer.sets["train"].labels]
    assert trainer.scores()["train_loss"] == pytest.approx((outputs**2).sum() / 60)


def test_memory_follows_the_batch_and_not_the_set():
    peaks = []
    with thread_pool.threads(1):
        for samples in (20, 300, 1200):  # the first fills what is kept for good
            settings = config("method=kronecker", "model=lenet_small", "batch_size=20", f"samples={samples}")
            experiment = build(settings)
            tracemalloc.start()
            try:
                experiment.trainer().run(Log())
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    assert peaks[2] - peaks[1] < 900 * 32 * 32 * 4 / 4  # a quarter of what the images added are as float32
