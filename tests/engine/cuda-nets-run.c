/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-nets-run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

NetsOptions nets_options = {.seed = 1, .nets = 3};
gint nets_failures, nets_tests;

/* Largest difference in units of the reference's range: of random weights, before the softmax, and of MODELs, whose
 * outputs may be probabilities. fp32: sums in another order. TF32's operands have float16's 11 bits, cut off by the
 * device, and what lies between steps has all of float32's. bfloat16 rounds 8 times as coarsely as float16: beside
 * logits of a range of 20 that moves a probability by some hundredths. */
const NetsPrecision nets_precisions[NETS_PRECISIONS] = {{GPUDL_PRECISION_FP16, 1e-2, 1e-2},
                                                        {GPUDL_PRECISION_FP32, 1e-4, 1e-4},
                                                        {GPUDL_PRECISION_TF32, 2e-3, 5e-3},
                                                        {GPUDL_PRECISION_BF16, 2e-2, 8e-2}};

double nets_bound(GpudlPrecision precision)
{
    for (guint p = 0; p < NETS_PRECISIONS; p++)
        if (nets_precisions[p].precision == precision)
            return nets_options.of_files ? nets_precisions[p].of_files : nets_precisions[p].bound;
    return 0;
}

gboolean nets_is_asked(GpudlPrecision precision)
{
    return nets_options.precision_name != NULL
               ? g_str_equal(nets_options.precision_name, gpudl_precision_name(precision))
               : !nets_options.quick || precision == GPUDL_PRECISION_FP16;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

GpudlStatus nets_run_whole(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault)
{
    const NetsWhole *whole = data;
    const void *inputs[] = {whole->input};

    return session->backend->run_tensors(session->engine, slot, whole->batch, inputs, (void *const *)whole->outputs,
                                         fault);
}

float **nets_make_outputs(GpudlModel *model, gint64 batch)
{
    const guint n = gpudl_model_get_n_heads(model);
    float **outputs = g_new0(float *, n + 1);

    for (guint i = 0; i < n; i++)
        outputs[i] = g_new0(float, (gsize)batch *gpudl_model_get_n_classes(model, i));
    return outputs;
}

void nets_free_outputs(float **outputs)
{
    for (guint i = 0; outputs[i] != NULL; i++)
        g_free(outputs[i]);
    g_free(outputs);
}

static double range_of(const float *values, gsize n)
{
    double low = INFINITY, high = -INFINITY;

    for (gsize i = 0; i < n; i++) {
        low = MIN(low, values[i]);
        high = MAX(high, values[i]);
    }
    return MAX(high - low, 1e-6);
}

double nets_compare(GpudlModel *model, gint64 batch, float **got, float **expected)
{
    double worst = 0;

    for (guint h = 0; h < gpudl_model_get_n_heads(model); h++) {
        const gsize n = (gsize)batch * gpudl_model_get_n_classes(model, h);
        double difference = 0;

        for (gsize i = 0; i < n; i++) {
            const double d = fabs((double)got[h][i] - (double)expected[h][i]);

            difference = d > difference || isnan(d) ? (isnan(d) ? INFINITY : d) : difference;
        }
        worst = MAX(worst, difference / range_of(expected[h], n));
    }
    return worst;
}

static guint find_best(const float *values, guint n)
{
    guint best = 0;

    for (guint i = 1; i < n; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* What lies between the best and the next of n values. */
static double margin_of(const float *values, guint n, guint best)
{
    double margin = INFINITY;

    for (guint i = 0; i < n; i++)
        if (i != best)
            margin = MIN(margin, (double)values[best] - (double)values[i]);
    return margin;
}

guint nets_count_flips(GpudlModel *model, gint64 batch, float **got, float **expected, double bound)
{
    guint flips = 0;

    for (guint h = 0; h < gpudl_model_get_n_heads(model); h++) {
        const guint classes = gpudl_model_get_n_classes(model, h);
        const double range = range_of(expected[h], (gsize)batch * classes);

        for (gint64 i = 0; i < batch; i++) {
            const float *truth = expected[h] + i * classes, *found = got[h] + i * classes;
            const guint best = find_best(truth, classes);

            flips += margin_of(truth, classes, best) > bound * range && find_best(found, classes) != best;
        }
    }
    return flips;
}

GpudlSession *nets_acquire_for(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                               GpudlAutotune autotune, GpudlActivation activation, GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = backend,
                                       .precision = precision,
                                       .activation = activation,
                                       .cuda_device_id = -1,
                                       .batch_size = batch,
                                       .autotune = autotune,
                                       .cache_dir = nets_options.cache_dir != NULL ? nets_options.cache_dir : ""};

    return gpudl_session_acquire(model, &config, NULL, error);
}

GpudlSession *nets_acquire(GpudlModel *model, const gchar *backend, GpudlPrecision precision, guint batch,
                           GpudlAutotune autotune, GError **error)
{
    return nets_acquire_for(model, backend, precision, batch, autotune, GPUDL_ACTIVATION_SOFTMAX, error);
}

void nets_say(gboolean ok, const gchar *format, ...)
{
    va_list args;
    g_autofree gchar *text = NULL;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    nets_failures += !ok;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", ++nets_tests, text);
    fflush(stdout);
}

gsize nets_input_size(GpudlModel *model)
{
    const GpudlPreproc *preproc = gpudl_model_get_preproc(model);

    return (gsize)preproc->channels * (gsize)preproc->height * (gsize)preproc->width;
}

void nets_fill(float *values, gsize n, GRand *rand)
{
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -1.5, 1.5);
}

GpudlAutotune nets_autotune(GpudlAutotune usual)
{
    return nets_options.autotune_name == NULL                  ? usual
           : g_str_equal(nets_options.autotune_name, "full")   ? GPUDL_AUTOTUNE_FULL
           : g_str_equal(nets_options.autotune_name, "cached") ? GPUDL_AUTOTUNE_CACHED
                                                               : GPUDL_AUTOTUNE_OFF;
}
