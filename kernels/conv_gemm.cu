/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes a tile of pixels x output channels of one group. The sum over taps and channels, the depth, goes by in
 * steps of LINE bytes of each line (a pixel's inputs, a channel's weights), of which STAGES - 1 are on their way to
 * shared memory meanwhile; the first weights are on theirs before the kernel before has ended. A thread fetches the
 * same 16 bytes of the step of several lines, so it knows tap and channel once.
 *
 * In shared memory a line's vectors are exchanged by its number, so that the 8 rows which ldmatrix reads at once lie in
 * different banks. Fragments of halfs, bfloat16 and TF32 are the same bytes there.
 *
 * Sums of a warp go through shared memory 16 pixels at a time, to be stored in whole vectors. Where blocks are too few
 * for the device, several share a tile's depth; their sums go to the workspace, and a second kernel adds them up.
 */
#include <algorithm>

#include "conv_gemm.cuh"
#include "conv_gemm_cuda.h"

namespace
{

constexpr int STEP = 128; /* bytes; parts of a depth are whole ones */

/* On a processor: sums of the largest tile take 64 registers of a thread, and what else it needs finds room in as many;
 * otherwise there would be one block, whose threads all wait at once. */
constexpr int blocks_at_once(int m, int n)
{
    return m * n == 128 * 128 ? 2 : 1;
}

template <class MATH, int V, int BM, int BN, int WM, int WN, int LINE, int STAGES>
__global__ void __launch_bounds__(Sums<MATH, BM, BN, WM, WN, LINE>::THREADS, blocks_at_once(BM, BN))
    multiply(const __grid_constant__ Problem<typename MATH::Element> p)
{
    typedef typename MATH::Element T;
    typedef Sums<MATH, BM, BN, WM, WN, LINE> Own;
    constexpr int STAGE = (BM + BN) * LINE, DEPTH = LINE / (int)sizeof(T);
    unsigned char *stages = static_cast<unsigned char *>(gpudl_shared());
    const int split = (int)blockIdx.y, group = (int)blockIdx.z;
    const int first_pixel = (int)(blockIdx.x / (unsigned)p.tiles_across) * BM;
    const int first_k = (int)(blockIdx.x % (unsigned)p.tiles_across) * BN;
    const int begin = split * p.split_depth, steps = (min(p.split_depth, p.depth - begin) + DEPTH - 1) / DEPTH;
    Fetcher<T, V, BM, BN, LINE, Own::THREADS> fetcher(p, group, first_pixel, first_k, begin);
    Own own;

    static_assert(Own::THREADS / 32 * 16 * (WN + PAD) * 4 <= STAGES * STAGE || !MATH::TENSOR, "sums find room");
    static_assert(BM / 8 * (BN + PAD) * 4 <= STAGES * STAGE, "sums find room");
    /* weights are constant: they need not wait */
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++)
        if (i < steps)
            fetcher.fetch_weights(stages + i * STAGE, i);
    gpudl_begin();

#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < steps)
            fetcher.fetch_inputs(stages + i * STAGE);
        gpudl_copy_commit();
    }
