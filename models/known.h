/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What is known of how a network wants its pixels, and of its classes' names: hints from several places, of which the
 * first that says a thing counts. Not installed.
 *
 * The places in their order: options; GStreamer's .modelinfo beside the file; the file's own metadata; other files
 * beside it; the graph's first nodes. What none of them says is assumed, by
 * the custom of the file's format, and that is told (GpudlModel.assumed).
 */
#ifndef GPUDL_MODELS_KNOWN_H
#define GPUDL_MODELS_KNOWN_H

#include "engine/model.h"
#include "models/gpudl-import.h"

G_BEGIN_DECLS

/** What the file's own metadata is called among the places. */
#define GPUDL_KNOWN_METADATA "the file's metadata"

/** What belongs together: a place that says one of these says all, by the defaults where it is silent; of the geometry
 * one that says the resize mode. A crop fraction or a colour alone is kept for the mode, which a later place may say.
 */
#define GPUDL_KNOWN_VALUES (GPUDL_SET_MEAN | GPUDL_SET_STD | GPUDL_SET_PIXEL_SCALE)
#define GPUDL_KNOWN_GEOMETRY (GPUDL_SET_RESIZE_MODE | GPUDL_SET_CROP_FRACTION | GPUDL_SET_PAD_COLOR)

/** What one place says. Zero-filled: nothing. */
typedef struct {
    GpudlPreproc preproc; /* fields flagged in set; width, height, channels are not read */
    guint set;            /* GPUDL_SET_* bits */
    gchar **labels;       /* or NULL; owned */
    gint height, width;   /* for an input whose size is free; 0: not said */
    gint other_height;    /* at this height ... */
    float other_fraction; /* ... this crop_fraction counts; 0: at no height */
    const gchar *place;   /* what its notes call it; static */
    GPtrArray *notes;     /* gchar*: values that can't be used, for people; owned; or NULL */
} GpudlHint;

void gpudl_hint_clear(GpudlHint *hint);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlHint, gpudl_hint_clear)

/** Notes that a value of the place can't be used: "KEY in PLACE is FOUND, expected EXPECTED: not used". found, in
 * quotes where it is text, is cut where it is long. */
void gpudl_hint_refuse(GpudlHint *hint, const gchar *key, const gchar *found, const gchar *expected);

/** All that is known. */
typedef struct {
    GpudlHint hint;
    GPtrArray *sources;       /* gchar*: the places that something was taken from, owned; or NULL */
    const gchar *labels_from; /* one of the sources, or NULL */
    const gchar *size_from;   /* the place that the input's size was taken from, set before places are added; or NULL */
} GpudlKnown;

void gpudl_known_clear(GpudlKnown *known);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlKnown, gpudl_known_clear)

/** Adds what is not known yet; places are added in their order. Takes the hint's labels, and its notes, whatever is
 * known already. */
void gpudl_known_add(GpudlKnown *known, GpudlHint *hint, const gchar *source);

/** What a model just made is assumed to want, GPUDL_SET_* bits in set, by its format's custom; before
 * gpudl_known_apply(). */
void gpudl_known_assume(GpudlModel *model, const GpudlPreproc *custom, guint set);

/** Settles the pre-processing and labels of a model just made, and what is assumed. Labels of another number than the
 * classes are left out with a note; the hints' notes become the model's. */
gboolean gpudl_known_apply(GpudlKnown *known, GpudlModel *model, GError **error);

/** What an ONNX file's metadata_props say; notes are values of others' keys that can't be, and keys "gpudl.*" that are
 * none of our own. FORMAT: a key of our own ("gpudl.mean") has a value that can't be. */
gboolean gpudl_known_of_metadata(GHashTable *metadata, GpudlHint *hint, GError **error);

#define GPUDL_BESIDE_FILES 8

/** What lies beside a file. */
typedef struct {
    GpudlHint modelinfo;
    gchar *modelinfo_name;
    struct {
        gchar *name; /* as it is told: "config.json", or "onnx/config.json" where the folder above is looked at, too */
        GpudlHint hint;
    } files[GPUDL_BESIDE_FILES];
    guint n_files;
    GPtrArray *notes; /* gchar*: files that can't be used, and why; or NULL */
    gchar sum[33];    /* XXH3-128 of all that was read; "": nothing */
} GpudlBeside;

void gpudl_beside_clear(GpudlBeside *beside);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GpudlBeside, gpudl_beside_clear)

/** Looks for them: NAME.modelinfo, preprocessor_config.json, config.json, class_indices.json, labels.txt in the folder
 * of path, or above it if that is called "onnx". One that is broken is left out with a note: it may belong to something
 * else. FORMAT: the .modelinfo is, which names the model. */
gboolean gpudl_beside_read(const gchar *path, GpudlBeside *beside, GError **error);

/** The JSON of a HuggingFace preprocessor_config.json, and of a config.json (also timm's); members that can't be are
 * notes, null is as if it were not there. FORMAT: no JSON object. */
gboolean gpudl_known_of_preprocessor(const gchar *text, GpudlHint *hint, GError **error);
gboolean gpudl_known_of_config(const gchar *text, GpudlHint *hint, GError **error);
/** The text of GStreamer's .modelinfo. FORMAT: ranges or dims of an input that can't be. */
gboolean gpudl_known_of_modelinfo(const gchar *text, GpudlHint *hint, GError **error);

G_END_DECLS
#endif
