/* What a block of changed weights does to the fields of all. Included once for each instruction set, after moves.h.

   fields (chains, stride) += J[:, block] changes, a matrix product of which only the changed weights are done. The
   vectors lie along a chain's fields, so that the work is that of the chains there are, not of the lanes. Sums are
   added in the order of j, as for one chain alone. */

#define STRIP 12 /* vectors of sums held in registers */
#define SHARED_STRIP (LANES == 16 ? 6 : 3) /* the same, of each of four chains: AVX-512 has 32 registers */

/* `vectors` vectors of `chains` chains' fields += the changed rows of J (a bit each) times their changes. */
static inline __attribute__((always_inline)) void add_changed(const int chains, const int vectors,
                                                              const struct problem *p, const float *couplings,
                                                              uint32_t changed, const float *changes, float *fields)
{
    floats sums[4][STRIP];
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++)
#pragma GCC unroll 12
        for (int v = 0; v < vectors; v++)
            sums[c][v] = ((const floats *)(fields + c * p->stride))[v];
    for (; changed; changed &= changed - 1) {
        const int k = __builtin_ctz(changed);
        const floats *row = (const floats *)(couplings + k * p->stride);
#pragma GCC unroll 12
        for (int v = 0; v < vectors; v++)
#pragma GCC unroll 4
            for (int c = 0; c < chains; c++)
                sums[c][v] += changes[k * LANES + c] * row[v];
    }
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++)
#pragma GCC unroll 12
        for (int v = 0; v < vectors; v++)
            ((floats *)(fields + c * p->stride))[v] = sums[c][v];
}

/* The same for one or four chains, with the loops unrolled for each number of vectors. */
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

/* Weights of a block that changed in any of four chains, if those are best updated together, or 0. They share the
   loads of J's rows, but each adds the rows that changed in the others: worth it above 9/16 of all. */
static inline uint32_t shared_changes(const uint32_t *changed)
{
    const uint32_t any = changed[0] | changed[1] | changed[2] | changed[3];
    int count = 0;
    for (int c = 0; c < 4; c++)
        count += __builtin_popcount(changed[c]);
    return 9 * __builtin_popcount(any) < 4 * count ? any : 0;
}

/* couplings: the block's rows of J.  changed: (chains), a bit a weight.  changes: (BLOCK, LANES), where changed. */
static void add_block(const struct problem *p, int chains, const float *couplings, const uint32_t *changed,
                      const float *changes, float *fields)
{
    const int vectors = (p->n + LANES - 1) / LANES;
    uint32_t shared[LANES / 4];
    for (int c = 0; c < chains; c += 4)
        shared[c / 4] = c + 4 <= chains ? shared_changes(changed + c) : 0;
    for (int start = 0; start < vectors; start += STRIP) {
        const int end = vectors - start < STRIP ? vectors : start + STRIP;
        for (int c = 0; c < chains;) {
            const int together = shared[c / 4] ? 4 : 1, strip = together == 4 ? SHARED_STRIP : STRIP;
            const uint32_t rows = together == 4 ? shared[c / 4] : changed[c];
            for (int v = start; rows && v < end; v += strip)
                add_changed_rows(together, end - v < strip ? end - v : strip, p, couplings + v * LANES, rows,
                                 changes + c, fields + c * p->stride + v * LANES);
            c += together;
        }
    }
}
