/*
 * The door to OpenBLAS. Nothing multiplies with it today: on the shapes of language models our own kernels are as fast, read the
 * weights as they are stored, and give a row the same bits in every batch (ARCHITECTURE.md, "Numbers"). What the door does is
 * find out what OpenBLAS would do on this machine. Its builds for many CPUs choose kernels when they are loaded, and on a CPU
 * that they do not know they choose Prescott's, five times slower than the machine (Debian 12, 0.3.21).
 */
#ifndef EL_KERNELS_LINALG_H
#define EL_KERNELS_LINALG_H

#include <stdbool.h>

#include "base/cpu.h"

struct el_buf;

struct el_openblas {
    bool found;             /* else the rest is empty */
    char version[16];       /* "0.3.21" */
    char core_detected[32]; /* the kernels that it chose, in its spelling: "Prescott" */
    char core_used[32];     /* the kernels after the correction, where one was needed */
};

/*
 * Loads `file` ("libopenblas.so.0", by the rules of dlopen), asks it, and if it chose kernels that el_openblas_core refuses,
 * loads it again with a better choice; unloads it. core: what OPENBLAS_CORETYPE is for the first time, NULL: not set.
 *
 * OpenBLAS reads its environment once, in its constructor. setenv in a library is a race with every getenv of the process, and
 * OpenBLAS's own tables of kernels are no interface; so it is loaded into a link namespace of its own (dlmopen), whose C library
 * gets an environment that we made: the choice, and one thread. Where there are no namespaces (not glibc) it counts as not found.
 * Any thread.
 */
void el_openblas_find(const char *file, const char *core, struct el_openblas *found);

/* What OPENBLAS_CORETYPE must be on a CPU of this level when OpenBLAS chose `chosen`; NULL: the choice is good. */
const char *el_openblas_core(enum el_cpu_level level, const char *chosen);

/*
 * Appends a JSON object for el_build_info_json: el_openblas_find("libopenblas.so.0", $OPENBLAS_CORETYPE), and used_for, an empty
 * list.
 */
void el_openblas_add_json(struct el_buf *b);

#endif
