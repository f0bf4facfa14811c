/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Weights packed by threads: they are what one thread makes of them, and what was not made is not found. */
#include <dirent.h>
#include <glib.h>
#include <omp.h>
#include <string.h>

#include "engine/cpu/packing.h"
#include "engine/cpu/program.h"

#define N_JOBS 24

static guint questions, cancel_at; /* cancel_at 0: never */

static int cancelled(void *host)
{
    return ++questions == cancel_at;
}

static const GpudlHost host = {.cancelled = cancelled};

typedef struct {
    CpuShared shared;
    CpuPacking packing;
    float *values[N_JOBS];
    gint64 dims[N_JOBS][2];
} Fixture;

/* Matrices that become blocks of 16 x 64, most of them with room beside the values. */
static DnnMd blocked(const gint64 *dims)
{
    return dnn_md_tag(2, dims, dnnl_AB16b64a);
}

static void set_up(Fixture *self, gconstpointer n_threads)
{
    questions = cancel_at = 0;
    self->shared = (CpuShared){.host = &host, .packers = GPOINTER_TO_UINT(n_threads)};
    g_assert_cmpint(dnnl_engine_create(&self->shared.dnn, dnnl_cpu, 0), ==, dnnl_success);
    g_assert_cmpint(dnnl_stream_create(&self->shared.stream, self->shared.dnn, dnnl_stream_default_flags), ==,
                    dnnl_success);
    for (gint i = 0; i < N_JOBS; i++) {
        gint64 *dims = self->dims[i];
        DnnMd from, to;
        CpuPacked *packed;
        void *room;
        gsize bytes;

        dims[0] = i % 4 == 0 ? 256 : g_test_rand_int_range(1, 400);
        dims[1] = i % 4 == 0 ? 128 : g_test_rand_int_range(1, 400);
        self->values[i] = g_new(float, (gsize)(dims[0] * dims[1]));
        for (gint64 k = 0; k < dims[0] * dims[1]; k++)
            self->values[i][k] = (float)g_test_rand_double_range(-1, 1);
        from = dnn_md_plain(2, dims);
        to = blocked(dims);
        bytes = dnn_md_bytes(to);
        room = cpu_aligned_room(bytes);
        memset(room, 0xa5, bytes);
        packed = cpu_packed_add(&self->shared.packed, i, 0, to, room, bytes);
        g_assert_nonnull(packed);
        g_assert_true(cpu_packing_add(&self->packing, packed, i, from, self->values[i],
                                      bytes != (gsize)(dims[0] * dims[1]) * sizeof(float)));
        dnn_md_free(from);
        dnn_md_free(to);
    }
}

static void tear_down(Fixture *self, gconstpointer data)
{
    cpu_packed_clear(&self->shared.packed);
    dnnl_stream_destroy(self->shared.stream);
    dnnl_engine_destroy(self->shared.dnn);
    for (gint i = 0; i < N_JOBS; i++)
        g_free(self->values[i]);
}

static const CpuPacked *find(const Fixture *self, gint i)
{
    DnnMd md = blocked(self->dims[i]);
    const CpuPacked *packed = cpu_packed_find(&self->shared.packed, i, 0, md);

    dnn_md_free(md);
    return packed;
}

/* Element a, b of blocks of 64 rows and 16 columns, whose rows lie one after the other. */
static float expected(const Fixture *self, gint i, gint64 a, gint64 b)
{
    return a < self->dims[i][0] && b < self->dims[i][1] ? self->values[i][a * self->dims[i][1] + b] : 0;
}

static void assert_packed(const Fixture *self, gint i)
{
    const gint64 rows = (self->dims[i][0] + 63) / 64, columns = (self->dims[i][1] + 15) / 16;
    const CpuPacked *packed = find(self, i);
    const float *data;

    g_assert_nonnull(packed);
    g_assert_cmpuint(packed->bytes, ==, (guint64)(rows * columns) * 64 * 16 * sizeof(float));
    data = packed->data;
    for (gint64 block = 0; block < rows * columns; block++)
        for (gint64 b = 0; b < 16; b++)
            for (gint64 a = 0; a < 64; a++)
                g_assert_cmpfloat(data[(block * 16 + b) * 64 + a], ==,
                                  expected(self, i, block / columns * 64 + a, block % columns * 16 + b));
}

static guint count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    guint n = 0;

    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

static void test_all_made(Fixture *self, gconstpointer data)
{
    const guint n_threads = count_threads();
    gint32 failed;

    g_assert_true(cpu_packing_run(&self->packing, &self->shared, &failed));
    g_assert_cmpuint(count_threads(), ==, n_threads);
    cpu_packing_clear(&self->packing);
    for (gint i = 0; i < N_JOBS; i++)
        assert_packed(self, i);
}

static void test_nothing_run(Fixture *self, gconstpointer data)
{
    g_assert_nonnull(find(self, 3));
    cpu_packing_clear(&self->packing);
    for (gint i = 0; i < N_JOBS; i++)
        g_assert_null(find(self, i));
}

/* What was made before it was given up stays, and is whole. */
static void test_given_up(Fixture *self, gconstpointer data)
{
    gint32 failed = 0;
    guint n_made = 0;
    gboolean all;

    cancel_at = 2;
    all = cpu_packing_run(&self->packing, &self->shared, &failed);
    /* nobody is asked but by the thread that calls, and others may have done all */
    g_assert_true(all == (questions < cancel_at));
    g_assert_true(all || failed == -1);
    cpu_packing_clear(&self->packing);
    for (gint i = 0; i < N_JOBS; i++) {
        if (find(self, i) == NULL)
            continue;
        assert_packed(self, i);
        n_made++;
    }
    g_assert_cmpuint(n_made, >=, questions);
    if (GPOINTER_TO_UINT(data) == 1)
        g_assert_cmpuint(n_made, ==, 2);
}

/* oneDNN refuses: it is told of which, and the others are as they were. */
static void test_failure(Fixture *self, gconstpointer data)
{
    const gint64 other[] = {7, 5, 3};
    gint32 failed = -1;

    for (guint i = 0; i < self->packing.n; i++)
        if (self->packing.jobs[i].tensor == 11) {
            dnn_md_free(self->packing.jobs[i].md);
            self->packing.jobs[i].md = dnn_md_plain(3, other);
        }
    g_assert_false(cpu_packing_run(&self->packing, &self->shared, &failed));
    g_assert_cmpint(failed, ==, 11);
    cpu_packing_clear(&self->packing);
    g_assert_null(find(self, 11));
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*run)(Fixture *self, gconstpointer data);
    } tests[] = {{"all-made", test_all_made},
                 {"nothing-run", test_nothing_run},
                 {"given-up", test_given_up},
                 {"failure", test_failure}};

    omp_set_num_threads(1); /* as the module does where it is called */
    g_test_init(&argc, &argv, NULL);
    for (guint n_threads = 1; n_threads <= 40; n_threads = n_threads * 6 + 1)
        for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
            g_autofree gchar *path = g_strdup_printf("/cpu-packing/%s/%u", tests[i].name, n_threads);

            g_test_add(path, Fixture, GUINT_TO_POINTER(n_threads), set_up, tests[i].run, tear_down);
        }
    return g_test_run();
}
