/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A verdict is a file of the cache folder: precision-1/NAME, where NAME is a sum of all that it says, which is
 *     gpudl-precision VERSION
 *     BACKEND, DEVICE
 *     MODEL'S CONTENT
 *     PRECISION, ACTIVATION strays, fp32
 * A device's name has what computes on it (instruction set, library), so that an upgrade is judged anew.
 * It is read by comparing: whatever else the file holds, it is as if it were not there.
 */
#include "engine/session/precision.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "precision-1"

/* ---- the sample -------------------------------------------------------------------------------------------------- */

/* What the activation makes of raw values. */
static void activate(GpudlActivation activation, const float *values, guint n, double *out)
{
    double most = -INFINITY, sum = 0;

    for (guint i = 0; i < n; i++)
        most = fmax(most, values[i]);
    for (guint i = 0; i < n; i++) {
        out[i] = activation == GPUDL_ACTIVATION_SOFTMAX   ? exp(values[i] - most)
                 : activation == GPUDL_ACTIVATION_SIGMOID ? 1 / (1 + exp(-(double)values[i]))
                                                          : (double)values[i];
        sum += out[i];
    }
    for (guint i = 0; i < n && activation == GPUDL_ACTIVATION_SOFTMAX; i++)
        out[i] /= sum;
}

