/* Output errors: what rounding spoils in the outputs, row by row. */
#ifndef EL_QUANT_LOSS_H
#define EL_QUANT_LOSS_H

#include <stdint.h>

/*
 * loss[r] = e_r H e_r^T for rows e [n_rows, n], e_stride doubles apart; H the n x n at h, h_stride doubles between rows,
 * symmetric. y: scratch of n_rows * n doubles, panel of n * EL_F64_PANEL (kernels/cholesky.h). The bits of a loss depend on its
 * row alone.
 */
void el_loss_rows(const double *e, uint64_t e_stride, const double *h, uint64_t h_stride, uint64_t n_rows, uint64_t n, double *y,
                  double *panel, double *loss);

#endif
