/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the suites of what is known of a network share: a folder of their own, a network in it and files beside it, and
 * what the loaded model says of its pre-processing. */
#ifndef GPUDL_TESTS_KNOWN_FILES_H
#define GPUDL_TESTS_KNOWN_FILES_H

#include "engine/model.h"
#include "models/gpudl-import.h"
#include "tests/models/onnx-writer.h"

G_BEGIN_DECLS

typedef struct {
    gchar *directory, *path; /* path: of the network written last, or NULL */
} KnownFixture;

/** The nodes of a network whose classes are the means of its channels. */
#define KNOWN_TAIL "GlobalAveragePool x -> p; Flatten p -> y"
/** Two such, of 2x4 pixels (height x width), 3 channels and one. */
extern const OnnxText known_plain, known_gray;

/** What is assumed of a network where nothing is said. */
#define KNOWN_ORDER "RGB (channel-order)"
#define KNOWN_VALUES "values within 0 and 1 (mean, std, scale)"
#define KNOWN_WHOLE "the whole picture stretched (resize-mode)"

/** A preprocessor_config.json with mean and std; rest: the class's name in quotes, and more members. */
#define KNOWN_HF(rest)                                                                                                 \
    "{\"image_processor_type\": " rest ", \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.25, 0.25, 0.25]}"

void known_set_up(KnownFixture *self, gconstpointer data);
/** Removes what is in the folder, and it. */
void known_tear_down(KnownFixture *self, gconstpointer data);

/** Writes a file, name may have folders in it. */
void known_put(KnownFixture *self, const gchar *name, const gchar *text);
/** Writes a network. metadata: keys and values in turn, or NULL. */
void known_put_net(KnownFixture *self, const gchar *name, const OnnxText *text, const gchar *const *metadata);
/** Loads the network without options; no error. */
GpudlModel *known_load(KnownFixture *self);

/** What the model says of itself, as one line; the caller frees. */
gchar *known_said(GpudlModel *model);
/** Loads the network: it has to say this. */
void known_check(KnownFixture *self, const gchar *expected);

G_END_DECLS
#endif
