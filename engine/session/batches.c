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

/* Times of executions of 1.. frames: of the smallest bucket that holds them. NULL if one was not measured. */
static guint64 *make_times(const GpudlEngineInfo *info, guint max)
{
    guint64 *times = g_new0(guint64, (gsize)max + 1);

    for (guint n = 1, i = 0; n <= max; n++) {
        if (n > info->buckets[i])
            i++;
        times[n] = info->bucket_ns[i];
        if (times[n] == 0) {
            g_free(times);
            return NULL;
        }
    }
    return times;
}

/*
 * soonest[n] is the least time in which n frames can be done, one execution after the other; what is taken first of n
 * is the largest execution of such a way, since then most frames are done first. That need not fill a bucket: as times
 * are measured, a larger bucket may be the quicker one. Where times are missing there is nothing to compare: everything
 * goes into the smallest bucket that holds it.
 */
void gpudl_batches_set(GpudlBatches *batches, const GpudlEngineInfo *info)
{
    guint max = info->n_buckets > 0 ? info->buckets[info->n_buckets - 1] : info->max_batch;
    g_autofree guint64 *soonest = g_new0(guint64, (gsize)max + 1);
    g_autofree guint64 *times = info->n_buckets > 0 ? make_times(info, max) : NULL;

    g_free(batches->take);
    batches->max = max;
    batches->take = g_new0(guint, (gsize)max + 1);
    for (guint n = 1; n <= max; n++) {
        batches->take[n] = n;
        if (!times)
            continue;
        soonest[n] = G_MAXUINT64;
        for (guint taken = 1; taken <= n; taken++) {
            guint64 time = times[taken] + soonest[n - taken];

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
