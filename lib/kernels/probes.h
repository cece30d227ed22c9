/*
 * Probes: loops that do nothing but what is to be measured. One table, filled for a CPU level like the table of kernels: first
 * plain C, then what each of its features does better, in x86/. meter.c runs them.
 */
#ifndef EL_KERNELS_PROBES_H
#define EL_KERNELS_PROBES_H

#include <stdint.h>

#include "base/cpu.h"

/* n_turns times n_ops operations (a multiplication and an addition are two) on registers or the first cache; pure. */
struct el_probe {
    float (*run)(uint64_t n_turns);
    uint32_t n_ops;
};

struct el_probes {
    /* Reads nbytes (a multiple of 256) from p (64-aligned) in ascending order; the result depends on every byte. */
    uint64_t (*read)(const uint8_t *p, uint64_t nbytes);
    struct el_probe int8; /* products of bytes, added up exactly in 32 bits */
    struct el_probe f16;  /* multiply-adds that round to f16; run is NULL where the level has none */
    struct el_probe f32;  /* multiply-adds */
};

/* Fills p for a level that el_cpu_allows. */
void el_probes_init(struct el_probes *p, enum el_cpu_level level);

#endif
