/* Probes: every level's loops do the work that their numbers say. The meter: its limits, threads, errors. */
#include "kernels/trap.h"

#include <math.h>

#include "base/mem.h"
#include "edgellm.h"
#include "kernels/probes.h"
#include "kernels/stand_in.h"

#define FOR_EACH_PROBES(p)                                                                                                       \
    struct el_probes p;                                                                                                          \
    for (unsigned p##_i = 0; probes_at(p##_i, &p); p##_i++)

/* Those of the i-th level that this CPU allows, then the stand-ins; false past the last. */
static bool probes_at(unsigned i, struct el_probes *p)
{
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (el_cpu_allows((enum el_cpu_level)level) && i-- == 0) {
            el_probes_init(p, (enum el_cpu_level)level);
            return true;
        }
    }
    return stand_in_probes(i, p);
}

/* What is skipped would not be seen. The bytes end at a guard page. */
TEST(probes, reading_sees_every_byte)
{
    enum { N = 768 };
    uint8_t *const bytes = trap_alloc(N);
    memset(bytes, 0, N);
    FOR_EACH_PROBES(p)
    {
        const uint64_t nothing = p.read(bytes, N);
        unsigned n_unseen = 0;
        for (unsigned i = 0; i < N; i++) {
            bytes[i] = 0x40;
            n_unseen += p.read(bytes, N) == nothing;
            n_unseen += i >= 256 && p.read(bytes, 256) != nothing;
            bytes[i] = 0;
        }
        CHECK_EQ_INT(n_unseen, 0);
    }
    trap_free_all();
}

/* Each lane of f32 runs x = x / 2 + 3 to its fixed point, 6; there are n_ops / 2 lanes. */
TEST(probes, peaks_do_all_their_turns)
{
    FOR_EACH_PROBES(p)
    {
        enum { TURNS = 448 }; /* whole rounds of the operands that move */
        CHECK_NEAR(p.f32.run(64), 3.0 * p.f32.n_ops, 1e-3 * p.f32.n_ops);
        const double none = p.int8.run(0), one = p.int8.run(TURNS), two = p.int8.run(2 * TURNS);
        CHECK(one != none);
        CHECK_NEAR(two - one, one - none, 0);
        if (p.f16.run)
            CHECK_NEAR(p.f16.run(64), 3.0 * p.f16.n_ops, 0.05 * p.f16.n_ops);
    }
}

TEST(meter, measures)
{
    struct el_err err;
    struct el_meter *m = NULL;
    REQUIRE_OK(el_meter_open(5u << 20, &m, &err), err);
    CHECK_EQ_INT(el_meter_nbytes(m), 4 << 20);
    CHECK_EQ_INT(el_meter_n_threads(m), 0);
    CHECK_EQ_INT(el_meter_huge_nbytes(m), 0);
    for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
        for (int limit = 0; limit < EL_METER_LIMITS; limit++) {
            double rates[3] = {-1, -1, -1};
            REQUIRE_OK(el_meter_measure(m, (enum el_meter_limit)limit, n_threads, rates, 2, &err), err);
            for (int i = 0; i < 2; i++)
                CHECK(limit == EL_PEAK_F16 ? rates[i] >= 0 : rates[i] > 0 && isfinite(rates[i]));
            CHECK(rates[2] < 0);
            CHECK_EQ_INT(el_meter_n_threads(m), n_threads);
            if (limit == EL_READ_4K)
                CHECK_EQ_INT(el_meter_huge_nbytes(m), 0);
        }
    }
    el_meter_close(m);
    el_meter_close(NULL);
}

TEST(meter, chooses_a_buffer)
{
    struct el_err err;
    struct el_meter *m = NULL;
    REQUIRE_OK(el_meter_open(0, &m, &err), err);
    CHECK(el_meter_nbytes(m) >= 4 << 20 && el_meter_nbytes(m) <= 1 << 30);
    el_meter_close(m);
}

TEST(meter, errors)
{
    struct el_err err;
    struct el_meter *m = NULL;
    double rate;
    REQUIRE_OK(el_meter_open(1, &m, &err), err);
    el_interrupt();
    CHECK_EQ_INT(el_meter_measure(m, EL_READ_4K, 1, &rate, 1, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    el_meter_close(m);
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_meter_open(1, &m, &err), EL_E_MEMORY);
    CHECK(m == NULL);
    REQUIRE_OK(el_meter_open(1, &m, &err), err);
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_meter_measure(m, EL_PEAK_F32, 1, &rate, 1, &err), EL_E_MEMORY);
    el_mem_fail_after(0);
    CHECK_OK(el_meter_measure(m, EL_PEAK_F32, 1, &rate, 1, &err), err);
    el_meter_close(m);
    REQUIRE_OK(el_meter_open(UINT64_C(1) << 60, &m, &err), err);
    CHECK_EQ_INT(el_meter_measure(m, EL_READ_2M, 1, &rate, 1, &err), EL_E_MEMORY);
    el_meter_close(m);
}
