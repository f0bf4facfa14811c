/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * NVIDIA's libraries, opened when first needed: the module links none of them, so that it loads, and says what is
 * missing, on any machine. A library stays open for the life of the process.
 */
#ifndef GPUDL_ENGINE_CUDA_LIBRARIES_H
#define GPUDL_ENGINE_CUDA_LIBRARIES_H

#include <cuda.h>
#include <cudnn_graph.h>

#include "engine/backend.h"

/** The driver's functions that the CUDA runtime has none of. */
typedef struct {
    CUresult (*init)(unsigned flags);
    CUresult (*get_version)(int *version);
    CUresult (*ctx_push)(CUcontext context);
    CUresult (*ctx_pop)(CUcontext *context);
    CUresult (*ctx_get_device)(CUdevice *device);
    CUresult (*primary_retain)(CUcontext *context, CUdevice device);
    CUresult (*primary_release)(CUdevice device);
    CUresult (*get_error_name)(CUresult error, const char **name);
} CudaDriver;

typedef struct {
    size_t (*get_version)(void);
    cudnnStatus_t (*create)(cudnnHandle_t *handle);
    cudnnStatus_t (*destroy)(cudnnHandle_t handle);
    cudnnStatus_t (*set_stream)(cudnnHandle_t handle, cudaStream_t stream);
    const char *(*get_error_string)(cudnnStatus_t status);
    void (*get_last_error_string)(char *message, size_t size);
    cudnnStatus_t (*create_descriptor)(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor);
    cudnnStatus_t (*destroy_descriptor)(cudnnBackendDescriptor_t descriptor);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t descriptor);
    cudnnStatus_t (*set_attribute)(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t count, const void *elements);
    cudnnStatus_t (*get_attribute)(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *elements);
    cudnnStatus_t (*execute)(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variant);
} CudaCudnn;

/** A function of a library, and where a table of such pointers has it. A list ends with a name of NULL. */
typedef struct {
    const char *name;
    size_t offset;
} CudaSymbol;

/** Opens a library of NVIDIA's by its file's name, by cuda_open_library() with the folders that the build names, and
 * fills the table; FALSE, and why, if it can't be opened or lacks one. What was opened stays so, even if it lacks one.
 * Any thread. */
int cuda_library(const char *name, const CudaSymbol *symbols, void *table, char *why, size_t room);

/** Any thread. *out is static. NO_DEVICE if there is no driver, or one that does not start. */
GpudlStatus cuda_driver(const CudaDriver **out, GpudlFault *fault);
/** BACKEND if there is none, or one that this module can't use. Only with a driver: cuDNN needs one to load. *out NULL
 * and OK where GPUDL_CUDA_LIBS=0 in the environment says to do without NVIDIA's libraries; INVALID_ARGUMENT if that is
 * something else than 0, 1 or empty. */
GpudlStatus cuda_cudnn(const CudaCudnn **out, GpudlFault *fault);

#endif
