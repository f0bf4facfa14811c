/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin of kernels/device.cuh: found first where kernels are built for this processor. */
#ifndef GPUDL_EMULATE_DEVICE_CUH
#define GPUDL_EMULATE_DEVICE_CUH

#include "cuda_fp16.h"

template <class... Parameters, class... Arguments>
static inline void gpudl_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, cudaStream_t,
                                const Arguments &...arguments)
{
    gpudl_emulate_grid(grid, block, shared, 1, [&] { kernel(arguments...); });
}

/* one launch ends before the next begins; that kernels wait is seen to all the same */
static inline void gpudl_wait_for_previous()
{
    gpudl_emulate_wait_for_previous();
}

static inline void gpudl_let_next_come()
{
}

static inline void gpudl_begin()
{
    gpudl_wait_for_previous();
}

static inline void *gpudl_shared()
{
    return gpudl_emulate_shared();
}

template <class T> static inline T gpudl_load_constant(const T *p)
{
    gpudl_emulate_aligned(p, alignof(T));
    return *p;
}

template <class T> static inline T gpudl_load_written(const T *p)
{
    gpudl_emulate_aligned(p, alignof(T));
    gpudl_emulate_reads_written(p);
    return *p;
}

static inline unsigned gpudl_load_written(const uint8_t *p)
{
    gpudl_emulate_reads_written(p);
    return *p;
}

static inline int gpudl_dot_low(unsigned w, unsigned b, int sum)
{
    return sum + (int16_t)(w & 0xffff) * (int)(b & 0xff) + (int16_t)(w >> 16) * (int)(b >> 8 & 0xff);
}

static inline int gpudl_dot_high(unsigned w, unsigned b, int sum)
{
    return gpudl_dot_low(w, b >> 16, sum);
}

/* reads, so that an address that does not exist is seen */
static inline void gpudl_prefetch(const void *p)
{
    (void)*static_cast<const volatile unsigned char *>(p);
}

static inline uint4 gpudl_load_once(const void *p)
{
    gpudl_emulate_aligned(p, 16);
    return *static_cast<const uint4 *>(p);
}

static inline float gpudl_reciprocal(float v)
{
    return 1.f / v;
}

static constexpr bool gpudl_has_bf16_products()
{
    return true;
}

/* ---- products of a warp --------------------------------------------------------------------------------------------
 * Lane 4 * g + t holds, of a: rows g and g + 8, words t; of b: columns g, words t; of the sum: columns 2 * t and the
 * next. A word is two neighbours along the sum. Registers beyond the first two rows' are 4 words further. */

struct GpudlEmulateHalfs {
    static constexpr int PER_WORD = 2;
    static float get(unsigned word, int i)
    {
        return gpudl_f16_to_f32((uint16_t)(word >> 16 * i));
    }
};

template <class TYPE, int WORDS> struct GpudlEmulateMma {
    float *sum;
    unsigned a[WORDS / 2], b[WORDS / 4]; /* WORDS of a row, four of them in a register of four lanes */

    /* a row's or column's values, as float32 */
    static void spread(const unsigned *word, float *to)
    {
        for (int i = 0; i < TYPE::PER_WORD; i++)
            to[i] = TYPE::get(*word, i);
    }
    static void multiply(GpudlEmulateLane *lanes, unsigned mask)
    {
        constexpr int K = WORDS * TYPE::PER_WORD;
        float a[16][K], b[8][K];

        if (mask != 0xffffffff)
            gpudl_emulate_fail("a product of matrices by lanes %08x only", mask);
        for (int i = 0; i < 32; i++) {
            const GpudlEmulateMma *from = static_cast<GpudlEmulateMma *>(lanes[i].data);

            for (int part = 0; part < WORDS / 4; part++) {
                const int k = (4 * part + i % 4) * TYPE::PER_WORD;

                spread(&from->a[2 * part], &a[i / 4][k]);
                spread(&from->a[2 * part + 1], &a[i / 4 + 8][k]);
                spread(&from->b[part], &b[i / 4][k]);
            }
        }
        for (int i = 0; i < 32; i++)
            for (int e = 0; e < 4; e++) {
                const float *row = a[i / 4 + e / 2 * 8], *column = b[i % 4 * 2 + e % 2];
                float sum = 0;

                for (int k = 0; k < K; k++)
                    sum += row[k] * column[k];
                static_cast<GpudlEmulateMma *>(lanes[i].data)->sum[e] += sum;
            }
    }
};

