/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scores against softmax in double; the best of them against the reference's order of those very scores. */
#include <math.h>
#include <string.h>

#include "kernels/classify_cuda.h"
#include "kernels/softmax.h"
#include "kernels/topk.h"
#include "tests/kernels/device.h"

typedef struct {
    GpudlClassifyKind kind;
    GpudlDType dtype;
    int rows, classes;
    int64_t pitch;
    void *logits; /* host */
} Problem;

static double logit(const Problem *p, int row, int i)
{
    return device_get(p->dtype, p->logits, row * p->pitch + i);
}

static void set_logit(const Problem *p, int row, int i, double v)
{
    device_set(p->dtype, p->logits, row * p->pitch + i, v);
}

static void make_logits(Problem *p)
{
    const double range = device_int(0, 3) == 0 ? 1000 : 12;
    const int few = device_int(0, 2) == 0, rare = device_int(0, 3) == 0;

    p->logits = device_host((size_t)p->rows * (size_t)p->pitch * gpudl_dtype_size(p->dtype));
    for (int row = 0; row < p->rows; row++)
        for (int i = 0; i < p->classes; i++) {
            const int64_t pick = device_int(0, 4 * p->classes);
            double v = few ? (double)device_int(-2, 2) : device_real(-range, range);

            if (rare && row % 2 == 1 && pick < 6)
                v = pick < 2 ? NAN : pick < 4 ? -INFINITY : pick == 4 ? INFINITY : -0.;
            set_logit(p, row, i, v);
        }
    device_note(", range %g, few values %d, rare values %d", range, few, rare);
}

static void compare_scores(const Problem *p, int row, const float *scores)
{
    double *x = device_host((size_t)p->classes * sizeof(*x)), *expected = device_host((size_t)p->classes * sizeof(*x));
    const GpudlShape shape = {1, {p->classes}};
    const GpudlTensorView xv = {GPUDL_DTYPE_F64, shape, x}, yv = {GPUDL_DTYPE_F64, shape, expected};
    double max = -INFINITY;

    for (int i = 0; i < p->classes; i++) {
        x[i] = logit(p, row, i);
        max = fmax(max, x[i]);
        expected[i] = p->kind == GPUDL_CLASSIFY_SIGMOID ? 1 / (1 + exp(-x[i])) : x[i];
    }
    if (p->kind == GPUDL_CLASSIFY_SOFTMAX)
        gpudl_softmax_ref(GPUDL_SOFTMAX, &xv, 0, 0, &yv, NULL);
    for (int i = 0; i < p->classes; i++) {
        const double below = p->kind == GPUDL_CLASSIFY_SOFTMAX && isfinite(x[i]) ? max - x[i] : 0;
        /* as promised; below the normal numbers of float32 anything down to 0 */
        const double bound = fabs(expected[i]) * (0x1p-19 + 0x1p-24 * below) + 0x1p-126;

        if (isnan(expected[i]) ? !isnan(scores[i])
                               : scores[i] != expected[i] && !(fabs(scores[i] - expected[i]) <= bound))
            device_fail("row %d class %d, logit %g: found %.9g, expected %.9g", row, i, x[i], scores[i], expected[i]);
    }
}

static void compare_best(const Problem *p, int row, const float *scores, const GpudlClassifyPair *best)
{
    const int64_t k = p->classes < GPUDL_CLASSIFY_BEST ? p->classes : GPUDL_CLASSIFY_BEST;
    float values[GPUDL_CLASSIFY_BEST];
    uint32_t ids[GPUDL_CLASSIFY_BEST];

    gpudl_topk_ref(scores, 1, p->classes, k, values, ids, NULL);
    for (int i = 0; i < GPUDL_CLASSIFY_BEST; i++) {
        const int there = i < k && !isnan(values[i]);
        const uint32_t id = there ? ids[i] : UINT32_MAX;
        const float score = there ? values[i] : 0;

        if (best[i].id != id || best[i].score != score)
            device_fail("row %d place %d: found class %u %.9g, expected %u %.9g", row, i, best[i].id, best[i].score, id,
                        score);
    }
}

static void check_problem(Problem *p, size_t offset)
{
    const size_t size = gpudl_dtype_size(p->dtype), n = (size_t)p->rows * (size_t)p->classes;
    const size_t last = ((size_t)(p->rows - 1) * (size_t)p->pitch + (size_t)p->classes) * size;
    const void *logits = device_input(p->logits, last, offset * size);
    float *scores = device_output(n * sizeof(*scores), offset * sizeof(*scores));
    GpudlClassifyPair *best = device_output((size_t)p->rows * GPUDL_CLASSIFY_BEST * sizeof(*best), 0);
    const float *got;
    const GpudlClassifyPair *got_best;

    device_done(gpudl_classify_cuda(p->kind, p->dtype, logits, p->pitch, p->rows, p->classes, scores, best, NULL));
    got = device_fetch(scores, n * sizeof(*scores));
    got_best = device_fetch(best, (size_t)p->rows * GPUDL_CLASSIFY_BEST * sizeof(*best));
    for (int row = 0; row < p->rows; row++) {
        compare_scores(p, row, got + (size_t)row * (size_t)p->classes);
        compare_best(p, row, got + (size_t)row * (size_t)p->classes, got_best + row * GPUDL_CLASSIFY_BEST);
    }
}

