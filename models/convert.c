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
#include "kernels/preproc.h"
#include "models/gpudl-import.h"
#include "models/import.h"

#define N_RANDOM 8
#define TOLERANCE 1e-3 /* of the output's range: above fp32 reordering (1e-5), below any wrong rewrite seen */

typedef struct {
    GpudlModel *model;
    GpudlGraph *original; /* the file's graph, inferred at batch 1 */
    GpudlSession *session;
    GpudlStream *stream;
    GpudlRequest *request;
    GpudlProgressFunc progress;
    gpointer user_data;
    guint n_steps, step;
    double max, sum, low, high;
    guint64 n_values;
    guint n_inputs, n_widened;
} Conversion;

static void conversion_clear(Conversion *c)
{
    g_clear_pointer(&c->request, gpudl_request_free);
    g_clear_pointer(&c->stream, gpudl_stream_free);
    g_clear_pointer(&c->session, gpudl_session_unref);
    g_clear_pointer(&c->original, gpudl_graph_free);
    g_clear_pointer(&c->model, gpudl_model_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Conversion, conversion_clear)

static void report(Conversion *c, const gchar *what)
{
    if (c->progress)
        c->progress(MIN(1.0, (double)c->step / c->n_steps), what, c->user_data);
    c->step++;
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

/* Output 0 of the file's graph on the reference backend, as float32 (n = the classes). */
static float *run_original(Conversion *c, const float *values, GError **error)
{
    const GpudlTensor *output = c->original->outputs->pdata[0];
    g_autoptr(GBytes) input = g_bytes_new(values, input_elements(c->model) * sizeof(float));
    g_autoptr(GPtrArray) outputs = NULL;
    guint n = gpudl_model_get_n_classes(c->model, 0);

    outputs = gpudl_ref_run(c->original, &input, NULL, error);
    if (!outputs)
        return NULL;
    if (gpudl_shape_elements(&output->shape) != (gint64)n || output->dtype != GPUDL_DTYPE_F32) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "output '%s' has changed its shape or type by rewriting",
                    output->name);
        return NULL;
    }
    return g_memdup2(g_bytes_get_data(outputs->pdata[0], NULL), n * sizeof(float));
}

static gboolean compare(Conversion *c, const float *values, const float *expected, GError **error)
{
    guint n = gpudl_model_get_n_classes(c->model, 0);
    const float *scores;

    if (!gpudl_request_submit_tensor(c->request, values, error) || !gpudl_request_wait(c->request, error))
        return FALSE;
    scores = gpudl_request_get_scores(c->request, 0);
    for (guint i = 0; i < n; i++) {
        double difference = fabs((double)scores[i] - (double)expected[i]);

        if (!isfinite(expected[i]) || !isfinite(scores[i])) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                        "output %u of input %u is %g by the reference and %g by backend '%s': not finite", i,
                        c->n_inputs, (double)expected[i], (double)scores[i], gpudl_session_get_backend(c->session));
            return FALSE;
        }
        c->max = MAX(c->max, difference);
        c->sum += difference * difference;
        c->low = MIN(c->low, (double)expected[i]);
        c->high = MAX(c->high, (double)expected[i]);
    }
    c->n_values += n;
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
        g_autofree float *expected = NULL;

        report(c, "comparing with the reference");
        expected = run_original(c, values, error);
        if (!expected || !compare(c, values, expected, error))
            return FALSE;
        if (keep_first && seed == 1)
            keep_golden(c, "random, seed 1", values, expected);
    }
    return TRUE;
}

static gboolean prove_golden(Conversion *c, const GpudlFrame *frame, const gchar *name, const float *expect,
                             gsize n_expect, GError **error)
{
    g_autofree float *values = g_new(float, input_elements(c->model));
    g_autofree float *expected = NULL;
    g_autofree gchar *description = g_strdup_printf("picture %s", name ? name : "given");
    const gchar *wrong = gpudl_frame_check(frame);

    report(c, "comparing the golden picture");
    if (wrong || gpudl_preproc_ref(frame, &c->model->preproc, values) != 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "golden picture refused: %s",
                    wrong ? wrong : "not in host memory");
        return FALSE;
    }
    expected = run_original(c, values, error);
    if (!expected || !compare(c, values, expected, error))
        return FALSE;
    if (expect && !check_expect(expected, expect, n_expect, gpudl_model_get_n_classes(c->model, 0), error))
        return FALSE;
    keep_golden(c, description, values, expected);
    return TRUE;
}

