/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/models/onnx-cases.h"

#include <string.h>

#include "engine/ref/ref.h"
#include "models/onnx/onnx-internal.h"
#include "models/onnx/onnx.h"

GBytes *onnx_counting(const GpudlTensor *input)
{
    const gsize n = (gsize)gpudl_shape_elements(&input->shape), size = n * gpudl_dtype_size(input->dtype);
    guint8 *data = g_malloc0(size + 1);

    for (gsize i = 0; i < n; i++)
        onnx_store_number(input->dtype, data, i, (double)i);
    return g_bytes_new_take(data, size);
}

static void compare_values(const GpudlTensor *output, GBytes *found, const gchar *expected)
{
    g_auto(GStrv) numbers = g_strsplit(expected, " ", -1);
    const gsize n = (gsize)gpudl_shape_elements(&output->shape);

    g_assert_cmpuint(g_strv_length(numbers), ==, n);
    for (gsize i = 0; i < n; i++) {
        const double want = g_ascii_strtod(numbers[i], NULL);

        g_assert_cmpfloat_with_epsilon(onnx_number(output->dtype, g_bytes_get_data(found, NULL), i), want, 1e-6);
    }
}

void onnx_case_check(GBytes *file, const gchar *shape, const gchar *values)
{
    g_autofree gchar *found = NULL;
    g_autoptr(GPtrArray) outputs = NULL;
    g_autoptr(GBytes) input = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) graph = gpudl_onnx_import(file, NULL, NULL, &error);

    g_assert_no_error(error);
    found = gpudl_shape_to_string(&((GpudlTensor *)graph->outputs->pdata[0])->shape);
    g_assert_cmpstr(found, ==, shape);
    g_assert_cmpuint(graph->inputs->len, ==, 1);
    input = onnx_counting(graph->inputs->pdata[0]);
    outputs = gpudl_ref_run(graph, &input, NULL, &error);
    g_assert_no_error(error);
    if (values != NULL)
        compare_values(graph->outputs->pdata[0], outputs->pdata[0], values);
}

static void test_good(gconstpointer data)
{
    const OnnxGood *row = data;
    OnnxText text = row->text;
    g_autofree gchar *constants = NULL;
    g_autoptr(GBytes) file = NULL;

    /* a zero called z where a case wants equal values */
    if (strstr(text.nodes, "Mul x z") != NULL)
        text.constants = constants = g_strdup_printf("%s z:f32:=0", text.constants != NULL ? text.constants : "");
    file = onnx_write_bytes(&text);
    onnx_case_check(file, row->shape, row->values);
}

static void test_bad(gconstpointer data)
{
    const OnnxBad *row = data;
    g_autoptr(GBytes) file = onnx_write_bytes(&row->text);
    g_autoptr(GError) error = NULL;
    GpudlGraph *graph = gpudl_onnx_import(file, NULL, NULL, &error);

    g_assert_null(graph);
    g_assert_error(error, GPUDL_ERROR, (gint)row->code);
    if (strstr(error->message, row->says) == NULL)
        g_error("'%s' does not say '%s'", error->message, row->says);
}

void onnx_cases_add(const gchar *prefix, const OnnxGood *good, guint n_good, const OnnxBad *bad, guint n_bad)
{
    for (guint i = 0; i < n_good; i++) {
        g_autofree gchar *path = g_strdup_printf("%s/good/%s", prefix, good[i].name);

        g_test_add_data_func(path, &good[i], test_good);
    }
    for (guint i = 0; i < n_bad; i++) {
        g_autofree gchar *path = g_strdup_printf("%s/bad/%s", prefix, bad[i].name);

        g_test_add_data_func(path, &bad[i], test_bad);
    }
}
