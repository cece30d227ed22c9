/* Metadata sets: what was put in comes out, in order; typed look-up refuses what does not fit. */
#include "test.h"

#include "base/mem.h"
#include "tensor/meta.h"

TEST(meta, keeps_order_types_and_values)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    REQUIRE(m != NULL);
    const int8_t i8 = -5;
    const int16_t i16 = -300;
    const int64_t i64 = -5000000000;
    const uint8_t u8 = 200;
    const uint16_t u16 = 60000;
    const uint64_t u64 = UINT64_C(1) << 63;
    const double f64 = 0.1;
    const int32_t i32 = -70000;
    CHECK_OK(el_meta_set_scalar(m, "i8", EL_META_I8, &i8, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "i16", EL_META_I16, &i16, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "i32", EL_META_I32, &i32, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "i64", EL_META_I64, &i64, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "u8", EL_META_U8, &u8, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "u16", EL_META_U16, &u16, &err), err);
    CHECK_OK(el_meta_set_u32(m, "u32", 4000000000u, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "u64", EL_META_U64, &u64, &err), err);
    CHECK_OK(el_meta_set_f32(m, "f32", 1.5f, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "f64", EL_META_F64, &f64, &err), err);
    CHECK_OK(el_meta_set_bool(m, "bool", true, &err), err);
    CHECK_OK(el_meta_set_str(m, "str", "a\0b", 3, &err), err);
    CHECK_EQ_INT(el_meta_count(m), 12);
    CHECK_EQ_STR(el_meta_key(m, 0), "i8");
    CHECK_EQ_STR(el_meta_key(m, 11), "str");
    CHECK(el_meta_key(m, 12) == NULL);
    CHECK_EQ_INT(el_meta_int(m, 0, 0), -5);
    CHECK_EQ_INT(el_meta_int(m, 1, 0), -300);
    CHECK_EQ_INT(el_meta_int(m, 2, 0), -70000);
    CHECK_EQ_INT(el_meta_int(m, 3, 0), -5000000000);
    CHECK_EQ_INT(el_meta_int(m, 4, 0), 200);
    CHECK_EQ_INT(el_meta_int(m, 5, 0), 60000);
    CHECK_EQ_INT(el_meta_int(m, 6, 0), 4000000000);
    CHECK_EQ_INT(el_meta_int(m, 7, 0), INT64_MAX);
    CHECK_NEAR(el_meta_float(m, 7, 0), 9223372036854775808.0, 0);
    CHECK_NEAR(el_meta_float(m, 0, 0), -5, 0);
    CHECK_NEAR(el_meta_float(m, 8, 0), 1.5, 0);
    CHECK_NEAR(el_meta_float(m, 9, 0), 0.1, 0);
    CHECK_EQ_INT(el_meta_int(m, 8, 0), 1);
    CHECK_EQ_INT(el_meta_int(m, 10, 0), 1);
    size_t nbytes;
    const char *const s = el_meta_str(m, 11, 0, &nbytes);
    CHECK_EQ_INT(nbytes, 3);
    CHECK(memcmp(s, "a\0b", 4) == 0);
    CHECK_EQ_STR(el_meta_str(m, 11, 0, NULL), "a");
    CHECK_EQ_INT(el_meta_type(m, 10), EL_META_BOOL);
    CHECK_EQ_INT(el_meta_n_elems(m, 11), 1);
    CHECK(el_meta_raw(m, 11) == NULL);
    CHECK(memcmp(el_meta_raw(m, 3), &i64, 8) == 0);
    el_meta_free(m);
}

TEST(meta, saturates_floats_asked_as_integers)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    const double v[] = {1e300, -1e300, (double)NAN, -2.9, (double)INFINITY};
    CHECK_OK(el_meta_set_array(m, "v", EL_META_F64, v, 5, &err), err);
    CHECK_EQ_INT(el_meta_int(m, 0, 0), INT64_MAX);
    CHECK_EQ_INT(el_meta_int(m, 0, 1), INT64_MIN);
    CHECK_EQ_INT(el_meta_int(m, 0, 2), 0);
    CHECK_EQ_INT(el_meta_int(m, 0, 3), -2);
    CHECK_EQ_INT(el_meta_int(m, 0, 4), INT64_MAX);
    el_meta_free(m);
}

