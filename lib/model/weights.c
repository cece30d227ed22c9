/* Binding: every tensor to its rule, every rule to its tensor; then the bytes. */
#include "model/weights.h"

#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "model/laid_file.h"
#include "model/relay.h"

/* ---- features ---- */

enum el_status el_features_parse(const char *names, unsigned *off, struct el_err *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } features[] = {
        {"rope_scaling", EL_OFF_ROPE_SCALING},
        {"bias", EL_OFF_BIAS},
        {"norm_bias", EL_OFF_NORM_BIAS},
        {"norm_gain", EL_OFF_NORM_GAIN},
        {"window", EL_OFF_WINDOW},
        {"positions", EL_OFF_POSITIONS},
        {"output", EL_OFF_OUTPUT},
        {"experts", EL_OFF_EXPERTS},
        {"qk_norm", EL_OFF_QK_NORM},
        {"resid_norm", EL_OFF_RESID_NORM},
        {"embd_scale", EL_OFF_EMBD_SCALE},
        {"residual_scale", EL_OFF_RESIDUAL_SCALE},
        {"logit_scale", EL_OFF_LOGIT_SCALE},
        {"attn_scale", EL_OFF_ATTN_SCALE},
        {"pos_offset", EL_OFF_POS_OFFSET},
        {"partial_rotary", EL_OFF_PARTIAL_ROTARY},
        {"parallel", EL_OFF_PARALLEL},
        {"shared_expert", EL_OFF_SHARED_EXPERT},
        {"shared_gate", EL_OFF_SHARED_GATE},
        {"expert_shares", EL_OFF_EXPERT_SHARES},
        {"attn_cap", EL_OFF_ATTN_CAP},
        {"logit_cap", EL_OFF_LOGIT_CAP},
        {"post_norm", EL_OFF_POST_NORM},
        {"norm_offset", EL_OFF_NORM_OFFSET},
        {"window_every", EL_OFF_WINDOW_EVERY},
        {"rope_local", EL_OFF_ROPE_LOCAL},
        {"rope_attn_factor", EL_OFF_ROPE_ATTN},
    };
    enum { N_FEATURES = sizeof features / sizeof features[0] };
    *off = 0;
    while (names && *names) {
        const size_t n = strcspn(names, ",");
        bool known = false;
        for (size_t i = 0; i < N_FEATURES; i++) {
            if (strlen(features[i].name) == n && strncmp(features[i].name, names, n) == 0) {
                *off |= features[i].bit;
                known = true;
            }
        }
        if (!known) {
            char list[560] = "";
            for (size_t i = 0, at = 0; i < N_FEATURES && at < sizeof list; i++)
                at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", features[i].name);
            return el_fail(err, EL_E_USAGE, "no feature '%.*s' to disable, known are %s", n > 64 ? 64 : (int)n, names, list);
        }
        names += n + (names[n] == ',');
    }
    return EL_OK;
}

/* ---- the list of problems ---- */

struct problems {
    struct el_buf text;
    size_t n, n_shown;
    el_weights_problem_fn *fn; /* NULL: into text */
    void *user;
};

/* The text of an error is bounded, so the first few problems are shown and the others counted. */
EL_PRINTF(2, 3) static void problem(struct problems *p, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (p->fn) {
        p->fn(p->user, text);
        return;
    }
    if (p->n == p->n_shown && p->text.nbytes + strlen(text) < 330) {
        el_buf_addf(&p->text, "%s%s", p->n ? "; " : "", text);
        p->n_shown++;
    }
    p->n++;
}

static enum el_status problems_end(struct problems *p, const struct el_arch *arch, struct el_err *err)
{
    enum el_status status = EL_OK;
    if (p->text.failed)
        status = el_fail(err, EL_E_MEMORY, "out of memory while checking tensors");
    else if (p->n > p->n_shown)
        status = el_fail(err, EL_E_FORMAT, "%zu problems with the tensors of a %s model: %s; and %zu more", p->n, arch->name,
                         p->text.data, p->n - p->n_shown);
    else if (p->n)
        status = el_fail(err, EL_E_FORMAT, "%zu problem%s with the tensors of a %s model: %s", p->n, p->n == 1 ? "" : "s",
                         arch->name, p->text.data);
    el_buf_release(&p->text);
    return status;
}

/* ---- matching ---- */

