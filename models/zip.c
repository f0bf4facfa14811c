/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/zip.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "engine/shown.h"

#define END_BYTES 22u
#define LONG_END_BYTES 56u
#define LOCATOR_BYTES 20u
#define ENTRY_BYTES 46u
#define LOCAL_BYTES 30u
#define MOST_ENTRIES 65535u
#define MOST_NAME 4096u
#define MOST_RATIO 1032u /* of deflate: 258 bytes by two bits */

#define LARGE ((gsize)64 << 10) /* bytes of a member that memory is given back for */

typedef struct {
    gchar *name; /* owned */
    guint method, flags;
    guint32 crc;
    gsize packed, unpacked;
    gsize local, at; /* where its header begins, and its bytes, in the file */
    GBytes *bytes;   /* what it unpacks to, once it was asked for */
} Entry;

struct _GpudlZip {
    GBytes *file;
    GpudlPages *pages;   /* that it lies in, from their beginning on, or NULL */
    guint64 left;        /* bytes that may still be unpacked */
    GArray *entries;     /* Entry */
    GHashTable *by_name; /* gchar* -> 1 + index */
};

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
    g_autofree gchar *shown = gpudl_shown(name, GPUDL_SHOWN_BYTES);

    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "ZIP archive with '%s': %s", shown, what);
    return FALSE;
}

static gboolean broken(GError **error, const gchar *what)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "ZIP archive: %s", what);
    return FALSE;
}

/* ---- the directory ----------------------------------------------------------------------------------------------- */

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

/* Where the directory ends: at the record, or before those of the longer form, which PyTorch always writes as well. */
static gsize directory_end(const guint8 *data, const guint8 *end)
{
    const gsize place = (gsize)(end - data);

    if (place >= LOCATOR_BYTES + LONG_END_BYTES && memcmp(end - LOCATOR_BYTES, "PK\6\7", 4) == 0 &&
        memcmp(end - LOCATOR_BYTES - LONG_END_BYTES, "PK\6\6", 4) == 0)
        return place - LOCATOR_BYTES - LONG_END_BYTES;
    return place;
}

/* Nobody unpacks to files here, but a name that would leave its folder is a sign of ill will. */
static gboolean is_inside(const gchar *name)
{
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);

    return name[0] != '/' && strchr(name, '\\') == NULL && !g_strv_contains((const gchar *const *)parts, "..");
}

/* What follows the local header of an entry lies in the file, before the directory. */
static gboolean locate(const guint8 *data, gsize room, gsize base, Entry *entry, GError **error)
{
    const guint8 *local;

    if (room < LOCAL_BYTES || base > room - LOCAL_BYTES || entry->local > room - LOCAL_BYTES - base)
        return damaged(error, entry->name, "it lies outside of the file");
    entry->local += base;
    local = data + entry->local;
    entry->at = entry->local + LOCAL_BYTES + get16(local + 26) + get16(local + 28);
    if (memcmp(local, "PK\3\4", 4) != 0 || entry->at > room || entry->packed > room - entry->at)
        return damaged(error, entry->name, "it lies outside of the file");
    return TRUE;
}

static gboolean add_entry(GpudlZip *zip, const guint8 *data, gsize room, gsize base, const guint8 *at, gsize bytes,
                          GError **error)
{
    const gchar *text = (const gchar *)at + ENTRY_BYTES;
    Entry entry = {.flags = get16(at + 8),
                   .method = get16(at + 10),
                   .crc = get32(at + 16),
                   .packed = get32(at + 20),
                   .unpacked = get32(at + 24),
                   .local = get32(at + 42)};

    if (bytes > MOST_NAME || !g_utf8_validate_len(text, bytes, NULL))
        return broken(error, "a member's name is no UTF-8 of at most 4096 bytes");
    entry.name = g_strndup(text, bytes);
    g_array_append_val(zip->entries, entry);
    if (!is_inside(entry.name))
        return damaged(error, entry.name, "a name that is no path inside of the archive");
    if (!g_hash_table_insert(zip->by_name, entry.name, GUINT_TO_POINTER(zip->entries->len)))
        return damaged(error, entry.name, "the name is there twice");
    return locate(data, room, base, &g_array_index(zip->entries, Entry, zip->entries->len - 1), error);
}

