"""`annealtrain.quantize`: a PyTorch module on a grid, as a library call."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annealtrain.errors import InputError
from annealtrain.optimizers.quantization.codes import code_arrays, sizes
from annealtrain.optimizers.quantization.grid import Grid
from annealtrain.optimizers.quantization.network import Method, QuantizedLayer, quantized
from annealtrain.optimizers.quantization.rounding import solver_named
from annealtrain.runtime import thread_pool
from annealtrain.runtime.array_types import Array, Row
from annealtrain.runtime.validation import FUNCTION, checked, optional, reworded, shown, whole
from annealtrain.solvers.solver import Solver

if TYPE_CHECKING:
    import pandas
    import torch

Levels = int | Sequence[int | None] | Mapping[str, int | None]


@dataclass(frozen=True)
class QuantizedModel:
    """What `quantize` returns.

    module: a copy of the model with its weights on their grids, batch norms folded into the layers before them; its
    biases are float. codes: NAME.codes, whole numbers in the shape of the weights, and NAME.steps (M, G): a weight is
    its code times the step of its unit and group. layers: with levels and scales. folded: names of the norms.
    left: layers that stay float, and why. bytes: of weights and biases, as float32 and with packed codes.
    """

    module: "torch.nn.Module"
    codes: dict[str, Array]
    layers: list[QuantizedLayer]
    folded: list[str]
    left: dict[str, str]
    bytes: tuple[int, int]

    @property
    def table(self) -> list[Row]:
        """A row a layer: errors on calibration and held-out samples, levels, mean scale, solver, seconds, gap."""
        return [layer.row for layer in self.layers]

    def to_dataframe(self) -> "pandas.DataFrame":
        import pandas

        return pandas.DataFrame(self.table)


@checked(
    "",
    samples=whole(),
    group_size=optional(whole()),
    threads=optional(thread_pool.COUNT),
    progress=optional(FUNCTION),
)
@reworded({"num_levels=": "levels="})
def quantize(
    model: "torch.nn.Module",
    loader: Iterable[Any],
    bits: Levels | None = None,
    *,
    levels: Levels | None = None,
    held_out: Iterable[Any] | None = None,
    samples: int = 1024,
    group_size: int | None = None,
    solver: str | Solver = "sa",
    objective: str = "layerwise",
    damping: float | None = None,
    rounds: int = 4,
    compensate: bool = True,
    refit_bias: bool = True,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> QuantizedModel:
    """Return a copy of a model whose Conv2d and Linear weights lie on a grid, layer after layer; the model stays.

    loader: batches x, or (x, y, ...), of which the first `samples` samples calibrate; the model is called with x alone.
    bits: of all layers, a list in the order of a pass, or by name; a layer of None, or that is not named, stays float;
    or levels in its place, 3 for ternary. held_out: batches on which each layer's error is told too.
    solver, objective, damping, rounds, compensate, refit_bias: see Method and `quantize_layer`. progress(name, share):
    of a layer. Raises ValueError for settings out of their limits, and a module without such layers.
    """
    try:
        from torch import nn

        from annealtrain.optimizers.quantization.of_torch import TorchSource
    except ImportError as error:
        raise InputError(f"quantize needs PyTorch ({error}): pip install 'annealtrain[torch]'") from error

    if not isinstance(model, nn.Module):
        raise InputError(f"{shown(model)} is no torch.nn.Module: give the model itself")
    settings = {"rounds": rounds, "damping": damping, "compensate": compensate, "refit_bias": refit_bias, "seed": seed}
    method = Method(solver_named(solver), objective=objective, **settings)  # type: ignore[arg-type]
    x = _gathered(loader, samples)
    source = TorchSource(model, x)
    grids = _grids(source.names, bits, levels, group_size)
    others = None if held_out is None else _gathered(held_out, samples, "held_out", x)
    told = (lambda k, share: progress(source.names[k], share)) if progress else None
    with thread_pool.threads(threads or thread_pool.available_threads()):
        found = list(quantized(source, x, others, grids, method, progress=told))
    codes = code_arrays(source, found)
    return QuantizedModel(source.module, codes, found, source.folded, source.left, sizes(source, found))


def _gathered(
    loader: Iterable[Any], samples: int, name: str = "the loader", like: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Return the first samples of a loader's batches as one tensor; `name` is told where none fit."""
    import torch

    found: list[torch.Tensor] = []
    count = 0
    if hasattr(loader, "shape") or not isinstance(loader, Iterable):  # a tensor's items would be taken for batches
        raise InputError(f"{shown(loader)} is no loader: give batches x, or (x, y), in a list or a DataLoader: [x]")
    for batch in loader:
        x = batch[0] if isinstance(batch, tuple | list) and batch else batch
        try:
            part = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} gives {shown(x)}, not a tensor of samples") from error
        if not part.ndim or (found and part.shape[1:] != found[0].shape[1:]):
            raise InputError(f"{name} gives a batch {tuple(part.shape)}: samples are its first axis, all alike")
        found.append(part[: samples - count])
        count += len(found[-1])
        if count == samples:
            break
    if not count:
        raise InputError(f"{name} gives no samples")
    if like is not None and found[0].shape[1:] != like.shape[1:]:
        own, wanted = tuple(found[0].shape[1:]), tuple(like.shape[1:])
        raise InputError(f"{name} has samples {own}, the loader {wanted}: give alike ones")
    return torch.cat(found)


def _grids(
    names: Sequence[str], bits: Levels | None, levels: Levels | None, group_size: int | None
) -> list[Grid | None]:
    if (bits is None) == (levels is None):
        raise InputError(f"bits={shown(bits)} and levels={shown(levels)}: give one of them")
    given: Any = bits if bits is not None else levels
    if hasattr(given, "tolist"):  # an array
        given = given.tolist()
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:
            raise InputError(f"no layer {unknown[0]!r}: the model has {', '.join(names)}")
        values = [given.get(name) for name in names]
    else:
        is_list = isinstance(given, Sequence) and not isinstance(given, str)
        values = list(given) if is_list else [given] * len(names)
    if len(values) != len(names):
        raise InputError(f"{len(values)} values for {len(names)} layers: {', '.join(names)}")
    given_bits = bits is not None
    return [
        None if v is None else Grid(v if given_bits else None, None if given_bits else v, group_size) for v in values
    ]
