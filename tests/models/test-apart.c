/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ONNX files whose large values are read apart: the graph is the one that comes of the whole file's bytes, and what
 * can't be taken apart is left to whoever reads it as a whole. */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "engine/graph/shape.h"
#include "engine/modelfile/sum.h"
#include "models/onnx/onnx-apart.h"
#include "models/onnx/onnx.h"
#include "tests/models/onnx-writer.h"

#define LARGE 1100u /* floats, more bytes than a small constant has */

/* An initializer of n floats; raw: its field. */
static GByteArray *write_values(const gchar *name, guint n, float first, guint raw)
{
    GByteArray *tensor = g_byte_array_new();
    g_autofree float *values = g_new(float, n);

    for (guint i = 0; i < n; i++)
        values[i] = first + (float)i;
    pb_int(tensor, 1, n);
    pb_int(tensor, 2, 1);
    pb_data(tensor, raw, values, n * sizeof *values);
    pb_string(tensor, 8, name);
    return tensor;
}

/* y = x + a + b + c, of which b is small; other initializers and graphs may come behind. */
static GByteArray *write_graph(void)
{
    GByteArray *graph = g_byte_array_new(), *output = g_byte_array_new();

    pb_message(graph, 1, onnx_write_node("Add x a -> s"));
    pb_message(graph, 5, write_values("a", LARGE, 1, 9));
    pb_message(graph, 5, write_values("b", 1, 2, 9));
    pb_message(graph, 1, onnx_write_node("Add s b -> t"));
    pb_message(graph, 1, onnx_write_node("Add t c -> y"));
    pb_message(graph, 11, onnx_write_value_info("x:f32:1100"));
    pb_string(output, 1, "y");
    pb_message(graph, 12, output);
    return graph;
}

static GByteArray *write_model(GByteArray *c)
{
    GByteArray *graph = write_graph();

    if (c != NULL)
        pb_message(graph, 5, c);
    return onnx_write_model(13, graph);
}

static GByteArray *write_plain(void)
{
    return write_model(write_values("c", LARGE, 3, 9));
}

static GByteArray *write_typed(void) /* in float_data */
{
    return write_model(write_values("c", LARGE, 3, 4));
}

static GByteArray *write_both(void) /* raw_data counts */
{
    GByteArray *c = write_values("c", LARGE, 3, 4);

    g_byte_array_append(c, (const guint8 *)"\x4a\x80\x22", 3); /* 4352 bytes, which the shape does not say */
    g_byte_array_set_size(c, c->len + 4352);
    memset(c->data + c->len - 4352, 0, 4352);
    return write_model(c);
}

static GByteArray *write_twice(void) /* the last counts */
{
    GByteArray *c = write_values("c", LARGE, 3, 9), *again = write_values("c", LARGE, 5, 9);

    g_byte_array_append(c, again->data, again->len);
    g_byte_array_unref(again);
    return write_model(c);
}

static GByteArray *write_long_length(void) /* in more bytes than it needs */
{
    GByteArray *c = g_byte_array_new();

    pb_int(c, 1, LARGE);
    pb_int(c, 2, 1);
    g_byte_array_append(c, (const guint8 *)"\x4a\xb0\xa2\x80\x00", 5);
    for (guint i = 0; i < LARGE; i++) {
        const float value = (float)i;

        g_byte_array_append(c, (const guint8 *)&value, sizeof value);
    }
    pb_string(c, 8, "c");
    return write_model(c);
}

static GByteArray *write_two_graphs(void) /* which are one */
{
    GByteArray *model = write_model(NULL), *graph = g_byte_array_new();

    pb_message(graph, 5, write_values("c", LARGE, 3, 9));
    pb_message(model, 7, graph);
    return model;
}

static GByteArray *write_unknown_fields(void)
{
    GByteArray *c = write_values("c", LARGE, 3, 9);

    pb_string(c, 1000, "text");
    pb_tag(c, 1001, 5);
    g_byte_array_append(c, (const guint8 *)"1234", 4);
    pb_tag(c, 1002, 1);
    g_byte_array_append(c, (const guint8 *)"12345678", 8);
    return write_model(c);
}

static GByteArray *write_wrong_size(void) /* the shape says more */
{
    GByteArray *c = write_values("c", LARGE, 3, 9);

    pb_int(c, 1, 2);
    return write_model(c);
}

