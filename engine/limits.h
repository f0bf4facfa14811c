/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What a model may be at most. Enforced by the readers and by gpudl_graph_infer(); stated in models/FORMAT.md.
 */
#ifndef GPUDL_ENGINE_LIMITS_H
#define GPUDL_ENGINE_LIMITS_H

#define GPUDL_LIMIT_FILE_BYTES (G_GUINT64_CONSTANT(2) << 30) /* model file */
#define GPUDL_LIMIT_NODES 65536u
#define GPUDL_LIMIT_TENSORS 262144u
#define GPUDL_LIMIT_TENSOR_BYTES (G_GINT64_CONSTANT(1) << 30) /* one tensor of one frame, or of a file's own batch */
#define GPUDL_LIMIT_TENSOR_BATCH 7                            /* so many times as much at a batch */
#define GPUDL_LIMIT_TENSOR_ELEMENTS G_GINT64_CONSTANT(0x7fffffff) /* of any type: kernels count them in 31 bits */
#define GPUDL_LIMIT_NAME_BYTES 4096u
#define GPUDL_LIMIT_LABELS 65536u
#define GPUDL_LIMIT_NESTING 64u      /* messages within messages of a protobuf file */
#define GPUDL_LIMIT_INPUT_SIDE 4096  /* pixels, network input */
#define GPUDL_LIMIT_THREADS 1024u    /* workers of one session */
#define GPUDL_LIMIT_FRAME_SIDE 32768 /* pixels, video frame */

#endif
