/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets: the way of one frame to where kernels read it. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"
#include "kernels/preproc_parts.h"

#define PLANE_ALIGNMENT 256

/* What is copied of a plane, and where it lies in the ticket's memory. */
typedef struct {
    size_t row_bytes, rows, offset;
} Plane;

static size_t aligned(size_t n)
{
    return (n + PLANE_ALIGNMENT - 1) / PLANE_ALIGNMENT * PLANE_ALIGNMENT;
}

/* Rows and bytes of a row that a plane's components take; returns the bytes of all planes. */
static size_t measure(const GpudlFrame *frame, const GpudlPixelLayout *layout, Plane planes[4])
{
    size_t at = 0;

    for (int i = 0; i < layout->n_planes; i++) {
        planes[i] = (Plane){0, 0, at};
        for (int k = 0; k < layout->n_components; k++) {
            const GpudlComponentLayout *component = &layout->components[k];
            const size_t columns = (size_t)((frame->width + (1 << component->h_shift) - 1) >> component->h_shift);
            const size_t rows = (size_t)((frame->height + (1 << component->v_shift) - 1) >> component->v_shift);
            /* to the end of the last pixel, or pair of them, whatever lies in it */
            const size_t bytes = columns * (size_t)component->step;

            if (component->plane != i)
                continue;
            planes[i].row_bytes = bytes > planes[i].row_bytes ? bytes : planes[i].row_bytes;
            planes[i].rows = rows > planes[i].rows ? rows : planes[i].rows;
        }
        if ((size_t)frame->strides[i] < planes[i].row_bytes)
            planes[i].row_bytes = (size_t)frame->strides[i];
        at += aligned(planes[i].rows * planes[i].row_bytes);
    }
    return at;
}

static GpudlStatus reserve(CudaDevice *device, CudaTicket *ticket, uint64_t bytes, GpudlFault *fault)
{
    cudaError_t error;

    if (ticket->bytes >= bytes)
        return GPUDL_STATUS_OK;
    cudaFreeHost(ticket->pinned);
    cudaFree(ticket->device);
    ticket->pinned = ticket->device = NULL;
    ticket->bytes = 0;
    error = cudaHostAlloc((void **)&ticket->pinned, bytes, cudaHostAllocPortable);
    if (error == cudaSuccess)
        error = cudaMalloc((void **)&ticket->device, bytes);
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "%llu bytes for a frame", (unsigned long long)bytes);
    ticket->bytes = bytes;
    return GPUDL_STATUS_OK;
}

static GpudlStatus upload(CudaDevice *device, CudaTicket *ticket, size_t bytes, GpudlFault *fault)
{
    cudaError_t error = cudaMemcpyAsync(ticket->device, ticket->pinned, bytes, cudaMemcpyHostToDevice, device->upload);

    if (error == cudaSuccess)
        error = cudaEventRecord(ticket->ready, device->upload);
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "uploading a frame of %zu bytes", bytes);
    ticket->recorded = ticket->waits = 1;
    return GPUDL_STATUS_OK;
}

static void copy_plane(uint8_t *to, const GpudlFrame *frame, int i, const Plane *plane)
{
    const uint8_t *from = frame->planes[i];

    if ((size_t)frame->strides[i] == plane->row_bytes) {
        memcpy(to, from, plane->rows * plane->row_bytes);
        return;
    }
    for (size_t row = 0; row < plane->rows; row++)
        memcpy(to + row * plane->row_bytes, from + row * (size_t)frame->strides[i], plane->row_bytes);
}

/* Planes that are closer lie in one block: cuda_host_alloc() has at least a page of its own before what it hands out. A
 * copy must not reach across two. */
#define PAGE 4096

/* Bytes from the first plane to the end of the last, where the planes lie one behind the other with next to nothing
 * between and in their rows: they are one copy then. 0: they don't. dense: bytes of all planes. */
static size_t measure_span(const GpudlFrame *frame, const GpudlPixelLayout *layout, const Plane planes[4], size_t dense)
{
    const uint8_t *first = frame->planes[0], *end = first;

    for (int i = 0; i < layout->n_planes; i++) {
        const uint8_t *plane = frame->planes[i];

        if (planes[i].rows == 0 || plane < end || (size_t)(plane - end) >= (i > 0 ? PAGE : 1))
            return 0;
        end = plane + (planes[i].rows - 1) * (size_t)frame->strides[i] + planes[i].row_bytes;
    }
    return (size_t)(end - first) <= dense + dense / 8 ? (size_t)(end - first) : 0;
}

/* Memory that the device reads itself: no copy on the host. */
static cudaError_t copy_pinned(const CudaDevice *device, const CudaTicket *ticket, const GpudlFrame *frame,
                               const GpudlPixelLayout *layout, const Plane planes[4], size_t span)
{
    cudaError_t error = cudaSuccess;

    if (span > 0)
        error = cudaMemcpyAsync(ticket->device, frame->planes[0], span, cudaMemcpyHostToDevice, device->upload);
    for (int i = 0; i < layout->n_planes && span == 0 && error == cudaSuccess; i++)
        error = cudaMemcpy2DAsync(ticket->device + planes[i].offset, planes[i].row_bytes, frame->planes[i],
                                  (size_t)frame->strides[i], planes[i].row_bytes, planes[i].rows,
                                  cudaMemcpyHostToDevice, device->upload);
    if (error == cudaSuccess)
        error = cudaEventRecord(ticket->ready, device->upload);
    return error;
}

