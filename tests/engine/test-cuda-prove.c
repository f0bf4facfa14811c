/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which choices are left when a network is run with them and without: two convolutions, whose results the runtime's
 * double makes wrong where it is asked to. */
#include <glib.h>

#include "engine/cuda/choice.h"
#include "engine/cuda/engine.h"
#include "engine/cuda/prove.h"
#include "kernels/launch.h"

enum { FIRST = 3, SECOND = 2, VALUES = FIRST + SECOND };

static struct {
    guint wrong;                  /* convolutions whose choice is, a bit each */
    guint works;                  /* a graph on more streams than that is wrong, CUDA_APART being fewest */
    GpudlStatus capture, bind;    /* what these end with */
    guint captures_fail;          /* so many of them, 0: all */
    guint captures, steps, notes; /* how many */
    gboolean has_input, is_wrong;
    GString *log;
} fake;

static CudaConv convs[2];

/* ---- the runtime ------------------------------------------------------------------------------------------------- */

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    (void)stream;
    g_assert_cmpint(kind, ==, cudaMemcpyDeviceToHost);
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    g_free(graph);
    return cudaSuccess;
}

static gboolean is_choice_wrong(void)
{
    return ((fake.wrong & 1) && convs[0].form == CUDA_CONV_ONCE) ||
           ((fake.wrong & 2) && convs[1].form == CUDA_CONV_ONCE);
}

/* A graph is what it was captured with: streams, choices. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    const guint *streams = (const guint *)graph;

    (void)stream;
    g_assert_true(fake.has_input);
    fake.has_input = FALSE;
    fake.is_wrong = is_choice_wrong() || *streams > fake.works;
    return cudaSuccess;
}

/* ---- the engine -------------------------------------------------------------------------------------------------- */

GpudlStatus cuda_capture(CudaEngine *engine, const CudaBucket *bucket, uint32_t slot, int first, cudaGraphExec_t *exec,
                         GpudlFault *fault)
{
    const guint streams = bucket->program->streams == CUDA_APART ? 0 : bucket->program->streams;
    const gboolean may_fail = fake.captures_fail == 0 || fake.captures < fake.captures_fail;

    (void)engine;
    g_assert_cmpuint(slot, ==, 0);
    g_assert_cmpint(first, ==, fake.captures++ == 0);
    *exec = NULL;
    g_snprintf(fault->message, sizeof fault->message, "no graph");
    if (fake.capture != GPUDL_STATUS_OK && may_fail)
        return fake.capture;
    *exec = g_memdup2(&streams, sizeof streams);
    return GPUDL_STATUS_OK;
}

GpudlStatus cuda_bind(CudaDevice *device, cudaStream_t stream, GpudlFault *fault)
{
    (void)device;
    (void)stream;
    g_snprintf(fault->message, sizeof fault->message, "not bound");
    return fake.bind;
}

CudaRun cuda_run_on(const CudaEngine *engine, const CudaBucket *bucket, uint32_t slot)
{
    return (CudaRun){
        .program = bucket->program, .device = engine->shared.device, .workspace = engine->slots[slot].workspace};
}

uint64_t cuda_output_bytes(const GpudlPlan *plan)
{
    (void)plan;
    return VALUES * sizeof(float);
}

GpudlStatus cuda_noise_make(const CudaRun *run, CudaNoise *noise, GpudlFault *fault)
{
    (void)run;
    (void)fault;
    *noise = (CudaNoise){g_malloc(1), 1};
    return GPUDL_STATUS_OK;
}

cudaError_t cuda_noise_put(const CudaRun *run, const CudaNoise *noise)
{
    (void)run;
    g_assert_nonnull(noise->input);
    fake.has_input = TRUE;
    return cudaSuccess;
}

void cuda_noise_free(CudaNoise *noise)
{
    g_free(noise->input);
    noise->input = NULL;
}

void cuda_conv_take(CudaConv *conv, const CudaConvPlan *plan)
{
    conv->form = plan->form;
}

