/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a frame to a device that is the host's memory: how many copies it takes, what they read, what arrives. */
#include <glib.h>
#include <string.h>

#include "engine/cuda/engine.h"
#include "engine/module.h"
#include "tests/engine/double-cudart.h"

#define PAGE 4096 /* what lies behind less may belong to nobody */
#define ROOM (16 << 20)

static guint8 *pinned; /* ROOM bytes, of which a frame ends at pinned_end */
static gsize pinned_end;

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
    double_cudart.frames_bytes = pinned_end;
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

        g_assert_true(plane >= ticket->place->data);
        g_assert_cmpint(ticket->frame.strides[i], >=, p->row_bytes[i]);
        g_assert_cmpuint((gsize)(plane - ticket->place->data) + (gsize)(p->rows[i] - 1) * stride +
                             (gsize)p->row_bytes[i],
                         <=, ticket->place->bytes);
        for (gint y = 0; y < p->rows[i]; y++)
            g_assert_cmpmem(plane + (gsize)y * stride, p->row_bytes[i],
                            (const guint8 *)p->frame.planes[i] + (gsize)y * (gsize)p->frame.strides[i],
                            p->row_bytes[i]);
    }
}

static CudaEngine engine;

static void stage(void **ticket, const Picture *p)
{
    GpudlFault fault = {""};

    if (cuda_stage(&engine, ticket, &p->frame, NULL, &fault) != GPUDL_STATUS_OK)
        g_error("%s", fault.message);
}

/* Stages it and looks at what arrived, after so many copies. Returns what the ticket was meanwhile. */
static CudaTicket expect_copies(void **ticket, const Picture *p, guint expected)
{
    CudaTicket was;

    double_cudart_count();
    stage(ticket, p);
    g_assert_cmpuint(double_cudart.copies, ==, expected);
    /* the frame, and each piece of it where it has gone through pieces */
    g_assert_cmpuint(double_cudart.records, ==, p->frame.memory == GPUDL_MEMORY_HOST ? expected + 1 : 1);
    expect_pixels(p, *ticket);
    was = *(CudaTicket *)*ticket;
    cuda_unstage(&engine, *ticket);
    g_assert_null(((CudaTicket *)*ticket)->place);
    return was;
}

static void begin(void)
{
    CudaDevice *device = g_new0(CudaDevice, 1);

    engine.shared.device = device;
    cuda_staging_init(&device->staging);
    pinned = g_malloc(ROOM);
    double_cudart.frames = pinned;
    double_cudart.frames_room = ROOM;
}

static void end(void *ticket)
{
    if (ticket != NULL)
        cuda_ticket_free(&engine, ticket);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 0); /* before the device goes */
    cuda_staging_end(&engine.shared.device->staging);
    g_free(engine.shared.device);
    g_free(pinned);
    double_cudart_reset();
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
            CudaTicket was;

            expect_copies(&ticket, &p, near ? 1 : (guint)p.n_planes);
            p.frame.memory = GPUDL_MEMORY_HOST;
            was = expect_copies(&ticket, &p, 1);
            for (gint i = 0; i < p.n_planes; i++) /* which kernels read by the word */
                g_assert_cmpuint(((const guint8 *)was.frame.planes[i] - was.place->data) % 256, ==, 0);
        }
    end(ticket);
}

/* One copy, unless memory lies between that may be another's. */
static void test_gaps(void)
{
    void *ticket = NULL;
    CudaTicket was;
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
        was = expect_copies(&ticket, &p, 1);
        g_assert_cmpint(was.frame.strides[0], ==, 64 * 3 + (padding == 24 ? padding : 0));
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

/* A frame of the host is uploaded piece by piece, which end anywhere in its rows, planes and the gaps between. */
static void test_pieces(void)
{
    const struct {
        GpudlPixelFormat format;
        gint width, height, padding;
        guint pieces;
    } cases[] = {{GPUDL_PIXEL_GRAY8, 4096, 1024, 0, 1}, {GPUDL_PIXEL_GRAY8, 4096, 1025, 0, 2},
                 {GPUDL_PIXEL_NV12, 1920, 1080, 0, 1},  {GPUDL_PIXEL_NV12, 3840, 2160, 0, 3},
                 {GPUDL_PIXEL_NV12, 3839, 2157, 65, 3}, {GPUDL_PIXEL_I420, 3839, 2159, 1, 3},
                 {GPUDL_PIXEL_RGBA, 32768, 65, 4, 3},   {GPUDL_PIXEL_RGBA, 31, 32768, 60, 1},
                 {GPUDL_PIXEL_RGB, 1025, 1371, 0, 2},   {GPUDL_PIXEL_P010_10LE, 1918, 1080, 6, 2}};
    void *ticket = NULL;

    begin();
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Picture p = make_picture(cases[i].format, cases[i].width, cases[i].height, 3, cases[i].padding, 0);

        p.frame.memory = GPUDL_MEMORY_HOST;
        expect_copies(&ticket, &p, cases[i].pieces);
    }
    g_assert_cmpuint(double_cudart.host_blocks, ==, 1); /* since the device is quick */
    end(ticket);
}

