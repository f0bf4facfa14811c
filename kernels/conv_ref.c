/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv.h"

#include <string.h>

#include "ref_common.h"

/* A tile of the output: TILE_K channels x TILE_P positions (flattened over the image, so that 7x7 fills a tile too).
 * Each gathered run of input serves all the tile's channels. 8 kB of sums stay in the first-level cache. */
#define TILE_K 16
#define TILE_P 64
/* Input channels summed at once: the sums are read and written once per this many products. */
#define UNROLL 4

typedef struct {
    GpudlDType dtype;
    const GpudlTensorView *x, *w, *bias, *residual, *y;
    const GpudlWindow *window;
    const GpudlAct *act;
    int64_t in[GPUDL_MAX_SPATIAL], taps[GPUDL_MAX_SPATIAL], out[GPUDL_MAX_SPATIAL];
    int64_t in_size, n_taps, out_size;
    int64_t n, c, k, group_c, group_k;
} Conv;

typedef struct {
    double sum[TILE_K][TILE_P];
    int64_t offset[TILE_P]; /* of each position's input under the current tap, in the channel's plane; -1: padding */
    int contiguous;         /* offsets count up by 1: no padding, no stride */
} Tile;

static void spatial(const GpudlShape *shape, int first, int64_t out[GPUDL_MAX_SPATIAL])
{
    int n = shape->rank - first;

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        out[i] = i < GPUDL_MAX_SPATIAL - n ? 1 : shape->dims[first + i - (GPUDL_MAX_SPATIAL - n)];
}

static int prepare(Conv *conv, int32_t group)
{
    const GpudlShape *x = &conv->x->shape, *w = &conv->w->shape, *y = &conv->y->shape;
    const GpudlWindow *window = conv->window;

    if (window->n_spatial < 1 || window->n_spatial > GPUDL_MAX_SPATIAL || group < 1)
        return GPUDL_KERNEL_SHAPE;
    if (x->rank != window->n_spatial + 2 || w->rank != x->rank || y->rank != x->rank)
        return GPUDL_KERNEL_SHAPE;
    conv->n = x->dims[0];
    conv->c = x->dims[1];
    conv->k = w->dims[0];
    conv->group_c = w->dims[1];
    conv->group_k = conv->k / group;
    if (conv->c != conv->group_c * group || conv->k != conv->group_k * group || y->dims[0] != conv->n ||
        y->dims[1] != conv->k)
        return GPUDL_KERNEL_SHAPE;
    if (conv->bias && (conv->bias->shape.rank != 1 || conv->bias->shape.dims[0] != conv->k))
        return GPUDL_KERNEL_SHAPE;
    if (conv->residual && !gpudl_shape_equal(&conv->residual->shape, y))
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        if (window->stride[i] < 1 || window->dilation[i] < 1)
            return GPUDL_KERNEL_SHAPE;
    spatial(x, 2, conv->in);
    spatial(w, 2, conv->taps);
    spatial(y, 2, conv->out);
    conv->in_size = conv->in[0] * conv->in[1] * conv->in[2];
    conv->n_taps = conv->taps[0] * conv->taps[1] * conv->taps[2];
    conv->out_size = conv->out[0] * conv->out[1] * conv->out[2];
    return GPUDL_KERNEL_OK;
}

/** Where the positions first .. first + count - 1 find their input under one tap. */
static void find_offsets(const Conv *conv, int64_t tap, int64_t first, int count, Tile *tile)
{
    const GpudlWindow *w = conv->window;
    int64_t r2 = tap % conv->taps[2], r1 = tap / conv->taps[2] % conv->taps[1],
            r0 = tap / conv->taps[2] / conv->taps[1];
    int64_t p2 = first % conv->out[2], p1 = first / conv->out[2] % conv->out[1],
            p0 = first / conv->out[2] / conv->out[1];
    int contiguous = 1;

    for (int j = 0; j < count; j++) {
        int64_t i0 = p0 * w->stride[0] - w->pad_begin[0] + r0 * w->dilation[0];
        int64_t i1 = p1 * w->stride[1] - w->pad_begin[1] + r1 * w->dilation[1];
        int64_t i2 = p2 * w->stride[2] - w->pad_begin[2] + r2 * w->dilation[2];
        int inside = i0 >= 0 && i0 < conv->in[0] && i1 >= 0 && i1 < conv->in[1] && i2 >= 0 && i2 < conv->in[2];

        tile->offset[j] = inside ? (i0 * conv->in[1] + i1) * conv->in[2] + i2 : -1;
        contiguous = contiguous && tile->offset[j] >= 0 && tile->offset[j] == tile->offset[0] + j;
        if (++p2 == conv->out[2]) {
            p2 = 0;
            if (++p1 == conv->out[1]) {
                p1 = 0;
                p0++;
            }
        }
    }
    tile->contiguous = contiguous;
}

