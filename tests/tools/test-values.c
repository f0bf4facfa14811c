/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of options, and results as JSON. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "tools/command.h"
#include "tools/results.h"

static void three_numbers(void)
{
    g_autoptr(GError) error = NULL;
    float v[3];
    guint n;

    g_assert_true(parse_three("mean", "0.485,0.456,0.406", v, &n, &error));
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmpfloat(v[0], ==, 0.485f);
    g_assert_cmpfloat(v[2], ==, 0.406f);
    g_assert_true(parse_three("mean", " 1, -2 ,3e2", v, &n, &error));
    g_assert_cmpfloat(v[1], ==, -2.0f);
    g_assert_cmpfloat(v[2], ==, 300.0f);
    g_assert_true(parse_three("mean", "127.5", v, &n, &error));
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpfloat(v[2], ==, 127.5f);
    g_assert_no_error(error);
}

static void refused_numbers(void)
{
    static const gchar *const bad[] = {"", "1,2", "1,2,3,4", "a", "1,,3", "1;2;3", "nan", "inf,1,1", "1e60", "0x"};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        float v[3];

        g_assert_false(parse_three("mean", bad[i], v, NULL, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
        g_assert_true(g_str_has_prefix(error->message, "--mean: found '"));
    }
}

static void sizes_and_colours(void)
{
    static const gchar *const bad_sizes[] = {"224", "0x224", "224x", "x", "4097x1", "-1x2", "2x2x2", "1 x1"};
    static const gchar *const bad_colors[] = {"", "12345", "1234567", "12345g", "-00001"};
    gint h, w;
    guint32 color;

    g_assert_true(parse_size("input-size", "240x320", &h, &w, NULL));
    g_assert_cmpint(h, ==, 240);
    g_assert_cmpint(w, ==, 320);
    for (guint i = 0; i < G_N_ELEMENTS(bad_sizes); i++)
        g_assert_false(parse_size("input-size", bad_sizes[i], &h, &w, NULL));
    g_assert_true(parse_color("pad-color", "#10fF20", &color, NULL));
    g_assert_cmphex(color, ==, 0x10ff20);
    g_assert_true(parse_color("pad-color", "0x000001", &color, NULL));
    g_assert_cmphex(color, ==, 1);
    for (guint i = 0; i < G_N_ELEMENTS(bad_colors); i++)
        g_assert_false(parse_color("pad-color", bad_colors[i], &color, NULL));
}

static void names(void)
{
    static const NamedValue table[] = {{"rgb", 7}, {"bgr", 8}, {NULL, 0}};
    g_autoptr(GError) error = NULL;
    int value = 0;

    g_assert_true(parse_name("channel-order", "bgr", table, &value, &error));
    g_assert_cmpint(value, ==, 8);
    g_assert_false(parse_name("channel-order", "RGB", table, &value, &error));
    g_assert_cmpstr(error->message, ==, "--channel-order: found 'RGB', expected one of rgb, bgr");
}

/* What comes back from a JSON parser is what went in. */
static void json_strings(void)
{
    static const struct {
        const gchar *in, *back;
    } cases[] = {
        {"plain.jpg", "plain.jpg"},
        {"quote\" slash\\ tab\t newline\n bell\a", "quote\" slash\\ tab\t newline\n bell\a"},
        {"gr\xc3\xbc\xc3\x9f"
         "e.png",
         "gr\xc3\xbc\xc3\x9f"
         "e.png"},
        {"latin1-\xe9.jpg", "latin1-\xef\xbf\xbd.jpg"},
        {"", ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) text = g_string_new("[");
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) error = NULL;

        results_append_json_string(text, cases[i].in);
        g_string_append_c(text, ']');
        json_parser_load_from_data(parser, text->str, -1, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(json_array_get_string_element(json_node_get_array(json_parser_get_root(parser)), 0), ==,
                        cases[i].back);
    }
}

static void json_objects(void)
{
    static gchar *labels[] = {(gchar *)"a \"b\"", (gchar *)"c", NULL};
    const GpudlClass classes[] = {{0, 0.75f}, {1, NAN}};
    g_autoptr(GString) text = g_string_new(NULL);

    results_append_json(text, "x.avi", 7, 280000000, NULL, labels, classes, 2);
    g_assert_cmpstr(text->str, ==,
                    "{\"file\": \"x.avi\", \"frame\": 7, \"pts\": 280000000, \"results\": [{\"id\": 0, \"label\": "
                    "\"a \\\"b\\\"\", \"confidence\": 0.75}, {\"id\": 1, \"label\": \"c\", \"confidence\": null}]}");
    g_string_truncate(text, 0);
    results_append_json(text, "x.png", 0, -1, NULL, labels, classes, 0);
    g_assert_cmpstr(text->str, ==, "{\"file\": \"x.png\", \"frame\": 0, \"pts\": null, \"results\": []}");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/values/three-numbers", three_numbers);
    g_test_add_func("/values/refused-numbers", refused_numbers);
    g_test_add_func("/values/sizes-and-colours", sizes_and_colours);
    g_test_add_func("/values/names", names);
    g_test_add_func("/results/json-strings", json_strings);
    g_test_add_func("/results/json-objects", json_objects);
    return g_test_run();
}
