/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/gpudl-import.h"
#include "tools/demo/annotate.h"
#include "tools/demo/demo.h"
#include "tools/files.h"
#include "tools/media.h"
#include "tools/options.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

typedef struct {
    gchar *model_path, *manifest_path, *input, *output, *backend;
    GpudlModel *model;
    gchar *device;
    guint64 n_frames, n_labelled; /* of all videos */
    gboolean interrupted;
} Demo;

static void say_error(const gchar *text)
{
    fflush(stdout);
    g_printerr("gpudl-demo: %s\n", text);
}

/* Exactly width characters, cut or filled up; printf counts bytes. Freed by the caller. */
static gchar *fit(const gchar *text, glong width)
{
    glong n = g_utf8_strlen(text, -1);
    g_autofree gchar *cut = g_utf8_substring(text, 0, MIN(n, n > width ? width - 1 : width));

    return n > width ? g_strconcat(cut, "\xe2\x80\xa6", NULL) : g_strdup_printf("%s%*s", cut, (int)(width - n), "");
}

/* ---- photographs ------------------------------------------------------------------------------------------------- */

static gboolean classify(GpudlRequest *request, GpudlModel *model, Photo *photo, GError **error)
{
    g_autoptr(GpudlMedia) media = gpudl_media_open(photo->path, GPUDL_PIXEL_UNKNOWN, error);
    g_autoptr(GpudlMediaFrame) frame = media != NULL ? gpudl_media_next(media, error) : NULL;
    GpudlClass best;

    if (frame == NULL || !gpudl_request_submit(request, &frame->frame, NULL, error) ||
        !gpudl_request_wait(request, error) || !gpudl_request_check_scores(request, 0, error))
        return FALSE;
    gpudl_request_top_k(request, 0, 1, -INFINITY, &best);
    photo->classified = TRUE;
    photo->id = best.id;
    photo->confidence = best.confidence;
    photo->label = g_strdup(gpudl_model_get_label(model, best.id));
    if (photo->label == NULL)
        photo->label = g_strdup_printf("%u", best.id);
    photo->picture = picture_load(photo->path, error);
    return photo->picture != NULL;
}

static guint classify_all(Demo *demo, GPtrArray *photos, GpudlSession *session)
{
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    guint right = 0;

    printf("\n%-20s  %-36s  %-32s  confidence\n", "photograph", "expected", "seen");
    for (guint i = 0; i < photos->len; i++) {
        Photo *photo = photos->pdata[i];
        g_autoptr(GError) error = NULL;
        g_autofree gchar *name = fit(photo->name, 20), *truth = fit(photo->truth, 36);
        g_autofree gchar *label = NULL, *seen = NULL;
        gboolean ok = classify(request, demo->model, photo, &error) && photo_is_right(photo, photo->id);

        right += ok;
        if (error != NULL) {
            say_error(error->message);
            continue;
        }
        label = g_strdup_printf("%s (%u)", photo->label, photo->id);
        seen = fit(label, 32);
        printf("%s  %s  %s  %6.1f %%   %s\n", name, truth, seen, 100.0 * photo->confidence, ok ? "ok" : "WRONG");
        fflush(stdout);
    }
    printf("%u of %u right\n", right, photos->len);
    return right;
}

static guint count_pictures(GPtrArray *photos)
{
    guint n = 0;

    for (guint i = 0; i < photos->len; i++)
        n += ((Photo *)photos->pdata[i])->picture != NULL;
    return n;
}

/* ---- the film ---------------------------------------------------------------------------------------------------- */

/* Votes of the shot that is being watched. */
typedef struct {
    GPtrArray *shots;   /* Photo *, one per shot */
    GHashTable *votes;  /* id -> frames */
    GHashTable *labels; /* id -> label */
    GHashTable *sums;   /* id -> double *: confidences added */
    guint shot, n_frames, right;
} Watch;

