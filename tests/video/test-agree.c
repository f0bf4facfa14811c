/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gpudl command's way to a frame and the element's see the same picture: the network says the mean of red, green
 * and blue, and both have to say the same to the last bit, whatever a frame's format, colorimetry, chroma site and crop
 * rectangle are.
 */
#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>
#include <string.h>

#include "models/gpudl-import.h"
#include "plugin/gstgpudlmeta.h"
#include "tools/media.h"

#define MAGIC "gpudl-frames\n"
#define CLASSES 3
#define WIDTH 8

/* One frame: what its caps say, and a rectangle, or none. */
typedef struct {
    gchar *caps;
    guint crop[4];
    gfloat tool[CLASSES], element[CLASSES];
} Case;

static GArray *cases;
static GpudlModel *model;

static void add_case(const gchar *format, gint height, const gchar *colours, gboolean cropped)
{
    Case c = {.caps = g_strdup_printf("video/x-raw,format=%s,width=%d,height=%d,framerate=25/1%s", format, WIDTH,
                                      height, colours)};

    if (cropped) {
        const guint crop[4] = {1, 2, 5, (guint)height}; /* ends below the frame */

        memcpy(c.crop, crop, sizeof crop);
    }
    g_array_append_val(cases, c);
}

static void clear_case(gpointer c)
{
    g_free(((Case *)c)->caps);
}

typedef struct {
    gchar *dir, *path;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("gpudl-agree-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "frames", NULL);
    cases = g_array_new(FALSE, TRUE, sizeof(Case));
    g_array_set_clear_func(cases, clear_case);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_array_unref(cases);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

/* The same noise for each frame of a size. */
static GstBuffer *new_buffer(const Case *c, gsize size)
{
    GstBuffer *buffer = gst_buffer_new_allocate(NULL, size, NULL);
    guint32 state = 1;
    GstMapInfo map;

    g_assert_true(gst_buffer_map(buffer, &map, GST_MAP_WRITE));
    for (gsize i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        map.data[i] = (guint8)(state >> 24);
    }
    gst_buffer_unmap(buffer, &map);
    if (c->crop[2] != 0) {
        GstVideoCropMeta *meta = gst_buffer_add_video_crop_meta(buffer);

        meta->x = c->crop[0];
        meta->y = c->crop[1];
        meta->width = c->crop[2];
        meta->height = c->crop[3];
    }
    GST_BUFFER_PTS(buffer) = 0;
    return buffer;
}

static GstBuffer *case_buffer(const Case *c)
{
    g_autoptr(GstCaps) caps = gst_caps_from_string(c->caps);
    GstVideoInfo info;

    g_assert_true(gst_video_info_from_caps(&info, caps));
    return new_buffer(c, info.size);
}

/* ---- a decoder that gives the frames of cases, for what begins with MAGIC ------------------------------------------
 */

typedef struct {
    GstElement parent;
    GstPad *src;
} Decoder;
typedef GstElementClass DecoderClass;

static GType decoder_get_type(void);
G_DEFINE_TYPE(Decoder, decoder, GST_TYPE_ELEMENT)

#define DECODER_CAPS "video/x-gpudl-test-frames"

static GstFlowReturn decoder_chain(GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
}

static void decoder_push_all(Decoder *self)
{
    GstSegment segment;

    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(self->src, gst_event_new_stream_start("frames"));
    for (guint i = 0; i < cases->len; i++) {
        const Case *c = &g_array_index(cases, Case, i);

        gst_pad_push_event(self->src, gst_event_new_caps(gst_caps_from_string(c->caps)));
        if (i == 0)
            gst_pad_push_event(self->src, gst_event_new_segment(&segment));
        if (gst_pad_push(self->src, case_buffer(c)) != GST_FLOW_OK)
            break;
    }
}

static gboolean decoder_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    Decoder *self = (Decoder *)parent;

    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
        decoder_push_all(self);
        return gst_pad_push_event(self->src, event);
    }
    gst_event_unref(event); /* it makes its own */
    return TRUE;
}

static void decoder_init(Decoder *self)
{
    GstElementClass *klass = GST_ELEMENT_GET_CLASS(self);
    GstPad *sink = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");

    self->src = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
    gst_pad_set_chain_function(sink, decoder_chain);
    gst_pad_set_event_function(sink, decoder_event);
    gst_element_add_pad(GST_ELEMENT(self), sink);
    gst_element_add_pad(GST_ELEMENT(self), self->src);
}

static void decoder_class_init(DecoderClass *klass)
{
    static GstStaticPadTemplate sink =
        GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS(DECODER_CAPS));
    static GstStaticPadTemplate src =
        GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("video/x-raw"));

    gst_element_class_add_static_pad_template(klass, &sink);
    gst_element_class_add_static_pad_template(klass, &src);
    gst_element_class_set_static_metadata(klass, "Frames", "Codec/Decoder/Video", "Frames of a test", "gpudl");
}

