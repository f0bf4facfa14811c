/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What gpupipes.py measures of pipelines: chains "SOURCE ! PLACE ! fakesink" side by side in one process, PLACE being
 * gpudlinfer or, to compare with, identity. Results go to standard output as JSON, one object a line: one when it is
 * ready, then one for each line of standard input, which says for how many seconds to count. Each turn makes its
 * pipeline anew, so in between nothing runs.
 *
 * bench-pipe rate --source=DESCRIPTION --place=DESCRIPTION: frames that reach the end, "ns" of the clock for one.
 *
 * bench-pipe delay ...: one stream, as fast as the source gives it. For each frame the time from the place's sink pad
 * to its source pad, and how much later than its running time it came to the end.
 *
 * bench-pipe push --caps=CAPS --memory=pool|malloc --place=DESCRIPTION: an appsrc for each stream that pushes the same
 * filled buffers again and again, from the streaming thread: of the pool that the place proposes, or malloc()ed.
 *
 * bench-pipe copy --caps=CAPS --memory=pinned|malloc: what push is compared with. pinned: copies of such frames from
 * pinned memory to the GPU, by the driver alone. malloc: one memcpy() a thread, as many threads as streams, into pinned
 * memory where there is a driver.
 *
 * bench-pipe frames --source=DESCRIPTION --shared=FILE: hands frames of system memory to another program, by appsink.
 * The file has --buffers places, frame after frame without padding; the number of a place is a line on standard output
 * when it is filled, and a line on standard input when it is free again. Ends with standard input.
 */
#include "bench/bench-pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_SECONDS 3600
#define LOST_S 120 /* more than a turn needs to start and to stop: something hangs */

typedef struct {
    const gchar *name;
    gboolean (*turn)(const PipeOptions *options, gdouble seconds, GError **error);
    gboolean source, place, caps; /* options that it needs */
    const gchar *memory;          /* values of --memory, NULL: it has none */
} Mode;

static const Mode modes[] = {
    {"rate", pipe_rate, TRUE, TRUE, FALSE, NULL},
    {"delay", pipe_delay, TRUE, TRUE, FALSE, NULL},
    {"push", pipe_push, FALSE, TRUE, TRUE, "pool malloc"},
    {"copy", pipe_copy, FALSE, FALSE, TRUE, "pinned malloc"},
    {"frames", NULL, TRUE, FALSE, FALSE, NULL},
};

static int fail(const gchar *message)
{
    fprintf(stderr, "bench-pipe: %s\n", message);
    return 1;
}

static int usage(const gchar *message)
{
    fprintf(stderr, "bench-pipe: %s; bench-pipe --help says what it takes\n", message);
    return 2;
}

static const Mode *find_mode(const gchar *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

static gboolean is_word_of(const gchar *words, const gchar *word)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);

    return word != NULL && g_strv_contains((const gchar *const *)list, word);
}

/* What is wrong with the options, or NULL; the caller frees it. */
static gchar *check_options(const Mode *mode, const PipeOptions *options)
{
    if (mode->source && options->source == NULL)
        return g_strdup_printf("%s needs --source", mode->name);
    if (mode->place && options->place == NULL)
        return g_strdup_printf("%s needs --place", mode->name);
    if (mode->caps && options->caps == NULL)
        return g_strdup_printf("%s needs --caps", mode->name);
    if (mode->memory != NULL && !is_word_of(mode->memory, options->memory))
        return g_strdup_printf("%s: --memory: found '%s', expected one of: %s", mode->name,
                               options->memory != NULL ? options->memory : "", mode->memory);
    if (mode->turn == NULL && options->shared == NULL)
        return g_strdup_printf("%s needs --shared", mode->name);
    if (options->streams < 1 || options->streams > 64)
        return g_strdup_printf("--streams: found %d, expected 1 to 64", options->streams);
    if (options->warmup < 1 || options->buffers < 1 || options->buffers > 1024)
        return g_strdup_printf("--warmup %d, --buffers %d: expected at least 1, at most 1024 buffers", options->warmup,
                               options->buffers);
    if (mode->turn == pipe_delay && options->streams != 1)
        return g_strdup("delay: expected one stream");
    return NULL;
}

static int run_turns(const Mode *mode, const PipeOptions *options)
{
    g_autofree gchar *version = gst_version_string();
    char line[64];

    printf("{\"ready\": \"%s\"}\n", version);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        const gdouble seconds = g_ascii_strtod(line, NULL);
        g_autoptr(GError) error = NULL;

        if (!(seconds > 0 && seconds <= MOST_SECONDS))
            return fail("a line of standard input: expected seconds, above 0 and at most 3600");
        alarm((unsigned)seconds + LOST_S);
        if (!mode->turn(options, seconds, &error))
            return fail(error->message);
        alarm(0);
        fflush(stdout);
    }
    return 0;
}

static int run_frames(const PipeOptions *options)
{
    g_autoptr(GError) error = NULL;

    return pipe_frames(options, &error) ? 0 : fail(error->message);
}

int main(int argc, char **argv)
{
    PipeOptions options = {.streams = 1, .warmup = 30, .buffers = 64};
    const GOptionEntry entries[] = {
        {"source", 0, 0, G_OPTION_ARG_STRING, &options.source, "What comes before the place", "DESCRIPTION"},
        {"place", 0, 0, G_OPTION_ARG_STRING, &options.place, "The element that is measured", "DESCRIPTION"},
        {"caps", 0, 0, G_OPTION_ARG_STRING, &options.caps, "Of frames that are pushed or copied", "CAPS"},
        {"memory", 0, 0, G_OPTION_ARG_STRING, &options.memory, "pool, malloc or pinned", "KIND"},
        {"shared", 0, 0, G_OPTION_ARG_FILENAME, &options.shared, "Where frames are handed over", "FILE"},
        {"streams", 0, 0, G_OPTION_ARG_INT, &options.streams, "Chains side by side (1)", "N"},
        {"warmup", 0, 0, G_OPTION_ARG_INT, &options.warmup, "Frames of each that do not count (30)", "N"},
        {"buffers", 0, 0, G_OPTION_ARG_INT, &options.buffers, "Filled buffers, or places of the file (64)", "N"},
        {0}};
    g_autoptr(GOptionContext) context = g_option_context_new("rate|delay|push|copy|frames");
    g_autoptr(GError) error = NULL;
    g_autofree gchar *wrong = NULL;
    const Mode *mode;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_group(context, gst_init_get_option_group());
    if (!g_option_context_parse(context, &argc, &argv, &error))
        return usage(error->message);
    mode = argc == 2 ? find_mode(argv[1]) : NULL;
    if (mode == NULL)
        return usage("expected one of rate, delay, push, copy, frames");
    wrong = check_options(mode, &options);
    if (wrong != NULL)
        return usage(wrong);
    return mode->turn != NULL ? run_turns(mode, &options) : run_frames(&options);
}
