/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The forms in which labels come. */
#include <string.h>

#include "engine/gpudl.h"
#include "engine/labels.h"

#define LONG "01234567890123456789012345678901234567890123456789012345678901"

static void test_forms(void)
{
    static const struct {
        const gchar *text, *labels; /* labels with | between them */
    } rows[] = {
        {"cat\ndog\nowl\n", "cat|dog|owl"},
        /* ids */
        {"0 cat\n1 dog\n2 owl", "cat|dog|owl"},
        {"2: owl\n0: cat\n1: dog", "cat|dog|owl"},
        {"1,cat\n2,dog", "cat|dog"},
        {"0\tcat\n1\tdog", "cat|dog"},
        {"0;cat\n1;dog", "cat|dog"},
        {"0:'cat'\n1:'big dog'", "cat|big dog"},
        {"0 n01440764 tench, Tinca\n1 n01443537 goldfish", "tench, Tinca|goldfish"},
        {"0 cat\n1 crane\n2 dog\n3 crane", "cat|crane|dog|crane"},
        /* no ids: few names, numbers that are no ids, a line without one */
        {"1 euro\n2 euro", "1 euro|2 euro"},
        {"50 cents\n2 euros", "50 cents|2 euros"},
        {"0 cat\ndog", "0 cat|dog"},
        {"0\n90\n180\n270", "0|90|180|270"},
        {"0\n1\n2", "0|1|2"},
        {"747 jet\n1 dog", "747 jet|1 dog"},
        /* quotes */
        {"\"cat\"\n\"dog\"", "cat|dog"},
        {"'cat',\n'dog',\n'owl'", "cat|dog|owl"},
        {"'cat'\ndog's\n", "'cat'|dog's"},
        /* semicolons */
        {"cat;dog;owl", "cat|dog|owl"},
        {"cat; dog ;owl;\n", "cat|dog|owl"},
        {"a;b\nc;d", "a;b|c;d"},
        /* JSON and Python */
        {"[\"cat\", \"dog\"]", "cat|dog"},
        {"['cat',\n'dog',]", "cat|dog"},
        {"{\"0\": \"cat\", \"1\": \"dog\"}", "cat|dog"},
        {"{\"1\": \"dog\", \"0\": \"cat\"}", "cat|dog"},
        {"{0: 'cat', 1: \"dog's\"}", "cat|dog's"},
        {"{1: 'cat', 2: 'dog'}", "cat|dog"},
        {"{\"cat\": 0, \"dog\": 1}", "cat|dog"},
        {"{\"7\": 1, \"3\": 0}", "3|7"},
        {"{\"0\": [\"n01440764\", \"tench\"], \"1\": [\"n01443537\", \"goldfish\"]}", "tench|goldfish"},
        {"[\"\\u00e9\\ud83d\\ude00\", \"a\\\\b\\\"\"]", "\xc3\xa9\xf0\x9f\x98\x80|a\\b\""},
        {"\xef\xbb\xbf[\"cat\"]", "cat"},
        /* pbtxt */
        {"item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\n", "cat|dog"},
        {"item {\n  name: \"/m/01g317\"\n  id: 2\n  display_name: \"Person\"\n}\nitem{ id: 1 name: \"a\" }",
         "a|Person"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) labels = gpudl_labels_parse(rows[i].text, &error);
        g_autofree gchar *joined = NULL;

        g_assert_no_error(error);
        joined = g_strjoinv("|", labels);
        g_assert_cmpstr(joined, ==, rows[i].labels);
    }
}

static void test_faults(void)
{
    static const struct {
        const gchar *text, *says;
    } rows[] = {
        {"", "no labels, expected 1.."},
        {"[]", "no labels, expected 1.."},
        {"{\"a\nb\": \"cat\"}", "neither 'a b' nor 'cat' is an id"},
        {"{\"cat\": \"" LONG LONG "\"}", "neither 'cat' nor '" LONG "01...' is an id"},
        {"[\"cat\"", "found the end of the text, expected ',' or ']'"},
        {"[\"cat\n", "expected the string's other quote"},
        {"[\"cat\",\n 7]", "line 2: found '7', expected a string in quotes"},
        {"[[\"a\", [\"b\"]]]", "found '[', expected a string in quotes"},
        {"{\"0\" \"cat\"}", "found '\"', expected ':'"},
        {"{\"0\": \"cat\", \"2\": \"dog\"}", "id 2 among 2 labels, expected each id of 0..1 or of 1..2 once"},
        {"{\"0\": \"cat\", \"0\": \"dog\"}", "id 0 among 2 labels"},
        {"{\"cat\": \"dog\"}", "neither 'cat' nor 'dog' is an id"},
        {"{\"0\": {\"name\": \"cat\"}}", "found '{', expected a string in quotes"},
        {"[\"cat\"] dog", "found 'd', expected nothing behind the list"},
        {"[\"\\u12g4\"]", "expected four hexadecimal digits"},
        {"item {\n name: 'cat'\n}", "expected an id and a name in the item before"},
        {"item {\n id: 1 name: 'cat'\n}\nthing {}", "line 4: found 't', expected item {"},
        {"item {\n id: 1 name: 'cat'", "expected a field's name or '}'"},
        {"{99999999999999999999: 'a'}", "among 1 labels"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(gpudl_labels_parse(rows[i].text, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        if (strstr(error->message, rows[i].says) == NULL)
            g_error("%s: \"%s\" does not say \"%s\"", rows[i].text, error->message, rows[i].says);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/labels/forms", test_forms);
    g_test_add_func("/labels/faults", test_faults);
    return g_test_run();
}
