/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which implementations a network gets: what the cache says of times decides, whatever they are really. */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "engine/cache.h"
#include "tests/engine/builder.h"
#include "tests/engine/cpu-host.h"

#define SIDE 16
#define CHANNELS 32
#define MOST_ROWS 64

static GpudlTensor *add_product(Builder *b, GpudlTensor *x)
{
    GpudlTensor *inputs[] = {x, builder_random(b, "32x32", -1, 1), builder_random(b, "32", -1, 1)};

    return gpudl_graph_add_node(b->graph, GPUDL_OP_GEMM, "product", inputs, 3, NULL, 1)->outputs[0];
}

/* Two convolutions of the same kind, one of another between, which is depthwise, one that adds, squeeze-and-excite, a
 * fully connected layer. */
static Builder network(void)
{
    Builder b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x16x16"), *y, *gate;
    g_autoptr(GError) error = NULL;

    x = builder_act(&b, builder_conv(&b, x, 3, CHANNELS, 3, TRUE), GPUDL_ACT_RELU, 0, 0);
    /* by 5: of networks with what Winograd's transforms are for nothing is measured */
    x = builder_conv(&b, x, CHANNELS, CHANNELS, 5, TRUE);
    y = builder_act(&b, builder_conv(&b, x, CHANNELS, CHANNELS, 1, TRUE), GPUDL_ACT_CLIP, 0, 6);
    y = builder_node(&b, GPUDL_OP_CONV, y, builder_random(&b, "32x1x3x3", -1, 1));
    y->producer->attrs.window = (GpudlWindowAttrs){.n_spatial = 2, .group = CHANNELS};
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        GpudlWindowAttrs *w = &y->producer->attrs.window;

        w->kernel[i] = i < GPUDL_MAX_SPATIAL - 2 ? 1 : 3;
        w->stride[i] = w->dilation[i] = 1;
        w->pad_begin[i] = w->pad_end[i] = i < GPUDL_MAX_SPATIAL - 2 ? 0 : 1;
    }
    gate = builder_conv(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL), CHANNELS, 8, 1, TRUE);
    gate = builder_conv(&b, builder_act(&b, gate, GPUDL_ACT_RELU, 0, 0), 8, CHANNELS, 1, TRUE);
    y = builder_node(&b, GPUDL_OP_MUL, y, builder_act(&b, gate, GPUDL_ACT_SIGMOID, 0, 0));
    y = builder_conv(&b, y, CHANNELS, CHANNELS, 5, TRUE);
    y = builder_node(&b, GPUDL_OP_ADD, y, x);
    y = builder_pool(&b, GPUDL_OP_MAX_POOL, y, 2, 2, 0);
    y = builder_reshape(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL), "0x-1");
    builder_output(&b, add_product(&b, y));
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    return b;
}

/* ---- engines ----------------------------------------------------------------------------------------------------- */

typedef struct {
    Builder b;
    gchar *folder;
} Fixture;

static Fixture begin(void)
{
    Fixture f = {network(), g_dir_make_tmp("gpudl-tune-XXXXXX", NULL)};

    g_assert_nonnull(f.folder);
    return f;
}

static gchar *inner_folder(const Fixture *f)
{
    return g_strdup_printf("%s/cpu-%d", f->folder, GPUDL_CACHE_FORMAT);
}

static void end(Fixture *f)
{
    cpu_host_remove_cache(f->folder);
    g_free(f->folder);
    builder_clear(&f->b);
}

static CpuHost *open_engine(const Fixture *f, GpudlAutotune autotune)
{
    const GpudlOpenParams params = {
        .activation = GPUDL_ACTIVATION_NONE, .threads = 1, .autotune = autotune, .cache_dir = f->folder};
    CpuHost *host = cpu_host_new(f->b.graph);

    host->tunes = TRUE;
    cpu_host_start(host, &params);
    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    return host;
}

static GpudlOpenForecast foresee(const Fixture *f)
{
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1, .cache_dir = f->folder};
    g_autoptr(CpuHost) host = cpu_host_new(f->b.graph);
    GpudlOpenForecast forecast;

    host->tunes = TRUE;
    g_assert_cmpint(cpu_host_foresee(host, &params, &forecast), ==, GPUDL_STATUS_OK);
    g_assert_cmpuint((guint)host->missing, ==, forecast.n_choices - forecast.n_known);
    return forecast;
}

