/* Measuring the machine: a buffer, threads, the probes of the level in use, and a clock. */
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/threads.h"
#include "edgellm.h"
#include "kernels/probes.h"

enum { MIB = 1 << 20, PIECE_NBYTES = 4 * MIB, PASS_NS = 2500000, N_SUB_PASSES = 4, MAX_CACHES = 8, MOST_TURNS = 1 << 30 };

struct el_meter {
    uint8_t *buf; /* NULL before the first reading */
    uint64_t nbytes;
    enum el_meter_limit pages; /* of buf: EL_READ_2M or EL_READ_4K */
    struct el_pool *pool;      /* of n_threads, from the last measurement */
    unsigned n_threads;
};

/* ---- how much to read ---- */

/* The number behind `key` in a file of the system, times 1024 where "K" or "kB" follows; 0: none. */
static uint64_t read_size(const char *path, const char *key)
{
    char line[256], unit = 0;
    uint64_t n = 0;
    FILE *const f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%" SCNu64 " %c", &n, &unit) >= 1)
            break;
    if (f)
        (void)fclose(f);
    return unit == 'K' || unit == 'k' ? n * 1024 : unit == 'M' ? n * MIB : n;
}

/* Of the largest cache of the first CPU. (sysconf() has been seen to say ten times of it in a virtual machine.) */
static uint64_t cache_nbytes(void)
{
    uint64_t largest = 0;
    for (unsigned i = 0; i < MAX_CACHES; i++) {
        char path[96];
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%u/size", i);
        const uint64_t nbytes = read_size(path, "");
        largest = nbytes > largest ? nbytes : largest;
    }
    return largest;
}

static uint64_t choose_nbytes(void)
{
    const uint64_t cache = cache_nbytes(), available = read_size("/proc/meminfo", "MemAvailable:");
    uint64_t nbytes = 8 * cache;
    if (nbytes < 256 * (uint64_t)MIB)
        nbytes = 256 * (uint64_t)MIB;
    if (nbytes > 1024 * (uint64_t)MIB)
        nbytes = 1024 * (uint64_t)MIB;
    return available && nbytes > available / 8 ? available / 8 : nbytes;
}

enum el_status el_meter_open(uint64_t nbytes, struct el_meter **meter, struct el_err *err)
{
    *meter = NULL;
    struct el_meter *const m = el_calloc_array(1, sizeof *m);
    if (!m)
        return el_fail(err, EL_E_MEMORY, "out of memory for measuring the machine");
    m->nbytes = (nbytes ? nbytes : choose_nbytes()) / PIECE_NBYTES * PIECE_NBYTES;
    if (m->nbytes == 0)
        m->nbytes = PIECE_NBYTES;
    *meter = m;
    return EL_OK;
}

static void unmap(struct el_meter *m)
{
    if (m->buf)
        (void)munmap(m->buf, (size_t)m->nbytes);
    m->buf = NULL;
}

void el_meter_close(struct el_meter *meter)
{
    if (!meter)
        return;
    unmap(meter);
    el_pool_close(meter->pool);
    el_free(meter);
}

unsigned el_meter_n_threads(const struct el_meter *meter)
{
    return meter->pool ? el_pool_n(meter->pool) : 0;
}

uint64_t el_meter_nbytes(const struct el_meter *meter)
{
    return meter->nbytes;
}

uint64_t el_meter_huge_nbytes(const struct el_meter *meter)
{
    char line[256];
    uint64_t begin, end, at = 0, nbytes = 0, kib;
    const uint64_t first = (uint64_t)(uintptr_t)meter->buf, last = first + meter->nbytes;
    FILE *const f = meter->buf ? fopen("/proc/self/smaps", "re") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &begin, &end) == 2)
            at = begin < last && end > first;
        else if (at && sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1)
            nbytes += kib * 1024;
    }
    if (f)
        (void)fclose(f);
    return nbytes < meter->nbytes ? nbytes : meter->nbytes; /* a neighbour may share the entry */
}

/* ---- passes ---- */

/* One measurement: every thread does its share from the moment on at which all are there. */
struct pass {
    const struct el_probes *probes;
    const struct el_probe *probe; /* NULL: reading */
    uint8_t *buf;
    uint64_t n_pieces, n_turns; /* of reading, for all; of the probe, per thread */
    unsigned n_threads;
    atomic_uint n_there;
    atomic_uint_fast64_t next_piece, start_ns;
};

static atomic_uint_fast64_t sink; /* what keeps a loop's result from being unused */

static void fill_pieces(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct pass *const p = arg;
    (void)thread;
    memset(p->buf + begin * PIECE_NBYTES, 1, (end - begin) * PIECE_NBYTES);
}

/* Pieces are taken one after the other, as a pool takes chunks: a thread that is held up does not hold up the others. */
static uint64_t read_pieces(struct pass *p)
{
    uint64_t all = 0, i;
    while ((i = atomic_fetch_add_explicit(&p->next_piece, 1, memory_order_relaxed)) < p->n_pieces)
        all ^= p->probes->read(p->buf + i * PIECE_NBYTES, PIECE_NBYTES);
    return all;
}

