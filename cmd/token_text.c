#include "cmd/token_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/*
 * The byte that a character of the byte-level alphabet stands for (GPT-2, Radford et al. 2019, its encoder.py): printable Latin-1
 * characters are themselves, the 68 other bytes are U+0100 and on, in ascending order. -1: not of the alphabet.
 */
static int byte_of(unsigned c)
{
    enum { N_LOW = 33, N_HIGH = 34 }; /* 0x00 to 0x20, 0x7f to 0xa0; then 0xad */
    if (c < 0x100)
        return c <= 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad ? -1 : (int)c;
    const unsigned k = c - 0x100;
    if (k < N_LOW)
        return (int)k;
    if (k < N_LOW + N_HIGH)
        return (int)(0x7f + k - N_LOW);
    return k == N_LOW + N_HIGH ? 0xad : -1;
}

/* The n bytes that a stored piece spells as "<0xE2>" or in the byte-level alphabet. False: it spells none, or another number. */
static bool spelled_bytes(const char *piece, size_t nbytes, size_t n, char *out)
{
    char hex[7];
    if (n == 1 && nbytes == 6 && strncmp(piece, "<0x", 3) == 0) {
        out[0] = (char)strtoul(piece + 3, NULL, 16);
        (void)snprintf(hex, sizeof hex, "<0x%02X>", (unsigned)(unsigned char)out[0]);
        return memcmp(hex, piece, 6) == 0;
    }
    size_t k = 0;
    for (size_t i = 0; i < nbytes; k++) {
        const unsigned char *const u = (const unsigned char *)piece + i;
        const size_t len = u[0] < 0x80 ? 1 : 2;
        if (len == 2 && (i + 1 == nbytes || (u[0] & 0xe0) != 0xc0 || (u[1] & 0xc0) != 0x80))
            return false;
        const int b = byte_of(len == 1 ? u[0] : (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu));
        if (b < 0 || k == n)
            return false;
        out[k] = (char)b;
        i += len;
    }
    return k == n;
}

enum el_status token_text(const struct el_tokenizer *tok, int32_t id, char **text, size_t *nbytes, struct el_err *err)
{
    const size_t n = el_tok_text_nbytes(tok, id);
    const int32_t twice[2] = {id, id};
    char *decoded = NULL;
    size_t n_decoded = 0, n_piece = 0;
    *text = NULL;
    *nbytes = 0;
    CMD_TRY(el_decode(tok, twice, 2, false, &decoded, &n_decoded, err));
    const char *const piece = el_tok_piece(tok, id, &n_piece);
    *nbytes = n ? n : n_piece;
    char *const out = xcalloc(*nbytes + 1, 1);
    if (n == 0)
        memcpy(out, piece, n_piece);
    else if (n_decoded < n) /* more was taken off the start of the text than the first one: nothing but spaces */
        memset(out, ' ', n);
    else if (!memmem(decoded, n_decoded, replacement, 3) || !spelled_bytes(piece, n_piece, n, out))
        memcpy(out, decoded + n_decoded - n, n); /* the second one: a leading space of the first is taken off */
    el_free(decoded);
    *text = out;
    return EL_OK;
}
