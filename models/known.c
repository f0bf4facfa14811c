/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/known.h"

#include <string.h>

#include "engine/shown.h"

void gpudl_hint_clear(GpudlHint *hint)
{
    g_strfreev(hint->labels);
    g_clear_pointer(&hint->notes, g_ptr_array_unref);
    memset(hint, 0, sizeof *hint);
}

static void take_note(GpudlHint *hint, gchar *note)
{
    if (hint->notes == NULL)
        hint->notes = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(hint->notes, note);
}

void gpudl_hint_refuse(GpudlHint *hint, const gchar *key, const gchar *found, const gchar *expected)
{
    /* what is cut and quoted already stays whole */
    g_autofree gchar *shown = gpudl_shown(found, GPUDL_SHOWN_BYTES + strlen("'...'"));

    take_note(hint, g_strdup_printf("%s in %s is %s, expected %s: not used", key, hint->place, shown, expected));
}

void gpudl_known_clear(GpudlKnown *known)
{
    gpudl_hint_clear(&known->hint);
    g_clear_pointer(&known->sources, g_ptr_array_unref);
    known->labels_from = NULL;
}

static void copy_values(GpudlPreproc *to, const GpudlHint *from)
{
    static const float zeros[3] = {0, 0, 0}, ones[3] = {1, 1, 1};

    to->pixel_scale = from->set & GPUDL_SET_PIXEL_SCALE ? from->preproc.pixel_scale : 255;
    memcpy(to->mean, from->set & GPUDL_SET_MEAN ? from->preproc.mean : zeros, sizeof to->mean);
    memcpy(to->std, from->set & GPUDL_SET_STD ? from->preproc.std : ones, sizeof to->std);
}

static void copy_geometry(GpudlPreproc *to, const GpudlHint *from)
{
    to->resize_mode = from->set & GPUDL_SET_RESIZE_MODE ? from->preproc.resize_mode : GPUDL_RESIZE_STRETCH;
    to->crop_fraction = from->set & GPUDL_SET_CROP_FRACTION ? from->preproc.crop_fraction : 1;
    to->pad_color = from->set & GPUDL_SET_PAD_COLOR ? from->preproc.pad_color : 0;
}

/* TRUE if the hint says something of these that is not known. */
static gboolean is_news(const GpudlHint *known, const GpudlHint *hint, guint bits)
{
    return (hint->set & bits) != 0 && (known->set & bits) == 0;
}

/* Who says how a picture is fitted says all of it. Who says a fraction or a colour alone leaves open what it is for. */
static void add_geometry(GpudlHint *all, const GpudlHint *hint)
{
    const guint known = all->set & GPUDL_KNOWN_GEOMETRY, says = hint->set & GPUDL_KNOWN_GEOMETRY;
    const GpudlHint before = *all;

    if ((known & GPUDL_SET_RESIZE_MODE) || (says & ~known) == 0)
        return;
    copy_geometry(&all->preproc, hint);
    all->other_height = hint->other_height;
    all->other_fraction = hint->other_fraction;
    if (known & GPUDL_SET_CROP_FRACTION) {
        all->preproc.crop_fraction = before.preproc.crop_fraction;
        all->other_height = 0;
        all->other_fraction = 0;
    }
    if (known & GPUDL_SET_PAD_COLOR)
        all->preproc.pad_color = before.preproc.pad_color;
    all->set |= says & GPUDL_SET_RESIZE_MODE ? GPUDL_KNOWN_GEOMETRY : says;
}

void gpudl_known_add(GpudlKnown *known, GpudlHint *hint, const gchar *source)
{
    GpudlHint *all = &known->hint;
    const guint before = all->set;
    gchar *name = g_strdup(source);
    gboolean used = FALSE;

    if (is_news(all, hint, GPUDL_KNOWN_VALUES)) {
        copy_values(&all->preproc, hint);
        all->set |= GPUDL_KNOWN_VALUES;
    }
    add_geometry(all, hint);
    if (is_news(all, hint, GPUDL_SET_CHANNEL_ORDER))
        all->preproc.channel_order = hint->preproc.channel_order;
    if (is_news(all, hint, GPUDL_SET_SCALE_METHOD))
        all->preproc.scale_method = hint->preproc.scale_method;
    all->set |= hint->set & (GPUDL_SET_CHANNEL_ORDER | GPUDL_SET_SCALE_METHOD);
    used = all->set != before || (known->size_from != NULL && g_strcmp0(source, known->size_from) == 0);
    if (all->height == 0 && all->width == 0 && hint->height > 0 && hint->width > 0) {
        all->height = hint->height;
        all->width = hint->width;
    }
    if (all->labels == NULL && hint->labels != NULL) {
        all->labels = g_steal_pointer(&hint->labels);
        known->labels_from = name;
        used = TRUE;
    }
    for (guint i = 0; hint->notes != NULL && i < hint->notes->len; i++)
        take_note(all, g_strdup(hint->notes->pdata[i]));
    g_clear_pointer(&hint->notes, g_ptr_array_unref);
    if (known->sources == NULL)
        known->sources = g_ptr_array_new_with_free_func(g_free);
    if (used)
        g_ptr_array_add(known->sources, name);
    else
        g_free(name);
}

