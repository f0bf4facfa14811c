/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "modelfile.h"

#include <string.h>
#include <xxhash.h>

#include "engine/graph/ops.h"
#include "engine/limits.h"
#include "model.pb-c.h"

/* Everything the message points to lives in the writer's pools until the section is packed. */
typedef struct {
    GpudlModel *model;
    GPtrArray *pool;    /* of g_malloc'ed blocks */
    GPtrArray *weights; /* GBytes, not owned: the weights section, each filled up to the alignment */
    guint64 weights_size;
    GHashTable *index; /* GpudlTensor* -> index in the message + 1 */
} Writer;

static void *take(Writer *w, gsize size)
{
    void *block = g_malloc0(MAX(size, 1));

    g_ptr_array_add(w->pool, block);
    return block;
}

static char *text(const gchar *s)
{
    return (char *)(s ? s : "");
}

static guint64 aligned(guint64 size)
{
    return size + (-size % GPUDL_FILE_ALIGNMENT);
}

static guint64 add_weights(Writer *w, GBytes *bytes)
{
    const guint64 offset = w->weights_size;

    g_ptr_array_add(w->weights, bytes);
    w->weights_size += aligned(g_bytes_get_size(bytes));
    return offset;
}

static Gpudl__V1__Tensor *make_tensor(Writer *w, const GpudlTensor *tensor, gboolean is_input)
{
    Gpudl__V1__Tensor *t = take(w, sizeof *t);

    gpudl__v1__tensor__init(t);
    t->name = text(tensor->name);
    t->dtype = tensor->dtype;
    t->kind = GPUDL__V1__TENSOR__KIND__VALUE;
    if (tensor->data || is_input) {
        t->kind = tensor->data ? GPUDL__V1__TENSOR__KIND__CONSTANT : GPUDL__V1__TENSOR__KIND__INPUT;
        t->n_dims = (size_t)tensor->shape.rank;
        t->dims = take(w, t->n_dims * sizeof *t->dims);
        for (size_t i = 0; i < t->n_dims; i++)
            t->dims[i] = tensor->shape.dims[i];
    }
    if (tensor->data) {
        t->size = g_bytes_get_size(tensor->data);
        t->offset = add_weights(w, tensor->data);
    }
    return t;
}

static guint index_of(Writer *w, const GpudlTensor *tensor)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(w->index, tensor)) - 1;
}

static Gpudl__V1__Attribute *make_attribute(Writer *w, const GpudlAttrSpec *spec, const GpudlAttrs *attrs)
{
    const guint8 *at = (const guint8 *)attrs + spec->offset;
    Gpudl__V1__Attribute *a = take(w, sizeof *a);
    guint n = spec->count ? spec->count : 1;

    gpudl__v1__attribute__init(a);
    a->name = text(spec->name);
    if (spec->count_offset >= 0) {
        gint32 used;

        memcpy(&used, (const guint8 *)attrs + spec->count_offset, sizeof used);
        n = (guint)CLAMP(used, 0, (gint)n);
    }
    a->ints = take(w, n * sizeof *a->ints);
    a->floats = take(w, MAX(n, 2) * sizeof *a->floats);
    switch (spec->type) {
    case GPUDL_ATTR_INT:
        a->n_ints = 1;
        a->ints[0] = *(const gint32 *)at;
        break;
    case GPUDL_ATTR_INTS:
        a->n_ints = n;
        for (guint i = 0; i < n; i++)
            a->ints[i] = ((const gint32 *)at)[i];
        break;
    case GPUDL_ATTR_LONGS:
        a->n_ints = n;
        for (guint i = 0; i < n; i++)
            a->ints[i] = ((const gint64 *)at)[i];
        break;
    case GPUDL_ATTR_FLOAT:
        a->n_floats = 1;
        a->floats[0] = (double)*(const float *)at;
        break;
    case GPUDL_ATTR_DOUBLE:
        a->n_floats = 1;
        a->floats[0] = *(const double *)at;
        break;
    case GPUDL_ATTR_ACT: {
        const GpudlAct *act = (const GpudlAct *)at;

        a->n_ints = 1;
        a->ints[0] = act->kind;
        a->n_floats = 2;
        a->floats[0] = (double)act->alpha;
        a->floats[1] = (double)act->beta;
        break;
    }
    }
    return a;
}

