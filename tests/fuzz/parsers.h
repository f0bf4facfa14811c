/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Everything here that reads bytes which nobody vouches for, each as a function of these bytes: libFuzzer's targets,
 * and what replays files through them. Whatever is not allowed (a crash, an error that is none of ours, a result
 * outside of its bounds) ends the process with a message.
 */
#ifndef GPUDL_TESTS_FUZZ_PARSERS_H
#define GPUDL_TESTS_FUZZ_PARSERS_H

#include <glib.h>

G_BEGIN_DECLS

typedef void FuzzFunc(const guint8 *data, gsize size);

typedef struct {
    const gchar *name;
    FuzzFunc *run;
} FuzzParser;

/* Tables that end in a name of NULL. */
extern const FuzzParser fuzz_models[]; /* whole formats: what imports is rewritten and run */
extern const FuzzParser fuzz_pieces[]; /* what stands in files and beside them */
extern const FuzzParser fuzz_tools[];  /* what the command reads */

/** A name under which the bytes can be opened as a regular file until the next call. */
const gchar *fuzz_as_file(const guint8 *data, gsize size);

G_END_DECLS
#endif
