/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/works/fake-driver.h"

#define VISIBLE __attribute__((visibility("default")))
#define MAX_DEPTH 16
#define PITCH 512u

typedef enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NOT_SUPPORTED = 801,
    SYSTEM_NOT_READY = 802
} Result;

typedef struct Block {
    struct Block *next;
    FakeContext *context; /* NULL: freed */
    uint8_t *mapping, *data;
    size_t mapped, bytes;
} Block;

/* as the driver has it */
typedef struct {
    size_t src_x, src_y;
    unsigned src_type;
    const void *src_host;
    unsigned long long src_device;
    void *src_array;
    size_t src_pitch;
    size_t dst_x, dst_y;
    unsigned dst_type;
    void *dst_host;
    unsigned long long dst_device;
    void *dst_array;
    size_t dst_pitch;
    size_t width, height;
} Copy;

enum { TYPE_HOST = 1, TYPE_DEVICE = 2 };

typedef FakeStream Stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;
static __thread FakeContext *stack[MAX_DEPTH];
static __thread uint32_t depth;

static uint32_t get_depth(void)
{
    return depth;
}

static FakeContext *get_context(const void *data)
{
    const uint8_t *at = data;
    FakeContext *context = NULL;

    pthread_mutex_lock(&lock);
    for (const Block *block = blocks; block != NULL && context == NULL; block = block->next)
        if (at >= block->data && at < block->data + block->bytes)
            context = block->context;
    pthread_mutex_unlock(&lock);
    return context;
}

static FakeDriver driver = {.n_devices = 1, .get_depth = get_depth, .get_context = get_context};

VISIBLE FakeDriver *gpudl_fake_driver(void);

FakeDriver *gpudl_fake_driver(void)
{
    return &driver;
}

static void violation(const char *what)
{
    fprintf(stderr, "fake driver: %s\n", what);
    abort();
}

static void count(uint32_t *number, int by)
{
    __atomic_add_fetch(number, (uint32_t)by, __ATOMIC_SEQ_CST);
}

static FakeContext *current(void)
{
    FakeContext *context = depth > 0 ? stack[depth - 1] : NULL;

    if (context != NULL && !context->alive)
        violation("the current context is gone");
    return context;
}

/* ---- start, devices ---------------------------------------------------------------------------------------------- */

VISIBLE Result cuInit(unsigned flags);
VISIBLE Result cuDriverGetVersion(int *version);
VISIBLE Result cuGetErrorName(Result error, const char **name);
VISIBLE Result cuGetErrorString(Result error, const char **name);
VISIBLE Result cuDeviceGetCount(int *n);
VISIBLE Result cuDeviceGet(int *device, int i);
VISIBLE Result cuDeviceGetName(char *name, int room, int device);
VISIBLE Result cuDeviceGetAttribute(int *value, int attribute, int device);
VISIBLE Result cuDeviceCanAccessPeer(int *can, int device, int peer);

Result cuInit(unsigned flags)
{
    const char *how = getenv("GPUDL_TEST_DRIVER");

    (void)flags;
    count(&driver.inits, 1);
    if (how != NULL && strcmp(how, "slow") == 0)
        sleep(2);
    return how == NULL ? SUCCESS : SYSTEM_NOT_READY;
}

Result cuDriverGetVersion(int *version)
{
    *version = 13000;
    return SUCCESS;
}

Result cuGetErrorName(Result error, const char **name)
{
    *name = error == SUCCESS ? "CUDA_SUCCESS" : error == NOT_SUPPORTED ? "CUDA_ERROR_NOT_SUPPORTED" : "CUDA_ERROR";
    return SUCCESS;
}

Result cuGetErrorString(Result error, const char **name)
{
    return cuGetErrorName(error, name);
}

Result cuDeviceGetCount(int *n)
{
    *n = (int)driver.n_devices;
    return SUCCESS;
}

Result cuDeviceGet(int *device, int i)
{
    *device = i;
    return i >= 0 && i < (int)driver.n_devices ? SUCCESS : INVALID_DEVICE;
}

Result cuDeviceGetName(char *name, int room, int device)
{
    snprintf(name, (size_t)room, "fake %d", device);
    return SUCCESS;
}

Result cuDeviceGetAttribute(int *value, int attribute, int device)
{
    enum { TEXTURE_ALIGNMENT = 14, MAJOR = 75 };

    (void)device;
    *value = attribute == TEXTURE_ALIGNMENT ? (int)PITCH : attribute == MAJOR ? 9 : 0;
    return SUCCESS;
}

