/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of conv_once.cu that a block is made of. */
#ifndef GPUDL_KERNELS_CONV_ONCE_CUH
#define GPUDL_KERNELS_CONV_ONCE_CUH

#include "conv_once_cuda.h"
#include "kernels/warpgroup.cuh"
#include "vectors.cuh"

namespace
{

constexpr int THREADS = 128;
constexpr int CHANNELS = 64;                /* of a tile, and of a slice */
constexpr int SLICE_BYTES = CHANNELS * 128; /* of weights: a line for each of the tile's channels */
constexpr int SUMS_LINE = CHANNELS + 4;     /* floats from pixel to pixel: threads write to different banks */
constexpr int SUMS_BYTES = SUMS_LINE * 4;   /* of a pixel */
constexpr int ARRIVALS = 4;                 /* inputs are waited for in so many steps */
enum { WEIGHTS, RECEIVED, INPUTS, COUNTERS = INPUTS + ARRIVALS };

/* A unit is what is fetched of inputs at once: in the form PLACES what one tap sees of 64 channels, in ROWS what all
 * taps see of these. It has a slice of weights for each tap it is for. Parts share the units. */
template <class T> struct Call {
    GpudlTensorMap weights, inputs;
    const float *bias;
    const T *z;
    T *y;
    int64_t y_pitch, z_pitch;
    int form, parts, units, slices; /* slices: of a unit */
    int unit_bytes, inputs_at, counters_at, received_at;
    int fetched_bytes; /* of a unit */
    int channels, group_inputs, taps, taps_across;
    int pixels, p, q;           /* of y */
    int rows, width, row_tiles; /* ROWS: of a tile; lines from row to row; tiles of a picture */
    int stride[2], pad[2], dilation[2];
    bool flat;  /* PLACES, and they are the pixels of x one after another */
    bool whole; /* results in vectors of 8 channels */
    Ending ending;
};

/* What this block makes. */
template <class T> struct Share {
    int rank, tile, first_k, group, first, n; /* first_k: of the group; first, n: units */

    __device__ __forceinline__ explicit Share(const Call<T> &p)
        : rank((int)blockIdx.x % p.parts), tile((int)blockIdx.x / p.parts), first_k((int)blockIdx.y * CHANNELS),
          group((int)blockIdx.z), first(rank * p.units / p.parts), n((rank + 1) * p.units / p.parts - first)
    {
    }
};

/* The first unit that is waited for in a step, of n. */
__device__ __forceinline__ int begin_of(int step, int n)
{
    return step * n / ARRIVALS;
}

/* Where the first lines come from: the tile's first pixel as the window's place, or its first row. */
struct Aim {
    int x, y, n;