static void finish_shot(Watch *watch)
{
    const Photo *photo = watch->shots->pdata[watch->shot];
    guint best = 0, most = 0;
    g_autofree gchar *name = NULL, *label = NULL;
    GHashTableIter iter;
    gpointer id, n;
    gboolean ok;

    g_hash_table_iter_init(&iter, watch->votes);
    while (g_hash_table_iter_next(&iter, &id, &n)) {
        if (GPOINTER_TO_UINT(n) > most || (GPOINTER_TO_UINT(n) == most && GPOINTER_TO_UINT(id) < best)) {
            most = GPOINTER_TO_UINT(n);
            best = GPOINTER_TO_UINT(id);
        }
    }
    ok = most > 0 && photo_is_right(photo, best);
    watch->right += ok;
    name = fit(photo->name, 20);
    label = fit(most > 0 ? g_hash_table_lookup(watch->labels, GUINT_TO_POINTER(best)) : "no label", 28);
    printf("shot %2u of %u  %s  %s  %2u of %u frames, %5.1f %% on average   %s\n", watch->shot + 1, watch->shots->len,
           name, label, most, watch->n_frames,
           most > 0 ? 100.0 * *(double *)g_hash_table_lookup(watch->sums, GUINT_TO_POINTER(best)) / most : 0.0,
           ok ? "ok" : "WRONG");
    fflush(stdout);
    g_hash_table_remove_all(watch->votes);
    g_hash_table_remove_all(watch->labels);
    g_hash_table_remove_all(watch->sums);
    watch->n_frames = 0;
    watch->shot++;
}

/* The frame's time says which shot it is of: a lost or doubled frame does not shift the truth of those behind it. */
static void on_film_frame(const SeenFrame *frame, gpointer user_data)
{
    Watch *watch = user_data;
    guint64 number = frame->pts >= 0 ? (guint64)(frame->pts * FILM_FPS / 1e9 + 0.5) : frame->number;
    guint shot = (guint)MIN(number / SHOT_FRAMES, watch->shots->len - 1);
    gpointer id;
    double *sum;

    while (watch->shot < shot)
        finish_shot(watch);
    watch->n_frames++;
    if (frame->n_classes == 0)
        return;
    id = GUINT_TO_POINTER(frame->classes[0].id);
    g_hash_table_insert(watch->votes, id,
                        GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(watch->votes, id)) + 1));
    if (!g_hash_table_contains(watch->labels, id)) {
        g_hash_table_insert(watch->labels, id, g_strdup(frame->classes[0].label));
        g_hash_table_insert(watch->sums, id, g_new0(double, 1));
    }
    sum = g_hash_table_lookup(watch->sums, id);
    *sum += frame->classes[0].confidence;
}

/* FALSE: interrupted, or the pipeline failed, or a frame has no label; the last two are said. */
static gboolean annotate(Demo *demo, const gchar *input, const gchar *output, SeenFunc seen, gpointer user_data,
                         guint64 n_expected)
{
    AnnotateJob job = {.input = input,
                       .model = demo->model_path,
                       .backend = demo->backend,
                       .output = output,
                       .seen = seen,
                       .user_data = user_data};
    g_autofree gchar *text = NULL;
    g_autoptr(GError) error = NULL;
    AnnotateCounts counts;

    if (!annotate_run(&job, &counts, &text, &error)) {
        say_error(error->message);
        return FALSE;
    }
    demo->interrupted = counts.interrupted;
    if (demo->interrupted)
        return FALSE;
    demo->n_frames += counts.n_in;
    demo->n_labelled += counts.n_labelled;
    if (counts.n_in == 0 || counts.n_labelled != counts.n_in || counts.n_out != counts.n_in ||
        (n_expected != 0 && counts.n_in != n_expected)) {
        g_autofree gchar *wrong = g_strdup_printf("%s: %" G_GUINT64_FORMAT " frames went in, %" G_GUINT64_FORMAT
                                                  " got a label, %" G_GUINT64_FORMAT " came out",
                                                  input, counts.n_in, counts.n_labelled, counts.n_out);

        say_error(wrong);
        return FALSE;
    }
    return TRUE;
}

/* Returns the shots that are right, or -1. */
static gint show_film(Demo *demo, GPtrArray *photos, const gchar *film, const gchar *output, guint *n_shots)
{
    Watch watch = {.shots = g_ptr_array_new(),
                   .votes = g_hash_table_new(NULL, NULL),
                   .labels = g_hash_table_new_full(NULL, NULL, NULL, g_free),
                   .sums = g_hash_table_new_full(NULL, NULL, NULL, g_free)};
    gboolean done;

    for (guint i = 0; i < photos->len; i++)
        if (((Photo *)photos->pdata[i])->picture != NULL)
            g_ptr_array_add(watch.shots, photos->pdata[i]);
    *n_shots = watch.shots->len;
    done = annotate(demo, film, output, on_film_frame, &watch, (guint64)watch.shots->len * SHOT_FRAMES);
    while (done && watch.shot < watch.shots->len)
        finish_shot(&watch);
    g_ptr_array_unref(watch.shots);
    g_hash_table_unref(watch.votes);
    g_hash_table_unref(watch.labels);
    g_hash_table_unref(watch.sums);
    return done ? (gint)watch.right : -1;
}