TEST(meta, arrays)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    const int32_t numbers[] = {3, -4, 5};
    const char *const words[] = {"one", "", "three"};
    const size_t lens[] = {3, 0, 4};
    CHECK_OK(el_meta_set_array(m, "numbers", EL_META_I32, numbers, 3, &err), err);
    CHECK_OK(el_meta_set_str_array(m, "words", words, NULL, 3, &err), err);
    CHECK_OK(el_meta_set_str_array(m, "cut", words, lens, 3, &err), err);
    CHECK_OK(el_meta_set_array(m, "none", EL_META_F32, NULL, 0, &err), err);
    CHECK_OK(el_meta_set_str_array(m, "no words", NULL, NULL, 0, &err), err);
    CHECK_EQ_INT(el_meta_type(m, 0), EL_META_ARR);
    CHECK_EQ_INT(el_meta_elem_type(m, 0), EL_META_I32);
    CHECK_EQ_INT(el_meta_n_elems(m, 0), 3);
    CHECK_EQ_INT(el_meta_int(m, 0, 1), -4);
    size_t nbytes;
    CHECK_EQ_STR(el_meta_str(m, 1, 0, &nbytes), "one");
    CHECK_EQ_STR(el_meta_str(m, 1, 1, &nbytes), "");
    CHECK_EQ_INT(nbytes, 0);
    CHECK_EQ_STR(el_meta_str(m, 2, 2, &nbytes), "thre");
    CHECK_EQ_INT(nbytes, 4);
    CHECK_EQ_INT(el_meta_n_elems(m, 3), 0);
    CHECK_EQ_INT(el_meta_n_elems(m, 4), 0);
    CHECK_EQ_INT(el_meta_elem_type(m, 4), EL_META_STR);
    el_meta_free(m);
}

TEST(meta, replaces_in_place_and_removes)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    char key[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CHECK_OK(el_meta_set_u32(m, key, i, &err), err);
    }
    CHECK_OK(el_meta_set_str(m, "k7", "seven", 5, &err), err);
    CHECK_EQ_INT(el_meta_count(m), 100);
    CHECK_EQ_INT(el_meta_find(m, "k7"), 7);
    CHECK_EQ_STR(el_meta_str(m, 7, 0, NULL), "seven");
    el_meta_remove(m, "k7");
    el_meta_remove(m, "k7");
    el_meta_remove(m, "absent");
    CHECK_EQ_INT(el_meta_count(m), 99);
    CHECK(el_meta_find(m, "k7") == SIZE_MAX);
    CHECK_EQ_INT(el_meta_find(m, "k8"), 7);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "k99"), 0), 99);
    el_meta_free(m);
}

TEST(meta, copies_are_equal_and_independent)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    const char *const words[] = {"x", "yz"};
    const uint16_t numbers[] = {1, 2};
    CHECK_OK(el_meta_set_str_array(m, "words", words, NULL, 2, &err), err);
    CHECK_OK(el_meta_set_array(m, "numbers", EL_META_U16, numbers, 2, &err), err);
    CHECK_OK(el_meta_set_str(m, "s", "text", 4, &err), err);
    CHECK_OK(el_meta_set_f32(m, "f", 0.5f, &err), err);
    struct el_meta *const copy = el_meta_copy(m);
    REQUIRE(copy != NULL);
    CHECK(el_meta_equal(m, copy));
    CHECK_OK(el_meta_set_f32(copy, "f", 0.25f, &err), err);
    CHECK(!el_meta_equal(m, copy));
    CHECK_OK(el_meta_set_f32(copy, "f", 0.5f, &err), err);
    CHECK(el_meta_equal(m, copy));
    CHECK_OK(el_meta_set_str(copy, "s", "texT", 4, &err), err);
    CHECK(!el_meta_equal(m, copy));
    CHECK_OK(el_meta_set_str(copy, "s", "tex", 3, &err), err);
    CHECK(!el_meta_equal(m, copy));
    const char *const other[] = {"xy", "z"}; /* the same bytes, cut elsewhere */
    CHECK_OK(el_meta_set_from(copy, "s", m, 2, &err), err);
    CHECK_OK(el_meta_set_str_array(copy, "words", other, NULL, 2, &err), err);
    CHECK(!el_meta_equal(m, copy));
    el_meta_remove(copy, "words");
    CHECK(!el_meta_equal(m, copy));
    el_meta_free(copy);
    el_meta_free(m);
    el_meta_free(NULL);
}

