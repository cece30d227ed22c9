/* Size arithmetic on numbers that come from files. Each returns false on overflow and leaves *out untouched. */
#ifndef EL_BASE_CHECKED_H
#define EL_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool el_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool el_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of align, a power of two. */
static inline bool el_align_u64(uint64_t a, uint64_t align, uint64_t *out)
{
    uint64_t r;
    if (!el_add_u64(a, align - 1, &r))
        return false;
    *out = r & ~(align - 1);
    return true;
}

#endif
