/* The moves of one weight: of one chain, and of LANES chains side by side. Included once for each instruction set.

   A weight is visited by one of three moves on its level u, with f = dE/dS there and d the weight's change:
   dE = d (f + d J_jj). Both forms of a move have the same operations in the same order. */
#include "decisions.h"
#include "kernel.h"

#define BLOCK 32 /* weights whose changes go to the fields of the others together */
#define TINY 1e-30f /* keeps a straight line's roots (J_jj = 0) from 0 / 0 */

static inline int block_count(int n) { return (n + BLOCK - 1) / BLOCK; }

/* Fill order with the blocks of n weights in the order of one sweep: the same for all chains, so that they share rows
   of J. Another order each sweep relaxes what couples distant weights sooner than one order throughout. */
static inline void block_order(int n, int sweep, int32_t *order)
{
    const int blocks = block_count(n);
    const words zero = {};
    words counter, made[4];
    for (int k = 0; k < LANES; k++)
        counter[k] = (uint32_t)k;
    for (int i = 0; i < blocks; i++)
        order[i] = i;
    for (int i = 0; i + 1 < blocks; i++) {
        if (i % LANES == 0)
            threefry(zero, zero, counter + (uint32_t)i, (uint32_t)sweep, ORDER, made);
        const int other = i + (int)(made[0][i % LANES] % (uint32_t)(blocks - i));
        const int32_t held = order[i];
        order[i] = order[other], order[other] = held;
    }
}

static inline float floor_of(float x)
{
    const float whole = (float)(int32_t)x;
    return whole - (whole > x ? 1.0f : 0.0f);
}

/* Metropolis on the bits of one weight, from the most significant down: the small bits then refine what the large
   ones chose. first: the number of its first decision. Returns the new level. */
static inline int32_t flip_bits(const struct problem *p, float own, float beta, const struct decisions *drawn,
                                int first, float field, int32_t level, int64_t *flips)
{
    float slope = beta * field;
    const float curvature = beta * own, twice = 2.0f * curvature;
    for (int a = p->bits - 1; a >= 0; a--) {
        const float size = p->delta[a], d = size * (float)(1 - 2 * (level >> a & 1));
        const int accept = accepts(drawn, first++, d * slope + size * size * curvature);
        slope += accept ? d * twice : 0.0f;
        level ^= accept << a;
        *flips += accept;
    }
    return level;
}

/* Slice sampling (Neal 2003) of the level: draw an energy under which to stay, E(u) + Exp(1) / beta, and take the
   interval where the parabola x (f step + x J_jj step^2) lies below it. Three times in four the level goes to its mirror
   image in the interval (overrelaxation: no random walk along the valleys that weights share), else to any level in it.
   Both leave the uniform law over the interval as it is, and so Boltzmann's. */
#define MIRRORED 0.75f

static inline int32_t slice_level(const struct problem *p, float own, float beta, const float *numbers, float field,
                                  int32_t level)
{
    const float top = (float)((1 << p->bits) - 1), here = (float)level;
    const float slope = field * p->delta[0], curvature = own * p->delta[0] * p->delta[0];
    const float height = numbers[0] / beta, size = slope < 0.0f ? -slope : slope;
    const float sum = size + __builtin_sqrtf(slope * slope + 4.0f * curvature * height) + TINY;
    const float far = sum / (2.0f * curvature), near = 2.0f * height / sum;
    float low = slope > 0.0f ? -far : -near, high = slope > 0.0f ? near : far;
    low = low < -here ? -here : low;
    high = high > top - here ? top - here : high;
    low = -floor_of(-low), high = floor_of(high);
    low = low > 0.0f ? 0.0f : low;
    high = high < 0.0f ? 0.0f : high;
    if (numbers[1] < MIRRORED)
        return level + (int32_t)(low + high);
    const float x = low + floor_of((numbers[1] - MIRRORED) * (1.0f / (1.0f - MIRRORED)) * (high - low + 1.0f));
    return level + (int32_t)(x > high ? high : x);
}

/* The level of the lowest energy. */
static inline int32_t best_level(const struct problem *p, float own, float field, int32_t level)
{
    const float top = (float)((1 << p->bits) - 1), here = (float)level;
    float x = -(field * p->delta[0]) / (2.0f * (own * p->delta[0] * p->delta[0]) + TINY);
    x = x < -here ? -here : x;
    x = x > top - here ? top - here : x;
    return level + (int32_t)floor_of(x + 0.5f);
}

/* What the lanes of one call share while they sweep. */
struct lanes_state {
    words key0, key1, made[4]; /* made: of group `group` of eight decisions, -1 for none */
    floats beta, *numbers;
    int sweep, drawn, group;
    ints flips;
};

