/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TensorProto: element types, the three ways its values can lie (raw, typed fields, another file). */
#define _XOPEN_SOURCE 700 /* realpath, pread, O_CLOEXEC, O_NOFOLLOW */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/constants.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "engine/pages.h"
#include "kernels/narrow.h"
#include "onnx-internal.h"

#define READ_BYTES ((gsize)4 << 20) /* between two looks at the cancellable */
#define OWN_PAGES_FROM 65536u       /* bytes: such values do not go through the heap */

/* raw_data is little-endian and taken as it lies */
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

static const struct {
    const gchar *name;
    GpudlDType dtype;
} types[] = {
    [ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED] = {"undefined", GPUDL_DTYPE_NONE},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT] = {"float32", GPUDL_DTYPE_F32},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT8] = {"uint8", GPUDL_DTYPE_U8},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT8] = {"int8", GPUDL_DTYPE_I8},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT16] = {"uint16", GPUDL_DTYPE_U16},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT16] = {"int16", GPUDL_DTYPE_I16},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT32] = {"int32", GPUDL_DTYPE_I32},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT64] = {"int64", GPUDL_DTYPE_I64},
    [ONNX__TENSOR_PROTO__DATA_TYPE__STRING] = {"string", GPUDL_DTYPE_NONE},
    [ONNX__TENSOR_PROTO__DATA_TYPE__BOOL] = {"bool", GPUDL_DTYPE_BOOL},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16] = {"float16", GPUDL_DTYPE_F16},
    [ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE] = {"float64", GPUDL_DTYPE_F64},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT32] = {"uint32", GPUDL_DTYPE_U32},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT64] = {"uint64", GPUDL_DTYPE_U64},
    [ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64] = {"complex64", GPUDL_DTYPE_NONE},
    [ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX128] = {"complex128", GPUDL_DTYPE_NONE},
    [ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16] = {"bfloat16", GPUDL_DTYPE_BF16},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT8E4M3FN] = {"float8e4m3fn", GPUDL_DTYPE_F8E4M3FN},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", GPUDL_DTYPE_F8E4M3FNUZ},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT8E5M2] = {"float8e5m2", GPUDL_DTYPE_F8E5M2},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", GPUDL_DTYPE_F8E5M2FNUZ},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT4] = {"uint4", GPUDL_DTYPE_U4},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT4] = {"int4", GPUDL_DTYPE_I4},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT4E2M1] = {"float4e2m1", GPUDL_DTYPE_F4E2M1},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT8E8M0] = {"float8e8m0", GPUDL_DTYPE_F8E8M0},
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT2] = {"uint2", GPUDL_DTYPE_U2},
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT2] = {"int2", GPUDL_DTYPE_I2},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT6E2M3] = {"float6e2m3", GPUDL_DTYPE_NONE},
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT6E3M2] = {"float6e3m2", GPUDL_DTYPE_NONE},
};

GpudlDType onnx_dtype(gint32 data_type)
{
    return data_type > 0 && (guint)data_type < G_N_ELEMENTS(types) ? types[data_type].dtype : GPUDL_DTYPE_NONE;
}

const gchar *onnx_dtype_name(gint32 data_type)
{
    return data_type >= 0 && (guint)data_type < G_N_ELEMENTS(types) ? types[data_type].name : "unknown";
}

