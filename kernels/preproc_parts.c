/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_parts.h"

#include <math.h>
#include <stddef.h>

#define PLANAR(p, hs, vs)                                                                                              \
    {                                                                                                                  \
        p, 0, 1, hs, vs                                                                                                \
    }
#define PLANAR_WORDS(p, hs, vs)                                                                                        \
    {                                                                                                                  \
        p, 0, 2, hs, vs                                                                                                \
    }
#define PACKED(off, st, hs)                                                                                            \
    {                                                                                                                  \
        0, off, st, hs, 0                                                                                              \
    }
#define ROW(format, caps, model, planes, components, ...)                                                              \
    [GPUDL_PIXEL_##format] = {caps, model, planes, components, {__VA_ARGS__}, 8, 0}
#define TEN_BIT_ROW(format, shift, planes, ...)                                                                        \
    [GPUDL_PIXEL_##format] = {#format, GPUDL_MODEL_YCBCR, planes, 3, {__VA_ARGS__}, 10, shift}
#define RGB_ROW(format, r, g, b, st)                                                                                   \
    ROW(format, #format, GPUDL_MODEL_RGB, 1, 3, PACKED(r, st, 0), PACKED(g, st, 0), PACKED(b, st, 0))
/* the name in caps of formats with a filler byte has a small x */
#define RGBX_ROW(format, caps, r, g, b)                                                                                \
    ROW(format, caps, GPUDL_MODEL_RGB, 1, 3, PACKED(r, 4, 0), PACKED(g, 4, 0), PACKED(b, 4, 0))
#define PLANES_ROW(format, model, a, b, c, hs, vs)                                                                     \
    ROW(format, #format, model, 3, 3, PLANAR(a, 0, 0), PLANAR(b, hs, vs), PLANAR(c, hs, vs))

static const GpudlPixelLayout layouts[GPUDL_PIXEL_LAST + 1] = {
    ROW(NV12, "NV12", GPUDL_MODEL_YCBCR, 2, 3, PLANAR(0, 0, 0), {1, 0, 2, 1, 1}, {1, 1, 2, 1, 1}),
    ROW(NV21, "NV21", GPUDL_MODEL_YCBCR, 2, 3, PLANAR(0, 0, 0), {1, 1, 2, 1, 1}, {1, 0, 2, 1, 1}),
    PLANES_ROW(I420, GPUDL_MODEL_YCBCR, 0, 1, 2, 1, 1),
    PLANES_ROW(YV12, GPUDL_MODEL_YCBCR, 0, 2, 1, 1, 1),
    PLANES_ROW(Y42B, GPUDL_MODEL_YCBCR, 0, 1, 2, 1, 0),
    PLANES_ROW(Y444, GPUDL_MODEL_YCBCR, 0, 1, 2, 0, 0),
    ROW(YUY2, "YUY2", GPUDL_MODEL_YCBCR, 1, 3, PACKED(0, 2, 0), PACKED(1, 4, 1), PACKED(3, 4, 1)),
    ROW(UYVY, "UYVY", GPUDL_MODEL_YCBCR, 1, 3, PACKED(1, 2, 0), PACKED(0, 4, 1), PACKED(2, 4, 1)),
    RGB_ROW(RGB, 0, 1, 2, 3),
    RGB_ROW(BGR, 2, 1, 0, 3),
    RGB_ROW(RGBA, 0, 1, 2, 4),
    RGB_ROW(BGRA, 2, 1, 0, 4),
    RGB_ROW(ARGB, 1, 2, 3, 4),
    RGB_ROW(ABGR, 3, 2, 1, 4),
    RGBX_ROW(RGBX, "RGBx", 0, 1, 2),
    RGBX_ROW(BGRX, "BGRx", 2, 1, 0),
    RGBX_ROW(XRGB, "xRGB", 1, 2, 3),
    RGBX_ROW(XBGR, "xBGR", 3, 2, 1),
    PLANES_ROW(RGBP, GPUDL_MODEL_RGB, 0, 1, 2, 0, 0),
    PLANES_ROW(BGRP, GPUDL_MODEL_RGB, 2, 1, 0, 0, 0),
    PLANES_ROW(GBR, GPUDL_MODEL_RGB, 2, 0, 1, 0, 0),
    ROW(GRAY8, "GRAY8", GPUDL_MODEL_GRAY, 1, 1, PLANAR(0, 0, 0)),
    TEN_BIT_ROW(P010_10LE, 6, 2, PLANAR_WORDS(0, 0, 0), {1, 0, 4, 1, 1}, {1, 2, 4, 1, 1}),
    TEN_BIT_ROW(I420_10LE, 0, 3, PLANAR_WORDS(0, 0, 0), PLANAR_WORDS(1, 1, 1), PLANAR_WORDS(2, 1, 1)),
};

const GpudlPixelLayout *gpudl_pixel_layout(GpudlPixelFormat format)
{
    if ((int)format <= GPUDL_PIXEL_UNKNOWN || (int)format > GPUDL_PIXEL_LAST)
        return NULL;
    return &layouts[format];
}

const char *gpudl_pixel_format_name(GpudlPixelFormat format)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(format);

    return layout != NULL ? layout->name : NULL;
}

static int32_t subsampled(int32_t size, int32_t shift)
{
    return shift != 0 ? size / 2 + size % 2 : size;
}

int gpudl_pixel_format_layout(GpudlPixelFormat format, int32_t width, int32_t height, int32_t row_bytes[4],
                              int32_t rows[4])
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(format);

    if (layout == NULL || width < 1 || height < 1 || width > INT32_MAX / 4 - 1)
        return 0;
    for (int32_t p = 0; p < 4; p++)
        row_bytes[p] = rows[p] = 0;
    /* A plane is as wide as the widest thing in it; steps already count the components that lie between. */
    for (int32_t c = 0; c < layout->n_components; c++) {
        const GpudlComponentLayout *component = &layout->components[c];
        int32_t bytes = subsampled(width, component->h_shift) * component->step;

        if (bytes > row_bytes[component->plane])
            row_bytes[component->plane] = bytes;
        rows[component->plane] = subsampled(height, component->v_shift);
    }
    return layout->n_planes;
}

/* ---- geometry ---------------------------------------------------------------------------------------------------- */

static void frame_crop(const GpudlFrame *frame, int32_t *x, int32_t *y, int32_t *width, int32_t *height)
{
    int whole = frame->crop_width == 0;

    *x = whole ? 0 : frame->crop_x;
    *y = whole ? 0 : frame->crop_y;
    *width = whole ? frame->width : frame->crop_width;
    *height = whole ? frame->height : frame->crop_height;
}

static int32_t clamp_size(double size, int32_t most)
{
    double rounded = floor(size + 0.5);

    return rounded < 1.0 ? 1 : rounded > most ? most : (int32_t)rounded;
}

/* Whether the crop fraction counts. */
static int crops(const GpudlPreproc *pp)
{
    return pp->resize_mode == GPUDL_RESIZE_CENTER_CROP || pp->resize_mode == GPUDL_RESIZE_SQUASH ||
           pp->resize_mode == GPUDL_RESIZE_BORDER;
}

/* input / crop_fraction, rounded down; a fraction in float32 is a little off what it was written as. */
static double scaled_side(int32_t side, float fraction)
{
    return fmax(floor(side / (double)fraction * (1 + 1e-6)), side);
}

/* As int() of Python does; a pixel aspect ratio makes sides that are whole numbers but for their last bits. */
static double whole(double side)
{
    return floor(side * (1 + 1e-12));
}

/* Whole pixels of the scaled picture of which the middle is taken. */
static void scaled_size(const GpudlPreproc *pp, double shown, double height, double size[2])
{
    double width_goal = scaled_side(pp->width, pp->crop_fraction);
    double height_goal = scaled_side(pp->height, pp->crop_fraction), ratio;

    if (pp->resize_mode == GPUDL_RESIZE_SQUASH) {
        size[0] = width_goal;
        size[1] = height_goal;
    } else if (pp->resize_mode == GPUDL_RESIZE_BORDER) {
        ratio = fmax(shown / width_goal, height / height_goal);
        size[0] = fmax(rint(shown / ratio), 1);
        size[1] = fmax(rint(height / ratio), 1);
    } else if (width_goal == height_goal) {
        size[0] = shown <= height ? width_goal : whole(width_goal * shown / height);
        size[1] = shown <= height ? whole(height_goal * height / shown) : height_goal;
    } else {
        ratio = fmin(shown / width_goal, height / height_goal);
        size[0] = fmax(rint(shown / ratio), pp->width);
        size[1] = fmax(rint(height / ratio), pp->height);
    }
}

/* Of extent source pixels from *origin on, scaled to size, the middle side ones; less than side: all, in the middle. */
static void take_middle(double size, int32_t side, double *origin, double *extent, int32_t *dst, int32_t *dst_size)
{
    double scale = *extent / size;

    if (size <= side) {
        *dst_size = (int32_t)size;
        *dst = (side - *dst_size) / 2;
        return;
    }
    *origin += rint((size - side) / 2) * scale;
    *extent = side * scale;
}

int gpudl_preproc_geometry(const GpudlFrame *frame, const GpudlPreproc *pp, GpudlPreprocGeometry *geometry)
{
    int32_t x, y, width, height;
    double par, shown, scale, size[2];

    frame_crop(frame, &x, &y, &width, &height);
    if (width < 1 || height < 1 || pp->width < 1 || pp->height < 1)
        return -1;
    *geometry = (GpudlPreprocGeometry){x, y, width, height, 0, 0, pp->width, pp->height};
    par = (double)(frame->par_n > 0 ? frame->par_n : 1) / (frame->par_d > 0 ? frame->par_d : 1);
    shown = width * par; /* width in square pixels as high as the frame's */
    if (crops(pp) && !(pp->crop_fraction > 0.f && pp->crop_fraction <= 1.f))
        return -1;
    switch (pp->resize_mode) {
    case GPUDL_RESIZE_LETTERBOX:
        scale = fmin(pp->width / shown, (double)pp->height / height);
        geometry->dst_width = clamp_size(shown * scale, pp->width);
        geometry->dst_height = clamp_size(height * scale, pp->height);
        geometry->dst_x = (pp->width - geometry->dst_width) / 2;
        geometry->dst_y = (pp->height - geometry->dst_height) / 2;
        break;
    case GPUDL_RESIZE_CENTER_CROP:
    case GPUDL_RESIZE_SQUASH:
    case GPUDL_RESIZE_BORDER:
        scaled_size(pp, shown, height, size);
        take_middle(size[0], pp->width, &geometry->src_x, &geometry->src_width, &geometry->dst_x, &geometry->dst_width);
        take_middle(size[1], pp->height, &geometry->src_y, &geometry->src_height, &geometry->dst_y,
                    &geometry->dst_height);
        break;
    default: /* stretch: as set above */
        break;
    }
    return 0;
}

/* ---- resampling -------------------------------------------------------------------------------------------------- */

GpudlScaleMethod gpudl_preproc_method(const GpudlFrame *frame, const GpudlPreproc *pp)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);

    return pp->scale_method == GPUDL_SCALE_BICUBIC_BYTES && layout->model == GPUDL_MODEL_YCBCR ? GPUDL_SCALE_BICUBIC
                                                                                               : pp->scale_method;
}

