/*
 * Damaged and hostile files of torch.save. Pickles that would run code when Python reads them, that grow without bounds or hold
 * themselves, tensors that leave their storage, and archives that are not what they say: each with the status and the words of
 * its refusal.
 */
#include "test.h"

#include "base/err.h"
#include "tensor/source.h"
#include "torch_bytes.h"

#define BYTES(s) s, sizeof(s) - 1

/* Pickles in the place of data.pkl, in an archive with 16 bytes as storage 0. */
static const struct {
    const char *name;
    const char *pickle;
    size_t nbytes;
    enum el_status code;
    const char *says;
} pickles[] = {
    {"os.system",
     BYTES("\x80\x02"
           "cos\nsystem\n" TORCH_TEXT("\x06", "rm -rf") "\x85R."),
     EL_E_UNSUPPORTED, "opcode GLOBAL at byte 2: global 'os.system' is refused: only tensors are read"},
    {"posix.system of protocol 4", BYTES("\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x02id\x85R."), EL_E_UNSUPPORTED,
     "opcode STACK_GLOBAL at byte 19: global 'posix.system' is refused"},
    {"builtins.eval",
     BYTES("\x80\x02"
           "cbuiltins\neval\n" TORCH_TEXT("\x03", "1+1") "\x85R."),
     EL_E_UNSUPPORTED, "global 'builtins.eval' is refused"},
    {"__builtin__.exec",
     BYTES("\x80\x02"
           "c__builtin__\nexec\n" TORCH_TEXT("\x03", "1+1") "\x85R."),
     EL_E_UNSUPPORTED, "global '__builtin__.exec' is refused"},
    {"subprocess in a state dict", BYTES(TORCH_DICT("csubprocess\nPopen\n" TORCH_TEXT("\x02", "ls") "\x85R")), EL_E_UNSUPPORTED,
     "global 'subprocess.Popen' is refused"},
    {"a function of torch that is none of tensors", BYTES(TORCH_DICT("ctorch.hub\nload\n)R")), EL_E_UNSUPPORTED,
     "global 'torch.hub.load' is refused"},
    {"a name with a dot",
     BYTES("\x80\x04\x8c\x05torch\x8c\x13"
           "hub.download_url_to\x93."),
     EL_E_UNSUPPORTED, "global 'torch.hub.download_url_to' is refused"},
    {"control characters in a global",
     BYTES("\x80\x02"
           "c\x1b[2J\nx\n."),
     EL_E_UNSUPPORTED, "global '\\x1b[2J.x' is refused"},
    {"INST", BYTES("\x80\x02(" TORCH_TEXT("\x02", "ls") "ios\nsystem\n."), EL_E_UNSUPPORTED, "opcode INST at byte 10"},
    {"OBJ", BYTES("\x80\x02(cos\nsystem\no."), EL_E_UNSUPPORTED, "global 'os.system' is refused"},
    {"NEWOBJ",
     BYTES("\x80\x02"
           "ccollections\nOrderedDict\n)\x81."),
     EL_E_UNSUPPORTED, "opcode NEWOBJ at byte 28"},
    {"EXT1", BYTES("\x80\x02\x82\x01."), EL_E_UNSUPPORTED, "opcode EXT1 at byte 2: 0x82 is refused"},
    {"BYTEARRAY8", BYTES("\x80\x05\x96\0\0\0\0\0\0\0\0."), EL_E_UNSUPPORTED, "opcode BYTEARRAY8 at byte 2"},
    {"a set", BYTES("\x80\x04\x8f."), EL_E_UNSUPPORTED, "opcode EMPTY_SET at byte 2"},
    {"an opcode of no protocol", BYTES("\x80\x02\xff."), EL_E_UNSUPPORTED, "opcode unknown at byte 2: 0xff"},
    {"protocol 0", BYTES("(dp0\n."), EL_E_UNSUPPORTED, "opcode DICT at byte 1"},
    {"protocol 9", BYTES("\x80\x09."), EL_E_UNSUPPORTED, "protocol 9, supported are 2 to 5"},
    {"empty", BYTES(""), EL_E_FORMAT, "truncated at byte 0"},
    {"no end", BYTES("\x80\x02}"), EL_E_FORMAT, "truncated at byte 3"},
    {"text longer than the file",
     BYTES("\x80\x02X\xff\xff\xff\x7f"
           "a."),
     EL_E_FORMAT, "opcode BINUNICODE at byte 2: truncated"},
    {"text of 2^64 - 1 bytes",
     BYTES("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "a."),
     EL_E_FORMAT, "opcode BINUNICODE8 at byte 2: truncated"},
    {"global without an end",
     BYTES("\x80\x02"
           "ctorch"),
     EL_E_FORMAT, "opcode GLOBAL at byte 2: truncated"},
    {"empty stack", BYTES("\x80\x02."), EL_E_FORMAT, "0 values and 0 marks are left on the stack"},
    {"two values", BYTES("\x80\x02NN."), EL_E_FORMAT, "2 values and 0 marks are left"},
    {"a mark is left", BYTES("\x80\x02(N."), EL_E_FORMAT, "1 values and 1 marks are left"},
    {"pop below the bottom",
     BYTES("\x80\x02"
           "0."),
     EL_E_FORMAT, "opcode POP at byte 2: needs 1 values on the stack, there are 0"},
    {"tuple without a mark", BYTES("\x80\x02t."), EL_E_FORMAT, "there is no mark on the stack"},
    {"reduce over a mark", BYTES("\x80\x02N(NR."), EL_E_FORMAT, "needs 2 values on the stack, there are 1"},
    {"append to a dictionary", BYTES("\x80\x02}Na."), EL_E_FORMAT, "the value below is no list"},
    {"a key without a value", BYTES("\x80\x02}(Nu."), EL_E_FORMAT, "a key without a value"},
    {"memo: never put", BYTES("\x80\x02h\x07."), EL_E_FORMAT, "place 7 of the memo, which has 0"},
    {"memo bomb", BYTES("\x80\x02}r\xff\xff\xff\xff."), EL_E_FORMAT, "place 4294967295 of the memo, the next is 0"},
    {"a call of a text", BYTES("\x80\x02X\x01\0\0\0x)R."), EL_E_UNSUPPORTED, "calls something that is no function of tensors"},
    {"a call of a type",
     BYTES("\x80\x02"
           "ctorch\nFloatStorage\n)R."),
     EL_E_UNSUPPORTED, "calls 'torch.FloatStorage', which is a type"},
    {"OrderedDict of something",
     BYTES("\x80\x02"
           "ccollections\nOrderedDict\n]\x85R."),
     EL_E_UNSUPPORTED, "OrderedDict with 1 arguments"},
    {"attributes of a tensor", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x04", "K\x01") "}b")), EL_E_UNSUPPORTED,
     "opcode BUILD at byte"},
    {"a persistent id of another kind", BYTES("\x80\x02" TORCH_TEXT("\x01", "x") "Q."), EL_E_UNSUPPORTED,
     "the persistent id is not ('storage', type, key, location, size)"},
    {"negative size of a storage",
     BYTES(TORCH_DICT("(" TORCH_TEXT("\x07", "storage") "ctorch\nFloatStorage\n" TORCH_TEXT("\x01", "0")
                          TORCH_TEXT("\x03", "cpu") "J\xff\xff\xff\xfftQ")),
     EL_E_FORMAT, "opcode BINPERSID at byte"},
    {"a tensor past its storage", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\x01", "K\x02K\x02", "K\x02K\x01"))),
     EL_E_FORMAT, "a tensor reaches element 4 of a storage of 4"},
    {"a stride past the storage", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x02K\x02", "K\xffK\x01"))), EL_E_FORMAT,
     "a tensor reaches element 256 of a storage of 4"},
    {"a size that overflows",
     BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40", "K\0K\0"))),
     EL_E_FORMAT, "the size of a tensor overflows 64 bits"},
    {"elements said again and again", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "J\0\0\0\x40K\x04", "K\0K\x01"))),
     EL_E_UNSUPPORTED, "a tensor of 4294967296 elements in a storage of 4"},
    {"a negative offset", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "J\xff\xff\xff\xff", "K\x04", "K\x01"))), EL_E_FORMAT,
     "arguments of a tensor are not (storage, offset, size, stride, ...)"},
    {"a negative stride", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x04", "J\xff\xff\xff\xff"))), EL_E_FORMAT,
     "stride of a tensor: entry 0 is no number from 0 on"},
    {"five dimensions", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\1K\1K\1K\1K\1", "K\1K\1K\1K\1K\1"))),
     EL_E_UNSUPPORTED, "a tensor of 5 dimensions, at most 4"},
    {"more strides than dimensions", BYTES(TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x04", "K\1K\1"))), EL_E_FORMAT,
     "a tensor of 1 dimensions and 2 strides"},
    {"a storage that is not there",
     BYTES(TORCH_DICT(TORCH_TENSOR("(" TORCH_TEXT("\x07", "storage") "ctorch\nFloatStorage\n" TORCH_TEXT("\x01", "7")
                                       TORCH_TEXT("\x03", "cpu") "K\x04tQ",
                                   "K\0", "K\x04", "K\x01"))),
     EL_E_FORMAT, "no entry 'data/7' in the archive"},
    {"a storage with a path for a name",
     BYTES(TORCH_DICT(TORCH_TENSOR("(" TORCH_TEXT("\x07", "storage") "ctorch\nFloatStorage\n" TORCH_TEXT("\x0b", "../data.pkl")
                                       TORCH_TEXT("\x03", "cpu") "K\x04tQ",
                                   "K\0", "K\x04", "K\x01"))),
     EL_E_FORMAT, "no entry 'data/../data.pkl' in the archive"},
    {"a storage of another size",
     BYTES(TORCH_DICT(TORCH_TENSOR("(" TORCH_TEXT("\x07", "storage") "ctorch\nDoubleStorage\n" TORCH_TEXT("\x01", "0")
                                       TORCH_TEXT("\x03", "cpu") "K\x04tQ",
                                   "K\0", "K\x04", "K\x01"))),
     EL_E_FORMAT, "entry 'a/data/0' has 16 bytes, 4 elements of F64 need 32"},
    {"no dictionary", BYTES("\x80\x02]."), EL_E_UNSUPPORTED, "holds no dictionary of tensors"},
    {"no tensors", BYTES("\x80\x02}" TORCH_TEXT("\x01", "w") "K\1s."), EL_E_UNSUPPORTED, "holds a dictionary without tensors"},
    {"a dictionary in itself", BYTES("\x80\x02}q\0" TORCH_TEXT("\x01", "w") "h\0s."), EL_E_FORMAT,
     "dictionaries within dictionaries, more than 8 deep"},
    {"two tensors of one name",
     BYTES("\x80\x02}(" TORCH_TEXT("\x01", "w")
               TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x04", "K\x01") "q\0" TORCH_TEXT("\x01", "w") "h\0u."),
     EL_E_FORMAT, "two tensors named 'w'"},
    {"a name with a zero byte",
     BYTES("\x80\x02}" TORCH_TEXT("\x02", "w\0") TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x04", "K\x01") "s."), EL_E_FORMAT,
     "name of a tensor of 2 bytes, must be 1 to 255 without a zero byte"},
};

static struct torch_zip archive(const void *pickle, size_t nbytes)
{
    struct torch_zip z = {.n = 0};
    static const float values[4] = {1, 2, 3, 4};
    torch_zip_add(&z, "a/data.pkl", pickle, nbytes);
    torch_zip_add(&z, "a/byteorder", "little", 6);
    torch_zip_add(&z, "a/data/0", values, sizeof values);
    torch_zip_end(&z);
    return z;
}

/* Opens bytes as a file; it must be refused like this (code EL_OK: accepted). */
static void expect(const char *name, const void *bytes, size_t nbytes, enum el_status code, const char *says)
{
    const char *const path = test_tmp("bad.pt");
    REQUIRE(test_write(path, bytes, nbytes));
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "torch"}, &s, &err);
    if (status != code || (code != EL_OK && (!strstr(err.text, says) || !strstr(err.text, "bad.pt'"))))
        test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", name, (int)status, err.text, (int)code, says);
    CHECK((s == NULL) == (status != EL_OK));
    el_source_close(s);
}