/* What the steps are computed by, one a line: "node: implementation". */
static gchar *implementations(CpuHost *host)
{
    const GpudlPlan *plan = gpudl_planner_get(host->planner, 1, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    const GpudlProfileRow *rows = NULL;
    GpudlFault fault = {""};
    guint n = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "%s: %s\n", plan->nodes[rows[i].node].name, rows[i].implementation);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gchar *implementations_at(const Fixture *f, GpudlAutotune autotune)
{
    g_autoptr(CpuHost) host = open_engine(f, autotune);

    return implementations(host);
}

/* A start measures for 0.4 s of its thread's time and leaves the rest to the next ones, which slow processors need, and
 * valgrind's. Returns what the last start ran. */
static gchar *learn(const Fixture *f)
{
    gchar *found = implementations_at(f, GPUDL_AUTOTUNE_CACHED);

    for (GpudlOpenForecast known = foresee(f); known.n_known < known.n_choices;) {
        const guint before = known.n_known;

        g_free(found);
        found = implementations_at(f, GPUDL_AUTOTUNE_CACHED);
        known = foresee(f);
        g_assert_cmpuint(known.n_known, >, before);
    }
    return found;
}

static gchar *implementations_of(const Fixture *f, const gchar *form)
{
    gchar *text;

    g_setenv("GPUDL_CPU_FORM", form, TRUE);
    text = implementations_at(f, GPUDL_AUTOTUNE_OFF);
    g_unsetenv("GPUDL_CPU_FORM");
    return text;
}

static guint count(const gchar *text, const gchar *part)
{
    guint n = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* Calls for every entry, with its device, problem and text. */
typedef void EntryFunc(const Fixture *f, const gchar *path, gchar **lines, gpointer data);

static guint for_entries(const Fixture *f, EntryFunc *func, gpointer data)
{
    g_autofree gchar *inner = inner_folder(f);
    g_autoptr(GDir) dir = g_dir_open(inner, 0, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    const gchar *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(paths, g_build_filename(inner, name, NULL));
    for (guint i = 0; i < paths->len; i++) {
        g_autofree gchar *content = NULL;
        g_auto(GStrv) lines = NULL;

        g_assert_true(g_file_get_contents(paths->pdata[i], &content, NULL, NULL));
        lines = g_strsplit(content, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), >=, 5);
        func(f, paths->pdata[i], lines, data);
    }
    return paths->len;
}

static void write_entry(const Fixture *f, const gchar *device, const gchar *problem, const gchar *text)
{
    GpudlCacheEntry entry = {.form = 0, .ns = 1, .plan = (gchar *)text, .plan_bytes = strlen(text), .name = "scripted"};
    gchar message[512] = "";
    GpudlCache cache;

    g_assert_true(gpudl_cache_open(&cache, "cpu", f->folder, NULL, device));
    if (!gpudl_cache_write(&cache, problem, &entry, message, sizeof message))
        g_error("%s", message);
    gpudl_cache_close(&cache);
}

/* Times of a kind of problem in its forms; 0: there is none. */
typedef struct {
    guint blocks, last, own, reorder;
    guint special_blocks, special_last; /* of the product with 1x1 windows; 0: as the others */
} Times;

static void script_entry(const Fixture *f, const gchar *path, gchar **lines, gpointer data)
{
    const Times *times = data;
    const gboolean is_special = strstr(lines[2], " w 32x32x1x1 ") != NULL && times->special_blocks != 0;
    const gboolean is_stem = strstr(lines[2], " w 32x3x3x3 ") != NULL;
    const gboolean is_product = g_str_has_prefix(lines[2], "product ");
    const gboolean has_own =
        is_product || is_stem || strstr(lines[2], " w 32x1x1x3x3 ") != NULL || g_str_has_prefix(lines[2], "squeeze ");
    g_autoptr(GString) text = g_string_new(NULL);

    if (g_str_has_prefix(lines[2], "reorder "))
        g_string_printf(text, "blocks %u scripted\nlast %u scripted\n", times->reorder, times->reorder);
    else if (is_product) /* has no layouts */
        g_string_printf(text, "blocks %u scripted\n", MIN(times->blocks, times->last));
    else
        g_string_printf(text, "blocks %u scripted\nlast %u scripted\n",
                        is_special ? times->special_blocks : times->blocks,
                        is_special ? times->special_last : times->last);
    if (has_own && times->own > 0)
        g_string_append_printf(text, "own %u scripted\n", times->own);
    write_entry(f, lines[1], lines[2], text->str);
}

static void script(const Fixture *f, const Times *times)
{
    g_assert_cmpuint(for_entries(f, script_entry, (gpointer)times), >=, 4);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_what_is_measured_is_kept(void)
{
    Fixture f = begin();
    GpudlOpenForecast before = foresee(&f), after;
    g_autofree gchar *first = NULL, *again = NULL;

    g_assert_cmpuint(before.n_choices, >=, 5);
    g_assert_cmpuint(before.n_known, ==, 0);
    g_assert_cmpstr(before.not_kept, ==, "");
    first = learn(&f);
    after = foresee(&f);
    g_assert_cmpuint(after.n_choices, ==, before.n_choices);
    g_assert_cmpuint(after.n_known, ==, after.n_choices);
    again = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpstr(again, ==, first);
    end(&f);
}

static void count_entry(const Fixture *f, const gchar *path, gchar **lines, gpointer data)
{
    *(guint *)data += strstr(lines[2], " w 32x32x5x5 ") != NULL;
}

static void test_equal_problems_are_one(void)
{
    g_auto(Builder) b = builder_new();
    Fixture f = {.folder = g_dir_make_tmp("gpudl-tune-XXXXXX", NULL)};
    GpudlTensor *x = builder_input(&b, "1x3x16x16");
    g_autoptr(GError) error = NULL;
    guint n = 0;

    x = builder_conv(&b, x, 3, CHANNELS, 3, TRUE);
    for (guint i = 0; i < 6; i++)
        x = builder_act(&b, builder_conv(&b, x, CHANNELS, CHANNELS, 5, TRUE), GPUDL_ACT_RELU, 0, 0);
    builder_output(&b, builder_reshape(&b, builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL), "0x-1"));
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    f.b = b;
    b = builder_new();
    g_free(implementations_at(&f, GPUDL_AUTOTUNE_FULL));
    for_entries(&f, count_entry, &n);
    g_assert_cmpuint(n, >=, 1);
    g_assert_cmpuint(n, <=, 2); /* with and without the activation, if there is a difference */
    end(&f);
}

static void test_times_decide(void)
{
    Fixture f = begin();
    g_autofree gchar *blocks = implementations_of(&f, "blocks"), *last = implementations_of(&f, "last");
    g_autofree gchar *own = implementations_of(&f, "own");
    const Times faster_blocks = {.blocks = 1000, .last = 9000, .reorder = 500};
    const Times faster_last = {.blocks = 9000, .last = 1000, .reorder = 500};
    const Times faster_own = {.blocks = 9000, .last = 1000, .own = 10, .reorder = 500};

    g_assert_cmpstr(blocks, !=, last);
    g_free(learn(&f));
    for (guint i = 0; i < 3; i++) {
        g_autofree gchar *found = NULL;

        script(&f, i == 0 ? &faster_blocks : i == 1 ? &faster_last : &faster_own);
        found = implementations_at(&f, i == 1 ? GPUDL_AUTOTUNE_FULL : GPUDL_AUTOTUNE_KNOWN);
        if (i < 2)
            g_assert_cmpstr(found, ==, i == 0 ? blocks : last);
        g_assert_cmpuint(count(found, "depthwise:"), ==, i < 2 ? 0 : count(own, "depthwise:"));
        g_assert_cmpuint(count(found, "squeeze:"), ==, i < 2 ? 0 : 1);
        g_assert_cmpuint(count(found, "stem:"), ==, i < 2 ? 0 : count(own, "stem:"));
        g_assert_cmpuint(count(found, "matvec:"), ==, i < 2 ? 0 : 1);
    }
    end(&f);
}

/* Where convolutions go by Winograd's transforms, layouts are theirs; what has none is measured all the same. */
static void test_products_beside_transforms(void)
{
    Fixture f = {.b = builder_new(), .folder = g_dir_make_tmp("gpudl-tune-XXXXXX", NULL)};
    GpudlTensor *x = builder_conv(&f.b, builder_input(&f.b, "1x3x16x16"), 3, CHANNELS, 3, TRUE);
    const Times slower_own = {.blocks = 1000, .last = 1000, .own = 1001}, as_fast = {.blocks = 5, .last = 5, .own = 5};
    g_autofree gchar *first = NULL, *forced = NULL, *found = NULL;
    g_autoptr(GError) error = NULL;

    x = builder_conv(&f.b, x, CHANNELS, CHANNELS, 3, TRUE);
    x = builder_reshape(&f.b, builder_node(&f.b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL), "0x-1");
    builder_output(&f.b, add_product(&f.b, x));
    gpudl_graph_infer(f.b.graph, 1, &error);
    g_assert_no_error(error);
    first = implementations_of(&f, "first");
    if (strstr(first, "wino") == NULL) {
        g_test_skip("oneDNN has no Winograd transforms here");
        end(&f);
        return;
    }
    g_assert_cmpuint(count(first, "matvec:"), ==, 0);
    forced = implementations_of(&f, "own");
    g_assert_cmpuint(count(forced, "matvec:"), ==, 1);
    g_assert_cmpuint(count(forced, "wino"), ==, count(first, "wino"));
    g_assert_cmpuint(foresee(&f).n_choices, ==, 1);
    g_free(learn(&f));
    g_assert_cmpuint(foresee(&f).n_known, ==, 1);
    g_assert_cmpuint(for_entries(&f, script_entry, (gpointer)&slower_own), ==, 1);
    found = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpstr(found, ==, first);
    g_clear_pointer(&found, g_free);
    g_assert_cmpuint(for_entries(&f, script_entry, (gpointer)&as_fast), ==, 1);
    found = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpstr(found, ==, forced);
    end(&f);
}

static void test_a_reorder_has_to_pay(void)
{
    Fixture f = begin();
    const Times dear = {.blocks = 1000, .last = 9000, .reorder = 1000, .special_blocks = 2000, .special_last = 500};
    const Times cheap = {.blocks = 1000, .last = 9000, .reorder = 10, .special_blocks = 2000, .special_last = 500};
    g_autofree gchar *blocks = implementations_of(&f, "blocks"), *with_dear = NULL, *with_cheap = NULL;

    g_free(learn(&f));
    script(&f, &dear);
    with_dear = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpstr(with_dear, ==, blocks);
    script(&f, &cheap);
    with_cheap = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpuint(count(with_cheap, ": reorder"), ==, count(blocks, ": reorder") + 2);
    end(&f);
}

/* A shuffle of channels lies as what it reads: behind one, too, a reorder has to pay. */
static void test_layouts_go_through_shuffles(void)
{
    const Times dear = {.blocks = 1000, .last = 9000, .reorder = 1000, .special_blocks = 2000, .special_last = 500};
    const Times faster_last = {.blocks = 9000, .last = 1000, .reorder = 500};
    Fixture f = {.b = builder_new(), .folder = g_dir_make_tmp("gpudl-tune-XXXXXX", NULL)};
    GpudlTensor *x = builder_input(&f.b, "1x3x16x16");
    g_autofree gchar *blocks = NULL, *with_dear = NULL, *last = NULL;
    g_autoptr(GError) error = NULL;

    x = builder_conv(&f.b, builder_conv(&f.b, x, 3, CHANNELS, 3, TRUE), CHANNELS, CHANNELS, 5, TRUE);
    x = builder_reshape(&f.b, x, "0x2x16x16x16");
    x = builder_reshape(&f.b, builder_transpose(&f.b, x, "0x2x1x3x4"), "0x32x16x16");
    x = builder_conv(&f.b, builder_conv(&f.b, x, CHANNELS, CHANNELS, 1, TRUE), CHANNELS, CHANNELS, 5, TRUE);
    builder_output(&f.b, builder_reshape(&f.b, builder_node(&f.b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL), "0x-1"));
    gpudl_graph_infer(f.b.graph, 1, &error);
    g_assert_no_error(error);
    blocks = implementations_of(&f, "blocks");
    g_free(learn(&f));
    script(&f, &dear);
    with_dear = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpstr(with_dear, ==, blocks);
    script(&f, &faster_last);
    last = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
    g_assert_cmpuint(count(last, ": shuffle\n"), ==, 1);
    end(&f);
}

static void test_off_looks_at_nothing(void)
{
    Fixture f = begin();
    g_autofree gchar *first = implementations_of(&f, "first"), *found = NULL, *deterministic = NULL;
    const Times slower_first = {.blocks = 9000, .last = 1000, .own = 1, .reorder = 500};
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .deterministic = 1, .cache_dir = f.folder};
    g_autoptr(CpuHost) host = cpu_host_new(f.b.graph);

    found = implementations_at(&f, GPUDL_AUTOTUNE_OFF);
    g_assert_cmpstr(found, ==, first);
    g_clear_pointer(&found, g_free);
    found = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN); /* knows nothing and measures nothing */
    g_assert_cmpstr(found, ==, first);
    g_clear_pointer(&found, g_free);
    g_free(learn(&f));
    script(&f, &slower_first);
    found = implementations_at(&f, GPUDL_AUTOTUNE_OFF);
    g_assert_cmpstr(found, ==, first);
    host->tunes = TRUE;
    cpu_host_start(host, &params);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    deterministic = implementations(host);
    g_assert_cmpstr(deterministic, ==, first);
    end(&f);
}

