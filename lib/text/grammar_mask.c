/*
 * Which tokens may come next. The bytes of all tokens stand in one tree in depth-first order; it is walked together with the
 * grammar's states, and where a state is dead the whole subtree is skipped. The answer is kept per state: inside a string every
 * character leads back to the same state, and the walk is done once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

struct branch {      /* a byte below its parent, which is the last branch before it with a smaller depth */
    uint32_t skip;   /* the first branch that is not below this one */
    uint32_t tokens; /* ids[tokens, tokens of the next branch) end here */
    uint16_t depth;  /* 1: the first byte */
    uint8_t byte;
};
struct el_gvocab {
    size_t n_vocab, n_words, n_branches, n_ids;
    struct branch *branches; /* [n_branches + 1] */
    int32_t *ids;            /* tokens with text, by their bytes */
    struct el_buf text;
    uint32_t *off;    /* [n_vocab + 1] */
    uint64_t *ends;   /* [n_words] tokens that end a text */
    uint64_t *others; /* [n_words] all that a negated token reference may stand for */
    uint32_t strip;   /* spaces that decoding takes off the start of a text */
};

enum {
    MAX_MASK_STEPS = 20000000, /* instructions of the grammar for one mask */
    MAX_SLOTS = 256,
    MAX_SLOT_NBYTES = 16 << 20
};

struct el_grammar_run {
    const struct el_grammar *g;
    struct el_gmatch *m;
    uint32_t state;
    uint32_t strip; /* spaces that decoding will still take off */
    bool ended;
    uint32_t *live;   /* [longest token + 3] */
    uint32_t *strips; /* [longest token + 3] after so many bytes: 1 + what is left to take off; 0: other text has come */
    /* Masks by state. */
    uint64_t *masks;   /* [n_slots, n_words]; the last is for what is not kept */
    uint32_t *slot_of; /* [states] slot + 1; 0: none */
    uint32_t state_of[MAX_SLOTS];
    uint32_t n_slots, n_used, next_slot;
    uint64_t generation;
    struct el_err failed; /* code EL_OK: none */
};

/* ---- vocabularies ---- */

static void set_bit(uint64_t *mask, size_t i)
{
    mask[i / 64] |= UINT64_C(1) << i % 64;
}

static bool get_bit(const uint64_t *mask, size_t i)
{
    return mask[i / 64] >> i % 64 & 1;
}

static int by_text(const void *a, const void *b, void *arg)
{
    const struct el_gvocab *const v = arg;
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    const size_t nx = v->off[x + 1] - v->off[x], ny = v->off[y + 1] - v->off[y];
    const int c = memcmp(v->text.data + v->off[x], v->text.data + v->off[y], nx < ny ? nx : ny);
    return c ? c : nx != ny ? (nx < ny ? -1 : 1) : x < y ? -1 : x > y;
}

/* The tree from the sorted ids. path[d]: the open branch of depth d. */
static void plant(struct el_gvocab *v, uint32_t *path)
{
    const uint8_t *last = NULL;
    size_t n_last = 0, n = 0;
    for (size_t i = 0; i < v->n_ids; i++) {
        const int32_t id = v->ids[i];
        const uint8_t *const text = (const uint8_t *)v->text.data + v->off[id];
        const size_t nbytes = v->off[id + 1] - v->off[id];
        size_t same = 0;
        while (same < n_last && same < nbytes && last[same] == text[same])
            same++;
        for (size_t d = n_last; d > same; d--)
            v->branches[path[d]].skip = (uint32_t)n;
        for (size_t d = same + 1; d <= nbytes; d++) {
            path[d] = (uint32_t)n;
            v->branches[n++] = (struct branch){.tokens = (uint32_t)i, .depth = (uint16_t)d, .byte = text[d - 1]};
        }
        last = text;
        n_last = nbytes;
    }
    for (size_t d = n_last; d > 0; d--)
        v->branches[path[d]].skip = (uint32_t)n;
    v->branches[n] = (struct branch){.tokens = (uint32_t)v->n_ids};
    v->n_branches = n;
}

static size_t count_branches(const struct el_gvocab *v, size_t *longest)
{
    size_t n = 0, n_last = 0;
    const char *last = "";
    *longest = 0;
    for (size_t i = 0; i < v->n_ids; i++) {
        const int32_t id = v->ids[i];
        const char *const text = v->text.data + v->off[id];
        const size_t nbytes = v->off[id + 1] - v->off[id];
        size_t same = 0;
        while (same < n_last && same < nbytes && last[same] == text[same])
            same++;
        n += nbytes - same;
        *longest = nbytes > *longest ? nbytes : *longest;
        last = text;
        n_last = nbytes;
    }
    return n;
}

