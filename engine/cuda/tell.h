/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How far opening is, for who looks where time and memory go (`bench-cuda stages`). */
#ifndef GPUDL_ENGINE_CUDA_TELL_H
#define GPUDL_ENGINE_CUDA_TELL_H

#include "engine/backend.h"

/** Logs what has just been done, one line, at DEBUG. Any thread, in the device's context: whoever reads it asks for the
 * device's memory. */
__attribute__((format(printf, 2, 3))) void cuda_tell(const GpudlHost *host, const char *format, ...);

#endif
