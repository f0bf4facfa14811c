/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tuning kept in files: what is written is read; what is damaged, foreign or hostile is not there. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/cache.h"

enum { FORMS = 4 };

static const gchar device[] = "NVIDIA H100, 9.0, driver 13000, cuDNN 91900";
static const gchar step[] = "conv fp16 x 1x7x7x512 w 512x3x3";

typedef struct {
    gchar *folder, *inner;
    GpudlCache cache;
} Fixture;

static Fixture begin(void)
{
    Fixture f = {.folder = g_dir_make_tmp("gpudl-cache-XXXXXX", NULL)};

    g_assert_nonnull(f.folder);
    f.inner = g_strdup_printf("%s/some-%d", f.folder, GPUDL_CACHE_FORMAT);
    g_assert_true(gpudl_cache_open(&f.cache, "some", f.folder, NULL, device));
    return f;
}

static void end(Fixture *f)
{
    g_autoptr(GDir) dir = g_dir_open(f->inner, 0, NULL);
    const gchar *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree gchar *path = g_build_filename(f->inner, name, NULL);

        g_remove(path);
    }
    g_rmdir(f->inner);
    g_rmdir(f->folder);
    gpudl_cache_close(&f->cache);
    g_free(f->inner);
    g_free(f->folder);
}

/* The only file there is. */
static gchar *only_file(const Fixture *f)
{
    g_autoptr(GDir) dir = g_dir_open(f->inner, 0, NULL);
    const gchar *name = dir != NULL ? g_dir_read_name(dir) : NULL;
    gchar *path = g_build_filename(f->inner, name, NULL);

    g_assert_nonnull(name);
    g_assert_null(g_dir_read_name(dir));
    return path;
}

static void write_entry(const GpudlCache *cache, const gchar *of, gint32 form, const gchar *plan)
{
    GpudlCacheEntry entry = {.form = form,
                             .ns = 1234,
                             .plan = (char *)plan,
                             .plan_bytes = plan != NULL ? strlen(plan) : 0,
                             .name = "cuDNN engine 39, half bias"};
    char message[512] = "";

    if (!gpudl_cache_write(cache, of, &entry, message, sizeof message))
        g_error("%s", message);
}

static gboolean is_there(const GpudlCache *cache, const gchar *of)
{
    GpudlCacheEntry entry;

    if (!gpudl_cache_read(cache, of, FORMS, &entry))
        return FALSE;
    free(entry.plan);
    return TRUE;
}

static void test_what_is_written_is_read(void)
{
    Fixture f = begin();
    GpudlCacheEntry entry;

    g_assert_false(is_there(&f.cache, step));
    write_entry(&f.cache, step, 1, "{\"engine\": 39}\nmore");
    g_assert_true(gpudl_cache_read(&f.cache, step, FORMS, &entry));
    g_assert_cmpint(entry.form, ==, 1);
    g_assert_cmpfloat(entry.ns, ==, 1234);
    g_assert_cmpstr(entry.name, ==, "cuDNN engine 39, half bias");
    g_assert_cmpmem(entry.plan, entry.plan_bytes, "{\"engine\": 39}\nmore", 19);
    free(entry.plan);
    write_entry(&f.cache, step, FORMS - 1, NULL); /* replaces it */
    g_assert_true(gpudl_cache_read(&f.cache, step, FORMS, &entry));
    g_assert_cmpint(entry.form, ==, FORMS - 1);
    g_assert_null(entry.plan);
    g_free(only_file(&f));
    end(&f);
}

static void test_other_steps_devices_backends_and_folders_know_nothing(void)
{
    Fixture f = begin();
    GpudlCache other;

    write_entry(&f.cache, step, 0, "plan");
    g_assert_false(is_there(&f.cache, "conv fp16 x 1x7x7x512 w 512x3x"));
    g_assert_true(gpudl_cache_open(&other, "some", f.folder, NULL, "NVIDIA H100, 9.0, driver 13000, cuDNN 91901"));
    g_assert_false(is_there(&other, step));
    gpudl_cache_close(&other);
    g_assert_true(gpudl_cache_open(&other, "other", f.folder, NULL, device));
    g_assert_false(is_there(&other, step));
    gpudl_cache_close(&other);
    g_assert_true(gpudl_cache_open(&other, "some", NULL, "/nowhere", device));
    g_assert_false(is_there(&other, step));
    write_entry(&other, step, 0, "plan"); /* there is no folder: nothing to do */
    gpudl_cache_close(&other);
    end(&f);
}

