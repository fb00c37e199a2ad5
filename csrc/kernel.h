/* Plain C kernels: no Python, no allocation, no libm in the loops.
   Every exported function gives the same bits on AVX-512, AVX2 and SSE2 (see setup.py's flags). */
#ifndef ANNEALTRAIN_KERNEL_H
#define ANNEALTRAIN_KERNEL_H

#include <stdint.h>

/* One function, several instruction sets, chosen at run time by the loader. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MULTIVERSION
#endif

#define RANDOM_LANES 16

/* Fill out[0:count] with unit exponentials, -ln(u), and advance the 4 x 16 words of `state`.
   Numbers are made 16 at a time: the rest of the last 16 is dropped. */
void fill_exponentials(uint32_t *state, float *out, long count);

/* One Metropolis sweep over n weights of `bits` bits (paper Eqs. 30, 31); returns the flips accepted.
   couplings: (n, n) rows of J.  diagonal: (n) J_jj.  delta: (bits) change of the weight by bit a, 2 (L/Nb) 2^a.
   exponentials: (n * bits), one for each spin visited.
   fields: (n) h_j + 2 sum_l J_jl S_l and levels: (n) are updated in place.
   The first visits weight after weight, each from its most significant bit down; the second visits the spins
   j * bits + a in the given order (n * bits). */
long metropolis_sweep(int n, int bits, const float *couplings, const float *diagonal, const float *delta, float beta,
                      const float *exponentials, float *fields, int32_t *levels);
long metropolis_sweep_in_order(int n, int bits, const float *couplings, const float *diagonal, const float *delta,
                               float beta, const int32_t *order, const float *exponentials, float *fields,
                               int32_t *levels);

/* Coordinate descent of E(S) = S'JS + h'S over the box |S_j - S0_j| <= half_range, each coordinate set to
   its own minimum; step > 0 keeps to the grid S0 - half_range + step * u, step = 0 is the continuous box.
   fields: (n) h + 2 J S, at the S given.  Stops when a whole sweep gains no more than `tolerance`.
   Returns the sweeps done; S and fields are updated in place. */
int coordinate_descent(int n, const double *couplings, const double *center, double half_range, double step,
                       double tolerance, int max_sweeps, double *fields, double *weights);

#endif
