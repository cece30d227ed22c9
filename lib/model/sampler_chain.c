/* The steps of the sampler chain (model/samplers.def), and how an order of them is read. DRY stands in model/sampler_dry.c. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "model/sampler_impl.h"

static const struct step {
    const char *name;
    char letter;
    el_sample_fn *fn;
} steps[] = {
#define SAMPLER(function, name, letter) {name, letter, el_sample_##function},
#include "model/samplers.def"
#undef SAMPLER
};
enum { N_STEPS = sizeof steps / sizeof steps[0] };

const char *el_sampler_step_at(size_t i, char *letter)
{
    if (i >= N_STEPS)
        return NULL;
    if (letter)
        *letter = steps[i].letter;
    return steps[i].name;
}

/* ---- which steps, in which order ---- */

/* Are they the same but for '_' and '-'? */
static bool same_letters(const char *name, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_' || s[i] == '-')
            continue;
        name += *name == '_';
        if (s[i] != *name++)
            return false;
    }
    return *name == '\0';
}

/* The other names that llama.cpp understands too: "top-k", "topk", and these. */
static bool same_name(const char *name, const char *s, size_t n)
{
    static const struct {
        const char *other, *name;
    } others[] = {{"temp", "temperature"}, {"typ", "typ_p"}, {"typical", "typ_p"}, {"typical_p", "typ_p"}, {"nucleus", "top_p"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i].name, name) == 0 && same_letters(others[i].other, s, n))
            return true;
    return same_letters(name, s, n);
}

static const struct step *find_name(const char *s, size_t n)
{
    for (size_t i = 0; i < N_STEPS; i++)
        if (same_name(steps[i].name, s, n))
            return &steps[i];
    return NULL;
}

static const struct step *find_letter(char letter)
{
    for (size_t i = 0; i < N_STEPS; i++)
        if (steps[i].letter == letter)
            return &steps[i];
    return NULL;
}

static enum el_status add_step(struct el_sampler *s, const struct step *step, const char *what, size_t n, struct el_err *err)
{
    if (!step)
        return el_fail(err, EL_E_USAGE,
                       "sampler '%.*s' is not known; there are penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc and "
                       "temperature (letters edskypmxt)",
                       (int)(n < 40 ? n : 40), what);
    if (s->n_steps == EL_MAX_SAMPLER_STEPS)
        return el_fail(err, EL_E_USAGE, "more than %d samplers", EL_MAX_SAMPLER_STEPS);
    s->steps[s->n_steps++] = step->fn;
    return EL_OK;
}

/* Whole names, between ';' or ','; one word that is no name may be letters. */
static enum el_status read_order(struct el_sampler *s, const char *order, struct el_err *err)
{
    const size_t n = strlen(order);
    if (n == 0)
        return EL_OK;
    if (!strpbrk(order, ";,") && !find_name(order, n)) {
        bool letters = true;
        for (size_t i = 0; i < n; i++)
            letters = letters && find_letter(order[i]);
        for (size_t i = 0; letters && i < n; i++)
            EL_TRY(add_step(s, find_letter(order[i]), order, n, err));
        if (letters)
            return EL_OK;
    }
    for (const char *at = order;;) {
        const size_t len = strcspn(at, ";,");
        EL_TRY(add_step(s, find_name(at, len), at, len, err));
        if (at[len] == '\0')
            return EL_OK;
        at += len + 1;
    }
}

enum el_status el_sampler_chain(struct el_sampler *s, const char *order, struct el_err *err)
{
    const struct el_sampler_opts *const o = &s->opts;
    s->n_steps = 0;
    if (order)
        EL_TRY(read_order(s, order, err));
    for (size_t i = 0; !order && i < N_STEPS; i++)
        s->steps[s->n_steps++] = steps[i].fn;
    s->keeps_best = true;
    for (size_t i = 0; i < s->n_steps; i++) {
        const bool typical = s->steps[i] == el_sample_typical && o->typical_p > 0 && o->typical_p < 1;
        const bool xtc = s->steps[i] == el_sample_xtc && o->xtc_probability > 0 && o->xtc_threshold <= 0.5f;
        s->keeps_best = s->keeps_best && !typical && !xtc;
    }
    return EL_OK;
}

/* ---- the list of candidates ---- */

static bool before(const struct el_candidate *a, const struct el_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Moves c[at] down in a heap whose root comes last in the order. */
static void sift_down(struct el_candidate *c, size_t at, size_t n)
{
    const struct el_candidate moved = c[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&c[child], &c[child + 1]))
            child++;
        if (!before(&moved, &c[child]))
            break;
        c[at] = c[child];
        at = child;
    }
    c[at] = moved;
}

