#include "quant/collect.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "quant/stats.h"

enum { TILE = EL_STATS_TILE, TILE_ELEMS = TILE * TILE, TILES_PER_CHUNK = 4 };
_Static_assert((int)EL_STATS_TILE == (int)EL_OUTER, "a tile is what the kernel makes");

/* X^T X of one expert of an input, or an input's cross product. */
struct slot {
    size_t input;
    uint32_t expert;
    bool cross;
    uint32_t pass;
    uint64_t n_tiles;
    double *tiles; /* while its pass lasts */
};

struct el_collect {
    const struct el_inputs *inputs;
    struct el_collect_opts opts;
    struct el_pool *pool;
    const struct el_kernels *kernels;
    size_t begin, end;    /* inputs of the layer */
    struct el_sums *sums; /* [end - begin] */
    float **original;     /* [end - begin]: [max_rows, n_in], for the cross product */
    struct slot *slots;
    size_t n_slots, cap_slots;
    uint32_t pass;
    float *panels, *other; /* [n_in / 64][rows][64], for the widest input */
    uint32_t *kept;        /* rows that count */
};

static uint64_t n_blocks(uint64_t n_in)
{
    return (n_in + TILE - 1) / TILE;
}

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the statistics of a layer");
}

/* ---- memory ---- */

enum el_status el_collect_open(const struct el_inputs *inputs, const struct el_collect_opts *opts, struct el_pool *pool,
                               struct el_collect **collect, struct el_err *err)
{
    size_t per_layer = 0, cap = 0;
    uint64_t widest = 0;
    *collect = NULL;
    struct el_collect *const c = el_calloc_array(1, sizeof *c);
    if (!c)
        return no_memory(err);
    *c = (struct el_collect){.inputs = inputs, .opts = *opts, .pool = pool, .kernels = el_kernels()};
    for (size_t i = 0, end; i < inputs->n; i = end) {
        const size_t begin = el_inputs_of_layer(inputs, inputs->v[i].layer, &end);
        size_t slots = 0;
        for (size_t k = begin; k < end; k++) {
            slots += inputs->v[k].n_experts + 1u;
            widest = n_blocks(inputs->v[k].n_in) > widest ? n_blocks(inputs->v[k].n_in) : widest;
        }
        cap = slots > cap ? slots : cap;
        per_layer = end - begin > per_layer ? end - begin : per_layer;
    }
    const size_t n_panels = (size_t)widest * opts->max_rows;
    c->sums = el_calloc_array(per_layer, sizeof *c->sums);
    c->original = el_calloc_array(per_layer, sizeof *c->original);
    c->slots = el_calloc_array(cap, sizeof *c->slots);
    c->cap_slots = cap;
    c->kept = el_alloc_array(opts->max_rows, sizeof *c->kept);
    if (n_panels < SIZE_MAX / (TILE * sizeof(float)))
        c->panels = el_alloc_aligned(n_panels * TILE * sizeof(float));
    if (opts->cross && c->panels)
        c->other = el_alloc_aligned(n_panels * TILE * sizeof(float));
    if (!c->sums || !c->original || !c->slots || !c->kept || !c->panels || (opts->cross && !c->other)) {
        el_collect_close(c);
        return no_memory(err);
    }
    *collect = c;
    return EL_OK;
}

static void release_tiles(struct el_collect *c)
{
    for (size_t i = 0; i < c->n_slots; i++) {
        el_free_aligned(c->slots[i].tiles);
        c->slots[i].tiles = NULL;
    }
}

static void release_layer(struct el_collect *c)
{
    release_tiles(c);
    c->n_slots = 0;
    for (size_t i = c->begin; i < c->end; i++) {
        struct el_sums *const s = &c->sums[i - c->begin];
        el_free(s->count);
        el_free(s->sum2);
        el_free(s->sumabs);
        el_free(s->maxabs);
        *s = (struct el_sums){.n_pad = 0};
        el_free(c->original[i - c->begin]);
        c->original[i - c->begin] = NULL;
    }
    c->begin = c->end = 0;
}

void el_collect_close(struct el_collect *collect)
{
    if (!collect)
        return;
    if (collect->sums && collect->original && collect->slots)
        release_layer(collect);
    el_free(collect->sums);
    el_free(collect->original);
    el_free(collect->slots);
    el_free(collect->kept);
    el_free_aligned(collect->panels);
    el_free_aligned(collect->other);
    el_free(collect);
}

