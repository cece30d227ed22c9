/* Filters of sequences. map, select and their like are lazy, as in jinja2: they give generators. */
#include <string.h>

#include "text/jinja_impl.h"

/* ---- attributes by path ("function.name", "0.text") ----------------------------------------------------------------- */

/* One step of a path as a key: digits are an index. */
static struct el_jval path_key(const char *s, uint32_t n)
{
    int64_t v = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || v > INT32_MAX)
            return el_jv_str(s, n);
        v = v * 10 + (s[i] - '0');
    }
    return n ? el_jv_int(v) : el_jv_str(s, n);
}

/* attr: MISSING or NONE: the item itself. fallback: MISSING or NONE: nothing. */
static bool get_attr(struct el_jrun *r, struct el_jval item, const struct el_jval *attr, const struct el_jval *fallback,
                     struct el_jval *out)
{
    const bool has_fallback = fallback && fallback->kind != EL_J_MISSING && fallback->kind != EL_J_NONE;
    *out = item;
    if (attr->kind == EL_J_MISSING || attr->kind == EL_J_NONE)
        return true;
    if (attr->kind != EL_J_STR) {
        if (!el_jinja_item(r, &item, attr, out))
            return false;
        if (out->kind == EL_J_UNDEF && has_fallback)
            *out = *fallback;
        return true;
    }
    for (uint32_t at = 0; at <= attr->n;) {
        const char *const s = attr->u.s + at, *const dot = memchr(s, '.', attr->n - at);
        const uint32_t n = dot ? (uint32_t)(dot - s) : attr->n - at;
        const struct el_jval key = path_key(s, n), from = *out;
        if (!el_jinja_item(r, &from, &key, out))
            return false;
        if (out->kind == EL_J_UNDEF && has_fallback)
            *out = *fallback;
        at += n + 1;
    }
    return true;
}

/* The key to sort by: strings in lower case unless case counts. */
static bool sort_key(struct el_jrun *r, struct el_jval item, const struct el_jval *attr, const struct el_jval *fallback,
                     bool case_sensitive, struct el_jval *out)
{
    if (!get_attr(r, item, attr, fallback, out))
        return false;
    return case_sensitive || out->kind != EL_J_STR || el_jinja_case(r, *out, EL_JINJA_LOWER, out);
}

/* ---- lazy filters ------------------------------------------------------------------------------------------------- */

static bool start(struct el_jrun *r, struct el_jiter *it)
{
    if (it->started)
        return true;
    it->started = true;
    bool truth;
    if (!el_jv_truth(r, &it->over, &truth))
        return false;
    const struct el_jval nothing = el_jv_list(NULL, 0);
    return el_jinja_iter(r, truth ? &it->over : &nothing, &it->source);
}

static bool step_map(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    struct el_jval item;
    if (!start(r, it) || !el_jinja_next(r, it->source, &item, end))
        return false;
    if (*end)
        return true;
    return it->has_attr ? get_attr(r, item, &it->attr, &it->fallback, out) : el_jinja_call_def(r, it->def, &item, &it->args, out);
}

static bool step_select(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    if (!start(r, it))
        return false;
    for (;;) {
        struct el_jval tested, result;
        bool truth;
        if (!el_jinja_next(r, it->source, out, end))
            return false;
        if (*end)
            return true;
        if (it->has_attr ? !get_attr(r, *out, &it->attr, NULL, &tested) : (tested = *out, false))
            return false;
        result = tested;
        if ((it->def && !el_jinja_call_def(r, it->def, &tested, &it->args, &result)) || !el_jv_truth(r, &result, &truth))
            return false;
        if (truth != it->negate)
            return true;
    }
}

static struct el_jargs rest_of(const struct el_jargs *a, uint32_t skip)
{
    return (struct el_jargs){a->v + skip, a->n - skip, a->kw, a->n_kw};
}

static bool no_such(struct el_jrun *r, const char *who, const char *what, struct el_jval name)
{
    if (name.kind != EL_J_STR)
        return el_jinja_fail(r, "%s: a %s, not the name of a %s", who, el_jv_type(&name), what);
    return el_jinja_fail_as(r, EL_E_UNSUPPORTED, "%s: no %s '%.*s'", who, what, (int)(name.n < 64 ? name.n : 64), name.u.s);
}

