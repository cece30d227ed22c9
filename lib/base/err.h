/*
 * Errors inside the library: a status to return, a text for the person. See enum el_status in edgellm.h.
 *
 * Text: lower case, no full stop, what failed first, subject in single quotes, the found value and the allowed ones:
 *   "'model.gguf': tensor 'blk.0.attn_q.weight': 7 dimensions, at most 4"
 */
#ifndef EL_BASE_ERR_H
#define EL_BASE_ERR_H

#include "edgellm.h"

/* Fills *err (may be NULL) and returns code. Bytes that are not printable UTF-8 are shown as \xNN. */
enum el_status el_fail(struct el_err *err, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);

/* The same with the reason, which el_fail clears. */
enum el_status el_fail_why(struct el_err *err, enum el_status code, enum el_reason reason, const char *fmt, ...) EL_PRINTF(4, 5);

/*
 * Puts "PREFIX: " in front of the text already in *err, for callers that know the file or tensor. The reason stays. Returns err's
 * code or code.
 */
enum el_status el_fail_prefix(struct el_err *err, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);

/* The system's text for an errno in the "C" locale: "No such file or directory". Static. */
const char *el_errno_text(int number);

/* Sends one warning line to el_log_set()'s function. */
void el_warn(const char *fmt, ...) EL_PRINTF(1, 2);

/* True after el_interrupt(). */
bool el_interrupted(void);

/* Forwards a failure. */
#define EL_TRY(expr)                                                                                                             \
    do {                                                                                                                         \
        const enum el_status el_try_status_ = (expr);                                                                            \
        if (el_try_status_ != EL_OK)                                                                                             \
            return el_try_status_;                                                                                               \
    } while (0)

/* The same where something must be freed: sets `status` and goes to `out`. */
#define EL_TRY_OUT(expr)                                                                                                         \
    do {                                                                                                                         \
        status = (expr);                                                                                                         \
        if (status != EL_OK)                                                                                                     \
            goto out;                                                                                                            \
    } while (0)

#endif