/* What is queued has its pixels: the frame may be written to, and other frames staged. */
static void test_uploads_are_late(void)
{
    void *tickets[8] = {NULL};
    Picture pictures[8];
    guint8 *kept[8];
    gsize room;

    begin();
    double_cudart.is_slow = TRUE;
    for (gint i = 0; i < 8; i++) {
        pictures[i] = make_picture(GPUDL_PIXEL_NV12, 3000 + i, 1100, 0, i % 2, 0);
        pictures[i].frame.memory = GPUDL_MEMORY_HOST;
        stage(&tickets[i], &pictures[i]);
        room = pinned_end;
        kept[i] = g_memdup2(pinned, room);
        memset(pinned, 0, room);
        for (gint k = 0; k < pictures[i].n_planes; k++)
            pictures[i].frame.planes[k] = kept[i] + ((const guint8 *)pictures[i].frame.planes[k] - pinned);
        double_cudart_advance((guint)i);
    }
    double_cudart_drain();
    for (gint i = 0; i < 8; i++)
        expect_pixels(&pictures[i], tickets[i]);
    for (gint i = 1; i < 8; i++) {
        cuda_unstage(&engine, tickets[i]);
        cuda_ticket_free(&engine, tickets[i]);
    }
    for (gint i = 0; i < 8; i++)
        g_free(kept[i]);
    end(tickets[0]);
}

/* Its place is the next one's, whose pixels come behind its own. */
static void test_cancelled(void)
{
    void *first = NULL, *second = NULL;
    const guint8 *data;
    Picture p;

    begin();
    double_cudart.is_slow = TRUE;
    p = make_picture(GPUDL_PIXEL_NV12, 80, 80, 0, 0, 0);
    p.frame.memory = GPUDL_MEMORY_HOST;
    stage(&first, &p);
    data = ((CudaTicket *)first)->place->data;
    cuda_unstage(&engine, first);
    p = make_picture(GPUDL_PIXEL_NV12, 80, 80, 0, 0, 0);
    p.frame.memory = GPUDL_MEMORY_HOST;
    stage(&second, &p);
    g_assert_true(((CudaTicket *)second)->place->data == data);
    cuda_ticket_free(&engine, first); /* with its event on the way */
    double_cudart_drain();
    expect_pixels(&p, second);
    end(second);
}

static void expect_failure(void **ticket, const Picture *p, GpudlStatus expected, const gchar *text)
{
    GpudlFault fault = {""};

    g_assert_cmpint(cuda_stage(&engine, ticket, &p->frame, NULL, &fault), ==, expected);
    g_assert_nonnull(strstr(fault.message, text));
    if (*ticket != NULL) {
        g_assert_null(((CudaTicket *)*ticket)->place);
        g_assert_cmpint(((CudaTicket *)*ticket)->waits, ==, 0);
    }
}

