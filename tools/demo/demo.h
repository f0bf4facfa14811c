/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * gpudl-demo: what a person sees of "make demo". Photographs and a film panned over them, whose truth is known, then a
 * video of the list; labels on every frame, an annotated video, a contact sheet.
 */
#ifndef GPUDL_TOOLS_DEMO_H
#define GPUDL_TOOLS_DEMO_H

#include <cairo.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** The film: one shot per photograph. */
#define FILM_WIDTH 640
#define FILM_HEIGHT 480
#define FILM_FPS 25
#define SHOT_FRAMES 50

/** One photograph with its truth and what was seen. */
typedef struct {
    gchar *name, *path;
    guint32 *ids; /* classes that are right */
    guint n_ids;
    gchar *truth;             /* in words */
    cairo_surface_t *picture; /* RGB24, NULL until loaded */
    /* what the network says */
    gboolean classified;
    guint32 id;
    gchar *label;
    float confidence;
} Photo;

/** What a manifest lists. */
typedef struct {
    GPtrArray *photos; /* Photo *, owned */
    gchar *video;      /* path, or NULL */
} Manifest;

/**
 * Reads {"photographs": [{"file", "ids": [..], "truth"}], "video": {"file"}}; files are relative to the manifest's
 * folder. Errors: NOT_FOUND, OPEN_READ, FORMAT; each message begins with the path and names the entry.
 */
Manifest *manifest_read(const gchar *path, GError **error);
void manifest_free(Manifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Manifest, manifest_free)

/** TRUE if id is one of the photograph's classes. */
gboolean photo_is_right(const Photo *photo, guint32 id);

/** At least 7 of 8. */
gboolean mostly_right(guint right, guint total);

/** First frame of a picture file, as an RGB24 surface that the caller destroys. Errors as gpudl_media_open(). */
cairo_surface_t *picture_load(const gchar *path, GError **error);

/**
 * Writes the film of all photographs that have a picture to base plus a suffix by the encoder found (*path, freed by
 * the caller). Errors: BACKEND (no encoder: the message says what to install), WRITE.
 */
gboolean film_write(GPtrArray *photos, const gchar *base, gchar **path, GError **error);

/** Draws the contact sheet to a PNG. Errors: WRITE. */
gboolean sheet_write(GPtrArray *photos, const gchar *title, const gchar *subtitle, const gchar *path, GError **error);

G_END_DECLS
#endif
