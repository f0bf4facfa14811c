/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Weights as they are packed, against the plain formula, and by threads, on a device that is the host's memory. */
#include <errno.h>
#include <float.h>
#include <glib.h>
#include <math.h>
#include <string.h>

#include "engine/cuda/packer.h"
#include "engine/module.h"
#include "kernels/half.h"

static guint entered; /* how often a thread is in the device's context */
static gboolean has_threads = TRUE;
static cudaError_t copying;

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    g_assert_cmpint(kind, ==, cudaMemcpyHostToDevice);
    if (copying == cudaSuccess)
        memcpy(to, from, bytes);
    return copying;
}

GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error, const char *format, ...)
{
    (void)device;
    (void)error;
    (void)format;
    return gpudl_module_fail(fault, GPUDL_STATUS_DEVICE, "the device failed");
}

void cuda_enter(const CudaDevice *device)
{
    (void)device;
    g_atomic_int_inc((gint *)&entered);
}

void cuda_leave(const CudaDevice *device)
{
    (void)device;
    (void)g_atomic_int_dec_and_test((gint *)&entered);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data)
{
    return has_threads ? __real_pthread_create(thread, attr, run, data) : EAGAIN;
}

/* ---- by the formula ---------------------------------------------------------------------------------------------- */

static gint64 count(const CudaPacking *p)
{
    return p->rows * p->taps * p->pitch;
}

static float source(const CudaPacking *p, gint64 i)
{
    const gint64 k = i / p->pitch / p->taps, tap = i / p->pitch % p->taps, ch = i % p->pitch;

    return k < p->kernels && ch < p->channels
               ? p->scale * p->from[k * p->strides[0] + tap * p->strides[1] + ch * p->strides[2]]
               : 0;
}

/* Of float32 the nearest that has 10 bits behind the point; ties to even. */
static float nearest_tf32(float value)
{
    int exponent;
    double fraction;

    if (!isfinite(value) || value == 0)
        return value;
    fraction = frexp((double)value, &exponent);
    return (float)ldexp(rint(ldexp(fraction, 11)), exponent - 11);
}

static void expect(const CudaPacking *p, const void *packed)
{
    for (gint64 i = 0; i < count(p); i++) {
        const float value = source(p, i);

        if (p->dtype == GPUDL_DTYPE_F16)
            g_assert_cmphex(((const guint16 *)packed)[i], ==, gpudl_f32_to_f16(value));
        else if (p->dtype == GPUDL_DTYPE_BF16)
            g_assert_cmphex(((const guint16 *)packed)[i], ==, gpudl_f32_to_bf16(value));
        else
            g_assert_cmpfloat(((const float *)packed)[i], ==, p->tf32 ? nearest_tf32(value) : value);
    }
}

/* A convolution's [k][c][r][s], or a matrix [c][k] that is to lie the other way; memory behind the last element is not
 * read. */
static CudaPacking make_packing(gint64 kernels, gint64 taps, gint64 channels, gboolean crossed, GpudlDType dtype)
{
    CudaPacking p = {.kernels = kernels,
                     .taps = taps,
                     .channels = channels,
                     .strides = {channels * taps, 1, taps},
                     .rows = kernels + g_test_rand_int_range(0, 9),
                     .pitch = channels + g_test_rand_int_range(0, 9),
                     .dtype = dtype,
                     .scale = crossed ? -1.5f : 1};
    float *values = g_new(float, (gsize)(kernels * taps * channels));

    if (crossed)
        memcpy(p.strides, (gint64[3]){1, 0, kernels}, sizeof p.strides);
    for (gint64 i = 0; i < kernels * taps * channels; i++)
        values[i] = (float)(g_test_rand_double_range(-2, 2) * exp2(g_test_rand_int_range(-30, 14)));
    p.from = values;
    return p;
}

static void test_rows_are_as_the_formula_has_them(void)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_F16, GPUDL_DTYPE_BF16, GPUDL_DTYPE_F32};

    for (guint i = 0; i < 60; i++) {
        const gint64 taps = i % 4 == 3 ? 1 : g_test_rand_int_range(1, 10);
        CudaPacking p = make_packing(g_test_rand_int_range(1, 20), taps, g_test_rand_int_range(1, 40), i % 4 == 3,
                                     types[i % G_N_ELEMENTS(types)]);
        const guint64 bytes = cuda_pack_bytes(&p, p.rows);
        const gint64 cut = g_test_rand_int_range(0, (gint32)p.rows + 1);
        g_autofree guint8 *packed = g_malloc(bytes + 16);
        float large = 0;

        p.tf32 = i % 2 == 0;
        memset(packed, 0xa5, bytes + 16);
        g_assert_true(cuda_pack_rows(&p, 0, cut, packed, &large));
        g_assert_true(cuda_pack_rows(&p, cut, p.rows, packed + cuda_pack_bytes(&p, cut), &large));
        expect(&p, packed);
        for (guint j = 0; j < 16; j++)
            g_assert_cmphex(packed[bytes + j], ==, 0xa5);
        g_free((gpointer)p.from);
    }
}

