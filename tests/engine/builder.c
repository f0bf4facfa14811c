/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "builder.h"

#include <math.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"

Builder builder_new(void)
{
    return (Builder){gpudl_graph_new(), g_rand_new_with_seed(7)};
}

void builder_clear(Builder *b)
{
    gpudl_graph_free(b->graph);
    g_rand_free(b->rand);
}

static gint parse_dims(const gchar *text, gint64 *dims)
{
    g_auto(GStrv) parts = g_strsplit(text, "x", -1);
    gint rank = 0;

    for (guint i = 0; parts[i] != NULL; i++) {
        g_assert_cmpint(rank, <, GPUDL_MAX_RANK);
        dims[rank++] = g_ascii_strtoll(parts[i], NULL, 10);
    }
    return rank;
}

GpudlTensor *builder_input(Builder *b, const gchar *shape)
{
    GpudlShape parsed = {0};

    parsed.rank = parse_dims(shape, parsed.dims);
    return gpudl_graph_add_input(b->graph, "input", GPUDL_DTYPE_F32, &parsed);
}

GpudlTensor *builder_random(Builder *b, const gchar *shape, double low, double high)
{
    GpudlShape parsed = {0};
    g_autofree float *values = NULL;
    gint64 n;

    parsed.rank = parse_dims(shape, parsed.dims);
    n = gpudl_shape_elements(&parsed);
    values = g_new(float, n);
    for (gint64 i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(b->rand, low, high);
    return gpudl_graph_add_constant_f32(b->graph, "constant", values, parsed.dims, parsed.rank);
}

GpudlTensor *builder_scalar(Builder *b, double value)
{
    float single = (float)value;

    return gpudl_graph_add_constant_f32(b->graph, "scalar", &single, NULL, 0);
}

GpudlTensor *builder_node(Builder *b, GpudlOp op, GpudlTensor *x, GpudlTensor *y)
{
    GpudlTensor *inputs[] = {x, y};
    g_autofree gchar *name =
        g_strdup_printf("%s%u", gpudl_op_info(op)->name, b->graph->nodes->len + b->graph->removed->len);

    return gpudl_graph_add_node(b->graph, op, name, inputs, y != NULL ? 2 : 1, NULL, 1)->outputs[0];
}

GpudlTensor *builder_conv(Builder *b, GpudlTensor *x, gint64 channels, gint64 k, gint kernel, gboolean bias)
{
    g_autofree gchar *shape =
        g_strdup_printf("%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT "x%dx%d", k, channels, kernel, kernel);
    g_autofree gchar *bias_shape = g_strdup_printf("%" G_GINT64_FORMAT, k), *name = NULL;
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -1, 1), NULL};
    GpudlNode *node;

    if (bias)
        inputs[2] = builder_random(b, bias_shape, -1, 1);
    name = g_strdup_printf("Conv%u", b->graph->nodes->len);
    node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONV, name, inputs, bias ? 3 : 2, NULL, 1);
    node->attrs.window.n_spatial = 2;
    for (int i = 1; i < GPUDL_MAX_SPATIAL; i++) {
        node->attrs.window.kernel[i] = kernel;
        node->attrs.window.pad_begin[i] = node->attrs.window.pad_end[i] = kernel / 2;
    }
    return node->outputs[0];
}

GpudlTensor *builder_batch_norm(Builder *b, GpudlTensor *x, gint64 channels)
{
    g_autofree gchar *shape = g_strdup_printf("%" G_GINT64_FORMAT, channels);
    GpudlTensor *inputs[] = {x, builder_random(b, shape, 0.5, 2), builder_random(b, shape, -1, 1),
                             builder_random(b, shape, -1, 1), builder_random(b, shape, 0.2, 2)};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_BATCH_NORM, "BatchNorm", inputs, 5, NULL, 1);

    node->attrs.batch_norm.epsilon = 1e-3f;
    return node->outputs[0];
}

