/* The kernels of this build, widest first. */
#include "kernel.h"

#include <stddef.h>

extern const struct kernel kernel_plain;

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
extern const struct kernel kernel_avx512, kernel_avx2;

const struct kernel *kernel_at(int index, int *usable)
{
    __builtin_cpu_init();
    switch (index) {
    case 0:
        *usable = __builtin_cpu_supports("x86-64-v4") != 0;
        return &kernel_avx512;
    case 1:
        *usable = __builtin_cpu_supports("x86-64-v3") != 0;
        return &kernel_avx2;
    case 2:
        *usable = 1;
        return &kernel_plain;
    }
    return NULL;
}
#else
const struct kernel *kernel_at(int index, int *usable)
{
    *usable = index == 0;
    return index == 0 ? &kernel_plain : NULL;
}
#endif
