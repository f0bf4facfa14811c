/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the suites of gpudloverlay share: a harness round it, grey frames with results, and what was drawn on them. */
#ifndef TESTS_OVERLAY_TEST_H
#define TESTS_OVERLAY_TEST_H

#include <gst/check/gstharness.h>
#include <gst/gst.h>

#define WIDTH 320
#define HEIGHT 240
#define RGB "video/x-raw,format=RGB,width=320,height=240,framerate=25/1"

/** Round a gpudloverlay with up to two settings (NULL: none); attaches: downstream composes by itself, as a sink may. */
GstHarness *overlay_harness(const gchar *caps, const gchar *first, const gchar *second, gboolean attaches);

/** A frame of grey bytes with n classes: the first is certain as told, each other one half as much as the one before. */
GstBuffer *overlay_frame(gsize size, guint n, const gchar *label, gfloat confidence);

/** Pushes a frame, which it takes, and pulls what comes of it. */
GstBuffer *overlay_pass(GstHarness *h, GstBuffer *buffer);

/** Bounding box of what is not grey any more, and how much of it is green, as bars are, and blue, as titles are. */
typedef struct {
    gint left, top, right, bottom;
    guint changed, green, blue;
} OverlayDrawn;

/** Of a frame of RGB's size. */
OverlayDrawn overlay_look(GstBuffer *buffer);

/** What an overlay with up to two settings draws on one. */
OverlayDrawn overlay_draw(const gchar *first, const gchar *second, guint n, const gchar *label, gfloat confidence);

#endif
