/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl tune: measures what a network runs fastest with here, and keeps it; or says whether that is known. */
#include <stdio.h>
#include <string.h>

#include "models/gpudl-import.h"
#include "tools/command.h"
#include "tools/figures.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

#define NAME "tune"
/* Of the bar: what is measured while loading, the largest batch and a single frame. The batches between follow. */
#define SHARE_OF_LOADING 0.4

enum { EXIT_NOT_WARM = 3 };

typedef struct {
    /* options as given */
    gboolean check, json;
    gchar *backend, *device_text, *precision, *batch_text, *input_size;
    gchar **arguments;
    /* what they mean */
    GpudlSessionConfig config;
    GpudlImportOptions import;
    /* state */
    GpudlModel *model;
    GpudlForecast *forecast; /* as it is, after tuning */
    guint n_tuned;
    double seconds;
} Tune;

static void clean_up(Tune *t)
{
    gchar *texts[] = {t->backend, t->device_text, t->precision, t->batch_text, t->input_size};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_clear_pointer(&t->forecast, gpudl_forecast_free);
    g_clear_pointer(&t->model, gpudl_model_unref);
    g_strfreev(t->arguments);
}

static int check_options(Tune *t)
{
    g_autoptr(GError) error = NULL;
    gint device = -1, batch = 0;

    if (t->arguments == NULL)
        return say_usage(NAME, "no model given");
    if (t->arguments[1] != NULL)
        return say_usage(NAME, "one model at a time; found '%s' as well", t->arguments[1]);
    if (!parse_backend("backend", t->backend, &error) ||
        !parse_precision("precision", t->precision, &t->config.precision, &error) ||
        !parse_optional_count(t->device_text, &device, "device", 0, G_MAXINT, NULL, &error) ||
        !parse_optional_count(t->batch_text, &batch, "batch-size", 0, 4096, "the backend's choice", &error) ||
        (t->input_size != NULL &&
         !parse_size("input-size", t->input_size, &t->import.input_height, &t->import.input_width, &error)))
        return say_usage(NAME, "%s", error->message);
    t->config.struct_size = sizeof t->config;
    t->config.backend = t->backend;
    t->config.cuda_device_id = device;
    t->config.batch_size = (guint)batch;
    t->config.autotune = GPUDL_AUTOTUNE_FULL;
    return -1;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static void on_loading(double done, const gchar *what, gpointer data)
{
    progress_update(SHARE_OF_LOADING * done, what);
}

static void on_settling(double done, const gchar *what, gpointer data)
{
    progress_update(SHARE_OF_LOADING + (1 - SHARE_OF_LOADING) * done, what);
}

static gboolean look(Tune *t, GCancellable *cancellable, GError **error)
{
    g_clear_pointer(&t->forecast, gpudl_forecast_free);
    t->forecast = gpudl_session_forecast(t->model, &t->config, cancellable, error);
    if (t->forecast == NULL)
        return FALSE;
    if (t->config.cuda_device_id < 0 || strcmp(t->forecast->backend, "cuda") == 0)
        return TRUE;
    /* a GPU that was asked for is that GPU, or an error */
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "--device: GPU %d was asked for, but the network would run on backend '%s'; --backend=cuda says why",
                t->config.cuda_device_id, t->forecast->backend);
    return FALSE;
}

static gboolean is_warm(const Tune *t)
{
    return t->forecast->n_known == t->forecast->n_choices;
}

static gboolean tune_all(Tune *t, GCancellable *cancellable, GError **error)
{
    g_autoptr(GpudlSession) session = NULL;

    t->config.progress = on_loading;
    session = gpudl_session_acquire(t->model, &t->config, cancellable, error);
    return session != NULL && gpudl_session_settle(session, on_settling, NULL, cancellable, error);
}

/* Tuning takes its time: whether that is for nothing is said before. */
static gboolean check_kept(const Tune *t, GError **error)
{
    if (t->forecast->not_kept == NULL)
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s", t->forecast->not_kept);
    return FALSE;
}

static gboolean tune(Tune *t, GCancellable *cancellable, GError **error)
{
    const guint n_known = t->forecast->n_known;
    const gint64 begin = g_get_monotonic_time();

    if (!check_kept(t, error) || !tune_all(t, cancellable, error) || !look(t, cancellable, error))
        return FALSE;
    t->seconds = (double)(g_get_monotonic_time() - begin) / 1e6;
    t->n_tuned = t->forecast->n_known - MIN(n_known, t->forecast->n_known);
    if (is_warm(t) || !check_kept(t, error))
        return is_warm(t);
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE,
                "%u of %u choices could not be kept in %s (the first: %s): is the disk full, or does the folder belong "
                "to somebody else? GPUDL_CACHE_DIR names another",
                t->forecast->n_choices - t->forecast->n_known, t->forecast->n_choices, t->forecast->cache_dir,
                t->forecast->missing[0] != NULL ? t->forecast->missing[0] : "not named");
    return FALSE;
}

