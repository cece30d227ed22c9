#include "cmd/json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_init(struct json_out *j, FILE *f, bool compact)
{
    *j = (struct json_out){.f = f, .first = true, .compact = compact};
}

static bool is_flat(const struct json_out *j)
{
    return j->compact || (j->depth < 64 && (j->flat >> j->depth & 1));
}

static void new_line(const struct json_out *j)
{
    if (!is_flat(j))
        (void)fprintf(j->f, "\n%*s", (int)(2 * j->depth), "");
}

/* What stands before a value or key. */
static void before(struct json_out *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->first)
        (void)fputs(is_flat(j) ? ", " : ",", j->f);
    if (j->depth > 0)
        new_line(j);
    j->first = false;
}

static void open_container(struct json_out *j, char c, bool flat)
{
    before(j);
    (void)fputc(c, j->f);
    const bool inherited = is_flat(j);
    j->depth++;
    j->first = true;
    if (j->depth < 64)
        j->flat = (j->flat & ~(1ull << j->depth)) | (uint64_t)(flat || inherited) << j->depth;
}

static void close_container(struct json_out *j, char c)
{
    const bool empty = j->first, flat = is_flat(j);
    j->depth--;
    if (!empty && !flat)
        (void)fprintf(j->f, "\n%*s", (int)(2 * j->depth), "");
    (void)fputc(c, j->f);
    j->first = false;
}

void json_object(struct json_out *j)
{
    open_container(j, '{', false);
}

void json_array(struct json_out *j, bool flat)
{
    open_container(j, '[', flat);
}

void json_end_object(struct json_out *j)
{
    close_container(j, '}');
}

void json_end_array(struct json_out *j)
{
    close_container(j, ']');
}

/* Bytes of the valid UTF-8 character at s, or 0. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    const size_t len = s[0] < 0x80                   ? 1
                       : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                       : (s[0] & 0xf0) == 0xe0       ? 3
                       : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                     : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return len;
}

static void write_string(FILE *f, const char *s, size_t nbytes)
{
    (void)fputc('"', f);
    const unsigned char *const u = (const unsigned char *)s;
    for (size_t i = 0; i < nbytes;) {
        const size_t len = utf8_len(u + i, nbytes - i);
        if (len == 0)
            (void)fputs("\xef\xbf\xbd", f);
        else if (u[i] == '"' || u[i] == '\\')
            (void)fprintf(f, "\\%c", u[i]);
        else if (u[i] == '\n')
            (void)fputs("\\n", f);
        else if (u[i] == '\t')
            (void)fputs("\\t", f);
        else if (u[i] < 0x20 || u[i] == 0x7f)
            (void)fprintf(f, "\\u%04x", u[i]);
        else if (u[i] == 0xc2 && u[i + 1] < 0xa0) /* C1 controls drive some terminals */
            (void)fprintf(f, "\\u%04x", u[i + 1]);
        else
            (void)fwrite(s + i, 1, len, f);
        i += len ? len : 1;
    }
    (void)fputc('"', f);
}

void json_key(struct json_out *j, const char *key)
{
    before(j);
    write_string(j->f, key, strlen(key));
    (void)fputs(": ", j->f);
    j->after_key = true;
}

void json_text(struct json_out *j, const char *s, size_t nbytes)
{
    before(j);
    write_string(j->f, s, nbytes);
}

void json_str(struct json_out *j, const char *s)
{
    if (s)
        json_text(j, s, strlen(s));
    else
        json_raw(j, "null");
}

void json_raw(struct json_out *j, const char *json)
{
    before(j);
    (void)fputs(json, j->f);
}

void json_uint(struct json_out *j, uint64_t v)
{
    before(j);
    (void)fprintf(j->f, "%llu", (unsigned long long)v);
}

void json_int(struct json_out *j, int64_t v)
{
    before(j);
    (void)fprintf(j->f, "%lld", (long long)v);
}

void json_format_num(double v, char out[32])
{
    if (!isfinite(v)) {
        (void)snprintf(out, 32, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(out, 32, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            return;
    }
}

void json_format_float(float v, char out[32])
{
    if (!isfinite(v)) {
        (void)snprintf(out, 32, "null");
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(out, 32, "%.*g", digits, (double)v);
        if (strtof(out, NULL) == v)
            return;
    }
}

void json_num(struct json_out *j, double v)
{
    char s[32];
    json_format_num(v, s);
    json_raw(j, s);
}

void json_bool(struct json_out *j, bool v)
{
    json_raw(j, v ? "true" : "false");
}

void json_finish(struct json_out *j)
{
    (void)fputc('\n', j->f);
    json_init(j, j->f, j->compact);
}

void json_kstr(struct json_out *j, const char *key, const char *s)
{
    json_key(j, key);
    json_str(j, s);
}

void json_kuint(struct json_out *j, const char *key, uint64_t v)
{
    json_key(j, key);
    json_uint(j, v);
}

void json_kint(struct json_out *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_int(j, v);
}

void json_knum(struct json_out *j, const char *key, double v)
{
    json_key(j, key);
    json_num(j, v);
}

void json_kbool(struct json_out *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}
