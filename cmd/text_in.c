#include "cmd/text_in.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/util.h"

#define MAX_TEXT_NBYTES (4ull << 30)

static enum el_status copy_word(const char *word, char **text, size_t *nbytes)
{
    /* el_free() is what frees the text whatever it came from; it takes malloc'ed memory. */
    *text = xstrdup(word);
    *nbytes = strlen(word);
    return EL_OK;
}

enum el_status text_in_read(const char *word, const char *file, const char *what, char **text, size_t *nbytes, struct el_err *err)
{
    if (word && file)
        return cmd_fail(err, EL_E_USAGE, "%s and option '--file' exclude each other", what);
    if (word && strcmp(word, "-") != 0)
        return copy_word(word, text, nbytes);
    const char *const path = file ? file : "-";
    if (strcmp(path, "-") == 0 && isatty(0) == 1)
        return cmd_fail(err, EL_E_USAGE, "no %s: give it as an argument, with --file or on standard input", what);
    return el_read_file(path, MAX_TEXT_NBYTES, text, nbytes, err);
}

enum el_status text_in_ids(const char *text, size_t nbytes, size_t n_vocab, int32_t **ids, size_t *n_ids, struct el_err *err)
{
    size_t cap = 0, n = 0;
    int32_t *out = NULL;
    *ids = NULL;
    *n_ids = 0;
    for (size_t i = 0; i < nbytes;) {
        const char c = text[i];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',') {
            i++;
            continue;
        }
        uint64_t id = 0;
        const size_t start = i;
        while (i < nbytes && text[i] >= '0' && text[i] <= '9' && id < n_vocab)
            id = 10 * id + (uint64_t)(text[i++] - '0');
        if (i == start || id >= n_vocab) {
            free(out);
            if (i == start)
                return cmd_fail(err, EL_E_FORMAT, "list of ids: byte %zu is '%c', not a digit", i, c);
            return cmd_fail(err, EL_E_FORMAT,
                            "list of ids: number %zu, at byte %zu, is not below %zu, the size of the vocabulary", n, start,
                            n_vocab);
        }
        if (n == cap) {
            cap = cap ? 2 * cap : 256;
            out = xrealloc(out, cap, sizeof *out);
        }
        out[n++] = (int32_t)id;
    }
    *ids = out ? out : xcalloc(1, sizeof *out);
    *n_ids = n;
    return EL_OK;
}
