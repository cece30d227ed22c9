/* The machine that reads pickles of tensors; see pickle.h for what it accepts. */
#include "formats/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "formats/safetensors.h"

/* ---- opcodes ---- */

/* Those that have a meaning here; others only have a name. */
enum opcode {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_POP = '0',
    OP_BINFLOAT = 'G',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_BINPERSID = 'Q',
    OP_REDUCE = 'R',
    OP_BINUNICODE = 'X',
    OP_EMPTY_LIST = ']',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_APPENDS = 'e',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_EMPTY_TUPLE = ')',
    OP_SETITEMS = 'u',
    OP_EMPTY_DICT = '}',
    OP_PROTO = 0x80,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_NEWTRUE = 0x88,
    OP_NEWFALSE = 0x89,
    OP_LONG1 = 0x8a,
    OP_SHORT_BINUNICODE = 0x8c,
    OP_BINUNICODE8 = 0x8d,
    OP_STACK_GLOBAL = 0x93,
    OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
};

static const char *opcode_name(uint8_t op)
{
    static const char *const names[256] = {
        ['('] = "MARK",
        ['.'] = "STOP",
        ['0'] = "POP",
        ['1'] = "POP_MARK",
        ['2'] = "DUP",
        ['F'] = "FLOAT",
        ['I'] = "INT",
        ['J'] = "BININT",
        ['K'] = "BININT1",
        ['L'] = "LONG",
        ['M'] = "BININT2",
        ['N'] = "NONE",
        ['P'] = "PERSID",
        ['Q'] = "BINPERSID",
        ['R'] = "REDUCE",
        ['S'] = "STRING",
        ['T'] = "BINSTRING",
        ['U'] = "SHORT_BINSTRING",
        ['V'] = "UNICODE",
        ['X'] = "BINUNICODE",
        ['a'] = "APPEND",
        ['b'] = "BUILD",
        ['c'] = "GLOBAL",
        ['d'] = "DICT",
        ['}'] = "EMPTY_DICT",
        ['e'] = "APPENDS",
        ['g'] = "GET",
        ['h'] = "BINGET",
        ['i'] = "INST",
        ['j'] = "LONG_BINGET",
        ['l'] = "LIST",
        [']'] = "EMPTY_LIST",
        ['o'] = "OBJ",
        ['p'] = "PUT",
        ['q'] = "BINPUT",
        ['r'] = "LONG_BINPUT",
        ['s'] = "SETITEM",
        ['t'] = "TUPLE",
        [')'] = "EMPTY_TUPLE",
        ['u'] = "SETITEMS",
        ['G'] = "BINFLOAT",
        ['B'] = "BINBYTES",
        ['C'] = "SHORT_BINBYTES",
        [0x80] = "PROTO",
        [0x81] = "NEWOBJ",
        [0x82] = "EXT1",
        [0x83] = "EXT2",
        [0x84] = "EXT4",
        [0x85] = "TUPLE1",
        [0x86] = "TUPLE2",
        [0x87] = "TUPLE3",
        [0x88] = "NEWTRUE",
        [0x89] = "NEWFALSE",
        [0x8a] = "LONG1",
        [0x8b] = "LONG4",
        [0x8c] = "SHORT_BINUNICODE",
        [0x8d] = "BINUNICODE8",
        [0x8e] = "BINBYTES8",
        [0x8f] = "EMPTY_SET",
        [0x90] = "ADDITEMS",
        [0x91] = "FROZENSET",
        [0x92] = "NEWOBJ_EX",
        [0x93] = "STACK_GLOBAL",
        [0x94] = "MEMOIZE",
        [0x95] = "FRAME",
        [0x96] = "BYTEARRAY8",
        [0x97] = "NEXT_BUFFER",
        [0x98] = "READONLY_BUFFER",
    };
    return names[op] ? names[op] : "unknown";
}

/* ---- globals ---- */

enum function { FN_ORDERED_DICT, FN_TENSOR, FN_TENSOR_V2, FN_TENSOR_V3, FN_PARAMETER, FN_STORAGE, FN_DTYPE };

