#include "cmd/text_out.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

/* Length of the valid UTF-8 character at s and its code point (RFC 3629), 0 when it is not valid. */
static size_t utf8_at(const char *s, size_t nbytes, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *const u = (const unsigned char *)s;
    const size_t len = u[0] < 0x80                   ? 1
                       : u[0] >= 0xc2 && u[0] < 0xe0 ? 2
                       : (u[0] & 0xf0) == 0xe0       ? 3
                       : u[0] >= 0xf0 && u[0] < 0xf5 ? 4
                                                     : 0;
    if (len == 0 || len > nbytes)
        return 0;
    uint32_t c = len == 1 ? u[0] : u[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *cp = c;
    return len;
}

bool text_is_utf8(const char *s, size_t nbytes)
{
    uint32_t c;
    for (size_t i = 0, len; i < nbytes; i += len) {
        len = utf8_at(s + i, nbytes - i, &c);
        if (len == 0)
            return false;
    }
    return true;
}

static bool is_hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
           c == 0x200f || c == 0x061c || c == 0x2028 || c == 0x2029 || c == 0xfeff;
}

/* Visible form of the next character to out; returns the bytes taken. one_line: newline and tab are escaped too. */
static size_t visible_at(const char *s, size_t nbytes, bool one_line, char out[16])
{
    uint32_t c = 0;
    const size_t len = utf8_at(s, nbytes, &c);
    if (len == 0) {
        (void)snprintf(out, 16, "\\x%02x", (unsigned)(unsigned char)s[0]);
        return 1;
    }
    if (!one_line && (c == '\n' || c == '\t'))
        (void)snprintf(out, 16, "%c", (char)c);
    else if (c == '\n' || c == '\t' || c == '\r')
        (void)snprintf(out, 16, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(out, 16, "\\x%02x", (unsigned)c);
    else if (is_hidden(c))
        (void)snprintf(out, 16, "\\u{%x}", (unsigned)c);
    else {
        memcpy(out, s, len);
        out[len] = '\0';
    }
    return len;
}

void text_visible(const char *s, size_t nbytes, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < nbytes;) {
        char shown[16];
        i += visible_at(s + i, nbytes - i, true, shown);
        const size_t len = strlen(shown);
        if (n + len + 1 > cap)
            break;
        memcpy(out + n, shown, len);
        n += len;
    }
    out[n] = '\0';
}

char *text_line(const char *s, size_t nbytes, size_t max_chars)
{
    size_t n = 0, cap = 64, chars = 0;
    char *out = xcalloc(cap, 1);
    for (size_t i = 0; i < nbytes; chars++) {
        char shown[16];
        const size_t taken = visible_at(s + i, nbytes - i, true, shown);
        const bool cut = max_chars && chars == max_chars;
        const char *const add = cut ? "..." : shown;
        const size_t len = strlen(add);
        if (n + len + 1 > cap) {
            cap = 2 * cap + len;
            out = xrealloc(out, cap, 1);
        }
        memcpy(out + n, add, len + 1);
        n += len;
        if (cut)
            break;
        i += taken;
    }
    return out;
}

void text_write(FILE *f, const char *s, size_t nbytes, bool visible)
{
    if (!visible) {
        (void)fwrite(s, 1, nbytes, f);
        return;
    }
    for (size_t i = 0; i < nbytes;) {
        char shown[16];
        i += visible_at(s + i, nbytes - i, false, shown);
        (void)fputs(shown, f);
    }
}

size_t text_width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

const char *text_nbytes(uint64_t nbytes, char out[32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (nbytes < 1024) {
        (void)snprintf(out, 32, "%u B", (unsigned)nbytes);
        return out;
    }
    double x = (double)nbytes / 1024.0;
    size_t u = 0;
    while (x >= 1024.0 && u + 1 < sizeof units / sizeof *units) {
        x /= 1024.0;
        u++;
    }
    (void)snprintf(out, 32, "%.2f %s", x, units[u]);
    return out;
}

const char *text_count(uint64_t n, char out[32])
{
    static const char *const units[] = {"K", "M", "B", "T"};
    if (n < 1000) {
        (void)snprintf(out, 32, "%u", (unsigned)n);
        return out;
    }
    double x = (double)n / 1000.0;
    size_t u = 0;
    while (x >= 1000.0 && u + 1 < sizeof units / sizeof *units) {
        x /= 1000.0;
        u++;
    }
    (void)snprintf(out, 32, "%.2f %s", x, units[u]);
    return out;
}

void table_init(struct table *t, const char *align)
{
    *t = (struct table){.align = align, .n_cols = strlen(align)};
}

static void add_cell(struct table *t, char *cell)
{
    if (t->n_cells == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->cells = xrealloc(t->cells, t->cap, sizeof *t->cells);
    }
    t->cells[t->n_cells++] = cell;
}

void table_add(struct table *t, const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    const int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    add_cell(t, n < 0 ? xstrdup("") : s);
}

void table_add_text(struct table *t, const char *s, size_t max_chars)
{
    add_cell(t, text_line(s, strlen(s), max_chars));
}

/* Are this cell and all behind it in its row empty? */
static bool rest_is_empty(const struct table *t, size_t i)
{
    for (; i < t->n_cells; i++) {
        if (t->cells[i][0])
            return false;
        if ((i + 1) % t->n_cols == 0)
            return true;
    }
    return true;
}

size_t *table_widths(const struct table *t)
{
    size_t *const width = xcalloc(t->n_cols, sizeof *width);
    for (size_t i = 0; i < t->n_cells; i++) {
        const size_t w = text_width(t->cells[i]);
        if (w > width[i % t->n_cols])
            width[i % t->n_cols] = w;
    }
    return width;
}

void table_print_rows(const struct table *t, size_t row0, size_t n_rows, const size_t *width, FILE *f)
{
    for (size_t i = row0 * t->n_cols; i < (row0 + n_rows) * t->n_cols; i++) {
        const size_t col = i % t->n_cols, own = text_width(t->cells[i]);
        const bool last = col + 1 == t->n_cols || (t->align[col + 1] == 'l' && rest_is_empty(t, i + 1));
        const size_t pad = width[col] > own ? width[col] - own : 0;
        if (t->align[col] == 'r')
            (void)fprintf(f, "%*s%s", (int)pad, "", t->cells[i]);
        else
            (void)fprintf(f, "%s%*s", t->cells[i], last ? 0 : (int)pad, "");
        (void)fputs(last ? "\n" : "  ", f);
        if (last)
            i += t->n_cols - 1 - col;
    }
}

void table_print(const struct table *t, FILE *f)
{
    size_t *const width = table_widths(t);
    table_print_rows(t, 0, t->n_cells / t->n_cols, width, f);
    free(width);
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}
