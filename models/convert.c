/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From any model file to a net.bin, proving on the way that the rewritten graph computes what the file's graph does. */
#include <math.h>
#include <string.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/passes/rewrite.h"
#include "engine/ref/ref.h"
#include "engine/structs.h"
#include "kernels/preproc.h"
#include "models/compare.h"
#include "models/gpudl-import.h"
#include "models/import.h"
#include "models/save.h"
#include "models/work.h"

#define WORK_BYTES (G_GUINT64_CONSTANT(32) << 20) /* of a session, beside its weights; small networks have no limit */
#define GPUDL_PARITY_FIRST_SIZE GPUDL_SIZE_TO(GpudlParity, backend)

/* One input, and what the rewritten graph made of it. */
typedef struct {
    gchar *description; /* of the golden sample that it would be */
    float *input;
    float **scores; /* one array per output */
    guint n_heads;
} Trial;

/* A conversion under way: all it needs is its own, but for the golden frame's pixels. */
typedef struct {
    gchar *path_in, *path_out, *backend, *golden_name;
    GpudlImportOptions *options;
    gboolean has_frame;
    GpudlFrame frame; /* its pixels: read while the caller can't leave */
    float *expect;
    gsize n_expect;
    GpudlProgressFunc progress;
    gpointer user_data;

    GpudlWork *work;
    GCancellable *cancellable; /* the work's */
    GpudlModel *model;         /* nobody else's */
    gboolean held;
    GpudlGraph *original; /* the file's graph, inferred at batch 1 */
    GpudlSession *session;
    GpudlStream *stream;
    GpudlRequest *request;
    guint n_random; /* inputs that are compared, beside the golden picture */
    guint n_steps, step;
    GpudlGolden *golden;
    GPtrArray *trials; /* random ones, then the golden picture */
    gchar used_backend[sizeof((GpudlParity *)NULL)->backend];
    GpudlCompared *heads; /* one per output */
    guint n_inputs, n_widened;
} Conversion;

/* What comes of it. */
typedef struct {
    gboolean done;
    GpudlParity parity;
    GError *error;
} Outcome;

static void outcome_free(gpointer data)
{
    Outcome *outcome = data;

    g_clear_error(&outcome->error);
    g_free(outcome);
}

static void trial_free(gpointer data)
{
    Trial *trial = data;

    for (guint i = 0; i < trial->n_heads; i++)
        g_free(trial->scores[i]);
    g_free(trial->scores);
    g_free(trial->input);
    g_free(trial->description);
    g_free(trial);
}

static void close_session(Conversion *c)
{
    g_clear_pointer(&c->request, gpudl_request_free);
    g_clear_pointer(&c->stream, gpudl_stream_free);
    g_clear_pointer(&c->session, gpudl_session_unref);
}

static void drop_model(Conversion *c)
{
    if (c->held)
        gpudl_model_release(c->model);
    c->held = FALSE;
    g_clear_pointer(&c->model, gpudl_model_unref);
}

static void conversion_free(gpointer data)
{
    Conversion *c = data;

    close_session(c);
    g_clear_pointer(&c->trials, g_ptr_array_unref);
    g_clear_pointer(&c->golden, gpudl_golden_free);
    g_clear_pointer(&c->original, gpudl_graph_free);
    drop_model(c);
    g_clear_pointer(&c->options, gpudl_import_options_free);
    g_free(c->path_in);
    g_free(c->path_out);
    g_free(c->backend);
    g_free(c->golden_name);
    g_free(c->expect);
    g_free(c->heads);
    g_free(c);
}

/* The caller's function is called only while the caller is there. */
static void report(Conversion *c, const gchar *what)
{
    if (c->progress && gpudl_work_enter(c->work)) {
        c->progress(MIN(1.0, (double)c->step / c->n_steps), what, c->user_data);
        gpudl_work_leave(c->work);
    }
    c->step++;
}

static gboolean cancelled(Conversion *c, GError **error)
{
    if (!g_cancellable_is_cancelled(c->cancellable))
        return FALSE;
    g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "converting was cancelled");
    return TRUE;
}

static gsize input_elements(const GpudlModel *model)
{
    return (gsize)model->preproc.channels * (gsize)model->preproc.height * (gsize)model->preproc.width;
}