/* More channels and taps than are turned round at once; one value among them that is infinite, or too large. */
static void test_long_kernels(void)
{
    static const struct {
        gint64 taps, channels;
    } shapes[] = {{49, 200}, {9, 1000}, {4096, 3}, {4097, 2}, {2, 4099}, {7, 585}};

    for (guint i = 0; i < 3 * G_N_ELEMENTS(shapes); i++) {
        CudaPacking p = make_packing(3, shapes[i / 3].taps, shapes[i / 3].channels, FALSE, GPUDL_DTYPE_F16);
        const gint64 n = p.kernels * p.taps * p.channels, at = g_test_rand_int_range(0, (gint32)n);
        const guint64 bytes = cuda_pack_bytes(&p, p.rows);
        g_autofree guint8 *packed = g_malloc(bytes);
        float large = 0;

        if (i % 3 > 0)
            ((float *)p.from)[at] = i % 3 == 1 ? -INFINITY : -70000;
        g_assert_true(cuda_pack_rows(&p, 0, p.rows, packed, &large) == (i % 3 < 2));
        g_assert_cmpfloat(large, ==, i % 3 < 2 ? 0 : -70000);
        expect(&p, packed);
        g_free((gpointer)p.from);
    }
}

/* The largest of float16 and what is rounded to it are none; infinity and NaN stay what they are. */
static void test_what_is_too_large_is_told(void)
{
    static const float good[] = {65504, -65519.996f, INFINITY, NAN, 0}, bad[] = {0, 65520, 1};
    CudaPacking p = {.from = good,
                     .kernels = 1,
                     .taps = 1,
                     .channels = 5,
                     .strides = {5, 1, 1},
                     .rows = 1,
                     .pitch = 5,
                     .dtype = GPUDL_DTYPE_F16,
                     .scale = 1};
    guint16 packed[5];
    float large = 0;

    g_assert_true(cuda_pack_rows(&p, 0, 1, packed, &large));
    g_assert_cmphex(packed[1], ==, 0xfbff);
    g_assert_cmphex(packed[2], ==, 0x7c00);
    g_assert_true((packed[3] & 0x7c00) == 0x7c00 && (packed[3] & 0x3ff) != 0);
    p.from = bad;
    p.channels = p.pitch = 3;
    g_assert_false(cuda_pack_rows(&p, 0, 1, packed, &large));
    g_assert_cmpfloat(large, ==, 65520);
    p.dtype = GPUDL_DTYPE_BF16;
    g_assert_true(cuda_pack_rows(&p, 0, 1, packed, &large));
    p.scale = 3.3961775e38f / 65520; /* to more than bfloat16's largest, and its half place beyond */
    g_assert_false(cuda_pack_rows(&p, 0, 1, packed, &large));
}

/* Halfway between two of TF32's: to the even one. What is no number, infinite or the largest of all stays. */
static void test_ties_of_tf32(void)
{
    static const float expected[] = {1, 1 + 0x4p-11f, 1, -1 - 0x4p-11f, INFINITY, -FLT_MAX};
    const guint32 largest = 0x7fffffff; /* of what is no number */
    float values[] = {1 + 0x1p-11f, 1 + 0x3p-11f, 1 + 0x1.fffp-12f, -1 - 0x3p-11f, INFINITY, -FLT_MAX, 0};
    const CudaPacking p = {.from = values,
                           .kernels = 1,
                           .taps = 1,
                           .channels = G_N_ELEMENTS(values),
                           .strides = {1, 1, 1},
                           .rows = 1,
                           .pitch = G_N_ELEMENTS(values),
                           .dtype = GPUDL_DTYPE_F32,
                           .tf32 = 1,
                           .scale = 1};
    float packed[G_N_ELEMENTS(values)], large = 0;

    memcpy(&values[G_N_ELEMENTS(expected)], &largest, sizeof largest);
    g_assert_true(cuda_pack_rows(&p, 0, 1, packed, &large));
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_cmpfloat(packed[i], ==, expected[i]);
    g_assert_true(isnan(packed[G_N_ELEMENTS(expected)]));
}

/* ---- by threads -------------------------------------------------------------------------------------------------- */

#define JOBS 7

typedef struct {
    CudaPacker packer;
    CudaConstant constants[JOBS];
    CudaPackerJob jobs[JOBS];
} Work;

