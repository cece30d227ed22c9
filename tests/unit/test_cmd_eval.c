/* Windows, scores and divergences: what the numbers of eval are made of. */
#include "cmd/eval_windows.h"
#include "cmd/kld_stats.h"
#include "cmd/score.h"
#include "test.h"

TEST(cmd_eval, llama_cpp_windows)
{
    int32_t ids[20];
    for (int i = 0; i < 20; i++)
        ids[i] = 100 + i;
    struct eval_windows w;
    eval_windows_fixed(&w, EVAL_LLAMA_CPP, ids, 20, 8, 1, 0);
    REQUIRE(w.n == 2); /* the last 4 are dropped */
    CHECK_EQ_INT(w.w[0].first_id, 1);
    CHECK_EQ_INT(w.w[1].first_id, 1);
    CHECK(w.w[1].ids == ids + 8);
    CHECK_EQ_INT(w.w[1].n, 8);
    /* Rows 4, 5 and 6 predict the tokens 5, 6 and 7. */
    CHECK_EQ_INT(w.w[0].first_scored, 5);
    CHECK_EQ_INT(eval_windows_n_scored(&w), 6);
    eval_windows_free(&w);
    eval_windows_fixed(&w, EVAL_LLAMA_CPP, ids, 20, 8, -1, 1);
    REQUIRE(w.n == 1);
    CHECK_EQ_INT(w.w[0].first_id, 100);
    eval_windows_free(&w);
    eval_windows_fixed(&w, EVAL_LLAMA_CPP, ids, 7, 8, 1, 0);
    CHECK_EQ_INT(w.n, 0);
    eval_windows_free(&w);
}

TEST(cmd_eval, gptq_windows)
{
    const int32_t ids[9] = {5, 6, 7, 8, 9, 10, 11, 12, 13};
    struct eval_windows w;
    eval_windows_fixed(&w, EVAL_GPTQ, ids, 9, 4, 1, 0);
    REQUIRE(w.n == 2);
    CHECK_EQ_INT(w.w[0].first_id, 5);
    CHECK_EQ_INT(w.w[0].first_scored, 1);
    CHECK_EQ_INT(eval_windows_n_scored(&w), 6);
    CHECK_EQ_INT(eval_windows_longest(&w), 4);
    eval_windows_free(&w);
}

TEST(cmd_eval, document_windows)
{
    int32_t a[] = {10, 11, 12}, b[] = {20}, c[] = {30, 31};
    int32_t *const docs[] = {a, b, NULL, c};
    const size_t n[] = {3, 1, 0, 2};
    struct eval_windows w;
    eval_windows_documents(&w, docs, n, 4, 1, 3, 0);
    REQUIRE(w.n == 3);
    CHECK_EQ_INT(w.w[0].n, 3); /* BOS and two ids: cut at 3 */
    CHECK_EQ_INT(w.w[0].ids[0], 1);
    CHECK_EQ_INT(w.w[0].ids[2], 11);
    CHECK_EQ_INT(w.w[1].n, 2);
    CHECK_EQ_INT(w.w[2].ids[2], 31);
    CHECK_EQ_INT(eval_windows_n_scored(&w), 5);
    eval_windows_free(&w);
    eval_windows_documents(&w, docs, n, 4, 1, 100, 4);
    CHECK_EQ_INT(w.n, 2);
    CHECK_EQ_INT(eval_windows_n_scored(&w), 4);
    eval_windows_free(&w);
    eval_windows_documents(&w, docs, n, 4, 1, 100, 2);
    CHECK_EQ_INT(eval_windows_n_scored(&w), 2);
    eval_windows_free(&w);
}

TEST(cmd_eval, split)
{
    static const char text[] = "  a b \n<|x|><|x|> \t\r\n<|x|>c<|x|";
    const char **docs;
    size_t *lens;
    size_t n = eval_split_documents(text, sizeof text - 1, "<|x|>", &docs, &lens);
    REQUIRE(n == 2);
    CHECK(lens[0] == 3 && memcmp(docs[0], "a b", 3) == 0);
    CHECK(lens[1] == 5 && memcmp(docs[1], "c<|x|", 5) == 0);
    free(docs);
    free(lens);
    n = eval_split_documents("a", 1, "", &docs, &lens);
    CHECK_EQ_INT(n, 1);
    free(docs);
    free(lens);
    n = eval_split_documents("", 0, "x", &docs, &lens);
    CHECK_EQ_INT(n, 0);
    free(docs);
    free(lens);
}