/* How an entry is spoilt; what is written is the folder's own afterwards. */
static void spoil_entry(const Fixture *f, const gchar *path, gchar **lines, gpointer data)
{
    static const gchar *const texts[] = {
        "blocks",        "blocks 0 x\n",   "blocks 5 x", "blocks 5 x\nblocks 5 x\n", "sideways 5 x\n", "\n",
        "blocks -5 x\n", "blocks 5 x y\n", "blocks 5\n", "blocks 99999999999999 x\n"};
    const guint how = *(guint *)data;
    g_autofree gchar *content = NULL;
    gsize bytes;

    if (how < G_N_ELEMENTS(texts)) {
        write_entry(f, lines[1], lines[2], texts[how]);
        return;
    }
    g_assert_true(g_file_get_contents(path, &content, &bytes, NULL));
    if (how == G_N_ELEMENTS(texts))
        bytes = bytes / 2;
    else if (how == G_N_ELEMENTS(texts) + 1)
        content[bytes - 3] ^= 1;
    else if (how == G_N_ELEMENTS(texts) + 2)
        bytes = 0;
    else
        *(guint *)data = G_MAXUINT;
    g_assert_true(g_file_set_contents(path, content, (gssize)bytes, NULL));
}

static void test_damage_is_measured_again(void)
{
    Fixture f = begin();
    g_autofree gchar *first = implementations_of(&f, "first");
    guint n = 0;

    g_free(learn(&f));
    for (guint how = 0;; how++) {
        g_autoptr(CpuHost) host = NULL;
        g_autofree gchar *found = NULL;
        guint now = how;

        n = for_entries(&f, spoil_entry, &now);
        if (now == G_MAXUINT)
            break;
        g_assert_cmpuint(foresee(&f).n_known, ==, 0);
        found = implementations_at(&f, GPUDL_AUTOTUNE_KNOWN);
        g_assert_cmpstr(found, ==, first);
        host = open_engine(&f, GPUDL_AUTOTUNE_CACHED);
        g_assert_cmpint(host->warnings, ==, 0);
        g_free(learn(&f));
        g_assert_cmpuint(foresee(&f).n_known, ==, n);
    }
    end(&f);
}

