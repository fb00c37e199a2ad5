/* Sweeps of LANES chains that share their inputs, but not J: the residual form.

   For units that share their inputs X but not their J = X' diag(w) X + ridge I, w = gamma^2 / Q. What is kept between
   weights is the residual e = 2 w X S + ..., with f = X'e + 2 ridge (S - S0), and J only in blocks of BLOCK weights on
   its diagonal. All arrays end in LANES; inputs are (columns / BLOCK, rows, BLOCK), one block of columns is
   (rows, BLOCK). */
#ifndef ANNEALTRAIN_SHARED_INPUTS_H
#define ANNEALTRAIN_SHARED_INPUTS_H

#include "kernel.h"
#include "moves.h"
#include "simd.h"

#include <stdint.h>
#include <string.h>

/* gram (BLOCK, BLOCK, LANES), its lower half. */
static void block_gram(int rows, const float *restrict inputs, const floats *restrict weights, floats *restrict gram)
{
    /* gram = np.einsum("ac,aj,ai->jic", weights, inputs, inputs), in tiles of 4 by 4 */
    for (int j = 0; j < BLOCK; j += 4)
        for (int i = 0; i <= j; i += 4) {
            floats sums[4][4] = {};
            for (int a = 0; a < rows; a++) {
                const float *x = inputs + (long)a * BLOCK;
                for (int r = 0; r < 4; r++) {
                    const floats scaled = x[j + r] * weights[a];
                    for (int c = 0; c < 4; c++)
                        sums[r][c] += x[i + c] * scaled;
                }
            }
            for (int r = 0; r < 4; r++)
                for (int c = 0; c < 4; c++)
                    gram[(j + r) * BLOCK + i + c] = sums[r][c];
        }
}

/* fields: (BLOCK, LANES).  residuals: (rows, LANES). */
static void block_fields(int rows, const float *restrict inputs, const floats *restrict residuals,
                         floats *restrict fields)
{
    /* fields = inputs.T @ residuals, 8 weights at a time */
    for (int j = 0; j < BLOCK; j += 8) {
        floats sums[8] = {};
        for (int a = 0; a < rows; a++)
    UNROLL(8)
            for (int r = 0; r < 8; r++)
                sums[r] += inputs[(long)a * BLOCK + j + r] * residuals[a];
        memcpy(fields + j, sums, sizeof sums);
    }
}

/* changes: (BLOCK, LANES), 2 times the weights' changes.  weights, residuals: (rows, LANES). */
static void block_residuals(int rows, const float *restrict inputs, const floats *restrict changes,
                            const floats *restrict weights, floats *restrict residuals)
{
    /* residuals += weights * (inputs @ changes), ROW_GROUP rows at a time */
    for (int a = 0; a < rows; a += ROW_GROUP) {
        floats sums[ROW_GROUP] = {};
        for (int j = 0; j < BLOCK; j++)
UNROLL(8)
            for (int r = 0; r < ROW_GROUP; r++)
                sums[r] += inputs[(long)(a + r) * BLOCK + j] * changes[j];
        for (int r = 0; r < ROW_GROUP; r++)
            residuals[a + r] += weights[a + r] * sums[r];
    }
}

/* Fill grams (columns, BLOCK, LANES) for all blocks of columns. */
static void block_grams(int n, int rows, const float *inputs, const float *weights, float *grams)
{
    for (int start = 0; start < n; start += BLOCK)
        block_gram(rows, inputs + (long)start * rows, (const floats *)weights,
                   (floats *)grams + (long)start * BLOCK);
}

/* See shared_inputs_function. */
static void anneal_shared_inputs(const struct problem *p, int rows, const float *inputs, const float *all_weights,
                                 const float *all_grams, const float *all_ridges, float half_range, const float *betas,
                                 int first, int sweeps, const uint32_t *keys, float *buffer, float *all_residuals,
                                 int32_t *all_levels, int32_t *flips)
{
    const floats *weights = (const floats *)all_weights, *grams = (const floats *)all_grams;
    floats *residuals = (floats *)all_residuals, ridge;
    ints *levels = (ints *)all_levels;
    struct state_lanes state = begin_lanes(keys, buffer, flips);
    memcpy(&ridge, all_ridges, sizeof ridge);
    for (int s = 0; s < sweeps; s++) {
        begin_sweep_lanes(&state, betas, s, first);
        int32_t order[block_count(p->n)];
        block_order(p->n, first + s, order);
        for (int b = 0; b < block_count(p->n); b++) {
            const int start = order[b] * BLOCK;
            const float *block = inputs + (long)start * rows;
            const floats *gram = grams + (long)start * BLOCK;
            floats changes[BLOCK], fields[BLOCK];
            block_fields(rows, block, residuals, fields);
            for (int k = 0; k < BLOCK; k++) {
                const int j = start + k;
                changes[k] = splat(0.0f);
                if (j >= p->n)
                    continue;
                /* field = fields[k] + 2 * ridge * (S - S0)[j] + gram[k, :k] @ changes[:k] */
                const floats away = to_floats(levels[j]) * p->delta[0] - half_range;
                floats field = fields[k] + 2.0f * ridge * away;
                for (int i = 0; i < k; i++)
                    field += gram[k * BLOCK + i] * changes[i];
                changes[k] = visit_lanes(p, &state, gram[k * BLOCK + k] + ridge, field, levels + j);
            }
            block_residuals(rows, block, changes, weights, residuals);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}

#endif
