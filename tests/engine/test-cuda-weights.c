/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How weights share memory of the device, on a device that is the host's memory. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/weights.h"
#include "engine/module.h"

#define GRANULE ((guint64)2 << 20) /* what a device takes is a multiple of it */

static guint64 allocated, chunks, refuse_above = G_MAXUINT64;
static cudaError_t copying;

cudaError_t cudaMalloc(void **data, size_t bytes)
{
    if (bytes > refuse_above)
        return cudaErrorMemoryAllocation;
    *data = g_aligned_alloc(1, bytes, 256);
    allocated += (bytes + GRANULE - 1) / GRANULE * GRANULE;
    chunks++;
    return cudaSuccess;
}

cudaError_t cudaFree(void *data)
{
    g_aligned_free(data);
    chunks--;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

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
    (void)format;
    return gpudl_module_fail(fault, error == cudaErrorMemoryAllocation ? GPUDL_STATUS_NO_MEMORY : GPUDL_STATUS_DEVICE,
                             "%s", error == cudaErrorMemoryAllocation ? "no memory" : "the device is gone");
}

static void add(CudaWeights *weights, gint32 owner, const guint8 *from, guint64 bytes)
{
    GpudlFault fault;
    GpudlStatus status;
    const CudaConstant *constant = cuda_weights_add(weights, owner, 0, from, bytes, &status, &fault);

    g_assert_nonnull(constant);
    g_assert_cmpuint((guintptr)constant->data % 256, ==, 0);
    g_assert_true(cuda_weights_find(weights, owner, 0) == constant);
}

/* As in a network of large layers: weights beyond a chunk's size, each followed by a bias, which lies in what the
 * device gave beyond them. */
static void test_small_ones_lie_in_the_rest_of_large_ones(void)
{
    const guint64 large = (guint64)5 << 20, small = 1000;
    g_autofree guint8 *from = g_malloc0(large);
    CudaWeights weights = {0};

    allocated = 0;
    for (gint32 i = 0; i < 16; i += 2) {
        add(&weights, i, from, large);
        memset(from, i, small);
        add(&weights, i + 1, from, small);
    }
    for (gint32 i = 0; i < 16; i += 2)
        for (guint64 k = 0; k < small; k++)
            g_assert_cmpuint(((const guint8 *)cuda_weights_find(&weights, i + 1, 0)->data)[k], ==, (guint)i);
    g_assert_cmpuint(chunks, ==, 8);
    g_assert_cmpuint(allocated, ==, 8 * 3 * GRANULE);
    g_assert_cmpuint(weights.bytes, ==, 8 * (large + small));
    cuda_weights_clear(&weights);
    g_assert_cmpuint(chunks, ==, 0);
}

static void test_small_ones_lie_together(void)
{
    const guint8 from[1000] = {0};
    CudaWeights weights = {0};

    allocated = 0;
    for (gint32 i = 0; i < 64; i++)
        add(&weights, i, from, sizeof from);
    g_assert_cmpuint(chunks, ==, 1);
    g_assert_cmpuint(allocated, ==, 2 * GRANULE);
    cuda_weights_clear(&weights);
    g_assert_cmpuint(chunks, ==, 0);
}

/* A network's weights, each of which would leave a part of its granules: told beforehand they lie without gaps; what
 * was not told of is found room for, and where there is none for all there is for each. */
static void test_what_is_expected_lies_without_gaps(void)
{
    static const guint64 sizes[] = {9 << 18, 1 << 21, 9 << 19, 1000, 1 << 22, 2048, 9 << 18, 9 << 16};
    const guint64 largest = 9 << 19;
    g_autofree guint8 *from = g_malloc0(largest);

    for (guint turn = 0; turn < 3; turn++) {
        CudaWeights weights = {0};
        guint64 expected = 0;

        allocated = 0;
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
            expected += cuda_weights_size(sizes[i]);
        refuse_above = turn == 2 ? expected - 1 : G_MAXUINT64;
        cuda_weights_expect(&weights, turn == 0 ? expected - sizes[3] : expected);
        g_assert_cmpuint(chunks, ==, turn == 2 ? 0 : 1);
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
            add(&weights, (gint32)i, from, sizes[i]);
        if (turn < 2)
            g_assert_cmpuint(allocated, <=, (expected + GRANULE - 1) / GRANULE * GRANULE);
        cuda_weights_expect(&weights, expected); /* for another program: it is there */
        g_assert_cmpuint(weights.bytes, <=, allocated);
        refuse_above = G_MAXUINT64;
        cuda_weights_clear(&weights);
        g_assert_cmpuint(chunks, ==, 0);
    }
}

/* What went wrong is told, and what is not there is not found. */
static void test_failures(void)
{
    CudaWeights weights = {0};
    const guint8 from[64] = {0};
    GpudlStatus status = GPUDL_STATUS_OK;
    GpudlFault fault;

    refuse_above = 0;
    g_assert_null(cuda_weights_add(&weights, 1, 0, from, sizeof from, &status, &fault));
    refuse_above = G_MAXUINT64;
    g_assert_cmpint(status, ==, GPUDL_STATUS_NO_MEMORY);
    g_assert_cmpstr(fault.message, ==, "no memory");
    copying = cudaErrorLaunchFailure;
    g_assert_null(cuda_weights_add(&weights, 1, 0, from, sizeof from, &status, &fault));
    copying = cudaSuccess;
    g_assert_cmpint(status, ==, GPUDL_STATUS_DEVICE);
    g_assert_cmpstr(fault.message, ==, "the device is gone");
    g_assert_null(cuda_weights_find(&weights, 1, 0));
    add(&weights, 1, from, sizeof from);
    cuda_weights_clear(&weights);
    g_assert_cmpuint(chunks, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-weights/small-ones-lie-in-the-rest-of-large-ones",
                    test_small_ones_lie_in_the_rest_of_large_ones);
    g_test_add_func("/cuda-weights/small-ones-lie-together", test_small_ones_lie_together);
    g_test_add_func("/cuda-weights/what-is-expected-lies-without-gaps", test_what_is_expected_lies_without_gaps);
    g_test_add_func("/cuda-weights/failures", test_failures);
    return g_test_run();
}
