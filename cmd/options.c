#include "cmd/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/command.h"
#include "cmd/util.h"

enum { MAX_SPELLING = 64, HELP_COLUMN = 30, HELP_WIDTH = 100 };

static const struct opt common_opts[] = {
    {OPT_FLAG, "h", "help", NULL, "print this and exit", offsetof(struct opt_common, help), 0, 0, NULL},
    {OPT_FLAG, "q", "quiet", NULL, "no warnings and no progress on standard error", offsetof(struct opt_common, quiet), 0, 0,
     NULL},
    OPT_END,
};

const struct opt *opts_common(void)
{
    return common_opts;
}

static bool is_end(const struct opt *o)
{
    return !o->name && !o->letters;
}

static bool takes_argument(const struct opt *o)
{
    return o->type != OPT_FLAG && o->type != OPT_UNFLAG;
}

bool opts_alternative(const char *alternatives, size_t i, char *out, size_t cap)
{
    if (!alternatives)
        return false;
    const char *p = alternatives;
    for (; i > 0; i--) {
        p = strchr(p, '|');
        if (!p)
            return false;
        p++;
    }
    (void)snprintf(out, cap, "%.*s", (int)strcspn(p, "|"), p);
    return true;
}

const char *opts_kv_type(unsigned choice)
{
    static const char *const names[] = {"f16", "f32", "q8_0"}; /* OPT_KV_CHOICES */
    return names[choice];
}

unsigned opts_threads(uint64_t n)
{
    return n == UINT64_MAX ? 0 : (unsigned)n;
}

/* ---- numbers -------------------------------------------------------------------------------------------------------------- */

bool opts_uint(const char *s, uint64_t *out)
{
    if (!isdigit((unsigned char)s[0]))
        return false; /* strtoull would take spaces and signs */
    char *end = NULL;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

bool opts_int(const char *s, int64_t *out)
{
    if (!isdigit((unsigned char)s[s[0] == '-']))
        return false;
    char *end = NULL;
    errno = 0;
    const long long v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

bool opts_float(const char *s, double *out)
{
    const char c = s[s[0] == '-'];
    if (!isdigit((unsigned char)c) && c != '.')
        return false; /* no "nan", "inf", spaces */
    char *end = NULL;
    const double v = strtod(s, &end);
    if (*end || !isfinite(v) || strpbrk(s, "xX"))
        return false;
    *out = v;
    return true;
}

/* What stands behind the point, in parts of *scale; false when there is nothing, or more than six digits. */
static bool parse_fraction(const char **p, unsigned long long *fraction, unsigned long long *scale)
{
    const char *const first = *p + 1;
    *fraction = 0;
    *scale = 1;
    for (*p = first; isdigit((unsigned char)**p) && *p < first + 6; (*p)++) {
        *fraction = 10 * *fraction + (unsigned)(**p - '0');
        *scale *= 10;
    }
    return *p > first && !isdigit((unsigned char)**p);
}

bool opts_nbytes(const char *s, uint64_t *out)
{
    static const char units[] = "KMGT";
    if (!isdigit((unsigned char)s[0]))
        return false;
    char *digits_end = NULL;
    errno = 0;
    unsigned long long v = strtoull(s, &digits_end, 10), fraction = 0, scale = 1, factor = 1;
    const char *end = digits_end;
    if (errno || (*end == '.' && !parse_fraction(&end, &fraction, &scale)))
        return false;
    if (*end && *end != 'B') {
        const char *const unit = strchr(units, toupper((unsigned char)*end));
        if (!unit)
            return false;
        end++;
        const bool binary = *end == 'i';
        end += binary;
        for (const char *u = units; u <= unit; u++)
            factor *= binary ? 1024 : 1000;
    }
    if (*end == 'B')
        end++;
    /* Parts of a byte are not meant: "1.5" is no size. */
    if (*end || fraction * factor % scale != 0 || __builtin_mul_overflow(v, factor, &v) ||
        __builtin_add_overflow(v, fraction * factor / scale, &v))
        return false;
    *out = v;
    return true;
}

/* ---- finding -------------------------------------------------------------------------------------------------------------- */

size_t opts_distance(const char *a, const char *b)
{
    /* Optimal string alignment, three rows. Longer strings than options are not compared. */
    size_t rows[3][MAX_SPELLING + 1];
    const size_t n = strlen(a), m = strlen(b);
    if (n > MAX_SPELLING || m > MAX_SPELLING)
        return MAX_SPELLING;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *const now = rows[i % 3], *const up = rows[(i - 1) % 3], *const up2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

static bool spells(const char *alternatives, const char *word, size_t nbytes)
{
    char alt[MAX_SPELLING];
    for (size_t i = 0; opts_alternative(alternatives, i, alt, sizeof alt); i++)
        if (strlen(alt) == nbytes && memcmp(alt, word, nbytes) == 0)
            return true;
    return false;
}

/* word is "-t" or "--threads", nbytes of it. */
static const struct opt *find(const struct opt *opts, const char *word, size_t nbytes)
{
    const bool is_long = nbytes > 2 && word[1] == '-';
    const size_t dashes = is_long ? 2 : 1;
    for (const struct opt *o = opts; !is_end(o); o++)
        if (spells(is_long ? o->name : o->letters, word + dashes, nbytes - dashes))
            return o;
    return NULL;
}

static void nearest(const struct opt *opts, const char *word, char *best, size_t cap, size_t *best_distance)
{
    for (const struct opt *o = opts; !is_end(o); o++)
        for (int is_long = 0; is_long < 2; is_long++) {
            char alt[MAX_SPELLING - 2];
            for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt); i++) {
                char spelled[MAX_SPELLING];
                (void)snprintf(spelled, sizeof spelled, "%s%s", is_long ? "--" : "-", alt);
                const size_t d = opts_distance(word, spelled);
                if (d < *best_distance) {
                    *best_distance = d;
                    (void)snprintf(best, cap, "%s", spelled);
                }
            }
        }
}

/*
 * What was probably meant, in this order: the same letters behind another number of dashes (--n, -temp), a value stuck to a short
 * name (-n3, -m=x), the beginning of a long name (--ctx).
 */
static bool other_spelling(const struct opt *opts, const char *given, char *best, size_t cap)
{
    const char *const letters = given + strspn(given, "-");
    const size_t n = strlen(letters);
    enum { STEP_SAME, STEP_STUCK, STEP_PREFIX, N_STEPS };
    for (int step = 0; step < N_STEPS; step++)
        for (const struct opt *o = opts; !is_end(o); o++)
            for (int is_long = 0; is_long < 2; is_long++) {
                char alt[MAX_SPELLING - 4];
                for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt); i++) {
                    const size_t m = strlen(alt);
                    const char *const value = n > m ? letters + m + (letters[m] == '=') : "";
                    const bool stuck = step == STEP_STUCK && !is_long && takes_argument(o) && given[1] != '-' && *value &&
                                       strncmp(alt, letters, m) == 0 && (letters[m] == '=' || isdigit((unsigned char)*value));
                    if (!stuck && !(step == STEP_SAME && strcmp(alt, letters) == 0) &&
                        !(step == STEP_PREFIX && is_long && n >= 2 && strncmp(alt, letters, n) == 0))
                        continue;
                    (void)snprintf(best, cap, "%s%s%s%s", is_long ? "--" : "-", alt, stuck ? " " : "", stuck ? value : "");
                    return true;
                }
            }
    return false;
}