static bool f_map(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jiter *const it = el_jinja_new_iter(r, step_map);
    if (!it)
        return false;
    it->over = *self;
    if (a->n == 0) {
        for (uint32_t i = 0; i < a->n_kw; i++) {
            if (el_jv_is(&a->kw[i].name, "attribute")) {
                it->attr = a->kw[i].v;
                it->has_attr = true;
            } else if (el_jv_is(&a->kw[i].name, "default")) {
                it->fallback = a->kw[i].v;
            } else {
                return el_jinja_fail(r, "map: no argument '%.*s'", (int)a->kw[i].name.n, a->kw[i].name.u.s);
            }
        }
        if (!it->has_attr)
            return el_jinja_fail(r, "map without a filter");
    } else {
        it->def = a->v[0].kind == EL_J_STR ? el_jinja_filter(a->v[0]) : NULL;
        if (!it->def)
            return no_such(r, "map", "filter", a->v[0]);
        it->args = rest_of(a, 1);
    }
    *out = el_jinja_generator(r, it);
    return true;
}

static bool select_or_reject(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, bool attr, bool negate,
                             struct el_jval *out)
{
    struct el_jiter *const it = el_jinja_new_iter(r, step_select);
    const uint32_t off = attr ? 1 : 0;
    if (!it)
        return false;
    it->over = *self;
    it->negate = negate;
    it->has_attr = attr;
    if (a->n < off)
        return el_jinja_fail(r, "selectattr without the name of an attribute");
    if (attr)
        it->attr = a->v[0];
    if (a->n > off) {
        it->def = a->v[off].kind == EL_J_STR ? el_jinja_test(a->v[off]) : NULL;
        if (!it->def)
            return no_such(r, "select", "test", a->v[off]);
        it->args = rest_of(a, off + 1);
    }
    *out = el_jinja_generator(r, it);
    return true;
}

static bool f_select(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return select_or_reject(r, self, a, false, false, out);
}

static bool f_reject(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return select_or_reject(r, self, a, false, true, out);
}

static bool f_selectattr(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return select_or_reject(r, self, a, true, false, out);
}

static bool f_rejectattr(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return select_or_reject(r, self, a, true, true, out);
}

/* A generator over a list that is made at once: where laziness cannot be seen. */
static bool as_generator(struct el_jrun *r, struct el_jval list, struct el_jval *out)
{
    struct el_jiter *it;
    if (!el_jinja_iter(r, &list, &it))
        return false;
    *out = el_jinja_generator(r, it);
    return true;
}

static bool f_items(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval view = *self;
    (void)a;
    if (self->kind == EL_J_UNDEF)
        return as_generator(r, el_jv_list(NULL, 0), out);
    if (self->kind != EL_J_DICT)
        return el_jinja_fail(r, "items of a %s", el_jv_type(self));
    view.kind = EL_J_VIEW;
    view.sub = EL_J_ITEMS;
    return as_generator(r, view, out);
}

static bool f_unique(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items;
    bool sensitive;
    uint32_t n = 0;
    if (!el_jarg_truth(r, &a->v[0], false, &sensitive) || !el_jinja_to_list(r, self, &items))
        return false;
    struct el_jval *const keys = el_jinja_get(r, items.n, sizeof *keys), *const kept = el_jinja_get(r, items.n, sizeof *kept);
    if (!keys || !kept)
        return false;
    for (uint32_t i = 0; i < items.n; i++) {
        bool same = false;
        if (!sort_key(r, items.u.v[i], &a->v[1], NULL, sensitive, &keys[n]))
            return false;
        if (!el_jv_hashable(&keys[n]))
            return el_jinja_fail(r, "unique: a %s", el_jv_type(&keys[n]));
        for (uint32_t k = 0; k < n && !same; k++)
            if (!el_jv_equal(r, &keys[k], &keys[n], &same) || !el_jinja_tick(r, 1))
                return false;
        if (!same)
            kept[n++] = items.u.v[i];
    }
    return as_generator(r, el_jv_list(kept, n), out);
}

