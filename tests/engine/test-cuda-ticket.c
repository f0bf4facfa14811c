/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a frame to a device that is the host's memory: how many copies it takes, what they read, what arrives. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/engine.h"
#include "engine/module.h"

#define PAGE 4096 /* what lies behind less may belong to nobody */
#define ROOM (1 << 20)

static guint copies, recorded, waited, blocks;
static cudaError_t allocating, copying;
static guint8 *pinned; /* ROOM bytes, of which a frame ends at pinned_end */
static gsize pinned_end;

/* ---- a device ---------------------------------------------------------------------------------------------------- */

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
    (void)device;
    (void)format;
    return gpudl_module_fail(fault, GPUDL_STATUS_BACKEND, "error %d", (int)error);
}

static cudaError_t allocate(void **data, gsize bytes)
{
    if (allocating != cudaSuccess)
        return allocating;
    *data = g_malloc(bytes);
    memset(*data, 0xa5, bytes);
    blocks++;
    return cudaSuccess;
}

static cudaError_t release(void *data)
{
    blocks -= data != NULL;
    g_free(data);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **data, size_t bytes)
{
    return allocate(data, bytes);
}

cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned int flags)
{
    g_assert_cmpuint(flags, ==, cudaHostAllocPortable);
    return allocate(data, bytes);
}

cudaError_t cudaFree(void *data)
{
    return release(data);
}

cudaError_t cudaFreeHost(void *data)
{
    return release(data);
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    (void)stream;
    g_assert_cmpint(kind, ==, cudaMemcpyHostToDevice);
    if ((const guint8 *)from >= pinned && (const guint8 *)from < pinned + ROOM)
        g_assert_cmpuint((gsize)((const guint8 *)from - pinned) + bytes, <=, pinned_end);
    copies++;
    if (copying == cudaSuccess)
        memcpy(to, from, bytes);
    return copying;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    (void)stream;
    g_assert_cmpint(kind, ==, cudaMemcpyHostToDevice);
    g_assert_cmpuint(width, <=, MIN(to_pitch, from_pitch));
    copies++;
    for (gsize i = 0; i < height && copying == cudaSuccess; i++)
        memcpy((guint8 *)to + i * to_pitch, (const guint8 *)from + i * from_pitch, width);
    return copying;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    g_assert_cmpuint(flags, ==, cudaEventDisableTiming);
    *event = (cudaEvent_t)&recorded;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    g_assert_true(event == (cudaEvent_t)&recorded);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)stream;
    g_assert_true(event == (cudaEvent_t)&recorded);
    recorded++;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    g_assert_true(event == (cudaEvent_t)&recorded);
    waited++;
    return cudaSuccess;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

typedef struct {
    GpudlFrame frame;
    gint n_planes;
    gint32 row_bytes[4], rows[4];
} Picture;

/* Planes from where the first one lies in pinned memory on, their rows padded, with a gap before each but the first. */
static Picture make_picture(GpudlPixelFormat format, gint width, gint height, gsize first, gint padding, gint gap)
{
    Picture p = {.frame = {.memory = GPUDL_MEMORY_HOST_PINNED, .format = format, .width = width, .height = height}};

    p.n_planes = gpudl_pixel_format_layout(format, width, height, p.row_bytes, p.rows);
    pinned_end = first;
    for (gint i = 0; i < p.n_planes; i++) {
        const gsize at = pinned_end + (i > 0 ? (gsize)gap : 0);

        p.frame.strides[i] = p.row_bytes[i] + padding;
        p.frame.planes[i] = pinned + at;
        pinned_end = at + (gsize)(p.rows[i] - 1) * (gsize)p.frame.strides[i] + (gsize)p.row_bytes[i];
    }
    g_assert_cmpuint(pinned_end, <=, ROOM);
    for (gsize i = 0; i < pinned_end; i++)
        pinned[i] = (guint8)g_test_rand_int();
    return p;
}

