/* The multiple-choice knapsack against enumeration, and on problems of the size of models. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "quant/allocate.h"
#include "test.h"

enum { MAX_ITEMS = 10, MAX_CHOICES = 5 };

struct problem {
    struct el_choice choices[MAX_ITEMS][MAX_CHOICES];
    struct el_item items[MAX_ITEMS];
    size_t n;
};

static uint32_t below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)((test_randf(seed) + 1.0f) * 0.5f * (float)n) % n;
}

/* Whole costs and losses, so that many are equal, or any. */
static void make(struct problem *p, bool whole, uint64_t *seed)
{
    p->n = 1 + below(seed, MAX_ITEMS);
    for (size_t i = 0; i < p->n; i++) {
        p->items[i] = (struct el_item){p->choices[i], 1 + below(seed, MAX_CHOICES)};
        for (uint32_t k = 0; k < p->items[i].n; k++) {
            const double cost = 50.0 * (test_randf(seed) + 1.0f), loss = 10.0 * test_randf(seed) + 5.0;
            p->choices[i][k] = (struct el_choice){whole ? floor(cost / 5.0) : cost, whole ? floor(loss) : loss};
        }
    }
}

/* Least loss within the budget; false: nothing fits. */
static bool enumerate(const struct problem *p, double budget, double *least)
{
    uint32_t at[MAX_ITEMS] = {0};
    *least = INFINITY;
    for (size_t i = 0; i < p->n;) {
        double cost = 0.0, loss = 0.0;
        for (size_t k = 0; k < p->n; k++) {
            cost += p->choices[k][at[k]].cost;
            loss += p->choices[k][at[k]].loss;
        }
        if (cost <= budget && loss < *least)
            *least = loss;
        for (i = 0; i < p->n && ++at[i] == p->items[i].n; i++)
            at[i] = 0;
    }
    return *least < INFINITY;
}

TEST(allocate, is_the_best_of_all)
{
    uint64_t seed = 11;
    uint32_t choice[MAX_ITEMS], n_tight = 0, n_refused = 0;
    for (int t = 0; t < 1000; t++) {
        struct problem p;
        make(&p, t % 2 == 0, &seed);
        double low = 0.0, high = 0.0, least;
        for (size_t i = 0; i < p.n; i++) {
            double a = INFINITY, b = 0.0;
            for (uint32_t k = 0; k < p.items[i].n; k++) {
                a = fmin(a, p.choices[i][k].cost);
                b = fmax(b, p.choices[i][k].cost);
            }
            low += a;
            high += b;
        }
        const double budget = floor(low + (high - low) * (0.55 * (double)test_randf(&seed) + 0.5));
        struct el_allocation a;
        struct el_err err = {0};
        const enum el_status status = el_allocate(p.items, p.n, budget, NULL, choice, &a, &err);
        if (!enumerate(&p, budget, &least)) {
            CHECK(status == EL_E_USAGE);
            CHECK_NEAR(a.cost, low, 1e-9);
            n_refused++;
            continue;
        }
        CHECK_OK(status, err);
        CHECK(a.exact && a.cost <= budget);
        CHECK_NEAR(a.loss, least, 1e-9);
        CHECK(a.bound <= a.loss);
        double cost = 0.0, loss = 0.0;
        for (size_t i = 0; i < p.n; i++) {
            CHECK(choice[i] < p.items[i].n);
            cost += p.choices[i][choice[i]].cost;
            loss += p.choices[i][choice[i]].loss;
        }
        CHECK(cost == a.cost && loss == a.loss);
        n_tight += a.lambda > 0.0;
    }
    CHECK(n_tight > 300 && n_refused > 20);
}

/*
 * Tensors of a model: sizes of four kinds, ten encodings of about 2 to 8 bits, losses that fall by about 4 for every bit, times
 * how much a tensor matters.
 */
