/* 8 lanes: AVX2 (x86-64-v3). */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v3")
#define LANES 8
#include "sweeps.h"

#include "rows.h"
#include "slices.h"

const struct kernel kernel_avx2 = {
    "avx2", LANES, anneal_chain, anneal_lanes, anneal_rows, make_grams, anneal_slices, numbers_of_a_sweep,
    uniforms_of_a_sweep,
    block_order_of_a_sweep,
};
#endif
