/*
 * Our own thread pool. A run splits [0, n_items) into chunks that depend only on n_items and chunk, never on the number of
 * threads, so results do not either. Threads spin briefly, then sleep. No allocation per run.
 */
#ifndef EL_BASE_THREADS_H
#define EL_BASE_THREADS_H

#include "base/err.h"

struct el_pool;

enum { EL_MAX_THREADS = 1024 };

/*
 * n_threads (the caller counts as one) 0: as many as this process may run on (affinity, cgroup quota). Fewer are made when the
 * system refuses: el_pool_n tells. EL_E_MEMORY.
 */
enum el_status el_pool_open(unsigned n_threads, struct el_pool **pool, struct el_err *err);
void el_pool_close(struct el_pool *pool);
unsigned el_pool_n(const struct el_pool *pool);
unsigned el_n_cpus(void);

/*
 * CPUs that the cgroup v2 limits of a process amount to, rounded up: the least quota / period of its group and all groups above
 * it. proc_cgroup_path: "/proc/self/cgroup"; mount: where the hierarchy is ("/sys/fs/cgroup"). 0: no limit. For el_n_cpus and
 * its tests.
 */
unsigned el_cgroup_cpus(const char *proc_cgroup_path, const char *mount);

/*
 * fn(arg, begin, end, thread) for chunks covering [0, n_items); thread < el_pool_n is for scratch only. Returns when all are
 * done; what fn wrote is then visible to the caller. pool may be NULL: everything runs in the caller, chunk after chunk. A pool
 * serves one caller at a time, and fn must not run the same pool.
 */
typedef void el_task_fn(void *arg, uint64_t begin, uint64_t end, unsigned thread);
void el_pool_run(struct el_pool *pool, uint64_t n_items, uint64_t chunk, el_task_fn *fn, void *arg);

#endif
