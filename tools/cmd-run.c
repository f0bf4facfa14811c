/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl run: pictures and videos through one session, several frames under way, results in order. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/media.h"
#include "tools/network.h"
#include "tools/preproc-options.h"
#include "tools/progress.h"
#include "tools/results.h"

#define NAME "run"
/* decoded frames beyond those that run: the decoder works ahead of a worker that gets free */
#define AHEAD 2
#define MAX_SLOTS 256
/* seconds, of the waits between attempts */
#define MAX_DELAY 30
/* how often results are looked for while a camera's next frame is waited for */
#define POLL_MS 5
#define INTERRUPT_MS 1500

/* One file of the command line; slots point to it until their result is out. */
typedef struct {
    const gchar *path;
    gchar *shown;      /* path without a password */
    GpudlMedia *media; /* of this connection; NULL: none */
    guint64 n_dropped;
    guint64 n_frames;     /* decoded so far; 1 at the end: a picture */
    guint64 first_number; /* of this connection: numbers go on after a new one */
    gboolean live;
    gboolean away;      /* its picture was lost, and that was said */
    guint delay;        /* seconds before the next attempt */
    gboolean no_scores; /* the last frame had no classification: the next such one is not told */
} Source;

typedef struct {
    GpudlRequest *request;
    GpudlMediaFrame *frame; /* NULL: free */
    Source *source;
} Slot;

typedef struct {
    /* options */
    gboolean json, every_frame;
    gchar *top_k_text, *threshold_text;
    NetworkOptions options;
    PreprocOptions preproc;
    gchar **arguments;
    /* what they mean */
    gint top_k; /* -1: by what is shown */
    GpudlImportOptions import;
    GpudlSessionConfig config;
    double threshold;
    /* state */
    Network network;
    GpudlActivation activation;
    gboolean probability; /* of the frame that is being printed */
    gboolean dead;
    guint n_failed;
    guint second_ms; /* of the waits for a camera */
    GCancellable *cancellable;
    gint64 started;
    guint64 n_frames, n_dropped; /* in the summary */
    Slot *slots;
    guint n_slots, first, n_busy; /* ring: the oldest frame is at first */
    GpudlClass *classes;
    GString *text;
} Run;

/* ---- setting up -------------------------------------------------------------------------------------------------- */

static gboolean set_up(Run *run, GError **error)
{
    Network *network = &run->network;

    if (!network_load(network, run->arguments[0], &run->import, &run->config, run->options.labels_file, error))
        return FALSE;
    run->activation = gpudl_model_get_activation(network->model);
    run->n_slots = MIN(gpudl_session_get_parallelism(network->session) + AHEAD, MAX_SLOTS);
    run->slots = g_new0(Slot, run->n_slots);
    for (guint i = 0; i < run->n_slots; i++)
        run->slots[i].request = gpudl_request_new(network->stream);
    run->classes = g_new(GpudlClass, network->n_classes);
    run->text = g_string_new(NULL);
    note_model(NAME, run->arguments[0], network->model);
    if (gpudl_model_get_n_heads(network->model) > 1 && !run->json)
        say_error(NAME, "note: %s has %u outputs; the first, %s, is shown", run->arguments[0],
                  gpudl_model_get_n_heads(network->model), gpudl_model_get_head_name(network->model, 0));
    return TRUE;
}

