/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/engine/double-cudart.h"

#include <string.h>

#include "engine/module.h"

/* One row of a copy that is queued, or the recording of an event. */
typedef struct {
    void *to;
    const void *from;
    gsize to_pitch, from_pitch, width, height;
    guint *event; /* recordings that are queued */
} Operation;

typedef struct {
    gsize bytes;
    gboolean is_pinned;
} Block;

DoubleCudart double_cudart;
static GQueue queue = G_QUEUE_INIT;
static GHashTable *memory; /* address to Block */
static GRecMutex lock;

/* ---- the device's functions -------------------------------------------------------------------------------------- */

void cuda_enter(const CudaDevice *device)
{
    (void)device;
}

void cuda_leave(const CudaDevice *device)
{
    (void)device;
}

GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error, const char *format, ...)
{
    char what[200];
    va_list args;

    (void)device;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return gpudl_module_fail(fault,
                             error == cudaErrorMemoryAllocation ? GPUDL_STATUS_NO_MEMORY
                             : error == cudaErrorIllegalAddress ? GPUDL_STATUS_DEVICE
                                                                : GPUDL_STATUS_BACKEND,
                             "%s: error %d", what, (int)error);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static cudaError_t allocate(void **data, gsize bytes, gboolean is_pinned)
{
    guint *counted = is_pinned ? &double_cudart.host_allocs : &double_cudart.device_allocs;
    const guint failing = is_pinned ? double_cudart.fail_host_from : double_cudart.fail_device_from;
    cudaError_t error = cudaSuccess;
    Block *block;

    g_rec_mutex_lock(&lock);
    ++*counted;
    if ((failing > 0 && *counted >= failing) || (!is_pinned && double_cudart.device_room > 0 &&
                                                 double_cudart.device_bytes + bytes > double_cudart.device_room)) {
        error = cudaErrorMemoryAllocation;
    } else {
        block = g_new(Block, 1);
        *block = (Block){bytes, is_pinned};
        *data = g_malloc(bytes);
        memset(*data, 0xa5, bytes);
        if (memory == NULL)
            memory = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_insert(memory, *data, block);
        *(is_pinned ? &double_cudart.host_blocks : &double_cudart.device_blocks) += 1;
        double_cudart.device_bytes += is_pinned ? 0 : bytes;
    }
    g_rec_mutex_unlock(&lock);
    return error;
}

/* What is queued must not reach into it. */
static gboolean uses(const Operation *o, const guint8 *data, gsize bytes)
{
    return o->event == NULL && (((const guint8 *)o->to >= data && (const guint8 *)o->to < data + bytes) ||
                                ((const guint8 *)o->from >= data && (const guint8 *)o->from < data + bytes));
}

static cudaError_t release(void *data, gboolean is_pinned)
{
    const Block *block;

    if (data == NULL)
        return cudaSuccess;
    g_rec_mutex_lock(&lock);
    block = g_hash_table_lookup(memory, data);
    g_assert_true(block != NULL && block->is_pinned == is_pinned);
    for (const GList *l = queue.head; l != NULL; l = l->next)
        g_assert_false(uses(l->data, data, block->bytes));
    *(is_pinned ? &double_cudart.host_blocks : &double_cudart.device_blocks) -= 1;
    double_cudart.device_bytes -= is_pinned ? 0 : block->bytes;
    memset(data, 0x5a, block->bytes);
    g_hash_table_remove(memory, data);
    g_rec_mutex_unlock(&lock);
    g_free(data);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **data, size_t bytes)
{
    return allocate(data, bytes, FALSE);
}

cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned int flags)
{
    g_assert_cmpuint(flags, ==, cudaHostAllocPortable);
    return allocate(data, bytes, TRUE);
}

cudaError_t cudaFree(void *data)
{
    return release(data, FALSE);
}