static void load_input(const Conv *conv, const Tile *tile, int64_t plane, int count, double *x)
{
    if (tile->contiguous)
        gpudl_ref_load_f64(conv->dtype, conv->x->data, plane * conv->in_size + tile->offset[0], 1, count, x);
    else
        gpudl_ref_gather_f64(conv->dtype, conv->x->data, plane * conv->in_size, tile->offset, count, x);
}

/** Adds the products of UNROLL input channels. */
static void add_channels(Tile *tile, int channels, int count, const double x[UNROLL][TILE_P],
                         const double w[UNROLL][TILE_K])
{
    for (int k = 0; k < channels; k++) {
        const double w0 = w[0][k], w1 = w[1][k], w2 = w[2][k], w3 = w[3][k];
        double *sum = tile->sum[k];

        for (int j = 0; j < count; j++)
            sum[j] += (w0 * x[0][j] + w1 * x[1][j]) + (w2 * x[2][j] + w3 * x[3][j]);
    }
}

static void add_channel(Tile *tile, int channels, int count, const double *x, const double *w)
{
    for (int k = 0; k < channels; k++)
        for (int j = 0; j < count; j++)
            tile->sum[k][j] += w[k] * x[j];
}

/** All products of one tile: image n, output channels k .. k + channels - 1 of one group, positions first .. */
static void sum_tile(const Conv *conv, int64_t n, int64_t k, int channels, int64_t first, int count, Tile *tile)
{
    const int64_t group = k / conv->group_k, w_stride = conv->group_c * conv->n_taps;
    const int64_t plane = n * conv->c + group * conv->group_c;
    double x[UNROLL][TILE_P], w[UNROLL][TILE_K];

    for (int i = 0; i < channels; i++)
        memset(tile->sum[i], 0, (size_t)count * sizeof(double));
    for (int64_t tap = 0; tap < conv->n_taps; tap++) {
        int64_t c = 0;

        find_offsets(conv, tap, first, count, tile);
        for (; c + UNROLL <= conv->group_c; c += UNROLL) {
            for (int u = 0; u < UNROLL; u++) {
                load_input(conv, tile, plane + c + u, count, x[u]);
                gpudl_ref_load_f64(conv->dtype, conv->w->data, k * w_stride + (c + u) * conv->n_taps + tap, w_stride,
                                   channels, w[u]);
            }
            add_channels(tile, channels, count, x, w);
        }
        for (; c < conv->group_c; c++) {
            load_input(conv, tile, plane + c, count, x[0]);
            gpudl_ref_load_f64(conv->dtype, conv->w->data, k * w_stride + c * conv->n_taps + tap, w_stride, channels,
                               w[0]);
            add_channel(tile, channels, count, x[0], w[0]);
        }
    }
}

static void finish_tile(const Conv *conv, int64_t n, int64_t k, int channels, int64_t first, int count, Tile *tile)
{
    double more[TILE_P];

    for (int i = 0; i < channels; i++) {
        int64_t index = (n * conv->k + k + i) * conv->out_size + first;
        double *sum = tile->sum[i];

        if (conv->bias) {
            double bias;

            gpudl_ref_load_f64(conv->dtype, conv->bias->data, k + i, 1, 1, &bias);
            for (int j = 0; j < count; j++)
                sum[j] += bias;
        }
        if (conv->residual) {
            gpudl_ref_load_f64(conv->dtype, conv->residual->data, index, 1, count, more);
            for (int j = 0; j < count; j++)
                sum[j] += more[j];
        }
        gpudl_ref_activate_f64(conv->act, sum, count);
        gpudl_ref_store_f64(conv->dtype, conv->y->data, index, 1, count, sum);
    }
}

int gpudl_conv_ref(const GpudlTensorView *x, const GpudlTensorView *w, const GpudlTensorView *bias,
                   const GpudlTensorView *residual, const GpudlWindow *window, int32_t group, const GpudlAct *act,
                   const GpudlTensorView *y, GpudlKernelStream stream)
{
    Conv conv = {x->dtype, x, w, bias, residual, y, window, act};
    Tile tile;
    int status;

    (void)stream;
    if (!gpudl_ref_is_float(x->dtype) || w->dtype != x->dtype || y->dtype != x->dtype ||
        (bias && bias->dtype != x->dtype) || (residual && residual->dtype != x->dtype))
        return GPUDL_KERNEL_DTYPE;
    status = prepare(&conv, group);
    if (status != GPUDL_KERNEL_OK)
        return status;
    for (int64_t n = 0; n < conv.n; n++) {
        for (int64_t k = 0; k < conv.k;) {
            /* a tile stays within its group */
            int channels = (int)gpudl_ref_min(TILE_K, conv.group_k - k % conv.group_k);

            for (int64_t first = 0; first < conv.out_size; first += TILE_P) {
                int count = (int)gpudl_ref_min(TILE_P, conv.out_size - first);

                sum_tile(&conv, n, k, channels, first, count, &tile);
                finish_tile(&conv, n, k, channels, first, count, &tile);
            }
            k += channels;
        }
    }
    return GPUDL_KERNEL_OK;
}
