/* What packing looks at in every number: is it finite, and what is lost of it. */
#ifndef EL_QUANT_MEASURE_H
#define EL_QUANT_MEASURE_H

#include <stdint.h>

/* Sets NaN and infinities in x [n] to 0 and returns how many there were; *first is the index of the first. */
uint64_t el_clean(float *x, uint64_t n, uint64_t *first);

/*
 * Adds sum x_i^2 to *w2 and sum (x_i - y_i)^2 to *err2, in float64; y NULL: only the first. Element i goes to sum
 * i mod 16 of sixteen, which are added in a fixed order: the same bits at every CPU level.
 */
void el_add_squares(const float *x, const float *y, uint64_t n, double *w2, double *err2);

#endif
