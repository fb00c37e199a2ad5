/* The moves of one weight: of one chain, and of LANES chains side by side; and the order of the visits.

   A weight is visited by one of three moves on its level u, with f = dE/dS there and d the weight's change:
   dE = d (f + d J_jj). Both forms of a move are one source, moves_template.h: the same operations in the same order. */
#ifndef ANNEALTRAIN_MOVES_H
#define ANNEALTRAIN_MOVES_H

#include "kernel.h"
#include "metropolis.h"
#include "simd.h"
#include "threefry.h"

#include <stdint.h>
#include <string.h>

#define TINY 1e-30f /* keeps a straight line's roots (J_jj = 0) from 0 / 0 */

static inline int block_count(int n) { return (n + BLOCK - 1) / BLOCK; }

/* Fill order with the blocks of n weights in the order of one sweep: the same for all chains, so that they share rows
   of J. Another order each sweep relaxes what couples distant weights sooner than one order throughout.

   Fisher and Yates: for i in range(blocks - 1): swap order[i] and order[i + word[i] % (blocks - i)]. */
static inline void block_order(int n, int sweep, int32_t *order)
{
    const int blocks = block_count(n);
    const words zero = {};
    words counter, random[4];
    for (int k = 0; k < LANES; k++)
        counter[k] = (uint32_t)k;
    for (int i = 0; i < blocks; i++)
        order[i] = i;
    for (int i = 0; i + 1 < blocks; i++) {
        if (i % LANES == 0)
            threefry(zero, zero, counter + (uint32_t)i, (uint32_t)sweep, FOR_BLOCK_ORDER, random);
        const int other = i + (int)(random[0][i % LANES] % (uint32_t)(blocks - i));
        const int32_t block = order[i];
        order[i] = order[other], order[other] = block;
    }
}

/* Where one chain is in its sweep. All numbers of the sweep are drawn before it. */
struct state_chain {
    const struct metropolis_numbers *decisions; /* of bit moves */
    const float *numbers;                       /* of slice moves: exponential, uniform, exponential, ... */
    float beta;
    int next; /* number of the next decision of bit moves */
    int64_t flips;
};

/* One chain looks up its numbers: there is nothing to save. */
static inline int stays_frozen_chain(const struct state_chain *state, float x)
{
    (void)state, (void)x;
    return 0;
}

static inline int32_t accepts_chain(struct state_chain *state, float x)
{
    return metropolis_accepts(state->decisions, state->next++, x);
}

static inline const float *next_pair_chain(struct state_chain *state)
{
    const float *pair = state->numbers;
    state->numbers += 2;
    return pair;
}

/* Where LANES chains are in their sweep. Numbers are made as they are needed. */
struct state_lanes {
    words key0, key1;
    words random[4]; /* the words of the eight decisions from 8 * eighth on; eighth = -1: not made yet */
    floats *numbers; /* 64 numbers of slice moves */
    floats beta;
    int sweep, next, eighth; /* next: number of the next decision, or of the next number of slice moves */
    ints flips;
};

/* Where no lane can accept and the words of this decision are not made, they need not be. */
static inline int stays_frozen_lanes(struct state_lanes *state, floats x)
{
    if (state->eighth == state->next / 8 || any(x < FROZEN))
        return 0;
    state->next++;
    return 1;
}

/* No random words are made for eight decisions that are downhill or frozen in all lanes. */
static inline ints accepts_lanes(struct state_lanes *state, floats x)
{
    const int i = state->next++;
    if (state->eighth != i / 8) {
        if (!any((x > 0.0f) & (x < FROZEN)))
            return x <= 0.0f;
        state->eighth = i / 8;
        threefry(state->key0, state->key1, (words){} + (uint32_t)(i / 8), (uint32_t)state->sweep, FOR_LEADING_BITS,
                 state->random);
    }
    const words k = leading_bits(state->random, i);
    floats error;
    const floats distance = x - approximate_minus_log(k, &error);
    if (__builtin_expect(any(magnitude(distance) <= error), 0))
        return accepts_exactly(state->key0, state->key1, state->sweep, i, (ints)k, x);
    return distance < 0.0f;
}

/* The next two numbers for slice moves; they are made 64 at a time. */
static inline const floats *next_pair_lanes(struct state_lanes *state)
{
    const int i = state->next;
    if (i % 64 == 0)
        lane_numbers(state->key0, state->key1, state->sweep, i / 64, 1, state->numbers);
    state->next += 2;
    return state->numbers + i % 64;
}

/* keys: (2, LANES).  numbers: (64, LANES), scratch.  flips: (LANES) so far. */
static inline struct state_lanes begin_lanes(const uint32_t *keys, float *numbers, const int32_t *flips)
{
    struct state_lanes state = {.numbers = (floats *)numbers};
    memcpy(&state.key0, keys, sizeof state.key0);
    memcpy(&state.key1, keys + LANES, sizeof state.key1);
    memcpy(&state.flips, flips, sizeof state.flips);
    return state;
}

/* betas: (sweeps, LANES), of which row s is for sweep number first + s. */
static inline void begin_sweep_lanes(struct state_lanes *state, const float *betas, int s, int first)
{
    memcpy(&state->beta, betas + (long)s * LANES, sizeof state->beta);
    state->sweep = first + s;
    state->next = 0;
    state->eighth = -1;
}

#define REAL float
#define LEVEL int32_t
#define FORM(name) name##_chain
#include "moves_template.h"
#undef REAL
#undef LEVEL
#undef FORM

#define REAL floats
#define LEVEL ints
#define FORM(name) name##_lanes
#include "moves_template.h"
#undef REAL
#undef LEVEL
#undef FORM

#endif
