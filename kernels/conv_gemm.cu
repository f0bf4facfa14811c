/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes a tile of pixels x output channels of one group. The sum over taps and channels, the depth, goes by in
 * steps of 64 bytes of each line (a pixel's inputs, a channel's weights), of which STAGES - 1 are on their way to
 * shared memory meanwhile. A thread fetches the same 16 bytes of the step of several lines, so it knows tap and channel
 * once.
 *
 * In shared memory a line's four vectors are exchanged by its number, so that the 8 rows which ldmatrix reads at once
 * lie in different banks. Fragments of halfs, bfloat16 and TF32 are the same bytes there.
 *
 * Sums of a warp go through shared memory 16 pixels at a time, to be stored in whole vectors. Where blocks are too few
 * for the device, several share a tile's depth; their sums go to the workspace, and a second kernel adds them up.
 */
#include <math.h>

#include "conv_gemm.cuh"
#include "conv_gemm_cuda.h"

namespace
{

template <class MATH, int V, int BM, int BN, int WM, int WN, int STAGES>
__global__ void __launch_bounds__(Sums<MATH, BM, BN, WM, WN>::THREADS)
    multiply(const __grid_constant__ Problem<typename MATH::Element> p)
{
    gpudl_begin();

    typedef typename MATH::Element T;
    typedef Sums<MATH, BM, BN, WM, WN> Own;
    constexpr int STAGE = (BM + BN) * LINE, DEPTH = LINE / (int)sizeof(T);
    __shared__ __align__(16) unsigned char stages[STAGES * STAGE];
    const int split = (int)blockIdx.y, group = (int)blockIdx.z;
    const int first_pixel = (int)(blockIdx.x / (unsigned)p.tiles_across) * BM;
    const int first_k = (int)(blockIdx.x % (unsigned)p.tiles_across) * BN;
    const int step = split * p.steps_of_split, steps = min(p.steps_of_split, (p.depth + DEPTH - 1) / DEPTH - step);
    Fetcher<T, V, BM, BN, Own::THREADS> fetcher(p, group, first_pixel, first_k, step);
    Own own;

    static_assert(Own::THREADS / 32 * 16 * (WN + PAD) * 4 <= STAGES * STAGE || !MATH::TENSOR, "sums find room");
    static_assert(BM / 8 * (BN + PAD) * 4 <= STAGES * STAGE, "sums find room");
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < steps)
            fetcher.fetch(stages + i * STAGE);
        gpudl_copy_commit();
    }
#pragma unroll 1
    for (int i = 0; i < steps; i++) {
        gpudl_copy_wait<STAGES - 2>();
        __syncthreads();
        if (i + STAGES - 1 < steps)
            fetcher.fetch(stages + (i + STAGES - 1) % STAGES * STAGE);
        gpudl_copy_commit();
        own.add(stages + i % STAGES * STAGE);
    }
    gpudl_copy_wait<0>();
    __syncthreads();
    own.take(stages, [&](int m, int n, float(&v)[8]) {
        const int pixel = first_pixel + m, k = first_k + n;

        if (pixel >= p.pixels || k >= p.channels)
            return;
        if (p.partial == nullptr) {
            finish(p, group, pixel, k, v);
            return;
        }
        float *to = p.partial + (((int64_t)split * p.groups + group) * p.pixels + pixel) * p.channels + k;

        if (p.channels % 8 == 0) {
            put_vector(to, v);
            return;
        }
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (k + i < p.channels)
                to[i] = v[i];
    });
}

/* What several blocks have summed. */
template <class T> __global__ void __launch_bounds__(256) add_splits(const __grid_constant__ Problem<T> p)
{
    gpudl_begin();

    const int vectors = (p.channels + 7) / 8;
    const int64_t all = (int64_t)p.groups * p.pixels * vectors, part = (int64_t)p.groups * p.pixels * p.channels;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t line = i / vectors;
        const int k = (int)(i % vectors) * 8;
        const float *from = p.partial + line * p.channels + k;
        float v[8] = {};

        for (int split = 0; split < p.splits; split++, from += part) {
            float more[8] = {};

            if (p.channels % 8 == 0) {
                get_vector(from, more);
            } else {
#pragma unroll
                for (int j = 0; j < 8; j++)
                    if (k + j < p.channels)
                        more[j] = from[j];
            }
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] += more[j];
        }
        finish(p, (int)(line / p.pixels), (int)(line % p.pixels), k, v);
    }
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