    template <class T> __device__ __forceinline__ Aim(const Call<T> &p, const Share<T> &share, int many)
    {
        if (p.form == GPUDL_CONV_ONCE_ROWS) {
            n = share.tile / p.row_tiles;
            x = -p.pad[1];
            y = (share.tile - n * p.row_tiles) * p.rows - p.pad[0];
        } else if (p.flat) {
            n = y = 0;
            x = share.tile * many;
        } else {
            const int pixel = share.tile * many, row = pixel / p.q;

            n = row / p.p;
            x = (pixel - row * p.q) * p.stride[1] - p.pad[1];
            y = (row - n * p.p) * p.stride[0] - p.pad[0];
        }
    }
};

/* ---- fetching: by one thread --------------------------------------------------------------------------------------
 */

template <class T>
__device__ __forceinline__ void fetch_weights(const Call<T> &p, const Share<T> &share, uint8_t *lines,
                                              uint64_t *counters)
{
    const int many = share.n * p.slices, first = share.first * p.slices;
    int block = first / p.taps, tap = first - block * p.taps;

    gpudl_counter_expect(&counters[WEIGHTS], many * SLICE_BYTES);
#pragma unroll 1
    for (int i = 0; i < many; i++) {
        gpudl_fetch_box(lines + i * SLICE_BYTES, &p.weights, block * CHANNELS, tap,
                        share.group * p.channels + share.first_k, &counters[WEIGHTS]);
        if (++tap == p.taps) {
            tap = 0;
            block++;
        }
    }
}

template <class T>
__device__ __forceinline__ void fetch_places(const Call<T> &p, const Share<T> &share, const Aim &aim, uint8_t *to,
                                             uint64_t *counters)
{
    int block = share.first / p.taps, tap = share.first - block * p.taps;
    int below = tap / p.taps_across, right = tap - below * p.taps_across;

    for (int step = 0; step < ARRIVALS; step++) {
        const int begin = begin_of(step, share.n), end = begin_of(step + 1, share.n);
        uint64_t *counter = &counters[INPUTS + step];

        if (begin < end)
            gpudl_counter_expect(counter, (end - begin) * p.fetched_bytes);
#pragma unroll 1
        for (int i = begin; i < end; i++) {
            gpudl_fetch_places(to + i * p.unit_bytes, &p.inputs, share.group * p.group_inputs + block * CHANNELS, aim.x,
                               aim.y, aim.n, right * p.dilation[1], below * p.dilation[0], counter);
            if (++right == p.taps_across) {
                right = 0;
                below++;
            }
            if (++tap == p.taps) {
                tap = below = right = 0;
                block++;
            }
        }
    }
}

/* The forms whose units are blocks of channels. */
template <class T>
__device__ __forceinline__ void fetch_blocks(const Call<T> &p, const Share<T> &share, const Aim &aim, uint8_t *to,
                                             uint64_t *counters)
{
    int c = share.group * p.group_inputs + share.first * CHANNELS;

    for (int step = 0; step < ARRIVALS; step++) {
        const int begin = begin_of(step, share.n), end = begin_of(step + 1, share.n);
        uint64_t *counter = &counters[INPUTS + step];

        if (begin < end)
            gpudl_counter_expect(counter, (end - begin) * p.fetched_bytes);
#pragma unroll 1
        for (int i = begin; i < end; i++, c += CHANNELS)
            if (p.flat)
                gpudl_fetch_box(to + i * p.unit_bytes, &p.inputs, c, aim.x, counter);
            else
                gpudl_fetch_box(to + i * p.unit_bytes, &p.inputs, c, aim.x, aim.y, aim.n, counter);
    }
}

template <class T>
__device__ __forceinline__ void fetch_inputs(const Call<T> &p, const Share<T> &share, const Aim &aim, uint8_t *to,
                                             uint64_t *counters)
{
    if (p.flat || p.form == GPUDL_CONV_ONCE_ROWS)
        fetch_blocks(p, share, aim, to, counters);
    else
        fetch_places(p, share, aim, to, counters);
}

/* ---- products ------------------------------------------------------------------------------------------------------
 */

/* lines: the weights' slices, which inputs follow */
template <class T, int N>
__device__ __forceinline__ void multiply(const Call<T> &p, const Share<T> &share, const uint8_t *lines,
                                         uint64_t *counters, float (&sum)[N / 2])
{
    const uint64_t down = (uint64_t)(p.dilation[0] * p.width * 8), right = (uint64_t)(p.dilation[1] * 8);
    uint64_t a = gpudl_operand(lines), unit = gpudl_operand(lines + p.inputs_at);

    gpudl_counter_wait(&counters[WEIGHTS]);
#pragma unroll 1
    for (int step = 0; step < ARRIVALS; step++) {
        const int begin = begin_of(step, share.n), end = begin_of(step + 1, share.n);

        if (begin == end)
            continue;
        gpudl_counter_wait(&counters[INPUTS + step]);
#pragma unroll 1
        for (int i = begin; i < end; i++, unit += (unsigned)p.unit_bytes / 16) {
            uint64_t row = unit, b = unit;
            int across = 0, slice = 0;

            do {
                gpudl_products_begin();
#pragma unroll
                for (int k = 0; k < 4; k++)
                    GpudlProducts<T, N>::add(sum, a + 2 * k, b + 2 * k);
                /* the same lines from another one on: what the next tap sees */
                b += right;
                if (++across == p.taps_across) {
                    across = 0;
                    b = row += down;
                }
                a += SLICE_BYTES / 16;
            } while (++slice < p.slices);
            gpudl_products_commit();
        }
    }
    gpudl_products_wait();
}

/* The same with HELD slices, which are all of the block's, in registers: they get there while inputs are on their way.
 * A unit has one, or it is the only one and has 3 x 3. */
template <class T, int N, int HELD>
__device__ __forceinline__ void multiply_held(const Call<T> &p, const uint8_t *lines, uint64_t *counters,
                                              float (&sum)[N / 2])
{
    const int lane = (int)threadIdx.x % 32, line = (int)threadIdx.x / 32 * 16 + lane % 16;
    const uint64_t inputs = gpudl_operand(lines + p.inputs_at);
    const bool rows = p.form == GPUDL_CONV_ONCE_ROWS;
    unsigned held[HELD][4][4];

    gpudl_counter_wait(&counters[WEIGHTS]);
#pragma unroll
    for (int slice = 0; slice < HELD; slice++)
#pragma unroll
        for (int k = 0; k < 4; k++)
            gpudl_load_matrices(held[slice][k], lines + slice * SLICE_BYTES + gpudl_exchanged(line, 2 * k + lane / 16));
#pragma unroll
    for (int step = 0; step < ARRIVALS; step++)
        if (!rows || step + 1 == ARRIVALS)
            gpudl_counter_wait(&counters[INPUTS + step]);
    gpudl_products_begin();
#pragma unroll
    for (int slice = 0; slice < HELD; slice++) {
        const int tap = slice / 3 * p.dilation[0] * p.width + slice % 3 * p.dilation[1];
        const uint64_t b = inputs + (unsigned)(rows ? tap * 8 : slice * (p.unit_bytes / 16));

#pragma unroll
        for (int k = 0; k < 4; k++)
            GpudlProducts<T, N>::add(sum, held[slice][k], b + 2 * k);
    }
    gpudl_products_commit();
    gpudl_products_wait();
}

/* ---- ending --------------------------------------------------------------------------------------------------------
 */

/* A thread ends 8 channels of every 16th pixel that its block has of the tile: of all of them together, since each step
 * of it waits for the one before. */
template <class T, int N, bool SPLIT> struct Ends {
    static constexpr int ABREAST = THREADS / 8, MANY = (N / (SPLIT ? 2 : 1) + ABREAST - 1) / ABREAST;

    const Call<T> &p;
    int own, channel, line, many; /* own: pixels of the block; many: channels that there are */
    int place[MANY];              /* pixel of y, or -1 */
    float bias[8];
    uint4 more[MANY];

    __device__ __forceinline__ Ends(const Call<T> &call, const Share<T> &share)
        : p(call), own(SPLIT ? N / call.parts : N), line((int)threadIdx.x / 8)
    {
        const int k = share.first_k + (int)threadIdx.x % 8 * 8;

        many = min(8, p.channels - k);
        channel = share.group * p.channels + k;
#pragma unroll
        for (int i = 0; i < 8; i++)
            bias[i] = p.bias && i < many ? __ldg(p.bias + channel + i) : 0.f;
#pragma unroll
        for (int i = 0; i < MANY; i++) {
            const int mine = i * ABREAST + line;

            place[i] = mine < own && many > 0 ? pixel_of(share, share.rank * own + mine) : -1;
        }
    }

    __device__ __forceinline__ int pixel_of(const Share<T> &share, int column) const
    {
        if (p.form == GPUDL_CONV_ONCE_ROWS) {
            const int row = column / p.width, x = column - row * p.width, n = share.tile / p.row_tiles;
            const int y = (share.tile - n * p.row_tiles) * p.rows + row;

            return row < p.rows && y < p.p && x < p.q ? (n * p.p + y) * p.q + x : -1;
        }
        column += share.tile * N;
        return column < p.pixels ? column : -1;
    }

    /* Once what was queued before is done. */
    __device__ __forceinline__ void fetch()
    {
        if (!p.z || !p.whole)
            return;
#pragma unroll
        for (int i = 0; i < MANY; i++)
            if (place[i] >= 0)
                more[i] = *reinterpret_cast<const uint4 *>(p.z + place[i] * p.z_pitch + channel);
    }

    /* sums: the block's, of its own pixels; received: of all parts, from the others */
    __device__ __forceinline__ void end(const float *sums, const float *received, int rank) const
    {
        const int parts = SPLIT ? p.parts : 1, first = line * SUMS_LINE + (int)threadIdx.x % 8 * 8;
        float v[MANY][8];

#pragma unroll
        for (int i = 0; i < MANY; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[i][j] = bias[j];
#pragma unroll 1
        for (int part = 0; part < parts; part++) {
            const float *from = (!SPLIT || part == rank ? sums : received + part * own * SUMS_LINE) + first;

#pragma unroll
            for (int i = 0; i < MANY; i++)
                if (i * ABREAST + line < own)
                    add(v[i], from + i * ABREAST * SUMS_LINE);
        }
        if (p.z)
#pragma unroll
            for (int i = 0; i < MANY; i++)
                add_residual(i, v[i]);
        if (p.ending.clamp && p.whole)
#pragma unroll
            for (int i = 0; i < MANY; i++)
                put(i, v[i]);
        else
#pragma unroll
            for (int i = 0; i < MANY; i++)
                put_slowly(i, v[i]);
    }

    static __device__ __forceinline__ void add(float (&v)[8], const float *sums)
    {
        float some[8];

        get_vector(sums, some);
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] += some[j];
    }

    __device__ __forceinline__ void add_residual(int i, float (&v)[8]) const
    {
        if (place[i] < 0)
            return;
        if (p.whole) {
            GpudlVector<T, 8> z;
            float some[8];

            z.all = more[i];
            z.get(some);
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] += some[j];
            return;
        }
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (j < many)
                v[j] += gpudl_to_float(p.z[place[i] * p.z_pitch + channel + j]);
    }

    __device__ __forceinline__ void put(int i, float (&v)[8]) const
    {
        GpudlVector<T, 8> all;

#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = gpudl_clamp(v[j], p.ending.low, p.ending.high);
        all.set(v);
        if (place[i] >= 0)
            all.store(p.y + place[i] * p.y_pitch + channel);
    }

    __device__ __forceinline__ void put_slowly(int i, float (&v)[8]) const
    {
        if (place[i] < 0)
            return;
        p.ending(v);
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (j < many)
                gpudl_store(p.y + place[i] * p.y_pitch + channel + j, v[j]);
    }
};

/* What the products left in registers, as [pixel][channel]. */
template <int N> __device__ __forceinline__ void spread(float *sums, const float (&sum)[N / 2])
{
    const int warp = (int)threadIdx.x / 32, g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    float *to = sums + 2 * t * SUMS_LINE + 16 * warp + g;

#pragma unroll
    for (int j = 0; j < N / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[(8 * j + i % 2) * SUMS_LINE + i / 2 * 8] = sum[4 * j + i];
}

} // namespace

#endif