static void clean_up(Run *run)
{
    for (guint i = 0; i < run->n_slots; i++) {
        gpudl_media_frame_free(run->slots[i].frame);
        gpudl_request_free(run->slots[i].request);
    }
    g_free(run->slots);
    network_clear(&run->network);
    network_options_clear(&run->options);
    preproc_options_clear(&run->preproc);
    g_strfreev(run->arguments);
    g_free(run->top_k_text);
    g_free(run->threshold_text);
    g_free(run->classes);
    if (run->text != NULL)
        g_string_free(run->text, TRUE);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* A picture: its name, then a line per class. */
static void append_picture(Run *run, const gchar *path, guint n)
{
    g_string_append_printf(run->text, "%s\n", path);
    if (n == 0)
        g_string_append(run->text, "  nothing above the threshold\n");
    for (guint i = 0; i < n; i++) {
        g_string_append(run->text, "  ");
        results_append_confidence(run->text, run->classes[i].confidence, run->probability);
        g_string_append_printf(run->text, "  %4u  ", run->classes[i].id);
        results_append_label(run->text, run->network.model, run->network.labels, run->classes[i].id);
        g_string_append_c(run->text, '\n');
    }
}

/* A video's frame: one line. */
static void append_video_frame(Run *run, const Slot *slot, guint n)
{
    gint64 ms = slot->frame->pts / 1000000;

    g_string_append_printf(run->text, "%s #%-5" G_GUINT64_FORMAT, slot->source->path, slot->frame->number);
    if (slot->frame->pts >= 0)
        g_string_append_printf(run->text, " %d:%02d:%02d.%03d", (int)(ms / 3600000), (int)(ms / 60000 % 60),
                               (int)(ms / 1000 % 60), (int)(ms % 1000));
    for (guint i = 0; i < n; i++) {
        g_string_append(run->text, i == 0 ? "  " : ",  ");
        results_append_confidence(run->text, run->classes[i].confidence, run->probability);
        g_string_append_c(run->text, ' ');
        results_append_label(run->text, run->network.model, run->network.labels, run->classes[i].id);
        g_string_append_printf(run->text, " (%u)", run->classes[i].id);
    }
    g_string_append(run->text, n == 0 ? "  nothing above the threshold\n" : "\n");
}

/* Whether scores read as percentages: a graph that ends in a softmax of its own counts as one without activation. */
static gboolean are_probabilities(Run *run, GpudlRequest *request)
{
    const float *scores = gpudl_request_get_scores(request, 0);

    if (run->activation != GPUDL_ACTIVATION_NONE)
        return TRUE;
    for (guint i = 0; i < run->network.n_classes; i++)
        if (!(scores[i] >= 0.0f && scores[i] <= 1.0f))
            return FALSE;
    return TRUE;
}

static void print_frame(Run *run, const Slot *slot)
{
    gboolean video = slot->source->n_frames > 1;
    guint k = run->top_k >= 0 ? (guint)run->top_k : video && !run->json ? 1 : 5;
    guint n =
        gpudl_request_top_k(slot->request, 0, MIN(k, run->network.n_classes), (float)run->threshold, run->classes);

    run->probability = are_probabilities(run, slot->request);
    g_string_truncate(run->text, 0);
    if (run->json) {
        results_append_json(run->text, slot->source->path, slot->frame->number, slot->frame->pts, run->network.model,
                            run->network.labels, run->classes, n);
        g_string_append_c(run->text, '\n');
    } else if (video) {
        append_video_frame(run, slot, n);
    } else {
        append_picture(run, slot->source->path, n);
    }
    run->n_frames++;
    fputs(run->text->str, stdout);
    fflush(stdout); /* whoever reads the lines gets each when it is known */
}

/* Where the results go elsewhere: that something happens, and how fast. */
static void show_progress(Run *run, const Slot *slot)
{
    double seconds = (double)(g_get_monotonic_time() - run->started) / G_USEC_PER_SEC;
    g_autofree gchar *text = NULL;

    if (isatty(STDOUT_FILENO) || !progress_is_due())
        return;
    text = g_strdup_printf("%s: frame %" G_GUINT64_FORMAT "; %" G_GUINT64_FORMAT " frames, %.1f frames/s",
                           slot->source->shown, slot->frame->number, run->n_frames, run->n_frames / seconds);
    progress_tell(text);
}

/* What gpudlinfer says of the same. */
static void say_behind(Run *run, const Source *source, const GpudlMediaPace *pace)
{
    guint workers = gpudl_session_get_parallelism(run->network.session);
    gboolean cpu = g_str_equal(gpudl_session_get_backend(run->network.session), "cpu");
    g_autofree gchar *asked = pace->asked > 0 ? g_strdup_printf("%.1f of %.1f frames/s", pace->reached, pace->asked)
                                              : g_strdup_printf("%.1f frames/s, and more come", pace->reached);
    const gchar *lost = run->every_frame ? "they come out late" : "the others are dropped";

    if (pace->reader)
        say_error(NAME, "%s: whoever reads the results takes %s: %s", source->shown, asked, lost);
    else if (cpu && workers < g_get_num_processors())
        say_error(NAME, "%s: the network answers %s: %s. Take a smaller network, or more --threads than %u",
                  source->shown, asked, lost, workers);
    else
        say_error(NAME, "%s: the network answers %s: %s. Take a smaller network, or %s", source->shown, asked, lost,
                  g_str_equal(gpudl_session_get_backend(run->network.session), "ref")
                      ? "--backend=cpu"
                      : "a faster backend (gpudl doctor lists them)");
}

static void await_answer(const Source *source)
{
    if (source->media != NULL)
        gpudl_media_await(source->media);
}

static void note_answer(Run *run, const Source *source)
{
    GpudlMediaPace pace;

    if (source->media == NULL)
        return;
    gpudl_media_answer(source->media);
    if (gpudl_media_take_behind(source->media, &pace))
        say_behind(run, source, &pace);
}

/* Waits for the oldest frame, prints it, frees its slot. */
static void finish_oldest(Run *run)
{
    Slot *slot = &run->slots[run->first];
    g_autoptr(GError) error = NULL;
    gboolean no_scores = FALSE, there;

    await_answer(slot->source);
    there = gpudl_request_wait(slot->request, &error);
    note_answer(run, slot->source);
    if (there && gpudl_request_check_scores(slot->request, 0, &error)) {
        print_frame(run, slot);
    } else {
        no_scores = g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FINITE);
        if (!no_scores || !slot->source->no_scores)
            say_error(NAME, "%s: frame %" G_GUINT64_FORMAT ": %s", slot->source->path, slot->frame->number,
                      error->message);
        run->n_failed++;
        run->dead = run->dead || g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
    }
    slot->source->no_scores = no_scores;
    show_progress(run, slot);
    g_clear_pointer(&slot->frame, gpudl_media_frame_free);
    run->first = (run->first + 1) % run->n_slots;
    run->n_busy--;
}

