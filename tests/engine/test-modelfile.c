/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.bin: what is written is read back, and nothing else is. */
#include <string.h>
#include <xxhash.h>

#include <glib/gstdio.h>

#include "engine/graph/ops.h"
#include "engine/limits.h"
#include "engine/model.h"
#include "engine/modelfile/modelfile.h"

/* conv (with act and residual) -> pool -> slice -> concat -> global pool -> reshape -> gemm, heads of 3 and 5 */
static GpudlModel *make_model(void)
{
    static const gchar *const labels[] = {"cat", "dög", "fish", NULL};
    g_autoptr(GError) error = NULL;
    GpudlGraph *g = gpudl_graph_new();
    float w[4 * 3 * 3 * 3], bias[4] = {1, 2, 3, 4}, fc[3 * 8], fc5[5 * 8], zeros[5] = {0};
    GpudlTensor *x = gpudl_graph_add_input(g, "picture", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, 3, 8, 8}});
    GpudlNode *conv, *pool, *slice, *concat, *global, *flat, *gemm;
    GpudlPreproc pp = {.width = 8,
                       .height = 8,
                       .channels = 3,
                       .channel_order = GPUDL_CHANNELS_BGR,
                       .resize_mode = GPUDL_RESIZE_LETTERBOX,
                       .scale_method = GPUDL_SCALE_BILINEAR_ALIASED,
                       .crop_fraction = 0.875f,
                       .pad_color = 0x123456,
                       .pixel_scale = 1,
                       .mean = {104, 117, 123},
                       .std = {1, 2, 3}};
    GpudlModel *model;
    float in[3 * 64], out[3] = {1, 2, 3};

    for (guint i = 0; i < G_N_ELEMENTS(w); i++)
        w[i] = (float)i * 0.01f;
    for (guint i = 0; i < G_N_ELEMENTS(fc); i++)
        fc[i] = (float)i;
    for (guint i = 0; i < G_N_ELEMENTS(fc5); i++)
        fc5[i] = -(float)i;
    conv = gpudl_graph_add_node(g, GPUDL_OP_CONV, "conv",
                                (GpudlTensor *[]){x, gpudl_graph_add_constant_f32(g, "w", w, (gint64[]){4, 3, 3, 3}, 4),
                                                  gpudl_graph_add_constant_f32(g, "b", bias, (gint64[]){4}, 1)},
                                3, NULL, 1);
    conv->attrs.window.n_spatial = 2;
    for (guint i = 1; i < 3; i++) {
        conv->attrs.window.kernel[i] = 3;
        conv->attrs.window.pad_begin[i] = conv->attrs.window.pad_end[i] = 1;
    }
    conv->attrs.window.act = (GpudlAct){GPUDL_ACT_CLIP, -1.5f, 6};
    pool = gpudl_graph_add_node(g, GPUDL_OP_MAX_POOL, "pool", conv->outputs, 1, NULL, 1);
    pool->attrs.window.n_spatial = 2;
    for (guint i = 1; i < 3; i++)
        pool->attrs.window.kernel[i] = pool->attrs.window.stride[i] = 2;
    slice = gpudl_graph_add_node(g, GPUDL_OP_SLICE, "slice", pool->outputs, 1, NULL, 1);
    slice->attrs.slice.rank = 4;
    for (guint i = 0; i < 4; i++) {
        slice->attrs.slice.end[i] = G_MAXINT64;
        slice->attrs.slice.step[i] = 1;
    }
    slice->attrs.slice.start[3] = -1;
    slice->attrs.slice.end[3] = G_MININT64;
    slice->attrs.slice.step[3] = -1;
    concat = gpudl_graph_add_node(g, GPUDL_OP_CONCAT, "concat", (GpudlTensor *[]){pool->outputs[0], slice->outputs[0]},
                                  2, NULL, 1);
    concat->attrs.axis.axis = 1;
    global = gpudl_graph_add_node(g, GPUDL_OP_GLOBAL_AVERAGE_POOL, "global", concat->outputs, 1, NULL, 1);
    flat = gpudl_graph_add_node(g, GPUDL_OP_RESHAPE, "flat", global->outputs, 1, NULL, 1);
    flat->attrs.shape = (GpudlShapeAttrs){.rank = 2, .dims = {0, -1}};
    for (guint head = 0; head < 2; head++) {
        gint64 n = head ? 5 : 3;

        gemm = gpudl_graph_add_node(
            g, GPUDL_OP_GEMM, head ? "five" : "three",
            (GpudlTensor *[]){flat->outputs[0],
                              gpudl_graph_add_constant_f32(g, "fc", head ? fc5 : fc, (gint64[]){n, 8}, 2),
                              gpudl_graph_add_constant_f32(g, "fcb", zeros, (gint64[]){n}, 1)},
            3, NULL, 1);
        gemm->attrs.gemm.trans_b = 1;
        gpudl_graph_add_output(g, gemm->outputs[0]);
    }
    gpudl_graph_sort(g, &error);
    g_assert_no_error(error);
    model = gpudl_model_new(g, "two heads", &pp, &error);
    g_assert_no_error(error);
    model->graph->batch_reason = g_strdup("node 'flat': because");
    g_assert_true(gpudl_model_set_labels(model, labels, NULL));
    model->activation = GPUDL_ACTIVATION_SIGMOID;
    for (guint i = 0; i < G_N_ELEMENTS(in); i++)
        in[i] = (float)i;
    model->golden = g_new0(GpudlGolden, 1);
    model->golden->description = g_strdup("made up");
    model->golden->input = g_bytes_new(in, sizeof in);
    model->golden->output = g_bytes_new(out, sizeof out);
    model->producer = g_strdup("test");
    model->licence = g_strdup("none");
    return model;
}

