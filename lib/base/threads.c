/*
 * One job at a time. Its state is one word, so that a worker enters and the caller closes the door in one atomic step:
 *
 *     generation << 32 | OPEN | number of workers inside
 *
 * Each thread has a range of chunks that follow each other, so that it reads memory in one piece and touches a counter of its
 * own; whoever is inside takes from its own range first, then from the others', until none is left. The caller works too; when
 * all ranges are used up it closes the door and waits for those inside only. A worker that is late (not scheduled, still waking
 * up) finds the door closed and has missed nothing: nobody waits for a thread that the operating system does not run.
 */
#include "base/threads.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"

#if EL_X86
#include <immintrin.h>
#define CPU_RELAX() _mm_pause()
#elif EL_ARM64
#define CPU_RELAX() __asm__ __volatile__("yield")
#else
#define CPU_RELAX() ((void)0)
#endif

/*
 * A hundred and fifty microseconds: longer than what lies between two matrix products or two tokens, far shorter than a time
 * slice. Waking from sleep takes sixty. Yielding instead would put us behind all others on a busy machine. By the clock, for a
 * pause of one CPU is ten times that of another.
 */
enum { SPIN_NS = 150000, TURNS_PER_LOOK = 64, CACHE_LINE = 64 };

#define STATE_OPEN       ((uint64_t)1 << 31)
#define STATE_INSIDE     (STATE_OPEN - 1)
#define STATE_GENERATION ((uint64_t)1 << 32)

struct worker {
    struct el_pool *pool;
    unsigned index;
    pthread_t thread;
};

/* The chunks of a thread that nobody took, numbered through all; on a cache line of its own. */
struct range {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t next;
    uint64_t end;
};

struct el_pool {
    /* Written by the caller while nobody is inside. */
    el_task_fn *fn;
    void *arg;
    uint64_t n_items, chunk;
    struct range *ranges; /* [n] */

    unsigned n; /* threads, the caller included */
    bool spins; /* no more threads than CPUs */
    struct worker *workers; /* [n - 1] used */

    _Alignas(CACHE_LINE) atomic_uint_fast64_t state;
    _Alignas(CACHE_LINE) atomic_uint n_sleeping;    /* workers that wait for the next generation on `work` */
    atomic_bool caller_sleeps, stop;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
};

static void take_chunks(struct el_pool *p, unsigned thread)
{
    for (unsigned i = 0; i < p->n; i++) {
        struct range *const from = &p->ranges[(thread + i) % p->n];
        /* Looking first keeps the cache line where it is when nothing is left. */
        while (atomic_load_explicit(&from->next, memory_order_relaxed) < from->end) {
            const uint64_t c = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            if (c >= from->end)
                break;
            const uint64_t begin = c * p->chunk, left = p->n_items - begin;
            p->fn(p->arg, begin, begin + (left < p->chunk ? left : p->chunk), thread);
        }
    }
}

static void deal_chunks(struct el_pool *p)
{
    const uint64_t n = (p->n_items + p->chunk - 1) / p->chunk, each = n / p->n, more = n % p->n;
    uint64_t at = 0;
    for (unsigned i = 0; i < p->n; i++) {
        atomic_store_explicit(&p->ranges[i].next, at, memory_order_relaxed);
        at += each + (i < more);
        p->ranges[i].end = at;
    }
}

/* Has a thread waited long enough? turn counts its looks; *end is its own, 0 at first. */
static bool spun_enough(const struct el_pool *p, unsigned turn, uint64_t *end)
{
    if (!p->spins)
        return true;
    if (turn % TURNS_PER_LOOK == 0) {
        const uint64_t now = el_now_ns();
        if (*end == 0)
            *end = now + SPIN_NS;
        return now >= *end;
    }
    CPU_RELAX();
    return false;
}

/* Waits until there is a generation other than `seen`; false when the pool closes. */
static bool wait_for_work(struct el_pool *p, uint64_t seen)
{
    uint64_t end = 0;
    for (unsigned turn = 0; !spun_enough(p, turn, &end); turn++)
        if (atomic_load_explicit(&p->state, memory_order_relaxed) / STATE_GENERATION != seen)
            return true;
    pthread_mutex_lock(&p->lock);
    /*
     * Sequentially consistent on both sides: the caller writes the state, then reads n_sleeping; this writes n_sleeping, then
     * reads the state. One of the two sees the other.
     */
    atomic_fetch_add(&p->n_sleeping, 1);
    while (atomic_load(&p->state) / STATE_GENERATION == seen && !atomic_load(&p->stop))
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->n_sleeping, 1);
    pthread_mutex_unlock(&p->lock);
    return !atomic_load(&p->stop);
}

