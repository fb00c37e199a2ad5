/* The sweeps of one chain, and of LANES chains side by side. Included once for each instruction set.

   A weight is visited by one of three moves on its level u, with f = dE/dS there and d the weight's change:
   dE = d (f + d J_jj).  In both forms below the same operations stand in the same order. */
#include "kernel.h"
#include "vectors.h"

#define BLOCK 32
#define TINY 1e-30f /* keeps a straight line's roots (J_jj = 0) from 0 / 0 */

static inline float floor_of(float x)
{
    const float whole = (float)(int32_t)x;
    return whole - (whole > x ? 1.0f : 0.0f);
}

/* Metropolis on the bits of one weight, from the most significant down: the small bits then refine what the large
   ones chose. A flip is accepted iff beta dE < -ln u, Eqs. (30), (31). Returns the new level. */
static inline int32_t flip_bits(const struct problem *p, float own, float beta, const float *numbers, float field,
                                int32_t level, int64_t *flips)
{
    for (int a = p->bits - 1; a >= 0; a--) {
        const float d = (level >> a) & 1 ? -p->delta[a] : p->delta[a];
        const int accept = beta * (d * field + d * d * own) < *numbers++;
        field += accept ? 2.0f * d * own : 0.0f;
        level ^= accept << a;
        *flips += accept;
    }
    return level;
}

/* Slice sampling (Neal 2003) of the level: draw an energy under which to stay, E(u) + Exp(1) / beta, then a level
   uniformly from the interval where the parabola x (f step + x J_jj step^2) lies below it. */
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
    const float x = low + floor_of(numbers[1] * (high - low + 1.0f));
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

static inline void add_row(int n, float *restrict fields, float change, const float *restrict row)
{
    for (int l = 0; l < n; l++)
        fields[l] += change * row[l];
}

static int64_t visit_in_order(const struct problem *p, const float *couplings, const int32_t *order, float beta,
                              const float *numbers, float *fields, int32_t *levels)
{
    int64_t flips = 0;
    for (int k = 0; k < p->n * p->bits; k++) {
        const int j = order[k] / p->bits, a = order[k] % p->bits;
        const float d = (levels[j] >> a) & 1 ? -p->delta[a] : p->delta[a];
        if (beta * (d * fields[j] + d * d * p->diagonal[j]) < numbers[k]) {
            levels[j] ^= 1 << a;
            add_row(p->n, fields, 2.0f * d, couplings + (long)j * p->n);
            flips++;
        }
    }
    return flips;
}

static int64_t anneal_chain(const struct problem *p, const float *couplings, const int32_t *order,
                            const float *betas, int first, int sweeps, const uint32_t *key, float *buffer,
                            float *fields, int32_t *levels)
{
    const int n = p->n, is_slice = p->move == MOVE_SLICE;
    const int numbers = p->move == MOVE_BIT ? p->bits : is_slice ? 2 : 0; /* a weight */
    int64_t flips = 0;
    for (int s = 0; s < sweeps; s++) {
        for (int group = 0; 64 * group < numbers * n; group++)
            chain_numbers(key, first + s, group, is_slice, buffer + 64 * group);
        if (order) {
            flips += visit_in_order(p, couplings, order + (long)s * n * p->bits, betas[s], buffer, fields, levels);
            continue;
        }
        for (int j = 0; j < n; j++) {
            const float *own_numbers = buffer + (long)j * numbers;
            const int32_t before = levels[j];
            int32_t level;
            if (p->move == MOVE_BIT)
                level = flip_bits(p, p->diagonal[j], betas[s], own_numbers, fields[j], before, &flips);
            else {
                level = is_slice ? slice_level(p, p->diagonal[j], betas[s], own_numbers, fields[j], before)
                                 : best_level(p, p->diagonal[j], fields[j], before);
                flips += level != before;
            }
            /* All bits of a weight need only its own field, so the row update waits for the last of them: the same
               chain as one update a flip, with one row read instead of up to `bits`. */
            if (level != before) {
                add_row(n, fields, (float)(level - before) * (2.0f * p->delta[0]), couplings + (long)j * n);
                levels[j] = level;
            }
        }
    }
    return flips;
}

