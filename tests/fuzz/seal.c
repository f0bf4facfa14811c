/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal.h"

#include <string.h>
#include <xxhash.h>

#include "engine/modelfile/modelfile.h"

static guint64 little(const guint8 *at, guint bytes)
{
    guint64 value = 0;

    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

static void put_little(guint8 *at, guint64 value, guint bytes)
{
    for (guint i = 0; i < bytes; i++)
        at[i] = (guint8)(value >> 8 * i);
}

/* ---- net.bin ----------------------------------------------------------------------------------------------------- */

gboolean seal_netbin(guint8 *data, gsize size)
{
    g_autoptr(GChecksum) id = g_checksum_new(G_CHECKSUM_SHA256);
    gsize length = 32;

    if (size < GPUDL_FILE_AT_CHECK + 8)
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        const guint8 *entry = data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES;
        const guint64 at = little(entry, 8), bytes = little(entry + 8, 8);

        if (at > size || bytes > size - at)
            return FALSE;
    }
    for (guint i = 0; i < 2; i++) {
        guint8 *entry = data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES;
        const guint8 *section = data + little(entry, 8);
        const gsize bytes = little(entry + 8, 8);
        XXH128_canonical_t canonical;

        XXH128_canonicalFromHash(&canonical, XXH3_128bits(section, bytes));
        memcpy(entry + 16, &canonical, sizeof canonical);
        g_checksum_update(id, section, (gssize)bytes);
    }
    g_checksum_get_digest(id, data + GPUDL_FILE_AT_ID, &length);
    put_little(data + GPUDL_FILE_AT_CHECK, XXH3_64bits(data, GPUDL_FILE_AT_CHECK), 8);
    return TRUE;
}

/* ---- ZIP archives ------------------------------------------------------------------------------------------------ */

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

void seal_archive(guint8 *data, gsize size)
{
    for (gsize at = 0; size >= 46 && at <= size - 46; at++) {
        guint8 *entry = data + at;
        gsize local, n = little(entry + 20, 4), begin;

        if (memcmp(entry, "PK\1\2", 4) != 0 || (local = little(entry + 42, 4)) > size - 30)
            continue;
        begin = local + 30 + little(data + local + 26, 2) + little(data + local + 28, 2);
        if (begin > size || n > size - begin)
            continue;
        put_little(entry + 16, crc_of(data + begin, n), 4);
    }
}

static void put(GByteArray *out, guint64 value, guint bytes)
{
    guint8 little_endian[8];

    put_little(little_endian, value, bytes);
    g_byte_array_append(out, little_endian, bytes);
}

/* What a member's own header and its entry of the directory have in common, and its name. */
static void put_header(GByteArray *out, const gchar *name, guint32 crc, gsize size)
{
    put(out, 20, 2);
    put(out, 0, 8);
    put(out, crc, 4);
    put(out, size, 4);
    put(out, size, 4);
    put(out, strlen(name), 2);
    put(out, 0, 2);
}

GByteArray *seal_with_member(GpudlZip *zip, const gchar *name, const guint8 *data, gsize size)
{
    GByteArray *out = g_byte_array_new();
    g_autoptr(GByteArray) directory = g_byte_array_new();
    const guint n = gpudl_zip_get_count(zip);
    gsize at;

    for (guint i = 0; i < n; i++) {
        const gchar *member = gpudl_zip_get_name(zip, i);
        const gboolean replaced = strcmp(member, name) == 0;
        g_autoptr(GBytes) kept = replaced ? g_bytes_new_static(data, size) : gpudl_zip_get(zip, member, 1u << 20, NULL);
        gsize bytes;
        const guint8 *content = g_bytes_get_data(kept, &bytes);
        const guint32 crc = crc_of(content, bytes);

        at = out->len;
        put(out, 0x04034b50, 4);
        put_header(out, member, crc, bytes);
        g_byte_array_append(out, (const guint8 *)member, (guint)strlen(member));
        g_byte_array_append(out, content, (guint)bytes);
        put(directory, 0x02014b50, 4);
        put(directory, 20, 2);
        put_header(directory, member, crc, bytes);
        put(directory, 0, 2);
        put(directory, 0, 8);
        put(directory, at, 4);
        g_byte_array_append(directory, (const guint8 *)member, (guint)strlen(member));
    }
    at = out->len;
    g_byte_array_append(out, directory->data, directory->len);
    put(out, 0x06054b50, 4);
    put(out, 0, 4);
    put(out, n, 2);
    put(out, n, 2);
    put(out, directory->len, 4);
    put(out, at, 4);
    put(out, 0, 2);
    return out;
}
