/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin with elements called as those on a GPU, which have pads and do nothing: nvtestdec decodes to CUDA memory,
 * nvsoftdec to system memory, cudatestsrc is no decoder. */
#include <gst/gst.h>

#define PACKAGE "gpudl-test"
#define CUDA_CAPS "video/x-raw(memory:CUDAMemory)"

static void add_pad(GstElementClass *klass, const gchar *name, GstPadDirection direction, const gchar *text)
{
    g_autoptr(GstCaps) caps = gst_caps_from_string(text);

    gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, GST_PAD_ALWAYS, caps));
}

static void init_decoder(gpointer klass, gpointer caps)
{
    gst_element_class_set_static_metadata(klass, "decoder", "Codec/Decoder/Video/Hardware", "does nothing", "gpudl");
    add_pad(klass, "sink", GST_PAD_SINK, "video/x-h264");
    add_pad(klass, "src", GST_PAD_SRC, caps);
}

static void init_source(gpointer klass, gpointer caps)
{
    gst_element_class_set_static_metadata(klass, "source", "Source/Video", "does nothing", "gpudl");
    add_pad(klass, "src", GST_PAD_SRC, caps);
}

static gboolean add(GstPlugin *plugin, const gchar *name, GClassInitFunc init, const gchar *caps)
{
    const GTypeInfo info = {.class_size = sizeof(GstElementClass),
                            .class_init = init,
                            .class_data = caps,
                            .instance_size = sizeof(GstElement)};
    g_autofree gchar *type = g_strconcat("GpudlTest", name, NULL);

    return gst_element_register(plugin, name, GST_RANK_NONE, g_type_register_static(GST_TYPE_ELEMENT, type, &info, 0));
}

static gboolean plugin_init(GstPlugin *plugin)
{
    return add(plugin, "nvtestdec", init_decoder, CUDA_CAPS "; video/x-raw") &&
           add(plugin, "nvsoftdec", init_decoder, "video/x-raw") && add(plugin, "cudatestsrc", init_source, CUDA_CAPS);
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, nvdectest, "elements called as those on a GPU", plugin_init,
                  "1.0", "LGPL", PACKAGE, "https://example.org")