static bool f_batch(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items;
    int64_t size;
    const struct el_jval *const fill = &a->v[1];
    if (!el_jarg_int(r, &a->v[0], 0, "the size of batch", &size) || !el_jinja_to_list(r, self, &items))
        return false;
    if (size <= 0) { /* jinja2 then never sees a full batch */
        if (size == 0 && items.n)
            return el_jinja_fail(r, "batch of size zero");
        size = items.n ? items.n : 1;
    }
    const bool pads = fill->kind != EL_J_MISSING && fill->kind != EL_J_NONE;
    const uint64_t n = (items.n + (uint64_t)size - 1) / (uint64_t)size;
    struct el_jval *const rows = el_jinja_get(r, n, sizeof *rows);
    if (!rows)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t from = (uint32_t)(i * (uint64_t)size);
        const uint32_t have = items.n - from < size ? items.n - from : (uint32_t)size;
        rows[i] = el_jv_list(items.u.v + from, have);
        if (!pads || have == size)
            continue;
        struct el_jval *const row = el_jinja_tick(r, (uint64_t)size) ? el_jinja_get(r, (uint64_t)size, sizeof *row) : NULL;
        if (!row)
            return false;
        for (int64_t k = 0; k < size; k++)
            row[k] = k < have ? items.u.v[from + k] : *fill;
        rows[i] = el_jv_list(row, (uint32_t)size);
    }
    return as_generator(r, el_jv_list(rows, (uint32_t)n), out);
}

static bool f_slice(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items, tail;
    int64_t slices;
    uint32_t at = 0;
    const struct el_jval *const fill = &a->v[1];
    const bool pads = fill->kind != EL_J_MISSING && fill->kind != EL_J_NONE;
    if (!el_jarg_int(r, &a->v[0], 0, "the count of slice", &slices) || !el_jinja_to_list(r, self, &items))
        return false;
    if (slices == 0)
        return el_jinja_fail(r, "division by zero");
    if (slices < 0)
        slices = 0;
    struct el_jval *const rows = el_jinja_tick(r, (uint64_t)slices) ? el_jinja_get(r, (uint64_t)slices, sizeof *rows) : NULL;
    for (int64_t i = 0; rows && i < slices; i++) {
        const uint32_t n = (uint32_t)(items.n / slices + (i < items.n % slices));
        rows[i] = el_jv_list(items.u.v + at, n);
        at += n;
        if (pads && i >= items.n % slices) {
            struct el_jval *const one = el_jinja_get(r, 1, sizeof *one);
            if (!one)
                return false;
            *one = *fill;
            tail = el_jv_list(one, 1);
            if (!el_jinja_binary(r, '+', &rows[i], &tail, &rows[i]))
                return false;
        }
    }
    return rows && as_generator(r, el_jv_list(rows, (uint32_t)slices), out);
}

static bool f_reverse(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    const struct el_jval back[3] = {el_jv_none(), el_jv_none(), el_jv_int(-1)};
    struct el_jval items;
    (void)a;
    if (self->kind == EL_J_STR)
        return el_jinja_slice(r, self, back, out);
    if (!el_jinja_to_list(r, self, &items) || !el_jinja_slice(r, &items, back, out))
        return false;
    return self->kind == EL_J_ITER || as_generator(r, *out, out); /* what has no reverse walk becomes a list */
}

/* ---- filters that walk everything --------------------------------------------------------------------------------- */

static bool f_list(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    (void)a;
    return el_jinja_to_list(r, self, out);
}

static bool f_length(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    uint32_t n;
    (void)a;
    if (!el_jv_length(r, self, &n))
        return false;
    *out = el_jv_int(n);
    return true;
}

static bool f_first(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jiter *it;
    bool end;
    (void)a;
    if (!el_jinja_iter(r, self, &it) || !el_jinja_next(r, it, out, &end))
        return false;
    if (end)
        *out = el_jv_undef(el_jv_lit("no first item, the sequence is empty"), EL_J_HINT);
    return true;
}

static bool f_last(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items;
    (void)a;
    if (self->kind == EL_J_ITER)
        return el_jinja_fail(r, "last of a generator");
    if (!el_jinja_to_list(r, self, &items))
        return false;
    *out = items.n ? items.u.v[items.n - 1] : el_jv_undef(el_jv_lit("no last item, the sequence is empty"), EL_J_HINT);
    return true;
}

static bool f_join(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval item, v, sep = el_jv_lit("");
    struct el_jiter *it;
    struct el_jtext t;
    if ((a->v[0].kind != EL_J_MISSING && !el_jv_to_str(r, &a->v[0], &sep)) || !el_jinja_iter(r, self, &it))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    for (bool first = true;; first = false) {
        bool end;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            break;
        if ((!first && !el_jtext_add(r, &t, sep.u.s, sep.n)) || !get_attr(r, item, &a->v[1], NULL, &v) ||
            !el_jtext_add_str(r, &t, &v))
            return false;
    }
    *out = el_jtext_str(r, &t);
    return true;
}