static void assert_same_graph(const GpudlGraph *a, const GpudlGraph *b)
{
    g_assert_cmpuint(a->nodes->len, ==, b->nodes->len);
    g_assert_cmpuint(a->outputs->len, ==, b->outputs->len);
    for (guint i = 0; i < a->nodes->len; i++) {
        const GpudlNode *x = a->nodes->pdata[i], *y = b->nodes->pdata[i];

        g_assert_cmpint(x->op, ==, y->op);
        g_assert_cmpstr(x->name, ==, y->name);
        g_assert_cmpmem(&x->attrs, sizeof x->attrs, &y->attrs, sizeof y->attrs);
        g_assert_cmpuint(x->n_inputs, ==, y->n_inputs);
        for (guint j = 0; j < x->n_inputs; j++) {
            g_assert_cmpstr(x->inputs[j]->name, ==, y->inputs[j]->name);
            g_assert_true(gpudl_shape_equal(&x->inputs[j]->shape, &y->inputs[j]->shape));
            g_assert_true((x->inputs[j]->data != NULL) == (y->inputs[j]->data != NULL));
            if (x->inputs[j]->data)
                g_assert_true(g_bytes_equal(x->inputs[j]->data, y->inputs[j]->data));
        }
    }
}

static void test_round_trip(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, &error);
    g_autoptr(GpudlModel) back = NULL;
    g_autoptr(GBytes) again = NULL;
    const gchar *reason;

    g_assert_no_error(error);
    back = gpudl_modelfile_read(file, "x.bin", &error);
    g_assert_no_error(error);
    assert_same_graph(model->graph, back->graph);
    g_assert_cmpstr(back->name, ==, "two heads");
    g_assert_cmpuint(strlen(gpudl_model_get_id(back)), ==, 64);
    g_assert_cmpstr(gpudl_model_get_id(back), ==, back->claimed_id);
    g_assert_null(gpudl_model_get_false_id(back));
    g_assert_cmpuint(strlen(back->content), ==, 64);
    g_assert_cmpmem(&back->preproc, sizeof back->preproc, &model->preproc, sizeof model->preproc);
    g_assert_true(back->preproc_known);
    g_assert_cmpint(back->activation, ==, GPUDL_ACTIVATION_SIGMOID);
    g_assert_cmpuint(back->n_labels, ==, 3);
    g_assert_cmpstr(gpudl_model_get_label(back, 1), ==, "dög");
    g_assert_null(gpudl_model_get_label(back, 3));
    g_assert_cmpuint(gpudl_model_get_n_heads(back), ==, 2);
    g_assert_cmpuint(gpudl_model_get_n_classes(back, 1), ==, 5);
    g_assert_false(gpudl_model_get_symbolic_batch(back, &reason));
    g_assert_cmpstr(reason, ==, "node 'flat': because");
    g_assert_true(g_bytes_equal(back->golden->input, model->golden->input));
    g_assert_true(g_bytes_equal(back->golden->output, model->golden->output));
    g_assert_cmpstr(back->producer, ==, "test");
    g_assert_cmpstr(back->licence, ==, "none");
    g_assert_null(back->source_file);
    /* the same model gives the same bytes */
    again = gpudl_modelfile_write(back, &error);
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(file, again));
}