/* A ticket is used again after what failed, and nothing that it had is lost. */
static void test_failures(void)
{
    void *ticket = NULL;
    Picture p;

    begin();
    p = make_picture(GPUDL_PIXEL_NV12, 3840, 2160, 0, 0, 0);
    double_cudart.fail_device_from = 1;
    expect_failure(&ticket, &p, GPUDL_STATUS_NO_MEMORY, "12441600 bytes of device memory");
    double_cudart.fail_device_from = 0;
    expect_copies(&ticket, &p, 1);
    for (guint turn = 1; turn <= 3; turn++) { /* copies of a frame in pinned memory, then pieces of it */
        p.frame.memory = turn == 1 ? GPUDL_MEMORY_HOST_PINNED : GPUDL_MEMORY_HOST;
        double_cudart_count();
        double_cudart.fail_copy_at = turn;
        expect_failure(&ticket, &p, GPUDL_STATUS_BACKEND, "uploading");
        double_cudart_count();
        double_cudart.fail_copy_at = 0;
        double_cudart.fail_record_at = turn;
        expect_failure(&ticket, &p, GPUDL_STATUS_BACKEND, "uploading");
        double_cudart.fail_record_at = 0;
        expect_copies(&ticket, &p, turn == 1 ? 1 : 3);
    }
    g_assert_cmpuint(double_cudart.device_blocks, ==, 1);
    p.frame.format = GPUDL_PIXEL_UNKNOWN;
    expect_failure(&ticket, &p, GPUDL_STATUS_INVALID_ARGUMENT, "format");
    end(ticket);
}

/* Values are uploaded as a frame is. */
static void test_values(void)
{
    const gsize n = 2500001;
    g_autofree gfloat *values = g_new(gfloat, n);
    GpudlPlanTensor tensor = {.bytes = n * sizeof *values};
    const int32_t input = 0;
    const GpudlPlan plan = {.tensors = &tensor, .inputs = &input};
    void *ticket = NULL;
    GpudlFault fault;

    begin();
    engine.plan1 = &plan;
    for (gsize i = 0; i < n; i++)
        values[i] = (gfloat)i;
    g_assert_cmpint(cuda_stage(&engine, &ticket, NULL, values, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint(double_cudart.copies, ==, 3);
    g_assert_cmpint(((CudaTicket *)ticket)->waits, ==, 1);
    g_assert_cmpmem(((CudaTicket *)ticket)->values, n * sizeof *values, values, n * sizeof *values);
    cuda_unstage(&engine, ticket);
    engine.plan1 = NULL;
    end(ticket);
}

/* No memory is made for what has some: none that is pinned for frames in such memory, nothing for frames on the device.
 */
static void test_memory_of_others(void)
{
    void *ticket = NULL;
    Picture p;

    begin();
    p = make_picture(GPUDL_PIXEL_NV12, 640, 480, 0, 0, 0);
    p.frame.memory = GPUDL_MEMORY_CUDA;
    stage(&ticket, &p);
    cuda_unstage(&engine, ticket);
    g_assert_cmpuint(double_cudart.device_allocs, ==, 0);
    p.frame.memory = GPUDL_MEMORY_HOST_PINNED;
    expect_copies(&ticket, &p, 1);
    g_assert_cmpuint(double_cudart.host_allocs, ==, 0);
    end(ticket);
}

/* Requests that take turns need as much as is under way, however many they are. */
static void test_turns(void)
{
    void *tickets[64] = {NULL};
    Picture p;

    begin();
    p = make_picture(GPUDL_PIXEL_NV12, 1280, 720, 0, 0, 0);
    p.frame.memory = GPUDL_MEMORY_HOST;
    for (gint i = 0; i < 200; i++) {
        stage(&tickets[i % 64], &p);
        expect_pixels(&p, tickets[i % 64]);
        if (i > 0)
            cuda_unstage(&engine, tickets[(i - 1) % 64]);
    }
    g_assert_cmpuint(double_cudart.host_allocs, ==, 1);
    g_assert_cmpuint(double_cudart.device_allocs, ==, 2);
    for (gint i = 1; i < 64; i++)
        cuda_ticket_free(&engine, tickets[i]);
    end(tickets[0]);
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
        double_cudart_count();
        g_assert_cmpint(cuda_stage(&engine, &ticket, &p.frame, NULL, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(double_cudart.copies, ==, 0);
        g_assert_cmpuint(double_cudart.records, ==, turn);
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
    g_test_add_func("/cuda-ticket/pieces", test_pieces);
    g_test_add_func("/cuda-ticket/uploads-are-late", test_uploads_are_late);
    g_test_add_func("/cuda-ticket/cancelled", test_cancelled);
    g_test_add_func("/cuda-ticket/failures", test_failures);
    g_test_add_func("/cuda-ticket/values", test_values);
    g_test_add_func("/cuda-ticket/memory-of-others", test_memory_of_others);
    g_test_add_func("/cuda-ticket/turns", test_turns);
    g_test_add_func("/cuda-ticket/device-memory", test_device_memory);
    return g_test_run();
}
