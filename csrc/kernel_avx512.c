/* 16 lanes: AVX-512 (x86-64-v4). */
#include "instruction_sets.h"

#if X86_KERNELS
/* The system's headers stay outside the target. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif
#define LANES 16
#include "kernel_table.h"

const struct kernel kernel_avx512 = KERNEL_TABLE("avx512");
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