TEST(bad_torch, pickles)
{
    struct torch_zip z = archive(BYTES(TORCH_GOOD));
    expect("the good one", z.b.data, z.b.nbytes, EL_OK, "");
    el_buf_release(&z.b);
    for (size_t i = 0; i < sizeof pickles / sizeof pickles[0]; i++) {
        z = archive(pickles[i].pickle, pickles[i].nbytes);
        expect(pickles[i].name, z.b.data, z.b.nbytes, pickles[i].code, pickles[i].says);
        el_buf_release(&z.b);
    }
}

/* Each list holds the one before twice: harmless as long as nobody walks it. Far more marks and values than any file needs. */
TEST(bad_torch, bombs)
{
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add(&b, "\x80\x02]q\0", 5);
    for (unsigned i = 0; i < 200; i++)
        el_buf_addf(&b, "]q%c(h%ch%ce", (char)(i + 1), (char)i, (char)i);
    const size_t n_lists = b.nbytes;
    el_buf_add_byte(&b, '.');
    struct torch_zip z = archive(b.data, b.nbytes);
    expect("billion laughs", z.b.data, z.b.nbytes, EL_E_FORMAT, "left on the stack");
    el_buf_release(&z.b);
    b.nbytes = n_lists;
    el_buf_reset(&b);
    el_buf_add(&b, "\x80\x02", 2);
    for (unsigned i = 0; i < 2000; i++)
        el_buf_add_byte(&b, '(');
    z = archive(b.data, b.nbytes);
    expect("marks", z.b.data, z.b.nbytes, EL_E_FORMAT, "more than 1024 marks on the stack");
    el_buf_release(&z.b);
    el_buf_reset(&b);
    el_buf_add(&b, "\x80\x02}q\0", 5);
    for (unsigned i = 0; i < 5 << 20; i++)
        el_buf_add_byte(&b, 'N');
    z = archive(b.data, b.nbytes);
    expect("values", z.b.data, z.b.nbytes, EL_E_FORMAT, "a stack of more than 4194304 values");
    el_buf_release(&z.b);
    el_buf_release(&b);
}