static gboolean work(Tune *t, GError **error)
{
    g_autoptr(GpudlDevicePromise) promise =
        gpudl_device_promise(t->config.backend, t->config.cuda_device_id, t->arguments[0]);
    g_autoptr(GCancellable) cancellable = interrupt_begin();
    gboolean done;

    progress_start();
    t->config.promise = promise;
    t->model = gpudl_model_load(t->arguments[0], &t->import, cancellable, error);
    done = t->model != NULL && look(t, cancellable, error) && (t->check || is_warm(t) || tune(t, cancellable, error));
    t->config.promise = NULL;
    interrupt_end();
    progress_wipe();
    return done;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void print_json(const Tune *t, gchar *const *argv)
{
    const GpudlForecast *f = t->forecast;
    ReportSubject subject;
    JsonBuilder *builder;
    g_autofree gchar *text = NULL;

    report_subject_init(&subject, t->model, t->arguments[0], argv);
    builder = report_begin(&subject);
    report_text(builder, "backend", f->backend);
    report_text(builder, "precision", gpudl_precision_name(f->precision));
    report_integer(builder, "batch_size", f->batch_size);
    json_builder_set_member_name(builder, "warm");
    json_builder_add_boolean_value(builder, is_warm(t));
    report_integer(builder, "choices", f->n_choices);
    report_integer(builder, "known", f->n_known);
    json_builder_set_member_name(builder, "missing");
    json_builder_begin_array(builder);
    for (guint i = 0; f->missing[i] != NULL; i++) {
        g_autofree gchar *name = g_utf8_make_valid(f->missing[i], -1);

        json_builder_add_string_value(builder, name);
    }
    json_builder_end_array(builder);
    report_text(builder, "cache", f->cache_dir);
    report_text(builder, "not_kept", f->not_kept);
    report_integer(builder, "tuned", t->n_tuned);
    report_number(builder, "seconds", t->seconds);
    report_known(builder, "weight_bytes", f->weights);
    report_known(builder, "work_bytes", f->workspace);
    text = report_end(builder);
    fputs(text, stdout);
    report_subject_clear(&subject);
}

static void print_readable(const Tune *t)
{
    const GpudlForecast *f = t->forecast;
    g_autofree gchar *name = text_printable(gpudl_model_get_name(t->model));

    printf("%s on %s, %s, batches up to %u: ", name, f->backend, gpudl_precision_name(f->precision), f->batch_size);
    if (f->n_choices == 0)
        printf("nothing to tune, every start is warm\n");
    else if (!is_warm(t))
        printf("not warm, %u of %u choices are not known\n", f->n_choices - f->n_known, f->n_choices);
    else if (t->n_tuned > 0)
        printf("%u of %u choices tuned in %.1f s, kept in %s\n", t->n_tuned, f->n_choices, t->seconds, f->cache_dir);
    else
        printf("warm, all %u choices are known\n", f->n_choices);
    for (guint i = 0; f->missing[i] != NULL; i++) {
        g_autofree gchar *missing = text_printable(f->missing[i]);

        printf("  %s\n", missing);
    }
}

static int run(Tune *t, gchar *const *argv)
{
    g_autoptr(GError) error = NULL;

    if (!work(t, &error)) {
        if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED) ||
            g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            interrupt_exit(NAME, t->check ? NULL : "what was tuned so far is kept");
        say_error(NAME, "%s", error->message);
        return EXIT_FAILED;
    }
    if (t->json)
        print_json(t, argv);
    else
        print_readable(t);
    return is_warm(t) ? EXIT_OK : EXIT_NOT_WARM;
}

static const char description[] =
    "Measures which implementations a network runs fastest with on this device, and keeps them in the tuning cache:\n"
    "starts with the same model, backend, precision and batch size are then warm, they measure and build nothing.\n"
    "What is known already is not measured again. The cache is $GPUDL_CACHE_DIR, else gpudl in the user's cache "
    "folder;\n"
    "read beside it, never written, is share/gpudl/cache of the installation.\n"
    "With GPUDL_CUDA_LIBS=0 in the environment a GPU runs networks without cuDNN and cuBLASLt, on kernels of our own, "
    "for\n"
    "which choices are kept apart.\n\n"
    "With --check nothing is tuned or written; the exit status is 0 where a start would be warm and 3 where not, with "
    "a\n"
    "line for each choice that is missing.\n\n"
    "With --json one object:\n"
    "  {gpudl, date, command, model: {name, file, id}, backend, precision, batch_size, warm, choices, known,\n"
    "   missing: [text, ...], cache: folder or null, not_kept: why nothing could be kept there, or null,\n"
    "   tuned: choices made now, seconds, weight_bytes, work_bytes: on the device, null where not known}";

int cmd_tune(int argc, char **argv)
{
    Tune t = {.n_tuned = 0};
    g_auto(GStrv) line = g_strdupv(argv);
    int status;
    const GOptionEntry entries[] = {
        {"check", 0, 0, G_OPTION_ARG_NONE, &t.check, "Only say whether a start would be warm", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &t.json, "As JSON", NULL},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &t.backend, "auto, cuda, cpu or ref (default auto)", "B"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &t.device_text, "Number of the GPU (default the first)", "N"},
        {"precision", 0, 0, G_OPTION_ARG_STRING, &t.precision, "auto, fp32, tf32, fp16, bf16, int8 or fp8", "P"},
        {"batch-size", 0, 0, G_OPTION_ARG_STRING, &t.batch_text,
         "Largest batch, as the element's (default 0: the backend's choice)", "N"},
        {"input-size", 0, 0, G_OPTION_ARG_STRING, &t.input_size, "For files with a free input size", "HxW"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &t.arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status = parse_options(argv, entries, "MODEL", description);
    if (status < 0)
        status = check_options(&t);
    if (status < 0)
        status = run(&t, line);
    clean_up(&t);
    return finish_stdout(NAME, status);
}
