/* The thread pool: every item once, whatever the number of threads; sleeping and waking; limits of the system. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/threads.h"

/* gcc has macros for it, clang a feature test. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MAX_ITEMS = 5000 };

struct record {
    unsigned count[MAX_ITEMS];
    uint64_t begin[MAX_ITEMS], end[MAX_ITEMS]; /* the chunk that an item came in */
    unsigned n_threads;
    bool thread_ok;
};

static void note(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct record *const r = arg;
    if (thread >= r->n_threads)
        r->thread_ok = false;
    for (uint64_t i = begin; i < end; i++) {
        r->count[i]++;
        r->begin[i] = begin;
        r->end[i] = end;
    }
}

static void check_run(struct el_pool *pool, uint64_t n_items, uint64_t chunk)
{
    static struct record r;
    memset(&r, 0, sizeof r);
    r.n_threads = el_pool_n(pool);
    r.thread_ok = true;
    el_pool_run(pool, n_items, chunk, note, &r);
    CHECK(r.thread_ok);
    unsigned bad = 0;
    for (uint64_t i = 0; i < n_items; i++) {
        const uint64_t begin = i / chunk * chunk, end = begin + chunk < n_items ? begin + chunk : n_items;
        if (r.count[i] != 1 || r.begin[i] != begin || r.end[i] != end)
            bad++;
    }
    CHECK_EQ_INT(bad, 0);
    for (uint64_t i = n_items; i < MAX_ITEMS; i++)
        bad += r.count[i];
    CHECK_EQ_INT(bad, 0);
}

TEST(threads, every_item_once_in_chunks_of_the_shape)
{
    static const uint64_t items[] = {0, 1, 2, 7, 8, 9, 100, 4999}, chunks[] = {1, 3, 8, 5000};
    for (unsigned n = 0; n <= 9; n++) {
        struct el_pool *pool = NULL;
        struct el_err err;
        if (n)
            REQUIRE_OK(el_pool_open(n, &pool, &err), err);
        for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
            for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++)
                check_run(pool, items[i], chunks[c]);
        CHECK(el_pool_n(pool) <= (n ? n : 1));
        el_pool_close(pool);
    }
}

struct sum {
    uint64_t value[64];
};

static void add_one(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    (void)thread;
    struct sum *const s = arg;
    for (uint64_t i = begin; i < end; i++)
        s->value[i]++;
}

TEST(threads, many_short_runs_see_each_others_writes)
{
    static const unsigned threads[] = {1, 2, 3, 8};
    for (size_t t = 0; t < 4; t++) {
        struct el_pool *pool;
        struct el_err err;
        REQUIRE_OK(el_pool_open(threads[t], &pool, &err), err);
        struct sum s = {{0}};
        const unsigned runs = 3000;
        for (unsigned i = 0; i < runs; i++)
            el_pool_run(pool, 64, 1 + i % 5, add_one, &s);
        for (size_t i = 0; i < 64; i++)
            CHECK_EQ_INT(s.value[i], runs);
        el_pool_close(pool);
    }
}

TEST(threads, sleepers_wake_up)
{
    struct el_pool *pool;
    struct el_err err;
    REQUIRE_OK(el_pool_open(3, &pool, &err), err);
    struct sum s = {{0}};
    for (unsigned i = 0; i < 20; i++) {
        nanosleep(&(struct timespec){0, 2000000}, NULL); /* longer than they spin */
        el_pool_run(pool, 64, 4, add_one, &s);
    }
    for (size_t i = 0; i < 64; i++)
        CHECK_EQ_INT(s.value[i], 20);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    el_pool_close(pool); /* closes sleeping threads */
}

static void slow_tail(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    if (thread != 0)
        nanosleep(&(struct timespec){0, 3000000}, NULL);
    add_one(arg, begin, end, thread);
}

TEST(threads, the_caller_waits_for_a_slow_worker)
{
    struct el_pool *pool;
    struct el_err err;
    REQUIRE_OK(el_pool_open(2, &pool, &err), err);
    struct sum s = {{0}};
    for (unsigned i = 0; i < 20; i++)
        el_pool_run(pool, 64, 1, slow_tail, &s);
    for (size_t i = 0; i < 64; i++)
        CHECK_EQ_INT(s.value[i], 20);
    el_pool_close(pool);
}

