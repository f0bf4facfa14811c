/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin of kernels/cluster.cuh: a cluster's blocks run together. */
#ifndef GPUDL_EMULATE_CLUSTER_CUH
#define GPUDL_EMULATE_CLUSTER_CUH

#include "kernels/device.cuh"

static inline bool gpudl_has_clusters(const void *)
{
    return true;
}

template <class... Parameters, class... Arguments>
static inline void gpudl_launch_clusters(void (*kernel)(Parameters...), int blocks, dim3 grid, dim3 block,
                                         size_t shared, cudaStream_t, const Arguments &...arguments)
{
    gpudl_emulate_grid(grid, block, shared, blocks, [&] { kernel(arguments...); });
}

static inline int gpudl_cluster_rank()
{
    return gpudl_emulate_cluster_rank();
}

static inline int gpudl_cluster_blocks()
{
    return gpudl_emulate_cluster_blocks();
}

static inline void gpudl_cluster_barrier()
{
    gpudl_emulate_cluster_barrier();
}

static inline void gpudl_cluster_meet()
{
    gpudl_emulate_cluster_barrier();
}

static inline float gpudl_cluster_float(const float *shared, int block)
{
    return *static_cast<const float *>(gpudl_emulate_cluster_shared(shared, block));
}

static inline float4 gpudl_cluster_floats(const float4 *shared, int block)
{
    gpudl_emulate_aligned(shared, 16);
    return *static_cast<const float4 *>(gpudl_emulate_cluster_shared(shared, block));
}

#endif