void gpudl_preproc_axis(const GpudlFrame *frame, const GpudlPreproc *pp, const GpudlPreprocGeometry *geometry,
                        const GpudlComponentLayout *component, int vertical, GpudlAxis *axis)
{
    int32_t x, y, width, height;
    int32_t shift = vertical ? component->v_shift : component->h_shift;
    int cosited = (frame->chroma_site & (vertical ? GPUDL_CHROMA_V_COSITED : GPUDL_CHROMA_H_COSITED)) != 0;
    double origin = vertical ? geometry->src_y : geometry->src_x;
    double extent = vertical ? geometry->src_height : geometry->src_width;

    frame_crop(frame, &x, &y, &width, &height);
    axis->n = vertical ? geometry->dst_height : geometry->dst_width;
    axis->scale = extent / axis->n;
    axis->first_centre = origin + 0.5 * axis->scale;
    axis->lo = vertical ? y : x;
    axis->hi = axis->lo + (vertical ? height : width);
    axis->method = gpudl_preproc_method(frame, pp);
    if (shift != 0) {
        /* Sample s lies at luma 2 s + 1 (halfway) or 2 s + 0.5 (on the first of the pair). */
        axis->scale /= 2;
        axis->first_centre = axis->first_centre / 2 + (cosited ? 0.25 : 0.0);
        axis->lo = axis->lo / 2;
        axis->hi = subsampled(axis->hi, 1);
    }
}