static void expect_pixels(const Picture *p, const CudaTicket *ticket)
{
    g_assert_cmpint(ticket->frame.memory, ==, GPUDL_MEMORY_CUDA);
    g_assert_cmpint(ticket->frame.width, ==, p->frame.width);
    for (gint i = 0; i < p->n_planes; i++) {
        const guint8 *plane = ticket->frame.planes[i];
        const gsize stride = (gsize)ticket->frame.strides[i];

        g_assert_true(plane >= ticket->device);
        g_assert_cmpint(ticket->frame.strides[i], >=, p->row_bytes[i]);
        g_assert_cmpuint((gsize)(plane - ticket->device) + (gsize)(p->rows[i] - 1) * stride + (gsize)p->row_bytes[i],
                         <=, ticket->bytes);
        for (gint y = 0; y < p->rows[i]; y++)
            g_assert_cmpmem(plane + (gsize)y * stride, p->row_bytes[i],
                            (const guint8 *)p->frame.planes[i] + (gsize)y * (gsize)p->frame.strides[i],
                            p->row_bytes[i]);
    }
}

static CudaEngine engine;

/* Stages it and looks at what arrived, after so many copies. */
static void expect_copies(void **ticket, const Picture *p, guint expected)
{
    GpudlFault fault = {""};

    copies = recorded = 0;
    if (cuda_stage(&engine, ticket, &p->frame, NULL, &fault) != GPUDL_STATUS_OK)
        g_error("%s", fault.message);
    g_assert_cmpuint(copies, ==, expected);
    g_assert_cmpuint(recorded, ==, 1);
    expect_pixels(p, *ticket);
}

static void begin(void)
{
    CudaDevice *device = g_new0(CudaDevice, 1);

    copies = recorded = waited = 0;
    engine.shared.device = device;
    pinned = g_malloc(ROOM);
}

