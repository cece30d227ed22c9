/*
 * One way to write a test, two runners: Criterion (a process per test), and one plain program (-DEL_TEST_PLAIN) for sanitizers,
 * emulators and debuggers. In a test file:
 *
 *     #include "test.h"
 *     TEST(cursor, stops_at_the_end) { CHECK(el_cursor_left(&c) == 0); CHECK_EQ_INT(a, b); }
 *
 * A failed CHECK names file, line and values; the test goes on. REQUIRE returns from the test. SKIP("why") returns and says so.
 * test_data("x") is a path below tests/data; test_shared("x") one below ../shared or NULL where that is absent (then SKIP);
 * test_tmp("x") a path in a folder of this process that is removed at the end.
 */
#ifndef EL_TESTS_TEST_H
#define EL_TESTS_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef EL_TEST_PLAIN
struct test_case {
    const char *suite, *name;
    void (*fn)(void);
    struct test_case *next;
};
void test_register(struct test_case *t);
#define TEST(suite_, name_)                                                                                                      \
    static void suite_##_##name_##_fn(void);                                                                                     \
    static struct test_case suite_##_##name_##_case = {#suite_, #name_, suite_##_##name_##_fn, NULL};                            \
    __attribute__((constructor)) static void suite_##_##name_##_reg(void)                                                        \
    {                                                                                                                            \
        test_register(&suite_##_##name_##_case);                                                                                 \
    }                                                                                                                            \
    static void suite_##_##name_##_fn(void)
#else
#include <criterion/criterion.h>
#define TEST(suite_, name_) Test(suite_, name_)
#endif

void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void test_skip(const char *file, int line, const char *why);
const char *test_data(const char *name);
const char *test_shared(const char *name);
const char *test_tmp(const char *name);
/* Whole file in malloc'ed memory with a NUL behind, or NULL. */
char *test_read(const char *path, size_t *nbytes);
bool test_write(const char *path, const void *data, size_t nbytes);
/* A fixed pseudo-random sequence: splitmix64. */
uint64_t test_rand(uint64_t *state);
float test_randf(uint64_t *state); /* uniform in [-1, 1) */

#define CHECK(cond)                                                                                                              \
    do {                                                                                                                         \
        if (!(cond))                                                                                                             \
            test_fail(__FILE__, __LINE__, "%s", #cond);                                                                          \
    } while (0)
#define REQUIRE(cond)                                                                                                            \
    do {                                                                                                                         \
        if (!(cond)) {                                                                                                           \
            test_fail(__FILE__, __LINE__, "%s", #cond);                                                                          \
            return;                                                                                                              \
        }                                                                                                                        \
    } while (0)
#define CHECK_EQ_INT(got, want)                                                                                                  \
    do {                                                                                                                         \
        const long long got_ = (long long)(got), want_ = (long long)(want);                                                      \
        if (got_ != want_)                                                                                                       \
            test_fail(__FILE__, __LINE__, "%s: got %lld, want %lld", #got, got_, want_);                                         \
    } while (0)
#define CHECK_EQ_STR(got, want)                                                                                                  \
    do {                                                                                                                         \
        const char *const got_ = (got), *const want_ = (want);                                                                   \
        if (!got_ || !want_ || strcmp(got_, want_) != 0)                                                                         \
            test_fail(__FILE__, __LINE__, "%s: got '%s', want '%s'", #got, got_ ? got_ : "NULL", want_ ? want_ : "NULL");        \
    } while (0)
#define CHECK_NEAR(got, want, tol)                                                                                               \
    do {                                                                                                                         \
        const double got_ = (got), want_ = (want), tol_ = (tol);                                                                 \
        if (!(fabs(got_ - want_) <= tol_))                                                                                       \
            test_fail(__FILE__, __LINE__, "%s: got %.9g, want %.9g within %g", #got, got_, want_, tol_);                         \
    } while (0)
/* A call that must succeed, with its error text shown when it does not. `err` is a struct el_err. */
#define CHECK_OK(expr, err)                                                                                                      \
    do {                                                                                                                         \
        const int status_ = (int)(expr);                                                                                         \
        if (status_ != 0)                                                                                                        \
            test_fail(__FILE__, __LINE__, "%s: status %d: %s", #expr, status_, (err).text);                                      \
    } while (0)
#define REQUIRE_OK(expr, err)                                                                                                    \
    do {                                                                                                                         \
        const int status_ = (int)(expr);                                                                                         \
        if (status_ != 0) {                                                                                                      \
            test_fail(__FILE__, __LINE__, "%s: status %d: %s", #expr, status_, (err).text);                                      \
            return;                                                                                                              \
        }                                                                                                                        \
    } while (0)
#define SKIP(why)                                                                                                                \
    do {                                                                                                                         \
        test_skip(__FILE__, __LINE__, why);                                                                                      \
        return;                                                                                                                  \
    } while (0)

#endif
