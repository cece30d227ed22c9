#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

enum {
    MAX_MERGE = 8192, /* bytes of a merge line */
    MAX_TRIES = 16,   /* spaces at which a merge line may be split */
};

/*
 * GPT-2 writes bytes as characters: those that print stand for themselves, the other 68 for U+0100 and up, in order.
 * (Radford et al. 2019, encoder.py.)
 */
static bool prints(unsigned b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

uint32_t el_byte_cp(uint8_t byte)
{
    if (prints(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    return byte == 0xad ? 0x143u : 0x121u + (byte - 0x7fu);
}

int el_byte_of_cp(uint32_t cp)
{
    if (cp < 0x100)
        return prints(cp) ? (int)cp : -1;
    if (cp <= 0x120)
        return (int)(cp - 0x100);
    if (cp <= 0x142)
        return (int)(cp - 0x121 + 0x7f);
    return cp == 0x143 ? 0xad : -1;
}

int el_byte_piece(const char *text, size_t nbytes)
{
    if (nbytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int v = 0;
    for (int i = 3; i < 5; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        v = 16 * v + digit;
    }
    return v;
}

static bool can_be_symbol(const struct el_tokenizer *tok, int64_t id)
{
    return id >= 0 && tok->type[id] != EL_PIECE_CONTROL && tok->type[id] != EL_PIECE_UNKNOWN && tok->type[id] != EL_PIECE_BYTE;
}

int32_t el_bpe_char(const struct el_tokenizer *tok, const char *s, size_t nbytes)
{
    if (nbytes == 1)
        return tok->ascii_sym[(uint8_t)s[0] & 127];
    const int64_t id = el_strmap_get(&tok->ids, s, nbytes, -1);
    return can_be_symbol(tok, id) ? (int32_t)id : (int32_t)el_strmap_get(&tok->chars, s, nbytes, -1);
}

enum el_status el_bpe_symbols(struct el_tokenizer *tok, struct el_err *err)
{
    for (unsigned b = 0; b < 256; b++)
        tok->byte_sym[b] = -1;
    if (tok->byte_level) {
        for (unsigned b = 0; b < 256; b++) {
            char text[4];
            const size_t n = el_utf8_encode(el_byte_cp((uint8_t)b), text);
            tok->byte_sym[b] = (int32_t)el_strmap_get(&tok->ids, text, n, -1);
        }
    } else {
        for (size_t i = 0; i < tok->n_vocab; i++) {
            size_t n;
            const char *const text = el_tok_text(tok, (int32_t)i, &n);
            const int b =
                n == 6 && (tok->type[i] == EL_PIECE_BYTE || tok->type[i] == EL_PIECE_NORMAL) ? el_byte_piece(text, n) : -1;
            if (b >= 0 && tok->byte_sym[b] < 0)
                tok->byte_sym[b] = (int32_t)i;
        }
    }
    for (unsigned c = 0; c < 128; c++) {
        const char text = (char)c;
        const int64_t id = el_strmap_get(&tok->ids, &text, 1, -1);
        tok->ascii_sym[c] = can_be_symbol(tok, id) ? (int32_t)id : -1;
    }
    size_t n_found = 0;
    for (unsigned b = 0; b < 256; b++)
        n_found += tok->byte_sym[b] >= 0;
    if (tok->byte_level && n_found == 0)
        return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.tokens: not one character of the byte alphabet is a token");
    return EL_OK;
}

bool el_bpe_split(const struct el_tokenizer *tok, const char *merge, size_t nbytes, int32_t *left, int32_t *right,
                  int32_t *merged)
{
    if (nbytes < 3 || nbytes > MAX_MERGE)
        return false;
    const char *space = merge;
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        space = memchr(space + 1, ' ', nbytes - 1 - (size_t)(space - merge));
        if (!space || space == merge + nbytes - 1)
            return false;
        const size_t n_left = (size_t)(space - merge), n_right = nbytes - n_left - 1;
        const int64_t a = el_strmap_get(&tok->ids, merge, n_left, -1);
        const int64_t b = el_strmap_get(&tok->ids, space + 1, n_right, -1);
        if (a < 0 || b < 0)
            continue;
        char joined[MAX_MERGE];
        memcpy(joined, merge, n_left);
        memcpy(joined + n_left, space + 1, n_right);
        const int64_t c = el_strmap_get(&tok->ids, joined, n_left + n_right, -1);
        if (c < 0)
            continue;
        *left = (int32_t)a;
        *right = (int32_t)b;
        *merged = (int32_t)c;
        return true;
    }
    return false;
}

/* Text of a symbol; buf holds that of a virtual one. */
static const char *symbol_text(const struct el_tokenizer *tok, int32_t sym, char buf[4], size_t *nbytes)
{
    if ((size_t)sym < tok->n_vocab)
        return el_tok_text(tok, sym, nbytes);
    *nbytes = el_utf8_encode(tok->virtual_cp[(size_t)sym - tok->n_vocab], buf);
    return buf;
}

void el_bpe_find_cuts(struct el_tokenizer *tok)
{
    tok->cut_marks = !tok->byte_level;
    for (size_t i = 0; tok->cut_marks && i < tok->pairs.cap; i++) {
        const uint64_t key = tok->pairs.slots[i].key;
        if (key == 0)
            continue;
        char a[4], b[4];
        size_t n_left, n_right;
        const char *const left = symbol_text(tok, (int32_t)((key - 1) >> 32), a, &n_left);
        const char *const right = symbol_text(tok, (int32_t)(uint32_t)(key - 1), b, &n_right);
        const bool right_starts = n_right >= 3 && memcmp(right, EL_SPACE_MARK, 3) == 0;
        const bool left_ends = n_left >= 3 && memcmp(left + n_left - 3, EL_SPACE_MARK, 3) == 0;
        if (right_starts && !left_ends)
            tok->cut_marks = false;
    }
}

enum el_status el_bpe_build(struct el_tokenizer *tok, const struct el_meta *meta, size_t merges, struct el_err *err)
{
    if (el_meta_elem_type(meta, merges) != EL_META_STR)
        return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.merges: elements are %s, must be string",
                       el_meta_type_name(el_meta_elem_type(meta, merges)));
    const size_t n = el_meta_n_elems(meta, merges);
    if (n > INT32_MAX || !el_pairs_reserve(&tok->pairs, n))
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu merges", n);
    for (size_t i = 0; i < n; i++) {
        size_t nbytes;
        const char *const text = el_meta_str(meta, merges, i, &nbytes);
        int32_t left, right, merged;
        if (!el_bpe_split(tok, text, nbytes, &left, &right, &merged))
            return el_fail(err, EL_E_FORMAT,
                           "tokenizer.ggml.merges[%zu] '%.*s': must be two tokens that make a third, with a space between", i,
                           nbytes < 80 ? (int)nbytes : 80, text);
        if (!el_pairs_add(&tok->pairs, left, right, (uint32_t)i, merged))
            return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.merges[%zu] '%.*s': the same pair twice", i,
                           nbytes < 80 ? (int)nbytes : 80, text);
    }
    return EL_OK;
}
