/* 16 lanes: AVX-512 (x86-64-v4). */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v4")
#define LANES 16
#include "sweeps.h"

#include "rows.h"
#include "slices.h"

const struct kernel kernel_avx512 = {
    "avx512", LANES, anneal_chain, anneal_lanes, anneal_rows, make_grams, anneal_slices, numbers_of_a_sweep,
    uniforms_of_a_sweep,
    block_order_of_a_sweep,
};
#endif