/* Pixels of independent noise on a random brightness per channel, normalised as the network wants them. */
static float *random_input(const GpudlModel *model, guint32 seed)
{
    const GpudlPreproc *pp = &model->preproc;
    gsize plane = (gsize)pp->height * (gsize)pp->width;
    float *values = g_new(float, input_elements(model));
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (gint ch = 0; ch < pp->channels; ch++) {
        double base = g_rand_double_range(rand, 0, 255), spread = g_rand_double_range(rand, 10, 128);

        for (gsize i = 0; i < plane; i++) {
            double pixel = CLAMP(base + g_rand_double_range(rand, -spread, spread), 0, 255);

            values[(gsize)ch * plane + i] = (float)((pixel / pp->pixel_scale - pp->mean[ch]) / pp->std[ch]);
        }
    }
    return values;
}

/* The outputs of the file's graph on the reference backend, each float32 with as many values as its head has classes.
 */
static GPtrArray *run_original(Conversion *c, const float *values, GError **error)
{
    g_autoptr(GBytes) input = g_bytes_new(values, input_elements(c->model) * sizeof(float));
    g_autoptr(GPtrArray) outputs = NULL;

    if (c->original->outputs->len != gpudl_model_get_n_heads(c->model)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%u outputs have become %u by rewriting",
                    c->original->outputs->len, gpudl_model_get_n_heads(c->model));
        return NULL;
    }
    outputs = gpudl_ref_run(c->original, &input, c->cancellable, error);
    for (guint head = 0; outputs && head < outputs->len; head++) {
        const GpudlTensor *output = c->original->outputs->pdata[head];

        if (gpudl_shape_elements(&output->shape) != (gint64)gpudl_model_get_n_classes(c->model, head) ||
            output->dtype != GPUDL_DTYPE_F32) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                        "output '%s' has changed its shape or type by rewriting", output->name);
            return NULL;
        }
    }
    return g_steal_pointer(&outputs);
}

static const float *values_of(GPtrArray *outputs, guint head)
{
    return g_bytes_get_data(outputs->pdata[head], NULL);
}

static gboolean compare_head(Conversion *c, guint index, const float *scores, const float *expected, GError **error)
{
    const guint n = gpudl_model_get_n_classes(c->model, index);
    const guint done = gpudl_compared_add(&c->heads[index], scores, expected, n);

    if (done < n)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                    "value %u of output '%s' for input %u is %g by the reference and %g by backend '%s': not finite",
                    done, gpudl_model_get_head_name(c->model, index), c->n_inputs, (double)expected[done],
                    (double)scores[done], c->used_backend);
    return done == n;
}

/* The reference's answer to a trial, compared with the backend's. */
static GPtrArray *compare(Conversion *c, const Trial *trial, GError **error)
{
    g_autoptr(GPtrArray) expected = cancelled(c, error) ? NULL : run_original(c, trial->input, error);

    for (guint head = 0; expected && head < expected->len; head++)
        if (!compare_head(c, head, trial->scores[head], values_of(expected, head), error))
            return NULL;
    c->n_inputs++;
    return g_steal_pointer(&expected);
}

static void keep_golden(Conversion *c, const Trial *trial, const float *output)
{
    GpudlGolden *golden = g_new0(GpudlGolden, 1);

    golden->description = g_strdup(trial->description);
    golden->input = g_bytes_new(trial->input, input_elements(c->model) * sizeof(float));
    golden->output = g_bytes_new(output, gpudl_model_get_n_classes(c->model, 0) * sizeof(float));
    c->golden = golden;
}

/* What the network sees of the golden picture. */
static gboolean prepare_golden(Conversion *c, float *values, GError **error)
{
    const gchar *wrong;

    if (!gpudl_work_enter(c->work)) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "converting was cancelled");
        return FALSE;
    }
    wrong = gpudl_frame_check(&c->frame);
    if (!wrong && gpudl_preproc_ref(&c->frame, &c->model->preproc, values) != 0)
        wrong = "not in host memory";
    gpudl_work_leave(c->work);
    if (wrong)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "golden picture refused: %s", wrong);
    return wrong == NULL;
}

/* ---- on the backend ---------------------------------------------------------------------------------------------- */