Result cuDeviceCanAccessPeer(int *can, int device, int peer)
{
    (void)device;
    (void)peer;
    *can = 0;
    return SUCCESS;
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

VISIBLE Result cuCtxCreate_v2(FakeContext **context, unsigned flags, int device);
VISIBLE Result cuCtxDestroy_v2(FakeContext *context);
VISIBLE Result cuCtxPushCurrent_v2(FakeContext *context);
VISIBLE Result cuCtxPopCurrent_v2(FakeContext **context);
VISIBLE Result cuCtxGetDevice(int *device);
VISIBLE Result cuCtxSynchronize(void);
VISIBLE Result cuCtxGetLimit(size_t *value, unsigned limit);
VISIBLE Result cuCtxSetLimit(unsigned limit, size_t value);

Result cuCtxCreate_v2(FakeContext **context, unsigned flags, int device)
{
    static FakeContext made[64]; /* not to be used again: who has one that is gone is to be found */
    static unsigned n_made;
    unsigned i = __atomic_fetch_add(&n_made, 1, __ATOMIC_SEQ_CST);

    (void)flags;
    if (i >= sizeof made / sizeof made[0] || device < 0 || device >= (int)driver.n_devices)
        return INVALID_DEVICE;
    made[i] = (FakeContext){.device = device, .alive = 1};
    *context = &made[i];
    count(&driver.contexts, 1);
    return cuCtxPushCurrent_v2(*context);
}

Result cuCtxDestroy_v2(FakeContext *context)
{
    if (!context->alive)
        violation("a context is destroyed twice");
    pthread_mutex_lock(&lock);
    for (const Block *block = blocks; block != NULL; block = block->next)
        if (block->context == context)
            violation("a context is destroyed with memory alive in it");
    pthread_mutex_unlock(&lock);
    context->alive = 0;
    count(&driver.contexts, -1);
    return SUCCESS;
}

Result cuCtxPushCurrent_v2(FakeContext *context)
{
    if (!context->alive)
        violation("a context that is gone is pushed");
    if (depth == MAX_DEPTH)
        violation("contexts are pushed and not popped");
    stack[depth++] = context;
    return SUCCESS;
}

Result cuCtxPopCurrent_v2(FakeContext **context)
{
    if (depth == 0)
        violation("a context is popped, and none was pushed");
    depth--;
    if (context != NULL)
        *context = stack[depth];
    return SUCCESS;
}

Result cuCtxGetDevice(int *device)
{
    FakeContext *context = current();

    if (context == NULL)
        return INVALID_CONTEXT;
    *device = context->device;
    return SUCCESS;
}

Result cuCtxSynchronize(void)
{
    violation("the whole device is waited for");
    return SUCCESS;
}

/* GStreamer asks from 1.26 on, and goes on without. */
Result cuCtxGetLimit(size_t *value, unsigned limit)
{
    (void)value;
    (void)limit;
    return NOT_SUPPORTED;
}

Result cuCtxSetLimit(unsigned limit, size_t value)
{
    (void)limit;
    (void)value;
    return NOT_SUPPORTED;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

VISIBLE Result cuMemAlloc_v2(unsigned long long *data, size_t bytes);
VISIBLE Result cuMemAllocPitch_v2(unsigned long long *data, size_t *pitch, size_t width, size_t height,
                                  unsigned element);
VISIBLE Result cuMemFree_v2(unsigned long long data);
VISIBLE Result cuMemAllocHost_v2(void **data, size_t bytes);
VISIBLE Result cuMemFreeHost(void *data);
VISIBLE Result cuMemcpy2D_v2(const Copy *copy);
VISIBLE Result cuMemcpy2DAsync_v2(const Copy *copy, Stream *stream);

Result cuMemAlloc_v2(unsigned long long *data, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    Block *block = calloc(1, sizeof *block);

    block->context = current();
    if (block->context == NULL || bytes == 0) {
        free(block);
        return INVALID_CONTEXT;
    }
    block->bytes = bytes;
    block->mapped = room + 2 * page;
    block->mapping = mmap(NULL, block->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block->mapping == MAP_FAILED || mprotect(block->mapping + page, room, PROT_READ | PROT_WRITE) != 0) {
        free(block);
        return OUT_OF_MEMORY;
    }
    block->data = block->mapping + page + (room - bytes);
    memset(block->data, 0xa5, bytes);
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&lock);
    count(&driver.blocks, 1);
    *data = (unsigned long long)(uintptr_t)block->data;
    return SUCCESS;
}

Result cuMemAllocPitch_v2(unsigned long long *data, size_t *pitch, size_t width, size_t height, unsigned element)
{
    (void)element;
    *pitch = (width + PITCH - 1) / PITCH * PITCH;
    return cuMemAlloc_v2(data, *pitch * height);
}

/* The block stays listed, and mapped out of reach. */
Result cuMemFree_v2(unsigned long long data)
{
    FakeContext *context = current();
    Block *block;

    pthread_mutex_lock(&lock);
    for (block = blocks; block != NULL; block = block->next)
        if (block->context != NULL && block->data == (uint8_t *)(uintptr_t)data)
            break;
    if (block == NULL)
        violation("memory is freed that is none");
    if (block->context != context)
        violation("memory is freed in another context than it was made in");
    block->context = NULL;
    mprotect(block->mapping, block->mapped, PROT_NONE);
    pthread_mutex_unlock(&lock);
    count(&driver.blocks, -1);
    return SUCCESS;
}

Result cuMemAllocHost_v2(void **data, size_t bytes)
{
    *data = calloc(1, bytes);
    return *data != NULL ? SUCCESS : OUT_OF_MEMORY;
}

Result cuMemFreeHost(void *data)
{
    free(data);
    return SUCCESS;
}

Result cuMemcpy2D_v2(const Copy *copy)
{
    const uint8_t *from = copy->src_type == TYPE_HOST ? copy->src_host : (const void *)(uintptr_t)copy->src_device;
    uint8_t *to = copy->dst_type == TYPE_HOST ? copy->dst_host : (void *)(uintptr_t)copy->dst_device;

    if (current() == NULL)
        return INVALID_CONTEXT;
    if (copy->dst_type == TYPE_HOST)
        count(&driver.downloads, 1);
    if (copy->src_type == TYPE_HOST)
        count(&driver.uploads, 1);
    for (size_t y = 0; y < copy->height; y++)
        memcpy(to + (copy->dst_y + y) * copy->dst_pitch + copy->dst_x,
               from + (copy->src_y + y) * copy->src_pitch + copy->src_x, copy->width);
    return SUCCESS;
}

Result cuMemcpy2DAsync_v2(const Copy *copy, Stream *stream)
{
    (void)stream;
    return cuMemcpy2D_v2(copy);
}

/* ---- streams and events ------------------------------------------------------------------------------------------ */

VISIBLE Result cuStreamCreate(Stream **stream, unsigned flags);
VISIBLE Result cuStreamDestroy_v2(Stream *stream);
VISIBLE Result cuStreamDestroy(Stream *stream);
VISIBLE Result cuStreamSynchronize(Stream *stream);
VISIBLE Result cuEventCreate(Stream **event, unsigned flags);
VISIBLE Result cuEventDestroy_v2(Stream *event);
VISIBLE Result cuEventDestroy(Stream *event);
VISIBLE Result cuEventRecord(Stream *event, Stream *stream);
VISIBLE Result cuEventSynchronize(Stream *event);

Result cuStreamCreate(Stream **stream, unsigned flags)
{
    (void)flags;
    if (current() == NULL)
        return INVALID_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    count(&driver.streams, 1);
    return SUCCESS;
}

Result cuStreamDestroy_v2(Stream *stream)
{
    free(stream);
    count(&driver.streams, -1);
    return SUCCESS;
}

Result cuStreamDestroy(Stream *stream)
{
    return cuStreamDestroy_v2(stream);
}

Result cuStreamSynchronize(Stream *stream)
{
    if (__atomic_load_n(&stream->pending, __ATOMIC_SEQ_CST))
        violation("a stream that is pending is waited for");
    count(&driver.waits, 1);
    return SUCCESS;
}

Result cuEventCreate(Stream **event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof **event);
    return SUCCESS;
}

