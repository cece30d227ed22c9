/* Row orders, shapes, overrides, and rows read from a source that lies in memory. */
#include "test.h"

#include "base/mem.h"
#include "tensor/source.h"

/* ---- a source in memory: tensors' parts one after the other in one block per tensor ---- */

struct fake {
    uint8_t *data[4];
    uint64_t part_offset[4][EL_MAX_PARTS];
    unsigned n_reads;
    bool broken;
};

static enum el_status fake_read(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                uint64_t nbytes, struct el_err *err)
{
    struct fake *const f = s->priv;
    f->n_reads++;
    if (f->broken)
        return el_fail(err, EL_E_IO, "broken");
    const size_t i = (size_t)(t - s->tensors);
    if (offset + nbytes > t->parts[part].nbytes)
        return el_fail(err, EL_E_FAILED, "read of %llu at %llu is outside", (unsigned long long)nbytes,
                       (unsigned long long)offset);
    memcpy(out, f->data[i] + f->part_offset[i][part] + offset, (size_t)nbytes);
    return EL_OK;
}

static const char *fake_file(struct el_source *s, uint32_t i)
{
    (void)s;
    return i == 0 ? "fake.bin" : NULL;
}

static void fake_close(struct el_source *s)
{
    struct fake *const f = s->priv;
    for (size_t i = 0; i < 4; i++)
        free(f->data[i]);
    free(f);
}

static const struct el_source_ops fake_ops = {.read = fake_read, .file = fake_file, .close = fake_close};

static struct el_source *fake_open(void)
{
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    s->ops = &fake_ops;
    s->format = "fake";
    s->path = el_strdup("/some/where/fake.bin");
    s->meta = el_meta_new();
    s->tensors = el_calloc_array(4, sizeof *s->tensors);
    s->priv = calloc(1, sizeof(struct fake));
    return s;
}

/* Adds a tensor whose bytes are zero. */
static struct el_tensor *fake_add(struct el_source *s, const char *name, const char *enc, uint64_t n_rows, uint64_t n_in)
{
    struct fake *const f = s->priv;
    struct el_tensor *const t = &s->tensors[s->n_tensors];
    struct el_err err;
    t->name = t->file_name = el_strdup(name);
    t->n_dims = n_rows ? 2 : 1;
    t->dims[0] = n_rows ? n_rows : n_in;
    t->dims[1] = n_rows ? n_in : 0;
    CHECK_OK(el_enc_parse(enc, &t->enc, &err), err);
    CHECK_OK(el_tensor_complete(t, &err), err);
    uint64_t at = 0;
    for (uint32_t p = 0; p < t->n_parts; p++) {
        f->part_offset[s->n_tensors][p] = at;
        at += t->parts[p].nbytes;
    }
    f->data[s->n_tensors++] = calloc(1, (size_t)at + 1);
    return t;
}

/* ---- row orders ---- */

TEST(source, rope_pairs_order)
{
    const struct el_row_order o = {EL_ROWS_ROPE_PAIRS, 2, 6};
    static const uint64_t want[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}; /* file row of canonical row r */
    for (uint64_t r = 0; r < 36; r++) {                                    /* a stack of three */
        CHECK_EQ_INT(el_row_order_map(&o, r), r / 12 * 12 + want[r % 12]);
        CHECK_EQ_INT(el_row_order_unmap(&o, el_row_order_map(&o, r)), r);
    }
}

TEST(source, qkv_by_head_order)
{
    const struct el_row_order o = {EL_ROWS_QKV_BY_HEAD, 2, 2};
    /* canonical: q0 q1 k0 k1 v0 v1 (heads of two rows); file: q0 k0 v0 q1 k1 v1 */
    static const uint64_t want[] = {0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11};
    for (uint64_t r = 0; r < 12; r++) {
        CHECK_EQ_INT(el_row_order_map(&o, r), want[r]);
        CHECK_EQ_INT(el_row_order_unmap(&o, want[r]), r);
    }
}

