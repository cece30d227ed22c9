/*
 * Numbers within bounds. A range of numbers is a set of digit strings: those of one length between two others are written digit
 * by digit, where a digit above the lower bound's and below the upper bound's frees all that follow. Bounded numbers have no
 * exponent and at most 15 digits, so that no two of them are the same double and a bound means what it says; integers and their
 * bounds may have 16, for the largest safe integer of JavaScript has.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale_c.h"
#include "text/json_schema.h"

enum { MAX_DIGITS = 15, FRACTION = 6, N_TEXT = 40 };

/* A bound on the magnitude: digits before and behind the point, or none. */
struct bound {
    bool set, strict;
    char whole[N_TEXT], fraction[N_TEXT]; /* no leading zeros but "0"; no trailing zeros */
};

struct limits { /* of the value */
    bool has_min, has_max, min_strict, max_strict;
    double min, max;
};

/* ---- digits ---- */

static void write_range(struct el_buf *out, char lo, char hi)
{
    if (lo == hi)
        el_buf_addf(out, "\"%c\"", lo);
    else
        el_buf_addf(out, "[%c-%c]", lo, hi);
}

/* Between min and max digits of any kind. */
static void write_any(struct el_buf *out, unsigned min, unsigned max)
{
    if (max == 1 && min == 1)
        el_buf_add_str(out, " [0-9]");
    else if (max > 0)
        el_buf_addf(out, " [0-9]{%u,%u}", min, max);
}

/* All strings of n digits from lo to hi; n is at least 1. */
static void write_between(struct el_buf *out, const char *lo, const char *hi, unsigned n)
{
    unsigned n_same = 0;
    while (n_same < n && lo[n_same] == hi[n_same])
        n_same++;
    if (n_same > 0)
        el_buf_addf(out, "\"%.*s\"", (int)n_same, lo);
    if (n_same == n)
        return;
    lo += n_same;
    hi += n_same;
    n -= n_same;
    const bool all_low = strspn(lo + 1, "0") >= n - 1, all_high = strspn(hi + 1, "9") >= n - 1;
    char nines[N_TEXT], zeros[N_TEXT];
    memset(nines, '9', sizeof nines);
    memset(zeros, '0', sizeof zeros);
    nines[n - 1] = zeros[n - 1] = '\0';
    const char from = (char)(all_low ? *lo : *lo + 1), to = (char)(all_high ? *hi : *hi - 1);
    const char *separator = n_same > 0 ? " ( " : "( ";
    if (!all_low) {
        el_buf_addf(out, "%s\"%c\" ", separator, *lo);
        write_between(out, lo + 1, nines, n - 1);
        separator = " | ";
    }
    if (from <= to) {
        el_buf_add_str(out, separator);
        write_range(out, from, to);
        write_any(out, n - 1, n - 1);
        separator = " | ";
    }
    if (!all_high) {
        el_buf_addf(out, "%s\"%c\" ", separator, *hi);
        write_between(out, zeros, hi + 1, n - 1);
    }
    el_buf_add_str(out, " )");
}