Result cuEventDestroy_v2(Stream *event)
{
    free(event);
    return SUCCESS;
}

Result cuEventDestroy(Stream *event)
{
    return cuEventDestroy_v2(event);
}

Result cuEventRecord(Stream *event, Stream *stream)
{
    (void)event;
    (void)stream;
    return SUCCESS;
}

Result cuEventSynchronize(Stream *event)
{
    (void)event;
    count(&driver.waits, 1);
    return SUCCESS;
}

/* ---- the others, which GStreamer wants to find --------------------------------------------------------------------
 */

#define REFUSED(name_)                                                                                                 \
    VISIBLE Result name_(void);                                                                                        \
    Result name_(void)                                                                                                 \
    {                                                                                                                  \
        return NOT_SUPPORTED;                                                                                          \
    }

REFUSED(cuCtxEnablePeerAccess)
REFUSED(cuCtxDisablePeerAccess)
REFUSED(cuGraphicsMapResources)
REFUSED(cuGraphicsUnmapResources)
REFUSED(cuGraphicsResourceSetMapFlags_v2)
REFUSED(cuGraphicsSubResourceGetMappedArray)
REFUSED(cuGraphicsResourceGetMappedPointer_v2)
REFUSED(cuGraphicsUnregisterResource)
REFUSED(cuGraphicsGLRegisterImage)
REFUSED(cuGraphicsGLRegisterBuffer)
REFUSED(cuGLGetDevices_v2)
REFUSED(cuModuleLoadData)
REFUSED(cuModuleUnload)
REFUSED(cuModuleGetFunction)
REFUSED(cuTexObjectCreate)
REFUSED(cuTexObjectDestroy)
REFUSED(cuLaunchKernel)
REFUSED(cuIpcGetEventHandle)
REFUSED(cuIpcOpenEventHandle)
REFUSED(cuIpcGetMemHandle)
REFUSED(cuIpcOpenMemHandle)
REFUSED(cuIpcOpenMemHandle_v2)
REFUSED(cuIpcCloseMemHandle)
