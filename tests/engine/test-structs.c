/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs of callers that were built with another header. */
#include <string.h>

#include "engine/structs.h"
#include "session-test.h"

/* As it was first, as it is now, and as it will be. */
typedef struct {
    guint32 struct_size;
    gint first;
    gint second; /* came later */
} Now;

typedef struct {
    guint32 struct_size;
    gint first, second;
    gint third;
} Later;

#define FIRST_SIZE GPUDL_SIZE_TO(Now, first)

static gboolean take(Now *now, gconstpointer from, GError **error)
{
    memset(now, 0x55, sizeof *now);
    return gpudl_struct_take(now, sizeof *now, from, FIRST_SIZE, "Now", error);
}

static void test_sizes(void)
{
    g_autoptr(GError) error = NULL;
    Now from = {.first = 1, .second = 2}, now;
    Later later = {.struct_size = sizeof later, .first = 1, .second = 2};

    g_assert_true(take(&now, &from, &error)); /* 0: as it was first; what is beyond is not read */
    g_assert_cmpint(now.first, ==, 1);
    g_assert_cmpint(now.second, ==, 0);
    g_assert_cmpuint(now.struct_size, ==, sizeof now);
    from.struct_size = FIRST_SIZE;
    g_assert_true(take(&now, &from, &error));
    g_assert_cmpint(now.second, ==, 0);
    from.struct_size = sizeof from;
    g_assert_true(take(&now, &from, &error));
    g_assert_cmpint(now.first, ==, 1);
    g_assert_cmpint(now.second, ==, 2);

    g_assert_true(take(&now, &later, &error));
    g_assert_cmpint(now.second, ==, 2);
    g_assert_cmpuint(now.struct_size, ==, sizeof now);
    g_assert_no_error(error);
    later.third = 1;
    g_assert_false(take(&now, &later, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "Now has a field set at byte 12"));
    g_clear_error(&error);
    later.third = 1 << 24; /* its last byte alone */
    g_assert_false(take(&now, &later, NULL));
    from.struct_size = FIRST_SIZE - 1;
    g_assert_false(take(&now, &from, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, "Now.struct_size is 7"));
}

/* A size that nobody has set: what is beyond the struct is neither read nor zeroed. */
static void test_unset_size(void)
{
    g_autofree guint8 *room = g_malloc0(2 * GPUDL_STRUCT_LIMIT);
    guint32 sizes[] = {GPUDL_STRUCT_LIMIT, GPUDL_STRUCT_LIMIT + 1, G_MAXUINT32};
    Now now;

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;

        memcpy(room, &sizes[i], sizeof sizes[i]);
        g_assert_cmpint(gpudl_struct_has_room(room, FIRST_SIZE, "Now", &error), ==, i == 0);
        g_assert_cmpint(error == NULL, ==, i == 0);
        g_clear_error(&error);
        g_assert_cmpint(take(&now, room, &error), ==, i == 0);
        if (i > 0)
            g_assert_nonnull(strstr(error->message, "expected 8..4096"));
    }
}

/* The library's own, each with room behind it for what a later header may add. */
static void test_configurations(void)
{
    struct {
        GpudlSessionConfig config;
        guint8 later[16];
    } c = {.config = {.backend = "cpu"}};
    g_autoptr(GpudlModel) model = make_model();
    GpudlSession *session;

    fake_begin("cpu");
    session = acquire(model, "cpu");
    for (guint32 size = 0; size <= sizeof c; size++) {
        gboolean good = size == 0 || size >= GPUDL_SIZE_TO(GpudlSessionConfig, progress_data);
        GpudlSession *other;

        c.config.struct_size = size;
        other = gpudl_session_acquire(model, &c.config, NULL, NULL);
        g_assert_cmpint(other == session, ==, good);
        g_assert_cmpint(other != NULL, ==, good);
        gpudl_session_unref(other);
    }
    c.later[15] = 1;
    check_refused(model, &c.config, GPUDL_ERROR_INVALID_ARGUMENT, "does not know");
    gpudl_session_unref(session);
}

static gboolean submits(Use *use, const GpudlFrame *frame, const GpudlPreproc *preproc, const gchar *name)
{
    g_autoptr(GError) error = NULL;
    gboolean good = gpudl_request_submit(use->requests[0], frame, preproc, &error);

    if (good)
        g_assert_true(gpudl_request_wait(use->requests[0], NULL));
    else
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    if (!good)
        g_assert_nonnull(strstr(error->message, name));
    return good;
}

static void test_frames(void)
{
    static const guint8 pixels[64] = {3};
    struct {
        GpudlFrame frame;
        guint8 later[16];
    } f = {.frame = make_frame(pixels, GPUDL_MEMORY_HOST)};
    struct {
        GpudlPreproc preproc;
        guint8 later[16];
    } p = {.later = {0}};
    const GpudlFrame good = f.frame;
    Use *use;

    fake_begin("cpu");
    use = use_new((GpudlSessionConfig){.backend = "cpu"}, 1);
    p.preproc = *gpudl_model_get_preproc(use->model);
    for (guint32 size = 0; size <= sizeof f; size++) {
        f.frame.struct_size = size;
        g_assert_cmpint(submits(use, &f.frame, NULL, "GpudlFrame"), ==, size == 0 || size >= GPUDL_FRAME_FIRST_SIZE);
        g_assert_cmpint(gpudl_frame_check(&f.frame) == NULL, ==, size == 0 || size >= GPUDL_FRAME_FIRST_SIZE);
    }
    f.later[0] = 1;
    g_assert_false(submits(use, &f.frame, NULL, "GpudlFrame"));
    for (guint32 size = 0; size <= sizeof p; size++) {
        p.preproc.struct_size = size;
        g_assert_cmpint(submits(use, &good, &p.preproc, "GpudlPreproc"), ==,
                        size == 0 || size >= GPUDL_PREPROC_FIRST_SIZE);
    }
    p.later[0] = 1;
    g_assert_false(submits(use, &good, &p.preproc, "GpudlPreproc"));
    use_free(use);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/structs/sizes", test_sizes);
    g_test_add_func("/structs/unset-size", test_unset_size);
    g_test_add_func("/structs/configurations", test_configurations);
    g_test_add_func("/structs/frames", test_frames);
    return g_test_run();
}