static void write_log(void *host, GpudlLogLevel level, const char *message)
{
    (void)host;
    fake.notes++;
    g_string_append_printf(fake.log, "%s%s\n", level == GPUDL_LOG_WARNING ? "W " : "", message);
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

/* Of a network that is run step by step. */
static int run_conv(const CudaStep *step, const CudaRun *run)
{
    (void)run;
    g_assert_false(gpudl_launches_may_overlap());
    g_assert_true(fake.has_input);
    fake.steps++;
    if (step->node == 1) {
        fake.has_input = FALSE;
        fake.is_wrong = is_choice_wrong();
    }
    return 0;
}

/* Makes the heads dense; the last value of all is the one that is wrong. */
static int run_heads(const CudaStep *step, const CudaRun *run)
{
    static const float first[FIRST] = {1, 2, 3}, second[SECOND] = {0, 1};
    float *to = cuda_value_data(run, 1);

    (void)step;
    g_assert_false(gpudl_launches_may_overlap());
    memcpy(cuda_value_data(run, 0), first, sizeof first);
    memcpy(to, second, sizeof second);
    if (fake.is_wrong)
        to[SECOND - 1] += 0.25f;
    return 0;
}

/* taken: the groups that are left, a bit each. */
static GpudlStatus prove(uint32_t *streams, guint *taken)
{
    static const int32_t outputs[] = {0, 1};
    const GpudlPlanTensor tensors[] = {{.bytes = FIRST * sizeof(float)}, {.bytes = SECOND * sizeof(float)}};
    const GpudlPlanNode nodes[] = {{.name = "stem"}, {.name = "top"}};
    const GpudlPlan plan = {.batch = 4, .tensors = tensors, .nodes = nodes, .outputs = outputs, .n_outputs = 2};
    const CudaConvPlan once = {.form = CUDA_CONV_ONCE, .name = "once"}, own = {.form = CUDA_CONV_OWN, .name = "own"};
    CudaStep steps[] = {{.launch = run_conv, .node = 0, .conv = &convs[0]},
                        {.launch = run_conv, .node = 1, .conv = &convs[1]},
                        {.launch = run_heads, .node = 1}};
    CudaBlock blocks[] = {{.bytes = 64}, {.bytes = 64, .offset = 64}};
    CudaValue values[] = {{.block = 0, .dtype = GPUDL_DTYPE_F32}, {.block = 1, .dtype = GPUDL_DTYPE_F32}};
    CudaProgram program = {.plan = &plan,
                           .steps = steps,
                           .blocks = blocks,
                           .values = values,
                           .n_steps = 3,
                           .n_frame_steps = 2,
                           .heads = {0, 1},
                           .network = "net",
                           .streams = *streams};
    CudaProveGroup groups[] = {{&convs[0], &once, &own, 1}, {&convs[1], &once, &own, 1}};
    const GpudlHost host = {.log = write_log};
    CudaDevice device = {.lock = PTHREAD_MUTEX_INITIALIZER};
    float workspace[32];
    CudaEngine engine = {.shared = {.device = &device, .host = &host, .dtype = GPUDL_DTYPE_F16}};
    GpudlFault fault = {""};
    GpudlStatus status;

    engine.slots[0].workspace = (uint8_t *)workspace;
    fake.captures = fake.steps = fake.notes = 0;
    g_string_truncate(fake.log, 0);
    status = cuda_prove(&engine, &program, groups, 2, streams, &fault);
    *taken = (groups[0].taken ? 1 : 0) + (groups[1].taken ? 2 : 0);
    g_assert_true(gpudl_launches_may_overlap());
    return status;
}

static void check(guint wrong, guint works, uint32_t streams, guint expected, uint32_t expected_streams)
{
    guint taken;

    fake.wrong = wrong;
    fake.works = works;
    g_assert_cmpint(prove(&streams, &taken), ==, GPUDL_STATUS_OK);
    g_assert_cmphex(taken, ==, expected);
    g_assert_cmpuint(streams, ==, expected_streams);
}

static void test_what_is_right_is_left_silently(void)
{
    check(0, 2, 2, 3, 2);
    g_assert_cmpuint(fake.notes, ==, 0);
    g_assert_cmpuint(fake.captures, ==, 1);
    g_assert_cmpuint(fake.steps, ==, 2); /* the references */
}

static void test_a_wrong_choice_is_told_and_goes(void)
{
    check(2, 2, 2, 1, 2);
    g_assert_cmpuint(fake.notes, ==, 1);
    g_assert_nonnull(strstr(fake.log->str, "W batch 4 of net: node 'top' by once and by own"));
    g_assert_nonnull(strstr(fake.log->str, "up to 2.5e-01 of their range, expected at most 5.0e-02"));
    check(3, 2, 1, 0, 1);
    g_assert_cmpuint(fake.notes, ==, 2);
    g_assert_nonnull(strstr(fake.log->str, "node 'stem'"));
}

static void test_a_wrong_graph_is_told_and_goes(void)
{
    check(0, 1, 2, 3, 1);
    g_assert_cmpuint(fake.notes, ==, 1);
    g_assert_nonnull(strstr(fake.log->str, "as a graph on two streams"));
    g_assert_nonnull(strstr(fake.log->str, "runs on one stream. Please"));
    check(0, 0, 1, 3, CUDA_APART);
    g_assert_nonnull(strstr(fake.log->str, "as a graph on one stream "));
    g_assert_nonnull(strstr(fake.log->str, "runs on one stream, launches without overlap. Please"));
    check(1, 0, 2, 2, CUDA_APART);
    g_assert_cmpuint(fake.notes, ==, 2);
}

/* Nothing was found wrong: what was measured is taken. */
static void test_a_run_that_fails_proves_nothing(void)
{
    fake.capture = GPUDL_STATUS_NO_MEMORY;
    check(0, 2, 2, 3, 2);
    g_assert_cmpstr(fake.log->str, ==, "no graph\n");
    fake.captures_fail = 1; /* what others tell holds */
    check(2, 2, 2, 1, 2);
    g_assert_nonnull(strstr(fake.log->str, "node 'top'"));
    fake.captures_fail = 0;
    fake.capture = GPUDL_STATUS_OK;
    fake.bind = GPUDL_STATUS_BACKEND;
    check(0, 2, 2, 3, 2);
    g_assert_cmpstr(fake.log->str, ==, "not bound\n");
    fake.bind = GPUDL_STATUS_OK;
}

static void test_a_lost_device_is_a_failure(void)
{
    uint32_t streams = 2;
    guint taken;

    fake.wrong = 0;
    fake.capture = GPUDL_STATUS_DEVICE;
    g_assert_cmpint(prove(&streams, &taken), ==, GPUDL_STATUS_DEVICE);
    g_assert_cmpuint(fake.captures, ==, 1);
    g_assert_cmpuint(fake.notes, ==, 0);
    fake.capture = GPUDL_STATUS_OK;
}

static void test_references(void)
{
    CudaConvKey key = {.k = 8};
    CudaConvPlan plans[4] = {{.form = CUDA_CONV_ONCE}, {.form = CUDA_CONV_GEMM}, {.form = CUDA_CONV_BARE}};

    g_assert_cmpuint(cuda_prove_reference(&key, plans, 3), ==, 1);
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 1), ==, 1);
    g_assert_cmpint(plans[1].form, ==, CUDA_CONV_OWN);
    g_assert_null(plans[1].plan);
    plans[0].form = CUDA_CONV_GEMV;
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 2), ==, 1);
    key.means = 1;
    plans[1].form = CUDA_CONV_APART;
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 1), ==, 0);
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 2), ==, 1);
    key.means = 0;
    key.pooled = 1;
    plans[0].form = CUDA_CONV_STEM;
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 2), ==, 1);
    key.pooled = 0;
    key.hidden = 16;
    plans[0].form = CUDA_CONV_BLOCK;
    plans[1].form = CUDA_CONV_APART;
    g_assert_cmpuint(cuda_prove_reference(&key, plans, 2), ==, 1);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    fake.log = g_string_new(NULL);
    g_test_add_func("/cuda-prove/right", test_what_is_right_is_left_silently);
    g_test_add_func("/cuda-prove/wrong-choice", test_a_wrong_choice_is_told_and_goes);
    g_test_add_func("/cuda-prove/wrong-graph", test_a_wrong_graph_is_told_and_goes);
    g_test_add_func("/cuda-prove/failing-run", test_a_run_that_fails_proves_nothing);
    g_test_add_func("/cuda-prove/lost-device", test_a_lost_device_is_a_failure);
    g_test_add_func("/cuda-prove/references", test_references);
    status = g_test_run();
    g_string_free(fake.log, TRUE);
    return status;
}
