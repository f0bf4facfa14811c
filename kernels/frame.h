/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A video frame as it lies in memory, and what a network wants to see of it. Plain C, part of the public API.
 */
#ifndef GPUDL_KERNELS_FRAME_H
#define GPUDL_KERNELS_FRAME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Pixel formats, named and laid out as GStreamer's GstVideoFormat of the same name. Bits of a word that are not the
 * sample's may be anything. Words need not be aligned. */
typedef enum {
    GPUDL_PIXEL_UNKNOWN = 0,
    GPUDL_PIXEL_NV12, /* plane 0: Y, plane 1: UV interleaved, 4:2:0 */
    GPUDL_PIXEL_NV21, /* the same with VU */
    GPUDL_PIXEL_I420, /* planes Y, U, V, 4:2:0 */
    GPUDL_PIXEL_YV12, /* the same planes; planes[1] is V, planes[2] is U (memory order) */
    GPUDL_PIXEL_Y42B, /* planes Y, U, V, 4:2:2 */
    GPUDL_PIXEL_Y444, /* planes Y, U, V, 4:4:4 */
    GPUDL_PIXEL_YUY2, /* packed Y0 U Y1 V */
    GPUDL_PIXEL_UYVY, /* packed U Y0 V Y1 */
    GPUDL_PIXEL_RGB,  /* 3 bytes a pixel */
    GPUDL_PIXEL_BGR,
    GPUDL_PIXEL_RGBA, /* 4 bytes a pixel; alpha is ignored */
    GPUDL_PIXEL_BGRA,
    GPUDL_PIXEL_ARGB,
    GPUDL_PIXEL_ABGR,
    GPUDL_PIXEL_RGBX,
    GPUDL_PIXEL_BGRX,
    GPUDL_PIXEL_XRGB,
    GPUDL_PIXEL_XBGR,
    GPUDL_PIXEL_RGBP, /* planes R, G, B */
    GPUDL_PIXEL_BGRP, /* planes B, G, R */
    GPUDL_PIXEL_GBR,  /* planes G, B, R */
    GPUDL_PIXEL_GRAY8,
    GPUDL_PIXEL_P010_10LE, /* as NV12, in 16-bit words, little endian, whose upper 10 bits are the sample */
    GPUDL_PIXEL_I420_10LE, /* as I420, in such words whose lower 10 bits are the sample */
    GPUDL_PIXEL_LAST = GPUDL_PIXEL_I420_10LE
} GpudlPixelFormat;

/** YCbCr to RGB matrix by the luma coefficients of the named standard. */
typedef enum {
    GPUDL_MATRIX_BT601 = 0, /* Kr .299,  Kb .114 */
    GPUDL_MATRIX_BT709,     /* Kr .2126, Kb .0722 */
    GPUDL_MATRIX_BT2020,    /* Kr .2627, Kb .0593 */
    GPUDL_MATRIX_FCC,       /* Kr .30,   Kb .11 */
    GPUDL_MATRIX_SMPTE240M, /* Kr .212,  Kb .087 */
    GPUDL_MATRIX_LAST = GPUDL_MATRIX_SMPTE240M
} GpudlMatrix;

/** Sample range. */
typedef enum {
    GPUDL_RANGE_LIMITED = 0, /* Y, R, G, B: 16..235, Cb, Cr: 16..240; of 10 bits 64..940, 64..960 */
    GPUDL_RANGE_FULL         /* 0..255; of 10 bits 0..1023 */
} GpudlRange;

/** Chroma sample position. Bits: where a bit is set, the chroma sample lies on the first luma sample of its pair in
 * that direction; where it is not, halfway between the two. */
typedef enum {
    GPUDL_CHROMA_CENTERED = 0,
    GPUDL_CHROMA_H_COSITED = 1, /* MPEG-2, H.264's default */
    GPUDL_CHROMA_V_COSITED = 2,
    GPUDL_CHROMA_COSITED = 3
} GpudlChromaSite;

/** Where a frame's bytes are. */
typedef enum {
    GPUDL_MEMORY_HOST = 0,
    GPUDL_MEMORY_CUDA = 1,
    GPUDL_MEMORY_HOST_PINNED =
        2, /* host memory of gpudl_device_alloc_host(), which the session's device reads itself */
    GPUDL_MEMORY_LAST = GPUDL_MEMORY_HOST_PINNED
} GpudlMemoryKind;

/** A frame, described where it lies. Whoever fills it keeps the pixels, cuda_stream and cuda_context alive, and the
 * pixels unchanged, until the request is done. */
