/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-own-double.h"

#include <string.h>

OwnDouble own_double;

/* ---- a library --------------------------------------------------------------------------------------------------- */

static const CudaConvKey *problem; /* being tried */
static gint64 ids[8];
static void *addresses[8];

size_t own_cudnn_version(void)
{
    return 91902;
}

static cudnnStatus_t make_handle(cudnnHandle_t *handle)
{
    *handle = GINT_TO_POINTER(1);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_stream(cudnnHandle_t handle, cudaStream_t stream)
{
    (void)handle;
    (void)stream;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_descriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor)
{
    *descriptor = GINT_TO_POINTER(1 + (gint)type);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t finish_descriptor(cudnnBackendDescriptor_t descriptor)
{
    (void)descriptor;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_attribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t count, const void *elements)
{
    (void)descriptor;
    (void)type;
    if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)
        memcpy(ids, elements, (gsize)count * sizeof *ids);
    else if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)
        memcpy(addresses, elements, (gsize)count * sizeof *addresses);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_attribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *elements)
{
    (void)descriptor;
    (void)type;
    (void)room;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)
        return CUDNN_STATUS_NOT_SUPPORTED;
    *count = name == CUDNN_ATTR_ENGINEHEUR_RESULTS;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE || name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX)
        *(gint64 *)elements = 0;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variant)
{
    const gboolean has_residual = problem->z_pitch > 0;
    const CudaConvData data = {
        .x = addresses[0], .w = addresses[1], .y = addresses[2], .z = has_residual ? addresses[3] : NULL};

    (void)handle;
    (void)plan;
    (void)variant;
    if (!own_double.is_fenced)
        return CUDNN_STATUS_EXECUTION_FAILED;
    own_double.is_fenced = FALSE;
    if (cuda_conv_own(problem, &data, 0, problem->n, NULL) != 0)
        return CUDNN_STATUS_EXECUTION_FAILED;
    if (own_double.is_spoilt)
        ((guint16 *)data.y)[((gint64)problem->n * problem->p * problem->q - 1) * problem->y_pitch + problem->k - 1] ^=
            0x3000;
    return CUDNN_STATUS_SUCCESS;
}

const CudaCudnn own_library = {.get_version = own_cudnn_version,
                               .create = make_handle,
                               .set_stream = set_stream,
                               .create_descriptor = make_descriptor,
                               .destroy_descriptor = finish_descriptor,
                               .finalize = finish_descriptor,
                               .set_attribute = set_attribute,
                               .get_attribute = get_attribute,
                               .execute = execute};

cudaError_t __wrap_cuda_fence(const CudaDevice *device, cudaStream_t stream);

cudaError_t __wrap_cuda_fence(const CudaDevice *device, cudaStream_t stream)
{
    (void)device;
    (void)stream;
    own_double.is_fenced = !own_double.fails_fence;
    return own_double.fails_fence ? cudaErrorInvalidValue : cudaSuccess;
}

/* ---- the kernel, which may be wrong, and the clock --------------------------------------------------------------- */

int __real_gpudl_conv_gemm_cuda(GpudlConvGemmType type, const void *x, const GpudlNhwc *xs, const void *w,
                                const float *bias, const void *z, int64_t z_pitch, const GpudlWindow *window,
                                int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                const GpudlConvGemmPlan *plan, void *workspace, GpudlKernelStream stream);
int __wrap_gpudl_conv_gemm_cuda(GpudlConvGemmType type, const void *x, const GpudlNhwc *xs, const void *w,
                                const float *bias, const void *z, int64_t z_pitch, const GpudlWindow *window,
                                int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                const GpudlConvGemmPlan *plan, void *workspace, GpudlKernelStream stream);
int __wrap_gpudl_conv_once_runs(void);
int __wrap_gpudl_mbconv_has_clusters(void);
int __real_gpudl_mbconv_cuda(const GpudlMbconv *block, const void *x, const void *weights, const float *bias,
                             const void *z, void *y, const GpudlMbconvPlan *plan, GpudlKernelStream stream);
int __wrap_gpudl_mbconv_cuda(const GpudlMbconv *block, const void *x, const void *weights, const float *bias,
                             const void *z, void *y, const GpudlMbconvPlan *plan, GpudlKernelStream stream);
float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan);
GpudlStatus __real_cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault);
GpudlStatus __wrap_cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault);

int __wrap_gpudl_conv_gemm_cuda(GpudlConvGemmType type, const void *x, const GpudlNhwc *xs, const void *w,
                                const float *bias, const void *z, int64_t z_pitch, const GpudlWindow *window,
                                int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                const GpudlConvGemmPlan *plan, void *workspace, GpudlKernelStream stream)
{
    const int status = __real_gpudl_conv_gemm_cuda(type, x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, plan,
                                                   workspace, stream);

    own_double.runs++;
    if ((own_double.wrong_tiles & 1u << plan->tile) != 0) /* the last result of the last picture, by a factor */
        ((guint16 *)y)[((gint64)ys->n * ys->h * ys->w - 1) * ys->pitch + ys->c - 1] ^= 0x3000;
    return status;
}

/* which test-cuda-once.c is about */
int __wrap_gpudl_conv_once_runs(void)
{
    return 0;
}

int __wrap_gpudl_mbconv_has_clusters(void)
{
    return !own_double.has_no_clusters;
}

int __wrap_gpudl_mbconv_cuda(const GpudlMbconv *block, const void *x, const void *weights, const float *bias,
                             const void *z, void *y, const GpudlMbconvPlan *plan, GpudlKernelStream stream)
{
    return own_double.has_no_blocks ? GPUDL_KERNEL_SHAPE
                                    : __real_gpudl_mbconv_cuda(block, x, weights, bias, z, y, plan, stream);
}

float __wrap_cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    if (plan->form < CUDA_CONV_FORMS)
        return own_double.library_ns;
    return plan->form == CUDA_CONV_OWN ? 9000 : plan->gemm.tile == own_double.fastest_tile ? 1000 : 1600;
}

GpudlStatus __wrap_cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault)
{
    problem = key;
    return __real_cuda_trial_begin(trial, key, fault);
}
