/*
 * A JSON writer: commas and indentation by itself, strings escaped (control characters, DEL; invalid UTF-8 becomes U+FFFD),
 * numbers that read back as the same double, NaN and infinity as null. Two spaces of indentation; compact = true writes one line.
 */
#ifndef CMD_JSON_OUT_H
#define CMD_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_out {
    FILE *f;
    unsigned depth;
    bool first, compact, after_key;
    uint64_t flat; /* bit d: the container at depth d is written on one line */
};

void json_init(struct json_out *j, FILE *f, bool compact);
void json_object(struct json_out *j);
void json_array(struct json_out *j, bool flat); /* flat: all elements on one line */
void json_end_object(struct json_out *j);
void json_end_array(struct json_out *j);
void json_key(struct json_out *j, const char *key);
void json_str(struct json_out *j, const char *s); /* NULL writes null */
void json_text(struct json_out *j, const char *s, size_t nbytes);
void json_uint(struct json_out *j, uint64_t v);
void json_int(struct json_out *j, int64_t v);
void json_num(struct json_out *j, double v);
void json_bool(struct json_out *j, bool v);
void json_raw(struct json_out *j, const char *json); /* a value that is JSON already */
/* Ends the line of the top-level value. */
void json_finish(struct json_out *j);

/* Key and value in one call. */
void json_kstr(struct json_out *j, const char *key, const char *s);
void json_kuint(struct json_out *j, const char *key, uint64_t v);
void json_kint(struct json_out *j, const char *key, int64_t v);
void json_knum(struct json_out *j, const char *key, double v);
void json_kbool(struct json_out *j, const char *key, bool v);

/* Shortest decimal text that reads back as v; of a float, as this float ("null" when it is not finite). */
void json_format_num(double v, char out[32]);
void json_format_float(float v, char out[32]);

#endif