struct binding {
    struct el_weights *w;
    const struct el_arch *arch;
    const struct el_hparams *hp;
    struct el_source *source;
    struct el_strmap by_name; /* name to index of tensor */
    size_t *tensor_of;        /* [slots]: index, SIZE_MAX for none; NULL when only checking */
    const struct el_bind_opts *opts;
    struct el_relay_item *relay; /* [n_relay] matrices that are re-laid; room for every slot */
    size_t n_relay;
};

static size_t slot_at(const struct el_weights *w, const struct el_tensor_rule *rule, uint32_t layer)
{
    const uint32_t l = (rule->flags & EL_TF_LAYER) ? layer : w->n_layers;
    return (size_t)l * EL_R_COUNT + rule->role;
}

static uint32_t rule_dims(const struct el_tensor_rule *rule, const struct el_hparams *hp, uint64_t dims[3])
{
    uint32_t n = 0;
    for (; n < 3 && rule->dims[n] != EL_D_NONE; n++)
        dims[n] = el_dim_size(rule->dims[n], hp);
    return n;
}

static void add_shape(char *text, size_t cap, const uint64_t *dims, uint32_t n_dims)
{
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < n_dims && n < cap; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s%llu", i ? " x " : "", (unsigned long long)dims[i]);
}

/* GGUF drops leading ones, so [1, n] and [n] are the same to it. */
static bool same_shape(const struct el_tensor *t, const uint64_t *dims, uint32_t n_dims)
{
    uint32_t skip_t = 0, skip_r = 0;
    while (skip_t + 1 < t->n_dims && t->dims[skip_t] == 1)
        skip_t++;
    while (skip_r + 1 < n_dims && dims[skip_r] == 1)
        skip_r++;
    if (t->n_dims - skip_t != n_dims - skip_r)
        return false;
    for (uint32_t i = 0; i + skip_r < n_dims; i++)
        if (t->dims[skip_t + i] != dims[skip_r + i])
            return false;
    return true;
}

/* Of a model that says it has these factors; nothing else could stand for them. */
static bool is_long_factor(const struct el_hparams *hp, enum el_role role)
{
    return hp->rope_scaling == EL_ROPE_LONG && (role == EL_R_ROPE_SHORT || role == EL_R_ROPE_LONG);
}

static void match_rule(struct binding *b, const struct el_tensor_rule *rule, struct problems *p)
{
    const uint32_t n_layers = (rule->flags & EL_TF_LAYER) ? b->hp->n_layers : 1;
    uint64_t dims[3];
    const uint32_t n_dims = rule_dims(rule, b->hp, dims);
    char name[128], found[96], wanted[96];
    uint32_t n_present = 0;
    if (!el_arch_has(b->arch, b->hp, rule))
        return;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t l = 0; l < n_layers; l++) {
            const char *const hole = strstr(rule->gguf, "%u");
            if (hole)
                snprintf(name, sizeof name, "%.*s%u%s", (int)(hole - rule->gguf), rule->gguf, l, hole + 2);
            else
                snprintf(name, sizeof name, "%s", rule->gguf);
            const int64_t at = el_strmap_get(&b->by_name, name, strlen(name), -1);
            if (pass == 0) {
                n_present += at >= 0;
                continue;
            }
            if (at < 0) {
                /* What is optional is so for the whole model, not for a layer. */
                if (!(rule->flags & EL_TF_OPTIONAL) || n_present > 0 || is_long_factor(b->hp, rule->role))
                    problem(p, "'%s' is missing", name);
                continue;
            }
            const struct el_tensor *const t = &b->source->tensors[at];
            if (!same_shape(t, dims, n_dims)) {
                add_shape(found, sizeof found, t->dims, t->n_dims);
                add_shape(wanted, sizeof wanted, dims, n_dims);
                problem(p, "'%s' is %s, should be %s", name, found, wanted);
                continue;
            }
            if (b->tensor_of)
                b->tensor_of[slot_at(b->w, rule, l)] = (size_t)at;
        }
    }
}

static uint64_t columns_of(const struct binding *b, const struct el_tensor_rule *rule)
{
    uint64_t dims[3];
    const uint32_t n_dims = rule_dims(rule, b->hp, dims);
    return dims[n_dims - 1];
}

