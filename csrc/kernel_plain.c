/* 4 lanes, for any processor: SSE2, NEON, or what the compiler makes of them. */
#define LANES 4
#include "kernel_table.h"

const struct kernel kernel_plain = KERNEL_TABLE("plain");