/* Gives a slot to the pass that has room, or to a new one. */
static void add_slot(struct el_collect *c, size_t input, uint32_t expert, bool cross, uint64_t *used)
{
    const uint64_t n = n_blocks(c->inputs->v[input].n_in), n_tiles = cross ? n * n : n * (n + 1) / 2;
    const uint64_t nbytes = n_tiles * TILE_ELEMS * sizeof(double);
    if (c->opts.max_nbytes && *used > 0 && *used + nbytes > c->opts.max_nbytes) {
        c->pass++;
        *used = 0;
    }
    *used += nbytes;
    c->slots[c->n_slots++] = (struct slot){input, expert, cross, c->pass, n_tiles, NULL};
}

enum el_status el_collect_layer(struct el_collect *collect, int32_t layer, uint32_t *n_passes, struct el_err *err)
{
    struct el_collect *const c = collect;
    uint64_t used = 0;
    release_layer(c);
    c->begin = el_inputs_of_layer(c->inputs, layer, &c->end);
    c->pass = 0;
    for (size_t i = c->begin; i < c->end; i++) {
        const struct el_input *const input = &c->inputs->v[i];
        struct el_sums *const s = &c->sums[i - c->begin];
        s->n_pad = n_blocks(input->n_in) * TILE;
        s->count = el_calloc_array(input->n_experts, sizeof *s->count);
        s->sum2 = el_calloc_array(s->n_pad * input->n_experts, sizeof *s->sum2);
        s->sumabs = el_calloc_array(s->n_pad * input->n_experts, sizeof *s->sumabs);
        s->maxabs = el_calloc_array(s->n_pad * input->n_experts, sizeof *s->maxabs);
        if (!s->count || !s->sum2 || !s->sumabs || !s->maxabs)
            return no_memory(err);
        for (uint32_t e = 0; c->opts.hessian && input->hessian && e < input->n_experts; e++)
            add_slot(c, i, e, false, &used);
        if (!c->opts.cross || !input->cross)
            continue;
        add_slot(c, i, 0, true, &used);
        c->original[i - c->begin] = el_alloc_array(c->opts.max_rows, input->n_in * sizeof(float));
        if (!c->original[i - c->begin])
            return no_memory(err);
    }
    *n_passes = c->pass + 1;
    return EL_OK;
}

enum el_status el_collect_pass(struct el_collect *collect, uint32_t pass, struct el_err *err)
{
    release_tiles(collect);
    collect->pass = pass;
    for (size_t i = 0; i < collect->n_slots; i++) {
        struct slot *const s = &collect->slots[i];
        if (s->pass != pass)
            continue;
        const uint64_t nbytes = s->n_tiles * TILE_ELEMS * sizeof(double);
        s->tiles = nbytes <= SIZE_MAX ? el_alloc_aligned((size_t)nbytes) : NULL;
        if (!s->tiles)
            return el_fail(err, EL_E_MEMORY, "out of memory for %.2f GiB of sums of '%s'", (double)nbytes / (1u << 30),
                           collect->inputs->v[s->input].name);
        memset(s->tiles, 0, (size_t)nbytes);
    }
    return EL_OK;
}

/* ---- adding ---- */

struct job {
    struct el_collect *c;
    const struct el_act *x;
    const float *original; /* [.., n_in], or NULL */
    const uint32_t *kept;  /* rows of x */
    uint64_t n;
    struct el_sums *sums; /* NULL: they are complete */
    uint32_t expert;
    double *tiles;
    uint64_t blocks;
};

/* Adds the n rows of a panel to the sums of its columns. */
static void add_sums(const float *panel, uint64_t n, double *sum2, double *sumabs, float *maxabs)
{
    for (uint64_t t = 0; t < n; t++)
        for (uint64_t j = 0; j < TILE; j++) {
            const float a = fabsf(panel[t * TILE + j]);
            sum2[j] += (double)a * (double)a;
            sumabs[j] += (double)a;
            maxabs[j] = a > maxabs[j] ? a : maxabs[j];
        }
}

static void pack(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    const struct el_act *const x = job->x;
    (void)thread;
    for (uint64_t p = begin; p < end; p++) {
        float *const to = job->c->panels + p * job->n * TILE;
        float *const diff = job->original ? job->c->other + p * job->n * TILE : NULL;
        const uint64_t from = p * TILE, left = x->n_in - from, n = left < TILE ? left : TILE;
        for (uint64_t t = 0; t < job->n; t++) {
            const float *const row = x->f32 + job->kept[t] * x->f32_stride + from;
            memcpy(to + t * TILE, row, n * sizeof(float));
            memset(to + t * TILE + n, 0, (TILE - n) * sizeof(float));
            if (!diff)
                continue;
            memset(diff + t * TILE, 0, TILE * sizeof(float));
            for (uint64_t j = 0; j < n; j++)
                diff[t * TILE + j] = job->original[job->kept[t] * x->n_in + from + j] - row[j];
        }
        if (job->sums) {
            const uint64_t at = job->expert * job->sums->n_pad + from;
            add_sums(to, job->n, job->sums->sum2 + at, job->sums->sumabs + at, job->sums->maxabs + at);
        }
    }
}