static void match_all(struct binding *b, struct problems *p)
{
    const struct el_source *const s = b->source;
    for (const struct el_tensor_rule *rule = b->arch->tensors; rule->gguf; rule++)
        match_rule(b, rule, p);
    for (size_t i = 0; i < s->n_tensors; i++) {
        uint32_t layer = 0;
        enum el_input_tensor which;
        const struct el_tensor_rule *const of = el_input_rule(b->arch, s->tensors[i].name, &layer, &which);
        const struct el_tensor_rule *const rule = of ? of : el_arch_rule(b->arch, s->tensors[i].name, &layer);
        if (!rule || !el_arch_has(b->arch, b->hp, rule))
            problem(p, "'%.64s' does not belong to one", s->tensors[i].name);
        else if (of && s->tensors[i].n_rows * s->tensors[i].n_in != columns_of(b, of))
            problem(p, "'%.64s' has %llu elements, should have %llu", s->tensors[i].name,
                    (unsigned long long)(s->tensors[i].n_rows * s->tensors[i].n_in), (unsigned long long)columns_of(b, of));
        else if ((rule->flags & EL_TF_LAYER) && layer >= b->hp->n_layers)
            problem(p, "'%.64s' is of a layer past the last, %u", s->tensors[i].name, b->hp->n_layers - 1);
    }
}

static enum el_status index_names(struct binding *b, struct el_err *err)
{
    struct el_source *const s = b->source;
    for (size_t i = 0; i < s->n_tensors; i++)
        if (!el_strmap_add(&b->by_name, s->tensors[i].name, strlen(s->tensors[i].name), (int64_t)i, NULL))
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu tensors", s->n_tensors);
    return EL_OK;
}

enum el_status el_weights_check(const struct el_arch *arch, const struct el_hparams *hp, struct el_source *source,
                                el_weights_problem_fn *fn, void *user, struct el_err *err)
{
    struct binding b = {.arch = arch, .hp = hp, .source = source};
    struct problems p = {.fn = fn, .user = user};
    el_strmap_init(&b.by_name);
    const enum el_status status = index_names(&b, err);
    if (status == EL_OK)
        match_all(&b, &p);
    el_strmap_release(&b.by_name);
    return status;
}

/* ---- bytes ---- */

static void *own_block(struct el_weights *w, uint64_t nbytes)
{
    if (nbytes > SIZE_MAX)
        return NULL;
    void *const p = el_alloc_aligned((size_t)nbytes);
    if (p)
        w->owned[w->n_owned++] = p;
    return p;
}

static enum el_status no_memory(const struct el_tensor *t, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for tensor '%s'", t->name);
}

/* The matrix of a whole tensor in canonical row order: in the mapping, if it may stay there and lies so, else read. */
static enum el_status load_matrix(struct binding *b, const struct el_tensor *t, bool may_stay, struct el_matrix *m,
                                  struct el_err *err)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct el_source *const s = b->source;
    uint8_t *out[EL_MAX_PARTS] = {NULL};
    *m = (struct el_matrix){.enc = t->enc, .n_rows = t->n_rows, .n_in = t->n_in};
    bool in_place = may_stay && !b->opts->own && el_row_order_equal(&t->order, &canonical);
    for (uint32_t p = 0; p < t->n_parts; p++) {
        m->row_nbytes[p] = t->parts[p].row_nbytes;
        m->data[p] = in_place ? s->ops->map(s, t, p) : NULL;
        in_place = in_place && m->data[p];
    }
    if (in_place)
        return EL_OK;
    for (uint32_t p = 0; p < t->n_parts; p++) {
        out[p] = own_block(b->w, t->parts[p].nbytes);
        if (!out[p])
            return no_memory(t, err);
        m->data[p] = out[p];
    }
    if (el_source_read_parts(s, t, &canonical, 0, t->n_rows, out, err) != EL_OK)
        return el_fail_prefix(err, EL_E_IO, "tensor '%s'", t->name);
    return EL_OK;
}

/* The next input, which becomes one when the weight is found to be the first of its layer that has it. */
static struct el_weight_input *next_input(struct binding *b)
{
    struct el_weight_input *const input = &b->w->inputs[b->w->n_inputs];
    *input = (struct el_weight_input){.perm = NULL};
    return input;
}

/* One copy for the weights of a layer that have the same. */
static void share_input(struct binding *b, uint32_t layer, struct el_weight *w)
{
    const struct el_weight *const of_layer = b->w->slots + (size_t)layer * EL_R_COUNT;
    struct el_weight_input *const input = &b->w->inputs[b->w->n_inputs];
    for (size_t i = 0; i < EL_R_COUNT; i++) {
        const struct el_weight *const other = &of_layer[i];
        if (other->input && other->n_in == w->n_in && el_input_equal(other->input, input, w->n_in)) {
            w->input = other->input;
            el_rotation_release(&input->rotation);
            return;
        }
    }
    w->input = input;
    b->w->n_inputs++;
    b->w->any_input = true;
}

