/* Tokenizers from metadata: rules, special tokens, streaming, and what is refused. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/threads.h"
#include "edgellm.h"
#include "test.h"
#include "text/tokenizer.h"

#define MARK "\xe2\x96\x81"

static struct el_err err;

static void set_str(struct el_meta *m, const char *key, const char *s)
{
    CHECK_OK(el_meta_set_str(m, key, s, strlen(s), &err), err);
}

/* A SentencePiece vocabulary: unk, s, /s, 256 bytes, then pieces whose scores fall from -1. */
static const char *const spm_pieces[] = {MARK,      "a",  "b",   "c",       "ab",       "abc",   MARK "a",
                                         MARK "ab", "bc", "cab", MARK MARK, "\xc3\xa9", "<tool>"};
enum { SPM_FIRST = 259, N_SPM_PIECES = sizeof spm_pieces / sizeof spm_pieces[0], N_SPM = SPM_FIRST + N_SPM_PIECES };

struct spm_parts {
    const char *text[N_SPM];
    char bytes[256][8];
    float score[N_SPM];
    int32_t type[N_SPM];
};

static void spm_fill(struct spm_parts *p)
{
    p->text[0] = "<unk>";
    p->text[1] = "<s>";
    p->text[2] = "</s>";
    for (int i = 0; i < N_SPM; i++) {
        p->type[i] = i == 0 ? 2 : i < 3 ? 3 : i < SPM_FIRST ? 6 : 1;
        p->score[i] = i < SPM_FIRST ? 0.0f : -(float)(i - SPM_FIRST + 1);
        if (i >= 3 && i < SPM_FIRST) {
            snprintf(p->bytes[i - 3], 8, "<0x%02X>", (unsigned)(i - 3));
            p->text[i] = p->bytes[i - 3];
        }
    }
    for (int i = 0; i < N_SPM_PIECES; i++)
        p->text[SPM_FIRST + i] = spm_pieces[i];
    p->type[N_SPM - 1] = 4; /* <tool> */
}

static struct el_meta *spm_write(const struct spm_parts *p)
{
    struct el_meta *const m = el_meta_new();
    set_str(m, "tokenizer.ggml.model", "llama");
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.tokens", p->text, NULL, N_SPM, &err), err);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.scores", EL_META_F32, p->score, N_SPM, &err), err);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, p->type, N_SPM, &err), err);
    return m;
}

static struct el_meta *spm_meta(void)
{
    static struct spm_parts p;
    spm_fill(&p);
    return spm_write(&p);
}

/* A byte-level vocabulary: the 256 bytes in order of value, then merges of them. */
static const char *const bpe_more[] = {"th", "the", "\xc4\xa0the", "in", "ing", "\xc4\xa0th", "<|eot|>", "<user>"};
static const char *const bpe_merges[] = {"t h", "i n", "th e", "in g", "\xc4\xa0 th", "\xc4\xa0th e"};
enum { N_BPE = 256 + 8 };

struct bpe_parts {
    const char *text[N_BPE];
    char bytes[256][4];
    int32_t type[N_BPE];
};

static void bpe_fill(struct bpe_parts *p)
{
    unsigned next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        const bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        const unsigned cp = prints ? b : next++;
        if (cp < 0x80)
            snprintf(p->bytes[b], 4, "%c", (int)cp);
        else
            snprintf(p->bytes[b], 4, "%c%c", (int)(0xc0 | cp >> 6), (int)(0x80 | (cp & 0x3f)));
        p->text[b] = p->bytes[b];
    }
    for (int i = 256; i < N_BPE; i++)
        p->text[i] = bpe_more[i - 256];
    for (int i = 0; i < N_BPE; i++)
        p->type[i] = 1;
    p->type[262] = 3; /* <|eot|> */
    p->type[263] = 4; /* <user> */
}

static struct el_meta *bpe_write(const struct bpe_parts *p, const char *pre)
{
    struct el_meta *const m = el_meta_new();
    set_str(m, "tokenizer.ggml.model", "gpt2");
    if (pre)
        set_str(m, "tokenizer.ggml.pre", pre);
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.tokens", p->text, NULL, N_BPE, &err), err);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, p->type, N_BPE, &err), err);
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.merges", bpe_merges, NULL, 6, &err), err);
    return m;
}

static struct el_meta *bpe_meta(const char *pre)
{
    static struct bpe_parts p;
    bpe_fill(&p);
    return bpe_write(&p, pre);
}

