"""kernel.h, for Cython."""

from libc.stdint cimport int32_t, int64_t, uint32_t


cdef extern from "kernel.h" nogil:
    const int BLOCK_C "BLOCK"
    const int MAX_LANES_C "MAX_LANES"
    const int ROW_GROUP_C "ROW_GROUP"
    const float MIRRORED_C "MIRRORED"
    const float FROZEN_C "FROZEN"

    ctypedef enum move_t "enum move":
        MOVE_BIT
        MOVE_SLICE
        MOVE_GREEDY

    struct problem:
        int n, bits
        long stride
        const float *couplings
        const float *diagonal
        const float *delta
        move_t move

    struct kernel:
        const char *name
        int lanes
        int64_t (*anneal_chain)(const problem *problem, const int32_t *order, const float *betas, int first, int sweeps,
                                const uint32_t *key, float *buffer, float *fields, int32_t *levels) noexcept nogil
        void (*anneal_lanes)(const problem *problem, int chains, const float *betas, int first, int sweeps,
                             const uint32_t *keys, float *buffer, float *fields, int32_t *levels,
                             int32_t *flips) noexcept nogil
        void (*anneal_shared_inputs)(const problem *problem, int rows, const float *inputs, const float *weights,
                                     const float *grams, const float *ridges, float half_range, const float *betas,
                                     int first, int sweeps, const uint32_t *keys, float *buffer, float *residuals,
                                     int32_t *levels, int32_t *flips) noexcept nogil
        void (*block_grams)(int n, int rows, const float *inputs, const float *weights, float *grams) noexcept nogil
        int64_t (*anneal_path_integral)(const problem *problem, int slices, const float *betas,
                                        const float *ring_couplings, int first, int sweeps, const uint32_t *keys,
                                        float *buffer, float *fields, int32_t *levels) noexcept nogil
        void (*random_numbers)(const uint32_t *key, int sweep, int is_slice, int count, float *out) noexcept nogil
        void (*random_uniforms)(const uint32_t *key, int sweep, int count, double *out) noexcept nogil
        void (*block_order)(int n, int sweep, int32_t *order) noexcept nogil
        void (*add_products)(int n, int chains, const double *couplings, const double *weights,
                             double *fields) noexcept nogil
        void (*input_products)(int n, int rows, int chains, const float *inputs, const double *weights,
                               double *products) noexcept nogil
        int (*coordinate_descent)(int n, const double *couplings, const double *center, double half_range, double step,
                                  double tolerance, int max_sweeps, double *fields, double *weights) noexcept nogil
        int (*beam_rows)(int rows, int states, int width, int children, const double *columns, const double *d,
                         double half_range, double step, int top, double *centres, int32_t *levels, int32_t *parents,
                         double *costs, double *real_buffer, int32_t *whole_buffer) noexcept nogil

    const kernel *kernel_at(int index, int *usable)


cdef extern from "chain_seeds.h" nogil:
    const int POOL_C "POOL"

    struct seed_pool:
        pass

    seed_pool pool_after(const uint32_t *words, int hashed)
    void seed_chain(seed_pool pool, uint32_t read, int bits, int n, uint32_t *key, int32_t *levels)
