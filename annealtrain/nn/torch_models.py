"""Networks of PyTorch's layers, for what the chain of `annealtrain.nn.layers` cannot express.

Each ends in a Linear of `num_classes` outputs. affine=False leaves out the scales and shifts of the norms: then all
weights belong to a Conv2d or a Linear, and Hamiltonians take every one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from annealtrain.errors import InputError
from annealtrain.runtime.validation import YES_OR_NO, checked, whole

COUNT = whole(1, 65_536, "as more weights than memory holds would follow")


def _convolution(inputs: int, outputs: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """Return a 3x3 convolution without a bias, which the norm behind it would take away."""
    kernel = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(outputs, affine=affine))


class Residual(nn.Module):
    """relu(x' + f(x)): f two convolutions; x' is x, or a 1x1 convolution of it where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride, affine)
        self.second = _convolution(outputs, outputs, affine=affine)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            kernel = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(kernel, nn.BatchNorm2d(outputs, affine=affine))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(self.shortcut(x) + y)


class ResNet8(nn.Module):
    """The residual network of He et al. (2015) for CIFAR, one block a stage: 16, 32, 64 channels, 78,000 weights."""

    @checked("model.", num_classes=COUNT, in_channels=COUNT, affine=YES_OR_NO)
    def __init__(self, num_classes: int = 10, in_channels: int = 3, affine: bool = True) -> None:
        super().__init__()
        self.stem = _convolution(in_channels, 16, affine=affine)
        self.stages = nn.Sequential(
            Residual(16, 16, 1, affine), Residual(16, 32, 2, affine), Residual(32, 64, 2, affine)
        )
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.stages(functional.relu(self.stem(x))).mean(dim=(2, 3)))
        return outputs


class VGGSmall(nn.Module):
    """Seven 3x3 convolutions after Simonyan and Zisserman (2015), a norm behind each: 0.91 M weights.

    39 million multiply-adds for an image of 32x32.
    """

    STAGES = ((24, 32), (64, 64), (128,), (224, 256))  # channels; a max pool of 2x2 between

    @checked("model.", num_classes=COUNT, in_channels=COUNT, affine=YES_OR_NO)
    def __init__(self, num_classes: int = 10, in_channels: int = 3, affine: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, stage in enumerate(self.STAGES):
            layers += [nn.MaxPool2d(2)] if number else []
            for outputs in stage:
                layers += [_convolution(in_channels, outputs, affine=affine), nn.ReLU()]
                in_channels = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return outputs


class VGGAirbench(nn.Module):
    """Pairs of 3x3 convolutions, a max pool behind each first one, after Jordan's airbench94 (2024): 0.66 M weights.

    A 2x2 convolution stands before them, the maximum over places behind them. 39 million multiply-adds for an image of
    32x32; 9x9 is the smallest.
    """

    WIDTHS = (48, 96, 192)  # channels of each pair
    FIRST = 24

    @checked("model.", num_classes=COUNT, in_channels=COUNT, affine=YES_OR_NO)
    def __init__(self, num_classes: int = 10, in_channels: int = 3, affine: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, self.FIRST, 2), nn.ReLU()]
        before = self.FIRST
        for width in self.WIDTHS:
            layers += [_convolution(before, width, affine=affine), nn.MaxPool2d(2), nn.ReLU()]
            layers += [_convolution(width, width, affine=affine), nn.ReLU()]
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(x).amax(dim=(2, 3)))
        return outputs


class Attention(nn.Module):
    """Self-attention of Vaswani et al. (2017): queries, keys, values and output are Linear layers, one each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        shares = (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).softmax(dim=3)
        outputs: Tensor = self.output((shares @ v).transpose(1, 2).flatten(2))
        return outputs


class Block(nn.Module):
    """Attention, then two Linear layers, each behind a norm and added to what it was given."""

    def __init__(self, width: int, heads: int, affine: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=affine) for _ in range(2))
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        outputs: Tensor = x + self.down(functional.gelu(self.up(self.norms[1](x))))
        return outputs


class ViTTiny(nn.Module):
    """The vision transformer of Dosovitskiy et al. (2021) on small patches, their mean in place of a class token.

    image_size: (h, w) in pixels, a whole number of patches each way; patch: pixels each way. Positions are sines, no
    weights. With the given numbers it has 137,000 weights.
    """

    @checked(
        "model.",
        num_classes=COUNT,
        in_channels=COUNT,
        patch=whole(1, 1024),
        width=COUNT,
        depth=whole(1, 1000),
        heads=COUNT,
        affine=YES_OR_NO,
    )
    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
        patch: int = 4,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        affine: bool = True,
    ) -> None:
        super().__init__()
        if any(side % patch for side in image_size):
            size = "x".join(map(str, image_size))
            raise InputError(f"model.patch={patch} does not divide images of {size}: take another, or image_size=")
        if width % heads or width % 4:
            raise InputError(f"model.width={width} is not a multiple of 4 and of model.heads={heads}")
        self.patches = nn.Conv2d(in_channels, width, patch, patch)
        self.register_buffer("positions", _positions(image_size[0] // patch, image_size[1] // patch, width))
        self.blocks = nn.Sequential(*(Block(width, heads, affine) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, elementwise_affine=affine)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        outputs: Tensor = self.head(self.norm(self.blocks(tokens)).mean(dim=1))
        return outputs


def _positions(rows: int, columns: int, width: int) -> Tensor:
    """Return sines and cosines of each patch's row and column at `width` / 4 wavelengths, (rows columns, width)."""
    rates = 100.0 ** -torch.linspace(0, 1, width // 4)
    down = (torch.arange(rows)[:, None] * rates).repeat_interleave(columns, 0)
    across = (torch.arange(columns)[:, None] * rates).repeat(rows, 1)
    return torch.cat([down.sin(), down.cos(), across.sin(), across.cos()], dim=1)
