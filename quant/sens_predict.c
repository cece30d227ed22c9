/*
 * Losses of choices and of plans from what was measured of a few.
 *
 * A choice: to second order the divergence is a quadratic form of what the matrix's outputs lose, so that of one matrix it grows
 * with the Hessian error, by a factor that one measured choice tells (scaling). It does not begin at 0: products of quantized
 * weights round their inputs to 8 bits, which at 8 bits per weight is most of it. So where several are measured, lines between
 * neighbours.
 *
 * A plan: the sum over its matrices. What they do together is not in it; el_sens_interaction tells how much that matters.
 *
 * Measured on books-4m (36 matrices, 12 types from Q2_K to Q8_0 by gptq, 4 windows of 512 of books_valid, 128 positions of each),
 * Kendall's tau over the 432 choices; over 50 random plans of 2.5 to 5 bits, with measured = slope * predicted:
 *
 *   Hessian error as it is                0.717    0.848
 *   scaled at Q4_K                        0.950    0.949   slope 1.20
 *   lines through Q4_K, Q8_0              0.976    0.951   slope 1.22
 *   lines through Q2_K, Q4_K, Q8_0        0.976    0.957   slope 1.02
 *   every choice measured                          0.954   slope 1.04
 *   weight as it is, scaled at Q4_K       0.492, 0.946   0.606, 0.948
 *   shiftadd as it is, scaled at Q4_K     0.765, 0.947   0.848, 0.948
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/diverse.h"
#include "quant/sensitivity.h"

enum { DEGREE = 2 }; /* of shiftadd's polynomial */

/* A measured choice: a measure of its error, and its divergence. Both greater than 0. */
struct known {
    double x, kld;
};

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for predictions");
}

static int compare_known(const void *a, const void *b)
{
    const struct known *const p = a, *const q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* The known choices of an item by x, the measure of cell c being x[c]. */
static size_t find_known(const struct el_sens *s, size_t row, const double *x, struct known *known)
{
    size_t n = 0;
    for (size_t c = 0; c < s->n_columns; c++) {
        const struct el_sens_cell *const cell = &s->rows[row].cells[c];
        if (cell->fits && x[c] > 0.0 && cell->kld > 0.0)
            known[n++] = (struct known){x[c], cell->kld};
    }
    qsort(known, n, sizeof *known, compare_known);
    return n;
}

/* Lines through all known choices, which go on beyond the outermost, but never below what is in proportion. */
static double between(const struct known *known, size_t n, double x)
{
    if (x <= 0.0)
        return 0.0;
    if (n == 1)
        return known[0].kld * (x / known[0].x);
    size_t i = 1;
    while (i + 1 < n && x > known[i].x)
        i++;
    const struct known *const a = &known[i - 1], *const b = &known[i];
    const double slope = b->x > a->x ? (b->kld - a->kld) / (b->x - a->x) : 0.0;
    if (x >= a->x && x <= b->x)
        return x == b->x ? b->kld : a->kld + slope * (x - a->x);
    const struct known *const near = x < a->x ? a : b;
    const double line = near->kld + slope * (x - near->x), proportional = near->kld * (x / near->x);
    if (slope <= 0.0) /* nothing but noise */
        return proportional;
    return x < a->x && line < proportional ? proportional : line;
}

/* ---- shiftadd ---- */

/* Least squares of y [n] by a polynomial of x: its coefficients. Of lower degree where there are too few different x. */
static void fit_polynomial(const double *x, const double *y, size_t n, double out[DEGREE + 1])
{
    double a[DEGREE + 1][DEGREE + 2] = {{0}};
    for (size_t i = 0; i < n; i++) {
        double power[DEGREE + 1] = {1.0};
        for (int k = 1; k <= DEGREE; k++)
            power[k] = power[k - 1] * x[i];
        for (int r = 0; r <= DEGREE; r++) {
            for (int c = 0; c <= DEGREE; c++)
                a[r][c] += power[r] * power[c];
            a[r][DEGREE + 1] += power[r] * y[i];
        }
    }
    for (int k = 0; k <= DEGREE; k++)
        out[k] = 0.0;
    /* Gauss-Jordan in order; a pivot that is nothing is a power that tells nothing new. */
    bool used[DEGREE + 1];
    for (int k = 0; k <= DEGREE; k++) {
        double scale = 0.0;
        for (size_t i = 0; i < n; i++)
            scale += pow(x[i], 2.0 * k);
        used[k] = a[k][k] > 1e-9 * scale && scale > 0.0;
        for (int r = 0; used[k] && r <= DEGREE; r++) {
            const double f = r == k ? 0.0 : a[r][k] / a[k][k];
            for (int c = 0; c <= DEGREE + 1; c++)
                a[r][c] -= f * a[k][c];
        }
    }
    for (int k = 0; k <= DEGREE; k++)
        out[k] = used[k] ? a[k][DEGREE + 1] / a[k][k] : 0.0;
}

/* x [rows, columns] = a candidate's polynomial of the criterion, fitted to the Hessian errors of all items. */
static enum el_status shiftadd_of_all(const struct el_sens *s, double *x, struct el_err *err)
{
    double *const criterion = el_alloc_array(s->n_rows, sizeof *criterion);
    double *const error = el_alloc_array(s->n_rows, sizeof *error);
    if (!criterion || !error) {
        el_free(criterion);
        el_free(error);
        return no_memory(err);
    }
    for (size_t c = 0; c < s->n_columns; c++) {
        double coefficient[DEGREE + 1], least = (double)INFINITY;
        size_t n = 0;
        for (size_t i = 0; i < s->n_rows; i++) {
            const struct el_sens_cell *const cell = &s->rows[i].cells[c];
            if (!cell->fits)
                continue;
            criterion[n] = s->rows[i].shiftadd;
            error[n++] = cell->hessian;
            least = cell->hessian < least ? cell->hessian : least;
        }
        fit_polynomial(criterion, error, n, coefficient);
        for (size_t i = 0; i < s->n_rows; i++) {
            double v = 0.0;
            for (int k = DEGREE; k >= 0; k--)
                v = v * s->rows[i].shiftadd + coefficient[k];
            x[i * s->n_columns + c] = v > least ? v : least; /* no error is less than what was seen */
        }
    }
    el_free(criterion);
    el_free(error);
    return EL_OK;
}

/* ---- choices ---- */

static enum el_status check_measured(const struct el_sens *s, enum el_sens_metric metric, bool scaled, struct el_err *err)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        bool any = false;
        for (size_t c = 0; c < s->n_columns; c++) {
            const struct el_sens_cell *const cell = &s->rows[i].cells[c];
            if (cell->fits && isnan(cell->hessian))
                return el_fail(err, EL_E_USAGE, "tensor '%s': its errors are not measured",
                               s->source->tensors[s->rows[i].tensor].name);
            any |= cell->fits && cell->kld >= 0.0;
        }
        if (metric == EL_SENS_SHIFTADD && isnan(s->rows[i].shiftadd))
            return el_fail(err, EL_E_USAGE, "tensor '%s': its criterion is not measured",
                           s->source->tensors[s->rows[i].tensor].name);
        if ((scaled || metric == EL_SENS_KLD) && !any)
            return el_fail(err, EL_E_USAGE, "tensor '%s': no divergence of it is measured",
                           s->source->tensors[s->rows[i].tensor].name);
    }
    return EL_OK;
}

