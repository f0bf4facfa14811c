/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said of a step that fails, without a device. */
#include <glib.h>

#include "engine/cuda/lt.h"
#include "engine/cuda/program.h"

/* Of the device's part, which no step here fails in. */
GpudlStatus cuda_fail(CudaDevice *device, GpudlFault *fault, cudaError_t error, const char *format, ...)
{
    (void)device;
    (void)fault;
    (void)error;
    (void)format;
    g_assert_not_reached();
}

GpudlStatus cuda_fail_cudnn(CudaDevice *device, GpudlFault *fault, cudnnStatus_t error, const char *format, ...)
{
    (void)device;
    (void)fault;
    (void)error;
    (void)format;
    g_assert_not_reached();
}

const char *cuda_lt_status_name(const CudaDevice *device, int status)
{
    (void)device;
    (void)status;
    g_assert_not_reached();
}

static GpudlStatus fail(gint64 rows, int status, GpudlFault *fault)
{
    CudaValue values[] = {{.shape = {2, {4, 8}}}, {.shape = {2, {rows, 1 << 16}}}};
    CudaStep step = {.x = 0, .y = 1, .w = -1, .bias = -1, .half_bias = -1, .z = -1, .scratch = -1, .what = "copy"};
    GpudlPlanNode node = {.name = "widen"};
    GpudlPlan plan = {.nodes = &node, .n_nodes = 1, .batch = 16};
    CudaProgram program = {.plan = &plan, .values = values, .n_values = 2, .steps = &step, .n_steps = 1};
    const CudaRun run = {.program = &program};

    return cuda_program_fault(&run, 0, status, fault);
}

static void test_too_many_elements_are_named(void)
{
    GpudlFault fault;

    g_assert_cmpint(fail(1 << 16, GPUDL_KERNEL_SHAPE, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
    g_assert_cmpstr(fault.message, ==,
                    "backend cuda can't run node 'widen' by copy: a tensor of 4294967296 elements at batch 16, "
                    "expected at most 2147483647; use a smaller batch, or backend cpu");
    g_assert_cmpint(fail(1 << 15, GPUDL_KERNEL_SHAPE, &fault), ==, GPUDL_STATUS_UNSUPPORTED);
}

static void test_other_statuses_are_the_kernels(void)
{
    GpudlFault fault;

    g_assert_cmpint(fail(1, GPUDL_KERNEL_SHAPE, &fault), ==, GPUDL_STATUS_BACKEND);
    g_assert_cmpstr(fault.message, ==, "node 'widen' by copy: shapes or parameters contradict each other");
    g_assert_cmpint(fail(1 << 16, GPUDL_KERNEL_DTYPE, &fault), ==, GPUDL_STATUS_BACKEND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cuda-program/too-many-elements-are-named", test_too_many_elements_are_named);
    g_test_add_func("/cuda-program/other-statuses-are-the-kernels", test_other_statuses_are_the_kernels);
    return g_test_run();
}