/* A number of `width` bytes at `at` (from the end where negative) of the good archive becomes value; or it is cut to n bytes. */
static const struct {
    const char *name;
    long at;
    unsigned width;
    uint32_t value;
    size_t cut; /* bytes taken from the end */
    enum el_status code;
    const char *says;
} archives[] = {
    {"end cut off", 0, 0, 0, 1, EL_E_FORMAT, "no end of its directory"},
    {"directory cut off", 0, 0, 0, 22, EL_E_FORMAT, "no end of its directory"},
    {"another disk", -18, 2, 1, 0, EL_E_UNSUPPORTED, "zip archive of several disks"},
    {"more entries than the directory holds", -12, 2, 99, 0, EL_E_FORMAT, "says that it has 99 entries"},
    {"one entry more", -12, 2, 4, 0, EL_E_FORMAT, "zip directory"},
    {"directory longer", -10, 4, 0x7fffffff, 0, EL_E_FORMAT, "does not end before byte"},
    {"directory behind its end", -6, 4, 0x7fffffff, 0, EL_E_FORMAT, "does not end before byte"},
    {"directory elsewhere", -6, 4, 0, 0, EL_E_FORMAT, "entry 0 does not begin with its signature"},
};

TEST(bad_torch, archives)
{
    for (size_t i = 0; i < sizeof archives / sizeof archives[0]; i++) {
        struct torch_zip z = archive(BYTES(TORCH_GOOD));
        const size_t n = z.b.nbytes - archives[i].cut;
        for (unsigned k = 0; k < archives[i].width; k++)
            z.b.data[(long)n + archives[i].at + (long)k] = (char)(archives[i].value >> (8 * k));
        expect(archives[i].name, z.b.data, n, archives[i].code, archives[i].says);
        el_buf_release(&z.b);
    }
}