/* The order of the columns of a permuted matrix, checked. */
static enum el_status load_perm(struct binding *b, const struct el_tensor *t, uint32_t layer, struct el_weight *w,
                                struct el_err *err)
{
    const uint8_t *const stored = el_matrix_perm(&w->m);
    if (!stored)
        return EL_OK;
    const enum el_status status = el_matrix_check(&w->m, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "tensor '%s'", t->name);
    uint32_t *const perm = own_block(b->w, w->n_in * sizeof *perm);
    if (!perm)
        return no_memory(t, err);
    memcpy(perm, stored, w->n_in * sizeof *perm);
    next_input(b)->perm = perm;
    share_input(b, layer, w);
    return EL_OK;
}

static enum el_status load_vector(struct binding *b, const struct el_tensor *t, float less, const float **vec, struct el_err *err)
{
    struct el_matrix m;
    const size_t n_owned = b->w->n_owned;
    float *const values = own_block(b->w, t->n_rows * t->n_in * sizeof(float));
    if (!values)
        return no_memory(t, err);
    /* One touch of a mapping can bring two megabytes of the file into the process: vectors are read. */
    EL_TRY(load_matrix(b, t, false, &m, err));
    el_matrix_decode(&m, 0, t->n_rows, values);
    for (uint64_t i = 0; less != 0 && i < t->n_rows * t->n_in; i++)
        values[i] -= less;
    /* The encoded bytes, where they were read, lie behind the values. */
    while (b->w->n_owned > n_owned + 1)
        el_free_aligned(b->w->owned[--b->w->n_owned]);
    *vec = values;
    return EL_OK;
}

/* Values of a tensor beside a matrix: a number for each of its columns, none of which may be what undoes all others. */
static enum el_status load_columns(struct binding *b, const struct el_tensor *t, enum el_input_tensor which, const float **values,
                                   struct el_err *err)
{
    EL_TRY(load_vector(b, t, 0.0f, values, err));
    for (uint64_t k = 0; k < t->n_rows * t->n_in; k++) {
        const float v = (*values)[k];
        if (which == EL_INPUT_SIGNS ? v != 1.0f && v != -1.0f : !(v > -FLT_MAX && v < FLT_MAX))
            return el_fail(err, EL_E_FORMAT, "tensor '%s': element %llu is %g, allowed %s", t->name, (unsigned long long)k,
                           (double)v, which == EL_INPUT_SIGNS ? "are 1 and -1" : "are finite numbers");
    }
    return EL_OK;
}

/* What the tensors beside a matrix say of its input. */
static enum el_status load_input(struct binding *b, const struct el_tensor *t, uint32_t layer, struct el_weight *w,
                                 struct el_err *err)
{
    char name[128];
    const float *values[EL_INPUT_TENSORS] = {NULL};
    bool any = false;
    const size_t n_stem = strlen(t->name) - (sizeof ".weight" - 1);
    for (int i = 0; i < EL_INPUT_TENSORS; i++) {
        (void)snprintf(name, sizeof name, "%.*s%s", (int)n_stem, t->name, el_input_suffix[i]);
        const int64_t at = el_strmap_get(&b->by_name, name, strlen(name), -1);
        if (at >= 0)
            EL_TRY(load_columns(b, &b->source->tensors[at], (enum el_input_tensor)i, &values[i], err));
        any = any || at >= 0;
    }
    if (!any)
        return EL_OK;
    if (w->input)
        return el_fail(err, EL_E_UNSUPPORTED, "tensor '%s': its columns are in another order, and its input is changed too",
                       t->name);
    struct el_weight_input *const input = next_input(b);
    input->scale = values[EL_INPUT_SCALE];
    if (values[EL_INPUT_SIGNS])
        EL_TRY(el_rotation_open(&input->rotation, w->n_in, false, values[EL_INPUT_SIGNS], 0, err));
    share_input(b, layer, w);
    return EL_OK;
}

