/* See cholesky.h. */
#include "kernels/cholesky.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"
#if EL_X86
#include <immintrin.h>
#endif

enum { PANEL = EL_F64_PANEL, BLOCK = EL_LDL_BLOCK, K_BLOCK = 256 /* of a panel: 32 KiB */ };

/* c [m, PANEL] += a [m, k] b [k, PANEL]; b is packed. */
typedef void mul_fn(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t m, uint64_t k);
typedef void axpy_fn(double *y, double a, const double *x, uint64_t n);

static void mul_ref(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t m, uint64_t k)
{
    for (uint64_t i = 0; i < m; i++) {
        double *const row = c + i * ldc;
        for (uint64_t t = 0; t < k; t++) {
            const double ai = a[i * lda + t];
            for (uint64_t j = 0; j < PANEL; j++)
                row[j] = fma(ai, b[t * PANEL + j], row[j]);
        }
    }
}

static void axpy_ref(double *y, double a, const double *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = fma(a, x[i], y[i]);
}

#if EL_X86
#define AVX2   EL_TARGET("avx2,fma")
#define AVX512 EL_TARGET("avx512f")

EL_INLINE AVX2 void rows_avx2(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t k, unsigned rows)
{
    __m256d sum[3][4];
    EL_UNROLL
    for (unsigned i = 0; i < rows; i++)
        for (unsigned v = 0; v < 4; v++)
            sum[i][v] = _mm256_loadu_pd(c + i * ldc + 4 * v);
    for (uint64_t t = 0; t < k; t++) {
        __m256d bt[4];
        EL_UNROLL
        for (unsigned v = 0; v < 4; v++)
            bt[v] = _mm256_loadu_pd(b + t * PANEL + 4 * v);
        EL_UNROLL
        for (unsigned i = 0; i < rows; i++) {
            const __m256d ai = _mm256_broadcast_sd(a + i * lda + t);
            for (unsigned v = 0; v < 4; v++)
                sum[i][v] = _mm256_fmadd_pd(ai, bt[v], sum[i][v]);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < rows; i++)
        for (unsigned v = 0; v < 4; v++)
            _mm256_storeu_pd(c + i * ldc + 4 * v, sum[i][v]);
}

AVX2 static void mul_avx2(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t m, uint64_t k)
{
    uint64_t i = 0;
    for (; i + 3 <= m; i += 3)
        rows_avx2(c + i * ldc, ldc, a + i * lda, lda, b, k, 3);
    for (; i < m; i++)
        rows_avx2(c + i * ldc, ldc, a + i * lda, lda, b, k, 1);
}

AVX2 static void axpy_avx2(double *y, double a, const double *x, uint64_t n)
{
    const __m256d av = _mm256_set1_pd(a);
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4)
        _mm256_storeu_pd(y + i, _mm256_fmadd_pd(av, _mm256_loadu_pd(x + i), _mm256_loadu_pd(y + i)));
    for (; i < n; i++)
        y[i] = fma(a, x[i], y[i]);
}

