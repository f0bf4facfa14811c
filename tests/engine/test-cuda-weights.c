/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How weights share memory of the device, on a device that is the host's memory. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/weights.h"

#define GRANULE ((guint64)2 << 20) /* what a device takes is a multiple of it */

static guint64 allocated, chunks;

cudaError_t cudaMalloc(void **data, size_t bytes)
{
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

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    g_assert_cmpint(kind, ==, cudaMemcpyHostToDevice);
    memcpy(to, from, bytes);
    return cudaSuccess;
}

GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error, const char *format, ...)
{
    (void)device;
    (void)fault;
    (void)error;
    (void)format;
    g_assert_not_reached();
}

static void add(CudaWeights *weights, gint32 owner, const guint8 *from, guint64 bytes)
{
    GpudlFault fault;
    const CudaConstant *constant = cuda_weights_add(weights, owner, 0, from, bytes, &fault);

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-weights/small-ones-lie-in-the-rest-of-large-ones",
                    test_small_ones_lie_in_the_rest_of_large_ones);
    g_test_add_func("/cuda-weights/small-ones-lie-together", test_small_ones_lie_together);
    return g_test_run();
}
