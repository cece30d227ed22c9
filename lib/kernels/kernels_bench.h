/*
 * Timing every variant of every kernel: el_kernels_time() of edgellm.h. A family is a kernel of the table (kernels.h), or one
 * that the table has per encoding; the walk runs it at every CPU level within the one in use that brings another function. A new
 * family is a function or two and a line in kernels_bench_families.c; new variants, levels and encodings appear by themselves.
 */
#ifndef EL_KERNELS_KERNELS_BENCH_H
#define EL_KERNELS_KERNELS_BENCH_H

#include "edgellm.h"
#include "kernels/kernels.h"

enum { EL_BENCH_N_IN = 2048, EL_BENCH_MAX_ROWS = 64 };

/*
 * What kernels work on. Data is cut in pieces, the work of one call: from the cache every thread has one and takes it again and
 * again, from memory the pieces lie one behind the other in an arena much larger than the cache.
 */
struct el_bench_bed {
    unsigned n_threads;
    uint8_t *arena; /* [arena_nbytes] */
    uint64_t arena_nbytes;
    uint64_t n_pieces; /* in the arena, at least n_threads; set by prepare */

    /* Of matrices: the type, its matrix over all of the arena, rows of a piece. */
    struct el_enc enc;
    struct el_matrix w;
    uint64_t piece_rows;
    struct el_laid laid;     /* the same, re-laid */
    enum el_kv_type kv_type; /* of attention */

    struct el_act x; /* [EL_BENCH_MAX_ROWS, EL_BENCH_N_IN], all forms */
    float **y;       /* [n_threads] results, EL_BENCH_Y_NELEMS each */
    void **scratch;  /* [n_threads] of el_matmul_scratch_nbytes(EL_BENCH_N_IN) */
    void *owned;
};
enum { EL_BENCH_Y_NELEMS = 1 << 19 };

/* A way to call a family. */
struct el_bench_shape {
    const char *name; /* "1 from memory" */
    uint32_t n;       /* rows of activations */
    bool from_memory;
};

struct el_bench_family {
    const char *name;
    const struct el_bench_shape *shapes; /* ended by name NULL */
    /* Name of kind i ("Q4_K", "" when there is only one) to out; false past the last one. */
    bool (*kind)(size_t i, char out[32]);
    /* Prepares the bed for kind i. It cannot fail: the memory is there. */
    void (*prepare)(struct el_bench_bed *bed, size_t i);
    /* Do two tables run the same function for what was prepared? */
    bool (*same)(const struct el_bench_bed *bed, const struct el_kernels *a, const struct el_kernels *b);
    /* One call of it: piece < n_pieces; thread says whose y and scratch. */
    void (*run)(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape, uint64_t piece,
                unsigned thread);
    /* What one call reads (and, from the cache, writes), and how many operations it does of which kind. */
    void (*work)(const struct el_kernels *k, const struct el_bench_bed *bed, const struct el_bench_shape *shape, double *nbytes,
                 double *ops, enum el_meter_limit *kind);
};

/* NULL past the end. */
const struct el_bench_family *el_bench_family_at(size_t i);

#endif