EL_INLINE AVX512 void rows_avx512(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t k,
                                  unsigned rows)
{
    __m512d sum[8][2];
    EL_UNROLL
    for (unsigned i = 0; i < rows; i++) {
        sum[i][0] = _mm512_loadu_pd(c + i * ldc);
        sum[i][1] = _mm512_loadu_pd(c + i * ldc + 8);
    }
    for (uint64_t t = 0; t < k; t++) {
        const __m512d b0 = _mm512_loadu_pd(b + t * PANEL), b1 = _mm512_loadu_pd(b + t * PANEL + 8);
        EL_UNROLL
        for (unsigned i = 0; i < rows; i++) {
            const __m512d ai = _mm512_set1_pd(a[i * lda + t]);
            sum[i][0] = _mm512_fmadd_pd(ai, b0, sum[i][0]);
            sum[i][1] = _mm512_fmadd_pd(ai, b1, sum[i][1]);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < rows; i++) {
        _mm512_storeu_pd(c + i * ldc, sum[i][0]);
        _mm512_storeu_pd(c + i * ldc + 8, sum[i][1]);
    }
}

AVX512 static void mul_avx512(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t m, uint64_t k)
{
    uint64_t i = 0;
    for (; i + 8 <= m; i += 8)
        rows_avx512(c + i * ldc, ldc, a + i * lda, lda, b, k, 8);
    for (; i < m; i++)
        rows_avx512(c + i * ldc, ldc, a + i * lda, lda, b, k, 1);
}

AVX512 static void axpy_avx512(double *y, double a, const double *x, uint64_t n)
{
    const __m512d av = _mm512_set1_pd(a);
    uint64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm512_storeu_pd(y + i, _mm512_fmadd_pd(av, _mm512_loadu_pd(x + i), _mm512_loadu_pd(y + i)));
    const __mmask8 rest = (__mmask8)((1u << (n - i)) - 1);
    if (rest)
        _mm512_mask_storeu_pd(y + i, rest,
                              _mm512_fmadd_pd(av, _mm512_maskz_loadu_pd(rest, x + i), _mm512_maskz_loadu_pd(rest, y + i)));
}
#endif

static mul_fn *mul_of_level(void)
{
#if EL_X86
    const unsigned has = el_cpu_features(el_cpu());
    if (has & EL_CPU_HAS_AVX512)
        return mul_avx512;
    if (has & EL_CPU_HAS_AVX2)
        return mul_avx2;
#endif
    return mul_ref;
}

static axpy_fn *axpy_of_level(void)
{
#if EL_X86
    const unsigned has = el_cpu_features(el_cpu());
    if (has & EL_CPU_HAS_AVX512)
        return axpy_avx512;
    if (has & EL_CPU_HAS_AVX2)
        return axpy_avx2;
#endif
    return axpy_ref;
}

void el_f64_axpy(double *y, double a, const double *x, uint64_t n)
{
    axpy_of_level()(y, a, x, n);
}

/* One panel of b, in runs of k that fit the first-level cache. */
static void mul_panel(mul_fn *mul, double *c, uint64_t ldc, const double *a, uint64_t lda, const double *panel, uint64_t m,
                      uint64_t k)
{
    for (uint64_t t = 0; t < k; t += K_BLOCK)
        mul(c, ldc, a + t, lda, panel + t * PANEL, m, k - t < K_BLOCK ? k - t : K_BLOCK);
}

/* The last columns, where there are fewer than a panel: by way of a small copy. */
static void mul_narrow(mul_fn *mul, double *c, uint64_t ldc, const double *a, uint64_t lda, const double *panel, uint64_t m,
                       uint64_t n, uint64_t k)
{
    enum { ROWS = 8 };
    double part[ROWS * PANEL];
    for (uint64_t i = 0; i < m; i += ROWS) {
        const uint64_t rows = m - i < ROWS ? m - i : ROWS;
        memset(part, 0, sizeof part);
        for (uint64_t r = 0; r < rows; r++)
            memcpy(part + r * PANEL, c + (i + r) * ldc, n * sizeof *c);
        mul_panel(mul, part, PANEL, a + i * lda, lda, panel, rows, k);
        for (uint64_t r = 0; r < rows; r++)
            memcpy(c + (i + r) * ldc, part + r * PANEL, n * sizeof *c);
    }
}

void el_f64_matmul(double *c, uint64_t ldc, const double *a, uint64_t lda, const double *b, uint64_t ldb, uint64_t m, uint64_t n,
                   uint64_t k, double *panel)
{
    mul_fn *const mul = mul_of_level();
    for (uint64_t j = 0; j < n; j += PANEL) {
        const uint64_t width = n - j < PANEL ? n - j : PANEL;
        if (width < PANEL)
            memset(panel, 0, k * PANEL * sizeof *panel);
        for (uint64_t t = 0; t < k; t++)
            memcpy(panel + t * PANEL, b + t * ldb + j, width * sizeof *panel);
        if (width == PANEL)
            mul_panel(mul, c + j, ldc, a, lda, panel, m, k);
        else
            mul_narrow(mul, c + j, ldc, a, lda, panel, m, width, k);
    }
}

/* ---- L D L^T ---- */

struct ldl {
    double *a, *d, *panel;
    uint64_t n, at;             /* first column of the block */
    double below[BLOCK][BLOCK]; /* row c: column c of L in the block's own rows, 0 up to the diagonal */
    mul_fn *mul;
    axpy_fn *axpy;
};

/* Four panels of -D L^T for the block's rows: what is multiplied from the right. */
static void pack_block(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct ldl *const f = arg;
    (void)thread;
    for (uint64_t p = 0; p < BLOCK / PANEL; p++) {
        double *const panel = f->panel + p * f->n * PANEL;
        for (uint64_t j = 0; j < PANEL; j++) {
            const double *const row = f->a + (f->at + p * PANEL + j) * f->n;
            for (uint64_t t = begin; t < end; t++)
                panel[t * PANEL + j] = -(row[t] * f->d[t]);
        }
    }
}

static void subtract(const struct ldl *f, uint64_t row0)
{
    for (uint64_t p = 0; p < BLOCK / PANEL; p++)
        mul_panel(f->mul, f->a + row0 * f->n + f->at + p * PANEL, f->n, f->a + row0 * f->n, f->n, f->panel + p * f->n * PANEL,
                  BLOCK, f->at);
}

/* The block on the diagonal, column by column. */
static bool factor_block(struct ldl *f, double least)
{
    double *const a = f->a + f->at * f->n + f->at;
    memset(f->below, 0, sizeof f->below);
    for (uint64_t c = 0; c < BLOCK; c++) {
        const double d = a[c * f->n + c];
        if (!(d > least))
            return false;
        f->d[f->at + c] = d;
        for (uint64_t r = c + 1; r < BLOCK; r++)
            f->below[c][r] = a[r * f->n + c] / d;
        for (uint64_t r = c + 1; r < BLOCK; r++) {
            const double at = a[r * f->n + c];
            for (uint64_t k = c + 1; k <= r; k++)
                a[r * f->n + k] = fma(-at, f->below[c][k], a[r * f->n + k]);
            a[r * f->n + c] = f->below[c][r];
        }
    }
    return true;
}

static void factor_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct ldl *const f = arg;
    (void)thread;
    for (uint64_t tile = begin; tile < end; tile++) {
        const uint64_t row0 = f->at + BLOCK + tile * BLOCK;
        subtract(f, row0);
        for (uint64_t r = row0; r < row0 + BLOCK; r++) {
            double *const row = f->a + r * f->n + f->at;
            for (uint64_t c = 0; c < BLOCK; c++)
                f->axpy(row + c + 1, -row[c], &f->below[c][c + 1 < BLOCK ? c + 1 : c], BLOCK - 1 - c);
            for (uint64_t c = 0; c < BLOCK; c++)
                row[c] /= f->d[f->at + c];
        }
    }
}

