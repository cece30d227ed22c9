/*
 * Float64 linear algebra for methods that look at the columns of a matrix together: products, and H = L D L^T.
 *
 * Our own and not OpenBLAS (kernels/linalg.h): every element of a result is one sum in a fixed order, each step one fma, so the
 * bits depend neither on the number of threads nor on the CPU level, and those of one row not on the rows beside it.
 *
 * Pure functions; any thread, but a pool serves one caller at a time.
 */
#ifndef EL_KERNELS_CHOLESKY_H
#define EL_KERNELS_CHOLESKY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/threads.h"

enum { EL_F64_PANEL = 16, EL_LDL_BLOCK = 64 };

/* n rounded up to what el_ldl takes. */
static inline uint64_t el_ldl_padded(uint64_t n)
{
    return (n + EL_LDL_BLOCK - 1) / EL_LDL_BLOCK * EL_LDL_BLOCK;
}

/* y[i] = fma(a, x[i], y[i]) */
void el_f64_axpy(double *y, double a, const double *x, uint64_t n);

/*
 * c [m, n] += a [m, k] b [k, n], all row-major with these distances between rows. k in order. panel: scratch of k * EL_F64_PANEL
 * doubles.
 */
void el_f64_matmul(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t ldb, uint64_t m, uint64_t n,
                   uint64_t k, double *panel);

/*
 * a [n, n], n a multiple of EL_LDL_BLOCK, of which the lower triangle is read: becomes L (unit lower triangle, its diagonal not
 * stored) with d [n] the diagonal of D, a = L D L^T; what is above the diagonal is destroyed in places. False: a pivot was not
 * greater than `least`, and a is spoilt. panel: scratch of n * EL_LDL_BLOCK doubles. Left-looking by blocks of 64 columns (Golub
 * and Van Loan, Matrix Computations, 4.1 and 4.2).
 */
bool el_ldl(double *a, uint64_t n, double least, double *d, double *panel, struct el_pool *pool);

/* x [n] := x A^-1 for A = L D L^T as el_ldl left it, i.e. the row x of a matrix times the inverse. */
void el_ldl_solve(const double *l, const double *d, uint64_t n, double *x);

#endif
