/* Time that only goes on. */
#ifndef EL_BASE_CLOCK_H
#define EL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of a monotonic clock since some moment. Any thread. */
static inline uint64_t el_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
