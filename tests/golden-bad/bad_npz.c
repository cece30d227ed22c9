/* Damaged and hostile archives of numpy.savez, each with the status and the words of its refusal. */
#include "test.h"

#include "base/err.h"
#include "tensor/source.h"
#include "torch_bytes.h"

/* An .npy of version 1.0: the literal, then as many bytes. */
struct npy {
    const char *header;
    size_t n_data;
    enum el_status code;
    const char *says;
};

static void expect(const char *name, const struct torch_zip *z, enum el_status code, const char *says)
{
    const char *const path = test_tmp("bad.npz");
    REQUIRE(test_write(path, z->b.data, z->b.nbytes));
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    const enum el_status status = el_source_open(path, NULL, &s, &err);
    if (status != code || (code != EL_OK && (!strstr(err.text, says) || !strstr(err.text, "bad.npz'"))))
        test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", name, (int)status, err.text, (int)code, says);
    CHECK((s == NULL) == (status != EL_OK));
    el_source_close(s);
}

static void add(struct torch_zip *z, const char *entry, const char *header, size_t n_data)
{
    static const char data[64];
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add(&b, "\x93NUMPY\x01\x00", 8);
    torch_u16(&b, (uint16_t)strlen(header));
    el_buf_add_str(&b, header);
    el_buf_add(&b, data, n_data);
    torch_zip_add(z, entry, b.data, b.nbytes);
    el_buf_release(&b);
}

#define GOOD(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }   \n"
static const struct npy arrays[] = {
    {GOOD("<f4", "False", "(2, 3)"), 24, EL_OK, ""},
    {GOOD("<f4", "True", "(2, 3)"), 24, EL_OK, ""},
    {"{\"shape\":(6,),\"fortran_order\":False,\"descr\":\"|i1\"}", 6, EL_OK, ""},
    {GOOD("<f4", "False", "(2, 3)"), 23, EL_E_FORMAT, "array 'x': 6 elements of F32 need 24 bytes, there are 23"},
    {GOOD("<f4", "False", "(2, 3)"), 25, EL_E_FORMAT, "there are 25"},
    {GOOD("<f4", "False", "(4294967296, 4294967296)"), 0, EL_E_FORMAT, "more elements than a file can hold"},
    {GOOD("<f8", "False", "(4611686018427387904,)"), 0, EL_E_FORMAT, "elements of F64 need"},
    {GOOD("<f4", "False", "(99999999999999999999,)"), 0, EL_E_FORMAT, "header is not {'descr': text"},
    {GOOD("<f4", "False", "(1, 1, 1, 1, 1)"), 4, EL_E_FORMAT, "at most 4 integers"},
    {GOOD("<f4", "False", "(-1,)"), 4, EL_E_FORMAT, "header is not"},
    {GOOD("<f4", "False", "(1 2)"), 8, EL_E_FORMAT, "header is not"},
    {GOOD("<f4", "0", "(1,)"), 4, EL_E_FORMAT, "header is not"},
    {GOOD("<f4", "Falsehood", "(1,)"), 4, EL_E_FORMAT, "header is not"},
    {GOOD("", "False", "(1,)"), 4, EL_E_UNSUPPORTED, "elements '', known are"},
    {GOOD("<c8", "False", "(1,)"), 8, EL_E_UNSUPPORTED, "elements '<c8', known are"},
    {GOOD("|O", "False", "(1,)"), 8, EL_E_UNSUPPORTED, "holds Python objects, only numbers are read"},
    {GOOD(">f4", "False", "(1,)"), 4, EL_E_UNSUPPORTED, "elements '>f4' are big-endian"},
    {GOOD("\\x3cf4", "False", "(1,)"), 4, EL_E_FORMAT, "header is not"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, EL_E_UNSUPPORTED, "records of several members"},
    {"{'descr': '<f4', 'fortran_order': False, }", 4, EL_E_FORMAT, "header is not"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4, EL_E_FORMAT, "header is not"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", 4, EL_E_FORMAT, "header is not"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", 4, EL_E_FORMAT, "header is not"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + os.system('x')", 4, EL_E_FORMAT, "header is not"},
    {"{'descr': '<f4", 4, EL_E_FORMAT, "header is not"},
    {"", 0, EL_E_FORMAT, "does not begin as an .npy file"},
};

TEST(bad_npz, arrays)
{
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        struct torch_zip z = {.n = 0};
        add(&z, "x.npy", arrays[i].header, arrays[i].n_data);
        torch_zip_end(&z);
        expect(arrays[i].header, &z, arrays[i].code, arrays[i].says);
        el_buf_release(&z.b);
    }
}