struct Tile {
    int m, n;
};
constexpr Tile TILES[GPUDL_CONV_GEMM_TILES] = {{128, 128}, {128, 64}, {64, 64}, {128, 32}};

int64_t blocks_of(const Tile &tile, int64_t pixels, int channels, int groups)
{
    return gpudl_divide_up(pixels, tile.m) * gpudl_divide_up(channels, tile.n) * groups;
}

template <class MATH, int V, int BM, int BN, int WM, int WN, int STAGES>
int launch(Problem<typename MATH::Element> &p, cudaStream_t stream)
{
    const int64_t across = gpudl_divide_up(p.channels, BN), blocks = gpudl_divide_up(p.pixels, BM) * across;

    if (blocks > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    p.tiles_across = (int)across;
    gpudl_launch(multiply<MATH, V, BM, BN, WM, WN, STAGES>,
                 dim3((unsigned)blocks, (unsigned)p.splits, (unsigned)p.groups), Sums<MATH, BM, BN, WM, WN>::THREADS, 0,
                 stream, p);
    return (int)cudaGetLastError();
}

/* How many elements can be moved at a time. */
template <class T> int abreast(const Problem<T> &p)
{
    const int most = 16 / (int)sizeof(T);

    for (int v = most; v > most / 4; v /= 2)
        if ((uintptr_t)p.x % (v * sizeof(T)) == 0 && (uintptr_t)p.w % (v * sizeof(T)) == 0 && p.c % v == 0 &&
            p.x_pitch % v == 0)
            return v;
    return 1;
}

template <class MATH> int launch_type(Problem<typename MATH::Element> &p, int tile, cudaStream_t stream)
{
    constexpr int E = 16 / (int)sizeof(typename MATH::Element);
    const int v = abreast(p);

    if (v == 1)
        return launch<MATH, 1, 64, 64, 32, 32, 4>(p, stream);
    if constexpr (E == 8)
        if (v == 4)
            return launch<MATH, 4, 128, 64, 64, 32, 4>(p, stream);
    if (v < E)
        return launch<MATH, 1, 64, 64, 32, 32, 4>(p, stream);
    if constexpr (!MATH::TENSOR) {
        if (tile <= 1)
            return launch<MATH, E, 128, 64, 64, 32, 4>(p, stream);
        return launch<MATH, E, 64, 64, 32, 32, 4>(p, stream);
    } else {
        switch (tile) {
        case 0:
            return launch<MATH, E, 128, 128, 64, 32, 3>(p, stream);
        case 1:
            return launch<MATH, E, 128, 64, 64, 32, 4>(p, stream);
        case 2:
            return launch<MATH, E, 64, 64, 32, 32, 4>(p, stream);
        default:
            return launch<MATH, E, 128, 32, 32, 32, 4>(p, stream);
        }
    }
}

/* ---- the contract ------------------------------------------------------------------------------------------------ */

int element_bytes(GpudlConvGemmType type)
{
    return type == GPUDL_CONV_GEMM_F32 || type == GPUDL_CONV_GEMM_TF32 ? 4 : 2;
}

int64_t steps_of(GpudlConvGemmType type, const GpudlNhwc *xs, const GpudlWindow *window, int groups)
{
    return gpudl_divide_up((int64_t)(xs->c / groups) * window->kernel[1] * window->kernel[2],
                           LINE / element_bytes(type));
}

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

bool is_type(GpudlConvGemmType type)
{
    return type >= 0 && type <= GPUDL_CONV_GEMM_TYPE_LAST;
}

/* A status. Positions are computed for pixels of x of the padding and for lines a tile beyond the last pixel. */
int check(const GpudlNhwc *xs, const GpudlWindow *window, int groups, const GpudlNhwc *ys)
{
    const int64_t pixels = (int64_t)ys->n * ys->h * ys->w, extents[2][2] = {{xs->h, ys->h}, {xs->w, ys->w}};

    if (window->n_spatial != 2 || !is_shape(xs) || !is_shape(ys) || xs->n != ys->n || groups < 1 ||
        groups > GPUDL_GRID_YZ || xs->c % groups != 0 || ys->c % groups != 0 || pixels > INT32_MAX / 2)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < 2; d++) {
        const int64_t kernel = window->kernel[1 + d], stride = window->stride[1 + d], pad = window->pad_begin[1 + d];
        const int64_t dilation = window->dilation[1 + d];

        if (kernel < 1 || stride < 1 || dilation < 1 || pad > INT32_MAX / 4 || pad < -(INT32_MAX / 4) ||
            stride > INT32_MAX / 4 / (extents[d][1] + 1) || dilation > INT32_MAX / 4 / (kernel + 1))
            return GPUDL_KERNEL_SHAPE;
    }
    if ((int64_t)(xs->c / groups) * window->kernel[1] > INT32_MAX / 2 / window->kernel[2])
        return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

template <class MATH>
int run(const void *x, const GpudlNhwc *xs, const void *w, const float *bias, const void *z, int64_t z_pitch,
        const GpudlWindow *window, int groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
        const GpudlConvGemmPlan *plan, int64_t steps, float *workspace, cudaStream_t stream)
{
    typedef typename MATH::Element T;
    constexpr int V = 16 / (int)sizeof(T);
    Problem<T> p = {};
    int status;

    p.x = static_cast<const T *>(x);
    p.w = static_cast<const T *>(w);
    p.z = static_cast<const T *>(z);
    p.y = static_cast<T *>(y);
    p.bias = bias;
    p.partial = plan->splits > 1 ? workspace : nullptr;
    p.x_pitch = xs->pitch;
    p.y_pitch = ys->pitch;
    p.z_pitch = z_pitch;
    p.picture = (int64_t)xs->h * xs->w * xs->pitch;
    p.h = xs->h;
    p.w_in = xs->w;
    p.q = ys->w;
    p.plane = ys->h * ys->w;
    p.pixels = ys->n * p.plane;
    p.channels = ys->c / groups;
    p.r = window->kernel[1];
    p.s = window->kernel[2];
    p.c = xs->c / groups;
    p.depth = p.c * p.r * p.s;
    for (int d = 0; d < 2; d++) {
        p.stride[d] = window->stride[1 + d];
        p.pad[d] = window->pad_begin[1 + d];
        p.dilation[d] = window->dilation[1 + d];
    }
    p.groups = groups;
    p.splits = plan->splits;
    p.steps_of_split = (int)gpudl_divide_up(steps, plan->splits);
    p.whole = p.channels % 8 == 0 && (uintptr_t)y % 16 == 0 && ys->pitch % V == 0 &&
              (!z || ((uintptr_t)z % 16 == 0 && z_pitch % V == 0));
    p.act = *act;
    p.clamp = act->kind == GPUDL_ACT_NONE || act->kind == GPUDL_ACT_RELU || act->kind == GPUDL_ACT_CLIP;
    p.low = act->kind == GPUDL_ACT_RELU ? 0.f : act->kind == GPUDL_ACT_CLIP ? act->alpha : -INFINITY;
    p.high = act->kind == GPUDL_ACT_CLIP ? act->beta : INFINITY;
    if (p.c == 0) /* sums of nothing: there is no tap to be found */
        p.c = 1;
    status = launch_type<MATH>(p, plan->tile, stream);
    if (status == GPUDL_KERNEL_OK && p.partial) {
        const int64_t blocks = gpudl_divide_up((int64_t)p.groups * p.pixels * gpudl_divide_up(p.channels, 8), 256);

        gpudl_launch(add_splits<T>, (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20), 256, 0, stream, p);
        status = (int)cudaGetLastError();
    }
    return status;
}

/* Whether the device that launches go to has tensor cores for the type. */
int has_tensor_cores(int *has)
{
    int device = 0, major = 0;
    cudaError_t error = cudaGetDevice(&device);

    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    *has = major >= 8;
    return (int)error;
}

} // namespace

