/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <stdlib.h>

#include "engine/module.h"
#include "lt.h"
#include "peaks.h"

/* What the kernels are compiled for at least; cuDNN 9 asks for no more. */
#define LEAST_MAJOR 7
#define LEAST_MINOR 5

/* Room for the alignment that a caller of host_alloc() asks for, and where the allocation began. */
#define PAGE 4096u

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* Whether the context is of no use after it. */
static int sticks(cudaError_t error)
{
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorCudartUnloading:
    case cudaErrorUnknown:
        return 1;
    default:
        return 0;
    }
}

static GpudlStatus status_of(cudaError_t error)
{
    if (sticks(error))
        return GPUDL_STATUS_DEVICE;
    switch (error) {
    case cudaErrorMemoryAllocation:
        return GPUDL_STATUS_NO_MEMORY;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
        return GPUDL_STATUS_NO_DEVICE;
    default:
        return GPUDL_STATUS_BACKEND;
    }
}

GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error, const char *format, ...)
{
    char what[256];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    cudaGetLastError(); /* the next call is not to find it */
    if (device != NULL && sticks(error))
        atomic_store(&device->lost, 1);
    return gpudl_module_fail(fault, status_of(error), "%s: %s (%s)", what, cudaGetErrorString(error),
                             cudaGetErrorName(error));
}

GpudlStatus cuda_fail_cudnn(CudaDevice *device, GpudlFault *fault, cudnnStatus_t error, const char *format, ...)
{
    cudaError_t below = cudaPeekAtLastError();
    char what[200], text[200] = "";
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (sticks(below))
        return cuda_fail(device, fault, below, "%s", what);
    device->cudnn->get_last_error_string(text, sizeof text);
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    return gpudl_module_fail(fault, error == CUDNN_STATUS_ALLOC_FAILED ? GPUDL_STATUS_NO_MEMORY : GPUDL_STATUS_BACKEND,
                             "%s: cuDNN: %s%s%s", what, device->cudnn->get_error_string(error),
                             text[0] != '\0' ? ": " : "", text);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* How many devices there are; at least one, or a fault that says why there is none. */
static GpudlStatus count_devices(int *n, GpudlFault *fault)
{
    const CudaDriver *driver;
    GpudlStatus status = cuda_driver(&driver, fault);
    int found = 0;
    cudaError_t error;

    if (status != GPUDL_STATUS_OK)
        return status;
    error = cudaGetDeviceCount(n);
    if (error == cudaErrorInsufficientDriver) {
        cudaGetLastError();
        driver->get_version(&found); /* the runtime does not know that of a driver it can't use */
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                                 "the NVIDIA driver is for CUDA %d.%d, expected %d.0 or newer: install a newer driver",
                                 found / 1000, found % 1000 / 10, CUDART_VERSION / 1000);
    }
    if (error != cudaSuccess)
        return cuda_fail(NULL, fault, error, "looking for NVIDIA devices");
    if (*n < 1)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                                 "no NVIDIA device is there, or CUDA_VISIBLE_DEVICES "
                                 "hides it");
    return GPUDL_STATUS_OK;
}

static GpudlStatus check_device(int32_t id, struct cudaDeviceProp *properties, GpudlFault *fault)
{
    int n = 0;
    GpudlStatus status = count_devices(&n, fault);
    cudaError_t error;

    if (status != GPUDL_STATUS_OK)
        return status;
    if (id >= n)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE, "device %d was asked for, there %s %d (0%s)", id,
                                 n == 1 ? "is" : "are", n, n == 1 ? "" : " and following");
    error = cudaGetDeviceProperties(properties, id < 0 ? 0 : id);
    if (error != cudaSuccess)
        return cuda_fail(NULL, fault, error, "properties of device %d", id < 0 ? 0 : id);
    if (properties->major < LEAST_MAJOR || (properties->major == LEAST_MAJOR && properties->minor < LEAST_MINOR))
        return gpudl_module_fail(
            fault, GPUDL_STATUS_NO_DEVICE, "device %d (%s) has compute capability %d.%d, expected %d.%d or newer",
            id < 0 ? 0 : id, properties->name, properties->major, properties->minor, LEAST_MAJOR, LEAST_MINOR);
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_probe(int32_t device_id, GpudlFault *fault)
{
    struct cudaDeviceProp properties;
    const CudaCudnn *cudnn;
    GpudlStatus status = check_device(device_id, &properties, fault);

    return status == GPUDL_STATUS_OK ? cuda_cudnn(&cudnn, fault) : status;
}