static gboolean judge(Conversion *c, GpudlParity *parity, GError **error)
{
    if (parity)
        *parity = (GpudlParity){
            .max_difference = c->max,
            .rms_difference = sqrt(c->sum / (double)MAX(c->n_values, 1)),
            .range = c->high - c->low,
            .n_inputs = c->n_inputs,
            .widened = c->n_widened > 0,
        };
    if (parity)
        g_strlcpy(parity->backend, gpudl_session_get_backend(c->session), sizeof parity->backend);
    if (c->max <= allowed(c->low, c->high))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                "the rewritten graph on backend '%s' differs from the file's graph on the reference by %.3g: at most "
                "%.3g is taken for values within %g and %g",
                gpudl_session_get_backend(c->session), c->max, allowed(c->low, c->high), c->low, c->high);
    return FALSE;
}

static gboolean is_modelfile(const gchar *path, gboolean *is, GError **error)
{
    g_autoptr(GBytes) bytes = gpudl_file_read(path, NULL, error);
    const guint8 *data;
    gsize size;

    if (!bytes)
        return FALSE;
    data = g_bytes_get_data(bytes, &size);
    *is = gpudl_modelfile_sniff(data, size);
    return TRUE;
}

/* The file's graph as it is; a net.bin's own graph is both sides. */
static gboolean load_original(Conversion *c, const gchar *path, const GpudlImportOptions *options, GError **error)
{
    gboolean ours;

    if (!is_modelfile(path, &ours, error))
        return FALSE;
    if (ours) {
        c->original = gpudl_graph_copy(c->model->graph);
        return gpudl_graph_sort(c->original, error) && gpudl_graph_infer(c->original, 1, error);
    }
    /* As imported, but for two things. The batch it was exported with: it is to run frame by frame. And values stored
     * as half floats are the same in float32, but the sums are not: rounded to a half after every node they alone are
     * off by more than a wrong rewrite might be. */
    return gpudl_import_graph(path, options, &c->original, NULL, error) &&
           gpudl_graph_prove_batch(c->original, NULL, error) && gpudl_graph_infer(c->original, 1, error) &&
           gpudl_pass_widen(c->original, &c->n_widened, error);
}

static gboolean open_session(Conversion *c, const gchar *backend, GError **error)
{
    GpudlSessionConfig config = {
        .struct_size = sizeof config,
        .backend = backend,
        .activation = GPUDL_ACTIVATION_NONE,
        .cuda_device_id = -1,
        .cpu_threads = 1,
    };

    c->session = gpudl_session_acquire(c->model, &config, NULL, error);
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

static gboolean prove(Conversion *c, const GpudlFrame *frame, const gchar *name, const float *expect, gsize n_expect,
                      GpudlParity *parity, GError **error)
{
    return prove_random(c, frame == NULL, error) &&
           (frame == NULL || prove_golden(c, frame, name, expect, n_expect, error)) && judge(c, parity, error);
}

gboolean gpudl_model_convert(const gchar *path_in, const gchar *path_out, const GpudlImportOptions *options,
                             const gchar *backend, const GpudlFrame *golden_frame, const gchar *golden_name,
                             const float *expect, gsize n_expect, GpudlProgressFunc progress, gpointer user_data,
                             GpudlParity *parity, GError **error)
{
    g_auto(Conversion) c = {.progress = progress,
                            .user_data = user_data,
                            .n_steps = N_RANDOM + (golden_frame ? 4 : 3),
                            .low = G_MAXDOUBLE,
                            .high = -G_MAXDOUBLE};

    if (expect && !golden_frame) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                            "expected values need the golden picture they belong to");
        return FALSE;
    }
    if (!check_output(path_out, error))
        return FALSE;
    report(&c, "reading the model");
    c.model = gpudl_model_load(path_in, options, error);
    if (!c.model || !load_original(&c, path_in, options, error))
        return FALSE;
    report(&c, "compiling");
    if (!open_session(&c, backend, error))
        return FALSE;
    if (!prove(&c, golden_frame, golden_name, expect, n_expect, parity, error)) {
        g_prefix_error(error, "%s: ", path_in);
        return FALSE;
    }
    report(&c, "writing");
    if (!c.model->converted_by)
        c.model->converted_by = g_strdup_printf("gpudl %s", gpudl_version());
    return gpudl_model_save(c.model, path_out, error);
}