bool el_ldl(double *a, uint64_t n, double least, double *d, double *panel, struct el_pool *pool)
{
    struct ldl f = {.a = a, .d = d, .panel = panel, .n = n, .mul = mul_of_level(), .axpy = axpy_of_level()};
    for (f.at = 0; f.at < n; f.at += BLOCK) {
        el_pool_run(pool, f.at, 1024, pack_block, &f);
        subtract(&f, f.at);
        if (!factor_block(&f, least))
            return false;
        el_pool_run(pool, (n - f.at) / BLOCK - 1, 1, factor_rows, &f);
    }
    return true;
}

void el_ldl_solve(const double *l, const double *d, uint64_t n, double *x)
{
    axpy_fn *const axpy = axpy_of_level();
    /* x = y L D L^T: with z = y L, z D L^T = x gives z from the first column on, y = z L^-1 from the last. */
    for (uint64_t i = 0; i < n; i++) {
        double sum = x[i];
        for (uint64_t k = 0; k < i; k++)
            sum = fma(-l[i * n + k], x[k], sum);
        x[i] = sum;
    }
    for (uint64_t i = 0; i < n; i++)
        x[i] /= d[i];
    for (uint64_t i = n; i-- > 0;)
        axpy(x, -x[i], l + i * n, i);
}