static struct el_tokenizer *open_meta(const struct el_meta *m)
{
    struct el_tokenizer *tok;
    CHECK_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    return tok;
}

/* Expects the tokenizer to be refused with this status and a text that contains `part`; takes m over. */
static void refused(struct el_meta *m, int status, const char *part)
{
    struct el_tokenizer *tok;
    const int got = (int)el_tokenizer_from_meta(m, &tok, &err);
    if (got != status || !strstr(err.text, part))
        test_fail(__FILE__, __LINE__, "status %d, '%s'; want %d, '%s'", got, got ? err.text : "", status, part);
    CHECK(tok == NULL);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

static void check_ids(const struct el_tokenizer *tok, const char *text, unsigned flags, const char *want)
{
    int32_t *ids;
    size_t n;
    REQUIRE_OK(el_encode(tok, text, strlen(text), flags, &ids, &n, &err), err);
    struct el_buf b;
    el_buf_init(&b);
    for (size_t i = 0; i < n; i++)
        el_buf_addf(&b, "%s%d", i ? " " : "", (int)ids[i]);
    CHECK_EQ_STR(b.data, want);
    el_buf_release(&b);
    el_free(ids);
}

static void check_text(const struct el_tokenizer *tok, const int32_t *ids, size_t n, bool special, const char *want)
{
    char *text;
    size_t nbytes;
    REQUIRE_OK(el_decode(tok, ids, n, special, &text, &nbytes, &err), err);
    CHECK_EQ_STR(text, want);
    CHECK_EQ_INT(nbytes, strlen(want));
    el_free(text);
}

TEST(tokenizer, sentencepiece_merges_by_score)
{
    struct el_meta *const m = spm_meta();
    struct el_tokenizer *const tok = open_meta(m);
    check_ids(tok, "", 0, "");
    check_ids(tok, "", EL_TOK_ADD_SPECIAL, "1");
    check_ids(tok, "ab", 0, "266");      /* _ab, through ab or _a */
    check_ids(tok, "abc", 0, "259 264"); /* ab goes first, then abc, and _abc is no token */
    check_ids(tok, " a", 0, "259 265");  /* the mark with a comes before two marks */
    check_ids(tok, "a b", 0, "265 259 261");
    check_ids(tok, "\xc3\xa9", 0, "259 270");
    check_ids(tok, "\xc3\xa8", 0, "259 198 171");     /* not in the vocabulary: its bytes */
    check_ids(tok, "a<tool>b", 0, "265 271 259 261"); /* user-defined: always */
    check_ids(tok, "<s>a</s>", EL_TOK_PARSE_SPECIAL, "1 265 2");
    check_ids(tok, "<s>", 0, "259 63 118 65");
    check_ids(tok, "<0x41>", 0, "259 63 51 123 55 52 65"); /* the text of a byte token is text */
    CHECK(el_tok_adds_bos(tok));
    CHECK_EQ_INT(el_tok_bos(tok), 1);
    CHECK_EQ_INT(el_tok_eos(tok), 2);
    CHECK(el_tok_is_eog(tok, 2) && !el_tok_is_eog(tok, 1) && !el_tok_is_eog(tok, -1) && !el_tok_is_eog(tok, N_SPM));
    CHECK(el_tok_is_control(tok, 1) && !el_tok_is_control(tok, 260) && !el_tok_is_control(tok, 1 << 30));
    CHECK_EQ_INT(el_tok_n_vocab(tok), N_SPM);
    size_t n;
    CHECK(el_tok_piece(tok, N_SPM, &n) == NULL && el_tok_piece(tok, -1, NULL) == NULL);
    CHECK(el_tok_piece(tok, 263, &n) && n == 2);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, sentencepiece_decodes)
{
    struct el_meta *const m = spm_meta();
    struct el_tokenizer *const tok = open_meta(m);
    const int32_t ids[] = {1, 265, 259, 261, 2};
    check_text(tok, ids, 5, false, "a b");
    check_text(tok, ids, 5, true, "<s> a b</s>");
    const int32_t spaces[] = {269, 260};
    check_text(tok, spaces, 2, false, " a");
    const int32_t bytes[] = {259, 198, 171, 3 + 0xff, 260};
    check_text(tok, bytes, 5, false,
               "\xc3\xa8\xef\xbf\xbd"
               "a");
    check_text(tok, bytes, 2, false, "\xef\xbf\xbd"); /* half a character */
    check_text(tok, bytes, 0, false, "");
    char *text;
    size_t nbytes;
    const int32_t wrong[] = {260, N_SPM};
    CHECK_EQ_INT(el_decode(tok, wrong, 2, false, &text, &nbytes, &err), EL_E_USAGE);
    CHECK(text == NULL && strstr(err.text, "272"));
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, stream_keeps_characters_whole)
{
    struct el_meta *const m = spm_meta();
    struct el_tokenizer *const tok = open_meta(m);
    struct el_detok *d;
    REQUIRE_OK(el_detok_open(tok, &d, &err), err);
    const int32_t ids[] = {259, 260, 3 + 0xf0, 3 + 0x9f, 3 + 0x9a, 3 + 0x80, 3 + 0xe2, 261, 3 + 0xc3};
    static const char *const want[] = {"", "a", "", "", "", "\xf0\x9f\x9a\x80", "", "\xef\xbf\xbd\x62", ""};
    for (size_t i = 0; i < 9; i++) {
        const char *text;
        size_t n;
        CHECK_OK(el_detok_push(d, ids[i], &text, &n, &err), err);
        CHECK_EQ_STR(text, want[i]);
        CHECK_EQ_INT(n, strlen(want[i]));
    }
    const char *text;
    size_t n;
    CHECK_EQ_INT(el_detok_push(d, -1, &text, &n, &err), EL_E_USAGE);
    CHECK_EQ_STR(el_detok_flush(d, &n), "\xef\xbf\xbd");
    CHECK_EQ_INT(n, 3);
    CHECK_EQ_STR(el_detok_flush(d, &n), "");
    el_detok_close(d);
    el_detok_close(NULL);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, keys_change_what_is_added)
{
    struct el_meta *const m = spm_meta();
    CHECK_OK(el_meta_set_bool(m, "tokenizer.ggml.add_bos_token", false, &err), err);
    CHECK_OK(el_meta_set_bool(m, "tokenizer.ggml.add_eos_token", true, &err), err);
    CHECK_OK(el_meta_set_bool(m, "tokenizer.ggml.add_space_prefix", false, &err), err);
    CHECK_OK(el_meta_set_u32(m, "tokenizer.ggml.eot_token_id", 271, &err), err);
    CHECK_OK(el_meta_set_u32(m, "tokenizer.ggml.padding_token_id", UINT32_MAX, &err), err);
    const int32_t more[] = {3};
    CHECK_OK(el_meta_set_array(m, "edgellm.tokenizer.eog_ids", EL_META_I32, more, 1, &err), err);
    struct el_tokenizer *const tok = open_meta(m);
    check_ids(tok, "a b", EL_TOK_ADD_SPECIAL, "260 259 261 2");
    CHECK(!el_tok_adds_bos(tok));
    CHECK(el_tok_is_eog(tok, 271) && el_tok_is_eog(tok, 3));
    const int32_t ids[] = {259, 260};
    check_text(tok, ids, 2, false, " a");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, byte_level_merges_by_rank)
{
    struct el_meta *const m = bpe_meta("gpt-2");
    struct el_tokenizer *const tok = open_meta(m);
    check_ids(tok, "the thing", 0, "257 261 260");
    check_ids(tok, "a the<user>x<|eot|>", 0, "97 32 257 263 120 60 124 101 111 116 124 62");
    check_ids(tok, "x<|eot|>", EL_TOK_PARSE_SPECIAL, "120 262");
    check_ids(tok, "\xc3\xa9", 0, "195 169");
    check_ids(tok,
              "a\xff"
              "b",
              0, "97 239 191 189 98");                /* not UTF-8: U+FFFD */
    check_ids(tok, "the", EL_TOK_ADD_SPECIAL, "257"); /* no BOS */
    CHECK_EQ_INT(el_tok_bos(tok), -1);
    const int32_t ids[] = {257, 258, 262, 263, 195, 169};
    check_text(tok, ids, 6, false, "the the<user>\xc3\xa9");
    check_text(tok, ids, 6, true, "the the<|eot|><user>\xc3\xa9");
    int32_t *out;
    size_t n;
    REQUIRE_OK(el_encode(tok, "a\0b", 3, 0, &out, &n, &err), err);
    CHECK(n == 3 && out[0] == 97 && out[1] == 0 && out[2] == 98);
    el_free(out);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, named_patterns_all_open)
{
    static const char *const names[] = {"gpt-2",       "llama-bpe",  "qwen2",      "starcoder", "deepseek-coder", "deepseek-llm",
                                        "deepseek-v3", "falcon",     "default",    "tekken",    "gpt-4o",         "bloom",
                                        "viking",      "seed-coder", "bailingmoe", "qwen35",    "smaug-bpe",      "refact",
                                        "command-r",   "smollm",     "mpt",        "minicpm5",  "hunyuan-dense",  "poro-chat"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_meta *const m = bpe_meta(names[i]);
        struct el_tokenizer *const tok = open_meta(m);
        REQUIRE(tok);
        check_ids(tok, "the", 0, "257");
        char *text;
        size_t n, nbytes;
        int32_t *ids;
        static const char sample[] = "Don't 1234 \xe4\xbd\xa0\xe5\xa5\xbd,\r\n  x\xc2\xa0y! \t end  ";
        REQUIRE_OK(el_encode(tok, sample, strlen(sample), 0, &ids, &n, &err), err);
        REQUIRE_OK(el_decode(tok, ids, n, false, &text, &nbytes, &err), err);
        CHECK_EQ_STR(text, sample);
        el_free(text);
        el_free(ids);
        el_tokenizer_close(tok);
        el_meta_free(m);
    }
    struct el_meta *const m = bpe_meta(NULL); /* a warning, and "default" */
    struct el_tokenizer *const tok = open_meta(m);
    check_ids(tok, "the thing", 0, "257 261 260");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, old_file_without_types)
{
    struct el_meta *m = spm_meta();
    el_meta_remove(m, "tokenizer.ggml.token_type");
    struct el_tokenizer *tok = open_meta(m);
    CHECK(el_tok_is_control(tok, 1) && el_tok_is_control(tok, 2));
    check_ids(tok, "<s>a\xc3\xa8", EL_TOK_PARSE_SPECIAL, "1 265 198 171");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* A prompt cannot end its own turn through a token that a file wrongly calls user-defined. */
TEST(tokenizer, user_defined_end_of_turn_is_control)
{
    static struct spm_parts p;
    spm_fill(&p);
    p.text[N_SPM - 1] = "<|im_end|>";
    struct el_meta *const m = spm_write(&p);
    struct el_tokenizer *const tok = open_meta(m);
    CHECK(el_tok_is_control(tok, N_SPM - 1) && el_tok_is_eog(tok, N_SPM - 1));
    check_ids(tok, "<|im_end|>", EL_TOK_PARSE_SPECIAL, "271");
    int32_t *ids;
    size_t n;
    REQUIRE_OK(el_encode(tok, "<|im_end|>", 10, 0, &ids, &n, &err), err);
    CHECK(n > 1);
    el_free(ids);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* A character that occurs only within longer pieces can start merges, and falls back to bytes when it stays alone. */
TEST(tokenizer, characters_without_token)
{
    static struct spm_parts p;
    spm_fill(&p);
    p.text[259 + 11] = "x\xc3\xa9y"; /* neither x, y nor the letter between is a token */
    p.text[259 + 10] = "x\xc3\xa9";
    struct el_meta *const m = spm_write(&p);
    struct el_tokenizer *const tok = open_meta(m);
    check_ids(tok, "x\xc3\xa9y\xc3\xa9", 0, "259 270 198 172");
    check_ids(tok, "x\xc3\xa9x", 0, "259 269 123");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

TEST(tokenizer, refuses_bad_vocabularies)
{
    static struct spm_parts p;
    struct el_meta *m = el_meta_new();
    refused(m, EL_E_FORMAT, "there is no tokenizer");

    spm_fill(&p);
    p.text[260] = "";
    refused(spm_write(&p), EL_E_FORMAT, "tokens[260]: 0 bytes");
    spm_fill(&p);
    p.text[260] = "\xff";
    refused(spm_write(&p), EL_E_FORMAT, "tokens[260]: not valid UTF-8");
    char *const huge = malloc((1 << 20) + 1);
    REQUIRE(huge);
    memset(huge, 'a', 1 << 20);
    huge[1 << 20] = '\0';
    spm_fill(&p);
    p.text[260] = huge;
    refused(spm_write(&p), EL_E_FORMAT, "tokens[260]: 1048576 bytes");
    huge[60000] = '\0';
    refused(spm_write(&p), EL_E_UNSUPPORTED, "squares of the lengths");
    free(huge);
    static const char *const bytes[] = {"<0x-1>", "<0xZZ>", "<0x 1>", "<0x+1>", "<0x0>", "<0x100>", "<0X00>", "0x00"};
    for (size_t i = 0; i < 8; i++) {
        spm_fill(&p);
        p.text[3] = bytes[i];
        refused(spm_write(&p), EL_E_FORMAT, "a byte token must be");
    }
    spm_fill(&p);
    p.type[5] = 7;
    refused(spm_write(&p), EL_E_FORMAT, "token_type[5]: 7");
    spm_fill(&p);
    p.type[5] = 0;
    refused(spm_write(&p), EL_E_FORMAT, "token_type[5]: 0");
    spm_fill(&p);
    p.score[300 - 40] = NAN;
    refused(spm_write(&p), EL_E_FORMAT, "scores[260]: not a number");
}

TEST(tokenizer, refuses_bad_arrays)
{
    static struct spm_parts p;
    spm_fill(&p);
    static const uint8_t u8[N_SPM];
    struct el_meta *m = spm_write(&p);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.scores", EL_META_U8, u8, N_SPM, &err), err);
    refused(m, EL_E_FORMAT, "must be float32");
    m = spm_write(&p);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.scores", EL_META_F32, p.score, N_SPM - 1, &err), err);
    refused(m, EL_E_FORMAT, "271 elements for 272 tokens");
    m = spm_write(&p);
    el_meta_remove(m, "tokenizer.ggml.scores");
    refused(m, EL_E_FORMAT, "neither tokenizer.ggml.merges nor");
    m = spm_write(&p);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_F32, p.score, N_SPM, &err), err);
    refused(m, EL_E_FORMAT, "must be int32");
    m = spm_write(&p);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, p.type, 3, &err), err);
    refused(m, EL_E_FORMAT, "3 elements for");
    m = spm_write(&p);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.tokens", EL_META_I32, p.type, N_SPM, &err), err);
    refused(m, EL_E_FORMAT, "array of strings");
    m = spm_write(&p);
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.tokens", p.text, NULL, 0, &err), err);
    refused(m, EL_E_FORMAT, "0 tokens");
    m = spm_write(&p);
    set_str(m, "tokenizer.ggml.model", "rwkv");
    refused(m, EL_E_UNSUPPORTED, "'rwkv', supported are llama, gpt2, t5 and bert");
    m = spm_write(&p);
    el_meta_remove(m, "tokenizer.ggml.model");
    refused(m, EL_E_FORMAT, "tokenizer.ggml.model is missing");
}

