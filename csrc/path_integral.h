/* Simulated quantum annealing: path-integral (Suzuki-Trotter) sweeps of one unit.

   `slices` replicas, a ring in imaginary time, lie side by side. Slice k has the weight exp(-b E(S^k)) and each spin
   the weight exp(K s^k s^(k+1)) with its neighbours in time, b = beta / P, K = -ln(tanh(b Gamma)) / 2. For each spin
   the even slices move, then the odd ones, by Metropolis; then the spin's whole world line, all slices at once. */
#ifndef ANNEALTRAIN_PATH_INTEGRAL_H
#define ANNEALTRAIN_PATH_INTEGRAL_H

#include "kernel.h"
#include "simd.h"
#include "threefry.h"

#include <stdint.h>
#include <string.h>

/* One unit in its sweep, for `vectors` vectors of LANES slices each. */
struct path {
    const struct problem *problem;
    int slices, vectors;
    float beta, coupling; /* b and K of this sweep */
    floats *numbers;      /* (vectors, 64) exponentials, of the slices' next 64 moves */
    float *line_numbers;  /* (64) the same, of the world lines */
    float *ring;          /* (slices + 2) one spin in all slices, the ring's ends repeated beyond them */
    floats *changes;      /* (vectors) of the weight that is visited, in each slice */
    int64_t flips;
};

/* Fill in the exponentials number 64 * group to 64 * group + 63 of a sweep. */
static inline void draw_path_numbers(const struct path *path, const uint32_t *keys, int sweep, int group)
{
    for (int q = 0; q < path->vectors; q++) {
        words key0, key1;
        memcpy(&key0, keys + q * LANES, sizeof key0);
        memcpy(&key1, keys + path->slices + q * LANES, sizeof key1);
        lane_numbers(key0, key1, sweep, group, 0, path->numbers + (long)q * 64);
    }
    chain_numbers(keys + 2 * path->slices, sweep, group, 0, path->line_numbers);
}

/* Sum s^(k-1) + s^(k+1) of a spin's neighbours in time, for vector q of the ring. */
static inline floats neighbour_sum(const float *ring, int q)
{
    floats left, right;
    memcpy(&left, ring + q * LANES, sizeof left);
    memcpy(&right, ring + q * LANES + 2, sizeof right);
    return left + right;
}

/* ring[1:slices + 1] = 2 * (levels >> a & 1) - 1, closed at both ends. */
static inline void set_ring(float *ring, int slices, const ints *levels, int a)
{
    for (int q = 0; q < slices / LANES; q++) {
        const floats spins = to_floats(((levels[q] >> a) & 1) * 2 - 1);
        memcpy(ring + 1 + q * LANES, &spins, sizeof spins);
    }
    ring[0] = ring[slices], ring[slices + 1] = ring[1];
}

/* Metropolis on bit a of weight j in the slices of the mask `moving`, none of which are neighbours.
   number: place of its exponential among the 64.  fields, levels: (vectors) of weight j. */
static inline void move_slices(struct path *path, int j, int a, ints moving, int number, const floats *fields,
                               ints *levels)
{
    const float diagonal = path->problem->diagonal[j], size = path->problem->delta[a];
    /* cost = beta * d * (fields + 2 * changes * J_jj + d * J_jj) + 2 * K * spin * (left + right); flip if < Exp(1) */
    for (int q = 0; q < path->vectors; q++) {
        const ints is_up = -((levels[q] >> a) & 1);
        const floats d = choose(is_up, splat(-size), splat(size));
        const floats spin = choose(is_up, splat(1.0f), splat(-1.0f));
        const floats field = fields[q] + 2.0f * path->changes[q] * diagonal;
        const floats cost = path->beta * (d * field + d * d * diagonal)
                            + 2.0f * path->coupling * spin * neighbour_sum(path->ring, q);
        const ints accept = (cost < path->numbers[(long)q * 64 + number]) & moving;
        levels[q] ^= accept & (1 << a);
        path->changes[q] += choose(accept, d, splat(0.0f));
        for (int k = 0; k < LANES; k++)
            path->flips -= accept[k];
    }
}