static GByteArray *write_no_values(void)
{
    GByteArray *c = g_byte_array_new();

    pb_int(c, 1, LARGE);
    pb_int(c, 2, 1);
    pb_string(c, 8, "c");
    return write_model(c);
}

static GByteArray *write_group(void) /* no wire type of protobuf's third version */
{
    GByteArray *c = write_values("c", LARGE, 3, 9);

    pb_tag(c, 1000, 3);
    return write_model(c);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static int file_of(const guint8 *bytes, gsize size)
{
    g_autofree gchar *path = NULL;
    const int fd = g_file_open_tmp("gpudl-apart-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(write(fd, bytes, size), ==, (gssize)size);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    return fd;
}

static gboolean read_apart(GpudlOnnxApart *apart, const guint8 *bytes, gsize size, GpudlRoom *room)
{
    g_autoptr(GError) error = NULL;
    const int fd = file_of(bytes, size);
    const gboolean done = gpudl_onnx_read_apart(apart, fd, size, room, NULL, &error);

    g_assert_no_error(error);
    close(fd);
    return done;
}

static void assert_same_graph(const GpudlGraph *a, const GpudlGraph *b)
{
    g_assert_cmpuint(a->tensors->len, ==, b->tensors->len);
    for (guint i = 0; i < a->tensors->len; i++) {
        const GpudlTensor *x = a->tensors->pdata[i], *y = b->tensors->pdata[i];

        g_assert_cmpstr(x->name, ==, y->name);
        g_assert_cmpint(x->dtype, ==, y->dtype);
        g_assert_true(gpudl_shape_equal(&x->shape, &y->shape));
        g_assert_true((x->data != NULL) == (y->data != NULL));
        g_assert_true(x->data == NULL || g_bytes_equal(x->data, y->data));
    }
}

/* Imports both ways; n_apart: how many values lie apart then, -1: the file is not taken apart. */
static void compare(const GByteArray *file, gint n_apart)
{
    g_autoptr(GBytes) all = g_bytes_new(file->data, file->len);
    g_autoptr(GError) error = NULL, own_error = NULL;
    g_autoptr(GpudlGraph) whole = gpudl_onnx_import(all, NULL, NULL, &error), own = NULL;
    g_auto(GpudlOnnxApart) apart = {0};
    GpudlRoom room = {0};
    gchar sum[GPUDL_SUM_BYTES];
    GpudlSourceOptions options = {.room = &room};
    gint n = 0;

    g_assert_true(gpudl_room_make(&room, file->len));
    g_assert_true(read_apart(&apart, file->data, file->len, &room) == (n_apart >= 0));
    if (n_apart < 0) {
        gpudl_pages_unref(room.pages);
        return;
    }
    gpudl_sum_of(file->data, file->len, sum);
    g_assert_cmpstr(apart.sum, ==, sum);
    for (guint i = 0; i < apart.values->len; i++)
        if (apart.values->pdata[i] != NULL) {
            g_assert_cmpuint((guintptr)g_bytes_get_data(apart.values->pdata[i], NULL) % 64, ==, 0);
            n++;
        }
    g_assert_cmpint(n, ==, n_apart);
    options.apart = apart.values;
    own = gpudl_onnx_import(apart.rest, &options, NULL, &own_error);
    g_assert_true((own == NULL) == (whole == NULL));
    if (whole != NULL)
        assert_same_graph(own, whole);
    else
        g_assert_cmpstr(own_error->message, ==, error->message);
    gpudl_pages_unref(room.pages);
}

static void test_same_graph(void)
{
    static const struct {
        GByteArray *(*write)(void);
        gint n_apart;
    } files[] = {{write_plain, 2},          {write_typed, 1},       {write_both, 2},   {write_twice, -1},
                 {write_long_length, 2},    {write_two_graphs, -1}, {write_group, -1}, {write_wrong_size, 2},
                 {write_unknown_fields, 2}, {write_no_values, 1}};

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        GByteArray *file = files[i].write();

        g_test_message("file %u", i);
        compare(file, files[i].n_apart);
        g_byte_array_unref(file);
    }
}

static void test_texts(void)
{
    static const struct {
        OnnxText text;
        gint n_apart;
    } nets[] = {
        {{13, "x:f32:1x3x8x8", "w:f32:64x3x7x7=0.01 b:f32:64=0.5", "Conv x w b -> y {pads=3,3,3,3}", "y"}, 1},
        {{13, "x:f32:1x3x8x8", NULL, "Relu x -> y", "y"}, 0},
        {{13, "x:f32:1x40", "w:f32:40x30=2 v:f32:30x40=3 n:f32:1=1", "MatMul x w -> a; MatMul a v -> b; Add b n -> y",
          "y"},
         2},
    };

    for (guint i = 0; i < G_N_ELEMENTS(nets); i++) {
        GByteArray *file = onnx_write(&nets[i].text);

        compare(file, nets[i].n_apart);
        g_byte_array_unref(file);
    }
}

/* Longer than what is read at once, by all that may be off. */
static void test_sizes(void)
{
    static const guint sizes[] = {1024, 1025, 16384 - 300, 16384, 16385, 131072, 131073, 300001};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        GByteArray *file = write_model(write_values("c", sizes[i], 3, 9));

        compare(file, sizes[i] > 1024 ? 2 : 1); /* sums of these do not exist: the error is the same */
        g_byte_array_unref(file);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_cut_off(void)
{
    GByteArray *file = write_plain();
    guint n_read = 0;

    for (guint size = 1; size < file->len; size += size < 200 || size + 200 > file->len ? 1 : 97) {
        g_auto(GpudlOnnxApart) apart = {0};
        GpudlRoom room = {0};

        g_assert_true(gpudl_room_make(&room, size));
        n_read += read_apart(&apart, file->data, size, &room);
        gpudl_pages_unref(room.pages);
    }
    g_assert_cmpuint(n_read, <=, 4); /* between two fields of the outermost message */
    g_byte_array_unref(file);
}

/* A file that is shorter than it was when it was asked for its size. */
static void test_becomes_shorter(void)
{
    GByteArray *file = write_plain();
    g_auto(GpudlOnnxApart) apart = {0};
    g_autoptr(GError) error = NULL;
    GpudlRoom room = {0};
    const int fd = file_of(file->data, file->len - 100);

    g_assert_true(gpudl_room_make(&room, file->len));
    g_assert_false(gpudl_onnx_read_apart(&apart, fd, file->len, &room, NULL, &error));
    g_assert_no_error(error);
    gpudl_pages_unref(room.pages);
    close(fd);
    g_byte_array_unref(file);
}

static void test_cancelled(void)
{
    GByteArray *file = write_plain();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_auto(GpudlOnnxApart) apart = {0};
    g_autoptr(GError) error = NULL;
    GpudlRoom room = {0};
    const int fd = file_of(file->data, file->len);

    g_cancellable_cancel(cancellable);
    g_assert_false(gpudl_onnx_read_apart(&apart, fd, file->len, &room, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    close(fd);
    g_byte_array_unref(file);
}

/* What there is no room for stays in the message. */
static void test_no_room(void)
{
    GByteArray *file = write_plain();

    for (gsize limit = 0; limit < 3 * LARGE * sizeof(float); limit += 2000) {
        g_auto(GpudlOnnxApart) apart = {0};
        GpudlRoom room = {0};
        gsize n = 0;

        g_assert_true(gpudl_room_make(&room, file->len));
        room.limit = limit;
        g_assert_true(read_apart(&apart, file->data, file->len, &room));
        for (guint i = 0; i < apart.values->len; i++)
            n += apart.values->pdata[i] != NULL;
        g_assert_cmpuint(n, ==, MIN(limit / (LARGE * sizeof(float)), 2));
        g_assert_cmpuint(g_bytes_get_size(apart.rest), ==, file->len - n * LARGE * sizeof(float));
        g_clear_pointer(&apart.values, g_ptr_array_unref);
        gpudl_pages_unref(room.pages);
    }
    g_byte_array_unref(file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/apart/same-graph", test_same_graph);
    g_test_add_func("/apart/texts", test_texts);
    g_test_add_func("/apart/sizes", test_sizes);
    g_test_add_func("/apart/cut-off", test_cut_off);
    g_test_add_func("/apart/becomes-shorter", test_becomes_shorter);
    g_test_add_func("/apart/cancelled", test_cancelled);
    g_test_add_func("/apart/no-room", test_no_room);
    return g_test_run();
}
