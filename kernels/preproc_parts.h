/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What every implementation of pre-processing computes the same way, once per geometry: where components lie, which
 * source samples make a destination sample and with what weights, and which matrix follows. Plain C, no allocation.
 */
#ifndef GPUDL_KERNELS_PREPROC_PARTS_H
#define GPUDL_KERNELS_PREPROC_PARTS_H

#include "preproc.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a format's components mean. */
typedef enum { GPUDL_MODEL_YCBCR, GPUDL_MODEL_RGB, GPUDL_MODEL_GRAY } GpudlColorModel;

/** Where one component lies: sample index is at byte offset + index * step of its plane's row; the row is the picture's
 * row >> v_shift. */
typedef struct {
    int32_t plane, offset, step;
    int32_t h_shift, v_shift; /* 1: half as many samples as luma, rounded up */
} GpudlComponentLayout;

/** One format. Components are Y Cb Cr or R G B in this order, or the one luma of GRAY8. */
typedef struct {
    const char *name; /* as in caps */
    GpudlColorModel model;
    int32_t n_planes, n_components;
    GpudlComponentLayout components[3];
    int32_t depth; /* bits of a sample: 8, or 10 of a 16-bit word */
    int32_t shift; /* bits of the word below them */
} GpudlPixelLayout;

/** Bytes of a sample. */
static inline int32_t gpudl_sample_bytes(const GpudlPixelLayout *layout)
{
    return layout->depth > 8 ? 2 : 1;
}

/** The sample at p, without the bits beside it. */
static inline int32_t gpudl_sample(const GpudlPixelLayout *layout, const uint8_t *p)
{
    return layout->depth > 8 ? (p[0] | p[1] << 8) >> layout->shift & ((1 << layout->depth) - 1) : p[0];
}

/** Row of the format table, or NULL for an unknown format. */
const GpudlPixelLayout *gpudl_pixel_layout(GpudlPixelFormat format);

/**
 * One axis of one component: destination sample i lies at first_centre + i * scale, in the component's own samples
 * (sample s covers s .. s + 1), and samples lo <= s < hi exist.
 */
typedef struct {
    double first_centre, scale; /* scale: source samples a destination sample */
    int32_t lo, hi;
    int32_t n; /* destination samples */
    GpudlScaleMethod method;
} GpudlAxis;

/** The method that counts for a frame: pp's, but that bicubic-bytes of YCbCr is bicubic. */
GpudlScaleMethod gpudl_preproc_method(const GpudlFrame *frame, const GpudlPreproc *pp);

/** Axis of a component: vertical 0 = x, 1 = y. geometry belongs to frame and pp. */
void gpudl_preproc_axis(const GpudlFrame *frame, const GpudlPreproc *pp, const GpudlPreprocGeometry *geometry,
                        const GpudlComponentLayout *component, int vertical, GpudlAxis *axis);

/** Most taps that any destination sample of the axis has; at least 1. */
int32_t gpudl_axis_max_taps(const GpudlAxis *axis);

/**
 * Taps of destination sample i: *first is the first source sample, weights[0 .. count) sum to 1. weights has room for
 * gpudl_axis_max_taps() values. Returns count, at least 1; all samples are inside lo .. hi.
 */
int32_t gpudl_axis_taps(const GpudlAxis *axis, int32_t i, int32_t *first, double *weights);

/** Bits behind the point of bicubic-bytes' weights, as Pillow has them: 255 times weights that sum to 1 fit, bicubic's
 * of both signs, too. */
#define GPUDL_BYTES_BITS 22

/** A weight in units of 2^-GPUDL_BYTES_BITS, halves away from zero. */
static inline int32_t gpudl_bytes_weight(double weight)
{
    const double scaled = weight * (1 << GPUDL_BYTES_BITS);

    return (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

/** The byte that a sum of such weights times bytes is. */
static inline uint8_t gpudl_bytes_round(int32_t sum)
{
    const int32_t byte = (sum + (1 << (GPUDL_BYTES_BITS - 1))) >> GPUDL_BYTES_BITS;

    return (uint8_t)(byte < 0 ? 0 : byte > 255 ? 255 : byte);
}

/**
 * From resampled components, in units of a sample, to network channels: pixel[c] = clamp(offset[c] + sum_k matrix[c][k]
 * * component[k], 0, 255), value[c] = pixel[c] * gain[c] + bias[c]. c counts the network's channels in its own order;
 * unused entries are 0.
 */
typedef struct {
    double matrix[3][3], offset[3];
    double gain[3], bias[3];
    double pad[3]; /* value[c] of pad_color */
} GpudlColorTransform;

void gpudl_preproc_color(const GpudlFrame *frame, const GpudlPreproc *pp, GpudlColorTransform *transform);

/** What is wrong with frame and parameters for reading host memory, or NULL (static text). */
const char *gpudl_preproc_fault(const GpudlFrame *frame, const GpudlPreproc *pp);

#ifdef __cplusplus
}
#endif
#endif
