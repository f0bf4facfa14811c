/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is no JSON is an error before the parser, which recurses, could follow it. */
#include <string.h>

#include "engine/gpudl.h"
#include "models/json.h"

#define DEEP 3000000u

static void test_good(void)
{
    static const gchar text[] = "{\"a\": [1, \"/'\\\"[\\u00e9\\ud834\\udd1e\"], \"b\": {\"c\": \"//\"}}";
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = gpudl_json_parse(text, strlen(text), &error);
    JsonObject *object;

    g_assert_no_error(error);
    object = json_node_get_object(root);
    g_assert_cmpstr(json_array_get_string_element(gpudl_json_array(object, "a"), 1), ==, "/'\"[\u00e9\U0001d11e");
    g_assert_cmpstr(gpudl_json_text(gpudl_json_object(object, "b"), "c"), ==, "//");
}

/* Brackets behind something in which a quote is none, so that they are within a text for who counts them. */
static void test_hidden_brackets(void)
{
    static const gchar *const before[] = {"{\"a\":",
                                          "{\"a\":/*\"*/",
                                          "{\"a\"://\"\n",
                                          "{'\"':",
                                          "{\"a\":[\"\\u1\" , \",",
                                          "{\"a\":[\"\\u123\" , \",",
                                          "{\"a\":[\"\\ud834\" , \",",
                                          "{\"a\":[\"\\ud834\\\" , \"",
                                          "{\"a\":[\"\\ud834\\u0031\" , \","};

    for (guint i = 0; i < G_N_ELEMENTS(before); i++) {
        g_autofree gchar *text = g_malloc(strlen(before[i]) + DEEP);
        g_autoptr(GError) error = NULL;

        memset(text, '[', strlen(before[i]) + DEEP);
        memcpy(text, before[i], strlen(before[i]));
        g_assert_null(gpudl_json_parse(text, strlen(before[i]) + DEEP, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_true(g_str_has_prefix(error->message, "is no object of JSON: "));
    }
}

static void test_values(void)
{
    const gsize n = 3u << 20;
    g_autofree gchar *text = g_malloc(2 * n + 8);
    g_autoptr(GError) error = NULL;

    memcpy(text, "{\"a\":[", 6);
    for (gsize i = 0; i < n; i++)
        memcpy(text + 6 + 2 * i, "1,", 2);
    memcpy(text + 5 + 2 * n, "]}", 2);
    g_assert_null(gpudl_json_parse(text, 2 * n + 7, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "more than 2097152 values"));
}

static void test_refused(void)
{
    static const gchar *const texts[] = {
        "", "[]", "1", "{", "{\"a\": \"\xff\"}", "{\"a\": \"\\ud834\"}", "{\"a\": 'b'}", "{} //"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(gpudl_json_parse(texts[i], strlen(texts[i]), &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/texts-with-signs-in-them", test_good);
    g_test_add_func("/json/brackets-cannot-hide", test_hidden_brackets);
    g_test_add_func("/json/values-are-counted", test_values);
    g_test_add_func("/json/refused", test_refused);
    return g_test_run();
}
