"""A torch module of a user's own, as tests write it beside their calls: a norm, dropout, two layers."""

SMALL_MODULE = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes, in_channels=3, width=4, affine=True, dropout=0.1):
        super().__init__()
        norm = nn.BatchNorm2d(width, affine=affine)
        conv = nn.Conv2d(in_channels, width, 3, padding=1)
        self.features = nn.Sequential(conv, norm, nn.ReLU(), nn.Dropout(dropout), nn.MaxPool2d(4))
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))

class Rows(nn.Module):
    def __init__(self, num_classes, in_features):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, 8), nn.Tanh(), nn.Linear(8, num_classes))

    def forward(self, x):
        return self.body(x)
"""
