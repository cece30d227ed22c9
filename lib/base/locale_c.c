#include "base/locale_c.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t c_locale;
static pthread_once_t locale_once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

int el_vsnprintf_c(char *out, size_t nbytes, const char *fmt, va_list args)
{
    (void)pthread_once(&locale_once, make_locale);
    const locale_t before = c_locale ? uselocale(c_locale) : (locale_t)0;
    const int n = vsnprintf(out, nbytes, fmt, args);
    if (before)
        (void)uselocale(before);
    return n;
}

double el_strtod_c(const char *s, char **end)
{
    (void)pthread_once(&locale_once, make_locale);
    return c_locale ? strtod_l(s, end, c_locale) : strtod(s, end);
}
