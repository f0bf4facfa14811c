/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Photographs through the element with SqueezeNet 1.1, in every format its sink pad takes: the same class whatever the
 * frame's layout. Model and photographs are in the folder that GPUDL_TEST_DATA names.
 */
#include <gst/gst.h>
#include <string.h>

#include "plugin/gstgpudlmeta.h"

/* of Caffe's making: B, G, R within 0 and 255, less the mean */
#define ELEMENT "gpudlinfer model=\"%s\" backend=cpu channel-order=bgr pixel-scale=1 mean=<104.0,117.0,123.0> top-k=0"
#define TIMEOUT (60 * GST_SECOND)
/* grey read as grey, and as the three equal channels that videoconvert makes of it: the same pixels but for rounding */
#define GREY_TOLERANCE 1e-3f

static const struct {
    const gchar *file;
    guint id;
} photos[] = {{"orange.png", 950}, {"resized_cat.bmp", 285}, {"parrot.jpg", 88}};

static gchar *model_path;

/* NULL, and the test skipped by the file's name, where it is not there. */
static gchar *data_file(const gchar *folder, const gchar *name)
{
    const gchar *data = g_getenv("GPUDL_TEST_DATA");
    g_autofree gchar *path = data != NULL ? g_build_filename(data, folder, name, NULL) : NULL;

    if (path != NULL && g_file_test(path, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer(&path);
    if (path != NULL)
        g_test_skip(path);
    else
        g_test_skip("GPUDL_TEST_DATA names no folder of models");
    return NULL;
}

/* What the element's sink pad says that it takes from system memory. */
static GStrv formats(void)
{
    g_autoptr(GstElementFactory) factory = gst_element_factory_find("gpudlinfer");
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    g_assert_nonnull(factory);
    for (const GList *l = gst_element_factory_get_static_pad_templates(factory); l != NULL; l = l->next) {
        GstStaticPadTemplate *pad = l->data;
        g_autoptr(GstCaps) caps = gst_static_caps_get(&pad->static_caps);

        for (guint i = 0; pad->direction == GST_PAD_SINK && i < gst_caps_get_size(caps); i++) {
            const GValue *list = gst_structure_get_value(gst_caps_get_structure(caps, i), "format");

            g_assert_true(GST_VALUE_HOLDS_LIST(list));
            for (guint j = 0; j < gst_value_list_get_size(list); j++) {
                const gchar *name = g_intern_string(g_value_get_string(gst_value_list_get_value(list, j)));

                if (g_hash_table_add(seen, (gpointer)name))
                    g_strv_builder_add(names, name);
            }
        }
    }
    return g_strv_builder_end(names);
}

/* One branch of the pipeline; caps are what the frame passes through on its way. */
static void append_branch(GString *line, const gchar *name, const gchar *const *on_the_way)
{
    g_string_append(line, "t. ! queue ");
    for (guint i = 0; on_the_way[i] != NULL; i++)
        g_string_append_printf(line, "! videoconvert ! video/x-raw,format=%s ", on_the_way[i]);
    g_string_append_printf(line, "! " ELEMENT " ! fakesink name=%s ", model_path, name);
}

/* The file in one buffer, pushed: decoders without a parser before them, as libav's for BMP, take each for a picture.
 */
static GstElement *start(const gchar *photo, gchar **names)
{
    static const gchar *const by_grey[] = {"GRAY8", "RGB", NULL};
    g_autoptr(GString) line =
        g_string_new("filesrc name=file blocksize=16777216 ! queue ! decodebin ! videoconvert ! tee name=t ");
    g_autoptr(GstElement) pipeline = NULL;
    g_autoptr(GstElement) source = NULL;
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GstMessage) message = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; names[i] != NULL; i++) {
        const gchar *const way[] = {names[i], NULL};

        append_branch(line, names[i], way);
    }
    append_branch(line, "grey-as-RGB", by_grey);
    pipeline = gst_object_ref_sink(gst_parse_launch(line->str, &error));
    g_assert_no_error(error);
    source = gst_bin_get_by_name(GST_BIN(pipeline), "file");
    g_object_set(source, "location", photo, NULL);
    gst_element_set_state(pipeline, GST_STATE_PAUSED);
    bus = gst_element_get_bus(pipeline);
    message = gst_bus_timed_pop_filtered(bus, TIMEOUT, GST_MESSAGE_ASYNC_DONE | GST_MESSAGE_ERROR);
    g_assert_nonnull(message);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        gst_message_parse_error(message, &error, NULL);
    g_assert_no_error(error);
    return g_steal_pointer(&pipeline);
}

