/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * net.bin, the project's model file: reader and writer. models/FORMAT.md is the specification.
 */
#ifndef GPUDL_ENGINE_MODELFILE_H
#define GPUDL_ENGINE_MODELFILE_H

#include <sys/stat.h>

#include "engine/model.h"

G_BEGIN_DECLS

/** Layout of the 128-byte header; integers little-endian. */
#define GPUDL_FILE_MAGIC "\x89GPUDL\r\n"
#define GPUDL_FILE_VERSION 1u
#define GPUDL_FILE_HEADER_BYTES 128u
#define GPUDL_FILE_ALIGNMENT 64u
enum {
    GPUDL_FILE_AT_MAGIC = 0,     /* 8 bytes */
    GPUDL_FILE_AT_VERSION = 8,   /* uint32 */
    GPUDL_FILE_AT_HEADER = 12,   /* uint32: 128 */
    GPUDL_FILE_AT_SIZE = 16,     /* uint64: of the whole file */
    GPUDL_FILE_AT_ID = 24,       /* 32 bytes: SHA-256 of the two sections' bytes, in order */
    GPUDL_FILE_AT_SECTIONS = 56, /* 2 entries, MODEL then WEIGHTS: uint64 offset, uint64 size, 16 bytes XXH3-128 */
    GPUDL_FILE_AT_CHECK = 120    /* uint64: XXH3-64 of bytes 0..119 */
};
#define GPUDL_FILE_SECTION_BYTES 32u
/** The MODEL section describes; anything larger than this is no description. */
#define GPUDL_FILE_MODEL_LIMIT (64u << 20)

/** TRUE if the bytes begin as a net.bin does. */
gboolean gpudl_modelfile_sniff(const guint8 *data, gsize size);

/**
 * Reads a net.bin that is wholly in memory. Constants refer to the file's bytes. path is for messages, and for the name
 * of a model that has none. Trusts no byte: FORMAT, UNSUPPORTED or LIMIT with field, found and expected.
 */
GpudlModel *gpudl_modelfile_read(GBytes *file, const gchar *path, GError **error);

/** The bytes of a net.bin for this model; also sets the model's id. LIMIT if it would be too large. */
GBytes *gpudl_modelfile_write(GpudlModel *model, GError **error);

/** Reads a file of at most GPUDL_LIMIT_FILE_BYTES into memory aligned to 64 bytes. NOT_FOUND, OPEN_READ (also a
 * directory or a device), FORMAT (empty), LIMIT, NO_MEMORY; messages begin with the path. st (may be NULL) gets what
 * tells one version of the file from another. */
GBytes *gpudl_file_read(const gchar *path, struct stat *st, GError **error);
/** The same with another limit, in bytes. */
GBytes *gpudl_file_read_up_to(const gchar *path, guint64 limit, struct stat *st, GError **error);

G_END_DECLS
#endif