static gint compare_places(gconstpointer a, gconstpointer b)
{
    const Entry *one = *(const Entry *const *)a, *other = *(const Entry *const *)b;

    return one->local < other->local ? -1 : one->local > other->local;
}

/* Each byte belongs to one member: else a small file could unpack to any size. */
static gboolean check_overlaps(const GpudlZip *zip, GError **error)
{
    g_autofree const Entry **order = g_new(const Entry *, zip->entries->len + 1);
    const guint n = zip->entries->len;

    for (guint i = 0; i < n; i++)
        order[i] = &g_array_index(zip->entries, Entry, i);
    qsort(order, n, sizeof *order, compare_places);
    for (guint i = 1; i < n; i++)
        if (order[i]->local < order[i - 1]->at + order[i - 1]->packed)
            return damaged(error, order[i]->name, "it lies over another member");
    return TRUE;
}

static gboolean read_directory(GpudlZip *zip, GError **error)
{
    gsize size, end, length, offset, base;
    const guint8 *data = g_bytes_get_data(zip->file, &size), *record = find_end(data, size), *at, *last;

    if (record == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "no ZIP archive");
        return FALSE;
    }
    end = directory_end(data, record);
    length = get32(record + 12);
    offset = get32(record + 16);
    if (length > end || offset > end - length)
        return broken(error, "its directory lies outside of the file");
    base = end - length - offset;
    last = data + end;
    for (at = last - length; at < last;) {
        gsize bytes, rest;

        if ((gsize)(last - at) < ENTRY_BYTES || memcmp(at, "PK\1\2", 4) != 0)
            return broken(error, "its directory is damaged");
        bytes = get16(at + 28);
        rest = bytes + get16(at + 30) + get16(at + 32);
        if (rest > (gsize)(last - at) - ENTRY_BYTES)
            return broken(error, "its directory is damaged");
        if (zip->entries->len >= MOST_ENTRIES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "ZIP archive of more than %u members", MOST_ENTRIES);
            return FALSE;
        }
        if (!add_entry(zip, data, end - length, base, at, bytes, error))
            return FALSE;
        at += ENTRY_BYTES + rest;
    }
    return check_overlaps(zip, error);
}

static void entry_clear(gpointer data)
{
    Entry *entry = data;

    g_free(entry->name);
    g_clear_pointer(&entry->bytes, g_bytes_unref);
}

GpudlZip *gpudl_zip_open(GBytes *file, GError **error)
{
    g_autoptr(GpudlZip) zip = g_new0(GpudlZip, 1);

    zip->file = g_bytes_ref(file);
    zip->left = GPUDL_LIMIT_FILE_BYTES;
    zip->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_array_set_clear_func(zip->entries, entry_clear);
    zip->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    return read_directory(zip, error) ? g_steal_pointer(&zip) : NULL;
}

void gpudl_zip_free(GpudlZip *zip)
{
    if (zip == NULL)
        return;
    g_hash_table_unref(zip->by_name);
    g_array_unref(zip->entries);
    g_bytes_unref(zip->file);
    g_clear_pointer(&zip->pages, gpudl_pages_unref);
    g_free(zip);
}

void gpudl_zip_take_pages(GpudlZip *zip, GpudlPages *pages)
{
    zip->pages = pages != NULL ? gpudl_pages_ref(pages) : NULL;
}

guint gpudl_zip_get_count(const GpudlZip *zip)
{
    return zip->entries->len;
}

const gchar *gpudl_zip_get_name(const GpudlZip *zip, guint i)
{
    return g_array_index(zip->entries, Entry, i).name;
}

