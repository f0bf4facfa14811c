/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modelfile.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "engine/graph/ops.h"
#include "engine/limits.h"
#include "engine/modelfile/wire.h"
#include "model.pb-c.h"

typedef struct {
    const gchar *path;
    GBytes *file;
    const guint8 *data;
    gsize size;
    gsize section_at[2], section_size[2];
    GCancellable *cancellable;
    GpudlGraph *graph;
    GPtrArray *tensors; /* index in the message -> GpudlTensor* */
} Reader;

G_GNUC_PRINTF(4, 5)
static gboolean fail(Reader *r, GError **error, GpudlError code, const gchar *format, ...)
{
    g_autofree gchar *message = NULL;
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, code, "%s: %s", r->path, message);
    return FALSE;
}

/* ---- header ------------------------------------------------------------------------------------------------------ */

static guint32 get_u32(const guint8 *at)
{
    guint32 value;

    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_LE(value);
}

static guint64 get_u64(const guint8 *at)
{
    guint64 value;

    memcpy(&value, at, sizeof value);
    return GUINT64_FROM_LE(value);
}

static void to_hex(const guint8 *bytes, guint n, gchar *text)
{
    for (guint i = 0; i < n; i++)
        g_snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

gboolean gpudl_modelfile_sniff(const guint8 *data, gsize size)
{
    return size >= 6 && memcmp(data, GPUDL_FILE_MAGIC, 6) == 0;
}

static gboolean check_zeros(Reader *r, gsize from, gsize to, GError **error)
{
    for (gsize i = from; i < to; i++)
        if (r->data[i] != 0)
            return fail(r, error, GPUDL_ERROR_FORMAT,
                        "damaged: padding at byte %" G_GSIZE_FORMAT " is 0x%02x, expected 0", i, r->data[i]);
    return TRUE;
}

/* Also verifies the checksum. */
static gboolean read_section(Reader *r, guint number, gsize expected_at, GError **error)
{
    static const gchar *const names[] = {"MODEL", "WEIGHTS"};
    const guint8 *entry = r->data + GPUDL_FILE_AT_SECTIONS + number * GPUDL_FILE_SECTION_BYTES;
    guint64 at = get_u64(entry), size = get_u64(entry + 8);
    XXH128_canonical_t canonical;

    if (at != expected_at || at > r->size || size > r->size - at)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "section %s is said to be %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                    ", expected it at %" G_GSIZE_FORMAT " within %" G_GSIZE_FORMAT " bytes",
                    names[number], size, at, expected_at, r->size);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(r->data + at, size));
    if (memcmp(canonical.digest, entry + 16, sizeof canonical.digest) != 0)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "damaged: section %s (%" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                    ") does not have the checksum in the header",
                    names[number], size, at);
    r->section_at[number] = at;
    r->section_size[number] = size;
    return TRUE;
}

