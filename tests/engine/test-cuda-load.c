/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who loads what is kept, with which handle, beside whom: cache, libraries and device are this test's. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "engine/cuda/load.h"
#include "engine/cuda/tell.h"

#define PROBLEMS 40
#define HANDLE(i) ((cudnnHandle_t)GINT_TO_POINTER(100 + (i)))

typedef struct {
    const gchar *name; /* of what is kept, NULL: nothing is */
    CudaConvForm form;
    gboolean fails; /* to become a plan */
} Kept;

static Kept own[PROBLEMS], anywhere[PROBLEMS];
static CudaConvKey keys[PROBLEMS];
static const CudaCudnn cudnn;
static GMutex lock;
static GCond changed;
static guint in_lt, in_cudnn, loaded, most_in_cudnn, cancel_after;
static gboolean meet; /* the first of each library waits for that of the other */
static guint handles_used, handles_missing, busy;
static gboolean closes; /* in place of being cancelled */
static gint entered;
static gboolean has_threads;
static guint first_loaded[4]; /* problems, as they were come to */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *data), void *data)
{
    return has_threads ? __real_pthread_create(thread, attr, run, data) : EAGAIN;
}

void cuda_enter(const CudaDevice *device)
{
    (void)device;
    g_atomic_int_inc(&entered);
}

void cuda_leave(const CudaDevice *device)
{
    (void)device;
    g_atomic_int_add(&entered, -1);
}

cudnnHandle_t cuda_handle(CudaDevice *device, int i, GpudlFault *fault)
{
    (void)fault;
    g_assert_nonnull(device->cudnn);
    g_assert_cmpint(i, >=, 0);
    g_assert_cmpint(i, <, 2);
    return (handles_missing & 1u << i) != 0 ? NULL : HANDLE(i);
}

void cuda_tell(const GpudlHost *host, const char *format, ...)
{
    (void)host;
    (void)format;
}

static guint index_of(const CudaConvKey *key)
{
    return (guint)(key - keys);
}

int cuda_convs_read(const CudaConvs *convs, const char *network, const CudaConvKey *key, GpudlCacheEntry *entry)
{
    const Kept *kept = network[0] != '\0' ? &own[index_of(key)] : &anywhere[index_of(key)];

    (void)convs;
    if (kept->name == NULL)
        return 0;
    *entry = (GpudlCacheEntry){.form = kept->form, .ns = 1};
    g_strlcpy(entry->name, kept->name, sizeof entry->name);
    entry->plan = strdup(network);
    return 1;
}

static void wait_for_other(guint *mine, const guint *other)
{
    const gint64 end = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

    ++*mine;
    g_cond_broadcast(&changed);
    while (meet && *other == 0)
        g_assert_true(g_cond_wait_until(&changed, &lock, end));
}

static void use_handle(cudnnHandle_t handle)
{
    const guint bit = 1u << (GPOINTER_TO_INT(handle) - 100);

    g_assert_true(handle == HANDLE(0) || handle == HANDLE(1));
    g_assert_cmpuint(busy & bit, ==, 0);
    busy |= bit;
    handles_used |= bit;
    most_in_cudnn = MAX(most_in_cudnn, busy == 3 ? 2u : 1u);
    g_mutex_unlock(&lock);
    g_usleep(2000);
    g_mutex_lock(&lock);
    busy &= ~bit;
}

int cuda_convs_load(const CudaConvs *convs, cudnnHandle_t handle, const CudaConvKey *key, const GpudlCacheEntry *entry,
                    CudaConvPlan *plan)
{
    const Kept *kept = entry->plan[0] != '\0' ? &own[index_of(key)] : &anywhere[index_of(key)];

    g_mutex_lock(&lock);
    g_assert_cmpint(g_atomic_int_get(&entered), >, 0);
    if (entry->form == CUDA_CONV_LT) {
        g_assert_null(handle);
        wait_for_other(&in_lt, &in_cudnn);
    } else if (entry->form < CUDA_CONV_FORMS && convs->device->cudnn != NULL) {
        wait_for_other(&in_cudnn, &in_lt);
        use_handle(handle);
    }
    if (loaded < G_N_ELEMENTS(first_loaded))
        first_loaded[loaded] = index_of(key);
    loaded++;
    g_mutex_unlock(&lock);
    *plan = (CudaConvPlan){.form = (CudaConvForm)entry->form, .ns = entry->ns};
    g_strlcpy(plan->name, entry->name, sizeof plan->name);
    return !kept->fails && (convs->device->cudnn != NULL || entry->form >= CUDA_CONV_GEMM);
}

