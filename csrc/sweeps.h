/* Sweeps of one chain, and of LANES chains that share J side by side. Included once for each instruction set. */
#include "moves.h"
#include "updates.h"

static void numbers_of_a_sweep(const uint32_t *key, int sweep, int is_slice, int count, float *out)
{
    float made[64];
    for (int start = 0; start < count; start += 64) {
        chain_numbers(key, sweep, start / 64, is_slice, made);
        memcpy(out + start, made, sizeof(float) * (count - start < 64 ? count - start : 64));
    }
}

static void block_order_of_a_sweep(int n, int sweep, int32_t *order) { block_order(n, sweep, order); }

static void uniforms_of_a_sweep(const uint32_t *key, int sweep, int count, double *out)
{
    const words zero = {}, key0 = zero + key[0], key1 = zero + key[1];
    words made[4];
    for (int i = 0; i < count; i++) {
        threefry(key0, key1, zero + (uint32_t)(i / 8), (uint32_t)sweep, HALVES, made);
        out[i] = ((double)half_word(made, i)[0] + (double)fraction(key0, key1, sweep, i)[0]) / 65536.0;
    }
}

static inline void add_row(int n, float *restrict fields, float change, const float *restrict row)
{
    for (int l = 0; l < n; l++)
        fields[l] += change * row[l];
}

static int64_t visit_in_order(const struct problem *p, const int32_t *order, float beta,
                              const struct decisions *drawn, float *fields, int32_t *levels)
{
    int64_t flips = 0;
    for (int k = 0; k < p->n * p->bits; k++) {
        const int j = order[k] / p->bits, a = order[k] % p->bits;
        const float d = (levels[j] >> a) & 1 ? -p->delta[a] : p->delta[a];
        if (accepts(drawn, k, d * (beta * fields[j]) + d * d * (beta * p->diagonal[j]))) {
            levels[j] ^= 1 << a;
            add_row(p->n, fields, 2.0f * d, p->couplings + j * p->stride);
            flips++;
        }
    }
    return flips;
}

static int64_t anneal_chain(const struct problem *p, const int32_t *order, const float *betas, int first, int sweeps,
                            const uint32_t *key, float *buffer, float *fields, int32_t *levels)
{
    const int n = p->n, is_slice = p->move == MOVE_SLICE;
    const int groups = (n * p->bits + 127) / 128 * 16;
    struct decisions drawn = {.key = key, .groups = groups, .thresholds = buffer, .unsure = buffer + 8 * groups};
    int64_t flips = 0;
    for (int s = 0; s < sweeps; s++) {
        drawn.sweep = first + s;
        if (p->move == MOVE_BIT)
            draw_decisions(&drawn, n * p->bits);
        for (int group = 0; is_slice && 32 * group < n; group++)
            chain_numbers(key, first + s, group, 1, buffer + 64 * group);
        if (order) {
            flips += visit_in_order(p, order + (long)s * n * p->bits, betas[s], &drawn, fields, levels);
            continue;
        }
        int32_t blocks[block_count(n)];
        block_order(n, first + s, blocks);
        for (int visit = 0, k = 0; k < n; visit++) {
            const int j = blocks[visit / BLOCK] * BLOCK + visit % BLOCK;
            if (j >= n)
                continue; /* beyond the last block, which is not a whole one */
            const int32_t before = levels[j];
            int32_t level;
            if (p->move == MOVE_BIT)
                level = flip_bits(p, p->diagonal[j], betas[s], &drawn, k * p->bits, fields[j], before, &flips);
            else {
                level = is_slice ? slice_level(p, p->diagonal[j], betas[s], buffer + 2L * k, fields[j], before)
                                 : best_level(p, p->diagonal[j], fields[j], before);
                flips += level != before;
            }
            k++;
            /* All bits of a weight need only its own field, so the row update waits for the last of them: the same
               chain as one update a flip, with one row read instead of up to `bits`. */
            if (level != before) {
                add_row(n, fields, (float)(level - before) * (2.0f * p->delta[0]), p->couplings + j * p->stride);
                levels[j] = level;
            }
        }
    }
    return flips;
}

static void anneal_lanes(const struct problem *p, int chains, const float *betas, int first, int sweeps,
                         const uint32_t *keys, float *buffer, float *fields, int32_t *all_levels, int32_t *flips)
{
    const long rows = p->stride;
    ints *levels = (ints *)all_levels;
    struct lanes_state state = begin_lanes(keys, buffer, flips);
    for (int s = 0; s < sweeps; s++) {
        begin_sweep(&state, betas, s, first);
        int32_t order[block_count(p->n)];
        block_order(p->n, first + s, order);
        for (int b = 0; b < block_count(p->n); b++) {
            const int start = order[b] * BLOCK;
            const int size = p->n - start < BLOCK ? p->n - start : BLOCK;
            const float *block = p->couplings + start * rows;
            floats own[BLOCK], changes[BLOCK];
            words changed = {};
            for (int k = 0; k < size; k++) {
                own[k] = splat(fields[start + k]);
                for (int c = 1; c < chains; c++)
                    own[k][c] = fields[c * rows + start + k];
            }
            for (int k = 0; k < size; k++) {
                const int j = start + k;
                const floats change = visit_lanes(p, &state, splat(p->diagonal[j]), own[k], levels + j);
                const ints moved = change != 0.0f;
                if (!any(moved))
                    continue;
                changes[k] = change;
                changed |= (words)moved & (1u << k);
                /* This block's later weights see the change now; the other weights' fields wait. */
                const float *row = block + k * rows + start;
                for (int i = k + 1; i < size; i++)
                    own[i] += row[i] * changes[k];
            }
            add_block(p, chains, block, (const uint32_t *)&changed, (const float *)changes, fields);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}