static void find_type(GstTypeFind *find, gpointer data)
{
    const guint8 *head = gst_type_find_peek(find, 0, sizeof(MAGIC) - 1);

    if (head != NULL && memcmp(head, MAGIC, sizeof(MAGIC) - 1) == 0)
        gst_type_find_suggest_empty_simple(find, GST_TYPE_FIND_MAXIMUM, DECODER_CAPS);
}

static void register_decoder(void)
{
    g_autoptr(GstCaps) caps = gst_caps_from_string(DECODER_CAPS);

    g_assert_true(gst_element_register(NULL, "gpudltestframes", GST_RANK_PRIMARY, decoder_get_type()));
    g_assert_true(
        gst_type_find_register(NULL, "gpudl-test-frames", GST_RANK_PRIMARY, find_type, NULL, caps, NULL, NULL));
}

/* ---- both ways -----------------------------------------------------------------------------------------------------
 */

/* The first frames of a file, all of them. */
static void run_tool(const gchar *path, Case *first, guint n)
{
    const GpudlSessionConfig config = {
        .struct_size = sizeof config, .backend = "ref", .cuda_device_id = -1, .activation = GPUDL_ACTIVATION_NONE};
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlMedia) media = gpudl_media_open(path, GPUDL_PIXEL_UNKNOWN, &error);
    GpudlSession *session;
    GpudlStream *stream;
    GpudlRequest *request;

    g_assert_no_error(error);
    session = gpudl_session_acquire(model, &config, NULL, &error);
    g_assert_no_error(error);
    stream = gpudl_stream_new(session, model);
    request = gpudl_request_new(stream);
    for (guint i = 0; i < n; i++) {
        g_autoptr(GpudlMediaFrame) frame = gpudl_media_next(media, &error);
        GpudlClass classes[CLASSES];

        g_assert_no_error(error);
        g_assert_nonnull(frame);
        g_assert_true(gpudl_request_submit(request, &frame->frame, NULL, &error));
        g_assert_true(gpudl_request_wait(request, &error));
        g_assert_cmpuint(gpudl_request_top_k(request, 0, 0, 0, classes), ==, CLASSES);
        for (guint k = 0; k < CLASSES; k++)
            first[i].tool[classes[k].id] = classes[k].confidence;
    }
    g_assert_null(gpudl_media_next(media, &error));
    g_assert_no_error(error);
    gpudl_request_free(request);
    gpudl_stream_free(stream);
    gpudl_session_unref(session);
}

static void take_meta(GstBuffer *buffer, gfloat out[CLASSES])
{
    g_autoptr(GstGpudlClassification) meta = gst_gpudl_meta_read(buffer, 0);

    g_assert_nonnull(meta);
    g_assert_cmpuint(meta->n_classes, ==, CLASSES);
    for (guint k = 0; k < CLASSES; k++)
        out[meta->classes[k].id] = meta->classes[k].confidence;
}

static void run_element(void)
{
    g_autoptr(GstElement) element = gst_object_ref_sink(gst_element_factory_make("gpudlinfer", NULL));
    GstHarness *h;

    gst_util_set_object_arg(G_OBJECT(element), "backend", "ref");
    gst_util_set_object_arg(G_OBJECT(element), "activation", "none");
    g_object_set(element, "model", g_getenv("GPUDL_TEST_MODEL"), "top-k", 0, NULL);
    h = gst_harness_new_with_element(element, "sink", "src");
    gst_harness_play(h);
    for (guint i = 0; i < cases->len; i++) {
        Case *c = &g_array_index(cases, Case, i);
        g_autoptr(GstBuffer) out = NULL;

        gst_harness_set_src_caps_str(h, c->caps);
        g_assert_cmpint(gst_harness_push(h, case_buffer(c)), ==, GST_FLOW_OK);
        out = gst_harness_pull(h);
        g_assert_nonnull(out);
        take_meta(out, c->element);
    }
    gst_harness_teardown(h);
}

/* Says each frame that differs, up to a few. */
static void compare(void)
{
    guint n_different = 0;

    for (guint i = 0; i < cases->len; i++) {
        const Case *c = &g_array_index(cases, Case, i);

        if (memcmp(c->tool, c->element, sizeof c->tool) != 0 && n_different++ < 10)
            g_test_message("%s%s: command %.9g %.9g %.9g, element %.9g %.9g %.9g", c->caps,
                           c->crop[2] ? " cropped" : "", c->tool[0], c->tool[1], c->tool[2], c->element[0],
                           c->element[1], c->element[2]);
    }
    g_test_message("%u of %u frames differ", n_different, cases->len);
    g_assert_cmpuint(n_different, ==, 0);
}