static gboolean read_header(Reader *r, GError **error)
{
    gsize model_end;

    if (r->size < GPUDL_FILE_HEADER_BYTES)
        return fail(r, error, GPUDL_ERROR_FORMAT, "truncated: %" G_GSIZE_FORMAT " bytes, the header alone has %u",
                    r->size, GPUDL_FILE_HEADER_BYTES);
    if (memcmp(r->data, GPUDL_FILE_MAGIC, 8) != 0)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "is not a net.bin: bad magic number (a text-mode transfer destroys it)");
    if (get_u32(r->data + GPUDL_FILE_AT_VERSION) != GPUDL_FILE_VERSION)
        return fail(r, error, GPUDL_ERROR_UNSUPPORTED, "net.bin of version %u, this library reads version %u",
                    get_u32(r->data + GPUDL_FILE_AT_VERSION), GPUDL_FILE_VERSION);
    if (get_u64(r->data + GPUDL_FILE_AT_CHECK) != XXH3_64bits(r->data, GPUDL_FILE_AT_CHECK))
        return fail(r, error, GPUDL_ERROR_FORMAT, "damaged: the header does not have its own checksum");
    if (get_u32(r->data + GPUDL_FILE_AT_HEADER) != GPUDL_FILE_HEADER_BYTES)
        return fail(r, error, GPUDL_ERROR_FORMAT, "header of %u bytes, expected %u",
                    get_u32(r->data + GPUDL_FILE_AT_HEADER), GPUDL_FILE_HEADER_BYTES);
    if (get_u64(r->data + GPUDL_FILE_AT_SIZE) != r->size)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "truncated or grown: %" G_GSIZE_FORMAT " bytes, the header says %" G_GUINT64_FORMAT, r->size,
                    get_u64(r->data + GPUDL_FILE_AT_SIZE));
    if (!read_section(r, 0, GPUDL_FILE_HEADER_BYTES, error))
        return FALSE;
    if (r->section_size[0] > GPUDL_FILE_MODEL_LIMIT)
        return fail(r, error, GPUDL_ERROR_LIMIT, "section MODEL has %" G_GSIZE_FORMAT " bytes, at most %u are taken",
                    r->section_size[0], GPUDL_FILE_MODEL_LIMIT);
    model_end = r->section_at[0] + r->section_size[0];
    if (!read_section(r, 1, model_end + (-model_end % GPUDL_FILE_ALIGNMENT), error))
        return FALSE;
    if (r->section_at[1] + r->section_size[1] != r->size)
        return fail(r, error, GPUDL_ERROR_FORMAT, "%" G_GSIZE_FORMAT " bytes follow the last section",
                    r->size - r->section_at[1] - r->section_size[1]);
    return check_zeros(r, model_end, r->section_at[1], error);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static gboolean check_text(Reader *r, const gchar *what, guint index, const char *s, GError **error)
{
    gsize length = strlen(s);

    if (length > GPUDL_LIMIT_NAME_BYTES)
        return fail(r, error, GPUDL_ERROR_LIMIT, "%s %u has %" G_GSIZE_FORMAT " bytes, at most %u are taken", what,
                    index, length, GPUDL_LIMIT_NAME_BYTES);
    if (!g_utf8_validate(s, (gssize)length, NULL))
        return fail(r, error, GPUDL_ERROR_FORMAT, "%s %u is not UTF-8", what, index);
    return TRUE;
}