static void test_what_is_shipped_is_read_second(void)
{
    Fixture shipped = begin(), own = begin();
    GpudlCacheEntry entry;
    GpudlCache both;

    write_entry(&shipped.cache, step, 0, "shipped");
    g_assert_true(gpudl_cache_open(&both, "some", own.folder, shipped.folder, device));
    g_assert_true(gpudl_cache_read(&both, step, FORMS, &entry));
    g_assert_cmpmem(entry.plan, entry.plan_bytes, "shipped", 7);
    free(entry.plan);
    write_entry(&both, step, 2, "own");
    g_assert_true(gpudl_cache_read(&both, step, FORMS, &entry));
    g_assert_cmpmem(entry.plan, entry.plan_bytes, "own", 3);
    free(entry.plan);
    g_assert_true(gpudl_cache_read(&shipped.cache, step, FORMS, &entry)); /* is as it was */
    g_assert_cmpmem(entry.plan, entry.plan_bytes, "shipped", 7);
    free(entry.plan);
    gpudl_cache_close(&both);
    end(&shipped);
    end(&own);
}

static void test_damage_is_a_miss(void)
{
    Fixture f = begin();
    g_autofree gchar *path = NULL, *content = NULL;
    gsize n;

    write_entry(&f.cache, step, 1, "{\"engine\": 39}");
    path = only_file(&f);
    g_assert_true(g_file_get_contents(path, &content, &n, NULL));
    for (gsize i = 0; i <= n; i++) { /* cut off, then too long */
        g_autofree gchar *longer = g_strdup_printf("%s%s", content, "x");

        g_assert_true(g_file_set_contents(path, i < n ? content : longer, (gssize)(i < n ? i : n + 1), NULL));
        g_assert_false(is_there(&f.cache, step));
    }
    for (gsize i = 0; i < n; i++) {
        g_autofree gchar *changed = g_memdup2(content, n);

        changed[i] = (gchar)(changed[i] ^ (i % 2 ? 1 : 0x80));
        g_assert_true(g_file_set_contents(path, changed, (gssize)n, NULL));
        g_assert_false(is_there(&f.cache, step));
    }
    g_assert_true(g_file_set_contents(path, content, (gssize)n, NULL));
    g_assert_true(is_there(&f.cache, step));
    end(&f);
}

/* As the format says, checksum and all. */
static void write_with_checksum(const gchar *path, const gchar *body)
{
    guint64 sum = G_GUINT64_CONSTANT(0xcbf29ce484222325);
    g_autofree gchar *content = NULL;

    for (const gchar *c = body; *c != '\0'; c++)
        sum = (sum ^ (guint8)*c) * G_GUINT64_CONSTANT(0x100000001b3);
    content = g_strdup_printf("gpudl-tuning %d %016" G_GINT64_MODIFIER "x\n%s", GPUDL_CACHE_FORMAT, sum, body);
    g_assert_true(g_file_set_contents(path, content, -1, NULL));
}

static void test_hostile_content_is_a_miss(void)
{
    static const gchar *const choices[] = {
        "4 1 4 name\nplan",       /* a form that there is not */
        "-1 1 4 name\nplan",      /* of either kind */
        "4294967296 1 4 n\nplan", /* that a narrower number would take for 0 */
        "0 0 4 name\nplan",       /* no time */
        "0 1 5 name\nplan",       /* more than there is */
        "0 1 3 name\nplan",       /* less */
        "0 1 0 name\n",           /* no plan where one is needed */
        "3 1 4 name\nplan",       /* one where none is */
        "0 1 99999999999999999999 name\nplan",
        "0 1 18446744073709551620 name\nplan", /* 4, if it wraps around */
        "0 1 0000000000004 name\nplan",        /* longer than any that is written */
        "0 1  name\nplan",
        "0 1 4 \x1b[31mname\nplan", /* would reach a terminal */
        "0 1 4 a name that is longer than there is room for it\nplan",
        "0 1 4 name",
        "0",
        "",
    };
    Fixture f = begin();
    g_autofree gchar *path = NULL, *good = g_strdup_printf("%s\n%s\n0 1 4 name\nplan", device, step);

    write_entry(&f.cache, step, 1, "plan");
    path = only_file(&f);
    write_with_checksum(path, good);
    g_assert_true(is_there(&f.cache, step)); /* so the checksum is not what the others fail by */
    for (guint i = 0; i < G_N_ELEMENTS(choices); i++) {
        g_autofree gchar *body = g_strdup_printf("%s\n%s\n%s", device, step, choices[i]);

        write_with_checksum(path, body);
        if (is_there(&f.cache, step))
            g_error("'%s' is taken", choices[i]);
    }
    write_with_checksum(path, "");
    g_assert_false(is_there(&f.cache, step));
    end(&f);
}