static void finish_all(Run *run)
{
    while (run->n_busy > 0)
        finish_oldest(run);
}

/* What went before comes out before the error. */
static void fail_file(Run *run, const GError *error)
{
    finish_all(run);
    say_error(NAME, "%s", error->message);
    run->n_failed++;
}

/* Takes the frame over in any case. */
static gboolean submit(Run *run, Source *source, GpudlMediaFrame *frame, GError **error)
{
    Slot *slot = &run->slots[(run->first + run->n_busy) % run->n_slots];

    if (!gpudl_request_submit(slot->request, &frame->frame, NULL, error)) {
        g_prefix_error(error, "%s: frame %" G_GUINT64_FORMAT ": ", source->path, frame->number);
        gpudl_media_frame_free(frame);
        return FALSE;
    }
    slot->frame = frame;
    slot->source = source;
    run->n_busy++;
    return TRUE;
}

/* ---- files and addresses ----------------------------------------------------------------------------------------- */

static gboolean goes_on(Run *run)
{
    return !run->dead && !ferror(stdout) && !g_cancellable_is_cancelled(run->cancellable);
}

static void finish_done(Run *run)
{
    while (run->n_busy > 0 && gpudl_request_is_done(run->slots[run->first].request))
        finish_oldest(run);
}

/* Room for a frame, which then is the newest of a live source: none is taken before it can run. */
static void make_room(Run *run, GpudlMedia *media)
{
    guint most = run->n_slots;

    if (gpudl_media_is_live(media)) {
        most = run->n_slots > AHEAD ? run->n_slots - AHEAD : 1;
        finish_done(run);
    }
    while (run->n_busy >= most)
        finish_oldest(run);
    /* what is known does not wait for a camera's next frame */
    while (gpudl_media_is_live(media) && run->n_busy > 0 && !gpudl_media_wait(media, POLL_MS))
        finish_done(run);
}

static void say_back(Source *source)
{
    if (source->away)
        say_error(NAME, "%s: the picture is back", source->shown);
    source->away = FALSE;
    source->delay = 1;
}

/* Until the end, or the error that it ends with. */
static void run_media(Run *run, Source *source, GpudlMedia *media, GError **error)
{
    GpudlMediaFrame *frame;

    for (make_room(run, media); goes_on(run) && (frame = gpudl_media_next(media, error)) != NULL;
         make_room(run, media)) {
        say_back(source);
        frame->number += source->first_number;
        if (source->n_frames++ == 0 && gpudl_media_is_cut(media))
            say_error(NAME, "note: %s: its end is missing: the picture may be incomplete", source->shown);
        if (!submit(run, source, frame, error))
            break;
    }
    source->first_number = source->n_frames + gpudl_media_get_n_dropped(media) + source->n_dropped;
    source->n_dropped += gpudl_media_get_n_dropped(media);
}