static guint best_of(const double *values, guint n)
{
    guint best = 0;

    for (guint i = 1; i < n; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* How found differs from expected, NULL: little enough. */
static gchar *describe(const double *expected, const double *found, guint n)
{
    const guint best = best_of(expected, n), other = best_of(found, n);
    guint worst = 0;

    for (guint i = 0; i < n; i++) {
        if (!isfinite(expected[i]))
            return NULL; /* it proves nothing */
        if (!isfinite(found[i]))
            return g_strdup_printf("class %u is %g instead of %.3f", i, found[i], expected[i]);
        if (fabs(found[i] - expected[i]) > fabs(found[worst] - expected[worst]))
            worst = i;
    }
    if (other != best)
        return g_strdup_printf("its best class is %u (%.3f) instead of %u (%.3f, now %.3f)", other, found[other], best,
                               expected[best], found[best]);
    if (fabs(found[worst] - expected[worst]) > GPUDL_PRECISION_MOST)
        return g_strdup_printf("class %u is %.3f instead of %.3f, and %.2f is borne", worst, found[worst],
                               expected[worst], GPUDL_PRECISION_MOST);
    return NULL;
}

static gchar *compare(const GpudlSession *session, const float *sample, const float *scores, guint n)
{
    const GpudlActivation done = (GpudlActivation)session->params.activation;
    g_autofree double *expected = g_new(double, n), *found = g_new(double, n);

    /* the sample is what the network gives; raw scores become probabilities as the model would have them */
    activate(done != GPUDL_ACTIVATION_NONE ? done : session->model->activation, sample, n, expected);
    activate(done != GPUDL_ACTIVATION_NONE ? GPUDL_ACTIVATION_NONE : session->model->activation, scores, n, found);
    return describe(expected, found, n);
}

gboolean gpudl_precision_prove(GpudlSession *session, gchar **strays, GError **error)
{
    GpudlModel *model = session->model;
    const GpudlGolden *golden = model->golden;
    const guint n = gpudl_model_get_n_classes(model, 0);
    const gsize n_input = (gsize)model->preproc.channels * (gsize)model->preproc.height * (gsize)model->preproc.width;
    GpudlStream *stream;
    GpudlRequest *request;
    gboolean good;

    *strays = NULL;
    if (session->params.precision == GPUDL_PRECISION_FP32 || !golden ||
        g_bytes_get_size(golden->input) != n_input * sizeof(float) ||
        g_bytes_get_size(golden->output) != n * sizeof(float))
        return TRUE;
    stream = gpudl_stream_new(session, model);
    request = gpudl_request_new(stream);
    good = gpudl_request_submit_tensor(request, g_bytes_get_data(golden->input, NULL), error) &&
           gpudl_request_wait(request, error);
    if (good)
        *strays = compare(session, g_bytes_get_data(golden->output, NULL), gpudl_request_get_scores(request, 0), n);
    gpudl_request_free(request);
    gpudl_stream_free(stream);
    return good;
}

/* ---- verdicts ---------------------------------------------------------------------------------------------------- */

void gpudl_precision_name_device(const GpudlDevice *device, gchar *name, gsize room)
{
    GpudlBackendDevice devices[64];
    GpudlFault fault;
    guint32 n = 0;

    name[0] = '\0';
    if (device->backend->devices(devices, G_N_ELEMENTS(devices), &n, &fault) != GPUDL_STATUS_OK)
        return;
    for (guint i = 0; i < MIN(n, G_N_ELEMENTS(devices)); i++)
        if (devices[i].id == MAX(device->id, 0))
            g_strlcpy(name, devices[i].name, MIN(room, sizeof devices[i].name));
}

/* The file's path and all that it holds. FALSE where nothing can be kept. */
static gboolean make_verdict(const gchar *cache_dir, GpudlModel *model, GpudlDevice *device,
                             const GpudlOpenParams *params, gchar **path, gchar **text)
{
    gchar name[sizeof((GpudlBackendDevice *)0)->name];
    g_autofree gchar *sum = NULL;

    if (!cache_dir || model->content[0] == '\0')
        return FALSE;
    gpudl_precision_name_device(device, name, sizeof name);
    *text =
        g_strdup_printf("gpudl-precision %s\n%s, %s\n%s\n%s, %s strays, fp32\n", gpudl_version(), device->backend->name,
                        name, model->content, gpudl_precision_name((GpudlPrecision)params->precision),
                        gpudl_activation_name((GpudlActivation)params->activation));
    sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, *text, -1);
    sum[32] = '\0';
    *path = g_build_filename(cache_dir, FOLDER, sum, NULL);
    return TRUE;
}

/* Whether a plain file that not everybody may write holds exactly this. */
static gboolean holds(const gchar *path, const gchar *text)
{
    const gsize n = strlen(text);
    const int fd = g_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    g_autofree gchar *data = g_malloc(n + 1);
    struct stat st;
    gsize at = 0;
    gboolean good;

    if (fd < 0)
        return FALSE;
    good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH) == 0 && (guint64)st.st_size == n;
    while (good && at < n) {
        const gssize got = read(fd, data + at, n - at);

        if (got > 0)
            at += (gsize)got;
        else
            good = got < 0 && errno == EINTR;
    }
    close(fd);
    return good && memcmp(data, text, n) == 0;
}

gboolean gpudl_precision_is_refused(const gchar *cache_dir, GpudlModel *model, GpudlDevice *device,
                                    const GpudlOpenParams *params)
{
    g_autofree gchar *path = NULL, *text = NULL;

    return make_verdict(cache_dir, model, device, params, &path, &text) && holds(path, text);
}

void gpudl_precision_refuse(const gchar *cache_dir, GpudlModel *model, GpudlDevice *device,
                            const GpudlOpenParams *params)
{
    g_autofree gchar *path = NULL, *text = NULL, *folder = NULL;
    g_autoptr(GError) error = NULL;
    static gint told;

    if (!make_verdict(cache_dir, model, device, params, &path, &text))
        return;
    folder = g_path_get_dirname(path);
    if (g_mkdir_with_parents(folder, 0700) != 0)
        g_set_error_literal(&error, G_FILE_ERROR, g_file_error_from_errno(errno), g_strerror(errno));
    else
        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error);
    if (error && g_atomic_int_compare_and_exchange(&told, 0, 1))
        g_log("gpudl", G_LOG_LEVEL_WARNING, "%s: what was found of a model's precision can't be kept: %s", folder,
              error->message);
}
