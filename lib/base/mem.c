/* The heap, with a countdown that makes the n-th allocation fail, for tests. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "edgellm.h"

enum { EL_CACHE_LINE = 64, EL_HUGE_PAGE = 2 << 20 };

static atomic_uint_least64_t n_allocs;
/* Allocations left until one fails; 0 means that none will. */
static atomic_uint_least64_t countdown;

static bool allowed(void)
{
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    uint_least64_t left = atomic_load_explicit(&countdown, memory_order_relaxed);
    while (left != 0) {
        if (atomic_compare_exchange_weak_explicit(&countdown, &left, left - 1, memory_order_relaxed, memory_order_relaxed))
            return left != 1;
    }
    return true;
}

void *el_alloc(size_t nbytes)
{
    if (!allowed())
        return NULL;
    return malloc(nbytes ? nbytes : 1);
}

void *el_alloc_array(size_t n, size_t size)
{
    size_t nbytes;
    if (__builtin_mul_overflow(n, size, &nbytes))
        return NULL;
    return el_alloc(nbytes);
}

void *el_calloc_array(size_t n, size_t size)
{
    if (!allowed())
        return NULL;
    return n && size ? calloc(n, size) : calloc(1, 1);
}

void *el_realloc_array(void *p, size_t n, size_t size)
{
    size_t nbytes;
    if (__builtin_mul_overflow(n, size, &nbytes) || !allowed())
        return NULL;
    return realloc(p, nbytes ? nbytes : 1);
}

char *el_strdup(const char *s)
{
    return el_strndup(s, strlen(s));
}

char *el_strndup(const char *s, size_t nbytes)
{
    size_t with_nul;
    if (__builtin_add_overflow(nbytes, (size_t)1, &with_nul))
        return NULL;
    char *copy = el_alloc(with_nul);
    if (!copy)
        return NULL;
    if (nbytes)
        memcpy(copy, s, nbytes);
    copy[nbytes] = '\0';
    return copy;
}

void *el_alloc_aligned(size_t nbytes)
{
    const size_t align = nbytes >= EL_HUGE_PAGE ? EL_HUGE_PAGE : EL_CACHE_LINE;
    size_t rounded;
    if (__builtin_add_overflow(nbytes ? nbytes : 1, align - 1, &rounded))
        return NULL;
    rounded &= ~(align - 1);
    if (!allowed())
        return NULL;
    void *p = aligned_alloc(align, rounded);
    /* Huge pages are a wish; a kernel without them gives small ones. */
    if (p && align == EL_HUGE_PAGE)
        (void)madvise(p, rounded, MADV_HUGEPAGE);
    return p;
}

void el_free_aligned(void *p)
{
    free(p);
}

void el_free(void *p)
{
    free(p);
}

void el_mem_fail_after(uint64_t n)
{
    atomic_store(&countdown, n);
}

uint64_t el_mem_count(void)
{
    return atomic_load(&n_allocs);
}