/* How many times as wide as its support a filter is. */
static double filter_widening(const GpudlAxis *axis)
{
    return axis->method == GPUDL_SCALE_BILINEAR_ALIASED ? 1.0 : fmax(axis->scale, 1.0);
}

static double filter_support(GpudlScaleMethod method)
{
    return method == GPUDL_SCALE_BICUBIC || method == GPUDL_SCALE_BICUBIC_BYTES ? 2.0
           : method == GPUDL_SCALE_AREA                                         ? 0.5
                                                                                : 1.0;
}

static double filter_weight(GpudlScaleMethod method, double x)
{
    double t = fabs(x);

    switch (method) {
    case GPUDL_SCALE_BICUBIC:
    case GPUDL_SCALE_BICUBIC_BYTES: /* Keys 1981, eq. 4 with a = -0.5 */
        if (t < 1.0)
            return (1.5 * t - 2.5) * t * t + 1.0;
        return t < 2.0 ? ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0 : 0.0;
    case GPUDL_SCALE_AREA:
        return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    default:
        return t < 1.0 ? 1.0 - t : 0.0;
    }
}

int32_t gpudl_axis_max_taps(const GpudlAxis *axis)
{
    double taps;

    if (axis->method == GPUDL_SCALE_NEAREST)
        return 1;
    taps = 2.0 * ceil(filter_support(axis->method) * filter_widening(axis)) + 1.0;
    return taps < axis->hi - axis->lo ? (int32_t)taps : axis->hi - axis->lo;
}