static void move_entry(const Fixture *f, const gchar *path, gchar **lines, gpointer data)
{
    g_autofree gchar *other = g_strdup_printf("%s, another", lines[1]);

    g_assert_nonnull(strstr(lines[1], "oneDNN "));
    g_assert_nonnull(strstr(lines[1], "instructions "));
    write_entry(f, other, lines[2], "blocks 1 scripted\nlast 2 scripted\n");
    g_assert_cmpint(g_remove(path), ==, 0);
}

static void test_another_processor_knows_nothing(void)
{
    Fixture f = begin();

    g_free(learn(&f));
    for_entries(&f, move_entry, NULL);
    g_assert_cmpuint(foresee(&f).n_known, ==, 0);
    end(&f);
}

static void test_nothing_is_kept_nowhere(void)
{
    Fixture f = begin();
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .autotune = GPUDL_AUTOTUNE_FULL};
    g_autoptr(CpuHost) host = cpu_host_new(f.b.graph);

    host->tunes = TRUE;
    cpu_host_start(host, &params);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    g_assert_cmpint(host->warnings, ==, 0);
    end(&f);
}

static int on_second_question(CpuHost *host, guint nth)
{
    return nth >= 2;
}

static void test_measuring_can_be_cancelled(void)
{
    Fixture f = begin();
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .autotune = GPUDL_AUTOTUNE_FULL};
    g_autoptr(CpuHost) host = cpu_host_new(f.b.graph);

    host->tunes = TRUE;
    host->cancelled = on_second_question;
    cpu_host_start(host, &params);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_FAILED);
    g_assert_cmpint(host->questions, ==, 2);
    end(&f);
}