static gboolean fail(const gchar *what, GpudlError code, GError **error, const gchar *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean fail(const gchar *what, GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    return onnx_file_fail(code, error, "%s: %s", what, text);
}

static gboolean read_shape(const Onnx__TensorProto *proto, const gchar *what, GpudlDType dtype, GpudlShape *shape,
                           gsize *bytes, GError **error)
{
    gint64 n;

    if (proto->n_dims > GPUDL_MAX_RANK)
        return fail(what, GPUDL_ERROR_UNSUPPORTED, error, "rank %" G_GSIZE_FORMAT ", at most %d is taken",
                    proto->n_dims, GPUDL_MAX_RANK);
    *shape = (GpudlShape){.rank = (gint32)proto->n_dims};
    for (gsize i = 0; i < proto->n_dims; i++) {
        if (proto->dims[i] < 0)
            return fail(what, GPUDL_ERROR_FORMAT, error, "dimension %" G_GSIZE_FORMAT " is %" G_GINT64_FORMAT, i,
                        proto->dims[i]);
        /* also of an empty tensor: what computes with its shape need not fear overflow */
        if (proto->dims[i] > GPUDL_LIMIT_TENSOR_BYTES)
            return fail(what, GPUDL_ERROR_LIMIT, error,
                        "dimension %" G_GSIZE_FORMAT " is %" G_GINT64_FORMAT ", at most %" G_GINT64_FORMAT " is taken",
                        i, proto->dims[i], (gint64)GPUDL_LIMIT_TENSOR_BYTES);
        shape->dims[i] = proto->dims[i];
    }
    n = gpudl_shape_elements(shape);
    if (n < 0 || n > GPUDL_LIMIT_TENSOR_BYTES / (gint64)gpudl_dtype_size(dtype))
        return fail(what, GPUDL_ERROR_LIMIT, error, "larger than %" G_GINT64_FORMAT " bytes",
                    (gint64)GPUDL_LIMIT_TENSOR_BYTES);
    *bytes = (gsize)n * gpudl_dtype_size(dtype);
    return TRUE;
}

/* ---- typed fields ------------------------------------------------------------------------------------------------ */

/* Smallest and largest value that int32_data may hold for a narrow type; 16-bit floats lie in it as their bits. */
static void narrow_range(GpudlDType dtype, gint32 *low, gint32 *high)
{
    switch (dtype) {
    case GPUDL_DTYPE_I8:
        *low = G_MININT8, *high = G_MAXINT8;
        break;
    case GPUDL_DTYPE_U8:
        *low = 0, *high = G_MAXUINT8;
        break;
    case GPUDL_DTYPE_I16:
        *low = G_MININT16, *high = G_MAXINT16;
        break;
    case GPUDL_DTYPE_BOOL:
        *low = 0, *high = 1;
        break;
    case GPUDL_DTYPE_U16:
    case GPUDL_DTYPE_F16:
    case GPUDL_DTYPE_BF16:
        *low = 0, *high = G_MAXUINT16;
        break;
    default: /* a byte: one code, or several of less than 8 bits */
        *low = 0, *high = G_MAXUINT8;
        break;
    }
}

static gboolean copy_narrow(const Onnx__TensorProto *proto, const gchar *what, GpudlDType dtype, guint8 *out,
                            GError **error)
{
    const gsize size = gpudl_dtype_size(dtype);
    gint32 low, high;

    narrow_range(dtype, &low, &high);
    for (gsize i = 0; i < proto->n_int32_data; i++) {
        const gint32 value = proto->int32_data[i];

        if (value < low || value > high)
            return fail(what, GPUDL_ERROR_FORMAT, error,
                        "value %" G_GSIZE_FORMAT " is %d, a %s is %d to %d in this field", i, value,
                        gpudl_dtype_name(dtype), low, high);
        memcpy(out + i * size, &value, size); /* little-endian: the low bytes come first */
    }
    return TRUE;
}

static gboolean copy_uint32(const Onnx__TensorProto *proto, const gchar *what, guint8 *out, GError **error)
{
    for (gsize i = 0; i < proto->n_uint64_data; i++) {
        const guint32 value = (guint32)proto->uint64_data[i];

        if (proto->uint64_data[i] > G_MAXUINT32)
            return fail(what, GPUDL_ERROR_FORMAT, error,
                        "value %" G_GSIZE_FORMAT " is %" G_GUINT64_FORMAT ": no uint32", i, proto->uint64_data[i]);
        memcpy(out + i * 4, &value, 4);
    }
    return TRUE;
}

static gboolean read_typed(const Onnx__TensorProto *proto, const gchar *what, GpudlDType dtype, gsize bytes,
                           GBytes **data, GError **error)
{
    const gsize n = bytes / gpudl_dtype_size(dtype);
    g_autofree guint8 *out = NULL;
    gconstpointer source = NULL;
    gsize found;

    switch (dtype) {
    case GPUDL_DTYPE_F32:
        source = proto->float_data, found = proto->n_float_data;
        break;
    case GPUDL_DTYPE_F64:
        source = proto->double_data, found = proto->n_double_data;
        break;
    case GPUDL_DTYPE_I64:
        source = proto->int64_data, found = proto->n_int64_data;
        break;
    case GPUDL_DTYPE_U64:
        source = proto->uint64_data, found = proto->n_uint64_data;
        break;
    case GPUDL_DTYPE_U32:
        found = proto->n_uint64_data;
        break;
    case GPUDL_DTYPE_I32:
        source = proto->int32_data, found = proto->n_int32_data;
        break;
    default:
        found = proto->n_int32_data;
        break;
    }
    if (found != n)
        return fail(what, GPUDL_ERROR_FORMAT, error,
                    "%" G_GSIZE_FORMAT " values of %s, the shape says %" G_GSIZE_FORMAT, found, gpudl_dtype_name(dtype),
                    n);
    out = g_try_malloc(MAX(bytes, 1));
    if (out == NULL)
        return fail(what, GPUDL_ERROR_NO_MEMORY, error, "no memory for %" G_GSIZE_FORMAT " bytes", bytes);
    if (source != NULL)
        memcpy(out, source, bytes);
    else if (dtype == GPUDL_DTYPE_U32 && !copy_uint32(proto, what, out, error))
        return FALSE;
    else if (dtype != GPUDL_DTYPE_U32 && n > 0 && !copy_narrow(proto, what, dtype, out, error))
        return FALSE;
    *data = g_bytes_new_take(g_steal_pointer(&out), bytes);
    return TRUE;
}

static gsize typed_values(const Onnx__TensorProto *proto)
{
    return proto->n_float_data + proto->n_int32_data + proto->n_int64_data + proto->n_double_data +
           proto->n_uint64_data;
}

/* ---- external data ----------------------------------------------------------------------------------------------- */

typedef struct {
    const gchar *location;
    guint64 offset, length;
    gboolean has_length;
} External;

static gboolean read_external_entries(const Onnx__TensorProto *proto, const gchar *what, External *external,
                                      GError **error)
{
    for (gsize i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        const gboolean is_length = g_strcmp0(entry->key, "length") == 0;

        if (g_strcmp0(entry->key, "location") == 0) {
            external->location = entry->value;
        } else if (is_length || g_strcmp0(entry->key, "offset") == 0) {
            guint64 *number = is_length ? &external->length : &external->offset;

            if (entry->value == NULL || !g_ascii_string_to_unsigned(entry->value, 10, 0, G_MAXINT64, number, NULL))
                return fail(what, GPUDL_ERROR_FORMAT, error, "external data: %s is '%s', expected a number", entry->key,
                            entry->value != NULL ? entry->value : "");
            external->has_length |= is_length;
        }
    }
    if (external->location == NULL || external->location[0] == '\0')
        return fail(what, GPUDL_ERROR_FORMAT, error, "external data without a location");
    return TRUE;
}

/* Opens a file that must lie in the model's directory or below it, also after its links are followed. *path_out: where
 * it lies then; caller frees. */
static gint open_external(const gchar *directory, const gchar *location, const gchar *what, gchar **path_out,
                          GError **error)
{
    g_auto(GStrv) parts = g_strsplit(location, "/", -1);
    g_autofree gchar *path = NULL;
    char *real_directory = NULL, *real_path = NULL;
    struct stat st;
    gint fd = -1;

    if (directory == NULL) {
        fail(what, GPUDL_ERROR_UNSUPPORTED, error, "its data lies in the file '%s', which can't be read from here",
             location);
        return -1;
    }
    if (g_path_is_absolute(location) || strchr(location, '\\') != NULL ||
        g_strv_contains((const gchar *const *)parts, "..")) {
        fail(what, GPUDL_ERROR_FORMAT, error,
             "external data '%s': the path must be relative and stay in the model's directory", location);
        return -1;
    }
    path = g_build_filename(directory, location, NULL);
    real_directory = realpath(directory, NULL);
    real_path = realpath(path, NULL);
    if (real_directory == NULL || real_path == NULL) {
        const gint saved = errno;

        fail(what, saved == ENOENT ? GPUDL_ERROR_NOT_FOUND : GPUDL_ERROR_OPEN_READ, error, "external data '%s': %s",
             location, g_strerror(saved));
    } else if (!g_str_has_prefix(real_path, real_directory) ||
               (real_path[strlen(real_directory)] != '/' && strcmp(real_directory, "/") != 0)) {
        fail(what, GPUDL_ERROR_FORMAT, error, "external data '%s': it leads out of the model's directory", location);
    } else if ((fd = open(real_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)) < 0) {
        fail(what, GPUDL_ERROR_OPEN_READ, error, "external data '%s': %s", location, g_strerror(errno));
    } else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        fail(what, GPUDL_ERROR_OPEN_READ, error, "external data '%s' is no regular file", location);
        close(fd);
        fd = -1;
    }
    if (fd >= 0)
        *path_out = g_strdup(real_path);
    free(real_directory);
    free(real_path);
    return fd;
}

