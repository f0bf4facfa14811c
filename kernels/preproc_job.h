/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing of one frame on a device, as data: everything that gpudl_preproc_ref() derives from a frame and its
 * parameters, settled on the host, in a struct that a kernel reads. And the arithmetic on it, in functions that compile
 * for both sides, so that what the device computes can be checked on a machine without one.
 *
 * The arithmetic: source samples are bytes, or words of two. Rows come first: weights are integers in units of 2^-26,
 * sums of weight times byte are exact; the two of a word make one in float32. Columns follow in float32, then both sums
 * of weights divide. bicubic-bytes is the reference's, in integers and float64, bit for bit. Matrix and normalisation
 * are float32. So values differ from the reference by a few roundings of float32 (GPUDL_PREPROC_JOB_BOUND). Which
 * samples belong to a window is decided in double, with the reference's very operations: nearest and area jump there.
 */
#ifndef GPUDL_KERNELS_PREPROC_JOB_H
#define GPUDL_KERNELS_PREPROC_JOB_H

#include "preproc.h"

#ifdef __CUDACC__
#define GPUDL_BOTH_SIDES static __host__ __device__ __forceinline__
#else
#include <math.h>
#define GPUDL_BOTH_SIDES static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Largest difference to the reference before normalisation, in units of a pixel's 255. Weights are off by some 2e-7; at
 * a picture's edge bicubic is left with a fifth of their sum, and chroma is multiplied by up to 2.2: 6e-4, and
 * roundings of float32 at 255, 1.5e-5 each, above that.
 */
#define GPUDL_PREPROC_JOB_BOUND 1e-3

/** Windows up to that many samples wide and high need no sums by rows first. */
#define GPUDL_JOB_DIRECT_TAPS 4

/** GPUDL_BYTES_BITS, which the device's side does not see. */
#define GPUDL_JOB_BYTES_BITS 22

/** One axis at one sampling: destination sample i lies at first_centre + i * scale, samples lo <= s < hi exist. */
typedef struct {
    double first_centre, scale;
    int32_t lo, hi;
    float narrow; /* 1 / scale, at most 1, and 1 for bilinear-aliased: what distances are multiplied with */
    /* the same for gpudl_job_point(): the sample whose middle lies at destination sample 0, and scale, in units of
     * 2^-GPUDL_JOB_POINT_BITS; 0 where the job is none of GpudlPreprocPoints */
    int64_t start, step;
} GpudlPreprocJobAxis;

/**
 * Jobs whose every window is 2 x 2 samples weighted by distance (bilinear-aliased, and bilinear where nothing shrinks),
 * by how a thread can fetch them. Nearest and area are none: which samples they take has to be decided in double.
 */
typedef enum {
    GPUDL_POINTS_NONE = 0,
    GPUDL_POINTS_PLANES,     /* bytes, each component on its own */
    GPUDL_POINTS_PAIRS,      /* bytes, both chroma samples at once: NV12, NV21 at even addresses */
    GPUDL_POINTS_QUADS,      /* bytes, all of a pixel at once: RGBA and its kin at multiples of 4 */
    GPUDL_POINTS_WORDS,      /* words at even addresses, each component on its own */
    GPUDL_POINTS_WORD_PAIRS, /* the same, both chroma samples at once: P010 at multiples of 4 */
    GPUDL_POINTS_ODD_WORDS   /* words at any address */
} GpudlPreprocPoints;

/**
 * Jobs that gpudl_preproc_shrink_cuda() takes, by where their components lie: samples are bytes, planes and strides
 * multiples of 16 bytes, windows larger than GPUDL_JOB_DIRECT_TAPS and yet not so large that GPUDL_SHRINK_COLUMNS
 * neighbouring columns need more than GPUDL_SHRINK_MOST_STEPS steps of samples of a row.
 */
typedef enum {
    GPUDL_SHRINK_NONE = 0,
    GPUDL_SHRINK_LUMA,   /* one component, a plane */
    GPUDL_SHRINK_PAIRS,  /* a plane of luma, one of half as many chroma samples by turns: NV12, NV21 */
    GPUDL_SHRINK_PLANES, /* a plane of luma, two of half as many chroma samples: I420, YV12, Y42B */
} GpudlPreprocShrink;

