/* Whether this compiler builds kernels for more instruction sets than its default one. */
#ifndef ANNEALTRAIN_INSTRUCTION_SETS_H
#define ANNEALTRAIN_INSTRUCTION_SETS_H

/* The x86-64 levels as targets came with GCC 11 and clang 12; clang says __GNUC__ 4. */
#if defined(__x86_64__) && (defined(__clang__) ? __clang_major__ >= 12 : defined(__GNUC__) && __GNUC__ >= 11)
#define X86_KERNELS 1
#else
#define X86_KERNELS 0
#endif

#endif
