/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/zip.h"

#include <string.h>

#include "engine/gpudl.h"

#define END_BYTES 22u
#define ENTRY_BYTES 46u
#define LOCAL_BYTES 30u
#define MOST_ENTRIES 4096u

typedef struct {
    guint method, flags;
    guint32 crc;
    gsize packed, unpacked, local;
} Entry;

static guint16 get16(const guint8 *at)
{
    return (guint16)(at[0] | at[1] << 8);
}

static guint32 get32(const guint8 *at)
{
    return get16(at) | (guint32)get16(at + 2) << 16;
}

static gboolean damaged(GError **error, const gchar *name, const gchar *what)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "ZIP archive with '%s': %s", name, what);
    return FALSE;
}

/* The record at the archive's end, before a comment of at most 64 KiB; NULL if there is none. */
static const guint8 *find_end(const guint8 *data, gsize size)
{
    const gsize most = size < END_BYTES ? 0 : MIN(size - END_BYTES, 65535u);

    for (gsize back = 0; size >= END_BYTES && back <= most; back++) {
        const guint8 *at = data + size - END_BYTES - back;

        if (memcmp(at, "PK\5\6", 4) == 0 && get16(at + 20) == back)
            return at;
    }
    return NULL;
}

/* Finds the member in the directory; *base is where the archive begins. */
static gboolean find_entry(const guint8 *data, gsize size, const gchar *name, Entry *entry, gsize *base, GError **error)
{
    const guint8 *end = find_end(data, size), *at, *last;
    const gsize wanted = strlen(name);
    gsize length, offset, place;

    if (end == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "no ZIP archive with '%s'", name);
        return FALSE;
    }
    place = (gsize)(end - data);
    length = get32(end + 12);
    offset = get32(end + 16);
    if (length > place || offset > place - length)
        return damaged(error, name, "its directory lies outside of the file");
    *base = place - length - offset;
    last = end;
    at = data + place - length;
    for (guint i = 0; i < MOST_ENTRIES && (gsize)(last - at) >= ENTRY_BYTES; i++) {
        const gsize bytes = get16(at + 28), extra = get16(at + 30), comment = get16(at + 32);

        if (memcmp(at, "PK\1\2", 4) != 0 || bytes + extra + comment > (gsize)(last - at) - ENTRY_BYTES)
            return damaged(error, name, "its directory is damaged");
        if (bytes == wanted && memcmp(at + ENTRY_BYTES, name, bytes) == 0) {
            *entry = (Entry){.flags = get16(at + 8),
                             .method = get16(at + 10),
                             .crc = get32(at + 16),
                             .packed = get32(at + 20),
                             .unpacked = get32(at + 24),
                             .local = get32(at + 42)};
            return TRUE;
        }
        at += ENTRY_BYTES + bytes + extra + comment;
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "no '%s' in the ZIP archive", name);
    return FALSE;
}

static guint32 crc_of(const guint8 *data, gsize size)
{
    guint32 crc = 0xffffffffu;

    for (gsize i = 0; i < size; i++) {
        crc ^= data[i];
        for (guint bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Exactly as many bytes as the directory says, or FALSE. */
static gboolean inflate_all(const guint8 *packed, gsize n_packed, guint8 *out, gsize n_out)
{
    g_autoptr(GZlibDecompressor) inflate = g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_RAW);
    gsize in = 0, done = 0;
    guint8 spare;

    for (;;) {
        gboolean full = done == n_out;
        gsize read, written;
        GConverterResult result =
            g_converter_convert(G_CONVERTER(inflate), packed + in, n_packed - in, full ? &spare : out + done,
                                full ? 1 : n_out - done, G_CONVERTER_INPUT_AT_END, &read, &written, NULL);

        if (result == G_CONVERTER_ERROR || (full && written > 0))
            return FALSE;
        in += read;
        done += written;
        if (result == G_CONVERTER_FINISHED)
            return done == n_out;
        if (read == 0 && written == 0)
            return FALSE;
    }
}

GBytes *gpudl_zip_read(const guint8 *data, gsize size, const gchar *name, gsize limit, GError **error)
{
    g_autofree guint8 *out = NULL;
    const guint8 *local;
    gsize base, at, room;
    Entry entry;

    if (!find_entry(data, size, name, &entry, &base, error))
        return NULL;
    if (entry.unpacked > limit) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "'%s' in the ZIP archive has %" G_GSIZE_FORMAT " bytes, at most %" G_GSIZE_FORMAT " are taken",
                    name, entry.unpacked, limit);
        return NULL;
    }
    if ((entry.flags & 1) != 0 || (entry.method != 0 && entry.method != 8)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "'%s' in the ZIP archive is %s, expected it stored or deflated", name,
                    (entry.flags & 1) != 0 ? "encrypted" : "packed in another way");
        return NULL;
    }
    room = size - base;
    if (entry.local > room || room - entry.local < LOCAL_BYTES)
        return damaged(error, name, "it lies outside of the file"), NULL;
    local = data + base + entry.local;
    at = base + entry.local + LOCAL_BYTES + get16(local + 26) + get16(local + 28);
    if (memcmp(local, "PK\3\4", 4) != 0 || at > size || entry.packed > size - at)
        return damaged(error, name, "it lies outside of the file"), NULL;
    out = g_try_malloc(MAX(entry.unpacked, 1));
    if (out == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for '%s'", name);
        return NULL;
    }
    if (entry.method == 0 && entry.packed == entry.unpacked)
        memcpy(out, data + at, entry.unpacked);
    else if (entry.method == 0 || !inflate_all(data + at, entry.packed, out, entry.unpacked))
        return damaged(error, name, "it does not unpack to what its directory says"), NULL;
    if (crc_of(out, entry.unpacked) != entry.crc)
        return damaged(error, name, "its checksum is another"), NULL;
    return g_bytes_new_take(g_steal_pointer(&out), entry.unpacked);
}
