/* Random numbers of a chain: a function of its key, the sweep and the number's place, made LANES at a time.

   Number i of a sweep is word (i % 64) / 16 at counter 16 (i / 64) + i % 16: the same for one chain, whose numbers lie
   side by side in a vector, and for LANES chains, whose number i lie side by side. */
#ifndef ANNEALTRAIN_THREEFRY_H
#define ANNEALTRAIN_THREEFRY_H

#include "simd.h"

#include <stdint.h>
#include <string.h>

/* What a word is for: the third word of its counter. */
enum purpose {
    FOR_NUMBERS,       /* exponentials and uniform numbers, of slice moves and of quantum annealing */
    FOR_LEADING_BITS,  /* of the uniform numbers of Metropolis' rule, see metropolis.h */
    FOR_TRAILING_BITS, /* of the same */
    FOR_BLOCK_ORDER    /* the order of visits, one for all chains */
};

static inline words rotate(words x, int k) { return (x << k) | (x >> (32 - k)); }

/* Threefry-4x32 with 12 rounds (Salmon, Moraes, Dror, Shaw 2011): four words from a key and a counter of three. */
static inline void threefry(words key0, words key1, words counter, uint32_t sweep, uint32_t purpose, words out[4])
{
    static const int turns[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
    const words zero = {};
    const words keys[5] = {key0, key1, zero, zero, key0 ^ key1 ^ 0x1BD11BDAu};
    words a = counter + key0, b = key1 + sweep, c = zero + purpose, d = zero;
    UNROLL(12)
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

/* A number (k + 1/2) / 2^23 in (0, 1), k the word's leading 23 bits. */
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

/* A unit exponential, -ln u, or the uniform number u itself. Slice moves need one of each, quantum annealing
   exponentials. */
static inline floats number(words word, ints is_exponential)
{
    const floats u = uniform(word);
    return choose(is_exponential, minus_log(u), u);
}

/* 64 numbers of one chain from number 64 * group on; if is_slice, every other one is uniform. */
static inline void chain_numbers(const uint32_t *key, int sweep, int group, int is_slice, float *out)
{
    const words zero = {};
    for (int part = 0; part < 16; part += LANES) {
        words counter, random[4];
        ints is_exponential;
        for (int k = 0; k < LANES; k++) {
            counter[k] = (uint32_t)(16 * group + part + k);
            is_exponential[k] = is_slice && k % 2 ? 0 : -1;
        }
        threefry(zero + key[0], zero + key[1], counter, (uint32_t)sweep, FOR_NUMBERS, random);
        for (int w = 0; w < 4; w++) {
            const floats numbers = number(random[w], is_exponential);
            memcpy(out + 16 * w + part, &numbers, sizeof numbers);
        }
    }
}

/* The same 64 numbers of LANES chains: out (64, LANES). */
static inline void lane_numbers(words key0, words key1, int sweep, int group, int is_slice, floats *out)
{
    const words zero = {};
    for (int k = 0; k < 16; k++) {
        words random[4];
        threefry(key0, key1, zero + (uint32_t)(16 * group + k), (uint32_t)sweep, FOR_NUMBERS, random);
        for (int w = 0; w < 4; w++)
            out[16 * w + k] = is_slice && k % 2 ? uniform(random[w]) : minus_log(uniform(random[w]));
    }
}

/* The first `count` numbers of a sweep of one chain: out (count). */
static inline void random_numbers(const uint32_t *key, int sweep, int is_slice, int count, float *out)
{
    float numbers[64];
    for (int start = 0; start < count; start += 64) {
        chain_numbers(key, sweep, start / 64, is_slice, numbers);
        memcpy(out + start, numbers, sizeof(float) * (size_t)(count - start < 64 ? count - start : 64));
    }
}

#endif
