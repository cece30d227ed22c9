#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool el_base64_decode(const char *text, size_t nbytes, struct el_buf *out)
{
    const size_t before = out->nbytes;
    if (nbytes % 4 != 0)
        return false;
    for (size_t i = 0; i < nbytes; i += 4) {
        const bool last = i + 4 == nbytes;
        const size_t n_pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t bits = 0;
        bool good = true;
        for (size_t k = 0; k < 4; k++) {
            const int v = k >= 4 - n_pad ? 0 : value_of(text[i + k]);
            good &= v >= 0;
            bits = bits << 6 | (uint32_t)(v & 63);
        }
        if (!good || (n_pad == 1 && bits & 0xff) || (n_pad == 2 && bits & 0xffff)) {
            out->nbytes = before;
            return false;
        }
        const uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
        el_buf_add(out, bytes, 3 - n_pad);
    }
    return true;
}

void el_base64_encode(const void *data, size_t nbytes, struct el_buf *out)
{
    const uint8_t *const p = data;
    for (size_t i = 0; i < nbytes; i += 3) {
        const size_t n = nbytes - i < 3 ? nbytes - i : 3;
        const uint32_t bits = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        const char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], n > 1 ? digits[bits >> 6 & 63] : '=',
                              n > 2 ? digits[bits & 63] : '='};
        el_buf_add(out, text, 4);
    }
}
