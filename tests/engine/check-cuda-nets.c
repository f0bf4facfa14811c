/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole networks on the CUDA backend against the reference: tensors at several batch sizes and precisions, frames
 * through sessions. Needs a device; GPUDL_REQUIRE_CUDA=1 makes its absence a failure.
 *
 *     check-cuda-nets [--seed N] [--nets N] [--only KIND/SEED|operator[/NAME]] [--quick] [--single] [--tensors]
 *                     [--precision NAME] [MODEL...]
 * quick: float16 alone; precision: one alone; single: batch 1 alone; autotune and cache: of MODELs
 *     check-cuda-nets --bench [--batches 1,8,32] [--precision fp16] [--autotune full] [--cache FOLDER] [--tensors]
 * MODEL... times of the graphs, and of opening; tensors: what was tuned against first choices
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda-nets.h"
#include "engine/session/session.h"
#include "models/gpudl-import.h"

static gint seed = 1, nets = 3, failures, tests;
static gboolean bench, profiles, quick, single, settle, tensors, all_run;
static gchar *batches, *precision_name, *only, *cache_dir, *autotune_name;
static gchar **files;

/* Largest difference in units of the reference's range: of random weights, before the softmax, and of MODELs, whose
 * outputs may be probabilities. fp32: sums in another order. TF32's operands have float16's 11 bits, cut off by the
 * device. bfloat16 rounds 8 times as coarsely as float16: beside logits of a range of 20 that moves a probability by
 * some hundredths. */
static const struct {
    GpudlPrecision precision;
    double bound, of_files;
} precisions[] = {{GPUDL_PRECISION_FP16, 1e-2, 1e-2},
                  {GPUDL_PRECISION_FP32, 1e-4, 1e-4},
                  {GPUDL_PRECISION_TF32, 1e-2, 1e-2},
                  {GPUDL_PRECISION_BF16, 2e-2, 8e-2}};
static gboolean of_files; /* a MODEL is being checked */

static double bound_of(GpudlPrecision precision)
{
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++)
        if (precisions[p].precision == precision)
            return of_files ? precisions[p].of_files : precisions[p].bound;
    return 0;
}

/* Whether the options ask for checks in it. */
static gboolean is_asked(GpudlPrecision precision)
{
    return precision_name != NULL ? g_str_equal(precision_name, gpudl_precision_name(precision))
                                  : !quick || precision == GPUDL_PRECISION_FP16;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

typedef struct {
    gint64 batch;
    const float *input;
    float **outputs;
} Whole;

static GpudlStatus run_whole(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault)
{
    const Whole *whole = data;
    const void *inputs[] = {whole->input};

    return session->backend->run_tensors(session->engine, slot, whole->batch, inputs, (void *const *)whole->outputs,
                                         fault);
}

static float **make_outputs(GpudlModel *model, gint64 batch)
{
    const guint n = gpudl_model_get_n_heads(model);
    float **outputs = g_new0(float *, n + 1);

    for (guint i = 0; i < n; i++)
        outputs[i] = g_new0(float, (gsize)batch *gpudl_model_get_n_classes(model, i));
    return outputs;
}

static void free_outputs(float **outputs)
{
    for (guint i = 0; outputs[i] != NULL; i++)
        g_free(outputs[i]);
    g_free(outputs);
}

/* Largest difference by range over all heads; NaN counts as infinite. */
static double compare(GpudlModel *model, gint64 batch, float **got, float **expected)
{
    double worst = 0;

    for (guint h = 0; h < gpudl_model_get_n_heads(model); h++) {
        const gsize n = (gsize)batch * gpudl_model_get_n_classes(model, h);
        double low = INFINITY, high = -INFINITY, difference = 0;

        for (gsize i = 0; i < n; i++) {
            const double d = fabs((double)got[h][i] - (double)expected[h][i]);

            low = MIN(low, expected[h][i]);
            high = MAX(high, expected[h][i]);
            difference = d > difference || isnan(d) ? (isnan(d) ? INFINITY : d) : difference;
        }
        worst = MAX(worst, difference / MAX(high - low, 1e-6));
    }
    return worst;
}

static GpudlSession *acquire_for(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                                 GpudlAutotune autotune, GpudlActivation activation, GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = backend,
                                       .precision = precision,
                                       .activation = activation,
                                       .cuda_device_id = -1,
                                       .batch_size = batch,
                                       .autotune = autotune,
                                       .cache_dir = cache_dir != NULL ? cache_dir : ""};

    return gpudl_session_acquire(model, &config, NULL, error);
}

