/* Beam search over a block of rows of a triangle: the `width` lowest partial assignments of one unit, row after row. */
#ifndef ANNEALTRAIN_BEAM_H
#define ANNEALTRAIN_BEAM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The value that has `place` others at most as large before it, of `count` values, which are put in another order. */
static double in_place(double *values, long count, long place)
{
    long low = 0, high = count - 1;
    while (low < high) {
        const double pivot = values[low + (high - low) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (i <= high && values[i] < pivot)
                i++;
            while (j >= low && pivot < values[j])
                j--;
            if (i <= j) {
                const double held = values[i];
                values[i++] = values[j];
                values[j--] = held;
            }
        }
        if (place <= j)
            high = j;
        else if (place >= i)
            low = i;
        else
            break;
    }
    return values[place];
}

/* Which of `count` costs are the `width` lowest: their places in ascending order, of equal ones the first.
   ordered: (count) is written over. */
static void lowest_costs(const double *restrict costs, long count, long width, double *restrict ordered,
                         int32_t *restrict places)
{
    memcpy(ordered, costs, count * sizeof *costs);
    const double limit = in_place(ordered, count, width - 1);
    long below = 0, kept = 0;
    for (long i = 0; i < count; i++)
        below += costs[i] < limit;
    long equal = width - below; /* of those at the limit, and of what is no number */
    for (long i = 0; i < count && kept < width; i++) {
        const int is_below = costs[i] < limit;
        if (is_below || (!(costs[i] > limit) && equal-- > 0))
            places[kept++] = (int32_t)i;
    }
    for (long i = 0; kept < width; i++) /* only where costs are no numbers */
        places[kept++] = (int32_t)i;
}

static int beam_rows(int rows, int states, int width, int children, const double *restrict columns,
                     const double *restrict d, double half_range, double step, int top, double *centres,
                     int32_t *restrict levels, int32_t *restrict parents, double *restrict costs, double *real_buffer,
                     int32_t *restrict whole_buffer)
{
    const long most = (long)width * children;
    double *restrict grown = real_buffer, *restrict ordered = grown + most, *from = centres, *to = ordered + most;
    /* Of each row: the levels that its states have, and which states of the row before they come from. */
    int32_t *restrict taken = whole_buffer, *restrict origins = taken + (long)rows * width;
    int32_t *restrict found = origins + (long)rows * width, *restrict places = found + most;
    const double scale = half_range / top, lower = (children - 1) / 2.0, highest = top + 1 - children;
    for (int k = rows - 1; k >= 0; k--) {
        for (int s = 0; s < states; s++) {
            const double centre = from[(long)s * rows + k];
            double lowest = rint((centre + half_range) / step - lower);
            lowest = lowest > 0.0 ? lowest : 0.0;
            lowest = lowest > highest ? highest : lowest;
            for (int c = 0; c < children; c++) {
                const double level = lowest + c, away = scale * (2.0 * level - top) - centre;
                found[(long)s * children + c] = (int32_t)level;
                grown[(long)s * children + c] = costs[s] + d[k] * (away * away);
            }
        }
        const long count = (long)states * children;
        states = count < width ? (int)count : width;
        if (count > width)
            lowest_costs(grown, count, width, ordered, places);
        else
            for (int i = 0; i < states; i++)
                places[i] = i;
        const double *restrict column = columns + (long)k * rows;
        int32_t *restrict row_taken = taken + (long)k * width, *restrict row_origins = origins + (long)k * width;
        for (int i = 0; i < states; i++) {
            const int32_t place = places[i], old = place / children;
            const double offset = scale * (2.0 * found[place] - top), *restrict source = from + (long)old * rows;
            double *restrict row = to + (long)i * rows;
            for (int l = 0; l < k; l++)
                row[l] = source[l] - offset * column[l];
            row_taken[i] = found[place];
            row_origins[i] = old;
            costs[i] = grown[place];
        }
        double *const held = from;
        from = to;
        to = held;
    }
    for (int i = 0; i < states; i++) {
        int32_t at = i;
        for (int k = 0; k < rows; k++) {
            levels[(long)i * rows + k] = taken[(long)k * width + at];
            at = origins[(long)k * width + at];
        }
        parents[i] = at;
    }
    return states;
}

#endif