typedef struct {
    uint32_t struct_size; /* sizeof(GpudlFrame); 0: the fields of version 0.1, which are those down to cuda_context */
    GpudlMemoryKind memory;
    GpudlPixelFormat format;
    int32_t width, height; /* pixels, at least 1 */
    const void *planes[4]; /* host or device addresses */
    int32_t strides[4];    /* bytes from row to row; may exceed the row */
    GpudlMatrix matrix;    /* read for YCbCr formats only */
    GpudlRange range;
    GpudlChromaSite chroma_site;
    int32_t par_n, par_d; /* pixel aspect ratio; 0 counts as 1 */
    /** Part of the frame to look at, in pixels inside width x height; crop_width 0 means the whole frame. */
    int32_t crop_x, crop_y, crop_width, crop_height;
    void *cuda_stream;  /* producer's CUstream or NULL: content is complete; CUDA memory only */
    void *cuda_context; /* CUcontext the memory belongs to, or NULL */
} GpudlFrame;

/** How a frame's rectangle is fitted to the network's input. */
typedef enum {
    GPUDL_RESIZE_AUTO = 0,    /* what the model says, else stretch */
    GPUDL_RESIZE_STRETCH,     /* both sides on their own */
    GPUDL_RESIZE_LETTERBOX,   /* all of it, centred, the rest pad_color; respects the pixel aspect ratio */
    GPUDL_RESIZE_CENTER_CROP, /* short side to input / crop_fraction, then the middle; respects the aspect ratio, too */
    GPUDL_RESIZE_SQUASH,      /* both sides on their own to input / crop_fraction, then the middle */
    GPUDL_RESIZE_BORDER, /* long side to input / crop_fraction, then the middle, the rest pad_color; respects it, too */
    GPUDL_RESIZE_LAST = GPUDL_RESIZE_BORDER
} GpudlResizeMode;

/** Resampling filter. Bilinear, bicubic (both) and area widen with the scale when shrinking (antialiasing), as Pillow's
 * resize does. Nearest and bilinear-aliased don't: they read 1 sample and 2 x 2 samples round the destination sample's
 * centre, whatever the scale. */
typedef enum {
    GPUDL_SCALE_AUTO = 0, /* what the model says, else bilinear */
    GPUDL_SCALE_NEAREST,
    GPUDL_SCALE_BILINEAR, /* triangle, support 1 */
    GPUDL_SCALE_BICUBIC,  /* Keys, a = -0.5, support 2 */
    GPUDL_SCALE_AREA,     /* box, support 0.5 */
    /** The 2 x 2 nearest, weighted by distance; where one does not exist, the one beside it counts for it. OpenCV's
     * INTER_LINEAR, PyTorch's interpolate() and torchvision's Resize with antialias=False, ONNX' linear Resize by
     * half_pixel. The same as bilinear where nothing shrinks. */
    GPUDL_SCALE_BILINEAR_ALIASED,
    /** Bicubic as Pillow computes it of bytes, bit for bit, and with it torchvision and timm of pictures: along rows
     * first, rounded and clamped to bytes, then along columns, the same. Of frames whose samples are 8 bits of R, G, B
     * or grey; those of YCbCr are bicubic, since Pillow has no such. */
    GPUDL_SCALE_BICUBIC_BYTES,
    GPUDL_SCALE_LAST = GPUDL_SCALE_BICUBIC_BYTES
} GpudlScaleMethod;

/** Channel order the network was trained with. */
typedef enum {
    GPUDL_CHANNELS_AUTO = 0, /* what the model says, else rgb (gray for one channel) */
    GPUDL_CHANNELS_RGB,
    GPUDL_CHANNELS_BGR,
    GPUDL_CHANNELS_GRAY
} GpudlChannelOrder;

/**
 * Everything between pixels and network input, resolved: nothing is "auto" here.
 * value = (pixel / pixel_scale - mean[c]) / std[c], pixel in 0..255 after conversion to full-range RGB or luma.
 */
typedef struct {
    uint32_t struct_size;  /* sizeof(GpudlPreproc); 0: the fields of version 0.1, which are those down to std */
    int32_t width, height; /* of the network's input */
    int32_t channels;      /* 1 or 3 */
    GpudlChannelOrder channel_order;
    GpudlResizeMode resize_mode;
    GpudlScaleMethod scale_method;
    float crop_fraction; /* (0, 1], for center-crop, squash and border */
    uint32_t pad_color;  /* 0xRRGGBB, for letterbox and border */
    float pixel_scale;   /* 255 for networks fed 0..1, 1 for networks fed 0..255 */
    float mean[3];       /* in the order of the network's channels, units of pixel / pixel_scale */
    float std[3];        /* never 0 */
} GpudlPreproc;

#ifdef __cplusplus
}
#endif
#endif
