/* Several solutions of one knapsack, and Kendall's tau. */
#include "quant/diverse.h"
#include "test.h"

enum { N = 40, CHOICES = 6, PLANS = 5 };

TEST(diverse, plans_are_near_the_best_and_differ)
{
    static struct el_choice choices[N][CHOICES];
    struct el_item items[N];
    struct el_err err = {.text = ""};
    uint32_t choice[PLANS * N], best[N];
    struct el_allocation out[PLANS], first;
    uint64_t seed = 3;
    size_t n_found = 0;
    for (size_t i = 0; i < N; i++) {
        items[i] = (struct el_item){choices[i], CHOICES};
        for (uint32_t c = 0; c < CHOICES; c++)
            choices[i][c] = (struct el_choice){(double)(c + 2) * 100.0, (1.5 + (double)test_randf(&seed)) / (double)(1u << c)};
    }
    REQUIRE_OK(el_allocate(items, N, 16000.0, NULL, best, &first, &err), err);
    REQUIRE_OK(el_allocate_diverse(items, N, 16000.0, PLANS, 0.0, choice, out, &n_found, &err), err);
    CHECK_EQ_INT(n_found, PLANS);
    CHECK(memcmp(choice, best, sizeof best) == 0);
    CHECK(out[0].exact && out[0].bound <= out[0].loss);
    for (size_t k = 0; k < n_found; k++) {
        double cost = 0.0, loss = 0.0;
        for (size_t i = 0; i < N; i++) {
            cost += choices[i][choice[k * N + i]].cost;
            loss += choices[i][choice[k * N + i]].loss;
        }
        CHECK(cost <= 16000.0 && loss >= first.loss - 1e-9 && loss < 1.2 * first.loss);
        CHECK_NEAR(out[k].loss, loss, 1e-9);
        CHECK_NEAR(out[k].cost, cost, 1e-9);
        for (size_t j = 0; j < k; j++)
            CHECK(memcmp(choice + k * N, choice + j * N, N * sizeof *choice) != 0);
    }
    CHECK_EQ_INT(el_allocate_diverse(items, N, 7999.0, PLANS, 0.0, choice, NULL, &n_found, &err), EL_E_USAGE);
    CHECK_EQ_INT(n_found, 0);
    /* One solution is all there is. */
    REQUIRE_OK(el_allocate_diverse(items, N, 8000.0, PLANS, 0.0, choice, NULL, &n_found, &err), err);
    CHECK_EQ_INT(n_found, 1);
}

TEST(diverse, kendall_tau)
{
    const double x[] = {1, 2, 3, 4, 5}, up[] = {2, 3, 5, 7, 11}, down[] = {5, 4, 3, 2, 1}, one[] = {2, 1, 3, 4, 5},
                 flat[] = {1, 1, 1, 1, 1}, ties[] = {1, 1, 2, 3, 3};
    CHECK_NEAR(el_kendall_tau(x, up, 5), 1.0, 0.0);
    CHECK_NEAR(el_kendall_tau(x, down, 5), -1.0, 0.0);
    CHECK_NEAR(el_kendall_tau(x, one, 5), 0.8, 1e-15);
    CHECK_NEAR(el_kendall_tau(x, ties, 5), 8.0 / sqrt(10.0 * 8.0), 1e-15);
    CHECK(isnan(el_kendall_tau(x, flat, 5)));
}
