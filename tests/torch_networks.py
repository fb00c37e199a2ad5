"""PyTorch modules for the tests: small ones of every kind of layer, a Transformer's block, tied weights."""

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch on one thread, in the modules that import this."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Residual(nn.Module):
    """Convolutions with padding, stride, dilation, groups and a residual, batch norm, a ReLU that works in place."""

    def __init__(self, affine=True, dropout=0.0):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6, affine=affine)
        self.inner = nn.Conv2d(6, 6, 3, padding="same", padding_mode="circular", groups=2)
        self.down = nn.Conv2d(6, 4, (3, 2), stride=2, dilation=(1, 2), padding=(1, 0))
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(dropout)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.act(self.norm(self.stem(x)))
        x = self.act(x + self.inner(x))
        return self.head(self.drop(self.act(self.down(x)).mean((2, 3))))


class Block(nn.Module):
    """Words through an embedding, attention, and a Linear on tokens."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.wide = nn.Linear(8, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, words):
        x = self.words(words)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(torch.tanh(self.wide(x)).mean(1))


class Tied(nn.Module):
    """A layer used twice, one never, two that share a weight, and one of the usual kind."""

    def __init__(self):
        super().__init__()
        self.twice, self.never, self.first = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.one, self.other = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.other.weight = self.one.weight
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.tanh(self.twice(torch.tanh(self.twice(self.first(x)))))
        return self.head(self.other(torch.tanh(self.one(x))))


def seeded(make, *args, dtype=torch.float64, **settings):
    """Return a module with first weights of seed 0."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return make(*args, **settings).to(dtype)


def images(count=6, seed=0, shape=(2, 7, 7)):
    return np.random.default_rng(seed).normal(size=(count, *shape))


def one_hot(count=6, seed=1, classes=3):
    return np.eye(classes)[np.random.default_rng(seed).integers(0, classes, count)]