static enum el_status unknown(const struct command *cmd, const char *word, size_t nbytes, struct el_err *err)
{
    char given[MAX_SPELLING], best[MAX_SPELLING] = "";
    (void)snprintf(given, sizeof given, "%.*s", (int)nbytes, word);
    if (isdigit((unsigned char)given[1]))
        return cmd_fail(err, EL_E_USAGE, "unknown option '%s': a word that begins with '-' goes behind '--'", given);
    for (const struct opt_other *o = cmd->others; o && o->names; o++)
        if (spells(o->names, given + strspn(given, "-"), strlen(given + strspn(given, "-"))))
            return cmd_fail(err, EL_E_USAGE, "unknown option '%s': %s", given, o->advice);
    if (!other_spelling(cmd->opts, given, best, sizeof best) && !other_spelling(common_opts, given, best, sizeof best)) {
        size_t distance = strlen(given + strspn(given, "-")) / 3 + 1; /* further away is no help */
        nearest(cmd->opts, given, best, sizeof best, &distance);
        nearest(common_opts, given, best, sizeof best, &distance);
    }
    if (best[0])
        return cmd_fail(err, EL_E_USAGE, "unknown option '%s', did you mean '%s'?", given, best);
    return cmd_fail(err, EL_E_USAGE, "unknown option '%s' (see 'edgellm %s --help')", given, cmd->name);
}

/* ---- storing -------------------------------------------------------------------------------------------------------------- */