#pragma unroll 1
    for (int i = 0; i < steps; i++) {
        gpudl_copy_wait<STAGES - 2>();
        __syncthreads();
        if (i + STAGES - 1 < steps) {
            unsigned char *free = stages + (i + STAGES - 1) % STAGES * STAGE;

            fetcher.fetch_weights(free, 0);
            fetcher.fetch_inputs(free);
        }
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

/* What a block makes, and what that takes: blocks that are on a processor at once; microseconds of a step of 128 bytes
 * where it waits for what it fetches, and where the processor is busy with other blocks; and of beginning and ending a
 * block. The times are fitted to those of 28 layers of resnet50 and mobilenet_v2 in float16 at batches of 1, 8 and 32
 * on an NVIDIA H200, which they tell with an error of 12 %: good enough to say which plans are worth trying. */
struct Tile {
    int m, n, line, stages, at_once;
    float waiting_us, busy_us, rest_us;
};
constexpr Tile TILES[GPUDL_CONV_GEMM_TILES] = {
    {128, 128, 128, 3, 2, .96f, .06f, .74f}, {128, 64, 64, 4, 3, .77f, .05f, 1.47f},
    {64, 64, 64, 4, 5, .51f, .29f, .40f},    {128, 32, 64, 4, 4, .54f, .32f, .43f},
    {128, 64, 128, 3, 2, .61f, .08f, .52f},  {64, 64, 128, 4, 3, .44f, .33f, .30f},
    {64, 32, 128, 4, 4, .34f, .25f, .14f}};
constexpr float LAUNCH_US = 1.48f, RESULTS_US = .126f, STORED_US = .5f, SPLIT_US = 1.78f, PARTIAL_US = .1f;

int shared_bytes_of(const Tile &tile)
{
    return (tile.m + tile.n) * tile.line * tile.stages;
}

int64_t blocks_of(const Tile &tile, int64_t pixels, int channels, int groups)
{
    return gpudl_divide_up(pixels, tile.m) * gpudl_divide_up(channels, tile.n) * groups;
}

/* steps: of 128 bytes; results: elements of y */
float estimate_us(const Tile &tile, int64_t blocks, int64_t steps, int64_t splits, int64_t results, int multiprocessors)
{
    const float rounds = (float)gpudl_divide_up(blocks * splits, multiprocessors), mega = (float)results / 1e6f;
    const float depth = (float)gpudl_divide_up(steps, splits), turns = ceilf(rounds / (float)tile.at_once);
    const float us =
        LAUNCH_US + STORED_US * 2 * mega + rounds * RESULTS_US * (float)(tile.m * tile.n) / 1024 +
        fmaxf(turns * (depth * tile.waiting_us + tile.rest_us), rounds * depth * tile.busy_us + tile.rest_us);

    return splits > 1 ? us + SPLIT_US + PARTIAL_US * 4 * mega * (float)splits : us;
}

template <class MATH, int V, int BM, int BN, int WM, int WN, int LINE, int STAGES>
int launch(Problem<typename MATH::Element> &p, cudaStream_t stream)
{
    const int64_t across = gpudl_divide_up(p.channels, BN), blocks = gpudl_divide_up(p.pixels, BM) * across;

    if (blocks > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    p.tiles_across = (int)across;
    gpudl_launch(multiply<MATH, V, BM, BN, WM, WN, LINE, STAGES>,
                 dim3((unsigned)blocks, (unsigned)p.splits, (unsigned)p.groups),
                 Sums<MATH, BM, BN, WM, WN, LINE>::THREADS, (size_t)STAGES * (BM + BN) * LINE, stream, p);
    return (int)cudaGetLastError();
}

/* How many of a vector's e elements can be moved at a time; bits: all that has to be a multiple of that, or'ed. */
int abreast(int e, uint64_t bits)
{
    for (int v = e; v > e / 4; v /= 2)
        if (bits % (unsigned)v == 0)
            return v;
    return 1;
}

/* The tile whose kernel runs where a plan names one: without tensor cores there are two; where a thread moves less than
 * a vector of e elements at a time, one. */
int tile_of(bool tensor, int e, int v, int tile)
{
    if (v < e)
        return e == 8 && v == 4 ? 1 : 2;
    return tensor ? tile : tile <= 1 ? 1 : 2;
}

template <class MATH, int V, int TILE, int WM, int WN>
int launch_tile(Problem<typename MATH::Element> &p, cudaStream_t stream)
{
    constexpr Tile T = TILES[TILE];

    return launch<MATH, V, T.m, T.n, WM, WN, T.line, T.stages>(p, stream);
}

template <class MATH> int launch_type(Problem<typename MATH::Element> &p, int tile, cudaStream_t stream)
{
    constexpr int SIZE = (int)sizeof(typename MATH::Element), E = 16 / SIZE;
    const int v = abreast(E, (uint64_t)p.c | p.x_pitch | (uintptr_t)p.x / SIZE | (uintptr_t)p.w / SIZE);

    tile = tile_of(MATH::TENSOR, E, v, tile);
    if (v < E) {
        if constexpr (E == 8)
            if (v == 4)
                return launch_tile<MATH, 4, 1, 64, 32>(p, stream);
        return launch_tile<MATH, 1, 2, 32, 32>(p, stream);
    }
    if constexpr (!MATH::TENSOR) {
        if (tile == 1)
            return launch_tile<MATH, E, 1, 64, 32>(p, stream);
        return launch_tile<MATH, E, 2, 32, 32>(p, stream);
    } else {
        switch (tile) {
        case 0:
            return launch_tile<MATH, E, 0, 64, 32>(p, stream);
        case 1:
            return launch_tile<MATH, E, 1, 64, 32>(p, stream);
        case 2:
            return launch_tile<MATH, E, 2, 32, 32>(p, stream);
        case 3:
            return launch_tile<MATH, E, 3, 32, 32>(p, stream);
        case 4:
            return launch_tile<MATH, E, 4, 32, 32>(p, stream);
        case 5:
            return launch_tile<MATH, E, 5, 32, 16>(p, stream);
        default:
            return launch_tile<MATH, E, 6, 16, 16>(p, stream);
        }
    }
}

/* ---- the contract ------------------------------------------------------------------------------------------------ */

int element_bytes(GpudlConvGemmType type)
{
    return type == GPUDL_CONV_GEMM_F32 || type == GPUDL_CONV_GEMM_TF32 ? 4 : 2;
}

/* of 128 bytes */
int64_t steps_of(GpudlConvGemmType type, const GpudlNhwc *xs, const GpudlWindow *window, int groups)
{
    return gpudl_divide_up((int64_t)(xs->c / groups) * window->kernel[1] * window->kernel[2],
                           STEP / element_bytes(type));
}

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

bool is_type(GpudlConvGemmType type)
{
    return type >= 0 && type <= GPUDL_CONV_GEMM_TYPE_LAST;
}

bool leaves_32_bits(int64_t a, int64_t b, int64_t c)
{
    return a > INT32_MAX || b > INT32_MAX || (a > 0 && b > 0 && c > INT32_MAX / a / b);
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
    if (leaves_32_bits((int64_t)xs->n * xs->h, (int64_t)xs->w, xs->pitch) ||
        leaves_32_bits(xs->c / groups, (int64_t)window->kernel[1] * window->kernel[2], ys->c / groups))
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
    p.x_pitch = (unsigned)xs->pitch;
    p.y_pitch = ys->pitch;
    p.z_pitch = z_pitch;
    p.picture = (unsigned)(xs->h * xs->w) * (unsigned)xs->pitch;
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
    p.split_depth = (int)gpudl_divide_up(steps, plan->splits) * STEP / (int)sizeof(T);
    p.whole = p.channels % 8 == 0 && (uintptr_t)y % 16 == 0 && ys->pitch % V == 0 &&
              (!z || ((uintptr_t)z % 16 == 0 && z_pitch % V == 0));
    p.ending.set(act);
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

} // namespace

extern "C" int gpudl_conv_gemm_plans(GpudlConvGemmType type, const GpudlNhwc *xs, const GpudlWindow *window,
                                     int32_t groups, const GpudlNhwc *ys, int32_t multiprocessors, int32_t shared_bytes,
                                     GpudlConvGemmPlan *plans)
{
    const int64_t pixels = (int64_t)ys->n * ys->h * ys->w;
    const int channels = groups > 0 ? ys->c / groups : 0;
    float us[GPUDL_CONV_GEMM_PLANS];
    int64_t steps;
    int n = 0, e, v;

    if (!is_type(type) || check(xs, window, groups, ys) != GPUDL_KERNEL_OK)
        return 0;
    steps = steps_of(type, xs, window, groups);
    e = 16 / element_bytes(type);
    v = abreast(e, (uint64_t)(xs->c / groups) | (uint64_t)xs->pitch); /* addresses are expected to be no less whole */
    for (int tile = 0; tile < GPUDL_CONV_GEMM_TILES; tile++) {
        const int64_t blocks = blocks_of(TILES[tile], pixels, channels, groups);
        /* no more blocks than processors, and two steps a part: one does not cover the time that the first takes */
        const int64_t most = std::min({blocks > 0 ? multiprocessors / blocks : 1, steps / 2, (int64_t)16});
        /* none is left without a step */
        const int64_t parts[] = {1, most > 1 ? gpudl_divide_up(steps, gpudl_divide_up(steps, most)) : 1};

        if (tile_of(type != GPUDL_CONV_GEMM_F32, e, v, tile) != tile || shared_bytes_of(TILES[tile]) > shared_bytes)
            continue;
        for (int i = 0; i < (parts[1] > 1 ? 2 : 1); i++) {
            const float time = estimate_us(TILES[tile], blocks, steps, parts[i], pixels * ys->c,
                                           multiprocessors > 0 ? multiprocessors : 1);
            int at = n++;

            for (; at > 0 && us[at - 1] > time; at--) {
                us[at] = us[at - 1];
                plans[at] = plans[at - 1];
            }
            us[at] = time;
            plans[at] = {tile, (int32_t)parts[i], parts[i] > 1 ? parts[i] * pixels * ys->c * 4 : 0};
        }
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
    int status;

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