/* All that a pickle may name. dtype: safetensors' name of a storage's or a dtype's numbers; NULL: bytes. */
static const struct {
    const char *module, *name;
    enum function fn;
    const char *dtype;
} globals[] = {
    {"collections", "OrderedDict", FN_ORDERED_DICT, NULL},
    {"torch._utils", "_rebuild_tensor", FN_TENSOR, NULL},
    {"torch._utils", "_rebuild_tensor_v2", FN_TENSOR_V2, NULL},
    {"torch._utils", "_rebuild_tensor_v3", FN_TENSOR_V3, NULL},
    {"torch._utils", "_rebuild_parameter", FN_PARAMETER, NULL},
    {"torch", "FloatStorage", FN_STORAGE, "F32"},
    {"torch", "HalfStorage", FN_STORAGE, "F16"},
    {"torch", "BFloat16Storage", FN_STORAGE, "BF16"},
    {"torch", "DoubleStorage", FN_STORAGE, "F64"},
    {"torch", "LongStorage", FN_STORAGE, "I64"},
    {"torch", "IntStorage", FN_STORAGE, "I32"},
    {"torch", "ShortStorage", FN_STORAGE, "I16"},
    {"torch", "CharStorage", FN_STORAGE, "I8"},
    {"torch", "ByteStorage", FN_STORAGE, "U8"},
    {"torch", "BoolStorage", FN_STORAGE, "BOOL"},
    {"torch.storage", "UntypedStorage", FN_STORAGE, NULL},
    {"torch", "UntypedStorage", FN_STORAGE, NULL},
    {"torch", "float32", FN_DTYPE, "F32"},
    {"torch", "float16", FN_DTYPE, "F16"},
    {"torch", "bfloat16", FN_DTYPE, "BF16"},
    {"torch", "float64", FN_DTYPE, "F64"},
    {"torch", "int64", FN_DTYPE, "I64"},
    {"torch", "int32", FN_DTYPE, "I32"},
    {"torch", "int16", FN_DTYPE, "I16"},
    {"torch", "int8", FN_DTYPE, "I8"},
    {"torch", "uint8", FN_DTYPE, "U8"},
    {"torch", "uint16", FN_DTYPE, "U16"},
    {"torch", "uint32", FN_DTYPE, "U32"},
    {"torch", "uint64", FN_DTYPE, "U64"},
    {"torch", "bool", FN_DTYPE, "BOOL"},
    {"torch", "float8_e4m3fn", FN_DTYPE, "F8_E4M3"},
    {"torch", "float8_e5m2", FN_DTYPE, "F8_E5M2"},
};
enum { N_GLOBALS = sizeof globals / sizeof globals[0] };

/* ---- the machine ---- */

/* MAX_EXPANDED: elements of a tensor that says the same elements several times. */
enum { MAX_STACK = 4 << 20, MAX_MARKS = 1024, MAX_EXPANDED = 1 << 20 };

struct machine {
    struct el_pickle *p;
    struct el_cursor c;
    struct el_err *err;
    uint32_t *stack, *memo; /* of values */
    size_t n_stack, n_memo;
    size_t marks[MAX_MARKS];
    size_t n_marks;
    uint8_t op; /* being executed */
    size_t at;
};

static enum el_status bad(struct machine *m, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);

static enum el_status bad(struct machine *m, enum el_status code, const char *fmt, ...)
{
    char text[384];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return el_fail(m->err, code, "pickle: opcode %s at byte %zu: %s", opcode_name(m->op), m->at, text);
}

/* Room for one more in an array whose capacity is the next power of two. */
static bool grow(void **array, size_t n, size_t size)
{
    if (n & (n - 1) || (n == 0 && *array))
        return true;
    void *const grown = el_realloc_array(*array, n ? n * 2 : 1, size);
    if (!grown)
        return false;
    *array = grown;
    return true;
}

#define GROW(m, array, n)                                                                                                        \
    do {                                                                                                                         \
        void *grow_array_ = (array);                                                                                             \
        const bool grow_ok_ = grow(&grow_array_, (n), sizeof *(array));                                                          \
        (array) = grow_array_;                                                                                                   \
        if (!grow_ok_)                                                                                                           \
            return bad((m), EL_E_MEMORY, "out of memory");                                                                       \
    } while (0)