/* Takes the input and the description. */
static gboolean run_trial(Conversion *c, float *input, gchar *description, GError **error)
{
    Trial *trial = g_new0(Trial, 1);

    trial->input = input;
    trial->description = description;
    g_ptr_array_add(c->trials, trial);
    if (cancelled(c, error) || !gpudl_request_submit_tensor(c->request, input, error) ||
        !gpudl_request_wait(c->request, error))
        return FALSE;
    trial->n_heads = gpudl_model_get_n_heads(c->model);
    trial->scores = g_new0(float *, trial->n_heads);
    for (guint i = 0; i < trial->n_heads; i++)
        trial->scores[i] =
            g_memdup2(gpudl_request_get_scores(c->request, i), gpudl_model_get_n_classes(c->model, i) * sizeof(float));
    return TRUE;
}

/* The rewritten graph's answers; nothing of the session is left but these. */
static gboolean run_trials(Conversion *c, GError **error)
{
    c->trials = g_ptr_array_new_with_free_func(trial_free);
    for (guint32 seed = 1; seed <= c->n_random; seed++)
        if (!run_trial(c, random_input(c->model, seed), g_strdup_printf("random, seed %u", seed), error))
            return FALSE;
    if (c->has_frame) {
        float *values = g_new(float, input_elements(c->model));

        if (!prepare_golden(c, values, error)) {
            g_free(values);
            return FALSE;
        }
        if (!run_trial(c, values, g_strdup_printf("picture %s", c->golden_name ? c->golden_name : "given"), error))
            return FALSE;
    }
    close_session(c);
    return TRUE;
}

/* ---- on the reference -------------------------------------------------------------------------------------------- */

static gboolean prove_random(Conversion *c, GError **error)
{
    for (guint i = 0; i < c->n_random; i++) {
        g_autoptr(GPtrArray) expected = NULL;

        report(c, "comparing with the reference");
        expected = compare(c, c->trials->pdata[i], error);
        if (!expected)
            return FALSE;
        if (!c->has_frame && i == 0)
            keep_golden(c, c->trials->pdata[i], values_of(expected, 0));
    }
    return TRUE;
}

static gboolean prove_golden(Conversion *c, GError **error)
{
    g_autoptr(GPtrArray) expected = NULL;

    report(c, "comparing the golden picture");
    expected = compare(c, c->trials->pdata[c->n_random], error);
    if (!expected)
        return FALSE;
    if (c->expect && !gpudl_compared_expect(values_of(expected, 0), c->expect, c->n_expect,
                                            gpudl_model_get_n_classes(c->model, 0), error))
        return FALSE;
    keep_golden(c, c->trials->pdata[c->n_random], values_of(expected, 0));
    return TRUE;
}

static gboolean judge(Conversion *c, GpudlParity *parity, GError **error)
{
    const gchar *backend = c->used_backend;
    guint worst = 0;
    const GpudlCompared *head;

    for (guint i = 1; i < gpudl_model_get_n_heads(c->model); i++)
        if (gpudl_compared_off(&c->heads[i]) > gpudl_compared_off(&c->heads[worst]))
            worst = i;
    head = &c->heads[worst];
    *parity = (GpudlParity){
        .max_difference = head->max,
        .rms_difference = sqrt(head->sum / (double)MAX(head->n_values, 1)),
        .range = head->high - head->low,
        .head = worst,
        .n_inputs = c->n_inputs,
        .widened = c->n_widened > 0,
    };
    g_strlcpy(parity->backend, backend, sizeof parity->backend);
    if (head->max <= gpudl_compared_allowed(head->low, head->high))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                "output '%s' of the rewritten graph on backend '%s' differs from the file's graph on the reference by "
                "%.3g: at most %.3g is taken for values within %g and %g",
                gpudl_model_get_head_name(c->model, worst), backend, head->max,
                gpudl_compared_allowed(head->low, head->high), head->low, head->high);
    return FALSE;
}

/* The file's graph as it is; a net.bin's own graph is both sides. */
static gboolean load_original(Conversion *c, GError **error)
{
    if (c->model->file) {
        c->original = gpudl_graph_copy(c->model->graph);
        return gpudl_graph_sort(c->original, error) && gpudl_graph_infer(c->original, 1, error);
    }
    /* As imported, but for two things. The batch it was exported with: it is to run frame by frame. And values stored
     * as half floats are the same in float32, but the sums are not: rounded to a half after every node they alone are
     * off by more than a wrong rewrite might be. */
    return gpudl_import_graph(c->path_in, c->options, &c->original, NULL, c->cancellable, error) &&
           gpudl_graph_prove_batch(c->original, c->cancellable, error) && gpudl_graph_infer(c->original, 1, error) &&
           gpudl_pass_widen(c->original, &c->n_widened, error);
}

