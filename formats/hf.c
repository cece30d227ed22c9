/* Hugging Face folders: the format's line, names, and the list of problems. */
#include "formats/hf.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/locale_c.h"
#include "formats/format.h"

extern const struct el_format el_format_hf;

bool el_hf_name_fits(const char *pattern, const char *name, uint32_t numbers[2])
{
    unsigned n_numbers = 0;
    while (*pattern) {
        if (pattern[0] != '%' || pattern[1] != 'u') {
            if (*pattern++ != *name++)
                return false;
            continue;
        }
        if (*name < '0' || *name > '9' || (*name == '0' && name[1] >= '0' && name[1] <= '9') || n_numbers == 2)
            return false;
        uint64_t value = 0;
        for (; *name >= '0' && *name <= '9'; name++) {
            value = value * 10 + (uint64_t)(*name - '0');
            if (value > UINT32_MAX)
                return false;
        }
        numbers[n_numbers++] = (uint32_t)value;
        pattern += 2;
    }
    return *name == '\0';
}

void el_hf_add_name(struct el_buf *b, const char *pattern, uint32_t first, uint32_t second)
{
    uint32_t number = first;
    for (const char *hole; (hole = strstr(pattern, "%u")); pattern = hole + 2) {
        el_buf_add(b, pattern, (size_t)(hole - pattern));
        el_buf_addf(b, "%u", (unsigned)number);
        number = second;
    }
    el_buf_add_str(b, pattern);
}

void el_problems_init(struct el_problems *p)
{
    el_buf_init(&p->text);
    p->n = 0;
    p->code = EL_OK;
}

void el_problems_add(struct el_problems *p, enum el_status code, const char *fmt, ...)
{
    enum { EL_PROBLEMS_TOLD = 100 };
    char line[768];
    if (p->n++ == 0)
        p->code = code;
    if (p->n > EL_PROBLEMS_TOLD)
        return;
    va_list args;
    va_start(args, fmt);
    (void)el_vsnprintf_c(line, sizeof line, fmt, args);
    va_end(args);
    if (p->text.nbytes)
        el_buf_add_byte(&p->text, '\0');
    el_buf_add_str(&p->text, line);
}

enum el_status el_problems_finish(struct el_problems *p, const char *path, struct el_err *err)
{
    enum el_status status = EL_OK;
    if (p->n == 1) {
        status = el_fail(err, p->code, "'%s': %s", path, p->text.data);
    } else if (p->n > 1) {
        struct el_buf list;
        el_buf_init(&list);
        for (size_t i = 0; i < p->text.nbytes; i += strlen(p->text.data + i) + 1) {
            el_warn("'%s': %s", path, p->text.data + i);
            el_buf_addf(&list, "%s%s", i ? "; " : "", p->text.data + i);
        }
        status = el_fail(err, p->code, "'%s': %zu problems: %s", path, p->n, list.data);
        el_buf_release(&list);
    }
    if (p->text.failed && status != EL_OK)
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu problems", path, p->n);
    el_buf_release(&p->text);
    return status;
}

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    (void)head;
    (void)n_head;
    if (!is_folder)
        return false;
    char config[PATH_MAX];
    const int n = snprintf(config, sizeof config, "%s/config.json", path);
    return n > 0 && (size_t)n < sizeof config && access(config, F_OK) == 0;
}

const struct el_format el_format_hf = {
    .name = "hf",
    .about = "Hugging Face folder: config.json, tokenizer.json, model.safetensors or shards",
    .probe = probe,
    .open = el_hf_open,
    .reads_tokenizer = true,
    .create = el_hf_create,
};
