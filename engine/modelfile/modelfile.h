/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * net.bin, the project's model file: reader and writer. models/FORMAT.md is the specification.
 */
#ifndef GPUDL_ENGINE_MODELFILE_H
#define GPUDL_ENGINE_MODELFILE_H

#include <sys/stat.h>

#include "engine/model.h"
#include "engine/pages.h"

G_BEGIN_DECLS

/** Layout of the 128-byte header; integers little-endian. */
#define GPUDL_FILE_MAGIC "\x89GPUDL\r\n"
#define GPUDL_FILE_VERSION 1u
#define GPUDL_FILE_HEADER_BYTES 128u
#define GPUDL_FILE_ALIGNMENT 64u
enum {
    GPUDL_FILE_AT_MAGIC = 0,   /* 8 bytes */
    GPUDL_FILE_AT_VERSION = 8, /* uint32 */
    GPUDL_FILE_AT_HEADER = 12, /* uint32: 128 */
    GPUDL_FILE_AT_SIZE = 16,   /* uint64: of the whole file */
    GPUDL_FILE_AT_ID = 24,     /* 32 bytes: SHA-256 of the two sections' bytes, in order; a claim, trusted by nobody */
    GPUDL_FILE_AT_SECTIONS = 56, /* 2 entries, MODEL then WEIGHTS: uint64 offset, uint64 size, 16 bytes XXH3-128 */
    GPUDL_FILE_AT_CHECK = 120    /* uint64: XXH3-64 of bytes 0..119 */
};
#define GPUDL_FILE_SECTION_BYTES 32u
/** The MODEL section describes; anything larger than this is no description. */
#define GPUDL_FILE_MODEL_LIMIT (64u << 20)

/** TRUE if the bytes begin as a net.bin does. */
gboolean gpudl_modelfile_sniff(const guint8 *data, gsize size);

/**
 * Checks the header and verifies the sections' checksums: what identifies the network, GpudlModel.content, is then in
 * content (the two XXH3-128 in hexadecimal). Errors as of gpudl_modelfile_read().
 */
gboolean gpudl_modelfile_check(GBytes *file, const gchar *path, gchar content[GPUDL_CONTENT_BYTES], GError **error);

/** SHA-256 of the two sections of a file that gpudl_modelfile_check() has passed, 64 hexadecimal digits. */
void gpudl_modelfile_hash(GBytes *file, gchar id[65]);

/**
 * Reads a net.bin that is wholly in memory. Constants refer to the file's bytes. path is for messages, and for the name
 * of a model that has none. Trusts no byte: FORMAT, UNSUPPORTED or LIMIT with field, found and expected; CANCELLED. The
 * id in the header is not looked at, but kept as the model's claimed_id.
 */
GpudlModel *gpudl_modelfile_read(GBytes *file, const gchar *path, GError **error);

/** The same after gpudl_modelfile_check() with the content it gave; cancellable may be NULL. */
GpudlModel *gpudl_modelfile_read_checked(GBytes *file, const gchar *path, const gchar *content,
                                         GCancellable *cancellable, GError **error);

/** Takes the next bytes of a file. FALSE with an error ends the writing. */
typedef gboolean (*GpudlModelfilePut)(gconstpointer data, gsize size, gpointer user_data, GError **error);

/** Gives out the bytes of a net.bin for this model, in order, without a copy of its constants, which are held
 * meanwhile. LIMIT if it would be too large, before the first byte; errors of gpudl_model_hold() and of put. */
gboolean gpudl_modelfile_put(GpudlModel *model, GpudlModelfilePut put, gpointer user_data, GError **error);

/** The same as one piece of memory. */
GBytes *gpudl_modelfile_write(GpudlModel *model, GError **error);

/** Opens a file of at most limit bytes for reading; the caller closes. -1 with the errors of gpudl_file_read_pages().
 */
int gpudl_file_open(const gchar *path, guint64 limit, struct stat *st, GError **error);

/** Reads a file of at most limit bytes. NOT_FOUND, OPEN_READ (also a directory or a device), FORMAT (empty), LIMIT,
 * NO_MEMORY, CANCELLED; messages begin with the path. st (may be NULL) gets what tells one version of the file from
 * another, as it was before the reading. */
GpudlPages *gpudl_file_read_pages(const gchar *path, guint64 limit, struct stat *st, GCancellable *cancellable,
                                  GError **error);
/** Reads into dropped pages again. FORMAT if the file has another size; they stay dropped on failure. */
gboolean gpudl_file_fill_pages(const gchar *path, GpudlPages *pages, GCancellable *cancellable, GError **error);
/** FORMAT: the file changed since it was loaded. */
void gpudl_file_set_changed(const gchar *path, GError **error);

/** gpudl_file_read_pages() as GBytes: at most GPUDL_LIMIT_FILE_BYTES. */
GBytes *gpudl_file_read(const gchar *path, GError **error);

/**
 * The same, of at most limit bytes, and of a pipe as well: up to its end, unless nothing comes for patience_ms
 * (OPEN_READ). What a shell makes of <(command) is one.
 */
GBytes *gpudl_file_read_text(const gchar *path, guint64 limit, gint patience_ms, GError **error);

G_END_DECLS
#endif
