/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clusters, as device.cuh has what else kernels ask of a device: blocks that run at the same time, side by side along
 * x, and read one another's shared memory; from compute capability 9 on. Elsewhere a block is alone in its cluster.
 */
#ifndef GPUDL_KERNELS_CLUSTER_CUH
#define GPUDL_KERNELS_CLUSTER_CUH

#include "kernels/device.cuh"

/** TRUE if kernels can be launched in clusters on the current device. */
static inline bool gpudl_has_clusters(const void *kernel)
{
    return gpudl_kernels_wait(kernel);
}

/** gpudl_launch() in clusters of so many blocks, at most 8, which the grid's x is a multiple of; 1 if there are none.
 * Of the memory that a processor divides between a cache and what blocks share, as much as can be is for the latter: it
 * divides it anew only once it has nothing to do, so kernels that are to overlap have to want it alike. */
template <class... Parameters, class... Arguments>
static inline void gpudl_launch_clusters(void (*kernel)(Parameters...), int blocks, dim3 grid, dim3 block,
                                         size_t shared, cudaStream_t stream, const Arguments &...arguments)
{
    const bool waits = gpudl_kernels_wait(reinterpret_cast<const void *>(kernel));
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};

    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = attributes;
    if (waits && gpudl_launches_may_overlap()) {
        attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (waits && blocks > 1) {
        attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[config.numAttrs].val.clusterDim.x = (unsigned)blocks;
        attributes[config.numAttrs].val.clusterDim.y = 1;
        attributes[config.numAttrs++].val.clusterDim.z = 1;
    }
    if (shared > 48 << 10 &&
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared) != cudaSuccess)
        return;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared) !=
        cudaSuccess)
        return;
    cudaLaunchKernelEx(&config, kernel, arguments...);
}

/** The block's number in its cluster, and how many there are. */
__device__ __forceinline__ int gpudl_cluster_rank()
{
#if __CUDA_ARCH__ >= 900
    int rank;

    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
#else
    return 0;
#endif
}

__device__ __forceinline__ int gpudl_cluster_blocks()
{
#if __CUDA_ARCH__ >= 900
    int blocks;

    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
    return blocks;
#else
    return 1;
#endif
}

/** __syncthreads() of all blocks of the cluster. */
__device__ __forceinline__ void gpudl_cluster_barrier()
{
#if __CUDA_ARCH__ >= 900
    __syncwarp(); /* "aligned": all lanes at once, whatever branches they come from */
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
    __syncthreads();
#endif
}

/** The same, but that nothing that was written can be relied on behind it: for blocks that others have read from,
 * before they end. What has been written to global memory is not waited for. */
__device__ __forceinline__ void gpudl_cluster_meet()
{
#if __CUDA_ARCH__ >= 900
    __syncwarp();
    asm volatile("barrier.cluster.arrive.relaxed.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
#else
    __syncthreads();
#endif
}

/** What a block of the cluster has where this one has *shared, which lies in shared memory. */
__device__ __forceinline__ float gpudl_cluster_float(const float *shared, int block)
{
#if __CUDA_ARCH__ >= 900
    float v;

    asm volatile("{\n\t.reg .u32 at;\n\tmapa.shared::cluster.u32 at, %1, %2;\n\tld.shared::cluster.f32 %0, [at];\n\t}"
                 : "=f"(v)
                 : "r"((unsigned)__cvta_generic_to_shared(shared)), "r"(block)
                 : "memory");
    return v;
#else
    return *shared;
#endif
}

/** The same of four at a multiple of 16 bytes. */
__device__ __forceinline__ float4 gpudl_cluster_floats(const float4 *shared, int block)
{
#if __CUDA_ARCH__ >= 900
    float4 v;

    asm volatile("{\n\t.reg .u32 at;\n\tmapa.shared::cluster.u32 at, %4, %5;\n\t"
                 "ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [at];\n\t}"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"((unsigned)__cvta_generic_to_shared(shared)), "r"(block)
                 : "memory");
    return v;
#else
    return *shared;
#endif
}

#endif
