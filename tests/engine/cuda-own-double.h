/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** A cuDNN that computes with our direct kernel, and our product's kernel and the clock of trials, which a test decides
 * on. */
#ifndef GPUDL_TESTS_CUDA_OWN_DOUBLE_H
#define GPUDL_TESTS_CUDA_OWN_DOUBLE_H

#include <glib.h>

#include "engine/cuda/own.h"
#include "engine/cuda/trial.h"

typedef struct {
    gboolean is_spoilt; /* the library leaves one result out */
    gboolean fails_fence;
    gboolean is_fenced;                      /* what is queued next does not overlap what was before */
    gfloat library_ns;                       /* what its plans seem to take */
    guint wrong_tiles;                       /* of our product, whose results are spoilt, a bit each */
    gint fastest_tile;                       /* the one that seems to be so */
    guint runs;                              /* of our product's kernel, counted here */
    gboolean has_no_clusters, has_no_blocks; /* a block's launch: in clusters, at all */
} OwnDouble;
extern OwnDouble own_double;

/** It has one plan for each graph. */
extern const CudaCudnn own_library;
size_t own_cudnn_version(void);

#endif