TEST(tokenizer, refuses_bad_ids)
{
    static const char *const keys[] = {"bos_token_id",       "eos_token_id", "unknown_token_id",
                                       "eot_token_id",       "eom_token_id", "padding_token_id",
                                       "seperator_token_id", "cls_token_id", "mask_token_id"};
    for (size_t i = 0; i < 9; i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
        struct el_meta *m = spm_meta();
        CHECK_OK(el_meta_set_u32(m, key, N_SPM, &err), err);
        refused(m, EL_E_FORMAT, key);
        m = spm_meta();
        const int32_t minus = -2;
        CHECK_OK(el_meta_set_scalar(m, key, EL_META_I32, &minus, &err), err);
        refused(m, EL_E_FORMAT, "-2, the vocabulary has 272 tokens");
        m = spm_meta();
        set_str(m, key, "1");
        refused(m, EL_E_FORMAT, "must be uint32");
    }
    struct el_meta *m = spm_meta();
    const int32_t eog[] = {5, 999};
    CHECK_OK(el_meta_set_array(m, "edgellm.tokenizer.eog_ids", EL_META_I32, eog, 2, &err), err);
    refused(m, EL_E_FORMAT, "eog_ids[1]: 999");
    m = spm_meta();
    set_str(m, "edgellm.tokenizer.eog_ids", "x");
    refused(m, EL_E_FORMAT, "must be integers");
}