static gboolean read_at(gint fd, guint8 *out, gsize size, guint64 offset, GCancellable *cancellable)
{
    gsize done = 0;

    while (done < size) {
        const gssize n = pread(fd, out + done, MIN(size - done, READ_BYTES), (off_t)(offset + done));

        if (g_cancellable_is_cancelled(cancellable))
            return FALSE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return FALSE;
        done += (gsize)n;
    }
    return TRUE;
}

void onnx_make_room(OnnxImport *import, const Onnx__GraphProto *graph)
{
    GpudlRoom *room = import->options != NULL ? import->options->room : NULL;
    guint64 bytes = 0;

    if (room == NULL || room->pages != NULL)
        return;
    for (gsize i = 0; i < graph->n_initializer; i++) {
        External external = {0};

        if (graph->initializer[i]->n_external_data > 0 &&
            read_external_entries(graph->initializer[i], "", &external, NULL) && external.has_length)
            bytes += MIN(external.length, GPUDL_LIMIT_FILE_BYTES) + GPUDL_CONSTANT_ALIGNMENT;
    }
    if (bytes > 0 && bytes <= GPUDL_LIMIT_FILE_BYTES)
        gpudl_room_make(room, (gsize)bytes); /* without, each has memory of its own */
}

/* Bytes still to be filled at *out; NULL: no memory. */
static GBytes *room_for(const OnnxImport *import, gsize size, guint8 **out)
{
    GpudlRoom *room = import->options != NULL ? import->options->room : NULL;
    g_autoptr(GpudlPages) pages = NULL;
    gsize offset;

    if (room != NULL && size > GPUDL_SMALL_CONSTANT && (*out = gpudl_room_take(room, size, &offset)) != NULL)
        return gpudl_room_slice(room, offset, size);
    pages = size >= OWN_PAGES_FROM ? gpudl_pages_new(size) : NULL;
    *out = pages != NULL ? gpudl_pages_get_data(pages) : size < OWN_PAGES_FROM ? g_try_malloc(MAX(size, 1)) : NULL;
    if (*out == NULL)
        return NULL;
    return pages != NULL ? gpudl_pages_slice(pages, 0, size) : g_bytes_new_take(*out, size);
}

