/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gpudl eval: how well a network does on pictures whose classes are known, alone or beside another. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/eval.h"
#include "tools/files.h"
#include "tools/interrupt.h"
#include "tools/loader.h"
#include "tools/network.h"
#include "tools/preproc-options.h"
#include "tools/progress.h"
#include "tools/results.h"

#define NAME "eval"
/* decoded pictures beyond those that run */
#define AHEAD 2
#define MAX_SLOTS 256
#define INTERRUPT_MS 1500

/* A picture's way through the networks. */
typedef struct {
    LoadedPicture picture;
    GpudlRequest *requests[2];
    gboolean submitted[2];
    GError *error;
} Slot;

typedef struct {
    const gchar *file;
    GpudlSessionConfig config;
    Network network;
    GArray *answers; /* of EvalAnswer, of each judged picture */
    EvalFigures *figures;
} Side;

typedef struct {
    /* options as given */
    gboolean json;
    gchar *against, *against_backend, *against_precision, *class_names, *top_text;
    gchar **matrices;
    NetworkOptions options;
    PreprocOptions preproc;
    gchar **arguments;
    /* what they mean */
    gint top;
    GpudlImportOptions import;
    /* state */
    Side sides[2];
    guint n_sides;
    guint n_classes;
    Dataset *dataset;
    DatasetMatch match;
    guint32 *classes; /* of the data set's labels */
    gchar **class_names_read;
    const gchar **names; /* of the network's classes, NULL where there is none */
    GCancellable *cancellable;
    gint64 started;
    double seconds;
    Slot *slots;
    guint n_slots, first, n_busy; /* ring: the oldest picture is at first */
    GArray *pictures, *truths;    /* of guint and guint32: of judged ones */
    GPtrArray *failures;
    guint n_right; /* of the first side, so far */
    float difference;
    guint difference_at;
    gboolean dead;
} Eval;

static void clean_up(Eval *e)
{
    gchar *texts[] = {e->against, e->against_backend, e->against_precision, e->class_names, e->top_text};

    for (guint i = 0; i < e->n_slots; i++)
        for (guint s = 0; s < e->n_sides; s++)
            gpudl_request_free(e->slots[i].requests[s]);
    g_free(e->slots);
    for (guint s = 0; s < 2; s++) {
        network_clear(&e->sides[s].network);
        g_clear_pointer(&e->sides[s].answers, g_array_unref);
        g_clear_pointer(&e->sides[s].figures, eval_figures_free);
    }
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(e->matrices);
    network_options_clear(&e->options);
    preproc_options_clear(&e->preproc);
    g_strfreev(e->arguments);
    g_clear_pointer(&e->dataset, dataset_free);
    g_free(e->classes);
    g_strfreev(e->class_names_read);
    g_free(e->names);
    g_clear_pointer(&e->pictures, g_array_unref);
    g_clear_pointer(&e->truths, g_array_unref);
    g_clear_pointer(&e->failures, g_ptr_array_unref);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static gboolean is_csv(const gchar *path)
{
    return g_str_has_suffix(path, ".csv");
}

static gboolean check_matrices(const Eval *e, GError **error)
{
    for (guint i = 0; e->matrices != NULL && e->matrices[i] != NULL; i++) {
        if (is_csv(e->matrices[i]) || g_str_has_suffix(e->matrices[i], ".png"))
            continue;
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "--confusion: found '%s', expected a file whose name ends in .csv or .png", e->matrices[i]);
        return FALSE;
    }
    return TRUE;
}