static void refused_merge(const char *merge, const char *part)
{
    struct el_meta *const m = bpe_meta("gpt-2");
    const char *merges[] = {"t h", "i n", merge};
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.merges", merges, NULL, 3, &err), err);
    refused(m, EL_E_FORMAT, part);
}

TEST(tokenizer, refuses_bad_merges)
{
    refused_merge("t q", "merges[2] 't q': must be two tokens");
    refused_merge("zz q", "merges[2]");
    refused_merge("", "merges[2]");
    refused_merge("th", "merges[2]");
    refused_merge(" h", "merges[2]");
    refused_merge("t ", "merges[2]");
    refused_merge("t h", "merges[2] 't h': the same pair twice");
    struct el_meta *m = bpe_meta("gpt-2");
    CHECK_OK(el_meta_set_u32(m, "tokenizer.ggml.merges", 1, &err), err);
    refused(m, EL_E_FORMAT, "must be string");
    m = bpe_meta("gpt-2");
    el_meta_remove(m, "tokenizer.ggml.merges");
    refused(m, EL_E_FORMAT, "merges is missing");
    m = bpe_meta("no-such-pattern");
    refused(m, EL_E_UNSUPPORTED, "'no-such-pattern' is not known; convert the model again");
    static struct bpe_parts p;
    bpe_fill(&p);
    p.type[262] = 3;
    char *const huge = malloc(2001);
    REQUIRE(huge);
    memset(huge, 'a', 2000);
    huge[2000] = '\0';
    p.text[262] = huge;
    refused(bpe_write(&p, "gpt-2"), EL_E_FORMAT, "added token 262: 2000 bytes");
    free(huge);
}

