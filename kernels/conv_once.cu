/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes 64 output channels of some pixels; weights are the products' first operand, whose 64 lines are always
 * full, pixels the second one, of which a multiple of 8 is enough. It does not go through its sums in steps: all that
 * it needs is asked for at once, by one thread, weights before what was queued before has ended, inputs right behind.
 *
 * In the form ROWS a tile is whole rows of outputs. The rows of inputs that it needs, with the padding, lie in shared
 * memory one pixel a line; what a tap sees is the same lines from another one on, since a position that is right of the
 * row's last output falls into padding and is thrown away. In the form PLACES lines are fetched for each tap.
 *
 * Where sums are long, several blocks share a tile's, as a cluster: each pushes its sums of the pixels that another one
 * ends into that block's shared memory.
 */
#include <algorithm>
#include <type_traits>

#include "conv_once.cuh"

namespace
{

/* What a block begins with, before what was queued before has ended. */
template <class T>
__device__ __forceinline__ void begin(const Call<T> &p, const Share<T> &share, uint8_t *lines, uint64_t *counters)
{
    if (threadIdx.x == 0) {
        gpudl_map_soon(&p.weights);
        gpudl_map_soon(&p.inputs);
        for (int i = 0; i < COUNTERS; i++)
            gpudl_counter_begin(&counters[i]);
        gpudl_counters_ready();
        fetch_weights(p, share, lines, counters);
    }
    __syncthreads();
}

/* Leaves the tile's sums as [pixel][channel] where the operands were. */
template <class T, int N, int HELD>
__device__ __forceinline__ void sum_up(const Call<T> &p, const Share<T> &share, uint8_t *lines, uint64_t *counters)
{
    float sum[N / 2] = {};

    if constexpr (HELD > 0)
        multiply_held<T, N, HELD>(p, lines, counters, sum);
    else
        multiply<T, N>(p, share, lines, counters, sum);
    __syncthreads(); /* all have read their operands */
    spread<N>(reinterpret_cast<float *>(lines), sum);
}

template <class T, int N, int HELD>
__global__ void __launch_bounds__(THREADS) sum_alone(const __grid_constant__ Call<T> p)
{
    uint8_t *lines = gpudl_shared_lines();
    uint64_t *counters = reinterpret_cast<uint64_t *>(lines + p.counters_at);
    const Share<T> share(p);
    const Aim aim(p, share, N);

    begin(p, share, lines, counters);
    Ends<T, N, false> ends(p, share);

    gpudl_begin();
    if (threadIdx.x == 0)
        fetch_inputs(p, share, aim, lines + p.inputs_at, counters);
    ends.fetch();
    sum_up<T, N, HELD>(p, share, lines, counters);
    __syncthreads();
    ends.end(reinterpret_cast<const float *>(lines), nullptr, 0);
}

template <class T, int N, int HELD>
__global__ void __launch_bounds__(THREADS) sum_together(const __grid_constant__ Call<T> p)
{
    uint8_t *lines = gpudl_shared_lines();
    uint64_t *counters = reinterpret_cast<uint64_t *>(lines + p.counters_at);
    float *sums = reinterpret_cast<float *>(lines), *received = reinterpret_cast<float *>(lines + p.received_at);
    const Share<T> share(p);
    const Aim aim(p, share, N);

    begin(p, share, lines, counters);
    Ends<T, N, true> ends(p, share);
    if (threadIdx.x == 0)
        gpudl_counter_expect(&counters[RECEIVED], (N - ends.own) * SUMS_BYTES);
    gpudl_cluster_arrive();

    gpudl_begin();
    if (threadIdx.x == 0)
        fetch_inputs(p, share, aim, lines + p.inputs_at, counters);
    ends.fetch();
    sum_up<T, N, HELD>(p, share, lines, counters);
    gpudl_shared_written();
    gpudl_cluster_wait(); /* the others' counters are there */
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        for (int to = (int)threadIdx.x / 32; to < p.parts; to += THREADS / 32)
            if (to != share.rank)
                gpudl_push(received + share.rank * ends.own * SUMS_LINE, sums + to * ends.own * SUMS_LINE,
                           ends.own * SUMS_BYTES, &counters[RECEIVED], to);
    gpudl_counter_wait_for_blocks(&counters[RECEIVED]);
    gpudl_cluster_pass();
    ends.end(sums + share.rank * ends.own * SUMS_LINE, received, share.rank);
    gpudl_cluster_wait(); /* till here others are sent this block's sums */
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

constexpr int TILES[] = {16, 24, 32, 40, 48, 56, 64, 96, 128};
constexpr int MOST_HOLDING = 64; /* pixels of a tile that leaves registers for weights */
constexpr int MOST_PARTS = 8, MOST_BOX = 256, MOST_STRIDE = 8;

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

bool is_between(int64_t v, int64_t low, int64_t high)
{
    return v >= low && v <= high;
}

/* How far behind the last row or column the last place begins. */
int64_t beyond(int64_t extent, int64_t places, int64_t stride, int64_t pad)
{
    return (places - 1) * stride - pad - (extent - 1);
}

/* A status: that of conv_gemm_cuda.h's problems that this family has kernels for. */
int check(GpudlDType dtype, const GpudlNhwc *xs, const GpudlWindow *window, int groups, const GpudlNhwc *ys)
{
    const int64_t extents[2][2] = {{xs->h, ys->h}, {xs->w, ys->w}};

    if (dtype != GPUDL_DTYPE_F16 && dtype != GPUDL_DTYPE_BF16)
        return GPUDL_KERNEL_DTYPE;
    if (window->n_spatial != 2 || !is_shape(xs) || !is_shape(ys) || xs->n != ys->n || groups < 1 ||
        groups > GPUDL_GRID_YZ || xs->c % groups != 0 || ys->c % groups != 0)
        return GPUDL_KERNEL_SHAPE;
    if (xs->c < 8 || xs->c / groups % (groups > 1 ? CHANNELS : 8) != 0 || xs->pitch % 8 != 0 || xs->h < 1 ||
        xs->w < 1 || (int64_t)ys->n * ys->h * ys->w > INT32_MAX / 4 || xs->pitch > INT32_MAX / 2 ||
        gpudl_divide_up(ys->c / groups, CHANNELS) > GPUDL_GRID_YZ)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < 2; d++) {
        const int64_t kernel = window->kernel[1 + d], dilation = window->dilation[1 + d];
        const int64_t pad = window->pad_begin[1 + d], stride = window->stride[1 + d];

        if (!is_between(stride, 1, MOST_STRIDE) || !is_between(kernel, 1, 128) || !is_between(dilation, 1, 128) ||
            (kernel - 1) * dilation > 255 || !is_between(pad, -127, 128) ||
            (extents[d][1] > 0 && !is_between(beyond(extents[d][0], extents[d][1], stride, pad), -128, 127)))
            return GPUDL_KERNEL_SHAPE;
    }
    return GPUDL_KERNEL_OK;
}

/* How a plan's block is laid out. */
struct Layout {
    int taps, across, units, slices, unit_bytes, fetched_bytes; /* across: taps of a row */
    int inputs_at, counters_at, received_at, shared_bytes;
    int rows, width, height; /* ROWS: of outputs; of what is fetched */
    int64_t tiles;
};

int round_up(int64_t v, int multiple)
{
    return (int)(gpudl_divide_up(v, multiple) * multiple);
}

/* Rows of outputs that a tile has, 0: none. */
int rows_of(int tile, int width, int q, int p)
{
    return tile < q ? 0 : std::min((tile - q) / width + 1, p);
}

/* FALSE if a block can't be laid out so. */
bool lay_out(const GpudlNhwc *xs, const GpudlWindow *window, int groups, const GpudlNhwc *ys, int form, int tile,
             int parts, Layout *l)
{
    const int blocks = (int)gpudl_divide_up(xs->c / groups, CHANNELS);
    int64_t bytes;

    l->taps = window->kernel[1] * window->kernel[2];
    l->across = window->kernel[2];
    if (form == GPUDL_CONV_ONCE_ROWS) {
        const int below = (window->kernel[1] - 1) * window->dilation[1];
        const int right = (window->kernel[2] - 1) * window->dilation[2];

        l->width = ys->w + right;
        l->rows = rows_of(tile, l->width, ys->w, ys->h);
        l->height = l->rows + below;
        if (l->taps == 1 || window->stride[1] != 1 || window->stride[2] != 1 || l->rows == 0 || l->width > MOST_BOX ||
            l->height > MOST_BOX)
            return false;
        l->units = blocks;
        l->slices = l->taps;
        l->fetched_bytes = l->height * l->width * 128;
        /* products read a tile of lines from each tap's first on */
        l->unit_bytes = round_up(std::max(l->height * l->width, below * l->width + right + tile), 8) * 128;
        l->tiles = ys->n * gpudl_divide_up(ys->h, l->rows);
    } else {
        l->rows = l->width = l->height = 0;
        l->units = blocks * l->taps;
        l->slices = 1;
        l->fetched_bytes = l->unit_bytes = tile * 128;
        l->tiles = gpudl_divide_up((int64_t)ys->n * ys->h * ys->w, tile);
    }
    if (parts > l->units || l->tiles * parts > INT32_MAX)
        return false;
    bytes = gpudl_divide_up(l->units, parts) * ((int64_t)l->slices * SLICE_BYTES + l->unit_bytes);
    if (bytes > 1 << 20)
        return false;
    l->inputs_at = (int)gpudl_divide_up(l->units, parts) * l->slices * SLICE_BYTES;
    l->counters_at = std::max((int)bytes, tile * SUMS_BYTES);
    l->received_at = l->counters_at + round_up(COUNTERS * 8, 16);
    l->shared_bytes = l->received_at + (parts > 1 ? tile * SUMS_BYTES : 0);
    return true;
}

/* Slices that a plan can hold: all, or none. */
int held_of(const Layout &l, GpudlDType dtype, int form, int tile, int parts)
{
    const int units = l.units / parts, slices = units * l.slices;

    if (dtype != GPUDL_DTYPE_F16 || tile > MOST_HOLDING || l.units % parts != 0 ||
        (slices != 4 && slices != 8 && slices != 9))
        return 0;
    return form == GPUDL_CONV_ONCE_PLACES || (units == 1 && l.across == 3 && slices == 9) ? slices : 0;
}

/* A smaller tile has as many rows. */
bool is_wasteful(const Layout &l, int form, int i, int p, int q)
{
    return form == GPUDL_CONV_ONCE_ROWS && i > 0 && rows_of(TILES[i - 1], l.width, q, p) == l.rows;
}

/* Microseconds, about: what a block waits for, as many of which as there is room for wait together; and what a
 * multiprocessor is busy with for each of its blocks. Fitted to the times of all plans of 23 layers of resnet18 and
 * resnet50 at batches of 1 and 8 on an NVIDIA H200. */
constexpr float LAUNCH_US = 1.f, BLOCK_US = .039f, SLICE_US = .037f, HELD_US = .0018f, PARTS_US = .39f, PART_US = .24f;
constexpr float FETCH_US = .0072f, PIXEL_US = .0097f, END_US = .0028f;
constexpr float BUSY_US = .22f, WEIGHTS_US = .008f, INPUTS_US = .0224f; /* the last two: a kilobyte */

float estimate_us(const Layout &l, const GpudlConvOncePlan &plan, int64_t tiles, int multiprocessors, int shared_bytes)
{
    const int64_t blocks = gpudl_divide_up(tiles * plan.parts, multiprocessors);
    const int64_t turns = gpudl_divide_up(blocks, std::min(std::max(shared_bytes / l.shared_bytes, 1), 16));
    const float units = (float)gpudl_divide_up(l.units, plan.parts), slices = units * (float)l.slices;
    const float waiting = BLOCK_US + slices * (plan.held > 0 ? HELD_US : SLICE_US) + units * FETCH_US +
                          (plan.parts > 1 ? PARTS_US + PART_US * (float)plan.parts : 0.f) +
                          (float)plan.tile * PIXEL_US + (float)(plan.tile / plan.parts) * END_US;
    const float busy =
        BUSY_US + slices * SLICE_BYTES / 1024 * WEIGHTS_US + units * (float)l.fetched_bytes / 1024 * INPUTS_US;

    return LAUNCH_US + (float)turns * waiting + (float)blocks * busy;
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

template <class T> struct Arguments {
    const void *x, *w;
    const GpudlNhwc *xs, *ys;
    const GpudlWindow *window;
    int groups;
    const GpudlConvOncePlan *plan;
    const Layout *layout;
    Call<T> *call;
};

template <class T> int map_tensors(const Arguments<T> &a)
{
    const GpudlNhwc *xs = a.xs, *ys = a.ys;
    const uint64_t inputs = (uint64_t)(xs->c / a.groups), taps = (uint64_t)a.layout->taps,
                   pixel = (uint64_t)xs->pitch * 2;
    const GpudlTensor w = {a.w, 3, {inputs, taps, (uint64_t)ys->c}, {0, inputs * 2, inputs * taps * 2}};
    const GpudlTensor x = {a.x,
                           4,
                           {(uint64_t)xs->c, (uint64_t)xs->w, (uint64_t)xs->h, (uint64_t)xs->n},
                           {0, pixel, pixel * (uint64_t)xs->w, pixel * (uint64_t)xs->w * (uint64_t)xs->h}};
    const GpudlTensor flat = {a.x, 2, {(uint64_t)xs->c, (uint64_t)a.call->pixels}, {0, pixel}};
    const uint32_t slice[5] = {CHANNELS, 1, CHANNELS}, some[5] = {CHANNELS, (uint32_t)a.plan->tile};
    const uint32_t rows[5] = {CHANNELS, (uint32_t)a.layout->width, (uint32_t)a.layout->height, 1};
    const int32_t *stride = a.window->stride, *pad = a.window->pad_begin;
    const int first[2] = {-pad[2], -pad[1]}, steps[2] = {stride[2], stride[1]};
    const int past[2] = {(int)beyond(xs->w, ys->w, stride[2], pad[2]), (int)beyond(xs->h, ys->h, stride[1], pad[1])};
    const int error = gpudl_map_boxes(&a.call->weights, &w, slice);

    if (error != 0)
        return error;
    if (a.plan->form == GPUDL_CONV_ONCE_ROWS)
        return gpudl_map_boxes(&a.call->inputs, &x, rows);
    if (a.call->flat)
        return gpudl_map_boxes(&a.call->inputs, &flat, some);
    return gpudl_map_places(&a.call->inputs, &x, first, past, steps, a.plan->tile);
}

template <class T> void describe(const Arguments<T> &a)
{
    const Layout &l = *a.layout;
    Call<T> &p = *a.call;

    p.form = a.plan->form;
    p.parts = a.plan->parts;
    p.units = l.units;
    p.slices = l.slices;
    p.unit_bytes = l.unit_bytes;
    p.fetched_bytes = l.fetched_bytes;
    p.inputs_at = l.inputs_at;
    p.counters_at = l.counters_at;
    p.received_at = l.received_at;
    p.channels = a.ys->c / a.groups;
    p.group_inputs = a.xs->c / a.groups;
    p.taps = l.taps;
    p.taps_across = a.window->kernel[2];
    p.pixels = a.ys->n * a.ys->h * a.ys->w;
    p.p = a.ys->h;
    p.q = a.ys->w;
    p.rows = l.rows;
    p.width = l.width;
    p.row_tiles = l.rows > 0 ? (int)gpudl_divide_up(p.p, l.rows) : 1;
    p.flat = l.taps == 1 && p.form == GPUDL_CONV_ONCE_PLACES && a.xs->h == a.ys->h && a.xs->w == a.ys->w;
    for (int d = 0; d < 2; d++) {
        p.stride[d] = a.window->stride[1 + d];
        p.pad[d] = a.window->pad_begin[1 + d];
        p.dilation[d] = a.window->dilation[1 + d];
        p.flat = p.flat && p.stride[d] == 1 && p.pad[d] == 0;
    }
}

template <class T, int N, int HELD> int launch(const Arguments<T> &a, cudaStream_t stream)
{
    const dim3 grid((unsigned)(a.layout->tiles * a.plan->parts), (unsigned)gpudl_divide_up(a.call->channels, CHANNELS),
                    (unsigned)a.groups);

    gpudl_launch_clusters(a.plan->parts > 1 ? sum_together<T, N, HELD> : sum_alone<T, N, HELD>, a.plan->parts, grid,
                          THREADS, (size_t)a.layout->shared_bytes, stream, *a.call);
    return (int)cudaGetLastError();
}

template <class T, int N> int launch_held(const Arguments<T> &a, cudaStream_t stream)
{
    if constexpr (std::is_same<T, __half>::value && N <= MOST_HOLDING) {
        switch (a.plan->held) {
        case 4:
            return launch<T, N, 4>(a, stream);
        case 8:
            return launch<T, N, 8>(a, stream);
        case 9:
            return launch<T, N, 9>(a, stream);
        }
    }
    return launch<T, N, 0>(a, stream);
}

template <class T> int launch_tile(const Arguments<T> &a, cudaStream_t stream)
{
    switch (a.plan->tile) {
    case 16:
        return launch_held<T, 16>(a, stream);
    case 24:
        return launch_held<T, 24>(a, stream);
    case 32:
        return launch_held<T, 32>(a, stream);
    case 40:
        return launch_held<T, 40>(a, stream);
    case 48:
        return launch_held<T, 48>(a, stream);
    case 56:
        return launch_held<T, 56>(a, stream);
    case 64:
        return launch_held<T, 64>(a, stream);
    case 96:
        return launch_held<T, 96>(a, stream);
    default:
        return launch_held<T, 128>(a, stream);
    }
}

template <class T>
int run(Arguments<T> a, const float *bias, const void *z, int64_t z_pitch, const GpudlAct *act, void *y,
        cudaStream_t stream)
{
    Call<T> p = {};
    int error;

    a.call = &p;
    describe(a);
    p.bias = bias;
    p.z = static_cast<const T *>(z);
    p.y = static_cast<T *>(y);
    p.y_pitch = a.ys->pitch;
    p.z_pitch = z_pitch;
    p.whole = p.channels % 8 == 0 && gpudl_whole_vectors(y, a.ys->c, a.ys->pitch) &&
              (!z || gpudl_whole_vectors(z, a.ys->c, z_pitch));
    p.ending.set(act);
    error = map_tensors(a);
    return error != 0 ? error : launch_tile(a, stream);
}

bool is_plan(const GpudlConvOncePlan *plan)
{
    const int *end = TILES + sizeof(TILES) / sizeof(*TILES);

    return plan->form >= GPUDL_CONV_ONCE_PLACES && plan->form <= GPUDL_CONV_ONCE_ROWS && plan->parts >= 1 &&
           plan->parts <= MOST_PARTS && (plan->parts & (plan->parts - 1)) == 0 &&
           std::find(TILES, end, plan->tile) != end;
}

struct Listed {
    GpudlConvOncePlan *plans;
    float us[GPUDL_CONV_ONCE_PLANS];
    int n;
};

void list(Listed *all, const GpudlConvOncePlan &plan, float us)
{
    int at = all->n++;

    for (; at > 0 && all->us[at - 1] > us; at--) {
        all->us[at] = all->us[at - 1];
        all->plans[at] = all->plans[at - 1];
    }
    all->us[at] = us;
    all->plans[at] = plan;
}

} // namespace

extern "C" int gpudl_conv_once_plans(GpudlDType dtype, const GpudlNhwc *xs, const GpudlWindow *window, int32_t groups,
                                     const GpudlNhwc *ys, int32_t multiprocessors, int32_t shared_bytes,
                                     GpudlConvOncePlan *plans)
{
    const int64_t across = groups > 0 ? gpudl_divide_up(ys->c / groups, CHANNELS) * groups : 0;
    Listed listed = {plans, {}, 0};

    if (check(dtype, xs, window, groups, ys) != GPUDL_KERNEL_OK || ys->n < 1 || ys->h < 1 || ys->w < 1 || ys->c < 1)
        return 0;
    multiprocessors = std::max(multiprocessors, 1);
    for (int form = 0; form <= GPUDL_CONV_ONCE_ROWS; form++)
        for (int i = 0; i < (int)(sizeof(TILES) / sizeof(*TILES)); i++)
            for (int parts = 1; parts <= MOST_PARTS; parts *= 2) {
                GpudlConvOncePlan plan = {form, TILES[i], parts, 0};
                Layout l;

                if (!lay_out(xs, window, groups, ys, form, TILES[i], parts, &l) || l.shared_bytes > shared_bytes ||
                    is_wasteful(l, form, i, ys->h, ys->w))
                    continue;
                plan.held = held_of(l, dtype, form, TILES[i], parts);
                list(&listed, plan, estimate_us(l, plan, l.tiles * across, multiprocessors, shared_bytes));
            }
    return listed.n;
}

extern "C" int gpudl_conv_once_runs(void)
{
    return gpudl_has_warpgroups(reinterpret_cast<const void *>(sum_alone<__half, 16, 0>));
}

extern "C" int gpudl_conv_once_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w,
                                    const float *bias, const void *z, int64_t z_pitch, const GpudlWindow *window,
                                    int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                    const GpudlConvOncePlan *plan, GpudlKernelStream stream)
{
    const int status = check(dtype, xs, window, groups, ys);
    Layout l;

    if (status != GPUDL_KERNEL_OK)
        return status;
    if ((uintptr_t)x % 16 != 0 || (uintptr_t)w % 16 != 0 || (z && z_pitch < ys->c) || !is_plan(plan))
        return GPUDL_KERNEL_SHAPE;
    if (ys->n == 0 || ys->h == 0 || ys->w == 0 || ys->c == 0)
        return GPUDL_KERNEL_OK;
    if (!lay_out(xs, window, groups, ys, plan->form, plan->tile, plan->parts, &l) ||
        (plan->held != 0 && plan->held != held_of(l, dtype, plan->form, plan->tile, plan->parts)))
        return GPUDL_KERNEL_SHAPE;
    if (!gpudl_conv_once_runs())
        return (int)cudaErrorNotSupported;
    if (dtype == GPUDL_DTYPE_F16)
        return run(Arguments<__half>{x, w, xs, ys, window, groups, plan, &l, nullptr}, bias, z, z_pitch, act, y,
                   stream);
    return run(Arguments<GpudlBf16>{x, w, xs, ys, window, groups, plan, &l, nullptr}, bias, z, z_pitch, act, y, stream);
}