TEST(threads, a_run_allocates_nothing)
{
    struct el_pool *pool;
    struct el_err err;
    REQUIRE_OK(el_pool_open(2, &pool, &err), err);
    struct sum s = {{0}};
    el_pool_run(pool, 64, 1, add_one, &s);
    const uint64_t before = el_mem_count();
    for (unsigned i = 0; i < 100; i++)
        el_pool_run(pool, 64, 1, add_one, &s);
    CHECK_EQ_INT(el_mem_count(), before);
    el_pool_close(pool);
}

TEST(threads, out_of_memory)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct el_pool *pool = (struct el_pool *)&n;
        struct el_err err;
        el_mem_fail_after(n);
        CHECK_EQ_INT(el_pool_open(2, &pool, &err), EL_E_MEMORY);
        el_mem_fail_after(0);
        CHECK(pool == NULL);
    }
    el_pool_close(NULL);
}

/* In a child: with a limit on processes that is already reached, the pool has one thread and works. */
TEST(threads, survives_a_system_that_makes_no_threads)
{
#if SANITIZED
    SKIP("sanitizers start threads of their own");
#endif
    enum { NO_LIMITS = 77 };
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        /* Root is exempt from RLIMIT_NPROC; a stack that cannot be mapped is refused to everyone. */
        const struct rlimit space = {(rlim_t)256 << 20, (rlim_t)256 << 20};
        setrlimit(RLIMIT_AS, &space);
        if (mmap(NULL, (size_t)1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            _exit(NO_LIMITS);
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, (size_t)1 << 30);
        if (pthread_setattr_default_np(&attr) != 0)
            _exit(2);
        struct el_pool *pool;
        if (el_pool_open(4, &pool, NULL) != EL_OK)
            _exit(3);
        struct sum s = {{0}};
        el_pool_run(pool, 64, 1, add_one, &s);
        for (size_t i = 0; i < 64; i++)
            if (s.value[i] != 1)
                _exit(4);
        const bool one = el_pool_n(pool) == 1;
        el_pool_close(pool);
        _exit(one ? 0 : 5);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_LIMITS)
        SKIP("the system holds no limit of the address space, as qemu-user");
    CHECK_EQ_INT(WEXITSTATUS(status), 0);
}

TEST(threads, n_cpus_follows_the_affinity_mask)
{
    cpu_set_t old, one;
    REQUIRE(sched_getaffinity(0, sizeof old, &old) == 0);
    const unsigned n = el_n_cpus();
    CHECK(n >= 1);
    CHECK(n <= (unsigned)CPU_COUNT(&old));
    int first = 0;
    while (!CPU_ISSET(first, &old))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK_EQ_INT(el_n_cpus(), 1);
    sched_setaffinity(0, sizeof old, &old);
}

static void put(const char *name, const char *text)
{
    CHECK(test_write(test_tmp(name), text, strlen(text)));
}

TEST(threads, cgroup_quota)
{
    const char *const root = test_tmp("cg");
    REQUIRE(mkdir(root, 0700) == 0);
    mkdir(test_tmp("cg/a"), 0700);
    mkdir(test_tmp("cg/a/b"), 0700);
    const char *const self = test_tmp("self");
    put("self", "2:cpu:/x\n0::/a/b\n");

    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0); /* no cpu.max anywhere */
    put("cg/a/b/cpu.max", "max 100000\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0);
    put("cg/a/b/cpu.max", "150000 100000\n"); /* one and a half */
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 2);
    put("cg/a/cpu.max", "100000 100000\n"); /* the group above allows less */
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 1);
    put("cg/a/cpu.max", "500000 100000\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 2);
    put("cg/a/b/cpu.max", "10000 100000\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 1);
    put("cg/a/b/cpu.max", "99999999999999 1\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 5);

    put("self", "0::/\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0);
    put("cg/cpu.max", "300000 100000\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 3);
    put("cg/cpu.max", "300000 0\n");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0);
    put("cg/cpu.max", "");
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0);
    put("self", "2:cpu:/x\n"); /* version 1 only */
    CHECK_EQ_INT(el_cgroup_cpus(self, root), 0);
    CHECK_EQ_INT(el_cgroup_cpus(test_tmp("absent"), root), 0);
}