static Gpudl__V1__Node *make_node(Writer *w, const GpudlNode *node)
{
    const GpudlOpInfo *info = gpudl_op_info(node->op);
    Gpudl__V1__Node *n = take(w, sizeof *n);
    guint n_attrs = 0;

    gpudl__v1__node__init(n);
    n->op = text(info->name);
    n->name = text(node->name);
    n->n_inputs = node->n_inputs;
    n->inputs = take(w, node->n_inputs * sizeof *n->inputs);
    for (guint i = 0; i < node->n_inputs; i++)
        n->inputs[i] = node->inputs[i] ? (gint32)index_of(w, node->inputs[i]) : -1;
    n->n_outputs = node->n_outputs;
    n->outputs = take(w, node->n_outputs * sizeof *n->outputs);
    for (guint i = 0; i < node->n_outputs; i++)
        n->outputs[i] = index_of(w, node->outputs[i]);
    while (info->attrs && info->attrs[n_attrs].name)
        n_attrs++;
    n->attributes = take(w, n_attrs * sizeof *n->attributes);
    n->n_attributes = n_attrs;
    for (guint i = 0; i < n_attrs; i++)
        n->attributes[i] = make_attribute(w, &info->attrs[i], &node->attrs);
    return n;
}

/* Inputs first, then what nodes read and write, in node order: unused tensors stay behind. */
static void add_tensor(Writer *w, GPtrArray *order, GpudlTensor *tensor)
{
    if (!tensor || g_hash_table_contains(w->index, tensor))
        return;
    g_ptr_array_add(order, tensor);
    g_hash_table_insert(w->index, tensor, GUINT_TO_POINTER(order->len));
}

static void collect_tensors(Writer *w, GPtrArray *order)
{
    GpudlGraph *graph = w->model->graph;

    for (guint i = 0; i < graph->inputs->len; i++)
        add_tensor(w, order, graph->inputs->pdata[i]);
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        for (guint j = 0; j < node->n_inputs; j++)
            add_tensor(w, order, node->inputs[j]);
        for (guint j = 0; j < node->n_outputs; j++)
            add_tensor(w, order, node->outputs[j]);
    }
    for (guint i = 0; i < graph->outputs->len; i++)
        add_tensor(w, order, graph->outputs->pdata[i]);
}

static void fill_preprocessing(Writer *w, Gpudl__V1__Preprocessing *p)
{
    const GpudlPreproc *pp = &w->model->preproc;

    p->known = w->model->preproc_known;
    p->assumed = w->model->assumed;
    p->width = (guint32)pp->width;
    p->height = (guint32)pp->height;
    p->channels = (guint32)pp->channels;
    p->channel_order = pp->channel_order;
    p->resize_mode = pp->resize_mode;
    p->scale_method = pp->scale_method;
    p->crop_fraction = pp->crop_fraction;
    p->pad_color = pp->pad_color;
    p->pixel_scale = pp->pixel_scale;
    p->n_mean = p->n_std = (size_t)pp->channels;
    p->mean = take(w, sizeof pp->mean);
    p->std = take(w, sizeof pp->std);
    memcpy(p->mean, pp->mean, p->n_mean * sizeof(float));
    memcpy(p->std, pp->std, p->n_std * sizeof(float));
}

static void fill_graph(Writer *w, Gpudl__V1__Model *m)
{
    GpudlGraph *graph = w->model->graph;
    g_autoptr(GPtrArray) order = g_ptr_array_new();

    collect_tensors(w, order);
    m->n_tensors = order->len;
    m->tensors = take(w, order->len * sizeof *m->tensors);
    for (guint i = 0; i < order->len; i++)
        m->tensors[i] = make_tensor(w, order->pdata[i], g_ptr_array_find(graph->inputs, order->pdata[i], NULL));
    m->n_nodes = graph->nodes->len;
    m->nodes = take(w, m->n_nodes * sizeof *m->nodes);
    for (guint i = 0; i < graph->nodes->len; i++)
        m->nodes[i] = make_node(w, graph->nodes->pdata[i]);
    m->n_inputs = graph->inputs->len;
    m->inputs = take(w, m->n_inputs * sizeof *m->inputs);
    for (guint i = 0; i < graph->inputs->len; i++)
        m->inputs[i] = index_of(w, graph->inputs->pdata[i]);
    m->n_outputs = graph->outputs->len;
    m->outputs = take(w, m->n_outputs * sizeof *m->outputs);
    for (guint i = 0; i < graph->outputs->len; i++)
        m->outputs[i] = index_of(w, graph->outputs->pdata[i]);
    m->symbolic_batch = graph->symbolic_batch;
    m->batch_reason = text(graph->batch_reason);
}