/* What is not said of the second side is as of the first. */
static gboolean read_sides(Eval *e, GError **error)
{
    Side *first = &e->sides[0], *second = &e->sides[1];

    if (!network_options_read(&e->options, &e->import, &first->config, error) ||
        !preproc_options_read(&e->preproc, &e->import, error))
        return FALSE;
    first->file = e->arguments[0];
    e->n_sides = e->against != NULL || e->against_backend != NULL || e->against_precision != NULL ? 2 : 1;
    second->file = e->against != NULL ? e->against : first->file;
    second->config = first->config;
    if (!parse_backend("against-backend", e->against_backend, error))
        return FALSE;
    if (e->against_backend != NULL)
        second->config.backend = e->against_backend;
    return e->against_precision == NULL ||
           parse_precision("against-precision", e->against_precision, &second->config.precision, error);
}

static int check_options(Eval *e)
{
    g_autoptr(GError) error = NULL;

    if (e->arguments == NULL || e->arguments[1] == NULL)
        return say_usage(NAME, e->arguments == NULL ? "no model given" : "no data set given");
    if (e->arguments[2] != NULL)
        return say_usage(NAME, "one data set at a time; found '%s' as well", e->arguments[2]);
    if (!parse_optional_count(e->top_text, &e->top, "top", 0, G_MAXINT, "all", &error) || !read_sides(e, &error) ||
        !check_matrices(e, &error))
        return say_usage(NAME, "%s", error->message);
    return -1;
}

/* ---- setting up -------------------------------------------------------------------------------------------------- */

static gboolean load_side(Eval *e, guint s, GError **error)
{
    Side *side = &e->sides[s];
    Network *network = &side->network;

    if (!network_load(network, side->file, &e->import, &side->config, e->options.labels_file, error))
        return FALSE;
    side->answers = g_array_new(FALSE, FALSE, sizeof(EvalAnswer));
    if (s > 0 && network->n_classes != e->sides[0].network.n_classes) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "%s has %u classes and %s has %u, expected as many: their answers are compared by number",
                    e->sides[0].file, e->sides[0].network.n_classes, side->file, network->n_classes);
        return FALSE;
    }
    if (s > 0 && network->model == e->sides[0].network.model)
        return TRUE;
    note_model(NAME, side->file, network->model);
    if (gpudl_model_get_n_heads(network->model) > 1)
        say_error(NAME, "note: %s has %u outputs; the first, %s, is judged", side->file,
                  gpudl_model_get_n_heads(network->model), gpudl_model_get_head_name(network->model, 0));
    return TRUE;
}

static const gchar *name_of(const Network *network, guint c)
{
    return network->labels != NULL ? network->labels[c] : gpudl_model_get_label(network->model, c);
}

/* Answers are compared by number: that two files call one number by two names may be a mistake. */
static void note_names(const Eval *e)
{
    for (guint c = 0; e->n_sides > 1 && c < e->n_classes; c++) {
        const gchar *first = name_of(&e->sides[0].network, c), *second = name_of(&e->sides[1].network, c);

        if (first == NULL || second == NULL || g_str_equal(first, second))
            continue;
        say_error(NAME, "note: class %u is '%s' to %s and '%s' to %s; answers are compared by number", c, first,
                  e->sides[0].file, second, e->sides[1].file);
        return;
    }
}

static gboolean find_classes(Eval *e, GError **error)
{
    const Network *network = &e->sides[0].network;
    guint n;

    e->n_classes = network->n_classes;
    e->names = g_new0(const gchar *, e->n_classes);
    for (guint c = 0; c < e->n_classes; c++)
        e->names[c] = name_of(network, c);
    if (e->class_names != NULL) {
        e->class_names_read = gpudl_labels_read(e->class_names, &n, error);
        if (e->class_names_read == NULL)
            return FALSE;
        if (n != e->n_classes) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: has %u names, expected %u, the classes of %s",
                        e->class_names, n, e->n_classes, e->arguments[0]);
            return FALSE;
        }
    }
    e->classes =
        dataset_match(e->dataset, e->class_names_read != NULL ? (const gchar *const *)e->class_names_read : e->names,
                      e->n_classes, &e->match, error);
    return e->classes != NULL;
}

