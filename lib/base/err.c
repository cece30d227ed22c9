#include "base/err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/utf8.h"

static el_log_fn *log_fn;
static void *log_user;
static atomic_int interrupted;

const char *el_status_name(enum el_status status)
{
    switch (status) {
    case EL_OK: return "ok";
    case EL_E_FAILED: return "failed";
    case EL_E_USAGE: return "usage";
    case EL_E_FORMAT: return "bad input";
    case EL_E_IO: return "input/output error";
    case EL_E_MEMORY: return "out of memory";
    case EL_E_NETWORK: return "network error";
    case EL_E_CHECKSUM: return "checksum mismatch";
    case EL_E_UNSUPPORTED: return "unsupported";
    case EL_E_PARTIAL: return "partial success";
    case EL_E_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}

/* Code points that change what a terminal shows around them: C1 controls, line separators, directional overrides and isolates. */
static bool is_treacherous(uint32_t cp)
{
    return (cp >= 0x80 && cp <= 0x9f) || cp == 0x61c || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* Copies text to out [cap] as one printable line; cuts between characters when it does not fit. */
static void escape(const char *text, char *out, size_t cap)
{
    const size_t nbytes = strlen(text);
    size_t n_out = 0;
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0;
        size_t n = el_utf8_decode(text + i, nbytes - i, &cp);
        char shown[16];
        size_t n_shown;
        if (n == 0 || cp < 0x20 || cp == 0x7f) {
            n = 1;
            n_shown = (size_t)snprintf(shown, sizeof shown, "\\x%02x", (unsigned)(uint8_t)text[i]);
        } else if (is_treacherous(cp)) {
            n_shown = (size_t)snprintf(shown, sizeof shown, "\\u{%x}", (unsigned)cp);
        } else {
            memcpy(shown, text + i, n);
            n_shown = n;
        }
        if (n_out + n_shown >= cap)
            break;
        memcpy(out + n_out, shown, n_shown);
        n_out += n_shown;
        i += n;
    }
    out[n_out] = '\0';
}

enum { EL_RAW_TEXT = 2048 };

EL_PRINTF(4, 0)
static enum el_status vfail(struct el_err *err, enum el_status code, enum el_reason reason, const char *fmt, va_list args)
{
    if (!err)
        return code;
    char raw[EL_RAW_TEXT];
    (void)el_vsnprintf_c(raw, sizeof raw, fmt, args);
    err->code = code;
    err->reason = reason;
    escape(raw, err->text, sizeof err->text);
    return code;
}

enum el_status el_fail(struct el_err *err, enum el_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vfail(err, code, EL_REASON_NONE, fmt, args);
    va_end(args);
    return code;
}

enum el_status el_fail_why(struct el_err *err, enum el_status code, enum el_reason reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vfail(err, code, reason, fmt, args);
    va_end(args);
    return code;
}

enum el_status el_fail_prefix(struct el_err *err, enum el_status code, const char *fmt, ...)
{
    if (!err)
        return code;
    char raw[EL_RAW_TEXT];
    va_list args;
    va_start(args, fmt);
    int n = el_vsnprintf_c(raw, sizeof raw, fmt, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof raw)
        n = n < 0 ? 0 : (int)sizeof raw - 1;
    (void)snprintf(raw + n, sizeof raw - (size_t)n, ": %s", err->text);
    escape(raw, err->text, sizeof err->text);
    if (err->code == EL_OK)
        err->code = code;
    return err->code;
}

const char *el_errno_text(int number)
{
    const char *const text = strerrordesc_np(number);
    return text ? text : "unknown error";
}

void el_log_set(el_log_fn *fn, void *user)
{
    log_fn = fn;
    log_user = user;
}

void el_warn(const char *fmt, ...)
{
    if (!log_fn)
        return;
    char raw[EL_RAW_TEXT], line[EL_RAW_TEXT];
    va_list args;
    va_start(args, fmt);
    (void)el_vsnprintf_c(raw, sizeof raw, fmt, args);
    va_end(args);
    escape(raw, line, sizeof line);
    log_fn(log_user, line);
}

void el_interrupt(void)
{
    atomic_store(&interrupted, 1);
}

bool el_interrupted(void)
{
    return atomic_load_explicit(&interrupted, memory_order_relaxed) != 0;
}

void el_interrupt_clear(void)
{
    atomic_store(&interrupted, 0);
}
