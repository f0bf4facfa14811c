/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets: the way of one frame to where kernels read it. */
#include <stdlib.h>

#include "engine.h"
#include "engine/module.h"
#include "kernels/preproc_parts.h"

#define PLANE_ALIGNMENT 256

/* What is copied of a plane, and where it lies in the ticket's memory. */
typedef struct {
    const uint8_t *from;
    size_t stride, row_bytes, rows, offset;
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
        planes[i] = (Plane){frame->planes[i], (size_t)frame->strides[i], 0, 0, at};
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
        if (planes[i].stride < planes[i].row_bytes)
            planes[i].row_bytes = planes[i].stride;
        at += aligned(planes[i].rows * planes[i].row_bytes);
    }
    return at;
}

/* ---- memory of the host ------------------------------------------------------------------------------------------ */

static void copy_part(uint8_t *to, const Plane *plane, size_t at, size_t bytes)
{
    const uint8_t *row;
    size_t column, n;

    if (plane->stride == plane->row_bytes) {
        memcpy(to, plane->from + at, bytes);
        return;
    }
    row = plane->from + at / plane->row_bytes * plane->stride;
    column = at % plane->row_bytes;
    for (; bytes > 0; row += plane->stride, column = 0, to += n, bytes -= n) {
        n = plane->row_bytes - column < bytes ? plane->row_bytes - column : bytes;
        memcpy(to, row + column, n);
    }
}

/* So many bytes from there on of all planes as they lie in the ticket's memory. */
static void copy_planes(uint8_t *to, const Plane *planes, int n, size_t at, size_t bytes)
{
    for (int i = 0; i < n; i++) {
        const size_t begin = planes[i].offset, end = begin + planes[i].rows * planes[i].row_bytes;
        const size_t from = at > begin ? at : begin, until = at + bytes < end ? at + bytes : end;

        if (from < until)
            copy_part(to + (from - at), &planes[i], from - begin, until - from);
    }
}

/* Copies to pinned memory and uploads from there, in pieces of about one size. */
static GpudlStatus copy_host(CudaDevice *device, const CudaTicket *ticket, const Plane *planes, int n, size_t bytes,
                             GpudlFault *fault)
{
    const size_t n_pieces = (bytes + CUDA_PIECE_BYTES - 1) / CUDA_PIECE_BYTES;
    const size_t length = aligned((bytes + n_pieces - 1) / n_pieces);
    GpudlStatus status = GPUDL_STATUS_OK;

    for (size_t at = 0; at < bytes && status == GPUDL_STATUS_OK; at += length) {
        const size_t part = bytes - at < length ? bytes - at : length;
        CudaPiece *piece = cuda_piece_take(device, &status, fault);

        if (piece == NULL)
            break;
        copy_planes(piece->data, planes, n, at, part);
        status = cuda_piece_send(device, piece, ticket->place->data + at, part, fault);
    }
    return status;
}

/* ---- pinned memory ----------------------------------------------------------------------------------------------- */

/* Planes that are closer lie in one block: cuda_host_alloc() has at least a page of its own before what it hands out. A
 * copy must not reach across two. */
#define PAGE 4096

/* Bytes from the first plane to the end of the last, where the planes lie one behind the other with next to nothing
 * between and in their rows: they are one copy then. 0: they don't. dense: bytes of all planes. */
static size_t measure_span(const Plane *planes, int n, size_t dense)
{
    const uint8_t *first = planes[0].from, *end = first;

    for (int i = 0; i < n; i++) {
        const uint8_t *plane = planes[i].from;

        if (planes[i].rows == 0 || plane < end || (size_t)(plane - end) >= (i > 0 ? PAGE : 1))
            return 0;
        end = plane + (planes[i].rows - 1) * planes[i].stride + planes[i].row_bytes;
    }
    return (size_t)(end - first) <= dense + dense / 8 ? (size_t)(end - first) : 0;
}

/* Memory that the device reads itself: no copy on the host. */
static GpudlStatus copy_pinned(CudaDevice *device, const CudaTicket *ticket, const Plane *planes, int n, size_t span,
                               GpudlFault *fault)
{
    cudaError_t error = cudaSuccess;

    if (span > 0)
        error = cudaMemcpyAsync(ticket->place->data, planes[0].from, span, cudaMemcpyHostToDevice, device->upload);
    for (int i = 0; i < n && span == 0 && error == cudaSuccess; i++)
        error = cudaMemcpy2DAsync(ticket->place->data + planes[i].offset, planes[i].row_bytes, planes[i].from,
                                  planes[i].stride, planes[i].row_bytes, planes[i].rows, cudaMemcpyHostToDevice,
                                  device->upload);
    return error == cudaSuccess ? GPUDL_STATUS_OK
                                : cuda_fail(device, fault, error, "uploading a frame in pinned memory");
}