/* A piece of the WEIGHTS section. */
static GBytes *take_weights(Reader *r, const gchar *what, const gchar *name, guint64 offset, guint64 size,
                            GError **error)
{
    if (offset % GPUDL_FILE_ALIGNMENT != 0 || offset > r->section_size[1] || size > r->section_size[1] - offset) {
        fail(r, error, GPUDL_ERROR_FORMAT,
             "%s '%s': %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
             ", expected a multiple of %u within the %" G_GSIZE_FORMAT " bytes of section WEIGHTS",
             what, name, size, offset, GPUDL_FILE_ALIGNMENT, r->section_size[1]);
        return NULL;
    }
    return g_bytes_new_from_bytes(r->file, r->section_at[1] + offset, size);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static gboolean read_shape(Reader *r, const Gpudl__V1__Tensor *t, GpudlShape *shape, GError **error)
{
    if (t->n_dims > GPUDL_MAX_RANK)
        return fail(r, error, GPUDL_ERROR_LIMIT, "tensor '%s' has %" G_GSIZE_FORMAT " dimensions, at most %d are taken",
                    t->name, t->n_dims, GPUDL_MAX_RANK);
    shape->rank = (gint32)t->n_dims;
    for (size_t i = 0; i < t->n_dims; i++)
        shape->dims[i] = t->dims[i];
    if (gpudl_shape_elements(shape) < 0 || gpudl_shape_elements(shape) > GPUDL_LIMIT_TENSOR_BYTES)
        return fail(r, error, GPUDL_ERROR_LIMIT, "tensor '%s' has a negative or too large dimension", t->name);
    return TRUE;
}

static gboolean read_tensor(Reader *r, const Gpudl__V1__Tensor *t, guint index, GError **error)
{
    g_autoptr(GBytes) data = NULL;
    GpudlShape shape = {0};
    GpudlTensor *tensor = NULL;

    if (!check_text(r, "name of tensor", index, t->name, error))
        return FALSE;
    if (t->dtype == GPUDL_DTYPE_NONE || t->dtype > GPUDL_DTYPE_LAST)
        return fail(r, error, GPUDL_ERROR_FORMAT, "tensor '%s' has element type %u, expected 1..%d", t->name, t->dtype,
                    GPUDL_DTYPE_LAST);
    if (!read_shape(r, t, &shape, error))
        return FALSE;
    switch (t->kind) {
    case GPUDL__V1__TENSOR__KIND__VALUE:
        break; /* made by its node */
    case GPUDL__V1__TENSOR__KIND__INPUT:
        tensor = gpudl_graph_add_input(r->graph, t->name, (GpudlDType)t->dtype, &shape);
        break;
    case GPUDL__V1__TENSOR__KIND__CONSTANT:
        data = take_weights(r, "tensor", t->name, t->offset, t->size, error);
        if (!data)
            return FALSE;
        tensor = gpudl_graph_add_constant(r->graph, t->name, (GpudlDType)t->dtype, &shape, data, error);
        if (!tensor) {
            g_prefix_error(error, "%s: ", r->path);
            return FALSE;
        }
        break;
    default:
        return fail(r, error, GPUDL_ERROR_FORMAT, "tensor '%s' is of kind %d, expected 0..2", t->name, (int)t->kind);
    }
    g_ptr_array_add(r->tensors, tensor);
    return TRUE;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static gboolean check_numbers(Reader *r, const Gpudl__V1__Node *n, const GpudlAttrSpec *spec,
                              const Gpudl__V1__Attribute *a, GError **error)
{
    guint room = spec->count ? spec->count : 1;
    gsize ints = a->n_ints, floats = a->n_floats;
    gboolean good = FALSE;

    switch (spec->type) {
    case GPUDL_ATTR_INT:
        good = ints == 1 && floats == 0;
        break;
    case GPUDL_ATTR_INTS:
    case GPUDL_ATTR_LONGS:
        good = floats == 0 && (spec->count_offset >= 0 ? ints <= room : ints == room);
        break;
    case GPUDL_ATTR_FLOAT:
    case GPUDL_ATTR_DOUBLE:
        good = ints == 0 && floats == 1;
        break;
    case GPUDL_ATTR_ACT:
        good = ints == 1 && floats == 2;
        break;
    }
    if (!good)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "node '%s' (%s): attribute %s has %" G_GSIZE_FORMAT " integers and %" G_GSIZE_FORMAT
                    " numbers, which it can't have",
                    n->name, n->op, spec->name, ints, floats);
    for (gsize i = 0; i < ints; i++)
        if (a->ints[i] < spec->min || a->ints[i] > spec->max)
            return fail(r, error, GPUDL_ERROR_FORMAT,
                        "node '%s' (%s): attribute %s has %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT
                        "..%" G_GINT64_FORMAT,
                        n->name, n->op, spec->name, (gint64)a->ints[i], spec->min, spec->max);
    return TRUE;
}

static void store_attribute(const GpudlAttrSpec *spec, const Gpudl__V1__Attribute *a, GpudlAttrs *attrs)
{
    guint8 *at = (guint8 *)attrs + spec->offset;

    switch (spec->type) {
    case GPUDL_ATTR_INT:
    case GPUDL_ATTR_INTS:
        for (gsize i = 0; i < a->n_ints; i++)
            ((gint32 *)at)[i] = (gint32)a->ints[i];
        break;
    case GPUDL_ATTR_LONGS:
        for (gsize i = 0; i < a->n_ints; i++)
            ((gint64 *)at)[i] = a->ints[i];
        break;
    case GPUDL_ATTR_FLOAT:
        *(float *)at = (float)a->floats[0];
        break;
    case GPUDL_ATTR_DOUBLE:
        *(double *)at = a->floats[0];
        break;
    case GPUDL_ATTR_ACT:
        ((GpudlAct *)at)->kind = (GpudlActKind)a->ints[0];
        ((GpudlAct *)at)->alpha = (float)a->floats[0];
        ((GpudlAct *)at)->beta = (float)a->floats[1];
        break;
    }
}

static const Gpudl__V1__Attribute *find_attribute(const Gpudl__V1__Node *n, const gchar *name)
{
    for (size_t i = 0; i < n->n_attributes; i++)
        if (strcmp(n->attributes[i]->name, name) == 0)
            return n->attributes[i];
    return NULL;
}

static gboolean read_attributes(Reader *r, const Gpudl__V1__Node *n, const GpudlOpInfo *info, GpudlAttrs *attrs,
                                GError **error)
{
    size_t n_specs = 0;

    for (const GpudlAttrSpec *spec = info->attrs; spec && spec->name; spec++, n_specs++) {
        const Gpudl__V1__Attribute *a = find_attribute(n, spec->name);

        if (!a)
            return fail(r, error, GPUDL_ERROR_FORMAT, "node '%s' (%s): attribute %s is missing", n->name, n->op,
                        spec->name);
        if (!check_numbers(r, n, spec, a, error))
            return FALSE;
        store_attribute(spec, a, attrs);
    }
    if (n->n_attributes != n_specs)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "node '%s' (%s) has %" G_GSIZE_FORMAT " attributes, expected %" G_GSIZE_FORMAT, n->name, n->op,
                    n->n_attributes, n_specs);
    /* counts last: an array says how many entries it has by its own length */
    for (const GpudlAttrSpec *spec = info->attrs; spec && spec->name; spec++) {
        if (spec->count_offset >= 0) {
            gint32 used = *(const gint32 *)((const guint8 *)attrs + spec->count_offset);
            size_t found = find_attribute(n, spec->name)->n_ints;

            if (used < 0 || (size_t)used != found)
                return fail(r, error, GPUDL_ERROR_FORMAT,
                            "node '%s' (%s): attribute %s has %" G_GSIZE_FORMAT " entries, its count says %d", n->name,
                            n->op, spec->name, found, used);
        }
    }
    return TRUE;
}

