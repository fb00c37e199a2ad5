/* The kernels of this build, widest first. */
#include "instruction_sets.h"
#include "kernel.h"

#include <stddef.h>

extern const struct kernel kernel_plain;

#if X86_KERNELS
extern const struct kernel kernel_avx512, kernel_avx2;

/* Whether the processor and the system have all of x86-64-v3, and of v4. clang before 18 knows no levels here, only
   features: with those named, all processors have the rest. */
#if defined(__clang__) || __GNUC__ < 12
static int has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
           && __builtin_cpu_supports("fma");
}

static int has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
           && __builtin_cpu_supports("avx512vl");
}
#else
static int has_v3(void) { return __builtin_cpu_supports("x86-64-v3") != 0; }

static int has_v4(void) { return __builtin_cpu_supports("x86-64-v4") != 0; }
#endif

const struct kernel *kernel_at(int index, int *usable)
{
    __builtin_cpu_init();
    switch (index) {
    case 0:
        *usable = has_v4();
        return &kernel_avx512;
    case 1:
        *usable = has_v3();
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
