#include "cmd/run_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/json_out.h"
#include "cmd/util.h"

enum { MAX_NAME = 32 };

/* Members that are options of the same name, with '-' for '_'. */
static const char *const option_names[] = {
    "n-predict",
    "predict",
    "seed",
    "temp",
    "temperature",
    "dynatemp-range",
    "dynatemp-exp",
    "top-k",
    "top-p",
    "min-p",
    "typical",
    "typical-p",
    "top-nsigma",
    "top-n-sigma",
    "xtc-probability",
    "xtc-threshold",
    "repeat-penalty",
    "repeat-last-n",
    "presence-penalty",
    "frequency-penalty",
    "dry-multiplier",
    "dry-base",
    "dry-allowed-length",
    "dry-penalty-last-n",
    "mirostat",
    "mirostat-lr",
    "mirostat-ent",
    "samplers",
    "sampler-seq",
    "ignore-eos",
    "parse-special",
    "echo",
    "logprobs",
};

/* "top_k" to "top-k"; false when it is none of the names. */
static bool option_name(const char *key, char out[MAX_NAME])
{
    (void)snprintf(out, MAX_NAME, "%s", key);
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = '-';
    for (size_t i = 0; i < sizeof option_names / sizeof option_names[0]; i++)
        if (strcmp(option_names[i], out) == 0)
            return true;
    return false;
}

static enum el_status set_option(struct run_request *r, const struct el_json *v, const char *name, const char *what,
                                 struct el_err *err)
{
    char number[32];
    int64_t i = 0;
    const char *text = el_json_str(v);
    if (el_json_is(v, EL_JSON_BOOL))
        text = el_json_bool(v) ? "true" : "false";
    else if (el_json_int(v, &i))
        (void)snprintf(number, sizeof number, "%lld", (long long)i);
    else if (el_json_is(v, EL_JSON_NUMBER))
        (void)snprintf(number, sizeof number, "%.17g", el_json_num(v));
    else if (!text)
        return cmd_fail(err, EL_E_USAGE, "%s: '%s' is neither a number nor a text", what, el_json_key(v));
    return opts_set(run_opts, &r->a, name, el_json_key(v), text ? text : number, err);
}

/* A string or an array of strings. */
static enum el_status set_stops(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const bool is_array = el_json_is(v, EL_JSON_ARRAY);
    const size_t n = is_array ? el_json_count(v) : 1;
    const struct el_json *at = is_array ? el_json_first(v) : v;
    r->stops = xcalloc(n, sizeof *r->stops);
    for (size_t i = 0; i < n; i++) {
        r->stops[i] = el_json_str(at);
        if (!r->stops[i])
            return cmd_fail(err, EL_E_USAGE, "%s: 'stop' is neither a text nor an array of texts", what);
        at = is_array ? el_json_next(at) : NULL;
    }
    r->a.stops = (struct opt_list){r->stops, n};
    return EL_OK;
}

enum { BIAS_NBYTES = 64 };

/* [id, number] or [id, false] as --logit-bias spells it. */
static bool spell_bias(const struct el_json *pair, char *out)
{
    const struct el_json *const id = el_json_is(pair, EL_JSON_ARRAY) ? el_json_first(pair) : NULL;
    const struct el_json *const bias = el_json_next(id);
    const bool forbid = el_json_is(bias, EL_JSON_BOOL) && !el_json_bool(bias);
    int64_t number = 0;
    if (!el_json_int(id, &number) || number < 0 || el_json_next(bias) || !(forbid || el_json_is(bias, EL_JSON_NUMBER)))
        return false;
    if (forbid)
        (void)snprintf(out, BIAS_NBYTES, "%lld=false", (long long)number);
    else
        (void)snprintf(out, BIAS_NBYTES, "%lld%+.17g", (long long)number, el_json_num(bias));
    return true;
}

