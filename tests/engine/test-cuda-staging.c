/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that frames go through: how much there is, which is taken first, who waits for what. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/engine/double-cudart.h"

static CudaDevice *device;
static guint8 *target; /* of uploads */

/* ---- time -------------------------------------------------------------------------------------------------------- */

static gint64 slept_ns; /* atomic: whoever sleeps here does so in no time */
static gint64 nap_ns;   /* at least so long, as the clock says */

int nanosleep(const struct timespec *pause, struct timespec *left)
{
    (void)left;
    __atomic_add_fetch(&slept_ns, MAX(pause->tv_nsec + pause->tv_sec * 1000000000, nap_ns), __ATOMIC_RELAXED);
    g_thread_yield();
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    const int result = (int)syscall(SYS_clock_gettime, clock, time);
    const gint64 ns = time->tv_nsec + __atomic_load_n(&slept_ns, __ATOMIC_RELAXED);

    time->tv_sec += ns / 1000000000;
    time->tv_nsec = ns % 1000000000;
    return result;
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

static void begin(void)
{
    device = g_new0(CudaDevice, 1);
    cuda_staging_init(&device->staging);
    target = g_malloc0(CUDA_PIECE_BYTES);
    slept_ns = nap_ns = 0;
}

static void end(void)
{
    double_cudart_drain();
    cuda_staging_end(&device->staging);
    g_free(target);
    g_free(device);
    double_cudart_reset();
}

static CudaPiece *take(void)
{
    GpudlFault fault = {""};
    GpudlStatus status = GPUDL_STATUS_OK;
    CudaPiece *piece = cuda_piece_take(device, &status, &fault);

    if (piece == NULL)
        g_error("%s", fault.message);
    return piece;
}

static void send(CudaPiece *piece, guint8 value)
{
    GpudlFault fault = {""};

    memset(piece->data, value, CUDA_PIECE_BYTES);
    if (cuda_piece_send(device, piece, target, CUDA_PIECE_BYTES, &fault) != GPUDL_STATUS_OK)
        g_error("%s", fault.message);
}

static void expect_no_piece(GpudlStatus expected, const gchar *text)
{
    GpudlFault fault = {""};
    GpudlStatus status = GPUDL_STATUS_OK;

    g_assert_null(cuda_piece_take(device, &status, &fault));
    g_assert_cmpint(status, ==, expected);
    g_assert_nonnull(strstr(fault.message, text));
}

static CudaPlace *take_place(gsize bytes)
{
    GpudlFault fault = {""};
    GpudlStatus status = GPUDL_STATUS_OK;
    CudaPlace *place = cuda_place_take(device, bytes, &status, &fault);

    if (place == NULL)
        g_error("%s", fault.message);
    g_assert_cmpuint(place->bytes, >=, bytes);
    return place;
}

static void expect_no_place(gsize bytes)
{
    GpudlFault fault = {""};
    GpudlStatus status = GPUDL_STATUS_OK;

    g_assert_null(cuda_place_take(device, bytes, &status, &fault));
    g_assert_cmpint(status, ==, GPUDL_STATUS_NO_MEMORY);
    g_assert_nonnull(strstr(fault.message, "bytes of device memory for a frame"));
}

static void add_owners(guint n)
{
    for (; n > 0; n--)
        cuda_place_add_owner(device);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static void test_last_is_first(void)
{
    CudaPiece *pieces[3];

    begin();
    double_cudart.is_slow = TRUE;
    for (gint i = 0; i < 3; i++)
        pieces[i] = take();
    for (gint i = 0; i < 3; i++)
        send(pieces[i], (guint8)i);
    double_cudart_advance(4); /* the first two, and their events */
    g_assert_true(take() == pieces[1]);
    g_assert_true(take() == pieces[0]);
    send(pieces[0], 10);
    double_cudart_drain();
    g_assert_true(take() == pieces[0]);
    g_assert_true(take() == pieces[2]);
    g_assert_cmpuint(double_cudart.host_allocs, ==, 3);
    for (gint i = 0; i < 3; i++)
        send(pieces[i], 0);
    end();
}

/* A piece is another's once the device has read it, not before. */
static void test_not_before_it_is_read(void)
{
    begin();
    double_cudart.is_slow = TRUE;
    for (gint i = 0; i < 9; i++) {
        send(take(), (guint8)(i + 1));
        if (i >= 2) {
            double_cudart_advance(1);
            g_assert_cmpuint(target[0], ==, i - 1);
            g_assert_cmpuint(target[CUDA_PIECE_BYTES - 1], ==, i - 1);
            double_cudart_advance(1);
        }
    }
    g_assert_cmpuint(double_cudart.host_allocs, ==, 3);
    end();
}

/* Where the device is slower than who copies, these wait. */
static void test_bound(void)
{
    begin();
    double_cudart.is_slow = double_cudart.answers = TRUE;
    for (guint i = 0; i < 3 * CUDA_MOST_PIECES; i++)
        send(take(), (guint8)i);
    g_assert_cmpuint(double_cudart.host_allocs, <=, CUDA_MOST_PIECES);
    end();

    begin();
    double_cudart.is_slow = TRUE;
    for (guint i = 0; i < CUDA_MOST_PIECES; i++)
        send(take(), 0);
    nap_ns = 1000000000;
    expect_no_piece(GPUDL_STATUS_BACKEND, "does not answer");
    g_assert_cmpint(slept_ns, >=, 9 * nap_ns);
    g_assert_cmpint(slept_ns, <=, 12 * nap_ns);
    slept_ns = 0;
    double_cudart.never = TRUE;
    atomic_store(&device->silent, 1); /* as wait() has said by now */
    expect_no_piece(GPUDL_STATUS_BACKEND, "does not answer");
    g_assert_cmpint(slept_ns, <=, nap_ns);
    double_cudart_drain();
    send(take(), 0);
    end();
}

/* With less than one is used to all works as before; without any it does not. */
static void test_no_pinned_memory(void)
{
    begin();
    double_cudart.fail_host_from = 1;
    expect_no_piece(GPUDL_STATUS_NO_MEMORY, "bytes of pinned memory");
    expect_no_piece(GPUDL_STATUS_NO_MEMORY, "bytes of pinned memory");
    double_cudart_count();
    double_cudart.fail_host_from = 3;
    double_cudart.is_slow = double_cudart.answers = TRUE;
    for (guint i = 0; i < 20; i++)
        send(take(), (guint8)i);
    g_assert_cmpuint(double_cudart.host_blocks, ==, 2);
    end();
}

static void test_lost_device(void)
{
    begin();
    double_cudart.is_slow = TRUE;
    send(take(), 1);
    double_cudart.lost = cudaErrorIllegalAddress;
    expect_no_piece(GPUDL_STATUS_DEVICE, "700");
    end();
}

/* What can't be queued is given back; what is queued and can't be told of is waited for. */
static void test_failed_upload(void)
{
    GpudlFault fault = {""};
    CudaPiece *piece;

    begin();
    double_cudart.is_slow = TRUE;
    double_cudart.fail_copy_at = 1;
    piece = take();
    g_assert_cmpint(cuda_piece_send(device, piece, target, 100, &fault), ==, GPUDL_STATUS_BACKEND);
    g_assert_nonnull(strstr(fault.message, "uploading 100 bytes"));
    g_assert_true(take() == piece);
    memset(piece->data, 7, CUDA_PIECE_BYTES);
    double_cudart.fail_record_at = 1;
    double_cudart.answers = TRUE;
    g_assert_cmpint(cuda_piece_send(device, piece, target, 100, &fault), ==, GPUDL_STATUS_BACKEND);
    g_assert_cmpuint(target[99], ==, 7);
    g_assert_true(take() == piece);
    send(piece, 8);
    g_assert_cmpuint(double_cudart.host_allocs, ==, 1);
    end();
}

/* That wait ends, too: with the device's patience, or as soon as it has been given up. The piece is nobody's from then
 * on, as it is not known when it is read; a device that is lost reads nothing. */
static void test_failed_upload_without_answer(void)
{
    GpudlFault fault = {""};
    CudaPiece *piece, *other;

    for (gint silent = 0; silent < 2; silent++) {
        begin();
        double_cudart.is_slow = double_cudart.never = TRUE;
        double_cudart.fail_record_at = 1;
        nap_ns = 1000000000;
        atomic_store(&device->silent, silent);
        piece = take();
        memset(piece->data, 7, CUDA_PIECE_BYTES);
        g_assert_cmpint(cuda_piece_send(device, piece, target, 100, &fault), ==, GPUDL_STATUS_BACKEND);
        g_assert_nonnull(strstr(fault.message, "uploading 100 bytes"));
        g_assert_cmpint(slept_ns, >=, silent ? 0 : 9 * nap_ns);
        g_assert_cmpint(slept_ns, <=, silent ? nap_ns : 12 * nap_ns);
        other = take();
        g_assert_true(other != piece);
        double_cudart_drain();
        g_assert_cmpuint(target[99], ==, 7);
        send(other, 8);
        g_assert_cmpuint(double_cudart.host_blocks, ==, 2);
        end();
    }

    begin();
    double_cudart.is_slow = TRUE;
    double_cudart.fail_record_at = 1;
    double_cudart.lost = cudaErrorIllegalAddress;
    piece = take();
    g_assert_cmpint(cuda_piece_send(device, piece, target, 100, &fault), ==, GPUDL_STATUS_BACKEND);
    g_assert_true(device->staging.pieces == piece);
    g_assert_cmpint(slept_ns, ==, 0);
    end();
}

static gpointer take_and_send(gpointer data)
{
    CudaPiece *piece = take();

    send(piece, 1);
    return piece;
}

/* On a thread that has had none before. */
static CudaPiece *take_elsewhere(void)
{
    return g_thread_join(g_thread_new("elsewhere", take_and_send, NULL));
}

/* What a thread has written stays its own while there may be more, or what has been free for the longest is taken. */
static void test_own_first(void)
{
    CudaPiece *pieces[CUDA_MOST_PIECES];

    begin();
    pieces[0] = take();
    send(pieces[0], 0);
    pieces[1] = take_elsewhere();
    g_assert_true(pieces[1] != pieces[0]);
    g_assert_true(take() == pieces[0]); /* though the other one was given back later */
    send(pieces[0], 0);
    end();

    begin();
    for (guint i = 0; i < CUDA_MOST_PIECES; i++)
        pieces[i] = take();
    for (guint i = 0; i < CUDA_MOST_PIECES; i++)
        send(pieces[i], 0);
    g_assert_true(take() == pieces[CUDA_MOST_PIECES - 1]);
    g_assert_true(take_elsewhere() == pieces[0]);
    send(pieces[CUDA_MOST_PIECES - 1], 0);
    g_assert_cmpuint(double_cudart.host_allocs, ==, CUDA_MOST_PIECES);
    end();

    begin();
    double_cudart.fail_host_from = 2;
    pieces[0] = take();
    send(pieces[0], 0);
    g_assert_true(take_elsewhere() == pieces[0]);
    g_assert_cmpint(slept_ns, ==, 0);
    end();
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define ROUNDS 150

static gint running;

/* Uploads its number to its own place, and looks whether it has come. */
static gpointer upload_many(gpointer data)
{
    const guint8 number = (guint8)GPOINTER_TO_INT(data);
    GpudlFault fault = {""};

    cuda_place_add_owner(device);
    for (guint i = 0; i < ROUNDS; i++) {
        CudaPlace *place = take_place(1000 + 500 * (i % 3));
        CudaPiece *piece = take();

        memset(piece->data, number, 1000);
        g_assert_cmpint(cuda_piece_send(device, piece, place->data, 1000, &fault), ==, GPUDL_STATUS_OK);
        if (i % 4 == 0)
            cudaStreamSynchronize(device->upload);
        if (i % 4 == 0)
            for (guint k = 0; k < 1000; k++)
                g_assert_cmpuint(place->data[k], ==, number);
        cuda_place_give(device, place);
    }
    cuda_place_remove_owner(device);
    g_atomic_int_add(&running, -1);
    return NULL;
}

static void test_threads(void)
{
    GThread *threads[4];

    begin();
    double_cudart.is_slow = TRUE;
    running = G_N_ELEMENTS(threads);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("uploads", upload_many, GINT_TO_POINTER(i + 1));
    while (g_atomic_int_get(&running) > 0) {
        double_cudart_advance(1);
        g_thread_yield();
    }
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(double_cudart.host_blocks, <=, CUDA_MOST_PIECES);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 0);
    end();
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static void test_places_are_a_stack(void)
{
    CudaPlace *a, *b;

    begin();
    add_owners(2);
    a = take_place(1000);
    b = take_place(1000);
    cuda_place_give(device, a);
    cuda_place_give(device, b);
    cuda_place_give(device, NULL);
    g_assert_true(take_place(1000) == b);
    g_assert_true(take_place(600) == a);
    cuda_place_give(device, a);
    cuda_place_give(device, b);
    g_assert_cmpuint(double_cudart.device_allocs, ==, 2);
    end();
}

/* No more than owners, none that is larger than need be, and none for nobody. */
static void test_as_many_as_owners(void)
{
    CudaPlace *small, *large;

    begin();
    add_owners(2);
    small = take_place(1000);
    cuda_place_give(device, small);
    large = take_place(1001); /* for which it is too small */
    g_assert_cmpuint(double_cudart.device_blocks, ==, 2);
    cuda_place_give(device, large);
    large = take_place(5000);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 2);
    cuda_place_give(device, large);
    small = take_place(2499);
    g_assert_true(small != large);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 2);
    cuda_place_remove_owner(device); /* one is in use by the other, the other is spare */
    g_assert_cmpuint(double_cudart.device_blocks, ==, 1);
    cuda_place_give(device, small);
    end();
}

/* What is free makes room. */
static void test_no_device_memory(void)
{
    CudaPlace *small[3], *large;

    begin();
    add_owners(4);
    double_cudart.device_room = 5000;
    for (gint i = 0; i < 3; i++)
        small[i] = take_place(1000);
    expect_no_place(4500);
    cuda_place_give(device, small[0]);
    cuda_place_give(device, small[1]);
    large = take_place(3500);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 2);
    cuda_place_give(device, small[2]);
    cuda_place_give(device, large);
    expect_no_place(9000);
    g_assert_cmpuint(double_cudart.device_blocks, ==, 0);
    cuda_place_give(device, take_place(4000));
    for (gint i = 0; i < 4; i++) {
        g_assert_cmpuint(double_cudart.device_blocks, ==, 1); /* the last owner's, whatever was made and freed before */
        cuda_place_remove_owner(device);
    }
    g_assert_cmpuint(double_cudart.device_blocks, ==, 0);
    end();
}

