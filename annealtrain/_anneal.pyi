"""The compiled kernel, csrc/anneal.pyx.

Letters in shapes: n weights of `bits` bits, columns = n rounded up to BLOCK, lanes = lanes(). All arrays are
C-contiguous. "on a border": its data begins on a multiple of 64 bytes, as `memory.aligned` makes it. What a function
fills or updates in place is said so; all else is only read.
"""

import numpy as np
import numpy.typing as npt

MOVES: dict[str, int]
"""The number of each move: bit (Metropolis on single bits), slice (slice sampling of levels), greedy."""

BLOCK: int
"""Weights that are visited one after the other before the fields of all others are updated; sweeps shuffle blocks."""

MAX_LANES: int
"""Lanes of the widest kernel, a multiple of every kernel's: strides of J's rows and path-integral slices are
multiples of it."""

ROW_GROUP: int
"""The rows of shared inputs are filled up to a multiple of it."""

MIRRORED: float
"""Share of slice moves that go to the mirror image of their level."""

FROZEN: float
"""beta dE from which Metropolis accepts no flip."""

def kernels() -> list[str]:
    """Return the names of the kernels that this machine can run, widest first."""

def use_kernel(name: str) -> None:
    """Anneal with this kernel from now on (all give the same results); ValueError if the machine cannot run it."""

def lanes() -> int:
    """Return how many chains the kernel in use anneals side by side."""

def random_numbers(
    key: npt.NDArray[np.uint32], sweep: int, out: npt.NDArray[np.float32], is_slice: bool = False
) -> None:
    """Fill out (count,) with a sweep's unit exponentials of one chain.

    key: (2,). is_slice: as slice moves need them, every other number uniform in (0, 1) instead.
    """

def random_uniforms(key: npt.NDArray[np.uint32], sweep: int, out: npt.NDArray[np.float64]) -> None:
    """Fill out (count,) with the uniform numbers in (0, 1) that decide the bit moves of one chain in a sweep.

    key: (2,).
    """

def visit_order(n: int, sweep: int) -> npt.NDArray[np.int64]:
    """Return the order (n,) in which a sweep visits n weights: block after block, another order of them each sweep."""

def anneal_chain(
    couplings: npt.NDArray[np.float32],
    diagonal: npt.NDArray[np.float32],
    delta: npt.NDArray[np.float32],
    move: int,
    betas: npt.NDArray[np.float32],
    orders: npt.NDArray[np.int32],
    first: int,
    key: npt.NDArray[np.uint32],
    fields: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int32],
) -> int:
    """Return the flips (bit moves) or changed weights of one chain in len(betas) sweeps.

    couplings: (n, stride >= n) rows of J. diagonal: (n,) J_jj. delta: (bits,) change of a weight by each bit.
    move: of MOVES. betas: (sweeps,) inverse temperatures, 1 / loss. orders: (sweeps, n bits), a permutation of the
    spins j bits + a for each sweep (bit moves), or (0, n bits) for weight after weight. first: the number of the
    first of these sweeps. key: (2,) of the chain's random numbers.
    Updated in place: fields (n,) h + 2 J S and levels (n,).
    """

def chain_seeds(
    pools: npt.NDArray[np.uint32],
    hashed: int,
    reads: int,
    first: int,
    bits: int,
    keys: npt.NDArray[np.uint32],
    levels: npt.NDArray[np.int32],
) -> None:
    """Fill keys (chains, 2) and levels (chains, n) of chains first, first + 1, ... from their units' seeds.

    Chain c is read c % reads of unit c // reads. pools: (units, 4), `pool` of each unit's SeedSequence after `hashed`
    words. The key is `SeedSequence.generate_state(2)` of the unit's child c % reads, the levels are what a PCG64 with
    that one's child 0 draws by `integers(0, 2**bits, n)`; bits = 0 leaves them as they are.
    """

def start_fields(
    couplings: npt.NDArray[np.float64],
    h: npt.NDArray[np.float64],
    centres: npt.NDArray[np.float64],
    live: npt.NDArray[np.intp],
    half_step: float,
    top: int,
    reads: int,
    first: int,
    levels: npt.NDArray[np.int32],
    fields: npt.NDArray[np.float32],
) -> None:
    """Fill fields (chains, stride) of chains first, first + 1, ... with h + 2 J S of the live weights.

    Chain c is read c % reads of unit c // reads. couplings: (N, N) J. h, centres: (units, N), S0 the latter. live:
    (n,) the weights that levels (chains, n) are of: S = S0 + half_step (2 level - top); the others count as 0.
    """

