/* Patterns of tensors' names as options give them: "REGEX", or "REGEX=VALUE". The first that is found in a name counts. */
#ifndef EL_QUANT_PATTERNS_H
#define EL_QUANT_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct el_regex;
struct el_regex_run;

struct el_pattern {
    struct el_regex *re;
    const char *text, *value; /* as given, and what is behind its last "="; borrowed */
    bool used;                /* found in a name, be it behind another one */
};

struct el_patterns {
    const char *option; /* "tensor type": for messages; borrowed */
    struct el_pattern *v;
    size_t n;
    struct el_regex_run *run;
};

/* form: "REGEX=TYPE", or NULL for patterns without a value. texts [n] are borrowed. EL_E_USAGE names option and pattern. */
enum el_status el_patterns_open(struct el_patterns *p, const char *option, const char *form, const char *const *texts, size_t n,
                                struct el_err *err);
void el_patterns_close(struct el_patterns *p);
/* The first pattern found in the name, in any case, or NULL. EL_E_USAGE: one backtracks without end. */
enum el_status el_patterns_find(struct el_patterns *p, const char *name, const struct el_pattern **found, struct el_err *err);
/* Warns of every pattern that was found in no name; what: "that is quantized", or "". */
void el_patterns_warn(const struct el_patterns *p, const char *what);

#endif
