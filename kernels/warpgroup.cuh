/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What device.cuh and cluster.cuh are for, of compute capability 9.0 alone (sm_90a): products of a warpgroup, which is
 * a block of 128 threads here, whose operands lie in shared memory; boxes of tensors that are copied there by one
 * thread; and counters that tell when they have come. tests/kernels/emulate has a twin.
 *
 * Operands are lines of 128 bytes, at multiples of 1024 bytes: the vectors of 16 bytes of a line are exchanged by the
 * last three bits of the line's number, which are bits of its address (swizzle of 128 bytes). What copies boxes and
 * what multiplies agree on that; all else goes by gpudl_exchanged().
 */
#ifndef GPUDL_KERNELS_WARPGROUP_CUH
#define GPUDL_KERNELS_WARPGROUP_CUH

#include <cuda.h>
#include <stdint.h>

#include "kernels/cluster.cuh"
#include "kernels/cuda_common.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GPUDL_WARPGROUP_ASM(...) asm volatile(__VA_ARGS__)
#else
/* other devices' code is never run: launchers look at gpudl_has_warpgroups() */
#define GPUDL_WARPGROUP_ASM(...) __trap()
#endif

/** TRUE if the current device has all of this, and the code of the kernel that it runs as well: where the driver is
 * told to compile the PTX of another architecture (CUDA_FORCE_PTX_JIT) that has none of it. */
static inline bool gpudl_has_warpgroups(const void *kernel)
{
#if defined(GPUDL_SM90A)
    int device, major = 0, minor = -1;

    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
           cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 &&
           minor == 0 && gpudl_kernels_wait(kernel);
#else
    (void)kernel;
    return false;
#endif
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/** A tensor of 16-bit elements in the device's memory: extents of its dimensions, fastest first, and the way from one
 * to the next in bytes, of all but the first dimension, multiples of 16 as the address is. */
typedef struct {
    const void *data;
    int rank;
    uint64_t extents[5], pitches[5]; /* pitches[0] is not looked at */
} GpudlTensor;

/** What fetches parts of a tensor; a parameter of a kernel (__grid_constant__). */
typedef CUtensorMap GpudlTensorMap;

/** The driver's function of that name; NULL if it has none. */
static inline void *gpudl_driver_function(const char *name)
{
    cudaDriverEntryPointQueryResult found;
    void *function = nullptr;

#if CUDART_VERSION >= 12050
    if (cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found) != cudaSuccess)
        return nullptr;
#else
    if (cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found) != cudaSuccess)
        return nullptr;
#endif
    return found == cudaDriverEntryPointSuccess ? function : nullptr;
}

static inline int gpudl_map_result(CUresult result)
{
    return result == CUDA_SUCCESS ? (int)cudaSuccess : (int)cudaErrorInvalidValue;
}