static void end(void *ticket)
{
    if (ticket != NULL)
        cuda_ticket_free(&engine, ticket);
    g_assert_cmpuint(blocks, ==, 0);
    g_free(engine.shared.device);
    g_free(pinned);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_every_format(void)
{
    void *ticket = NULL;

    begin();
    for (gint format = 1; format <= GPUDL_PIXEL_LAST; format++)
        for (gint turn = 0; turn < 8; turn++) {
            const gint width = g_test_rand_int_range(1, 70), height = g_test_rand_int_range(1, 50);
            const gboolean near = turn % 2 == 0;
            Picture p = make_picture((GpudlPixelFormat)format, width, height, (gsize)turn, 0, near ? 0 : PAGE);

            expect_copies(&ticket, &p, near ? 1 : (guint)p.n_planes);
            p.frame.memory = GPUDL_MEMORY_HOST;
            expect_copies(&ticket, &p, 1);
            for (gint i = 0; i < p.n_planes; i++) /* which kernels read by the word */
                g_assert_cmpuint(
                    ((const guint8 *)((CudaTicket *)ticket)->frame.planes[i] - ((CudaTicket *)ticket)->device) % 256,
                    ==, 0);
        }
    end(ticket);
}

/* One copy, unless memory lies between that may be another's. */
static void test_gaps(void)
{
    void *ticket = NULL;
    Picture p;

    begin();
    p = make_picture(GPUDL_PIXEL_I420, 640, 360, 0, 0, PAGE - 1);
    expect_copies(&ticket, &p, 1);
    p = make_picture(GPUDL_PIXEL_I420, 640, 360, 0, 0, PAGE);
    expect_copies(&ticket, &p, 3);
    /* small ones: what lies between is more than an eighth */
    p = make_picture(GPUDL_PIXEL_NV12, 64, 64, 0, 0, 64 * 96 / 8);
    expect_copies(&ticket, &p, 1);
    p = make_picture(GPUDL_PIXEL_NV12, 64, 64, 0, 0, 64 * 96 / 8 + 1);
    expect_copies(&ticket, &p, 2);
    /* the same in rows, which are left as they are or lie dense */
    for (gint padding = 24; padding <= 26; padding += 2) {
        p = make_picture(GPUDL_PIXEL_RGB, 64, 64, 0, padding, 0);
        expect_copies(&ticket, &p, 1);
        g_assert_cmpint(((CudaTicket *)ticket)->frame.strides[0], ==, 64 * 3 + (padding == 24 ? padding : 0));
    }
    end(ticket);
}

/* Planes in another order, and two whose rows take turns, are copied one by one. */
static void test_orders(void)
{
    void *ticket = NULL;
    Picture p;
    const void *chroma;

    begin();
    p = make_picture(GPUDL_PIXEL_I420, 64, 32, 0, 0, 0);
    chroma = p.frame.planes[1];
    p.frame.planes[1] = p.frame.planes[2];
    p.frame.planes[2] = chroma;
    expect_copies(&ticket, &p, 3);
    p = make_picture(GPUDL_PIXEL_I420, 64, 32, 0, 0, 0);
    p.frame.strides[1] = p.frame.strides[2] = 64;
    p.frame.planes[2] = (const guint8 *)p.frame.planes[1] + 32;
    expect_copies(&ticket, &p, 3);
    end(ticket);
}

/* A ticket is used again once what it has begun is done, whether that fails or not. */
static void test_failures(void)
{
    void *ticket = NULL;
    GpudlFault fault;
    Picture small, large;

    begin();
    small = make_picture(GPUDL_PIXEL_NV12, 8, 8, 0, 0, 0);
    expect_copies(&ticket, &small, 1);
    g_assert_cmpuint(waited, ==, 0);
    large = make_picture(GPUDL_PIXEL_NV12, 80, 80, 0, 0, 0);
    allocating = cudaErrorMemoryAllocation;
    g_assert_cmpint(cuda_stage(&engine, &ticket, &large.frame, NULL, &fault), ==, GPUDL_STATUS_BACKEND);
    allocating = cudaSuccess;
    g_assert_cmpuint(waited, ==, 1);
    small = make_picture(GPUDL_PIXEL_NV12, 8, 8, 0, 0, 0);
    expect_copies(&ticket, &small, 1); /* for which there was room before */
    large = make_picture(GPUDL_PIXEL_NV12, 80, 80, 0, 0, 0);
    expect_copies(&ticket, &large, 1);
    g_assert_cmpuint(waited, ==, 2);
    copying = cudaErrorInvalidValue;
    g_assert_cmpint(cuda_stage(&engine, &ticket, &large.frame, NULL, &fault), ==, GPUDL_STATUS_BACKEND);
    copying = cudaSuccess;
    g_assert_cmpint(((CudaTicket *)ticket)->waits, ==, 0);
    large.frame.format = GPUDL_PIXEL_UNKNOWN;
    g_assert_cmpint(cuda_stage(&engine, &ticket, &large.frame, NULL, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    end(ticket);
}

/* Nothing is copied of a frame on the device; one of another context is refused. */
static void test_device_memory(void)
{
    void *ticket = NULL;
    GpudlFault fault;
    Picture p;

    begin();
    engine.shared.device->context = (CUcontext)pinned;
    p = make_picture(GPUDL_PIXEL_NV12, 8, 8, 0, 0, 0);
    p.frame.memory = GPUDL_MEMORY_CUDA;
    for (guint turn = 0; turn < 2; turn++) {
        p.frame.cuda_stream = turn > 0 ? pinned : NULL;
        recorded = 0;
        g_assert_cmpint(cuda_stage(&engine, &ticket, &p.frame, NULL, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(copies, ==, 0);
        g_assert_cmpuint(recorded, ==, turn);
        g_assert_cmpint(((CudaTicket *)ticket)->waits, ==, turn);
        g_assert_true(((CudaTicket *)ticket)->frame.planes[1] == p.frame.planes[1]);
    }
    p.frame.cuda_context = pinned;
    g_assert_cmpint(cuda_stage(&engine, &ticket, &p.frame, NULL, &fault), ==, GPUDL_STATUS_OK);
    p.frame.cuda_context = pinned + 1;
    g_assert_cmpint(cuda_stage(&engine, &ticket, &p.frame, NULL, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    end(ticket);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-ticket/every-format", test_every_format);
    g_test_add_func("/cuda-ticket/gaps", test_gaps);
    g_test_add_func("/cuda-ticket/orders", test_orders);
    g_test_add_func("/cuda-ticket/failures", test_failures);
    g_test_add_func("/cuda-ticket/device-memory", test_device_memory);
    return g_test_run();
}
