/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Input that comes from nowhere, for measuring: noise, the same each time.
 */
#ifndef GPUDL_TOOLS_SYNTHETIC_H
#define GPUDL_TOOLS_SYNTHETIC_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** The values of one input of the network; freed by the caller with g_free(). Errors: NO_MEMORY. */
float *synthetic_tensor(GpudlModel *model, GError **error);

/** "1920x1080:NV12", width first as for video; the sides up to the limit of a frame's. */
typedef struct {
    gint width, height;
    GpudlPixelFormat format;
} SyntheticSize;
gboolean synthetic_parse(const gchar *option, const gchar *text, SyntheticSize *size, GError **error);
const gchar *synthetic_format_name(GpudlPixelFormat format);

/** One frame in host memory. Errors: NO_MEMORY. */
GpudlFrame *synthetic_frame_new(const SyntheticSize *size, GError **error);
void synthetic_frame_free(GpudlFrame *frame);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlFrame, synthetic_frame_free)

G_END_DECLS
#endif
