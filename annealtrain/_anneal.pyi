from typing import Any

MOVES: dict[str, int]

def kernels() -> list[str]: ...
def use_kernel(name: str) -> None: ...
def lanes() -> int: ...
def random_numbers(key: Any, sweep: int, out: Any, is_slice: bool = False) -> None: ...
def random_uniforms(key: Any, sweep: int, out: Any) -> None: ...
def visit_order(n: int, sweep: int) -> Any: ...
def anneal_chain(
    couplings: Any,
    diagonal: Any,
    delta: Any,
    move: int,
    betas: Any,
    orders: Any,
    first: int,
    key: Any,
    fields: Any,
    levels: Any,
) -> int: ...
def anneal_lanes(
    couplings: Any,
    diagonal: Any,
    delta: Any,
    move: int,
    betas: Any,
    first: int,
    keys: Any,
    fields: Any,
    levels: Any,
    flips: Any,
) -> None: ...
def anneal_shared_inputs(
    inputs: Any,
    weights: Any,
    grams: Any,
    ridges: Any,
    half_range: float,
    delta: Any,
    move: int,
    betas: Any,
    first: int,
    keys: Any,
    residuals: Any,
    levels: Any,
    flips: Any,
) -> None: ...
def block_grams(n: int, inputs: Any, weights: Any, grams: Any) -> None: ...
def input_products(inputs: Any, weights: Any, products: Any) -> None: ...
def anneal_path_integral(
    couplings: Any,
    diagonal: Any,
    delta: Any,
    betas: Any,
    ring_couplings: Any,
    first: int,
    keys: Any,
    fields: Any,
    levels: Any,
) -> int: ...
def add_products(couplings: Any, weights: Any, fields: Any) -> None: ...
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