static void note_dataset(const Eval *e)
{
    if (e->match == DATASET_BY_ORDER)
        say_error(NAME, "note: %s: its folders in the order of their names are taken for the classes 0 to %u",
                  e->dataset->path, e->n_classes - 1);
    if (e->dataset->n_left_out > 0)
        say_error(NAME, "note: %s: %u file%s in it left out: by name no picture", e->dataset->path,
                  e->dataset->n_left_out, e->dataset->n_left_out == 1 ? "" : "s");
}

static gboolean check_outputs(const Eval *e, GError **error)
{
    for (guint i = 0; e->matrices != NULL && e->matrices[i] != NULL; i++) {
        const gchar *path = e->matrices[i];

        if (!files_check_writable(path, error))
            return FALSE;
        for (guint s = 0; s < e->n_sides; s++)
            if (!files_check_output("--confusion", path, e->sides[s].file, "a model", error))
                return FALSE;
        if (!files_check_output("--confusion", path, e->arguments[1], "the data set", error) ||
            !files_check_output("--confusion", path, e->options.labels_file, "the labels file", error) ||
            !files_check_output("--confusion", path, e->class_names, "the file of class names", error))
            return FALSE;
        for (guint k = 0;
             g_file_test(path, G_FILE_TEST_EXISTS) && e->dataset->files != NULL && k < e->dataset->files->len; k++)
            if (!files_check_output("--confusion", path, e->dataset->files->pdata[k], "a picture of the data set",
                                    error))
                return FALSE;
    }
    return TRUE;
}