/* ---- any input --------------------------------------------------------------------------------------------------- */

/* Says what is seen whenever that changes. */
typedef struct {
    gboolean any;
    guint32 id;
    guint held; /* frames the same class has been first */
    guint32 said;
} Changes;

/* A class has to be first for this many frames before it is said: no flicker between two of the same likelihood. */
#define STEADY_FRAMES 10

static void print_seen(const SeenFrame *frame, guint n)
{
    gint64 ms = frame->pts / 1000000;

    if (frame->pts >= 0)
        printf("%d:%02d:%02d.%03d  ", (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
               (int)(ms % 1000));
    for (guint i = 0; i < MIN(n, frame->n_classes); i++)
        printf("%s%s (%u) %.1f %%", i == 0 ? "" : ", ", frame->classes[i].label, frame->classes[i].id,
               100.0 * frame->classes[i].confidence);
    printf("\n");
    fflush(stdout);
}

static void on_any_frame(const SeenFrame *frame, gpointer user_data)
{
    Changes *changes = user_data;

    if (frame->n_classes == 0)
        return;
    if (changes->any && frame->classes[0].id == changes->said) {
        changes->held = 0;
        return;
    }
    changes->held = frame->classes[0].id == changes->id ? changes->held + 1 : 1;
    changes->id = frame->classes[0].id;
    if (changes->any && changes->held < STEADY_FRAMES)
        return;
    changes->any = TRUE;
    changes->said = frame->classes[0].id;
    print_seen(frame, 1);
}

static void on_still(const SeenFrame *frame, gpointer user_data)
{
    SeenFrame timeless = *frame;

    timeless.pts = -1;
    if (frame->number == 0)
        print_seen(&timeless, G_N_ELEMENTS(frame->classes));
}

/* A second frame tells a video from a picture; live sources are not opened for that. *still: what decodes the picture,
 * to be freed; NULL for a video. */
static gboolean find_still(const gchar *input, gchar **still, GError **error)
{
    g_autoptr(GpudlMedia) media = NULL;
    GpudlMediaFrame *frame = NULL;

    *still = NULL;
    if ((strstr(input, "://") != NULL && !g_str_has_prefix(input, "file://")) || g_str_has_prefix(input, "/dev/"))
        return TRUE;
    media = gpudl_media_open(input, GPUDL_PIXEL_UNKNOWN, error);
    if (media == NULL)
        return FALSE;
    gpudl_media_frame_free(gpudl_media_next(media, NULL));
    frame = gpudl_media_next(media, NULL);
    if (frame == NULL)
        *still = gpudl_media_describe_decoding(media);
    gpudl_media_frame_free(frame);
    return TRUE;
}

/* FALSE, and said, if a file that is to be made is one that is shown. */
static gboolean check_made(const Demo *demo, const gchar *made, const GPtrArray *photos, const gchar *video)
{
    g_autoptr(GError) error = NULL;
    gboolean good = files_check_output("--output", made, demo->model_path, "the model", &error) &&
                    files_check_output("--output", made, demo->manifest_path, "the list of photographs", &error) &&
                    files_check_output("--output", made, demo->input, "the input", &error) &&
                    files_check_output("--output", made, video, "the video", &error);

    for (guint i = 0; photos != NULL && i < photos->len && good; i++)
        good = files_check_output("--output", made, ((const Photo *)photos->pdata[i])->path, "a photograph", &error);
    if (!good)
        say_error(error->message);
    return good;
}

/* How GStreamer found the element here, for a shell that knows nothing of it. Freed by the caller. */
static gchar *environment(void)
{
    static const gchar *const names[] = {"GST_PLUGIN_PATH", "GPUDL_BACKEND_PATH"};
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree gchar *value = g_getenv(names[i]) != NULL ? g_shell_quote(g_getenv(names[i])) : NULL;

        if (value != NULL)
            g_string_append_printf(text, "%s=%s ", names[i], value);
    }
    return g_strdup(text->str);
}

