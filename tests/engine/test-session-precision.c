/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Models that do not bear the precision that a backend takes for "auto": what their golden sample decides, who is told,
 * and what is kept of it. The fake "cuda" takes fp16, its scores are what it is given. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session-test.h"

/* A model whose network, as the fake has it, gives the sample's values back: 0, 1, 2, 3, ..., while the sample says
 * that value i is to be wanted[i]. */
static GpudlModel *make_sampled(const gchar *content, const float *wanted)
{
    GpudlModel *model = make_model();
    float values[N_CLASSES];

    for (guint i = 0; i < N_CLASSES; i++)
        values[i] = 0.1f * i;
    model->golden = g_new0(GpudlGolden, 1);
    model->golden->description = g_strdup("made up");
    model->golden->input = g_bytes_new(values, sizeof values);
    model->golden->output = g_bytes_new(wanted != NULL ? wanted : values, sizeof values);
    g_strlcpy(model->content, content, sizeof model->content);
    return model;
}

/* The sample wants this of value i, and of others what they are. */
static GpudlModel *make_straying(const gchar *content, guint i, float wanted)
{
    float values[N_CLASSES];

    for (guint k = 0; k < N_CLASSES; k++)
        values[k] = 0.1f * k;
    values[i] = wanted;
    return make_sampled(content, values);
}

static GpudlSessionConfig config_with(GpudlPrecision precision, const gchar *cache_dir)
{
    return (GpudlSessionConfig){.backend = "cuda",
                                .cuda_device_id = -1,
                                .precision = precision,
                                .activation = GPUDL_ACTIVATION_NONE,
                                .cache_dir = cache_dir};
}

static GpudlSession *acquire_auto(GpudlModel *model, const gchar *cache_dir)
{
    return acquire_with(model, config_with(GPUDL_PRECISION_AUTO, cache_dir));
}

static void expect_warning(const gchar *pattern)
{
    g_test_expect_message("gpudl", G_LOG_LEVEL_WARNING, pattern);
}

static void check_precision(GpudlSession *session, GpudlPrecision precision)
{
    g_assert_cmpint(gpudl_session_get_precision(session), ==, precision);
    gpudl_session_unref(session);
}

static gchar *make_folder(void)
{
    g_autoptr(GError) error = NULL;
    gchar *folder = g_dir_make_tmp("gpudl-precision-XXXXXX", &error);

    g_assert_no_error(error);
    return folder;
}

/* The one file below precision-1, or NULL. */
static gchar *find_verdict(const gchar *folder)
{
    g_autofree gchar *below = g_build_filename(folder, "precision-1", NULL);
    g_autoptr(GDir) dir = g_dir_open(below, 0, NULL);
    const gchar *name = dir != NULL ? g_dir_read_name(dir) : NULL;
    gchar *path = name != NULL ? g_build_filename(below, name, NULL) : NULL;

    g_assert_true(name == NULL || g_dir_read_name(dir) == NULL);
    return path;
}