static gboolean set_up(Eval *e, GError **error)
{
    e->dataset = dataset_open(e->arguments[1], error);
    if (e->dataset == NULL || !check_outputs(e, error))
        return FALSE;
    for (guint s = 0; s < e->n_sides; s++)
        if (!load_side(e, s, error))
            return FALSE;
    if (!find_classes(e, error) || (e->matrices != NULL && !eval_matrix_check(e->n_classes, error)))
        return FALSE;
    note_names(e);
    note_dataset(e);
    for (guint s = 0; s < e->n_sides; s++)
        e->n_slots = MAX(e->n_slots, gpudl_session_get_parallelism(e->sides[s].network.session) + AHEAD);
    e->n_slots = MIN(e->n_slots, MAX_SLOTS);
    e->slots = g_new0(Slot, e->n_slots);
    for (guint i = 0; i < e->n_slots; i++)
        for (guint s = 0; s < e->n_sides; s++)
            e->slots[i].requests[s] = gpudl_request_new(e->sides[s].network.stream);
    e->pictures = g_array_new(FALSE, FALSE, sizeof(guint));
    e->truths = g_array_new(FALSE, FALSE, sizeof(guint32));
    e->failures = g_ptr_array_new_with_free_func(g_free);
    return TRUE;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static guint32 truth_of(const Eval *e, guint picture)
{
    return e->classes[g_array_index(e->dataset->pictures, guint, picture)];
}

static void fail_picture(Eval *e, const gchar *message)
{
    say_error(NAME, "%s", message);
    g_ptr_array_add(e->failures, g_strdup(message));
}

static void note_difference(Eval *e, const float *first, const float *second)
{
    float most = 0;

    for (guint c = 0; c < e->n_classes; c++)
        most = MAX(most, fabsf(first[c] - second[c])); /* NaN, of two infinities, is passed by */
    if (most > e->difference) {
        e->difference = most;
        e->difference_at = e->pictures->len;
    }
}

static void judge(Eval *e, const Slot *slot)
{
    guint32 truth = truth_of(e, slot->picture.number);
    const float *scores[2];

    for (guint s = 0; s < e->n_sides; s++) {
        EvalAnswer answer;

        scores[s] = gpudl_request_get_scores(slot->requests[s], 0);
        answer = eval_judge(scores[s], e->n_classes, truth);
        g_array_append_val(e->sides[s].answers, answer);
        e->n_right += s == 0 && answer.answer == truth;
    }
    if (e->n_sides > 1)
        note_difference(e, scores[0], scores[1]);
    g_array_append_val(e->pictures, slot->picture.number);
    g_array_append_val(e->truths, truth);
}

static void show_progress(const Eval *e)
{
    guint n = e->pictures->len, done = n + e->failures->len, all = e->dataset->pictures->len;
    double seconds = (double)(g_get_monotonic_time() - e->started) / G_USEC_PER_SEC;
    g_autofree gchar *text = NULL;

    if (!progress_is_due())
        return;
    text = g_strdup_printf("%u of %u, %.1f pictures/s, top-1 %.1f %%", done, all, done / MAX(seconds, 1e-9),
                           100.0 * e->n_right / MAX(n, 1));
    progress_update((double)done / all, text);
}

/* Waits for the oldest picture, judges it, frees its slot. One that fails on one side counts on none. */
static void finish_oldest(Eval *e)
{
    Slot *slot = &e->slots[e->first];
    gboolean lost = FALSE;

    for (guint s = 0; s < e->n_sides; s++) {
        GError **error = slot->error == NULL ? &slot->error : NULL;

        if (slot->submitted[s] && gpudl_request_wait(slot->requests[s], error))
            gpudl_request_check_scores(slot->requests[s], 0, error);
        lost = lost || (slot->submitted[s] && gpudl_request_is_lost(slot->requests[s]));
        slot->submitted[s] = FALSE;
    }
    if (slot->error == NULL) {
        judge(e, slot);
    } else {
        g_autofree gchar *name = dataset_name(e->dataset, slot->picture.number);
        g_autofree gchar *message = g_strdup_printf("%s: %s", name, slot->error->message);

        fail_picture(e, message);
        e->dead = e->dead || g_error_matches(slot->error, GPUDL_ERROR, GPUDL_ERROR_DEVICE);
        g_clear_error(&slot->error);
    }
    /* the device may still read it */
    if (lost)
        slot->picture.media = NULL;
    loaded_picture_clear(&slot->picture);
    e->first = (e->first + 1) % e->n_slots;
    e->n_busy--;
    show_progress(e);
}

/* Takes the picture over. */
static void submit(Eval *e, const LoadedPicture *picture)
{
    Slot *slot = &e->slots[(e->first + e->n_busy++) % e->n_slots];

    slot->picture = *picture;
    for (guint s = 0; s < e->n_sides && slot->error == NULL; s++)
        slot->submitted[s] = gpudl_request_submit(slot->requests[s], &picture->frame, NULL, &slot->error);
}

static gboolean goes_on(const Eval *e)
{
    return !e->dead && !g_cancellable_is_cancelled(e->cancellable);
}

static gboolean judge_all(Eval *e, GError **error)
{
    g_autoptr(Loader) loader = loader_new(e->dataset, e->cancellable, error);
    LoadedPicture picture;

    e->started = g_get_monotonic_time();
    progress_start();
    while (loader != NULL && goes_on(e) && loader_next(loader, &picture)) {
        if (picture.error != NULL) {
            if (!g_error_matches(picture.error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
                fail_picture(e, picture.error->message);
            loaded_picture_clear(&picture);
            continue;
        }
        if (picture.cut) {
            g_autofree gchar *name = dataset_name(e->dataset, picture.number);

            say_error(NAME, "note: %s: its end is missing: the picture may be incomplete", name);
        }
        while (e->n_busy == e->n_slots)
            finish_oldest(e);
        submit(e, &picture);
    }
    while (e->n_busy > 0)
        finish_oldest(e);
    e->seconds = (double)(g_get_monotonic_time() - e->started) / G_USEC_PER_SEC;
    progress_wipe();
    return loader != NULL;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void describe_side(const Side *side, EvalSide *told)
{
    const Network *network = &side->network;

    *told = (EvalSide){.file = side->file,
                       .name = gpudl_model_get_name(network->model),
                       .id = gpudl_model_get_id(network->model),
                       .backend = gpudl_session_get_backend(network->session),
                       .device = gpudl_session_get_device_name(network->session),
                       .precision = gpudl_precision_name(gpudl_session_get_precision(network->session)),
                       .answers = (const EvalAnswer *)(gconstpointer)side->answers->data,
                       .figures = side->figures};
}

static void tell(Eval *e, gchar *const *argv)
{
    ReportSubject subject;
    Evaluation told = {.subject = &subject,
                       .dataset = e->dataset,
                       .match = e->match,
                       .names = e->names,
                       .n_classes = e->n_classes,
                       .n_sides = e->n_sides,
                       .n = e->pictures->len,
                       .pictures = (const guint *)(gconstpointer)e->pictures->data,
                       .truths = (const guint32 *)(gconstpointer)e->truths->data,
                       .failures = (const gchar *const *)e->failures->pdata,
                       .n_failures = e->failures->len,
                       .seconds = e->seconds,
                       .difference = e->difference,
                       .difference_at = e->difference_at};
    g_autofree gchar *text = NULL;

    for (guint s = 0; s < e->n_sides; s++) {
        Side *side = &e->sides[s];

        side->figures =
            eval_figures((const EvalAnswer *)(gconstpointer)side->answers->data, told.truths, told.n, e->n_classes);
        describe_side(side, &told.sides[s]);
    }
    report_subject_init(&subject, e->sides[0].network.model, e->arguments[0], argv);
    text = e->json ? eval_json(&told) : eval_text(&told, (guint)e->top);
    report_subject_clear(&subject);
    fputs(text, stdout);
}

/* The first side's. */
static gboolean write_matrices(const Eval *e, GError **error)
{
    for (guint i = 0; e->matrices != NULL && e->matrices[i] != NULL; i++) {
        g_autoptr(GBytes) bytes = is_csv(e->matrices[i]) ? eval_matrix_csv(e->sides[0].figures, e->names, error)
                                                         : eval_matrix_png(e->sides[0].figures, error);

        if (bytes == NULL || !files_write(e->matrices[i], bytes, error))
            return FALSE;
    }
    return TRUE;
}

static int run(Eval *e, gchar *const *argv)
{
    g_autoptr(GError) error = NULL;
    gboolean done;

    e->cancellable = interrupt_begin();
    interrupt_limit(INTERRUPT_MS);
    done = judge_all(e, &error);
    if (done)
        tell(e, argv);
    if (g_cancellable_is_cancelled(e->cancellable)) {
        g_autofree gchar *outcome =
            g_strdup_printf("%u of %u pictures were judged", e->pictures->len, e->dataset->pictures->len);

        interrupt_exit(NAME, outcome);
    }
    interrupt_end();
    g_clear_object(&e->cancellable);
    if (done && write_matrices(e, &error))
        return e->failures->len > 0 ? EXIT_FAILED : EXIT_OK;
    say_error(NAME, "%s", error->message);
    return EXIT_FAILED;
}

static const gchar description[] =
    "Judges a network by pictures whose classes are known: how often it is right (top-1), or has the right class "
    "among\n"
    "its best five (top-5), its cross-entropy loss, how far its confidence is from how often it is right (ECE, 15 "
    "bins),\n"
    "the classes and confusions that go worst, pictures a second.\n\n"
    "DATASET is one of\n"
    "  a folder with a folder for each class, which have pictures at any depth;\n"
    "  a text file with a picture's path (from the list's folder on) and its class a line, with a tab or, before the\n"
    "  last word, a blank between them; .csv: the first two columns;\n"
    "  MNIST's file of pictures (IDX, its labels beside it; either may be packed with gzip);\n"
    "  CIFAR-10's or CIFAR-100's binary records (test_batch.bin, test.bin; the names of classes beside them count).\n\n"
    "Its classes are found among the network's by name, in any case, blanks, _ and - being the same; else by number, "
    "from\n"
    "0; else, of as many folders as there are classes, by the order of the folders' names, which is said. "
    "--class-names\n"
    "tells the names that the data set has for them.\n\n"
    "--against and the like judge a second network, backend or precision by the same pictures, side by side, with the\n"
    "pictures on which the two differ. What is not said of the second is as of the first; pixel options are for "
    "both.\n\n"
    "Loss and ECE need scores that are probabilities (a softmax); a probability that is 0 in float32 counts as "
    "1.2e-38.\n"
    "A picture that can't be read is named, left out of all figures, and the exit code is 1.\n\n"
    "With --json one object, shares within 0 and 1, null for what is not known:\n"
    "  {gpudl, date, command, model: {name, file, id},\n"
    "   dataset: {path, kind, pictures, classes, matched_by: \"name\", \"number\" or \"order\"},\n"
    "   judged, seconds, pictures_per_second, failures: [text, ...],\n"
    "   results: [{model: {name, file, id}, backend, device, precision, top1, top1_low, top1_high (95 %), top5, loss,\n"
    "              calibration_error, confidence, margin,\n"
    "              classes: [{id, label, pictures, top1, top5, answered}, ...],\n"
    "              confusions: [{truth, answer, pictures}, ...],\n"
    "              calibration: [{above, up_to, pictures, confidence, right}, ...]}, ...],\n"
    "   comparison: {same, both_right, only_first, only_second, neither, largest_difference, largest_at,\n"
    "                differ: [{picture, truth, answers: [{id, confidence}, {id, confidence}]}, ...]}}";

int cmd_eval(int argc, char **argv)
{
    Eval e = {.top = 10};
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) line = g_strdupv(argv);
    int status;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &e.json, "As JSON", NULL},
        {"against", 0, 0, G_OPTION_ARG_FILENAME, &e.against, "A second network, by the same pictures", "MODEL"},
        {"against-backend", 0, 0, G_OPTION_ARG_STRING, &e.against_backend,
         "auto, cuda, cpu or ref: where the second runs", "B"},
        {"against-precision", 0, 0, G_OPTION_ARG_STRING, &e.against_precision,
         "auto, fp32, tf32, fp16, bf16, int8 or fp8: what the second computes in", "P"},
        {"class-names", 0, 0, G_OPTION_ARG_FILENAME, &e.class_names,
         "The data set's names of the network's classes, one a line in their order", "FILE"},
        {"confusion", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &e.matrices,
         "Also the first's confusion matrix: counts (.csv) or a picture (.png); may be given twice", "FILE"},
        {"top", 0, 0, G_OPTION_ARG_STRING, &e.top_text, "Rows of each table, 0: all (default 10)", "N"},
        {NETWORK_LABELS_FILE(e.options)},
        {NETWORK_INPUT_SIZE(e.options)},
        {PREPROC_MEAN(e.preproc)},
        {PREPROC_STD(e.preproc)},
        {PREPROC_SCALE(e.preproc)},
        {PREPROC_CHANNEL_ORDER(e.preproc)},
        {PREPROC_RESIZE_MODE(e.preproc)},
        {PREPROC_CROP_FRACTION(e.preproc)},
        {PREPROC_SCALE_METHOD(e.preproc)},
        {PREPROC_PAD_COLOR(e.preproc)},
        {NETWORK_BACKEND(e.options)},
        {NETWORK_PRECISION(e.options)},
        {NETWORK_THREADS(e.options)},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &e.arguments, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };

    status = parse_options(argv, entries, "MODEL DATASET", description);
    if (status < 0)
        status = check_options(&e);
    if (status < 0 && !set_up(&e, &error)) {
        if (g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED))
            interrupt_exit(NAME, NULL);
        say_error(NAME, "%s", error->message);
        status = EXIT_FAILED;
    }
    if (status < 0)
        status = run(&e, line);
    clean_up(&e);
    return finish_stdout(NAME, status);
}
