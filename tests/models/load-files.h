/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the suites of loaded files share: a folder of their own, networks written into it, the files loaded. */
#ifndef GPUDL_TESTS_LOAD_FILES_H
#define GPUDL_TESTS_LOAD_FILES_H

#include "engine/model.h"
#include "models/gpudl-import.h"
#include "tests/models/onnx-writer.h"

G_BEGIN_DECLS

typedef struct {
    gchar *directory;
} LoadFixture;

/** 4 MB of weights, filled by the file's bytes. */
extern const OnnxText load_wide;
/** Of 3 values, 0.5 each. */
extern const OnnxText load_small;

/** Written into the file that is there, if one is: the inode stays. */
void load_overwrite(const gchar *path, gconstpointer data, gsize size);
/** Returns the path of a file in the folder; the caller frees it. */
gchar *load_write_net(LoadFixture *self, const gchar *name, const OnnxText *text);
/** Loads without options; no error. */
GpudlModel *load_file(const gchar *path);
/** Waits longer than any file system's step of time. */
void load_let_settle(void);

typedef struct {
    const gchar *name;
    void (*run)(LoadFixture *self, gconstpointer data);
} LoadCase;

/** Removes what is in the folder, and it. */
void load_tear_down(LoadFixture *self, gconstpointer data);

/** Adds each case as /load/NAME, with a folder of its own, and runs the program's tests. */
int load_run(const LoadCase *cases, guint n);

G_END_DECLS
#endif
