/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the files of models and beside them. */
#include <math.h>
#include <string.h>

#include "engine/labels.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "hostile.h"
#include "models/caffe/caffe.h"
#include "models/import.h"
#include "models/json.h"
#include "models/known.h"
#include "models/tflite/tflite-labels.h"
#include "models/torch/pickle.h"
#include "models/torch/script-internal.h"
#include "models/zip.h"
#include "parsers.h"
#include "seal.h"

/* TRUE: it is there and no error, or it is not and one is set. */
static gboolean either(gboolean there, GError **error)
{
    if (there)
        g_assert_no_error(*error);
    else
        hostile_check_error(*error);
    return there;
}

static gchar *text_of(const guint8 *data, gsize size)
{
    return g_utf8_validate_len((const gchar *)data, size, NULL) ? g_strndup((const gchar *)data, size) : NULL;
}

/* A path inside of the archive. */
static void check_name(const gchar *name)
{
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);

    g_assert_true(g_utf8_validate(name, -1, NULL));
    g_assert_cmpint(name[0], !=, '/');
    for (guint i = 0; parts[i] != NULL; i++)
        g_assert_cmpstr(parts[i], !=, "..");
}

static void fuzz_zip(const guint8 *data, gsize size)
{
    g_autofree guint8 *sealed = g_memdup2(data, size);
    g_autoptr(GBytes) file = NULL, labels = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlZip) zip = NULL;
    gsize sum = 0;

    seal_archive(sealed, size);
    file = g_bytes_new_take(g_steal_pointer(&sealed), size);
    zip = gpudl_zip_open(file, &error);
    if (!either(zip != NULL, &error))
        return;
    for (guint i = 0; i < gpudl_zip_get_count(zip); i++) {
        const gchar *name = gpudl_zip_get_name(zip, i);
        g_autoptr(GError) fault = NULL;
        g_autoptr(GBytes) member = gpudl_zip_get(zip, name, 1u << 20, &fault);
        g_auto(GStrv) lines = tflite_labels_read(file, name, NULL);

        g_assert_true(gpudl_zip_has(zip, name));
        check_name(name);
        if (either(member != NULL, &fault))
            for (gsize k = 0; k < g_bytes_get_size(member); k++)
                sum += ((const guint8 *)g_bytes_get_data(member, NULL))[k];
        g_assert_true(lines == NULL || member != NULL);
    }
    g_assert_cmpuint(sum, <, G_MAXUINT32 * (gsize)256);
}

static void fuzz_pickle(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Pickle) pickle = pickle_read(data, size, &error);

    if (!either(pickle != NULL, &error))
        return;
    g_assert_nonnull(pickle->root);
    for (guint i = 0; i < pickle->values->len; i++) {
        const PickleValue *value = pickle->values->pdata[i];
        GpudlShape shape;
        GpudlDType dtype;

        pickle_get(value, "weight");
        pickle_item(value, 3);
        if (script_tensor_shape(value, &shape, &dtype))
            g_assert_cmpint(gpudl_shape_elements(&shape), >=, 0);
    }
}

static void fuzz_code(const guint8 *data, gsize size)
{
    g_autoptr(GError) error = NULL;
    ScriptFile *file = script_file_new("code/a.py", (const gchar *)data, size, &error);

    if (either(file != NULL, &error))
        script_file_free(file);
}

/* ---- what files beside a model say ------------------------------------------------------------------------------- */

/* Notes go into a net.bin. */
static void check_note(const gchar *note)
{
    g_assert_true(g_utf8_validate(note, -1, NULL));
    for (const gchar *at = note; *at != '\0'; at = g_utf8_next_char(at))
        g_assert_false(g_unichar_iscntrl(g_utf8_get_char(at)));
}

/* What is said has to be fit for use: a model that is made with it would be refused otherwise. */
static void check_said(const GpudlHint *hint)
{
    GpudlPreproc preproc = hint->preproc;

    preproc.width = preproc.height = 224;
    if ((hint->set & GPUDL_SET_CHANNEL_ORDER) == 0)
        preproc.channel_order = GPUDL_CHANNELS_RGB;
    preproc.channels = preproc.channel_order == GPUDL_CHANNELS_GRAY ? 1 : 3;
    if ((hint->set & GPUDL_KNOWN_VALUES) == 0) {
        preproc.pixel_scale = 255;
        for (guint c = 0; c < 3; c++) {
            preproc.mean[c] = 0;
            preproc.std[c] = 1;
        }
    }
    if ((hint->set & GPUDL_SET_RESIZE_MODE) == 0)
        preproc.resize_mode = GPUDL_RESIZE_STRETCH;
    if ((hint->set & GPUDL_SET_CROP_FRACTION) == 0)
        preproc.crop_fraction = 1;
    if ((hint->set & GPUDL_SET_PAD_COLOR) == 0)
        preproc.pad_color = 0;
    if ((hint->set & GPUDL_SET_SCALE_METHOD) == 0)
        preproc.scale_method = GPUDL_SCALE_BILINEAR;
    g_assert_cmpstr(gpudl_preproc_check(&preproc), ==, NULL);
    g_assert_true(hint->other_fraction >= 0 && hint->other_fraction <= 1);
}