static int32_t clamp_index(double position, int32_t lo, int32_t hi)
{
    double index = floor(position);

    return index < lo ? lo : index >= hi ? hi - 1 : (int32_t)index;
}

int32_t gpudl_axis_taps(const GpudlAxis *axis, int32_t i, int32_t *first, double *weights)
{
    double centre = axis->first_centre + i * axis->scale;
    double widen = filter_widening(axis);
    double support = filter_support(axis->method) * widen;
    double sum = 0;
    int32_t begin, end, count = 0;

    if (axis->method != GPUDL_SCALE_NEAREST) {
        begin = (int32_t)fmin(fmax(floor(centre - support + 0.5), axis->lo), axis->hi);
        end = (int32_t)fmin(fmax(floor(centre + support + 0.5), axis->lo), axis->hi);
        *first = begin;
        for (int32_t s = begin; s < end; s++)
            sum += weights[count++] = filter_weight(axis->method, (s + 0.5 - centre) / widen);
    }
    if (!(sum > 0)) {
        /* Nearest, or a centre that lies past the last sample that exists by more than the filter's reach. */
        *first = clamp_index(centre, axis->lo, axis->hi);
        weights[0] = 1.0;
        return 1;
    }
    for (int32_t k = 0; k < count; k++)
        weights[k] /= sum;
    return count;
}

/* ---- colour ------------------------------------------------------------------------------------------------------ */

/* Rec. ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4, FCC 73.682, SMPTE 240M. */
static const struct {
    double kr, kb;
} luma_weights[GPUDL_MATRIX_LAST + 1] = {
    [GPUDL_MATRIX_BT601] = {0.299, 0.114},     [GPUDL_MATRIX_BT709] = {0.2126, 0.0722},
    [GPUDL_MATRIX_BT2020] = {0.2627, 0.0593},  [GPUDL_MATRIX_FCC] = {0.30, 0.11},
    [GPUDL_MATRIX_SMPTE240M] = {0.212, 0.087},
};

/* Rows R, G, B over the components as stored; offset beside. */
static void rgb_of_components(const GpudlFrame *frame, const GpudlPixelLayout *layout, double m[3][3], double offset[3])
{
    int limited = frame->range == GPUDL_RANGE_LIMITED;
    /* BT.709-6 5, BT.2020-2 table 5: the limited range of n bits is that of 8 times 2^(n - 8), the full one ends at
     * 2^n - 1; chroma's zero is 2^(n - 1) in both */
    double unit = 1 << (layout->depth - 8), full = 255.0 / ((1 << layout->depth) - 1);
    double luma_gain = limited ? 255.0 / (219.0 * unit) : full, chroma_gain = limited ? 255.0 / (224.0 * unit) : full;
    double kr = luma_weights[frame->matrix].kr, kb = luma_weights[frame->matrix].kb, kg = 1.0 - kr - kb;
    const double chroma[3][2] = {
        {0, 2 * (1 - kr)}, {-2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg}, {2 * (1 - kb), 0}}; /* by Cb, by Cr */

    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 3; k++)
            m[c][k] = 0;
        offset[c] = limited ? -16.0 * unit * luma_gain : 0.0;
        if (layout->model == GPUDL_MODEL_RGB) {
            m[c][c] = luma_gain;
            continue;
        }
        m[c][0] = luma_gain;
        if (layout->model == GPUDL_MODEL_YCBCR) {
            for (int k = 0; k < 2; k++) {
                m[c][1 + k] = chroma[c][k] * chroma_gain;
                offset[c] -= 128.0 * unit * m[c][1 + k];
            }
        }
    }
}

