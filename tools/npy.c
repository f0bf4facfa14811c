/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/npy.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* NumPy's "lib/format.py" describes the format: magic, version, header length, header (a Python dict literal padded
 * with blanks), data. */
#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define MOST_SHOWN 64 /* bytes of what the file says, in messages */
#define MAX_VALUES (G_GUINT64_CONSTANT(1) << 26)

static gboolean fail(GError **error, gint code, const gchar *path, const gchar *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean fail(GError **error, gint code, const gchar *path, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, code, "%s: %s", path, text);
    return FALSE;
}

/* Where the value of a key begins in the header, or NULL. Keys are written in quotes of either kind. */
static const gchar *value_of(const gchar *header, const gchar *key)
{
    const gchar quotes[] = {'\'', '"'};

    for (guint i = 0; i < G_N_ELEMENTS(quotes); i++) {
        g_autofree gchar *quoted = g_strdup_printf("%c%s%c", quotes[i], key, quotes[i]);
        const gchar *at = strstr(header, quoted);

        if (at == NULL)
            continue;
        at += strlen(quoted);
        at += strspn(at, " \t");
        if (*at != ':')
            continue;
        at++;
        return at + strspn(at, " \t");
    }
    return NULL;
}

/* "(2, 3)", "(5,)", "()": the product. */
static gboolean parse_shape(const gchar *path, const gchar *at, guint64 *product, GError **error)
{
    *product = 1;
    if (at == NULL || *at != '(')
        return fail(error, GPUDL_ERROR_FORMAT, path, "header of the .npy file has no shape");
    at++;
    for (;;) {
        guint64 dim;
        gchar *end;

        at += strspn(at, " \t,");
        if (*at == ')')
            return TRUE;
        if (!g_ascii_isdigit(*at))
            return fail(error, GPUDL_ERROR_FORMAT, path, "header of the .npy file has a malformed shape");
        dim = g_ascii_strtoull(at, &end, 10);
        at = end;
        if (dim > MAX_VALUES || (dim != 0 && *product > MAX_VALUES / dim))
            return fail(error, GPUDL_ERROR_LIMIT, path,
                        "array has more than %" G_GUINT64_FORMAT " values, which is the most that is read", MAX_VALUES);
        *product *= dim;
    }
}

/* Bytes of a value of this type, with quotes of either kind round it; 0: another type. */
static gsize bytes_of(const gchar *type)
{
    if ((type[0] != '\'' && type[0] != '"') || strncmp(type + 1, "<f", 2) != 0)
        return 0;
    return (type[3] == '4' || type[3] == '8') && type[4] == type[0] ? (gsize)(type[3] - '0') : 0;
}

static gboolean parse_header(const gchar *path, const gchar *header, gsize *value_bytes, guint64 *n, GError **error)
{
    const gchar *type = value_of(header, "descr"), *fortran = value_of(header, "fortran_order");

    if (type == NULL || fortran == NULL)
        return fail(error, GPUDL_ERROR_FORMAT, path, "header of the .npy file lacks descr or fortran_order");
    *value_bytes = bytes_of(type);
    if (*value_bytes == 0) {
        g_autofree gchar *shown = g_utf8_make_valid(type, (gssize)MIN(strcspn(type, ",}\n"), MOST_SHOWN));

        return fail(error, GPUDL_ERROR_UNSUPPORTED, path,
                    "array has type %s, expected '<f4' or '<f8' (little-endian float32 or float64)", shown);
    }
    if (!parse_shape(path, value_of(header, "shape"), n, error))
        return FALSE;
    if (strncmp(fortran, "False", 5) != 0)
        return fail(error, GPUDL_ERROR_UNSUPPORTED, path, "array is in Fortran order, expected C order");
    return TRUE;
}

static gboolean read_file(const gchar *path, gchar **data, gsize *size, GError **error)
{
    g_autoptr(GError) reason = NULL;
    GStatBuf st;

    /* a pipe might be waited for for ever, a device has no end */
    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return fail(error, GPUDL_ERROR_OPEN_READ, path, "is %s, expected a .npy file",
                    S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
    if (g_file_get_contents(path, data, size, &reason))
        return TRUE;
    return fail(
        error,
        g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, path,
        "%s", g_error_matches(reason, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? "no such file" : reason->message);
}

float *gpudl_npy_read(const gchar *path, gsize *n, GError **error)
{
    g_autofree gchar *file = NULL, *header = NULL;
    gsize size, header_at, header_bytes, value_bytes = 0;
    const guint8 *bytes;
    guint64 count = 0;
    float *values;

    if (!read_file(path, &file, &size, error))
        return NULL;
    bytes = (const guint8 *)file;
    if (size < 10 || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0 || bytes[6] < 1 || bytes[6] > 3) {
        fail(error, GPUDL_ERROR_FORMAT, path, "not a .npy file of version 1 to 3");
        return NULL;
    }
    header_at = bytes[6] == 1 ? 10 : 12;
    header_bytes = bytes[8] | (gsize)bytes[9] << 8;
    if (bytes[6] > 1 && size >= 12)
        header_bytes |= (gsize)bytes[10] << 16 | (gsize)bytes[11] << 24;
    if (size < header_at || header_bytes > size - header_at) {
        fail(error, GPUDL_ERROR_FORMAT, path, "is truncated within the header of the .npy file");
        return NULL;
    }
    header = g_strndup(file + header_at, header_bytes);
    if (!parse_header(path, header, &value_bytes, &count, error))
        return NULL;
    if (size - header_at - header_bytes != count * value_bytes) {
        fail(error, GPUDL_ERROR_FORMAT, path,
             "has %" G_GSIZE_FORMAT " bytes of values, expected %" G_GUINT64_FORMAT " by its shape",
             size - header_at - header_bytes, count * value_bytes);
        return NULL;
    }
    values = g_new(float, MAX(count, 1));
    for (guint64 i = 0; i < count; i++) {
        const guint8 *at = bytes + header_at + header_bytes + i * value_bytes;
        guint64 bits = 0;

        for (gsize b = 0; b < value_bytes; b++)
            bits |= (guint64)at[b] << 8 * b;
        if (value_bytes == 4) {
            guint32 low = (guint32)bits;

            memcpy(&values[i], &low, 4);
        } else {
            double wide;

            memcpy(&wide, &bits, 8);
            values[i] = (float)wide;
        }
    }
    *n = (gsize)count;
    return values;
}