static enum el_status push(struct machine *m, uint32_t value)
{
    if (m->n_stack == MAX_STACK)
        return bad(m, EL_E_FORMAT, "a stack of more than %d values", (int)MAX_STACK);
    GROW(m, m->stack, m->n_stack);
    m->stack[m->n_stack++] = value;
    return EL_OK;
}

static enum el_status push_new(struct machine *m, struct el_pickle_value v)
{
    struct el_pickle *const p = m->p;
    if (p->n_values == EL_MAX_PICKLE_VALUES)
        return bad(m, EL_E_FORMAT, "more than %d values", (int)EL_MAX_PICKLE_VALUES);
    GROW(m, p->values, p->n_values);
    v.first = v.last = EL_PICKLE_END;
    p->values[p->n_values] = v;
    return push(m, (uint32_t)p->n_values++);
}

static enum el_status push_int(struct machine *m, int64_t i)
{
    return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_INT, .i = i});
}

/* Values on the stack above the last mark: what an opcode may take without taking the mark away. */
static size_t n_above(const struct machine *m)
{
    return m->n_stack - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

static enum el_status need(struct machine *m, size_t n)
{
    if (n_above(m) < n)
        return bad(m, EL_E_FORMAT, "needs %zu values on the stack, there are %zu", n, n_above(m));
    return EL_OK;
}

/* Takes the last mark away; *n values stand above it. */
static enum el_status take_mark(struct machine *m, size_t *n)
{
    if (m->n_marks == 0)
        return bad(m, EL_E_FORMAT, "there is no mark on the stack");
    *n = n_above(m);
    m->n_marks--;
    return EL_OK;
}

static struct el_pickle_value *value_at(const struct machine *m, size_t depth)
{
    return &m->p->values[m->stack[m->n_stack - 1 - depth]];
}

static enum el_status add_item(struct machine *m, uint32_t container, uint32_t key, uint32_t value)
{
    struct el_pickle *const p = m->p;
    if (p->n_items == EL_MAX_PICKLE_VALUES)
        return bad(m, EL_E_FORMAT, "more than %d items in containers", (int)EL_MAX_PICKLE_VALUES);
    GROW(m, p->items, p->n_items);
    const uint32_t at = (uint32_t)p->n_items++;
    struct el_pickle_value *const c = &p->values[container];
    p->items[at] = (struct el_pickle_item){key, value, EL_PICKLE_END};
    if (c->last == EL_PICKLE_END)
        c->first = at;
    else
        p->items[c->last].next = at;
    c->last = at;
    c->n++;
    return EL_OK;
}

/* The n values on top become a tuple. */
static enum el_status make_tuple(struct machine *m, size_t n)
{
    const size_t base = m->n_stack - n;
    EL_TRY(push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_TUPLE}));
    const uint32_t tuple = m->stack[m->n_stack - 1];
    for (size_t i = 0; i < n; i++)
        EL_TRY(add_item(m, tuple, EL_PICKLE_END, m->stack[base + i]));
    m->stack[base] = tuple;
    m->n_stack = base + 1;
    return EL_OK;
}

/* The n values on top go into the container below them: keys and values by turns, or one after the other. */
static enum el_status fill(struct machine *m, size_t n, enum el_pickle_kind kind)
{
    const size_t base = m->n_stack - n, step = kind == EL_PICKLE_DICT ? 2 : 1;
    if (base == 0 || (m->n_marks && base <= m->marks[m->n_marks - 1]))
        return bad(m, EL_E_FORMAT, "there is nothing below the mark");
    const uint32_t container = m->stack[base - 1];
    if (m->p->values[container].kind != kind)
        return bad(m, EL_E_FORMAT, "the value below is no %s", kind == EL_PICKLE_DICT ? "dictionary" : "list");
    if (n % step != 0)
        return bad(m, EL_E_FORMAT, "a key without a value");
    for (size_t i = base; i < m->n_stack; i += step)
        EL_TRY(add_item(m, container, step == 2 ? m->stack[i] : EL_PICKLE_END, m->stack[i + step - 1]));
    m->n_stack = base;
    return EL_OK;
}