static GpudlSession *acquire(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                             GpudlAutotune autotune, GError **error)
{
    return acquire_for(model, backend, precision, batch, autotune, GPUDL_ACTIVATION_SOFTMAX, error);
}

static void say(gboolean ok, const gchar *format, ...) G_GNUC_PRINTF(2, 3);
static void say(gboolean ok, const gchar *format, ...)
{
    va_list args;
    g_autofree gchar *text = NULL;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    failures += !ok;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", ++tests, text);
    fflush(stdout);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static gsize input_size(GpudlModel *model)
{
    const GpudlPreproc *preproc = gpudl_model_get_preproc(model);

    return (gsize)preproc->channels * (gsize)preproc->height * (gsize)preproc->width;
}

static void fill(float *values, gsize n, GRand *rand)
{
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -1.5, 1.5);
}

/* All batches of one precision against the frames that the reference computed. */
static void check_tensors(GpudlModel *model, const gchar *name, guint p, const gint64 *sizes, guint n_sizes,
                          const float *input, float **expected, GpudlAutotune autotune)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session =
        acquire(model, "cuda", precisions[p].precision, (guint)sizes[n_sizes - 1], autotune, &error);
    double worst = 0;

    if (session == NULL) { /* what it can't do yet is refused by name */
        const gboolean refused = !all_run && g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);

        say(refused, "%s %s: %s%s", name, gpudl_precision_name(precisions[p].precision), refused ? "REFUSED " : "",
            error->message);
        return;
    }
    for (guint i = 0; i < n_sizes; i++) {
        float **got = make_outputs(model, sizes[i]);
        Whole whole = {sizes[i], input, got};
        double difference;

        if (!gpudl_scheduler_run(session, run_whole, &whole, &error)) {
            say(FALSE, "%s %s batch %d: %s", name, gpudl_precision_name(precisions[p].precision), (int)sizes[i],
                error->message);
            free_outputs(got);
            return;
        }
        difference = compare(model, sizes[i], got, expected);
        worst = MAX(worst, difference);
        free_outputs(got);
    }
    say(worst <= bound_of(precisions[p].precision), "%s %s: %.2e of the range, bound %.0e", name,
        gpudl_precision_name(precisions[p].precision), worst, bound_of(precisions[p].precision));
}

/* Values of one frame on a backend; NULL after telling what went wrong. */
static float **run_one(GpudlModel *model, const gchar *name, const gchar *backend, GpudlPrecision precision,
                       const float *input)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = acquire(model, backend, precision, 1, GPUDL_AUTOTUNE_OFF, &error);
    float **got = make_outputs(model, 1);
    Whole whole = {1, input, got};

    if (session != NULL && gpudl_scheduler_run(session, run_whole, &whole, &error))
        return got;
    if (!g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED))
        say(FALSE, "%s %s: %s", name, gpudl_precision_name(precision), error->message);
    free_outputs(got);
    return NULL;
}

/* Outputs that are lies: numbers where the reference has NaN; or, where float16 overflows on the way, finite numbers
 * that are wrong. */
