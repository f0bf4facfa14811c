/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/compare.h"

#include <math.h>

#include "engine/gpudl.h"

#define TOLERANCE 1e-3 /* of the output's range: above fp32 reordering (1e-5), below any wrong rewrite seen */

#define MOST_INPUTS 8u
#define FEWEST_INPUTS 2u
#define MACS (G_GUINT64_CONSTANT(64) * 1000 * 1000 * 1000) /* of all inputs together */

guint gpudl_compared_inputs(guint64 macs)
{
    return (guint)CLAMP(MACS / MAX(macs, 1), FEWEST_INPUTS, MOST_INPUTS);
}

void gpudl_compared_begin(GpudlCompared *head)
{
    *head = (GpudlCompared){.low = G_MAXDOUBLE, .high = -G_MAXDOUBLE};
}

guint gpudl_compared_add(GpudlCompared *head, const float *found, const float *expected, guint n)
{
    for (guint i = 0; i < n; i++) {
        const double difference = fabs((double)found[i] - (double)expected[i]);

        if (!isfinite(expected[i]) || !isfinite(found[i]))
            return i;
        head->max = MAX(head->max, difference);
        head->sum += difference * difference;
        head->low = MIN(head->low, (double)expected[i]);
        head->high = MAX(head->high, (double)expected[i]);
        head->n_values++;
    }
    return n;
}

/* A network whose output is nearly constant has no range to speak of: the precision that is left of its values after
 * many layers counts then (DenseNet-121 with equal weights: 2e-6). */
double gpudl_compared_allowed(double low, double high)
{
    return MAX(TOLERANCE * (high - low), 1e-5 * MAX(fabs(low), fabs(high)));
}

double gpudl_compared_off(const GpudlCompared *head)
{
    return head->max > 0 ? head->max / MAX(gpudl_compared_allowed(head->low, head->high), G_MINDOUBLE) : 0;
}

gboolean gpudl_compared_expect(const float *found, const float *expect, gsize n_expect, guint n, GError **error)
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
    if (max > gpudl_compared_allowed(low, high)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                    "the golden picture gives %g for class %u, expected %g: difference %.3g, at most %.3g is taken for "
                    "values within %g and %g (are mean, std, scale and channel order the network's?)",
                    (double)found[worst], worst, (double)expect[worst], max, gpudl_compared_allowed(low, high), low,
                    high);
        return FALSE;
    }
    return TRUE;
}