static enum el_status bad_value(const struct opt *o, const char *spelled, const char *value, struct el_err *err)
{
    switch (o->type) {
    case OPT_UINT:
        /* A double rounds the greatest number up. */
        return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is not a whole number from %.0f to %llu", spelled, value, o->min,
                        o->max < 0x1p64 ? (unsigned long long)o->max : UINT64_MAX + 0ull);
    case OPT_INT:
        return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is not a whole number from %.0f to %.0f", spelled, value, o->min,
                        o->max);
    case OPT_FLOAT:
        return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is not a number from %g to %g", spelled, value, o->min, o->max);
    case OPT_NBYTES:
        return cmd_fail(err, EL_E_USAGE,
                        "option '%s': '%s' is not a whole number of bytes, at least %.0f, such as 500M (powers of 1000) "
                        "or 2Gi (of 1024)",
                        spelled, value, o->min);
    case OPT_CHOICE: {
        char words[256];
        size_t n = 0;
        for (const char *p = o->choices; *p && n + 3 < sizeof words; p++) {
            words[n++] = *p == '|' ? ',' : *p;
            if (*p == '|')
                words[n++] = ' ';
        }
        words[n] = '\0';
        return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is none of %s", spelled, value, words);
    }
    default: return cmd_fail(err, EL_E_USAGE, "option '%s': bad value '%s'", spelled, value);
    }
}

static bool store_choice(const struct opt *o, const char *value, void *field)
{
    char word[MAX_SPELLING];
    for (unsigned i = 0; opts_alternative(o->choices, i, word, sizeof word); i++)
        if (strcasecmp(word, value) == 0) { /* types are written in both cases */
            *(unsigned *)field = i;
            return true;
        }
    return false;
}

static void store_list(struct opt_list *list, const char *value)
{
    list->v = xrealloc(list->v, list->n + 1, sizeof *list->v);
    list->v[list->n++] = value;
}

/* False when value is not acceptable. */
static bool store(const struct opt *o, const char *value, void *field)
{
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    switch (o->type) {
    case OPT_FLAG:
    case OPT_UNFLAG: *(bool *)field = o->type == OPT_FLAG; return true;
    case OPT_STR: *(const char **)field = value; return true;
    case OPT_LIST: store_list(field, value); return true;
    case OPT_UINT:
        if (o->min < 0 && strcmp(value, "-1") == 0)
            u = UINT64_MAX;
        else if (!opts_uint(value, &u) || (double)u < o->min || (double)u > o->max)
            return false;
        *(uint64_t *)field = u;
        return true;
    case OPT_INT:
        if (!opts_int(value, &i) || (double)i < o->min || (double)i > o->max)
            return false;
        *(int64_t *)field = i;
        return true;
    case OPT_FLOAT:
        if (!opts_float(value, &d) || d < o->min || d > o->max)
            return false;
        *(double *)field = d;
        return true;
    case OPT_NBYTES:
        if (!opts_nbytes(value, &u) || (double)u < o->min)
            return false;
        *(uint64_t *)field = u;
        return true;
    case OPT_CHOICE: return store_choice(o, value, field);
    }
    return false;
}

static enum el_status check_words(const struct command *cmd, const struct words *words, struct el_err *err)
{
    if (words->n > cmd->max_words)
        return cmd_fail(err, EL_E_USAGE, "unexpected argument '%s'%s (usage: edgellm %s %s)", words->v[cmd->max_words],
                        strstr(cmd->usage, "-m FILE") ? ": the model is given with --model" : "", cmd->name, cmd->usage);
    if (words->n < cmd->min_words)
        return cmd_fail(err, EL_E_USAGE, "%s (usage: edgellm %s %s)",
                        words->n ? "an argument is missing" : "arguments are missing", cmd->name, cmd->usage);
    return EL_OK;
}