/* Decide the next flip of each lane. No random numbers are made for eight that are downhill or frozen in all lanes. */
static inline ints accepts_lanes(struct lanes_state *state, floats x)
{
    const int i = state->drawn++;
    if (state->group != i / 8) {
        if (!any((x > 0.0f) & (x < FROZEN)))
            return x <= 0.0f;
        state->group = i / 8;
        threefry(state->key0, state->key1, (words){} + (uint32_t)(i / 8), (uint32_t)state->sweep, HALVES, state->made);
    }
    const words k = half_word(state->made, i);
    floats unsure;
    const floats away = x - threshold(k, &unsure);
    if (__builtin_expect(any(magnitude(away) <= unsure), 0))
        return decided(state->key0, state->key1, state->sweep, i, (ints)k, x);
    return away < 0.0f;
}

/* Return the next two numbers for slice moves; they are made 64 at a time. */
static inline const floats *next_pair(struct lanes_state *state)
{
    const int i = state->drawn;
    if (i % 64 == 0)
        lane_numbers(state->key0, state->key1, state->sweep, i / 64, 1, state->numbers);
    state->drawn += 2;
    return state->numbers + i % 64;
}

static inline ints flip_bits_lanes(const struct problem *p, struct lanes_state *state, floats own, floats field,
                                   ints level)
{
    const floats curvature = state->beta * own, twice = 2.0f * curvature;
    floats slope = state->beta * field;
    for (int a = p->bits - 1; a >= 0; a--) {
        const float size = p->delta[a];
        const floats d = negated_if(level << (31 - a), splat(size));
        const floats x = d * slope + size * size * curvature;
        if (state->group != state->drawn / 8 && !any(x < FROZEN)) { /* every lane stays */
            state->drawn++;
            continue;
        }
        const ints accept = accepts_lanes(state, x);
        slope += choose(accept, d * twice, splat(0.0f));
        level ^= accept & (1 << a);
        state->flips -= accept;
    }
    return level;
}

static inline ints slice_level_lanes(const struct problem *p, floats own, floats beta, floats exponential,
                                     floats uniform, floats field, ints level)
{
    const float top = (float)((1 << p->bits) - 1);
    const floats here = to_floats(level), zero = splat(0.0f);
    const floats curvature = own * p->delta[0] * p->delta[0], slope = field * p->delta[0];
    const floats height = exponential / beta, size = choose(slope < 0.0f, -slope, slope);
    const floats sum = size + square_root(slope * slope + 4.0f * curvature * height) + TINY;
    const floats far = sum / (2.0f * curvature), near = 2.0f * height / sum;
    floats low = choose(slope > 0.0f, -far, -near), high = choose(slope > 0.0f, near, far);
    low = at_least(low, -here);
    high = at_most(high, top - here);
    low = -round_down(-low), high = round_down(high);
    low = at_most(low, zero);
    high = at_least(high, zero);
    const floats share = (uniform - MIRRORED) * (1.0f / (1.0f - MIRRORED));
    const floats any_of = at_most(low + round_down(share * (high - low + 1.0f)), high);
    return level + __builtin_convertvector(choose(uniform < MIRRORED, low + high, any_of), ints);
}

static inline ints best_level_lanes(const struct problem *p, floats own, floats field, ints level)
{
    const float top = (float)((1 << p->bits) - 1);
    const floats here = to_floats(level);
    floats x = -(field * p->delta[0]) / (2.0f * (own * p->delta[0] * p->delta[0]) + TINY);
    x = at_most(at_least(x, -here), top - here);
    return level + __builtin_convertvector(round_down(x + 0.5f), ints);
}

/* Move one weight of each lane; `own` is J_jj. Returns its change times 2, for the fields of the other weights. */
static inline floats visit_lanes(const struct problem *p, struct lanes_state *state, floats own, floats field,
                                 ints *level)
{
    const ints before = *level;
    if (p->move == MOVE_BIT)
        *level = flip_bits_lanes(p, state, own, field, before);
    else if (p->move == MOVE_SLICE) {
        const floats *numbers = next_pair(state);
        *level = slice_level_lanes(p, own, state->beta, numbers[0], numbers[1], field, before);
    } else
        *level = best_level_lanes(p, own, field, before);
    if (p->move != MOVE_BIT)
        state->flips -= *level != before;
    return to_floats(*level - before) * (2.0f * p->delta[0]);
}

static inline struct lanes_state begin_lanes(const uint32_t *keys, float *buffer, const int32_t *flips)
{
    struct lanes_state state = {.numbers = (floats *)buffer};
    memcpy(&state.key0, keys, sizeof state.key0);
    memcpy(&state.key1, keys + LANES, sizeof state.key1);
    memcpy(&state.flips, flips, sizeof state.flips);
    return state;
}

static inline void begin_sweep(struct lanes_state *state, const float *betas, int s, int first)
{
    memcpy(&state->beta, betas + (long)s * LANES, sizeof state->beta);
    state->sweep = first + s;
    state->drawn = 0;
    state->group = -1;
}