static void test_only_plain_files_of_our_own_are_read(void)
{
    Fixture f = begin();
    g_autofree gchar *path = NULL, *aside = NULL;

    write_entry(&f.cache, step, 1, "plan");
    path = only_file(&f);
    aside = g_strconcat(path, ".aside", NULL);
    g_assert_cmpint(g_chmod(path, 0666), ==, 0); /* whoever may write it could run what he likes */
    g_assert_false(is_there(&f.cache, step));
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
    g_assert_true(is_there(&f.cache, step));
    g_assert_cmpint(g_rename(path, aside), ==, 0);
    g_assert_cmpint(symlink(aside, path), ==, 0);
    g_assert_false(is_there(&f.cache, step));
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0); /* nobody writes into it */
    g_assert_false(is_there(&f.cache, step));
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    g_assert_false(is_there(&f.cache, step));
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_assert_cmpint(truncate(path, (off_t)1 << 40), ==, 0); /* more than anyone has */
    g_assert_false(is_there(&f.cache, step));
    end(&f);
}

static void test_nothing_is_left_of_what_cannot_be_kept(void)
{
    Fixture f = begin();
    const GpudlCacheEntry entry = {.form = 0, .ns = 1, .plan = (char *)"plan", .plan_bytes = 4, .name = "name"};
    g_autofree gchar *path = NULL, *still = NULL;
    char message[512] = "";

    write_entry(&f.cache, step, 1, "plan");
    path = only_file(&f);
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0); /* no file can take its name */
    g_assert_false(gpudl_cache_write(&f.cache, step, &entry, message, sizeof message));
    still = only_file(&f);
    g_assert_cmpstr(still, ==, path);
    end(&f);
}

static void test_a_folder_that_cannot_be_written_is_told(void)
{
    Fixture f = begin();
    g_autofree gchar *file = g_build_filename(f.folder, "file", NULL), *below = g_build_filename(file, "a/b", NULL);
    const GpudlCacheEntry entry = {.form = 0, .ns = 1, .plan = (char *)"plan", .plan_bytes = 4, .name = "name"};
    char message[512] = "";
    GpudlCache cache;

    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_true(gpudl_cache_open(&cache, "some", below, NULL, device));
    g_assert_false(gpudl_cache_write(&cache, step, &entry, message, sizeof message));
    g_assert_nonnull(strstr(message, below));
    g_assert_nonnull(strstr(message, "Not a directory"));
    g_assert_nonnull(strstr(message, "GPUDL_CACHE_DIR"));
    g_assert_false(is_there(&cache, step));
    gpudl_cache_close(&cache);
    g_remove(file);
    end(&f);
}

static void check_can_write(const gchar *folder, const gchar *says)
{
    char message[512] = "";
    GpudlCache cache;

    g_assert_true(gpudl_cache_open(&cache, "some", folder, NULL, device));
    g_assert_cmpint(gpudl_cache_can_write(&cache, message, sizeof message), ==, says == NULL);
    if (says != NULL) {
        g_assert_nonnull(strstr(message, folder));
        g_assert_nonnull(strstr(message, says));
        g_assert_nonnull(strstr(message, "GPUDL_CACHE_DIR"));
    } else {
        g_assert_cmpstr(message, ==, "");
    }
    gpudl_cache_close(&cache);
}