static void run_form(const Fixture *f, const gchar *form, const float *input, float *output)
{
    const void *const inputs[] = {input};
    void *const outputs[] = {output};
    g_autoptr(CpuHost) host = NULL;
    GpudlFault fault = {""};

    g_setenv("GPUDL_CPU_FORM", form, TRUE);
    host = open_engine(f, GPUDL_AUTOTUNE_OFF);
    g_unsetenv("GPUDL_CPU_FORM");
    g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, inputs, outputs, &fault), ==, GPUDL_STATUS_OK);
}

static void test_all_forms_compute_the_same(void)
{
    static const gchar *const forms[] = {"blocks", "last", "own"};
    Fixture f = begin();
    float input[3 * SIDE * SIDE], expected[CHANNELS], found[CHANNELS], range = 0;
    const double borne = cpu_host_precision() == GPUDL_PRECISION_FP32 ? 1e-5 : 2e-2;
    g_autofree gchar *own = implementations_of(&f, "own");

    g_assert_nonnull(strstr(own, "depthwise:"));
    g_assert_nonnull(strstr(own, "squeeze:"));
    g_assert_nonnull(strstr(own, "matvec:"));
    /* of AVX-512 and wider sets */
    g_assert_cmpuint(count(own, "stem:"), ==, strstr(own, "depthwise:avx512") != NULL ? 1 : 0);
    for (guint i = 0; i < G_N_ELEMENTS(input); i++)
        input[i] = (float)g_random_double_range(-1, 1);
    run_form(&f, "first", input, expected);
    for (guint i = 0; i < CHANNELS; i++)
        range = fmaxf(range, fabsf(expected[i]));
    for (guint k = 0; k < G_N_ELEMENTS(forms); k++) {
        run_form(&f, forms[k], input, found);
        for (guint i = 0; i < CHANNELS; i++)
            if (!(fabsf(found[i] - expected[i]) <= borne * range))
                g_error("%s: output %u is %g, first: %g", forms[k], i, found[i], expected[i]);
    }
    end(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        g_print("1..0 # SKIP this processor does not compute in %s\n", g_getenv("GPUDL_TEST_PRECISION"));
        return 0;
    }
    g_test_add_func("/cpu-tune/what-is-measured-is-kept", test_what_is_measured_is_kept);
    g_test_add_func("/cpu-tune/equal-problems-are-one", test_equal_problems_are_one);
    g_test_add_func("/cpu-tune/times-decide", test_times_decide);
    g_test_add_func("/cpu-tune/products-beside-transforms", test_products_beside_transforms);
    g_test_add_func("/cpu-tune/a-reorder-has-to-pay", test_a_reorder_has_to_pay);
    g_test_add_func("/cpu-tune/layouts-go-through-shuffles", test_layouts_go_through_shuffles);
    g_test_add_func("/cpu-tune/off-looks-at-nothing", test_off_looks_at_nothing);
    g_test_add_func("/cpu-tune/damage-is-measured-again", test_damage_is_measured_again);
    g_test_add_func("/cpu-tune/another-processor-knows-nothing", test_another_processor_knows_nothing);
    g_test_add_func("/cpu-tune/nothing-is-kept-nowhere", test_nothing_is_kept_nowhere);
    g_test_add_func("/cpu-tune/measuring-can-be-cancelled", test_measuring_can_be_cancelled);
    g_test_add_func("/cpu-tune/all-forms-compute-the-same", test_all_forms_compute_the_same);
    return g_test_run();
}
