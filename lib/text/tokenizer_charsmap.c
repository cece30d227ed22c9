/*
 * SentencePiece's precompiled_charsmap: a double array of prefixes (darts-clone's unit layout: Kanda et al. 2018, "XOR-compressed
 * compact double array") and the strings that stand for them. Layout: u32 bytes of the array, the array, strings ended by NUL.
 *
 * Two programs read it in two ways. SentencePiece replaces the longest prefix at each place, and joins that with its rules for
 * spaces. Hugging Face's Precompiled goes grapheme by grapheme: one of fewer than 6 bytes is replaced whole by what stands for
 * its *shortest* prefix that is in the map, if there is one; else each of its characters is looked up.
 */
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

enum { HF_GRAPHEME = 6, MAX_CHARSMAP = 64 << 20 };

enum el_status el_charsmap_open(struct el_charsmap *m, const void *data, size_t nbytes, const char *name, struct el_err *err)
{
    *m = (struct el_charsmap){.n_units = 0};
    if (nbytes > MAX_CHARSMAP)
        return el_fail(err, EL_E_UNSUPPORTED, "%s: %zu bytes, at most %d", name, nbytes, (int)MAX_CHARSMAP);
    struct el_cursor c = el_cursor_init(data, nbytes);
    const uint32_t n_array = el_cursor_u32(&c);
    if (c.failed || n_array < 4 || n_array % 4 != 0 || n_array >= el_cursor_left(&c))
        return el_fail(err, EL_E_FORMAT, "%s: the array has %u bytes, allowed are a multiple of 4 and less than %zu", name,
                       (unsigned)n_array, nbytes > 4 ? nbytes - 4 : 0);
    m->units = el_alloc_array(n_array / 4, sizeof *m->units);
    for (size_t i = 0; m->units && i < n_array / 4; i++)
        m->units[i] = el_cursor_u32(&c);
    m->n_units = m->units ? n_array / 4 : 0;
    const size_t n_text = el_cursor_left(&c);
    const char *const text = (const char *)el_cursor_bytes(&c, n_text);
    if (text[n_text - 1] != '\0' || !el_utf8_is_valid(text, n_text))
        return el_fail(err, EL_E_FORMAT, "%s: the strings must be UTF-8 and end with NUL", name);
    m->text = el_strndup(text, n_text);
    m->n_text = n_text;
    return m->units && m->text ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for %s", name);
}

void el_charsmap_release(struct el_charsmap *m)
{
    el_free(m->units);
    el_free(m->text);
    *m = (struct el_charsmap){.n_units = 0};
}

static bool is_char_start(const char *s, size_t nbytes, size_t at)
{
    return at >= nbytes || ((uint8_t)s[at] & 0xc0) != 0x80;
}

/*
 * The string for a prefix of s[0, nbytes): the longest that is in the map, or the shortest. NULL: none; *n_prefix are the bytes
 * it stands for. A damaged map finds nothing rather than half a character.
 */
static const char *look_up(const struct el_charsmap *m, const char *s, size_t nbytes, bool longest, size_t *n_prefix)
{
    if (m->n_units == 0)
        return NULL;
    const char *found = NULL;
    uint32_t unit = m->units[0];
    uint32_t at = (unit >> 10) << ((unit & (1u << 9)) >> 6);
    for (size_t i = 0; i < nbytes; i++) {
        const uint8_t b = (uint8_t)s[i];
        at ^= b;
        if (b == 0 || at >= m->n_units || ((unit = m->units[at]) & (0x80000000u | 0xff)) != b)
            break;
        at ^= (unit >> 10) << ((unit & (1u << 9)) >> 6);
        if (!(unit >> 8 & 1) || at >= m->n_units)
            continue;
        const uint32_t value = m->units[at] & 0x7fffffff;
        if (value >= m->n_text || !is_char_start(m->text, m->n_text, value) || !is_char_start(s, nbytes, i + 1))
            continue;
        found = m->text + value;
        *n_prefix = i + 1;
        if (!longest)
            break;
    }
    return found;
}

void el_charsmap_hf(const struct el_charsmap *m, const char *text, size_t nbytes, size_t max_nbytes, struct el_buf *out)
{
    for (size_t at = 0; at < nbytes && out->nbytes <= max_nbytes;) {
        const size_t len = el_grapheme_nbytes(text + at, nbytes - at);
        size_t n_prefix;
        const char *to = len < HF_GRAPHEME ? look_up(m, text + at, len, false, &n_prefix) : NULL;
        if (to) {
            el_buf_add_str(out, to);
            at += len;
            continue;
        }
        for (const size_t end = at + len; at < end && out->nbytes <= max_nbytes;) {
            uint32_t cp = 0;
            const size_t n = el_utf8_decode(text + at, end - at, &cp);
            to = look_up(m, text + at, n, false, &n_prefix);
            if (to)
                el_buf_add_str(out, to);
            else
                el_buf_add(out, text + at, n);
            at += n;
        }
    }
}

/* SentencePiece's rules for spaces, fed with normalized text piece by piece. */
struct spaces {
    struct el_buf *out;
    bool prefix, merge;
    bool started; /* a character that is no space has come, or (without merging) anything */
    bool pending; /* spaces to write as one in front of the next character */
};

static void feed(struct spaces *s, const char *text, size_t nbytes)
{
    for (size_t i = 0; i < nbytes;) {
        const char *const space = memchr(text + i, ' ', nbytes - i);
        const size_t end = space ? (size_t)(space - text) : nbytes;
        if (s->prefix && !s->started && (end > i || !s->merge))
            el_buf_add(s->out, EL_SPACE_MARK, 3);
        else if (s->merge && s->started && s->pending && end > i)
            el_buf_add(s->out, EL_SPACE_MARK, 3);
        if (end > i || !s->merge) {
            s->started = true;
            s->pending = false;
        }
        el_buf_add(s->out, text + i, end - i);
        if (space && s->merge)
            s->pending = true;
        else if (space)
            el_buf_add(s->out, EL_SPACE_MARK, 3);
        i = end + (space != NULL);
    }
}

void el_charsmap_sentencepiece(const struct el_charsmap *m, bool prefix, bool merge, const char *text, size_t nbytes,
                               size_t max_nbytes, struct el_buf *out)
{
    struct spaces s = {out, prefix, merge, false, false};
    size_t from = 0; /* text[from, at) stays as it is */
    for (size_t at = 0; at < nbytes && out->nbytes <= max_nbytes;) {
        size_t n_prefix;
        const char *const to = look_up(m, text + at, nbytes - at, true, &n_prefix);
        if (!to) {
            uint32_t cp = 0;
            at += el_utf8_decode(text + at, nbytes - at, &cp);
            continue;
        }
        feed(&s, text + from, at - from);
        feed(&s, to, strlen(to));
        at += n_prefix;
        from = at;
    }
    if (out->nbytes <= max_nbytes)
        feed(&s, text + from, nbytes - from);
    while (merge && out->nbytes >= 3 && memcmp(out->data + out->nbytes - 3, EL_SPACE_MARK, 3) == 0)
        out->data[out->nbytes -= 3] = '\0';
}
