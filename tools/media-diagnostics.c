/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What GStreamer has, for gpudl doctor and before anything is opened. */
#include "tools/media-internal.h"

gboolean media_ensure_gstreamer(GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (gst_init_check(NULL, NULL, &reason)) {
        g_autoptr(GstPluginFeature) collecting = gst_registry_lookup_feature(gst_registry_get(), COLLECTING_DECODER);

        /* its rank is none: decodebin would never try it; this changes it for this process alone */
        if (collecting != NULL && gst_plugin_feature_get_rank(collecting) < GST_RANK_MARGINAL)
            gst_plugin_feature_set_rank(collecting, GST_RANK_MARGINAL);
        return TRUE;
    }
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_BACKEND, "GStreamer can't be started: %s",
                reason != NULL ? reason->message : "no reason given");
    return FALSE;
}

const gchar *gpudl_media_version(GError **error)
{
    static const gchar *text;

    if (!media_ensure_gstreamer(error))
        return NULL;
    if (g_once_init_enter(&text))
        g_once_init_leave(&text, gst_version_string());
    return text;
}

gboolean gpudl_media_has_element(const gchar *name, gchar **plugin_version, gchar **file)
{
    g_autoptr(GstElementFactory) factory = NULL;
    g_autoptr(GstPluginFeature) feature = NULL;
    g_autoptr(GstPlugin) plugin = NULL;

    if (!media_ensure_gstreamer(NULL) || (factory = gst_element_factory_find(name)) == NULL)
        return FALSE;
    /* a registry may remember a plugin that no longer loads */
    feature = gst_plugin_feature_load(GST_PLUGIN_FEATURE(factory));
    if (feature == NULL)
        return FALSE;
    plugin = gst_plugin_feature_get_plugin(feature);
    if (plugin_version != NULL)
        *plugin_version = g_strdup(plugin != NULL ? gst_plugin_get_version(plugin) : NULL);
    if (file != NULL)
        *file = g_strdup(plugin != NULL ? gst_plugin_get_filename(plugin) : NULL);
    return TRUE;
}

gboolean gpudl_media_has_decoder(const gchar *caps_text, gchar **name)
{
    g_autoptr(GstCaps) caps = NULL;
    GList *all, *able;
    gboolean found;

    if (!media_ensure_gstreamer(NULL) || (caps = gst_caps_from_string(caps_text)) == NULL)
        return FALSE;
    all = gst_element_factory_list_get_elements(GST_ELEMENT_FACTORY_TYPE_DECODABLE, GST_RANK_MARGINAL);
    able = gst_element_factory_list_filter(all, caps, GST_PAD_SINK, FALSE);
    able = g_list_sort(able, gst_plugin_feature_rank_compare_func);
    /* parsers and depayloaders alone give no pictures */
    for (GList *l = able, *next; l != NULL; l = next) {
        next = l->next;
        if (!gst_element_factory_list_is_type(l->data,
                                              GST_ELEMENT_FACTORY_TYPE_DECODER | GST_ELEMENT_FACTORY_TYPE_DEMUXER)) {
            gst_object_unref(l->data);
            able = g_list_delete_link(able, l);
        }
    }
    found = able != NULL;
    if (found && name != NULL)
        *name = g_strdup(GST_OBJECT_NAME(able->data));
    gst_plugin_feature_list_free(able);
    gst_plugin_feature_list_free(all);
    return found;
}

/* nvh264dec, nvav1dec, nvh265device1dec */
static gboolean is_nvdec(GstElementFactory *factory)
{
    const gchar *name = GST_OBJECT_NAME(factory);
    const gchar *class = gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_KLASS);

    return g_str_has_prefix(name, "nv") && g_str_has_suffix(name, "dec") && class != NULL &&
           strstr(class, "Decoder/Video") != NULL;
}

static gboolean has_cuda_memory(GstStaticPadTemplate *template)
{
    g_autoptr(GstCaps) caps = template->direction == GST_PAD_SRC ? gst_static_pad_template_get_caps(template) : NULL;
    gboolean found = FALSE;

    for (guint i = 0; caps != NULL && !gst_caps_is_any(caps) && i < gst_caps_get_size(caps) && !found; i++)
        found = gst_caps_features_contains(gst_caps_get_features(caps, i), "memory:CUDAMemory");
    return found;
}

static gboolean gives_cuda_memory(GstElementFactory *factory)
{
    const GList *templates = gst_element_factory_get_static_pad_templates(factory);
    gboolean found = FALSE;

    if (g_strcmp0(gst_plugin_feature_get_plugin_name(GST_PLUGIN_FEATURE(factory)), "gpudl") == 0)
        return FALSE;
    for (; templates != NULL && !found; templates = templates->next)
        found = has_cuda_memory(templates->data);
    return found;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(GST_OBJECT_NAME(a), GST_OBJECT_NAME(b));
}

static gchar *list_elements(gboolean (*is)(GstElementFactory *factory))
{
    g_autoptr(GString) names = g_string_new(NULL);
    GList *all;

    if (!media_ensure_gstreamer(NULL))
        return NULL;
    all = gst_element_factory_list_get_elements(GST_ELEMENT_FACTORY_TYPE_ANY, GST_RANK_NONE);
    all = g_list_sort(all, compare_names);
    for (GList *l = all; l != NULL; l = l->next)
        if (is(l->data))
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", GST_OBJECT_NAME(l->data));
    gst_plugin_feature_list_free(all);
    return names->len > 0 ? g_strdup(names->str) : NULL;
}

gchar *gpudl_media_list_nvdec(void)
{
    return list_elements(is_nvdec);
}

gchar *gpudl_media_list_cuda(void)
{
    return list_elements(gives_cuda_memory);
}
