"""Checks and loops around the C kernels; every function here releases the GIL while it works."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uintptr_t

from kernel cimport (BLOCK_C, FROZEN_C, MAX_LANES_C, MIRRORED_C, MOVE_BIT, MOVE_GREEDY, MOVE_SLICE, POOL_C,
                     ROW_GROUP_C, kernel, kernel_at, move_t, pool_after, problem, seed_chain, seed_pool)

import numpy as np

# See kernel.h.
BLOCK, MAX_LANES, ROW_GROUP, MIRRORED, FROZEN = BLOCK_C, MAX_LANES_C, ROW_GROUP_C, MIRRORED_C, FROZEN_C
MOVES = {"bit": MOVE_BIT, "slice": MOVE_SLICE, "greedy": MOVE_GREEDY}

cdef const kernel *_kernel = NULL


def kernels():
    """Return the names of the kernels that this machine can run, widest first."""
    cdef int index = 0, usable = 0
    cdef const kernel *candidate
    names = []
    while True:
        candidate = kernel_at(index, &usable)
        if candidate == NULL:
            return names
        if usable:
            names.append(candidate.name.decode())
        index += 1


def use_kernel(str name):
    """Anneal with this kernel from now on (all give the same results); ValueError if the machine cannot run it."""
    global _kernel
    cdef int index = 0, usable = 0
    cdef const kernel *candidate
    while True:
        candidate = kernel_at(index, &usable)
        if candidate == NULL:
            raise ValueError(f"no kernel {name!r} runs on this machine: choose one of {', '.join(kernels())}")
        if usable and candidate.name.decode() == name:
            _kernel = candidate
            return
        index += 1


use_kernel(kernels()[0])


def lanes():
    """Return how many chains the kernel in use anneals side by side."""
    return _kernel.lanes


def random_numbers(const uint32_t[::1] key, int sweep, float[::1] out, bint is_slice=False):
    """Fill `out` with a sweep's unit exponentials of the chain with this key (2 words), for slice moves with a
    uniform number after each."""
    if key.shape[0] != 2:
        raise ValueError(f"the key of a random stream has 2 words, got {key.shape[0]}")
    if out.shape[0]:
        with nogil:
            _kernel.random_numbers(&key[0], sweep, is_slice, <int> out.shape[0], &out[0])


def random_uniforms(const uint32_t[::1] key, int sweep, double[::1] out):
    """Fill `out` with a sweep's uniform numbers of the chain with this key (2 words), for bit moves."""
    if key.shape[0] != 2:
        raise ValueError(f"the key of a random stream has 2 words, got {key.shape[0]}")
    if out.shape[0]:
        with nogil:
            _kernel.random_uniforms(&key[0], sweep, <int> out.shape[0], &out[0])


