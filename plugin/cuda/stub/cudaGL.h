/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** As cuda.h beside it, for what GStreamer's headers want of cudaGL.h. */
#ifndef __GPUDL_STUB_CUDA_GL_H__
#define __GPUDL_STUB_CUDA_GL_H__

#include "cuda.h"

typedef int CUGLDeviceList;

#endif /* __GPUDL_STUB_CUDA_GL_H__ */