/* Returns FALSE where Ctrl-C ends the wait. */
static gboolean wait_to_try_again(Run *run, Source *source, const GError *reason)
{
    guint ms = source->delay * run->second_ms;
    GPollFD fd;

    finish_all(run);
    if (reason != NULL)
        say_error(NAME, "%s; trying again in %g s", reason->message, ms / 1000.0);
    else
        say_error(NAME, "%s: the camera ended the stream; trying again in %g s", source->shown, ms / 1000.0);
    source->away = TRUE;
    source->delay = MIN(source->delay * 2, MAX_DELAY);
    if (g_cancellable_make_pollfd(run->cancellable, &fd)) {
        g_poll(&fd, 1, (gint)ms);
        g_cancellable_release_fd(run->cancellable);
    }
    return !g_cancellable_is_cancelled(run->cancellable);
}

/* One connection. TRUE: another is worth it, as docs/live.md has it. */
static gboolean run_once(Run *run, Source *source, GError **error)
{
    GpudlMediaWatch watch = {
        .newest = !run->every_frame, .silence_ms = MAX_DELAY * run->second_ms, .cancellable = run->cancellable};
    GpudlMediaRetry retry = GPUDL_MEDIA_FINAL;
    gboolean live = FALSE;
    g_autoptr(GpudlMedia) media = gpudl_media_open_watched(source->path, &watch, &live, &retry, error);

    source->live = source->live || live;
    if (media != NULL) {
        gpudl_media_expect_answers(media, gpudl_session_get_parallelism(run->network.session));
        source->media = media;
        run_media(run, source, media, error);
        source->media = NULL;
        retry = gpudl_media_get_retry(media);
    }
    if (!source->live || !goes_on(run))
        return FALSE;
    return retry == GPUDL_MEDIA_AGAIN || (retry == GPUDL_MEDIA_AGAIN_IF_SEEN && source->n_frames > 0);
}

static void run_file(Run *run, Source *source)
{
    g_autoptr(GError) error = NULL;

    source->shown = gpudl_media_shown(source->path);
    source->delay = 1;
    /* what is known does not wait for a network; files are decoded while what came before them still runs */
    if (strstr(source->path, "://") != NULL)
        finish_all(run);
    while (run_once(run, source, &error) && wait_to_try_again(run, source, error))
        g_clear_error(&error);
    if (error != NULL && !g_cancellable_is_cancelled(run->cancellable))
        fail_file(run, error);
    run->n_dropped += source->n_dropped;
}

/* For people, where they see it. */
static void say_summary(const Run *run)
{
    double seconds = (double)(g_get_monotonic_time() - run->started) / G_USEC_PER_SEC;

    if (!isatty(STDERR_FILENO))
        return;
    progress_wipe();
    fflush(stdout);
    g_printerr("%" G_GUINT64_FORMAT " frame%s in %.1f s, %.1f frames/s; %" G_GUINT64_FORMAT " dropped, %u error%s\n",
               run->n_frames, run->n_frames == 1 ? "" : "s", seconds, run->n_frames / MAX(seconds, 0.001),
               run->n_dropped, run->n_failed, run->n_failed == 1 ? "" : "s");
    if (run->network.session != NULL)
        g_printerr("by %s\n", gpudl_session_get_device_name(run->network.session));
}

static int run_files(Run *run)
{
    guint n_files = g_strv_length(run->arguments) - 1;
    g_autofree Source *sources = g_new0(Source, n_files);

    run->started = g_get_monotonic_time();
    progress_start();
    run->cancellable = interrupt_begin();
    interrupt_limit(INTERRUPT_MS);
    for (guint i = 0; i < n_files && goes_on(run); i++) {
        sources[i].path = run->arguments[i + 1];
        run_file(run, &sources[i]);
    }
    if (!g_cancellable_is_cancelled(run->cancellable))
        finish_all(run);
    say_summary(run);
    for (guint i = 0; i < n_files; i++)
        g_free(sources[i].shown);
    if (g_cancellable_is_cancelled(run->cancellable))
        interrupt_exit(NAME, NULL);
    interrupt_end();
    g_clear_object(&run->cancellable);
    return run->n_failed > 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static gboolean parse_second(Run *run, GError **error)
{
    const gchar *text = g_getenv("GPUDL_RECONNECT_SECOND_MS");
    guint64 ms = 1000;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 1, 1000000, &ms, NULL)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "GPUDL_RECONNECT_SECOND_MS: found '%s', expected milliseconds, 1 to 1000000", text);
        return FALSE;
    }
    run->second_ms = (guint)ms;
    return TRUE;
}

