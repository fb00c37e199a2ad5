"""Checks and loops around the C kernels; every function here releases the GIL while it works."""

cimport cython
import numpy as np
from libc.stdint cimport int32_t, uint32_t


cdef extern from "kernel.h" nogil:
    void fill_exponentials(uint32_t *state, float *out, long count)
    long metropolis_sweep(int n, int bits, const float *couplings, const float *diagonal, const float *delta,
                          float beta, const float *exponentials, float *fields, int32_t *levels)
    long metropolis_sweep_in_order(int n, int bits, const float *couplings, const float *diagonal,
                                   const float *delta, float beta, const int32_t *order,
                                   const float *exponentials, float *fields, int32_t *levels)
    int coordinate_descent_c "coordinate_descent"(
        int n, const double *couplings, const double *center, double half_range, double step,
        double tolerance, int max_sweeps, double *fields, double *weights)


def exponentials(uint32_t[::1] state, float[::1] out):
    """Fill `out` with the stream's next unit exponentials; `state` (64 words) moves on in place."""
    if state.shape[0] != 64:
        raise ValueError(f"the state of the random stream has 64 words, got {state.shape[0]}")
    if out.shape[0]:
        with nogil:
            fill_exponentials(&state[0], &out[0], out.shape[0])


@cython.boundscheck(False)
@cython.wraparound(False)
def metropolis(const float[:, ::1] couplings, const float[::1] diagonal, const float[::1] delta,
               const float[::1] betas, const int32_t[:, ::1] orders, uint32_t[::1] state,
               float[::1] buffer, float[::1] fields, int32_t[::1] levels):
    """Return the flips accepted in len(betas) Metropolis sweeps of one chain.

    couplings (n, n), diagonal (n,), delta (bits,): the problem. orders (sweeps, n * bits): a permutation of the
    spins for each sweep, or (0, n * bits) for weight after weight. buffer: at least n * bits numbers.
    state, fields, levels are updated in place.
    """
    cdef int n = <int> couplings.shape[0], bits = <int> delta.shape[0]
    cdef Py_ssize_t sweeps = betas.shape[0], k
    cdef long flips = 0
    if couplings.shape[1] != n or diagonal.shape[0] != n or fields.shape[0] != n or levels.shape[0] != n:
        raise ValueError("couplings (n, n), diagonal, fields and levels (n,) must agree")
    if state.shape[0] != 64 or buffer.shape[0] < n * bits:
        raise ValueError("the random state has 64 words and the buffer at least n * bits numbers")
    if orders.shape[0] and (orders.shape[0] != sweeps or orders.shape[1] != n * bits):
        raise ValueError("orders must hold one permutation of the spins a sweep")
    if orders.shape[0] and (np.min(orders) < 0 or np.max(orders) >= n * bits):
        raise ValueError(f"orders must hold spins from 0 to {n * bits - 1}")
    if n == 0 or bits == 0:
        return 0
    with nogil:
        for k in range(sweeps):
            fill_exponentials(&state[0], &buffer[0], n * bits)
            if orders.shape[0]:
                flips += metropolis_sweep_in_order(n, bits, &couplings[0, 0], &diagonal[0], &delta[0], betas[k],
                                                   &orders[k, 0], &buffer[0], &fields[0], &levels[0])
            else:
                flips += metropolis_sweep(n, bits, &couplings[0, 0], &diagonal[0], &delta[0], betas[k], &buffer[0],
                                          &fields[0], &levels[0])
    return flips


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
        sweeps = coordinate_descent_c(n, &couplings[0, 0], &center[0], half_range, step, tolerance, max_sweeps,
                                      &fields[0], &weights[0])
    return sweeps
