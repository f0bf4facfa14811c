/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keeps a library's kernels from beginning before what is queued ahead of them has ended: a node of a graph, or a
 * store. The runtime is a double that writes down what it is asked for. */
#include <glib.h>

#include "engine/cuda/fence.h"

#define STREAM ((cudaStream_t)GINT_TO_POINTER(0x10))
#define GRAPH ((cudaGraph_t)GINT_TO_POINTER(0x20))
#define FENCE ((cudaGraphNode_t)GINT_TO_POINTER(0x30))

static struct {
    enum cudaStreamCaptureStatus status;
    cudaGraphNode_t before[2];
    gsize n;
    cudaError_t look, store, add, update;
} told;
static GString *asked;

/* ---- the runtime ------------------------------------------------------------------------------------------------- */

static cudaError_t look(cudaStream_t stream, enum cudaStreamCaptureStatus *status, cudaGraph_t *graph,
                        const cudaGraphNode_t **nodes, size_t *n)
{
    g_assert_true(stream == STREAM);
    *status = told.status;
    if (told.status == cudaStreamCaptureStatusActive) {
        *graph = GRAPH;
        *nodes = told.before;
        *n = told.n;
    }
    return told.look;
}

static cudaError_t update(cudaStream_t stream, cudaGraphNode_t *nodes, size_t n, unsigned flags)
{
    g_assert_true(stream == STREAM);
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(nodes[0] == FENCE);
    g_assert_cmpuint(flags, ==, cudaStreamSetCaptureDependencies); /* not beside those before */
    g_string_append(asked, "behind ");
    return told.update;
}

#if CUDART_VERSION >= 13000
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *n)
{
    g_assert_null(id);
    g_assert_nonnull(edges); /* else edges that are no ordinary ones are an error */
    return look(stream, status, graph, nodes, n);
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *nodes,
                                                const cudaGraphEdgeData *edges, size_t n, unsigned flags)
{
    g_assert_null(edges);
    return update(stream, nodes, n, flags);
}
#else
cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                        unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes,
                                        size_t *n)
{
    g_assert_null(id);
    return look(stream, status, graph, nodes, n);
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *nodes, size_t n, unsigned flags)
{
    return update(stream, nodes, n, flags);
}
#endif

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t n)
{
    g_assert_true(graph == GRAPH);
    g_assert_true(before == told.before);
    g_string_append_printf(asked, "node-of-%" G_GSIZE_FORMAT " ", n);
    *node = FENCE;
    return told.add;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t n, cudaStream_t stream)
{
    g_assert_true(stream == STREAM);
    memset(data, value, n);
    g_string_append_printf(asked, "store-of-%" G_GSIZE_FORMAT " ", n);
    return told.store;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void check(cudaError_t expected, const gchar *what)
{
    guint8 bytes[CUDA_FENCE_BYTES] = {0};
    CudaDevice device = {.fence = bytes};

    g_string_truncate(asked, 0);
    g_assert_cmpint(cuda_fence(&device, STREAM), ==, expected);
    g_assert_cmpstr(asked->str, ==, what);
}

static void test_stream(void)
{
    memset(&told, 0, sizeof told);
    check(cudaSuccess, "store-of-16 ");
    told.store = cudaErrorInvalidValue;
    check(cudaErrorInvalidValue, "store-of-16 ");
    told.look = cudaErrorStreamCaptureImplicit;
    check(cudaErrorStreamCaptureImplicit, "");
}

static void test_graph(void)
{
    memset(&told, 0, sizeof told);
    told.status = cudaStreamCaptureStatusActive;
    check(cudaSuccess, ""); /* nothing is before it */
    for (told.n = 1; told.n <= G_N_ELEMENTS(told.before); told.n++) {
        g_autofree gchar *what = g_strdup_printf("node-of-%" G_GSIZE_FORMAT " behind ", told.n);

        check(cudaSuccess, what);
    }
    told.n = 1;
    told.update = cudaErrorInvalidValue;
    check(cudaErrorInvalidValue, "node-of-1 behind ");
    told.add = cudaErrorMemoryAllocation;
    check(cudaErrorMemoryAllocation, "node-of-1 ");
}

/* What is captured no more, since something failed, stays so: what is queued says it. */
static void test_invalid(void)
{
    memset(&told, 0, sizeof told);
    told.status = cudaStreamCaptureStatusInvalidated;
    told.store = cudaErrorStreamCaptureInvalidated;
    check(cudaErrorStreamCaptureInvalidated, "store-of-16 ");
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    asked = g_string_new(NULL);
    g_test_add_func("/cuda-fence/stream", test_stream);
    g_test_add_func("/cuda-fence/graph", test_graph);
    g_test_add_func("/cuda-fence/invalid", test_invalid);
    status = g_test_run();
    g_string_free(asked, TRUE);
    return status;
}