static gint count_lies(GpudlModel *model, float **got, float **expected, double bound, gint *of)
{
    gint lies = 0;

    for (guint h = 0; h < gpudl_model_get_n_heads(model); h++) {
        const guint n = gpudl_model_get_n_classes(model, h);
        double largest = 0;

        for (guint i = 0; i < n; i++)
            largest = fmax(largest, fabs((double)expected[h][i])); /* of those that are numbers */
        for (guint i = 0; i < n; i++) {
            *of += isnan(expected[h][i]) || !isfinite(got[h][i]);
            lies += isnan(expected[h][i])
                        ? !isnan(got[h][i])
                        : isfinite(got[h][i]) && !(fabs((double)got[h][i] - (double)expected[h][i]) <= bound * largest);
        }
    }
    return lies;
}

/* One value of the input is NaN: outputs that it reaches are NaN. Then all are large: what overflows is not a number
 * that looks like one. factor 0: not tried. */
static void check_extremes(GpudlModel *model, const gchar *name, float factor)
{
    const gsize n = input_size(model);
    g_autofree float *input = g_new(float, n);
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)seed);

    for (gint turn = 0; turn < (factor > 0 ? 2 : 1); turn++) {
        float **expected;

        fill(input, n, rand);
        for (gsize i = 0; i < n && turn == 1; i++)
            input[i] *= factor;
        if (turn == 0)
            input[n / 6] = NAN;
        expected = run_one(model, name, "ref", GPUDL_PRECISION_FP32, input);
        for (guint p = 0; p < (turn == 1 ? 1 : G_N_ELEMENTS(precisions)) && expected != NULL; p++) {
            float **got =
                is_asked(precisions[p].precision) ? run_one(model, name, "cuda", precisions[p].precision, input) : NULL;
            gint of = 0, lies;

            if (got == NULL)
                continue;
            lies = count_lies(model, got, expected, 5e-2, &of);
            say(lies == 0, "%s %s %s: %d of %d outputs that are none are numbers", name,
                gpudl_precision_name(precisions[p].precision), turn == 0 ? "NaN" : "overflow", lies, of);
            free_outputs(got);
        }
        if (expected != NULL)
            free_outputs(expected);
    }
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* What a frame takes at most: one that is large is uploaded in several pieces. */
#define PIXEL_BYTES (2240 * 1360 * 3)

static void random_frame(GpudlFrame *frame, guint8 *pixels, gboolean is_large, GRand *rand)
{
    const gint more = is_large ? 2000 : 0;
    const gint width = more + 2 * g_rand_int_range(rand, 8, 120),
               height = more * 3 / 5 + 2 * g_rand_int_range(rand, 8, 80);

    for (gint i = 0; i < (is_large ? PIXEL_BYTES : 240 * 160 * 3); i++)
        pixels[i] = (guint8)(128 + 100 * sin(i * 0.001 * (1 + i % 3)) + i % 7);
    *frame = (GpudlFrame){.struct_size = sizeof *frame,
                          .memory = GPUDL_MEMORY_HOST,
                          .width = width,
                          .height = height,
                          .matrix = GPUDL_MATRIX_BT709};
    frame->planes[0] = pixels;
    if (g_rand_boolean(rand) && width % 4 == 0) {
        frame->format = GPUDL_PIXEL_P010_10LE;
        frame->strides[0] = frame->strides[1] = 2 * width;
        frame->planes[1] = pixels + (gsize)(2 * width) * (gsize)height;
    } else if (height % 4 == 0) {
        frame->format = GPUDL_PIXEL_NV12;
        frame->strides[0] = frame->strides[1] = width + 16;
        frame->planes[1] = pixels + (gsize)(width + 16) * (gsize)height;
    } else {
        frame->format = GPUDL_PIXEL_RGB;
        frame->strides[0] = 3 * width;
    }
}

enum { FRAMES = 7 };

/* Scores of all frames, one of which is given as values, through a session; some rounds, so that memory is used again.
 * The last are scaled otherwise than the model says: batches of one kind of pre-processing, of another and of both. */