enum el_status opts_parse(const struct command *cmd, int argc, char **argv, void *args, struct opt_common *common,
                          struct words *words, struct el_err *err)
{
    bool ended = false;
    words->v = xcalloc((size_t)argc + 1, sizeof *words->v);
    words->n = 0;
    for (int i = 0; i < argc; i++) {
        char *const word = argv[i];
        if (ended || word[0] != '-' || word[1] == '\0') {
            words->v[words->n++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            ended = true;
            continue;
        }
        const char *const equals = word[1] == '-' ? strchr(word, '=') : NULL;
        const size_t nbytes = equals ? (size_t)(equals - word) : strlen(word);
        void *base = args;
        const struct opt *o = find(cmd->opts, word, nbytes);
        if (!o) {
            o = find(common_opts, word, nbytes);
            base = common;
        }
        if (!o)
            return unknown(cmd, word, nbytes, err);
        char spelled[MAX_SPELLING];
        (void)snprintf(spelled, sizeof spelled, "%.*s", (int)nbytes, word);
        const char *value = equals ? equals + 1 : NULL;
        if (takes_argument(o) && !value) {
            if (i + 1 >= argc)
                return cmd_fail(err, EL_E_USAGE, "option '%s' needs an argument", spelled);
            value = argv[++i];
        } else if (!takes_argument(o) && value) {
            return cmd_fail(err, EL_E_USAGE, "option '%s' takes no argument", spelled);
        }
        if (!store(o, value, (char *)base + o->offset))
            return bad_value(o, spelled, value, err);
        if (common->help)
            return EL_OK;
    }
    return check_words(cmd, words, err);
}

enum el_status opts_set(const struct opt *opts, void *args, const char *name, const char *spelled, const char *value,
                        struct el_err *err)
{
    const struct opt *o = opts;
    while (!is_end(o) && !spells(o->name, name, strlen(name)))
        o++;
    assert(!is_end(o) && o->type != OPT_LIST);
    void *const field = (char *)args + o->offset;
    if (o->type == OPT_FLAG || o->type == OPT_UNFLAG) {
        const bool yes = strcmp(value, "true") == 0;
        if (!yes && strcmp(value, "false") != 0)
            return cmd_fail(err, EL_E_USAGE, "option '%s': '%s' is neither true nor false", spelled, value);
        *(bool *)field = yes == (o->type == OPT_FLAG);
        return EL_OK;
    }
    return store(o, value, field) ? EL_OK : bad_value(o, spelled, value, err);
}

/* Bytes of the field that an option writes to; 0: a list. */
static size_t field_nbytes(const struct opt *o)
{
    switch (o->type) {
    case OPT_FLAG:
    case OPT_UNFLAG: return sizeof(bool);
    case OPT_STR: return sizeof(const char *);
    case OPT_LIST: return 0;
    case OPT_UINT:
    case OPT_NBYTES: return sizeof(uint64_t);
    case OPT_INT: return sizeof(int64_t);
    case OPT_FLOAT: return sizeof(double);
    case OPT_CHOICE: return sizeof(unsigned);
    }
    return 0;
}

bool opts_differ(const struct command *cmd, const void *args, const char *name)
{
    static const uint64_t zero = 0;
    const struct opt *o = cmd->opts;
    while (!is_end(o) && !spells(o->name ? o->name : o->letters, name, strlen(name)))
        o++;
    assert(!is_end(o));
    const void *const field = (const char *)args + o->offset;
    if (o->type == OPT_LIST)
        return ((const struct opt_list *)field)->n > 0;
    return memcmp(field, cmd->defaults ? (const void *)((const char *)cmd->defaults + o->offset) : &zero, field_nbytes(o)) != 0;
}

void opts_release(const struct command *cmd, void *args)
{
    for (const struct opt *o = cmd->opts; !is_end(o); o++)
        if (o->type == OPT_LIST) {
            struct opt_list *const list = (struct opt_list *)(void *)((char *)args + o->offset);
            free(list->v);
            *list = (struct opt_list){.v = NULL};
        }
}

/* ---- help ----------------------------------------------------------------------------------------------------------------- */

/* "  -ctk, --kv-type-k, --cache-type-k TYPE" to out. */
static void spell(const struct opt *o, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "  ");
    for (int is_long = 0; is_long < 2; is_long++) {
        char alt[MAX_SPELLING];
        for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt) && n < cap; i++)
            n += (size_t)snprintf(out + n, cap - n, "%s%s%s", n > 2 ? ", " : "", is_long ? "--" : "-", alt);
    }
    if (o->type == OPT_CHOICE && n < cap)
        (void)snprintf(out + n, cap - n, " %s", o->choices);
    else if (o->arg && n < cap)
        (void)snprintf(out + n, cap - n, " %s", o->arg);
}

/* Words of text from column `indent` on, wrapped. */
static void wrap(FILE *f, const char *text, int indent)
{
    int column = indent;
    for (const char *p = text; *p;) {
        const int len = (int)strcspn(p, " ");
        if (column > indent && column + 1 + len > HELP_WIDTH) {
            (void)fprintf(f, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(f, "%s%.*s", column > indent ? " " : "", len, p);
        p += len;
        p += strspn(p, " ");
    }
    (void)fputc('\n', f);
}

static void help_rows(const struct opt *opts, FILE *f)
{
    for (const struct opt *o = opts; !is_end(o); o++) {
        char left[256];
        spell(o, left, sizeof left);
        if ((int)strlen(left) + 2 > HELP_COLUMN)
            (void)fprintf(f, "%s\n%*s", left, HELP_COLUMN, "");
        else
            (void)fprintf(f, "%-*s", HELP_COLUMN, left);
        wrap(f, o->help, HELP_COLUMN);
    }
}

void opts_help(const struct command *cmd, FILE *f)
{
    (void)fprintf(f, "usage: edgellm %s %s\n\n", cmd->name, cmd->usage);
    (void)fprintf(f, "%s.\n", cmd->about);
    if (cmd->details)
        wrap(f, cmd->details, 0);
    (void)fputc('\n', f);
    help_rows(cmd->opts, f);
    help_rows(common_opts, f);
}
