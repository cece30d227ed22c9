#include "kernels/trap.h"

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/stand_in.h"

static struct {
    void *base;
    size_t nbytes;
} maps[64];
static size_t n_maps;

void *trap_alloc(size_t nbytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (nbytes + page - 1) / page * page, total = inner + 2 * page;
    char *const base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || n_maps == sizeof maps / sizeof maps[0])
        abort();
    if (inner && mprotect(base + page, inner, PROT_READ | PROT_WRITE) != 0)
        abort();
    maps[n_maps].base = base;
    maps[n_maps++].nbytes = total;
    return base + page + inner - nbytes;
}

void trap_free_all(void)
{
    while (n_maps) {
        n_maps--;
        munmap(maps[n_maps].base, maps[n_maps].nbytes);
    }
}

float trap_randf(uint64_t *seed, int span)
{
    const int e = span ? (int)(test_rand(seed) % (uint64_t)(2 * span + 1)) - span : 0;
    return ldexpf(test_randf(seed), e);
}

bool test_kernels_at(unsigned i, struct el_kernels *k)
{
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (el_cpu_allows((enum el_cpu_level)level) && i-- == 0) {
            el_kernels_init(k, (enum el_cpu_level)level);
            return true;
        }
    }
    return stand_in_kernels(i, k);
}
