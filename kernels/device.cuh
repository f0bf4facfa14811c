/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels ask of a device beyond CUDA C++: launches, and instructions that C++ has no name for. Kernels contain
 * neither <<<>>> nor asm, so that tests/kernels/emulate, which has a header of this name, can run them on a processor.
 */
#ifndef GPUDL_KERNELS_DEVICE_CUH
#define GPUDL_KERNELS_DEVICE_CUH

#include <atomic>

#include <cuda_runtime.h>

#include "kernels/launch.h"

/* ---- launches ------------------------------------------------------------------------------------------------------
 * Kernels overlap the end of what was queued before them (programmatic dependent launch): their blocks come to the
 * processors while the last blocks before them still run, which hides a part of what a launch takes. So each begins
 * with gpudl_begin(), or with gpudl_wait_for_previous() and gpudl_let_next_come() where it has something to do before
 * that needs nothing of what was queued before: neither reads what that writes nor writes what that reads. */

/** Until all that was queued before is done, and what it wrote can be seen. */
__device__ __forceinline__ void gpudl_wait_for_previous()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/** What is queued next may come to the processors as soon as all blocks are here or have ended. */
__device__ __forceinline__ void gpudl_let_next_come()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void gpudl_begin()
{
    gpudl_wait_for_previous();
    gpudl_let_next_come();
}

/** TRUE if the code of kernels that the current device runs has these instructions, which may be asked of any kernel:
 * all are compiled for the same architectures. Without them, a kernel that overlaps would not wait. */
static inline bool gpudl_kernels_wait(const void *kernel)
{
    static std::atomic<signed char> known[64]; /* by device; 0: nobody has asked */
    cudaFuncAttributes attributes;
    int device = 0;
    signed char waits;

    if (cudaGetDevice(&device) != cudaSuccess || device >= (int)(sizeof(known) / sizeof(*known)))
        return false;
    waits = known[device].load(std::memory_order_relaxed);
    if (waits == 0) {
        if (cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess)
            return false;
        waits = attributes.ptxVersion >= 90 ? 1 : -1;
        known[device].store(waits, std::memory_order_relaxed);
    }
    return waits > 0;
}

/** Queues a kernel; cudaGetLastError() tells whether it could be. shared: bytes of dynamic shared memory. */
template <class... Parameters, class... Arguments>
static inline void gpudl_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                cudaStream_t stream, const Arguments &...arguments)
{
    cudaLaunchAttribute overlap = {};
    cudaLaunchConfig_t config = {};

    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs =
        gpudl_launches_may_overlap() && gpudl_kernels_wait(reinterpret_cast<const void *>(kernel)) ? 1 : 0;
    if (shared > 48 << 10 &&
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared) != cudaSuccess)
        return;
    cudaLaunchKernelEx(&config, kernel, arguments...);
}

/** The block's dynamic shared memory, at a multiple of 128 bytes. */
__device__ __forceinline__ void *gpudl_shared()
{
    extern __shared__ __align__(128) unsigned char gpudl_shared_memory[];

    return gpudl_shared_memory;
}

/* ---- loads ---------------------------------------------------------------------------------------------------------
 * As kernels overlap, one is on the device while what it reads is still written. PTX allows ld.global.nc (__ldg(), or a
 * parameter that is const and __restrict__) of what is read-only for as long as the kernel lives, and of nothing else:
 * it need not see what others write, nor stay on its side of the wait. That is reason enough for a load's name to say
 * what it reads, and for no parameter to be __restrict__. tests/style/check-loads.py lists the loads of constants. */

/** A constant: nothing that is queued on the device writes it while kernels are there that read it. Weights, biases and
 * tables are, where the contract says so; it may be read before gpudl_wait_for_previous(). */
template <class T> __device__ __forceinline__ T gpudl_load_constant(const T *p)
{
    return __ldg(p);
}

/** What kernels before may have written: activations, jobs, frames. It stays behind gpudl_wait_for_previous(), and such
 * loads stay in their order; to the compiler the kernel's stores have nothing to do with it, else each would hold up
 * the loads behind it. So p is nothing that this kernel writes but by values that were made of what p gave. */