static void test_every_operator_round_trips(void)
{
    for (guint op = 1; op <= GPUDL_OP_LAST; op++) {
        const GpudlOpInfo *info = gpudl_op_info((GpudlOp)op);

        g_assert_true(gpudl_op_find(info->name) == info);
        for (const GpudlAttrSpec *spec = info->attrs; spec && spec->name; spec++) {
            g_assert_cmpuint(spec->offset, <, sizeof(GpudlAttrs));
            if (spec->count_offset >= 0)
                g_assert_cmpuint(spec->count, >, 0);
        }
    }
}

static void assert_refused(GBytes *file, const gchar *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = gpudl_modelfile_read(file, "damaged.bin", &error);

    if (model || !error || error->domain != GPUDL_ERROR || !g_str_has_prefix(error->message, "damaged.bin: "))
        g_error("%s: %s", what, model ? "was taken" : error ? error->message : "no error");
}

static void test_truncated_at_every_byte(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, NULL);

    for (gsize n = 0; n < g_bytes_get_size(file); n++) {
        g_autofree gchar *what = g_strdup_printf("%" G_GSIZE_FORMAT " bytes", n);
        /* a copy of its own, so that reading past the end shows */
        g_autoptr(GBytes) part = g_bytes_new(g_bytes_get_data(file, NULL), n);

        assert_refused(part, what);
    }
}

static void test_any_byte_changed(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, NULL);
    gsize size = g_bytes_get_size(file);

    for (gsize i = 0; i < size; i++) {
        g_autofree gchar *what = g_strdup_printf("byte %" G_GSIZE_FORMAT, i);
        guint8 *copy = g_memdup2(g_bytes_get_data(file, NULL), size);
        g_autoptr(GBytes) changed = NULL;

        copy[i] ^= (guint8)(1 << (i % 8));
        changed = g_bytes_new_take(copy, size);
        assert_refused(changed, what);
    }
}

/* Fewer under valgrind, which takes fifty times as long. */
static guint as_many_as(guint n)
{
    return g_getenv("GPUDL_TEST_VALGRIND") ? n / 16 : n;
}

/* Makes the sums right again after the MODEL section was changed: only the fields' own checks are left. */
static GBytes *seal(guint8 *data, gsize size)
{
    for (guint i = 0; i < 2; i++) {
        guint8 *entry = data + GPUDL_FILE_AT_SECTIONS + i * GPUDL_FILE_SECTION_BYTES;
        XXH128_canonical_t canonical;
        guint64 at, n;

        memcpy(&at, entry, 8);
        memcpy(&n, entry + 8, 8);
        if (at <= size && n <= size - at) {
            XXH128_canonicalFromHash(&canonical, XXH3_128bits(data + at, n));
            memcpy(entry + 16, canonical.digest, 16);
        }
    }
    {
        guint64 check = XXH3_64bits(data, GPUDL_FILE_AT_CHECK);

        memcpy(data + GPUDL_FILE_AT_CHECK, &check, 8);
    }
    return g_bytes_new_take(data, size);
}

/* An attacker can make the sums right: then a change is an error or a model that is whole in itself. */
static void test_sealed_changes_are_errors_or_models(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, NULL);
    gsize size = g_bytes_get_size(file);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    guint n_errors = 0, n = as_many_as(20000);

    for (guint i = 0; i < n; i++) {
        guint8 *copy = g_memdup2(g_bytes_get_data(file, NULL), size);
        guint64 model_size;
        g_autoptr(GBytes) changed = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GpudlModel) read = NULL;

        memcpy(&model_size, copy + GPUDL_FILE_AT_SECTIONS + 8, 8);
        for (gint j = g_rand_int_range(rand, 1, 4); j > 0; j--)
            copy[128 + g_rand_int_range(rand, 0, (gint32)model_size)] ^= (guint8)(1 << g_rand_int_range(rand, 0, 8));
        changed = seal(copy, size);
        read = gpudl_modelfile_read(changed, "sealed.bin", &error);
        g_assert_true((read != NULL) != (error != NULL));
        if (error) {
            g_assert_true(error->domain == GPUDL_ERROR);
            g_assert_true(g_str_has_prefix(error->message, "sealed.bin: "));
            n_errors++;
        }
    }
    g_test_message("%u of %u changes were errors", n_errors, n);
    g_assert_cmpuint(n_errors, >, n / 4);
}

static void test_other_version_says_so(void)
{
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GBytes) file = gpudl_modelfile_write(model, NULL);
    gsize size = g_bytes_get_size(file);
    guint8 *copy = g_memdup2(g_bytes_get_data(file, NULL), size);
    g_autoptr(GBytes) changed = NULL;
    g_autoptr(GError) error = NULL;

    copy[GPUDL_FILE_AT_VERSION] = 2;
    changed = seal(copy, size);
    g_assert_null(gpudl_modelfile_read(changed, "new.bin", &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "version 2"));
}

