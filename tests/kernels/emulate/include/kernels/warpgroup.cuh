/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The twin of kernels/warpgroup.cuh. Addresses are offsets in the block's shared memory, as if that began at a multiple
 * of 1024 bytes; products are made at once, by a warp's lanes together, which is what their threads' registers are of.
 */
#ifndef GPUDL_EMULATE_WARPGROUP_CUH
#define GPUDL_EMULATE_WARPGROUP_CUH

#include <stdint.h>

#include "kernels/cluster.cuh"
#include "kernels/cuda_common.cuh"

static inline bool gpudl_has_warpgroups(const void *)
{
    return true;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const void *data;
    int rank;
    uint64_t extents[5], pitches[5];
} GpudlTensor;

typedef struct {
    GpudlTensor tensor;
    uint32_t box[5];                /* boxes */
    int first[2], end[2], steps[2]; /* places: of x and y; end: of the first tap's positions */
    int places;                     /* 0: boxes */
} GpudlTensorMap;

/* As the driver refuses them. */
static inline int gpudl_check_tensor(const GpudlTensor *t)
{
    if ((uintptr_t)t->data % 16 != 0 || t->rank < 1 || t->rank > 5)
        return (int)cudaErrorInvalidValue;
    for (int i = 0; i < t->rank; i++)
        if (t->extents[i] < 1 || t->extents[i] > (uint64_t)1 << 32 ||
            (i > 0 && (t->pitches[i] % 16 != 0 || t->pitches[i] >= (uint64_t)1 << 40)))
            return (int)cudaErrorInvalidValue;
    return (int)cudaSuccess;
}

static inline int gpudl_map_boxes(GpudlTensorMap *map, const GpudlTensor *tensor, const uint32_t box[5])
{
    *map = {};
    map->tensor = *tensor;
    for (int i = 0; i < tensor->rank; i++) {
        map->box[i] = box[i];
        if (box[i] < 1 || box[i] > 256)
            return (int)cudaErrorInvalidValue;
    }
    return box[0] == 64 ? gpudl_check_tensor(tensor) : (int)cudaErrorInvalidValue;
}

static inline int gpudl_map_places(GpudlTensorMap *map, const GpudlTensor *tensor, const int first[2],
                                   const int beyond[2], const int steps[2], int places)
{
    *map = {};
    map->tensor = *tensor;
    map->places = places;
    for (int i = 0; i < 2; i++) {
        map->first[i] = first[i];
        map->end[i] = (int)tensor->extents[1 + i] + beyond[i];
        map->steps[i] = steps[i];
        if (first[i] < -128 || first[i] > 127 || beyond[i] < -128 || beyond[i] > 127 || steps[i] < 1 || steps[i] > 8 ||
            map->end[i] <= first[i])
            return (int)cudaErrorInvalidValue;
    }
    return tensor->rank == 4 && places >= 1 && places <= 1024 ? gpudl_check_tensor(tensor) : (int)cudaErrorInvalidValue;
}

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

static inline uint8_t *gpudl_shared_lines()
{
    return static_cast<uint8_t *>(gpudl_emulate_shared());
}

static inline int gpudl_exchanged(int line, int vector)
{
    return line * 128 + (vector ^ (line & 7)) * 16;
}

static inline void gpudl_shared_written()
{
}

/* Where the hardware has the byte that would be at an offset. */
static inline unsigned gpudl_emulate_exchanged(unsigned offset)
{
    return offset ^ (offset >> 7 & 7) << 4;
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

static inline void gpudl_counter_begin(uint64_t *counter)
{
    gpudl_emulate_counter_begin(counter);
}

static inline void gpudl_counters_ready()
{
}

static inline void gpudl_counter_expect(uint64_t *counter, int bytes)
{
    gpudl_emulate_counter_expect(counter, bytes);
}

static inline void gpudl_counter_wait(uint64_t *counter)
{
    gpudl_emulate_counter_wait(counter);
}

static inline void gpudl_counter_wait_for_blocks(uint64_t *counter)
{
    gpudl_emulate_counter_wait(counter);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static inline void gpudl_map_soon(const GpudlTensorMap *)
{
}

/* 64 elements from first on at these positions of the other dimensions, zeros where there are none, as a line. */
static inline void gpudl_emulate_line(uint8_t *to, unsigned offset, const GpudlTensor &t, int first,
                                      const int64_t (&at)[5])
{
    const uint8_t *from = static_cast<const uint8_t *>(t.data);
    bool exists = true;

    for (int i = 1; i < t.rank; i++) {
        exists = exists && at[i] >= 0 && (uint64_t)at[i] < t.extents[i];
        from += at[i] * (int64_t)t.pitches[i];
    }
    for (int i = 0; i < 64; i++) {
        const unsigned byte = gpudl_emulate_exchanged(offset + 2 * (unsigned)i) - offset;

        if (exists && first + i >= 0 && (uint64_t)(first + i) < t.extents[0])
            memcpy(to + (int)byte, from + 2 * (first + i), 2);
        else
            memset(to + (int)byte, 0, 2);
    }
}

static inline void gpudl_emulate_box(void *to, const GpudlTensorMap *map, const int64_t (&first)[5], uint64_t *counter)
{
    const unsigned offset = gpudl_emulate_shared_offset(to);
    unsigned lines = 1;

    if (map->places != 0)
        gpudl_emulate_fail("a box is fetched by what fetches places");
    if (offset % 1024 != 0)
        gpudl_emulate_fail("a box is fetched to %u, which is no multiple of 1024", offset);
    for (int i = 1; i < map->tensor.rank; i++)
        lines *= map->box[i];
    gpudl_emulate_shared_at(offset + lines * 128 - 1);
    gpudl_emulate_counted(counter, (int)lines * 128, [=] {
        for (unsigned line = 0; line < lines; line++) {
            int64_t at[5] = {};
            unsigned rest = line;

            for (int i = 1; i < map->tensor.rank; i++) {
                at[i] = first[i] + rest % map->box[i];
                rest /= map->box[i];
            }
            gpudl_emulate_line(static_cast<uint8_t *>(to) + line * 128, offset + line * 128, map->tensor, (int)first[0],
                               at);
        }
    });
}

static inline void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, uint64_t *counter)
{
    gpudl_emulate_box(to, map, {a, b}, counter);
}

static inline void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, int c, uint64_t *counter)
{
    gpudl_emulate_box(to, map, {a, b, c}, counter);
}

