/*
 * SentencePiece's tokenizer.model: a protobuf message (sentencepiece_model.proto), of which a few fields count. Read by hand:
 * everything else is stepped over, lengths are bounded by what surrounds them, and nothing nests deeper than two messages.
 */
#include <math.h>
#include <string.h>

#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_import.h"

/* ---- protobuf ---- */

enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct field {
    uint32_t number;
    unsigned wire;
    uint64_t value;      /* VARINT, or the bits of FIXED32 and FIXED64 */
    const uint8_t *data; /* BYTES */
    size_t nbytes;
};

static uint64_t read_varint(struct el_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t b = el_cursor_u8(c);
        if (shift < 64)
            v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80) || c->failed)
            return v;
    }
    c->failed = true; /* no number is longer */
    return 0;
}

/* The next field of a message; false at its end and when it is damaged (c->failed). */
static bool next_field(struct el_cursor *c, struct field *f)
{
    if (c->failed || el_cursor_left(c) == 0)
        return false;
    const uint64_t tag = read_varint(c);
    *f = (struct field){.number = (uint32_t)(tag >> 3), .wire = (unsigned)(tag & 7)};
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        c->failed = true;
    switch (f->wire) {
    case PB_VARINT: f->value = read_varint(c); break;
    case PB_FIXED64: f->value = el_cursor_u64(c); break;
    case PB_FIXED32: f->value = el_cursor_u32(c); break;
    case PB_BYTES:
        f->value = read_varint(c);
        f->nbytes = (size_t)f->value;
        f->data = el_cursor_bytes(c, f->value);
        break;
    default: c->failed = true; break; /* groups are in no such file */
    }
    return !c->failed;
}

static bool is(const struct field *f, uint32_t number, unsigned wire)
{
    return f->number == number && f->wire == wire;
}

/* ---- the message ---- */

enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2, N_MODELS = 5 };
static const char *const model_types[N_MODELS] = {"0", "unigram", "BPE", "word", "char"};

struct spec {
    uint64_t model_type;
    int64_t unk, bos, eos, pad;
    bool suffix;
    bool prefix, merge, escape;
    const uint8_t *map;
    size_t n_map;
};

static enum el_status damaged(const char *message, const struct el_cursor *c, struct el_err *err)
{
    return el_fail(err, EL_E_FORMAT, "%s: truncated or damaged at byte %zu of %zu", message, el_cursor_offset(c),
                   (size_t)(c->end - c->start));
}

/* ModelProto.SentencePiece: piece = 1, score = 2, type = 3. */
static enum el_status read_piece(struct el_vocab *v, const struct field *piece, struct el_err *err)
{
    const size_t id = v->n;
    struct el_cursor c = el_cursor_init(piece->data, piece->nbytes);
    const char *text = NULL;
    size_t n_text = 0;
    uint64_t type = EL_PIECE_NORMAL;
    float score = 0;
    struct field f;
    while (next_field(&c, &f)) {
        if (is(&f, 1, PB_BYTES)) {
            text = (const char *)f.data;
            n_text = f.nbytes;
        } else if (is(&f, 2, PB_FIXED32)) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        } else if (is(&f, 3, PB_VARINT)) {
            type = f.value;
        }
    }
    if (c.failed)
        return el_fail(err, EL_E_FORMAT, "pieces[%zu]: truncated or damaged", id);
    if (id == EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "more than %d pieces", (int)EL_MAX_VOCAB);
    if (n_text == 0 || !el_utf8_is_valid(text, n_text) || memchr(text, '\0', n_text))
        return el_fail(err, EL_E_FORMAT, "pieces[%zu].piece: must be UTF-8 of at least one byte, without NUL", id);
    if (type < EL_PIECE_NORMAL || type > EL_PIECE_BYTE)
        return el_fail(err, EL_E_FORMAT, "pieces[%zu].type is %llu, allowed are 1 to 6", id, (unsigned long long)type);
    if (!isfinite(score))
        return el_fail(err, EL_E_FORMAT, "pieces[%zu].score is not a finite number", id);
    const char *copy = el_vocab_keep(v, el_strndup(text, n_text));
    if (copy && type == EL_PIECE_USER)
        copy = el_vocab_with_spaces(v, copy);
    if (!copy)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu pieces", id);
    EL_TRY(el_vocab_set(v, (int64_t)id, copy, strlen(copy), err));
    v->type[id] = (int32_t)type;
    v->score[id] = score;
    return EL_OK;
}