static struct el_item *model(size_t n, uint64_t *seed, double *n_weights)
{
    enum { N = 10 };
    struct el_item *const items = el_alloc_array(n, sizeof *items);
    struct el_choice *const all = el_alloc_array(n * N, sizeof *all);
    *n_weights = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double size = 65536.0 * (1u << below(seed, 4)), matters = exp(3.0 * (double)test_randf(seed));
        *n_weights += size;
        items[i] = (struct el_item){all + i * N, N};
        for (uint32_t k = 0; k < N; k++) {
            const double bits = 2.0625 + 0.6875 * k;
            all[i * N + k].cost = size * bits / 8.0;
            all[i * N + k].loss = size * matters * exp(-1.386 * bits + 0.2 * (double)test_randf(seed));
        }
    }
    return items;
}

TEST(allocate, models)
{
    static const size_t sizes[] = {30, 224, 2000};
    uint64_t seed = 12;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double n_weights;
        struct el_item *const items = model(sizes[s], &seed, &n_weights);
        uint32_t *const choice = el_alloc_array(sizes[s], sizeof *choice);
        double last = INFINITY;
        for (double bpw = 2.5; bpw < 8.0; bpw += 0.5) {
            const double budget = floor(n_weights * bpw / 8.0);
            struct el_allocation a;
            struct el_err err = {0};
            CHECK_OK(el_allocate(items, sizes[s], budget, NULL, choice, &a, &err), err);
            CHECK(a.cost <= budget && a.cost >= (sizes[s] < 100 ? 0.99 : 0.999) * budget);
            CHECK(a.loss < last);
            CHECK(a.exact && a.bound == a.loss);
            last = a.loss;
        }
        el_free((void *)(uintptr_t)items[0].choices);
        el_free(items);
        el_free(choice);
    }
}

/* With next to nothing to spend the answer fits and says how far it may be from the best. */
TEST(allocate, says_when_it_is_not_exact)
{
    uint64_t seed = 13;
    double n_weights;
    struct el_item *const items = model(200, &seed, &n_weights);
    uint32_t choice[200];
    struct el_allocation full, cut;
    struct el_err err = {0};
    const double budget = floor(n_weights * 3.3 / 8.0);
    CHECK_OK(el_allocate(items, 200, budget, NULL, choice, &full, &err), err);
    const struct el_allocate_opts opts = {.max_states = 1};
    CHECK_OK(el_allocate(items, 200, budget, &opts, choice, &cut, &err), err);
    CHECK(full.exact && !cut.exact);
    CHECK(cut.cost <= budget && cut.loss >= full.loss && cut.bound <= full.loss);
    el_free((void *)(uintptr_t)items[0].choices);
    el_free(items);
}

/* The other way round: the least bytes within a loss. */
TEST(allocate, costs_may_be_fractions)
{
    uint64_t seed = 14;
    uint32_t choice[MAX_ITEMS];
    for (int t = 0; t < 200; t++) {
        struct problem p;
        make(&p, false, &seed);
        double least, sum = 0.0;
        for (size_t i = 0; i < p.n; i++)
            for (uint32_t k = 0; k < p.items[i].n; k++) {
                p.choices[i][k].cost = exp(-0.1 * p.choices[i][k].cost);
                sum += p.choices[i][k].cost / p.items[i].n;
            }
        struct el_allocation a;
        struct el_err err = {0};
        if (!enumerate(&p, sum, &least))
            continue;
        CHECK_OK(el_allocate(p.items, p.n, sum, NULL, choice, &a, &err), err);
        CHECK_NEAR(a.loss, least, 1e-9);
    }
}

TEST(allocate, refuses_what_is_no_number)
{
    struct el_choice c[2] = {{1.0, 1.0}, {2.0, NAN}};
    const struct el_item item = {c, 2};
    uint32_t choice[1];
    struct el_allocation a;
    struct el_err err = {0};
    CHECK(el_allocate(&item, 1, 10.0, NULL, choice, &a, &err) == EL_E_USAGE);
    c[1] = (struct el_choice){-1.0, 0.0};
    CHECK(el_allocate(&item, 1, 10.0, NULL, choice, &a, &err) == EL_E_USAGE);
    CHECK_OK(el_allocate(NULL, 0, 10.0, NULL, choice, &a, &err), err);
}
