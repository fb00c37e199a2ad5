"""Networks for `bench.quantization`, trained with AdamW and kept: LeNet, a wider CNN, and a ResNet-8."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annealtrain.data import datasets
from annealtrain.data.dataset import Dataset

HELD_OUT = 5000  # training images that no training and no calibration sees
BATCH = 128


class Block(nn.Module):
    """Two convolutions with batch norm, and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.short = nn.Sequential()
        if stride != 1:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.short(x))


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def resnet8() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


# What makes each, its set, and the epochs that it is trained.
NETWORKS = {
    "lenet": (lenet, datasets.mnist, 4),
    "cnn": (cnn, datasets.fashion_mnist, 6),
    "resnet8": (resnet8, datasets.cifar10, 6),
}


def pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255 * 2 - 1)


def accuracy(module: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    module.eval()
    with torch.no_grad():
        parts = [module(pixels(images[k : k + 500])).argmax(1) for k in range(0, len(images), 500)]
    return float((torch.cat(parts).numpy() == labels).mean())


def trained(name: str, seed: int, folder: Path) -> tuple[nn.Module, Dataset]:
    """Return a network and its set; trained here where the folder has not its weights."""
    make, load, epochs = NETWORKS[name]
    dataset, path = load(), folder / f"{name}_{seed}.pt"
    torch.manual_seed(seed)
    module = make()
    if path.exists():
        module.load_state_dict(torch.load(path, weights_only=True))
        return module.eval(), dataset
    images, labels = (
        dataset.train_images[:-HELD_OUT],
        torch.from_numpy(dataset.train_labels[:-HELD_OUT].astype(np.int64)),
    )
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, total_steps=steps)
    module.train()
    for _ in range(epochs):
        for index in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            x = pixels(images[index.numpy()])
            if images.shape[1] == 3:  # crops and mirror images
                x = _shifted(x)
            loss = functional.cross_entropy(module(x), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), path)
    return module.eval(), dataset


def _shifted(x: Tensor) -> Tensor:
    """Return images shifted together by up to 3 pixels, half of them mirrored."""
    down, across = torch.randint(0, 7, (2,)).tolist()
    x = functional.pad(x, (3, 3, 3, 3))[:, :, down : down + x.shape[2], across : across + x.shape[3]]
    is_mirrored = torch.rand(len(x)) < 0.5
    return torch.where(is_mirrored[:, None, None, None], x.flip(3), x)