static float *run_frames(GpudlSession *session, GpudlModel *model, const GpudlFrame *frames, const float *values,
                         gint rounds, GError **error)
{
    const guint classes = gpudl_model_get_n_classes(model, 0);
    GpudlStream *stream = gpudl_stream_new(session, model);
    GpudlRequest *requests[FRAMES];
    float *scores = g_new(float, FRAMES *classes);
    GpudlPreproc aliased = *gpudl_model_get_preproc(model);
    gboolean good = TRUE;

    aliased.scale_method = GPUDL_SCALE_BILINEAR_ALIASED;

    for (gint i = 0; i < FRAMES; i++)
        requests[i] = gpudl_request_new(stream);
    for (gint round = 0; round < rounds && good; round++) {
        gint submitted = 0;

        while (good && submitted < FRAMES) {
            good = submitted == 3 ? gpudl_request_submit_tensor(requests[3], values, error)
                                  : gpudl_request_submit(requests[submitted], &frames[submitted],
                                                         submitted > 3 ? &aliased : NULL, error);
            submitted += good;
        }
        for (gint i = 0; i < submitted; i++)
            good = gpudl_request_wait(requests[i], good ? error : NULL) && good;
    }
    for (gint i = 0; i < FRAMES; i++) {
        if (good)
            memcpy(scores + (guint)i * classes, gpudl_request_get_scores(requests[i], 0), classes * sizeof *scores);
        gpudl_request_free(requests[i]);
    }
    gpudl_stream_free(stream);
    if (!good)
        g_clear_pointer(&scores, g_free);
    return scores;
}

/* What bfloat16 itself costs where all else is exact, in units of the range; 0 where that can't be found out. Small
 * networks of random weights lie up to 3e-2 away on these pictures: a mean of channels that cancel keeps few of its
 * bits. */
static double cost_of_bf16(GpudlModel *model, const GpudlFrame *frames, const float *values, float *expected)
{
    g_autoptr(GError) error = NULL;
    GpudlModel *rounded = nets_rounded(model, GPUDL_DTYPE_BF16);
    GpudlSession *session =
        acquire_for(rounded, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, GPUDL_ACTIVATION_NONE, &error);
    g_autofree float *got = session != NULL ? run_frames(session, rounded, frames, values, 1, &error) : NULL;
    const double cost = got != NULL ? compare(model, FRAMES, &got, &expected) : 0;

    printf("# rounded to bfloat16 the reference is %.2e of the range away%s%s\n", cost, error != NULL ? ": " : "",
           error != NULL ? error->message : "");
    if (session != NULL)
        gpudl_session_unref(session);
    gpudl_model_unref(rounded);
    return cost;
}

/* float32: probabilities, which differ by the rounding of pre-processing as well; others: values before the softmax. */
static void check_frames_at(GpudlModel *model, const gchar *name, GpudlPrecision precision, const GpudlFrame *frames,
                            const float *values)
{
    const GpudlActivation activation =
        precision == GPUDL_PRECISION_FP32 ? GPUDL_ACTIVATION_SOFTMAX : GPUDL_ACTIVATION_NONE;
    double bound = precision == GPUDL_PRECISION_FP32 ? 1e-3 : bound_of(precision);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) reference =
        acquire_for(model, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, activation, &error);
    g_autoptr(GpudlSession) cuda =
        reference != NULL ? acquire_for(model, "cuda", precision, 4, GPUDL_AUTOTUNE_OFF, activation, &error) : NULL;
    g_autofree float *expected = cuda != NULL ? run_frames(reference, model, frames, values, 1, &error) : NULL;
    g_autofree float *got = expected != NULL ? run_frames(cuda, model, frames, values, 3, &error) : NULL;
    double difference;

    if (got == NULL) {
        say(FALSE, "%s frames %s: %s", name, gpudl_precision_name(precision), error->message);
        return;
    }
    difference = compare(model, FRAMES, &got, &expected);
    if (difference > bound && precision == GPUDL_PRECISION_BF16)
        bound = MAX(bound, 2 * cost_of_bf16(model, frames, values, expected));
    say(difference <= bound, "%s frames %s: %.2e of the range, bound %.1e", name, gpudl_precision_name(precision),
        difference, bound);
}

