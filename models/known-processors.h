/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What HuggingFace's image processors do by default. Not installed. */
#ifndef GPUDL_MODELS_KNOWN_PROCESSORS_H
#define GPUDL_MODELS_KNOWN_PROCESSORS_H

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** TRUE if type is the class of this name ("ViT"): "ViTImageProcessor", "ViTImageProcessorFast", "ViTFeatureExtractor".
 */
gboolean gpudl_processor_is(const gchar *type, const gchar *name);

/** Adds to a preprocessor_config.json the members that the class named type ("ViTImageProcessor") has defaults for and
 * that are not there, and spells older ones as newer files have them; values that can't be stay as they are, for the
 * notes. Of another class nothing is added. */
void gpudl_processor_complete(JsonObject *root, const gchar *type);

G_END_DECLS
#endif