/* The chunk of one thread: there are as many as threads, and none ends before all have begun. */
static void take_share(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct pass *const p = arg;
    (void)begin;
    (void)end;
    (void)thread;
    if (atomic_fetch_add(&p->n_there, 1) + 1 == p->n_threads)
        atomic_store(&p->start_ns, el_now_ns());
    while (atomic_load(&p->start_ns) == 0)
        (void)sched_yield();
    const uint64_t result = p->probe ? (uint64_t)(int64_t)p->probe->run(p->n_turns) : read_pieces(p);
    atomic_store_explicit(&sink, result, memory_order_relaxed);
}

static enum el_status take_pool(struct el_meter *m, unsigned n_threads, struct el_err *err)
{
    if (n_threads == 0)
        n_threads = el_n_cpus();
    if (m->pool && m->n_threads == n_threads)
        return EL_OK;
    el_pool_close(m->pool);
    m->pool = NULL;
    m->n_threads = n_threads;
    return el_pool_open(n_threads, &m->pool, err);
}

/* A buffer whose pages have the size wanted, all of them there. The address is a multiple of 2 MiB: the mapping is cut to it. */
static enum el_status take_buffer(struct el_meter *m, enum el_meter_limit pages, struct el_err *err)
{
    enum { HUGE_NBYTES = 2 * MIB };
    if (m->buf && m->pages == pages)
        return EL_OK;
    unmap(m);
    uint8_t *const all = mmap(NULL, (size_t)m->nbytes + HUGE_NBYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return el_fail(err, EL_E_MEMORY, "out of memory for reading %" PRIu64 " MiB", m->nbytes / MIB);
    const size_t before = (HUGE_NBYTES - (uintptr_t)all % HUGE_NBYTES) % HUGE_NBYTES;
    m->buf = all + before;
    m->pages = pages;
    if (before)
        (void)munmap(all, before);
    (void)munmap(m->buf + m->nbytes, HUGE_NBYTES - before);
    (void)madvise(m->buf, (size_t)m->nbytes, pages == EL_READ_2M ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    struct pass p = {.buf = m->buf};
    el_pool_run(m->pool, m->nbytes / PIECE_NBYTES, 1, fill_pieces, &p);
    return EL_OK;
}

/* Bytes or operations per second of one pass. The slowest thread ends it, as in a product that all wait for. */
static double pass_rate(const struct el_meter *m, struct pass *p)
{
    p->n_threads = el_pool_n(m->pool);
    atomic_store(&p->n_there, 0);
    atomic_store(&p->next_piece, 0);
    atomic_store(&p->start_ns, 0);
    el_pool_run(m->pool, p->n_threads, 1, take_share, p);
    const double work = p->probe ? (double)p->n_threads * (double)p->n_turns * (double)p->probe->n_ops : (double)m->nbytes;
    const uint64_t ns = el_now_ns() - atomic_load(&p->start_ns);
    return work * 1e9 / (double)(ns ? ns : 1); /* a coarse clock may stand still */
}

/* As many turns as a pass needs at the best rate seen: found by doubling, which warms the CPU up too. */
static void choose_turns(const struct el_meter *m, struct pass *p)
{
    double best = 0, seconds = 0;
    for (p->n_turns = 1000; seconds < 1e-9 * PASS_NS / 2 && p->n_turns < MOST_TURNS && !el_interrupted(); p->n_turns *= 2) {
        const double rate = pass_rate(m, p);
        best = rate > best ? rate : best;
        seconds = (double)p->n_threads * (double)p->n_turns * (double)p->probe->n_ops / best;
    }
}

/* The best of some passes, shorter than what a busy system gives a thread in one go: peaks are of a CPU, not of its load. */
static double peak_rate(const struct el_meter *m, struct pass *p)
{
    double best = 0;
    for (int i = 0; i < N_SUB_PASSES; i++) {
        const double rate = pass_rate(m, p);
        best = rate > best ? rate : best;
    }
    return best;
}

enum el_status el_meter_measure(struct el_meter *meter, enum el_meter_limit limit, unsigned n_threads, double *rates, size_t n,
                                struct el_err *err)
{
    struct el_probes probes;
    el_probes_init(&probes, el_cpu());
    struct pass p = {.probes = &probes,
                     .probe = limit == EL_PEAK_INT8  ? &probes.int8
                              : limit == EL_PEAK_F16 ? &probes.f16
                              : limit == EL_PEAK_F32 ? &probes.f32
                                                     : NULL};
    const bool there_is = !p.probe || p.probe->run;
    EL_TRY(take_pool(meter, n_threads, err));
    if (!p.probe)
        EL_TRY(take_buffer(meter, limit, err));
    p.buf = meter->buf;
    p.n_pieces = meter->nbytes / PIECE_NBYTES;
    if (p.probe && there_is)
        choose_turns(meter, &p);
    for (size_t i = 0; i < n; i++) {
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "interrupted");
        rates[i] = !there_is ? 0 : p.probe ? peak_rate(meter, &p) : pass_rate(meter, &p);
    }
    return EL_OK;
}
