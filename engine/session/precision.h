/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Whether a model bears the precision that a backend takes for "auto": its golden sample says so where the engine is
 * loaded, and the verdict against one is kept. Not installed.
 */
#ifndef GPUDL_ENGINE_SESSION_PRECISION_H
#define GPUDL_ENGINE_SESSION_PRECISION_H

#include "engine/backend.h"
#include "engine/session/session.h"

G_BEGIN_DECLS

/** Probabilities may move by so much. */
#define GPUDL_PRECISION_MOST 0.02

/**
 * Runs the golden sample on a session that has just been opened and that nobody else has; its model's constants are
 * held. Whose best class is another then, or one of whose probabilities moves by more than GPUDL_PRECISION_MOST,
 * strays: *strays tells how, the caller frees; else NULL, as where the model has no sample, or the engine computes in
 * fp32. FALSE if the run fails, as any may.
 */
gboolean gpudl_precision_prove(GpudlSession *session, gchar **strays, GError **error);

/** The device's name as its backend lists it, "" if it does not. */
void gpudl_precision_name_device(const GpudlDevice *device, gchar *name, gsize room);

/** TRUE if a model's sample has strayed before in params' precision, seen through params' activation, on such a device.
 * cache_dir NULL: nothing is kept. */
gboolean gpudl_precision_is_refused(const gchar *cache_dir, GpudlModel *model, GpudlDevice *device,
                                    const GpudlOpenParams *params);
/** Keeps that. */
void gpudl_precision_refuse(const gchar *cache_dir, GpudlModel *model, GpudlDevice *device,
                            const GpudlOpenParams *params);

G_END_DECLS
#endif