/* The same within the first entry of the directory, and in its local header. */
static const struct {
    const char *name;
    size_t at;
    bool local;
    unsigned width;
    uint32_t value;
    enum el_status code;
    const char *says;
} entries[] = {
    {"signature", 0, false, 4, 0, EL_E_FORMAT, "entry 0 does not begin with its signature"},
    {"encrypted", 8, false, 2, 1, EL_E_UNSUPPORTED, "zip entry 'a/data.pkl' is encrypted, only stored entries are read"},
    {"compressed", 10, false, 2, 8, EL_E_UNSUPPORTED, "zip entry 'a/data.pkl' is compressed, only stored entries are read"},
    {"two sizes", 20, false, 4, 3, EL_E_FORMAT, "stored, but of"},
    {"no name", 28, false, 2, 0, EL_E_FORMAT, "entry 0 has no name"},
    {"name past the directory", 28, false, 2, 0xffff, EL_E_FORMAT, "entry 0 is cut off"},
    {"extra field past the directory", 30, false, 2, 0xffff, EL_E_FORMAT, "entry 0 is cut off"},
    {"local header past the directory", 42, false, 4, 0x7fffffff, EL_E_FORMAT,
     "begins at byte 2147483647, the directory at byte"},
    {"local header elsewhere", 42, false, 4, 1, EL_E_FORMAT, "no entry begins at byte 1"},
    {"a name with a zero byte", 46, false, 1, 0, EL_E_FORMAT, "or one with a zero byte"},
    {"local signature", 0, true, 4, 0x04034b51, EL_E_FORMAT, "is neither a zip archive nor an older file"},
    {"local name too long", 26, true, 2, 0xffff, EL_E_FORMAT, "the directory begins at byte"},
};

