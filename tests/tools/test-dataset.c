/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Labelled pictures: which bytes are which picture, and files of any bytes, of which no size is to be believed. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#include "tools/dataset.h"

#define N 3
#define WIDTH 4
#define HEIGHT 2

static gchar *folder;

/* Not by g_file_set_contents(), which waits for the disk thousands of times. */
static gchar *put(const gchar *name, const guint8 *data, gsize n)
{
    gchar *path = g_build_filename(folder, name, NULL);
    FILE *file = fopen(path, "wb");

    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(data, 1, n, file), ==, n);
    g_assert_cmpint(fclose(file), ==, 0);
    return path;
}

/* Every pixel is read, for the sanitizers to see. */
static guint sum_pixels(const Dataset *dataset)
{
    guint sum = 0;

    for (guint i = 0; i < dataset->pictures->len; i++) {
        g_autofree gchar *name = dataset_name(dataset, i);
        GpudlFrame frame;

        g_assert_nonnull(name);
        g_assert_cmpuint(g_array_index(dataset->pictures, guint, i), <, dataset->labels->len);
        if (!dataset_frame(dataset, i, &frame))
            continue;
        g_assert_null(gpudl_frame_check(&frame));
        for (guint p = 0; p < (frame.format == GPUDL_PIXEL_GRAY8 ? 1 : 3); p++)
            for (gint k = 0; k < frame.width * frame.height; k++)
                sum += ((const guint8 *)frame.planes[p])[k];
    }
    return sum;
}

/* TRUE: it is taken. Else there is an error that names a file. */
static gboolean try_open(const gchar *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Dataset) dataset = dataset_open(path, &error);

    if (dataset == NULL) {
        g_assert_nonnull(error);
        g_assert_true(g_str_has_prefix(error->message, folder));
        return FALSE;
    }
    g_assert_no_error(error);
    g_assert_cmpuint(dataset->pictures->len, >, 0);
    sum_pixels(dataset);
    return TRUE;
}

/* ---- MNIST ------------------------------------------------------------------------------------------------------- */

#define PICTURES_BYTES (16 + N * WIDTH * HEIGHT)
#define LABELS_BYTES (8 + N)

static void make_mnist(guint8 pictures[PICTURES_BYTES], guint8 labels[LABELS_BYTES])
{
    static const guint8 head[16] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
    static const guint8 labels_head[8] = {0, 0, 8, 1, 0, 0, 0, N};

    memcpy(pictures, head, sizeof head);
    for (guint i = 0; i < N * WIDTH * HEIGHT; i++)
        pictures[sizeof head + i] = (guint8)i;
    memcpy(labels, labels_head, sizeof labels_head);
    for (guint i = 0; i < N; i++)
        labels[sizeof labels_head + i] = (guint8)(2 * i);
}

static void mnist_has_its_pictures(void)
{
    guint8 pictures[PICTURES_BYTES], labels[LABELS_BYTES];
    g_autofree gchar *path = NULL, *beside = NULL, *name = NULL;
    g_autoptr(Dataset) dataset = NULL;
    g_autoptr(GError) error = NULL;
    GpudlFrame frame;

    make_mnist(pictures, labels);
    path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);
    beside = put("t10k-labels-idx1-ubyte", labels, sizeof labels);
    dataset = dataset_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(dataset->kind, ==, DATASET_MNIST);
    g_assert_cmpuint(dataset->pictures->len, ==, N);
    g_assert_cmpuint(dataset->labels->len, ==, 5);
    g_assert_cmpuint(g_array_index(dataset->pictures, guint, 2), ==, 4);
    g_assert_true(dataset_frame(dataset, 1, &frame));
    g_assert_cmpint(frame.format, ==, GPUDL_PIXEL_GRAY8);
    g_assert_cmpint(frame.range, ==, GPUDL_RANGE_FULL);
    g_assert_true(frame.width == WIDTH && frame.height == HEIGHT && frame.strides[0] == WIDTH);
    g_assert_cmpuint(*(const guint8 *)frame.planes[0], ==, WIDTH * HEIGHT);
    name = dataset_name(dataset, 1);
    g_assert_true(g_str_has_suffix(name, "t10k-images-idx3-ubyte #1"));
}

/* Bytes 4 to 15, number, height and width, that no pixels can be there for, and products that are small in 32 bits. */
static void check_refused_sizes(const guint8 *labels, gsize n_labels)
{
    static const guint8 sizes[][12] = {
        {0, 0, 0, 0, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH}, {0, 0, 0, N, 0, 0, 0, 0, 0, 0, 0, WIDTH},
        {0, 0, 0, N, 0, 0, 0, HEIGHT, 0, 0, 0, 0},     {0, 0, 0, N, 0, 1, 0, 0, 0, 1, 0, 0},
        {0, 0, 0, N, 0x80, 0, 0, 0, 0, 0, 0, 2},       {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1},
    };
    guint8 pictures[PICTURES_BYTES] = {0, 0, 8, 3};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree gchar *path = NULL, *beside = put("t10k-labels-idx1-ubyte", labels, n_labels);

        memcpy(pictures + 4, sizes[i], sizeof sizes[i]);
        path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);
        g_assert_false(try_open(path));
    }
}

