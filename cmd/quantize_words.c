#include "cmd/quantize_words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/util.h"

static bool all_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* Is word the name of a type? Numbers are not taken here: they are what must be told apart from names. */
static bool is_type(const char *word)
{
    const char *name;
    for (size_t i = 0; (name = el_mix_name_at(i, NULL)) != NULL; i++)
        if (strcasecmp(name, word) == 0)
            return true;
    for (size_t i = 0; (name = el_encoding_name_at(i, NULL)) != NULL; i++)
        if (strcasecmp(name, word) == 0)
            return true;
    return strcasecmp(word, "COPY") == 0 ||
           ((word[0] == 'G' || word[0] == 'g') && isdigit((unsigned char)word[1]) && word[2] == '_');
}

static enum el_status read_threads(const char *word, struct quantize_words *q, struct el_err *err)
{
    if (!opts_uint(word, &q->n_threads) || q->n_threads > 1024)
        return cmd_fail(err, EL_E_USAGE, "'%s' threads, at most 1024", word);
    return EL_OK;
}

static enum el_status read_planned(struct words words, struct quantize_words *q, struct el_err *err)
{
    q->in = words.v[0];
    q->type = "";
    q->out = words.n > 1 ? words.v[1] : NULL;
    if (words.n > 3 || (words.n == 3 && !all_digits(words.v[2])))
        return cmd_fail(err, EL_E_USAGE, "'%s': with a plan or a target the arguments are IN OUT [THREADS]",
                        words.v[words.n - 1]);
    return words.n == 3 ? read_threads(words.v[2], q, err) : EL_OK;
}

enum el_status quantize_words_read(struct words words, bool planned, struct quantize_words *q, struct el_err *err)
{
    *q = (struct quantize_words){.n_threads = UINT64_MAX};
    size_t n = words.n;
    if (planned)
        return read_planned(words, q, err);
    if (n < 2)
        return cmd_fail(err, EL_E_USAGE, "TYPE is missing behind '%s' (such as Q4_K_M; see 'edgellm list mixes')", words.v[0]);
    const bool threads_last = n >= 3 && all_digits(words.v[n - 1]) && (n == 4 || is_type(words.v[1]));
    if (threads_last) {
        CMD_TRY(read_threads(words.v[n - 1], q, err));
        n--;
    } else if (n == 4) {
        return cmd_fail(err, EL_E_USAGE, "'%s' is not a number of threads", words.v[3]);
    }
    if (n == 2 && ends_with(words.v[1], ".gguf"))
        return cmd_fail(err, EL_E_USAGE, "TYPE is missing behind '%s' (such as Q4_K_M; see 'edgellm list mixes')", words.v[1]);
    q->in = words.v[0];
    q->out = n == 3 ? words.v[1] : NULL;
    q->type = words.v[n - 1];
    return EL_OK;
}

char *quantize_default_out(const char *in, bool in_is_folder, const char *type)
{
    size_t n = strlen(in);
    if (in_is_folder)
        while (n > 1 && in[n - 1] == '/')
            n--;
    else
        while (n > 0 && in[n - 1] != '/')
            n--;
    char *const upper = xstrdup(type);
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    char *const out = xasprintf("%.*s%sggml-model-%s.gguf", (int)n, in, in_is_folder && in[n - 1] != '/' ? "/" : "", upper);
    free(upper);
    return out;
}