static bool f_sum(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval item, v;
    struct el_jiter *it;
    *out = a->v[1].kind == EL_J_MISSING ? el_jv_int(0) : a->v[1];
    if (out->kind == EL_J_STR)
        return el_jinja_fail(r, "sum of strings");
    if (!el_jinja_iter(r, self, &it))
        return false;
    for (;;) {
        bool end;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            return true;
        if (!get_attr(r, item, &a->v[0], NULL, &v) || !el_jinja_binary(r, '+', out, &v, out))
            return false;
    }
}

static bool min_or_max(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, int sign, struct el_jval *out)
{
    struct el_jval item, key, best_key = el_jv_none();
    struct el_jiter *it;
    bool sensitive, any = false;
    if (!el_jarg_truth(r, &a->v[0], false, &sensitive) || !el_jinja_iter(r, self, &it))
        return false;
    for (;;) {
        bool end;
        int c = sign;
        if (!el_jinja_next(r, it, &item, &end))
            return false;
        if (end)
            break;
        if (!sort_key(r, item, &a->v[1], NULL, sensitive, &key) || (any && !el_jv_compare(r, &key, &best_key, &c)))
            return false;
        if (any && c != sign)
            continue;
        *out = item;
        best_key = key;
        any = true;
    }
    if (!any)
        *out = el_jv_undef(el_jv_lit("no aggregated item, the sequence is empty"), EL_J_HINT);
    return true;
}

static bool f_min(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return min_or_max(r, self, a, -1, out);
}

static bool f_max(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    return min_or_max(r, self, a, 1, out);
}

/* ---- sorting ------------------------------------------------------------------------------------------------------ */

/* Stable merge sort of pairs key, value. tmp has room for n. */
static bool sort_pairs(struct el_jrun *r, struct el_jpair *p, uint32_t n, struct el_jpair *tmp, bool reverse)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t from = 0; from < n; from += 2 * width) {
            const uint32_t middle = from + width < n ? from + width : n, end = from + 2 * width < n ? from + 2 * width : n;
            uint32_t i = from, j = middle;
            for (uint32_t k = from; k < end; k++) {
                int c = -1;
                if (i < middle && j < end && !el_jv_compare(r, &p[j].k, &p[i].k, &c))
                    return false;
                /* The right one only where it is strictly before: equal keys keep their order, also in reverse. */
                const bool right = i >= middle || (j < end && c == (reverse ? 1 : -1));
                tmp[k] = right ? p[j++] : p[i++];
            }
        }
        memcpy(p, tmp, n * sizeof *p);
    }
    return true;
}

/* Sorts items by their keys into *out. */
static bool sorted(struct el_jrun *r, struct el_jval items, const struct el_jval *attr, const struct el_jval *fallback,
                   bool sensitive, bool reverse, struct el_jpair **out)
{
    struct el_jpair *const p = el_jinja_get(r, items.n, sizeof *p), *const tmp = el_jinja_get(r, items.n, sizeof *tmp);
    if (!p || !tmp)
        return false;
    for (uint32_t i = 0; i < items.n; i++) {
        p[i].v = items.u.v[i];
        if (!sort_key(r, items.u.v[i], attr, fallback, sensitive, &p[i].k))
            return false;
    }
    *out = p;
    return sort_pairs(r, p, items.n, tmp, reverse);
}

static bool values_of(struct el_jrun *r, const struct el_jpair *p, uint32_t n, struct el_jval *out)
{
    struct el_jval *const v = el_jinja_get(r, n, sizeof *v);
    for (uint32_t i = 0; v && i < n; i++)
        v[i] = p[i].v;
    *out = el_jv_list(v, n);
    return v != NULL;
}

/* The keys of sort: a list of one for each attribute that commas separate, so that equal parts need no order. */
static bool key_list(struct el_jrun *r, struct el_jval item, const struct el_jval *attr, bool sensitive, struct el_jval *out)
{
    uint32_t n = 1, at = 0;
    const bool is_path = attr->kind == EL_J_STR;
    for (uint32_t i = 0; is_path && i < attr->n; i++)
        n += attr->u.s[i] == ',';
    struct el_jval *const v = el_jinja_get(r, n, sizeof *v);
    if (!v)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct el_jval part = *attr;
        if (is_path) {
            const char *const s = attr->u.s + at, *const comma = memchr(s, ',', attr->n - at);
            part = el_jv_str(s, comma ? (size_t)(comma - s) : attr->n - at);
            at += part.n + 1;
        }
        if (!sort_key(r, item, &part, NULL, sensitive, &v[i]))
            return false;
    }
    *out = el_jv_list(v, n);
    return true;
}

