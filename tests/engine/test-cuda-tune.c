/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handles of cuDNN's: threads that build plans have one each, which the device keeps for the next tuning, and longer
 * than the plans that remember it. The library and the trials are this test's; all plans are right, and each takes as
 * long as it says. */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "engine/cuda/block.h"
#include "engine/cuda/load.h"
#include "engine/cuda/lt.h"
#include "engine/cuda/own.h"
#include "engine/cuda/trial.h"
#include "engine/cuda/tune.h"

#define PROBLEMS 12

/* ---- a library --------------------------------------------------------------------------------------------------- */

typedef struct {
    gint plans; /* that remember it */
} Handle;

typedef struct {
    Handle *handle;
    gint number;
} Plan;

static gint plans; /* atomic */
static gint handles;
static gint handles_at_once; /* no more can be made; 0: no end */

static cudnnStatus_t make_handle(cudnnHandle_t *handle)
{
    if (handles_at_once > 0 && handles >= handles_at_once)
        return CUDNN_STATUS_ALLOC_FAILED;
    handles++;
    *handle = (cudnnHandle_t)g_new0(Handle, 1);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t destroy_handle(cudnnHandle_t handle)
{
    g_assert_cmpint(g_atomic_int_get(&((Handle *)handle)->plans), ==, 0);
    handles--;
    g_free(handle);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnBackendDescriptor_t make_plan(cudnnHandle_t handle, gint number)
{
    Plan *plan = g_new(Plan, 1);

    *plan = (Plan){(Handle *)handle, number};
    g_atomic_int_inc(&plan->handle->plans);
    g_atomic_int_inc(&plans);
    return (cudnnBackendDescriptor_t)plan;
}

static cudnnStatus_t destroy_plan(cudnnBackendDescriptor_t descriptor)
{
    Plan *plan = (Plan *)descriptor;

    g_atomic_int_add(&plan->handle->plans, -1);
    g_atomic_int_add(&plans, -1);
    g_free(plan);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_stream(cudnnHandle_t handle, cudaStream_t stream)
{
    (void)handle;
    (void)stream;
    return CUDNN_STATUS_SUCCESS;
}

static void say_error(char *text, size_t room)
{
    g_strlcpy(text, "no more", room);
}

static const char *name_error(cudnnStatus_t status)
{
    (void)status;
    return "failed";
}

static size_t get_version(void)
{
    return 91900;
}

static const CudaCudnn library = {.create = make_handle,
                                  .destroy = destroy_handle,
                                  .set_stream = set_stream,
                                  .destroy_descriptor = destroy_plan,
                                  .get_last_error_string = say_error,
                                  .get_error_string = name_error,
                                  .get_version = get_version};

static CUresult push(CUcontext context)
{
    (void)context;
    return CUDA_SUCCESS;
}

static CUresult pop(CUcontext *context)
{
    *context = NULL;
    return CUDA_SUCCESS;
}

static const CudaDriver driver = {.ctx_push = push, .ctx_pop = pop};

/* ---- plans of it, and what else tuning asks ---------------------------------------------------------------------- */

/* The slowest comes first, and all are nearly as fast. */
int cuda_conv_plans(const CudaDevice *device, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form, int slow,
                    CudaConvPlan *out, int room)
{
    const gint n = form == CUDA_CONV_BIAS_FIRST ? MIN(room, 3) : 0;

    (void)device;
    (void)slow;
    g_usleep(2000); /* so that all threads have some */
    for (gint i = 0; i < n; i++)
        out[i] = (CudaConvPlan){.form = form, .plan = make_plan(handle, 10 * key->k + i), .ns = (gfloat)(1003 - i)};
    return n;
}

void cuda_conv_key_text(const CudaConvKey *key, char *text, size_t room)
{
    g_snprintf(text, room, "problem %d", key->k);
}

int cuda_gemm_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *out, int room)
{
    (void)device;
    (void)key;
    (void)out;
    (void)room;
    return 0;
}

int cuda_once_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *out, int room)
{
    return cuda_gemm_plans(device, key, out, room);
}

int cuda_gemv_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *out, int room)
{
    return cuda_gemm_plans(device, key, out, room);
}

int cuda_stem_plans(const CudaConvKey *key, CudaConvPlan *out, int room)
{
    return cuda_gemm_plans(NULL, key, out, room);
}

int cuda_depthwise_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *out, int room)
{
    return cuda_gemm_plans(device, key, out, room);
}

int cuda_block_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *out, int room)
{
    return cuda_gemm_plans(device, key, out, room);
}

void cuda_load(const CudaConvs *convs, const char *network, CudaLoad *loads, uint32_t n)
{
    (void)convs;
    (void)network;
    (void)loads;
    (void)n;
}

uint32_t cuda_convs_network_streams(const CudaConvs *convs, const char *network)
{
    (void)convs;
    (void)network;
    return 0;
}

void cuda_convs_keep_plan(const CudaConvs *convs, const CudaConv *conv)
{
    (void)convs;
    g_assert_nonnull(conv->plan);
}

size_t cuda_trial_bytes(const CudaConvKey *key, int64_t workspace, size_t *picture_bytes)
{
    (void)key;
    (void)workspace;
    *picture_bytes = 1;
    return 1;
}

GpudlStatus cuda_trial_open(CudaTrial *trial, CudaDevice *device, int32_t dtype, size_t bytes, size_t picture_bytes,
                            GpudlFault *fault)
{
    (void)device;
    (void)dtype;
    (void)picture_bytes;
    (void)fault;
    trial->bytes = bytes;
    return GPUDL_STATUS_OK;
}

void cuda_trial_close(CudaTrial *trial)
{
    (void)trial;
}

