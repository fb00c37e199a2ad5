/* Single-bit Metropolis at the level of weights: one row of J serves all bits of a weight. */
#include "kernel.h"

MULTIVERSION long metropolis_sweep(int n, int stride, int bits, const float *restrict couplings,
                                   const float *restrict diagonal, const float *restrict delta, float beta,
                                   const int32_t *restrict order, const float *restrict exponentials,
                                   float *restrict fields, int32_t *restrict levels)
{
    long flips = 0;
    for (int k = 0; k < n; k++) {
        const int j = order ? order[k] : k;
        const float *restrict e = exponentials + (long)k * bits;
        const float own = diagonal[j];
        const int32_t before = levels[j];
        float field = fields[j];
        int32_t level = before;
        /* From the most significant bit down: the small bits then refine the weight that the large ones chose. */
        for (int a = bits - 1; a >= 0; a--) {
            const float d = (level >> a) & 1 ? -delta[a] : delta[a];
            const float cost = d * field + d * d * own;
            const int accept = beta * cost < *e++;
            field += accept ? 2.0f * d * own : 0.0f;
            level ^= accept << a;
            flips += accept;
        }
        /* All n bits of a weight need only its own field, so the row update waits for the last of them:
           the same chain as one update a flip, with one row read instead of up to n. */
        if (level != before) {
            const float change = (float)(level - before) * delta[0] * 2.0f;
            const float *restrict row = couplings + (long)j * stride;
            for (int l = 0; l < n; l++)
                fields[l] += change * row[l];
            levels[j] = level;
        }
    }
    return flips;
}