static void mnist_without_its_whole_header_is_cut(void)
{
    static const guint8 cut[] = {0, 0, 8, 3, 0, 0};
    g_autofree gchar *path = put("t10k-images-idx3-ubyte", cut, sizeof cut);
    g_autoptr(GError) error = NULL;

    g_assert_null(dataset_open(path, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "has 6 bytes, expected a header of 16"));
}

static void mnist_is_not_believed(void)
{
    guint8 pictures[PICTURES_BYTES], labels[LABELS_BYTES];

    make_mnist(pictures, labels);
    for (gsize n = 0; n <= sizeof pictures; n++) {
        g_autofree gchar *path = put("t10k-images-idx3-ubyte", pictures, n);
        g_autofree gchar *beside = put("t10k-labels-idx1-ubyte", labels, sizeof labels);

        g_assert_cmpint(try_open(path), ==, n == sizeof pictures);
    }
    for (gsize n = 0; n <= sizeof labels; n++) {
        g_autofree gchar *path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);
        g_autofree gchar *beside = put("t10k-labels-idx1-ubyte", labels, n);

        g_assert_cmpint(try_open(path), ==, n == sizeof labels);
    }
    check_refused_sizes(labels, sizeof labels);
    /* the labels of other pictures */
    labels[7] = N - 1;
    g_free(put("t10k-labels-idx1-ubyte", labels, sizeof labels));
    {
        g_autofree gchar *path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);

        g_assert_false(try_open(path));
    }
    for (guint i = 0; i < 1000; i++) {
        guint at = (guint)g_test_rand_int_range(0, PICTURES_BYTES + LABELS_BYTES);
        guint8 value = (guint8)g_test_rand_int_range(0, 256);
        g_autofree gchar *path = NULL, *beside = NULL;

        make_mnist(pictures, labels);
        /* heads are where sizes stand */
        at = at % 2 == 0 ? at : at % 24;
        if (at < 16)
            pictures[at] = value;
        else if (at < 24)
            labels[at - 16] = value;
        else if (at < 24 + N)
            labels[8 + at - 24] = value;
        path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);
        beside = put("t10k-labels-idx1-ubyte", labels, sizeof labels);
        try_open(path);
    }
}

/* ---- CIFAR ------------------------------------------------------------------------------------------------------- */

static void cifar_has_planes(void)
{
    const gsize step = 1 + 3072;
    g_autofree guint8 *data = g_malloc0(2 * step);
    g_autofree gchar *path = NULL;
    g_autoptr(Dataset) dataset = NULL;
    GpudlFrame frame;

    data[0] = 9;
    data[step] = 3;
    data[step + 1 + 1024] = 77;
    path = put("test_batch.bin", data, 2 * step);
    dataset = dataset_open(path, NULL);
    g_assert_nonnull(dataset);
    g_assert_cmpint(dataset->kind, ==, DATASET_CIFAR10);
    g_assert_cmpuint(dataset->labels->len, ==, 10);
    g_assert_cmpuint(g_array_index(dataset->pictures, guint, 0), ==, 9);
    g_assert_true(dataset_frame(dataset, 1, &frame));
    g_assert_cmpint(frame.format, ==, GPUDL_PIXEL_RGBP);
    g_assert_cmpuint(*(const guint8 *)frame.planes[1], ==, 77);
    g_assert_cmpuint(sum_pixels(dataset), ==, 77);
    /* a label that can't be, and a record that is not all there */
    data[step] = 10;
    g_free(g_steal_pointer(&path));
    path = put("test_batch.bin", data, 2 * step);
    g_assert_false(try_open(path));
    data[step] = 3;
    g_free(g_steal_pointer(&path));
    path = put("test_batch.bin", data, 2 * step - 1);
    g_assert_false(try_open(path));
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static void lists_of_any_bytes(void)
{
    static const gchar parts[] = "a.png\t \",\n\n\r0123\xc3\xa4/..://\\'\x01";

    for (guint i = 0; i < 2000; i++) {
        gchar text[64];
        gsize n = (gsize)g_test_rand_int_range(0, sizeof text);
        g_autofree gchar *path = NULL;

        for (gsize k = 0; k < n; k++)
            text[k] =
                i % 4 == 0 ? (gchar)g_test_rand_int_range(0, 256) : parts[g_test_rand_int_range(0, sizeof parts - 1)];
        path = put(i % 2 == 0 ? "list.txt" : "list.csv", (const guint8 *)text, n);
        try_open(path);
    }
}

/* Bytes that begin as gzip's do, and are none. */
static void packed_files_are_not_believed(void)
{
    for (guint i = 0; i < 200; i++) {
        guint8 data[40] = {0x1f, 0x8b, 8};
        g_autofree gchar *path = NULL;

        for (guint k = 3; k < sizeof data; k++)
            data[k] = (guint8)(k < 10 ? 0 : g_test_rand_int_range(0, 256));
        path = put("list.txt.gz", data, sizeof data);
        try_open(path);
    }
}

/* ---- matching ---------------------------------------------------------------------------------------------------- */

static Dataset *make_list(const gchar *labels)
{
    g_auto(GStrv) names = g_strsplit(labels, "|", -1);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree gchar *path = NULL;
    Dataset *dataset;

    for (guint i = 0; names[i] != NULL; i++)
        g_string_append_printf(text, "%u.png\t%s\n", i, names[i]);
    path = put("match.txt", (const guint8 *)text->str, text->len);
    dataset = dataset_open(path, NULL);
    g_assert_nonnull(dataset);
    return dataset;
}

static void names_are_found_however_they_are_written(void)
{
    static const gchar *const names[] = {"tench, Tinca tinca", "great_white shark", "CRANE", "crane", "7", NULL};
    static const struct {
        const gchar *label;
        gint id; /* -1: refused */
        DatasetMatch match;
    } cases[] = {
        {"Tench", 0, DATASET_BY_NAME},
        {"TENCH,_Tinca-tinca", 0, DATASET_BY_NAME},
        {"Great-White Shark", 1, DATASET_BY_NAME},
        {"crane", -1, 0},
        {"tinca", -1, 0},
        {"7", 4, DATASET_BY_NAME}, /* a name before it is a number */
        {"5", 5, DATASET_BY_NUMBER},
        {"6", -1, 0},
        {"-1", -1, 0},
        {"5.0", -1, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Dataset) dataset = make_list(cases[i].label);
        g_autofree guint32 *ids = NULL;
        g_autoptr(GError) error = NULL;
        DatasetMatch match;

        ids = dataset_match(dataset, names, G_N_ELEMENTS(names), &match, &error);
        if (cases[i].id < 0) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
            continue;
        }
        g_assert_no_error(error);
        g_assert_cmpuint(ids[0], ==, (guint)cases[i].id);
        g_assert_cmpint(match, ==, cases[i].match);
    }
}

