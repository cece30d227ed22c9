/*
 * The Hessian of a matrix's inputs, damped and factored in an order of the columns, as methods that minimise
 * tr((W - Q) H (W - Q)^T) read it.
 */
#ifndef EL_QUANT_SOLVE_H
#define EL_QUANT_SOLVE_H

#include <stdbool.h>

#include "quant/method.h"

enum el_solve_order {
    EL_ORDER_NONE,
    EL_ORDER_GROUP, /* blocks by their mean E x^2, falling; in them sub-blocks, in these units, in these columns, likewise */
    EL_ORDER_ACT,   /* units by their mean E x^2, falling, in these columns likewise */
};

/* Columns of a block, a sub-block, and of those that share a code (1: none do). */
struct el_solve_widths {
    uint32_t block, sub, unit;
};

/* H / n_tokens + lambda I = L D L^T, in the reverse of the order of processing: column[n_in - 1] comes first. */
struct el_solve {
    uint64_t n_in, n; /* n: padded (kernels/cholesky.h); entries from n_in on are those of the unit matrix */
    uint32_t *column; /* [n_in] */
    double *l, *d;    /* [n, n], [n] */
    double *shift;    /* NULL, or [n_in, n_in] in the order of the matrix: C H^-1, what asymmetric calibration adds to W */
    double damping;   /* as part of the mean diagonal */
    double lambda;
    bool borrowed; /* from what is kept */
};

/*
 * Factors of one input (and expert), for whoever comes with the same options and the same order again: encodings whose blocks are
 * alike. Starts as zeros but for max_nbytes. What was borrowed must be released before the next one is opened.
 */
struct el_solve_kept {
    uint64_t max_nbytes; /* larger factors are not kept, older ones make room */
    uint64_t nbytes;
    size_t n;
    struct el_solve_keeping {
        enum el_solve_order order;
        struct el_solve_widths widths;
        uint64_t nbytes;
        struct el_solve s;
    } v[4];
};
void el_solve_kept_release(struct el_solve_kept *kept);

/* EL_E_MEMORY, and what reading the statistics returns. *s is empty after a failure. */
enum el_status el_solve_open(const struct el_quant_columns *columns, enum el_solve_order order, struct el_solve_widths widths,
                             struct el_solve *s, struct el_err *err);
void el_solve_release(struct el_solve *s);
/* Bytes on the heap at the most while el_solve_open runs. */
uint64_t el_solve_nbytes(uint64_t n_in, bool cross, unsigned n_threads);

/*
 * *h = H / n_tokens + damping * (mean of its diagonal) I, [n_in, n_in] in the order of the matrix; el_free() it. *lambda: what
 * was added. EL_E_MEMORY, and what reading the statistics returns.
 */
enum el_status el_solve_matrix(const struct el_quant_columns *columns, double damping, double **h, double *lambda,
                               struct el_err *err);

/* out [n_rows, n_in] = x, or x + x C H^-1. panel: scratch [n, EL_F64_PANEL]. */
void el_solve_target(const struct el_solve *s, const float *x, uint64_t n_rows, double *out, double *panel);

/*
 * sum over rows of x H x^T / n_tokens, undamped, for x [n_rows, n_in] in the order of the matrix. y: scratch [n_rows, n], panel:
 * scratch [n, EL_F64_PANEL].
 */
double el_solve_energy(const struct el_solve *s, const float *x, uint64_t n_rows, double *y, double *panel);

#endif