/* ---- memo ---- */

static enum el_status put(struct machine *m, uint32_t at)
{
    EL_TRY(need(m, 1));
    if (at > m->n_memo)
        return bad(m, EL_E_FORMAT, "place %u of the memo, the next is %zu", at, m->n_memo);
    if (at == m->n_memo) {
        GROW(m, m->memo, m->n_memo);
        m->n_memo++;
    }
    m->memo[at] = m->stack[m->n_stack - 1];
    return EL_OK;
}

static enum el_status get(struct machine *m, uint32_t at)
{
    if (at >= m->n_memo)
        return bad(m, EL_E_FORMAT, "place %u of the memo, which has %zu", at, m->n_memo);
    return push(m, m->memo[at]);
}

/* ---- texts and globals ---- */

static enum el_status text(struct machine *m, uint64_t n, enum el_pickle_kind kind)
{
    const uint8_t *const bytes = el_cursor_bytes(&m->c, n);
    if (m->c.failed)
        return EL_OK; /* told by the loop */
    const char *s;
    memcpy(&s, &bytes, sizeof s);
    return push_new(m, (struct el_pickle_value){.kind = kind, .n = (uint32_t)n, .text = s});
}

static bool text_is(const char *s, size_t n, const char *want)
{
    return strlen(want) == n && memcmp(s, want, n) == 0;
}

static enum el_status push_global(struct machine *m, const char *module, size_t n_module, const char *name, size_t n_name)
{
    for (size_t i = 0; i < N_GLOBALS; i++) {
        if (text_is(module, n_module, globals[i].module) && text_is(name, n_name, globals[i].name))
            return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_FUNCTION, .i = (int64_t)i});
    }
    return bad(m, EL_E_UNSUPPORTED, "global '%.*s.%.*s' is refused: only tensors are read, nothing else is made or called",
               n_module < 100 ? (int)n_module : 100, module, n_name < 100 ? (int)n_name : 100, name);
}

/* A line of text in place; NULL when none ends before the bytes do. */
static const char *line(struct machine *m, size_t *n)
{
    const uint8_t *const end = memchr(m->c.p, '\n', el_cursor_left(&m->c));
    *n = end ? (size_t)(end - m->c.p) : el_cursor_left(&m->c);
    const uint8_t *const bytes = el_cursor_bytes(&m->c, *n + 1);
    const char *s;
    memcpy(&s, &bytes, sizeof s);
    return s;
}

static enum el_status global(struct machine *m)
{
    size_t n_module, n_name = 0;
    const char *const module = line(m, &n_module), *const name = module ? line(m, &n_name) : NULL;
    return name ? push_global(m, module, n_module, name, n_name) : EL_OK;
}

static enum el_status stack_global(struct machine *m)
{
    EL_TRY(need(m, 2));
    const struct el_pickle_value name = *value_at(m, 0), module = *value_at(m, 1);
    if (name.kind != EL_PICKLE_TEXT || module.kind != EL_PICKLE_TEXT)
        return bad(m, EL_E_FORMAT, "module and name are no texts");
    m->n_stack -= 2;
    return push_global(m, module.text, module.n, name.text, name.n);
}

/* ---- storages and tensors ---- */

/* Up to `cap` items of a tuple as values; their number, which may be larger. */
static size_t items_of(const struct el_pickle *p, const struct el_pickle_value *tuple, const struct el_pickle_value **out,
                       size_t cap)
{
    size_t n = 0;
    for (uint32_t i = tuple->first; i != EL_PICKLE_END && n < cap; i = p->items[i].next)
        out[n++] = &p->values[p->items[i].value];
    return tuple->n;
}

/* The function that a value is; FN_ORDERED_DICT also stands for none. */
static bool is_function(const struct el_pickle_value *v, enum function fn)
{
    return v->kind == EL_PICKLE_FUNCTION && globals[v->i].fn == fn;
}

