/*
 * Scales of channels that make weights easier to round: the searches of AWQ and SmoothQuant over matrices. They know no model and
 * no file; who calls them (awq.c, smoothquant.c) says which columns of which matrices share a channel.
 *
 * A scale s_j multiplies the columns of all matrices that read channel j; what they read is divided by it.
 */
#ifndef EL_QUANT_SCALES_H
#define EL_QUANT_SCALES_H

#include "base/threads.h"
#include "tensor/encoding.h"

enum { EL_SCALES_STEPS = 20 };

/* One matrix that reads the channels, or a sample of its rows. */
struct el_scales_matrix {
    const float *w;          /* [n_rows, n_in] */
    const uint32_t *channel; /* [n_in] the channel of each column; NULL: column j reads channel j */
    const double *h;         /* [n_in, n_in] E x x^T of its input, or NULL: only its diagonal is known */
    const float *importance; /* [n_in] E x_j^2 */
    uint64_t n_rows, n_in;
    double factor; /* of its error in the sum: tokens that it sees, and rows that each of these stands for */
    struct el_enc enc;
    /* NEAREST: scales of blocks by their extremes; SEARCH: by the encoding's search, for E x_j^2 / s_j^2. */
    enum el_effort effort;
};

/*
 * AWQ (arXiv:2306.00978, equations 4 and 5): s = mean|x|^a / sqrt(max min), for a = 0, 1/20 .. 19/20 the one that minimises
 *
 *     sum over matrices of factor tr(D H D^T),   D = W - Q(W diag(s)) diag(s)^-1
 *
 * with Q the values of the matrix' encoding by this effort. Adds these sums to loss [EL_SCALES_STEPS], so that matrices may come
 * in several calls. mean [n_channels] = mean |x_j|. Matrices of floats are left out (their error is 0). The same bits for any
 * number of threads. EL_E_MEMORY.
 */
enum el_status el_scales_awq(const struct el_scales_matrix *matrices, size_t n, const float *mean, uint64_t n_channels,
                             struct el_pool *pool, double *loss, struct el_err *err);
/* Bytes that it takes for n_rows rows of all matrices together. */
uint64_t el_scales_nbytes(uint64_t n_rows, uint64_t n_in, uint64_t n_channels, unsigned n_threads);
/* The step with the least loss; of equals the smallest. */
uint32_t el_scales_best(const double *loss);
/* s [n_channels] for a = step / 20. */
void el_scales_awq_at(const float *mean, uint64_t n_channels, uint32_t step, float *s);

/* SmoothQuant (arXiv:2211.10438, equation 4): s_j = max|x_j|^alpha / max|W_j|^(1 - alpha); 1 where either maximum is 0. */
void el_scales_smooth(const float *max_x, const float *max_w, uint64_t n_channels, double alpha, float *s);

/* x^a for x > 0, a from 0 to 1: by + - * / alone, so that the bits are the same with every C library (1e-14 of the value). */
double el_scales_power(double x, double a);

#endif