static void check_frames(GpudlModel *model, const gchar *name, GRand *rand)
{
    g_autofree guint8 *pixels = g_malloc(FRAMES * PIXEL_BYTES);
    g_autofree float *values = g_new(float, input_size(model));
    GpudlFrame frames[FRAMES];

    if (gpudl_model_get_n_heads(model) > 1)
        return;
    fill(values, input_size(model), rand);
    for (gint i = 0; i < FRAMES; i++)
        random_frame(&frames[i], pixels + (gsize)i * PIXEL_BYTES, i == 1 || i == FRAMES - 1, rand);
    for (guint p = 0; p < G_N_ELEMENTS(precisions); p++)
        if (precisions[p].precision != GPUDL_PRECISION_TF32 && is_asked(precisions[p].precision))
            check_frames_at(model, name, precisions[p].precision, frames, values);
}

/* ---- checks and times -------------------------------------------------------------------------------------------- */

static void check_model(GpudlModel *model, const gchar *name, gboolean frames, GpudlAutotune autotune)
{
    const gboolean several = !single && gpudl_model_get_symbolic_batch(model, NULL);
    const gint64 sizes[] = {1, 3, 4}, *last = &sizes[several ? 2 : 0];
    const guint n_sizes = (guint)(last - sizes) + 1;
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)seed);
    g_autofree float *input = g_new(float, input_size(model) * 4);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) reference = acquire(model, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, &error);
    float **expected = make_outputs(model, 4);
    Whole whole = {*last, input, expected};

    fill(input, input_size(model) * 4, rand);
    if (reference == NULL || !gpudl_scheduler_run(reference, run_whole, &whole, &error)) {
        say(FALSE, "%s on the reference: %s", name, error->message);
    } else {
        for (guint p = 0; p < G_N_ELEMENTS(precisions); p++)
            if (is_asked(precisions[p].precision))
                check_tensors(model, name, p, sizes, n_sizes, input, expected, autotune);
        if (frames && !tensors)
            check_frames(model, name, rand);
    }
    free_outputs(expected);
}

/* ---- tuning ------------------------------------------------------------------------------------------------------ */

static void remove_folder(const gchar *folder)
{
    g_autofree gchar *command = g_strdup_printf("rm -rf '%s'", folder);

    if (system(command) != 0)
        printf("# %s is left\n", folder);
}

/* Else our own kernels compute all. */
static gboolean has_libraries(void)
{
    return g_strcmp0(g_getenv("GPUDL_CUDA_LIBS"), "0") != 0;
}

/* Session and forecast of it; FALSE after telling what went wrong. */
static gboolean load_and_foresee(GpudlModel *model, const GpudlSessionConfig *config, const gchar *name,
                                 guint64 memory[2], GpudlForecast **forecast)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = gpudl_session_acquire(model, config, NULL, &error);

    if (session != NULL && gpudl_session_settle(session, NULL, NULL, NULL, &error)) {
        const gchar *device = gpudl_session_get_device_name(session);

        say((strstr(device, "cuDNN") != NULL) == has_libraries() &&
                (strstr(device, "own kernels") != NULL) != has_libraries(),
            "%s is computed by %s", name, device);
        gpudl_session_get_memory(session, &memory[0], &memory[1]);
        g_clear_pointer(&session, gpudl_session_unref);
        *forecast = gpudl_session_forecast(model, config, NULL, &error);
        if (*forecast != NULL)
            return TRUE;
    }
    say(FALSE, "%s: tuning: %s", name, error->message);
    return FALSE;
}