static void check_hint(GpudlHint *hint)
{
    g_auto(GpudlKnown) known = {0};

    g_assert_cmpint(hint->height, >=, 0);
    g_assert_cmpint(hint->height, <=, GPUDL_LIMIT_INPUT_SIDE);
    g_assert_cmpint(hint->width, >=, 0);
    g_assert_cmpint(hint->width, <=, GPUDL_LIMIT_INPUT_SIDE);
    for (guint i = 0; hint->labels != NULL && hint->labels[i] != NULL; i++)
        g_assert_true(g_utf8_validate(hint->labels[i], -1, NULL));
    for (guint i = 0; hint->notes != NULL && i < hint->notes->len; i++)
        check_note(hint->notes->pdata[i]);
    gpudl_known_add(&known, hint, "fuzz");
    check_said(&known.hint);
}

static void fuzz_json(const guint8 *data, gsize size)
{
    static gboolean (*const read[])(const gchar *, GpudlHint *, GError **) = {gpudl_known_of_preprocessor,
                                                                              gpudl_known_of_config};
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = gpudl_json_parse((const gchar *)data, size, &error);
    g_autofree gchar *text = text_of(data, size);

    either(root != NULL, &error);
    for (guint i = 0; text != NULL && i < G_N_ELEMENTS(read); i++) {
        g_auto(GpudlHint) hint = {0};
        g_autoptr(GError) fault = NULL;

        if (either(read[i](text, &hint, &fault), &fault))
            check_hint(&hint);
    }
}

static void fuzz_labels(const guint8 *data, gsize size)
{
    g_autofree gchar *text = text_of(data, size);
    g_autoptr(GError) error = NULL, fault = NULL;
    g_auto(GStrv) labels = text != NULL ? gpudl_labels_parse(text, &error) : NULL, read = NULL;
    guint n = 0;

    if (text != NULL && either(labels != NULL, &error)) {
        g_assert_cmpuint(g_strv_length(labels), >, 0);
        g_assert_cmpuint(g_strv_length(labels), <=, GPUDL_LIMIT_LABELS);
        for (guint i = 0; labels[i] != NULL; i++)
            g_assert_true(g_utf8_validate(labels[i], -1, NULL));
    }
    read = gpudl_labels_read(fuzz_as_file(data, size), &n, &fault);
    if (either(read != NULL, &fault))
        g_assert_cmpuint(g_strv_length(read), ==, n);
}

static void fuzz_modelinfo(const guint8 *data, gsize size)
{
    g_autofree gchar *text = text_of(data, size);
    g_auto(GpudlHint) hint = {0};
    g_autoptr(GError) error = NULL;

    if (text != NULL && either(gpudl_known_of_modelinfo(text, &hint, &error), &error))
        check_hint(&hint);
}

/* Keys and values, a line each in turns. */
static void fuzz_metadata(const guint8 *data, gsize size)
{
    g_autoptr(GHashTable) metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree gchar *text = text_of(data, size);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    g_auto(GpudlHint) hint = {0};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; lines[i] != NULL && lines[i + 1] != NULL; i += 2)
        g_hash_table_insert(metadata, g_strdup(lines[i]), g_strdup(lines[i + 1]));
    if (either(gpudl_known_of_metadata(metadata, &hint, &error), &error))
        check_hint(&hint);
}

/* ---- others ------------------------------------------------------------------------------------------------------ */

static void fuzz_mean(const guint8 *data, gsize size)
{
    g_autoptr(GBytes) file = g_bytes_new(data, size);
    g_auto(GpudlCaffeInfo) info = {0};
    g_autoptr(GError) error = NULL;

    either(gpudl_caffe_read_mean(file, "mean.binaryproto", &info, &error), &error);
}

/* What bytes are, or what they look like. */
static void fuzz_kind(const guint8 *data, gsize size)
{
    g_autoptr(GBytes) file = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;

    either(gpudl_import_kind(file, &error) != GPUDL_IMPORT_UNKNOWN, &error);
    g_free(gpudl_import_recognise(g_bytes_get_data(file, NULL), size));
    gpudl_import_recognise_message(g_bytes_get_data(file, NULL), size);
}

const FuzzParser fuzz_pieces[] = {{"zip", fuzz_zip},           {"pickle", fuzz_pickle},
                                  {"code", fuzz_code},         {"json", fuzz_json},
                                  {"labels", fuzz_labels},     {"modelinfo", fuzz_modelinfo},
                                  {"metadata", fuzz_metadata}, {"caffe-mean", fuzz_mean},
                                  {"kind", fuzz_kind},         {NULL, NULL}};
