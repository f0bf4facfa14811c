/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl convert: a model file to net.bin, checked against the graph as it was imported. */
#include <glib/gstdio.h>
#include <stdio.h>

#include "tools/command.h"
#include "tools/files.h"
#include "tools/interrupt.h"
#include "tools/media.h"
#include "tools/memory.h"
#include "tools/npy.h"
#include "tools/preproc-options.h"
#include "tools/progress.h"

#define NAME "convert"

typedef struct {
    /* options as given */
    gchar *output, *labels, *input_size, *expect, *golden, *backend, *activation;
    PreprocOptions preproc;
    gchar **arguments;
    /* what they mean */
    GpudlImportOptions import;
} Convert;

static void clean_up(Convert *c)
{
    gchar *texts[] = {c->output, c->labels, c->input_size, c->expect, c->golden, c->backend, c->activation};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    preproc_options_clear(&c->preproc);
    g_strfreev(c->arguments);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* What it really is, the importer tells. */
static gboolean is_of_caffe(const gchar *path)
{
    return g_str_has_suffix(path, ".prototxt") || g_str_has_suffix(path, ".caffemodel");
}

static int check_options(Convert *c)
{
    g_autoptr(GError) error = NULL;

    if (c->arguments == NULL)
        return say_usage(NAME, "no model file given");
    if (c->arguments[1] != NULL && c->arguments[2] == NULL &&
        (is_of_caffe(c->arguments[0]) || is_of_caffe(c->arguments[1])))
        c->import.with_file = c->arguments[1];
    else if (c->arguments[1] != NULL)
        return say_usage(NAME, "one model file at a time; found '%s' as well", c->arguments[1]);
    if (c->output == NULL || c->output[0] == '\0')
        return say_usage(NAME, "-o FILE is missing: where the net.bin goes");
    if (!parse_backend("backend", c->backend, &error))
        return say_usage(NAME, "%s", error->message);
    if (c->expect != NULL && c->golden == NULL)
        return say_usage(NAME, "--expect needs --golden: the picture that gives these values");
    if (c->activation != NULL && !gpudl_activation_parse(c->activation, &c->import.activation))
        return say_usage(NAME, "--activation: found '%s', expected auto, none, softmax or sigmoid", c->activation);
    if (!preproc_options_read(&c->preproc, &c->import, &error) ||
        (c->input_size != NULL &&
         !parse_size("input-size", c->input_size, &c->import.input_height, &c->import.input_width, &error)))
        return say_usage(NAME, "%s", error->message);
    c->import.struct_size = sizeof c->import;
    return -1;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static void on_progress(double done, const gchar *what, gpointer user_data)
{
    progress_update(done, what);
}

/* FALSE: what was written can't be loaded. */
static gboolean print_outcome(const Convert *c, const GpudlParity *parity, GError **error)
{
    g_autoptr(GpudlModel) model = gpudl_model_load(c->output, NULL, NULL, error);
    GStatBuf st;

    if (model == NULL)
        return FALSE;
    printf("%s: %s, %u classes", c->output, gpudl_model_get_name(model), gpudl_model_get_n_classes(model, 0));
    if (g_stat(c->output, &st) == 0)
        printf(", %.1f MB", (double)st.st_size / 1e6);
    printf("\nchecked on %s against the graph as imported, %u inputs: max difference %.3g, rms %.3g, range %.4g\n",
           parity->backend, parity->n_inputs, parity->max_difference, parity->rms_difference, parity->range);
    if (parity->range > 0.0)
        printf("that is %.2g of the range at most; up to 1e-3 is taken\n", parity->max_difference / parity->range);
    note_model(NAME, c->output, model);
    if (parity->widened)
        printf("the file's half floats are kept as float32, and both sides were computed so\n");
    return TRUE;
}

static gboolean convert(Convert *c, GError **error)
{
    g_auto(GStrv) labels = NULL;
    g_autofree float *expect = NULL;
    g_autoptr(GpudlMedia) media = NULL;
    g_autoptr(GpudlMediaFrame) picture = NULL;
    g_autofree gchar *golden_name = NULL;
    g_autoptr(GCancellable) cancellable = NULL;
    GpudlParity parity = {.struct_size = sizeof parity};
    gsize n_expect = 0;
    gboolean done;

    if (!files_check_output("-o", c->output, c->arguments[0], "the model file", error) ||
        !files_check_output("-o", c->output, c->import.with_file, "the model's other file", error) ||
        !files_check_output("-o", c->output, c->labels, "the labels file", error) ||
        !files_check_output("-o", c->output, c->golden, "the golden picture", error) ||
        !files_check_output("-o", c->output, c->expect, "the file of expected values", error))
        return FALSE;
    if (c->labels != NULL && (labels = gpudl_labels_read(c->labels, NULL, error)) == NULL)
        return FALSE;
    c->import.labels = (const gchar *const *)labels;
    c->import.labels_name = c->labels;
    if (c->expect != NULL && (expect = gpudl_npy_read(c->expect, &n_expect, error)) == NULL)
        return FALSE;
    if (c->golden != NULL) {
        media = gpudl_media_open(c->golden, GPUDL_PIXEL_UNKNOWN, error);
        picture = media != NULL ? gpudl_media_next(media, error) : NULL;
        if (picture == NULL)
            return FALSE;
        golden_name = g_path_get_basename(c->golden);
    }
    memory_give_back();
    progress_start();
    cancellable = interrupt_begin();
    done = gpudl_model_convert(c->arguments[0], c->output, &c->import, c->backend != NULL ? c->backend : "cpu",
                               picture != NULL ? &picture->frame : NULL, golden_name, expect, n_expect, on_progress,
                               NULL, &parity, cancellable, error);
    interrupt_end();
    progress_wipe();
    return done && print_outcome(c, &parity, error);
}

int cmd_convert(int argc, char **argv)
{
    Convert c = {0};
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &c.output,
         "The net.bin to write (replaced at once, when all is well)", "FILE"},
        {"labels", 0, 0, G_OPTION_ARG_FILENAME, &c.labels, "Labels to embed, one a line", "FILE"},
        {PREPROC_MEAN(c.preproc)},
        {PREPROC_STD(c.preproc)},
        {PREPROC_SCALE(c.preproc)},
        {PREPROC_CHANNEL_ORDER(c.preproc)},
        {PREPROC_RESIZE_MODE(c.preproc)},
        {PREPROC_CROP_FRACTION(c.preproc)},
        {PREPROC_SCALE_METHOD(c.preproc)},
        {PREPROC_PAD_COLOR(c.preproc)},
        {"input-size", 0, 0, G_OPTION_ARG_STRING, &c.input_size, "For files with a free input size", "HxW"},
        {"activation", 0, 0, G_OPTION_ARG_STRING, &c.activation, "auto, none, softmax or sigmoid", "A"},
        {"golden", 0, 0, G_OPTION_ARG_FILENAME, &c.golden, "Picture to compare with too, stored as the golden sample",
         "PICTURE"},
        {"expect", 0, 0, G_OPTION_ARG_FILENAME, &c.expect,
         "What the picture has to give before the activation (float32 or float64)", "F.npy"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &c.backend, "Where the result is checked (default cpu)", "B"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &c.arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status =
        parse_options(argv, entries, "MODEL [WITH] -o NET.BIN",
                      "Makes a net.bin of a model file. The network sees (pixel / scale - mean) / std; what no\n"
                      "option says is taken from the file. Caffe's networks are in two: NET.prototxt NET.caffemodel;\n"
                      "of one alone the other is looked for beside it.\n\n"
                      "The rewritten graph runs 8 random inputs (2 to 7 where an input takes more than 8 G\n"
                      "multiply-accumulates), and the golden picture, on the backend and is\n"
                      "compared with the graph as imported on the reference backend. A difference above 1e-3 of\n"
                      "the output's range refuses: nothing is written.");
    if (status < 0)
        status = check_options(&c);
    if (status < 0) {
        status = convert(&c, &error) ? EXIT_OK : EXIT_FAILED;
        if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
            interrupt_exit(NAME, "nothing was written");
        if (status != EXIT_OK)
            say_error(NAME, "%s", error->message);
    }
    clean_up(&c);
    return finish_stdout(NAME, status);
}
