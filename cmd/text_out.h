/*
 * Text for people. What comes from a file never reaches a terminal as it is: control characters (but newline and tab), DEL, C1,
 * bidirectional overrides and invalid UTF-8 are shown as \xNN or \u{NNNN}.
 */
#ifndef CMD_TEXT_OUT_H
#define CMD_TEXT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Visible form of one line (newline and tab are escaped too) to out of cap bytes, always terminated, cut at a whole character. */
void text_visible(const char *s, size_t nbytes, char *out, size_t cap);
/* The same in malloc'ed memory; longer than max_chars characters (0: no limit) ends in "...". */
char *text_line(const char *s, size_t nbytes, size_t max_chars);
/* Writes nbytes bytes: as they are, or in visible form (newline and tab stay). */
void text_write(FILE *f, const char *s, size_t nbytes, bool visible);
bool text_is_utf8(const char *s, size_t nbytes);
/* Characters that a terminal shows: code points of valid UTF-8. */
size_t text_width(const char *s);

/* "12.34 MiB" */
const char *text_nbytes(uint64_t nbytes, char out[32]);
/* "4.98 M" */
const char *text_count(uint64_t n, char out[32]);

/* A table whose columns are as wide as their widest cell. align: one letter per column, 'l' or 'r'. */
struct table {
    const char *align;
    size_t n_cols, n_cells, cap;
    char **cells;
};
void table_init(struct table *t, const char *align);
/* Adds one cell; cells fill rows from left to right. Text of files goes through text_line first. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds text of a file in visible form. */
void table_add_text(struct table *t, const char *s, size_t max_chars);
void table_print(const struct table *t, FILE *f);
/*
 * For tables that grow while they are printed: widths [n_cols] of what is there, and rows row0 .. with these. free() the former.
 */
size_t *table_widths(const struct table *t);
void table_print_rows(const struct table *t, size_t row0, size_t n_rows, const size_t *width, FILE *f);
void table_free(struct table *t);

#endif
