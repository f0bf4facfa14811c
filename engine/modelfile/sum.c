/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sum.h"

#include <xxhash.h>

static void to_text(XXH128_hash_t hash, gchar text[GPUDL_SUM_BYTES])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, hash);
    for (guint i = 0; i < sizeof canonical.digest; i++)
        g_snprintf(text + 2 * i, 3, "%02x", canonical.digest[i]);
}

void gpudl_sum_of(gconstpointer data, gsize size, gchar text[GPUDL_SUM_BYTES])
{
    to_text(XXH3_128bits(data, size), text);
}

/* GpudlSum is the library's own state: it wants an alignment that only its functions know. */
GpudlSum *gpudl_sum_new(void)
{
    XXH3_state_t *state = XXH3_createState();

    XXH3_128bits_reset(state);
    return (GpudlSum *)state;
}

void gpudl_sum_add(GpudlSum *sum, gconstpointer data, gsize size)
{
    XXH3_128bits_update((XXH3_state_t *)sum, data, size);
}

void gpudl_sum_get(const GpudlSum *sum, gchar text[GPUDL_SUM_BYTES])
{
    to_text(XXH3_128bits_digest((const XXH3_state_t *)sum), text);
}

void gpudl_sum_free(GpudlSum *sum)
{
    XXH3_freeState((XXH3_state_t *)sum);
}
