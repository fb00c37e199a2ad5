/* xoshiro128++ (Blackman, Vigna), sixteen streams side by side, and a vectorised -ln(u). */
#include "kernel.h"

#include <string.h>

static inline uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

/* -ln of a uniform number (k + 1/2) / 2^23 in (0, 1); relative error below 3e-7.
   u = m 2^e with m in [sqrt(1/2), sqrt(2));  ln m = 2 atanh((m - 1) / (m + 1)). */
static inline float minus_log_uniform(uint32_t word)
{
    float u = ((float)(int32_t)(word >> 9) + 0.5f) * 1.1920928955078125e-7f;
    int32_t pattern;
    memcpy(&pattern, &u, 4);
    int32_t exponent = (pattern - 0x3f3504f3) >> 23;
    pattern -= exponent << 23;
    float m;
    memcpy(&m, &pattern, 4);
    float z = (m - 1.0f) / (m + 1.0f), y = z * z;
    float series = 2.0f + y * (0.66666667f + y * (0.4f + y * (0.28571429f + y * 0.22222222f)));
    return -(z * series + (float)exponent * 0.69314718f);
}

MULTIVERSION void fill_exponentials(uint32_t *restrict state, float *restrict out, long count)
{
    uint32_t *restrict a = state, *restrict b = state + 16, *restrict c = state + 32, *restrict d = state + 48;
    for (long start = 0; start < count; start += RANDOM_LANES) {
        float block[RANDOM_LANES];
        for (int k = 0; k < RANDOM_LANES; k++) {
            uint32_t word = rotl(a[k] + d[k], 7) + a[k];
            uint32_t shifted = b[k] << 9;
            c[k] ^= a[k];
            d[k] ^= b[k];
            b[k] ^= c[k];
            a[k] ^= d[k];
            c[k] ^= shifted;
            d[k] = rotl(d[k], 11);
            block[k] = minus_log_uniform(word);
        }
        long left = count - start;
        memcpy(out + start, block, (left < RANDOM_LANES ? left : RANDOM_LANES) * sizeof(float));
    }
}
