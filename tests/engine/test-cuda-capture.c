/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a graph is captured from: on which stream each step is queued, and whether its kernels may overlap what is
 * before them. The runtime is a double that writes down what it is asked for. */
#include <glib.h>

#include "engine/cuda/engine.h"
#include "engine/cuda/tell.h"
#include "kernels/launch.h"

static GString *queued;
static int fail_at = -1;

#define STREAM(i) ((cudaStream_t)GINT_TO_POINTER((i) + 1))

/* ---- the runtime ------------------------------------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    static gint made;

    (void)flags;
    *event = GINT_TO_POINTER(++made);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    (void)event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)event;
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)event;
    (void)flags;
    g_string_append_printf(queued, "%s ", stream == STREAM(0) ? "wait" : "side-waits");
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)stream;
    (void)mode;
    g_string_truncate(queued, 0);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    (void)stream;
    *graph = NULL;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)graph;
    (void)flags;
    *exec = GINT_TO_POINTER(1);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    (void)graph;
    return cudaSuccess;
}

/* ---- the device, and what programs say of steps ------------------------------------------------------------------ */

GpudlStatus cuda_bind(CudaDevice *device, cudaStream_t stream, GpudlFault *fault)
{
    (void)device;
    (void)stream;
    (void)fault;
    return GPUDL_STATUS_OK;
}

void cuda_tell(const GpudlHost *host, const char *format, ...)
{
    (void)host;
    (void)format;
}

CudaRun cuda_run_on(const CudaEngine *engine, const CudaBucket *bucket, uint32_t slot)
{
    return (CudaRun){.program = bucket->program, .device = engine->shared.device, .stream = engine->slots[slot].stream};
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static int write_down(const CudaStep *step, const CudaRun *run)
{
    if (step->node == fail_at)
        return GPUDL_KERNEL_SHAPE;
    g_string_append_printf(queued, "%d%s%s ", (int)step->node, run->stream == STREAM(0) ? "" : "s",
                           gpudl_launches_may_overlap() ? "+" : "");
    return 0;
}

static GpudlStatus capture(guint streams, CudaConv *block)
{
    uint8_t lane[] = {0, 1, 0, 0, 0, 0, 0};
    gint32 waits[] = {-1, 0, -1, 1, -1, -1, -1};
    GpudlPlanNode nodes[7] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"}};
    GpudlPlan plan = {.batch = 1, .nodes = nodes, .n_nodes = 7};
    CudaStep steps[7];
    CudaProgram program = {.plan = &plan,
                           .steps = steps,
                           .n_steps = 7,
                           .n_frame_steps = 7,
                           .streams = streams,
                           .lanes = {.n = 7, .n_side = 1, .lane = lane, .wait = waits}};
    CudaDevice device = {0};
    CudaEngine engine = {.shared.device = &device};
    CudaBucket bucket = {.program = &program};
    cudaGraphExec_t exec;
    GpudlFault fault;
    GpudlStatus status;

    engine.slots[0].stream = STREAM(0);
    engine.slots[0].side = STREAM(1);
    for (gint i = 0; i < 7; i++)
        steps[i] = (CudaStep){.launch = write_down,
                              .launch_block = write_down,
                              .node = i,
                              .x = -1,
                              .y = -1,
                              .w = -1,
                              .bias = -1,
                              .half_bias = -1,
                              .z = -1,
                              .scratch = -1};
    for (gint i = 3; i < 5; i++) {
        steps[i].block = block;
        steps[i].block_steps = 5 - i;
    }
    status = cuda_capture(&engine, &bucket, 0, 0, &exec, &fault);
    g_assert_true(gpudl_launches_may_overlap()); /* whatever became of it */
    return status;
}

static void test_one_stream_overlaps(void)
{
    g_assert_cmpint(capture(1, NULL), ==, GPUDL_STATUS_OK);
    g_assert_cmpstr(queued->str, ==, "0+ 1+ 2+ 3+ 4+ 5+ 6+ ");
}

static void test_apart_nothing_overlaps(void)
{
    g_assert_cmpint(capture(CUDA_APART, NULL), ==, GPUDL_STATUS_OK);
    g_assert_cmpstr(queued->str, ==, "0 1 2 3 4 5 6 ");
}

static void test_behind_two_streams_nothing_overlaps(void)
{
    g_assert_cmpint(capture(2, NULL), ==, GPUDL_STATUS_OK);
    g_assert_cmpstr(queued->str, ==, "side-waits 0+ side-waits 1s 2+ wait 3 4+ 5+ 6+ wait ");
}

static void test_a_block_joins_in_the_place_of_its_first_step(void)
{
    CudaConv block = {.form = CUDA_CONV_BLOCK};

    g_assert_cmpint(capture(2, &block), ==, GPUDL_STATUS_OK);
    g_assert_cmpstr(queued->str, ==, "side-waits 0+ side-waits 1s 2+ wait 4 5+ 6+ wait ");
    block.form = CUDA_CONV_APART;
    g_assert_cmpint(capture(2, &block), ==, GPUDL_STATUS_OK);
    g_assert_cmpstr(queued->str, ==, "side-waits 0+ side-waits 1s 2+ wait 3 4+ 5+ 6+ wait ");
}

static void test_launches_behind_a_failure_overlap_again(void)
{
    fail_at = 3; /* which joins */
    g_assert_cmpint(capture(2, NULL), ==, GPUDL_STATUS_BACKEND);
    fail_at = -1;
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    queued = g_string_new(NULL);
    g_test_add_func("/cuda-capture/one-stream-overlaps", test_one_stream_overlaps);
    g_test_add_func("/cuda-capture/apart-nothing-overlaps", test_apart_nothing_overlaps);
    g_test_add_func("/cuda-capture/behind-two-streams-nothing-overlaps", test_behind_two_streams_nothing_overlaps);
    g_test_add_func("/cuda-capture/block-joins", test_a_block_joins_in_the_place_of_its_first_step);
    g_test_add_func("/cuda-capture/failure", test_launches_behind_a_failure_overlap_again);
    status = g_test_run();
    g_string_free(queued, TRUE);
    return status;
}