static enum el_status fill(struct el_gvocab *v, const struct el_tokenizer *tok, struct el_err *err)
{
    for (size_t i = 0; i < v->n_vocab; i++) {
        const int32_t id = (int32_t)i;
        v->off[i] = (uint32_t)v->text.nbytes;
        if (el_tok_is_eog(tok, id)) {
            set_bit(v->ends, i);
            continue;
        }
        el_tok_add_text(tok, id, &v->text);
        if (v->text.nbytes > UINT32_MAX || v->text.nbytes - v->off[i] > UINT16_MAX)
            return el_fail(err, EL_E_UNSUPPORTED, "a vocabulary with tokens of more than %d bytes under a grammar", UINT16_MAX);
        if (v->text.nbytes > v->off[i])
            v->ids[v->n_ids++] = id;
        if (v->text.nbytes > v->off[i] || el_tok_is_control(tok, id))
            set_bit(v->others, i);
    }
    v->off[v->n_vocab] = (uint32_t)v->text.nbytes;
    if (v->text.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary of a grammar");
    if (v->n_ids > 0)
        qsort_r(v->ids, v->n_ids, sizeof *v->ids, by_text, v);
    size_t longest;
    const size_t n = count_branches(v, &longest);
    uint32_t *const path = el_alloc_array(longest + 1, sizeof *path);
    v->branches = el_alloc_array(n + 1, sizeof *v->branches);
    if (path && v->branches)
        plant(v, path);
    el_free(path);
    return path && v->branches ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary of a grammar");
}

enum el_status el_gvocab_open(const struct el_tokenizer *tok, struct el_gvocab **out, struct el_err *err)
{
    *out = NULL;
    if (el_tok_joins_by_spaces(tok))
        return el_fail(err, EL_E_UNSUPPORTED, "a grammar with a tokenizer whose text depends on the neighbours of a token");
    struct el_gvocab *const v = el_calloc_array(1, sizeof *v);
    if (!v)
        return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary of a grammar");
    el_buf_init(&v->text);
    v->n_vocab = el_tok_n_vocab(tok);
    v->n_words = (v->n_vocab + 63) / 64;
    v->strip = el_tok_stripped_spaces(tok);
    v->ids = el_alloc_array(v->n_vocab, sizeof *v->ids);
    v->off = el_alloc_array(v->n_vocab + 1, sizeof *v->off);
    v->ends = el_calloc_array(v->n_words, sizeof *v->ends);
    v->others = el_calloc_array(v->n_words, sizeof *v->others);
    const enum el_status status = v->ids && v->off && v->ends && v->others
                                      ? fill(v, tok, err)
                                      : el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary of a grammar");
    if (status == EL_OK)
        *out = v;
    else
        el_gvocab_close(v);
    return status;
}

void el_gvocab_close(struct el_gvocab *v)
{
    if (!v)
        return;
    el_buf_release(&v->text);
    el_free(v->branches);
    el_free(v->ids);
    el_free(v->off);
    el_free(v->ends);
    el_free(v->others);
    el_free(v);
}

/* ---- runs ---- */

enum el_status el_grammar_run_open(const struct el_grammar *g, bool text_start, struct el_grammar_run **out, struct el_err *err)
{
    *out = NULL;
    const struct el_gvocab *const v = g->vocab;
    if (!v)
        return el_fail(err, EL_E_USAGE, "a grammar that was made without a tokenizer cannot choose tokens");
    struct el_grammar_run *const run = el_calloc_array(1, sizeof *run);
    if (!run)
        return el_fail(err, EL_E_MEMORY, "out of memory for a grammar");
    run->g = g;
    run->strip = text_start ? v->strip : 0;
    size_t longest = 0;
    for (size_t i = 0; i < v->n_ids; i++) {
        const size_t nbytes = v->off[v->ids[i] + 1] - v->off[v->ids[i]];
        longest = nbytes > longest ? nbytes : longest;
    }
    const size_t n_fit = MAX_SLOT_NBYTES / (v->n_words * sizeof *run->masks + 1);
    run->n_slots = n_fit >= MAX_SLOTS ? MAX_SLOTS : n_fit < 4 ? 4 : (uint32_t)n_fit;
    run->live = el_alloc_array(longest + 3, sizeof *run->live);
    run->strips = el_calloc_array(longest + 3, sizeof *run->strips);
    run->masks = el_alloc_array((size_t)run->n_slots + 1, v->n_words * sizeof *run->masks);
    run->slot_of = el_calloc_array(el_gmatch_large.n_states, sizeof *run->slot_of);
    enum el_status status = el_gmatch_open(g, &el_gmatch_large, &run->m, err);
    if (status == EL_OK && (!run->live || !run->strips || !run->masks || !run->slot_of))
        status = el_fail(err, EL_E_MEMORY, "out of memory for a grammar over %zu tokens", v->n_vocab);
    if (status == EL_OK) {
        el_gmatch_set_budget(run->m, MAX_MASK_STEPS);
        status = el_gmatch_start(run->m, &run->state, err);
    }
    if (status == EL_OK)
        *out = run;
    else
        el_grammar_run_close(run);
    return status;
}

void el_grammar_run_close(struct el_grammar_run *run)
{
    if (!run)
        return;
    el_gmatch_close(run->m);
    el_free(run->live);
    el_free(run->strips);
    el_free(run->masks);
    el_free(run->slot_of);
    el_free(run);
}

static enum el_status fail_for_good(struct el_grammar_run *run, enum el_status status, const struct el_err *why,
                                    struct el_err *err)
{
    run->failed = *why;
    run->failed.code = status;
    if (err)
        *err = *why;
    return status;
}

/* Masks are kept by the number of their state, so they are void once states were renumbered. */
static void drop_masks(struct el_grammar_run *run)
{
    for (uint32_t i = 0; i < run->n_used; i++)
        run->slot_of[run->state_of[i]] = 0;
    run->n_used = run->next_slot = 0;
    run->generation = el_gmatch_generation(run->m);
}

/* What token references allow at the start of a token. */
static void allow_named(const struct el_grammar_run *run, uint64_t *mask)
{
    const struct el_gvocab *const v = run->g->vocab;
    const struct el_gnode *n;
    size_t at = 0;
    while ((n = el_gmatch_token_node(run->m, run->state, &at))) {
        if (n->op == EL_G_TOKEN) {
            set_bit(mask, n->a);
            continue;
        }
        const bool had = get_bit(mask, n->a);
        for (size_t i = 0; i < v->n_words; i++)
            mask[i] |= v->others[i];
        if (!had)
            mask[n->a / 64] &= ~(UINT64_C(1) << n->a % 64);
    }
}

/* One branch: the state after its byte, with the spaces in mind that decoding takes off the start of a text. */
static enum el_status enter(struct el_grammar_run *run, const struct branch *b, struct el_err *err)
{
    uint32_t *const next = &run->live[b->depth];
    if (run->strip > 0) {
        const uint32_t left = run->strips[b->depth - 1];
        run->strips[b->depth] = b->byte == ' ' && left > 1 ? left - 1 : 0;
        if (run->strips[b->depth] > 0) {
            *next = run->live[b->depth - 1];
            return EL_OK;
        }
    }
    uint32_t state;
    EL_TRY(el_gmatch_step(run->m, run->live, b->depth, b->byte, &state, err));
    *next = state;
    return EL_OK;
}

static enum el_status make_mask(struct el_grammar_run *run, uint64_t *mask, struct el_err *err)
{
    const struct el_gvocab *const v = run->g->vocab;
    memset(mask, 0, v->n_words * sizeof *mask);
    if (run->ended)
        return EL_OK;
    allow_named(run, mask);
    if (el_gmatch_can_end(run->m, run->state))
        for (size_t i = 0; i < v->n_words; i++)
            mask[i] |= v->ends[i];
    run->live[0] = run->state;
    run->strips[0] = run->strip + 1;
    enum el_status status = EL_OK;
    for (size_t i = 0; i < v->n_branches && status == EL_OK;) {
        const struct branch *const b = &v->branches[i];
        status = enter(run, b, err);
        if (status != EL_OK || run->live[b->depth] == EL_G_DEAD) {
            i = b->skip;
            continue;
        }
        if (run->strip == 0 || run->strips[b->depth] == 0) /* else nothing of the token would be seen */
            for (uint32_t k = b->tokens; k < b[1].tokens; k++)
                set_bit(mask, (size_t)v->ids[k]);
        i++;
    }
    run->state = run->live[0]; /* it may have been renumbered */
    return status;
}

const uint64_t *el_grammar_run_mask(struct el_grammar_run *run, struct el_err *err)
{
    const size_t n_words = run->g->vocab->n_words;
    if (run->failed.code != EL_OK) {
        if (err)
            *err = run->failed;
        return NULL;
    }
    if (run->generation != el_gmatch_generation(run->m))
        drop_masks(run);
    const bool keep = run->strip == 0 && !run->ended; /* at the start of a text the mask depends on more than the state */
    if (keep && run->slot_of[run->state])
        return run->masks + (run->slot_of[run->state] - 1) * n_words;
    uint32_t slot = run->n_slots;
    if (keep) {
        slot = run->next_slot;
        run->next_slot = slot + 1 == run->n_slots ? 0 : slot + 1;
        if (slot < run->n_used)
            run->slot_of[run->state_of[slot]] = 0;
        else
            run->n_used = slot + 1;
        run->state_of[slot] = 0; /* no state: it is filled in below */
    }
    uint64_t *const mask = run->masks + slot * n_words;
    struct el_err why;
    el_gmatch_set_budget(run->m, MAX_MASK_STEPS);
    const enum el_status status = make_mask(run, mask, &why);
    if (status != EL_OK) {
        (void)fail_for_good(run, status, &why, err);
        return NULL;
    }
    if (run->generation != el_gmatch_generation(run->m))
        drop_masks(run);
    else if (keep) {
        run->state_of[slot] = run->state;
        run->slot_of[run->state] = slot + 1;
    }
    return mask;
}

/* The state after the token's bytes, and after what token references make of it. */
static enum el_status take(struct el_grammar_run *run, int32_t id, struct el_err *err)
{
    const struct el_gvocab *const v = run->g->vocab;
    const char *const text = v->text.data + v->off[id];
    const size_t nbytes = v->off[id + 1] - v->off[id];
    uint32_t live[2] = {run->state, run->state}, strip = run->strip, next;
    if (nbytes == 0)
        live[1] = EL_G_DEAD;
    for (size_t i = 0; i < nbytes && live[1] != EL_G_DEAD; i++) {
        if (text[i] == ' ' && strip > 0) {
            strip--;
            continue;
        }
        strip = 0;
        EL_TRY(el_gmatch_step(run->m, live, 2, (uint8_t)text[i], &next, err));
        live[1] = next;
    }
    const uint32_t spelled = live[1];
    live[1] = live[0];
    live[0] = spelled;
    EL_TRY(el_gmatch_step_token(run->m, live, 2, (uint32_t)id, &next, err));
    live[1] = next;
    if (live[0] != EL_G_DEAD && live[1] != EL_G_DEAD)
        EL_TRY(el_gmatch_join(run->m, live, 2, &next, err));
    else if (live[0] != EL_G_DEAD)
        next = live[0];
    run->state = next;
    run->strip = nbytes > 0 ? strip : run->strip;
    return EL_OK;
}

enum el_status el_grammar_run_accept(struct el_grammar_run *run, int32_t id, struct el_err *err)
{
    const struct el_gvocab *const v = run->g->vocab;
    struct el_err why;
    if (run->failed.code != EL_OK) {
        if (err)
            *err = run->failed;
        return run->failed.code;
    }
    if (id < 0 || (size_t)id >= v->n_vocab)
        return el_fail(err, EL_E_USAGE, "token %d, the vocabulary has %zu", (int)id, v->n_vocab);
    el_gmatch_set_budget(run->m, MAX_MASK_STEPS);
    const bool could_end = el_gmatch_can_end(run->m, run->state);
    enum el_status status =
        run->ended ? el_fail(&why, EL_E_USAGE, "token %d after the end of the text", (int)id) : take(run, id, &why);
    if (status == EL_OK && run->state == EL_G_DEAD) {
        if (get_bit(v->ends, (size_t)id) && could_end)
            run->ended = true;
        else
            status = el_fail(&why, EL_E_USAGE, "token %d is not one that the grammar allows here", (int)id);
    }
    return status == EL_OK ? EL_OK : fail_for_good(run, status, &why, err);
}

bool el_grammar_run_can_end(const struct el_grammar_run *run)
{
    return run->ended || (run->failed.code == EL_OK && el_gmatch_can_end(run->m, run->state));
}

enum el_status el_grammar_run_check(struct el_grammar_run *run, struct el_err *err)
{
    const uint64_t *const mask = el_grammar_run_mask(run, err);
    if (!mask)
        return run->failed.code;
    for (size_t i = 0; i < run->g->vocab->n_words; i++)
        if (mask[i])
            return EL_OK;
    if (el_grammar_run_can_end(run))
        return EL_OK;
    if (el_gmatch_too_deep(run->m))
        return el_fail(err, EL_E_UNSUPPORTED,
                       "the grammar is at a depth of %d rules within rules, and all that may follow is deeper",
                       EL_MAX_GRAMMAR_DEPTH);
    return el_fail(err, EL_E_UNSUPPORTED, "no token of the vocabulary begins with what the grammar wants here");
}

size_t el_grammar_run_n_vocab(const struct el_grammar_run *run)
{
    return run->g->vocab->n_vocab;
}
