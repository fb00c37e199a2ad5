/* Vectors of LANES numbers by the compiler's vector extensions, and the operations that a move of one chain (float,
   int32_t) and of LANES chains (floats, ints) have in common: one name for both.

   For each instruction set one source file defines LANES, a divisor of MAX_LANES, and includes this. A comparison
   gives 0 or 1 for one chain and, lane by lane, 0 or -1 for LANES: either is a mask to `choose` and `masked`. */
#ifndef ANNEALTRAIN_SIMD_H
#define ANNEALTRAIN_SIMD_H

#include <stdint.h>
#include <string.h>

#ifndef LANES
#error "define LANES, the floats of a vector, before this header"
#endif

#if defined(__x86_64__) && LANES > 4
#include <immintrin.h>
#endif

/* Unroll the next loop, of `count` rounds at most: only then do the arrays of its sums lie in registers. */
#define PRAGMA(words) _Pragma(#words)
#ifdef __clang__
#define UNROLL(count) PRAGMA(clang loop unroll(full))
#else
#define UNROLL(count) PRAGMA(GCC unroll count)
#endif

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

static inline floats splat(float x) { return x - (floats){}; }

/* Whether the mask is set in any lane. */
static inline int any(ints mask)
{
#if defined(__x86_64__) && LANES == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__x86_64__) && LANES == 8
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    int32_t set = 0;
    for (int k = 0; k < LANES; k++)
        set |= mask[k];
    return set != 0;
#endif
}

/* yes where the mask is set, else no. */
#define choose(mask, yes, no) _Generic((yes), float: choose_chain, floats: choose_lanes)(mask, yes, no)

static inline float choose_chain(int mask, float yes, float no) { return mask ? yes : no; }

static inline floats choose_lanes(ints mask, floats yes, floats no)
{
    return (floats)((mask & (ints)yes) | (~mask & (ints)no));
}

/* Whether the mask is set, asked where one chain saves work by a branch; LANES seldom agree, so they go on: 0. */
#define is_shortcut(mask) _Generic((mask), int32_t: is_shortcut_chain, ints: is_shortcut_lanes)(mask)

static inline int is_shortcut_chain(int32_t mask) { return mask; }

static inline int is_shortcut_lanes(ints mask) { return (void)mask, 0; }

/* bits (int) where the mask is set, else 0. */
#define masked(mask, bits) _Generic((mask), int32_t: masked_chain, ints: masked_lanes)(mask, bits)

static inline int32_t masked_chain(int32_t mask, int32_t bits) { return mask ? bits : 0; }

static inline ints masked_lanes(ints mask, int32_t bits) { return mask & bits; }

/* 1 where the mask is set, else 0. */
#define count_of(mask) _Generic((mask), int32_t: count_chain, ints: count_lanes)(mask)

static inline int32_t count_chain(int32_t mask) { return mask; }

static inline ints count_lanes(ints mask) { return -mask; }

/* x, or -x where bit a of `bits` is set. */
#define negated_if_bit(bits, a, x) \
    _Generic((bits), int32_t: negated_if_bit_chain, ints: negated_if_bit_lanes)(bits, a, x)

static inline float negated_if_bit_chain(int32_t bits, int a, float x) { return x * (float)(1 - 2 * (bits >> a & 1)); }

static inline floats negated_if_bit_lanes(ints bits, int a, float x)
{
    return (floats)((ints)splat(x) ^ (bits << (31 - a) & INT32_MIN));
}

/* |x| */
#define magnitude(x) _Generic((x), float: magnitude_chain, floats: magnitude_lanes)(x)

static inline float magnitude_chain(float x) { return __builtin_fabsf(x); }

static inline floats magnitude_lanes(floats x) { return (floats)((ints)x & INT32_MAX); }

/* max(x, low) and min(x, high). */
#define at_least(x, low) choose((x) < (low), low, x)
#define at_most(x, high) choose((x) > (high), high, x)

/* Whole numbers as floats, and floats cut off to whole numbers, |x| < 2^31. */
#define to_floats(x) _Generic((x), int32_t: to_floats_chain, ints: to_floats_lanes)(x)
#define to_ints(x) _Generic((x), float: to_ints_chain, floats: to_ints_lanes)(x)

static inline float to_floats_chain(int32_t x) { return (float)x; }

static inline floats to_floats_lanes(ints x) { return __builtin_convertvector(x, floats); }

static inline int32_t to_ints_chain(float x) { return (int32_t)x; }

static inline ints to_ints_lanes(floats x) { return __builtin_convertvector(x, ints); }

/* Largest whole number not above x, |x| < 2^31. */
#define round_down(x) _Generic((x), float: round_down_chain, floats: round_down_lanes)(x)

static inline float round_down_chain(float x)
{
    const float whole = to_floats(to_ints(x));
    return whole - (whole > x ? 1.0f : 0.0f);
}

static inline floats round_down_lanes(floats x)
{
    const floats whole = to_floats(to_ints(x));
    return whole - choose(whole > x, splat(1.0f), splat(0.0f));
}

/* sqrt(x), correctly rounded. */
#define square_root(x) _Generic((x), float: square_root_chain, floats: square_root_lanes)(x)

static inline float square_root_chain(float x) { return __builtin_sqrtf(x); }

static inline floats square_root_lanes(floats x)
{
    float each[LANES];
    memcpy(each, &x, sizeof each);
    for (int k = 0; k < LANES; k++)
        each[k] = __builtin_sqrtf(each[k]);
    memcpy(&x, each, sizeof each);
    return x;
}

#endif