static gboolean read_inputs(Reader *r, const Gpudl__V1__Node *n, GpudlTensor **inputs, GError **error)
{
    for (size_t i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == -1)
            continue;
        if (n->inputs[i] < 0 || (guint)n->inputs[i] >= r->tensors->len)
            return fail(r, error, GPUDL_ERROR_FORMAT, "node '%s' (%s): input %" G_GSIZE_FORMAT " is tensor %d of %u",
                        n->name, n->op, i, n->inputs[i], r->tensors->len);
        inputs[i] = r->tensors->pdata[n->inputs[i]];
        if (!inputs[i])
            return fail(r, error, GPUDL_ERROR_FORMAT, "node '%s' (%s) reads tensor %d before any node has written it",
                        n->name, n->op, n->inputs[i]);
    }
    return TRUE;
}

static gboolean read_node(Reader *r, const Gpudl__V1__Model *m, const Gpudl__V1__Node *n, guint index, GError **error)
{
    const GpudlOpInfo *info;
    GpudlTensor *inputs[64] = {0};
    g_autofree GpudlTensor **many = NULL;
    GpudlTensor **in = inputs;
    const gchar *names[GPUDL_MAX_OUTPUTS];
    GpudlNode *node;

    if (!check_text(r, "name of node", index, n->name, error) ||
        !check_text(r, "operator of node", index, n->op, error))
        return FALSE;
    info = gpudl_op_find(n->op);
    if (!info)
        return fail(r, error, GPUDL_ERROR_UNSUPPORTED, "node '%s': unknown operator '%s'", n->name, n->op);
    if (n->n_outputs < 1 || n->n_outputs > GPUDL_MAX_OUTPUTS)
        return fail(r, error, GPUDL_ERROR_FORMAT, "node '%s' (%s) has %" G_GSIZE_FORMAT " outputs, expected 1..%d",
                    n->name, n->op, n->n_outputs, GPUDL_MAX_OUTPUTS);
    if (n->n_inputs > G_N_ELEMENTS(inputs))
        in = many = g_new0(GpudlTensor *, n->n_inputs);
    if (!read_inputs(r, n, in, error))
        return FALSE;
    for (size_t i = 0; i < n->n_outputs; i++) {
        guint at = n->outputs[i];

        if (at >= r->tensors->len || m->tensors[at]->kind != GPUDL__V1__TENSOR__KIND__VALUE || r->tensors->pdata[at])
            return fail(r, error, GPUDL_ERROR_FORMAT,
                        "node '%s' (%s): output %" G_GSIZE_FORMAT
                        " is tensor %u, which is not a value still to be written",
                        n->name, n->op, i, at);
        names[i] = m->tensors[at]->name;
    }
    node = gpudl_graph_add_node(r->graph, info->op, n->name, in, (guint)n->n_inputs, names, (guint)n->n_outputs);
    for (size_t i = 0; i < n->n_outputs; i++) {
        if (r->tensors->pdata[n->outputs[i]])
            return fail(r, error, GPUDL_ERROR_FORMAT, "node '%s' (%s) writes tensor %u twice", n->name, n->op,
                        n->outputs[i]);
        r->tensors->pdata[n->outputs[i]] = node->outputs[i];
    }
    return read_attributes(r, n, info, &node->attrs, error);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static gboolean read_graph(Reader *r, const Gpudl__V1__Model *m, GError **error)
{
    if (m->n_tensors > GPUDL_LIMIT_TENSORS || m->n_nodes > GPUDL_LIMIT_NODES)
        return fail(r, error, GPUDL_ERROR_LIMIT,
                    "%" G_GSIZE_FORMAT " tensors and %" G_GSIZE_FORMAT " nodes, at most %u and %u are taken",
                    m->n_tensors, m->n_nodes, GPUDL_LIMIT_TENSORS, GPUDL_LIMIT_NODES);
    for (size_t i = 0; i < m->n_tensors; i++)
        if (!read_tensor(r, m->tensors[i], (guint)i, error))
            return FALSE;
    if (m->n_inputs != r->graph->inputs->len)
        return fail(r, error, GPUDL_ERROR_FORMAT, "%" G_GSIZE_FORMAT " inputs listed, %u tensors are inputs",
                    m->n_inputs, r->graph->inputs->len);
    for (size_t i = 0; i < m->n_inputs; i++)
        if (m->inputs[i] >= r->tensors->len || r->tensors->pdata[m->inputs[i]] != r->graph->inputs->pdata[i])
            return fail(r, error, GPUDL_ERROR_FORMAT, "input %" G_GSIZE_FORMAT " is tensor %u, which is not that input",
                        i, m->inputs[i]);
    for (size_t i = 0; i < m->n_nodes; i++) {
        if (g_cancellable_is_cancelled(r->cancellable))
            return fail(r, error, GPUDL_ERROR_CANCELLED, "loading was cancelled");
        if (!read_node(r, m, m->nodes[i], (guint)i, error))
            return FALSE;
    }
    for (size_t i = 0; i < m->n_outputs; i++) {
        if (m->outputs[i] >= r->tensors->len || !r->tensors->pdata[m->outputs[i]])
            return fail(r, error, GPUDL_ERROR_FORMAT, "output %" G_GSIZE_FORMAT " is tensor %u, which nobody writes", i,
                        m->outputs[i]);
        gpudl_graph_add_output(r->graph, r->tensors->pdata[m->outputs[i]]);
    }
    if (!check_text(r, "batch reason", 0, m->batch_reason, error))
        return FALSE;
    r->graph->symbolic_batch = m->symbolic_batch;
    if (!m->symbolic_batch)
        r->graph->batch_reason = g_strdup(m->batch_reason[0] ? m->batch_reason : "the file does not say why");
    if (!gpudl_graph_sort(r->graph, error) || !gpudl_graph_infer(r->graph, 1, error)) {
        g_prefix_error(error, "%s: ", r->path);
        return FALSE;
    }
    return TRUE;
}

static gboolean read_preprocessing(Reader *r, const Gpudl__V1__Preprocessing *p, GpudlPreproc *pp, GError **error)
{
    const gchar *wrong;

    if (!p)
        return fail(r, error, GPUDL_ERROR_FORMAT, "preprocessing is missing");
    if (p->width > GPUDL_LIMIT_INPUT_SIDE || p->height > GPUDL_LIMIT_INPUT_SIDE ||
        (p->channels != 1 && p->channels != 3) || p->n_mean != p->channels || p->n_std != p->channels)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "preprocessing: input %ux%u with %u channels, %" G_GSIZE_FORMAT " means and %" G_GSIZE_FORMAT
                    " deviations; expected sides up to %d, 1 or 3 channels and as many of each",
                    p->width, p->height, p->channels, p->n_mean, p->n_std, GPUDL_LIMIT_INPUT_SIDE);
    *pp = (GpudlPreproc){.struct_size = sizeof *pp,
                         .width = (gint32)p->width,
                         .height = (gint32)p->height,
                         .channels = (gint32)p->channels,
                         .channel_order = (GpudlChannelOrder)p->channel_order,
                         .resize_mode = (GpudlResizeMode)p->resize_mode,
                         .scale_method = (GpudlScaleMethod)p->scale_method,
                         .crop_fraction = p->crop_fraction,
                         .pad_color = p->pad_color,
                         .pixel_scale = p->pixel_scale,
                         .std = {1, 1, 1}};
    memcpy(pp->mean, p->mean, p->n_mean * sizeof(float));
    memcpy(pp->std, p->std, p->n_std * sizeof(float));
    wrong = gpudl_preproc_check(pp);
    if (wrong)
        return fail(r, error, GPUDL_ERROR_FORMAT, "preprocessing: %s", wrong);
    return TRUE;
}