/* What is on its way to a place is there before the place is freed; a device that does not answer is not waited for,
 * for long while that is not known yet. */
static void test_freed_when_written(void)
{
    GpudlFault fault = {""};
    CudaPiece *piece;
    CudaPlace *place;

    begin();
    add_owners(1);
    double_cudart.is_slow = TRUE;
    for (gint turn = 0; turn < 3; turn++) {
        place = take_place(100);
        piece = take();
        memset(piece->data, 0, 100);
        g_assert_cmpint(cuda_piece_send(device, piece, place->data, 100, &fault), ==, GPUDL_STATUS_OK);
        cuda_place_give(device, place);
        double_cudart.answers = turn == 0;
        double_cudart.never = turn > 0;
        nap_ns = turn == 1 ? 1000000000 : 0;
        atomic_store(&device->silent, turn == 2);
        slept_ns = 0;
        cuda_place_remove_owner(device);
        g_assert_cmpuint(double_cudart.device_blocks, ==, turn > 0);
        g_assert_cmpint(slept_ns, <=, turn == 1 ? 12 * nap_ns : 1000000);
        cuda_place_add_owner(device);
    }
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-staging/last-is-first", test_last_is_first);
    g_test_add_func("/cuda-staging/not-before-it-is-read", test_not_before_it_is_read);
    g_test_add_func("/cuda-staging/bound", test_bound);
    g_test_add_func("/cuda-staging/no-pinned-memory", test_no_pinned_memory);
    g_test_add_func("/cuda-staging/lost-device", test_lost_device);
    g_test_add_func("/cuda-staging/failed-upload", test_failed_upload);
    g_test_add_func("/cuda-staging/failed-upload-without-answer", test_failed_upload_without_answer);
    g_test_add_func("/cuda-staging/own-first", test_own_first);
    g_test_add_func("/cuda-staging/threads", test_threads);
    g_test_add_func("/cuda-staging/places-are-a-stack", test_places_are_a_stack);
    g_test_add_func("/cuda-staging/as-many-as-owners", test_as_many_as_owners);
    g_test_add_func("/cuda-staging/no-device-memory", test_no_device_memory);
    g_test_add_func("/cuda-staging/freed-when-written", test_freed_when_written);
    return g_test_run();
}
