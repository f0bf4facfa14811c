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

static gint n_spent;

static void spend(void *data, const void *from, uint64_t bytes)
{
    g_atomic_int_inc(&n_spent);
    memset((void *)from, 0xee, bytes);
}

static const GpudlHost host = {.cancelled = cancelled};
/* what is spent is gone */
static const GpudlHost thrifty = {.cancelled = cancelled, .spend_constant = spend};

typedef struct {
    CpuShared shared;
    CpuPacking packing;
    float *values[N_JOBS];
    gint64 dims[N_JOBS][2];
    gint n_parts; /* constants that are read */
} Fixture;

/* Matrices that become blocks of 16 x 64, most of them with room beside the values. */
static DnnMd blocked(const gint64 *dims)
{
    return dnn_md_tag(2, dims, dnnl_AB16b64a);
}

/* What oneDNN does, of a matrix whose first half of rows is one constant and whose second is another. */
static void pack_halves(const void *problem, const float *const *constants, void *packed)
{
    const gint64 *dims = problem, half = dims[0] / 2, rows = (dims[0] + 63) / 64, columns = (dims[1] + 15) / 16;
    float *to = packed;

    for (gint64 block = 0; block < rows * columns; block++)
        for (gint64 b = block % columns * 16; b < (block % columns + 1) * 16; b++)
            for (gint64 a = block / columns * 64; a < (block / columns + 1) * 64; a++)
                *to++ = a >= dims[0] || b >= dims[1] ? 0
                        : a < half                   ? constants[0][a * dims[1] + b]
                                                     : constants[1][(a - half) * dims[1] + b];
    for (gint i = 2; i < CPU_SOURCES; i++)
        g_assert_null(constants[i]);
}

/* TRUE if it was added. The problem goes before it is run. */
static gboolean add_halves(Fixture *self, CpuPacked *packed, gint i)
{
    gint64 dims[] = {self->dims[i][0], self->dims[i][1]}, half = dims[0] / 2;
    const CpuSource from[] = {{half > 0 ? self->values[i] : NULL, (gsize)(half * dims[1]) * sizeof(float)},
                              {self->values[i] + half * dims[1], (gsize)((dims[0] - half) * dims[1]) * sizeof(float)}};
    const gboolean added = cpu_packing_add_own(&self->packing, packed, pack_halves, dims, sizeof dims, 2, from);

    dims[0] = dims[1] = -1;
    self->n_parts += 1 + (half > 0);
    return added;
}