static void run_both(const Fixture *f)
{
    g_assert_true(g_file_set_contents(f->path, MAGIC, -1, NULL));
    run_tool(f->path, (Case *)cases->data, cases->len);
    run_element();
    compare();
}

static guint count_distinct(const gchar *prefix)
{
    g_autoptr(GHashTable) seen =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);

    for (guint i = 0; i < cases->len; i++) {
        const Case *c = &g_array_index(cases, Case, i);

        if (g_str_has_prefix(c->caps, prefix) && c->crop[2] == 0)
            g_hash_table_add(seen, g_bytes_new(c->element, sizeof c->element));
    }
    return g_hash_table_size(seen);
}

/* Numbers of GstVideoColorRange and GstVideoColorMatrix, as they stand in caps. */
static const gint ranges[] = {0, 1, 2};
static const gchar *const sites[] = {"", ",chroma-site=jpeg", ",chroma-site=mpeg2", ",chroma-site=v-cosited",
                                     ",chroma-site=cosited"};

static void ycbcr(Fixture *fixture, gconstpointer data)
{
    static const gchar *const formats[] = {"NV12", "NV21", "I420", "YV12",      "Y42B",
                                           "Y444", "YUY2", "UYVY", "P010_10LE", "I420_10LE"};
    static const gint matrices[] = {0, 2, 3, 4, 5, 6}, heights[] = {10, 578};

    for (guint f = 0; f < G_N_ELEMENTS(formats); f++)
        for (guint i = 0; i < G_N_ELEMENTS(heights) * G_N_ELEMENTS(ranges) * G_N_ELEMENTS(matrices); i++)
            for (guint s = 0; s < G_N_ELEMENTS(sites) * 2; s++) {
                guint rest = i / G_N_ELEMENTS(heights);
                g_autofree gchar *colours =
                    g_strdup_printf(",colorimetry=(string)%d:%d:0:0%s", ranges[rest % G_N_ELEMENTS(ranges)],
                                    matrices[rest / G_N_ELEMENTS(ranges)], sites[s / 2]);

                add_case(formats[f], heights[i % G_N_ELEMENTS(heights)], colours, s % 2);
            }
    add_case("NV12", 10, "", FALSE);
    add_case("NV12", 578, "", FALSE);
    run_both(fixture);
    /* 5 matrices, 2 ranges, 4 sites: each is seen by the network */
    g_assert_cmpuint(count_distinct("video/x-raw,format=NV12,width=8,height=10,"), ==, 40);
    g_assert_cmpuint(count_distinct("video/x-raw,format=NV12,width=8,height=578,"), ==, 40);
    g_assert_cmpuint(count_distinct("video/x-raw,format=P010_10LE,width=8,height=10,"), ==, 40);
    g_assert_cmpuint(count_distinct("video/x-raw,format=I420_10LE,width=8,height=10,"), ==, 40);
}

static void rgb_and_grey(Fixture *fixture, gconstpointer data)
{
    static const gchar *const formats[] = {"RGB",  "BGR",  "RGBA", "BGRA", "ARGB", "ABGR", "RGBx",
                                           "BGRx", "xRGB", "xBGR", "RGBP", "BGRP", "GBR",  "GRAY8"};

    for (guint f = 0; f < G_N_ELEMENTS(formats); f++) {
        for (guint i = 0; i < G_N_ELEMENTS(ranges) * 2; i++) {
            g_autofree gchar *colours = g_strdup_printf(",colorimetry=(string)%d:%d:0:0", ranges[i / 2],
                                                        strcmp(formats[f], "GRAY8") == 0 ? 4 : 1);

            add_case(formats[f], 10, colours, i % 2);
        }
        add_case(formats[f], 10, "", FALSE);
    }
    run_both(fixture);
    for (guint f = 0; f < G_N_ELEMENTS(formats); f++) {
        g_autofree gchar *prefix = g_strdup_printf("video/x-raw,format=%s,", formats[f]);

        g_assert_cmpuint(count_distinct(prefix), ==, 2);
    }
}

/* ---- a file, as gst-launch and the command read it ------------------------------------------------------------------
 */

static GstElement *launch(const gchar *description, const gchar *location)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GstElement) file = NULL;
    GstElement *pipeline = gst_parse_launch_full(description, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);

    if (pipeline == NULL) {
        g_test_skip(error->message);
        return NULL;
    }
    gst_object_ref_sink(pipeline);
    file = gst_bin_get_by_name(GST_BIN(pipeline), "file");
    g_object_set(file, "location", location, NULL);
    return pipeline;
}