GpudlTensor *builder_act(Builder *b, GpudlTensor *x, GpudlActKind kind, float alpha, float beta)
{
    GpudlTensor *out = builder_node(b, GPUDL_OP_ACTIVATION, x, NULL);

    out->producer->attrs.unary.act = (GpudlAct){kind, alpha, beta};
    return out;
}

GpudlTensor *builder_reshape(Builder *b, GpudlTensor *x, const gchar *dims)
{
    GpudlTensor *out = builder_node(b, GPUDL_OP_RESHAPE, x, NULL);
    gint64 parsed[GPUDL_MAX_RANK];
    gint rank = parse_dims(dims, parsed);

    out->producer->attrs.shape.rank = rank;
    for (gint i = 0; i < rank; i++)
        out->producer->attrs.shape.dims[i] = parsed[i];
    return out;
}

GpudlTensor *builder_transpose(Builder *b, GpudlTensor *x, const gchar *perm)
{
    GpudlTensor *out = builder_node(b, GPUDL_OP_TRANSPOSE, x, NULL);
    gint64 parsed[GPUDL_MAX_RANK];
    gint rank = parse_dims(perm, parsed);

    out->producer->attrs.transpose.rank = rank;
    for (gint i = 0; i < rank; i++)
        out->producer->attrs.transpose.perm[i] = (gint32)parsed[i];
    return out;
}

GpudlTensor *builder_pad(Builder *b, GpudlTensor *x, const gchar *begin, const gchar *end, double value)
{
    GpudlTensor *out = builder_node(b, GPUDL_OP_PAD, x, NULL);
    GpudlPadAttrs *attrs = &out->producer->attrs.pad;
    gint64 parsed[GPUDL_MAX_RANK];

    attrs->rank = parse_dims(begin, parsed);
    for (gint i = 0; i < attrs->rank; i++)
        attrs->begin[i] = parsed[i];
    g_assert_cmpint(parse_dims(end, parsed), ==, attrs->rank);
    for (gint i = 0; i < attrs->rank; i++)
        attrs->end[i] = parsed[i];
    attrs->value = value;
    return out;
}

GpudlTensor *builder_pool(Builder *b, GpudlOp op, GpudlTensor *x, gint kernel, gint stride, gint pad)
{
    GpudlTensor *out = builder_node(b, op, x, NULL);
    GpudlWindowAttrs *w = &out->producer->attrs.window;

    w->n_spatial = 2;
    for (int i = 1; i < GPUDL_MAX_SPATIAL; i++) {
        w->kernel[i] = kernel;
        w->stride[i] = stride;
        w->pad_begin[i] = w->pad_end[i] = pad;
    }
    return out;
}

GpudlTensor *builder_scalar_op(Builder *b, GpudlOp op, GpudlTensor *x, double value)
{
    return builder_node(b, op, x, builder_scalar(b, value));
}

GpudlTensor *builder_clip6(Builder *b, GpudlTensor *x)
{
    return builder_act(b, builder_scalar_op(b, GPUDL_OP_ADD, x, 3), GPUDL_ACT_CLIP, 0, 6);
}

void builder_output(Builder *b, GpudlTensor *x)
{
    gpudl_graph_add_output(b->graph, x);
}

guint graph_count(const GpudlGraph *graph, GpudlOp op)
{
    guint n = 0;

    for (guint i = 0; i < graph->nodes->len; i++)
        n += ((GpudlNode *)graph->nodes->pdata[i])->op == op;
    return n;
}

GpudlNode *graph_first(const GpudlGraph *graph, GpudlOp op)
{
    for (guint i = 0; i < graph->nodes->len; i++)
        if (((GpudlNode *)graph->nodes->pdata[i])->op == op)
            return graph->nodes->pdata[i];
    return NULL;
}

