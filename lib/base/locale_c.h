/* Formatting that does not depend on the locale of the program that uses the library: the decimal point is a point. */
#ifndef EL_BASE_LOCALE_C_H
#define EL_BASE_LOCALE_C_H

#include <stdarg.h>
#include <stddef.h>

/* vsnprintf in the "C" locale. Any thread. */
int el_vsnprintf_c(char *out, size_t nbytes, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

/* strtod in the "C" locale. Any thread. */
double el_strtod_c(const char *s, char **end);

#endif
