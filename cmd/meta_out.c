#include "cmd/meta_out.h"

#include <math.h>
#include <stdio.h>

#include "cmd/text_out.h"
#include "cmd/util.h"

const char *meta_type_name(enum el_meta_type type)
{
    static const char *const names[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64"};
    return names[type];
}

void meta_json_elem(struct json_out *j, const struct el_meta *meta, size_t i, size_t k)
{
    char num[32];
    size_t nbytes = 0;
    const char *s;
    switch (el_meta_elem_type(meta, i)) {
    case EL_META_STR:
        s = el_meta_str(meta, i, k, &nbytes);
        json_text(j, s, nbytes);
        break;
    case EL_META_F32:
        json_format_float((float)el_meta_float(meta, i, k), num);
        json_raw(j, num);
        break;
    case EL_META_F64: json_num(j, el_meta_float(meta, i, k)); break;
    case EL_META_BOOL: json_bool(j, el_meta_int(meta, i, k) != 0); break;
    case EL_META_U64: json_uint(j, (uint64_t)el_meta_int(meta, i, k)); break;
    default: json_int(j, el_meta_int(meta, i, k)); break;
    }
}

/* As short as reads back the same; "nan" and "inf" by name. */
static char *number_text(double v, bool is_f32)
{
    char num[32];
    if (!isfinite(v))
        (void)snprintf(num, sizeof num, "%g", v);
    else if (is_f32)
        json_format_float((float)v, num);
    else
        json_format_num(v, num);
    return xstrdup(num);
}

char *meta_elem_text(const struct el_meta *meta, size_t i, size_t k, size_t max_chars)
{
    size_t nbytes = 0;
    const char *s;
    switch (el_meta_elem_type(meta, i)) {
    case EL_META_STR: s = el_meta_str(meta, i, k, &nbytes); return text_line(s, nbytes, max_chars);
    case EL_META_F32:
    case EL_META_F64: return number_text(el_meta_float(meta, i, k), el_meta_elem_type(meta, i) == EL_META_F32);
    case EL_META_BOOL: return xstrdup(el_meta_int(meta, i, k) ? "true" : "false");
    case EL_META_U64: return xasprintf("%llu", (unsigned long long)el_meta_int(meta, i, k));
    default: return xasprintf("%lld", (long long)el_meta_int(meta, i, k));
    }
}
