/*
 * How well what quantize predicts of choices and of plans agrees with what is measured: Kendall's tau, and the factor between
 * them.
 *
 *   choices MODEL STATS TEXT WINDOWS POSITIONS MIDDLE TYPE,... PLANS LOW HIGH
 *
 * Statistics of another text than TEXT (the first WINDOWS windows of 512 tokens of it; of each POSITIONS predictions, 0: all of
 * its second half). MIDDLE is the type at which errors are scaled, one of the TYPEs. PLANS random plans have LOW to HIGH bits per
 * weight. A line of JSON on standard output for every way to predict.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgellm.h"

enum { WINDOW = 512, MOST_TYPES = 32, N_WAYS = 6 };

static const struct way {
    const char *name;
    enum el_sens_metric metric;
    bool scaled;
} ways[N_WAYS] = {
    {"hessian", EL_SENS_HESSIAN, false},   {"hessian, scaled", EL_SENS_HESSIAN, true},
    {"weight", EL_SENS_WEIGHT, false},     {"weight, scaled", EL_SENS_WEIGHT, true},
    {"shiftadd", EL_SENS_SHIFTADD, false}, {"shiftadd, scaled", EL_SENS_SHIFTADD, true},
};

static struct el_err err;

static void check(enum el_status status)
{
    if (status == EL_OK)
        return;
    (void)fprintf(stderr, "choices: %s\n", err.text);
    exit(1);
}

static void *room(size_t n, size_t nbytes)
{
    void *const p = calloc(n ? n : 1, nbytes);
    if (!p)
        exit(1);
    return p;
}

/* Kendall's tau-b; pairs that are equal in both count in neither. */
static double tau_of(const double *x, const double *y, size_t n)
{
    double both = 0, in_x = 0, in_y = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            const int a = (x[i] > x[k]) - (x[i] < x[k]), b = (y[i] > y[k]) - (y[i] < y[k]);
            both += a * b;
            in_x += a * a;
            in_y += b * b;
        }
    return in_x > 0 && in_y > 0 ? both / sqrt(in_x * in_y) : 0;
}

/* measured = slope * predicted, by least squares of logarithms. */
static double slope_of(const double *predicted, const double *measured, size_t n)
{
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (predicted[i] > 0 && measured[i] > 0) {
            sum += log(measured[i] / predicted[i]);
            used++;
        }
    return used ? exp(sum / (double)used) : 0;
}

static struct el_calibrate_text read_text(const char *path, struct el_source *model, size_t n_windows)
{
    struct el_tokenizer *tok;
    char *text;
    int32_t *ids;
    size_t nbytes, n;
    check(el_read_file(path, 1u << 30, &text, &nbytes, &err));
    check(el_tokenizer_open(model, &tok, &err));
    check(el_encode(tok, text, nbytes, EL_TOK_ADD_SPECIAL, &ids, &n, &err));
    n_windows = n_windows < n / WINDOW ? n_windows : n / WINDOW;
    uint32_t *const window_n = room(n_windows, sizeof *window_n);
    for (size_t w = 0; w < n_windows; w++) {
        window_n[w] = WINDOW;
        if (el_tok_bos(tok) >= 0)
            ids[w * WINDOW] = el_tok_bos(tok); /* as llama-perplexity has it */
    }
    el_tokenizer_close(tok);
    el_free(text);
    return (struct el_calibrate_text){.ids = ids, .window_n = window_n, .n_windows = n_windows, .n_ctx = WINDOW};
}

/* loss [n_items, n_candidates] of the table as it is predicted now. */
static void copy_losses(const struct el_sens *sens, double *loss)
{
    const size_t n = el_sens_n_candidates(sens);
    for (size_t i = 0; i < el_sens_n_items(sens); i++)
        for (size_t c = 0; c < n; c++)
            loss[i * n + c] = el_sens_cell(sens, i, c).loss;
}

