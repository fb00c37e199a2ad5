/* Plain C kernels: no Python, no allocation, no libm in the loops.

   A chain is one read of one unit: n weights of `bits` bits. Chains are annealed one at a time (`anneal_chain`) or side
   by side in the lanes of vector registers (`anneal_lanes`), and give the same bits either way, on every instruction
   set: each has its own counter-based random numbers, and floats are added in the same order. */
#ifndef ANNEALTRAIN_KERNEL_H
#define ANNEALTRAIN_KERNEL_H

#include <stdint.h>

/* Constants that Python shares: the compiled module exports them under these names. */
#define BLOCK 32       /* weights that are visited one after the other before the fields of all others are updated */
#define MAX_LANES 16   /* lanes of the widest kernel: the floats of a cache line (64 bytes), a multiple of all lanes */
#define ROW_GROUP 8    /* the rows of shared inputs are filled up to a multiple of it */
#define MIRRORED 0.75f /* share of slice moves that go to the mirror image of their level, see moves.h */
#define FROZEN 28.0f   /* beta dE from which Metropolis accepts no flip: its smallest random number is above exp(-28) */

enum move { MOVE_BIT, MOVE_SLICE, MOVE_GREEDY };

/* What all chains of a call share.
   couplings: (n, stride) float32 rows of J, zeros beyond n, on 64-byte borders; the stride is a multiple of
   MAX_LANES. */
struct problem {
    int n, bits;
    long stride;
    const float *couplings;
    const float *diagonal; /* (n) J_jj */
    const float *delta;    /* (bits) change of a weight by bit a: 2 (L/Nb) 2^a */
    enum move move;
};

/* One chain, `sweeps` sweeps from number `first` on; returns the flips (MOVE_BIT) or changed weights.
   order: (sweeps, n bits) spins, or NULL for weight after weight, in blocks of BLOCK in the order of block_order.
   betas: (sweeps).  key: (2) words of the random stream.  buffer: (2 n bits + 256) floats.
   fields: (n) h_j + 2 sum_l J_jl S_l and levels: (n) are updated in place. */
typedef int64_t chain_function(const struct problem *problem, const int32_t *order, const float *betas, int first,
                               int sweeps, const uint32_t *key, float *buffer, float *fields, int32_t *levels);

/* The same for `chains` chains side by side, at most as many as there are lanes; lanes beyond repeat the first chain.
   betas: (sweeps, lanes).  keys: (2, lanes).  fields: (chains, stride).  levels: (n, lanes).
   buffer: 64 lanes floats.  flips: (lanes), added to. */
typedef void lanes_function(const struct problem *problem, int chains, const float *betas, int first, int sweeps,
                            const uint32_t *keys, float *buffer, float *fields, int32_t *levels, int32_t *flips);

/* `lanes` chains that share the inputs X of a least-squares layer, but not their J = X' diag(w) X + ridge I.
   inputs: (columns / BLOCK, rows, BLOCK) X in column blocks, columns = n rounded up to BLOCK, rows a multiple of
   ROW_GROUP, zeros beyond.  weights: (rows, lanes) w = gamma^2 / Q.  grams: (columns, BLOCK, lanes), from block_grams.
   ridges: (lanes).  residuals: (rows, lanes) 2 w X S + ..., so that f = X' residuals + 2 ridge (S - S0).
   Otherwise as lanes_function. */
typedef void shared_inputs_function(const struct problem *problem, int rows, const float *inputs, const float *weights,
                                    const float *grams, const float *ridges, float half_range, const float *betas,
                                    int first, int sweeps, const uint32_t *keys, float *buffer, float *residuals,
                                    int32_t *levels, int32_t *flips);

/* Simulated quantum annealing of one unit: `slices` (a multiple of MAX_LANES) replicas in a ring of imaginary time.
   betas: (sweeps) beta / P.  ring_couplings: (sweeps) K, of a spin with itself in the next
   slice.  keys: (2, slices) of the slices' random streams, then (2) of the world lines'.
   buffer: 64 (slices + 1) + slices + 2 floats.  fields, levels: (n, slices), updated in place.  Returns the flips. */
typedef int64_t path_integral_function(const struct problem *problem, int slices, const float *betas,
                                       const float *ring_couplings, int first, int sweeps, const uint32_t *keys,
                                       float *buffer, float *fields, int32_t *levels);

/* The kernels of one instruction set. */
struct kernel {
    const char *name;
    int lanes;
    chain_function *anneal_chain;
    lanes_function *anneal_lanes;
    shared_inputs_function *anneal_shared_inputs;
    /* Fill grams: J of each block of BLOCK weights, without the ridge. */
    void (*block_grams)(int n, int rows, const float *inputs, const float *weights, float *grams);
    path_integral_function *anneal_path_integral;
    /* Fill out[0:count] with a sweep's unit exponentials; a uniform number after each of them if is_slice. */
    void (*random_numbers)(const uint32_t *key, int sweep, int is_slice, int count, float *out);
    /* Fill out[0:count] with a sweep's uniform numbers of bit moves. */
    void (*random_uniforms)(const uint32_t *key, int sweep, int count, double *out);
    /* Fill order (n / BLOCK, rounded up) with a sweep's order of the blocks of BLOCK weights. */
    void (*block_order)(int n, int sweep, int32_t *order);
    /* fields (chains, n) += 2 J weights (chains, n), in the order of j: the same bits for any number of chains. */
    void (*add_products)(int n, int chains, const double *couplings, const double *weights, double *fields);
    /* products (rows, chains) = X S, X (rows, n) float32, weights S (n, chains), in the order of j. */
    void (*input_products)(int n, int rows, int chains, const float *inputs, const double *weights, double *products);
    /* Coordinate descent of E(S) = S'JS + h'S over the box |S_j - S0_j| <= half_range, each coordinate set to
       its own minimum; step > 0 keeps to the grid S0 - half_range + step * u, step = 0 is the continuous box.
       fields: (n) h + 2 J S, at the S given.  Stops when a whole sweep gains no more than `tolerance`.
       Returns the sweeps done; S and fields are updated in place. */
    int (*coordinate_descent)(int n, const double *couplings, const double *center, double half_range, double step,
                              double tolerance, int max_sweeps, double *fields, double *weights);

    /* The `width` best assignments of `rows` more weights of one unit, the last first, from `states` that there are;
       each is grown by its `children` closest levels.  Returns how many there are then.
       columns: (rows, rows), [k, l] = R_lk of the triangle.  d: (rows).  Offsets of levels 0 .. top in +- half_range.
       centres: (width, rows) where the weights would be without a grid, written over.  levels: (width, rows), set.
       parents: (width), set: which of the first states each comes from.  costs: (width).
       real_buffer: 2 width children + width rows.  whole_buffer: width (children + 1 + 2 rows). */
    int (*beam_rows)(int rows, int states, int width, int children, const double *columns, const double *d,
                     double half_range, double step, int top, double *centres, int32_t *levels, int32_t *parents,
                     double *costs, double *real_buffer, int32_t *whole_buffer);
};

/* Return kernel number `index` of those built, widest first, or NULL; whether this machine can run it in `usable`. */
const struct kernel *kernel_at(int index, int *usable);

#endif