TEST(source, every_order_is_a_permutation)
{
    for (uint32_t heads = 1; heads <= 5; heads++) {
        for (uint32_t rows = 1; rows <= 9; rows++) {
            for (int kind = EL_ROWS_CANONICAL; kind <= EL_ROWS_QKV_BY_HEAD; kind++) {
                const struct el_row_order o = {(enum el_row_order_kind)kind, heads, rows};
                bool seen[3 * 5 * 9] = {false};
                const uint64_t n = (uint64_t)heads * rows * (kind == EL_ROWS_QKV_BY_HEAD ? 3 : 1);
                for (uint64_t r = 0; r < n; r++) {
                    const uint64_t f = el_row_order_map(&o, r);
                    REQUIRE(f < n && !seen[f]);
                    seen[f] = true;
                    REQUIRE(el_row_order_unmap(&o, f) == r);
                }
            }
        }
    }
}

TEST(source, void_orders_change_nothing)
{
    const struct el_row_order odd = {EL_ROWS_ROPE_PAIRS, 2, 3}, none = {EL_ROWS_ROPE_PAIRS, 0, 4},
                              canonical = {EL_ROWS_CANONICAL, 0, 0};
    const struct el_row_order strange = {(enum el_row_order_kind)77, 2, 4}, pairs = {EL_ROWS_ROPE_PAIRS, 2, 4};
    const struct el_row_order other = {EL_ROWS_ROPE_PAIRS, 4, 2}, qkv = {EL_ROWS_QKV_BY_HEAD, 2, 4};
    for (uint64_t r = 0; r < 8; r++) {
        CHECK_EQ_INT(el_row_order_map(&odd, r), r);
        CHECK_EQ_INT(el_row_order_map(&none, r), r);
        CHECK_EQ_INT(el_row_order_unmap(&strange, r), r);
    }
    CHECK(el_row_order_equal(&odd, &none));
    CHECK(el_row_order_equal(&odd, &canonical));
    CHECK(!el_row_order_equal(&pairs, &canonical));
    CHECK(!el_row_order_equal(&pairs, &other));
    CHECK(!el_row_order_equal(&pairs, &qkv));
    CHECK(el_row_order_equal(&pairs, &pairs));
}

/* ---- shapes ---- */

static enum el_status complete(const char *enc, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c, struct el_tensor *t,
                               struct el_err *err)
{
    memset(t, 0, sizeof *t);
    t->n_dims = n_dims;
    t->dims[0] = a;
    t->dims[1] = b;
    t->dims[2] = c;
    CHECK_OK(el_enc_parse(enc, &t->enc, err), *err);
    return el_tensor_complete(t, err);
}

TEST(source, completes_shapes)
{
    struct el_tensor t;
    struct el_err err;
    REQUIRE_OK(complete("Q8_0", 3, 2, 3, 64, &t, &err), err);
    CHECK_EQ_INT(t.n_rows, 6);
    CHECK_EQ_INT(t.n_in, 64);
    CHECK_EQ_INT(t.n_parts, 1);
    CHECK_EQ_INT(el_tensor_nbytes(&t), 6 * 2 * 34);
    CHECK_EQ_STR(t.enc_name, "Q8_0");
    REQUIRE_OK(complete("G4_32", 2, 4, 100, 0, &t, &err), err);
    CHECK_EQ_STR(t.enc_name, "G4_32");
    CHECK(t.n_parts > 1);
    REQUIRE_OK(complete("F16", 1, 5, 0, 0, &t, &err), err);
    CHECK_EQ_INT(t.n_rows, 1);
    CHECK_EQ_INT(el_tensor_nbytes(&t), 10);
    REQUIRE_OK(complete("F32", 2, 0, 7, 0, &t, &err), err);
    CHECK_EQ_INT(el_tensor_nbytes(&t), 0);
    REQUIRE_OK(complete("Q4_K", 2, 7, 0, 0, &t, &err), err);
    CHECK_EQ_INT(el_tensor_nbytes(&t), 0);
}

