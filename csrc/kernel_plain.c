/* 4 lanes, for any processor: SSE2, NEON, or what the compiler makes of them. */
#define LANES 4
#include "sweeps.h"

#include "rows.h"
#include "slices.h"

const struct kernel kernel_plain = {
    "plain", LANES, anneal_chain, anneal_lanes, anneal_rows, make_grams, anneal_slices, numbers_of_a_sweep,
    uniforms_of_a_sweep,
    block_order_of_a_sweep,
};
