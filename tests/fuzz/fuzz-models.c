/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole formats, and their graphs alone within an archive that is sound. */
#include <string.h>

#include "hostile.h"
#include "models/import.h"
#include "models/zip.h"
#include "parsers.h"
#include "seal.h"

#define MAX_WORK (1u << 20) /* of a network that is run: many have to be tried in a second */

/* As the library takes a file: told by its content, with all that it says of itself. */
static void load(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_import_model(fuzz_as_file(data, size), NULL, NULL, &error);

    if (model == NULL)
        hostile_check_error(error);
    else
        g_assert_no_error(error);
}

static void fuzz_onnx(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};

    if (hostile_onnx(&series, data, size) != HOSTILE_TOO_LARGE)
        load(data, size);
    hostile_series_clear(&series);
}

static void fuzz_netbin(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};
    g_autofree guint8 *sealed = g_memdup2(data, size);

    seal_netbin(sealed, size);
    if (hostile_netbin(&series, sealed, size, TRUE) != HOSTILE_TOO_LARGE)
        load(sealed, size);
    hostile_series_clear(&series);
}

static void fuzz_tensorflow(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};

    if (hostile_tensorflow(&series, data, size) != HOSTILE_TOO_LARGE)
        load(data, size);
    hostile_series_clear(&series);
}

static void fuzz_prototxt(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};

    hostile_caffe(&series, data, size, TRUE);
    hostile_series_clear(&series);
}

static void fuzz_caffemodel(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};

    if (hostile_caffe(&series, data, size, FALSE) != HOSTILE_TOO_LARGE)
        load(data, size);
    hostile_series_clear(&series);
}

static void fuzz_torch(const guint8 *data, gsize size)
{
    HostileSeries series = {.max_work = MAX_WORK};

    if (hostile_torch(&series, data, size, TRUE) != HOSTILE_TOO_LARGE)
        load(data, size);
    hostile_series_clear(&series);
}

/* The archive of tests/fuzz/seeds with these bytes in the place of a member's. */
static void try_member(const gchar *file, const gchar *member, const guint8 *data, gsize size)
{
    static GHashTable *archives; /* gchar* -> GpudlZip* */
    HostileSeries series = {.max_work = MAX_WORK};
    g_autoptr(GByteArray) archive = NULL;
    g_autoptr(GError) error = NULL;
    GpudlZip *zip;

    if (archives == NULL)
        archives = g_hash_table_new(g_str_hash, g_str_equal);
    zip = g_hash_table_lookup(archives, file);
    if (zip == NULL) {
        g_autofree gchar *path = g_build_filename(GPUDL_FUZZ_SEEDS, file, NULL);
        gchar *content = NULL;
        gsize n = 0;

        g_file_get_contents(path, &content, &n, &error);
        g_assert_no_error(error);
        zip = gpudl_zip_open(g_bytes_new_take(content, n), &error);
        g_assert_no_error(error);
        g_hash_table_insert(archives, (gpointer)file, zip);
    }
    archive = seal_with_member(zip, member, data, size);
    hostile_torch(&series, archive->data, archive->len, FALSE);
    hostile_series_clear(&series);
}

static void fuzz_pt2_graph(const guint8 *data, gsize size)
{
    try_member("pt2/small.pt2", "net/models/model.json", data, size);
}

static void fuzz_pt2_weights(const guint8 *data, gsize size)
{
    try_member("pt2/small.pt2", "net/data/weights/model_weights_config.json", data, size);
}

static void fuzz_script_code(const guint8 *data, gsize size)
{
    try_member("torchscript/small.pt", "net/code/__torch__/small.py", data, size);
}

static void fuzz_script_data(const guint8 *data, gsize size)
{
    try_member("torchscript/small.pt", "net/data.pkl", data, size);
}

const FuzzParser fuzz_models[] = {{"onnx", fuzz_onnx},
                                  {"netbin", fuzz_netbin},
                                  {"graphdef", fuzz_tensorflow},
                                  {"tflite", fuzz_tensorflow},
                                  {"prototxt", fuzz_prototxt},
                                  {"caffemodel", fuzz_caffemodel},
                                  {"pt2", fuzz_torch},
                                  {"pt2-graph", fuzz_pt2_graph},
                                  {"pt2-weights", fuzz_pt2_weights},
                                  {"torchscript", fuzz_torch},
                                  {"script-code", fuzz_script_code},
                                  {"script-data", fuzz_script_data},
                                  {NULL, NULL}};