/* What is proved does not depend on how the CPU's weights are packed: the forms that take several times their memory
 * are left alone, unless there is no other. */
static guint64 memory_limit(const Conversion *c)
{
    const gsize weights = c->model->pages != NULL ? gpudl_pages_get_size(c->model->pages) : 0;

    return strcmp(c->backend, "cpu") == 0 && weights > 0 ? weights + weights / 8 + WORK_BYTES : 0;
}

static gboolean open_session(Conversion *c, GError **error)
{
    GError *local = NULL;
    GpudlSessionConfig config = {
        .struct_size = sizeof config,
        .backend = c->backend,
        .precision = GPUDL_PRECISION_FP32, /* what is proved is the rewriting, not the backend's rounding */
        .activation = GPUDL_ACTIVATION_NONE,
        .cuda_device_id = -1,
        .cpu_threads = 1,
        .memory_limit = memory_limit(c),
    };

    /* a net.bin's constants are read once more, in place; others are read again from the file */
    c->model->spend = c->model->file == NULL;
    c->session = gpudl_session_acquire(c->model, &config, c->cancellable, &local);
    if (!c->session && config.memory_limit > 0 && g_error_matches(local, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY)) {
        g_clear_error(&local);
        config.memory_limit = 0;
        c->session = gpudl_session_acquire(c->model, &config, c->cancellable, &local);
    }
    if (!c->session) {
        g_propagate_error(error, local);
        return FALSE;
    }
    g_strlcpy(c->used_backend, gpudl_session_get_backend(c->session), sizeof c->used_backend);
    c->stream = gpudl_stream_new(c->session, c->model);
    c->request = gpudl_request_new(c->stream);
    return TRUE;
}

static gboolean prove(Conversion *c, GpudlParity *parity, GError **error)
{
    c->heads = g_new0(GpudlCompared, gpudl_model_get_n_heads(c->model));
    for (guint i = 0; i < gpudl_model_get_n_heads(c->model); i++)
        gpudl_compared_begin(&c->heads[i]);
    return prove_random(c, error) && (!c->has_frame || prove_golden(c, error)) && judge(c, parity, error);
}

/* From here on whoever cancels waits for the file, and is told of it: there is no leave(). */
static gboolean write_model(Conversion *c, GError **error)
{
    report(c, "writing");
    if (!c->model->converted_by)
        c->model->converted_by = g_strdup_printf("gpudl %s", gpudl_version());
    if (!gpudl_work_enter(c->work)) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "converting was cancelled");
        return FALSE;
    }
    return gpudl_model_save(c->model, c->path_out, error);
}

/* The file that is read would be gone, or no longer what it was. */
static gboolean fail_input(const gchar *path, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                "%s: is what the model is read from, and would be lost: expected another file to write", path);
    return FALSE;
}

/* The model, whole in memory. */
static gboolean read_model(Conversion *c, GError **error)
{
    drop_model(c);
    c->model = gpudl_import_model(c->path_in, c->options, c->cancellable, error);
    c->held = c->model && gpudl_model_hold_cancellable(c->model, c->cancellable, error);
    return c->held;
}

/* A net.bin's graph is its own original, and has its constants. */
static void let_go(Conversion *c)
{
    if (c->model->file)
        return;
    gpudl_model_release(c->model);
    c->held = FALSE;
}

static gboolean run_rewritten(Conversion *c, GError **error)
{
    report(c, "compiling");
    if (!open_session(c, error))
        return FALSE;
    let_go(c);
    if (run_trials(c, error))
        return TRUE;
    g_prefix_error(error, "%s: ", c->path_in);
    return FALSE;
}

static gboolean run_file(Conversion *c, GpudlParity *parity, GError **error)
{
    gboolean proved;

    if (!load_original(c, error))
        return FALSE;
    proved = prove(c, parity, error);
    if (!proved)
        g_prefix_error(error, "%s: ", c->path_in);
    g_clear_pointer(&c->original, gpudl_graph_free);
    return proved;
}