static gboolean read_labels(Reader *r, const Gpudl__V1__Model *m, GpudlModel *model, GError **error)
{
    g_autoptr(GPtrArray) labels = g_ptr_array_new();

    if (m->n_labels == 0)
        return TRUE;
    if (m->n_labels > GPUDL_LIMIT_LABELS)
        return fail(r, error, GPUDL_ERROR_LIMIT, "%" G_GSIZE_FORMAT " labels, at most %u are taken", m->n_labels,
                    GPUDL_LIMIT_LABELS);
    for (size_t i = 0; i < m->n_labels; i++) {
        if (!check_text(r, "label", (guint)i, m->labels[i], error))
            return FALSE;
        g_ptr_array_add(labels, m->labels[i]);
    }
    g_ptr_array_add(labels, NULL);
    if (!gpudl_model_set_labels(model, (const gchar *const *)labels->pdata, error)) {
        g_prefix_error(error, "%s: ", r->path);
        return FALSE;
    }
    return TRUE;
}

static gboolean read_golden(Reader *r, const Gpudl__V1__Golden *g, GpudlModel *model, GError **error)
{
    g_autoptr(GpudlGolden) golden = NULL;
    const GpudlTensor *input = model->graph->inputs->pdata[0];
    gsize in_bytes = (gsize)gpudl_shape_elements(&input->shape) * sizeof(float);
    gsize out_bytes = gpudl_model_get_n_classes(model, 0) * sizeof(float);

    if (!g || g->input_size == 0)
        return TRUE;
    if (!check_text(r, "description of golden sample", 0, g->description, error))
        return FALSE;
    if (g->input_size != in_bytes || g->output_size != out_bytes)
        return fail(r, error, GPUDL_ERROR_FORMAT,
                    "golden sample of %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes, expected %" G_GSIZE_FORMAT
                    " and %" G_GSIZE_FORMAT,
                    g->input_size, g->output_size, in_bytes, out_bytes);
    golden = g_new0(GpudlGolden, 1);
    golden->description = g_strdup(g->description);
    golden->input = take_weights(r, "golden input of", model->name, g->input_offset, g->input_size, error);
    if (!golden->input)
        return FALSE;
    golden->output = take_weights(r, "golden output of", model->name, g->output_offset, g->output_size, error);
    if (!golden->output)
        return FALSE;
    model->golden = g_steal_pointer(&golden);
    return TRUE;
}

