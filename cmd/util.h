/* Small things that every command needs: errors, memory, time. */
#ifndef CMD_UTIL_H
#define CMD_UTIL_H

#include "edgellm.h"

/* Fills *err (control characters become visible) and returns code. */
enum el_status cmd_fail(struct el_err *err, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);

/* Forwards a failure; the second form sets `status` and goes to `out`. */
#define CMD_TRY(expr)                                                                                                            \
    do {                                                                                                                         \
        const enum el_status cmd_try_status_ = (expr);                                                                           \
        if (cmd_try_status_ != EL_OK)                                                                                            \
            return cmd_try_status_;                                                                                              \
    } while (0)
#define CMD_TRY_OUT(expr)                                                                                                        \
    do {                                                                                                                         \
        status = (expr);                                                                                                         \
        if (status != EL_OK)                                                                                                     \
            goto out;                                                                                                            \
    } while (0)

/*
 * Memory of n * size bytes (zeroed, at least one byte). A command cannot go on without its few small tables: when there is none,
 * these say so and end the process with exit code 5. Large buffers belong to the library. Free with free().
 */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) EL_PRINTF(1, 2);

/* Monotonic time in nanoseconds. */
uint64_t now_ns(void);

/* The part of a path behind the last slash (of "a/b/" it is "b"), to out of n bytes. */
void path_base(const char *path, char *out, size_t n);
bool path_is_folder(const char *path);
bool ends_with(const char *s, const char *suffix);

#endif