static inline void gpudl_mma_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
{
    GpudlEmulateMma<GpudlEmulateHalfs, 4> mine = {sum, {a0, a1}, {b0}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

static inline void gpudl_mma_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                 unsigned b1)
{
    GpudlEmulateMma<GpudlEmulateHalfs, 8> mine = {sum, {a0, a1, a2, a3}, {b0, b1}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

struct GpudlEmulateBf16s {
    static constexpr int PER_WORD = 2;
    static float get(unsigned word, int i)
    {
        return __uint_as_float(i == 0 ? word << 16 : word & 0xffff0000u);
    }
};

/* a device looks at no lower bits */
struct GpudlEmulateTf32 {
    static constexpr int PER_WORD = 1;
    static float get(unsigned word, int)
    {
        return __uint_as_float(word & 0xffffe000u);
    }
};

static inline unsigned gpudl_pack_bf16(float first, float second)
{
    return gpudl_f32_to_bf16(first) | (unsigned)gpudl_f32_to_bf16(second) << 16;
}

/* NaN is no less than 0 */
static inline unsigned gpudl_pack_positive_bf16(float first, float second)
{
    return gpudl_pack_bf16(first < 0.f ? 0.f : first, second < 0.f ? 0.f : second);
}

static inline unsigned gpudl_pack_positive_half(float first, float second)
{
    return gpudl_f32_to_f16(first < 0.f ? 0.f : first) | (unsigned)gpudl_f32_to_f16(second < 0.f ? 0.f : second) << 16;
}

static inline unsigned gpudl_max_bf16(unsigned a, unsigned b)
{
    unsigned word = 0;

    for (int i = 0; i < 2; i++) {
        const float x = GpudlEmulateBf16s::get(a, i), y = GpudlEmulateBf16s::get(b, i);

        word |= (y > x || y != y ? b : a) & 0xffffu << 16 * i;
    }
    return word;
}

static inline void gpudl_mma_bf16_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned b0)
{
    GpudlEmulateMma<GpudlEmulateBf16s, 4> mine = {sum, {a0, a1}, {b0}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

static inline void gpudl_mma_bf16_k16(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                      unsigned b1)
{
    GpudlEmulateMma<GpudlEmulateBf16s, 8> mine = {sum, {a0, a1, a2, a3}, {b0, b1}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

static inline void gpudl_mma_tf32_k8(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                     unsigned b1)
{
    GpudlEmulateMma<GpudlEmulateTf32, 8> mine = {sum, {a0, a1, a2, a3}, {b0, b1}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

/* as above, but sums of integers: words of four bytes, of the second operand unsigned */
struct GpudlEmulateMmaBytes {
    int *sum;
    unsigned a[4], b[2];

    static void multiply(GpudlEmulateLane *lanes, unsigned mask)
    {
        int8_t a[16][32];
        uint8_t b[8][32];

        if (mask != 0xffffffff)
            gpudl_emulate_fail("a product of matrices by lanes %08x only", mask);
        for (int i = 0; i < 32; i++) {
            const GpudlEmulateMmaBytes *from = static_cast<GpudlEmulateMmaBytes *>(lanes[i].data);

            for (int k = 0; k < 32; k++)
                if (k / 4 % 4 == i % 4) {
                    const int part = k / 16, shift = k % 4 * 8;

                    a[i / 4][k] = (int8_t)(from->a[2 * part] >> shift);
                    a[i / 4 + 8][k] = (int8_t)(from->a[2 * part + 1] >> shift);
                    b[i / 4][k] = (uint8_t)(from->b[part] >> shift);
                }
        }
        for (int i = 0; i < 32; i++)
            for (int e = 0; e < 4; e++)
                for (int k = 0; k < 32; k++)
                    static_cast<GpudlEmulateMmaBytes *>(lanes[i].data)->sum[e] +=
                        a[i / 4 + e / 2 * 8][k] * b[i % 4 * 2 + e % 2][k];
    }
};

static inline void gpudl_mma_bytes_k32(int (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                       unsigned b1)
{
    GpudlEmulateMmaBytes mine = {sum, {a0, a1, a2, a3}, {b0, b1}};

    gpudl_emulate_warp(0xffffffff, mine.multiply, &mine);
}

static inline unsigned gpudl_round_tf32(unsigned bits)
{
    if ((bits & 0x7f800000u) == 0x7f800000u)
        return (bits & 0x7fffffu) != 0 ? bits | 0x400000u : bits;
    return (bits + 0x1000u) & ~0x1fffu;
}

struct GpudlEmulateRows {
    const void *row;
    unsigned *word;

    static void load(GpudlEmulateLane *lanes, unsigned mask)
    {
        if (mask != 0xffffffff)
            gpudl_emulate_fail("matrices for lanes %08x only", mask);
        for (int i = 0; i < 32; i++)
            for (int matrix = 0; matrix < 4; matrix++) {
                const void *row = static_cast<GpudlEmulateRows *>(lanes[8 * matrix + i / 4].data)->row;

                static_cast<GpudlEmulateRows *>(lanes[i].data)->word[matrix] =
                    static_cast<const unsigned *>(row)[i % 4];
            }
    }
};

static inline void gpudl_load_matrices(unsigned (&word)[4], const void *row)
{
    GpudlEmulateRows mine = {row, word};

    gpudl_emulate_aligned(row, 16);
    gpudl_emulate_warp(0xffffffff, mine.load, &mine);
}

/* which lane stores what is the device's: here each its own */
static inline void gpudl_store_tile(void *corner, int pitch, const unsigned (&word)[4])
{
    const int lane = gpudl_emulate_lane();
    unsigned char *to = static_cast<unsigned char *>(corner);

    gpudl_emulate_aligned(to, 16);
    gpudl_emulate_aligned(to + pitch, 16);
    for (int i = 0; i < 4; i++)
        *reinterpret_cast<unsigned *>(to + (lane / 4 + i % 2 * 8) * pitch + i / 2 * 16 + lane % 4 * 4) = word[i];
    __syncwarp();
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

template <int BYTES> static inline void gpudl_copy_async(void *shared, const void *from, bool exist)
{
    gpudl_emulate_aligned(shared, BYTES);
    gpudl_emulate_aligned(from, BYTES);
    gpudl_emulate_copy(shared, exist ? from : nullptr, BYTES);
}

static inline void gpudl_copy_commit()
{
    gpudl_emulate_commit();
}

template <int GROUPS> static inline void gpudl_copy_wait()
{
    gpudl_emulate_wait(GROUPS);
}

#endif
