/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/limits.h"
#include "engine/modelfile/modelfile.h"
#include "engine/modelfile/sum.h"
#include "models/import.h"
#include "models/registry.h"

#define MOST_PATHS 8
#define HASH_BYTES ((gsize)1 << 20) /* of external data, read at once */

static void origin_free(gpointer data)
{
    GpudlOrigin *origin = data;

    g_ptr_array_unref(origin->paths);
    g_mutex_clear(&origin->lock);
    g_free(origin->directory);
    g_free(origin->with_file);
    g_clear_pointer(&origin->files, g_array_unref);
    g_clear_pointer(&origin->reads, g_array_unref);
    g_free(origin);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlOrigin, origin_free)

static GpudlOrigin *origin_new(const gchar *path)
{
    GpudlOrigin *origin = g_new0(GpudlOrigin, 1);

    g_mutex_init(&origin->lock);
    origin->paths = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(origin->paths, g_canonicalize_filename(path, NULL));
    return origin;
}

/* NULL-terminated; freed by the caller. */
static gchar **copy_paths(GpudlOrigin *origin)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&origin->lock);
    gchar **paths = g_new0(gchar *, origin->paths->len + 1);

    for (guint i = 0; i < origin->paths->len; i++)
        paths[i] = g_strdup(origin->paths->pdata[i]);
    return paths;
}

void gpudl_origin_also_at(GpudlModel *model, const gchar *path)
{
    GpudlOrigin *origin = model->source_data;
    g_autofree gchar *absolute = g_canonicalize_filename(path, NULL);
    g_autoptr(GMutexLocker) locker = NULL;

    if (origin->files != NULL && origin->files->len > 0)
        return;
    locker = g_mutex_locker_new(&origin->lock);
    for (guint i = 0; i < origin->paths->len; i++)
        if (strcmp(origin->paths->pdata[i], absolute) == 0)
            g_ptr_array_remove_index(origin->paths, i--);
    g_ptr_array_insert(origin->paths, 0, g_steal_pointer(&absolute));
    if (origin->paths->len > MOST_PATHS)
        g_ptr_array_set_size(origin->paths, MOST_PATHS);
}

/* One of the files. */
typedef gboolean (*RefillFunc)(GpudlModel *model, const gchar *path, GCancellable *cancellable, GError **error);

