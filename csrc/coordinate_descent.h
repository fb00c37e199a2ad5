/* In float64: coordinate descent in a box, on the weight grid or continuous, and the products that chains begin
   with. */
#ifndef ANNEALTRAIN_COORDINATE_DESCENT_H
#define ANNEALTRAIN_COORDINATE_DESCENT_H

#include <math.h>

/* Where the parabola x -> x (field + x curvature) is lowest in lo <= x <= hi. */
static inline double best_step(double field, double curvature, double lo, double hi)
{
    if (curvature > 0.0) {
        double x = -field / (2.0 * curvature);
        return x < lo ? lo : x > hi ? hi : x;
    }
    return lo * (field + lo * curvature) < hi * (field + hi * curvature) ? lo : hi;
}

static int coordinate_descent(int n, const double *restrict couplings, const double *restrict center, double half_range,
                              double step, double tolerance, int max_sweeps, double *restrict fields,
                              double *restrict weights)
{
    const double top = step > 0.0 ? rint(2.0 * half_range / step) : 0.0;
    int sweep = 0;
    double gain = tolerance + 1.0;
    while (sweep < max_sweeps && gain > tolerance) {
        gain = 0.0;
        for (int j = 0; j < n; j++) {
            const double lo = center[j] - half_range - weights[j], hi = center[j] + half_range - weights[j];
            const double *restrict row = couplings + (long)j * n;
            double x = best_step(fields[j], row[j], lo, hi);
            if (step > 0.0) {
                double level = rint((x - lo) / step);
                level = level < 0.0 ? 0.0 : level > top ? top : level;
                x = lo + level * step;
            }
            const double change = x * (fields[j] + x * row[j]);
            if (change >= 0.0)
                continue;
            gain -= change;
            weights[j] += x;
            /* fields += 2 * x * couplings[j] */
            const double scale = 2.0 * x;
            for (int l = 0; l < n; l++)
                fields[l] += scale * row[l];
        }
        sweep++;
    }
    return sweep;
}

static void add_products(int n, int chains, const double *restrict couplings, const double *restrict weights,
                         double *restrict fields)
{
    /* fields += 2 * weights @ couplings */
    for (int j = 0; j < n; j++)
        for (int c = 0; c < chains; c++) {
            const double scale = 2.0 * weights[(long)c * n + j];
            if (scale == 0.0)
                continue; /* dead weights */
            const double *restrict row = couplings + (long)j * n;
            double *restrict chain_fields = fields + (long)c * n;
            for (int l = 0; l < n; l++)
                chain_fields[l] += scale * row[l];
        }
}

static void input_products(int n, int rows, int chains, const float *restrict inputs, const double *restrict weights,
                           double *restrict products)
{
    /* products = inputs @ weights */
    for (int a = 0; a < rows; a++) {
        double *restrict row_products = products + (long)a * chains;
        for (int c = 0; c < chains; c++)
            row_products[c] = 0.0;
        for (int j = 0; j < n; j++) {
            const double x = inputs[(long)a * n + j];
            for (int c = 0; c < chains; c++)
                row_products[c] += x * weights[(long)j * chains + c];
        }
    }
}

#endif