static inline void gpudl_fetch_box(void *to, const GpudlTensorMap *map, int a, int b, int c, int d, uint64_t *counter)
{
    gpudl_emulate_box(to, map, {a, b, c, d}, counter);
}

static inline void gpudl_fetch_places(void *to, const GpudlTensorMap *map, int c, int x, int y, int n, int right,
                                      int below, uint64_t *counter)
{
    const unsigned offset = gpudl_emulate_shared_offset(to);

    if (map->places == 0)
        gpudl_emulate_fail("places are fetched by what fetches boxes");
    if (offset % 1024 != 0 || right < 0 || right > 255 || below < 0 || below > 255)
        gpudl_emulate_fail("places are fetched to %u, tap (%d, %d)", offset, right, below);
    gpudl_emulate_shared_at(offset + (unsigned)map->places * 128 - 1);
    gpudl_emulate_counted(counter, map->places * 128, [=] {
        int64_t at[5] = {0, x, y, n};

        for (int line = 0; line < map->places; line++) {
            gpudl_emulate_line(static_cast<uint8_t *>(to) + line * 128, offset + (unsigned)line * 128, map->tensor, c,
                               {0, at[1] + right, at[2] + below, at[3]});
            at[1] += map->steps[0];
            if (at[1] < map->end[0])
                continue;
            at[1] = map->first[0];
            at[2] += map->steps[1];
            if (at[2] < map->end[1])
                continue;
            at[2] = map->first[1];
            at[3]++;
        }
    });
}

static inline void gpudl_push(void *to, const void *from, int bytes, uint64_t *counter, int block)
{
    void *there = const_cast<void *>(gpudl_emulate_cluster_shared(to, block));

    if (block == gpudl_cluster_rank())
        gpudl_emulate_fail("it pushes to its own block");
    gpudl_emulate_aligned(to, 16);
    gpudl_emulate_aligned(from, 16);
    gpudl_emulate_aligned((const void *)(uintptr_t)bytes, 16);
    gpudl_emulate_counted(static_cast<uint64_t *>(const_cast<void *>(gpudl_emulate_cluster_shared(counter, block))),
                          bytes, [=] { memcpy(there, from, (size_t)bytes); });
}

/* ---- a cluster's barrier in two halves: the wait is all of it -----------------------------------------------------
 */

static inline void gpudl_cluster_arrive()
{
}

static inline void gpudl_cluster_pass()
{
}

static inline void gpudl_cluster_wait()
{
    gpudl_cluster_barrier();
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static inline void gpudl_products_begin()
{
}

static inline void gpudl_products_commit()
{
}

static inline void gpudl_products_wait()
{
}

static inline uint64_t gpudl_operand(const void *lines)
{
    const unsigned offset = gpudl_emulate_shared_offset(lines);

    if (offset % 128 != 0)
        gpudl_emulate_fail("lines of an operand at %u, which is no multiple of 128", offset);
    return offset >> 4;
}

/* Word i of a line of an operand. */
static inline unsigned gpudl_emulate_word(uint64_t operand, int line, int i)
{
    unsigned word;

    memcpy(&word,
           gpudl_emulate_shared_at(
               gpudl_emulate_exchanged(((unsigned)operand << 4) + (unsigned)line * 128 + (unsigned)i * 4)),
           4);
    return word;
}

template <class T, int N> struct GpudlProducts {
    static void add(float *sum, const unsigned (&a)[4], uint64_t b)
    {
        const int g = gpudl_emulate_lane() / 4, t = gpudl_emulate_lane() % 4;

        for (int j = 0; j < N / 8; j++)
            GpudlPair<T>::multiply_k16(*reinterpret_cast<float(*)[4]>(sum + 4 * j), a[0], a[1], a[2], a[3],
                                       gpudl_emulate_word(b, 8 * j + g, t), gpudl_emulate_word(b, 8 * j + g, t + 4));
    }
    static void add(float *sum, uint64_t a, uint64_t b)
    {
        const int line = (int)threadIdx.x / 32 * 16 + gpudl_emulate_lane() / 4, t = gpudl_emulate_lane() % 4;

        add(sum,
            {gpudl_emulate_word(a, line, t), gpudl_emulate_word(a, line + 8, t), gpudl_emulate_word(a, line, t + 4),
             gpudl_emulate_word(a, line + 8, t + 4)},
            b);
    }
};

#endif
