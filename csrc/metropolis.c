/* Single-bit Metropolis on the fields of weights: bit a of weight j changes S_j by d = -+ delta_a, and
   dE = d (f_j + d J_jj); accepted iff beta dE < -ln u. */
#include "kernel.h"

static inline void update_fields(int n, float *restrict fields, float change, const float *restrict row)
{
    for (int l = 0; l < n; l++)
        fields[l] += change * row[l];
}

MULTIVERSION long metropolis_sweep(int n, int bits, const float *restrict couplings, const float *restrict diagonal,
                                   const float *restrict delta, float beta, const float *restrict exponentials,
                                   float *restrict fields, int32_t *restrict levels)
{
    long flips = 0;
    for (int j = 0; j < n; j++) {
        const float own = diagonal[j];
        const int32_t before = levels[j];
        float field = fields[j];
        int32_t level = before;
        /* From the most significant bit down: the small bits then refine the weight that the large ones chose. */
        for (int a = bits - 1; a >= 0; a--) {
            const float d = (level >> a) & 1 ? -delta[a] : delta[a];
            const int accept = beta * (d * field + d * d * own) < *exponentials++;
            field += accept ? 2.0f * d * own : 0.0f;
            level ^= accept << a;
            flips += accept;
        }
        /* All bits of a weight need only its own field, so the row update waits for the last of them:
           the same chain as one update a flip, with one row read instead of up to `bits`. */
        if (level != before) {
            update_fields(n, fields, (float)(level - before) * delta[0] * 2.0f, couplings + (long)j * n);
            levels[j] = level;
        }
    }
    return flips;
}

MULTIVERSION long metropolis_sweep_in_order(int n, int bits, const float *restrict couplings,
                                            const float *restrict diagonal, const float *restrict delta, float beta,
                                            const int32_t *restrict order, const float *restrict exponentials,
                                            float *restrict fields, int32_t *restrict levels)
{
    long flips = 0;
    for (int k = 0; k < n * bits; k++) {
        const int j = order[k] / bits, a = order[k] % bits;
        const float d = (levels[j] >> a) & 1 ? -delta[a] : delta[a];
        if (beta * (d * fields[j] + d * d * diagonal[j]) < exponentials[k]) {
            levels[j] ^= 1 << a;
            update_fields(n, fields, 2.0f * d, couplings + (long)j * n);
            flips++;
        }
    }
    return flips;
}