static void run_to_the_end(GstElement *pipeline)
{
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message = NULL;

    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    message = gst_bus_timed_pop_filtered(bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull(message);
    g_assert_cmpstr(GST_MESSAGE_TYPE_NAME(message), ==, "eos");
}

static gboolean has_decoder(const gchar *type)
{
    g_autoptr(GstCaps) caps = gst_caps_new_empty_simple(type);
    GList *all = gst_element_factory_list_get_elements(GST_ELEMENT_FACTORY_TYPE_DECODER, GST_RANK_MARGINAL);
    GList *some = gst_element_factory_list_filter(all, caps, GST_PAD_SINK, FALSE);
    const gboolean has = some != NULL;

    gst_plugin_feature_list_free(some);
    gst_plugin_feature_list_free(all);
    return has;
}

static void read_by_element(const gchar *path, gfloat out[CLASSES])
{
    g_autofree gchar *text =
        g_strdup_printf("filesrc name=file ! decodebin ! gpudlinfer backend=ref activation=none top-k=0 model=%s ! "
                        "fakesink name=sink sync=false",
                        g_getenv("GPUDL_TEST_MODEL"));
    g_autoptr(GstElement) pipeline = launch(text, path), sink = NULL;
    g_autoptr(GstSample) sample = NULL;

    g_assert_nonnull(pipeline);
    run_to_the_end(pipeline);
    sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
    g_object_get(sink, "last-sample", &sample, NULL);
    take_meta(gst_sample_get_buffer(sample), out);
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

/* A film of ten bits a sample: the command's decoder hands over what the element's does, and nobody makes it eight. */
static void a_film_of_ten_bits(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GstElement) writer =
        launch("videotestsrc num-buffers=1 pattern=smpte ! video/x-raw,format=I420_10LE,width=64,height=48 ! x265enc ! "
               "h265parse ! matroskamux ! filesink name=file",
               fixture->path);
    g_autoptr(GError) error = NULL;
    Case c = {.caps = g_strdup("H.265 of 10 bits")};

    g_array_append_val(cases, c);
    if (writer == NULL)
        return;
    if (!has_decoder("video/x-h265")) {
        g_test_skip("no decoder for H.265");
        gst_element_set_state(writer, GST_STATE_NULL);
        return;
    }
    run_to_the_end(writer);
    gst_element_set_state(writer, GST_STATE_NULL);
    {
        g_autoptr(GpudlMedia) media = gpudl_media_open(fixture->path, GPUDL_PIXEL_UNKNOWN, &error);
        g_autoptr(GpudlMediaFrame) frame = NULL;

        g_assert_no_error(error);
        frame = gpudl_media_next(media, &error);
        g_assert_no_error(error);
        g_assert_cmpint(frame->frame.format, ==, GPUDL_PIXEL_I420_10LE);
    }
    run_tool(fixture->path, &g_array_index(cases, Case, 0), 1);
    read_by_element(fixture->path, g_array_index(cases, Case, 0).element);
    compare();
}

static void files_that_carry_caps(Fixture *fixture, gconstpointer data)
{
    static const gchar *const caps[] = {
        "format=RGB,colorimetry=2:1:5:1",
        "format=BGR,colorimetry=sRGB",
        "format=I420,colorimetry=2:3:5:1",
        "format=I420,colorimetry=1:4:5:1,chroma-site=mpeg2",
        "format=I420,colorimetry=bt601,chroma-site=jpeg",
        "format=YV12,colorimetry=bt2020",
        "format=YUY2,colorimetry=bt709",
        "format=GRAY8",
    };

    for (guint i = 0; i < G_N_ELEMENTS(caps); i++) {
        g_autofree gchar *text = g_strdup_printf("videotestsrc num-buffers=1 pattern=smpte ! "
                                                 "video/x-raw,width=32,height=24,%s ! matroskamux ! filesink name=file",
                                                 caps[i]);
        g_autoptr(GstElement) writer = launch(text, fixture->path);
        Case c = {.caps = g_strdup(caps[i])};

        g_array_append_val(cases, c);
        if (writer == NULL)
            return;
        run_to_the_end(writer);
        gst_element_set_state(writer, GST_STATE_NULL);
        run_tool(fixture->path, &g_array_index(cases, Case, i), 1);
        read_by_element(fixture->path, g_array_index(cases, Case, i).element);
    }
    compare();
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status;

    gst_init(&argc, &argv);
    g_test_init(&argc, &argv, NULL);
    gst_gpudl_meta_register();
    register_decoder();
    model = gpudl_model_load(g_getenv("GPUDL_TEST_MODEL"), NULL, NULL, &error);
    g_assert_no_error(error);
#define ADD(name) g_test_add("/agree/" #name, Fixture, NULL, set_up, name, tear_down)
    ADD(ycbcr);
    ADD(rgb_and_grey);
    ADD(files_that_carry_caps);
    ADD(a_film_of_ten_bits);
    status = g_test_run();
    gpudl_model_unref(model);
    return status;
}