static int show_input(Demo *demo)
{
    gboolean window;
    Changes changes = {0};
    g_autofree gchar *output = NULL, *text = NULL, *name = NULL, *still = NULL, *settings = environment();
    g_autoptr(GError) error = NULL;
    AnnotateCounts counts;
    AnnotateJob job;

    if (!window_check(&window, &error) || !find_still(demo->input, &still, &error)) {
        say_error(error->message);
        return EXIT_FAILED;
    }
    if (!window) {
        const VideoEncoder *encoder = still ? NULL : video_encoder_find(VIDEO_ENCODER_SHOWN, &error);

        if (error != NULL) {
            say_error(error->message);
            return EXIT_FAILED;
        }
        name = g_strconcat("annotated", still ? ".png" : encoder->suffix, NULL);
        output = g_build_filename(demo->output, name, NULL);
        if (!check_made(demo, output, NULL, NULL))
            return EXIT_FAILED;
    }
    job = (AnnotateJob){.input = demo->input,
                        .still = still,
                        .model = demo->model_path,
                        .backend = demo->backend,
                        .output = output,
                        .seen = still ? on_still : on_any_frame,
                        .user_data = &changes};
    printf("%s%s\n", demo->input,
           window  ? ": in a window; close it or press Ctrl-C to stop"
           : still ? ""
                   : ": press Ctrl-C to stop");
    fflush(stdout);
    if (!annotate_run(&job, &counts, &text, &error)) {
        say_error(error->message);
        return EXIT_FAILED;
    }
    printf("%s%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " frames labelled\n",
           counts.interrupted ? "interrupted: " : "", counts.n_labelled, counts.n_in);
    if (output != NULL && counts.n_in > 0)
        printf("Look at:\n  %s\n", output);
    printf("The same by hand:\n  %sgst-launch-1.0 %s%s\n", settings, still || window ? "" : "-e ", text);
    if (counts.interrupted)
        return EXIT_INTERRUPTED;
    return counts.n_in > 0 && counts.n_labelled == counts.n_in ? EXIT_OK : EXIT_FAILED;
}

/* ---- the whole demo ---------------------------------------------------------------------------------------------- */

static int show_outcome(Demo *demo, const Manifest *manifest, guint right, gint shots_right, guint n_shots,
                        gboolean street_ok)
{
    gboolean ok = mostly_right(right, manifest->photos->len) && shots_right >= 0 &&
                  mostly_right((guint)shots_right, n_shots) && n_shots > 0 && street_ok;

    printf("\n%u of %u photographs right, %d of %u shots right, %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
           " frames labelled%s\n",
           right, manifest->photos->len, MAX(shots_right, 0), n_shots, demo->n_labelled, demo->n_frames,
           ok ? "" : ": FAILED (at least 7 of 8 have to be right, and every frame labelled)");
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int show_all(Demo *demo, GpudlSession *session)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Manifest) manifest = manifest_read(demo->manifest_path, &error);
    const VideoEncoder *encoder = manifest != NULL ? video_encoder_find(VIDEO_ENCODER_SHOWN, &error) : NULL;
    g_autofree gchar *sheet = g_build_filename(demo->output, "contact-sheet.png", NULL);
    g_autofree gchar *film_base = g_build_filename(demo->output, "film", NULL);
    g_autofree gchar *film = NULL, *shots = NULL, *street = NULL, *title = NULL, *subtitle = NULL;
    guint right, n_shots = 0;
    gint shots_right;
    gboolean street_ok = TRUE;
    int status;

    if (encoder == NULL) {
        say_error(error->message);
        return EXIT_FAILED;
    }
    shots = g_strconcat(demo->output, G_DIR_SEPARATOR_S "film-annotated", encoder->suffix, NULL);
    street = g_strconcat(demo->output, G_DIR_SEPARATOR_S "street-annotated", encoder->suffix, NULL);
    if (!check_made(demo, sheet, manifest->photos, manifest->video) ||
        !check_made(demo, shots, manifest->photos, manifest->video) ||
        !check_made(demo, street, manifest->photos, manifest->video))
        return EXIT_FAILED;
    right = classify_all(demo, manifest->photos, session);
    if (count_pictures(manifest->photos) == 0) {
        say_error("none of the photographs can be read");
        return EXIT_FAILED;
    }
    title = g_strdup_printf("%u of %u photographs right", right, manifest->photos->len);
    subtitle = g_strdup_printf("%s, %u classes, on %s", gpudl_model_get_name(demo->model),
                               gpudl_model_get_n_classes(demo->model, 0), demo->device);
    printf("\nA film panned over them, %d frames a shot, through the pipeline:\n", SHOT_FRAMES);
    if (!sheet_write(manifest->photos, title, subtitle, sheet, &error) ||
        !film_write(manifest->photos, film_base, &film, &error)) {
        say_error(error->message);
        return EXIT_FAILED;
    }
    shots_right = show_film(demo, manifest->photos, film, shots, &n_shots);
    if (!demo->interrupted && manifest->video != NULL && g_file_test(manifest->video, G_FILE_TEST_EXISTS)) {
        Changes changes = {0};

        printf("\nA video, truth not known; what is seen whenever that changes:\n");
        street_ok = annotate(demo, manifest->video, street, on_any_frame, &changes, 0);
    } else {
        g_clear_pointer(&street, g_free);
    }
    if (demo->interrupted)
        printf("\ninterrupted\n");
    status =
        demo->interrupted ? EXIT_INTERRUPTED : show_outcome(demo, manifest, right, shots_right, n_shots, street_ok);
    printf("Look at:\n  %s\n  %s\n%s%s%s", sheet, shots, street != NULL ? "  " : "", street != NULL ? street : "",
           street != NULL ? "\n" : "");
    return status;
}

