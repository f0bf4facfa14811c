/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fence.h"

/* What the stream is captured into, and the nodes that what is queued next would come behind. */
static cudaError_t look(cudaStream_t stream, enum cudaStreamCaptureStatus *status, cudaGraph_t *graph,
                        const cudaGraphNode_t **nodes, size_t *n)
{
#if CUDART_VERSION >= 13000
    const cudaGraphEdgeData *edges;

    return cudaStreamGetCaptureInfo(stream, status, NULL, graph, nodes, &edges, n);
#else
    return cudaStreamGetCaptureInfo_v2(stream, status, NULL, graph, nodes, n);
#endif
}

static cudaError_t go_on_behind(cudaStream_t stream, cudaGraphNode_t *node)
{
#if CUDART_VERSION >= 13000
    return cudaStreamUpdateCaptureDependencies(stream, node, NULL, 1, cudaStreamSetCaptureDependencies);
#else
    return cudaStreamUpdateCaptureDependencies(stream, node, 1, cudaStreamSetCaptureDependencies);
#endif
}

cudaError_t cuda_fence(const CudaDevice *device, cudaStream_t stream)
{
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const cudaGraphNode_t *nodes = NULL;
    cudaGraphNode_t node = NULL;
    cudaGraph_t graph = NULL;
    size_t n = 0;
    cudaError_t error = look(stream, &status, &graph, &nodes, &n);

    if (error != cudaSuccess)
        return error;
    if (status != cudaStreamCaptureStatusActive)
        return cudaMemsetAsync(device->fence, 0, CUDA_FENCE_BYTES, stream);
    if (n > 0)
        error = cudaGraphAddEmptyNode(&node, graph, nodes, n);
    return error == cudaSuccess && n > 0 ? go_on_behind(stream, &node) : error;
}
