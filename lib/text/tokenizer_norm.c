#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

enum { GROWTH_MAX = 64, GROWTH_FREE = 1 << 20 }; /* output bytes per input byte, and beside that */

void el_norm_release(struct el_norm *norm)
{
    for (size_t i = 0; i < norm->n; i++) {
        el_free(norm->steps[i].from);
        el_free(norm->steps[i].to);
        el_regex_close(norm->steps[i].re);
        el_charsmap_release(&norm->steps[i].map);
    }
    norm->n = 0;
}

static void replace_literal(const struct el_norm_step *s, const char *text, size_t nbytes, size_t max_nbytes, struct el_buf *out)
{
    size_t at = 0;
    while (out->nbytes <= max_nbytes) {
        const char *const hit =
            s->n_from == 1 ? memchr(text + at, s->from[0], nbytes - at) : memmem(text + at, nbytes - at, s->from, s->n_from);
        if (!hit)
            break;
        el_buf_add(out, text + at, (size_t)(hit - text) - at);
        el_buf_add(out, s->to, s->n_to);
        at = (size_t)(hit - text) + s->n_from;
    }
    el_buf_add(out, text + at, nbytes - at);
}

static enum el_status replace_regex(const struct el_norm_step *s, struct el_regex_run *run, const char *text, size_t nbytes,
                                    size_t max_nbytes, struct el_buf *out, struct el_err *err)
{
    size_t at = 0, from = 0;
    while (from <= nbytes && out->nbytes <= max_nbytes) {
        size_t begin, end;
        bool found;
        EL_TRY(el_regex_find(s->re, run, text, nbytes, from, &begin, &end, &found, err));
        if (!found)
            break;
        if (begin < at) /* an empty match right behind the last one */
            begin = at;
        el_buf_add(out, text + at, begin - at);
        el_buf_add(out, s->to, s->n_to);
        at = end;
        from = end;
        if (begin == end) {
            uint32_t cp;
            from += from < nbytes ? el_utf8_decode(text + from, nbytes - from, &cp) : 1;
        }
    }
    el_buf_add(out, text + at, nbytes - at);
    return EL_OK;
}

static void strip(const struct el_norm_step *s, const char *text, size_t nbytes, struct el_buf *out)
{
    uint32_t cp;
    size_t begin = 0, end = nbytes;
    while (s->left && begin < end) {
        const size_t len = el_utf8_decode(text + begin, end - begin, &cp);
        if (len == 0 || !el_cp_is_space(cp))
            break;
        begin += len;
    }
    while (s->right && begin < end) {
        size_t p = end - 1;
        while (p > begin && ((uint8_t)text[p] & 0xc0) == 0x80)
            p--;
        if (el_utf8_decode(text + p, end - p, &cp) == 0 || !el_cp_is_space(cp))
            break;
        end = p;
    }
    el_buf_add(out, text + begin, end - begin);
}

/* Drops control characters and U+FFFD; white space becomes a space. */
static void bert_clean(const struct el_norm_step *s, const char *text, size_t nbytes, struct el_buf *out)
{
    size_t len;
    for (size_t i = 0; i < nbytes; i += len) {
        uint32_t cp = 0;
        len = el_utf8_decode(text + i, nbytes - i, &cp);
        const bool plain = cp > ' ' && cp < 0x7f, newline = cp == '\t' || cp == '\n' || cp == '\r';
        if (plain)
            el_buf_add_byte(out, (uint8_t)cp);
        else if (newline || (el_cp_is_space(cp) && (s->left || !el_cp_is_control(cp))))
            el_buf_add_byte(out, ' ');
        else if (cp != 0xfffd && !el_cp_is_control(cp))
            el_buf_add(out, text + i, len);
    }
}

static bool is_ideograph(uint32_t cp)
{
    /* 2b920 instead of 2b820 is a slip of the pen that files have been made with. */
    return (cp >= 0x3400 && cp <= 0x4dbf) || (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) ||
           (cp >= 0x20000 && cp <= 0x2a6df) || (cp >= 0x2a700 && cp <= 0x2b81f) || (cp >= 0x2b920 && cp <= 0x2ceaf) ||
           (cp >= 0x2f800 && cp <= 0x2fa1f);
}

static void bert_han(const char *text, size_t nbytes, struct el_buf *out)
{
    size_t from = 0, len;
    for (size_t i = 0; i < nbytes; i += len) {
        uint32_t cp = 0;
        len = el_utf8_decode(text + i, nbytes - i, &cp);
        if (!is_ideograph(cp))
            continue;
        el_buf_add(out, text + from, i - from);
        el_buf_add_byte(out, ' ');
        el_buf_add(out, text + i, len);
        el_buf_add_byte(out, ' ');
        from = i + len;
    }
    el_buf_add(out, text + from, nbytes - from);
}

enum el_status el_norm_apply(const struct el_norm *norm, struct el_regex_run *run, struct el_buf bufs[2], const char *text,
                             size_t nbytes, const char **out, size_t *n_out, struct el_err *err)
{
    /* A few steps that each put many bytes for one would make a terabyte of a letter. No honest normalizer comes near this. */
    const size_t max_nbytes = nbytes > (SIZE_MAX - GROWTH_FREE) / GROWTH_MAX ? SIZE_MAX : GROWTH_MAX * nbytes + GROWTH_FREE;
    for (size_t i = 0; i < norm->n; i++) {
        const struct el_norm_step *const s = &norm->steps[i];
        struct el_buf *const b = &bufs[i & 1];
        el_buf_reset(b);
        switch (s->kind) {
        case EL_NS_FORM: EL_TRY(el_normalize(s->form, text, nbytes, b, err)); break;
        case EL_NS_LOWERCASE: el_lowercase(text, nbytes, b); break;
        case EL_NS_STRIP_MARKS: el_strip_marks(text, nbytes, b); break;
        case EL_NS_STRIP_NONSPACING: el_strip_nonspacing(text, nbytes, b); break;
        case EL_NS_BERT_CLEAN: bert_clean(s, text, nbytes, b); break;
        case EL_NS_BERT_HAN: bert_han(text, nbytes, b); break;
        case EL_NS_PRECOMPILED: el_charsmap_hf(&s->map, text, nbytes, max_nbytes, b); break;
        case EL_NS_SENTENCEPIECE: el_charsmap_sentencepiece(&s->map, s->left, s->right, text, nbytes, max_nbytes, b); break;
        case EL_NS_STRIP: strip(s, text, nbytes, b); break;
        case EL_NS_PREPEND:
            if (nbytes > 0)
                el_buf_add(b, s->to, s->n_to);
            el_buf_add(b, text, nbytes);
            break;
        case EL_NS_REPLACE:
            if (s->re)
                EL_TRY(replace_regex(s, run, text, nbytes, max_nbytes, b, err));
            else
                replace_literal(s, text, nbytes, max_nbytes, b);
            break;
        }
        if (b->failed)
            return el_fail(err, EL_E_MEMORY, "out of memory while normalizing %zu bytes", nbytes);
        if (b->nbytes > max_nbytes)
            return el_fail(err, EL_E_FORMAT, "normalizer: step %zu makes the text more than %d times as long", i,
                           (int)GROWTH_MAX);
        text = b->data;
        nbytes = b->nbytes;
    }
    *out = text;
    *n_out = nbytes;
    return EL_OK;
}