extern "C" int gpudl_conv_gemm_plans(GpudlConvGemmType type, const GpudlNhwc *xs, const GpudlWindow *window,
                                     int32_t groups, const GpudlNhwc *ys, int32_t multiprocessors,
                                     GpudlConvGemmPlan *plans)
{
    const int64_t pixels = (int64_t)ys->n * ys->h * ys->w;
    const int channels = groups > 0 ? ys->c / groups : 0;
    int best, n = 0;

    if (!is_type(type) || check(xs, window, groups, ys) != GPUDL_KERNEL_OK)
        return 0;
    /* the largest tile of which there are enough to fill the device, since each line is fetched once a tile; of few
     * channels one that is not wider than they are */
    best = channels <= 32 ? 3 : channels <= 64 ? 1 : 0;
    if (best != 3)
        while (best < 2 && blocks_of(TILES[best], pixels, channels, groups) < multiprocessors)
            best++;
    for (int i = 0; i < GPUDL_CONV_GEMM_TILES; i++) {
        const int tile = i == 0 ? best : i <= best ? i - 1 : i;
        const int64_t steps = steps_of(type, xs, window, groups),
                      blocks = blocks_of(TILES[tile], pixels, channels, groups);
        int64_t splits = blocks > 0 ? multiprocessors / blocks : 1;

        /* four steps at least: fewer do not cover the time that the first takes to come */
        splits = splits > steps / 4 ? steps / 4 : splits;
        splits = splits > 16 ? 16 : splits;
        if (splits > 1) {
            splits = gpudl_divide_up(steps, gpudl_divide_up(steps, splits)); /* none is left without a step */
            plans[n++] = {tile, (int32_t)splits, splits * pixels * ys->c * 4};
        }
        plans[n++] = {tile, 1, 0};
    }
    return n;
}