/** Fetches boxes of these extents, the first 64; elements beyond the tensor are zeros. A CUDA error. */
static inline int gpudl_map_boxes(GpudlTensorMap *map, const GpudlTensor *tensor, const uint32_t box[5])
{
    static std::atomic<void *> known;
    const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
    void *function = known.load(std::memory_order_relaxed);

    if (function == nullptr)
        known.store(function = gpudl_driver_function("cuTensorMapEncodeTiled"), std::memory_order_relaxed);
    if (function == nullptr)
        return (int)cudaErrorNotSupported;
    return gpudl_map_result(reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
        map, CU_TENSOR_MAP_DATA_TYPE_UINT16, (cuuint32_t)tensor->rank, const_cast<void *>(tensor->data),
        (const cuuint64_t *)tensor->extents, (const cuuint64_t *)tensor->pitches + 1, box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

/** Fetches what one tap of a window sees, of pixels one after another: tensor is pictures [n][h][w][c], 64 channels are
 * fetched. first: x and y of the window's first place, of its first tap, -128 or more; beyond: how far behind the last
 * column and row its last place begins, 127 at most; steps: from place to place, 8 at most. A CUDA error. */
static inline int gpudl_map_places(GpudlTensorMap *map, const GpudlTensor *tensor, const int first[2],
                                   const int beyond[2], const int steps[2], int places)
{
    static std::atomic<void *> known;
    const cuuint32_t all_steps[4] = {1, (cuuint32_t)steps[0], (cuuint32_t)steps[1], 1};
    void *function = known.load(std::memory_order_relaxed);

    if (function == nullptr)
        known.store(function = gpudl_driver_function("cuTensorMapEncodeIm2col"), std::memory_order_relaxed);
    if (function == nullptr)
        return (int)cudaErrorNotSupported;
    return gpudl_map_result(reinterpret_cast<decltype(&cuTensorMapEncodeIm2col)>(function)(
        map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, const_cast<void *>(tensor->data), (const cuuint64_t *)tensor->extents,
        (const cuuint64_t *)tensor->pitches + 1, first, beyond, 64, (cuuint32_t)places, all_steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

/** The block's dynamic shared memory, at a multiple of 1024 bytes, the same in all blocks of a cluster. */
__device__ __forceinline__ uint8_t *gpudl_shared_lines()
{
    extern __shared__ __align__(1024) uint8_t gpudl_shared_line_memory[];

    return gpudl_shared_line_memory;
}

__device__ __forceinline__ unsigned gpudl_shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/** Where vector (0 .. 7) of a line lies, from the begin of the lines. */
__device__ __forceinline__ int gpudl_exchanged(int line, int vector)
{
    return line * 128 + (vector ^ (line & 7)) * 16;
}

/** What threads wrote to shared memory before can be copied by gpudl_push() of any thread behind a barrier. */
__device__ __forceinline__ void gpudl_shared_written()
{
    GPUDL_WARPGROUP_ASM("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- counters ------------------------------------------------------------------------------------------------------
 * In shared memory. A counter is done when it has been told once how many bytes to expect, and these have come. */

/** By one thread; seen by others of the block behind gpudl_counters_ready() and a barrier. */
__device__ __forceinline__ void gpudl_counter_begin(uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(gpudl_shared_address(counter)) : "memory");
}

/** By the same thread, behind the last of them: copies and other blocks of the cluster see them as well. */
__device__ __forceinline__ void gpudl_counters_ready()
{
    GPUDL_WARPGROUP_ASM("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
}

/** By one thread, once. */
__device__ __forceinline__ void gpudl_counter_expect(uint64_t *counter, int bytes)
{
    GPUDL_WARPGROUP_ASM("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(gpudl_shared_address(counter)),
                        "r"(bytes)
                        : "memory");
}

/** Until it is done, which is so for good. */
__device__ __forceinline__ void gpudl_counter_wait(uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("{\n\t.reg .pred done;\n"
                        "again:\n\tmbarrier.try_wait.parity.shared::cta.b64 done, [%0], 0;\n\t"
                        "@!done bra again;\n\t}" ::"r"(gpudl_shared_address(counter))
                        : "memory");
}

/** The same of one that other blocks of the cluster push to: what they sent is seen. */
__device__ __forceinline__ void gpudl_counter_wait_for_blocks(uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("{\n\t.reg .pred done;\n"
                        "again:\n\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], 0;\n\t"
                        "@!done bra again;\n\t}" ::"r"(gpudl_shared_address(counter))
                        : "memory");
}

/* ---- copies --------------------------------------------------------------------------------------------------------
 * By one thread. to: lines at a multiple of 1024 bytes; counter: of the block, which is told of the bytes. */

__device__ __forceinline__ void gpudl_map_soon(const GpudlTensorMap *map)
{
    GPUDL_WARPGROUP_ASM("prefetch.tensormap [%0];" ::"l"(map));
}

__device__ __forceinline__ void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                        "[%0], [%1, {%2, %3}], [%4];" ::"r"(gpudl_shared_address(to)),
                        "l"(map), "r"(a), "r"(b), "r"(gpudl_shared_address(counter)));
}

__device__ __forceinline__ void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, int c,
                                                uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                        "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(gpudl_shared_address(to)),
                        "l"(map), "r"(a), "r"(b), "r"(c), "r"(gpudl_shared_address(counter)));
}

__device__ __forceinline__ void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, int c, int d,
                                                uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                        "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(gpudl_shared_address(to)),
                        "l"(map), "r"(a), "r"(b), "r"(c), "r"(d), "r"(gpudl_shared_address(counter)));
}

/** 64 channels from c on of what a tap sees from a place on, whose first tap is at (x, y) of picture n; right and
 * below: of the tap, from the first. */
__device__ __forceinline__ void gpudl_fetch_places(void *to, const GpudlTensorMap *map, int c, int x, int y, int n,
                                                   int right, int below, uint64_t *counter)
{
    GPUDL_WARPGROUP_ASM("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
                        "[%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(gpudl_shared_address(to)),
                        "l"(map), "r"(c), "r"(x), "r"(y), "r"(n), "r"(gpudl_shared_address(counter)), "h"((short)right),
                        "h"((short)below));
}

/** Copies bytes from shared memory to where another block of the cluster has what is at to here; its counter is told,
 * the one which is here at counter. This block may not end before. By one thread of a warp: what it copies is named by
 * the warp's registers. */
__device__ __forceinline__ void gpudl_push(void *to, const void *from, int bytes, uint64_t *counter, int block)
{
    GPUDL_WARPGROUP_ASM("{\n\t.reg .u32 there, told;\n\tmapa.shared::cluster.u32 there, %0, %4;\n\t"
                        "mapa.shared::cluster.u32 told, %3, %4;\n\t"
                        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                        "[there], [%1], %2, [told];\n\t}" ::"r"(gpudl_shared_address(to)),
                        "r"(gpudl_shared_address(from)), "r"(bytes), "r"(gpudl_shared_address(counter)), "r"(block)
                        : "memory");
}

/* ---- a cluster's barrier in two halves --------------------------------------------------------------------------- */

/** What was written before is seen by all of the cluster behind the wait. */
__device__ __forceinline__ void gpudl_cluster_arrive()
{
    __syncwarp();
    GPUDL_WARPGROUP_ASM("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

/** The same without what was written. */
__device__ __forceinline__ void gpudl_cluster_pass()
{
    __syncwarp();
    GPUDL_WARPGROUP_ASM("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

__device__ __forceinline__ void gpudl_cluster_wait()
{
    __syncwarp();
    GPUDL_WARPGROUP_ASM("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* ---- products ------------------------------------------------------------------------------------------------------
 * Of 64 lines of a by N lines of b, 16 elements of each. Thread 32 * w + 4 * g + t has in sum[4 * j ..] lines
 * 16 * w + g of a by 8 * j + 2 * t and the next of b, then the same of lines 16 * w + g + 8. */

/** Before the first product, and after registers of its operands were written. */
__device__ __forceinline__ void gpudl_products_begin()
{
    GPUDL_WARPGROUP_ASM("wgmma.fence.sync.aligned;" ::: "memory");
}

/** Ends a group of products. */
__device__ __forceinline__ void gpudl_products_commit()
{
    GPUDL_WARPGROUP_ASM("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/** Waits for all groups. */
__device__ __forceinline__ void gpudl_products_wait()
{
    GPUDL_WARPGROUP_ASM("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/** What names an operand in shared memory: lines at a multiple of 128 bytes; elements from 16 * k on by 2 * k more. */
__device__ __forceinline__ uint64_t gpudl_operand(const void *lines)
{
    return (uint64_t)((gpudl_shared_address(lines) & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

/** sum += a * b; T: __half or GpudlBf16, N: lines of b. */
template <class T, int N> struct GpudlProducts;

#include "kernels/warpgroup_products.cuh"

#endif