def visit_order(int n, int sweep):
    """Return the order (n,) in which a sweep visits n weights: block after block, another order of them each sweep."""
    cdef int32_t[::1] order = np.empty((n + BLOCK_C - 1) // BLOCK_C, dtype=np.int32)
    if n > 0:
        _kernel.block_order(n, sweep, &order[0])
    weights = (np.asarray(order)[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    return weights[weights < n]


@cython.boundscheck(False)
@cython.wraparound(False)
def anneal_chain(const float[:, ::1] couplings, const float[::1] diagonal, const float[::1] delta, int move,
                 const float[::1] betas, const int32_t[:, ::1] orders, int first, const uint32_t[::1] key,
                 float[::1] fields, int32_t[::1] levels):
    """Return the flips accepted in len(betas) sweeps of one chain, the first of them its sweep number `first`.

    couplings (n, stride): rows of J, see kernel.h. diagonal (n,), delta (bits,): the problem. orders
    (sweeps, n * bits): a permutation of the spins for each sweep, or (0, n * bits) for weight after weight.
    fields, levels (n,) are updated in place.
    """
    cdef problem shared
    cdef Py_ssize_t n = diagonal.shape[0], bits = delta.shape[0]
    cdef const int32_t *order = NULL
    cdef int64_t flips
    if couplings.shape[0] != n or couplings.shape[1] < n or fields.shape[0] != n or levels.shape[0] != n:
        raise ValueError("couplings (n, stride), diagonal, fields and levels (n,) must agree")
    if key.shape[0] != 2:
        raise ValueError(f"the key of a random stream has 2 words, got {key.shape[0]}")
    if orders.shape[0]:
        if move != MOVE_BIT:
            raise ValueError("orders are for bit moves: other moves visit weight after weight")
        if orders.shape[0] != betas.shape[0] or orders.shape[1] != n * bits:
            raise ValueError("orders must hold one permutation of the spins a sweep")
        if np.min(orders) < 0 or np.max(orders) >= n * bits:
            raise ValueError(f"orders must hold spins from 0 to {n * bits - 1}")
        order = &orders[0, 0]
    if n == 0 or bits == 0 or betas.shape[0] == 0:
        return 0
    cdef float[::1] buffer = np.empty(2 * n * bits + 256, dtype=np.float32)
    shared.n, shared.bits, shared.diagonal, shared.delta = <int> n, <int> bits, &diagonal[0], &delta[0]
    shared.couplings, shared.stride, shared.move = &couplings[0, 0], couplings.shape[1], <move_t> move
    with nogil:
        flips = _kernel.anneal_chain(&shared, order, &betas[0], first, <int> betas.shape[0], &key[0], &buffer[0],
                                     &fields[0], &levels[0])
    return flips


@cython.boundscheck(False)
@cython.wraparound(False)
def chain_seeds(const uint32_t[:, ::1] pools, int hashed, Py_ssize_t reads, Py_ssize_t first, int bits,
                uint32_t[:, ::1] keys, int32_t[:, ::1] levels):
    """Fill keys (chains, 2) and, where bits > 0, levels (chains, n) of chains first, first + 1, ...

    Chain c is read c % reads of unit c // reads, whose SeedSequence has the pool pools[c // reads] (4 words) after
    `hashed` words. See chain_seeds.h.
    """
    cdef Py_ssize_t chain, chains = keys.shape[0], n = levels.shape[1]
    cdef seed_pool pool
    cdef int32_t *own_levels = NULL
    if pools.shape[1] != POOL_C or keys.shape[1] != 2 or levels.shape[0] != chains or not 0 <= bits <= 16:
        raise ValueError("pools (units, 4), keys (chains, 2) and levels (chains, n) must agree, bits be 0 to 16")
    if reads < 1 or first < 0 or hashed < POOL_C or first + chains > pools.shape[0] * reads:
        raise ValueError(f"pools hold {pools.shape[0]} units of {reads} reads, asked for {chains} from {first} on")
    with nogil:
        for chain in range(chains):
            pool = pool_after(&pools[(first + chain) // reads, 0], hashed)
            own_levels = &levels[chain, 0] if n else NULL
            seed_chain(pool, <uint32_t> ((first + chain) % reads), bits, <int> n, &keys[chain, 0], own_levels)


@cython.boundscheck(False)
@cython.wraparound(False)
def start_fields(const double[:, ::1] couplings, const double[:, ::1] h, const double[:, ::1] centres,
                 const Py_ssize_t[::1] live, double half_step, int top, Py_ssize_t reads, Py_ssize_t first,
                 const int32_t[:, ::1] levels, float[:, ::1] fields):
    """Fill fields (chains, stride) of chains first, first + 1, ... with h + 2 J S at their levels, see `chain_seeds`.

    couplings (N, N), h and centres S0 (units, N), live (n,): the weights that levels (chains, n) are of. A weight is
    S0 + half_step (2 level - top); the others count as 0.
    """
    cdef Py_ssize_t N = couplings.shape[0], n = live.shape[0], chains = levels.shape[0], start, chain, unit, own, j
    cdef double[:, ::1] weights = np.zeros((16, N)), sums = np.empty((16, N))
    if (couplings.shape[1] != N or h.shape[1] != N or centres.shape[0] != h.shape[0] or centres.shape[1] != N
            or levels.shape[1] != n or fields.shape[0] != chains or fields.shape[1] < n):
        raise ValueError("couplings (N, N), h, centres (units, N), levels (chains, n) and fields must agree")
    if n and (np.min(live) < 0 or np.max(live) >= N):
        raise ValueError(f"live must hold weights from 0 to {N - 1}")
    if reads < 1 or first < 0 or first + chains > h.shape[0] * reads:
        raise ValueError(f"h has {h.shape[0]} units of {reads} reads, asked for {chains} from {first} on")
    if n == 0:
        return
    with nogil:
        for start in range(0, chains, 16):
            own = min(16, chains - start)
            for chain in range(own):
                unit = (first + start + chain) // reads
                for j in range(N):
                    sums[chain, j] = h[unit, j]
                for j in range(n):
                    weights[chain, live[j]] = centres[unit, live[j]] + half_step * (
                        2.0 * levels[start + chain, j] - top)
            _kernel.add_products(<int> N, <int> own, &couplings[0, 0], &weights[0, 0], &sums[0, 0])
            for chain in range(own):
                for j in range(n):
                    fields[start + chain, j] = <float> sums[chain, live[j]]


@cython.boundscheck(False)
@cython.wraparound(False)
def anneal_lanes(const float[:, ::1] couplings, const float[::1] diagonal, const float[::1] delta, int move,
                 const float[:, :, ::1] betas, int first, int last, const uint32_t[:, :, ::1] keys,
                 float[:, ::1] fields, int32_t[:, :, ::1] levels, int64_t[:, ::1] flips):
    """Anneal chains in groups of lanes() side by side, sweeps first .. last - 1 of theirs.

    couplings (n, stride): rows of J, see kernel.h. betas (groups or 1, sweeps, lanes), keys (groups, 2, lanes), lanes
    beyond the chains like the first of their group. fields (chains, stride) and levels (groups, at least n, lanes),
    each group of them on a 64-byte border, and flips (groups, lanes), added to, are updated in place.
    """
    cdef problem shared
    cdef Py_ssize_t n = diagonal.shape[0], wide = _kernel.lanes, chains = fields.shape[0], stride = couplings.shape[1]
    cdef Py_ssize_t groups = levels.shape[0], group, lane, own, of_betas = betas.shape[0]
    cdef int32_t counted[MAX_LANES_C]
    if (couplings.shape[0] != n or stride < n or stride % MAX_LANES_C or fields.shape[1] != stride
            or levels.shape[1] < n or levels.shape[1] * wide % MAX_LANES_C or chains > groups * wide
            or chains <= (groups - 1) * wide):
        raise ValueError(f"couplings (n, stride), fields (chains, stride) and levels (groups, n, lanes) must agree, "
                         f"the stride and the size of a group be multiples of {MAX_LANES}")
    if (betas.shape[2] != wide or keys.shape[1] != 2 or keys.shape[2] != wide or levels.shape[2] != wide
            or flips.shape[1] != wide or keys.shape[0] != groups or flips.shape[0] != groups
            or of_betas not in (1, groups)):
        raise ValueError(f"betas, keys, levels and flips must be {wide} lanes wide, and of {groups} groups")
    if not 0 <= first <= last <= betas.shape[1]:
        raise ValueError(f"sweeps {first} to {last}: betas has {betas.shape[1]}")
    if n == 0 or chains == 0 or delta.shape[0] == 0 or first == last:
        return
    if (<uintptr_t> &couplings[0, 0] % 64 or <uintptr_t> &fields[0, 0] % 64 or <uintptr_t> &levels[0, 0, 0] % 64):
        raise ValueError("couplings, fields and levels must lie on 64-byte borders")
    cdef float[::1] buffer = _aligned(64 * wide)
    shared.n, shared.bits, shared.diagonal, shared.delta = <int> n, <int> delta.shape[0], &diagonal[0], &delta[0]
    shared.couplings, shared.stride, shared.move = &couplings[0, 0], stride, <move_t> move
    with nogil:
        for group in range(groups):
            own = min(wide, chains - group * wide)
            for lane in range(wide):
                counted[lane] = 0
            _kernel.anneal_lanes(&shared, <int> own, &betas[group if of_betas > 1 else 0, first, 0], first,
                                 last - first, &keys[group, 0, 0], &buffer[0], &fields[group * wide, 0],
                                 &levels[group, 0, 0], &counted[0])
            for lane in range(own):
                flips[group, lane] += counted[lane]


@cython.boundscheck(False)
@cython.wraparound(False)
def anneal_shared_inputs(const float[:, :, ::1] inputs, const float[:, ::1] weights, const float[:, :, ::1] grams,
                         const float[::1] ridges, float half_range, const float[::1] delta, int move,
                         const float[:, ::1] betas, int first, const uint32_t[:, ::1] keys, float[:, ::1] residuals,
                         int32_t[:, ::1] levels, int32_t[::1] flips):
    """Anneal lanes() chains that share their inputs but not their J, for len(betas) sweeps, see kernel.h.

    inputs (columns / BLOCK, rows, BLOCK). weights, residuals (rows, lanes), grams (columns, BLOCK, lanes) and levels
    (n, lanes), all on 64-byte borders. ridges, flips (lanes,). betas (sweeps, lanes), keys (2, lanes).
    residuals, levels and flips are updated in place.
    """
    cdef problem shared
    cdef Py_ssize_t n = levels.shape[0], wide = _kernel.lanes, rows = inputs.shape[1]
    cdef Py_ssize_t blocks = (n + BLOCK_C - 1) // BLOCK_C
    if (inputs.shape[0] != blocks or inputs.shape[2] != BLOCK_C or rows % ROW_GROUP_C or weights.shape[0] != rows
            or residuals.shape[0] != rows or grams.shape[0] != blocks * BLOCK_C or grams.shape[1] != BLOCK_C):
        raise ValueError(f"inputs (columns / {BLOCK}, rows, {BLOCK}), weights, residuals (rows, lanes) and grams must "
                         f"agree, the rows be a multiple of {ROW_GROUP}")
    if (weights.shape[1] != wide or residuals.shape[1] != wide or grams.shape[2] != wide or ridges.shape[0] != wide
            or betas.shape[1] != wide or keys.shape[0] != 2 or keys.shape[1] != wide or levels.shape[1] != wide
            or flips.shape[0] != wide):
        raise ValueError(f"weights, residuals, grams, ridges, betas, keys, levels and flips must be {wide} lanes wide")
    if n == 0 or rows == 0 or delta.shape[0] == 0 or betas.shape[0] == 0:
        return
    if (<uintptr_t> &weights[0, 0] % 64 or <uintptr_t> &residuals[0, 0] % 64 or <uintptr_t> &grams[0, 0, 0] % 64
            or <uintptr_t> &levels[0, 0] % 64):
        raise ValueError("weights, residuals, grams and levels must lie on 64-byte borders")
    cdef float[::1] buffer = _aligned(64 * wide)
    shared.n, shared.bits, shared.diagonal, shared.delta = <int> n, <int> delta.shape[0], NULL, &delta[0]
    shared.couplings, shared.stride = NULL, 0
    shared.move = <move_t> move
    with nogil:
        _kernel.anneal_shared_inputs(&shared, <int> rows, &inputs[0, 0, 0], &weights[0, 0], &grams[0, 0, 0],
                                     &ridges[0], half_range, &betas[0, 0], first, <int> betas.shape[0], &keys[0, 0],
                                     &buffer[0], &residuals[0, 0], &levels[0, 0], &flips[0])


def block_grams(int n, const float[:, :, ::1] inputs, const float[:, ::1] weights, float[:, :, ::1] grams):
    """Fill grams (columns, BLOCK, lanes) with J of each block of the n weights; arguments as in
    anneal_shared_inputs."""
    cdef Py_ssize_t wide = _kernel.lanes, blocks = (n + BLOCK_C - 1) // BLOCK_C, rows = inputs.shape[1]
    if (inputs.shape[0] != blocks or inputs.shape[2] != BLOCK_C or weights.shape[0] != rows
            or weights.shape[1] != wide or grams.shape[0] != blocks * BLOCK_C or grams.shape[1] != BLOCK_C
            or grams.shape[2] != wide):
        raise ValueError(f"inputs (columns / {BLOCK}, rows, {BLOCK}), weights (rows, lanes) and grams must agree")
    if n == 0 or rows == 0:
        return
    if <uintptr_t> &weights[0, 0] % 64 or <uintptr_t> &grams[0, 0, 0] % 64:
        raise ValueError("weights and grams must lie on 64-byte borders")
    with nogil:
        _kernel.block_grams(n, <int> rows, &inputs[0, 0, 0], &weights[0, 0], &grams[0, 0, 0])


def input_products(const float[:, ::1] inputs, const double[:, ::1] weights, double[:, ::1] products):
    """Fill products (rows, chains) with inputs (rows, n) @ weights (n, chains); the same bits for any number of
    chains."""
    if (weights.shape[0] != inputs.shape[1] or products.shape[0] != inputs.shape[0]
            or products.shape[1] != weights.shape[1]):
        raise ValueError("inputs (rows, n), weights (n, chains) and products (rows, chains) must agree")
    if inputs.shape[0] and inputs.shape[1] and weights.shape[1]:
        with nogil:
            _kernel.input_products(<int> inputs.shape[1], <int> inputs.shape[0], <int> weights.shape[1], &inputs[0, 0],
                                   &weights[0, 0], &products[0, 0])


@cython.boundscheck(False)
@cython.wraparound(False)
def anneal_path_integral(const float[:, ::1] couplings, const float[::1] diagonal, const float[::1] delta,
                         const float[::1] betas, const float[::1] ring_couplings, int first,
                         const uint32_t[::1] keys, float[:, ::1] fields, int32_t[:, ::1] levels):
    """Return the flips of len(betas) path-integral sweeps of one unit, the first of them its sweep number `first`.

    couplings (n, stride): rows of J. diagonal (n,), delta (bits,): the problem. betas, ring_couplings (sweeps,):
    beta / P and K. keys (2 slices + 2,): two words for each slice (first words first), and two for the world lines.
    fields, levels (n, slices), both on 64-byte borders, slices a multiple of MAX_LANES, are updated in place.
    """
    cdef problem shared
    cdef Py_ssize_t n = diagonal.shape[0], slices = levels.shape[1]
    cdef int64_t flips
    if couplings.shape[0] != n or couplings.shape[1] < n or fields.shape[0] != n or levels.shape[0] != n:
        raise ValueError("couplings (n, stride), diagonal (n,), fields and levels (n, slices) must agree")
    if fields.shape[1] != slices or slices % MAX_LANES_C or keys.shape[0] != 2 * slices + 2:
        raise ValueError(f"fields and levels need a multiple of {MAX_LANES} slices, keys two words a slice and two "
                         "more")
    if ring_couplings.shape[0] != betas.shape[0]:
        raise ValueError("betas and ring_couplings must hold one number a sweep")
    if n == 0 or slices == 0 or delta.shape[0] == 0 or betas.shape[0] == 0:
        return 0
    if <uintptr_t> &fields[0, 0] % 64 or <uintptr_t> &levels[0, 0] % 64:
        raise ValueError("fields and levels must lie on 64-byte borders")
    cdef float[::1] buffer = _aligned(64 * (slices + 1) + slices + 2)
    shared.n, shared.bits, shared.diagonal, shared.delta = <int> n, <int> delta.shape[0], &diagonal[0], &delta[0]
    shared.couplings, shared.stride, shared.move = &couplings[0, 0], couplings.shape[1], MOVE_BIT
    with nogil:
        flips = _kernel.anneal_path_integral(&shared, <int> slices, &betas[0], &ring_couplings[0], first,
                                             <int> betas.shape[0], &keys[0], &buffer[0], &fields[0, 0], &levels[0, 0])
    return flips


def _aligned(Py_ssize_t size):
    """Return `size` floats on a 64-byte border."""
    storage = np.empty(size + 16, dtype=np.float32)
    return storage[-(storage.ctypes.data // 4) % 16:]


def add_products(const double[:, ::1] couplings, const double[:, ::1] weights, double[:, ::1] fields):
    """Add 2 J S to the fields (chains, n) of chains with weights S (chains, n); the same bits for any number."""
    cdef int n = <int> couplings.shape[0], chains = <int> weights.shape[0]
    if couplings.shape[1] != n or weights.shape[1] != n or fields.shape[1] != n or fields.shape[0] != chains:
        raise ValueError("couplings (n, n), weights and fields (chains, n) must agree")
    if n and chains:
        with nogil:
            _kernel.add_products(n, chains, &couplings[0, 0], &weights[0, 0], &fields[0, 0])


def coordinate_descent(const double[:, ::1] couplings, const double[::1] center, double half_range, double step,
                       double tolerance, int max_sweeps, double[::1] fields, double[::1] weights):
    """Return the sweeps done by coordinate descent in the box center +- half_range (on its grid if step > 0).

    couplings (n, n), center (n,). fields (n,) = h + 2 J S and weights (n,) = S are updated in place.
    """
    cdef int n = <int> couplings.shape[0], sweeps
    if couplings.shape[1] != n or center.shape[0] != n or fields.shape[0] != n or weights.shape[0] != n:
        raise ValueError("couplings (n, n), center, fields and weights (n,) must agree")
    if n == 0:
        return 0
    with nogil:
        sweeps = _kernel.coordinate_descent(n, &couplings[0, 0], &center[0], half_range, step, tolerance, max_sweeps,
                                            &fields[0], &weights[0])
    return sweeps


def beam_rows(const double[:, ::1] columns, const double[::1] d, double half_range, double step, int top, int states,
              int children, double[:, :, ::1] centres, int32_t[:, :, ::1] levels, int32_t[:, ::1] parents,
              double[:, ::1] costs):
    """Return how many states each unit has once a block of rows is searched, from `states` that it has.

    columns (rows, rows), [k, l] = R_lk; d (rows,); levels 0 .. top in +- half_range, a step apart. In place, for units:
    centres (units, width, rows), levels alike, parents and costs (units, width).
    """
    cdef int units = <int> centres.shape[0], width = <int> centres.shape[1], rows = <int> centres.shape[2], i, found = 0
    if (columns.shape[0] != rows or columns.shape[1] != rows or d.shape[0] != rows or levels.shape[0] != units
            or levels.shape[1] != width or levels.shape[2] != rows or parents.shape[0] != units
            or parents.shape[1] != width or costs.shape[0] != units or costs.shape[1] != width):
        raise ValueError("columns (rows, rows), d (rows,), centres and levels (units, width, rows), parents and costs "
                         "(units, width) must agree")
    if not (1 <= states <= width and 1 <= children <= top + 1 and rows and units):
        raise ValueError(f"{states} states of {width}, {children} children of {top + 1} levels: there must be some")
    cdef Py_ssize_t most = <Py_ssize_t> width * children, area = <Py_ssize_t> width * rows
    if most > 2**31 - 1:
        raise ValueError(f"{width} states with {children} children each are more than 2^31 - 1 at once")
    cdef double[::1] real_buffer = np.empty(2 * most + area)
    cdef int32_t[::1] whole_buffer = np.empty(most + width + 2 * area, dtype=np.int32)
    with nogil:
        for i in range(units):
            found = _kernel.beam_rows(rows, states, width, children, &columns[0, 0], &d[0], half_range, step, top,
                                      &centres[i, 0, 0], &levels[i, 0, 0], &parents[i, 0], &costs[i, 0],
                                      &real_buffer[0], &whole_buffer[0])
    return found