extern "C" int gpudl_conv_gemm_cuda(GpudlConvGemmType type, const void *x, const GpudlNhwc *xs, const void *w,
                                    const float *bias, const void *z, int64_t z_pitch, const GpudlWindow *window,
                                    int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                    const GpudlConvGemmPlan *plan, void *workspace, GpudlKernelStream stream)
{
    float *partial = static_cast<float *>(workspace);
    int64_t steps;
    int status, has = 1;

    if (!is_type(type))
        return GPUDL_KERNEL_DTYPE;
    status = check(xs, window, groups, ys);
    if (status != GPUDL_KERNEL_OK)
        return status;
    steps = steps_of(type, xs, window, groups);
    if ((z && z_pitch < ys->c) || plan->tile < 0 || plan->tile >= GPUDL_CONV_GEMM_TILES || plan->splits < 1 ||
        plan->splits > (steps > 1 ? steps : 1) ||
        (plan->splits > 1 && (!workspace || (uintptr_t)workspace % 16 != 0 ||
                              plan->workspace_bytes < (int64_t)plan->splits * ys->n * ys->h * ys->w * ys->c * 4)))
        return GPUDL_KERNEL_SHAPE;
    if (ys->n == 0 || ys->h == 0 || ys->w == 0 || ys->c == 0)
        return GPUDL_KERNEL_OK;
    if (type == GPUDL_CONV_GEMM_TF32 || type == GPUDL_CONV_GEMM_BF16)
        status = has_tensor_cores(&has);
    if (status != 0)
        return status;
    if (!has)
        return GPUDL_KERNEL_DTYPE;
    switch (type) {
    case GPUDL_CONV_GEMM_F32:
        return run<FloatMath>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan, steps, partial, stream);
    case GPUDL_CONV_GEMM_TF32:
        return run<Tf32Math>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan, steps, partial, stream);
    case GPUDL_CONV_GEMM_F16:
        return run<HalfMath>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan, steps, partial, stream);
    default:
        return run<Bf16Math>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan, steps, partial, stream);
    }
}