static enum el_status set_biases(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const size_t n = el_json_count(v);
    const struct el_json *pair = el_json_first(v);
    bool good = el_json_is(v, EL_JSON_ARRAY);
    r->biases = xcalloc(n, sizeof *r->biases + BIAS_NBYTES);
    char *text = (char *)(r->biases + n);
    for (size_t i = 0; good && i < n; i++, text += BIAS_NBYTES, pair = el_json_next(pair)) {
        good = spell_bias(pair, text);
        r->biases[i] = text;
    }
    if (!good)
        return cmd_fail(err, EL_E_USAGE, "%s: 'logit_bias' is not an array of [id, number] and [id, false]", what);
    r->a.logit_bias = (struct opt_list){r->biases, n};
    return EL_OK;
}

static enum el_status set_grammar(struct run_request *r, const struct el_json *v, bool is_schema, const char *what,
                                  struct el_err *err)
{
    size_t nbytes = 0;
    if (r->has_own_grammar)
        return cmd_fail(err, EL_E_USAGE, "%s: 'grammar' and 'json_schema': a text follows one grammar", what);
    r->has_own_grammar = true;
    r->a.grammar = (struct run_grammar_args){.text = NULL};
    if (!is_schema) {
        r->a.grammar.text = el_json_str(v);
        return r->a.grammar.text ? EL_OK : cmd_fail(err, EL_E_USAGE, "%s: 'grammar' is not a text", what);
    }
    if (!el_json_str(v))
        CMD_TRY(el_json_print(v, &r->schema, &nbytes, err));
    r->a.grammar.schema = el_json_str(v) ? el_json_str(v) : r->schema;
    return EL_OK;
}

static enum el_status set_member(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const char *const key = el_json_key(v);
    char name[MAX_NAME];
    if (strcmp(key, "id") == 0) {
        r->id = v;
    } else if (strcmp(key, "prompt") == 0) {
        r->prompt = el_json_str(v);
        if (!r->prompt)
            return cmd_fail(err, EL_E_USAGE, "%s: 'prompt' is not a text", what);
    } else if (strcmp(key, "messages") == 0) {
        r->messages = v;
        if (!el_json_is(v, EL_JSON_ARRAY))
            return cmd_fail(err, EL_E_USAGE, "%s: 'messages' is not an array", what);
    } else if (strcmp(key, "stop") == 0) {
        return set_stops(r, v, what, err);
    } else if (strcmp(key, "logit_bias") == 0) {
        return set_biases(r, v, what, err);
    } else if (strcmp(key, "grammar") == 0 || strcmp(key, "json_schema") == 0) {
        return set_grammar(r, v, key[0] == 'j', what, err);
    } else if (option_name(key, name)) {
        return set_option(r, v, name, what, err);
    } else {
        return cmd_fail(err, EL_E_USAGE, "%s: '%s' is not known (see edgellm-run(1))", what, key);
    }
    return EL_OK;
}

enum el_status run_request_read(struct run_request *r, const struct run_args *a, const char *line, size_t nbytes,
                                const char *what, struct el_err *err)
{
    *r = (struct run_request){.a = *a};
    CMD_TRY(el_json_parse(line, nbytes, what, &r->doc, err));
    const struct el_json *const root = el_json_root(r->doc);
    r->prompt = el_json_str(root);
    if (r->prompt)
        return EL_OK;
    if (!el_json_is(root, EL_JSON_OBJECT))
        return cmd_fail(err, EL_E_USAGE, "%s: neither a text nor an object", what);
    r->id = el_json_get(root, "id"); /* first, so that an error's line has it */
    for (const struct el_json *v = el_json_first(root); v; v = el_json_next(v))
        CMD_TRY(set_member(r, v, what, err));
    if (!r->prompt == !r->messages)
        return cmd_fail(err, EL_E_USAGE, "%s: one of 'prompt' and 'messages' is needed", what);
    return run_args_check(&r->a, err);
}

void run_request_close(struct run_request *r)
{
    el_json_free(r->doc);
    free(r->stops);
    free(r->biases);
    el_free(r->schema);
    *r = (struct run_request){.doc = NULL};
}
