#include "cmd/bench_lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

enum { MAX_VALUES = 4096 };

static bool add(struct bench_list *list, uint64_t v)
{
    if (list->n == MAX_VALUES)
        return false;
    list->v = xrealloc(list->v, list->n + 1, sizeof *list->v);
    list->v[list->n++] = v;
    return true;
}

/* Digits at *p, which is moved behind them. */
static bool number(const char **p, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    const char *const start = *p;
    while (**p >= '0' && **p <= '9') {
        v = 10 * v + (uint64_t)(**p - '0');
        if (v > max)
            return false;
        (*p)++;
    }
    *out = v;
    return *p > start;
}

/* first[-last[(+|*)step]] up to a comma or the end. */
static bool range(struct bench_list *list, const char **p, uint64_t max)
{
    uint64_t first, last, step = 1;
    char op = '+';
    if (!number(p, max, &first))
        return false;
    last = first;
    if (**p == '-') {
        (*p)++;
        if (!number(p, max, &last))
            return false;
        if (**p == '+' || **p == '*') {
            op = *(*p)++;
            if (!number(p, max, &step))
                return false;
        }
    }
    if (last < first || (**p && **p != ','))
        return false;
    for (uint64_t v = first; v <= last;) {
        const uint64_t next = op == '+' ? v + step : v * step;
        if (!add(list, v))
            return false;
        if (first == last)
            break;
        if (next <= v)
            return false;
        v = next;
    }
    return true;
}

enum el_status bench_list_read(struct bench_list *list, const char *option, const struct opt_list *texts, uint64_t missing,
                               uint64_t max, struct el_err *err)
{
    const bool all = strcmp(option, "--threads") == 0; /* -1 is all of them, as with other commands */
    for (size_t i = 0; i < texts->n; i++) {
        const char *p = texts->v[i];
        if (all && strcmp(p, "-1") == 0) {
            (void)add(list, 0);
            continue;
        }
        for (;;) {
            if (!range(list, &p, max))
                return cmd_fail(err, EL_E_USAGE,
                                "option '%s': '%s' is no list of numbers from 0 to %llu or ranges first-last, first-last+step, "
                                "first-last*factor",
                                option, texts->v[i], (unsigned long long)max);
            if (*p == '\0')
                break;
            p++;
        }
    }
    if (texts->n == 0)
        (void)add(list, missing);
    return EL_OK;
}

enum el_status bench_list_choices(struct bench_list *list, const char *option, const struct opt_list *texts, const char *choices,
                                  struct el_err *err)
{
    for (size_t i = 0; i < texts->n; i++)
        for (const char *p = texts->v[i];; p++) {
            const size_t len = strcspn(p, ",");
            char word[32];
            uint64_t k = 0;
            while (opts_alternative(choices, k, word, sizeof word) && (strlen(word) != len || strncmp(word, p, len) != 0))
                k++;
            if (!opts_alternative(choices, k, word, sizeof word) || !add(list, k))
                return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is no list of %s", option, texts->v[i], choices);
            p += len;
            if (*p == '\0')
                break;
        }
    if (texts->n == 0)
        (void)add(list, 0);
    return EL_OK;
}

void bench_list_free(struct bench_list *list)
{
    free(list->v);
    *list = (struct bench_list){.v = NULL};
}