/* ('storage', type, key, place, number of elements[, None]): the pickle's reference to bytes that lie elsewhere. */
static enum el_status storage(struct machine *m)
{
    struct el_pickle *const p = m->p;
    const struct el_pickle_value *v[6] = {NULL};
    EL_TRY(need(m, 1));
    const struct el_pickle_value *const id = value_at(m, 0);
    const size_t n = id->kind == EL_PICKLE_TUPLE ? items_of(p, id, v, 6) : 0;
    if ((n != 5 && n != 6) || v[0]->kind != EL_PICKLE_TEXT || !text_is(v[0]->text, v[0]->n, "storage"))
        return bad(m, EL_E_UNSUPPORTED, "the persistent id is not ('storage', type, key, location, size)");
    if (n == 6 && v[5]->kind != EL_PICKLE_NONE)
        return bad(m, EL_E_UNSUPPORTED, "a storage that is a view of another one");
    if (!is_function(v[1], FN_STORAGE) || v[2]->kind != EL_PICKLE_TEXT || v[3]->kind != EL_PICKLE_TEXT ||
        v[4]->kind != EL_PICKLE_INT || v[4]->i < 0)
        return bad(m, EL_E_FORMAT, "the persistent id of a storage has parts of other kinds than type, text, text, size");
    const char *const dtype = globals[v[1]->i].dtype;
    struct el_pickle_storage s = {.key = v[2]->text, .n_key = v[2]->n, .n_elems = (uint64_t)v[4]->i};
    if (dtype)
        s.enc = el_st_enc_of_dtype(dtype);
    GROW(m, p->storages, p->n_storages);
    p->storages[p->n_storages] = s;
    m->n_stack--;
    return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_STORAGE, .i = (int64_t)p->n_storages++});
}

/* A tuple of numbers from 0 on. */
static enum el_status numbers(struct machine *m, const struct el_pickle_value *tuple, const char *what, uint64_t out[EL_MAX_DIMS],
                              uint32_t *n_out)
{
    const struct el_pickle_value *v[EL_MAX_DIMS] = {NULL};
    if (tuple->kind != EL_PICKLE_TUPLE)
        return bad(m, EL_E_FORMAT, "%s of a tensor is no tuple", what);
    const size_t n = items_of(m->p, tuple, v, EL_MAX_DIMS);
    if (n > EL_MAX_DIMS)
        return bad(m, EL_E_UNSUPPORTED, "a tensor of %zu dimensions, at most %d", n, EL_MAX_DIMS);
    for (size_t i = 0; i < n; i++) {
        if (v[i]->kind != EL_PICKLE_INT || v[i]->i < 0)
            return bad(m, EL_E_FORMAT, "%s of a tensor: entry %zu is no number from 0 on", what, i);
        out[i] = (uint64_t)v[i]->i;
    }
    *n_out = (uint32_t)n;
    return EL_OK;
}

/* Does the last element of the view lie in the storage? */
static enum el_status check_view(struct machine *m, const struct el_pickle_tensor *t, uint64_t n_elems)
{
    uint64_t last = t->offset, around_zeros = t->enc.e->block_nbytes;
    bool fits = true, empty = false;
    for (uint32_t d = 0; d < t->n_dims; d++) {
        uint64_t step = 0;
        empty = empty || t->dims[d] == 0;
        fits = fits && el_mul_u64(around_zeros, t->dims[d] ? t->dims[d] : 1, &around_zeros);
        fits = fits && el_mul_u64(t->dims[d] ? t->dims[d] - 1 : 0, t->strides[d], &step) && el_add_u64(last, step, &last);
    }
    if (!fits || around_zeros > INT64_MAX)
        return bad(m, EL_E_FORMAT, "the size of a tensor overflows 64 bits");
    const uint64_t n = around_zeros / t->enc.e->block_nbytes;
    if (!empty && n > n_elems && n > MAX_EXPANDED)
        return bad(m, EL_E_UNSUPPORTED, "a tensor of %llu elements in a storage of %llu, at most %d may be repetitions",
                   (unsigned long long)n, (unsigned long long)n_elems, (int)MAX_EXPANDED);
    if (!empty && last >= n_elems)
        return bad(m, EL_E_FORMAT, "a tensor reaches element %llu of a storage of %llu", (unsigned long long)last,
                   (unsigned long long)n_elems);
    return EL_OK;
}