bool el_weights_change_inputs(const struct el_source *source)
{
    for (size_t i = 0; i < source->n_tensors; i++) {
        const char *const name = source->tensors[i].name;
        const size_t n = strlen(name);
        for (int k = 0; k < EL_INPUT_TENSORS; k++) {
            const size_t n_suffix = strlen(el_input_suffix[k]);
            if (n > n_suffix && strcmp(name + n - n_suffix, el_input_suffix[k]) == 0)
                return true;
        }
        if (source->tensors[i].enc.permuted)
            return true;
    }
    return false;
}

/* A matrix that products read, at a level that reads it better re-laid. Tables of rows are only looked up. */
static bool is_relaid(const struct binding *b, const struct el_tensor_rule *rule, const struct el_tensor *t)
{
    const size_t output = (size_t)b->w->n_layers * EL_R_COUNT + EL_R_OUTPUT;
    const bool tied = b->tensor_of[output] == SIZE_MAX || b->opts->off & EL_OFF_OUTPUT;
    if (!b->opts->kernels || rule->role == EL_R_POS_EMBD || (rule->role == EL_R_TOKEN_EMBD && !tied))
        return false;
    return el_relay_pays(b->opts->kernels, &t->enc);
}

static enum el_status load_slot(struct binding *b, const struct el_tensor_rule *rule, uint32_t layer, struct el_err *err)
{
    const size_t slot = slot_at(b->w, rule, layer);
    if (b->tensor_of[slot] == SIZE_MAX)
        return EL_OK;
    const struct el_tensor *const t = &b->source->tensors[b->tensor_of[slot]];
    struct el_weight *const w = &b->w->slots[slot];
    uint64_t dims[3];
    const uint32_t n_dims = rule_dims(rule, b->hp, dims);
    w->name = t->name;
    w->layer = (rule->flags & EL_TF_LAYER) ? layer : 0;
    w->n_in = n_dims == 1 ? 1 : dims[n_dims - 1];
    w->n_out = n_dims == 1 ? dims[0] : dims[n_dims - 2];
    w->n_experts = n_dims == 3 ? (uint32_t)dims[0] : 1;
    bool relaid = false;
    if (n_dims == 1 || rule->flags & EL_TF_VECTORS)
        EL_TRY(load_vector(b, t, rule->flags & EL_TF_PLUS_ONE && b->opts->off & EL_OFF_NORM_OFFSET ? 1.0f : 0.0f, &w->vec, err));
    else if (is_relaid(b, rule, t))
        relaid = true;
    else
        EL_TRY(load_matrix(b, t, true, &w->m, err));
    if (relaid) {
        w->m = (struct el_matrix){.enc = t->enc, .n_rows = t->n_rows, .n_in = t->n_in};
        b->relay[b->n_relay++] = (struct el_relay_item){w, t};
    } else if (n_dims > 1) {
        EL_TRY(load_perm(b, t, (uint32_t)(slot / EL_R_COUNT), w, err));
    }
    if (n_dims > 1 && !(rule->flags & EL_TF_VECTORS))
        EL_TRY(load_input(b, t, (uint32_t)(slot / EL_R_COUNT), w, err));
    w->role = rule->role;
    return EL_OK;
}

/* ---- what stands around the matrices ---- */

static const enum el_role linears_with_bias[] = {EL_R_ATTN_Q,   EL_R_ATTN_K,   EL_R_ATTN_V, EL_R_ATTN_QKV,
                                                 EL_R_ATTN_OUT, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_FFN_DOWN};
_Static_assert(EL_R_ATTN_Q_B == EL_R_ATTN_Q + 1 && EL_R_ATTN_K_B == EL_R_ATTN_K + 1 && EL_R_ATTN_V_B == EL_R_ATTN_V + 1 &&
                   EL_R_ATTN_QKV_B == EL_R_ATTN_QKV + 1 && EL_R_ATTN_OUT_B == EL_R_ATTN_OUT + 1,
               "a bias follows its matrix");
_Static_assert(EL_R_FFN_GATE_B == EL_R_FFN_GATE + 1 && EL_R_FFN_UP_B == EL_R_FFN_UP + 1 && EL_R_FFN_DOWN_B == EL_R_FFN_DOWN + 1,
               "a bias follows its matrix");

static void drop(struct el_weight *w)
{
    w->role = EL_R_COUNT;
    w->vec = NULL;
}

