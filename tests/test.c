/* The two runners' common part; see test.h. */
#include "test.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

static char tmp_dir[64];

static void remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));) {
            char child[4096];
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            snprintf(child, sizeof child, "%s/%s", path, e->d_name);
            remove_tree(child);
        }
        if (d)
            closedir(d);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void remove_tmp(void)
{
    if (tmp_dir[0])
        remove_tree(tmp_dir);
}

static const char *in_ring(const char *a, const char *b)
{
    static char ring[16][4096];
    static unsigned next;
    char *s = ring[next++ % 16];
    snprintf(s, sizeof ring[0], "%s/%s", a, b);
    return s;
}

const char *test_data(const char *name)
{
    const char *dir = getenv("EL_TEST_DATA");
    return in_ring(dir ? dir : "tests/data", name);
}

const char *test_shared(const char *name)
{
    const char *dir = getenv("EL_TEST_SHARED");
    const char *p = in_ring(dir ? dir : "../shared/data", name);
    return access(p, R_OK) == 0 ? p : NULL;
}

const char *test_tmp(const char *name)
{
    if (!tmp_dir[0]) {
        snprintf(tmp_dir, sizeof tmp_dir, "/tmp/edgellm-test-XXXXXX");
        if (!mkdtemp(tmp_dir))
            abort();
        atexit(remove_tmp);
    }
    return in_ring(tmp_dir, name);
}

char *test_read(const char *path, size_t *nbytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t cap = 1 << 16, n = 0;
    char *data = malloc(cap + 1);
    for (size_t got; data && (got = fread(data + n, 1, cap - n, f)) > 0;) {
        n += got;
        if (n == cap)
            data = realloc(data, (cap *= 2) + 1);
    }
    fclose(f);
    if (data)
        data[n] = 0;
    if (nbytes)
        *nbytes = n;
    return data;
}

bool test_write(const char *path, const void *data, size_t nbytes)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    const bool ok = fwrite(data, 1, nbytes, f) == nbytes;
    return fclose(f) == 0 && ok;
}

uint64_t test_rand(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float test_randf(uint64_t *state)
{
    return (float)(test_rand(state) >> 40) * 0x1p-23f - 1.0f;
}

#ifdef EL_TEST_PLAIN
static struct test_case *cases;
static unsigned n_failed_checks, n_skipped;

void test_register(struct test_case *t)
{
    t->next = cases;
    cases = t;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    n_failed_checks++;
}

void test_skip(const char *file, int line, const char *why)
{
    fprintf(stderr, "%s:%d: skipped: %s\n", file, line, why);
    n_skipped++;
}

/* Arguments: none (all), or suites and suite/name. */
int main(int argc, char **argv)
{
    unsigned n_passed = 0, n_failed = 0;
    for (struct test_case *t = cases; t; t = t->next) {
        bool wanted = argc < 2;
        char full[256];
        snprintf(full, sizeof full, "%s/%s", t->suite, t->name);
        for (int i = 1; i < argc; i++)
            wanted = wanted || strcmp(argv[i], t->suite) == 0 || strcmp(argv[i], full) == 0;
        if (!wanted)
            continue;
        const unsigned failed_before = n_failed_checks, skipped_before = n_skipped;
        t->fn();
        if (n_failed_checks != failed_before) {
            n_failed++;
            fprintf(stderr, "FAILED %s\n", full);
        } else if (n_skipped == skipped_before) {
            n_passed++;
        }
    }
    printf("%u passed, %u failed, %u skipped\n", n_passed, n_failed, n_skipped);
    return n_failed != 0 || n_passed + n_skipped == 0;
}
#else
void test_fail(const char *file, int line, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cr_expect(0, "%s:%d: %s", file, line, text);
}

void test_skip(const char *file, int line, const char *why)
{
    cr_skip_test("%s:%d: skipped: %s", file, line, why);
}
#endif
