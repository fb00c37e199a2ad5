/* Sweeps of one chain, and of LANES chains that share J side by side. */
#ifndef ANNEALTRAIN_CHAINS_H
#define ANNEALTRAIN_CHAINS_H

#include "field_update.h"
#include "kernel.h"
#include "metropolis.h"
#include "moves.h"
#include "simd.h"
#include "threefry.h"

#include <stdint.h>
#include <string.h>

/* fields += change * row */
static inline void add_row(int n, float *restrict fields, float change, const float *restrict row)
{
    for (int l = 0; l < n; l++)
        fields[l] += change * row[l];
}

/* One sweep of single-bit Metropolis over the spins in this order (n bits); returns the flips. */
static inline int64_t visit_in_order(const struct problem *p, const int32_t *order, float beta,
                                     const struct metropolis_numbers *decisions, float *fields, int32_t *levels)
{
    const int spins = p->n * p->bits;
    const uint32_t bits = (uint32_t)p->bits;
    int64_t flips = 0;
    for (int i = 0; i < spins; i++) {
        const int j = (int)((uint32_t)order[i] / bits), a = (int)((uint32_t)order[i] % bits);
        const float d = (levels[j] >> a) & 1 ? -p->delta[a] : p->delta[a];
        if (metropolis_accepts(decisions, i, d * (beta * fields[j]) + d * d * (beta * p->diagonal[j]))) {
            levels[j] ^= 1 << a;
            add_row(p->n, fields, 2.0f * d, p->couplings + j * p->stride);
            flips++;
        }
    }
    return flips;
}

/* One sweep over the weights, block after block in the order of the sweep. */
static inline void visit_by_weight(const struct problem *p, int sweep, struct state_chain *state, float *fields,
                                   int32_t *levels)
{
    int32_t order[block_count(p->n)];
    block_order(p->n, sweep, order);
    for (int b = 0; b < block_count(p->n); b++) {
        const int start = order[b] * BLOCK, end = p->n - start < BLOCK ? p->n : start + BLOCK;
        for (int j = start; j < end; j++) {
            /* All bits of a weight need only its own field, so the row update waits for the last of them: the same
               chain as one update a flip, with one row read instead of up to `bits`. */
            const int32_t before = levels[j];
            const float change = visit_chain(p, state, p->diagonal[j], fields[j], levels + j);
            if (levels[j] != before)
                add_row(p->n, fields, change, p->couplings + j * p->stride);
        }
    }
}

/* See chain_function. */
static int64_t anneal_chain(const struct problem *p, const int32_t *order, const float *betas, int first, int sweeps,
                            const uint32_t *key, float *buffer, float *fields, int32_t *levels)
{
    const int spins = p->n * p->bits, eighths = (spins + 8 * MAX_LANES - 1) / (8 * MAX_LANES) * MAX_LANES;
    struct metropolis_numbers decisions = {
        .key = key, .eighths = eighths, .minus_logs = buffer, .errors = buffer + 8 * eighths};
    struct state_chain state = {.decisions = &decisions};
    for (int s = 0; s < sweeps; s++) {
        state.beta = betas[s], state.numbers = buffer, state.next = 0;
        decisions.sweep = first + s;
        if (p->move == MOVE_BIT)
            draw_metropolis(&decisions, spins);
        if (p->move == MOVE_SLICE)
            for (int group = 0; 64 * group < 2 * p->n; group++)
                chain_numbers(key, first + s, group, 1, buffer + 64 * group);
        if (order)
            state.flips += visit_in_order(p, order + (long)s * spins, betas[s], &decisions, fields, levels);
        else
            visit_by_weight(p, first + s, &state, fields, levels);
    }
    return state.flips;
}

/* The sweeps of anneal_lanes for at most BLOCK weights: their fields stay in lanes from sweep to sweep. The sums are
   those of add_block, in the same order. */
static void anneal_one_block(const struct problem *p, int chains, const float *betas, int first, int sweeps,
                             struct state_lanes *state, float *fields, ints *levels)
{
    floats own_fields[BLOCK];
    /* own_fields = fields.T, in lanes beyond the chains those of the first */
    for (int k = 0; k < p->n; k++) {
        own_fields[k] = splat(fields[k]);
        for (int c = 1; c < chains; c++)
            own_fields[k][c] = fields[c * p->stride + k];
    }
    for (int s = 0; s < sweeps; s++) {
        begin_sweep_lanes(state, betas, s, first);
        for (int k = 0; k < p->n; k++) {
            const floats change = visit_lanes(p, state, splat(p->diagonal[k]), own_fields[k], levels + k);
            if (!any(change != 0.0f))
                continue;
            /* own_fields += np.outer(J[k], change) */
            const float *row = p->couplings + k * p->stride;
            for (int i = 0; i < p->n; i++)
                own_fields[i] += row[i] * change;
        }
    }
    for (int k = 0; k < p->n; k++)
        for (int c = 0; c < chains; c++)
            fields[c * p->stride + k] = own_fields[k][c];
}

/* See lanes_function. All in one function: split in two, GCC makes it 2 to 4 % slower. */
static void anneal_lanes(const struct problem *p, int chains, const float *betas, int first, int sweeps,
                         const uint32_t *keys, float *buffer, float *fields, int32_t *all_levels, int32_t *flips)
{
    const long stride = p->stride;
    ints *levels = (ints *)all_levels;
    struct state_lanes state = begin_lanes(keys, buffer, flips);
    if (p->n <= BLOCK) {
        anneal_one_block(p, chains, betas, first, sweeps, &state, fields, levels);
        sweeps = 0;
    }
    for (int s = 0; s < sweeps; s++) {
        begin_sweep_lanes(&state, betas, s, first);
        int32_t order[block_count(p->n)];
        block_order(p->n, first + s, order);
        for (int b = 0; b < block_count(p->n); b++) {
            const int start = order[b] * BLOCK, size = p->n - start < BLOCK ? p->n - start : BLOCK;
            const float *block = p->couplings + start * stride;
            floats block_fields[BLOCK], changes[BLOCK];
            words changed = {};
            /* block_fields = fields[:, start:start + size].T, in lanes beyond the chains those of the first */
            for (int k = 0; k < size; k++) {
                block_fields[k] = splat(fields[start + k]);
                for (int c = 1; c < chains; c++)
                    block_fields[k][c] = fields[c * stride + start + k];
            }
            for (int k = 0; k < size; k++) {
                const int j = start + k;
                const floats change = visit_lanes(p, &state, splat(p->diagonal[j]), block_fields[k], levels + j);
                const ints is_changed = change != 0.0f;
                if (!any(is_changed))
                    continue;
                changes[k] = change;
                changed |= (words)is_changed & (1u << k);
                /* This block's later weights see the change now; the other weights' fields wait.
                   block_fields[k + 1:] += np.outer(J[j, start + k + 1:start + size], change) */
                const float *row = block + k * stride + start;
                for (int i = k + 1; i < size; i++)
                    block_fields[i] += row[i] * changes[k];
            }
            add_block(p, chains, block, (const uint32_t *)&changed, (const float *)changes, fields);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}

#endif