static gboolean read_provenance(Reader *r, const Gpudl__V1__Provenance *v, GpudlModel *model, GError **error)
{
    const struct {
        const char *from;
        gchar **to;
        const gchar *what;
    } fields[] = {
        {v ? v->source_file : "", &model->source_file, "source file"},
        {v ? v->source_format : "", &model->source_format, "source format"},
        {v ? v->producer : "", &model->producer, "producer"},
        {v ? v->licence : "", &model->licence, "licence"},
        {v ? v->converted_by : "", &model->converted_by, "converter"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!check_text(r, fields[i].what, 0, fields[i].from, error))
            return FALSE;
        if (fields[i].from[0])
            *fields[i].to = g_strdup(fields[i].from);
    }
    return TRUE;
}

static gboolean read_notes(Reader *r, const Gpudl__V1__Model *m, GpudlModel *model, GError **error)
{
    if (m->n_notes > GPUDL_LIMIT_LABELS)
        return fail(r, error, GPUDL_ERROR_LIMIT, "%" G_GSIZE_FORMAT " notes, at most %u are taken", m->n_notes,
                    GPUDL_LIMIT_LABELS);
    for (size_t i = 0; i < m->n_notes; i++) {
        if (!check_text(r, "note", (guint)i, m->notes[i], error))
            return FALSE;
        gpudl_model_add_note(model, "%s", m->notes[i]);
    }
    return TRUE;
}

