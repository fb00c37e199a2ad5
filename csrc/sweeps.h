/* Sweeps of one chain, and of LANES chains that share J side by side. Included once for each instruction set. */
#include "moves.h"

static void numbers_of_a_sweep(const uint32_t *key, int sweep, int is_slice, int count, float *out)
{
    float made[64];
    for (int start = 0; start < count; start += 64) {
        chain_numbers(key, sweep, start / 64, is_slice, made);
        memcpy(out + start, made, sizeof(float) * (count - start < 64 ? count - start : 64));
    }
}

static inline void add_row(int n, float *restrict fields, float change, const float *restrict row)
{
    for (int l = 0; l < n; l++)
        fields[l] += change * row[l];
}

static int64_t visit_in_order(const struct problem *p, const float *couplings, const int32_t *order, float beta,
                              const float *numbers, float *fields, int32_t *levels)
{
    int64_t flips = 0;
    for (int k = 0; k < p->n * p->bits; k++) {
        const int j = order[k] / p->bits, a = order[k] % p->bits;
        const float d = (levels[j] >> a) & 1 ? -p->delta[a] : p->delta[a];
        if (beta * (d * fields[j] + d * d * p->diagonal[j]) < numbers[k]) {
            levels[j] ^= 1 << a;
            add_row(p->n, fields, 2.0f * d, couplings + (long)j * p->n);
            flips++;
        }
    }
    return flips;
}

static int64_t anneal_chain(const struct problem *p, const float *couplings, const int32_t *order,
                            const float *betas, int first, int sweeps, const uint32_t *key, float *buffer,
                            float *fields, int32_t *levels)
{
    const int n = p->n, is_slice = p->move == MOVE_SLICE;
    const int numbers = p->move == MOVE_BIT ? p->bits : is_slice ? 2 : 0; /* a weight */
    int64_t flips = 0;
    for (int s = 0; s < sweeps; s++) {
        for (int group = 0; 64 * group < numbers * n; group++)
            chain_numbers(key, first + s, group, is_slice, buffer + 64 * group);
        if (order) {
            flips += visit_in_order(p, couplings, order + (long)s * n * p->bits, betas[s], buffer, fields, levels);
            continue;
        }
        for (int j = 0; j < n; j++) {
            const float *own_numbers = buffer + (long)j * numbers;
            const int32_t before = levels[j];
            int32_t level;
            if (p->move == MOVE_BIT)
                level = flip_bits(p, p->diagonal[j], betas[s], own_numbers, fields[j], before, &flips);
            else {
                level = is_slice ? slice_level(p, p->diagonal[j], betas[s], own_numbers, fields[j], before)
                                 : best_level(p, p->diagonal[j], fields[j], before);
                flips += level != before;
            }
            /* All bits of a weight need only its own field, so the row update waits for the last of them: the same
               chain as one update a flip, with one row read instead of up to `bits`. */
            if (level != before) {
                add_row(n, fields, (float)(level - before) * (2.0f * p->delta[0]), couplings + (long)j * n);
                levels[j] = level;
            }
        }
    }
    return flips;
}

/* fields (rows, LANES) += J[:, block] changes: a GEMM with 8 rows of sums in registers, in the order of j. */
static inline void add_block(int rows, const float *restrict block, const floats *restrict changes,
                             floats *restrict fields)
{
    for (int l = 0; l < rows; l += 8) {
        floats sums[8];
        for (int r = 0; r < 8; r++)
            sums[r] = fields[l + r];
        const float *row = block + (long)l * BLOCK;
        for (int j = 0; j < BLOCK; j++)
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sums[r] += row[r * BLOCK + j] * changes[j];
        for (int r = 0; r < 8; r++)
            fields[l + r] = sums[r];
    }
}

static void anneal_lanes(const struct problem *p, const float *blocks, const float *betas, int first, int sweeps,
                         const uint32_t *keys, float *buffer, float *all_fields, int32_t *all_levels, int32_t *flips)
{
    const int rows = (p->n + BLOCK - 1) / BLOCK * BLOCK;
    floats *fields = (floats *)all_fields;
    ints *levels = (ints *)all_levels;
    struct lanes_state state = begin_lanes(keys, buffer, flips);
    for (int s = 0; s < sweeps; s++) {
        begin_sweep(&state, betas, s, first);
        for (int start = 0; start < p->n; start += BLOCK) {
            const float *block = blocks + (long)start * rows;
            floats changes[BLOCK];
            for (int k = 0; k < BLOCK; k++) {
                const int j = start + k;
                changes[k] = splat(0.0f);
                if (j >= p->n)
                    continue;
                /* The field as it is after this block's earlier weights; the other weights' fields wait. */
                floats field = fields[j];
                const float *row = block + (long)j * BLOCK;
                for (int i = 0; i < k; i++)
                    field += row[i] * changes[i];
                changes[k] = visit_lanes(p, &state, splat(p->diagonal[j]), field, levels + j);
            }
            add_block(rows, block, changes, fields);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}
