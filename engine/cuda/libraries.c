/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libraries.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cuda/loader.h"
#include "engine/module.h"

/* Oldest that has all that is called here. */
#define CUDNN_LEAST 90000

#define WITHOUT "GPUDL_CUDA_LIBS=0 runs without it, slower"

#define DRIVER(symbol, member)                                                                                         \
    {                                                                                                                  \
        symbol, offsetof(CudaDriver, member)                                                                           \
    }
#define CUDNN(symbol, member)                                                                                          \
    {                                                                                                                  \
        symbol, offsetof(CudaCudnn, member)                                                                            \
    }

static const CudaSymbol driver_symbols[] = {DRIVER("cuInit", init),
                                            DRIVER("cuDriverGetVersion", get_version),
                                            DRIVER("cuCtxPushCurrent_v2", ctx_push),
                                            DRIVER("cuCtxPopCurrent_v2", ctx_pop),
                                            DRIVER("cuCtxGetDevice", ctx_get_device),
                                            DRIVER("cuDevicePrimaryCtxRetain", primary_retain),
                                            DRIVER("cuDevicePrimaryCtxRelease_v2", primary_release),
                                            DRIVER("cuGetErrorName", get_error_name),
                                            {NULL, 0}};
static const CudaSymbol cudnn_symbols[] = {CUDNN("cudnnGetVersion", get_version),
                                           CUDNN("cudnnCreate", create),
                                           CUDNN("cudnnDestroy", destroy),
                                           CUDNN("cudnnSetStream", set_stream),
                                           CUDNN("cudnnGetErrorString", get_error_string),
                                           CUDNN("cudnnGetLastErrorString", get_last_error_string),
                                           CUDNN("cudnnBackendCreateDescriptor", create_descriptor),
                                           CUDNN("cudnnBackendDestroyDescriptor", destroy_descriptor),
                                           CUDNN("cudnnBackendFinalize", finalize),
                                           CUDNN("cudnnBackendSetAttribute", set_attribute),
                                           CUDNN("cudnnBackendGetAttribute", get_attribute),
                                           CUDNN("cudnnBackendExecute", execute),
                                           {NULL, 0}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Fills the table; the name of a symbol that is missing, or NULL. */
static const char *read_symbols(void *library, const CudaSymbol *symbols, void *table)
{
    for (const CudaSymbol *s = symbols; s->name != NULL; s++) {
        void *address = dlsym(library, s->name);

        if (address == NULL)
            return s->name;
        memcpy((char *)table + s->offset, &address, sizeof address);
    }
    return NULL;
}

static GpudlStatus open_driver(CudaDriver *driver, GpudlFault *fault)
{
    char tried[256];
    void *library = cuda_open_library("libcuda.so.1", "", tried, sizeof tried);
    const char *missing = library != NULL ? read_symbols(library, driver_symbols, driver) : NULL;

    if (library == NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                                 "no NVIDIA driver is installed (%s); install it, or use another backend", tried);
    if (missing != NULL)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                                 "the NVIDIA driver is too old: libcuda.so.1 has no %s; install a newer one", missing);
    return GPUDL_STATUS_OK;
}

/* Once in a process: a driver that has failed stays so, and one that takes its time takes it once. */
static CUresult start_driver(const CudaDriver *driver)
{
    static CUresult result;
    static int started;

    if (!started)
        result = driver->init(0);
    started = 1;
    return result;
}

static GpudlStatus fail_start(const CudaDriver *driver, GpudlFault *fault, CUresult error)
{
    const char *name = NULL;

    driver->get_error_name(error, &name);
    if (error == CUDA_ERROR_NO_DEVICE)
        return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                                 "the NVIDIA driver finds no device, or CUDA_VISIBLE_DEVICES hides it");
    return gpudl_module_fail(fault, GPUDL_STATUS_NO_DEVICE,
                             "the NVIDIA driver can't be started: cuInit(): %s (%d); see what nvidia-smi says, and "
                             "whether the driver was updated since the machine started",
                             name != NULL ? name : "unknown error", (int)error);
}

GpudlStatus cuda_driver(const CudaDriver **out, GpudlFault *fault)
{
    static CudaDriver driver;
    static int opened;
    GpudlStatus status = GPUDL_STATUS_OK;
    CUresult error;

    pthread_mutex_lock(&lock);
    if (!opened)
        status = open_driver(&driver, fault);
    if (status == GPUDL_STATUS_OK) {
        opened = 1;
        error = start_driver(&driver);
        if (error != CUDA_SUCCESS)
            status = fail_start(&driver, fault, error);
    }
    pthread_mutex_unlock(&lock);
    *out = &driver;
    return status;
}

static GpudlStatus open_cudnn(CudaCudnn *cudnn, GpudlFault *fault)
{
    char tried[320];
    void *library = cuda_open_library("libcudnn.so.9", GPUDL_CUDA_LIBDIRS, tried, sizeof tried);
    const char *missing = library != NULL ? read_symbols(library, cudnn_symbols, cudnn) : NULL;
    size_t version = library != NULL && missing == NULL ? cudnn->get_version() : 0;

    if (library == NULL)
        return gpudl_module_fail(
            fault, GPUDL_STATUS_BACKEND,
            "cuDNN 9 can't be loaded (%s); install libcudnn9, or set LD_LIBRARY_PATH to its folder; " WITHOUT, tried);
    if (missing != NULL || version < CUDNN_LEAST || version >= CUDNN_LEAST + 10000) {
        dlclose(library);
        return gpudl_module_fail(
            fault, GPUDL_STATUS_BACKEND,
            "libcudnn.so.9 %s%s (version %zu), expected version 9.0 or a newer 9: install libcudnn9; " WITHOUT,
            missing != NULL ? "has no " : "is of another version", missing != NULL ? missing : "", version);
    }
    return GPUDL_STATUS_OK;
}

/* Read at each call: a device is opened with what holds then. */
static GpudlStatus read_wish(int *wanted, GpudlFault *fault)
{
    const char *text = getenv("GPUDL_CUDA_LIBS");

    *wanted = text == NULL || text[0] == '\0' || strcmp(text, "1") == 0;
    if (*wanted || strcmp(text, "0") == 0)
        return GPUDL_STATUS_OK;
    return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT,
                             "GPUDL_CUDA_LIBS is '%.40s', expected 0 (without cuDNN and cuBLASLt), 1 or nothing", text);
}

GpudlStatus cuda_cudnn(const CudaCudnn **out, GpudlFault *fault)
{
    static CudaCudnn cudnn;
    static int opened;
    int wanted;
    GpudlStatus status = read_wish(&wanted, fault);

    *out = NULL;
    if (status != GPUDL_STATUS_OK || !wanted)
        return status;
    pthread_mutex_lock(&lock);
    if (!opened)
        status = open_cudnn(&cudnn, fault);
    if (status == GPUDL_STATUS_OK)
        opened = 1;
    pthread_mutex_unlock(&lock);
    *out = &cudnn;
    return status;
}

int cuda_library(const char *name, const CudaSymbol *symbols, void *table, char *why, size_t room)
{
    void *library = cuda_open_library(name, GPUDL_CUDA_LIBDIRS, why, room);
    const char *missing = library != NULL ? read_symbols(library, symbols, table) : NULL;

    if (missing != NULL)
        snprintf(why, room, "%s has no %s", name, missing);
    return library != NULL && missing == NULL;
}