/* The first k of n in order, sorted, in c[0..k). */
static void sort_first(struct el_candidate *c, size_t n, size_t k)
{
    for (size_t i = k / 2; i-- > 0;)
        sift_down(c, i, k);
    for (size_t i = k; i < n; i++) {
        if (before(&c[i], &c[0])) {
            c[0] = c[i];
            sift_down(c, 0, k);
        }
    }
    for (size_t left = k; left > 1; left--) {
        const struct el_candidate last = c[0];
        c[0] = c[left - 1];
        c[left - 1] = last;
        sift_down(c, 0, left - 1);
    }
}

void el_sample_sort(struct el_sampler *s)
{
    if (!s->sorted)
        sort_first(s->c, s->n, s->n);
    s->sorted = true;
}

double el_sample_weigh(struct el_sampler *s)
{
    el_sample_sort(s);
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        /* Equal logits weigh the same, infinite ones too, which have no difference. */
        s->p[i] = s->c[i].logit == s->c[0].logit ? 1.0 : exp((double)s->c[i].logit - (double)s->c[0].logit);
        sum += s->p[i];
    }
    return sum;
}

size_t el_sample_choose(struct el_sampler *s, double *probability)
{
    const double sum = el_sample_weigh(s), wanted = sum * el_sample_draw(s);
    size_t at = 0;
    double so_far = s->p[0];
    while (at + 1 < s->n && wanted >= so_far)
        so_far += s->p[++at];
    if (probability)
        *probability = s->p[at] / sum;
    return at;
}

/* Entropy in nats of the weights p[0, n) with this sum. */
static double entropy_of(const double *p, size_t n, double sum)
{
    double h = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] > 0)
            h -= p[i] / sum * log(p[i] / sum);
    return h;
}

/* ---- steps ---- */

/*
 * Repetition (CTRL, arXiv:1909.05858, section 4.1, with the sign of the logit respected), presence and frequency penalties over
 * the last tokens.
 */
void el_sample_penalties(struct el_sampler *s)
{
    const struct el_sampler_opts *const o = &s->opts;
    if (s->last.n == 0 || (o->repeat_penalty == 1 && o->presence_penalty == 0 && o->frequency_penalty == 0))
        return;
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t count = s->counts[s->c[i].id];
        if (count == 0)
            continue;
        const float logit = s->c[i].logit > 0 ? s->c[i].logit / o->repeat_penalty : s->c[i].logit * o->repeat_penalty;
        s->c[i].logit = logit - (float)count * o->frequency_penalty - o->presence_penalty;
    }
    s->sorted = false;
}

/* Keeps logits of at least max - n standard deviations (arXiv:2411.07641, section 3). Minus infinity is no part of these. */
void el_sample_top_n_sigma(struct el_sampler *s)
{
    if (!(s->opts.top_n_sigma > 0) || s->n < 2)
        return;
    double sum = 0, sum2 = 0, max = -INFINITY;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->c[i].logit))
            continue;
        sum += (double)s->c[i].logit;
        max = (double)s->c[i].logit > max ? (double)s->c[i].logit : max;
        n++;
    }
    if (n == 0)
        return;
    const double mean = sum / (double)n;
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->c[i].logit))
            sum2 += ((double)s->c[i].logit - mean) * ((double)s->c[i].logit - mean);
    const double least = max - (double)s->opts.top_n_sigma * sqrt(sum2 / (double)n);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if ((double)s->c[i].logit >= least)
            s->c[kept++] = s->c[i];
    s->n = kept;
}

void el_sample_top_k(struct el_sampler *s)
{
    const size_t k = s->opts.top_k;
    if (k == 0 || k >= s->n)
        return;
    if (!s->sorted)
        sort_first(s->c, s->n, k);
    s->n = k;
    s->sorted = true;
}

/*
 * Locally typical sampling (arXiv:2202.00666, section 4): the tokens whose surprise is nearest to the entropy, until they hold
 * probability typical_p.
 */
