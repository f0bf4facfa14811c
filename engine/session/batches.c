/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/session/batches.h"

const gchar *gpudl_batches_check(const GpudlEngineInfo *info)
{
    if (info->n_slots < 1)
        return "no slot";
    if (info->max_batch < 1)
        return "batches of 0 frames";
    if (info->n_buckets > GPUDL_MAX_BUCKETS)
        return "too many buckets";
    for (guint i = 0; i < info->n_buckets; i++)
        if (info->buckets[i] < 1 || info->buckets[i] > info->max_batch ||
            (i > 0 && info->buckets[i] <= info->buckets[i - 1]))
            return "buckets that do not ascend from 1 to the largest batch";
    return NULL;
}

/* The smallest bucket that holds n; the last one for more. */
static guint holds(const GpudlEngineInfo *info, guint n)
{
    guint i = 0;

    while (i + 1 < info->n_buckets && info->buckets[i] < n)
        i++;
    return i;
}

/*
 * soonest[n] is the least time in which n frames can be done, one execution after the other; what is taken first of n
 * is the largest execution of such a way, since then most frames are done first. Where times are missing there is
 * nothing to compare: everything goes into the smallest bucket that holds it.
 */
void gpudl_batches_set(GpudlBatches *batches, const GpudlEngineInfo *info)
{
    guint max = info->n_buckets > 0 ? info->buckets[info->n_buckets - 1] : info->max_batch;
    g_autofree guint64 *soonest = g_new0(guint64, (gsize)max + 1);
    gboolean measured = info->n_buckets > 0;

    for (guint i = 0; i < info->n_buckets; i++)
        measured = measured && info->bucket_ns[i] > 0;
    g_free(batches->take);
    batches->max = max;
    batches->take = g_new0(guint, (gsize)max + 1);
    for (guint n = 1; n <= max; n++) {
        batches->take[n] = n;
        if (!measured)
            continue;
        soonest[n] = G_MAXUINT64;
        for (guint i = 0; i <= holds(info, n); i++) {
            guint taken = MIN(info->buckets[i], n);
            guint64 time = info->bucket_ns[i] + soonest[n - taken];

            if (time <= soonest[n]) { /* of equal ones the larger */
                soonest[n] = time;
                batches->take[n] = taken;
            }
        }
    }
}

void gpudl_batches_clear(GpudlBatches *batches)
{
    g_clear_pointer(&batches->take, g_free);
    batches->max = 0;
}

guint gpudl_batches_take(const GpudlBatches *batches, guint n)
{
    return batches->take[MIN(n, batches->max)];
}