/* The model once more, as it was proved. */
static gboolean read_again(Conversion *c, GError **error)
{
    gchar content[GPUDL_CONTENT_BYTES];

    if (!c->held) {
        g_strlcpy(content, c->model->content, sizeof content);
        if (!read_model(c, error))
            return FALSE;
        if (strcmp(content, c->model->content) != 0) {
            gpudl_file_set_changed(c->path_in, error);
            return FALSE;
        }
    }
    gpudl_golden_free(c->model->golden);
    c->model->golden = g_steal_pointer(&c->golden);
    if (c->expect) { /* nothing is assumed any more: it was proved */
        c->model->preproc_known = TRUE;
        c->model->assumed = 0;
    }
    return TRUE;
}

/* The weights are in memory once at a time, as the model's, as the session's beside it or as the file's: whoever reads
 * them next reads the file again. */
static gboolean convert(Conversion *c, GpudlParity *parity, GError **error)
{
    if (!gpudl_save_check(c->path_out, error))
        return FALSE;
    if (gpudl_file_is_same(c->path_in, c->path_out)) /* before the work */
        return fail_input(c->path_out, error);
    report(c, "reading the model");
    if (!read_model(c, error))
        return FALSE;
    c->n_steps -= c->n_random;
    c->n_random = gpudl_compared_inputs(gpudl_graph_macs(c->model->graph));
    c->n_steps += c->n_random;
    c->options->input_height = c->model->preproc.height; /* the graph as imported is of this size, too */
    c->options->input_width = c->model->preproc.width;
    if (gpudl_model_is_read_from(c->model, c->path_out))
        return fail_input(c->path_out, error);
    return run_rewritten(c, error) && run_file(c, parity, error) && read_again(c, error) && write_model(c, error);
}

static gpointer convert_work(GpudlWork *work, gpointer data, GError **error)
{
    Conversion *c = data;
    Outcome *outcome = g_new0(Outcome, 1);

    c->work = work;
    c->cancellable = gpudl_work_get_cancellable(work);
    outcome->done = convert(c, &outcome->parity, &outcome->error);
    return outcome;
}

gboolean gpudl_model_convert(const gchar *path_in, const gchar *path_out, const GpudlImportOptions *options,
                             const gchar *backend, const GpudlFrame *golden_frame, const gchar *golden_name,
                             const float *expect, gsize n_expect, GpudlProgressFunc progress, gpointer user_data,
                             GpudlParity *parity, GCancellable *cancellable, GError **error)
{
    GpudlImportOptions known;
    GpudlPreproc preproc;
    GpudlFrame frame;
    Conversion *c;
    Outcome *outcome;
    gboolean done;

    if (expect && !golden_frame) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                            "expected values need the golden picture they belong to");
        return FALSE;
    }
    if (parity && !gpudl_struct_has_room(parity, GPUDL_PARITY_FIRST_SIZE, "GpudlParity", error))
        return FALSE;
    if (!gpudl_import_options_take(&known, &preproc, options, error) ||
        (golden_frame &&
         !gpudl_struct_take(&frame, sizeof frame, golden_frame, GPUDL_FRAME_FIRST_SIZE, "GpudlFrame", error)))
        return FALSE;
    c = g_new0(Conversion, 1);
    c->path_in = gpudl_import_file_of(path_in);
    c->path_out = g_strdup(path_out);
    c->options = gpudl_import_options_copy(&known);
    c->backend = g_strdup(backend);
    c->golden_name = golden_name ? g_utf8_make_valid(golden_name, -1) : NULL;
    c->has_frame = golden_frame != NULL;
    if (golden_frame)
        c->frame = frame;
    c->expect = g_memdup2(expect, n_expect * sizeof *expect);
    c->n_expect = n_expect;
    c->progress = progress;
    c->user_data = user_data;
    c->n_random = gpudl_compared_inputs(0); /* until the network is known */
    c->n_steps = c->n_random + (golden_frame ? 4 : 3);
    outcome = gpudl_work_run(convert_work, c, conversion_free, outcome_free, cancellable, error);
    if (!outcome) {
        g_prefix_error(error, "%s: ", path_in);
        return FALSE;
    }
    done = outcome->done;
    if (parity)
        gpudl_struct_give(parity, &outcome->parity, sizeof outcome->parity, GPUDL_PARITY_FIRST_SIZE);
    if (outcome->error)
        g_propagate_error(error, g_steal_pointer(&outcome->error));
    outcome_free(outcome);
    return done;
}
