/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Convolutions by our own kernels, which need no library. */
#ifndef GPUDL_ENGINE_CUDA_OWN_H
#define GPUDL_ENGINE_CUDA_OWN_H

#include "conv.h"

/** Pictures first .. first + n - 1 by the direct kernel, in float32. Status of the launcher. */
int cuda_conv_own(const CudaConvKey *key, const CudaConvData *data, int32_t first, int32_t n, cudaStream_t stream);

/** Up to room plans of CUDA_CONV_GEMM, the one that is thought to be the fastest first; how many there are, 0 where the
 * direct kernel is better or the problem is refused. Needs no device. */
int cuda_gemm_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues one. Status of the launcher. */
int cuda_gemm_run(const CudaConvKey *key, const GpudlConvGemmPlan *plan, const CudaConvData *data, cudaStream_t stream);

/** Up to room plans of CUDA_CONV_ONCE, the one that is thought to be the fastest first: 0 where the problem has many
 * pixels, where the kernels do not fit it, or the device does not run them. In the device's context. */
int cuda_once_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues one. Status of the launcher. */
int cuda_once_run(const CudaConvKey *key, const GpudlConvOncePlan *plan, const CudaConvData *data, cudaStream_t stream);

/** Up to room plans of CUDA_CONV_GEMV, the one that is thought to be the fastest first: 0 where the problem is not that
 * of a matrix and few vectors, or has a residual. In the device's context. */
int cuda_gemv_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues one. Status of the launcher. */
int cuda_gemv_run(const CudaConvKey *key, const GpudlGemvPlan *plan, const CudaConvData *data, cudaStream_t stream);

/** A problem that is pooled as the kernel takes it. */
GpudlStem cuda_stem_of(const CudaConvKey *key);
/** CUDA_CONV_STEM's one plan if the problem is pooled and fits, and room is; how many that are. Needs no device. */
int cuda_stem_plans(const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues it. Status of the launcher. */
int cuda_stem_run(const CudaConvKey *key, const CudaConvData *data, cudaStream_t stream);

/** Up to room plans of a problem that is depthwise, the one that is thought to be the fastest first; at least one if
 * room is. Needs no device. */
int cuda_depthwise_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
/** Queues one, with this activation. Status of the launcher. */
int cuda_depthwise_run(const CudaConvKey *key, const GpudlDepthwisePlan *plan, const GpudlAct *act,
                       const CudaConvData *data, cudaStream_t stream);

/** Whether it is one of the forms whose plans are found again by a text, which are those above and blocks (block.h). */
int cuda_own_keeps(CudaConvForm form);
/** A plan's text, of such a form: malloc'd, not ended by 0; NULL if there is no memory. */
char *cuda_own_save(const CudaConvPlan *plan, size_t *bytes);
/** The problem's plan of such a form and that text; FALSE if it has none such. In the device's context. */
int cuda_own_load(const CudaDevice *device, const CudaConvKey *key, CudaConvForm form, const char *text, size_t bytes,
                  CudaConvPlan *plan);

#endif
