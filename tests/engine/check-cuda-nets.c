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

#include "cuda-nets-run.h"
#include "engine/session/session.h"
#include "models/gpudl-import.h"

static gchar *only;
static gchar **files;

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

#define REPEATS 24

/* In how many further runs something is other than in the first: a kernel that begins too early, say, reads what is not
 * there yet now and then, and is off by less than a bound. */
static gint count_changes(GpudlSession *session, GpudlModel *model, const NetsWhole *first, GError **error)
{
    NetsWhole again = {first->batch, first->input, nets_make_outputs(model, first->batch)};
    gint changes = 0;

    for (gint i = 0; i < REPEATS && changes >= 0; i++) {
        gboolean differs = FALSE;

        if (!gpudl_scheduler_run(session, nets_run_whole, &again, error)) {
            changes = -1;
            break;
        }
        for (guint h = 0; h < gpudl_model_get_n_heads(model); h++)
            differs |= memcmp(again.outputs[h], first->outputs[h],
                              (gsize)first->batch * gpudl_model_get_n_classes(model, h) * sizeof(float)) != 0;
        changes += differs;
    }
    nets_free_outputs(again.outputs);
    return changes;
}

/* All batches of one precision against the frames that the reference computed. */
static void check_tensors(GpudlModel *model, const gchar *name, guint p, const gint64 *sizes, guint n_sizes,
                          const float *input, float **expected, GpudlAutotune autotune)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session =
        nets_acquire(model, "cuda", nets_precisions[p].precision, (guint)sizes[n_sizes - 1], autotune, &error);
    const double bound = nets_bound(nets_precisions[p].precision);
    double worst = 0;
    guint flips = 0;
    gint changes = 0;

    if (session == NULL) { /* what it can't do yet is refused by name */
        const gboolean refused = !nets_options.all_run && g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);

        nets_say(refused, "%s %s: %s%s", name, gpudl_precision_name(nets_precisions[p].precision),
                 refused ? "REFUSED " : "", error->message);
        return;
    }
    for (guint i = 0; i < n_sizes; i++) {
        float **got = nets_make_outputs(model, sizes[i]);
        NetsWhole whole = {sizes[i], input, got};

        if (gpudl_scheduler_run(session, nets_run_whole, &whole, &error))
            changes += count_changes(session, model, &whole, &error);
        if (error != NULL) {
            nets_say(FALSE, "%s %s batch %d: %s", name, gpudl_precision_name(nets_precisions[p].precision),
                     (int)sizes[i], error->message);
            nets_free_outputs(got);
            return;
        }
        worst = MAX(worst, nets_compare(model, sizes[i], got, expected));
        flips += nets_count_flips(model, sizes[i], got, expected, bound);
        nets_free_outputs(got);
    }
    nets_say(worst <= bound && flips == 0, "%s %s: %.2e of the range, bound %.0e; %u classes that are clear are others",
             name, gpudl_precision_name(nets_precisions[p].precision), worst, bound, flips);
    nets_say(changes == 0, "%s %s: %d of %d runs differ from the first", name,
             gpudl_precision_name(nets_precisions[p].precision), changes, (gint)n_sizes * REPEATS);
}