static Work *new_work(void)
{
    static const gint64 sizes[JOBS][3] = {{1, 1, 1},     {700, 9, 100}, {3, 1, 300000}, {5, 1, 5},
                                          {64, 49, 200}, {1, 1, 1},     {2000, 1, 401}};
    Work *work = g_new0(Work, 1);

    for (guint i = 0; i < JOBS; i++) {
        CudaPackerJob *job = &work->jobs[i];

        job->packing = make_packing(sizes[i][0], sizes[i][1], sizes[i][2], i == 6, GPUDL_DTYPE_F16);
        job->constant = &work->constants[i];
        work->constants[i].owner = (gint32)i;
        work->constants[i].data = g_malloc(cuda_pack_bytes(&job->packing, job->packing.rows));
        g_snprintf(job->what, sizeof job->what, "node %u", i);
        g_assert_true(cuda_packer_add(&work->packer, job));
    }
    return work;
}

static void free_work(Work *work)
{
    cuda_packer_clear(&work->packer);
    g_assert_cmpuint(entered, ==, 0);
    for (guint i = 0; i < JOBS; i++) {
        g_free(work->constants[i].data);
        g_free((gpointer)work->jobs[i].packing.from);
    }
    g_free(work);
}

/* And whoever waits for them, where none can be had. */
static void test_threads_pack_all(void)
{
    for (guint turn = 0; turn < 5; turn++) {
        Work *work = new_work();
        GpudlFault fault;

        has_threads = turn > 0;
        cuda_packer_start(&work->packer, NULL);
        g_assert_cmpint(cuda_packer_finish(&work->packer, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpint(cuda_packer_finish(&work->packer, &fault), ==, GPUDL_STATUS_OK);
        for (guint i = 0; i < JOBS; i++) {
            expect(&work->jobs[i].packing, work->constants[i].data);
            g_assert_cmpint(work->constants[i].owner, ==, i);
        }
        free_work(work);
    }
    has_threads = TRUE;
}

/* Of two that fail the first is told, whichever thread was quicker. */
static void test_a_failure_is_told_and_nothing_found_again(void)
{
    Work *work = new_work();
    GpudlFault fault;

    ((float *)work->jobs[4].packing.from)[12345] = -1e6f;
    ((float *)work->jobs[6].packing.from)[3] = 2e6f;
    cuda_packer_start(&work->packer, NULL);
    g_assert_cmpint(cuda_packer_finish(&work->packer, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
    g_assert_cmpstr(fault.message, ==, "node 4: a weight is -1e+06, more than float16 holds; use backend cpu");
    for (guint i = 0; i < JOBS; i++)
        g_assert_cmpint(work->constants[i].owner, ==, -1);
    free_work(work);

    work = new_work();
    copying = cudaErrorLaunchFailure;
    cuda_packer_start(&work->packer, NULL);
    g_assert_cmpint(cuda_packer_finish(&work->packer, &fault), ==, GPUDL_STATUS_DEVICE);
    copying = cudaSuccess;
    g_assert_cmpstr(fault.message, ==, "the device failed");
    free_work(work);
}

static void test_what_is_given_up_is_not_found_again(void)
{
    for (guint started = 0; started < 2; started++) {
        Work *work = new_work();

        if (started)
            cuda_packer_start(&work->packer, NULL);
        cuda_packer_clear(&work->packer);
        for (guint i = 0; i < JOBS; i++)
            g_assert_cmpint(work->constants[i].owner, ==, -1);
        free_work(work);
    }
}

static void test_nothing_to_pack(void)
{
    CudaPacker packer = {0};
    GpudlFault fault;

    g_assert_cmpint(cuda_packer_finish(&packer, &fault), ==, GPUDL_STATUS_OK);
    cuda_packer_start(&packer, NULL);
    g_assert_cmpint(cuda_packer_finish(&packer, &fault), ==, GPUDL_STATUS_OK);
    cuda_packer_clear(&packer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-pack/rows-are-as-the-formula-has-them", test_rows_are_as_the_formula_has_them);
    g_test_add_func("/cuda-pack/long-kernels", test_long_kernels);
    g_test_add_func("/cuda-pack/what-is-too-large-is-told", test_what_is_too_large_is_told);
    g_test_add_func("/cuda-pack/ties-of-tf32", test_ties_of_tf32);
    g_test_add_func("/cuda-pack/threads-pack-all", test_threads_pack_all);
    g_test_add_func("/cuda-pack/a-failure-is-told-and-nothing-found-again",
                    test_a_failure_is_told_and_nothing_found_again);
    g_test_add_func("/cuda-pack/what-is-given-up-is-not-found-again", test_what_is_given_up_is_not_found_again);
    g_test_add_func("/cuda-pack/nothing-to-pack", test_nothing_to_pack);
    return g_test_run();
}
