/* 8 lanes: AVX2 (x86-64-v3). */
#include "instruction_sets.h"

#if X86_KERNELS
/* The system's headers stay outside the target. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif
#define LANES 8
#include "kernel_table.h"

const struct kernel kernel_avx2 = KERNEL_TABLE("avx2");
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