static void remove_folder(gchar *folder)
{
    g_autofree gchar *below = g_build_filename(folder, "precision-1", NULL);
    g_autoptr(GDir) dir = g_dir_open(below, 0, NULL);
    const gchar *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(below, name, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_rmdir(below);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    g_free(folder);
}

static void test_what_is_borne_is_taken(void)
{
    Fake *fake = fake_begin("cuda");
    gchar *folder = make_folder();
    g_autoptr(GpudlModel) exact = make_sampled("aa", NULL), near = make_straying("ab", 3, 0.3f + 0.1f),
                          bare = make_model();

    check_precision(acquire_auto(exact, folder), GPUDL_PRECISION_FP16);
    g_assert_cmpuint(FAKE_SEEN(fake, jobs), ==, 1);
    check_precision(acquire_auto(near, folder), GPUDL_PRECISION_FP16);
    g_assert_cmpuint(FAKE_SEEN(fake, jobs), ==, 2);
    check_precision(acquire_auto(bare, folder), GPUDL_PRECISION_FP16);
    g_assert_cmpuint(FAKE_SEEN(fake, jobs), ==, 2);
    g_assert_cmpuint(FAKE_SEEN(fake, loads), ==, 3);
    g_assert_null(find_verdict(folder));
    remove_folder(folder);
}

/* fp32 is what the sample was made in, or next to it. */
static void test_fp32_needs_no_proof(void)
{
    Fake *fake = fake_begin("cpu");
    g_autoptr(GpudlModel) model = make_straying("ac", 0, 9);
    GpudlSessionConfig config = config_with(GPUDL_PRECISION_AUTO, "");

    config.backend = "cpu";
    check_precision(acquire_with(model, config), GPUDL_PRECISION_FP32);
    fake_begin("cuda");
    check_precision(acquire_with(model, config_with(GPUDL_PRECISION_FP32, "")), GPUDL_PRECISION_FP32);
    g_assert_cmpuint(FAKE_SEEN(fake, jobs), ==, 0);
}

/* What is remembered is foreseen too: tuning looks for what a start takes. */
static void check_forecast(GpudlModel *model, const gchar *folder, GpudlPrecision precision)
{
    const GpudlSessionConfig config = config_with(GPUDL_PRECISION_AUTO, folder);
    g_autoptr(GError) error = NULL;
    GpudlForecast *forecast = gpudl_session_forecast(model, &config, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpint(forecast->precision, ==, precision);
    gpudl_forecast_free(forecast);
}

static void test_what_strays_runs_in_fp32_and_is_remembered(void)
{
    static const struct {
        guint i;
        float wanted;
        const gchar *told;
    } cases[] = {
        {2, 9.f, "*'flat' does not bear fp16*best class is 15 (*) instead of 2 (*fp32 is taken instead"},
        {15, 1.8f, "*'flat' does not bear fp16*class 15 is 0.* instead of 0.*0.02 is borne*fp32 is taken instead"},
        {14, 1.499f, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fake *fake = fake_begin("cuda");
        gchar *folder = make_folder();
        g_autoptr(GpudlModel) model = make_straying("ad", cases[i].i, cases[i].wanted);
        const gboolean strays = cases[i].told != NULL;

        for (guint start = 0; start < 2; start++) {
            if (strays && start == 0)
                expect_warning(cases[i].told);
            check_precision(acquire_auto(model, folder), strays ? GPUDL_PRECISION_FP32 : GPUDL_PRECISION_FP16);
            g_test_assert_expected_messages();
            g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
            g_assert_cmpuint(FAKE_SEEN(fake, loads), ==, strays ? 2 + start : 1 + start);
        }
        check_forecast(model, folder, strays ? GPUDL_PRECISION_FP32 : GPUDL_PRECISION_FP16);
        remove_folder(folder);
    }
}

/* Another content, device or precision is another question; without a folder it is asked each time. */
static void test_a_verdict_is_of_one_model_and_device(void)
{
    Fake *fake = fake_begin("cuda");
    gchar *folder = make_folder();
    g_autoptr(GpudlModel) model = make_straying("ae", 0, 9), other = make_sampled("af", NULL),
                          nameless = make_straying("", 0, 9);
    GpudlSessionConfig squeezed = config_with(GPUDL_PRECISION_AUTO, folder);
    guint loads;

    FAKE_SET(fake, is.n_devices, 2);
    expect_warning("*fp32 is taken instead");
    check_precision(acquire_auto(model, folder), GPUDL_PRECISION_FP32);
    g_test_assert_expected_messages();
    check_precision(acquire_auto(other, folder), GPUDL_PRECISION_FP16);
    check_precision(acquire_with(model, config_with(GPUDL_PRECISION_FP16, folder)), GPUDL_PRECISION_FP16);
    squeezed.activation = GPUDL_ACTIVATION_SIGMOID; /* through which it may be little */
    loads = FAKE_SEEN(fake, loads);
    expect_warning("*fp32 is taken instead");
    check_precision(acquire_with(model, squeezed), GPUDL_PRECISION_FP32);
    g_test_assert_expected_messages();
    g_assert_cmpuint(FAKE_SEEN(fake, loads), ==, loads + 2);
    for (guint i = 0; i < 2; i++) {
        expect_warning("*fp32 is taken instead");
        check_precision(acquire_auto(model, ""), GPUDL_PRECISION_FP32);
        expect_warning("*fp32 is taken instead");
        check_precision(acquire_auto(nameless, folder), GPUDL_PRECISION_FP32);
        g_test_assert_expected_messages();
    }
    remove_folder(folder);
}

/* Who asks for a precision has it, and does not share it with who leaves it open. */
static void test_who_insists_has_it(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_straying("b0", 0, 9);
    GpudlSession *insisted = acquire_with(model, config_with(GPUDL_PRECISION_FP16, "")), *left;

    expect_warning("*'flat' does not bear fp16*fp32 is taken instead");
    left = acquire_auto(model, "");
    g_test_assert_expected_messages();
    g_assert_true(left != insisted);
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 2);
    check_precision(left, GPUDL_PRECISION_FP32);
    check_precision(insisted, GPUDL_PRECISION_FP16);
}

typedef struct {
    GpudlModel *model;
    GpudlPrecision precision;
} Asker;

static gpointer ask(gpointer data)
{
    const Asker *asker = data;

    return acquire_with(asker->model, config_with(asker->precision, ""));
}

/* Those that wait for one who finds out: the warning is one, and each has what he asked for. */
static void test_who_waits_gets_what_he_asked_for(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_straying("b1", 0, 9);
    const Asker left = {model, GPUDL_PRECISION_AUTO}, insists = {model, GPUDL_PRECISION_FP16};
    GThread *threads[4];
    GpudlSession *sessions[4];

    FAKE_SET(fake, is.open_us, 300000);
    expect_warning("*'flat' does not bear fp16*best class*fp32 is taken instead");
    threads[0] = g_thread_new("first", ask, (gpointer)&left);
    FAKE_AWAIT(fake, loading, 1);
    for (guint i = 1; i < 4; i++)
        threads[i] = g_thread_new("next", ask, (gpointer)(i == 3 ? &insists : &left));
    for (guint i = 0; i < 4; i++)
        sessions[i] = g_thread_join(threads[i]);
    g_test_assert_expected_messages();
    g_assert_true(sessions[0] == sessions[1] && sessions[0] == sessions[2] && sessions[0] != sessions[3]);
    g_assert_cmpint(gpudl_session_get_precision(sessions[3]), ==, GPUDL_PRECISION_FP16);
    for (guint i = 0; i < 3; i++)
        check_precision(sessions[i], GPUDL_PRECISION_FP32);
    gpudl_session_unref(sessions[3]);
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
}

static void test_a_sample_that_can_not_run_is_an_error(void)
{
    Fake *fake = fake_begin("cuda");
    g_autoptr(GpudlModel) model = make_sampled("b2", NULL);
    GpudlSessionConfig config = config_with(GPUDL_PRECISION_AUTO, "");

    config.struct_size = sizeof config;
    FAKE_SET(fake, does.fail_run_at, 1);
    check_refused(model, &config, GPUDL_ERROR_FAILED, "");
    g_assert_cmpuint(FAKE_SEEN(fake, engines), ==, 0);
    FAKE_SET(fake, does.fail_run_at, 0);
    check_precision(acquire_auto(model, ""), GPUDL_PRECISION_FP16);
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

/* Whether the verdict that lies there counts: then fp16 is not tried. */
static gboolean counts(Fake *fake, GpudlModel *model, const gchar *folder)
{
    const guint before = FAKE_SEEN(fake, loads);
    guint loads;

    check_precision(acquire_auto(model, folder), GPUDL_PRECISION_FP32);
    loads = FAKE_SEEN(fake, loads) - before;
    g_assert_cmpuint(loads, >=, 1);
    g_assert_cmpuint(loads, <=, 2);
    return loads == 1;
}

static void swallow(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (*(guint *)data)++;
}

static void write_verdict(const gchar *path, const gchar *text, gssize bytes)
{
    g_autoptr(GError) error = NULL;

    g_unlink(path);
    g_file_set_contents_full(path, text, bytes, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error(error);
}

/* Whatever lies there instead of a verdict is as if nothing lay there, and what is found out anew takes its place. */
static void test_what_is_no_verdict_does_not_count(void)
{
    Fake *fake = fake_begin("cuda");
    gchar *folder = make_folder();
    g_autoptr(GpudlModel) model = make_straying("b3", 0, 9);
    g_autofree gchar *path = NULL, *text = NULL, *more = NULL, *beside = g_build_filename(folder, "beside", NULL);
    guint warnings = 0;
    GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_FATAL_MASK);
    const guint handler = g_log_set_handler("gpudl", G_LOG_LEVEL_WARNING, swallow, &warnings);
    gsize n;

    g_assert_false(counts(fake, model, folder));
    g_assert_true(counts(fake, model, folder));
    g_assert_cmpuint(warnings, ==, 1);
    path = find_verdict(folder);
    g_assert_true(g_file_get_contents(path, &text, &n, NULL));
    for (gsize i = 0; i < n; i += 5) { /* cut off, and a bit flipped */
        g_autofree gchar *spoilt = g_memdup2(text, n);

        write_verdict(path, text, (gssize)i);
        g_assert_false(counts(fake, model, folder));
        spoilt[i] ^= 1;
        write_verdict(path, spoilt, (gssize)n);
        g_assert_false(counts(fake, model, folder));
        g_assert_true(counts(fake, model, folder));
    }
    more = g_strconcat(text, "x", NULL);
    write_verdict(path, more, -1);
    g_assert_false(counts(fake, model, folder));
    write_verdict(path, text, (gssize)n);
    g_assert_cmpint(g_chmod(path, 0666), ==, 0); /* anybody's */
    g_assert_false(counts(fake, model, folder));
    write_verdict(beside, text, (gssize)n);
    g_unlink(path);
    g_assert_cmpint(symlink(beside, path), ==, 0);
    g_assert_false(counts(fake, model, folder));
    g_unlink(beside);
    g_unlink(path);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0); /* nobody writes to it: reading must not wait */
    g_assert_false(counts(fake, model, folder));
    g_assert_true(counts(fake, model, folder));
    g_log_remove_handler("gpudl", handler);
    g_log_set_always_fatal(fatal);
    remove_folder(folder);
}

static void test_a_folder_that_can_not_be_written_to_is_told_once(void)
{
    g_autoptr(GpudlModel) model = make_straying("b4", 0, 9);

    fake_begin("cuda");
    for (guint i = 0; i < 2; i++) {
        expect_warning("*fp32 is taken instead");
        if (i == 0)
            expect_warning("/dev/null/there/precision-1: *can't be kept*");
        check_precision(acquire_auto(model, "/dev/null/there"), GPUDL_PRECISION_FP32);
        g_test_assert_expected_messages();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-precision/what-is-borne-is-taken", test_what_is_borne_is_taken);
    g_test_add_func("/session-precision/fp32-needs-no-proof", test_fp32_needs_no_proof);
    g_test_add_func("/session-precision/what-strays-runs-in-fp32-and-is-remembered",
                    test_what_strays_runs_in_fp32_and_is_remembered);
    g_test_add_func("/session-precision/a-verdict-is-of-one-model-and-device",
                    test_a_verdict_is_of_one_model_and_device);
    g_test_add_func("/session-precision/who-insists-has-it", test_who_insists_has_it);
    g_test_add_func("/session-precision/who-waits-gets-what-he-asked-for", test_who_waits_gets_what_he_asked_for);
    g_test_add_func("/session-precision/a-sample-that-can-not-run-is-an-error",
                    test_a_sample_that_can_not_run_is_an_error);
    g_test_add_func("/session-precision/what-is-no-verdict-does-not-count", test_what_is_no_verdict_does_not_count);
    g_test_add_func("/session-precision/a-folder-that-can-not-be-written-to-is-told-once",
                    test_a_folder_that_can_not_be_written_to_is_told_once);
    return g_test_run();
}