cudaError_t cudaFreeHost(void *data)
{
    return release(data, TRUE);
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static void perform(Operation *o)
{
    for (gsize i = 0; i < o->height; i++)
        memcpy((guint8 *)o->to + i * o->to_pitch, (const guint8 *)o->from + i * o->from_pitch, o->width);
    if (o->event != NULL)
        --*o->event;
    g_free(o);
}

void double_cudart_advance(guint n)
{
    g_rec_mutex_lock(&lock);
    for (; n > 0 && !g_queue_is_empty(&queue); n--)
        perform(g_queue_pop_head(&queue));
    g_rec_mutex_unlock(&lock);
}

void double_cudart_drain(void)
{
    double_cudart_advance(G_MAXUINT);
}

static void enqueue(const Operation *o)
{
    g_queue_push_tail(&queue, g_memdup2(o, sizeof *o));
    if (!double_cudart.is_slow)
        double_cudart_drain();
}

static cudaError_t enqueue_copy(const Operation *o, enum cudaMemcpyKind kind)
{
    cudaError_t error = cudaErrorInvalidValue;

    g_assert_cmpint(kind, ==, cudaMemcpyHostToDevice);
    g_rec_mutex_lock(&lock);
    double_cudart.last_from = o->from;
    if (++double_cudart.copies != double_cudart.fail_copy_at) {
        error = cudaSuccess;
        enqueue(o);
    }
    g_rec_mutex_unlock(&lock);
    return error;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const Operation o = {to, from, bytes, bytes, bytes, 1, NULL};
    const guint8 *frames = double_cudart.frames;

    (void)stream;
    if (frames != NULL && (const guint8 *)from >= frames && (const guint8 *)from < frames + double_cudart.frames_room)
        g_assert_true((const guint8 *)from + bytes <= frames + double_cudart.frames_bytes);
    return enqueue_copy(&o, kind);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const Operation o = {to, from, to_pitch, from_pitch, width, height, NULL};

    (void)stream;
    g_assert_cmpuint(width, <=, MIN(to_pitch, from_pitch));
    return enqueue_copy(&o, kind);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    g_assert_false(double_cudart.never);
    double_cudart_drain();
    return double_cudart.lost;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    cudaError_t error;

    (void)stream;
    g_rec_mutex_lock(&lock);
    if (double_cudart.answers && !double_cudart.never)
        double_cudart_advance(1);
    error = double_cudart.lost != cudaSuccess ? double_cudart.lost
            : g_queue_is_empty(&queue)        ? cudaSuccess
                                              : cudaErrorNotReady;
    g_rec_mutex_unlock(&lock);
    return error;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    g_assert_cmpuint(flags, ==, cudaEventDisableTiming);
    g_rec_mutex_lock(&lock);
    double_cudart.events++;
    g_rec_mutex_unlock(&lock);
    *event = (cudaEvent_t)g_new0(guint, 1);
    return cudaSuccess;
}

/* Which is allowed while it is queued; then its memory stays until that is over. */
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    g_rec_mutex_lock(&lock);
    double_cudart.events--;
    for (GList *l = queue.head; l != NULL; l = l->next) {
        Operation *o = l->data;

        if (o->event == (guint *)event)
            o->event = NULL;
    }
    g_rec_mutex_unlock(&lock);
    g_free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const Operation o = {.event = (guint *)event};
    cudaError_t error = cudaErrorInvalidValue;

    (void)stream;
    g_rec_mutex_lock(&lock);
    if (++double_cudart.records != double_cudart.fail_record_at) {
        error = cudaSuccess;
        ++*o.event;
        enqueue(&o);
    }
    g_rec_mutex_unlock(&lock);
    return error;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = double_cudart.lost;

    g_rec_mutex_lock(&lock);
    if (error == cudaSuccess && *(guint *)event > 0) {
        error = cudaErrorNotReady;
        if (double_cudart.answers)
            double_cudart_advance(1);
    }
    g_rec_mutex_unlock(&lock);
    return error;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

void double_cudart_count(void)
{
    double_cudart.copies = double_cudart.records = double_cudart.host_allocs = double_cudart.device_allocs = 0;
}

void double_cudart_reset(void)
{
    double_cudart_drain();
    g_assert_cmpuint(double_cudart.host_blocks, ==, 0);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 0);
    g_assert_cmpuint(double_cudart.events, ==, 0);
    double_cudart = (DoubleCudart){.copies = 0};
}
