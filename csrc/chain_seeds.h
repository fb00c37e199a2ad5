/* What NumPy's SeedSequence and PCG64 give each of many chains: its key, and the random levels that it starts from.

   Thousands of short reads are then seeded in the time that one Python object takes. A SeedSequence hashes words of 32
   bits, one after the other, into a pool of four (O'Neill's seed_seq, a fixed-size rewrite of C++'s); `pool` is that of
   a unit after `hashed` words, and read r hashes one word more, r. */
#ifndef ANNEALTRAIN_CHAIN_SEEDS_H
#define ANNEALTRAIN_CHAIN_SEEDS_H

#include <stdint.h>
#include <string.h>

/* Words of a pool: the first four that are hashed go into one each, and are then mixed with the others. */
#define POOL 4

struct seed_pool {
    uint32_t words[POOL];
    uint32_t multiplier; /* of the next hash: it changes with each */
};

static inline uint32_t fold(uint32_t x) { return x ^ x >> 16; }

/* The pool of a unit, `hashed` words of which the first four took 16 hashes and each further one 4. */
static inline struct seed_pool pool_after(const uint32_t *words, int hashed)
{
    struct seed_pool pool = {.multiplier = 0x43b0d7e5u};
    memcpy(pool.words, words, sizeof pool.words);
    for (int k = 0; k < POOL * hashed; k++)
        pool.multiplier *= 0x931e8875u;
    return pool;
}

/* Hash one word more into all words of the pool. */
static inline void hash_word(struct seed_pool *pool, uint32_t word)
{
    for (int k = 0; k < POOL; k++) {
        const uint32_t salted = word ^ pool->multiplier;
        pool->multiplier *= 0x931e8875u;
        pool->words[k] = fold(0xca01f9ddu * pool->words[k] - 0x4973f715u * fold(salted * pool->multiplier));
    }
}

/* out (count): SeedSequence.generate_state(count). */
static inline void generate_words(const struct seed_pool *pool, int count, uint32_t *out)
{
    uint32_t multiplier = 0x8b51f9ddu;
    for (int k = 0; k < count; k++) {
        const uint32_t salted = pool->words[k % POOL] ^ multiplier;
        multiplier *= 0x58f38dedu;
        out[k] = fold(salted * multiplier);
    }
}

typedef unsigned __int128 wide_word;

/* PCG64 (O'Neill 2014): a linear congruential generator of 128 bits whose halves are XORed and turned. */
struct pcg64 {
    wide_word state, increment;
};

static inline void pcg64_advance(struct pcg64 *generator)
{
    const wide_word factor = (wide_word)0x2360ed051fc65da4u << 64 | 0x4385df649fccf645u;
    generator->state = generator->state * factor + generator->increment;
}

/* The next 64 bits; NumPy's 32-bit numbers are their lower half, then their upper half. */
static inline uint64_t pcg64_next(struct pcg64 *generator)
{
    pcg64_advance(generator);
    const uint64_t upper = (uint64_t)(generator->state >> 64), mixed = upper ^ (uint64_t)generator->state;
    const int turn = (int)(upper >> 58);
    return mixed >> turn | mixed << (-turn & 63);
}

static inline wide_word joined(const uint32_t *words)
{
    const uint64_t upper = (uint64_t)words[1] << 32 | words[0], lower = (uint64_t)words[3] << 32 | words[2];
    return (wide_word)upper << 64 | lower;
}

static inline struct pcg64 pcg64_of(const struct seed_pool *pool)
{
    uint32_t words[8];
    generate_words(pool, 8, words);
    struct pcg64 generator = {.state = 0, .increment = joined(words + 4) << 1 | 1};
    pcg64_advance(&generator);
    generator.state += joined(words);
    pcg64_advance(&generator);
    return generator;
}

/* The key and, where bits > 0, the first levels (n) of read `read` of the unit with this pool:

       seed = SeedSequence(..., spawn_key=(..., read));  key = seed.generate_state(2)
       levels = Generator(PCG64(SeedSequence(..., spawn_key=(..., read, 0)))).integers(0, 2**bits, n, dtype=int32) */
static inline void seed_chain(struct seed_pool pool, uint32_t read, int bits, int n, uint32_t *key, int32_t *levels)
{
    hash_word(&pool, read);
    generate_words(&pool, 2, key);
    if (!bits)
        return;
    hash_word(&pool, 0);
    struct pcg64 generator = pcg64_of(&pool);
    for (int j = 0; j < n; j += 2) {
        const uint64_t random = pcg64_next(&generator);
        levels[j] = (int32_t)((uint32_t)random >> (32 - bits));
        if (j + 1 < n)
            levels[j + 1] = (int32_t)(random >> (64 - bits));
    }
}

#endif