static void leave(struct el_pool *p)
{
    const uint64_t before = atomic_fetch_sub(&p->state, 1);
    if ((before & (STATE_OPEN | STATE_INSIDE)) == 1 && atomic_load(&p->caller_sleeps)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *work(void *arg)
{
    const struct worker *const w = arg;
    struct el_pool *const p = w->pool;
    uint64_t seen = 0;
    while (wait_for_work(p, seen)) {
        uint64_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
        seen = state / STATE_GENERATION;
        while (state / STATE_GENERATION == seen && (state & STATE_OPEN)) {
            if (atomic_compare_exchange_weak(&p->state, &state, state + 1)) {
                take_chunks(p, w->index);
                leave(p);
                break;
            }
        }
    }
    return NULL;
}

static void wait_until_empty(struct el_pool *p)
{
    uint64_t end = 0;
    for (unsigned turn = 0; !spun_enough(p, turn, &end); turn++)
        if ((atomic_load_explicit(&p->state, memory_order_acquire) & STATE_INSIDE) == 0)
            return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while ((atomic_load(&p->state) & STATE_INSIDE) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

void el_pool_run(struct el_pool *pool, uint64_t n_items, uint64_t chunk, el_task_fn *fn, void *arg)
{
    assert(chunk > 0);
    if (!pool || pool->n == 1 || n_items <= chunk) {
        for (uint64_t begin = 0; begin < n_items; begin += chunk)
            fn(arg, begin, n_items - begin < chunk ? n_items : begin + chunk, 0);
        return;
    }
    pool->fn = fn;
    pool->arg = arg;
    pool->n_items = n_items;
    pool->chunk = chunk;
    deal_chunks(pool);
    const uint64_t generation = atomic_load_explicit(&pool->state, memory_order_relaxed) / STATE_GENERATION + 1;
    atomic_store(&pool->state, (generation & UINT32_MAX) * STATE_GENERATION | STATE_OPEN);
    if (atomic_load(&pool->n_sleeping)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
    take_chunks(pool, 0);
    atomic_fetch_and(&pool->state, ~STATE_OPEN);
    wait_until_empty(pool);
}

/* Starts what the system allows, at most n - 1 workers. */
static void start_workers(struct el_pool *p, unsigned n)
{
    /* Signals are for the threads of the program. */
    sigset_t all, old;
    sigfillset(&all);
    /* Except what a thread does to itself: blocked, it would kill the process past the program's handler. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGBUS); /* a mapped file that shrinks */
    const bool masked = pthread_sigmask(SIG_SETMASK, &all, &old) == 0;
    p->n = 1;
    while (p->n < n) {
        struct worker *const w = &p->workers[p->n - 1];
        w->pool = p;
        w->index = p->n;
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break;
        p->n++;
    }
    if (masked)
        pthread_sigmask(SIG_SETMASK, &old, NULL);
}

enum el_status el_pool_open(unsigned n_threads, struct el_pool **pool, struct el_err *err)
{
    *pool = NULL;
    const unsigned n_cpus = el_n_cpus();
    unsigned n = n_threads ? n_threads : n_cpus;
    if (n > EL_MAX_THREADS)
        n = EL_MAX_THREADS;
    struct el_pool *const p = el_alloc_aligned(sizeof *p);
    if (!p)
        return el_fail(err, EL_E_MEMORY, "out of memory for a thread pool");
    memset(p, 0, sizeof *p);
    p->workers = el_calloc_array(n, sizeof *p->workers);
    p->ranges = el_alloc_aligned(n * sizeof *p->ranges);
    if (!p->workers || !p->ranges) {
        el_free(p->workers);
        el_free_aligned(p->ranges);
        el_free_aligned(p);
        return el_fail(err, EL_E_MEMORY, "out of memory for %u threads", n);
    }
    atomic_init(&p->state, 0);
    for (unsigned i = 0; i < n; i++)
        atomic_init(&p->ranges[i].next, 0);
    atomic_init(&p->n_sleeping, 0);
    atomic_init(&p->caller_sleeps, false);
    atomic_init(&p->stop, false);
    /* With more threads than CPUs, who spins keeps another from working. */
    p->spins = n <= n_cpus;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    start_workers(p, n);
    *pool = p;
    return EL_OK;
}

void el_pool_close(struct el_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i + 1 < p->n; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    el_free(p->workers);
    el_free_aligned(p->ranges);
    el_free_aligned(p);
}

unsigned el_pool_n(const struct el_pool *pool)
{
    return pool ? pool->n : 1;
}

/* A small file of the kernel as text; false when it cannot be read. */
static bool read_small(const char *path, char *text, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, text, cap - 1);
    close(fd);
    if (got < 0)
        return false;
    text[got] = '\0';
    return true;
}

/* CPUs by one cpu.max ("QUOTA PERIOD" in microseconds, or "max PERIOD"); 0: no limit. */
static unsigned quota_cpus(const char *path)
{
    char text[128];
    if (!read_small(path, text, sizeof text))
        return 0;
    char *end;
    const unsigned long long quota = strtoull(text, &end, 10);
    if (end == text)
        return 0; /* "max" */
    const unsigned long long period = strtoull(end, NULL, 10);
    if (quota == 0 || period == 0)
        return 0;
    const unsigned long long cpus = quota / period + (quota % period != 0);
    return cpus < EL_MAX_THREADS ? (unsigned)cpus : EL_MAX_THREADS;
}

unsigned el_cgroup_cpus(const char *proc_cgroup_path, const char *mount)
{
    char groups[4096];
    if (!read_small(proc_cgroup_path, groups, sizeof groups))
        return 0;
    /* Version 2 has one line, "0::/the/group"; there may be lines of version 1 before it. */
    char *group = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (!group)
        return 0;
    group = strstr(group, "0::") + 3;
    group[strcspn(group, "\n")] = '\0';
    unsigned least = 0;
    for (;;) {
        char path[sizeof groups + 256];
        const int len = snprintf(path, sizeof path, "%s%s/cpu.max", mount, strcmp(group, "/") == 0 ? "" : group);
        const unsigned cpus = len > 0 && (size_t)len < sizeof path ? quota_cpus(path) : 0;
        if (cpus && (!least || cpus < least))
            least = cpus;
        char *const slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

unsigned el_n_cpus(void)
{
    unsigned n = 0;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        n = (unsigned)CPU_COUNT(&set);
    } else { /* more CPUs than the set has bits */
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        n = online > 0 ? (unsigned)online : 1;
    }
    const unsigned limit = el_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit && limit < n)
        n = limit;
    return n ? n : 1;
}