/* The MODEL section is walked before it is unpacked: a length beyond its end, and labels that would take a hundred
 * times the file's bytes. */
static void test_message_is_walked(void)
{
    static const struct {
        guint8 begin[2];
        gsize size;
        const gchar *says;
    } rows[] = {{{0x0a, 0x7f}, 64, "section MODEL: byte"}, {{0x12, 0x00}, 1 << 20, "bytes of memory"}};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gsize size = GPUDL_FILE_HEADER_BYTES + rows[i].size;
        guint8 *data = g_malloc0(size);
        const guint64 sizes[] = {size, GPUDL_FILE_HEADER_BYTES, rows[i].size, size, 0};
        const guint at[] = {GPUDL_FILE_AT_SIZE, GPUDL_FILE_AT_SECTIONS, GPUDL_FILE_AT_SECTIONS + 8,
                            GPUDL_FILE_AT_SECTIONS + GPUDL_FILE_SECTION_BYTES,
                            GPUDL_FILE_AT_SECTIONS + GPUDL_FILE_SECTION_BYTES + 8};
        g_autoptr(GBytes) file = NULL;
        g_autoptr(GError) error = NULL;

        memcpy(data, GPUDL_FILE_MAGIC, 8);
        data[GPUDL_FILE_AT_VERSION] = GPUDL_FILE_VERSION;
        data[GPUDL_FILE_AT_HEADER] = GPUDL_FILE_HEADER_BYTES;
        for (guint k = 0; k < G_N_ELEMENTS(at); k++)
            memcpy(data + at[k], &sizes[k], 8);
        for (gsize k = GPUDL_FILE_HEADER_BYTES; k + 1 < size; k += 2)
            memcpy(data + k, rows[i].begin, 2);
        file = seal(data, size);
        g_assert_null(gpudl_modelfile_read(file, "walked.bin", &error));
        g_assert_nonnull(error);
        if (strstr(error->message, rows[i].says) == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i].says);
    }
}

/* What is written can be read, however little is said of each of how many: no names, and the most nodes there may be.
 */