static GstGpudlClassification *answer_of(GstElement *pipeline, const gchar *name)
{
    g_autoptr(GstElement) sink = gst_bin_get_by_name(GST_BIN(pipeline), name);
    g_autoptr(GstSample) sample = NULL;
    GstGpudlClassification *answer;

    g_object_get(sink, "last-sample", &sample, NULL);
    g_assert_nonnull(sample);
    answer = gst_gpudl_meta_read(gst_sample_get_buffer(sample), 0);
    g_assert_nonnull(answer);
    g_assert_cmpuint(answer->n_classes, ==, 1000);
    return answer;
}

static gfloat confidence_of(const GstGpudlClassification *answer, guint id)
{
    for (guint i = 0; i < answer->n_classes; i++)
        if (answer->classes[i].id == id)
            return answer->classes[i].confidence;
    g_assert_not_reached();
}

static void compare_grey(const GstGpudlClassification *found, const GstGpudlClassification *expected)
{
    gfloat worst = 0;

    g_assert_cmpuint(found->classes[0].id, ==, expected->classes[0].id);
    for (guint id = 0; id < expected->n_classes; id++)
        worst = MAX(worst, ABS(confidence_of(found, id) - confidence_of(expected, id)));
    g_test_message("as RGB: %u, differs by %.4f", expected->classes[0].id, (double)worst);
    g_assert_cmpfloat(worst, <=, GREY_TOLERANCE);
}

static void test_photo(gconstpointer data)
{
    const guint which = GPOINTER_TO_UINT(data);
    g_autofree gchar *photo = data_file("photos", photos[which].file);
    g_auto(GStrv) names = NULL;
    g_autoptr(GstElement) pipeline = NULL;
    guint n_grey = 0;

    if (photo == NULL ||
        (model_path == NULL && (model_path = data_file("squeezenet", "squeezenet1.1_fp16.onnx")) == NULL))
        return;
    names = formats();
    g_assert_cmpuint(g_strv_length(names), >=, 24);
    pipeline = start(photo, names);
    for (guint i = 0; names[i] != NULL; i++) {
        g_autoptr(GstGpudlClassification) answer = answer_of(pipeline, names[i]);

        g_test_message("%s: %u, %.4f", names[i], answer->classes[0].id, (double)answer->classes[0].confidence);
        if (strcmp(names[i], "GRAY8") == 0) {
            g_autoptr(GstGpudlClassification) grey = answer_of(pipeline, "grey-as-RGB");

            compare_grey(answer, grey);
            n_grey++;
        } else {
            g_assert_cmpuint(answer->classes[0].id, ==, photos[which].id);
        }
    }
    g_assert_cmpuint(n_grey, ==, 1);
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

int main(int argc, char **argv)
{
    int status;

    gst_init(&argc, &argv);
    g_test_init(&argc, &argv, NULL);
    gst_gpudl_meta_register();
    for (guint i = 0; i < G_N_ELEMENTS(photos); i++) {
        g_autofree gchar *name = g_strdup_printf("/photos/%s-in-every-format", photos[i].file);

        g_test_add_data_func(name, GUINT_TO_POINTER(i), test_photo);
    }
    status = g_test_run();
    g_free(model_path);
    return status;
}
