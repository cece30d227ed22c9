#include "cmd/run_inputs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/text_in.h"
#include "cmd/util.h"

enum { MAX_SYSTEM_NBYTES = 64 << 20 };

/* ---- standard input ---- */

static bool is_dash(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

/* Standard input can be read once. prompt: it is where the prompt comes from, or the conversation. */
static enum el_status check_stdin(const struct run_args *a, bool prompt, struct el_err *err)
{
    const struct {
        bool reads;
        const char *name;
    } readers[] = {
        {prompt, "the prompt"},
        {is_dash(a->jsonl), "option '--jsonl'"},
        {is_dash(a->messages), "option '--messages'"},
        {is_dash(a->system_file), "option '--system-prompt-file'"},
        {is_dash(a->chat_template_file), "option '--chat-template-file'"},
        {is_dash(a->grammar.file), "option '--grammar-file'"},
        {is_dash(a->grammar.schema_file), "option '--json-schema-file'"},
    };
    const char *first = NULL;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if (readers[i].reads && first)
            return cmd_fail(err, EL_E_USAGE, "%s and %s cannot both come from standard input", first, readers[i].name);
        if (readers[i].reads)
            first = readers[i].name;
    }
    return EL_OK;
}

/* ---- escapes ---- */

static unsigned hex_digit(char c)
{
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* In place. What is no escape stays, and so does \x00, for texts end at it. Returns the new length. */
static size_t resolve_escapes(char *s, size_t n)
{
    static const char letters[] = "ntr\\'\"", meant[] = "\n\t\r\\'\"";
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        const char *const letter = s[i] == '\\' && i + 1 < n && s[i + 1] ? strchr(letters, s[i + 1]) : NULL;
        const bool is_hex = s[i] == '\\' && i + 3 < n && s[i + 1] == 'x' && isxdigit((unsigned char)s[i + 2]) &&
                            isxdigit((unsigned char)s[i + 3]);
        const unsigned byte = is_hex ? 16 * hex_digit(s[i + 2]) + hex_digit(s[i + 3]) : 0;
        if (letter) {
            s[out++] = meant[letter - letters];
            i++;
        } else if (byte) {
            s[out++] = (char)byte;
            i += 3;
        } else {
            s[out++] = s[i];
        }
    }
    s[out] = '\0';
    return out;
}

/* Copies of the texts of one list go to the end of in->changed, which has room for them. */
static struct opt_list resolve_list(struct run_inputs *in, struct opt_list list)
{
    const char **const first = in->changed.v + in->changed.n;
    for (size_t i = 0; i < list.n; i++) {
        char *const copy = xstrdup(list.v[i]);
        (void)resolve_escapes(copy, strlen(copy));
        in->changed.v[in->changed.n++] = copy;
    }
    return (struct opt_list){first, list.n};
}

/* ---- reading ---- */

static enum el_status read_system(struct run_inputs *in, struct el_err *err)
{
    size_t nbytes = 0;
    if (in->a.system_file) {
        CMD_TRY(el_read_file(in->a.system_file, MAX_SYSTEM_NBYTES, &in->system, &nbytes, err));
        if (nbytes && in->system[nbytes - 1] == '\n')
            in->system[nbytes - 1] = '\0'; /* the end of the last line is no part of the text */
    } else if (in->a.system_prompt) {
        in->system = xstrdup(in->a.system_prompt); /* el_free() takes it as well */
        if (in->a.escape)
            (void)resolve_escapes(in->system, strlen(in->system));
    }
    in->a.system_prompt = in->system;
    in->a.system_file = NULL;
    return EL_OK;
}

/* The text of the words, --prompt, --file or standard input. */
static enum el_status read_prompt(struct run_inputs *in, struct words words, struct el_err *err)
{
    const struct run_args *const a = &in->a;
    const char *const word = words.n ? words.v[0] : a->prompt;
    const bool from_file = !word || is_dash(word);
    CMD_TRY(text_in_read(word, a->file, "prompt", &in->prompt, &in->nbytes, err));
    if (from_file && in->nbytes && in->prompt[in->nbytes - 1] == '\n')
        in->prompt[--in->nbytes] = '\0'; /* the end of the last line of a file is no part of the prompt */
    if (!from_file && a->escape)
        in->nbytes = resolve_escapes(in->prompt, in->nbytes);
    return EL_OK;
}

enum el_status run_inputs_read(struct run_inputs *in, const struct run_args *a, struct words words, struct el_err *err)
{
    const bool given = words.n || a->prompt || a->file;
    *in = (struct run_inputs){.a = *a};
    in->dialogue = a->chat && !a->jsonl && !a->single_turn && !a->messages && isatty(0) == 1;
    if (given && (a->jsonl || a->messages))
        return cmd_fail(err, EL_E_USAGE, "a prompt and option '--%s' exclude each other", a->jsonl ? "jsonl" : "messages");
    if (a->prompt && words.n)
        return cmd_fail(err, EL_E_USAGE, "the prompt is given twice: as '%s' and with option '--prompt'", words.v[0]);
    const bool wanted = !a->jsonl && !a->messages && (given || !in->dialogue);
    const char *const source = words.n ? words.v[0] : a->prompt ? a->prompt : a->file ? a->file : "-";
    CMD_TRY(check_stdin(a, in->dialogue || (wanted && is_dash(source)), err));
    if (a->escape) {
        in->changed.v = xcalloc(a->stops.n + a->dry_breakers.n, sizeof *in->changed.v);
        in->a.stops = resolve_list(in, a->stops);
        in->a.dry_breakers = resolve_list(in, a->dry_breakers);
    }
    CMD_TRY(read_system(in, err));
    return wanted ? read_prompt(in, words, err) : EL_OK;
}

void run_inputs_release(struct run_inputs *in)
{
    el_free(in->prompt);
    el_free(in->system);
    for (size_t i = 0; i < in->changed.n; i++)
        free((char *)(uintptr_t)in->changed.v[i]);
    free(in->changed.v);
    *in = (struct run_inputs){.prompt = NULL};
}