/* Values of one frame on a backend; NULL after telling what went wrong. */
static float **run_one(GpudlModel *model, const gchar *name, const gchar *backend, GpudlPrecision precision,
                       const float *input)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = nets_acquire(model, backend, precision, 1, GPUDL_AUTOTUNE_OFF, &error);
    float **got = nets_make_outputs(model, 1);
    NetsWhole whole = {1, input, got};

    if (session != NULL && gpudl_scheduler_run(session, nets_run_whole, &whole, &error))
        return got;
    if (!g_error_matches(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED))
        nets_say(FALSE, "%s %s: %s", name, gpudl_precision_name(precision), error->message);
    nets_free_outputs(got);
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
    const gsize n = nets_input_size(model);
    g_autofree float *input = g_new(float, n);
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)nets_options.seed);

    for (gint turn = 0; turn < (factor > 0 ? 2 : 1); turn++) {
        float **expected;

        nets_fill(input, n, rand);
        for (gsize i = 0; i < n && turn == 1; i++)
            input[i] *= factor;
        if (turn == 0)
            input[n / 6] = NAN;
        expected = run_one(model, name, "ref", GPUDL_PRECISION_FP32, input);
        for (guint p = 0; p < (turn == 1 ? 1 : G_N_ELEMENTS(nets_precisions)) && expected != NULL; p++) {
            float **got = nets_is_asked(nets_precisions[p].precision)
                              ? run_one(model, name, "cuda", nets_precisions[p].precision, input)
                              : NULL;
            gint of = 0, lies;

            if (got == NULL)
                continue;
            lies = count_lies(model, got, expected, 5e-2, &of);
            nets_say(lies == 0, "%s %s %s: %d of %d outputs that are none are numbers", name,
                     gpudl_precision_name(nets_precisions[p].precision), turn == 0 ? "NaN" : "overflow", lies, of);
            nets_free_outputs(got);
        }
        if (expected != NULL)
            nets_free_outputs(expected);
    }
}

/* ---- checks ---------------------------------------------------------------------------------------------------------
 */

static void check_model(GpudlModel *model, const gchar *name, gboolean frames, GpudlAutotune autotune)
{
    const gboolean several = !nets_options.single && gpudl_model_get_symbolic_batch(model, NULL);
    const gint64 sizes[] = {1, 3, 4}, *last = &sizes[several ? 2 : 0];
    const guint n_sizes = (guint)(last - sizes) + 1;
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)nets_options.seed);
    g_autofree float *input = g_new(float, nets_input_size(model) * 4);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) reference = nets_acquire(model, "ref", GPUDL_PRECISION_FP32, 0, GPUDL_AUTOTUNE_OFF, &error);
    float **expected = nets_make_outputs(model, 4);
    NetsWhole whole = {*last, input, expected};

    nets_fill(input, nets_input_size(model) * 4, rand);
    if (reference == NULL || !gpudl_scheduler_run(reference, nets_run_whole, &whole, &error)) {
        nets_say(FALSE, "%s on the reference: %s", name, error->message);
    } else {
        for (guint p = 0; p < G_N_ELEMENTS(nets_precisions); p++)
            if (nets_is_asked(nets_precisions[p].precision))
                check_tensors(model, name, p, sizes, n_sizes, input, expected, autotune);
        if (frames && !nets_options.tensors)
            nets_check_frames(model, name, rand);
    }
    nets_free_outputs(expected);
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

        nets_say((strstr(device, "cuDNN") != NULL) == has_libraries() &&
                     (strstr(device, "own kernels") != NULL) != has_libraries(),
                 "%s is computed by %s", name, device);
        gpudl_session_get_memory(session, &memory[0], &memory[1]);
        g_clear_pointer(&session, gpudl_session_unref);
        *forecast = gpudl_session_forecast(model, config, NULL, &error);
        if (*forecast != NULL)
            return TRUE;
    }
    nets_say(FALSE, "%s: tuning: %s", name, error->message);
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
        nets_say(before->n_choices > 0 && before->n_known == 0 && g_strv_length(before->missing) == before->n_choices &&
                     tuned->n_choices == before->n_choices && tuned->n_known == tuned->n_choices &&
                     tuned->missing[0] == NULL,
                 "%s %s: %u of %u choices known before, %u of %u after", name,
                 first == GPUDL_AUTOTUNE_FULL ? "tuned" : "tuned in idle time", before->n_known, before->n_choices,
                 tuned->n_known, tuned->n_choices);
        config.autotune = GPUDL_AUTOTUNE_CACHED;
        if (load_and_foresee(model, &config, name, memory, &warm))
            nets_say(memory[0] == warm->weights && memory[1] == warm->workspace && memory[0] > 0,
                     "%s warm: weights %" G_GUINT64_FORMAT ", foreseen %" G_GUINT64_FORMAT
                     ", work memory %" G_GUINT64_FORMAT ", foreseen %" G_GUINT64_FORMAT,
                     name, memory[0], warm->weights, memory[1], warm->workspace);
    }
    remove_folder(folder);
}

