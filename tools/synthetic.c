/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/synthetic.h"

#define SEED 20260101

float *synthetic_tensor(GpudlModel *model, GError **error)
{
    const GpudlPreproc *pp = gpudl_model_get_preproc(model);
    gsize n = (gsize)pp->channels * (gsize)pp->height * (gsize)pp->width;
    float *values = g_try_new(float, n);
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);

    if (values == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for an input of %" G_GSIZE_FORMAT " values",
                    n);
        return NULL;
    }
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -2.0, 2.0);
    return values;
}
