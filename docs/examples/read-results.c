/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read-results PIPELINE: plays what gst-launch-1.0 would, and prints what the frames show that arrive at its element
 * "out", and what the bus says of it.
 *
 *     cc read-results.c -o read-results $(pkg-config --cflags --libs gstreamer-1.0) */
#include <gst/gst.h>

static void read_results(GstBuffer *buffer)
{
    const GstMetaInfo *info = gst_meta_get_info("GpudlClassificationMeta");
    gpointer state = NULL;
    GstMeta *meta;

    while (info != NULL && (meta = gst_buffer_iterate_meta_filtered(buffer, &state, info->api)) != NULL) {
        const GstStructure *fields = gst_custom_meta_get_structure((GstCustomMeta *)meta);
        const gchar *model = gst_structure_get_string(fields, "model");
        gdouble confidence;

        if (gst_structure_get_double(fields, "confidence", &confidence))
            g_print("%s: %s %.2f\n", model, gst_structure_get_string(fields, "label"), confidence);
        else
            g_print("%s: no class above the threshold\n", model);
    }
}

static void print_all_classes(const GstStructure *fields)
{
    const GValue *labels = gst_structure_get_value(fields, "labels");
    const GValue *confidences = gst_structure_get_value(fields, "confidences");

    for (guint i = 0; i < gst_value_array_get_size(labels); i++)
        g_print("    %s %.2f\n", g_value_get_string(gst_value_array_get_value(labels, i)),
                g_value_get_double(gst_value_array_get_value(confidences, i)));
}

static GstPadProbeReturn on_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer user_data)
{
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    GstCustomMeta *first = gst_buffer_get_custom_meta(buffer, "GpudlClassificationMeta");

    read_results(buffer);
    if (first != NULL)
        print_all_classes(gst_custom_meta_get_structure(first));
    return GST_PAD_PROBE_OK;
}

static void read_message(GstElement *pipeline, GstMessage *message)
{
    const GstStructure *fields = gst_message_get_structure(message), *details = NULL;
    g_autoptr(GError) error = NULL;
    const gchar *best;
    gdouble reached;

    switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ELEMENT: /* with post-messages=all */
        if (gst_message_has_name(message, "gpudlinfer-result")) {
            best = gst_structure_get_string(fields, "label");
            g_print("message of %s: %s\n", GST_MESSAGE_SRC_NAME(message), best != NULL ? best : "no class");
        }
        break;
    case GST_MESSAGE_LATENCY:
        gst_bin_recalculate_latency(GST_BIN(pipeline));
        break;
    case GST_MESSAGE_WARNING:
        gst_message_parse_warning(message, &error, NULL);
        gst_message_parse_warning_details(message, &details);
        g_printerr("warning: %s %d: %s\n", g_quark_to_string(error->domain), error->code, error->message);
        if (details != NULL && gst_structure_has_name(details, "gpudlinfer-behind") &&
            gst_structure_get_double(details, "rate-reached", &reached))
            g_printerr("behind, because of the %s: %.0f frames/s\n", gst_structure_get_string(details, "limited-by"),
                       reached);
        break;
    case GST_MESSAGE_ERROR:
        gst_message_parse_error(message, &error, NULL);
        g_printerr("error: %s %d: %s\n", g_quark_to_string(error->domain), error->code, error->message);
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GstElement) pipeline = NULL, out = NULL;
    g_autoptr(GstPad) pad = NULL;
    g_autoptr(GstBus) bus = NULL;
    GstMessageType last = GST_MESSAGE_UNKNOWN;

    gst_init(&argc, &argv);
    pipeline = gst_parse_launch(argc > 1 ? argv[1] : "", &error);
    if (error != NULL || !GST_IS_BIN(pipeline) || (out = gst_bin_get_by_name(GST_BIN(pipeline), "out")) == NULL ||
        (pad = gst_element_get_static_pad(out, "sink")) == NULL) {
        g_printerr("%s\n", error != NULL ? error->message : "expected a pipeline that ends in a sink name=out");
        return 2;
    }
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, NULL, NULL);
    bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    while (last != GST_MESSAGE_EOS && last != GST_MESSAGE_ERROR) {
        g_autoptr(GstMessage) message = gst_bus_timed_pop(bus, GST_CLOCK_TIME_NONE);

        read_message(pipeline, message);
        last = GST_MESSAGE_TYPE(message);
    }
    gst_element_set_state(pipeline, GST_STATE_NULL);
    return last == GST_MESSAGE_EOS ? 0 : 1;
}