gboolean gpudl_zip_has(const GpudlZip *zip, const gchar *name)
{
    return g_hash_table_contains(zip->by_name, name);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

/* CRC-32 by table, a byte at a time in eight tables for eight bytes at once. */
static guint32 crc_of(const guint8 *data, gsize size)
{
    static guint32 tables[8][256];
    static gsize made;
    guint32 crc = 0xffffffffu;

    if (g_once_init_enter(&made)) {
        for (guint i = 0; i < 256; i++) {
            guint32 value = i;

            for (guint bit = 0; bit < 8; bit++)
                value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
            tables[0][i] = value;
        }
        for (guint i = 0; i < 256; i++)
            for (guint k = 1; k < 8; k++)
                tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 255];
        g_once_init_leave(&made, 1);
    }
    for (; size >= 8; size -= 8, data += 8) {
        crc ^= get32(data);
        crc = tables[7][crc & 255] ^ tables[6][crc >> 8 & 255] ^ tables[5][crc >> 16 & 255] ^ tables[4][crc >> 24] ^
              tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^ tables[0][data[7]];
    }
    for (; size > 0; size--, data++)
        crc = crc >> 8 ^ tables[0][(crc ^ *data) & 255];
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

static GBytes *unpack(GpudlZip *zip, const Entry *entry, GError **error)
{
    const guint8 *data = g_bytes_get_data(zip->file, NULL);
    g_autofree guint8 *out = NULL;

    if (entry->unpacked > zip->left) {
        g_autofree gchar *shown = gpudl_shown(entry->name, GPUDL_SHOWN_BYTES);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "the ZIP archive unpacks to more than %" G_GUINT64_FORMAT " bytes at '%s'", GPUDL_LIMIT_FILE_BYTES,
                    shown);
        return NULL;
    }
    zip->left -= entry->unpacked;
    if (entry->unpacked / MOST_RATIO > entry->packed)
        return damaged(error, entry->name, "it does not unpack to what its directory says"), NULL;
    out = g_try_malloc(MAX(entry->unpacked, 1));
    if (out == NULL) {
        g_autofree gchar *shown = gpudl_shown(entry->name, GPUDL_SHOWN_BYTES);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for '%s'", shown);
        return NULL;
    }
    if (!inflate_all(data + entry->at, entry->packed, out, entry->unpacked))
        return damaged(error, entry->name, "it does not unpack to what its directory says"), NULL;
    return g_bytes_new_take(g_steal_pointer(&out), entry->unpacked);
}

static GBytes *stored(const GpudlZip *zip, const Entry *entry)
{
    return zip->pages != NULL && entry->unpacked > LARGE
               ? gpudl_pages_slice_once(zip->pages, entry->at, entry->unpacked)
               : g_bytes_new_from_bytes(zip->file, entry->at, entry->unpacked);
}

GBytes *gpudl_zip_get(GpudlZip *zip, const gchar *name, gsize limit, GError **error)
{
    const guint place = GPOINTER_TO_UINT(g_hash_table_lookup(zip->by_name, name));
    g_autofree gchar *shown = gpudl_shown(name, GPUDL_SHOWN_BYTES);
    g_autoptr(GBytes) bytes = NULL;
    Entry *entry;

    if (place == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "no '%s' in the ZIP archive", shown);
        return NULL;
    }
    entry = &g_array_index(zip->entries, Entry, place - 1);
    if (entry->unpacked > limit) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "'%s' in the ZIP archive has %" G_GSIZE_FORMAT " bytes, at most %" G_GSIZE_FORMAT " are taken",
                    shown, entry->unpacked, limit);
        return NULL;
    }
    if ((entry->flags & 1) != 0 || (entry->method != 0 && entry->method != 8)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                    "'%s' in the ZIP archive is %s, expected it stored or deflated", shown,
                    (entry->flags & 1) != 0 ? "encrypted" : "packed in another way");
        return NULL;
    }
    if (entry->method == 0 && entry->packed != entry->unpacked)
        return damaged(error, name, "it does not unpack to what its directory says"), NULL;
    if (entry->bytes != NULL)
        return g_bytes_ref(entry->bytes);
    bytes = entry->method == 0 ? stored(zip, entry) : unpack(zip, entry, error);
    if (bytes == NULL)
        return NULL;
    if (crc_of(g_bytes_get_data(bytes, NULL), entry->unpacked) != entry->crc)
        return damaged(error, name, "its checksum is another"), NULL;
    entry->bytes = g_bytes_ref(bytes);
    return g_steal_pointer(&bytes);
}

GBytes *gpudl_zip_read(const guint8 *data, gsize size, const gchar *name, gsize limit, GError **error)
{
    g_autoptr(GBytes) file = g_bytes_new_static(data, size), member = NULL;
    g_autoptr(GpudlZip) zip = gpudl_zip_open(file, error);
    gsize bytes;
    const guint8 *at;

    member = zip != NULL ? gpudl_zip_get(zip, name, limit, error) : NULL;
    if (member == NULL)
        return NULL;
    at = g_bytes_get_data(member, &bytes); /* the file is the caller's */
    return g_bytes_new(at, bytes);
}
