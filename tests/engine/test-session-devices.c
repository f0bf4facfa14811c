/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who shares a device with whom, how long it stays, and that opening one keeps nobody else. */
#include <string.h>

#include "session-test.h"

static void count(gpointer owner)
{
    g_atomic_int_inc((gint *)owner);
}

static GpudlDevice *device_of(FakeContext *context, gint *released)
{
    g_autoptr(GError) error = NULL;
    GpudlDevice *device = gpudl_device_acquire("cuda", -1, context, released ? count : NULL, released, &error);

    g_assert_no_error(error);
    return device;
}

static void test_one_object_for_one_place(void)
{
    Fake *fake = fake_begin("cuda");
    GpudlDevice *first = device_of(NULL, NULL), *alias = device_of(&fake->primary[0], NULL),
                *again = gpudl_device_acquire("cuda", 0, NULL, NULL, NULL, NULL);
    FakeContext own = {.device = 0, .alive = 1};
    GpudlDevice *other = device_of(&own, NULL);

    g_assert_true(first == alias);
    g_assert_true(first == again);
    g_assert_true(gpudl_device_get_context(first) == &fake->primary[0]);
    g_assert_true(first != other);
    g_assert_true(gpudl_device_get_context(other) == &own);
    g_assert_cmpint(gpudl_device_get_id(other), ==, 0);
    g_assert_cmpstr(gpudl_device_get_backend(other), ==, "cuda");
    gpudl_device_unref(first);
    gpudl_device_unref(alias);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 2);
    gpudl_device_unref(again);
    gpudl_device_unref(other);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, device_opens), ==, FAKE_SEEN(fake, device_closes));
}

static void test_contexts_are_not_shared(void)
{
    FakeContext contexts[2] = {{.alive = 1}, {.alive = 1}};
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevice *devices[2];
    GpudlSession *sessions[3];

    fake_begin("cuda");
    for (guint i = 0; i < 2; i++) {
        devices[i] = device_of(&contexts[i], NULL);
        sessions[i] = acquire_with(model, (GpudlSessionConfig){.device = devices[i]});
        g_assert_true(gpudl_session_get_device(sessions[i]) == devices[i]);
    }
    sessions[2] = acquire(model, "cuda");
    g_assert_true(sessions[0] != sessions[1]);
    g_assert_true(sessions[2] != sessions[0] && sessions[2] != sessions[1]);
    for (guint i = 0; i < 3; i++)
        gpudl_session_unref(sessions[i]);
    for (guint i = 0; i < 2; i++)
        gpudl_device_unref(devices[i]);
}

static void test_device_and_its_owner_outlive_sessions(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    g_autoptr(GpudlModel) model = make_model();
    gint released = 0;
    GpudlDevice *device = device_of(&context, &released);
    GpudlSession *session = acquire_with(model, (GpudlSessionConfig){.device = device});
    GpudlStream *stream = gpudl_stream_new(session, model);

    gpudl_device_unref(device);
    gpudl_session_unref(session);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1);
    g_assert_cmpint(released, ==, 0);
    gpudl_stream_free(stream); /* the last one */
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpint(released, ==, 1);
    context.alive = 0;
}