static int run_demo(Demo *demo)
{
    g_autoptr(GpudlDevicePromise) promise = gpudl_device_promise(demo->backend, -1, demo->model_path);
    GpudlSessionConfig config = {
        .struct_size = sizeof config, .backend = demo->backend, .cuda_device_id = -1, .promise = promise};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = NULL;

    demo->model = gpudl_model_load(demo->model_path, NULL, NULL, &error);
    if (demo->model != NULL)
        session = gpudl_session_acquire(demo->model, &config, NULL, &error);
    g_clear_pointer(&promise, gpudl_device_promise_free);
    if (session != NULL && g_mkdir_with_parents(demo->output, 0777) != 0)
        g_set_error(&error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be made: %s", demo->output, g_strerror(errno));
    if (error != NULL) {
        say_error(error->message);
        return EXIT_FAILED;
    }
    demo->device = g_strdup(gpudl_session_get_device_name(session));
    printf("%s on %s\n", gpudl_model_get_name(demo->model), demo->device);
    return demo->input != NULL ? show_input(demo) : show_all(demo, session);
}

int main(int argc, char **argv)
{
    Demo demo = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("MODEL [MANIFEST]");
    g_auto(GStrv) arguments = NULL, parted = NULL;
    guint n_arguments;
    int status;
    const GOptionEntry entries[] = {
        {"input", 'i', 0, G_OPTION_ARG_FILENAME, &demo.input,
         "In place of the photographs: a file, /dev/video0, rtsp://...", "INPUT"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &demo.output, "Folder for what is made (default .)", "DIR"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &demo.backend, "auto, cuda, cpu or ref (default auto)", "B"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    g_option_context_set_summary(context, "Shows gpudlinfer at work: photographs, a film made of them, a video.\n"
                                          "MANIFEST lists photographs and what they show, as JSON.\n"
                                          "Exit code 1 if fewer than 7 of 8 are right or a frame has no label.");
    g_option_context_add_main_entries(context, entries, NULL);
    parted = options_part_values(argv, entries);
    if (!g_option_context_parse_strv(context, &parted, &error)) {
        say_error(error->message);
        return EXIT_USAGE;
    }
    n_arguments = arguments != NULL ? g_strv_length(arguments) : 0;
    if (n_arguments != (demo.input != NULL ? 1 : 2)) {
        say_error("expected MODEL and a MANIFEST, or MODEL and --input; see --help");
        return EXIT_USAGE;
    }
    demo.model_path = g_strdup(arguments[0]);
    demo.manifest_path = g_strdup(arguments[1]);
    if (demo.output == NULL)
        demo.output = g_strdup(".");
    status = run_demo(&demo);
    g_clear_pointer(&demo.model, gpudl_model_unref);
    g_free(demo.model_path);
    g_free(demo.manifest_path);
    g_free(demo.input);
    g_free(demo.output);
    g_free(demo.backend);
    g_free(demo.device);
    return status;
}