TEST(bad_npz, entries)
{
    static const struct {
        const char *name, *bytes;
        size_t nbytes;
        enum el_status code;
        const char *says;
    } cases[] = {
        {"x.txt", "hello, hello", 12, EL_E_FORMAT, "entry 'x.txt' is not NAME.npy"},
        {".npy", "hello, hello", 12, EL_E_FORMAT, "entry '.npy' is not NAME.npy with a name of 1 to 255 bytes"},
        {"x.npy", "hello, hello", 12, EL_E_FORMAT, "array 'x': does not begin as an .npy file"},
        {"x.npy", "\x93NUMPY\x04\x00\x00\x00\x00\x00", 12, EL_E_UNSUPPORTED, "header of version 4, known are 1 to 3"},
        {"x.npy", "\x93NUMPY\x00\x00\x00\x00\x00\x00", 12, EL_E_UNSUPPORTED, "header of version 0"},
        {"x.npy", "\x93NUMPY\x01\x00\xff\xff{}", 12, EL_E_FORMAT, "header of 65535 bytes, at most 65536 and within 2"},
        {"x.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff", 12, EL_E_FORMAT, "header of 4294967295 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct torch_zip z = {.n = 0};
        torch_zip_add(&z, cases[i].name, cases[i].bytes, cases[i].nbytes);
        torch_zip_end(&z);
        expect(cases[i].name, &z, cases[i].code, cases[i].says);
        el_buf_release(&z.b);
    }
    struct torch_zip z = {.n = 0};
    add(&z, "x.npy", arrays[0].header, 24);
    add(&z, "x.npy", arrays[0].header, 24);
    torch_zip_end(&z);
    expect("twice", &z, EL_E_FORMAT, "zip entry 'x.npy' is there twice");
    el_buf_release(&z.b);
}

/* Cut anywhere, the archive is refused, and nothing is read past its end. */
TEST(bad_npz, cut_anywhere)
{
    struct torch_zip z = {.n = 0};
    add(&z, "x.npy", arrays[0].header, 24);
    const size_t all = torch_zip_end(&z) + 1;
    for (size_t n = 30; n < all; n++) {
        struct torch_zip cut = z;
        cut.b.nbytes = n;
        expect("cut", &cut, EL_E_FORMAT, "");
    }
    el_buf_release(&z.b);
}

/* The same bytes in two entries: of a small file any number of large arrays could be made. */
TEST(bad_npz, entries_that_overlap)
{
    struct torch_zip z = {.n = 0};
    add(&z, "x.npy", arrays[0].header, 24);
    add(&z, "y.npy", arrays[0].header, 24);
    z.offsets[1] = z.offsets[0];
    torch_zip_end(&z);
    expect("one place", &z, EL_E_FORMAT, "zip entries 'x.npy' and 'y.npy' both begin at byte 0");
    el_buf_release(&z.b);
    z = (struct torch_zip){.n = 0};
    add(&z, "x.npy", arrays[0].header, 24);
    add(&z, "y.npy", arrays[0].header, 24);
    z.nbytes[0]++;
    torch_zip_end(&z);
    expect("into the next", &z, EL_E_FORMAT, "the next entry begins at byte");
    el_buf_release(&z.b);
}