/* Metropolis on the world line of bit a of weight j: all slices, which leaves the neighbours in time as they are. */
static inline void move_world_line(struct path *path, int j, int a, int number, const floats *fields, ints *levels)
{
    const float diagonal = path->problem->diagonal[j], size = path->problem->delta[a];
    /* cost = (d * (fields + 2 * changes * J_jj) + d * d * J_jj).sum(), slice after slice;
       flip if beta * cost < Exp(1) */
    float cost = 0.0f;
    for (int k = 0; k < path->slices; k++) {
        const int q = k / LANES, lane = k % LANES;
        const float d = (levels[q][lane] >> a) & 1 ? -size : size;
        cost += d * (fields[q][lane] + 2.0f * path->changes[q][lane] * diagonal) + d * d * diagonal;
    }
    if (path->beta * cost < path->line_numbers[number]) {
        for (int q = 0; q < path->vectors; q++) {
            const ints is_up = -((levels[q] >> a) & 1);
            path->changes[q] += choose(is_up, splat(-size), splat(size));
            levels[q] ^= 1 << a;
        }
        path->flips += path->slices;
    }
}

/* fields (n, vectors) += np.outer(row, changes) */
static inline __attribute__((always_inline)) void add_outer(int n, const int vectors, const float *row,
                                                            const floats *restrict changes, floats *restrict fields)
{
    for (int l = 0; l < n; l++)
        for (int q = 0; q < vectors; q++)
            fields[(long)l * vectors + q] += row[l] * changes[q];
}

/* fields (n, vectors) += 2 * np.outer(J[j], changes); the changes are doubled in place. The inner loop is short: with
   its length known, as for MAX_LANES slices (the least there can be), it is no loop. */
static inline void add_path_changes(const struct problem *p, int j, int vectors, floats *changes, floats *fields)
{
    const float *row = p->couplings + j * p->stride;
    for (int q = 0; q < vectors; q++)
        changes[q] *= 2.0f;
    if (vectors == MAX_LANES / LANES)
        add_outer(p->n, MAX_LANES / LANES, row, changes, fields);
    else
        add_outer(p->n, vectors, row, changes, fields);
}

/* See path_integral_function.  buffer: numbers (vectors, 64, LANES), world-line numbers (64), the ring. */
static int64_t anneal_path_integral(const struct problem *p, int slices, const float *betas,
                                    const float *ring_couplings, int first, int sweeps, const uint32_t *keys,
                                    float *buffer, float *all_fields, int32_t *all_levels)
{
    const int vectors = slices / LANES;
    floats changes[vectors], *fields = (floats *)all_fields;
    float *line_numbers = buffer + 64L * slices;
    struct path path = {.problem = p,
                        .slices = slices,
                        .vectors = vectors,
                        .numbers = (floats *)buffer,
                        .line_numbers = line_numbers,
                        .ring = line_numbers + 64,
                        .changes = changes};
    ints is_even;
    for (int k = 0; k < LANES; k++)
        is_even[k] = k % 2 ? 0 : -1;
    for (int s = 0; s < sweeps; s++) {
        path.beta = betas[s], path.coupling = ring_couplings[s];
        int next = 0; /* number of the next exponential */
        for (int j = 0; j < p->n; j++) {
            ints *levels = (ints *)all_levels + (long)j * vectors;
            const floats *weight_fields = fields + (long)j * vectors;
            memset(changes, 0, sizeof changes);
            for (int a = p->bits - 1; a >= 0; a--, next++) {
                if (next % 64 == 0)
                    draw_path_numbers(&path, keys, first + s, next / 64);
                set_ring(path.ring, slices, levels, a);
                move_slices(&path, j, a, is_even, next % 64, weight_fields, levels);
                set_ring(path.ring, slices, levels, a);
                move_slices(&path, j, a, ~is_even, next % 64, weight_fields, levels);
                move_world_line(&path, j, a, next % 64, weight_fields, levels);
            }
            add_path_changes(p, j, vectors, changes, fields);
        }
    }
    return path.flips;
}

#endif