/* Takes note of where values came from; takes the path. */
static void note_read(OnnxImport *import, gchar *path, const struct stat *st, guint64 offset, gsize bytes)
{
    const GpudlFileVersion version = gpudl_file_version(st);
    guint index = GPOINTER_TO_UINT(g_hash_table_lookup(import->file_index, path));
    GpudlSourceRead read = {.offset = offset, .bytes = bytes};

    if (index == 0) {
        const GpudlSourceFile file = {path, version, TRUE};

        g_array_append_val(import->files, file);
        index = import->files->len;
        g_hash_table_insert(import->file_index, path, GUINT_TO_POINTER(index));
    } else {
        GpudlSourceFile *file = &g_array_index(import->files, GpudlSourceFile, index - 1);

        file->same = file->same && gpudl_file_version_equal(&file->version, &version);
        g_free(path);
    }
    read.file = index - 1;
    g_array_append_val(import->reads, read);
}

static gboolean read_external(OnnxImport *import, const Onnx__TensorProto *proto, const gchar *what, gsize bytes,
                              GBytes **data, GError **error)
{
    GCancellable *cancellable = import->options != NULL ? import->options->cancellable : NULL;
    External external = {0};
    g_autofree gchar *path = NULL;
    guint8 *out = NULL;
    struct stat st;
    gboolean ok;
    gint fd;

    if (!read_external_entries(proto, what, &external, error))
        return FALSE;
    if (external.has_length && external.length != bytes)
        return fail(what, GPUDL_ERROR_FORMAT, error,
                    "external data '%s': %" G_GUINT64_FORMAT " bytes, the shape says %" G_GSIZE_FORMAT,
                    external.location, external.length, bytes);
    import->external_bytes += bytes;
    if (import->external_bytes > GPUDL_LIMIT_FILE_BYTES)
        return fail(what, GPUDL_ERROR_LIMIT, error, "external data of more than %" G_GUINT64_FORMAT " bytes",
                    GPUDL_LIMIT_FILE_BYTES);
    fd = open_external(import->options != NULL ? import->options->directory : NULL, external.location, what, &path,
                       error);
    if (fd < 0)
        return FALSE;
    if (fstat(fd, &st) != 0 || (guint64)st.st_size < external.offset || (guint64)st.st_size - external.offset < bytes) {
        close(fd);
        return fail(what, GPUDL_ERROR_FORMAT, error,
                    "external data '%s': %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                    " of a file of %" G_GINT64_FORMAT,
                    external.location, bytes, external.offset, (gint64)st.st_size);
    }
    *data = room_for(import, bytes, &out);
    ok = out != NULL && read_at(fd, out, bytes, external.offset, cancellable);
    close(fd);
    if (out == NULL)
        return fail(what, GPUDL_ERROR_NO_MEMORY, error, "no memory for %" G_GSIZE_FORMAT " bytes", bytes);
    if (!ok)
        g_clear_pointer(data, g_bytes_unref);
    if (!ok && g_cancellable_is_cancelled(cancellable))
        return fail(what, GPUDL_ERROR_CANCELLED, error, "importing was cancelled");
    if (!ok)
        return fail(what, GPUDL_ERROR_OPEN_READ, error, "external data '%s' can't be read", external.location);
    gpudl_sum_add(import->external, out, bytes);
    note_read(import, g_steal_pointer(&path), &st, external.offset, bytes);
    return TRUE;
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

/* Elements of 4 and 2 bits, the first in the lowest bits of a byte, to one a byte; takes packed, NULL with error. */
static GBytes *unpack(GBytes *packed, const gchar *what, GpudlDType dtype, gsize n, GError **error)
{
    const guint bits = (guint)gpudl_dtype_file_bits(dtype), mask = (1u << bits) - 1;
    const guint8 *in = g_bytes_get_data(packed, NULL);
    guint8 *out = g_try_malloc(MAX(n, 1));

    for (gsize i = 0; out != NULL && i < n; i++) {
        const guint code = in[i * bits / 8] >> (i * bits % 8) & mask;

        out[i] = gpudl_is_narrow_integer(dtype) ? gpudl_int_to_narrow(dtype, (gint64)code) : (guint8)code;
    }
    g_bytes_unref(packed);
    if (out == NULL) {
        fail(what, GPUDL_ERROR_NO_MEMORY, error, "no memory for %" G_GSIZE_FORMAT " bytes", n);
        return NULL;
    }
    return g_bytes_new_take(out, n);
}

/* A raw bool is a byte; kernels expect 0 or 1. */
static GBytes *normalise_bools(GBytes *data)
{
    gsize size;
    guint8 *bytes = g_bytes_unref_to_data(data, &size);

    for (gsize i = 0; i < size; i++)
        bytes[i] = bytes[i] != 0;
    return g_bytes_new_take(bytes, size);
}

gboolean onnx_tensor_read(OnnxImport *import, Onnx__TensorProto *proto, GBytes *apart, const gchar *what,
                          GpudlDType *dtype, GpudlShape *shape, GBytes **data, GError **error)
{
    const gsize raw_bytes = apart != NULL ? g_bytes_get_size(apart) : proto->raw_data.len;
    gsize bytes = 0, elements;

    *dtype = onnx_dtype(proto->data_type);
    if (*dtype == GPUDL_DTYPE_NONE)
        return fail(what, proto->data_type == 0 ? GPUDL_ERROR_FORMAT : GPUDL_ERROR_UNSUPPORTED, error,
                    "element type %d (%s) is not taken", proto->data_type, onnx_dtype_name(proto->data_type));
    if (proto->segment != NULL)
        return fail(what, GPUDL_ERROR_UNSUPPORTED, error, "a tensor in segments");
    if (!read_shape(proto, what, *dtype, shape, &bytes, error))
        return FALSE;
    elements = bytes / gpudl_dtype_size(*dtype);
    if (gpudl_dtype_file_bits(*dtype) < 8)
        bytes = (elements * gpudl_dtype_file_bits(*dtype) + 7) / 8; /* as they lie in the file */
    if (proto->has_data_location && proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        if (!read_external(import, proto, what, bytes, data, error))
            return FALSE;
    } else if (proto->has_raw_data && (raw_bytes > 0 || typed_values(proto) == 0)) {
        if (raw_bytes != bytes)
            return fail(what, GPUDL_ERROR_FORMAT, error,
                        "%" G_GSIZE_FORMAT " bytes of data, the shape says %" G_GSIZE_FORMAT, raw_bytes, bytes);
        *data = apart != NULL ? g_bytes_ref(apart) : gpudl_wire_steal_bytes(&proto->raw_data);
    } else if (!read_typed(proto, what, *dtype, bytes, data, error)) {
        return FALSE;
    }
    if (*dtype == GPUDL_DTYPE_BOOL)
        *data = normalise_bools(*data);
    if (gpudl_dtype_file_bits(*dtype) < 8)
        *data = unpack(*data, what, *dtype, elements, error);
    return *data != NULL;
}