void el_sample_typical(struct el_sampler *s)
{
    const double want = (double)s->opts.typical_p;
    if (!(want > 0) || want >= 1 || s->n < 2)
        return;
    const double sum = el_sample_weigh(s), entropy = entropy_of(s->p, s->n, sum);
    /*
     * Surprise grows along the sorted list, so its distance to the entropy falls and then grows: the chosen tokens are a range
     * that is widened on the nearer side.
     */
    size_t first = 0;
    while (first + 1 < s->n && -log(s->p[first + 1] / sum) <= entropy)
        first++;
    if (first + 1 < s->n && fabs(-log(s->p[first + 1] / sum) - entropy) < fabs(-log(s->p[first] / sum) - entropy))
        first++;
    size_t last = first;
    double held = s->p[first];
    while (held <= want * sum && (first > 0 || last + 1 < s->n)) {
        const double up = first > 0 ? fabs(-log(s->p[first - 1] / sum) - entropy) : INFINITY;
        const double down = last + 1 < s->n ? fabs(-log(s->p[last + 1] / sum) - entropy) : INFINITY;
        if (last + 1 == s->n || (first > 0 && up <= down))
            held += s->p[--first];
        else
            held += s->p[++last];
    }
    memmove(s->c, s->c + first, (last - first + 1) * sizeof *s->c);
    s->n = last - first + 1;
}

/* Nucleus sampling (arXiv:1904.09751, section 3.1): the fewest tokens that hold probability top_p. */
void el_sample_top_p(struct el_sampler *s)
{
    const double want = (double)s->opts.top_p;
    if (want >= 1 || s->n < 2)
        return;
    const double sum = el_sample_weigh(s);
    double so_far = 0;
    size_t kept = 0;
    while (kept < s->n && (kept == 0 || so_far < want * sum))
        so_far += s->p[kept++];
    s->n = kept;
}

/* Tokens of at least min_p times the highest probability (arXiv:2407.01082, section 3). */
void el_sample_min_p(struct el_sampler *s)
{
    if (!(s->opts.min_p > 0) || s->n < 2)
        return;
    float max = s->c[0].logit;
    for (size_t i = 1; i < s->n && !s->sorted; i++)
        max = s->c[i].logit > max ? s->c[i].logit : max;
    const double least = (double)max + log((double)s->opts.min_p);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->c[i].logit == max || (double)s->c[i].logit >= least)
            s->c[kept++] = s->c[i];
    s->n = kept;
}

/*
 * Exclude top choices (p-e-w, oobabooga/text-generation-webui pull request 6335): with xtc_probability, all tokens of at least
 * xtc_threshold but the least likely of them are dropped.
 */
void el_sample_xtc(struct el_sampler *s)
{
    const struct el_sampler_opts *const o = &s->opts;
    if (!(o->xtc_probability > 0) || o->xtc_threshold > 0.5f || s->n < 2)
        return;
    if (el_sample_draw(s) >= (double)o->xtc_probability)
        return;
    const double sum = el_sample_weigh(s);
    size_t above = 0;
    while (above < s->n && s->p[above] >= (double)o->xtc_threshold * sum)
        above++;
    if (above < 2)
        return;
    memmove(s->c, s->c + above - 1, (s->n - above + 1) * sizeof *s->c);
    s->n -= above - 1;
}

static void keep_best(struct el_sampler *s)
{
    size_t best = 0;
    for (size_t i = 1; i < s->n; i++)
        if (before(&s->c[i], &s->c[best]))
            best = i;
    s->c[0] = s->c[best];
    s->n = 1;
    s->sorted = true;
}

/*
 * Divides the logits. With a range, by a temperature between temp - range and temp + range that follows the entropy: min + (max -
 * min) * (H / H_max)^exponent.
 */
void el_sample_temperature(struct el_sampler *s)
{
    const struct el_sampler_opts *const o = &s->opts;
    double temp = (double)o->temp;
    if (o->dynatemp_range > 0 && s->n > 1) {
        const double low = temp > (double)o->dynatemp_range ? temp - (double)o->dynatemp_range : 0;
        const double high = temp + (double)o->dynatemp_range;
        const double sum = el_sample_weigh(s), share = entropy_of(s->p, s->n, sum) / log((double)s->n);
        temp = low + (high - low) * pow(share, (double)o->dynatemp_exponent);
    }
    if (temp == 1)
        return;
    if (!(temp > 0)) {
        keep_best(s);
        return;
    }
    float best = s->c[0].logit;
    for (size_t i = 1; i < s->n && !s->sorted; i++)
        best = s->c[i].logit > best ? s->c[i].logit : best;
    /* Where a small temperature would make infinities of all, relative to the best: then the others become minus infinity. */
    const bool relative = !(fabs((double)best / temp) < 1e30);
    for (size_t i = 0; i < s->n; i++) {
        const float logit = s->c[i].logit;
        s->c[i].logit = (float)(relative ? (logit == best ? 0.0 : ((double)logit - (double)best) / temp) : (double)logit / temp);
    }
}