def anneal_lanes(
    couplings: npt.NDArray[np.float32],
    diagonal: npt.NDArray[np.float32],
    delta: npt.NDArray[np.float32],
    move: int,
    betas: npt.NDArray[np.float32],
    first: int,
    last: int,
    keys: npt.NDArray[np.uint32],
    fields: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int32],
    flips: npt.NDArray[np.int64],
) -> None:
    """Anneal chains of one J in groups of lanes() side by side: each as anneal_chain does, to the last bit.

    couplings: (n, stride) rows of J, zeros beyond n, on a border, the stride a multiple of MAX_LANES.
    diagonal: (n,). delta: (bits,). move: of MOVES. betas: (groups or 1, sweeps, lanes). first, last: sweeps first to
    last - 1 are done. keys: (groups, 2, lanes). Lanes beyond the chains are like the first of their group in betas,
    keys and levels.
    Updated in place: fields (chains, stride) h + 2 J S and levels (groups, at least n, lanes), both on a border, a
    group of levels a multiple of MAX_LANES long; flips (groups, lanes), to which flips (bit moves) or changed weights
    are added.
    """

def anneal_shared_inputs(
    inputs: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    grams: npt.NDArray[np.float32],
    ridges: npt.NDArray[np.float32],
    half_range: float,
    delta: npt.NDArray[np.float32],
    move: int,
    betas: npt.NDArray[np.float32],
    first: int,
    keys: npt.NDArray[np.uint32],
    residuals: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int32],
    flips: npt.NDArray[np.int32],
) -> None:
    """Anneal lanes() chains that share inputs X but not J = X' diag(w) X + ridge I, without forming J.

    inputs: (columns / BLOCK, rows, BLOCK) X in blocks of columns, the rows a multiple of ROW_GROUP, zeros beyond X.
    weights: (rows, lanes) w = gamma^2 / Q, on a border. grams: (columns, BLOCK, lanes) of block_grams, on a border.
    ridges: (lanes,). half_range: L. delta: (bits,). move: of MOVES. betas: (sweeps, lanes). first: the number of the
    first sweep. keys: (2, lanes).
    Updated in place: residuals (rows, lanes), 2 w (X S - targets / gamma), and levels (n, lanes), both on a border;
    flips (lanes,), to which flips (bit moves) or changed weights are added.
    """

def block_grams(
    n: int, inputs: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], grams: npt.NDArray[np.float32]
) -> None:
    """Fill grams (columns, BLOCK, lanes) with J of each block of the n weights, its lower half, without the ridge.

    inputs: (columns / BLOCK, rows, BLOCK). weights: (rows, lanes), on a border like grams.
    """

def input_products(
    inputs: npt.NDArray[np.float32], weights: npt.NDArray[np.float64], products: npt.NDArray[np.float64]
) -> None:
    """Fill products (rows, chains) with inputs (rows, n) @ weights (n, chains); the same bits for any number of
    chains."""

def anneal_path_integral(
    couplings: npt.NDArray[np.float32],
    diagonal: npt.NDArray[np.float32],
    delta: npt.NDArray[np.float32],
    betas: npt.NDArray[np.float32],
    ring_couplings: npt.NDArray[np.float32],
    first: int,
    keys: npt.NDArray[np.uint32],
    fields: npt.NDArray[np.float32],
    levels: npt.NDArray[np.int32],
) -> int:
    """Return the flips of all slices in len(betas) path-integral sweeps of one unit.

    couplings: (n, stride >= n) rows of J. diagonal: (n,). delta: (bits,). betas: (sweeps,) beta / P of P slices.
    ring_couplings: (sweeps,) K, of a spin with itself in the next slice. first: the number of the first sweep.
    keys: (2 P + 2,), the slices' first words, their second words, and two words of the world lines.
    Updated in place: fields (n, P) h + 2 J S and levels (n, P), both on a border, P a multiple of MAX_LANES.
    """

def add_products(
    couplings: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], fields: npt.NDArray[np.float64]
) -> None:
    """Add 2 J S to fields (chains, n) in place; the same bits for any number of chains.

    couplings: (n, n) J. weights: (chains, n) S.
    """

def coordinate_descent(
    couplings: npt.NDArray[np.float64],
    center: npt.NDArray[np.float64],
    half_range: float,
    step: float,
    tolerance: float,
    max_sweeps: int,
    fields: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> int:
    """Return the sweeps of coordinate descent of S'JS + h'S in the box center +- half_range.

    couplings: (n, n) J. center: (n,). step: distance of the grid's levels, from center - half_range on, or 0 for the
    continuous box. tolerance: a sweep that gains no more than this is the last; max_sweeps is the limit.
    Updated in place: fields (n,) h + 2 J S and weights (n,) S.
    """

def beam_rows(
    columns: npt.NDArray[np.float64],
    d: npt.NDArray[np.float64],
    half_range: float,
    step: float,
    top: int,
    states: int,
    children: int,
    centres: npt.NDArray[np.float64],
    levels: npt.NDArray[np.int32],
    parents: npt.NDArray[np.int32],
    costs: npt.NDArray[np.float64],
) -> int:
    """Return how many states each unit has once a block of rows is searched, from `states` that it has.

    columns: (rows, rows), [k, l] = R_lk of the triangle. d: (rows,). Levels 0 .. top in +- half_range, a step apart.
    children: closest levels that each state is grown by.
    Updated in place: centres (units, width, rows), levels alike, parents, of the first states, and costs
    (units, width).
    """