static void test_owner_is_released_once_whatever_comes(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1}, foreign = {.device = 1, .alive = 1};
    gint first = 0, second = 0, third = 0, fourth = 0, fifth = 0;
    g_autoptr(GError) error = NULL;
    GpudlDevice *device = device_of(&context, &first), *again = device_of(&context, &second);

    g_assert_true(device == again);
    g_assert_cmpint(first, ==, 0);
    g_assert_cmpint(second, ==, 1); /* it has an owner of its own */
    g_assert_null(gpudl_device_acquire("cuda", 0, &foreign, count, &third, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "of device 1"));
    g_assert_cmpint(third, ==, 1);
    g_clear_error(&error);
    g_assert_null(gpudl_device_acquire("tpu", 0, NULL, count, &fourth, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(fourth, ==, 1);
    g_clear_error(&error);
    fake_lock(fake);
    fake->does.device_status = GPUDL_STATUS_NO_MEMORY;
    fake_unlock(fake);
    foreign.device = 0;
    g_assert_null(gpudl_device_acquire("cuda", 0, &foreign, count, &fifth, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    g_assert_cmpint(fifth, ==, 1);
    gpudl_device_unref(device);
    g_assert_cmpint(first, ==, 0);
    gpudl_device_unref(again);
    g_assert_cmpint(first, ==, 1);
    g_assert_cmpint(second, ==, 1);
}

static void test_blocks_hold_the_device(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    gint released = 0;
    GpudlDevice *device = device_of(&context, &released);
    GpudlSession *session = acquire_with(model, (GpudlSessionConfig){.device = device});
    guint8 *blocks[3];

    g_assert_true(gpudl_device_has_host_memory(device));
    for (guint i = 0; i < 3; i++) {
        gsize align = (gsize)64 << (6 * i);

        blocks[i] = gpudl_device_alloc_host(device, 1000, align, &error);
        g_assert_no_error(error);
        g_assert_cmpuint((guintptr)blocks[i] % align, ==, 0);
        memset(blocks[i], 1, 1000);
    }
    g_assert_null(gpudl_device_alloc_host(device, 1000, 48, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_null(gpudl_device_alloc_host(device, 0, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_null(gpudl_device_alloc_host(device, (gsize)1 << 50, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY);
    gpudl_session_unref(session);
    gpudl_device_unref(device);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(released, ==, 0);
        g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 1);
        blocks[i][999] = 2;
        gpudl_device_free_host(device, blocks[i]);
    }
    g_assert_cmpint(released, ==, 1);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

static void test_backends_without_devices(void)
{
    FakeContext context = {.alive = 1};
    g_autoptr(GError) error = NULL;
    GpudlDevice *first, *second;

    fake_begin("cpu");
    first = gpudl_device_acquire("cpu", 0, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    second = gpudl_device_acquire("cpu", -1, NULL, NULL, NULL, &error);
    g_assert_true(first == second);
    g_assert_false(gpudl_device_has_host_memory(first));
    g_assert_null(gpudl_device_alloc_host(first, 64, 64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_null(gpudl_device_acquire("cpu", 0, &context, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    gpudl_device_unref(first);
    gpudl_device_unref(second);
}

static void test_backends_without_devices_have_one(void)
{
    static const gchar *const names[] = {"cpu", "ref"};

    fake_begin("cpu");
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree gchar *expected =
            g_strdup_printf("backend '%s': device index out of range, found 5, expected 0", names[i]);
        g_autoptr(GError) error = NULL;
        gint released = 0;

        g_assert_null(gpudl_device_acquire(names[i], 5, NULL, count, &released, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE);
        g_assert_cmpstr(error->message, ==, expected);
        g_assert_cmpint(released, ==, 1);
    }
}

/* Its number is that of a GPU, of which there is none. */
static void test_auto_comes_to_the_only_one(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlDevice) device = NULL;

    fake_begin("cpu");
    device = gpudl_device_acquire("auto", 5, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(gpudl_device_get_backend(device), ==, "cpu");
    g_assert_cmpint(gpudl_device_get_id(device), ==, 0);
}

static void test_device_and_backend_have_to_agree(void)
{
    g_autoptr(GpudlModel) model = make_model();
    GpudlDevice *device;

    fake_begin("cpu");
    fake_begin("cuda");
    device = device_of(NULL, NULL);
    check_refused(model, &(GpudlSessionConfig){.backend = "cpu", .device = device}, GPUDL_ERROR_INVALID_ARGUMENT,
                  "device of backend 'cuda'");
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "auto", .device = device}));
    gpudl_session_unref(acquire_with(model, (GpudlSessionConfig){.backend = "cuda", .device = device}));
    gpudl_device_unref(device);
}

static void test_devices_are_listed(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GError) error = NULL;
    GPtrArray *infos;
    enum { N = 10 }; /* more than there is room for at first */

    FAKE_SET(fake, is.n_devices, N);
    infos = gpudl_devices_list("cuda", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(infos->len, ==, N);
    for (guint i = 0; i < N; i++) {
        const GpudlDeviceInfo *info = infos->pdata[i];
        g_autofree gchar *address = g_strdup_printf("0000:%02x:00.0", i);

        g_assert_cmpint(info->id, ==, (gint)i);
        g_assert_cmpstr(info->address, ==, address);
        g_assert_cmpuint(info->memory_bytes, ==, 1000 * (i + 1));
        g_assert_cmpuint(info->free_bytes, ==, 500 * (i + 1));
        g_assert_cmpint(info->capability_major, ==, 9);
        g_assert_cmpint(info->capability_minor, ==, (gint)i);
    }
    g_ptr_array_unref(infos);
    fake_lock(fake);
    fake->does.devices_status = GPUDL_STATUS_NO_DEVICE;
    fake_unlock(fake);
    g_assert_null(gpudl_devices_list("cuda", &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_DEVICE);
}

/* Many threads come and go: each place is opened and closed as often, and never twice at a time. */
static gint n_released;

static gpointer come_and_go(gpointer context)
{
    for (guint i = 0; i < 300; i++) {
        GpudlDevice *device = gpudl_device_acquire("cuda", 0, i % 2 ? context : NULL, count, &n_released, NULL);
        gpointer block = gpudl_device_alloc_host(device, 100, 64, NULL);

        gpudl_device_unref(device);
        memset(block, 1, 100);
        gpudl_device_free_host(device, block);
    }
    return NULL;
}

static void test_devices_from_many_threads(void)
{
    Fake *fake = fake_begin("cuda");
    FakeContext context = {.alive = 1};
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("user", come_and_go, &context);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(n_released, ==, 4 * 300);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    g_assert_cmpuint(FAKE_SEEN(fake, device_opens), ==, FAKE_SEEN(fake, device_closes));
}

static gpointer open_second(gpointer data)
{
    *(GpudlDevice **)data = gpudl_device_acquire("cuda", 1, NULL, NULL, NULL, NULL);
    return NULL;
}

/* A driver may take seconds to open a device: who uses another one, or loses it, does not wait for that. */
static void test_opening_a_device_keeps_nobody_else(void)
{
    Fake *fake = fake_begin("cuda");
    GpudlDevice *device, *second = NULL;
    GThread *thread;
    gpointer block;
    Use *use;

    FAKE_SET(fake, is.n_devices, 2);
    use = use_new((GpudlSessionConfig){.backend = "cuda"}, 1);
    device = gpudl_session_get_device(use->session);
    FAKE_SET(fake, does.hang_device_open, 1);
    thread = g_thread_new("open", open_second, &second);
    FAKE_AWAIT(fake, opening, 1);
    block = gpudl_device_alloc_host(device, 64, 64, NULL);
    gpudl_session_unref(acquire_with(use->model, (GpudlSessionConfig){.device = device, .priority = 1}));
    use_submit(use, 0, FAKE_DIES);
    use_check(use, 0, GPUDL_ERROR_DEVICE);
    gpudl_device_free_host(device, block);
    use_free(use);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
    FAKE_SET(fake, does.hang_device_open, 0);
    g_thread_join(thread);
    g_assert_nonnull(second);
    gpudl_device_unref(second);
    g_assert_cmpuint(FAKE_SEEN(fake, devices), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/one-object-for-one-place", test_one_object_for_one_place);
    g_test_add_func("/device/contexts-are-not-shared", test_contexts_are_not_shared);
    g_test_add_func("/device/device-and-its-owner-outlive-sessions", test_device_and_its_owner_outlive_sessions);
    g_test_add_func("/device/owner-is-released-once-whatever-comes", test_owner_is_released_once_whatever_comes);
    g_test_add_func("/device/blocks-hold-the-device", test_blocks_hold_the_device);
    g_test_add_func("/device/backends-without-devices", test_backends_without_devices);
    g_test_add_func("/device/backends-without-devices-have-one", test_backends_without_devices_have_one);
    g_test_add_func("/device/auto-comes-to-the-only-one", test_auto_comes_to_the_only_one);
    g_test_add_func("/device/device-and-backend-have-to-agree", test_device_and_backend_have_to_agree);
    g_test_add_func("/device/devices-are-listed", test_devices_are_listed);
    g_test_add_func("/device/opening-a-device-keeps-nobody-else", test_opening_a_device_keeps_nobody_else);
    g_test_add_func("/device/devices-from-many-threads", test_devices_from_many_threads);
    return g_test_run();
}