static void finish_layer(struct el_weights *w, uint32_t layer, unsigned off)
{
    struct el_weight *const at = w->slots + (size_t)layer * EL_R_COUNT;
    for (size_t i = 0; i < sizeof linears_with_bias / sizeof linears_with_bias[0]; i++) {
        const enum el_role role = linears_with_bias[i];
        at[role].bias = (off & EL_OFF_BIAS) ? NULL : at[role + 1].vec;
    }
    static const enum el_role norms[][2] = {{EL_R_ATTN_NORM, EL_R_ATTN_NORM_B},
                                            {EL_R_FFN_NORM, EL_R_FFN_NORM_B},
                                            {EL_R_OUTPUT_NORM, EL_R_OUTPUT_NORM_B},
                                            {EL_R_ATTN_RESID_NORM, EL_R_ATTN_RESID_NORM_B},
                                            {EL_R_FFN_RESID_NORM, EL_R_FFN_RESID_NORM_B}};
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++) {
        if (off & EL_OFF_NORM_BIAS)
            drop(&at[norms[i][1]]);
        if ((off & EL_OFF_NORM_GAIN) && at[norms[i][0]].vec)
            at[norms[i][0]].vec = w->ones;
    }
    if (off & EL_OFF_RESID_NORM) {
        drop(&at[EL_R_ATTN_RESID_NORM]);
        drop(&at[EL_R_FFN_RESID_NORM]);
    }
    static const enum el_role post_norms[] = {EL_R_ATTN_POST_NORM, EL_R_FFN_POST_NORM};
    for (size_t i = 0; i < 2; i++) {
        if (off & EL_OFF_POST_NORM)
            drop(&at[post_norms[i]]);
        if ((off & EL_OFF_NORM_GAIN) && at[post_norms[i]].vec)
            at[post_norms[i]].vec = w->ones;
    }
    if (off & EL_OFF_SHARED_EXPERT)
        drop(&at[EL_R_FFN_UP_SHEXP]);
    if (off & EL_OFF_SHARED_GATE)
        drop(&at[EL_R_FFN_ROUTER_SHEXP]);
    static const enum el_role qk_norms[] = {EL_R_ATTN_Q_NORM, EL_R_ATTN_K_NORM};
    for (size_t i = 0; i < 2; i++) {
        if (off & EL_OFF_QK_NORM)
            drop(&at[qk_norms[i]]);
        if ((off & EL_OFF_NORM_GAIN) && at[qk_norms[i]].vec)
            at[qk_norms[i]].vec = w->ones;
    }
}

static void finish_global(struct el_weights *w, unsigned off)
{
    struct el_weight *const at = w->slots + (size_t)w->n_layers * EL_R_COUNT;
    if (off & EL_OFF_POSITIONS)
        drop(&at[EL_R_POS_EMBD]);
    for (size_t i = 0; i < 3 && off & EL_OFF_ROPE_SCALING; i++)
        drop(&at[el_arch_rope_role(i)]);
    if (at[EL_R_OUTPUT].role == EL_R_COUNT || (off & EL_OFF_OUTPUT)) {
        at[EL_R_OUTPUT] = at[EL_R_TOKEN_EMBD];
        at[EL_R_OUTPUT].role = EL_R_OUTPUT;
    }
}

static enum el_status check_rope_freqs(const struct el_weights *w, struct el_err *err)
{
    for (size_t k = 0; k < 3; k++) {
        const struct el_weight *const f = el_weight_at(w, el_arch_rope_role(k), 0);
        for (uint64_t i = 0; f && i < f->n_out; i++)
            if (!(f->vec[i] > 0 && f->vec[i] <= 1e30f))
                return el_fail(err, EL_E_FORMAT, "tensor '%s': element %llu is %g, allowed are positive numbers", f->name,
                               (unsigned long long)i, (double)f->vec[i]);
    }
    return EL_OK;
}

static bool is_wanted(const struct el_bind_opts *opts, const struct el_tensor_rule *rule, uint32_t layer)
{
    if (opts->what == EL_BIND_ALL)
        return true;
    return rule->flags & EL_TF_LAYER ? opts->what == EL_BIND_LAYER && layer == opts->layer : opts->what == EL_BIND_GLOBAL;
}