/* (storage, offset, size, stride[, requires_grad, hooks[, dtype][, metadata]]) */
static enum el_status tensor(struct machine *m, enum function fn, const struct el_pickle_value *args)
{
    struct el_pickle *const p = m->p;
    const struct el_pickle_value *v[8] = {NULL};
    const size_t n = items_of(p, args, v, 8), least = fn == FN_TENSOR ? 4 : fn == FN_TENSOR_V2 ? 6 : 7;
    if (n < least || n > 8 || v[0]->kind != EL_PICKLE_STORAGE || v[1]->kind != EL_PICKLE_INT || v[1]->i < 0)
        return bad(m, EL_E_FORMAT, "arguments of a tensor are not (storage, offset, size, stride, ...)");
    const struct el_pickle_storage *const s = &p->storages[v[0]->i];
    struct el_pickle_tensor t = {.storage = (uint32_t)v[0]->i, .enc = s->enc, .offset = (uint64_t)v[1]->i};
    uint32_t n_strides = 0;
    EL_TRY(numbers(m, v[2], "size", t.dims, &t.n_dims));
    EL_TRY(numbers(m, v[3], "stride", t.strides, &n_strides));
    if (n_strides != t.n_dims)
        return bad(m, EL_E_FORMAT, "a tensor of %u dimensions and %u strides", t.n_dims, n_strides);
    uint64_t n_elems = s->n_elems;
    if (fn == FN_TENSOR_V3) {
        if (!is_function(v[6], FN_DTYPE))
            return bad(m, EL_E_FORMAT, "the type of a tensor is none");
        t.enc = el_st_enc_of_dtype(globals[v[6]->i].dtype);
        n_elems = s->enc.e ? n_elems : n_elems / t.enc.e->block_nbytes;
    }
    if (!t.enc.e || (s->enc.e && s->enc.e->block_nbytes != t.enc.e->block_nbytes))
        return bad(m, EL_E_FORMAT, "the type of a tensor does not fit its storage");
    EL_TRY(check_view(m, &t, n_elems));
    GROW(m, p->tensors, p->n_tensors);
    p->tensors[p->n_tensors] = t;
    return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_TENSOR, .i = (int64_t)p->n_tensors++});
}

/* A call: only of what makes tensors and dictionaries. */
static enum el_status reduce(struct machine *m)
{
    EL_TRY(need(m, 2));
    /* Copies: making a value may move them all. */
    const struct el_pickle_value args = *value_at(m, 0), fn = *value_at(m, 1);
    const struct el_pickle_value *v[1] = {NULL};
    if (fn.kind != EL_PICKLE_FUNCTION || args.kind != EL_PICKLE_TUPLE)
        return bad(m, EL_E_UNSUPPORTED, "calls something that is no function of tensors");
    const size_t n = items_of(m->p, &args, v, 1);
    m->n_stack -= 2;
    switch (globals[fn.i].fn) {
    case FN_ORDERED_DICT:
        if (n != 0)
            return bad(m, EL_E_UNSUPPORTED, "OrderedDict with %zu arguments", n);
        return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_DICT});
    case FN_TENSOR:
    case FN_TENSOR_V2:
    case FN_TENSOR_V3: return tensor(m, globals[fn.i].fn, &args);
    case FN_PARAMETER:
        if (n < 1 || v[0]->kind != EL_PICKLE_TENSOR)
            return bad(m, EL_E_FORMAT, "a parameter that is no tensor");
        return push(m, (uint32_t)(v[0] - m->p->values));
    case FN_STORAGE:
    case FN_DTYPE: break;
    }
    return bad(m, EL_E_UNSUPPORTED, "calls '%s.%s', which is a type", globals[fn.i].module, globals[fn.i].name);
}

