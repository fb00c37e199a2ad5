"""Where the windows of a convolution or of a pool lie: their size, their stride, and the margin around the image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annealtrain.errors import InputError
from annealtrain.nn.layer import Shape, shape_text
from annealtrain.runtime.validation import each_of, either, whole

Pair = tuple[int, int]  # of the height and of the width
Extent = int | Sequence[int]
EXTENT = either(whole(), each_of(whole(), 2, "a pair of them, such as [3, 5]"))
MARGIN = either(whole(0), each_of(whole(0), 2, "a pair of them, such as [2, 1]"))


def pair(value: Extent) -> Pair:
    """Return a setting of height and width that may be given as one number for both."""
    return (value[0], value[1]) if isinstance(value, Sequence) else (value, value)


@dataclass(frozen=True)
class Windows:
    """Windows of `size` whose corners lie `stride` apart, from `padding` before the image to as far behind it."""

    size: Pair
    stride: Pair
    padding: Pair

    def counts(self, in_shape: Shape, name: str) -> Pair:
        """Return how many windows there are, down and across, in images of in_shape (C, H, W).

        What is left at the bottom and right, too narrow for a window, is not seen.
        Raises InputError, for the layer called `name`, if not one fits.
        """
        if len(in_shape) != 3:
            raise InputError(
                f"{name} takes (channels, height, width), its input is {shape_text(in_shape)}: put it before a Flatten"
            )
        height, width = (in_shape[1 + axis] + 2 * self.padding[axis] for axis in (0, 1))
        if self.size[0] > height or self.size[1] > width:
            is_square = self.size[0] == self.size[1]
            given, most = (self.size[0], min(height, width)) if is_square else (list(self.size), [height, width])
            padded = " with its padding" * any(self.padding)
            raise InputError(
                f"{name} with kernel_size={given} does not fit its input {shape_text(in_shape)}{padded}: at most {most}"
            )
        return (height - self.size[0]) // self.stride[0] + 1, (width - self.size[1]) // self.stride[1] + 1

    def rows(self, k: int, count: int) -> slice:
        """Return which rows of the padded image are the k-th of a window, for `count` windows down."""
        return slice(k, k + self.stride[0] * (count - 1) + 1, self.stride[0])

    def columns(self, m: int, count: int) -> slice:
        """Return which columns of the padded image are the m-th of a window, for `count` windows across."""
        return slice(m, m + self.stride[1] * (count - 1) + 1, self.stride[1])

    def places(self, counts: Pair) -> Iterator[tuple[slice, slice]]:
        """Yield for each place of a window, row by row, which pixels of the padded image are there."""
        for k in range(self.size[0]):
            for m in range(self.size[1]):
                yield self.rows(k, counts[0]), self.columns(m, counts[1])

    @property
    def is_plain(self) -> bool:
        """Whether the windows lie side by side, stride 1, without a margin."""
        return self.stride == (1, 1) and not any(self.padding)