static void fill_golden(Writer *w, Gpudl__V1__Golden *g)
{
    const GpudlGolden *golden = w->model->golden;

    g->description = text(golden->description);
    g->input_size = g_bytes_get_size(golden->input);
    g->input_offset = add_weights(w, golden->input);
    g->output_size = g_bytes_get_size(golden->output);
    g->output_offset = add_weights(w, golden->output);
}

static guint8 *pack_model(Writer *w, gsize *size)
{
    GpudlModel *model = w->model;
    Gpudl__V1__Model m = GPUDL__V1__MODEL__INIT;
    Gpudl__V1__Preprocessing p = GPUDL__V1__PREPROCESSING__INIT;
    Gpudl__V1__Golden g = GPUDL__V1__GOLDEN__INIT;
    Gpudl__V1__Provenance v = GPUDL__V1__PROVENANCE__INIT;
    guint8 *packed;

    m.name = text(model->name);
    fill_graph(w, &m);
    fill_preprocessing(w, &p);
    m.preprocessing = &p;
    m.n_labels = model->n_labels;
    m.labels = model->labels;
    m.n_notes = model->notes != NULL ? model->notes->len - 1 : 0;
    m.notes = model->notes != NULL ? (char **)model->notes->pdata : NULL;
    m.activation = model->activation;
    if (model->golden) {
        fill_golden(w, &g);
        m.golden = &g;
    }
    v.source_file = text(model->source_file);
    v.source_format = text(model->source_format);
    v.producer = text(model->producer);
    v.licence = text(model->licence);
    v.converted_by = text(model->converted_by);
    m.provenance = &v;

    *size = gpudl__v1__model__get_packed_size(&m);
    packed = take(w, *size);
    gpudl__v1__model__pack(&m, packed);
    return packed;
}

