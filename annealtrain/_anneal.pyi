from typing import Any

def exponentials(state: Any, out: Any) -> None: ...
def metropolis(
    couplings: Any,
    diagonal: Any,
    delta: Any,
    betas: Any,
    orders: Any,
    state: Any,
    buffer: Any,
    fields: Any,
    levels: Any,
) -> int: ...
def coordinate_descent(
    couplings: Any,
    center: Any,
    half_range: float,
    step: float,
    tolerance: float,
    max_sweeps: int,
    fields: Any,
    weights: Any,
) -> int: ...