TEST(source, refuses_shapes_that_do_not_fit)
{
    struct el_tensor t;
    struct el_err err;
    CHECK_EQ_INT(complete("F32", 0, 1, 1, 1, &t, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "0 dimensions, must be 1 to 4");
    CHECK_EQ_INT(complete("F32", 5, 1, 1, 1, &t, &err), EL_E_FORMAT);
    CHECK_EQ_INT(complete("Q4_K", 2, 2, 300, 0, &t, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "rows of 300 elements, must be a multiple of 256 for Q4_K");
    CHECK_EQ_INT(complete("F32", 3, UINT64_C(1) << 32, UINT64_C(1) << 32, 4, &t, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "overflows") != NULL);
    CHECK_EQ_INT(complete("F32", 2, UINT64_C(1) << 32, UINT64_C(1) << 31, 0, &t, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "do not fit F32") != NULL);
}

/* ---- accessors and overrides ---- */

TEST(source, accessors)
{
    struct el_source *const s = fake_open();
    fake_add(s, "a.weight", "F16", 3, 4);
    struct el_tensor *const t = fake_add(s, "b.weight", "G4_32Z", 2, 40);
    t->file_name = el_strdup("model.b");
    t->offset = 77;
    CHECK_EQ_STR(el_source_path(s), "/some/where/fake.bin");
    CHECK_EQ_STR(el_source_format(s), "fake");
    CHECK(el_source_meta(s) == s->meta);
    CHECK_EQ_INT(el_source_n_tensors(s), 2);
    CHECK_EQ_INT(el_source_find(s, "b.weight"), 1);
    CHECK(el_source_find(s, "c.weight") == SIZE_MAX);
    const struct el_tensor_info a = el_source_tensor(s, 0), b = el_source_tensor(s, 1);
    CHECK_EQ_STR(a.name, "a.weight");
    CHECK(a.file_name == a.name);
    CHECK_EQ_STR(a.encoding, "F16");
    CHECK_EQ_INT(a.n_elems, 12);
    CHECK_EQ_INT(a.nbytes, 24);
    CHECK_EQ_INT(a.dims[0], 3);
    CHECK_EQ_STR(a.file, "fake.bin");
    CHECK_EQ_STR(b.file_name, "model.b");
    CHECK_EQ_STR(b.encoding, "G4_32Z");
    CHECK_EQ_INT(b.offset, 77);
    el_source_close(s);
    el_source_close(NULL);
}

/* The rows of a source that does not follow its metadata lie where they lie. */
TEST(source, overrides_of_what_has_shaped_the_rows)
{
    struct el_source *const s = fake_open();
    struct el_err err;
    static const char *const texts[] = {"general.architecture=str:llama", "llama.attention.head_count=int:4",
                                        "llama.attention.head_count_kv=int:4", "llama.attention.key_length=int:4",
                                        "llama.rope.dimension_count=int:4"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_EQ_INT(el_source_override(s, texts[i], &err), EL_E_USAGE);
        CHECK(strstr(err.text, "cannot be overridden") != NULL);
    }
    CHECK_EQ_INT(el_meta_count(s->meta), 0);
    CHECK_OK(el_source_override(s, "llama.context_length=int:4", &err), err);
    CHECK_OK(el_source_override(s, "llama.rope.dimension_count_swa=int:4", &err), err);
    el_source_close(s);
}

TEST(source, overrides)
{
    struct el_source *const s = fake_open();
    struct el_err err;
    const uint16_t small = 7;
    const double wide = 1;
    CHECK_OK(el_meta_set_scalar(s->meta, "small", EL_META_U16, &small, &err), err);
    CHECK_OK(el_meta_set_scalar(s->meta, "wide", EL_META_F64, &wide, &err), err);
    CHECK_OK(el_source_override(s, "small=int:9", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 0), EL_META_U16);
    CHECK_EQ_INT(el_meta_int(s->meta, 0, 0), 9);
    CHECK_OK(el_source_override(s, "small=int:70000", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 0), EL_META_U32);
    CHECK_OK(el_source_override(s, "small=int:-2", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 0), EL_META_I32);
    CHECK_EQ_INT(el_meta_int(s->meta, 0, 0), -2);
    CHECK_OK(el_source_override(s, "huge=int:9223372036854775807", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 2), EL_META_I64);
    CHECK_OK(el_source_override(s, "wide=float:0.1", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 1), EL_META_F64);
    CHECK_NEAR(el_meta_float(s->meta, 1, 0), 0.1, 0);
    CHECK_OK(el_source_override(s, "x.eps=float:1e-5", &err), err);
    CHECK_EQ_INT(el_meta_type(s->meta, 3), EL_META_F32);
    CHECK_OK(el_source_override(s, "flag=bool:true", &err), err);
    CHECK_OK(el_source_override(s, "flag=bool:false", &err), err);
    CHECK_EQ_INT(el_meta_int(s->meta, 4, 0), 0);
    CHECK_OK(el_source_override(s, "name=str:a=b:c", &err), err);
    CHECK_EQ_STR(el_meta_str(s->meta, 5, 0, NULL), "a=b:c");
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"key", "override 'key': must be KEY=TYPE:VALUE with TYPE int, float, bool or str"},
        {"key=int", "override 'key=int': must be KEY=TYPE:VALUE with TYPE int, float, bool or str"},
        {"=int:1", "override '=int:1': must be KEY=TYPE:VALUE with TYPE int, float, bool or str"},
        {"key=long:1", "override 'key': type 'long', must be int, float, bool or str"},
        {"key=int:", "override 'key': '' is no 64-bit integer"},
        {"key=int:1x", "override 'key': '1x' is no 64-bit integer"},
        {"key=int:99999999999999999999", "override 'key': '99999999999999999999' is no 64-bit integer"},
        {"key=float:nan", "override 'key': 'nan' is no finite number"},
        {"key=float:1,5", "override 'key': '1,5' is no finite number"},
        {"key=bool:1", "override 'key': '1' must be true or false"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(el_source_override(s, bad[i].text, &err), EL_E_USAGE);
        CHECK_EQ_STR(err.text, bad[i].message);
    }
    CHECK(el_meta_find(s->meta, "key") == SIZE_MAX);
    el_source_close(s);
}

/* ---- reading ---- */

/* Fills an F32 matrix so that element (r, c) is r + c / 1000, in the tensor's own file order of canonical rows. */
static void fill_f32(struct el_source *s, size_t i)
{
    struct fake *const f = s->priv;
    const struct el_tensor *const t = &s->tensors[i];
    float *const x = (float *)(void *)f->data[i];
    for (uint64_t r = 0; r < t->n_rows; r++)
        for (uint64_t c = 0; c < t->n_in; c++)
            x[el_row_order_map(&t->order, r) * t->n_in + c] = (float)r + (float)c / 1000.0f;
}

/* Reads rows row0..+n in the order `want` and counts values that are not those of the canonical rows they must be. */
static unsigned wrong_rows(struct el_source *s, const struct el_tensor *t, const struct el_row_order *want, uint64_t row0,
                           uint64_t n)
{
    struct el_err err;
    unsigned wrong = 0;
    float *const x = calloc((size_t)(n * t->n_in + 1), sizeof *x);
    uint8_t *const parts[EL_MAX_PARTS] = {(uint8_t *)x};
    CHECK_OK(el_source_read_parts(s, t, want, row0, n, parts, &err), err);
    for (uint64_t r = 0; r < n; r++)
        for (uint64_t c = 0; c < t->n_in; c++)
            wrong += x[r * t->n_in + c] != (float)el_row_order_unmap(want, row0 + r) + (float)c / 1000.0f;
    free(x);
    return wrong;
}

TEST(source, gathers_rows_from_any_order_into_any_other)
{
    static const struct el_row_order orders[] = {
        {EL_ROWS_CANONICAL, 0, 0}, {EL_ROWS_ROPE_PAIRS, 4, 6}, {EL_ROWS_ROPE_PAIRS, 2, 12}, {EL_ROWS_QKV_BY_HEAD, 2, 4}};
    struct el_source *const s = fake_open();
    struct el_tensor *const t = fake_add(s, "q", "F32", 48, 5); /* two matrices of 24 rows */
    for (size_t from = 0; from < 4; from++) {
        t->order = orders[from];
        fill_f32(s, 0);
        for (size_t to = 0; to < 4; to++) {
            CHECK_EQ_INT(wrong_rows(s, t, &orders[to], 0, 48), 0);
            CHECK_EQ_INT(wrong_rows(s, t, &orders[to], 5, 17), 0);
            CHECK_EQ_INT(wrong_rows(s, t, &orders[to], 23, 2), 0);
            CHECK_EQ_INT(wrong_rows(s, t, &orders[to], 47, 1), 0);
            CHECK_EQ_INT(wrong_rows(s, t, &orders[to], 48, 0), 0);
        }
    }
    el_source_close(s);
}

TEST(source, reads_a_head_at_once)
{
    struct el_source *const s = fake_open();
    struct fake *const f = s->priv;
    struct el_tensor *const t = fake_add(s, "q", "F32", 512, 16);
    const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    t->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 4, 128};
    fill_f32(s, 0);
    f->n_reads = 0;
    CHECK_EQ_INT(wrong_rows(s, t, &canonical, 0, 512), 0);
    CHECK(f->n_reads <= 4);
    el_source_close(s);
}