TEST(meta, typed_look_up)
{
    struct el_err err;
    struct el_meta *const m = el_meta_new();
    const int32_t minus = -1, plus = 9;
    const uint64_t big = UINT64_C(1) << 40;
    const float array[] = {1, 2};
    CHECK_OK(el_meta_set_scalar(m, "minus", EL_META_I32, &minus, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "plus", EL_META_I32, &plus, &err), err);
    CHECK_OK(el_meta_set_scalar(m, "big", EL_META_U64, &big, &err), err);
    CHECK_OK(el_meta_set_array(m, "array", EL_META_F32, array, 2, &err), err);
    CHECK_OK(el_meta_set_bool(m, "yes", true, &err), err);
    CHECK_OK(el_meta_set_f32(m, "half", 0.5f, &err), err);
    CHECK_OK(el_meta_set_str(m, "text", "hello", 5, &err), err);
    uint32_t u;
    float f;
    bool b;
    const char *s;
    CHECK_OK(el_meta_get_u32(m, "plus", 0, 10, &u, &err), err);
    CHECK_EQ_INT(u, 9);
    CHECK_EQ_INT(el_meta_get_u32(m, "plus", 10, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'plus': 9, must be 10 to 20");
    CHECK_EQ_INT(el_meta_get_u32(m, "minus", 0, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'minus': -1, must be 0 to 20");
    CHECK_EQ_INT(el_meta_get_u32(m, "big", 0, UINT32_MAX, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'big': 1099511627776, must be 0 to 4294967295");
    CHECK_EQ_INT(el_meta_get_u32(m, "array", 0, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'array': an array of float32, must be an integer");
    CHECK_EQ_INT(el_meta_get_u32(m, "half", 0, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'half': of type float32, must be an integer");
    CHECK_EQ_INT(el_meta_get_u32(m, "yes", 0, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_INT(el_meta_get_u32(m, "absent", 0, 20, &u, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'absent': missing, must be an integer");
    CHECK_OK(el_meta_get_u32_or(m, "absent", 0, 20, 77, &u, &err), err);
    CHECK_EQ_INT(u, 77);
    CHECK_EQ_INT(el_meta_get_u32_or(m, "text", 0, 20, 77, &u, &err), EL_E_FORMAT);
    CHECK_OK(el_meta_get_f32_or(m, "half", 9, &f, &err), err);
    CHECK_NEAR(f, 0.5, 0);
    CHECK_OK(el_meta_get_f32_or(m, "plus", 1, &f, &err), err);
    CHECK_NEAR(f, 9, 0);
    CHECK_OK(el_meta_get_f32_or(m, "absent", 3, &f, &err), err);
    CHECK_NEAR(f, 3, 0);
    CHECK_EQ_INT(el_meta_get_f32_or(m, "text", 3, &f, &err), EL_E_FORMAT);
    CHECK_EQ_INT(el_meta_get_f32_or(m, "yes", 3, &f, &err), EL_E_FORMAT);
    CHECK_OK(el_meta_get_bool_or(m, "yes", false, &b, &err), err);
    CHECK(b);
    CHECK_OK(el_meta_get_bool_or(m, "absent", true, &b, &err), err);
    CHECK(b);
    CHECK_EQ_INT(el_meta_get_bool_or(m, "plus", false, &b, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "metadata 'plus': of type int32, must be bool");
    CHECK_OK(el_meta_get_str_or(m, "text", &s, &err), err);
    CHECK_EQ_STR(s, "hello");
    CHECK_OK(el_meta_get_str_or(m, "absent", &s, &err), err);
    CHECK(s == NULL);
    CHECK_EQ_INT(el_meta_get_str_or(m, "half", &s, &err), EL_E_FORMAT);
    el_meta_free(m);
}

TEST(meta, type_names_and_sizes)
{
    CHECK_EQ_STR(el_meta_type_name(EL_META_F64), "float64");
    CHECK_EQ_STR(el_meta_type_name((enum el_meta_type)99), "unknown type");
    CHECK_EQ_INT(el_meta_type_nbytes(EL_META_U64), 8);
    CHECK_EQ_INT(el_meta_type_nbytes(EL_META_STR), 0);
    CHECK_EQ_INT(el_meta_type_nbytes((enum el_meta_type)99), 0);
}

/* Fills a set with one of each; false when memory ran out. */
static bool fill(struct el_meta *m)
{
    static const char *const words[] = {"a", "b"};
    char key[16];
    for (unsigned i = 0; i < 40; i++) { /* past the first growth of the entries */
        snprintf(key, sizeof key, "k%u", i);
        if (el_meta_set_u32(m, key, i, NULL) != EL_OK)
            return false;
    }
    return el_meta_set_str(m, "s", "abc", 3, NULL) == EL_OK && el_meta_set_array(m, "a", EL_META_U8, "xy", 2, NULL) == EL_OK &&
           el_meta_set_str_array(m, "w", words, NULL, 2, NULL) == EL_OK;
}

TEST(meta, survives_every_failed_allocation)
{
    bool done = false;
    for (uint64_t n = 1; !done && n < 500; n++) {
        el_mem_fail_after(n);
        struct el_meta *const m = el_meta_new();
        done = m && fill(m);
        struct el_meta *const copy = done ? el_meta_copy(m) : NULL;
        done = done && copy;
        el_mem_fail_after(0);
        if (copy)
            CHECK(el_meta_equal(m, copy));
        el_meta_free(copy);
        el_meta_free(m);
    }
    CHECK(done);
}