static inline ints flip_bits_lanes(const struct problem *p, floats own, floats beta, words key0, words key1, int sweep,
                                   int *drawn, floats *numbers, floats field, ints level, ints *flips)
{
    for (int a = p->bits - 1; a >= 0; a--) {
        if (*drawn % 64 == 0)
            lane_numbers(key0, key1, sweep, *drawn / 64, 0, numbers);
        const ints is_up = -((level >> a) & 1);
        const floats d = choose(is_up, splat(-p->delta[a]), splat(p->delta[a]));
        const ints accept = beta * (d * field + d * d * own) < numbers[(*drawn)++ % 64];
        field += choose(accept, 2.0f * d * own, splat(0.0f));
        level ^= accept & (1 << a);
        *flips -= accept;
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
    const floats x = low + round_down(uniform * (high - low + 1.0f));
    return level + __builtin_convertvector(at_most(x, high), ints);
}

static inline ints best_level_lanes(const struct problem *p, floats own, floats field, ints level)
{
    const float top = (float)((1 << p->bits) - 1);
    const floats here = to_floats(level);
    floats x = -(field * p->delta[0]) / (2.0f * (own * p->delta[0] * p->delta[0]) + TINY);
    x = at_most(at_least(x, -here), top - here);
    return level + __builtin_convertvector(round_down(x + 0.5f), ints);
}

/* What the lanes of one call share while they sweep. */
struct lanes_state {
    words key0, key1;
    floats beta, *numbers;
    int sweep, drawn;
    ints flips;
};

/* Move one weight of each lane; `own` is J_jj. Returns its change times 2, for the fields of the other weights. */
static inline floats visit_lanes(const struct problem *p, struct lanes_state *state, floats own, floats field,
                                 ints *level)
{
    const ints before = *level;
    if (p->move == MOVE_BIT)
        *level = flip_bits_lanes(p, own, state->beta, state->key0, state->key1, state->sweep, &state->drawn,
                                 state->numbers, field, before, &state->flips);
    else if (p->move == MOVE_SLICE) {
        if (state->drawn % 64 == 0)
            lane_numbers(state->key0, state->key1, state->sweep, state->drawn / 64, 1, state->numbers);
        const floats *numbers = state->numbers + state->drawn % 64;
        *level = slice_level_lanes(p, own, state->beta, numbers[0], numbers[1], field, before);
        state->drawn += 2;
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
}

/* fields (rows, LANES) += J[:, block] changes: a GEMM with 8 rows of sums in registers, in the order of j. */
static inline void add_block(int rows, const float *restrict block, const floats *restrict changes,
                             floats *restrict fields)
{
    for (int l = 0; l < rows; l += 8) {
        floats sums[8];
        for (int r = 0; r < 8; r++)
            sums[r] = fields[l + r];
        const float *row = block + (long)l * BLOCK;
        for (int j = 0; j < BLOCK; j++)
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sums[r] += row[r * BLOCK + j] * changes[j];
        for (int r = 0; r < 8; r++)
            fields[l + r] = sums[r];
    }
}

static void anneal_lanes(const struct problem *p, const float *blocks, const float *betas, int first, int sweeps,
                         const uint32_t *keys, float *buffer, float *all_fields, int32_t *all_levels, int32_t *flips)
{
    const int rows = (p->n + BLOCK - 1) / BLOCK * BLOCK;
    floats *fields = (floats *)all_fields;
    ints *levels = (ints *)all_levels;
    struct lanes_state state = begin_lanes(keys, buffer, flips);
    for (int s = 0; s < sweeps; s++) {
        begin_sweep(&state, betas, s, first);
        for (int start = 0; start < p->n; start += BLOCK) {
            const float *block = blocks + (long)start * rows;
            floats changes[BLOCK];
            for (int k = 0; k < BLOCK; k++) {
                const int j = start + k;
                changes[k] = splat(0.0f);
                if (j >= p->n)
                    continue;
                /* The field as it is after this block's earlier weights; the other weights' fields wait. */
                floats field = fields[j];
                const float *row = block + (long)j * BLOCK;
                for (int i = 0; i < k; i++)
                    field += row[i] * changes[i];
                changes[k] = visit_lanes(p, &state, splat(p->diagonal[j]), field, levels + j);
            }
            add_block(rows, block, changes, fields);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}

/* The residual form, for units that share their inputs X but not their J = X' diag(w) X + ridge I, w = gamma^2 / Q:
   what is kept between weights is the residual e = 2 w X S + ..., with f = X'e + 2 ridge (S - S0), and J only in
   blocks of 32 weights on its diagonal. */

/* gram (BLOCK, BLOCK, LANES), its lower half: sum over rows of weights (LANES) x_j x_i. */
static void block_gram(int rows, const float *restrict inputs, const floats *restrict weights, floats *restrict gram)
{
    for (int j = 0; j < BLOCK; j += 4)
        for (int i = 0; i <= j; i += 4) {
            floats sums[4][4] = {};
            for (int a = 0; a < rows; a++) {
                const float *x = inputs + (long)a * BLOCK;
                for (int r = 0; r < 4; r++) {
                    const floats scaled = x[j + r] * weights[a];
                    for (int c = 0; c < 4; c++)
                        sums[r][c] += x[i + c] * scaled;
                }
            }
            for (int r = 0; r < 4; r++)
                for (int c = 0; c < 4; c++)
                    gram[(j + r) * BLOCK + i + c] = sums[r][c];
        }
}

/* fields (BLOCK, LANES) = X' residuals, over one block of columns. */
static void block_fields(int rows, const float *restrict inputs, const floats *restrict residuals,
                         floats *restrict fields)
{
    for (int j = 0; j < BLOCK; j += 8) {
        floats sums[8] = {};
        for (int a = 0; a < rows; a++)
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sums[r] += inputs[(long)a * BLOCK + j + r] * residuals[a];
        memcpy(fields + j, sums, sizeof sums);
    }
}

/* residuals += weights (X changes), over one block of columns; rows is a multiple of 8. */
static void block_residuals(int rows, const float *restrict inputs, const floats *restrict changes,
                            const floats *restrict weights, floats *restrict residuals)
{
    for (int a = 0; a < rows; a += 8) {
        floats sums[8] = {};
        for (int j = 0; j < BLOCK; j++)
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sums[r] += inputs[(long)(a + r) * BLOCK + j] * changes[j];
        for (int r = 0; r < 8; r++)
            residuals[a + r] += weights[a + r] * sums[r];
    }
}

static void make_grams(int n, int rows, const float *inputs, const float *weights, float *grams)
{
    for (int start = 0; start < n; start += BLOCK)
        block_gram(rows, inputs + (long)start * rows, (const floats *)weights,
                   (floats *)grams + (long)start * BLOCK);
}

static void anneal_rows(const struct problem *p, int rows, const float *inputs, const float *all_weights,
                        const float *all_grams, const float *all_ridges, float half_range, const float *betas,
                        int first, int sweeps, const uint32_t *keys, float *buffer, float *all_residuals,
                        int32_t *all_levels, int32_t *flips)
{
    const floats *weights = (const floats *)all_weights, *grams = (const floats *)all_grams;
    floats *residuals = (floats *)all_residuals, ridge;
    ints *levels = (ints *)all_levels;
    struct lanes_state state = begin_lanes(keys, buffer, flips);
    memcpy(&ridge, all_ridges, sizeof ridge);
    for (int s = 0; s < sweeps; s++) {
        begin_sweep(&state, betas, s, first);
        for (int start = 0; start < p->n; start += BLOCK) {
            const float *block = inputs + (long)start * rows;
            const floats *gram = grams + (long)start * BLOCK;
            floats changes[BLOCK], fields[BLOCK];
            block_fields(rows, block, residuals, fields);
            for (int k = 0; k < BLOCK; k++) {
                const int j = start + k;
                changes[k] = splat(0.0f);
                if (j >= p->n)
                    continue;
                const floats away = to_floats(levels[j]) * p->delta[0] - half_range;
                floats field = fields[k] + 2.0f * ridge * away;
                for (int i = 0; i < k; i++)
                    field += gram[k * BLOCK + i] * changes[i];
                changes[k] = visit_lanes(p, &state, gram[k * BLOCK + k] + ridge, field, levels + j);
            }
            block_residuals(rows, block, changes, weights, residuals);
        }
    }
    memcpy(flips, &state.flips, sizeof state.flips);
}

static void numbers_of_a_sweep(const uint32_t *key, int sweep, int is_slice, int count, float *out)
{
    float made[64];
    for (int start = 0; start < count; start += 64) {
        chain_numbers(key, sweep, start / 64, is_slice, made);
        memcpy(out + start, made, sizeof(float) * (count - start < 64 ? count - start : 64));
    }
}

/* Path-integral (Suzuki-Trotter) sweeps of one unit: `slices` replicas, a ring in imaginary time, side by side.
   Slice k has the weight exp(-b E(S^k)) and each spin the weight exp(K s^k s^(k+1)) with its neighbours in time,
   b = beta / P, K = -ln(tanh(b Gamma)) / 2. For each spin the even slices move, then the odd ones, by Metropolis;
   then the spin's whole world line, all slices at once. */

/* Neighbours' sum s^(k-1) + s^(k+1) of one bit of one weight, for vector q of the ring. */
static inline floats neighbours(const float *ring, int q)
{
    floats left, right;
    memcpy(&left, ring + q * LANES, sizeof left);
    memcpy(&right, ring + q * LANES + 2, sizeof right);
    return left + right;
}

/* Write the spins of bit a as floats into ring[1..slices], closed at both ends. */
static inline void set_ring(float *ring, int slices, const ints *levels, int a)
{
    for (int q = 0; q < slices / LANES; q++) {
        const floats spins = to_floats(((levels[q] >> a) & 1) * 2 - 1);
        memcpy(ring + 1 + q * LANES, &spins, sizeof spins);
    }
    ring[0] = ring[slices], ring[slices + 1] = ring[1];
}

static int64_t anneal_slices(const struct problem *p, const float *couplings, int slices, const float *betas,
                             const float *ring_couplings, int first, int sweeps, const uint32_t *keys, float *buffer,
                             float *all_fields, int32_t *all_levels)
{
    const int wide = slices / LANES;
    floats *fields = (floats *)all_fields;
    ints *levels = (ints *)all_levels;
    /* buffer: numbers (wide, 64, LANES), world-line numbers (64 rounded up), the ring. */
    floats *numbers = (floats *)buffer;
    float *line_numbers = buffer + (long)wide * 64 * LANES, *ring = line_numbers + 64;
    ints is_even;
    for (int k = 0; k < LANES; k++)
        is_even[k] = k % 2 ? 0 : -1;
    int64_t flips = 0;
    for (int s = 0; s < sweeps; s++) {
        const float beta = betas[s], coupling = ring_couplings[s];
        int drawn = 0;
        for (int j = 0; j < p->n; j++) {
            const float own = p->diagonal[j];
            floats changes[wide];
            memset(changes, 0, sizeof changes);
            ints *own_levels = levels + (long)j * wide;
            floats *own_fields = fields + (long)j * wide;
            for (int a = p->bits - 1; a >= 0; a--, drawn++) {
                if (drawn % 64 == 0) {
                    for (int q = 0; q < wide; q++) {
                        words key0, key1;
                        memcpy(&key0, keys + q * LANES, sizeof key0);
                        memcpy(&key1, keys + slices + q * LANES, sizeof key1);
                        lane_numbers(key0, key1, first + s, drawn / 64, 0, numbers + (long)q * 64);
                    }
                    chain_numbers(keys + 2 * slices, first + s, drawn / 64, 0, line_numbers);
                }
                set_ring(ring, slices, own_levels, a);
                for (int parity = 0; parity < 2; parity++) {
                    const ints moving = parity ? ~is_even : is_even;
                    for (int q = 0; q < wide; q++) {
                        const ints is_up = -((own_levels[q] >> a) & 1);
                        const floats d = choose(is_up, splat(-p->delta[a]), splat(p->delta[a]));
                        const floats spin = choose(is_up, splat(1.0f), splat(-1.0f));
                        const floats field = own_fields[q] + 2.0f * changes[q] * own;
                        const floats cost = beta * (d * field + d * d * own)
                                            + 2.0f * coupling * spin * neighbours(ring, q);
                        const ints accept = (cost < numbers[(long)q * 64 + drawn % 64]) & moving;
                        own_levels[q] ^= accept & (1 << a);
                        changes[q] += choose(accept, d, splat(0.0f));
                        for (int k = 0; k < LANES; k++)
                            flips -= accept[k];
                    }
                    set_ring(ring, slices, own_levels, a);
                }
                float cost = 0.0f; /* of the whole world line: its neighbours in time turn with it */
                for (int k = 0; k < slices; k++) {
                    const int q = k / LANES, lane = k % LANES;
                    const float d = (own_levels[q][lane] >> a) & 1 ? -p->delta[a] : p->delta[a];
                    cost += d * (own_fields[q][lane] + 2.0f * changes[q][lane] * own) + d * d * own;
                }
                if (beta * cost < line_numbers[drawn % 64]) {
                    for (int q = 0; q < wide; q++) {
                        const ints is_up = -((own_levels[q] >> a) & 1);
                        changes[q] += choose(is_up, splat(-p->delta[a]), splat(p->delta[a]));
                        own_levels[q] ^= 1 << a;
                    }
                    flips += slices;
                }
            }
            const float *row = couplings + (long)j * p->n;
            for (int q = 0; q < wide; q++)
                changes[q] *= 2.0f;
            for (int l = 0; l < p->n; l++)
                for (int q = 0; q < wide; q++)
                    fields[(long)l * wide + q] += row[l] * changes[q];
        }
    }
    return flips;
}
