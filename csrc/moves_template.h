/* The moves of one weight, in one source for both forms: included twice by moves.h, for one chain and for LANES.

   REAL, LEVEL: what one number and one level are, float and int32_t for one chain, floats and ints for LANES.
   FORM(name): the name that a function or struct has in this form, name_chain or name_lanes. A form brings
   struct FORM(state), whose members `beta` and `flips` are read and written here, and functions on it,
     FORM(stays_frozen)  whether the next decision of Metropolis is no for certain, without a look at its numbers,
     FORM(accepts)       the next decision of Metropolis: a mask of u < exp(-x),
     FORM(next_pair)     the next unit exponential and uniform number.
   Compiled by itself, this is moves.h, with both forms. */
#ifndef FORM
#include "moves.h"
#else

/* Metropolis on the bits of one weight, from the most significant down: the small bits then refine what the large
   ones chose. Returns the new level. */
static inline LEVEL FORM(flip_bits)(const struct problem *p, struct FORM(state) *state, REAL diagonal, REAL field,
                                    LEVEL level)
{
    const REAL curvature = state->beta * diagonal, twice = 2.0f * curvature, zero = {0};
    REAL slope = state->beta * field;
    for (int a = p->bits - 1; a >= 0; a--) {
        const float size = p->delta[a];
        const REAL d = negated_if_bit(level, a, size);
        const REAL x = d * slope + size * size * curvature; /* beta dE */
        if (FORM(stays_frozen)(state, x))
            continue;
        const LEVEL accept = FORM(accepts)(state, x);
        slope += choose(accept, d * twice, zero);
        level ^= masked(accept, 1 << a);
        state->flips += count_of(accept);
    }
    return level;
}

/* Slice sampling (Neal 2003) of the level: draw an energy under which to stay, E(u) + Exp(1) / beta, and take the
   interval where the parabola x (f step + x J_jj step^2) lies below it. Three times in four the level goes to its
   mirror image in the interval (overrelaxation: no random walk along the valleys that weights share), else to any
   level in it. Both leave the uniform law over the interval as it is, and so Boltzmann's. */
static inline LEVEL FORM(slice_level)(const struct problem *p, struct FORM(state) *state, REAL diagonal, REAL field,
                                      LEVEL level)
{
    const REAL *numbers = FORM(next_pair)(state), exponential = numbers[0], uniform = numbers[1];
    const float top = (float)((1 << p->bits) - 1);
    const REAL here = to_floats(level), zero = {0};
    const REAL slope = field * p->delta[0], curvature = diagonal * p->delta[0] * p->delta[0];
    const REAL height = exponential / state->beta, size = choose(slope < 0.0f, -slope, slope);
    const REAL sum = size + square_root(slope * slope + 4.0f * curvature * height) + TINY;
    const REAL far = sum / (2.0f * curvature), near = 2.0f * height / sum;
    REAL low = choose(slope > 0.0f, -far, -near), high = choose(slope > 0.0f, near, far);
    low = at_least(low, -here);
    high = at_most(high, top - here);
    low = -round_down(-low), high = round_down(high);
    low = at_most(low, zero);
    high = at_least(high, zero);
    const LEVEL is_mirrored = uniform < MIRRORED;
    if (is_shortcut(is_mirrored))
        return level + to_ints(low + high);
    const REAL share = (uniform - MIRRORED) * (1.0f / (1.0f - MIRRORED));
    const REAL inside = at_most(low + round_down(share * (high - low + 1.0f)), high);
    return level + to_ints(choose(is_mirrored, low + high, inside));
}

/* The level of the lowest energy: the parabola's minimum, in range and rounded. */
static inline LEVEL FORM(best_level)(const struct problem *p, REAL diagonal, REAL field, LEVEL level)
{
    const float top = (float)((1 << p->bits) - 1);
    const REAL here = to_floats(level);
    REAL x = -(field * p->delta[0]) / (2.0f * (diagonal * p->delta[0] * p->delta[0]) + TINY);
    x = at_most(at_least(x, -here), top - here);
    return level + to_ints(round_down(x + 0.5f));
}

/* Move one weight of each chain to another level. Returns its change times 2, for the fields of the other weights. */
static inline REAL FORM(visit)(const struct problem *p, struct FORM(state) *state, REAL diagonal, REAL field,
                               LEVEL *level)
{
    const LEVEL before = *level;
    if (p->move == MOVE_BIT)
        *level = FORM(flip_bits)(p, state, diagonal, field, before);
    else if (p->move == MOVE_SLICE)
        *level = FORM(slice_level)(p, state, diagonal, field, before);
    else
        *level = FORM(best_level)(p, diagonal, field, before);
    if (p->move != MOVE_BIT)
        state->flips += count_of(*level != before);
    return to_floats(*level - before) * (2.0f * p->delta[0]);
}

#endif
