/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Input that comes from nowhere, for measuring.
 */
#ifndef GPUDL_TOOLS_SYNTHETIC_H
#define GPUDL_TOOLS_SYNTHETIC_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** The values of one input of the network, the same each time; freed by the caller with g_free(). Errors: NO_MEMORY. */
float *synthetic_tensor(GpudlModel *model, GError **error);

G_END_DECLS
#endif
