/* Sweeps of LANES chains that share their inputs, but not J. Included once for each instruction set, after sweeps.h.

   The residual form, for units that share their inputs X but not their J = X' diag(w) X + ridge I, w = gamma^2 / Q:
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
        int32_t order[block_count(p->n)];
        block_order(p->n, first + s, order);
        for (int b = 0; b < block_count(p->n); b++) {
            const int start = order[b] * BLOCK;
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
