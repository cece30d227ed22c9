/* See loss.h. */
#include "quant/loss.h"

#include <string.h>

#include "kernels/cholesky.h"

void el_loss_rows(const double *e, uint64_t e_stride, const double *h, uint64_t h_stride, uint64_t n_rows, uint64_t n, double *y,
                  double *panel, double *loss)
{
    memset(y, 0, (size_t)(n_rows * n) * sizeof *y);
    el_f64_matmul(y, n, e, e_stride, h, h_stride, n_rows, n, n, panel);
    for (uint64_t r = 0; r < n_rows; r++) {
        loss[r] = 0.0;
        for (uint64_t j = 0; j < n; j++)
            loss[r] += y[r * n + j] * e[r * e_stride + j];
    }
}