static void predict_row(struct el_sens *s, size_t row, enum el_sens_metric metric, bool scaled, const double *x,
                        struct known *known)
{
    const size_t n = find_known(s, row, x, known);
    const bool curve = metric == EL_SENS_KLD || (metric == EL_SENS_HESSIAN && scaled);
    for (size_t c = 0; c < s->n_columns; c++) {
        struct el_sens_cell *const cell = &s->rows[row].cells[c];
        if (!cell->fits)
            continue;
        if (metric == EL_SENS_KLD && cell->kld >= 0.0)
            cell->loss = cell->kld;
        else if (n == 0 && (curve || scaled))
            cell->loss = 0.0; /* what was measured loses nothing */
        else if (curve)
            cell->loss = between(known, n, x[c]);
        else
            cell->loss = scaled ? between(&known[n / 2], 1, x[c]) : x[c];
    }
}

enum el_status el_sens_predict(struct el_sens *sens, enum el_sens_metric metric, bool scaled, struct el_err *err)
{
    struct el_sens *const s = sens;
    EL_TRY(check_measured(s, metric, scaled, err));
    struct known *const known = el_alloc_array(s->n_columns, sizeof *known);
    double *const x = el_calloc_array(s->n_rows * s->n_columns, sizeof *x);
    enum el_status status = known && x ? EL_OK : no_memory(err);
    if (status == EL_OK && metric == EL_SENS_SHIFTADD)
        status = shiftadd_of_all(s, x, err);
    for (size_t k = 0; k < s->n_rows * s->n_columns && status == EL_OK; k++)
        if (metric != EL_SENS_SHIFTADD)
            x[k] = metric == EL_SENS_WEIGHT ? s->cells[k].weight : s->cells[k].hessian;
    for (size_t i = 0; i < s->n_rows && status == EL_OK; i++)
        predict_row(s, i, metric, scaled, x + i * s->n_columns, known);
    el_free(known);
    el_free(x);
    return status;
}