/* 0: the driver does not say. */
static int attribute_of(enum cudaDeviceAttr attribute, int device)
{
    int value = 0;

    if (cudaDeviceGetAttribute(&value, attribute, device) != cudaSuccess)
        value = 0;
    cudaGetLastError();
    return value;
}

static void find_peaks(const struct cudaDeviceProp *properties, int device, GpudlBackendDevice *out)
{
    const CudaCard card = {.major = properties->major,
                           .minor = properties->minor,
                           .multiprocessors = properties->multiProcessorCount,
                           .clock_khz = attribute_of(cudaDevAttrClockRate, device),
                           .memory_khz = attribute_of(cudaDevAttrMemoryClockRate, device),
                           .bus_bits = attribute_of(cudaDevAttrGlobalMemoryBusWidth, device)};

    cuda_peaks(&card, out);
}

GpudlStatus cuda_devices(GpudlBackendDevice *out, uint32_t room, uint32_t *n, GpudlFault *fault)
{
    int found = 0;
    GpudlStatus status = count_devices(&found, fault);

    *n = status == GPUDL_STATUS_OK ? (uint32_t)found : 0;
    for (uint32_t i = 0; i < *n && i < room; i++) {
        struct cudaDeviceProp properties;
        cudaError_t error = cudaGetDeviceProperties(&properties, (int)i);

        if (error != cudaSuccess)
            return cuda_fail(NULL, fault, error, "properties of device %u", i);
        out[i] = (GpudlBackendDevice){.id = (int32_t)i,
                                      .memory_bytes = properties.totalGlobalMem,
                                      .capability = {properties.major, properties.minor}};
        snprintf(out[i].name, sizeof out[i].name, "%.127s", properties.name);
        snprintf(out[i].address, sizeof out[i].address, "%04x:%02x:%02x.0", properties.pciDomainID & 0xffff,
                 properties.pciBusID & 0xff, properties.pciDeviceID & 0xff);
        find_peaks(&properties, (int)i, &out[i]);
    }
    return status;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

void cuda_enter(const CudaDevice *device)
{
    device->driver->ctx_push(device->context);
}

void cuda_leave(const CudaDevice *device)
{
    CUcontext context;

    device->driver->ctx_pop(&context);
}

cudnnHandle_t cuda_handle(CudaDevice *device, int i, GpudlFault *fault)
{
    cudnnHandle_t handle = NULL;
    cudnnStatus_t error;

    if (device->handles[i] != NULL)
        return device->handles[i];
    error = device->cudnn->create(&handle);
    if (error == CUDNN_STATUS_SUCCESS)
        device->handles[i] = handle;
    else
        cuda_fail_cudnn(device, fault, error, "cudnnCreate() on device %d", device->id);
    return device->handles[i];
}

GpudlStatus cuda_bind(CudaDevice *device, cudaStream_t stream, GpudlFault *fault)
{
    cudnnStatus_t error;

    if (device->cudnn == NULL)
        return GPUDL_STATUS_OK;
    if (cuda_handle(device, 0, fault) == NULL)
        return GPUDL_STATUS_BACKEND;
    error = device->cudnn->set_stream(device->handles[0], stream);
    return error == CUDNN_STATUS_SUCCESS ? GPUDL_STATUS_OK : cuda_fail_cudnn(device, fault, error, "cudnnSetStream()");
}

void cuda_describe(const CudaDevice *device, char *text, size_t room)
{
    const size_t version = device->cudnn != NULL ? device->cudnn->get_version() : 0;
    char libraries[64] = "own kernels", lt[24];

    if (version > 0) {
        cuda_lt_describe(device, lt, sizeof lt);
        snprintf(libraries, sizeof libraries, "cuDNN %zu.%zu.%zu%s", version / 10000, version % 10000 / 100,
                 version % 100, lt);
    }
    snprintf(text, room, "%.60s, CUDA %d.%d, %s", device->properties.name, CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10, libraries);
}

static GpudlStatus fail_driver(const CudaDriver *driver, GpudlFault *fault, CUresult error, const char *what)
{
    const char *name = NULL;

    driver->get_error_name(error, &name);
    return gpudl_module_fail(fault, error == CUDA_ERROR_OUT_OF_MEMORY ? GPUDL_STATUS_NO_MEMORY : GPUDL_STATUS_DEVICE,
                             "%s: %s (%d)", what, name != NULL ? name : "unknown error", (int)error);
}

/* The device that a context given belongs to. */
static GpudlStatus find_context(const CudaDriver *driver, GpudlDeviceParams *params, GpudlFault *fault)
{
    CUcontext popped;
    CUdevice device = 0;
    CUresult error = driver->ctx_push((CUcontext)params->context);

    if (error != CUDA_SUCCESS)
        return fail_driver(driver, fault, error, "the CUDA context given");
    error = driver->ctx_get_device(&device);
    driver->ctx_pop(&popped);
    if (error != CUDA_SUCCESS)
        return fail_driver(driver, fault, error, "the CUDA context given");
    if (params->id >= 0 && params->id != device)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT,
                                 "the context is of device %d, expected one of device %d", device, params->id);
    params->id = device;
    return GPUDL_STATUS_OK;
}