static int compare_whole(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

/* Whole numbers from lo to hi, or of at most max_digits digits (hi NULL); lo has no more of them, and is not above hi. */
static void write_wholes(struct el_buf *out, const char *lo, const char *hi, unsigned max_digits)
{
    const char *separator = "( ";
    for (unsigned n = (unsigned)strlen(lo); n <= max_digits && (!hi || n <= strlen(hi)); n++) {
        char low[N_TEXT], high[N_TEXT];
        memset(low, '0', sizeof low);
        memset(high, '9', sizeof high);
        low[0] = '1';
        low[n] = high[n] = '\0';
        el_buf_add_str(out, separator);
        separator = " | ";
        if (!hi && n > strlen(lo)) { /* all that are longer, at once */
            el_buf_addf(out, "[1-9] [0-9]{%u,%u}", n - 1, max_digits - 1);
            break;
        }
        write_between(out, n == strlen(lo) ? lo : low, hi && n == strlen(hi) ? hi : high, n);
    }
    el_buf_add_str(out, " )");
}

/* ---- fractions ---- */

struct fraction {
    const char *lo, *hi; /* digits behind the point; NULL: no bound */
    bool lo_strict, hi_strict;
    unsigned max_digits;
};

static bool only_zeros(const char *digits, size_t from)
{
    return from >= strlen(digits) || strspn(digits + from, "0") == strlen(digits + from);
}

static char digit_at(const char *digits, size_t i)
{
    return i < strlen(digits) ? digits[i] : '0';
}

/*
 * The digits from place i on, when those before equal lo's (tight_lo) or hi's (tight_hi). *ends: the number may end here; *any:
 * something was written for the case that it goes on.
 */
static void write_fraction(struct el_buf *out, const struct fraction *f, unsigned i, bool tight_lo, bool tight_hi, bool *ends,
                           bool *any)
{
    const unsigned left = f->max_digits - i;
    *ends = (!tight_lo || (only_zeros(f->lo, i) && !f->lo_strict)) && (!tight_hi || !only_zeros(f->hi, i) || !f->hi_strict);
    *any = false;
    if (left == 0)
        return;
    if (!tight_lo && !tight_hi) {
        write_any(out, 1, left);
        *any = true;
        return;
    }
    const char lo = tight_lo ? digit_at(f->lo, i) : '0', hi = tight_hi ? digit_at(f->hi, i) : '9';
    for (int side = 0; side < 3; side++) { /* lo's digit, those between, hi's digit */
        const bool on_lo = side == 0 && tight_lo, on_hi = (side == 2 || lo == hi) && tight_hi;
        char from = side == 0 ? lo : side == 1 ? (char)(lo + tight_lo) : hi;
        char to = side == 0 ? lo : side == 1 ? (char)(hi - tight_hi) : hi;
        if ((side == 0 && !tight_lo) || (side == 2 && (!tight_hi || (lo == hi && tight_lo))) || from > to)
            continue;
        struct el_buf rest;
        bool rest_ends, rest_any;
        el_buf_init(&rest);
        write_fraction(&rest, f, i + 1, on_lo, on_hi && side != 1, &rest_ends, &rest_any);
        if (rest_ends || rest_any) {
            el_buf_add_str(out, *any ? " | " : "( ");
            write_range(out, from, to);
            if (rest_any)
                el_buf_addf(out, rest_ends ? " ( %s )?" : " %s", rest.data);
            *any = true;
        }
        out->failed |= rest.failed;
        el_buf_release(&rest);
    }
    if (*any)
        el_buf_add_str(out, " )");
}

/* ".digits", or nothing where that is allowed; false: no fraction fits. */
static bool add_fraction(struct el_buf *out, const char *lo, bool lo_strict, const char *hi, bool hi_strict, unsigned max_digits)
{
    const struct fraction f = {lo, hi, lo_strict, hi_strict, max_digits};
    struct el_buf digits;
    bool ends, any;
    el_buf_init(&digits);
    write_fraction(&digits, &f, 0, lo != NULL, hi != NULL, &ends, &any);
    if (any)
        el_buf_addf(out, ends ? " ( \".\" %s )?" : " \".\" %s", digits.data);
    out->failed |= digits.failed;
    el_buf_release(&digits);
    return ends || any;
}

/* ---- numbers ---- */

/* The next whole number up (by 1) or down (by -1, above 0). */
static void move_whole(char whole[N_TEXT], int by)
{
    const long long v = strtoll(whole, NULL, 10) + by;
    (void)snprintf(whole, N_TEXT, "%lld", v);
}

/* All magnitudes between two bounds; false: there is none. */
static bool write_magnitudes(struct el_buf *out, const struct bound *lo, const struct bound *hi, bool integer)
{
    const size_t n_whole = hi->set && strlen(hi->whole) > strlen(lo->whole) ? strlen(hi->whole) : strlen(lo->whole);
    size_t n_fraction = MAX_DIGITS - n_whole < FRACTION ? MAX_DIGITS - n_whole : FRACTION;
    n_fraction = strlen(lo->fraction) > n_fraction ? strlen(lo->fraction) : n_fraction;
    n_fraction = hi->set && strlen(hi->fraction) > n_fraction ? strlen(hi->fraction) : n_fraction;
    const unsigned max_digits = integer ? MAX_DIGITS + 1 : (unsigned)(MAX_DIGITS - n_fraction);
    const char *separator = "";
    static const char largest[] = "9999999999999999"; /* that an integer can be */
    struct bound from = *lo, to = *hi;
    if (integer) {
        if (lo->fraction[0] || lo->strict)
            move_whole(from.whole, 1);
        if (hi->set && !hi->fraction[0] && hi->strict) {
            if (strcmp(to.whole, "0") == 0)
                return false;
            move_whole(to.whole, -1);
        }
        if (compare_whole(from.whole, hi->set ? to.whole : largest) > 0)
            return false;
        write_wholes(out, from.whole, hi->set ? to.whole : NULL, max_digits);
        return true;
    }
    if (hi->set && compare_whole(lo->whole, hi->whole) >= 0) { /* the same whole part, or none */
        struct el_buf fraction;
        el_buf_init(&fraction);
        const bool fits = compare_whole(lo->whole, hi->whole) == 0 &&
                          add_fraction(&fraction, lo->fraction, lo->strict, hi->fraction, hi->strict, (unsigned)n_fraction);
        if (fits)
            el_buf_addf(out, "\"%s\"%s", lo->whole, fraction.data);
        out->failed |= fraction.failed;
        el_buf_release(&fraction);
        return fits;
    }
    struct el_buf part;
    el_buf_init(&part);
    if (add_fraction(&part, lo->fraction, lo->strict, NULL, false, (unsigned)n_fraction)) {
        el_buf_addf(out, "\"%s\"%s", lo->whole, part.data);
        separator = " | ";
    }
    out->failed |= part.failed;
    el_buf_reset(&part);
    move_whole(from.whole, 1);
    if (hi->set) {
        if (add_fraction(&part, NULL, false, hi->fraction, hi->strict, (unsigned)n_fraction)) {
            el_buf_addf(out, "%s\"%s\"%s", separator, hi->whole, part.data);
            separator = " | ";
        }
        if (strcmp(to.whole, "0") != 0)
            move_whole(to.whole, -1);
    }
    out->failed |= part.failed;
    el_buf_release(&part);
    if (hi->set ? compare_whole(from.whole, to.whole) <= 0 : strlen(from.whole) <= max_digits) {
        el_buf_add_str(out, separator);
        write_wholes(out, from.whole, hi->set ? to.whole : NULL, max_digits);
        (void)add_fraction(out, NULL, false, NULL, false, (unsigned)n_fraction);
        separator = " | ";
    }
    if (!hi->set && max_digits < MAX_DIGITS) { /* what is longer leaves no digits for a fraction */
        el_buf_addf(out, "%s[1-9] [0-9]{%u,%u}", separator, max_digits, (unsigned)MAX_DIGITS - 1);
        separator = " | ";
    }
    return separator[0] != '\0';
}

/* ---- keywords ---- */

static void tighten(bool *has, double *bound, bool *strict, double v, bool v_strict, bool upper)
{
    if (!*has || (upper ? v < *bound : v > *bound)) {
        *bound = v;
        *strict = v_strict;
    } else if (v == *bound)
        *strict |= v_strict;
    *has = true;
}

/* minimum, exclusiveMinimum (a number, or draft 4's true beside minimum) of all schemas; the same for maximum. */
static enum el_status find_limits(const struct el_js *js, const struct el_js_list *list, struct limits *l)
{
    static const char *const names[] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    *l = (struct limits){.has_min = false};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *v[4];
        for (int k = 0; k < 4; k++) {
            v[k] = el_json_get(list->items[i].node, names[k]);
            if (v[k] && !el_json_is(v[k], EL_JSON_NUMBER) && !(k % 2 == 1 && el_json_is(v[k], EL_JSON_BOOL)))
                return el_js_fail(js, EL_E_FORMAT, v[k], "expected a number");
        }
        for (int k = 0; k < 4; k += 2) {
            bool *const has = k == 0 ? &l->has_min : &l->has_max, *const strict = k == 0 ? &l->min_strict : &l->max_strict;
            double *const bound = k == 0 ? &l->min : &l->max;
            if (v[k])
                tighten(has, bound, strict, el_json_num(v[k]), el_json_bool(v[k + 1]), k == 2);
            if (el_json_is(v[k + 1], EL_JSON_NUMBER))
                tighten(has, bound, strict, el_json_num(v[k + 1]), true, k == 2);
        }
    }
    return EL_OK;
}