static void test_terse_ones_are_read(void)
{
    const guint most = as_many_as(GPUDL_LIMIT_NODES);
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL, back = NULL;
    g_autoptr(GBytes) file = NULL;
    GpudlGraph *graph = gpudl_graph_new();
    GpudlTensor *x = gpudl_graph_add_input(graph, "", GPUDL_DTYPE_F32, &(GpudlShape){4, {1, 1, 1, 1}}), *last = x;
    const gchar *none = "";

    for (guint i = 0; i < most; i++)
        last = gpudl_graph_add_node(
                   graph, i % 2 ? GPUDL_OP_MAX : GPUDL_OP_IDENTITY, "",
                   (GpudlTensor *[]){last, gpudl_graph_add_constant_f32(graph, "", (float[]){1}, NULL, 0)},
                   i % 2 ? 2 : 1, &none, 1)
                   ->outputs[0];
    gpudl_graph_add_output(graph, last);
    g_assert_true(gpudl_graph_sort(graph, &error));
    model = gpudl_model_new(graph, "", NULL, &error);
    g_assert_no_error(error);
    file = gpudl_modelfile_write(model, &error);
    g_assert_no_error(error);
    back = gpudl_modelfile_read(file, "terse.bin", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(back->graph->nodes->len, ==, most);
}

static void assert_file_error(const gchar *path, GpudlError code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = gpudl_file_read(path, &error);

    g_assert_null(bytes);
    g_assert_error(error, GPUDL_ERROR, (gint)code);
    g_assert_true(g_str_has_prefix(error->message, path));
}

static void test_unreadable_files(void)
{
    g_autofree gchar *dir = g_dir_make_tmp("gpudl-XXXXXX", NULL);
    g_autofree gchar *empty = g_build_filename(dir, "empty", NULL);
    g_autofree gchar *under = g_build_filename(empty, "below", NULL);
    g_autofree gchar *missing = g_build_filename(dir, "missing", NULL);

    g_assert_true(g_file_set_contents(empty, "", 0, NULL));
    assert_file_error(empty, GPUDL_ERROR_FORMAT);
    assert_file_error(under, GPUDL_ERROR_NOT_FOUND);
    assert_file_error(missing, GPUDL_ERROR_NOT_FOUND);
    assert_file_error(dir, GPUDL_ERROR_OPEN_READ);
    assert_file_error("/dev/zero", GPUDL_ERROR_OPEN_READ);
    g_unlink(empty);
    g_rmdir(dir);
}

static gchar **labels_of(const gchar *text, gssize size, GError **error)
{
    g_autofree gchar *dir = g_dir_make_tmp("gpudl-XXXXXX", NULL);
    g_autofree gchar *path = g_build_filename(dir, "labels.txt", NULL);
    gchar **labels;

    g_assert_true(g_file_set_contents(path, text, size, NULL));
    labels = gpudl_labels_read(path, NULL, error);
    g_unlink(path);
    g_rmdir(dir);
    return labels;
}

static void test_labels(void)
{
    g_auto(GStrv) labels = labels_of("\xef\xbb\xbf"
                                     "cat \r\n\r\nn01440764 tench, Tinca\nn1 x\nn01440764\n\n\n",
                                     -1, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(g_strv_length(labels), ==, 5);
    g_assert_cmpstr(labels[0], ==, "cat");
    g_assert_cmpstr(labels[1], ==, "");
    g_assert_cmpstr(labels[2], ==, "tench, Tinca");
    g_assert_cmpstr(labels[3], ==, "n1 x");
    g_assert_cmpstr(labels[4], ==, "n01440764");
    g_assert_null(labels_of("\xff\xfe"
                            "a\n",
                            -1, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_clear_error(&error);
    g_assert_null(labels_of("a\0b\n", 4, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_clear_error(&error);
    g_assert_null(labels_of("\n\n", -1, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
}

static void test_wrong_number_of_labels(void)
{
    static const gchar *const two[] = {"a", "b", NULL};
    g_autoptr(GpudlModel) model = make_model();
    g_autoptr(GError) error = NULL;

    g_assert_false(gpudl_model_set_labels(model, two, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "2 labels"));
    g_assert_nonnull(strstr(error->message, "3 classes"));
    g_assert_cmpuint(model->n_labels, ==, 3);
}

/* Whatever is noted of a file can be kept in a net.bin. */
static void test_notes_are_lines(void)
{
    g_autoptr(GpudlModel) model = make_model(), again = NULL;
    g_autofree gchar *lengthy = g_strnfill(5000, 'x');
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    const gchar *const *notes;

    gpudl_model_add_note(model, "%s", "u\xff\r\nv\x7f");
    gpudl_model_add_note(model, "%s", lengthy);
    bytes = gpudl_modelfile_write(model, &error);
    g_assert_no_error(error);
    again = gpudl_modelfile_read(bytes, "net.bin", &error);
    g_assert_no_error(error);
    notes = gpudl_model_get_notes(again);
    g_assert_cmpuint(g_strv_length((gchar **)notes), ==, 2);
    g_assert_cmpstr(notes[0], ==, "u\xef\xbf\xbd  v ");
    g_assert_cmpuint(strlen(notes[1]), ==, 1024 + 3);
    g_assert_true(g_str_has_suffix(notes[1], "x..."));
}

/* The kernel's own files say that they have a page, and end sooner, like one that is cut off while it is read. */
static void test_shorter_files(void)
{
    const gchar *path = "/sys/devices/system/cpu/online";
    g_autoptr(GError) error = NULL;
    struct stat st;

    if (stat(path, &st) != 0 || st.st_size < 64) {
        g_test_skip("no file here says that it is longer than it is");
        return;
    }
    g_assert_null(gpudl_file_read_pages(path, G_MAXUINT64, NULL, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ);
    g_assert_nonnull(strstr(error->message, "became shorter while it was read"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/modelfile/round-trip", test_round_trip);
    g_test_add_func("/modelfile/every-operator-can-be-told", test_every_operator_round_trips);
    g_test_add_func("/modelfile/truncated-at-every-byte", test_truncated_at_every_byte);
    g_test_add_func("/modelfile/any-byte-changed", test_any_byte_changed);
    g_test_add_func("/modelfile/sealed-changes-are-errors-or-models", test_sealed_changes_are_errors_or_models);
    g_test_add_func("/modelfile/other-version-says-so", test_other_version_says_so);
    g_test_add_func("/modelfile/message-is-walked", test_message_is_walked);
    g_test_add_func("/modelfile/terse-ones-are-read", test_terse_ones_are_read);
    g_test_add_func("/modelfile/unreadable-files", test_unreadable_files);
    g_test_add_func("/modelfile/shorter-files", test_shorter_files);
    g_test_add_func("/modelfile/notes-are-lines", test_notes_are_lines);
    g_test_add_func("/labels/forms", test_labels);
    g_test_add_func("/labels/wrong-number", test_wrong_number_of_labels);
    return g_test_run();
}