static void set_up(Fixture *self, gconstpointer n_threads)
{
    questions = cancel_at = self->n_parts = 0;
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
        if (i % 4 == 1) {
            g_assert_true(add_halves(self, packed, i));
        } else {
            const CpuSource source = {self->values[i], (gsize)(dims[0] * dims[1]) * sizeof(float)};

            g_assert_true(cpu_packing_add(&self->packing, packed, i, from, &source, bytes != source.bytes));
            self->n_parts++;
        }
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

/* Constants go once they are packed, but for those that share bytes: 8 with 4 all, 12 with 16 most. */
static void test_spent(Fixture *self, gconstpointer data)
{
    const gsize n = 256 * 128; /* values of each of these */
    float *copies[N_JOBS], *longer = g_new0(float, n + 64);
    gint32 failed;

    self->shared.host = &thrifty;
    n_spent = 0;
    memcpy(longer, self->values[16], n * sizeof(float));
    for (guint i = 0; i < self->packing.n; i++) {
        CpuPackingJob *job = &self->packing.jobs[i];

        job->from[0].values = job->tensor == 8    ? self->values[4]
                              : job->tensor == 12 ? longer + 64
                              : job->tensor == 16 ? longer
                                                  : job->from[0].values;
    }
    for (gint i = 0; i < N_JOBS; i++)
        copies[i] = g_memdup2(i == 8    ? self->values[4]
                              : i == 12 ? longer + 64
                                        : self->values[i],
                              (gsize)(self->dims[i][0] * self->dims[i][1]) * sizeof(float));
    g_assert_true(cpu_packing_run(&self->packing, &self->shared, &failed));
    g_assert_cmpint(n_spent, ==, self->n_parts - 4);
    cpu_packing_clear(&self->packing);
    for (gint i = 0; i < N_JOBS; i++) {
        g_free(self->values[i]);
        self->values[i] = copies[i];
        assert_packed(self, i);
    }
    g_free(longer);
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

/* Weights that oneDNN's Winograd convolutions read are those that its own transform makes, but for roundings; whatever
 * lay there before. FALSE: of a layout that is left to oneDNN, which the size of the processor's caches decides. */
static gboolean compare_transforms(gint64 c, gint64 k, gint64 side, gboolean large)
{
    const gint64 xs[] = {1, c, side, side}, ys[] = {1, k, side, side}, ws[] = {k, c, 3, 3};
    const gint64 strides[] = {1, 1}, dilates[] = {0, 0}, pads[] = {1, 1};
    CpuShared shared = {.host = &host, .packers = 1};
    DnnMd x = dnn_md_tag(4, xs, dnnl_aBcd16b), y = dnn_md_tag(4, ys, dnnl_aBcd16b), w = dnn_md_plain(4, ws);
    DnnMd any = dnn_md_tag(4, ws, dnnl_format_tag_any);
    g_autofree float *values = g_new(float, (gsize)(k * c * 9));
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    GpudlWinogradWeights d;
    dnnl_primitive_desc_t pd;
    gboolean ours_too;

    g_assert_cmpint(dnnl_engine_create(&shared.dnn, dnnl_cpu, 0), ==, dnnl_success);
    g_assert_cmpint(dnnl_stream_create(&shared.stream, shared.dnn, dnnl_stream_default_flags), ==, dnnl_success);
    pd = dnn_winograd(shared.dnn, attr, x, any, NULL, y, strides, dilates, pads, pads, large);
    g_assert_nonnull(pd);
    for (gint64 i = 0; i < k * c * 9; i++)
        values[i] = (float)g_test_rand_double_range(-1, 1);
    ours_too = dnn_md_winograd(dnn_pd_md(pd, dnnl_query_weights_md, 0), &d);
    if (ours_too) {
        DnnMdRef md = dnn_pd_md(pd, dnnl_query_weights_md, 0);
        const gsize bytes = dnn_md_bytes(md);
        float *theirs = cpu_aligned_bytes(bytes), *ours = cpu_aligned_room(bytes);
        CpuPacked *packed = cpu_packed_add(&shared.packed, 0, 0, md, ours, bytes);
        CpuPacking packing = {0};
        gint32 failed;

        memset(ours, 0xff, bytes);
        g_assert_true(
            cpu_packing_add(&packing, packed, 0, w, &(CpuSource){values, (gsize)(k * c * 9) * sizeof *values}, TRUE));
        g_assert_true(cpu_packing_run(&packing, &shared, &failed));
        g_assert_true(cpu_reorder_now(shared.dnn, shared.stream, w, values, md, theirs));
        for (gsize i = 0; i < bytes / sizeof(float); i++) /* sums of magnitudes: 2.25^2 at most */
            g_assert_cmpfloat_with_epsilon(ours[i], theirs[i], 16 * 0x1p-24 * 5.1);
        cpu_packing_clear(&packing);
        free(theirs);
    } else {
        g_assert_false(large);
    }
    cpu_packed_clear(&shared.packed);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    dnn_md_free(x);
    dnn_md_free(y);
    dnn_md_free(w);
    dnn_md_free(any);
    dnnl_stream_destroy(shared.stream);
    dnnl_engine_destroy(shared.dnn);
    return ours_too;
}

static void test_transforms(void)
{
    static const gint64 shapes[][3] = {{64, 64, 56},  {128, 128, 28}, {48, 80, 13},
                                       {16, 1024, 4}, {112, 224, 14}, {512, 32, 7}};
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();

    if (!dnn_has_winograd() || (isa & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core) {
        g_test_skip("oneDNN has no Winograd transforms here");
        return;
    }
    for (gint large = 0; large < 2; large++) {
        guint n = 0;

        for (guint i = 0; i < G_N_ELEMENTS(shapes); i++)
            n += compare_transforms(shapes[i][0], shapes[i][1], shapes[i][2], large);
        g_test_message("%u of %u layouts of %s tiles are ours", n, (guint)G_N_ELEMENTS(shapes),
                       large ? "large" : "small");
        g_assert_cmpuint(n, >=, large ? G_N_ELEMENTS(shapes) : G_N_ELEMENTS(shapes) / 2);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        void (*run)(Fixture *self, gconstpointer data);
    } tests[] = {{"all-made", test_all_made},
                 {"spent", test_spent},
                 {"nothing-run", test_nothing_run},
                 {"given-up", test_given_up},
                 {"failure", test_failure}};

    omp_set_num_threads(1); /* as the module does where it is called */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-packing/transforms", test_transforms);
    for (guint n_threads = 1; n_threads <= 40; n_threads = n_threads * 6 + 1)
        for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
            g_autofree gchar *path = g_strdup_printf("/cpu-packing/%s/%u", tests[i].name, n_threads);

            g_test_add(path, Fixture, GUINT_TO_POINTER(n_threads), set_up, tests[i].run, tear_down);
        }
    return g_test_run();
}