/* What an object's attributes become: a dictionary has none that matter (state_dict() hangs versions on it). */
static enum el_status build(struct machine *m)
{
    EL_TRY(need(m, 2));
    if (value_at(m, 1)->kind != EL_PICKLE_DICT)
        return bad(m, EL_E_UNSUPPORTED, "sets attributes of something that is no dictionary");
    m->n_stack--;
    return EL_OK;
}

/* ---- the loop ---- */

static enum el_status long1(struct machine *m)
{
    const uint8_t n = el_cursor_u8(&m->c);
    const uint8_t *const bytes = el_cursor_bytes(&m->c, n);
    if (m->c.failed)
        return EL_OK;
    m->c.p = bytes;
    if (n > 8)
        return text(m, n, EL_PICKLE_BIG_INT);
    uint64_t v = n > 0 && bytes[n - 1] & 0x80 ? UINT64_MAX : 0; /* two's complement, as few bytes as will do */
    for (unsigned i = n; i-- > 0;)
        v = v << 8 | bytes[i];
    (void)el_cursor_bytes(&m->c, n);
    int64_t i;
    memcpy(&i, &v, sizeof i);
    return push_int(m, i);
}

static enum el_status mark(struct machine *m)
{
    if (m->n_marks == MAX_MARKS)
        return bad(m, EL_E_FORMAT, "more than %d marks on the stack", (int)MAX_MARKS);
    m->marks[m->n_marks++] = m->n_stack;
    return EL_OK;
}

static enum el_status protocol(struct machine *m)
{
    const uint8_t v = el_cursor_u8(&m->c);
    return v >= 2 && v <= 5 ? EL_OK : bad(m, EL_E_UNSUPPORTED, "protocol %u, supported are 2 to 5", v);
}

/* A number of the opcode that is big-endian, as nothing else here is. */
static double big_endian_double(struct el_cursor *c)
{
    uint64_t bits = 0;
    double v;
    for (unsigned i = 0; i < 8; i++)
        bits = bits << 8 | el_cursor_u8(c);
    memcpy(&v, &bits, sizeof v);
    return v;
}

static enum el_status fill_to_mark(struct machine *m, enum el_pickle_kind kind)
{
    size_t n = 0;
    EL_TRY(take_mark(m, &n));
    return fill(m, n, kind);
}

static enum el_status tuple_to_mark(struct machine *m)
{
    size_t n = 0;
    EL_TRY(take_mark(m, &n));
    return make_tuple(m, n);
}

static enum el_status tuple_of(struct machine *m, size_t n)
{
    EL_TRY(need(m, n));
    return make_tuple(m, n);
}

static enum el_status fill_one(struct machine *m, enum el_pickle_kind kind)
{
    const size_t n = kind == EL_PICKLE_DICT ? 2 : 1;
    EL_TRY(need(m, n + 1));
    return fill(m, n, kind);
}

static enum el_status pop(struct machine *m)
{
    EL_TRY(need(m, 1));
    m->n_stack--;
    return EL_OK;
}

static enum el_status push_kind(struct machine *m, enum el_pickle_kind kind, int64_t i)
{
    return push_new(m, (struct el_pickle_value){.kind = kind, .i = i});
}