/* From the first that still has the content; else what is wrong with the one read last. */
static gboolean refill_from_any(GpudlModel *model, RefillFunc refill, GCancellable *cancellable, GError **error)
{
    g_auto(GStrv) paths = copy_paths(model->source_data);
    g_autoptr(GError) failure = NULL;

    for (guint i = 0; paths[i] != NULL; i++) {
        g_autoptr(GError) one = NULL;

        if (refill(model, paths[i], cancellable, &one))
            return TRUE;
        if (g_cancellable_is_cancelled(cancellable))
            g_clear_error(&failure);
        if (failure == NULL)
            failure = g_steal_pointer(&one);
        if (g_cancellable_is_cancelled(cancellable))
            break;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean hash_any(GpudlModel *model, gboolean (*hash)(GpudlModel *model, const gchar *path, gchar id[65]),
                         gchar id[65])
{
    g_auto(GStrv) paths = copy_paths(model->source_data);
    gboolean done = FALSE;

    for (guint i = 0; paths[i] != NULL && !done; i++)
        done = hash(model, paths[i], id);
    return done;
}

static gchar *follow(const gchar *path)
{
    g_autofree gchar *directory = g_path_get_dirname(path);
    char *real = realpath(directory, NULL);
    gchar *copy = g_strdup(real);

    free(real);
    return copy;
}

/* ---- content ----------------------------------------------------------------------------------------------------- */

void gpudl_origin_hash(GBytes *bytes, gchar text[33])
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    gpudl_sum_of(data, size, text);
}

void gpudl_origin_content(const gchar *bytes_content, const GpudlSourceInfo *info, const GpudlPreproc *preproc,
                          gchar content[GPUDL_CONTENT_BYTES])
{
    g_autofree gchar *size =
        info->size_chosen ? g_strdup_printf(" %dx%d", preproc->height, preproc->width) : g_strdup("");
    g_autofree gchar *rest = g_strdup_printf("onnx %s%s%s%s", info->external_content, size,
                                             info->beside[0] != '\0' ? " beside " : "", info->beside);

    g_strlcpy(content, bytes_content, 33);
    gpudl_sum_of(rest, strlen(rest), content + 32);
}

/* ---- net.bin ----------------------------------------------------------------------------------------------------- */

static gboolean refill_modelfile_at(GpudlModel *model, const gchar *path, GCancellable *cancellable, GError **error)
{
    gchar content[GPUDL_CONTENT_BYTES];

    if (!gpudl_file_fill_pages(path, model->pages, cancellable, error))
        return FALSE;
    if (gpudl_modelfile_check(model->file, path, content, NULL) && strcmp(content, model->content) == 0)
        return TRUE;
    gpudl_pages_drop(model->pages);
    gpudl_file_set_changed(path, error);
    return FALSE;
}

static gboolean refill_modelfile(GpudlModel *model, GCancellable *cancellable, GError **error)
{
    return refill_from_any(model, refill_modelfile_at, cancellable, error);
}

static GBytes *read_again(const gchar *path)
{
    return gpudl_file_read(path, NULL);
}

static gboolean hash_modelfile_at(GpudlModel *model, const gchar *path, gchar id[65])
{
    g_autoptr(GBytes) file = read_again(path);
    gchar content[GPUDL_CONTENT_BYTES];

    if (file == NULL || !gpudl_modelfile_check(file, path, content, NULL) || strcmp(content, model->content) != 0)
        return FALSE;
    gpudl_modelfile_hash(file, id);
    return TRUE;
}

static gboolean hash_modelfile(GpudlModel *model, gchar id[65])
{
    return hash_any(model, hash_modelfile_at, id);
}

static const GpudlModelSource modelfile_source = {
    .refill = refill_modelfile,
    .hash = hash_modelfile,
    .forget = gpudl_registry_forget,
    .free = origin_free,
};

gboolean gpudl_origin_of_modelfile(GpudlModel *model, const gchar *path, GpudlPages *pages, GError **error)
{
    g_autoptr(GpudlPages) small = NULL;
    GpudlOrigin *origin;

    if (!gpudl_constants_gather(model->graph, gpudl_constant_is_small, &small, error))
        return FALSE;
    if (small != NULL)
        gpudl_pages_seal(small);
    gpudl_pages_seal(pages);
    origin = origin_new(path);
    model->pages = gpudl_pages_ref(pages);
    model->source = &modelfile_source;
    model->source_data = origin;
    return TRUE;
}

/* ---- ONNX -------------------------------------------------------------------------------------------------------- */

static gboolean lies_in(GpudlPages *pages, const guint8 *at)
{
    return at >= gpudl_pages_get_data(pages) && at < gpudl_pages_get_data(pages) + gpudl_pages_get_size(pages);
}

/* Copies the large constants of the same graph, imported once more, to where the model's lie, but for those that were
 * read to there. */
static gboolean copy_constants(GpudlModel *model, const GpudlGraph *again)
{
    const GpudlGraph *graph = model->graph;
    const guint8 *data;

    if (again->tensors->len < graph->tensors->len)
        return FALSE;
    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *to = graph->tensors->pdata[i], *from = again->tensors->pdata[i];

        if (!gpudl_constant_is_large(to))
            continue;
        if (from->data == NULL || g_bytes_get_size(from->data) != g_bytes_get_size(to->data))
            return FALSE;
        data = g_bytes_get_data(from->data, NULL);
        if (data == g_bytes_get_data(to->data, NULL))
            continue;
        if (lies_in(model->pages, data))
            return FALSE;
        memcpy((gpointer)g_bytes_get_data(to->data, NULL), data, g_bytes_get_size(to->data));
    }
    return TRUE;
}

/* Brings the constants into the model's pages, which are there. */
static gboolean import_again(GpudlModel *model, const gchar *path, GCancellable *cancellable, GError **error)
{
    const GpudlOrigin *origin = model->source_data;
    /* what is said of pixels is the model's already: no file need be read for it */
    const GpudlPreproc any = {.struct_size = sizeof any};
    const GpudlImportOptions options = {.input_height = origin->input_height,
                                        .input_width = origin->input_width,
                                        .preproc = &any,
                                        .preproc_set = GPUDL_SET_MEAN,
                                        .with_file = origin->with_file};
    const GpudlRoom room = {.pages = model->pages, .limit = origin->room};
    g_auto(GpudlImportFile) file = {0};
    g_autoptr(GpudlGraph) graph = NULL;
    g_auto(GpudlSourceInfo) info = {0};
    gchar content[GPUDL_CONTENT_BYTES];

    if (!gpudl_import_read(&file, path, origin->room > 0 ? &room : NULL, cancellable, error))
        return FALSE;
    g_strlcpy(info.beside, origin->beside, sizeof info.beside);
    if (strcmp(file.sum, origin->bytes_content) != 0) {
        gpudl_file_set_changed(path, error);
        return FALSE;
    }
    graph = gpudl_import_rewritten(&file, path, &options, &info, cancellable, error);
    if (graph == NULL) {
        gpudl_import_name_file(error, path);
        return FALSE;
    }
    gpudl_origin_content(origin->bytes_content, &info, &model->preproc, content);
    if (strcmp(content, model->content) != 0) {
        gpudl_file_set_changed(path, error);
        return FALSE;
    }
    if (copy_constants(model, graph))
        return TRUE;
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FAILED, "%s: the same file was rewritten to another graph than before",
                path);
    return FALSE;
}