static GpudlStatus stage_host(CudaDevice *device, CudaTicket *ticket, const GpudlFrame *frame, GpudlFault *fault)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    Plane planes[4];
    size_t bytes, span = 0;
    GpudlStatus status;
    cudaError_t error;

    if (layout == NULL || frame->width < 1 || frame->height < 1)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "frame of format %d and %dx%d pixels",
                                 (int)frame->format, frame->width, frame->height);
    bytes = measure(frame, layout, planes);
    if (frame->memory != GPUDL_MEMORY_HOST)
        span = measure_span(frame, layout, planes, bytes);
    status = reserve(device, ticket, span > bytes ? span : bytes, fault);
    if (status != GPUDL_STATUS_OK)
        return status;
    ticket->frame = *frame;
    ticket->frame.memory = GPUDL_MEMORY_CUDA;
    for (int i = 0; i < layout->n_planes; i++) {
        const uint8_t *plane = frame->planes[i];

        ticket->frame.planes[i] =
            ticket->device + (span > 0 ? (size_t)(plane - (const uint8_t *)frame->planes[0]) : planes[i].offset);
        ticket->frame.strides[i] = span > 0 ? frame->strides[i] : (int32_t)planes[i].row_bytes;
    }
    if (frame->memory == GPUDL_MEMORY_HOST) {
        for (int i = 0; i < layout->n_planes; i++)
            copy_plane(ticket->pinned + planes[i].offset, frame, i, &planes[i]);
        return upload(device, ticket, bytes, fault);
    }
    error = copy_pinned(device, ticket, frame, layout, planes, span);
    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "uploading a frame of %zu bytes", bytes);
    ticket->recorded = ticket->waits = 1;
    return status;
}

static GpudlStatus stage_device(CudaDevice *device, CudaTicket *ticket, const GpudlFrame *frame, GpudlFault *fault)
{
    cudaError_t error = cudaSuccess;

    if (frame->cuda_context != NULL && frame->cuda_context != (void *)device->context)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT,
                                 "a frame of CUDA context %p, the session's is %p: open the session on a device with "
                                 "the frames' context",
                                 frame->cuda_context, (void *)device->context);
    ticket->frame = *frame;
    ticket->waits = frame->cuda_stream != NULL;
    if (ticket->waits)
        error = cudaEventRecord(ticket->ready, (cudaStream_t)frame->cuda_stream);
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(device, fault, error, "the stream that a frame was made on");
}

static GpudlStatus stage_values(CudaEngine *engine, CudaTicket *ticket, const float *values, GpudlFault *fault)
{
    const GpudlPlanTensor *input = &engine->plan1->tensors[engine->plan1->inputs[0]];
    GpudlStatus status = reserve(engine->shared.device, ticket, input->bytes, fault);

    if (status != GPUDL_STATUS_OK)
        return status;
    memcpy(ticket->pinned, values, input->bytes);
    ticket->values = (const float *)ticket->device;
    return upload(engine->shared.device, ticket, input->bytes, fault);
}

static CudaTicket *ticket_new(CudaDevice *device, GpudlFault *fault)
{
    CudaTicket *ticket = calloc(1, sizeof *ticket);
    cudaError_t error;

    if (ticket == NULL) {
        gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for a request");
        return NULL;
    }
    error = cudaEventCreateWithFlags(&ticket->ready, cudaEventDisableTiming);
    if (error == cudaSuccess)
        return ticket;
    cuda_fail(device, fault, error, "an event for a request");
    free(ticket);
    return NULL;
}

GpudlStatus cuda_stage(void *data, void **result, const GpudlFrame *frame, const float *values, GpudlFault *fault)
{
    CudaEngine *engine = data;
    CudaDevice *device = engine->shared.device;
    CudaTicket *ticket = *result;
    GpudlStatus status = GPUDL_STATUS_OK;

    cuda_enter(device);
    if (ticket == NULL)
        *result = ticket = ticket_new(device, fault);
    if (ticket == NULL) {
        status = atomic_load(&device->lost) ? GPUDL_STATUS_DEVICE : GPUDL_STATUS_NO_MEMORY;
    } else {
        if (ticket->recorded) /* of a request that was cancelled: its copy may still be read */
            cudaEventSynchronize(ticket->ready);
        ticket->recorded = ticket->waits = 0;
        ticket->values = NULL;
        status = frame == NULL                        ? stage_values(engine, ticket, values, fault)
                 : frame->memory == GPUDL_MEMORY_CUDA ? stage_device(device, ticket, frame, fault)
                                                      : stage_host(device, ticket, frame, fault);
    }
    cuda_leave(device);
    return status;
}

/* The next stage() waits for what may still be under way. */
void cuda_unstage(void *data, void *ticket)
{
}

void cuda_ticket_free(void *data, void *memory)
{
    CudaEngine *engine = data;
    CudaTicket *ticket = memory;

    cuda_enter(engine->shared.device);
    if (ticket->recorded)
        cudaEventSynchronize(ticket->ready);
    cudaEventDestroy(ticket->ready);
    cudaFreeHost(ticket->pinned);
    cudaFree(ticket->device);
    cudaGetLastError();
    cuda_leave(engine->shared.device);
    free(ticket);
}