static enum el_status bind(struct binding *b, struct el_err *err)
{
    struct problems p = {.n = 0};
    EL_TRY(index_names(b, err));
    el_buf_init(&p.text);
    match_all(b, &p);
    EL_TRY(problems_end(&p, b->arch, err));
    for (const struct el_tensor_rule *rule = b->arch->tensors; rule->gguf; rule++)
        for (uint32_t l = 0; l < ((rule->flags & EL_TF_LAYER) ? b->hp->n_layers : 1); l++) {
            if (!is_wanted(b->opts, rule, l))
                continue;
            if (el_interrupted())
                return el_fail(err, EL_E_INTERRUPTED, "interrupted");
            EL_TRY(load_slot(b, rule, l, err));
        }
    if (b->opts->laid)
        EL_TRY(el_laid_file_use(b->opts->laid, b->source, b->relay, b->n_relay, b->opts->pool, err));
    else
        EL_TRY(el_relay_run(b->source, b->relay, b->n_relay, b->opts->pool, &b->w->arena, err));
    EL_TRY(check_rope_freqs(b->w, err));
    for (uint32_t l = 0; l <= b->hp->n_layers; l++)
        finish_layer(b->w, l, b->opts->off);
    if (b->opts->what != EL_BIND_LAYER)
        finish_global(b->w, b->opts->off);
    return EL_OK;
}

enum el_status el_weights_bind(struct el_weights *w, const struct el_arch *arch, const struct el_hparams *hp,
                               struct el_source *source, const struct el_bind_opts *opts, struct el_err *err)
{
    const size_t n_slots = ((size_t)hp->n_layers + 1) * EL_R_COUNT;
    struct binding b = {.w = w, .arch = arch, .hp = hp, .source = source, .opts = opts};
    enum el_status status = EL_OK;
    const uint64_t n_q = el_dim_size(EL_D_Q, hp), n_ones = n_q > hp->n_embd ? n_q : hp->n_embd;
    el_strmap_init(&b.by_name);
    *w = (struct el_weights){.n_layers = hp->n_layers};
    w->slots = el_calloc_array(n_slots, sizeof *w->slots);
    /* A tensor has one block per part at most, and one more: the values of a vector, the order of a matrix' columns. */
    w->owned = el_alloc_array(source->n_tensors * (EL_MAX_PARTS + 1), sizeof *w->owned);
    w->inputs = el_calloc_array(n_slots + 1, sizeof *w->inputs);
    w->ones = el_alloc_array(n_ones, sizeof *w->ones);
    b.tensor_of = el_alloc_array(n_slots, sizeof *b.tensor_of);
    b.relay = el_alloc_array(n_slots, sizeof *b.relay);
    if (!w->slots || !w->owned || !w->inputs || !w->ones || !b.tensor_of || !b.relay) {
        status = el_fail(err, EL_E_MEMORY, "out of memory for the weights of %u layers", hp->n_layers);
        goto out;
    }
    for (size_t i = 0; i < n_slots; i++) {
        w->slots[i].role = EL_R_COUNT;
        b.tensor_of[i] = SIZE_MAX;
    }
    for (uint64_t i = 0; i < n_ones; i++)
        w->ones[i] = 1.0f;
    status = bind(&b, err);
out:
    el_strmap_release(&b.by_name);
    el_free(b.tensor_of);
    el_free(b.relay);
    if (status != EL_OK)
        el_weights_release(w);
    return status;
}

void el_weights_release(struct el_weights *w)
{
    for (size_t i = 0; i < w->n_owned; i++)
        el_free_aligned(w->owned[i]);
    for (size_t i = 0; i < w->n_inputs; i++)
        el_rotation_release(&w->inputs[i].rotation);
    el_free(w->inputs);
    el_free_aligned(w->arena);
    el_free(w->owned);
    el_free(w->slots);
    el_free(w->ones);
    *w = (struct el_weights){0};
}

const struct el_weight *el_weight_at(const struct el_weights *w, enum el_role role, uint32_t layer)
{
    static const enum el_role global[] = {EL_R_TOKEN_EMBD,  EL_R_POS_EMBD, EL_R_EMBD_PROJ,  EL_R_OUTPUT_NORM, EL_R_OUTPUT_NORM_B,
                                          EL_R_OUTPUT_PROJ, EL_R_OUTPUT,   EL_R_ROPE_FREQS, EL_R_ROPE_SHORT,  EL_R_ROPE_LONG};
    for (size_t i = 0; i < sizeof global / sizeof global[0]; i++)
        if (role == global[i])
            layer = w->n_layers;
    const struct el_weight *const found = &w->slots[(size_t)layer * EL_R_COUNT + role];
    return found->role == EL_R_COUNT ? NULL : found;
}
