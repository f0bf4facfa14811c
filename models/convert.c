/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From any model file to a net.bin, proving on the way that the rewritten graph computes what the file's graph does. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/model.h"
#include "engine/modelfile/modelfile.h"
#include "engine/passes/rewrite.h"
#include "engine/ref/ref.h"
#include "engine/structs.h"
#include "kernels/preproc.h"
#include "models/gpudl-import.h"
#include "models/import.h"
#include "models/work.h"

#define N_RANDOM 8
#define TOLERANCE 1e-3 /* of the output's range: above fp32 reordering (1e-5), below any wrong rewrite seen */
#define GPUDL_PARITY_FIRST_SIZE GPUDL_SIZE_TO(GpudlParity, backend)

/* What comparing has shown of one output. */
typedef struct {
    double max, sum, low, high;
    guint64 n_values;
} Head;

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
    guint n_steps, step;
    Head *heads; /* one per output */
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

static void conversion_free(gpointer data)
{
    Conversion *c = data;

    g_clear_pointer(&c->request, gpudl_request_free);
    g_clear_pointer(&c->stream, gpudl_stream_free);
    g_clear_pointer(&c->session, gpudl_session_unref);
    g_clear_pointer(&c->original, gpudl_graph_free);
    if (c->held)
        gpudl_model_release(c->model);
    g_clear_pointer(&c->model, gpudl_model_unref);
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
    guint n = gpudl_model_get_n_classes(c->model, index);
    Head *head = &c->heads[index];

    for (guint i = 0; i < n; i++) {
        double difference = fabs((double)scores[i] - (double)expected[i]);

        if (!isfinite(expected[i]) || !isfinite(scores[i])) {
            g_set_error(
                error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                "value %u of output '%s' for input %u is %g by the reference and %g by backend '%s': not finite", i,
                gpudl_model_get_head_name(c->model, index), c->n_inputs, (double)expected[i], (double)scores[i],
                gpudl_session_get_backend(c->session));
            return FALSE;
        }
        head->max = MAX(head->max, difference);
        head->sum += difference * difference;
        head->low = MIN(head->low, (double)expected[i]);
        head->high = MAX(head->high, (double)expected[i]);
    }
    head->n_values += n;
    return TRUE;
}

static gboolean compare(Conversion *c, const float *values, GPtrArray *expected, GError **error)
{
    if (cancelled(c, error) || !gpudl_request_submit_tensor(c->request, values, error) ||
        !gpudl_request_wait(c->request, error))
        return FALSE;
    for (guint head = 0; head < expected->len; head++)
        if (!compare_head(c, head, gpudl_request_get_scores(c->request, head), values_of(expected, head), error))
            return FALSE;
    c->n_inputs++;
    return TRUE;
}

/* A network whose output is nearly constant has no range to speak of: the precision that is left of its values after
 * many layers counts then (DenseNet-121 with equal weights: 2e-6). */
static double allowed(double low, double high)
{
    return MAX(TOLERANCE * (high - low), 1e-5 * MAX(fabs(low), fabs(high)));
}

static gboolean check_expect(const float *found, const float *expect, gsize n_expect, guint n, GError **error)
{
    double low = G_MAXDOUBLE, high = -G_MAXDOUBLE, max = 0;
    guint worst = 0;

    if (n_expect != n) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "%" G_GSIZE_FORMAT " values are expected of the golden picture, but the network has %u classes",
                    n_expect, n);
        return FALSE;
    }
    for (guint i = 0; i < n; i++) {
        double difference = fabs((double)found[i] - (double)expect[i]);

        if (!isfinite(expect[i])) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                        "%g is expected of the golden picture for class %u, a finite number is needed",
                        (double)expect[i], i);
            return FALSE;
        }
        low = MIN(low, (double)expect[i]);
        high = MAX(high, (double)expect[i]);
        if (difference > max) {
            max = difference;
            worst = i;
        }
    }
    if (max > allowed(low, high)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                    "the golden picture gives %g for class %u, expected %g: difference %.3g, at most %.3g is taken for "
                    "values within %g and %g (are mean, std, scale and channel order the network's?)",
                    (double)found[worst], worst, (double)expect[worst], max, allowed(low, high), low, high);
        return FALSE;
    }
    return TRUE;
}

static void keep_golden(Conversion *c, const gchar *description, const float *input, const float *output)
{
    GpudlGolden *golden = g_new0(GpudlGolden, 1);

    golden->description = g_strdup(description);
    golden->input = g_bytes_new(input, input_elements(c->model) * sizeof(float));
    golden->output = g_bytes_new(output, gpudl_model_get_n_classes(c->model, 0) * sizeof(float));
    gpudl_golden_free(c->model->golden);
    c->model->golden = golden;
}

