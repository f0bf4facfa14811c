/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels ask of a device beyond CUDA C++: launches, and instructions that C++ has no name for. Kernels contain
 * neither <<<>>> nor asm, so that tests/kernels/emulate, which has a header of this name, can run them on a processor.
 */
#ifndef GPUDL_KERNELS_DEVICE_CUH
#define GPUDL_KERNELS_DEVICE_CUH

#include <cuda_runtime.h>

/** Queues a kernel; cudaGetLastError() tells whether it could be. shared: bytes of dynamic shared memory. */
template <class... Parameters, class... Arguments>
static inline void gpudl_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                cudaStream_t stream, const Arguments &...arguments)
{
    kernel<<<grid, block, shared, stream>>>(arguments...);
}

/** sum + w[0] * b[0] + w[1] * b[1]: w two signed halves of a word, b the word's lower two unsigned bytes. */
__device__ __forceinline__ int gpudl_dot_low(unsigned w, unsigned b, int sum)
{
    asm("dp2a.lo.s32.u32 %0, %1, %2, %0;" : "+r"(sum) : "r"(w), "r"(b));
    return sum;
}

/** The same of the upper two bytes. */
__device__ __forceinline__ int gpudl_dot_high(unsigned w, unsigned b, int sum)
{
    asm("dp2a.hi.s32.u32 %0, %1, %2, %0;" : "+r"(sum) : "r"(w), "r"(b));
    return sum;
}

/* ---- products of a warp --------------------------------------------------------------------------------------------
 * sum += a * b, operands spread over the lanes as PTX has it for mma.sync, row by column. */

/** 16 x 8 of halfs by 8 x 8, in float32. */
__device__ __forceinline__ void gpudl_mma_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(b0));
}

/** 16 x 16 of halfs by 16 x 8, in float32. */
__device__ __forceinline__ void gpudl_mma_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                              unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    gpudl_mma_k8(sum, a0, a1, b0);
    gpudl_mma_k8(sum, a2, a3, b1);
#endif
}

#endif
