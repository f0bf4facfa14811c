/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A device without NVIDIA's libraries, for tests whose kernels run on this processor (tests/kernels/emulate), and what
 * these have in common.
 */
#ifndef GPUDL_TESTS_ENGINE_DOUBLE_DEVICE_H
#define GPUDL_TESTS_ENGINE_DOUBLE_DEVICE_H

#include <glib.h>

#include "engine/cuda/conv.h"

/** Fills it in: an "NVIDIA Test" of an H200's size. */
void double_device_begin(CudaDevice *device);
/** How often its context has been entered and not left. */
gint double_device_entered(void);

/** A convolution of two pictures of 5 x 5 in float16, 3 x 3 taps, c to k channels, with residual, bias and ReLU; c, k
 * are whole vectors, and pixels of the result are 8 more elements apart. */
CudaConvKey double_device_problem(gint32 c, gint32 k);

/** Removes a folder and all that is in it. */
void double_device_remove(const gchar *path);

#endif