TEST(source, rows_too_long_for_a_span_are_read_one_by_one)
{
    struct el_source *const s = fake_open();
    struct el_tensor *const t = fake_add(s, "q", "F32", 4, (3u << 20) / 4);
    const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct fake *const f = s->priv;
    struct el_err err;
    t->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 1, 4};
    for (uint32_t r = 0; r < 4; r++)
        memset(f->data[0] + (size_t)r * (3u << 20), (int)r, 3u << 20);
    uint8_t *const out = malloc(12u << 20);
    uint8_t *const parts[EL_MAX_PARTS] = {out};
    CHECK_OK(el_source_read_parts(s, t, &canonical, 0, 4, parts, &err), err);
    static const uint8_t want[] = {0, 2, 1, 3};
    for (uint32_t r = 0; r < 4; r++) {
        CHECK_EQ_INT(out[(size_t)r * (3u << 20)], want[r]);
        CHECK_EQ_INT(out[(size_t)(r + 1) * (3u << 20) - 1], want[r]);
    }
    free(out);
    el_source_close(s);
}

TEST(source, gathers_every_part)
{
    struct el_source *const s = fake_open();
    struct fake *const f = s->priv;
    struct el_tensor *const t = fake_add(s, "q", "G4_32Z", 8, 64);
    const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct el_err err;
    t->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 2, 4};
    uint8_t *out[EL_MAX_PARTS] = {NULL};
    for (uint32_t p = 0; p < t->n_parts; p++) {
        for (uint64_t r = 0; r < 8; r++) /* file row r holds canonical row unmap(r) */
            memset(f->data[0] + f->part_offset[0][p] + r * t->parts[p].row_nbytes,
                   (int)(10 * p + el_row_order_unmap(&t->order, r)), (size_t)t->parts[p].row_nbytes);
        out[p] = calloc(8, (size_t)t->parts[p].row_nbytes);
    }
    REQUIRE(t->n_parts == 3);
    CHECK_OK(el_source_read_parts(s, t, &canonical, 1, 6, out, &err), err);
    for (uint32_t p = 0; p < t->n_parts; p++) {
        for (uint64_t r = 0; r < 6; r++)
            CHECK_EQ_INT(out[p][r * t->parts[p].row_nbytes], 10 * p + 1 + r);
        free(out[p]);
        out[p] = NULL;
    }
    CHECK_OK(el_source_read_parts(s, t, &canonical, 0, 8, out, &err), err); /* nothing is wanted */
    el_source_close(s);
}

