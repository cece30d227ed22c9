/*
 * The only door to the heap. Never returns NULL for zero bytes. All functions are thread-safe.
 */
#ifndef EL_BASE_MEM_H
#define EL_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* NULL when out of memory, when n * size overflows, or when the fault countdown hits. Contents of el_alloc are undefined. */
void *el_alloc(size_t nbytes);
void *el_alloc_array(size_t n, size_t size);
void *el_calloc_array(size_t n, size_t size);
void *el_realloc_array(void *p, size_t n, size_t size);
char *el_strdup(const char *s);
char *el_strndup(const char *s, size_t nbytes); /* result is terminated; may hold NULs */

/* 64-byte aligned, from 2 MiB up on huge-page-aligned addresses with MADV_HUGEPAGE. Free with el_free_aligned. */
void *el_alloc_aligned(size_t nbytes);
void el_free_aligned(void *p);

/* Test hooks: fail the n-th allocation from now (0: never); allocations made so far (asserts that decoding makes none). */
void el_mem_fail_after(uint64_t n);
uint64_t el_mem_count(void);

#endif