void gpudl_preproc_color(const GpudlFrame *frame, const GpudlPreproc *pp, GpudlColorTransform *transform)
{
    static const double gray[3] = {0.299, 0.587, 0.114};
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    double m[3][3], offset[3], pad[3];

    rgb_of_components(frame, layout, m, offset);
    for (int c = 0; c < 3; c++)
        pad[c] = pp->pad_color >> (16 - 8 * c) & 0xff;
    *transform = (GpudlColorTransform){0};
    for (int c = 0; c < pp->channels; c++) {
        int from = pp->channel_order == GPUDL_CHANNELS_BGR ? 2 - c : c;
        double pad_pixel = pad[from];

        transform->gain[c] = 1.0 / ((double)pp->pixel_scale * pp->std[c]);
        transform->bias[c] = -(double)pp->mean[c] / pp->std[c];
        if (pp->channel_order != GPUDL_CHANNELS_GRAY) {
            for (int k = 0; k < 3; k++)
                transform->matrix[c][k] = m[from][k];
            transform->offset[c] = offset[from];
        } else {
            /* Y is the luma already: grey of YCbCr is any row of the matrix without its chroma. */
            pad_pixel = gray[0] * pad[0] + gray[1] * pad[1] + gray[2] * pad[2];
            for (int k = 0; k < layout->n_components; k++)
                transform->matrix[c][k] = layout->model == GPUDL_MODEL_RGB ? gray[k] * m[k][k] : k == 0 ? m[0][0] : 0;
            transform->offset[c] = frame->range == GPUDL_RANGE_LIMITED ? -16.0 * 255.0 / 219.0 : 0.0;
        }
        transform->pad[c] = pad_pixel * transform->gain[c] + transform->bias[c];
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static const char *parameters_fault(const GpudlPreproc *pp)
{
    if (pp->width < 1 || pp->height < 1)
        return "network input without pixels";
    if (!((pp->channels == 1 && pp->channel_order == GPUDL_CHANNELS_GRAY) ||
          (pp->channels == 3 && (pp->channel_order == GPUDL_CHANNELS_RGB || pp->channel_order == GPUDL_CHANNELS_BGR))))
        return "channels and channel order do not go together (1 with gray, 3 with rgb or bgr)";
    if (pp->resize_mode < GPUDL_RESIZE_STRETCH || pp->resize_mode > GPUDL_RESIZE_LAST)
        return "resize mode not resolved or unknown";
    if (pp->scale_method < GPUDL_SCALE_NEAREST || pp->scale_method > GPUDL_SCALE_LAST)
        return "scale method not resolved or unknown";
    if (crops(pp) && !(pp->crop_fraction > 0.f && pp->crop_fraction <= 1.f))
        return "crop fraction outside (0, 1]";
    if (!isfinite(pp->pixel_scale) || pp->pixel_scale == 0.f)
        return "pixel scale is 0 or not finite";
    for (int c = 0; c < pp->channels; c++)
        if (!isfinite(pp->mean[c]) || !isfinite(pp->std[c]) || pp->std[c] == 0.f)
            return "mean or std not finite, or std 0";
    return NULL;
}

const char *gpudl_preproc_fault(const GpudlFrame *frame, const GpudlPreproc *pp)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    int32_t row_bytes[4], rows[4];

    if (layout == NULL)
        return "unknown pixel format";
    if (frame->memory != GPUDL_MEMORY_HOST)
        return "frame is not in host memory";
    if (gpudl_pixel_format_layout(frame->format, frame->width, frame->height, row_bytes, rows) == 0)
        return "frame size out of range";
    for (int32_t p = 0; p < layout->n_planes; p++)
        if (frame->planes[p] == NULL || (rows[p] > 1 && frame->strides[p] < row_bytes[p]))
            return "plane missing, or its stride is less than a row";
    if ((int)frame->matrix < 0 || frame->matrix > GPUDL_MATRIX_LAST || (int)frame->range < 0 ||
        frame->range > GPUDL_RANGE_FULL || (int)frame->chroma_site < 0 || frame->chroma_site > GPUDL_CHROMA_COSITED)
        return "unknown matrix, range or chroma site";
    if (frame->par_n < 0 || frame->par_d < 0)
        return "negative pixel aspect ratio";
    if (frame->crop_width != 0 &&
        (frame->crop_x < 0 || frame->crop_y < 0 || frame->crop_width < 0 || frame->crop_height < 1 ||
         frame->crop_x > frame->width - frame->crop_width || frame->crop_y > frame->height - frame->crop_height))
        return "crop rectangle reaches outside the frame";
    return parameters_fault(pp);
}
