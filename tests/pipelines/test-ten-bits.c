/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A film of ten bits a sample, encoded and decoded: the network says of the decoder's frames what it says of the same
 * frames made eight bits by videoconvert. Films that nothing here encodes or decodes are skipped, by name.
 */
#include <gst/gst.h>
#include <math.h>

#include "plugin/gstgpudlmeta.h"

#define FRAMES 4
/* probabilities: videoconvert makes eight bits of ten, which is half a step of 255 in each sample */
#define NEAR 0.005
/* the same ten bits in other places: sums of another order */
#define SAME 1e-5

static const struct {
    const gchar *name, *encoder, *decoder;
} films[] = {
    {"h265", "x265enc option-string=log-level=none ! h265parse", "avdec_h265"},
    {"vp9", "vp9enc deadline=1", "avdec_vp9"},
    {"ffv1", "avenc_ffv1", "avdec_ffv1"},
};
static const gchar *const patterns[] = {"smpte", "snow", "red", "circular", "gradient", "white"};
/* the first is what the decoder gives */
static const gchar *const formats[] = {"I420_10LE", "P010_10LE", "NV12", "I420"};

typedef struct {
    GMutex lock;
    guint n;
    GstGpudlClassification *answers[FRAMES];
} Answers;

static void keep_answer(GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
    Answers *answers = data;

    g_mutex_lock(&answers->lock);
    if (answers->n < FRAMES)
        answers->answers[answers->n] = gst_gpudl_meta_read(buffer, 0);
    answers->n++;
    g_mutex_unlock(&answers->lock);
}

static void clear_answers(Answers *answers)
{
    for (guint i = 0; i < FRAMES; i++)
        if (answers->answers[i] != NULL)
            gst_gpudl_classification_free(answers->answers[i]);
    g_mutex_clear(&answers->lock);
}

static gfloat confidence_of(const GstGpudlClassification *answer, guint id)
{
    for (guint i = 0; i < answer->n_classes; i++)
        if (answer->classes[i].id == id)
            return answer->classes[i].confidence;
    g_assert_not_reached();
}

static gboolean elements_exist(const gchar *const names[])
{
    for (guint i = 0; names[i] != NULL; i++) {
        g_auto(GStrv) words = g_strsplit(names[i], " ", 2);
        g_autoptr(GstElementFactory) factory = gst_element_factory_find(words[0]);

        if (factory == NULL) {
            g_autofree gchar *text = g_strdup_printf("no element %s", words[0]);

            g_test_skip(text);
            return FALSE;
        }
    }
    return TRUE;
}

/* encoder ! decoder ! tee, a branch of each format; the decoder's own has nothing before gpudlinfer */
static void run_film(guint film, const gchar *pattern, Answers answers[G_N_ELEMENTS(formats)])
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_autoptr(GstElement) pipeline = NULL;
    g_autoptr(GstMessage) message = NULL;
    g_autoptr(GstBus) bus = NULL;
    g_autoptr(GError) error = NULL;

    g_string_printf(line,
                    "videotestsrc num-buffers=%d pattern=%s ! video/x-raw,format=I420_10LE,width=192,height=144,"
                    "framerate=25/1 ! %s ! %s ! video/x-raw,format=I420_10LE ! tee name=t ",
                    FRAMES, pattern, films[film].encoder, films[film].decoder);
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        g_string_append_printf(line,
                               "t. ! queue %s%s ! gpudlinfer backend=cpu top-k=0 model=%s/testcard.onnx "
                               "labels-file=%s/labels.txt ! fakesink name=%s signal-handoffs=true sync=false ",
                               i > 0 ? "! videoconvert dither=none ! video/x-raw,format=" : "", i > 0 ? formats[i] : "",
                               g_getenv("GPUDL_TEST_CARD"), g_getenv("GPUDL_TEST_CARD"), formats[i]);
    pipeline = gst_object_ref_sink(gst_parse_launch(line->str, &error));
    g_assert_no_error(error);
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GstElement) sink = gst_bin_get_by_name(GST_BIN(pipeline), formats[i]);

        g_signal_connect(sink, "handoff", G_CALLBACK(keep_answer), &answers[i]);
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    bus = gst_element_get_bus(pipeline);
    message = gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull(message);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        gst_message_parse_error(message, &error, NULL);
    g_assert_no_error(error);
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

static double compare(const gchar *pattern, const Answers answers[G_N_ELEMENTS(formats)])
{
    double worst = 0;

    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_assert_cmpuint(answers[i].n, ==, FRAMES);
        for (guint f = 0; f < FRAMES; f++) {
            const GstGpudlClassification *expected = answers[0].answers[f], *found = answers[i].answers[f];
            double bound = i < 2 ? SAME : NEAR;

            g_assert_nonnull(found);
            g_assert_cmpuint(found->n_classes, ==, expected->n_classes);
            g_assert_cmpuint(found->classes[0].id, ==, expected->classes[0].id);
            for (guint id = 0; id < expected->n_classes; id++) {
                double apart = fabs((double)confidence_of(found, id) - confidence_of(expected, id));

                if (!(apart <= bound))
                    g_error("%s frame %u class %u: %s %.7f, %s %.7f", pattern, f, id, formats[i],
                            confidence_of(found, id), formats[0], confidence_of(expected, id));
                worst = MAX(worst, apart);
            }
        }
    }
    g_assert_cmpstr(answers[0].answers[0]->classes[0].label, ==, pattern);
    return worst;
}

static void test_film(gconstpointer data)
{
    const guint film = GPOINTER_TO_UINT(data);
    const gchar *const elements[] = {films[film].encoder, films[film].decoder, NULL};

    if (!elements_exist(elements))
        return;
    for (guint p = 0; p < G_N_ELEMENTS(patterns); p++) {
        Answers answers[G_N_ELEMENTS(formats)] = {0};

        run_film(film, patterns[p], answers);
        g_test_message("%s: probabilities differ by %.4f", patterns[p], compare(patterns[p], answers));
        for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
            clear_answers(&answers[i]);
    }
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    g_test_init(&argc, &argv, NULL);
    gst_gpudl_meta_register();
    for (guint i = 0; i < G_N_ELEMENTS(films); i++) {
        g_autofree gchar *name = g_strdup_printf("/ten-bits/%s", films[i].name);

        g_test_add_data_func(name, GUINT_TO_POINTER(i), test_film);
    }
    return g_test_run();
}