#define GPUDL_SHRINK_COLUMNS 8
/** Samples of a step; the first one begins at a multiple of 16 samples, of pairs 8. */
#define GPUDL_SHRINK_STEP 32
#define GPUDL_SHRINK_MOST_STEPS 6
/** Steps of chroma where there are so many of luma. */
#define GPUDL_SHRINK_CHROMA_STEPS(steps) (((steps) + 2) / 2)

/**
 * One frame. Index 0 of an axis is the luma's (or the only) sampling, 1 the chroma's where it has half the samples,
 * else a copy of 0. planes are addresses that the device can read; a job does not own them. n_planes 0 is a slot
 * without a frame: it is written with zeros.
 */
typedef struct {
    const uint8_t *planes[3];
    GpudlPreprocJobAxis x[2], y[2];
    int32_t strides[3];   /* bytes */
    int32_t row_bytes[3]; /* of a plane's row, nothing is read behind */
    int32_t dst_x, dst_y, dst_width, dst_height;
    /* pixel[c] = clamp(offset[c] + sum_k matrix[c][k] * component[k], 0, 255), components in units of a byte or word */
    float matrix[3][3], offset[3];
    float gain[3], bias[3]; /* value[c] = pixel[c] * gain[c] + bias[c] */
    float pad[3];           /* value[c] outside the destination rectangle */
    uint8_t n_planes, n_components;
    uint8_t method;                           /* GpudlScaleMethod */
    uint8_t pair_bytes;                       /* of two neighbouring pixels over all planes */
    uint8_t plane_step[3];                    /* bytes of a position: of a pixel, or of a chroma sample */
    uint8_t plane_half_x[3], plane_half_y[3]; /* 1: half as many positions as pixels */
    uint8_t direct_taps; /* 2 or GPUDL_JOB_DIRECT_TAPS: no window is larger, in either direction; 0: larger ones */
    uint8_t component_plane[3], component_offset[3], component_step[3], component_half_x[3]; /* offset, step: bytes */
    uint16_t word_mask;           /* bits of a word that count, by value; 0: samples are bytes */
    uint8_t points;               /* GpudlPreprocPoints */
    uint8_t shrink, shrink_steps; /* GpudlPreprocShrink, and steps of luma that no 8 columns exceed */
} GpudlPreprocJob;

/** A slot without a frame. */
void gpudl_preproc_job_idle(GpudlPreprocJob *job);

/**
 * Fills a job from a frame and what the network wants, for pixels that the device can read at frame->planes (of either
 * memory kind). Returns NULL, or what is wrong with them (static text); the job is idle then.
 */
const char *gpudl_preproc_job_fill(GpudlPreprocJob *job, const GpudlFrame *frame, const GpudlPreproc *pp);

/** Whether each of count jobs is one of GpudlPreprocPoints or has no frame. */
int gpudl_preproc_jobs_are_points(const GpudlPreprocJob *jobs, int32_t count);

/** What all of count jobs that have a frame are, GPUDL_SHRINK_NONE if they differ; sets steps to the most of one. */
GpudlPreprocShrink gpudl_preproc_jobs_shrink(const GpudlPreprocJob *jobs, int32_t count, int32_t *steps);

/** Samples begin <= s < end, at least one, make a destination sample; its centre is whole + fraction. */
typedef struct {
    int32_t begin, end, whole;
    float fraction;
} GpudlPreprocTaps;