static enum el_status execute(struct machine *m)
{
    struct el_cursor *const c = &m->c;
    switch ((enum opcode)m->op) {
    case OP_PROTO: return protocol(m);
    case OP_FRAME: (void)el_cursor_u64(c); return EL_OK;
    case OP_MARK: return mark(m);
    case OP_POP: return pop(m);
    case OP_NONE: return push_kind(m, EL_PICKLE_NONE, 0);
    case OP_NEWTRUE: return push_kind(m, EL_PICKLE_BOOL, 1);
    case OP_NEWFALSE: return push_kind(m, EL_PICKLE_BOOL, 0);
    case OP_BININT: return push_int(m, (int32_t)el_cursor_u32(c));
    case OP_BININT1: return push_int(m, el_cursor_u8(c));
    case OP_BININT2: return push_int(m, el_cursor_u16(c));
    case OP_LONG1: return long1(m);
    case OP_BINFLOAT: return push_new(m, (struct el_pickle_value){.kind = EL_PICKLE_FLOAT, .f = big_endian_double(c)});
    case OP_SHORT_BINUNICODE: return text(m, el_cursor_u8(c), EL_PICKLE_TEXT);
    case OP_BINUNICODE: return text(m, el_cursor_u32(c), EL_PICKLE_TEXT);
    case OP_BINUNICODE8: return text(m, el_cursor_u64(c), EL_PICKLE_TEXT);
    case OP_EMPTY_TUPLE: return push_kind(m, EL_PICKLE_TUPLE, 0);
    case OP_EMPTY_LIST: return push_kind(m, EL_PICKLE_LIST, 0);
    case OP_EMPTY_DICT: return push_kind(m, EL_PICKLE_DICT, 0);
    case OP_TUPLE1: return tuple_of(m, 1);
    case OP_TUPLE2: return tuple_of(m, 2);
    case OP_TUPLE3: return tuple_of(m, 3);
    case OP_TUPLE: return tuple_to_mark(m);
    case OP_APPEND: return fill_one(m, EL_PICKLE_LIST);
    case OP_APPENDS: return fill_to_mark(m, EL_PICKLE_LIST);
    case OP_SETITEM: return fill_one(m, EL_PICKLE_DICT);
    case OP_SETITEMS: return fill_to_mark(m, EL_PICKLE_DICT);
    case OP_MEMOIZE: return put(m, (uint32_t)m->n_memo);
    case OP_BINPUT: return put(m, el_cursor_u8(c));
    case OP_LONG_BINPUT: return put(m, el_cursor_u32(c));
    case OP_BINGET: return get(m, el_cursor_u8(c));
    case OP_LONG_BINGET: return get(m, el_cursor_u32(c));
    case OP_GLOBAL: return global(m);
    case OP_STACK_GLOBAL: return stack_global(m);
    case OP_BINPERSID: return storage(m);
    case OP_REDUCE: return reduce(m);
    case OP_BUILD: return build(m);
    case OP_STOP: break;
    }
    return bad(m, EL_E_UNSUPPORTED, "0x%02x is refused: only what torch.save writes of tensors is read", m->op);
}

static enum el_status run(struct machine *m)
{
    for (;;) {
        m->at = el_cursor_offset(&m->c);
        m->op = el_cursor_u8(&m->c);
        if (m->c.failed)
            return el_fail(m->err, EL_E_FORMAT, "pickle: truncated at byte %zu, before its end", m->at);
        if (m->op == OP_STOP)
            break;
        const enum el_status status = execute(m);
        if (m->c.failed)
            return bad(m, EL_E_FORMAT, "truncated");
        EL_TRY(status);
        if ((m->at & 0xffff) == 0 && el_interrupted())
            return bad(m, EL_E_INTERRUPTED, "interrupted");
    }
    if (m->n_marks || m->n_stack != 1)
        return bad(m, EL_E_FORMAT, "%zu values and %zu marks are left on the stack, must be one value", m->n_stack, m->n_marks);
    m->p->root = m->stack[0];
    return EL_OK;
}

enum el_status el_pickle_parse(const uint8_t *data, size_t nbytes, struct el_pickle *p, size_t *n_used, struct el_err *err)
{
    memset(p, 0, sizeof *p);
    if (nbytes > EL_MAX_PICKLE)
        return el_fail(err, EL_E_FORMAT, "pickle: %zu bytes, at most %d", nbytes, (int)EL_MAX_PICKLE);
    struct machine *const m = el_calloc_array(1, sizeof *m);
    if (!m)
        return el_fail(err, EL_E_MEMORY, "pickle: out of memory");
    m->p = p;
    m->c = el_cursor_init(data, nbytes);
    m->err = err;
    const enum el_status status = run(m);
    if (n_used)
        *n_used = el_cursor_offset(&m->c);
    el_free(m->stack);
    el_free(m->memo);
    el_free(m);
    if (status != EL_OK)
        el_pickle_release(p);
    return status;
}

void el_pickle_release(struct el_pickle *p)
{
    el_free(p->values);
    el_free(p->items);
    el_free(p->storages);
    el_free(p->tensors);
    memset(p, 0, sizeof *p);
}