static void add_tiles(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    const float *const panels = job->c->panels;
    uint64_t a = 0;
    (void)thread;
    while ((a + 1) * (a + 2) / 2 <= begin)
        a++;
    for (uint64_t i = begin, b = begin - a * (a + 1) / 2; i < end; i++) {
        job->c->kernels->outer(panels + a * job->n * TILE, panels + b * job->n * TILE, job->n, job->tiles + i * TILE_ELEMS);
        if (++b > a) {
            a++;
            b = 0;
        }
    }
}

static void add_cross_tiles(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    (void)thread;
    for (uint64_t i = begin; i < end; i++)
        job->c->kernels->outer(job->c->other + i / job->blocks * job->n * TILE, job->c->panels + i % job->blocks * job->n * TILE,
                               job->n, job->tiles + i * TILE_ELEMS);
}

/* The input that this matrix leads, SIZE_MAX: none of this layer's. */
static size_t find_input(const struct el_collect *c, const struct el_weight *w)
{
    for (size_t i = c->begin; i < c->end; i++)
        if (c->inputs->v[i].lead == w->role)
            return i;
    return SIZE_MAX;
}

static struct slot *find_slot(const struct el_collect *c, size_t input, uint32_t expert, bool cross)
{
    for (size_t i = 0; i < c->n_slots; i++)
        if (c->slots[i].input == input && c->slots[i].expert == expert && c->slots[i].cross == cross)
            return c->slots[i].tiles ? &c->slots[i] : NULL;
    return NULL;
}

void el_collect_rows(struct el_collect *collect, const struct el_weight *w, uint32_t expert, const struct el_act *x,
                     const uint32_t *row, const bool *skip)
{
    struct el_collect *const c = collect;
    const size_t input = find_input(c, w);
    if (input == SIZE_MAX)
        return;
    struct el_sums *const sums = &c->sums[input - c->begin];
    const struct slot *const hessian = find_slot(c, input, expert, false), *const cross = find_slot(c, input, 0, true);
    struct job job = {.c = c, .x = x, .kept = c->kept, .expert = expert, .blocks = n_blocks(x->n_in)};
    for (uint64_t r = 0; r < x->n; r++)
        if (!skip || !skip[row ? row[r] : r])
            c->kept[job.n++] = (uint32_t)r;
    if (job.n == 0 || (c->pass > 0 && !hessian && !cross))
        return;
    job.sums = c->pass == 0 ? sums : NULL;
    job.original = cross ? c->original[input - c->begin] : NULL;
    if (c->pass == 0)
        sums->count[expert] += job.n;
    el_pool_run(c->pool, job.blocks, 1, pack, &job);
    if (hessian) {
        job.tiles = hessian->tiles;
        el_pool_run(c->pool, hessian->n_tiles, TILES_PER_CHUNK, add_tiles, &job);
    }
    if (cross) {
        job.tiles = cross->tiles;
        el_pool_run(c->pool, cross->n_tiles, TILES_PER_CHUNK, add_cross_tiles, &job);
    }
}

void el_collect_original(struct el_collect *collect, const struct el_weight *w, const struct el_act *x)
{
    const size_t input = find_input(collect, w);
    float *const to = input == SIZE_MAX ? NULL : collect->original[input - collect->begin];
    for (uint64_t r = 0; to && r < x->n; r++)
        memcpy(to + r * x->n_in, x->f32 + r * x->f32_stride, x->n_in * sizeof(float));
}

/* ---- what was seen ---- */

const struct el_sums *el_collect_sums(const struct el_collect *collect, size_t input)
{
    return &collect->sums[input - collect->begin];
}

const double *el_collect_hessian(const struct el_collect *collect, size_t input, uint32_t expert)
{
    const struct slot *const s = find_slot(collect, input, expert, false);
    return s ? s->tiles : NULL;
}

const double *el_collect_cross(const struct el_collect *collect, size_t input)
{
    const struct slot *const s = find_slot(collect, input, 0, true);
    return s ? s->tiles : NULL;
}