__device__ __forceinline__ uint4 gpudl_load_written(const uint4 *p)
{
    uint4 v;

    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
__device__ __forceinline__ uint2 gpudl_load_written(const uint2 *p)
{
    uint2 v;

    asm volatile("ld.global.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
}
__device__ __forceinline__ unsigned gpudl_load_written(const unsigned *p)
{
    unsigned v;

    asm volatile("ld.global.u32 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
}
__device__ __forceinline__ unsigned short gpudl_load_written(const unsigned short *p)
{
    unsigned short v;

    asm volatile("ld.global.u16 %0, [%1];" : "=h"(v) : "l"(p));
    return v;
}
/* a word, so that nothing has to clear its upper bits again */
__device__ __forceinline__ unsigned gpudl_load_written(const unsigned char *p)
{
    unsigned v;

    asm volatile("ld.global.u8 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
}
__device__ __forceinline__ float4 gpudl_load_written(const float4 *p)
{
    float4 v;

    asm volatile("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}
__device__ __forceinline__ float gpudl_load_written(const float *p)
{
    float v;

    asm volatile("ld.global.f32 %0, [%1];" : "=f"(v) : "l"(p));
    return v;
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

/** Asks for what lies at p, which exists, to be in the device's second-level cache soon. */
__device__ __forceinline__ void gpudl_prefetch(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/** 16 bytes at a multiple of that which nothing writes while the kernel runs, and which are read once: the first-level
 * cache is not asked to keep them. It stays on its side of the wait for what was queued before: what stands before that
 * is on its way meanwhile. */
__device__ __forceinline__ uint4 gpudl_load_once(const void *p)
{
    uint4 v;

    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/** 1 / v, off by 2^-23 at most; v is no subnormal. */
__device__ __forceinline__ float gpudl_reciprocal(float v)
{
    asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(v));
    return v;
}

/** Two halfs in a word, each rounded to nearest, ties to even; what is negative is 0, NaN stays one. first has the
 * lower half. */
__device__ __forceinline__ unsigned gpudl_pack_positive_half(float first, float second)
{
    unsigned word;

#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
#else
    first = first < 0.f ? 0.f : first;
    second = second < 0.f ? 0.f : second;
    asm("{\n\t.reg .b16 first, second;\n\tcvt.rn.f16.f32 first, %1;\n\tcvt.rn.f16.f32 second, %2;\n\t"
        "mov.b32 %0, {first, second};\n\t}"
        : "=r"(word)
        : "f"(first), "f"(second));
#endif
    return word;
}

/* ---- bfloat16 -------------------------------------------------------------------------------------------------------
 * Two in a word. */

/** Each rounded to nearest, ties to even; NaN stays one. first has the lower half. */
__device__ __forceinline__ unsigned gpudl_pack_bf16(float first, float second)
{
#if __CUDA_ARCH__ >= 800
    unsigned word;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
#else
    unsigned bits[2] = {__float_as_uint(first), __float_as_uint(second)};

#pragma unroll
    for (int i = 0; i < 2; i++)
        bits[i] =
            (bits[i] & 0x7fffffffu) > 0x7f800000u ? bits[i] | 0x400000u : bits[i] + 0x7fffu + (bits[i] >> 16 & 1u);
    return bits[0] >> 16 | (bits[1] & 0xffff0000u);
#endif
}

/** The same, but that what is negative is 0. */
__device__ __forceinline__ unsigned gpudl_pack_positive_bf16(float first, float second)
{
#if __CUDA_ARCH__ >= 800
    unsigned word;

    asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
#else
    return gpudl_pack_bf16(first < 0.f ? 0.f : first, second < 0.f ? 0.f : second);
#endif
}

/** The larger of each; NaN goes through. */
__device__ __forceinline__ unsigned gpudl_max_bf16(unsigned a, unsigned b)
{
#if __CUDA_ARCH__ >= 800
    asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
#else
    unsigned word = 0;

#pragma unroll
    for (int i = 0; i < 32; i += 16) {
        const float x = __uint_as_float(a << (16 - i) & 0xffff0000u), y = __uint_as_float(b << (16 - i) & 0xffff0000u);

        word |= (y > x || y != y ? b : a) & 0xffffu << i;
    }
    return word;
#endif
}

/** Whether the device that code is compiled for has tensor cores for bfloat16 and TF32. */
__device__ constexpr bool gpudl_has_bf16_products()
{
#if __CUDA_ARCH__ >= 800
    return true;
#else
    return false;
#endif
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

/* Without such tensor cores: the lanes show one another their words. Out of line, since it stands in kernels many
 * times.
 */
template <bool BF16> __device__ __forceinline__ float gpudl_multiply_words(unsigned a, unsigned b)
{
    if (BF16)
        return __uint_as_float(a << 16) * __uint_as_float(b << 16) +
               __uint_as_float(a & 0xffff0000u) * __uint_as_float(b & 0xffff0000u);
    return __uint_as_float(a) * __uint_as_float(b);
}

template <bool BF16>
__device__ __noinline__ float4 gpudl_multiply_slowly(float4 sum, unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                     unsigned b0, unsigned b1)
{
    float sums[4] = {sum.x, sum.y, sum.z, sum.w};
    unsigned lane;

    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
#pragma unroll 1
    for (unsigned i = 0; i < 4; i++) {
        const unsigned from = lane / 4 * 4 + i, first = lane % 4 * 8 + i;
        const unsigned upper0 = __shfl_sync(0xffffffff, a0, from), lower0 = __shfl_sync(0xffffffff, a1, from);
        const unsigned upper1 = __shfl_sync(0xffffffff, a2, from), lower1 = __shfl_sync(0xffffffff, a3, from);

#pragma unroll
        for (unsigned column = 0; column < 2; column++) {
            const unsigned word0 = __shfl_sync(0xffffffff, b0, first + 4 * column);
            const unsigned word1 = __shfl_sync(0xffffffff, b1, first + 4 * column);

            sums[column] += gpudl_multiply_words<BF16>(upper0, word0) + gpudl_multiply_words<BF16>(upper1, word1);
            sums[2 + column] += gpudl_multiply_words<BF16>(lower0, word0) + gpudl_multiply_words<BF16>(lower1, word1);
        }
    }
    return make_float4(sums[0], sums[1], sums[2], sums[3]);
}

template <bool BF16>
__device__ __forceinline__ void gpudl_add_slowly(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                 unsigned b0, unsigned b1)
{
    const float4 sums =
        gpudl_multiply_slowly<BF16>(make_float4(sum[0], sum[1], sum[2], sum[3]), a0, a1, a2, a3, b0, b1);

    sum[0] = sums.x;
    sum[1] = sums.y;
    sum[2] = sums.z;
    sum[3] = sums.w;
}

/** 16 x 8 of bfloat16 by 8 x 8, in float32; without tensor cores below compute capability 8. */
__device__ __forceinline__ void gpudl_mma_bf16_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(b0));
#else
    gpudl_add_slowly<true>(sum, a0, a1, 0, 0, b0, 0);
#endif
}

/** 16 x 16 by 16 x 8, likewise. */
__device__ __forceinline__ void gpudl_mma_bf16_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                   unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    gpudl_add_slowly<true>(sum, a0, a1, a2, a3, b0, b1);
#endif
}

/** 16 x 32 of signed bytes by 32 x 8 of unsigned ones, in integers of 32 bits. */
__device__ __forceinline__ void gpudl_mma_bytes_k32(int (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                    unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    const unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};

#pragma unroll
    for (int i = 0; i < 4; i++)
        asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.u8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
            : "+r"(sum[i % 2 * 2]), "+r"(sum[i % 2 * 2 + 1])
            : "r"(a[i]), "r"(b[i / 2]));
#endif
}

/** 16 x 8 of TF32 by 8 x 8, likewise. */
__device__ __forceinline__ void gpudl_mma_tf32_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                  unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    gpudl_add_slowly<false>(sum, a0, a1, a2, a3, b0, b1);
#endif
}

/** float32 bits to the nearest of TF32, ties away from zero; NaN stays one. */
__device__ __forceinline__ unsigned gpudl_round_tf32(unsigned bits)
{
#if __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
    return bits;
#else
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
#endif
}

/** Four matrices of 8 rows of 16 bytes in shared memory: lanes 8 * i .. 8 * i + 7 name the rows of matrix i; lane
 * 4 * g + t gets word t of row g of each. */
__device__ __forceinline__ void gpudl_load_matrices(unsigned (&word)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

/** 16 x 16 of two bytes each to shared memory, of rows pitch bytes apart, which lie at multiples of 16: lane 4 * g + t
 * has words t of row g: 0 of its first half, 2 of its second one, and 1 and 3 of row g + 8, as sums of products lie. */
__device__ __forceinline__ void gpudl_store_tile(void *corner, int pitch, const unsigned (&word)[4])
{
    unsigned char *to = static_cast<unsigned char *>(corner);
    unsigned lane;

    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
#if __CUDA_ARCH__ >= 900
    to += (int)(lane % 16) * pitch + lane / 16 * 16;
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"((unsigned)__cvta_generic_to_shared(to)),
        "r"(word[0]), "r"(word[1]), "r"(word[2]), "r"(word[3])
        : "memory");
#else
#pragma unroll
    for (int i = 0; i < 4; i++)
        *reinterpret_cast<unsigned *>(to + (int)(lane / 4 + i % 2 * 8) * pitch + i / 2 * 16 + lane % 4 * 4) = word[i];
#endif
}

/* ---- copies to shared memory that a thread does not wait for -------------------------------------------------------
 * Those of a group are there for the thread that waits, and behind a barrier for all. */

/** BYTES (4, 8 or 16) at a multiple of that; zeros where they do not exist. from is a valid address in any case. */
template <int BYTES> __device__ __forceinline__ void gpudl_copy_async(void *shared, const void *from, bool exist)
{
#if __CUDA_ARCH__ >= 800
    const unsigned to = (unsigned)__cvta_generic_to_shared(shared), bytes = exist ? BYTES : 0;

    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(to), "l"(from), "r"(bytes), "n"(BYTES)
                     : "memory");
#else
    unsigned word[BYTES / 4];

#pragma unroll
    for (int i = 0; i < BYTES / 4; i++)
        word[i] = 0;
#pragma unroll
    for (int i = 0; i < BYTES / 4; i++)
        if (exist)
            word[i] = static_cast<const unsigned *>(from)[i];
#pragma unroll
    for (int i = 0; i < BYTES / 4; i++)
        static_cast<unsigned *>(shared)[i] = word[i];
#endif
}

/** Ends a group of copies, which may be none. */
__device__ __forceinline__ void gpudl_copy_commit()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/** Waits until at most GROUPS of the last groups are on their way. */
template <int GROUPS> __device__ __forceinline__ void gpudl_copy_wait()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#endif
}

#endif