static void put_u32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static void put_u64(guint8 *at, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

/* A section, wherever its bytes are. */
typedef struct {
    guint64 offset, size;
    GPtrArray *pieces; /* GBytes, each filled up with zeros to the alignment */
} Section;

static const guint8 zeros[GPUDL_FILE_ALIGNMENT];

static void put_section(guint8 *header, guint number, const Section *section, GChecksum *id)
{
    guint8 *entry = header + GPUDL_FILE_AT_SECTIONS + number * GPUDL_FILE_SECTION_BYTES;
    XXH3_state_t *state = XXH3_createState();
    XXH128_canonical_t canonical;
    guint64 left = section->size;

    XXH3_128bits_reset(state);
    for (guint i = 0; i < section->pieces->len; i++) {
        gsize size, fill;
        const guint8 *data = g_bytes_get_data(section->pieces->pdata[i], &size);

        fill = MIN(left - size, aligned(size) - size); /* MODEL ends where its message does */
        if (size > 0) {
            XXH3_128bits_update(state, data, size);
            g_checksum_update(id, data, (gssize)size);
        }
        if (fill > 0) {
            XXH3_128bits_update(state, zeros, fill);
            g_checksum_update(id, zeros, (gssize)fill);
        }
        left -= size + fill;
    }
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    put_u64(entry, section->offset);
    put_u64(entry + 8, section->size);
    memcpy(entry + 16, canonical.digest, sizeof canonical.digest);
}

static guint64 weights_needed(const GpudlModel *model)
{
    guint64 total = 0;

    for (guint i = 0; i < model->graph->tensors->len; i++) {
        const GpudlTensor *tensor = model->graph->tensors->pdata[i];

        if (tensor->data)
            total += g_bytes_get_size(tensor->data) + GPUDL_FILE_ALIGNMENT;
    }
    if (model->golden)
        total +=
            g_bytes_get_size(model->golden->input) + g_bytes_get_size(model->golden->output) + 2 * GPUDL_FILE_ALIGNMENT;
    return total;
}

static void make_header(guint8 header[GPUDL_FILE_HEADER_BYTES], const Section sections[2])
{
    g_autoptr(GChecksum) id = g_checksum_new(G_CHECKSUM_SHA256);
    gsize id_size = 32;

    memset(header, 0, GPUDL_FILE_HEADER_BYTES);
    memcpy(header + GPUDL_FILE_AT_MAGIC, GPUDL_FILE_MAGIC, 8);
    put_u32(header + GPUDL_FILE_AT_VERSION, GPUDL_FILE_VERSION);
    put_u32(header + GPUDL_FILE_AT_HEADER, GPUDL_FILE_HEADER_BYTES);
    put_u64(header + GPUDL_FILE_AT_SIZE, sections[1].offset + sections[1].size);
    put_section(header, 0, &sections[0], id);
    put_section(header, 1, &sections[1], id);
    g_checksum_get_digest(id, header + GPUDL_FILE_AT_ID, &id_size);
    put_u64(header + GPUDL_FILE_AT_CHECK, XXH3_64bits(header, GPUDL_FILE_AT_CHECK));
}

static gboolean put_pieces(const Section *section, GpudlModelfilePut put, gpointer user_data, GError **error)
{
    for (guint i = 0; i < section->pieces->len; i++) {
        gsize size;
        const guint8 *data = g_bytes_get_data(section->pieces->pdata[i], &size);

        if ((size > 0 && !put(data, size, user_data, error)) ||
            (aligned(size) > size && !put(zeros, aligned(size) - size, user_data, error)))
            return FALSE;
    }
    return TRUE;
}

/* The weights are given out from where they are: there is no copy of them. */
static gboolean put_file(Writer *w, GpudlModelfilePut put, gpointer user_data, GError **error)
{
    gsize model_size;
    guint8 *packed = pack_model(w, &model_size), header[GPUDL_FILE_HEADER_BYTES];
    g_autoptr(GBytes) model = g_bytes_new_static(packed, model_size);
    g_autoptr(GPtrArray) models = g_ptr_array_new();
    const Section sections[2] = {
        {GPUDL_FILE_HEADER_BYTES, model_size, models},
        {GPUDL_FILE_HEADER_BYTES + aligned(model_size), w->weights_size, w->weights},
    };
    const guint64 total = sections[1].offset + sections[1].size;

    if (model_size > GPUDL_FILE_MODEL_LIMIT || total > GPUDL_LIMIT_FILE_BYTES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "model '%s' needs a description of %" G_GSIZE_FORMAT " bytes in a file of %" G_GUINT64_FORMAT
                    ", at most %u and %" G_GUINT64_FORMAT " can be read",
                    w->model->name, model_size, total, GPUDL_FILE_MODEL_LIMIT, GPUDL_LIMIT_FILE_BYTES);
        return FALSE;
    }
    g_ptr_array_add(models, model);
    make_header(header, sections);
    return put(header, sizeof header, user_data, error) && put_pieces(&sections[0], put, user_data, error) &&
           put_pieces(&sections[1], put, user_data, error);
}

static gboolean put_model(GpudlModel *model, GpudlModelfilePut put, gpointer user_data, GError **error)
{
    const guint64 weights = weights_needed(model);
    Writer w = {.model = model};
    gboolean result;

    if (weights > GPUDL_LIMIT_FILE_BYTES) { /* before the rest is looked at: they alone decide */
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "model '%s' needs %" G_GUINT64_FORMAT " bytes of weights, a file holds at most %" G_GUINT64_FORMAT,
                    model->name, weights, GPUDL_LIMIT_FILE_BYTES);
        return FALSE;
    }
    w.pool = g_ptr_array_new_with_free_func(g_free);
    w.weights = g_ptr_array_new();
    w.index = g_hash_table_new(NULL, NULL);
    result = put_file(&w, put, user_data, error);
    g_ptr_array_unref(w.weights);
    g_hash_table_unref(w.index);
    g_ptr_array_unref(w.pool);
    return result;
}

gboolean gpudl_modelfile_put(GpudlModel *model, GpudlModelfilePut put, gpointer user_data, GError **error)
{
    gboolean good;

    if (!gpudl_model_hold(model, error))
        return FALSE;
    good = put_model(model, put, user_data, error);
    gpudl_model_release(model);
    return good;
}

static gboolean append(gconstpointer data, gsize size, gpointer user_data, GError **error)
{
    g_byte_array_append(user_data, data, (guint)size);
    return TRUE;
}

GBytes *gpudl_modelfile_write(GpudlModel *model, GError **error)
{
    GByteArray *file = g_byte_array_new();

    if (gpudl_modelfile_put(model, append, file, error))
        return g_byte_array_free_to_bytes(file);
    g_byte_array_unref(file);
    return NULL;
}