TEST(source, permutes_elements_of_a_vector)
{
    struct el_source *const s = fake_open();
    struct fake *const f = s->priv;
    struct el_tensor *const t = fake_add(s, "q.bias", "F16", 0, 8);
    const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0}, wrong = {EL_ROWS_ROPE_PAIRS, 3, 2};
    struct el_err err;
    t->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 2, 4};
    t->order_elems = true;
    uint16_t x[8], out[8];
    for (uint64_t i = 0; i < 8; i++)
        x[el_row_order_map(&t->order, i)] = (uint16_t)i;
    memcpy(f->data[0], x, sizeof x);
    uint8_t *const parts[EL_MAX_PARTS] = {(uint8_t *)out};
    CHECK_OK(el_source_read_parts(s, t, &canonical, 0, 1, parts, &err), err);
    for (uint64_t i = 0; i < 8; i++)
        CHECK_EQ_INT(out[i], i);
    CHECK_OK(el_source_read_parts(s, t, NULL, 0, 1, parts, &err), err);
    CHECK(memcmp(out, x, sizeof x) == 0);
    CHECK_EQ_INT(el_source_read_parts(s, t, &wrong, 0, 1, parts, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "'/some/where/fake.bin': tensor 'q.bias': 8 elements are no whole number of heads");
    struct el_tensor *const q = fake_add(s, "r.bias", "Q8_0", 0, 32);
    q->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 4, 8};
    q->order_elems = true;
    CHECK_EQ_INT(el_source_read_parts(s, q, &canonical, 0, 1, parts, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_STR(err.text, "tensor 'r.bias': elements of Q8_0 cannot be reordered");
    el_source_close(s);
}

TEST(source, reads_rows_as_f32)
{
    struct el_source *const s = fake_open();
    struct fake *const f = s->priv;
    struct el_tensor *const t = fake_add(s, "w", "F32", 300, 1500); /* more than one strip */
    struct el_err err;
    fill_f32(s, 0);
    float *const out = malloc(300 * 1500 * sizeof *out);
    REQUIRE_OK(el_source_read_rows(s, 0, 10, 290, out, &err), err);
    unsigned wrong = 0;
    for (uint64_t r = 0; r < 290; r++)
        for (uint64_t c = 0; c < 1500; c++)
            wrong += out[r * 1500 + c] != (float)(r + 10) + (float)c / 1000.0f;
    CHECK_EQ_INT(wrong, 0);
    CHECK(f->n_reads >= 2);
    free(out);
    float x;
    CHECK_OK(el_source_read_rows(s, 0, 300, 0, &x, &err), err);
    CHECK_EQ_INT(el_source_read_rows(s, 0, 299, 2, &x, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "'/some/where/fake.bin': tensor 'w': rows 299 to 301 of 300");
    CHECK_EQ_INT(el_source_read_rows(s, 0, UINT64_MAX, 2, &x, &err), EL_E_USAGE);
    CHECK_EQ_INT(el_source_read_rows(s, 1, 0, 1, &x, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "'/some/where/fake.bin': tensor 1 of 1");
    CHECK_EQ_INT(el_source_read_parts(s, t, NULL, 0, 301, (uint8_t *const[EL_MAX_PARTS]){NULL}, &err), EL_E_USAGE);
    f->broken = true;
    CHECK_EQ_INT(el_source_read_rows(s, 0, 0, 1, &x, &err), EL_E_IO);
    el_source_close(s);
}

TEST(source, reports_lack_of_memory)
{
    struct el_source *const s = fake_open();
    struct el_tensor *const t = fake_add(s, "q", "F32", 24, 5);
    const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct el_err err;
    float out[24 * 5];
    uint8_t *const parts[EL_MAX_PARTS] = {(uint8_t *)out};
    t->order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, 4, 6};
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_source_read_parts(s, t, &canonical, 0, 24, parts, &err), EL_E_MEMORY);
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_source_read_rows(s, 0, 0, 24, out, &err), EL_E_MEMORY);
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_source_override(s, "a=int:1", &err), EL_E_MEMORY);
    el_mem_fail_after(0);
    el_source_close(s);
}