static bool f_sort(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items;
    bool reverse, sensitive;
    if (!el_jarg_truth(r, &a->v[0], false, &reverse) || !el_jarg_truth(r, &a->v[1], false, &sensitive) ||
        !el_jinja_to_list(r, self, &items))
        return false;
    struct el_jpair *const p = el_jinja_get(r, items.n, sizeof *p), *const tmp = el_jinja_get(r, items.n, sizeof *tmp);
    if (!p || !tmp)
        return false;
    for (uint32_t i = 0; i < items.n; i++) {
        p[i].v = items.u.v[i];
        if (!key_list(r, items.u.v[i], &a->v[2], sensitive, &p[i].k))
            return false;
    }
    return sort_pairs(r, p, items.n, tmp, reverse) && values_of(r, p, items.n, out);
}

static bool f_dictsort(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items, view = *self;
    const struct el_jval by = a->v[1].kind == EL_J_MISSING ? el_jv_lit("key") : a->v[1];
    struct el_jpair *p;
    bool sensitive, reverse;
    if (!el_jarg_truth(r, &a->v[0], false, &sensitive) || !el_jarg_truth(r, &a->v[2], false, &reverse))
        return false;
    if (self->kind == EL_J_UNDEF)
        return el_jinja_use_undef(r, self);
    if (self->kind != EL_J_DICT || (!el_jv_is(&by, "key") && !el_jv_is(&by, "value")))
        return el_jinja_fail(r, "dictsort of a %s, or by something that is neither key nor value", el_jv_type(self));
    view.kind = EL_J_VIEW;
    view.sub = EL_J_ITEMS;
    const struct el_jval index = el_jv_int(el_jv_is(&by, "value"));
    return el_jinja_to_list(r, &view, &items) && sorted(r, items, &index, NULL, sensitive, reverse, &p) &&
           values_of(r, p, items.n, out);
}

static bool f_groupby(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jval items, list;
    struct el_jpair *p;
    bool sensitive;
    uint32_t n = 0;
    if (!el_jarg_truth(r, &a->v[2], false, &sensitive) || !el_jinja_to_list(r, self, &items) ||
        !sorted(r, items, &a->v[0], &a->v[1], sensitive, false, &p) || !values_of(r, p, items.n, &list))
        return false;
    struct el_jval *const groups = el_jinja_get(r, items.n, sizeof *groups);
    if (!groups)
        return false;
    for (uint32_t i = 0; i < items.n;) {
        const uint32_t from = i;
        struct el_jval key = p[i].k;
        bool same = true;
        for (i++; i < items.n; i++) {
            if (!el_jv_equal(r, &p[from].k, &p[i].k, &same))
                return false;
            if (!same)
                break;
        }
        /* The key as its first item spells it. */
        if (!sensitive && !get_attr(r, p[from].v, &a->v[0], &a->v[1], &key))
            return false;
        if (!el_jv_pair(r, key, el_jv_list(list.u.v + from, i - from), &groups[n]))
            return false;
        groups[n++].flags = EL_J_GROUP;
    }
    *out = el_jv_list(groups, n);
    return true;
}

const struct el_jdef el_jinja_seq_filters[] = {
    {"batch", f_batch, "linecount,fill_with", 1},
    {"count", f_length, "", 0},
    {"dictsort", f_dictsort, "case_sensitive,by,reverse", 0},
    {"first", f_first, "", 0},
    {"groupby", f_groupby, "attribute,default,case_sensitive", 1},
    {"items", f_items, "", 0},
    {"join", f_join, "d,attribute", 0},
    {"last", f_last, "", 0},
    {"length", f_length, "", 0},
    {"list", f_list, "", 0},
    {"map", f_map, NULL, 0},
    {"max", f_max, "case_sensitive,attribute", 0},
    {"min", f_min, "case_sensitive,attribute", 0},
    {"reject", f_reject, NULL, 0},
    {"rejectattr", f_rejectattr, NULL, 0},
    {"reverse", f_reverse, "", 0},
    {"select", f_select, NULL, 0},
    {"selectattr", f_selectattr, NULL, 0},
    {"slice", f_slice, "slices,fill_with", 1},
    {"sort", f_sort, "reverse,case_sensitive,attribute", 0},
    {"sum", f_sum, "attribute,start", 0},
    {"unique", f_unique, "case_sensitive,attribute", 0},
};
const size_t el_jinja_n_seq_filters = sizeof el_jinja_seq_filters / sizeof el_jinja_seq_filters[0];
