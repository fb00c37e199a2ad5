/* Anneal small problems by the plain kernel and print every bit of what comes out: tests/test_aarch64.py compares two
   processors by it. No Python, no files, no time. */
#include "kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 75, BITS = 3, STRIDE = 80, SWEEPS = 12, ROWS = 96, COLUMNS = 96, SLICES = 32 };

static uint64_t state = 1;

/* Return a number in [-1, 1), of 24 bits, so that a float holds it. */
static float uniform(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)(int64_t)(state >> 40) / 8388608.0f - 1.0f;
}

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory)
        exit(1);
    return memset(memory, 0, (bytes + 63) / 64 * 64);
}

static float *floats(size_t count) { return aligned(count * sizeof(float)); }

static int32_t *integers(size_t count) { return aligned(count * sizeof(int32_t)); }

static void print_floats(const char *name, const float *values, size_t count)
{
    printf("%s", name);
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        printf(" %08" PRIx32, bits);
    }
    printf("\n");
}

static void print_integers(const char *name, const int32_t *values, size_t count)
{
    printf("%s", name);
    for (size_t i = 0; i < count; ++i)
        printf(" %" PRId32, values[i]);
    printf("\n");
}

/* Return symmetric couplings (N, STRIDE), X'X of uniform X with as many rows. */
static float *random_couplings(void)
{
    static float x[N][N];
    float *couplings = floats(N * STRIDE);
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j)
            x[i][j] = uniform();
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j)
            for (int k = 0; k < N; ++k)
                couplings[i * STRIDE + j] += x[k][i] * x[k][j] / N;
    return couplings;
}

static void anneal_one(const struct kernel *kernel, const struct problem *problem, const float *betas)
{
    const uint32_t key[2] = {7, 11};
    float *fields = floats(N), *buffer = floats(2 * N * BITS + 256);
    int32_t *levels = integers(N);
    for (int j = 0; j < N; ++j) {
        fields[j] = uniform();
        levels[j] = j % 8;
    }
    int64_t flips = kernel->anneal_chain(problem, NULL, betas, 0, SWEEPS, key, buffer, fields, levels);
    printf("chain, move %d: %" PRId64 " flips\n", (int)problem->move, flips);
    print_floats("fields", fields, N);
    print_integers("levels", levels, N);
}

static void anneal_lanes(const struct kernel *kernel, const struct problem *problem, const float *betas)
{
    int lanes = kernel->lanes;
    float *lane_betas = floats(SWEEPS * lanes), *fields = floats(lanes * STRIDE), *buffer = floats(64 * lanes);
    int32_t *levels = integers(N * lanes), *flips = integers(lanes);
    uint32_t *keys = aligned(2 * lanes * sizeof *keys);
    for (int i = 0; i < SWEEPS * lanes; ++i)
        lane_betas[i] = betas[i / lanes];
    for (int i = 0; i < 2 * lanes; ++i)
        keys[i] = 100 + i;
    for (int i = 0; i < lanes; ++i)
        for (int j = 0; j < N; ++j)
            fields[i * STRIDE + j] = uniform();
    kernel->anneal_lanes(problem, lanes, lane_betas, 0, SWEEPS, keys, buffer, fields, levels, flips);
    printf("%d lanes, move %d\n", lanes, (int)problem->move);
    print_floats("fields", fields, lanes * STRIDE);
    print_integers("levels", levels, N * lanes);
    print_integers("flips", flips, lanes);
}

static void anneal_shared_inputs(const struct kernel *kernel, const struct problem *problem, const float *betas)
{
    int lanes = kernel->lanes;
    float *inputs = floats(COLUMNS * ROWS), *weights = floats(ROWS * lanes), *ridges = floats(lanes);
    float *grams = floats(COLUMNS * BLOCK * lanes), *residuals = floats(ROWS * lanes), *buffer = floats(64 * lanes);
    float *lane_betas = floats(SWEEPS * lanes);
    int32_t *levels = integers(N * lanes), *flips = integers(lanes);
    uint32_t *keys = aligned(2 * lanes * sizeof *keys);
    for (int j = 0; j < N; ++j)
        for (int row = 0; row < ROWS; ++row)
            inputs[(j / BLOCK * ROWS + row) * BLOCK + j % BLOCK] = uniform();
    for (int i = 0; i < ROWS * lanes; ++i) {
        weights[i] = (2 + uniform()) / ROWS;
        residuals[i] = uniform() / ROWS;
    }
    for (int i = 0; i < SWEEPS * lanes; ++i)
        lane_betas[i] = betas[i / lanes];
    for (int i = 0; i < 2 * lanes; ++i)
        keys[i] = 300 + i;
    kernel->block_grams(N, ROWS, inputs, weights, grams);
    kernel->anneal_shared_inputs(problem, ROWS, inputs, weights, grams, ridges, 0.5f, lane_betas, 0, SWEEPS, keys,
                                 buffer, residuals, levels, flips);
    printf("shared inputs, move %d\n", (int)problem->move);
    print_floats("residuals", residuals, ROWS * lanes);
    print_integers("levels", levels, N * lanes);
    print_integers("flips", flips, lanes);
}

static void anneal_path_integral(const struct kernel *kernel, const struct problem *problem, const float *betas)
{
    float *ring = floats(SWEEPS), *fields = floats(N * SLICES), *buffer = floats(64 * (SLICES + 1) + SLICES + 2);
    int32_t *levels = integers(N * SLICES);
    uint32_t *keys = aligned((2 * SLICES + 2) * sizeof *keys);
    for (int i = 0; i < SWEEPS; ++i)
        ring[i] = 0.1f * (float)(i + 1);
    for (int i = 0; i < 2 * SLICES + 2; ++i)
        keys[i] = 500 + i;
    for (int i = 0; i < N * SLICES; ++i)
        fields[i] = uniform();
    int64_t flips = kernel->anneal_path_integral(problem, SLICES, betas, ring, 0, SWEEPS, keys, buffer, fields, levels);
    printf("path integral: %" PRId64 " flips\n", flips);
    print_floats("fields", fields, N * SLICES);
    print_integers("levels", levels, N * SLICES);
}

int main(void)
{
    extern const struct kernel kernel_plain;
    float *couplings = random_couplings(), *diagonal = floats(N), *betas = floats(SWEEPS);
    static const float delta[BITS] = {0.125f, 0.25f, 0.5f};
    for (int j = 0; j < N; ++j)
        diagonal[j] = couplings[j * STRIDE + j];
    for (int i = 0; i < SWEEPS; ++i)
        betas[i] = 2.0f * (float)(i + 1);
    for (int move = MOVE_BIT; move <= MOVE_GREEDY; ++move) {
        const struct problem problem = {N, BITS, STRIDE, couplings, diagonal, delta, (enum move)move};
        anneal_one(&kernel_plain, &problem, betas);
        anneal_lanes(&kernel_plain, &problem, betas);
        anneal_shared_inputs(&kernel_plain, &problem, betas);
        if (move == MOVE_BIT)
            anneal_path_integral(&kernel_plain, &problem, betas);
    }
    return 0;
}