/* What tuning keeps makes the next start warm, and that start takes what was foreseen. first: what it begins with. */
static void check_kept(GpudlModel *model, const gchar *name, GpudlAutotune first)
{
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-nets-XXXXXX", NULL);
    GpudlSessionConfig config = {.struct_size = sizeof config,
                                 .backend = "cuda",
                                 .cuda_device_id = -1,
                                 .precision = GPUDL_PRECISION_FP16,
                                 .batch_size = 4,
                                 .autotune = first,
                                 .cache_dir = folder};
    g_autoptr(GpudlForecast) before = gpudl_session_forecast(model, &config, NULL, NULL), tuned = NULL, warm = NULL;
    guint64 memory[2] = {0};

    if (before != NULL && load_and_foresee(model, &config, name, memory, &tuned)) {
        say(before->n_choices > 0 && before->n_known == 0 && g_strv_length(before->missing) == before->n_choices &&
                tuned->n_choices == before->n_choices && tuned->n_known == tuned->n_choices &&
                tuned->missing[0] == NULL,
            "%s %s: %u of %u choices known before, %u of %u after", name,
            first == GPUDL_AUTOTUNE_FULL ? "tuned" : "tuned in idle time", before->n_known, before->n_choices,
            tuned->n_known, tuned->n_choices);
        config.autotune = GPUDL_AUTOTUNE_CACHED;
        if (load_and_foresee(model, &config, name, memory, &warm))
            say(memory[0] == warm->weights && memory[1] == warm->workspace && memory[0] > 0,
                "%s warm: weights %" G_GUINT64_FORMAT ", foreseen %" G_GUINT64_FORMAT ", work memory %" G_GUINT64_FORMAT
                ", foreseen %" G_GUINT64_FORMAT,
                name, memory[0], warm->weights, memory[1], warm->workspace);
    }
    remove_folder(folder);
}

static void check_grown(void)
{
    static const gchar *const kinds[] = {"random", "residual", "inverted", "branches"};

    for (gint kind = 0; kind < NETS_KINDS; kind++)
        for (gint i = 0; i < nets; i++) {
            g_autofree gchar *text = NULL, *name = g_strdup_printf("%s/%d", kinds[kind], seed + i);
            GpudlModel *model;

            if (only != NULL && strcmp(only, name) != 0)
                continue;
            model = nets_grow((NetsKind)kind, (guint32)(seed + i), &text);
            printf("# %s: %s\n", name, text);
            check_model(model, name, i == 0, i == 0 ? GPUDL_AUTOTUNE_FULL : GPUDL_AUTOTUNE_OFF);
            /* elsewhere a quotient or a gate makes small numbers of infinite ones */
            check_extremes(model, name, kind == NETS_RESIDUAL || kind == NETS_BRANCHES ? 3e4f : 0);
            if (i == 0 && kind == NETS_RESIDUAL) {
                check_kept(model, name, GPUDL_AUTOTUNE_FULL);
                check_kept(model, name, GPUDL_AUTOTUNE_CACHED);
            }
            gpudl_model_unref(model);
        }
}

/* A net for each operator: none is refused. */
static void check_operators(void)
{
    const gchar *name;

    all_run = TRUE;
    for (guint i = 0;; i++) {
        g_autofree gchar *text = NULL, *full = NULL;
        g_autoptr(GpudlModel) model = nets_operator(i, &name, &text);

        if (name == NULL)
            break;
        full = g_strdup_printf("operator/%s", name);
        if (only != NULL && strcmp(only, full) != 0 && strcmp(only, "operator") != 0)
            continue;
        printf("# %s: %s\n", full, text);
        check_model(model, full, FALSE, GPUDL_AUTOTUNE_OFF);
        check_extremes(model, full, 0);
    }
    all_run = FALSE;
}

static void print_profile(GpudlSession *session, guint batch)
{
    g_autoptr(GArray) steps = gpudl_session_profile(session, batch, 20, NULL);

    for (guint i = 0; steps != NULL && i < steps->len; i++) {
        const GpudlProfileStep *step = &g_array_index(steps, GpudlProfileStep, i);

        printf("#   %7.2f us  %-14s %-34s %s\n", (double)step->ns / 1e3, step->op, step->implementation, step->node);
    }
}

/* Whether all batch sizes are there that are powers of 2. */
static gboolean is_settled(GpudlSession *session)
{
    gboolean settled;

    g_mutex_lock(&session->lock);
    settled = session->info.n_buckets >= g_bit_storage(session->max_batch);
    g_mutex_unlock(&session->lock);
    return settled;
}