/* TrainerSpec. An int32 is a varint of 64 bits. */
static enum el_status read_trainer(struct spec *s, const struct field *message, struct el_err *err)
{
    struct el_cursor c = el_cursor_init(message->data, message->nbytes);
    struct field f;
    while (next_field(&c, &f)) {
        if (f.wire != PB_VARINT)
            continue;
        switch (f.number) {
        case 3: s->model_type = f.value; break;
        case 24: s->suffix = f.value != 0; break;
        case 40: s->unk = (int32_t)f.value; break;
        case 41: s->bos = (int32_t)f.value; break;
        case 42: s->eos = (int32_t)f.value; break;
        case 43: s->pad = (int32_t)f.value; break;
        default: break;
        }
    }
    return c.failed ? damaged("trainer_spec", &c, err) : EL_OK;
}

static enum el_status read_normalizer(struct spec *s, const struct field *message, struct el_err *err)
{
    struct el_cursor c = el_cursor_init(message->data, message->nbytes);
    struct field f;
    while (next_field(&c, &f)) {
        if (is(&f, 2, PB_BYTES)) {
            s->map = f.data;
            s->n_map = f.nbytes;
        } else if (is(&f, 3, PB_VARINT)) {
            s->prefix = f.value != 0;
        } else if (is(&f, 4, PB_VARINT)) {
            s->merge = f.value != 0;
        } else if (is(&f, 5, PB_VARINT)) {
            s->escape = f.value != 0;
        }
    }
    return c.failed ? damaged("normalizer_spec", &c, err) : EL_OK;
}

/* ModelProto: pieces = 1, trainer_spec = 2, normalizer_spec = 3. */
static enum el_status read_model(struct el_vocab *v, struct spec *s, const uint8_t *data, size_t nbytes, struct el_err *err)
{
    struct el_cursor c = el_cursor_init(data, nbytes);
    struct field f;
    while (next_field(&c, &f)) {
        if (is(&f, 1, PB_BYTES))
            EL_TRY(read_piece(v, &f, err));
        else if (is(&f, 2, PB_BYTES))
            EL_TRY(read_trainer(s, &f, err));
        else if (is(&f, 3, PB_BYTES))
            EL_TRY(read_normalizer(s, &f, err));
    }
    if (c.failed)
        return damaged("SentencePiece model", &c, err);
    if (s->model_type != MODEL_UNIGRAM && s->model_type != MODEL_BPE)
        return el_fail(err, EL_E_UNSUPPORTED, "trainer_spec.model_type is %llu (%s), supported are 1 (unigram) and 2 (BPE)",
                       (unsigned long long)s->model_type, s->model_type < N_MODELS ? model_types[s->model_type] : "unknown");
    if (s->suffix || !s->escape)
        return el_fail(err, EL_E_UNSUPPORTED, "%s, which is not supported",
                       s->suffix ? "trainer_spec.treat_whitespace_as_suffix is true"
                                 : "normalizer_spec.escape_whitespaces is false");
    return EL_OK;
}

bool el_is_sentencepiece(const uint8_t *data, size_t nbytes)
{
    struct el_cursor c = el_cursor_init(data, nbytes);
    struct field f, piece;
    if (!next_field(&c, &f) || !is(&f, 1, PB_BYTES))
        return false;
    struct el_cursor inner = el_cursor_init(f.data, f.nbytes);
    return next_field(&inner, &piece) && is(&piece, 1, PB_BYTES) && piece.nbytes > 0 &&
           el_utf8_is_valid((const char *)piece.data, piece.nbytes);
}

static enum el_status write_keys(struct el_import *im, const struct spec *s)
{
    EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.add_space_prefix", s->prefix, im->err));
    if (s->merge || s->model_type == MODEL_UNIGRAM)
        EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.remove_extra_whitespaces", s->merge, im->err));
    if (s->n_map > 0)
        EL_TRY(el_meta_set_array(im->meta, "tokenizer.ggml.precompiled_charsmap", EL_META_U8, s->map, s->n_map, im->err));
    im->bos = s->bos;
    im->eos = s->eos;
    im->unk = s->unk;
    im->pad = s->pad;
    return el_import_special(im);
}

enum el_status el_tokenizer_import_sentencepiece(struct el_meta *meta, const uint8_t *data, size_t nbytes,
                                                 const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    struct el_import im;
    struct spec s = {
        .model_type = MODEL_UNIGRAM, .unk = 0, .bos = 1, .eos = 2, .pad = -1, .prefix = true, .merge = true, .escape = true};
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, texts, err));
    EL_TRY_OUT(read_model(&im.v, &s, data, nbytes, err));
    im.machine = s.model_type == MODEL_UNIGRAM ? EL_MACHINE_UNIGRAM : EL_MACHINE_MERGES;
    EL_TRY_OUT(el_import_config_tokens(&im));
    EL_TRY_OUT(el_vocab_pad(&im.v, n_vocab, err));
    EL_TRY_OUT(el_vocab_write(meta, &im.v, s.model_type == MODEL_UNIGRAM ? "t5" : "llama", "default", true, err));
    EL_TRY_OUT(write_keys(&im, &s));
    status = el_import_template(&im);
out:
    el_import_close(&im);
    return status;
}