static gboolean refill_onnx_at(GpudlModel *model, const gchar *path, GCancellable *cancellable, GError **error)
{
    if (!gpudl_pages_restore(model->pages)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "%s: no memory for its %" G_GSIZE_FORMAT " bytes", path,
                    gpudl_pages_get_size(model->pages));
        return FALSE;
    }
    if (import_again(model, path, cancellable, error))
        return TRUE;
    gpudl_pages_drop(model->pages);
    return FALSE;
}

static gboolean refill_onnx(GpudlModel *model, GCancellable *cancellable, GError **error)
{
    return refill_from_any(model, refill_onnx_at, cancellable, error);
}

/* Adds what was read of external files to both sums. */
static gboolean hash_external(const GpudlOrigin *origin, GChecksum *sum, GpudlSum *content)
{
    g_autofree guint8 *room = g_malloc(HASH_BYTES);

    for (guint i = 0; i < origin->reads->len; i++) {
        const GpudlSourceRead *read = &g_array_index(origin->reads, GpudlSourceRead, i);
        const GpudlSourceFile *file = &g_array_index(origin->files, GpudlSourceFile, read->file);
        const gint fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        guint64 done = 0;
        gssize n = 0;

        while (fd >= 0 && done < read->bytes) {
            n = pread(fd, room, MIN(read->bytes - done, HASH_BYTES), (off_t)(read->offset + done));
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            g_checksum_update(sum, room, n);
            gpudl_sum_add(content, room, (gsize)n);
            done += (guint64)n;
        }
        if (fd >= 0)
            close(fd);
        if (fd < 0 || done < read->bytes)
            return FALSE;
    }
    return TRUE;
}

/* SHA-256 of external data; FALSE if it is not what was loaded. */
static gboolean external_digest(const GpudlOrigin *origin, gchar digest[65])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(GpudlSum) content = gpudl_sum_new();
    gchar text[33];
    gboolean good;

    good = hash_external(origin, sum, content);
    gpudl_sum_get(content, text);
    g_strlcpy(digest, g_checksum_get_string(sum), 65);
    return good && strcmp(text, origin->external_content) == 0;
}

/* Of the file's bytes, and, where they count, of other files' bytes and the size asked for. */
static gboolean hash_onnx_at(GpudlModel *model, const gchar *path, gchar id[65])
{
    const GpudlOrigin *origin = model->source_data;
    g_autoptr(GBytes) file = read_again(path);
    g_autoptr(GChecksum) sum = NULL;
    g_autofree gchar *digest = NULL, *size = NULL;
    gchar text[65];

    if (file == NULL)
        return FALSE;
    gpudl_origin_hash(file, text);
    if (strcmp(text, origin->bytes_content) != 0)
        return FALSE;
    digest = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, file);
    if (origin->reads->len == 0 && !origin->size_chosen) {
        g_strlcpy(id, digest, 65);
        return TRUE;
    }
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)digest, -1);
    if (origin->reads->len > 0) {
        if (!external_digest(origin, text))
            return FALSE;
        g_checksum_update(sum, (const guchar *)text, -1);
    }
    if (origin->size_chosen) {
        size = g_strdup_printf("%dx%d", model->preproc.height, model->preproc.width);
        g_checksum_update(sum, (const guchar *)size, -1);
    }
    g_strlcpy(id, g_checksum_get_string(sum), 65);
    return TRUE;
}

static gboolean hash_onnx(GpudlModel *model, gchar id[65])
{
    return hash_any(model, hash_onnx_at, id);
}

static const GpudlModelSource onnx_source = {
    .refill = refill_onnx,
    .hash = hash_onnx,
    .forget = gpudl_registry_forget,
    .free = origin_free,
};

/* The file's base name without its last suffix. */
static gchar *model_name(const gchar *path)
{
    gchar *name = g_path_get_basename(path), *dot = strrchr(name, '.');

    if (dot != NULL && dot != name)
        *dot = '\0';
    return name;
}

