/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether libraries' kernels wait for what is queued ahead of them (engine/cuda/fence.h). A kernel of ours lets others
 * come as soon as it is on the device whole, and then takes long to write a residual; convolutions and products that
 * add it, by each plan that cuDNN and cuBLASLt recommend, queued behind it at once and in a graph, are as when it is
 * there. So are those of a chain in which each adds what the same plan has written just before.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cuda/device.h"
#include "engine/cuda/lt.h"
#include "kernels/conv_cuda.h"
#include "tests/kernels/device.h"

#define PLANS 4
#define RUNS 6
#define LONG 4096 /* channels that each value of the residual sums up */
#define LINKS 8

static CudaDevice *device;
static cudaStream_t stream;
static cudnnHandle_t handle;

static void need(cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        device_fail("%s: %s", what, cudaGetErrorString(error));
}

static void open_device(void)
{
    GpudlDeviceParams params = {.id = 0};
    GpudlFault fault = {0};
    char text[160];

    if (device != NULL)
        return;
    if (cuda_device_open(&params, (void **)&device, &fault) != GPUDL_STATUS_OK)
        device_fail("%s", fault.message);
    need(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    cuda_describe(device, text, sizeof text);
    printf("# %s\n", text);
}

/* ---- a problem --------------------------------------------------------------------------------------------------- */

/* The residual is z = x0 times w0, a product over LONG channels. Few enough warps that others find room beside them. */
typedef struct {
    CudaConvKey key;
    CudaConvData data;
    const void *x0, *w0;
    char *links;  /* the results of a chain */
    size_t bytes; /* of y, of the residual and of a link */
} Case;

static CudaConvKey problem(GpudlDType dtype, int32_t n, int32_t side, int32_t c, int32_t k, int32_t taps, int act)
{
    CudaConvKey key;

    memset(&key, 0, sizeof key); /* compared byte by byte */
    key.dtype = (int32_t)dtype;
    key.n = n;
    key.c = c;
    key.h = key.w = key.p = key.q = side;
    key.k = k;
    key.r = key.s = taps;
    key.groups = 1;
    for (int d = 0; d < 2; d++) {
        key.stride[d] = key.dilation[d] = 1;
        key.pad_begin[d] = key.pad_end[d] = taps / 2;
    }
    key.x_pitch = c;
    key.y_pitch = key.z_pitch = k;
    key.bias = 1;
    key.act = act;
    return key;
}

static const void *random_input(GpudlDType dtype, int64_t elements, double limit)
{
    const size_t bytes = (size_t)elements * gpudl_dtype_size(dtype);
    void *values = device_host(bytes);

    device_random(dtype, values, (size_t)elements, -limit, limit, 0);
    return device_input(values, bytes, 0);
}

static void make_case(Case *c, const CudaConvKey *key)
{
    const GpudlDType dtype = (GpudlDType)key->dtype;
    const int64_t pixels = (int64_t)key->n * key->p * key->q;
    const int64_t weights = (int64_t)key->k * key->r * key->s * key->c;
    float *bias = device_host((size_t)key->k * sizeof *bias);
    uint16_t *half = device_host((size_t)key->k * sizeof *half);

    memset(c, 0, sizeof *c);
    c->key = *key;
    c->bytes = (size_t)(pixels * key->k) * gpudl_dtype_size(dtype);
    for (int32_t i = 0; i < key->k; i++) {
        bias[i] = (float)(device_int(-64, 64)) / 32;
        device_set(dtype, half, i, (double)bias[i]);
    }
    c->data.x = random_input(dtype, pixels * key->c, 1);
    c->data.w = random_input(dtype, weights, 0.05);
    c->data.bias = device_input(bias, (size_t)key->k * sizeof *bias, 0);
    c->data.half_bias = device_input(half, (size_t)key->k * sizeof *half, 0);
    c->data.z = device_output(c->bytes, 0);
    c->data.y = device_output(c->bytes, 0);
    c->links = device_output(LINKS * c->bytes, 0);
    c->x0 = random_input(dtype, pixels * LONG, 0.2);
    c->w0 = random_input(dtype, (int64_t)key->k * LONG, 0.2);
}

/* Nothing of the residual is there when its kernel begins. */
static void queue_residual(const Case *c)
{
    const CudaConvKey *key = &c->key;
    const GpudlNhwc xs = {key->n, key->p, key->q, LONG, LONG}, ys = {key->n, key->p, key->q, key->k, key->k};
    const GpudlWindow window = {.n_spatial = 2, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    const GpudlAct none = {.kind = GPUDL_ACT_NONE};

    need(cudaMemsetAsync((void *)c->data.z, 0xff, c->bytes, stream), "clearing the residual");
    need(cudaMemsetAsync(c->data.y, 0xff, c->bytes, stream), "clearing the result");
    if (gpudl_conv_cuda((GpudlDType)key->dtype, c->x0, &xs, c->w0, NULL, NULL, 0, &window, 1, &none, (void *)c->data.z,
                        &ys, stream) != 0)
        device_fail("the residual's kernel");
}

static void queue_plan(const Case *c, const CudaConvPlan *plan, const CudaConvData *data)
{
    if (plan->form == CUDA_CONV_LT) {
        const int status = cuda_lt_run(device, &c->key, &plan->lt, plan->workspace, data, stream);

        if (status != 0)
            device_fail("cuBLASLt: %s", cuda_lt_status_name(device, status));
    } else {
        const cudnnStatus_t status = cuda_conv_run(device, handle, &c->key, plan->form, plan->plan, data, stream);

        if (status != CUDNN_STATUS_SUCCESS)
            device_fail("cuDNN: status %d", (int)status);
    }
}

/* Nothing is between the links, not even what clears their results. */
static void queue_chain(const Case *c, const CudaConvPlan *plan, const CudaConvData *data, int waits)
{
    CudaConvData link = *data;

    need(cudaMemsetAsync(c->links, 0xff, LINKS * c->bytes, stream), "clearing the links");
    for (int i = 0; i < LINKS; i++) {
        link.y = c->links + (size_t)i * c->bytes;
        queue_plan(c, plan, &link);
        if (waits)
            need(cudaStreamSynchronize(stream), "a link");
        link.z = link.y;
    }
}

static void queue(const Case *c, const CudaConvPlan *plan, const CudaConvData *data, int is_chain)
{
    if (is_chain) {
        queue_chain(c, plan, data, 0);
        return;
    }
    queue_residual(c);
    queue_plan(c, plan, data);
}

static uint8_t *fetch_result(const Case *c, int is_chain)
{
    need(cudaStreamSynchronize(stream), "the stream");
    return is_chain ? device_fetch(c->links, LINKS * c->bytes) : device_fetch(c->data.y, c->bytes);
}

/* In how many of RUNS runs behind the residual's kernel, or of a chain, the result is other than expected. */
static int count_changes(const Case *c, const CudaConvPlan *plan, const CudaConvData *data, const void *expected,
                         int is_chain, int in_graph)
{
    const size_t bytes = is_chain ? LINKS * c->bytes : c->bytes;
    cudaGraphExec_t executable = NULL;
    cudaGraph_t graph = NULL;
    int changes = 0;

    if (in_graph) {
        need(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture()");
        queue(c, plan, data, is_chain);
        need(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture()");
        need(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate()");
    }
    for (int i = 0; i < RUNS; i++) {
        if (in_graph)
            need(cudaGraphLaunch(executable, stream), "cudaGraphLaunch()");
        else
            queue(c, plan, data, is_chain);
        changes += memcmp(fetch_result(c, is_chain), expected, bytes) != 0;
    }
    if (in_graph) {
        cudaGraphExecDestroy(executable);
        cudaGraphDestroy(graph);
    }
    return changes;
}

static void check_plan(const Case *c, const CudaConvPlan *plan, const char *name)
{
    CudaConvData data = c->data;

    data.workspace = plan->workspace > 0 ? device_output((size_t)plan->workspace, 0) : NULL;
    need(cudaDeviceSynchronize(), "what the case has on the device");
    queue_residual(c);
    need(cudaStreamSynchronize(stream), "the residual"); /* it is there */
    for (int is_chain = 0; is_chain < 2; is_chain++) {
        const uint8_t *expected;

        if (is_chain)
            queue_chain(c, plan, &data, 1);
        else
            queue_plan(c, plan, &data);
        expected = fetch_result(c, is_chain);
        for (int in_graph = 0; in_graph < 2; in_graph++) {
            const int changes = count_changes(c, plan, &data, expected, is_chain, in_graph);

            if (changes > 0)
                device_fail("%s %s: %d of %d runs %s are other than %s", name, plan->name, changes, RUNS,
                            in_graph ? "in a graph" : "on a stream",
                            is_chain ? "the same links, each waited for" : "those behind a residual that is there");
        }
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static const struct {
    GpudlDType dtype;
    int32_t n, side, c, k, taps;
} shapes[] = {{GPUDL_DTYPE_F16, 1, 7, 512, 256, 1},  {GPUDL_DTYPE_F16, 1, 7, 512, 256, 3},
              {GPUDL_DTYPE_F16, 1, 14, 256, 64, 1},  {GPUDL_DTYPE_F16, 2, 14, 64, 32, 3},
              {GPUDL_DTYPE_F16, 1, 28, 16, 16, 3},   {GPUDL_DTYPE_F16, 4, 7, 64, 64, 1},
              {GPUDL_DTYPE_BF16, 1, 7, 512, 256, 1}, {GPUDL_DTYPE_BF16, 1, 14, 128, 64, 3}};

/* All plans of a form, for all shapes; each form has some. */
static void check_form(CudaConvForm form, const char *name)
{
    const int n_shapes = (int)(sizeof shapes / sizeof *shapes);
    int tried = 0;

    open_device();
    for (int i = 0; i < 2 * n_shapes; i++) {
        const int32_t act = i % 2 == 0 ? GPUDL_ACT_NONE : GPUDL_ACT_RELU, s = i / 2;
        const CudaConvKey key =
            problem(shapes[s].dtype, shapes[s].n, shapes[s].side, shapes[s].c, shapes[s].k, shapes[s].taps, act);
        CudaConvPlan plans[PLANS];
        Case c;
        int n = 0;

        device_case(i, "%d x %d x %d x %d to %d, %d taps, act %d", key.n, key.h, key.w, key.c, key.k, key.r, act);
        make_case(&c, &key);
        if (form == CUDA_CONV_LT)
            n = cuda_lt_fits(&key) ? cuda_lt_plans(device, &key, plans, PLANS) : 0;
        else if (cuda_conv_has_form(&key, form))
            n = cuda_conv_plans(device, handle, &key, form, 0, plans, PLANS);
        for (int p = 0; p < n; p++)
            check_plan(&c, &plans[p], name);
        for (int p = 0; p < n && form != CUDA_CONV_LT; p++)
            device->cudnn->destroy_descriptor(plans[p].plan);
        tried += n;
    }
    if (tried == 0)
        device_fail("%s: no plan", name);
}

static void open_cudnn(void)
{
    GpudlFault fault = {0};

    open_device();
    if (device->cudnn == NULL)
        device_fail("no cuDNN");
    if (cuda_bind(device, stream, &fault) != GPUDL_STATUS_OK)
        device_fail("%s", fault.message);
    handle = device->handles[0];
}

static void test_cudnn_residual_first(void)
{
    open_cudnn();
    check_form(CUDA_CONV_RESIDUAL_FIRST, "cuDNN, residual first,");
}

static void test_cudnn_bias_first(void)
{
    open_cudnn();
    check_form(CUDA_CONV_BIAS_FIRST, "cuDNN, bias first,");
}

static int never(void *host)
{
    (void)host;
    return 0;
}

static void say(void *host, GpudlLogLevel level, const char *text)
{
    (void)host;
    device_note(" (%d: %s)", (int)level, text);
}

static void test_cublaslt(void)
{
    const GpudlHost host = {.cancelled = never, .closing = never, .log = say};

    open_device();
    if (!cuda_lt_open(device, &host))
        device_fail("no cuBLASLt");
    check_form(CUDA_CONV_LT, "cuBLASLt");
}

int main(int argc, char **argv)
{
    const DeviceCheck checks[] = {{"cudnn-residual-first", test_cudnn_residual_first},
                                  {"cudnn-bias-first", test_cudnn_bias_first},
                                  {"cublaslt", test_cublaslt},
                                  {NULL, NULL}};
    const DeviceCheck benches[] = {{NULL, NULL}};
    const int result = device_main(argc, argv, checks, benches);

    if (device != NULL) {
        cudaStreamDestroy(stream);
        cuda_device_close(device);
    }
    return result;
}
