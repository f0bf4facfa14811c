/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Products of pixels with a constant matrix by cuBLASLt: convolutions of one tap, and fully connected layers. NHWC
 * makes one matrix of all pixels of a batch. The library is large and takes a third of a second to open, so it is
 * opened when a choice that was kept has it or when tuning wants it, once for a device; where it is missing, nothing
 * here is a candidate.
 */
#ifndef GPUDL_ENGINE_CUDA_LT_H
#define GPUDL_ENGINE_CUDA_LT_H

#include "conv.h"

/** Most bytes of workspace that an algorithm may want. */
#define CUDA_LT_WORKSPACE ((size_t)8 << 20)

/** TRUE if the problem is one product, followed by what cuBLASLt can do behind it. Asks no library. */
int cuda_lt_fits(const CudaConvKey *key);

/** Opens library and handle if they are not. FALSE if there is none that can be used: host is told why at debug level,
 * once for a device; and where the device does without libraries. Any thread, in the device's context. */
int cuda_lt_open(CudaDevice *device, const GpudlHost *host);
/** In the device's context; nothing is under way. */
void cuda_lt_close(CudaDevice *device);

/** What is known of it, to be put behind a list of libraries: ", cuBLASLt 13.1.0", that it can't be used, or "" if
 * nothing has asked for it. Any thread, as other sessions on the device may be opening it. */
void cuda_lt_describe(const CudaDevice *device, char *text, size_t room);

/* All below: after cuda_lt_open() has returned TRUE, in the device's context, any thread. */

/** Up to room algorithms for a problem that fits, as cuBLASLt recommends them; how many there are. */
int cuda_lt_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);

/** An algorithm as a line, malloc'd, not ended by 0; only the same version of the library can read it. */
char *cuda_lt_save(const CudaDevice *device, const CudaLtAlgo *algo, size_t *bytes);
/** From that line; FALSE if it is of another version, or the library says that it can't do this problem. Writes all of
 * the plan but its name. */
int cuda_lt_load(const CudaDevice *device, const CudaConvKey *key, const char *text, size_t bytes, CudaConvPlan *plan);

/** Queues a product behind a fence (fence.h). 0 or cuBLASLt's status. */
int cuda_lt_run(const CudaDevice *device, const CudaConvKey *key, const CudaLtAlgo *algo, int64_t workspace,
                const CudaConvData *data, cudaStream_t stream);
const char *cuda_lt_status_name(const CudaDevice *device, int status);

#endif
