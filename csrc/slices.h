/* Simulated quantum annealing. Included once for each instruction set, after sweeps.h.

   Path-integral (Suzuki-Trotter) sweeps of one unit: `slices` replicas, a ring in imaginary time, side by side.
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

static int64_t anneal_slices(const struct problem *p, int slices, const float *betas, const float *ring_couplings,
                             int first, int sweeps, const uint32_t *keys, float *buffer, float *all_fields,
                             int32_t *all_levels)
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
            const float *row = p->couplings + j * p->stride;
            for (int q = 0; q < wide; q++)
                changes[q] *= 2.0f;
            for (int l = 0; l < p->n; l++)
                for (int q = 0; q < wide; q++)
                    fields[(long)l * wide + q] += row[l] * changes[q];
        }
    }
    return flips;
}