static void check_grown(void)
{
    static const gchar *const kinds[] = {"random", "residual", "inverted", "branches"};

    for (gint kind = 0; kind < NETS_KINDS; kind++)
        for (gint i = 0; i < nets_options.nets; i++) {
            g_autofree gchar *text = NULL, *name = g_strdup_printf("%s/%d", kinds[kind], nets_options.seed + i);
            GpudlModel *model;

            if (only != NULL && strcmp(only, name) != 0)
                continue;
            model = nets_grow((NetsKind)kind, (guint32)(nets_options.seed + i), &text);
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

    nets_options.all_run = TRUE;
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
    nets_options.all_run = FALSE;
}

/* The device stays open, so that opening a session is that alone. */
static int need_device(GpudlDevice **device)
{
    g_autoptr(GError) error = NULL;
    const gint64 begin = g_get_monotonic_time();

    *device = gpudl_device_acquire("cuda", -1, NULL, NULL, NULL, &error);
    if (*device != NULL && nets_options.bench)
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
    const GOptionEntry entries[] = {{"seed", 0, 0, G_OPTION_ARG_INT, &nets_options.seed, NULL, NULL},
                                    {"nets", 0, 0, G_OPTION_ARG_INT, &nets_options.nets, NULL, NULL},
                                    {"only", 0, 0, G_OPTION_ARG_STRING, &only, NULL, NULL},
                                    {"bench", 0, 0, G_OPTION_ARG_NONE, &nets_options.bench, NULL, NULL},
                                    {"batches", 0, 0, G_OPTION_ARG_STRING, &nets_options.batches, NULL, NULL},
                                    {"profiles", 0, 0, G_OPTION_ARG_NONE, &nets_options.profiles, NULL, NULL},
                                    {"settle", 0, 0, G_OPTION_ARG_NONE, &nets_options.settle, NULL, NULL},
                                    {"tensors", 0, 0, G_OPTION_ARG_NONE, &nets_options.tensors, NULL, NULL},
                                    {"single", 0, 0, G_OPTION_ARG_NONE, &nets_options.single, NULL, NULL},
                                    {"quick", 0, 0, G_OPTION_ARG_NONE, &nets_options.quick, NULL, NULL},
                                    {"tap", 0, 0, G_OPTION_ARG_NONE, &tap, NULL, NULL},
                                    {"cache", 0, 0, G_OPTION_ARG_FILENAME, &nets_options.cache_dir, NULL, NULL},
                                    {"autotune", 0, 0, G_OPTION_ARG_STRING, &nets_options.autotune_name, NULL, NULL},
                                    {"precision", 0, 0, G_OPTION_ARG_STRING, &nets_options.precision_name, NULL, NULL},
                                    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &files, NULL, NULL},
                                    G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context = g_option_context_new("[MODEL...]");
    g_autoptr(GError) error = NULL;
    GpudlPrecision precision = GPUDL_PRECISION_FP16;
    int missing;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) ||
        (nets_options.precision_name != NULL && !gpudl_precision_parse(nets_options.precision_name, &precision))) {
        fprintf(stderr, "check-cuda-nets: %s\n", error != NULL ? error->message : "unknown precision");
        return 2;
    }
    missing = need_device(&device);
    if (missing != 0)
        return tap && missing == 77 ? 0 : missing;
    for (guint i = 0; files != NULL && files[i] != NULL; i++) {
        g_autofree gchar *name = g_path_get_basename(files[i]);
        g_autoptr(GpudlModel) model = gpudl_model_load(files[i], NULL, NULL, &error);

        nets_options.of_files = TRUE;
        if (model == NULL) {
            nets_say(FALSE, "%s", error->message);
            g_clear_error(&error);
        } else if (nets_options.bench) {
            nets_bench(model, name, precision);
        } else {
            check_model(model, name, TRUE, nets_autotune(GPUDL_AUTOTUNE_OFF));
            check_extremes(model, name, 0);
        }
    }
    nets_options.of_files = FALSE;
    if (!nets_options.bench) {
        check_grown();
        check_operators();
    }
    printf("1..%d\n", nets_tests);
    return nets_failures > 0;
}