static GpudlOrigin *onnx_origin(const gchar *path, const GpudlImportOptions *options, const GpudlPreproc *preproc,
                                const GpudlImportFile *file, const GpudlSourceInfo *info, gsize room)
{
    GpudlOrigin *origin = origin_new(path);

    origin->directory = info->files->len > 0 ? follow(origin->paths->pdata[0]) : NULL;
    if (options != NULL && options->with_file != NULL)
        origin->with_file = g_canonicalize_filename(options->with_file, NULL);
    origin->input_height = preproc->height;
    origin->input_width = preproc->width;
    g_strlcpy(origin->beside, info->beside, sizeof origin->beside);
    g_strlcpy(origin->bytes_content, file->sum, sizeof origin->bytes_content);
    g_strlcpy(origin->external_content, info->external_content, sizeof origin->external_content);
    origin->size_chosen = info->size_chosen;
    origin->room = room;
    origin->files = g_array_ref(info->files);
    origin->reads = g_array_ref(info->reads);
    return origin;
}

/* Large constants stay where they were read to, with those that were made behind them, unless few of them do. *room:
 * the limit of the room that the pages are then, else 0. */
static gboolean place_large(GpudlGraph *graph, GpudlImportFile *file, GpudlPages **pages, gsize *room, GError **error)
{
    GpudlRoom all = {.pages = file->room.pages, .used = file->room.used, .limit = G_MAXSIZE};

    *room = 0;
    if (all.pages == NULL || !gpudl_constants_gather_behind(graph, gpudl_constant_is_large, &all))
        return gpudl_constants_gather(graph, gpudl_constant_is_large, pages, error);
    gpudl_pages_shrink(all.pages, all.used);
    *pages = g_steal_pointer(&file->room.pages);
    *room = file->room.limit;
    return TRUE;
}

GpudlModel *gpudl_origin_make_onnx(GpudlGraph *graph, const gchar *path, const GpudlImportOptions *options,
                                   GpudlImportFile *file, const GpudlSourceInfo *info, GError **error)
{
    g_autoptr(GpudlGraph) owned = graph;
    g_autoptr(GpudlPages) small = NULL, large = NULL;
    g_autofree gchar *name = model_name(path);
    GpudlModel *model;
    gsize room;

    if (!gpudl_constants_gather(owned, gpudl_constant_is_small, &small, error) ||
        !place_large(owned, file, &large, &room, error))
        return NULL;
    model = gpudl_model_new(g_steal_pointer(&owned), name, NULL, error);
    if (model == NULL)
        return NULL;
    if (small != NULL)
        gpudl_pages_seal(small);
    if (large != NULL)
        gpudl_pages_seal(large);
    gpudl_origin_content(file->sum, info, &model->preproc, model->content);
    model->pages = g_steal_pointer(&large);
    model->source = &onnx_source;
    model->source_data = onnx_origin(path, options, &model->preproc, file, info, room);
    return model;
}

gboolean gpudl_model_is_read_from(GpudlModel *model, const gchar *path)
{
    const GpudlOrigin *origin = gpudl_model_get_origin(model);
    g_auto(GStrv) paths = origin != NULL ? copy_paths(model->source_data) : NULL;

    for (guint i = 0; paths != NULL && paths[i] != NULL; i++)
        if (gpudl_file_is_same(paths[i], path))
            return TRUE;
    for (guint i = 0; origin != NULL && origin->files != NULL && i < origin->files->len; i++)
        if (gpudl_file_is_same(g_array_index(origin->files, GpudlSourceFile, i).path, path))
            return TRUE;
    return FALSE;
}

/* ---- versions ---------------------------------------------------------------------------------------------------- */

const GpudlOrigin *gpudl_model_get_origin(const GpudlModel *model)
{
    return model->source != NULL ? model->source_data : NULL;
}

gboolean gpudl_origin_is_current(const GpudlOrigin *origin, const gchar *path)
{
    g_autofree gchar *absolute = NULL, *directory = NULL;

    if (origin->files == NULL || origin->files->len == 0)
        return TRUE;
    absolute = g_canonicalize_filename(path, NULL);
    directory = follow(absolute);
    if (g_strcmp0(directory, origin->directory) != 0)
        return FALSE;
    for (guint i = 0; i < origin->files->len; i++) {
        const GpudlSourceFile *file = &g_array_index(origin->files, GpudlSourceFile, i);
        GpudlFileVersion version;
        struct stat st;

        if (lstat(file->path, &st) != 0)
            return FALSE;
        version = gpudl_file_version(&st);
        if (!gpudl_file_version_equal(&version, &file->version))
            return FALSE;
    }
    return TRUE;
}

gboolean gpudl_origin_is_settled(const GpudlOrigin *origin, gint64 now)
{
    for (guint i = 0; origin->files != NULL && i < origin->files->len; i++) {
        const GpudlSourceFile *file = &g_array_index(origin->files, GpudlSourceFile, i);

        if (!file->same || !gpudl_file_version_is_settled(&file->version, now))
            return FALSE;
    }
    return TRUE;
}