/* ---- plans ---- */

static uint64_t next_random(uint64_t *state)
{
    /* splitmix64 (Steele, Lea and Flood, OOPSLA 2014) */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Any candidate that fits, of those with fewer (more) bytes than `than` where that is not 0. EL_SENS_KEEP: there is none. */
static uint32_t any_column(const struct el_sens *s, size_t row, double than, bool fewer, uint64_t *state)
{
    uint32_t found = EL_SENS_KEEP;
    uint64_t n = 0;
    for (uint32_t c = 0; c < s->n_columns; c++) {
        const struct el_sens_cell *const cell = &s->rows[row].cells[c];
        const double nbytes = (double)cell->nbytes;
        if (cell->fits && (than == 0.0 || (fewer ? nbytes < than : nbytes > than)) && next_random(state) % ++n == 0)
            found = c;
    }
    return found;
}

/* A plan of about this many bytes, never more where there is such: random choices, and random changes towards the size. */
static void random_plan(const struct el_sens *s, double nbytes, uint64_t *state, uint32_t *choice)
{
    double sum = 0.0;
    for (size_t i = 0; i < s->n_rows; i++) {
        choice[i] = any_column(s, i, 0.0, false, state);
        sum += choice[i] == EL_SENS_KEEP ? 0.0 : (double)s->rows[i].cells[choice[i]].nbytes;
    }
    for (size_t t = 0; t < 100 * s->n_rows; t++) {
        const size_t i = (size_t)(next_random(state) % s->n_rows);
        if (choice[i] == EL_SENS_KEEP)
            continue;
        const double now = (double)s->rows[i].cells[choice[i]].nbytes;
        const uint32_t c = any_column(s, i, now, sum > nbytes, state);
        const double then = c == EL_SENS_KEEP ? now : (double)s->rows[i].cells[c].nbytes;
        if (c == EL_SENS_KEEP || (then > now && sum - now + then > nbytes))
            continue;
        choice[i] = c;
        sum += then - now;
    }
}

double el_sens_plan_loss(const struct el_sens *sens, const uint32_t *choice)
{
    double loss = 0.0;
    for (size_t i = 0; i < sens->n_rows; i++)
        loss += choice[i] == EL_SENS_KEEP ? 0.0 : sens->rows[i].cells[choice[i]].loss;
    return loss;
}

static double n_elems(const struct el_sens *s)
{
    double n = 0.0;
    for (size_t i = 0; i < s->n_rows; i++)
        n += (double)s->source->tensors[s->rows[i].tensor].n_rows * (double)s->source->tensors[s->rows[i].tensor].n_in;
    return n;
}

/* The factor by which predictions are too small, in the mean of logarithms. */
static double slope_of(const double *predicted, const double *measured, size_t n)
{
    double sum = 0.0, count = 0.0;
    for (size_t i = 0; i < n; i++)
        if (predicted[i] > 0.0 && measured[i] > 0.0) {
            sum += log(measured[i] / predicted[i]);
            count += 1.0;
        }
    return count > 0.0 ? exp(sum / count) : 1.0;
}

enum el_status el_sens_interaction(struct el_sens *sens, size_t n_plans, double bpw_low, double bpw_high,
                                   struct el_sens_check *check, double *predicted, double *measured, uint32_t *choice,
                                   struct el_err *err)
{
    const double elems = n_elems(sens);
    uint64_t state = 1;
    double *const p = el_alloc_array(n_plans, sizeof *p), *const m = el_alloc_array(n_plans, sizeof *m);
    uint32_t *const plans = el_alloc_array(n_plans, sens->n_rows * sizeof *plans);
    enum el_status status = p && m && plans ? EL_OK : no_memory(err);
    for (size_t k = 0; k < n_plans && status == EL_OK; k++) {
        const double at = n_plans > 1 ? (double)k / (double)(n_plans - 1) : 0.0;
        random_plan(sens, (bpw_low + at * (bpw_high - bpw_low)) / 8.0 * elems, &state, plans + k * sens->n_rows);
        p[k] = el_sens_plan_loss(sens, plans + k * sens->n_rows);
    }
    if (status == EL_OK)
        status = el_sens_try(sens, plans, n_plans, m, err);
    if (status == EL_OK) {
        *check = (struct el_sens_check){el_kendall_tau(p, m, n_plans), slope_of(p, m, n_plans)};
        if (predicted)
            memcpy(predicted, p, n_plans * sizeof *p);
        if (measured)
            memcpy(measured, m, n_plans * sizeof *m);
        if (choice)
            memcpy(choice, plans, n_plans * sens->n_rows * sizeof *plans);
    }
    el_free(p);
    el_free(m);
    el_free(plans);
    return status;
}
