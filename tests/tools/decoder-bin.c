/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decoder-bin.h"

#include <gst/gst.h>

typedef struct {
    GstBin parent;
} DecoderBin;

typedef struct {
    GstBinClass parent;
} DecoderBinClass;

GType decoder_bin_get_type(void);
G_DEFINE_TYPE(DecoderBin, decoder_bin, GST_TYPE_BIN)

static void decoder_bin_class_init(DecoderBinClass *klass)
{
    GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
    g_autoptr(GstCaps) in = gst_caps_from_string("video/x-vp8, codec-alpha=(boolean)true"), out = gst_caps_new_any();

    gst_element_class_set_static_metadata(element_class, "Decoder bin", "Codec/Decoder/Video", "test double", "gpudl");
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, in));
    gst_element_class_add_pad_template(element_class, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, out));
}

static void add_pad(DecoderBin *self, const gchar *name, GstElement *element)
{
    g_autoptr(GstPad) target = gst_element_get_static_pad(element, name);

    gst_element_add_pad(GST_ELEMENT(self), gst_ghost_pad_new(name, target));
}

static void decoder_bin_init(DecoderBin *self)
{
    GstElement *decoder = gst_element_factory_make("vp8dec", NULL);

    gst_bin_add(GST_BIN(self), decoder);
    add_pad(self, "sink", decoder);
    add_pad(self, "src", decoder);
}

void decoder_bin_register(void)
{
    gst_element_register(NULL, "gpudldecoderbin", GST_RANK_PRIMARY + 100, decoder_bin_get_type());
}