static int random_classes(void)
{
    static const int borders[] = {1,    15,   16,   17,   31,   32,   33,   255,   256,   257,
                                  1000, 1023, 1024, 1025, 4095, 4096, 4097, 22527, 22528, 22529};

    switch (device_int(0, 7)) {
    case 0:
        return (int)device_int(1, GPUDL_CLASSIFY_CLASSES);
    case 1:
    case 2:
        return (int)device_int(1, 2000);
    case 3:
        return GPUDL_CLASSIFY_CLASSES - (int)device_int(0, 1);
    default:
        return borders[device_int(0, (int64_t)(sizeof(borders) / sizeof(*borders)) - 1)];
    }
}

static void test_random(void)
{
    for (int number = 0; number < device_cases(150); number++) {
        Problem p;

        device_case(number, "classify");
        p.kind = (GpudlClassifyKind)device_int(0, GPUDL_CLASSIFY_LAST);
        p.dtype = device_float_type();
        p.classes = random_classes();
        p.rows = (int)device_int(1, p.classes > 10000 ? 2 : 9);
        p.pitch = p.classes + (device_int(0, 1) ? device_int(0, 9) : 0);
        device_note(", kind %d %s rows %d classes %d pitch %d", p.kind, gpudl_dtype_name(p.dtype), p.rows, p.classes,
                    (int)p.pitch);
        make_logits(&p);
        check_problem(&p, (size_t)device_int(0, 3));
    }
}

/* The best lie together, are equal, are few, or there are none. */
static void test_arrangements(void)
{
    enum { KINDS = 7 };
    static const int sizes[] = {20, 1000, 4000, 20000, 30000};

    for (int number = 0; number < KINDS * (int)(sizeof(sizes) / sizeof(*sizes)); number++) {
        Problem p = {GPUDL_CLASSIFY_SIGMOID, GPUDL_DTYPE_F32, 2, sizes[number / KINDS], sizes[number / KINDS], NULL};

        device_case(number, "arrangement %d of %d classes", number % KINDS, p.classes);
        p.logits = device_host((size_t)p.rows * (size_t)p.classes * sizeof(float));
        for (int row = 0; row < p.rows; row++)
            for (int i = 0; i < p.classes; i++) {
                /* rising; all of one thread; all equal; nothing but NaN; of few warps, equal and not, the others
                 * without a score or with a lower one */
                const double values[KINDS] = {i * 1e-3 / p.classes,
                                              i % 1024 == 5 ? 2 - i * 1e-5 : -2,
                                              0.25,
                                              NAN,
                                              i % 1024 < 64 ? i * 37 % 1021 * 1e-3 : NAN,
                                              i % 1024 < 96 ? 0.5 : NAN,
                                              i % 1024 < 400 ? 1 + i * 37 % 1021 * 1e-3 : -i * 1e-5};

                set_logit(&p, row, i, values[number % KINDS]);
            }
        check_problem(&p, 0);
    }
}

static void test_refuses(void)
{
    float *scores = device_output(64, 0);
    GpudlClassifyPair *best = device_output(128, 0);

    if (gpudl_classify_cuda(GPUDL_CLASSIFY_NONE, GPUDL_DTYPE_F64, scores, 4, 1, 4, scores, best, NULL) !=
            GPUDL_KERNEL_DTYPE ||
        gpudl_classify_cuda(GPUDL_CLASSIFY_NONE, GPUDL_DTYPE_F32, scores, 3, 1, 4, scores, best, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_classify_cuda(GPUDL_CLASSIFY_NONE, GPUDL_DTYPE_F32, scores, 0, 1, 0, scores, best, NULL) !=
            GPUDL_KERNEL_SHAPE ||
        gpudl_classify_cuda(GPUDL_CLASSIFY_NONE, GPUDL_DTYPE_F32, scores, 65537, 1, 65537, scores, best, NULL) !=
            GPUDL_KERNEL_SHAPE)
        device_fail("a call that can't be served was not refused");
    device_done(gpudl_classify_cuda(GPUDL_CLASSIFY_NONE, GPUDL_DTYPE_F32, NULL, 4, 0, 4, NULL, NULL, NULL));
}

typedef struct {
    const uint8_t *logits;
    float *scores;
    GpudlClassifyPair *best;
    int rows, classes;
} Bench;

static int launch(void *data, int i, GpudlKernelStream stream)
{
    const Bench *b = data;

    return gpudl_classify_cuda(GPUDL_CLASSIFY_SOFTMAX, GPUDL_DTYPE_F16, b->logits, b->classes, b->rows, b->classes,
                               b->scores, b->best, stream);
}

static void bench(void)
{
    static const struct {
        int rows, classes;
        const char *name;
    } cases[] = {{1, 1000, "softmax + best of 1000, 1 row"},
                 {32, 1000, "softmax + best of 1000, 32 rows"},
                 {128, 1000, "softmax + best of 1000, 128 rows"},
                 {1, 21843, "softmax + best of 21843, 1 row"},
                 {128, 21843, "softmax + best of 21843, 128 rows"}};

    for (int i = 0; i < (int)(sizeof(cases) / sizeof(*cases)); i++) {
        const size_t n = (size_t)cases[i].rows * (size_t)cases[i].classes;
        Bench b = {.rows = cases[i].rows, .classes = cases[i].classes};

        device_case(i, "bench");
        b.logits = device_noise(n * 2);
        b.scores = device_output(n * 4, 0);
        b.best = device_output((size_t)b.rows * GPUDL_CLASSIFY_BEST * sizeof(*b.best), 0);
        device_bench(cases[i].name, launch, &b, 50, (double)n * 6);
    }
}

int main(int argc, char **argv)
{
    static const DeviceCheck checks[] = {
        {"random", test_random}, {"arrangements", test_arrangements}, {"refuses", test_refuses}, {NULL, NULL}};
    static const DeviceCheck benches[] = {{"classify", bench}, {NULL, NULL}};

    return device_main(argc, argv, checks, benches);
}
