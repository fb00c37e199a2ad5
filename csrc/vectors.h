/* Vectors of LANES numbers by GCC's vector extensions, and random numbers made LANES at a time.
   Included once for each instruction set; LANES divides 16. */
#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

static inline floats choose(ints mask, floats yes, floats no)
{
    return (floats)((mask & (ints)yes) | (~mask & (ints)no));
}

static inline floats splat(float x) { return x - (floats){}; }

static inline floats magnitude(floats x) { return (floats)((ints)x & 0x7fffffff); }

/* x, or -x where the top bit of `sign` is set. */
static inline floats negated_if(ints sign, floats x) { return (floats)((ints)x ^ (sign & (-0x7fffffff - 1))); }

static inline floats to_floats(ints x) { return __builtin_convertvector(x, floats); }

static inline floats at_least(floats x, floats low) { return choose(x < low, low, x); }

static inline floats at_most(floats x, floats high) { return choose(x > high, high, x); }

/* Whether the mask is set in any lane. */
static inline int any(ints mask)
{
#if defined(__AVX512F__) && LANES == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__) && LANES == 8
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    int32_t together = 0;
    for (int k = 0; k < LANES; k++)
        together |= mask[k];
    return together != 0;
#endif
}

/* Largest whole number not above x, |x| < 2^31. */
static inline floats round_down(floats x)
{
    floats whole = to_floats(__builtin_convertvector(x, ints));
    return whole - choose(whole > x, splat(1.0f), splat(0.0f));
}

static inline floats square_root(floats x)
{
    float each[LANES];
    memcpy(each, &x, sizeof each);
    for (int k = 0; k < LANES; k++)
        each[k] = __builtin_sqrtf(each[k]);
    memcpy(&x, each, sizeof each);
    return x;
}

static inline words rotate(words x, int k) { return (x << k) | (x >> (32 - k)); }

/* Threefry-4x32 with 12 rounds (Salmon, Moraes, Dror, Shaw 2011): four words from a key and a counter of three. */
static inline void threefry(words key0, words key1, words counter, uint32_t sweep, uint32_t purpose, words out[4])
{
    static const int turns[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
    const words zero = key0 ^ key0;
    const words keys[5] = {key0, key1, zero, zero, key0 ^ key1 ^ 0x1BD11BDAu};
    words a = counter + key0, b = key1 + sweep, c = zero + purpose, d = zero;
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
        if (round % 2 == 0) {
            a += b, b = rotate(b, turns[round % 8][0]) ^ a;
            c += d, d = rotate(d, turns[round % 8][1]) ^ c;
        } else {
            a += d, d = rotate(d, turns[round % 8][0]) ^ a;
            c += b, b = rotate(b, turns[round % 8][1]) ^ c;
        }
        if (round % 4 == 3) {
            const int s = round / 4 + 1;
            a += keys[s % 5], b += keys[(s + 1) % 5], c += keys[(s + 2) % 5], d += keys[(s + 3) % 5] + (uint32_t)s;
        }
    }
    out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

/* A number (k + 1/2) / 2^23 in (0, 1). */
static inline floats uniform(words word)
{
    return (to_floats((ints)(word >> 9)) + 0.5f) * 1.1920928955078125e-7f;
}

/* -ln u; relative error below 4e-7.  u = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)). */
static inline floats minus_log(floats u)
{
    ints pattern = (ints)u;
    const ints exponent = (pattern - 0x3f3504f3) >> 23;
    pattern -= exponent << 23;
    const floats m = (floats)pattern, z = (m - 1.0f) / (m + 1.0f), y = z * z;
    const floats series = 2.0f + y * (0.66666667f + y * (0.4f + y * (0.28571429f + y * 0.22222222f)));
    return -(z * series + to_floats(exponent) * 0.69314718f);
}

/* What a word is for: the third word of its counter. */
enum purpose { NUMBERS, HALVES, FRACTIONS, ORDER };

/* Number i of a sweep is word (i % 64) / 16 at counter 16 (i / 64) + i % 16: the same for one chain, whose numbers
   lie side by side, and for many, whose number i lie side by side. */

/* Slice moves need an exponential (-ln u) and then a uniform number, quantum annealing exponentials. */
static inline floats number(words word, ints is_exponential)
{
    const floats u = uniform(word);
    return choose(is_exponential, minus_log(u), u);
}

/* 64 numbers of one chain from number 64 * group on. */
static inline void chain_numbers(const uint32_t *key, int sweep, int group, int is_slice, float *out)
{
    const words zero = {};
    for (int part = 0; part < 16; part += LANES) {
        words counter, made[4];
        ints is_exponential;
        for (int k = 0; k < LANES; k++) {
            counter[k] = (uint32_t)(16 * group + part + k);
            is_exponential[k] = is_slice && k % 2 ? 0 : -1;
        }
        threefry(zero + key[0], zero + key[1], counter, (uint32_t)sweep, NUMBERS, made);
        for (int w = 0; w < 4; w++) {
            const floats numbers = number(made[w], is_exponential);
            memcpy(out + 16 * w + part, &numbers, sizeof numbers);
        }
    }
}

/* The same 64 numbers of LANES chains: (64, LANES). */
static inline void lane_numbers(words key0, words key1, int sweep, int group, int is_slice, floats *out)
{
    const words zero = {};
    for (int k = 0; k < 16; k++) {
        words made[4];
        threefry(key0, key1, zero + (uint32_t)(16 * group + k), (uint32_t)sweep, NUMBERS, made);
        for (int w = 0; w < 4; w++)
            out[16 * w + k] = is_slice && k % 2 ? uniform(made[w]) : minus_log(uniform(made[w]));
    }
}