static int by_value(const void *a, const void *b)
{
    const gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

/* One request after the other: from submit() to the scores, median in ns. */
static gint64 time_requests(GpudlSession *session, GpudlModel *model)
{
    enum { N = 300 };
    g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
    g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
    g_autofree float *values = g_new0(float, input_size(model));
    gint64 taken[N];

    for (gint i = 0; i < N; i++) {
        struct timespec begin, end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (!gpudl_request_submit_tensor(request, values, NULL) || !gpudl_request_wait(request, NULL))
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &end);
        taken[i] = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
    }
    qsort(taken, N, sizeof *taken, by_value);
    return taken[N / 2];
}

static GpudlAutotune autotune_option(GpudlAutotune usual)
{
    return autotune_name == NULL                  ? usual
           : g_str_equal(autotune_name, "full")   ? GPUDL_AUTOTUNE_FULL
           : g_str_equal(autotune_name, "cached") ? GPUDL_AUTOTUNE_CACHED
                                                  : GPUDL_AUTOTUNE_OFF;
}

/* What was tuned computes what first choices compute: all frames of a batch, of which the reference would take minutes.
 * Both round, each in its own way. */
static void check_against_first(GpudlSession *session, GpudlModel *model, const gchar *name, GpudlPrecision precision,
                                guint batch)
{
    const double bound = 2 * bound_of(precision);
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)seed);
    g_autofree float *input = g_new(float, input_size(model) * batch);
    float **got = make_outputs(model, batch), **expected = make_outputs(model, batch);
    Whole tuned = {batch, input, got}, first = {batch, input, expected};
    g_autoptr(GpudlSession) off = acquire(model, "cuda", precision, batch, GPUDL_AUTOTUNE_OFF, &error);

    fill(input, input_size(model) * batch, rand);
    if (off == NULL || !gpudl_scheduler_run(off, run_whole, &first, &error) ||
        !gpudl_scheduler_run(session, run_whole, &tuned, &error)) {
        say(FALSE, "%s batch %u: %s", name, batch, error->message);
    } else {
        const double difference = compare(model, batch, got, expected);

        say(difference <= bound, "%s batch %u against first choices: %.2e of the range, bound %.0e", name, batch,
            difference, bound);
    }
    free_outputs(got);
    free_outputs(expected);
}

static void bench_model(GpudlModel *model, const gchar *name, GpudlPrecision precision)
{
    g_auto(GStrv) sizes = g_strsplit(batches != NULL ? batches : "1,8,32", ",", -1);

    for (guint i = 0; sizes[i] != NULL; i++) {
        const guint batch = (guint)atoi(sizes[i]);
        g_autoptr(GError) error = NULL;
        const GpudlAutotune autotune = autotune_option(GPUDL_AUTOTUNE_FULL);
        const gint64 begin = g_get_monotonic_time();
        g_autoptr(GpudlSession) session = acquire(model, "cuda", precision, batch, autotune, &error);
        const gint64 opened = g_get_monotonic_time();
        guint64 weights, work;

        if (session == NULL) {
            say(FALSE, "%s batch %u: %s", name, batch, error->message);
            continue;
        }
        for (gint wait = 0; settle && wait < 600 && !is_settled(session); wait++)
            g_usleep(100000);
        gpudl_session_get_memory(session, &weights, &work);
        for (guint k = 0; k < session->info.n_buckets; k++)
            printf("# bench %s %s batch %u: %.4f ms\n", name, gpudl_precision_name(precision), session->info.buckets[k],
                   (double)session->info.bucket_ns[k] / 1e6);
        say(TRUE, "%s up to batch %u on %s: opened in %.3f s, weights %.1f MB, work %.1f MB", name, batch,
            gpudl_session_get_device_name(session), (double)(opened - begin) / 1e6, (double)weights / 1e6,
            (double)work / 1e6);
        printf("# bench %s %s one request after the other: %.4f ms\n", name, gpudl_precision_name(precision),
               (double)time_requests(session, model) / 1e6);
        if (profiles)
            print_profile(session, batch);
        if (profiles && batch > 1)
            print_profile(session, 1);
        if (tensors)
            check_against_first(session, model, name, precision, batch);
        fflush(stdout);
    }
}

