/* See patterns.h. */
#include "quant/patterns.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "text/regex.h"

/* Searched for anywhere in the name, in any case: llama-quantize folds it to lower case, which names are in. */
static enum el_status compile(const struct el_patterns *p, struct el_pattern *out, size_t nbytes, struct el_err *err)
{
    struct el_buf pattern;
    el_buf_init(&pattern);
    el_buf_addf(&pattern, "(?i:%.*s)", (int)nbytes, out->text);
    enum el_status status = EL_OK;
    if (pattern.failed)
        status = el_fail(err, EL_E_MEMORY, "%s: out of memory", p->option);
    else
        status = el_regex_open(pattern.data, pattern.nbytes, &out->re, err);
    el_buf_release(&pattern);
    return status == EL_OK || status == EL_E_MEMORY
               ? status
               : el_fail(err, EL_E_USAGE, "%s '%s': not a valid pattern", p->option, out->text);
}

static enum el_status parse(const struct el_patterns *p, const char *form, const char *text, struct el_pattern *out,
                            struct el_err *err)
{
    out->text = text;
    if (!form)
        return *text ? compile(p, out, strlen(text), err) : el_fail(err, EL_E_USAGE, "%s '': must be a pattern", p->option);
    const char *const eq = strrchr(text, '=');
    if (!eq || eq == text)
        return el_fail(err, EL_E_USAGE, "%s '%s': must be %s", p->option, text, form);
    out->value = eq + 1;
    return compile(p, out, (size_t)(eq - text), err);
}

enum el_status el_patterns_open(struct el_patterns *p, const char *option, const char *form, const char *const *texts, size_t n,
                                struct el_err *err)
{
    *p = (struct el_patterns){.option = option};
    if (n == 0)
        return EL_OK;
    EL_TRY(el_regex_run_open(&p->run, err));
    p->v = el_calloc_array(n, sizeof *p->v);
    if (!p->v)
        return el_fail(err, EL_E_MEMORY, "%s: out of memory", option);
    p->n = n;
    for (size_t i = 0; i < n; i++)
        EL_TRY(parse(p, form, texts[i], &p->v[i], err));
    return EL_OK;
}

void el_patterns_close(struct el_patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        el_regex_close(p->v[i].re);
    el_free(p->v);
    el_regex_run_close(p->run);
    *p = (struct el_patterns){.n = 0};
}

enum el_status el_patterns_find(struct el_patterns *p, const char *name, const struct el_pattern **found, struct el_err *err)
{
    *found = NULL;
    for (size_t i = 0; i < p->n; i++) {
        size_t begin, end;
        bool hit = false;
        if (el_regex_find(p->v[i].re, p->run, name, strlen(name), 0, &begin, &end, &hit, err) != EL_OK)
            return el_fail(err, EL_E_USAGE, "%s '%s': too much backtracking on '%s'", p->option, p->v[i].text, name);
        if (hit && !*found)
            *found = &p->v[i];
        p->v[i].used |= hit;
    }
    return EL_OK;
}

void el_patterns_warn(const struct el_patterns *p, const char *what)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->v[i].used)
            el_warn("%s '%s' matches no tensor%s%s", p->option, p->v[i].text, *what ? " " : "", what);
}
