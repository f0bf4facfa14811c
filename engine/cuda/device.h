/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One device and context: what all engines on it share. And errors of CUDA and cuDNN as faults.
 */
#ifndef GPUDL_ENGINE_CUDA_DEVICE_H
#define GPUDL_ENGINE_CUDA_DEVICE_H

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdatomic.h>

#include "libraries.h"
#include "staging.h"

/** Handles: one to run with, one for each thread that builds plans. */
#define CUDA_BUILDERS 16
#define CUDA_HANDLES (1 + CUDA_BUILDERS)
#define CUDA_FENCE_BYTES 16

typedef struct CudaLt CudaLt;

struct CudaDevice {
    int32_t id;
    CUcontext context;
    int primary; /* retained by this object */
    const CudaDriver *driver;
    const CudaCudnn *cudnn; /* NULL: neither it nor cuBLASLt is opened (libraries.h), our own kernels compute all */
    CudaLt *lt;             /* cuBLASLt, NULL until it is wanted (lt.h) */
    cudaStream_t upload;    /* of stage() */
    void *fence;            /* CUDA_FENCE_BYTES on the device that nobody reads (fence.h) */
    CudaStaging staging;
    struct cudaDeviceProp properties;
    /* building before lock. building: handles from 1 on, for as long as plans are loaded or built with them; seconds.
     * lock: handle 0, for as long as something runs or is captured with it, or plans that are kept are loaded with it:
     * some tenths of a second. Threads of cuda_load() use both while who called it holds both, and take neither. */
    pthread_mutex_t building, lock;
    cudnnHandle_t handles[CUDA_HANDLES]; /* made when first needed, kept: plans remember theirs */
    atomic_int lost;                     /* a sticky error was seen */
    atomic_int silent;                   /* wait() has said TIMEOUT: nothing is freed, since that waits, too */
};

/** Makes the device's context current on this thread, until cuda_leave(); nests. */
void cuda_enter(const CudaDevice *device);
void cuda_leave(const CudaDevice *device);

/** Status of a CUDA error; writes "what: text". device may be NULL; it is marked lost by an error that sticks. */
__attribute__((format(printf, 4, 5))) GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error,
                                                            const char *format, ...);
/** The same of a cuDNN status. */
__attribute__((format(printf, 4, 5))) GpudlStatus cuda_fail_cudnn(CudaDevice *device, GpudlFault *fault,
                                                                  cudnnStatus_t error, const char *format, ...);

/** The i-th handle, made now if need be. Under its lock, in the device's context. NULL with *fault. Only with cuDNN. */
cudnnHandle_t cuda_handle(CudaDevice *device, int i, GpudlFault *fault);
/** What is queued with handle 0 from here on goes to the stream. Under lock, in the device's context. Nothing to do
 * without cuDNN. */
GpudlStatus cuda_bind(CudaDevice *device, cudaStream_t stream, GpudlFault *fault);

/** The device and what computes on it, one line: "NVIDIA H100, CUDA 13.0, cuDNN 9.19.0". Any thread. */
void cuda_describe(const CudaDevice *device, char *text, size_t room);

/* Functions of the module's table. */
GpudlStatus cuda_probe(int32_t device_id, GpudlFault *fault);
GpudlStatus cuda_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault);
GpudlStatus cuda_device_open(GpudlDeviceParams *params, void **device, GpudlFault *fault);
void cuda_device_close(void *device);
GpudlStatus cuda_host_alloc(void *device, uint64_t bytes, uint64_t align, void **data, GpudlFault *fault);
void cuda_host_free(void *device, void *data);

#endif
