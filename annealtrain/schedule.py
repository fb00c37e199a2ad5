"""A value per epoch or per sweep: constant, linear, geometric, in steps; one for all layers, or one for each."""

from collections.abc import Sequence

from annealtrain.errors import InputError
from annealtrain.runtime.validation import checked, each_of, either, number, whole

Values = float | Sequence[float]
VALUES = either(number(above=0), each_of(number(above=0), words="a list of such numbers, one a layer"))
FRACTION = number(above=0, below=1, words="a fraction of the run between 0 and 1")


class Schedule:
    """first and last: a number, or a list with one number a layer."""

    @checked("schedule.", first=VALUES, last=VALUES)
    def __init__(self, first: Values, last: Values) -> None:
        self.first, self.last = _listed(first), _listed(last)
        counts = {len(values) for values in (self.first, self.last) if len(values) > 1}
        if len(counts) > 1:
            raise InputError(f"schedule: first has {len(self.first)} values and last {len(self.last)}: give as many")
        self.per_layer = max(counts, default=None)

    def __repr__(self) -> str:
        settings = {name: value for name, value in vars(self).items() if name != "per_layer"}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"

    @property
    def is_stretched(self) -> bool:
        """Whether a longer run has other values at its first steps."""
        return self.first != self.last

    def value(self, step: int, total: int, layer: int = 0) -> float:
        """Return the value at `step` of 0..total-1. As in the paper's runs, `last` belongs to step `total`."""
        first, last = (values[layer] if len(values) > 1 else values[0] for values in (self.first, self.last))
        return self.between(first, last, step / total)

    def between(self, first: float, last: float, t: float) -> float:
        """Return the value a fraction t in [0, 1) of the way."""
        raise NotImplementedError

    def check_layers(self, count: int) -> None:
        """Raise InputError if values are given per layer, but not for `count` layers."""
        if self.per_layer not in (None, count):
            raise InputError(
                f"schedule: {self.per_layer} values for {count} trainable layers: give one value, or {count}"
            )


class ConstantSchedule(Schedule):
    """The same value throughout."""

    @checked("schedule.", value=VALUES)
    def __init__(self, value: Values) -> None:
        super().__init__(value, value)

    def between(self, first: float, last: float, t: float) -> float:
        return first


class LinearSchedule(Schedule):
    """first + (last - first) t."""

    def between(self, first: float, last: float, t: float) -> float:
        return first + (last - first) * t


class GeometricSchedule(Schedule):
    """first (last / first)^t: the paper's range L and inverse temperature."""

    def between(self, first: float, last: float, t: float) -> float:
        value: float = first * (last / first) ** t
        return value


class StepSchedule(Schedule):
    """`first` up to and without step `at`, `last` from there on."""

    @checked("schedule.", at=whole(0))
    def __init__(self, first: Values, last: Values, at: int) -> None:
        super().__init__(first, last)
        self.at = at

    @property
    def is_stretched(self) -> bool:
        return False

    def value(self, step: int, total: int, layer: int = 0) -> float:
        return super().value(int(step >= self.at), 1, layer)

    def between(self, first: float, last: float, t: float) -> float:
        return last if t else first


class DropSchedule(Schedule):
    """`first`, times `factor` at each fraction of the run in `at`: the paper's learning rate, at .5 and .75."""

    @checked("schedule.", factor=number(above=0), at=each_of(FRACTION))
    def __init__(self, first: Values, factor: float, at: Sequence[float]) -> None:
        super().__init__(first, first)
        self.factor, self.at = factor, list(at)

    @property
    def is_stretched(self) -> bool:
        return self.factor != 1

    def between(self, first: float, last: float, t: float) -> float:
        return first * self.factor ** sum(t >= fraction for fraction in self.at)


def _listed(values: Values) -> list[float]:
    return [float(value) for value in (values if isinstance(values, Sequence) else [values])]