/* Nothing is made by asking. A user who may do all (root) is not refused by permissions, but by a file system is. */
static void test_whether_it_can_be_written_is_told_before(void)
{
    Fixture f = begin();
    g_autofree gchar *below = g_build_filename(f.folder, "a", "b", NULL);
    g_autofree gchar *above = g_build_filename(f.folder, "a", NULL);
    g_autofree gchar *file = g_build_filename(f.folder, "file", NULL);
    g_autofree gchar *in_file = g_build_filename(file, "a", "b", NULL);
    g_autofree gchar *sealed = g_build_filename(f.folder, "sealed", NULL);
    g_autofree gchar *in_sealed = g_build_filename(sealed, "a", NULL);

    check_can_write(f.folder, NULL);
    check_can_write(below, NULL);
    g_assert_false(g_file_test(above, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    check_can_write(file, "Not a directory");
    check_can_write(in_file, "Not a directory");
    g_assert_cmpint(g_mkdir(sealed, 0500), ==, 0);
    if (geteuid() != 0) {
        check_can_write(sealed, "Permission denied");
        check_can_write(in_sealed, "Permission denied");
    }
    g_assert_cmpint(g_rmdir(sealed), ==, 0);
    g_remove(file);
    end(&f);
}

/* Each plan is one letter, over and over: a mixture would be seen. */
static gpointer write_often(gpointer data)
{
    const GpudlCache *cache = data;

    for (gint i = 0; i < 200; i++) {
        g_autofree gchar *plan = g_strnfill((gsize)g_random_int_range(1, 20000), (gchar)g_random_int_range('a', 'z'));

        write_entry(cache, step, 0, plan);
    }
    return NULL;
}

static void test_files_are_whole_at_any_time(void)
{
    Fixture f = begin();
    GThread *threads[3];

    write_entry(&f.cache, step, 0, "aaa");
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("writer", write_often, &f.cache);
    for (gint i = 0; i < 1000; i++) {
        GpudlCacheEntry entry;

        g_assert_true(gpudl_cache_read(&f.cache, step, FORMS, &entry));
        for (gsize k = 1; k < entry.plan_bytes; k++)
            g_assert_cmpint(entry.plan[k], ==, entry.plan[0]);
        free(entry.plan);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_free(only_file(&f)); /* nothing is left behind */
    end(&f);
}

/* Not as printf has them, whose decimal point is the locale's. */
static void test_numbers_are_the_same_everywhere(void)
{
    static const struct {
        gfloat value;
        const gchar *text;
    } numbers[] = {{0, "0"},
                   {6, "6"},
                   {-1, "-1"},
                   {999999, "999999"},
                   {1e6f, "0x49742400"},
                   {0.1f, "0x3dcccccd"},
                   {-0.f, "0x80000000"},
                   {-2.5f, "0xc0200000"},
                   {INFINITY, "0x7f800000"},
                   {NAN, "0x7fc00000"}};
    gchar text[GPUDL_CACHE_NUMBER];

    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
        g_assert_cmpstr(gpudl_cache_number(numbers[i].value, text), ==, numbers[i].text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cache/numbers-are-the-same-everywhere", test_numbers_are_the_same_everywhere);
    g_test_add_func("/cache/what-is-written-is-read", test_what_is_written_is_read);
    g_test_add_func("/cache/other-steps-devices-backends-and-folders-know-nothing",
                    test_other_steps_devices_backends_and_folders_know_nothing);
    g_test_add_func("/cache/what-is-shipped-is-read-second", test_what_is_shipped_is_read_second);
    g_test_add_func("/cache/damage-is-a-miss", test_damage_is_a_miss);
    g_test_add_func("/cache/hostile-content-is-a-miss", test_hostile_content_is_a_miss);
    g_test_add_func("/cache/only-plain-files-of-our-own-are-read", test_only_plain_files_of_our_own_are_read);
    g_test_add_func("/cache/a-folder-that-cannot-be-written-is-told", test_a_folder_that_cannot_be_written_is_told);
    g_test_add_func("/cache/whether-it-can-be-written-is-told-before", test_whether_it_can_be_written_is_told_before);
    g_test_add_func("/cache/nothing-is-left-of-what-cannot-be-kept", test_nothing_is_left_of_what_cannot_be_kept);
    g_test_add_func("/cache/files-are-whole-at-any-time", test_files_are_whole_at_any_time);
    return g_test_run();
}