int cuda_convs_recall(const CudaConvs *convs, const char *network, cudnnHandle_t handle, const CudaConvKey *key,
                      CudaConvPlan *plan)
{
    GpudlCacheEntry entry;
    int known;

    if (!cuda_convs_read(convs, network, key, &entry))
        return 0;
    known = cuda_convs_load(convs, handle, key, &entry, plan);
    free(entry.plan);
    return known;
}

static gboolean is_enough(void)
{
    gboolean enough;

    g_mutex_lock(&lock);
    enough = loaded >= cancel_after;
    g_mutex_unlock(&lock);
    return enough;
}

static int is_cancelled(void *host)
{
    (void)host;
    return !closes && is_enough();
}

static int is_closing(void *host)
{
    (void)host;
    return closes && is_enough();
}

static const GpudlHost host = {.cancelled = is_cancelled, .closing = is_closing};

static void begin(void)
{
    memset(own, 0, sizeof own);
    memset(anywhere, 0, sizeof anywhere);
    in_lt = in_cudnn = loaded = most_in_cudnn = handles_used = handles_missing = busy = 0;
    meet = closes = FALSE;
    has_threads = TRUE;
    cancel_after = G_MAXUINT;
}

static void load(const char *network, gboolean has_cudnn, CudaLoad *loads)
{
    CudaDevice device = {.cudnn = has_cudnn ? &cudnn : NULL};
    CudaConvs convs = {.device = &device, .host = &host};

    memset(loads, 0, PROBLEMS * sizeof *loads);
    for (guint i = 0; i < PROBLEMS; i++)
        loads[i].key = &keys[i];
    entered = 1;
    cuda_load(&convs, network, loads, PROBLEMS);
    g_assert_cmpint(entered, ==, 1);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_libraries_side_by_side(void)
{
    CudaLoad loads[PROBLEMS];

    begin();
    meet = TRUE;
    for (guint i = 0; i < PROBLEMS; i++)
        anywhere[i] = (Kept){i % 4 == 0 ? "lt" : "engine", i % 4 == 0 ? CUDA_CONV_LT : CUDA_CONV_BIAS_FIRST, FALSE};
    load("", TRUE, loads);
    for (guint i = 0; i < PROBLEMS; i++) {
        g_assert_true(loads[i].is_known);
        g_assert_cmpstr(loads[i].plan.name, ==, anywhere[i].name);
        g_assert_null(loads[i].kept.plan);
    }
    g_assert_cmpuint(loaded, ==, PROBLEMS);
    g_assert_cmpuint(handles_used, ==, 3);
    g_assert_cmpuint(most_in_cudnn, ==, 2);
}

/* A library that has nothing to load is not asked, and one plan is no work for two. */
static void test_no_more_threads_than_work(void)
{
    CudaLoad loads[PROBLEMS];

    begin();
    anywhere[7] = (Kept){"engine", CUDA_CONV_RESIDUAL_FIRST, FALSE};
    anywhere[9] = (Kept){"own product", CUDA_CONV_GEMM, FALSE};
    load("", TRUE, loads);
    for (guint i = 0; i < PROBLEMS; i++)
        g_assert_cmpint(loads[i].is_known, ==, i == 7 || i == 9);
    g_assert_cmpuint(handles_used, ==, 1);
    begin();
    anywhere[9] = (Kept){"own kernel", CUDA_CONV_OWN, FALSE};
    load("", TRUE, loads);
    g_assert_cmpuint(handles_used, ==, 0);
    g_assert_true(loads[9].is_known);
    begin();
    load("", TRUE, loads);
    g_assert_cmpuint(loaded, ==, 0);
}

/* What a network has of its own comes first, where it can be made. */
static void test_networks_own(void)
{
    CudaLoad loads[PROBLEMS];

    begin();
    for (guint i = 0; i < 4; i++)
        anywhere[i] = (Kept){"alone", CUDA_CONV_BIAS_FIRST, i == 3};
    own[1] = (Kept){"inside", CUDA_CONV_BARE, FALSE};
    own[2] = own[3] = (Kept){"inside", CUDA_CONV_BARE, TRUE};
    anywhere[4] = (Kept){"alone", CUDA_CONV_BIAS_FIRST, TRUE};
    load("a network", TRUE, loads);
    g_assert_cmpuint(loaded, ==, 7); /* what is not its own is tried once */
    g_assert_cmpstr(loads[0].plan.name, ==, "alone");
    g_assert_cmpstr(loads[1].plan.name, ==, "inside");
    g_assert_cmpstr(loads[2].plan.name, ==, "alone");
    g_assert_true(loads[0].is_known && loads[1].is_known && loads[2].is_known);
    g_assert_false(loads[3].is_known);
    begin();
    anywhere[1] = (Kept){"alone", CUDA_CONV_BIAS_FIRST, FALSE};
    own[1] = (Kept){"inside", CUDA_CONV_BARE, FALSE};
    anywhere[2] = (Kept){"alone", CUDA_CONV_BIAS_FIRST, TRUE};
    load("", TRUE, loads);
    g_assert_cmpstr(loads[1].plan.name, ==, "alone");
    g_assert_cmpuint(loaded, ==, 2);
}

/* One thread does all where no other can be had, with one handle, a plan of each engine first. */
static void test_without_threads(void)
{
    CudaLoad loads[PROBLEMS];

    begin();
    has_threads = FALSE;
    for (guint i = 0; i < 6; i++)
        anywhere[i] = (Kept){i == 4 ? "other" : "engine", i < 5 ? CUDA_CONV_BARE : CUDA_CONV_LT, FALSE};
    load("", TRUE, loads);
    for (guint i = 0; i < 6; i++)
        g_assert_true(loads[i].is_known);
    g_assert_cmpuint(handles_used, ==, 1);
    g_assert_cmpuint(first_loaded[0], ==, 0);
    g_assert_cmpuint(first_loaded[1], ==, 4);
    g_assert_cmpuint(first_loaded[2], ==, 1);
}

/* As if it were not known: without the library, and where a handle can't be made. */
static void test_what_cant_be_made(void)
{
    CudaLoad loads[PROBLEMS];

    for (guint turn = 0; turn < 4; turn++) {
        begin();
        handles_missing = turn;
        for (guint i = 0; i < 20; i++)
            anywhere[i] = (Kept){"engine", CUDA_CONV_BARE, FALSE};
        load("", turn > 0, loads);
        for (guint i = 0; i < 20; i++) {
            g_assert_cmpint(loads[i].is_known, ==, turn == 1 || turn == 2);
            g_assert_null(loads[i].kept.plan);
        }
        g_assert_cmpuint(handles_used, ==, turn == 1 ? 2 : turn == 2 ? 1 : 0);
    }
}

static void test_ends_when_it_is_cancelled(void)
{
    CudaLoad loads[PROBLEMS];

    for (guint turn = 0; turn < 2; turn++) {
        begin();
        cancel_after = 5;
        closes = turn > 0;
        for (guint i = 0; i < PROBLEMS; i++)
            anywhere[i] = (Kept){"engine", CUDA_CONV_BARE, FALSE};
        load("", TRUE, loads);
        g_assert_cmpuint(loaded, >=, 5);
        g_assert_cmpuint(loaded, <=, 6);
    }
}

/* A plan of each engine comes first, all else stays as it was. */
static void test_order(void)
{
    static const gchar *const names[] = {"b", "a", "b", "b", "c", "a", "d", "c"};
    static const guint32 expected[] = {0, 1, 4, 6, 2, 3, 5, 7};
    CudaLoad loads[G_N_ELEMENTS(names) + 1] = {{0}};
    guint32 order[G_N_ELEMENTS(names)];

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_strlcpy(loads[i + 1].kept.name, names[i], sizeof loads->kept.name);
        order[i] = i + 1;
    }
    cuda_load_order(loads, order, 0);
    cuda_load_order(loads, order, G_N_ELEMENTS(order));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        g_assert_cmpuint(order[i], ==, expected[i] + 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-load/libraries-side-by-side", test_libraries_side_by_side);
    g_test_add_func("/cuda-load/no-more-threads-than-work", test_no_more_threads_than_work);
    g_test_add_func("/cuda-load/networks-own", test_networks_own);
    g_test_add_func("/cuda-load/what-cant-be-made", test_what_cant_be_made);
    g_test_add_func("/cuda-load/without-threads", test_without_threads);
    g_test_add_func("/cuda-load/ends-when-it-is-cancelled", test_ends_when_it_is_cancelled);
    g_test_add_func("/cuda-load/order", test_order);
    return g_test_run();
}
