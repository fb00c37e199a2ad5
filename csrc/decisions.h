/* Whether flips are accepted: random numbers only as far as a decision needs them. Included once for each instruction
   set.

   Metropolis accepts a flip iff u < exp(-x), x = beta dE, Eqs. (30), (31). Decision i of a sweep has a uniform number
   u = (k + v) / 2^16: k are 16 bits of the words at counter i / 8, eight decisions to a call of the generator, and
   v another 23 bits at counter i, made only where k = floor(2^16 exp(-x)) leaves the decision to them. Nor is the
   exponential taken but where x lies close to a cheap -ln(u). */
#include "vectors.h"

#define FROZEN 28.0f /* beyond it 2^16 exp(-x) is below the smallest v: never accepted */

/* 2^16 exp(-x), 0 <= x <= FROZEN; relative error below 3e-6. */
static inline floats chance(floats x)
{
    const floats y = x * -1.44269504f, whole = round_down(y), f = y - whole;
    const floats power =
        1.0f + f * (0.69315131f + f * (0.24016445f + f * (0.05579991f + f * (0.00901703f + f * 0.00186713f))));
    return (floats)((ints)power + ((__builtin_convertvector(whole, ints) + 16) << 23));
}

static inline words half_word(const words made[4], int i)
{
    return made[i % 8 / 2] >> i % 2 * 16 & 0xffffu;
}

/* v of decision i. */
static inline floats fraction(words key0, words key1, int sweep, int i)
{
    words made[4], zero = {};
    threefry(key0, key1, zero + (uint32_t)i, (uint32_t)sweep, FRACTIONS, made);
    return uniform(made[0]);
}

/* The decisions i of LANES chains whose x and k these are. */
static inline ints decided(words key0, words key1, int sweep, int i, ints k, floats x)
{
    const ints is_open = (x > 0.0f) & (x < FROZEN);
    const floats t = chance(at_most(at_least(x, splat(0.0f)), splat(FROZEN)));
    const ints whole = __builtin_convertvector(t, ints), is_tie = (k == whole) & is_open;
    ints accept = k < whole;
    if (__builtin_expect(any(is_tie), 0))
        accept |= is_tie & (fraction(key0, key1, sweep, i) < t - to_floats(whole));
    return accept;
}

/* A cheap -ln(u) of decisions with these k: x is on the same side of both where it is `unsure` away or more. */
static inline floats threshold(words k, floats *unsure)
{
    const floats at = to_floats((ints)k) + 5.9604645e-8f; /* k, but for k = 0, which leaves all to v */
    const ints pattern = (ints)at;
    const floats m = (floats)((pattern & 0x7fffff) | 0x3f800000);
    /* ln((k + 1) / k) <= 1 / k <= 2^-e, e the exponent of k; the cubic for -ln m + (m - 1) ln 2 is within 5e-4. */
    *unsure = (floats)(0x7f7fffff - pattern) + 1e-3f;
    return 99.9196759f + m * (-1.41948537f + m * (0.729104328f - m * 0.109689659f)) - to_floats(pattern) * 8.2629582e-8f;
}

/* What decides the flips of one chain in one sweep: thresholds and how unsure they are, of decision i at
   i % 8 * groups + i / 8. */
struct decisions {
    const uint32_t *key;
    int sweep, groups;
    float *thresholds, *unsure;
};

/* Fill them in for `count` decisions. groups: count / 8, rounded up to a multiple of 16. */
static inline void draw_decisions(struct decisions *drawn, int count)
{
    const words zero = {}, key0 = zero + drawn->key[0], key1 = zero + drawn->key[1];
    words counter, made[4];
    for (int k = 0; k < LANES; k++)
        counter[k] = (uint32_t)k;
    for (int group = 0; 8 * group < count; group += LANES) {
        threefry(key0, key1, counter + (uint32_t)group, (uint32_t)drawn->sweep, HALVES, made);
        for (int i = 0; i < 8; i++) {
            floats unsure, own = threshold(half_word(made, i), &unsure);
            memcpy(drawn->thresholds + i * drawn->groups + group, &own, sizeof own);
            memcpy(drawn->unsure + i * drawn->groups + group, &unsure, sizeof unsure);
        }
    }
}

static __attribute__((noinline)) int decide(const struct decisions *drawn, int i, float x)
{
    const words zero = {}, key0 = zero + drawn->key[0], key1 = zero + drawn->key[1];
    words made[4];
    threefry(key0, key1, zero + (uint32_t)(i / 8), (uint32_t)drawn->sweep, HALVES, made);
    return decided(key0, key1, drawn->sweep, i, (ints)half_word(made, i), splat(x))[0] != 0;
}

static inline int accepts(const struct decisions *drawn, int i, float x)
{
    const unsigned place = (unsigned)i % 8 * (unsigned)drawn->groups + (unsigned)i / 8;
    const float away = x - drawn->thresholds[place], unsure = drawn->unsure[place];
    return __builtin_expect(__builtin_fabsf(away) <= unsure, 0) ? decide(drawn, i, x) : away < 0.0f;
}