void gpudl_known_assume(GpudlModel *model, const GpudlPreproc *custom, guint set)
{
    if (set & GPUDL_KNOWN_VALUES) {
        const GpudlHint values = {.preproc = *custom, .set = set & GPUDL_KNOWN_VALUES};

        copy_values(&model->preproc, &values);
    }
    if (set & GPUDL_SET_CHANNEL_ORDER)
        model->preproc.channel_order = custom->channel_order;
}

/* A network of one channel takes luma, whatever is said of colours; its first value counts. Of three that are called
 * grey the order is not said. */
static void settle_order(GpudlModel *model, const GpudlHint *all)
{
    GpudlPreproc *preproc = &model->preproc;
    const gboolean gray = preproc->channels == 1;

    if (gray) {
        preproc->channel_order = GPUDL_CHANNELS_GRAY;
    } else if ((all->set & GPUDL_SET_CHANNEL_ORDER) && all->preproc.channel_order != GPUDL_CHANNELS_GRAY) {
        preproc->channel_order = all->preproc.channel_order;
        model->assumed &= ~(guint)GPUDL_SET_CHANNEL_ORDER;
    }
}

static void apply_labels(GpudlKnown *known, GpudlModel *model)
{
    const guint n = g_strv_length(known->hint.labels);

    if (n == gpudl_model_get_n_classes(model, 0))
        gpudl_model_set_labels(model, (const gchar *const *)known->hint.labels, NULL);
    else
        gpudl_model_add_note(model, "%s has %u labels, the network %u classes: they are not used", known->labels_from,
                             n, gpudl_model_get_n_classes(model, 0));
}

gboolean gpudl_known_apply(GpudlKnown *known, GpudlModel *model, GError **error)
{
    const GpudlHint *all = &known->hint;
    GpudlPreproc *preproc = &model->preproc;
    const gchar *wrong;

    if (all->set & GPUDL_KNOWN_VALUES) {
        const GpudlHint values = {.preproc = all->preproc, .set = GPUDL_KNOWN_VALUES};

        copy_values(preproc, &values);
        model->preproc_known = TRUE;
    }
    if (all->set & GPUDL_KNOWN_GEOMETRY) {
        copy_geometry(preproc, all);
        if (all->other_fraction > 0 && all->other_height == preproc->height)
            preproc->crop_fraction = all->other_fraction;
    }
    if (all->set & GPUDL_SET_SCALE_METHOD)
        preproc->scale_method = all->preproc.scale_method;
    settle_order(model, all);
    model->assumed &= ~(all->set & ~(guint)GPUDL_SET_CHANNEL_ORDER);
    for (guint i = 0; all->notes != NULL && i < all->notes->len; i++)
        gpudl_model_add_note(model, "%s", (const gchar *)all->notes->pdata[i]);
    if (all->labels != NULL)
        apply_labels(known, model);
    if (known->sources != NULL && known->sources->len > 0) {
        g_ptr_array_add(known->sources, NULL);
        model->known_from = g_strjoinv(", ", (gchar **)known->sources->pdata);
        g_ptr_array_set_size(known->sources, (gint)known->sources->len - 1);
    }
    wrong = gpudl_preproc_check(preproc);
    if (wrong != NULL)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "pre-processing of %s: %s", model->known_from, wrong);
    return wrong == NULL;
}

/* ---- what is assumed --------------------------------------------------------------------------------------------- */

static void append(GString *text, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

static void append(GString *text, const gchar *format, ...)
{
    va_list args;

    if (text->len > 0)
        g_string_append(text, ", ");
    va_start(args, format);
    g_string_append_vprintf(text, format, args);
    va_end(args);
}

/* What there is to assume of a model, and is told. */
static guint open_of(GpudlModel *model)
{
    return GPUDL_KNOWN_VALUES | GPUDL_SET_RESIZE_MODE | (model->preproc.channels == 1 ? 0 : GPUDL_SET_CHANNEL_ORDER);
}

/* Of these what is assumed. Mean, std and scale are looked up together: who says one of them has said what values the
 * network wants. */
static guint assumed_of(GpudlModel *model, guint said)
{
    const guint settled = said | ~model->assumed;

    return open_of(model) & ~(settled & GPUDL_KNOWN_VALUES ? settled | GPUDL_KNOWN_VALUES : settled);
}

gboolean gpudl_model_is_all_assumed(GpudlModel *model, guint said)
{
    return assumed_of(model, said) == open_of(model);
}

gchar *gpudl_model_describe_assumed(GpudlModel *model, guint said, gboolean properties)
{
    const GpudlPreproc *preproc = &model->preproc;
    const guint assumed = assumed_of(model, said);
    GString *text;

    if (assumed == 0)
        return NULL;
    text = g_string_new(NULL);
    if (assumed & GPUDL_SET_CHANNEL_ORDER)
        append(text, "%s (channel-order)", preproc->channel_order == GPUDL_CHANNELS_BGR ? "BGR" : "RGB");
    if (assumed & GPUDL_KNOWN_VALUES)
        append(text, "values within 0 and %g (mean, std, %s)", 255.0 / (double)preproc->pixel_scale,
               properties ? "pixel-scale" : "scale");
    if (assumed & GPUDL_SET_RESIZE_MODE)
        append(text, "the whole picture stretched (resize-mode)");
    return g_string_free(text, FALSE);
}