GpudlStatus cuda_trial_begin(CudaTrial *trial, const CudaConvKey *key, GpudlFault *fault)
{
    (void)fault;
    trial->key = key;
    return GPUDL_STATUS_OK;
}

/* What it remembers must be there. */
int cuda_trial_check(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    return g_atomic_int_get(&((Plan *)plan->plan)->handle->plans) > 0;
}

int cuda_trial_keeps_nan(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    (void)plan;
    return 1;
}

float cuda_trial_time(CudaTrial *trial, const CudaConvPlan *plan)
{
    (void)trial;
    return (gfloat)(1003 - ((Plan *)plan->plan)->number % 10);
}

static int never(void *data)
{
    (void)data;
    return 0;
}

static void be_quiet(void *data, GpudlLogLevel level, const char *message)
{
    (void)data;
    (void)level;
    (void)message;
}

static const GpudlHost host = {.log = be_quiet, .cancelled = never, .closing = never, .waiting = never};

/* ---- tests ------------------------------------------------------------------------------------------------------- */

typedef struct {
    CudaDevice *device;
    CudaConvs convs;
    CudaConv problems[PROBLEMS];
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    (void)data;
    handles = plans = handles_at_once = 0;
    f->device = calloc(1, sizeof *f->device);
    *f->device = (CudaDevice){.driver = &driver, .cudnn = &library, .context = (CUcontext)f};
    pthread_mutex_init(&f->device->lock, NULL);
    pthread_mutex_init(&f->device->building, NULL);
    cuda_staging_init(&f->device->staging);
    f->convs = (CudaConvs){.device = f->device, .host = &host, .measured = 1};
    for (gint i = 0; i < PROBLEMS; i++)
        f->problems[i] = (CudaConv){.next = i > 0 ? &f->problems[i - 1] : NULL, .key.k = i + 1};
    f->convs.first = &f->problems[PROBLEMS - 1];
}

static void free_plans(Fixture *f)
{
    for (gint i = 0; i < PROBLEMS; i++) {
        CudaConv *conv = &f->problems[i];

        while (conv->n_others > 0)
            destroy_plan(conv->others[--conv->n_others].plan);
        if (conv->plan != NULL)
            destroy_plan(conv->plan);
        conv->plan = NULL;
        conv->chosen = 0;
    }
}

static void tear_down(Fixture *f, gconstpointer data)
{
    (void)data;
    free_plans(f);
    g_assert_cmpint(plans, ==, 0);
    cuda_device_close(f->device);
    g_assert_cmpint(handles, ==, 0);
}

static void tune(Fixture *f)
{
    GpudlFault fault = {""};
    CudaTuning *tuning = cuda_tuning_new(&f->convs, "", &fault);
    gint done = 0;

    cuda_tuning_build(tuning);
    if (cuda_tuning_try(tuning, UINT64_MAX, &done, &fault) != GPUDL_STATUS_OK)
        g_error("%s", fault.message);
    g_assert_true(done);
    cuda_tuning_free(tuning);
}

static gint count_threads(void)
{
    return (gint)CLAMP(sysconf(_SC_NPROCESSORS_ONLN), 1, PROBLEMS);
}

static void check_chosen(Fixture *f, gint others)
{
    for (gint i = 0; i < PROBLEMS; i++) {
        const CudaConv *conv = &f->problems[i];
        const gint fastest = others > 0 ? 2 : 0;

        g_assert_true(conv->chosen);
        g_assert_cmpint(((Plan *)conv->plan)->number, ==, 10 * (i + 1) + fastest);
        g_assert_cmpint(conv->n_others, ==, others);
    }
}

/* One to run with, which is the first, and one for each thread; however often plans are built. */
static void test_kept(Fixture *f, gconstpointer measured)
{
    f->convs.measured = GPOINTER_TO_INT(measured);
    for (gint turn = 0; turn < 3; turn++) {
        tune(f);
        g_assert_cmpint(handles, ==, 1 + count_threads());
        check_chosen(f, f->convs.measured ? 2 : 0);
        g_assert_cmpint(plans, ==, PROBLEMS * (f->convs.measured ? 3 : 1));
        for (gint i = 0; i < PROBLEMS; i++)
            g_assert_true(((Plan *)f->problems[i].plan)->handle != (Handle *)f->device->handles[0]);
        free_plans(f);
    }
}

/* Where there is memory for two, one is for running, and one thread builds all. */
static void test_no_more(Fixture *f, gconstpointer data)
{
    (void)data;
    handles_at_once = 2;
    tune(f);
    check_chosen(f, 2);
    g_assert_cmpint(handles, ==, 2);
    for (gint i = 0; i < PROBLEMS; i++)
        g_assert_true(((Plan *)f->problems[i].plan)->handle == (Handle *)f->device->handles[1]);
}

/* What is dropped before anything was tried. */
static void test_cancelled(Fixture *f, gconstpointer data)
{
    GpudlFault fault = {""};
    CudaTuning *tuning = cuda_tuning_new(&f->convs, "", &fault);

    (void)data;
    cuda_tuning_build(tuning);
    g_assert_cmpint(handles, ==, 1 + count_threads());
    cuda_tuning_free(tuning);
    g_assert_cmpint(plans, ==, 0);
    g_assert_cmpint(handles, ==, 1 + count_threads());
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, test) g_test_add("/cuda-tune/" name, Fixture, data, set_up, test, tear_down)
    ADD("handles-kept", GINT_TO_POINTER(1), test_kept);
    ADD("handles-kept-of-first-choices", NULL, test_kept);
    ADD("no-more-handles", NULL, test_no_more);
    ADD("cancelled", NULL, test_cancelled);
    return g_test_run();
}