/* All of them one way: a name among numbers is no class. */
static void names_and_numbers_do_not_mix(void)
{
    static const gchar *const names[] = {"red", "green", "blue"};
    g_autoptr(Dataset) dataset = make_list("red|1");
    g_autoptr(GError) error = NULL;
    DatasetMatch match;

    g_assert_null(dataset_match(dataset, names, 3, &match, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
}

/* Three digits' files have labels 0 to 4, of which 1 and 3 have no picture: those need no class, the others do. */
static void labels_without_pictures_need_no_class(void)
{
    static const gchar *const all[] = {"4", "0", "2"}, *const some[] = {"4", "0", "one"};
    guint8 pictures[PICTURES_BYTES], labels[LABELS_BYTES];
    g_autofree gchar *path = NULL, *beside = NULL;
    g_autofree guint32 *ids = NULL;
    g_autoptr(Dataset) dataset = NULL;
    g_autoptr(GError) error = NULL;
    DatasetMatch match;

    make_mnist(pictures, labels);
    path = put("t10k-images-idx3-ubyte", pictures, sizeof pictures);
    beside = put("t10k-labels-idx1-ubyte", labels, sizeof labels);
    dataset = dataset_open(path, &error);
    g_assert_no_error(error);
    ids = dataset_match(dataset, all, G_N_ELEMENTS(all), &match, &error);
    g_assert_no_error(error);
    g_assert_cmpint(match, ==, DATASET_BY_NAME);
    g_assert_true(ids[0] == 1 && ids[2] == 2 && ids[4] == 0);
    g_assert_cmpuint(MIN(ids[1], ids[3]), >=, G_N_ELEMENTS(all));
    g_assert_null(dataset_match(dataset, some, G_N_ELEMENTS(some), &match, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
}

int main(int argc, char **argv)
{
    static const gchar *const files[] = {"t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte",
                                         "test_batch.bin",
                                         "list.txt",
                                         "list.csv",
                                         "list.txt.gz",
                                         "match.txt"};
    gint result;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("gpudl-dataset-XXXXXX", NULL);
    g_test_add_func("/tools/dataset/mnist", mnist_has_its_pictures);
    g_test_add_func("/tools/dataset/mnist-cut-header", mnist_without_its_whole_header_is_cut);
    g_test_add_func("/tools/dataset/mnist-hostile", mnist_is_not_believed);
    g_test_add_func("/tools/dataset/cifar", cifar_has_planes);
    g_test_add_func("/tools/dataset/lists", lists_of_any_bytes);
    g_test_add_func("/tools/dataset/packed", packed_files_are_not_believed);
    g_test_add_func("/tools/dataset/names", names_are_found_however_they_are_written);
    g_test_add_func("/tools/dataset/without-pictures", labels_without_pictures_need_no_class);
    g_test_add_func("/tools/dataset/mixed", names_and_numbers_do_not_mix);
    result = g_test_run();
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree gchar *path = g_build_filename(folder, files[i], NULL);

        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    return result;
}