static GpudlStatus find_primary(CudaDevice *self, GpudlDeviceParams *params, GpudlFault *fault)
{
    CUcontext context = NULL;
    CUresult error;

    if (params->id < 0)
        params->id = 0;
    error = self->driver->primary_retain(&context, params->id);
    if (error != CUDA_SUCCESS)
        return fail_driver(self->driver, fault, error, "the device's primary context");
    self->primary = 1;
    params->context = context;
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_device_open(GpudlDeviceParams *params, void **result, GpudlFault *fault)
{
    CudaDevice *self = calloc(1, sizeof *self);
    GpudlStatus status;
    cudaError_t error;

    if (self == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for the device");
    pthread_mutex_init(&self->lock, NULL);
    pthread_mutex_init(&self->building, NULL);
    cuda_staging_init(&self->staging);
    status = check_device(params->id, &self->properties, fault);
    if (status == GPUDL_STATUS_OK)
        status = cuda_driver(&self->driver, fault);
    if (status == GPUDL_STATUS_OK)
        status = cuda_cudnn(&self->cudnn, fault);
    if (status == GPUDL_STATUS_OK)
        status =
            params->context != NULL ? find_context(self->driver, params, fault) : find_primary(self, params, fault);
    self->id = params->id;
    self->context = (CUcontext)params->context;
    if (status == GPUDL_STATUS_OK)
        status = check_device(params->id, &self->properties, fault);
    if (status == GPUDL_STATUS_OK) {
        cuda_enter(self);
        error = cudaStreamCreateWithFlags(&self->upload, cudaStreamNonBlocking);
        if (error != cudaSuccess)
            status = cuda_fail(NULL, fault, error, "the upload stream of device %d", self->id);
        error = status == GPUDL_STATUS_OK ? cudaMalloc(&self->fence, CUDA_FENCE_BYTES) : cudaSuccess;
        if (error != cudaSuccess)
            status = cuda_fail(NULL, fault, error, "%d bytes of device %d", CUDA_FENCE_BYTES, self->id);
        cuda_leave(self);
    }
    if (status != GPUDL_STATUS_OK)
        cuda_device_close(self);
    else
        *result = self;
    return status;
}

void cuda_device_close(void *data)
{
    CudaDevice *self = data;

    if (self->context != NULL && self->driver != NULL) {
        cuda_enter(self);
        for (int i = 0; i < CUDA_HANDLES; i++)
            if (self->handles[i] != NULL)
                self->cudnn->destroy(self->handles[i]);
        cuda_lt_close(self);
        if (self->upload != NULL)
            cudaStreamSynchronize(self->upload);
        cuda_staging_end(&self->staging);
        if (self->upload != NULL)
            cudaStreamDestroy(self->upload);
        cudaFree(self->fence);
        cuda_leave(self);
    } else {
        cuda_staging_end(&self->staging); /* there was no context to make anything in */
    }
    if (self->primary)
        self->driver->primary_release(self->id);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->building);
    free(self);
}

/* ---- pinned memory ----------------------------------------------------------------------------------------------- */

/* CUDA's own blocks begin at a page. For more the block is enlarged, and where it began is kept before what is handed
 * out. */
GpudlStatus cuda_host_alloc(void *data, uint64_t bytes, uint64_t align, void **result, GpudlFault *fault)
{
    CudaDevice *device = data;
    const uint64_t before = align > PAGE ? align : PAGE;
    uint8_t *block = NULL, *at;
    cudaError_t error = cudaErrorMemoryAllocation;

    if (bytes <= UINT64_MAX - 2 * before) {
        cuda_enter(device);
        error = cudaHostAlloc((void **)&block, bytes + 2 * before, cudaHostAllocPortable);
        cuda_leave(device);
    }
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "%llu bytes of pinned memory", (unsigned long long)bytes);
    at = block + before - (uintptr_t)block % before;
    memcpy(at - sizeof block, &block, sizeof block);
    *result = at;
    return GPUDL_STATUS_OK;
}

void cuda_host_free(void *data, void *memory)
{
    CudaDevice *device = data;
    uint8_t *block;

    memcpy(&block, (uint8_t *)memory - sizeof block, sizeof block);
    cuda_enter(device);
    cudaFreeHost(block);
    cuda_leave(device);
}
