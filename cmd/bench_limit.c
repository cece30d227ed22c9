#include "cmd/bench_limit.h"

#include "cmd/bench_rows.h"

enum { WHOLE, LAST, WRITTEN, N_STEPS };

/* Steps of n rows each, the last one at positions up to end; logits are asked for in the last row of the last step alone. */
static struct bench_step step(const struct el_model *model, double n, uint64_t n_rows, uint64_t n_logits, uint64_t first,
                              double kv_nbytes)
{
    struct bench_step s = {.n = n};
    if (n == 0)
        return s;
    s.cost = el_model_cost(model, n_rows, n_logits);
    double sum = 0;
    for (uint64_t i = 0; i < (uint64_t)n; i++)
        sum += el_model_kv_read(model, first + i * n_rows, n_rows);
    s.kv_nbytes = sum / n * kv_nbytes;
    return s;
}

struct bench_work bench_work_of(const struct el_model *model, const struct bench_row *row, double kv_nbytes)
{
    const uint64_t n_batch = row->n_batch ? row->n_batch : 1;
    const uint64_t n_whole = row->n_prompt ? (row->n_prompt - 1) / n_batch : 0, n_last = row->n_prompt - n_whole * n_batch;
    struct bench_work w = {.n_tokens = (double)(row->n_prompt + row->n_gen)};
    w.steps[WHOLE] = step(model, (double)n_whole, n_batch, 0, row->n_depth, kv_nbytes);
    w.steps[LAST] = step(model, row->n_prompt ? 1 : 0, n_last, 1, row->n_depth + n_whole * n_batch, kv_nbytes);
    w.steps[WRITTEN] = step(model, (double)row->n_gen, 1, 1, row->n_depth + row->n_prompt, kv_nbytes);
    return w;
}

unsigned bench_work_limits(const struct bench_work *w)
{
    unsigned limits = 1u << EL_READ_2M;
    for (size_t i = 0; i < N_STEPS; i++) {
        limits |= w->steps[i].cost.int8_ops > 0 ? 1u << EL_PEAK_INT8 : 0;
        limits |= w->steps[i].cost.f32_ops > 0 ? 1u << EL_PEAK_F32 : 0;
    }
    return limits;
}

double bench_work_nbytes(const struct bench_work *w)
{
    double sum = 0;
    for (size_t i = 0; i < N_STEPS; i++)
        sum += w->steps[i].n * (w->steps[i].cost.nbytes + w->steps[i].kv_nbytes);
    return w->n_tokens > 0 ? sum / w->n_tokens : 0;
}

double bench_work_ops(const struct bench_work *w)
{
    double sum = 0;
    for (size_t i = 0; i < N_STEPS; i++)
        sum += w->steps[i].n * (w->steps[i].cost.int8_ops + w->steps[i].cost.f32_ops);
    return w->n_tokens > 0 ? sum / w->n_tokens : 0;
}

/* Work at a rate; none takes no time. */
static double seconds_of(double work, double rate)
{
    return work > 0 && rate > 0 ? work / rate : 0;
}

double bench_work_seconds(const struct bench_work *w, const struct bench_meter *m, enum el_meter_limit *binds)
{
    double by[EL_METER_LIMITS] = {0}, all = 0;
    *binds = EL_READ_2M;
    for (size_t i = 0; i < N_STEPS; i++) {
        const struct bench_step *const s = &w->steps[i];
        const double read = seconds_of(s->cost.nbytes + s->kv_nbytes, bench_meter_rate(m, EL_READ_2M));
        const double int8 = seconds_of(s->cost.int8_ops, bench_meter_rate(m, EL_PEAK_INT8));
        const double f32 = seconds_of(s->cost.f32_ops, bench_meter_rate(m, EL_PEAK_F32));
        const double most = read > int8 + f32 ? read : int8 + f32;
        by[read > int8 + f32 ? EL_READ_2M : int8 > f32 ? EL_PEAK_INT8 : EL_PEAK_F32] += s->n * most;
        all += s->n * most;
    }
    for (size_t i = 0; i < EL_METER_LIMITS; i++)
        if (by[i] > by[*binds])
            *binds = (enum el_meter_limit)i;
    return all;
}
