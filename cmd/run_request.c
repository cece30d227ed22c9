#include "cmd/run_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/json_out.h"
#include "cmd/util.h"

enum { MAX_NAME = 32 };

/* Members that are options, with '-' for '_'; other: the name that llama-server and others have for it. */
static const struct {
    const char *option, *other;
} members[] = {
    {"n-predict", "max-tokens"},
    {"predict", NULL},
    {"seed", NULL},
    {"temp", NULL},
    {"temperature", NULL},
    {"dynatemp-range", NULL},
    {"dynatemp-exp", "dynatemp-exponent"},
    {"top-k", NULL},
    {"top-p", NULL},
    {"min-p", NULL},
    {"typical", NULL},
    {"typical-p", NULL},
    {"top-nsigma", NULL},
    {"top-n-sigma", NULL},
    {"xtc-probability", NULL},
    {"xtc-threshold", NULL},
    {"repeat-penalty", NULL},
    {"repeat-last-n", NULL},
    {"presence-penalty", NULL},
    {"frequency-penalty", NULL},
    {"dry-multiplier", NULL},
    {"dry-base", NULL},
    {"dry-allowed-length", NULL},
    {"dry-penalty-last-n", NULL},
    {"mirostat", NULL},
    {"mirostat-lr", "mirostat-eta"},
    {"mirostat-ent", "mirostat-tau"},
    {"sampler-seq", NULL},
    {"ignore-eos", NULL},
    {"parse-special", NULL},
    {"echo", NULL},
    {"logprobs", "n-probs"},
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

/* Members that are no options, or of other types. */
static const char *const own_members[] = {"id",      "prompt",      "messages", "stop",  "dry_sequence_breakers", "logit_bias",
                                          "grammar", "json_schema", "samplers", "tools", "chat_template_kwargs"};
enum { N_OWN_MEMBERS = sizeof own_members / sizeof own_members[0] };

static void with_dashes(const char *key, char out[MAX_NAME])
{
    (void)snprintf(out, MAX_NAME, "%s", key);
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = '-';
}

/* The option of a member "top_k"; NULL when it is none. */
static const char *option_of(const char *key)
{
    char name[MAX_NAME];
    with_dashes(key, name);
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (strcmp(members[i].option, name) == 0 || (members[i].other && strcmp(members[i].other, name) == 0))
            return members[i].option;
    return NULL;
}

static bool is_own_member(const char *key)
{
    for (size_t i = 0; i < N_OWN_MEMBERS; i++)
        if (strcmp(own_members[i], key) == 0)
            return true;
    return false;
}

static enum el_status unknown_member(const char *key, const char *what, struct el_err *err)
{
    char name[MAX_NAME];
    const char *best = NULL;
    size_t least = strlen(key) / 3 + 1; /* further away is no help */
    with_dashes(key, name);
    for (size_t i = 0; i < N_MEMBERS + N_OWN_MEMBERS; i++) {
        const char *const known = i < N_MEMBERS ? members[i].option : own_members[i - N_MEMBERS];
        const size_t d = opts_distance(i < N_MEMBERS ? name : key, known);
        if (d < least) {
            least = d;
            best = known;
        }
    }
    if (!best)
        return cmd_fail(err, EL_E_USAGE, "%s: '%s' is not known (see edgellm-run(1))", what, key);
    (void)snprintf(name, sizeof name, "%s", best);
    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_';
    return cmd_fail(err, EL_E_USAGE, "%s: '%s' is not known, did you mean '%s'?", what, key, name);
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
    if (strcmp(name, "sampler-seq") == 0)
        r->a.samplers = NULL; /* of the options */
    return opts_set(run_opts, &r->a, name, el_json_key(v), text ? text : number, err);
}

/* A string or an array of strings to *list; its memory is *owned. */
static enum el_status set_texts(struct opt_list *list, const char ***owned, const struct el_json *v, const char *what,
                                struct el_err *err)
{
    const bool is_array = el_json_is(v, EL_JSON_ARRAY);
    const size_t n = is_array ? el_json_count(v) : 1;
    const struct el_json *at = is_array ? el_json_first(v) : v;
    *owned = xcalloc(n, sizeof **owned);
    for (size_t i = 0; i < n; i++) {
        (*owned)[i] = el_json_str(at);
        if (!(*owned)[i])
            return cmd_fail(err, EL_E_USAGE, "%s: '%s' is neither a text nor an array of texts", what, el_json_key(v));
        at = is_array ? el_json_next(at) : NULL;
    }
    *list = (struct opt_list){*owned, n};
    return EL_OK;
}

/* An empty array of breakers is none at all, which the option says with a word. */
static enum el_status set_breakers(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    static const char *none[] = {"none"};
    CMD_TRY(set_texts(&r->a.dry_breakers, &r->breakers, v, what, err));
    if (r->a.dry_breakers.n == 0)
        r->a.dry_breakers = (struct opt_list){none, 1};
    return EL_OK;
}

/* "top_k;temperature", or an array of the names. */
static enum el_status set_samplers(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    struct opt_list names;
    const char **texts = NULL;
    enum el_status status = set_texts(&names, &texts, v, what, err);
    size_t nbytes = 1;
    for (size_t i = 0; status == EL_OK && i < names.n; i++)
        nbytes += strlen(names.v[i]) + 1;
    r->samplers = xcalloc(nbytes, 1);
    for (size_t i = 0, at = 0; status == EL_OK && i < names.n; i++)
        at += (size_t)snprintf(r->samplers + at, nbytes - at, "%s%s", i ? ";" : "", names.v[i]);
    r->a.samplers = r->samplers;
    r->a.sampler_seq = NULL;
    free(texts);
    return status;
}

enum { BIAS_NBYTES = 64 };

/* A number, or false, for a token as --logit-bias spells it. */
static bool spell_bias(const struct el_json *bias, const char *id, char *out)
{
    if (el_json_is(bias, EL_JSON_BOOL) && !el_json_bool(bias))
        (void)snprintf(out, BIAS_NBYTES, "%.20s=false", id);
    else if (el_json_is(bias, EL_JSON_NUMBER))
        (void)snprintf(out, BIAS_NBYTES, "%.20s%+.17g", id, el_json_num(bias));
    else
        return false;
    return true;
}

/* [id, bias] */
static bool spell_pair(const struct el_json *pair, char *out)
{
    const struct el_json *const id = el_json_is(pair, EL_JSON_ARRAY) ? el_json_first(pair) : NULL;
    const struct el_json *const bias = el_json_next(id);
    char number[24];
    int64_t n = 0;
    if (!el_json_int(id, &n) || n < 0 || el_json_next(bias))
        return false;
    (void)snprintf(number, sizeof number, "%lld", (long long)n);
    return spell_bias(bias, number, out);
}

/* An array of pairs, or an object {"id": bias}. */
static enum el_status set_biases(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const bool is_object = el_json_is(v, EL_JSON_OBJECT);
    const size_t n = el_json_count(v);
    const struct el_json *at = el_json_first(v);
    bool good = is_object || el_json_is(v, EL_JSON_ARRAY);
    r->biases = xcalloc(n, sizeof *r->biases + BIAS_NBYTES);
    char *text = (char *)(r->biases + n);
    for (size_t i = 0; good && i < n; i++, text += BIAS_NBYTES, at = el_json_next(at)) {
        good = is_object ? spell_bias(at, el_json_key(at), text) : spell_pair(at, text);
        r->biases[i] = text;
    }
    if (!good)
        return cmd_fail(err, EL_E_USAGE, "%s: 'logit_bias' is neither an array of [id, number] and [id, false] nor an object",
                        what);
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

/* What the template sees beside the messages. */
static enum el_status set_seen(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const bool tools = strcmp(el_json_key(v), "tools") == 0;
    size_t nbytes = 0;
    if (!el_json_is(v, tools ? EL_JSON_ARRAY : EL_JSON_OBJECT))
        return cmd_fail(err, EL_E_USAGE, "%s: '%s' is no %s", what, el_json_key(v), tools ? "array" : "object");
    CMD_TRY(el_json_print(v, tools ? &r->tools : &r->kwargs, &nbytes, err));
    if (tools)
        r->a.tools = r->tools;
    else
        r->a.chat_kwargs = r->kwargs;
    return EL_OK;
}

static enum el_status set_member(struct run_request *r, const struct el_json *v, const char *what, struct el_err *err)
{
    const char *const key = el_json_key(v), *const option = option_of(key);
    if (strcmp(key, "id") == 0) {
        r->id = v;
    } else if (el_json_is(v, EL_JSON_NULL) && (option || is_own_member(key))) {
        return EL_OK; /* as if it were not there */
    } else if (strcmp(key, "prompt") == 0) {
        r->prompt = el_json_str(v);
        if (!r->prompt)
            return cmd_fail(err, EL_E_USAGE, "%s: 'prompt' is not a text", what);
    } else if (strcmp(key, "messages") == 0) {
        r->messages = v;
        if (!el_json_is(v, EL_JSON_ARRAY))
            return cmd_fail(err, EL_E_USAGE, "%s: 'messages' is not an array", what);
    } else if (strcmp(key, "stop") == 0) {
        return set_texts(&r->a.stops, &r->stops, v, what, err);
    } else if (strcmp(key, "dry_sequence_breakers") == 0) {
        return set_breakers(r, v, what, err);
    } else if (strcmp(key, "samplers") == 0) {
        return set_samplers(r, v, what, err);
    } else if (strcmp(key, "logit_bias") == 0) {
        return set_biases(r, v, what, err);
    } else if (strcmp(key, "grammar") == 0 || strcmp(key, "json_schema") == 0) {
        return set_grammar(r, v, key[0] == 'j', what, err);
    } else if (strcmp(key, "tools") == 0 || strcmp(key, "chat_template_kwargs") == 0) {
        return set_seen(r, v, what, err);
    } else if (option) {
        return set_option(r, v, option, what, err);
    } else {
        return unknown_member(key, what, err);
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
    if ((r->tools || r->kwargs) && !r->messages && !a->chat)
        return cmd_fail(err, EL_E_USAGE, "%s: '%s' is for a conversation, of 'messages'", what,
                        r->tools ? "tools" : "chat_template_kwargs");
    return run_args_check(&r->a, err);
}

void run_request_close(struct run_request *r)
{
    el_json_free(r->doc);
    free(r->stops);
    free(r->breakers);
    free(r->samplers);
    free(r->biases);
    el_free(r->schema);
    el_free(r->tools);
    el_free(r->kwargs);
    *r = (struct run_request){.doc = NULL};
}
