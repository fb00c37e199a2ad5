/* What a block of changed weights does to the fields of all.

   fields[c] += changes[:, c] @ J[block] for each chain c, a matrix product of which only the changed weights are done.
   The vectors lie along a chain's fields, so that the work is that of the chains there are, not of the lanes. Sums are
   added in the order of j, as for one chain annealed by itself. */
#ifndef ANNEALTRAIN_FIELD_UPDATE_H
#define ANNEALTRAIN_FIELD_UPDATE_H

#include "kernel.h"
#include "simd.h"

#include <stdint.h>

/* Vectors of sums held in registers. */
#define STRIP 12
#define SHARED_STRIP (LANES == 16 ? 6 : 3) /* the same, of each of four chains: AVX-512 has 32 registers */

/* The update of one chain or of four, on `vectors` vectors of their fields.
   couplings: the block's rows of J.  changed: a bit for each changed weight k.  changes: (BLOCK, LANES). */
static inline __attribute__((always_inline)) void add_changed(const int chains, const int vectors,
                                                              const struct problem *p, const float *couplings,
                                                              uint32_t changed, const float *changes, float *fields)
{
    floats sums[4][STRIP];
    /* sums = fields[:chains, :vectors] */
    UNROLL(4)
    for (int c = 0; c < chains; c++)
UNROLL(12)
        for (int v = 0; v < vectors; v++)
            sums[c][v] = ((const floats *)(fields + c * p->stride))[v];
    /* for k in changed: sums += np.outer(changes[k, :chains], J[k, :vectors]) */
    for (; changed; changed &= changed - 1) {
        const int k = __builtin_ctz(changed);
        const floats *row = (const floats *)(couplings + k * p->stride);
UNROLL(12)
        for (int v = 0; v < vectors; v++)
UNROLL(4)
            for (int c = 0; c < chains; c++)
                sums[c][v] += changes[k * LANES + c] * row[v];
    }
    /* fields[:chains, :vectors] = sums */
UNROLL(4)
    for (int c = 0; c < chains; c++)
UNROLL(12)
        for (int v = 0; v < vectors; v++)
            ((floats *)(fields + c * p->stride))[v] = sums[c][v];
}

/* The same, with the loops unrolled for each number of vectors: up to STRIP of one chain, SHARED_STRIP of four. */
static void add_changed_rows(int chains, int vectors, const struct problem *p, const float *couplings,
                                    uint32_t changed, const float *changes, float *fields)
{
#define CASE(chains, vectors) \
    case 16 * chains + vectors: \
        add_changed(chains, vectors, p, couplings, changed, changes, fields); \
        break;
    switch (16 * chains + vectors) {
        CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(1, 4) CASE(1, 5) CASE(1, 6)
        CASE(1, 7) CASE(1, 8) CASE(1, 9) CASE(1, 10) CASE(1, 11) CASE(1, 12)
        CASE(4, 1) CASE(4, 2) CASE(4, 3) CASE(4, 4) CASE(4, 5) CASE(4, 6)
    }
#undef CASE
}

/* Weights of a block that changed in any of four chains, a bit each, if those are best updated in one pass, or 0. One
   pass shares the loads of J's rows, but each chain adds the rows that changed in the others: worth it above 9/16 of
   all. */
static inline uint32_t shared_changes(const uint32_t *changed)
{
    const uint32_t any_changed = changed[0] | changed[1] | changed[2] | changed[3];
    int count = 0;
    for (int c = 0; c < 4; c++)
        count += __builtin_popcount(changed[c]);
    return 9 * __builtin_popcount(any_changed) < 4 * count ? any_changed : 0;
}

/* fields (chains, n) += changes' J[block].
   couplings: (BLOCK, stride) the block's rows of J.  changed: (chains), bit k for weight k of the block.
   changes: (BLOCK, LANES), 2 times the weights' changes; rows of weights that changed in no chain are not read. */
static void add_block(const struct problem *p, int chains, const float *couplings, const uint32_t *changed,
                             const float *changes, float *fields)
{
    const int vectors = (p->n + LANES - 1) / LANES;
    uint32_t shared[LANES / 4];
    for (int c = 0; c < chains; c += 4)
        shared[c / 4] = c + 4 <= chains ? shared_changes(changed + c) : 0;
    /* By strips of columns that fit the registers: fields[c, strip] += changes[:, c] @ J[block, strip] */
    for (int start = 0; start < vectors; start += STRIP) {
        const int end = vectors - start < STRIP ? vectors : start + STRIP;
        for (int c = 0; c < chains;) {
            const int count = shared[c / 4] ? 4 : 1, strip = count == 4 ? SHARED_STRIP : STRIP;
            const uint32_t rows = count == 4 ? shared[c / 4] : changed[c];
            for (int v = start; rows && v < end; v += strip)
                add_changed_rows(count, end - v < strip ? end - v : strip, p, couplings + v * LANES, rows,
                                 changes + c, fields + c * p->stride + v * LANES);
            c += count;
        }
    }
}

#endif