/* |v| in decimal digits, as few as tell it apart from other doubles. */
static enum el_status to_bound(const struct el_js *js, const struct el_js_list *list, double v, bool strict, double most,
                               struct bound *b)
{
    struct el_buf text;
    v = fabs(v);
    *b = (struct bound){.set = true, .strict = strict};
    bool found = false;
    el_buf_init(&text);
    for (int precision = 0; precision <= MAX_DIGITS - 1 && v < most && !found; precision++) {
        el_buf_reset(&text);
        el_buf_addf(&text, "%.*f", precision, v);
        found = !text.failed && el_strtod_c(text.data, NULL) == v && text.nbytes <= MAX_DIGITS + 1;
    }
    if (found) {
        const char *const point = strchr(text.data, '.');
        const size_t n = point ? (size_t)(point - text.data) : text.nbytes;
        memcpy(b->whole, text.data, n);
        if (point)
            memcpy(b->fraction, point + 1, strlen(point + 1));
    }
    const bool failed = text.failed;
    el_buf_release(&text);
    if (failed)
        return el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what);
    if (!found || (b->fraction[0] && strlen(b->whole) + strlen(b->fraction) > MAX_DIGITS))
        return el_js_fail(js, EL_E_UNSUPPORTED, list->items[0].node, "a bound of %.17g, which needs more than %d digits", v,
                          most > 1e15 ? MAX_DIGITS + 1 : MAX_DIGITS);
    return EL_OK;
}