static void print_way(const struct el_sens *sens, const struct way *way, const double *loss, const uint32_t *choice,
                      const double *measured, size_t n_plans)
{
    const size_t n_items = el_sens_n_items(sens), n_types = el_sens_n_candidates(sens);
    double *const x = room(n_items * n_types, sizeof *x), *const y = room(n_items * n_types, sizeof *y);
    double *const plans = room(n_plans, sizeof *plans);
    size_t n = 0;
    for (size_t i = 0; i < n_items; i++)
        for (size_t c = 0; c < n_types; c++) {
            const struct el_sens_cell cell = el_sens_cell(sens, i, c);
            if (!cell.fits || !(cell.kld > 0))
                continue;
            x[n] = loss[i * n_types + c];
            y[n++] = cell.kld;
        }
    for (size_t k = 0; k < n_plans; k++)
        for (size_t i = 0; i < n_items; i++)
            if (choice[k * n_items + i] != EL_SENS_KEEP)
                plans[k] += loss[i * n_types + choice[k * n_items + i]];
    (void)printf("{\"predicted_by\": \"%s\", \"choices\": %zu, \"tau_of_choices\": %.4f, \"plans\": %zu, \"tau_of_plans\": %.4f, "
                 "\"slope_of_plans\": %.4f}\n",
                 way->name, n, tau_of(x, y, n), n_plans, tau_of(plans, measured, n_plans), slope_of(plans, measured, n_plans));
    (void)fflush(stdout);
    free(x);
    free(y);
    free(plans);
}

static size_t split_types(char *list, struct el_sens_candidate *candidates)
{
    size_t n = 0;
    for (char *word = strtok(list, ","); word && n < MOST_TYPES; word = strtok(NULL, ","))
        candidates[n++] = (struct el_sens_candidate){word, NULL};
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 11) {
        (void)fprintf(stderr, "usage: choices MODEL STATS TEXT WINDOWS POSITIONS MIDDLE TYPE,... PLANS LOW HIGH\n");
        return 2;
    }
    struct el_source *model, *stats;
    struct el_sens *sens;
    struct el_sens_candidate candidates[MOST_TYPES];
    check(el_source_open(argv[1], NULL, &model, &err));
    check(el_source_open(argv[2], NULL, &stats, &err));
    const struct el_calibrate_text text = read_text(argv[3], model, strtoul(argv[4], NULL, 10));
    const size_t n_types = split_types(argv[7], candidates), n_plans = strtoul(argv[8], NULL, 10);
    const struct el_sens_opts opts = {.candidates = candidates,
                                      .n_candidates = n_types,
                                      .stats = stats,
                                      .text = &text,
                                      .n_positions = (uint32_t)strtoul(argv[5], NULL, 10),
                                      .scratch_path = argv[2]};
    check(el_sens_open(model, &opts, &sens, &err));
    const size_t n_items = el_sens_n_items(sens);
    size_t middle = 0;
    while (middle < n_types && strcmp(el_sens_candidate(sens, middle).type, argv[6]) != 0)
        middle++;
    check(el_sens_errors(sens, &err));
    check(el_sens_shiftadd(sens, &err));
    check(el_sens_divergences(sens, &middle, 1, &err));

    double *const losses = room((N_WAYS + 1) * n_items * n_types, sizeof *losses);
    double *const measured = room(n_plans, sizeof *measured);
    uint32_t *const choice = room(n_plans * n_items, sizeof *choice);
    struct el_sens_check unused;
    for (size_t w = 0; w < N_WAYS; w++) {
        check(el_sens_predict(sens, ways[w].metric, ways[w].scaled, &err));
        copy_losses(sens, losses + w * n_items * n_types);
    }
    check(
        el_sens_interaction(sens, n_plans, strtod(argv[9], NULL), strtod(argv[10], NULL), &unused, NULL, measured, choice, &err));
    check(el_sens_divergences(sens, NULL, 0, &err));
    for (size_t w = 0; w < N_WAYS; w++)
        print_way(sens, &ways[w], losses + w * n_items * n_types, choice, measured, n_plans);
    check(el_sens_predict(sens, EL_SENS_KLD, false, &err));
    copy_losses(sens, losses + N_WAYS * n_items * n_types);
    print_way(sens, &(struct way){"every choice measured", EL_SENS_KLD, false}, losses + N_WAYS * n_items * n_types, choice,
              measured, n_plans);
    el_sens_close(sens);
    el_source_close(stats);
    el_source_close(model);
    el_free((void *)(uintptr_t)text.ids);
    free((void *)(uintptr_t)text.window_n);
    free(losses);
    free(measured);
    free(choice);
    return 0;
}