static gboolean prove_random(Conversion *c, gboolean keep_first, GError **error)
{
    for (guint32 seed = 1; seed <= N_RANDOM; seed++) {
        g_autofree float *values = random_input(c->model, seed);
        g_autoptr(GPtrArray) expected = NULL;

        report(c, "comparing with the reference");
        expected = run_original(c, values, error);
        if (!expected || !compare(c, values, expected, error))
            return FALSE;
        if (keep_first && seed == 1)
            keep_golden(c, "random, seed 1", values, values_of(expected, 0));
    }
    return TRUE;
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

static gboolean prove_golden(Conversion *c, GError **error)
{
    g_autofree float *values = g_new(float, input_elements(c->model));
    g_autoptr(GPtrArray) expected = NULL;
    g_autofree gchar *description = g_strdup_printf("picture %s", c->golden_name ? c->golden_name : "given");

    report(c, "comparing the golden picture");
    if (!prepare_golden(c, values, error))
        return FALSE;
    expected = run_original(c, values, error);
    if (!expected || !compare(c, values, expected, error))
        return FALSE;
    if (c->expect &&
        !check_expect(values_of(expected, 0), c->expect, c->n_expect, gpudl_model_get_n_classes(c->model, 0), error))
        return FALSE;
    if (c->expect) { /* nothing is assumed any more: it was proved */
        c->model->preproc_known = TRUE;
        c->model->assumed = 0;
    }
    keep_golden(c, description, values, values_of(expected, 0));
    return TRUE;
}

static double off(const Head *head)
{
    return head->max > 0 ? head->max / MAX(allowed(head->low, head->high), G_MINDOUBLE) : 0;
}

static gboolean judge(Conversion *c, GpudlParity *parity, GError **error)
{
    const gchar *backend = gpudl_session_get_backend(c->session);
    guint worst = 0;
    const Head *head;

    for (guint i = 1; i < gpudl_model_get_n_heads(c->model); i++)
        if (off(&c->heads[i]) > off(&c->heads[worst]))
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
    if (head->max <= allowed(head->low, head->high))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                "output '%s' of the rewritten graph on backend '%s' differs from the file's graph on the reference by "
                "%.3g: at most %.3g is taken for values within %g and %g",
                gpudl_model_get_head_name(c->model, worst), backend, head->max, allowed(head->low, head->high),
                head->low, head->high);
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

static gboolean open_session(Conversion *c, GError **error)
{
    GpudlSessionConfig config = {
        .struct_size = sizeof config,
        .backend = c->backend,
        .precision = GPUDL_PRECISION_FP32, /* what is proved is the rewriting, not the backend's rounding */
        .activation = GPUDL_ACTIVATION_NONE,
        .cuda_device_id = -1,
        .cpu_threads = 1,
    };

    c->session = gpudl_session_acquire(c->model, &config, c->cancellable, error);
    if (!c->session)
        return FALSE;
    c->stream = gpudl_stream_new(c->session, c->model);
    c->request = gpudl_request_new(c->stream);
    return TRUE;
}

static gboolean fail_write(const gchar *path, const gchar *why, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_WRITE, "%s: can't be written: %s", path, why);
    return FALSE;
}

/* What can be known before the work is done. A rename would replace a device as it replaces a file. */
static gboolean check_output(const gchar *path, GError **error)
{
    g_autofree gchar *folder = g_path_get_dirname(path);
    g_autofree gchar *why = NULL;
    GStatBuf st;

    if (path[0] == '\0' || g_str_has_suffix(path, G_DIR_SEPARATOR_S))
        return fail_write(path, "expected the name of a file", error);
    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return fail_write(path, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file", error);
    if (g_access(folder, W_OK | X_OK) == 0)
        return TRUE;
    why = g_strdup_printf("folder %s: %s", folder, g_strerror(errno));
    return fail_write(path, why, error);
}

gboolean gpudl_model_save(GpudlModel *model, const gchar *path, GError **error)
{
    g_autoptr(GBytes) bytes = check_output(path, error) ? gpudl_modelfile_write(model, error) : NULL;
    g_autoptr(GError) failure = NULL;
    const gchar *data;
    gsize size;

    if (!bytes)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    if (!g_file_set_contents_full(path, data, (gssize)size,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &failure))
        return fail_write(path, failure->message, error);
    return TRUE;
}

static gboolean prove(Conversion *c, GpudlParity *parity, GError **error)
{
    c->heads = g_new0(Head, gpudl_model_get_n_heads(c->model));
    for (guint i = 0; i < gpudl_model_get_n_heads(c->model); i++) {
        c->heads[i].low = G_MAXDOUBLE;
        c->heads[i].high = -G_MAXDOUBLE;
    }
    return prove_random(c, !c->has_frame, error) && (!c->has_frame || prove_golden(c, error)) &&
           judge(c, parity, error);
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

static gboolean convert(Conversion *c, GpudlParity *parity, GError **error)
{
    if (!check_output(c->path_out, error))
        return FALSE;
    if (gpudl_file_is_same(c->path_in, c->path_out)) /* before the work */
        return fail_input(c->path_out, error);
    report(c, "reading the model");
    c->model = gpudl_import_model(c->path_in, c->options, c->cancellable, error);
    if (!c->model)
        return FALSE;
    c->options->input_height = c->model->preproc.height; /* the graph as imported is of this size, too */
    c->options->input_width = c->model->preproc.width;
    if (gpudl_model_is_read_from(c->model, c->path_out))
        return fail_input(c->path_out, error);
    c->held = gpudl_model_hold_cancellable(c->model, c->cancellable, error);
    if (!c->held || !load_original(c, error))
        return FALSE;
    report(c, "compiling");
    if (!open_session(c, error))
        return FALSE;
    if (!prove(c, parity, error)) {
        g_prefix_error(error, "%s: ", c->path_in);
        return FALSE;
    }
    return write_model(c, error);
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
    c->golden_name = g_strdup(golden_name);
    c->has_frame = golden_frame != NULL;
    if (golden_frame)
        c->frame = frame;
    c->expect = g_memdup2(expect, n_expect * sizeof *expect);
    c->n_expect = n_expect;
    c->progress = progress;
    c->user_data = user_data;
    c->n_steps = N_RANDOM + (golden_frame ? 4 : 3);
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