/* ---- staging ----------------------------------------------------------------------------------------------------- */

/* What has been queued is what the execution waits for. */
static GpudlStatus record_upload(CudaDevice *device, CudaTicket *ticket, GpudlFault *fault)
{
    const cudaError_t error = cudaEventRecord(ticket->ready, device->upload);

    if (error != cudaSuccess)
        return cuda_fail(device, fault, error, "uploading a frame");
    ticket->waits = 1;
    return GPUDL_STATUS_OK;
}

static GpudlStatus stage_host(CudaDevice *device, CudaTicket *ticket, const GpudlFrame *frame, GpudlFault *fault)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    GpudlStatus status = GPUDL_STATUS_OK;
    size_t bytes, span = 0;
    Plane planes[4];

    if (layout == NULL || frame->width < 1 || frame->height < 1)
        return gpudl_module_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "frame of format %d and %dx%d pixels",
                                 (int)frame->format, frame->width, frame->height);
    bytes = measure(frame, layout, planes);
    if (frame->memory != GPUDL_MEMORY_HOST)
        span = measure_span(planes, layout->n_planes, bytes);
    ticket->place = cuda_place_take(device, span > bytes ? span : bytes, &status, fault);
    if (ticket->place == NULL)
        return status;
    ticket->frame = *frame;
    ticket->frame.memory = GPUDL_MEMORY_CUDA;
    for (int i = 0; i < layout->n_planes; i++) {
        ticket->frame.planes[i] =
            ticket->place->data + (span > 0 ? (size_t)(planes[i].from - planes[0].from) : planes[i].offset);
        ticket->frame.strides[i] = span > 0 ? frame->strides[i] : (int32_t)planes[i].row_bytes;
    }
    status = frame->memory == GPUDL_MEMORY_HOST ? copy_host(device, ticket, planes, layout->n_planes, bytes, fault)
                                                : copy_pinned(device, ticket, planes, layout->n_planes, span, fault);
    return status == GPUDL_STATUS_OK ? record_upload(device, ticket, fault) : status;
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
    const size_t bytes = engine->plan1->tensors[engine->plan1->inputs[0]].bytes;
    const Plane row = {(const uint8_t *)values, bytes, bytes, 1, 0};
    CudaDevice *device = engine->shared.device;
    GpudlStatus status = GPUDL_STATUS_OK;

    ticket->place = cuda_place_take(device, bytes, &status, fault);
    if (ticket->place == NULL)
        return status;
    ticket->values = (const float *)ticket->place->data;
    status = copy_host(device, ticket, &row, 1, bytes, fault);
    return status == GPUDL_STATUS_OK ? record_upload(device, ticket, fault) : status;
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
    if (error == cudaSuccess) {
        cuda_place_add_owner(device);
        return ticket;
    }
    cuda_fail(device, fault, error, "an event for a request");
    free(ticket);
    return NULL;
}

static void give_place(CudaDevice *device, CudaTicket *ticket)
{
    cuda_place_give(device, ticket->place);
    ticket->place = NULL;
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
        ticket->waits = 0;
        ticket->values = NULL;
        status = frame == NULL                        ? stage_values(engine, ticket, values, fault)
                 : frame->memory == GPUDL_MEMORY_CUDA ? stage_device(device, ticket, frame, fault)
                                                      : stage_host(device, ticket, frame, fault);
        if (status != GPUDL_STATUS_OK)
            give_place(device, ticket);
    }
    cuda_leave(device);
    return status;
}

/* An upload may still be under way, where the request was cancelled: it is before what the place's next owner uploads.
 */
void cuda_unstage(void *data, void *ticket)
{
    CudaEngine *engine = data;

    give_place(engine->shared.device, ticket);
}

void cuda_ticket_free(void *data, void *memory)
{
    CudaEngine *engine = data;
    CudaDevice *device = engine->shared.device;
    CudaTicket *ticket = memory;

    cuda_enter(device);
    cudaEventDestroy(ticket->ready);
    give_place(device, ticket);
    cuda_place_remove_owner(device);
    cudaGetLastError();
    cuda_leave(device);
    free(ticket);
}