/* The device stays open, so that opening a session is that alone. */
static int need_device(GpudlDevice **device)
{
    g_autoptr(GError) error = NULL;
    const gint64 begin = g_get_monotonic_time();

    *device = gpudl_device_acquire("cuda", -1, NULL, NULL, NULL, &error);
    if (*device != NULL && bench)
        printf("# bench device opened in %.3f s\n", (double)(g_get_monotonic_time() - begin) / 1e6);
    if (*device != NULL)
        return 0;
    if (g_strcmp0(g_getenv("GPUDL_REQUIRE_CUDA"), "1") == 0) {
        printf("Bail out! %s\n", error->message);
        return 1;
    }
    printf("1..0 # SKIP %s\n", error->message);
    return 77;
}

int main(int argc, char **argv)
{
    gboolean tap = FALSE;
    g_autoptr(GpudlDevice) device = NULL;
    const GOptionEntry entries[] = {{"seed", 0, 0, G_OPTION_ARG_INT, &seed, NULL, NULL},
                                    {"nets", 0, 0, G_OPTION_ARG_INT, &nets, NULL, NULL},
                                    {"only", 0, 0, G_OPTION_ARG_STRING, &only, NULL, NULL},
                                    {"bench", 0, 0, G_OPTION_ARG_NONE, &bench, NULL, NULL},
                                    {"batches", 0, 0, G_OPTION_ARG_STRING, &batches, NULL, NULL},
                                    {"profiles", 0, 0, G_OPTION_ARG_NONE, &profiles, NULL, NULL},
                                    {"settle", 0, 0, G_OPTION_ARG_NONE, &settle, NULL, NULL},
                                    {"tensors", 0, 0, G_OPTION_ARG_NONE, &tensors, NULL, NULL},
                                    {"single", 0, 0, G_OPTION_ARG_NONE, &single, NULL, NULL},
                                    {"quick", 0, 0, G_OPTION_ARG_NONE, &quick, NULL, NULL},
                                    {"tap", 0, 0, G_OPTION_ARG_NONE, &tap, NULL, NULL},
                                    {"cache", 0, 0, G_OPTION_ARG_FILENAME, &cache_dir, NULL, NULL},
                                    {"autotune", 0, 0, G_OPTION_ARG_STRING, &autotune_name, NULL, NULL},
                                    {"precision", 0, 0, G_OPTION_ARG_STRING, &precision_name, NULL, NULL},
                                    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &files, NULL, NULL},
                                    G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context = g_option_context_new("[MODEL...]");
    g_autoptr(GError) error = NULL;
    GpudlPrecision precision = GPUDL_PRECISION_FP16;
    int missing;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) ||
        (precision_name != NULL && !gpudl_precision_parse(precision_name, &precision))) {
        fprintf(stderr, "check-cuda-nets: %s\n", error != NULL ? error->message : "unknown precision");
        return 2;
    }
    missing = need_device(&device);
    if (missing != 0)
        return tap && missing == 77 ? 0 : missing;
    for (guint i = 0; files != NULL && files[i] != NULL; i++) {
        g_autofree gchar *name = g_path_get_basename(files[i]);
        g_autoptr(GpudlModel) model = gpudl_model_load(files[i], NULL, NULL, &error);

        of_files = TRUE;
        if (model == NULL) {
            say(FALSE, "%s", error->message);
            g_clear_error(&error);
        } else if (bench) {
            bench_model(model, name, precision);
        } else {
            check_model(model, name, TRUE, autotune_option(GPUDL_AUTOTUNE_OFF));
            check_extremes(model, name, 0);
        }
    }
    of_files = FALSE;
    if (!bench) {
        check_grown();
        check_operators();
    }
    printf("1..%d\n", tests);
    return failures > 0;
}
