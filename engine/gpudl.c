/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/gpudl.h"

#include "engine/names.h"
#include "gpudl-config.h"

G_DEFINE_QUARK(gpudl_error, gpudl_error)

static const gchar *const precisions[] = GPUDL_PRECISION_NAMES;
static const gchar *const activations[] = GPUDL_ACTIVATION_NAMES;

const gchar *gpudl_version(void)
{
    return GPUDL_VERSION;
}

static gboolean find(const gchar *name, const gchar *const *names, guint n, guint *found)
{
    for (guint i = 0; i < n; i++) {
        if (g_strcmp0(names[i], name) == 0) {
            *found = i;
            return TRUE;
        }
    }
    return FALSE;
}

const gchar *gpudl_precision_name(GpudlPrecision precision)
{
    return (guint)precision < G_N_ELEMENTS(precisions) ? precisions[precision] : "unknown";
}

gboolean gpudl_precision_parse(const gchar *name, GpudlPrecision *precision)
{
    guint i;

    if (!find(name, precisions, G_N_ELEMENTS(precisions), &i))
        return FALSE;
    *precision = (GpudlPrecision)i;
    return TRUE;
}

const gchar *gpudl_activation_name(GpudlActivation activation)
{
    return (guint)activation < G_N_ELEMENTS(activations) ? activations[activation] : "unknown";
}

gboolean gpudl_activation_parse(const gchar *name, GpudlActivation *activation)
{
    guint i;

    if (!find(name, activations, G_N_ELEMENTS(activations), &i))
        return FALSE;
    *activation = (GpudlActivation)i;
    return TRUE;
}
