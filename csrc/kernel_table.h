/* The table of the kernels that one source file builds, for its LANES and instruction set. */
#ifndef ANNEALTRAIN_KERNEL_TABLE_H
#define ANNEALTRAIN_KERNEL_TABLE_H

#include "beam.h"
#include "chains.h"
#include "coordinate_descent.h"
#include "kernel.h"
#include "metropolis.h"
#include "moves.h"
#include "path_integral.h"
#include "shared_inputs.h"
#include "threefry.h"

#define KERNEL_TABLE(its_name) \
    { \
        .name = its_name, \
        .lanes = LANES, \
        .anneal_chain = anneal_chain, \
        .anneal_lanes = anneal_lanes, \
        .anneal_shared_inputs = anneal_shared_inputs, \
        .block_grams = block_grams, \
        .anneal_path_integral = anneal_path_integral, \
        .random_numbers = random_numbers, \
        .random_uniforms = random_uniforms, \
        .block_order = block_order, \
        .add_products = add_products, \
        .input_products = input_products, \
        .coordinate_descent = coordinate_descent, \
        .beam_rows = beam_rows, \
    }

#endif
