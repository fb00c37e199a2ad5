/* Metropolis' rule, with random bits and arithmetic only as far as a decision needs them.

   A flip that costs dE is accepted iff u < exp(-x), x = beta dE, u uniform in (0, 1): Eqs. (30), (31). Decision i of a
   sweep has u = (k + v) / 2^16. Its leading bits k, 16 of them, are half a word at counter i / 8: one call of the
   generator serves eight decisions. Its trailing bits v, 23 of them, from counter i, are made only where
   k = floor(2^16 exp(-x)), once in 65,536 decisions. Nor is the exponential taken, but where x lies so close to an
   approximate -ln u that its error could turn the decision. */
#ifndef ANNEALTRAIN_METROPOLIS_H
#define ANNEALTRAIN_METROPOLIS_H

#include "kernel.h"
#include "simd.h"
#include "threefry.h"

#include <stdint.h>
#include <string.h>

/* 2^16 exp(-x), 0 <= x <= FROZEN; relative error below 3e-6. */
static inline floats scaled_exp(floats x)
{
    const floats y = x * -1.44269504f, whole = round_down(y), f = y - whole;
    const floats power =
        1.0f + f * (0.69315131f + f * (0.24016445f + f * (0.05579991f + f * (0.00901703f + f * 0.00186713f))));
    return (floats)((ints)power + ((to_ints(whole) + 16) << 23));
}

/* k of decision i, from the four words at counter i / 8. */
static inline words leading_bits(const words random[4], int i) { return random[i % 8 / 2] >> i % 2 * 16 & 0xffffu; }

/* v of decision i, in (0, 1). */
static inline floats trailing_bits(words key0, words key1, int sweep, int i)
{
    words random[4], zero = {};
    threefry(key0, key1, zero + (uint32_t)i, (uint32_t)sweep, FOR_TRAILING_BITS, random);
    return uniform(random[0]);
}

/* Whether u < exp(-x) in decision i of LANES chains, by the exponential; k: the leading bits of u. */
static inline ints accepts_exactly(words key0, words key1, int sweep, int i, ints k, floats x)
{
    const ints is_open = (x > 0.0f) & (x < FROZEN);
    const floats x_open = at_most(at_least(x, splat(0.0f)), splat(FROZEN));
    const floats limit = scaled_exp(x_open); /* accept iff k + v < limit */
    const ints whole = to_ints(limit), is_tie = (k == whole) & is_open;
    ints accept = k < whole;
    if (__builtin_expect(any(is_tie), 0))
        accept |= is_tie & (trailing_bits(key0, key1, sweep, i) < limit - to_floats(whole));
    return accept;
}

/* An approximate -ln u of decisions with the leading bits k. Where x is farther from it than `error`, x is on the same
   side of the true -ln u, whatever the trailing bits. */
static inline floats approximate_minus_log(words k, floats *error)
{
    const floats u = to_floats((ints)k) + 5.9604645e-8f; /* 2^16 u; k = 0 leaves all to the trailing bits */
    const ints pattern = (ints)u;
    const floats m = (floats)((pattern & 0x7fffff) | 0x3f800000);
    /* ln((k + 1) / k) <= 1 / k <= 2^-e, e the exponent of k; the cubic for -ln m + (m - 1) ln 2 is within 5e-4. */
    *error = (floats)(0x7f7fffff - pattern) + 1e-3f;
    const floats cubic = 99.9196759f + m * (-1.41948537f + m * (0.729104328f - m * 0.109689659f));
    return cubic - to_floats(pattern) * 8.2629582e-8f;
}

/* The random numbers of one chain's decisions in one sweep.
   minus_logs, errors: (8, eighths) approximate -ln u and its error, of decision i at [i % 8, i / 8]. */
struct metropolis_numbers {
    const uint32_t *key;
    int sweep, eighths;
    float *minus_logs, *errors;
};

/* Fill them in for `count` decisions. eighths: count / 8, rounded up to a multiple of MAX_LANES. */
static inline void draw_metropolis(struct metropolis_numbers *numbers, int count)
{
    const words zero = {}, key0 = zero + numbers->key[0], key1 = zero + numbers->key[1];
    words counter, random[4];
    for (int k = 0; k < LANES; k++)
        counter[k] = (uint32_t)k;
    for (int start = 0; 8 * start < count; start += LANES) {
        threefry(key0, key1, counter + (uint32_t)start, (uint32_t)numbers->sweep, FOR_LEADING_BITS, random);
        for (int i = 0; i < 8; i++) {
            floats error;
            const floats minus_log_u = approximate_minus_log(leading_bits(random, i), &error);
            memcpy(numbers->minus_logs + i * numbers->eighths + start, &minus_log_u, sizeof minus_log_u);
            memcpy(numbers->errors + i * numbers->eighths + start, &error, sizeof error);
        }
    }
}

/* accepts_exactly for one chain. Out of line: it is rare, and its registers would be missed in the loop. */
static __attribute__((noinline, unused)) int accepts_exactly_chain(const struct metropolis_numbers *numbers, int i,
                                                                   float x)
{
    const words zero = {}, key0 = zero + numbers->key[0], key1 = zero + numbers->key[1];
    words random[4];
    threefry(key0, key1, zero + (uint32_t)(i / 8), (uint32_t)numbers->sweep, FOR_LEADING_BITS, random);
    return accepts_exactly(key0, key1, numbers->sweep, i, (ints)leading_bits(random, i), splat(x))[0] != 0;
}

/* Whether one chain accepts in decision i: u < exp(-x). */
static inline int metropolis_accepts(const struct metropolis_numbers *numbers, int i, float x)
{
    const unsigned place = (unsigned)i % 8 * (unsigned)numbers->eighths + (unsigned)i / 8;
    const float distance = x - numbers->minus_logs[place], error = numbers->errors[place];
    return __builtin_expect(magnitude(distance) <= error, 0) ? accepts_exactly_chain(numbers, i, x) : distance < 0.0f;
}

/* u of a sweep's first `count` decisions of one chain: out (count), in (0, 1). */
static inline void random_uniforms(const uint32_t *key, int sweep, int count, double *out)
{
    const words zero = {}, key0 = zero + key[0], key1 = zero + key[1];
    words random[4];
    for (int i = 0; i < count; i++) {
        threefry(key0, key1, zero + (uint32_t)(i / 8), (uint32_t)sweep, FOR_LEADING_BITS, random);
        out[i] = ((double)leading_bits(random, i)[0] + (double)trailing_bits(key0, key1, sweep, i)[0]) / 65536.0;
    }
}

#endif
