/*
 * Runs a fuzz target on stored inputs without a fuzzing engine: every file of the folders given, and then, so that a target is
 * exercised even with few seeds, a fixed number of mutations of each (bytes flipped, cut, set) from a fixed seed.
 * Usage: replay_fuzz_X DIR ...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { N_MUTATIONS = 200 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void run_exact(const uint8_t *data, size_t nbytes)
{
    /* An exact-size copy, so that a read past the end is seen by AddressSanitizer. */
    uint8_t *copy = calloc(nbytes ? nbytes : 1, 1);
    if (!copy)
        abort();
    memcpy(copy, data, nbytes);
    (void)LLVMFuzzerTestOneInput(copy, nbytes);
    free(copy);
}

static void run_mutations(const uint8_t *data, size_t nbytes)
{
    uint64_t state = 0x9e3779b97f4a7c15u ^ nbytes;
    uint8_t *m = malloc(nbytes + 64);
    if (!m)
        abort();
    for (int i = 0; i < N_MUTATIONS && nbytes > 0; i++) {
        memcpy(m, data, nbytes);
        size_t n = nbytes;
        for (uint64_t k = next_random(&state) % 4; k != UINT64_MAX; k--) {
            const size_t at = next_random(&state) % n;
            switch (next_random(&state) % 4) {
            case 0: m[at] ^= (uint8_t)(1u << next_random(&state) % 8); break;
            case 1: m[at] = (uint8_t)next_random(&state); break;
            case 2: memset(m + at, next_random(&state) & 1 ? 0xff : 0, n - at < 8 ? n - at : 8); break;
            default: n = at + 1; break;
            }
        }
        run_exact(m, n);
    }
    free(m);
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;
    static uint8_t data[1 << 20];
    run_exact((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d)
            continue;
        for (struct dirent *e; (e = readdir(d));) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
            if (!f)
                continue;
            const size_t n = fread(data, 1, sizeof data, f);
            fclose(f);
            n_files++;
            run_exact(data, n);
            run_mutations(data, n);
        }
        closedir(d);
    }
    if (n_files == 0) {
        fprintf(stderr, "%s: no stored inputs\n", argv[0]);
        return 1;
    }
    printf("%s: %u inputs, %u mutations each: clean\n", strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], n_files,
           N_MUTATIONS);
    return 0;
}