static GpudlModel *build_model(Reader *r, const Gpudl__V1__Model *m, GError **error)
{
    g_autoptr(GpudlModel) model = NULL;
    g_autofree gchar *base = g_path_get_basename(r->path);
    GpudlPreproc pp;

    if (!check_text(r, "name of model", 0, m->name, error) || !read_graph(r, m, error) ||
        !read_preprocessing(r, m->preprocessing, &pp, error))
        return NULL;
    model = gpudl_model_new(g_steal_pointer(&r->graph), m->name[0] ? m->name : base, &pp, error);
    if (!model) {
        g_prefix_error(error, "%s: ", r->path);
        return NULL;
    }
    model->preproc_known = m->preprocessing->known;
    model->assumed = m->preprocessing->assumed & GPUDL_ASSUMED_ALL;
    if (!model->preproc_known && model->assumed == 0) /* of before there were such bits */
        model->assumed = GPUDL_ASSUMED_ALL;
    if (m->activation < GPUDL_ACTIVATION_NONE || m->activation > GPUDL_ACTIVATION_SIGMOID) {
        fail(r, error, GPUDL_ERROR_FORMAT, "activation is %u, expected %d..%d", m->activation, GPUDL_ACTIVATION_NONE,
             GPUDL_ACTIVATION_SIGMOID);
        return NULL;
    }
    model->activation = (GpudlActivation)m->activation;
    if (!read_labels(r, m, model, error) || !read_golden(r, m->golden, model, error) ||
        !read_provenance(r, m->provenance, model, error) || !read_notes(r, m, model, error))
        return NULL;
    to_hex(r->data + GPUDL_FILE_AT_ID, 32, model->claimed_id);
    model->file = g_bytes_ref(r->file);
    model->hash_file = gpudl_modelfile_hash;
    return g_steal_pointer(&model);
}

gboolean gpudl_modelfile_check(GBytes *file, const gchar *path, gchar content[GPUDL_CONTENT_BYTES], GError **error)
{
    Reader r = {.path = path, .file = file};

    r.data = g_bytes_get_data(file, &r.size);
    if (!read_header(&r, error))
        return FALSE;
    for (guint i = 0; i < 2; i++)
        to_hex(r.data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES + 16, 16, content + 32 * i);
    return TRUE;
}

void gpudl_modelfile_hash(GBytes *file, gchar id[65])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    const guint8 *data = g_bytes_get_data(file, NULL);

    for (guint i = 0; i < 2; i++) {
        const guint8 *entry = data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES;

        g_checksum_update(sum, data + get_u64(entry), (gssize)get_u64(entry + 8));
    }
    g_strlcpy(id, g_checksum_get_string(sum), 65);
}

GpudlModel *gpudl_modelfile_read_checked(GBytes *file, const gchar *path, const gchar *content,
                                         GCancellable *cancellable, GError **error)
{
    Reader r = {.path = path, .file = file, .cancellable = cancellable};
    g_autoptr(GpudlWireMessage) message = NULL;
    GpudlModel *model = NULL;

    r.data = g_bytes_get_data(file, &r.size);
    for (guint i = 0; i < 2; i++) {
        const guint8 *entry = r.data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES;

        r.section_at[i] = (gsize)get_u64(entry);
        r.section_size[i] = (gsize)get_u64(entry + 8);
    }
    message = gpudl_wire_unpack(&gpudl__v1__model__descriptor, r.data + r.section_at[0], r.section_size[0], cancellable,
                                error);
    if (!message) {
        g_prefix_error(error, "%s: section MODEL: ", path);
        return NULL;
    }
    r.graph = gpudl_graph_new();
    r.tensors = g_ptr_array_new();
    model = build_model(&r, (const Gpudl__V1__Model *)gpudl_wire_message_get(message), error);
    g_ptr_array_unref(r.tensors);
    g_clear_pointer(&r.graph, gpudl_graph_free);
    if (model)
        g_strlcpy(model->content, content, sizeof model->content);
    return model;
}

GpudlModel *gpudl_modelfile_read(GBytes *file, const gchar *path, GError **error)
{
    gchar content[GPUDL_CONTENT_BYTES];

    if (!gpudl_modelfile_check(file, path, content, error))
        return NULL;
    return gpudl_modelfile_read_checked(file, path, content, NULL, error);
}