TEST(bad_torch, entries)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        struct torch_zip z = {.n = 0};
        torch_zip_add(&z, "a/data.pkl", BYTES(TORCH_GOOD));
        const size_t directory = torch_zip_end(&z), at = entries[i].at + (entries[i].local ? 0 : directory);
        for (unsigned k = 0; k < entries[i].width; k++)
            z.b.data[at + k] = (char)(entries[i].value >> (8 * k));
        expect(entries[i].name, z.b.data, z.b.nbytes, entries[i].code, entries[i].says);
        el_buf_release(&z.b);
    }
}

TEST(bad_torch, members)
{
    struct torch_zip z = {.n = 0};
    torch_zip_add(&z, "a/data.pkl", BYTES(TORCH_GOOD));
    torch_zip_add(&z, "a/byteorder", "big", 3);
    torch_zip_end(&z);
    expect("big-endian", z.b.data, z.b.nbytes, EL_E_UNSUPPORTED, "was written on a big-endian machine");
    el_buf_release(&z.b);
    z = (struct torch_zip){.n = 0};
    torch_zip_add(&z, "a/data.pkl", BYTES(TORCH_GOOD));
    torch_zip_add(&z, "a/data.pkl", BYTES(TORCH_GOOD));
    torch_zip_end(&z);
    expect("twice", z.b.data, z.b.nbytes, EL_E_FORMAT, "zip entry 'a/data.pkl' is there twice");
    el_buf_release(&z.b);
    z = (struct torch_zip){.n = 0};
    torch_zip_add(&z, "word/document.xml", "x", 1);
    torch_zip_end(&z);
    expect("another archive", z.b.data, z.b.nbytes, EL_E_UNSUPPORTED, "is a zip archive without data.pkl");
    el_buf_release(&z.b);
    expect("a pickle", BYTES("\x80\x03}."), EL_E_UNSUPPORTED, "is a Python pickle, but none that torch.save has written");
    expect("neither", BYTES("hello, world"), EL_E_FORMAT, "neither a zip archive nor an older file of torch.save");
}

TEST(bad_torch, every_truncation)
{
    static const char *const files[] = {"torch/types.pt", "torch/types-legacy.pt"};
    for (size_t i = 0; i < 2; i++) {
        size_t nbytes;
        char *const data = test_read(test_data(files[i]), &nbytes);
        REQUIRE(data);
        struct el_err err = {.code = EL_OK};
        struct el_source *s;
        const char *const path = test_tmp("cut.pt");
        for (size_t n = 0; n < nbytes; n += n % 251 == 0 ? 1 : 3) {
            REQUIRE(test_write(path, data, n));
            const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "torch"}, &s, &err);
            if (status != EL_E_FORMAT && status != EL_E_UNSUPPORTED)
                test_fail(__FILE__, __LINE__, "%s cut to %zu bytes: status %d", files[i], n, (int)status);
            el_source_close(s);
        }
        free(data);
    }
}