GPUDL_BOTH_SIDES int32_t gpudl_job_clamp(int32_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

GPUDL_BOTH_SIDES int32_t gpudl_job_floor(double v)
{
#ifdef __CUDA_ARCH__
    return __double2int_rd(v);
#else
    return (int32_t)floor(v);
#endif
}

/** Centre of destination sample i; product and sum are rounded each, as C does it. */
GPUDL_BOTH_SIDES double gpudl_job_centre(const GpudlPreprocJobAxis *axis, int32_t i)
{
#ifdef __CUDA_ARCH__
    return __dadd_rn(axis->first_centre, __dmul_rn(i, axis->scale));
#else
    return axis->first_centre + i * axis->scale;
#endif
}

/** Whether the box around centre holds sample s. */
GPUDL_BOTH_SIDES int gpudl_job_in_box(double centre, double widen, int32_t s)
{
    double x = (s + 0.5 - centre) / widen;

    return x > -0.5 && x <= 0.5;
}

GPUDL_BOTH_SIDES GpudlPreprocTaps gpudl_job_taps(const GpudlPreprocJobAxis *axis, int method, int32_t i)
{
    const double centre = gpudl_job_centre(axis, i);
    GpudlPreprocTaps taps;

    taps.whole = gpudl_job_floor(centre);
    taps.fraction = (float)(centre - taps.whole);
    taps.begin = taps.end = axis->lo;
    if (method == GPUDL_SCALE_AREA) {
        const double widen = axis->scale > 1.0 ? axis->scale : 1.0, support = 0.5 * widen;

        taps.begin = gpudl_job_clamp(gpudl_job_floor(centre - support + 0.5), axis->lo, axis->hi);
        taps.end = gpudl_job_clamp(gpudl_job_floor(centre + support + 0.5), axis->lo, axis->hi);
        while (taps.begin < taps.end && !gpudl_job_in_box(centre, widen, taps.begin))
            taps.begin++;
        while (taps.begin < taps.end && !gpudl_job_in_box(centre, widen, taps.end - 1))
            taps.end--;
    } else if (method != GPUDL_SCALE_NEAREST) {
        /* float32 may be off by a sample where the weight is next to nothing */
        const float widen = method != GPUDL_SCALE_BILINEAR_ALIASED && axis->scale > 1.0 ? (float)axis->scale : 1.f;
        const float support = method == GPUDL_SCALE_BICUBIC ? 2.f * widen : widen;

        taps.begin = gpudl_job_clamp(taps.whole + (int32_t)floorf(taps.fraction - support + 0.5f), axis->lo, axis->hi);
        taps.end = gpudl_job_clamp(taps.whole + (int32_t)floorf(taps.fraction + support + 0.5f), axis->lo, axis->hi);
    }
    if (taps.begin >= taps.end) {
        taps.begin = gpudl_job_clamp(taps.whole, axis->lo, axis->hi - 1);
        taps.end = taps.begin + 1;
    }
    return taps;
}

/** Samples first and first + 1 make a destination sample: first + weight * (second - first), weight 0..1. Of an axis
 * with one sample the first is meant for both. */
typedef struct {
    int32_t first;
    float weight;
} GpudlPreprocPoint;

/** Bits of a position behind the point: 4096 destination samples on it is off by 2^-29. */
#define GPUDL_JOB_POINT_BITS 40
/** Samples of an axis that leave positions room. */
#define GPUDL_JOB_POINT_SAMPLES (1 << 22)

/** Of a job that is one of GpudlPreprocPoints. Any i gives samples that exist, also beside the destination rectangle.
 * Integers: not every device has doubles to speak of. */
GPUDL_BOTH_SIDES GpudlPreprocPoint gpudl_job_point(const GpudlPreprocJobAxis *axis, int32_t i)
{
    const int64_t at = (int64_t)((uint64_t)axis->start + (uint64_t)(int64_t)i * (uint64_t)axis->step);
    const int32_t whole = (int32_t)(at >> GPUDL_JOB_POINT_BITS);
    const int32_t last = axis->hi - 2 > axis->lo ? axis->hi - 2 : axis->lo;
    GpudlPreprocPoint point;

    point.first = gpudl_job_clamp(whole, axis->lo, last);
    point.weight = (float)(uint32_t)(at >> (GPUDL_JOB_POINT_BITS - 32)) * 0x1p-32f;
    if (whole != point.first)
        point.weight = whole < point.first ? 0.f : 1.f;
    return point;
}

/** The reference's arithmetic of float64: no product and sum become one. */
#ifdef __CUDA_ARCH__
#define GPUDL_JOB_MUL(a, b) __dmul_rn(a, b)
#define GPUDL_JOB_ADD(a, b) __dadd_rn(a, b)
#define GPUDL_JOB_DIV(a, b) __ddiv_rn(a, b)
#else
#define GPUDL_JOB_MUL(a, b) ((a) * (b))
#define GPUDL_JOB_ADD(a, b) ((a) + (b))
#define GPUDL_JOB_DIV(a, b) ((a) / (b))
#endif

/** The window of bicubic-bytes, whose weights are integers that have to be the reference's: samples begin <= s < end,
 * at least one. sum 0: the one sample is all of it. */
typedef struct {
    int32_t begin, end;
    double centre, widen, sum;
} GpudlPreprocCubic;

/** Weight of sample s, not normalised: gpudl_axis_taps()' operations in their order. */
GPUDL_BOTH_SIDES double gpudl_job_cubic_at(const GpudlPreprocCubic *window, int32_t s)
{
    const double t = fabs(GPUDL_JOB_DIV(GPUDL_JOB_ADD(s + 0.5, -window->centre), window->widen));
    double sum;

    if (t < 1.0) {
        sum = GPUDL_JOB_ADD(GPUDL_JOB_MUL(1.5, t), -2.5);
        return GPUDL_JOB_ADD(GPUDL_JOB_MUL(GPUDL_JOB_MUL(sum, t), t), 1.0);
    }
    if (!(t < 2.0))
        return 0.0;
    sum = GPUDL_JOB_ADD(GPUDL_JOB_MUL(-0.5, t), 2.5);
    sum = GPUDL_JOB_ADD(GPUDL_JOB_MUL(sum, t), -4.0);
    return GPUDL_JOB_ADD(GPUDL_JOB_MUL(sum, t), 2.0);
}

GPUDL_BOTH_SIDES GpudlPreprocCubic gpudl_job_cubic(const GpudlPreprocJobAxis *axis, int32_t i)
{
    GpudlPreprocCubic window;
    double support;

    window.centre = gpudl_job_centre(axis, i);
    window.widen = axis->scale > 1.0 ? axis->scale : 1.0;
    window.sum = 0.0;
    support = 2.0 * window.widen;
    window.begin = gpudl_job_floor(GPUDL_JOB_ADD(GPUDL_JOB_ADD(window.centre, -support), 0.5));
    window.end = gpudl_job_floor(GPUDL_JOB_ADD(GPUDL_JOB_ADD(window.centre, support), 0.5));
    window.begin = gpudl_job_clamp(window.begin, axis->lo, axis->hi);
    window.end = gpudl_job_clamp(window.end, axis->lo, axis->hi);
    for (int32_t s = window.begin; s < window.end; s++)
        window.sum = GPUDL_JOB_ADD(window.sum, gpudl_job_cubic_at(&window, s));
    if (!(window.sum > 0.0)) {
        window.begin = gpudl_job_clamp(gpudl_job_floor(window.centre), axis->lo, axis->hi - 1);
        window.end = window.begin + 1;
        window.sum = 0.0;
    }
    return window;
}

/** Weight of sample s in units of 2^-GPUDL_BYTES_BITS, as gpudl_bytes_weight() has it. */
GPUDL_BOTH_SIDES int32_t gpudl_job_cubic_weight(const GpudlPreprocCubic *window, int32_t s)
{
    const double one = 1 << GPUDL_JOB_BYTES_BITS;
    const double weight =
        window->sum > 0.0 ? GPUDL_JOB_MUL(GPUDL_JOB_DIV(gpudl_job_cubic_at(window, s), window->sum), one) : one;

    return (int32_t)GPUDL_JOB_ADD(weight, weight < 0.0 ? -0.5 : 0.5);
}

/** The byte that a sum of them times bytes is, as gpudl_bytes_round() has it. */
GPUDL_BOTH_SIDES int32_t gpudl_job_cubic_byte(int32_t sum)
{
    return gpudl_job_clamp((sum + (1 << (GPUDL_JOB_BYTES_BITS - 1))) >> GPUDL_JOB_BYTES_BITS, 0, 255);
}

/** Middle of sample s, from the whole that a window's centre has. */
GPUDL_BOTH_SIDES float gpudl_job_middle(const GpudlPreprocTaps *taps, int32_t s)
{
    return (float)(s - taps->whole) + 0.5f;
}

/** a * b + c rounded once, as a device's compiler makes it of the plain expression. A cubic's terms cancel near its
 * end: with a rounding more for each product the bound would not hold. */
GPUDL_BOTH_SIDES float gpudl_job_fma(float a, float b, float c)
{
#ifdef __CUDA_ARCH__
    return a * b + c;
#else
    return fmaf(a, b, c);
#endif
}

/** Weight of the sample whose middle that is, not normalised: at most 1. */
GPUDL_BOTH_SIDES float gpudl_job_weight_at(const GpudlPreprocJobAxis *axis, const GpudlPreprocTaps *taps, int method,
                                           float middle)
{
    const float t = fabsf((middle - taps->fraction) * axis->narrow);

    if (method == GPUDL_SCALE_BILINEAR || method == GPUDL_SCALE_BILINEAR_ALIASED)
        return t < 1.f ? 1.f - t : 0.f;
    if (method == GPUDL_SCALE_BICUBIC) {
        if (t < 1.f)
            return gpudl_job_fma(gpudl_job_fma(1.5f, t, -2.5f) * t, t, 1.f);
        return t < 2.f ? gpudl_job_fma(gpudl_job_fma(gpudl_job_fma(-0.5f, t, 2.5f), t, -4.f), t, 2.f) : 0.f;
    }
    return 1.f;
}

/** Weight of sample s of a window. */
GPUDL_BOTH_SIDES float gpudl_job_weight(const GpudlPreprocJobAxis *axis, const GpudlPreprocTaps *taps, int method,
                                        int32_t s)
{
    return gpudl_job_weight_at(axis, taps, method, gpudl_job_middle(taps, s));
}

/** A row's weight in units of 2^-26; 0 outside the window. 16 signed bits above GPUDL_JOB_LOW_BITS. */
#define GPUDL_JOB_LOW_BITS 12
GPUDL_BOTH_SIDES int32_t gpudl_job_row_weight(const GpudlPreprocJobAxis *axis, const GpudlPreprocTaps *taps, int method,
                                              int32_t s)
{
    if (s < taps->begin || s >= taps->end)
        return 0;
#ifdef __CUDA_ARCH__
    return __float2int_rn(gpudl_job_weight(axis, taps, method, s) * 67108864.f);
#else
    return (int32_t)lrintf(gpudl_job_weight(axis, taps, method, s) * 67108864.f);
#endif
}

/** A column's weight in units of 1 / GPUDL_JOB_COLUMN_ONE: two signed digits of base 256. */
#define GPUDL_JOB_COLUMN_ONE 32639
GPUDL_BOTH_SIDES int32_t gpudl_job_column_weight(const GpudlPreprocJobAxis *axis, const GpudlPreprocTaps *taps,
                                                 int method, int32_t s)
{
#ifdef __CUDA_ARCH__
    return __float2int_rn(gpudl_job_weight(axis, taps, method, s) * GPUDL_JOB_COLUMN_ONE);
#else
    return (int32_t)lrintf(gpudl_job_weight(axis, taps, method, s) * GPUDL_JOB_COLUMN_ONE);
#endif
}

/** Rows that can be summed before the sum of upper halves (at most 2^14 * 255 each) leaves 32 bits. */
#define GPUDL_JOB_SLAB_ROWS 512

/** The word that two bytes in memory are, without the bits that do not count. */
GPUDL_BOTH_SIDES int32_t gpudl_job_word(const GpudlPreprocJob *job, uint8_t low, uint8_t high)
{
    return (low | high << 8) & job->word_mask;
}

/** Network channel c from components, normalised. */
GPUDL_BOTH_SIDES float gpudl_job_channel(const GpudlPreprocJob *job, int c, const float component[3])
{
    float pixel = job->offset[c];

    for (int k = 0; k < 3; k++)
        pixel += job->matrix[c][k] * component[k];
    pixel = fminf(fmaxf(pixel, 0.f), 255.f);
    return pixel * job->gain[c] + job->bias[c];
}

#ifdef __cplusplus
}
#endif
#endif