gchar *graph_histogram(const GpudlGraph *graph)
{
    GString *text = g_string_new(NULL);

    for (guint op = GPUDL_OP_NONE; op <= GPUDL_OP_LAST; op++) {
        guint n = graph_count(graph, (GpudlOp)op);

        if (n > 0)
            g_string_append_printf(text, "%s%s:%u", text->len > 0 ? " " : "", gpudl_op_info((GpudlOp)op)->name, n);
    }
    return g_string_free(text, FALSE);
}

static void collect(GPtrArray *outputs, GArray *values)
{
    for (guint i = 0; i < outputs->len; i++) {
        gsize bytes;
        const float *data = g_bytes_get_data(outputs->pdata[i], &bytes);

        g_array_append_vals(values, data, (guint)(bytes / sizeof(float)));
    }
}

double graph_difference(const GpudlGraph *a, const GpudlGraph *b, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GPtrArray) inputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref), first = NULL,
                         second = NULL;
    g_autoptr(GArray) x = g_array_new(FALSE, FALSE, sizeof(float)), y = g_array_new(FALSE, FALSE, sizeof(float));
    g_autoptr(GError) error = NULL;
    double low = INFINITY, high = -INFINITY, most = 0;

    for (guint i = 0; i < a->inputs->len; i++) {
        gint64 n = gpudl_shape_elements(&((GpudlTensor *)a->inputs->pdata[i])->shape);
        float *values = g_new(float, n);

        for (gint64 k = 0; k < n; k++)
            values[k] = (float)g_rand_double_range(rand, -4, 4);
        g_ptr_array_add(inputs, g_bytes_new_take(values, (gsize)n * sizeof(float)));
    }
    first = gpudl_ref_run(a, (GBytes *const *)inputs->pdata, NULL, &error);
    g_assert_no_error(error);
    second = gpudl_ref_run(b, (GBytes *const *)inputs->pdata, NULL, &error);
    g_assert_no_error(error);
    collect(first, x);
    collect(second, y);
    g_assert_cmpuint(x->len, ==, y->len);
    for (guint i = 0; i < x->len; i++) {
        double u = g_array_index(x, float, i), v = g_array_index(y, float, i);

        low = MIN(low, u);
        high = MAX(high, u);
        most = fabs(u - v) > most || isnan(u - v) ? fabs(u - v) : most;
    }
    /* a range of nothing would make any comparison pass */
    g_assert_cmpfloat(high - low, >, 1e-3);
    return most / (high - low);
}

void builder_check(Builder *b, const gchar *pass, const gchar *expected)
{
    g_autoptr(GpudlGraph) before = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *found = NULL;
    const GpudlPassInfo *info = gpudl_passes_list();
    guint changed = 0, again = 0;

    while (pass != NULL && info->name != NULL && strcmp(info->name, pass) != 0)
        info++;
    g_assert_nonnull(info->name);
    g_assert_true(gpudl_graph_infer(b->graph, 1, &error));
    g_assert_no_error(error);
    before = gpudl_graph_copy(b->graph);
    g_assert_true(pass == NULL ? gpudl_passes_run(b->graph, NULL, &error) : info->run(b->graph, &changed, &error));
    g_assert_no_error(error);
    found = graph_histogram(b->graph);
    g_assert_cmpstr(found, ==, expected);
    g_assert_cmpuint(before->outputs->len, ==, b->graph->outputs->len);
    for (guint i = 0; i < before->outputs->len; i++) {
        const GpudlTensor *x = before->outputs->pdata[i], *y = b->graph->outputs->pdata[i];

        g_assert_cmpstr(x->name, ==, y->name);
        g_assert_true(gpudl_shape_equal(&x->shape, &y->shape));
    }
    g_assert_cmpfloat(graph_difference(before, b->graph, 3), <=, 1e-5);
    /* sorted and inferred, and a second time changes nothing */
    g_assert_true(gpudl_graph_infer(b->graph, 0, &error));
    g_assert_true(pass == NULL || info->run(b->graph, &again, &error));
    g_assert_cmpuint(again, ==, 0);
}
