/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Pre-processing: colour conversion, crop, resize and normalisation in one pass, from source pixels to network input.
 *
 * The truth (gpudl_preproc_ref) is, in double:
 *  1. geometry: gpudl_preproc_geometry() gives the source rectangle, in luma pixels, and the destination rectangle;
 *  2. each component is resampled on its own from its own grid onto the destination grid: first rows, then columns,
 * weights normalised to sum 1, samples outside the component's crop rectangle do not exist (as in Pillow, not
 * repeated; of bilinear-aliased's two samples that is the same); chroma sits where chroma_site says; bicubic-bytes of
 * R, G, B and grey is Pillow's own arithmetic instead: along rows first, weights and sums integers in units of 2^-22,
 * each of both passes rounded and clamped to a byte;
 *  3. matrix and range give RGB (or luma for gray networks: Y for YCbCr, BT.601 weights for RGB), clamped to 0..255:
 * of samples of 10 bits as of those of 8, by a range of their own, so that nothing is rounded to bytes between;
 *  4. normalisation as GpudlPreproc says. Destination pixels outside the rectangle are pad_color, normalised likewise.
 */
#ifndef GPUDL_KERNELS_PREPROC_H
#define GPUDL_KERNELS_PREPROC_H

#include "frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Source and destination rectangles of one frame. */
typedef struct {
    double src_x, src_y, src_width, src_height;  /* luma pixels, inside the frame's crop */
    int32_t dst_x, dst_y, dst_width, dst_height; /* input pixels, inside the network's input */
} GpudlPreprocGeometry;

/**
 * Computes the rectangles for a frame; the frame's crop counts. Returns 0, or -1 if a size is not positive.
 *
 * center-crop, squash and border see what torchvision 0.29 and timm 1.0 leave of a picture, which round twice: the
 * scaled picture has whole pixels, and the middle begins at one. input / crop_fraction is rounded down. Of center-crop
 * to a square the long side is rounded down (torchvision's Resize and CenterCrop), of center-crop to another input and
 * of border both sides to the nearest (timm's ResizeKeepRatio). The middle begins at half the difference, rounded to
 * the nearest, of two to the even one; what is smaller than the input has an odd pixel of pad_color behind it.
 */
int gpudl_preproc_geometry(const GpudlFrame *frame, const GpudlPreproc *pp, GpudlPreprocGeometry *geometry);

/**
 * Reference: fills dst, float32 [channels][height][width] (width fastest, dense), from a frame in host memory.
 * Returns 0, or -1 if the frame or the parameters are out of range (nothing is written then).
 */
int gpudl_preproc_ref(const GpudlFrame *frame, const GpudlPreproc *pp, float *dst);

/** Planes, and per plane the bytes of a row and the rows, that a format of this size has; 0 for an unknown format. */
int gpudl_pixel_format_layout(GpudlPixelFormat format, int32_t width, int32_t height, int32_t row_bytes[4],
                              int32_t rows[4]);

/** Name as in caps ("NV12"), or NULL. */
const char *gpudl_pixel_format_name(GpudlPixelFormat format);

#ifdef __cplusplus
}
#endif
#endif