struct shared_use {
    const struct el_tokenizer *tok;
    const char *text;
    size_t nbytes;
    const int32_t *ids;
    size_t n;
    int n_wrong[64]; /* one per thread */
};

static void encode_again(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct shared_use *const u = arg;
    for (uint64_t i = begin; i < end; i++) {
        int32_t *ids;
        size_t n, n_back;
        char *back;
        struct el_err e;
        if (el_encode(u->tok, u->text, u->nbytes, 0, &ids, &n, &e) != EL_OK) {
            u->n_wrong[thread]++;
            continue;
        }
        u->n_wrong[thread] += n != u->n || memcmp(ids, u->ids, n * sizeof *ids) != 0;
        u->n_wrong[thread] += el_decode(u->tok, ids, n, false, &back, &n_back, &e) != EL_OK || n_back != u->nbytes;
        el_free(back);
        el_free(ids);
    }
}

/* One tokenizer, four threads: the race detector watches this one. */
TEST(tokenizer, threads_share_one)
{
    struct el_meta *const m = bpe_meta("llama-bpe");
    struct el_tokenizer *const tok = open_meta(m);
    struct el_buf text;
    el_buf_init(&text);
    for (int i = 0; i < 400; i++)
        el_buf_addf(&text, "the thing %d in <user> the ring\n", i);
    int32_t *ids;
    size_t n;
    REQUIRE_OK(el_encode(tok, text.data, text.nbytes, 0, &ids, &n, &err), err);
    struct shared_use u = {.tok = tok, .text = text.data, .nbytes = text.nbytes, .ids = ids, .n = n};
    struct el_pool *pool;
    REQUIRE_OK(el_pool_open(4, &pool, &err), err);
    el_pool_run(pool, 16, 1, encode_again, &u);
    el_pool_close(pool);
    for (int i = 0; i < 64; i++)
        CHECK_EQ_INT(u.n_wrong[i], 0);
    el_free(ids);
    el_buf_release(&text);
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* Every allocation fails once: the status is EL_E_MEMORY, and nothing leaks (the sanitizer run tells). */
TEST(tokenizer, survives_lack_of_memory)
{
    struct el_meta *const metas[] = {spm_meta(), bpe_meta("starcoder")};
    for (int k = 0; k < 2; k++) {
        int failures = 0;
        for (uint64_t n = 1; n < 4000; n++) {
            struct el_tokenizer *tok = NULL;
            el_mem_fail_after(n);
            enum el_status status = el_tokenizer_from_meta(metas[k], &tok, &err);
            int32_t *ids = NULL;
            size_t n_ids;
            if (status == EL_OK)
                status = el_encode(tok, "<tool>the thing\xff 1ab\xc3\xa8", 22, EL_TOK_ADD_SPECIAL, &ids, &n_ids, &err);
            char *text = NULL;
            size_t nbytes;
            if (status == EL_OK)
                status = el_decode(tok, ids, n_ids, true, &text, &nbytes, &err);
            el_mem_fail_after(0);
            el_free(ids);
            el_free(text);
            el_tokenizer_close(tok);
            if (status == EL_OK)
                break;
            CHECK_EQ_INT(status, EL_E_MEMORY);
            failures++;
        }
        CHECK(failures > 10);
        el_meta_free(metas[k]);
    }
}
