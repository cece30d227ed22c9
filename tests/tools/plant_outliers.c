/*
 * Plants outliers into a GGUF file of float32 weights, in place: some channels of what the norms before attention and MLP give
 * become `factor` times as large, and the columns that read them smaller by as much. The model computes the same, and is hard to
 * quantize.
 *
 *   plant_outliers MODEL.gguf [factor=50] [channels=4]
 *
 * The channels lie evenly over the width. For families of Llama's tensors (attn_norm > attn_q, attn_k, attn_v; ffn_norm >
 * ffn_gate, ffn_up). Uses nothing of the library, so that it can stand in judgement over it. Prints what it changed.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t *at, *end;

static void fail(const char *why)
{
    fprintf(stderr, "plant_outliers: %s\n", why);
    exit(1);
}

static const void *take(uint64_t n)
{
    const uint8_t *const p = at;
    if (n > (uint64_t)(end - at))
        fail("the file ends early");
    at += n;
    return p;
}

static uint64_t number(uint64_t n)
{
    uint64_t v = 0;
    memcpy(&v, take(n), n);
    return v;
}

static void skip_value(uint32_t type)
{
    static const uint8_t nbytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    enum { STRING = 8, ARRAY = 9 };
    if (type == STRING) {
        (void)take(number(8));
    } else if (type == ARRAY) {
        const uint32_t of = (uint32_t)number(4);
        const uint64_t n = number(8);
        for (uint64_t i = 0; i < n; i++)
            skip_value(of);
    } else if (type < sizeof nbytes) {
        (void)take(nbytes[type]);
    } else {
        fail("unknown type of a value");
    }
}

enum { MAX_TENSORS = 4096 };
struct tensor {
    char name[64];
    uint64_t n_in, n_rows, offset;
};
static struct tensor tensors[MAX_TENSORS];

static void read_tensor(struct tensor *t)
{
    const uint64_t n = number(8);
    if (n >= sizeof t->name)
        fail("a long name");
    memcpy(t->name, take(n), n);
    const uint32_t n_dims = (uint32_t)number(4);
    t->n_in = number(8);
    t->n_rows = 1;
    for (uint32_t d = 1; d < n_dims; d++)
        t->n_rows *= number(8);
    if (number(4) != 0)
        fail("a tensor that is not float32");
    t->offset = number(8);
}

/* Does the name end so, in layer `layer`? */
static int is(const struct tensor *t, unsigned layer, const char *tail)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, tail);
    return strcmp(t->name, name) == 0;
}

int main(int argc, char **argv)
{
    static const char *const read_by[2][4] = {{"attn_norm", "attn_q", "attn_k", "attn_v"},
                                              {"ffn_norm", "ffn_gate", "ffn_up", "ffn_up"}};
    struct stat st;
    const int fd = argc > 1 ? open(argv[1], O_RDWR) : -1;
    float factor = 50.0f;
    unsigned long n_channels = 4, n_gains = 0, n_columns = 0;
    for (int i = 2; i < argc; i++)
        if (sscanf(argv[i], "factor=%f", &factor) != 1 && sscanf(argv[i], "channels=%lu", &n_channels) != 1)
            fail("arguments are factor=F and channels=N");
    if (fd < 0 || fstat(fd, &st) != 0)
        fail("no such file");
    uint8_t *const file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED)
        fail("the file cannot be mapped");
    at = file;
    end = file + st.st_size;
    if (memcmp(take(4), "GGUF", 4) != 0 || number(4) != 3)
        fail("not a GGUF of version 3");
    const uint64_t n_tensors = number(8), n_values = number(8);
    if (n_tensors > MAX_TENSORS)
        fail("too many tensors");
    for (uint64_t i = 0; i < n_values; i++) {
        (void)take(number(8));
        skip_value((uint32_t)number(4));
    }
    for (uint64_t i = 0; i < n_tensors; i++)
        read_tensor(&tensors[i]);
    uint8_t *const data = file + (uint64_t)(at - file + 31) / 32 * 32;
    for (uint64_t i = 0; i < n_tensors; i++) {
        for (unsigned layer = 0; layer < 256; layer++) {
            for (int place = 0; place < 2; place++) {
                const struct tensor *const t = &tensors[i];
                float *const w = (float *)(void *)(data + t->offset);
                const int gain = is(t, layer, read_by[place][0]);
                if (!gain && !is(t, layer, read_by[place][1]) && !is(t, layer, read_by[place][2]) &&
                    !is(t, layer, read_by[place][3]))
                    continue;
                for (unsigned long k = 0; k < n_channels; k++) {
                    const uint64_t c = (2 * k + 1) * t->n_in / (2 * n_channels);
                    for (uint64_t r = 0; r < t->n_rows; r++)
                        w[r * t->n_in + c] = gain ? w[r * t->n_in + c] * factor : w[r * t->n_in + c] / factor;
                }
                n_gains += gain ? n_channels : 0;
                n_columns += gain ? 0 : n_channels;
            }
        }
    }
    if (n_gains == 0 || n_columns == 0)
        fail("none of the tensors that it knows");
    printf("%lu gains times %g, %lu columns divided\n", n_gains, (double)factor, n_columns);
    return munmap(file, (size_t)st.st_size) == 0 && close(fd) == 0 ? 0 : 1;
}