static int check_options(Run *run)
{
    g_autoptr(GError) error = NULL;

    if (run->arguments == NULL || run->arguments[1] == NULL)
        return say_usage(NAME, run->arguments == NULL ? "no model given" : "no picture or video given");
    if (!parse_optional_count(run->top_k_text, &run->top_k, "top-k", 0, G_MAXINT, "all classes", &error) ||
        (run->threshold_text != NULL &&
         !parse_number("threshold", run->threshold_text, 0.0, 1.0, &run->threshold, &error)) ||
        !parse_second(run, &error) || !network_options_read(&run->options, &run->import, &run->config, &error) ||
        !preproc_options_read(&run->preproc, &run->import, &error))
        return say_usage(NAME, "%s", error->message);
    return -1;
}

int cmd_run(int argc, char **argv)
{
    Run run = {.top_k = -1};
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &run.json, "One JSON object a line", NULL},
        {"top-k", 'k', 0, G_OPTION_ARG_STRING, &run.top_k_text,
         "Best classes to show, 0: all (default 5; 1 per frame of a video in the readable form)", "K"},
        {"threshold", 0, 0, G_OPTION_ARG_STRING, &run.threshold_text, "Leave out classes below this, 0 to 1", "T"},
        {NETWORK_LABELS_FILE(run.options)},
        {NETWORK_INPUT_SIZE(run.options)},
        {PREPROC_MEAN(run.preproc)},
        {PREPROC_STD(run.preproc)},
        {PREPROC_SCALE(run.preproc)},
        {PREPROC_CHANNEL_ORDER(run.preproc)},
        {PREPROC_RESIZE_MODE(run.preproc)},
        {PREPROC_CROP_FRACTION(run.preproc)},
        {PREPROC_SCALE_METHOD(run.preproc)},
        {PREPROC_PAD_COLOR(run.preproc)},
        {"every-frame", 0, 0, G_OPTION_ARG_NONE, &run.every_frame,
         "Of a live address every frame, however late; without it those that come while the network is busy are "
         "dropped",
         NULL},
        {NETWORK_BACKEND(run.options)},
        {NETWORK_PRECISION(run.options)},
        {NETWORK_THREADS(run.options)},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &run.arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status = parse_options(
        argv, entries, "MODEL FILE...",
        "Classifies pictures and every frame of videos. MODEL is a net.bin or a file of\n"
        "ONNX, PyTorch, TensorFlow or Caffe; a FILE may also be a URI that GStreamer can open. Directories\n"
        "are not taken: name the files. The network sees (pixel / scale - mean) / std; what no option says is\n"
        "taken from MODEL, and from what lies beside it.\n\n"
        "With --json each line is\n"
        "{\"file\", \"frame\", \"pts\", \"results\": [{\"id\", \"label\", \"confidence\"}]}\n"
        "with frame counted from 0 and pts in ns, the stream's time (from 0 at its beginning), or\n"
        "null where there is none, as for pictures. Of a picture file the first picture counts, of\n"
        "an animated GIF the first frame.\n\n"
        "A camera's address (rtsp://.. and the like) gives its newest frame each time; numbers of frames\n"
        "that were dropped are left out. When it goes away it is tried again after 1, 2, 4, 8, 16, 30,\n"
        "30 .. s, until Ctrl-C; a refused password and the like end it. Numbers then go on, and pts\n"
        "begins anew.\n\n"
        "A file that can't be read is reported, the others go on, and the exit code is 1. So is a\n"
        "frame whose scores are NaN or infinite: it has no line, and the first of several in a row\n"
        "is reported.");
    if (status < 0)
        status = check_options(&run);
    if (status < 0 && !set_up(&run, &error)) {
        if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
            interrupt_exit(NAME, NULL);
        say_error(NAME, "%s", error->message);
        status = EXIT_FAILED;
    }
    if (status < 0)
        status = run_files(&run);
    clean_up(&run);
    return finish_stdout(NAME, status);
}