TEST(cmd_eval, score)
{
    struct score s = {0};
    CHECK(isnan(score_mean(&s)) && isnan(score_bits_per_byte(&s)));
    score_add(&s, 1.0, 3);
    CHECK_NEAR(score_ppl_stderr(&s), 0, 0);
    score_add(&s, 3.0, 1);
    CHECK_NEAR(score_mean(&s), 2.0, 1e-15);
    CHECK_NEAR(score_ppl(&s), exp(2.0), 1e-12);
    /* Variance of {1, 3} over 2 is 1; divided by n - 1 = 1. */
    CHECK_NEAR(score_ppl_stderr(&s), exp(2.0), 1e-12);
    CHECK_NEAR(score_bits_per_byte(&s), 4.0 / log(2.0) / 4.0, 1e-12);
}

TEST(cmd_eval, mean_err)
{
    CHECK_NEAR(mean_err_of(0, 0, 0).mean, 0, 0);
    CHECK_NEAR(mean_err_of(10, 30, 10).err, 0, 0); /* ten values or fewer have no error */
    const struct mean_err m = mean_err_of(22, 66, 11);
    CHECK_NEAR(m.mean, 2, 1e-15);
    CHECK_NEAR(m.err, sqrt((6.0 - 4.0) / 10.0), 1e-12);
}

TEST(cmd_eval, quantile)
{
    const double x[] = {0, 1, 2, 10};
    CHECK_NEAR(kld_quantile(x, 4, 0), 0, 0);
    CHECK_NEAR(kld_quantile(x, 4, 1), 10, 0);
    CHECK_NEAR(kld_quantile(x, 4, 0.5), 1.5, 1e-12);
    CHECK_NEAR(kld_quantile(x, 4, 0.9), 2 + 0.7 * 8, 1e-9);
    CHECK(isnan(kld_quantile(x, 0, 0.5)));
}

TEST(cmd_eval, divergence)
{
    /* Base (1/2, 1/4, 1/4), model (1/4, 1/2, 1/4), by hand: KLD = 1/2 ln 2 - 1/4 ln 2 = ln 2 / 4. */
    const double base[] = {log(0.5), log(0.25), log(0.25)}, q[] = {log(0.25), log(0.5), log(0.25)};
    struct kld_stats s = {0};
    kld_stats_add(&s, base, q, 3, 0);
    kld_stats_add(&s, base, base, 3, 1);
    kld_stats_finish(&s);
    const struct kld_summary r = kld_stats_summary(&s);
    CHECK_NEAR(r.kld.mean, log(2.0) / 8, 1e-12);
    CHECK_NEAR(s.klds[1], log(2.0) / 4, 1e-12);
    CHECK_NEAR(r.same_top.mean, 0.5, 1e-15);
    CHECK_NEAR(r.dp.mean, -0.125, 1e-12);
    CHECK_NEAR(r.rms_dp.mean, sqrt(0.25 * 0.25 / 2), 1e-12);
    CHECK_NEAR(r.ln_ratio.mean, log(2.0) / 2, 1e-12);
    CHECK_NEAR(r.ppl_base.mean, exp((log(2.0) + log(4.0)) / 2), 1e-9);
    kld_stats_free(&s);
    kld_stats_finish(&s);
}

TEST(cmd_eval, divergence_of_many)
{
    struct kld_stats s = {0};
    uint64_t seed = 1;
    for (int t = 0; t < 2000; t++) {
        double a[8], b[8], za = 0, zb = 0;
        for (int i = 0; i < 8; i++) {
            a[i] = test_randf(&seed);
            b[i] = a[i] + 0.01 * test_randf(&seed);
            za += exp(a[i]);
            zb += exp(b[i]);
        }
        for (int i = 0; i < 8; i++) {
            a[i] -= log(za);
            b[i] -= log(zb);
        }
        kld_stats_add(&s, a, b, 8, t % 8);
    }
    kld_stats_finish(&s);
    const struct kld_summary r = kld_stats_summary(&s);
    CHECK(r.kld.mean > 0 && r.kld.mean < 1e-4 && r.kld.err > 0 && r.kld.err < r.kld.mean);
    CHECK(r.correlation > 0.99 && r.correlation <= 1.0 + 1e-9);
    CHECK(r.ln_ratio.err < r.ppl_q.err);
    CHECK(s.klds[0] >= -1e-12 && s.klds[0] <= s.klds[1999]);
    FILE *const f = fopen(test_tmp("kld.txt"), "w");
    REQUIRE(f);
    kld_stats_print(&s, f);
    (void)fclose(f);
    size_t nbytes;
    char *const text = test_read(test_tmp("kld.txt"), &nbytes);
    REQUIRE(text);
    CHECK(strstr(text, "Mean PPL(Q)                   :") != NULL);
    CHECK(strstr(text, "Same top p:") != NULL);
    free(text);
    kld_stats_free(&s);
}