static enum el_status check_multiple(const struct el_js *js, const struct el_js_list *list, bool integer)
{
    const struct el_json *v;
    for (uint32_t i = 0; (v = el_js_keyword(list, "multipleOf", &i));) {
        if (!el_json_is(v, EL_JSON_NUMBER) || el_json_num(v) <= 0)
            return el_js_fail(js, EL_E_FORMAT, v, "expected a number above 0");
        if (!integer || el_json_num(v) != 1)
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "keyword 'multipleOf' cannot be made into a grammar");
    }
    return EL_OK;
}

enum el_status el_js_number(struct el_js *js, const struct el_js_list *list, bool integer, struct el_buf *body, bool *never)
{
    struct limits l;
    const struct bound zero = {.set = true, .whole = "0"};
    struct bound min = {.set = false}, max = {.set = false};
    EL_TRY(check_multiple(js, list, integer));
    EL_TRY(find_limits(js, list, &l));
    if (!l.has_min && !l.has_max) {
        el_js_use(js, integer ? "integer" : "number", body);
        return EL_OK;
    }
    const double most = integer ? 1e16 : 1e15; /* all that is written here is smaller */
    if (l.max >= most)
        l.has_max = false;
    if (l.min <= -most)
        l.has_min = false;
    *never = l.has_min && l.has_max && (l.min > l.max || (l.min == l.max && (l.min_strict || l.max_strict)));
    if (*never)
        return EL_OK;
    if (l.has_min)
        EL_TRY(to_bound(js, list, l.min, l.min_strict, most, &min));
    if (l.has_max)
        EL_TRY(to_bound(js, list, l.max, l.max_strict, most, &max));
    struct el_buf part;
    el_buf_init(&part);
    bool any = false;
    if (!l.has_min || l.min < 0) { /* negative values: "-" and the magnitudes from -max (or 0) to -min */
        struct bound low = zero;
        if (l.has_max && l.max < 0)
            low = max;
        else if (l.has_max && l.max == 0)
            low.strict = max.strict;
        if (write_magnitudes(&part, &low, &min, integer)) {
            el_buf_addf(body, "\"-\" ( %s )", part.data);
            any = true;
        }
    }
    body->failed |= part.failed;
    el_buf_reset(&part);
    if (!l.has_max || l.max >= 0) {
        const struct bound *const low = l.has_min && l.min >= 0 ? &min : &zero;
        if (write_magnitudes(&part, low, &max, integer)) {
            el_buf_addf(body, "%s%s", any ? " | " : "", part.data);
            any = true;
        }
    }
    body->failed |= part.failed;
    el_buf_release(&part);
    *never = !any;
    return EL_OK;
}

enum el_status el_js_number_fits(const struct el_js *js, const struct el_js_list *list, const struct el_json *v, bool *fits)
{
    const double d = el_json_num(v);
    const struct el_json *m;
    struct limits l;
    int64_t n, by;
    EL_TRY(find_limits(js, list, &l));
    *fits = !(l.has_min && (d < l.min || (d == l.min && l.min_strict))) &&
            !(l.has_max && (d > l.max || (d == l.max && l.max_strict)));
    for (uint32_t i = 0; (m = el_js_keyword(list, "multipleOf", &i));) {
        if (!el_json_int(m, &by) || by <= 0)
            return el_js_fail(js, EL_E_UNSUPPORTED, m,
                              "multipleOf other than a whole number above 0 together with enum or const");
        *fits &= el_json_int(v, &n) && n % by == 0;
    }
    return EL_OK;
}
