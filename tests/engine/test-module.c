/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What modules share, by itself. */
#include "engine/module.h"

#ifdef __G_LIB_H__
#error "modules see no GLib"
#endif

#include <glib.h>
#include <math.h>

#include "engine/gpudl.h"

static void assert_says(GpudlStatus got, GpudlStatus status, GpudlFault *fault, const gchar *text)
{
    g_assert_cmpint(got, ==, status);
    g_assert_cmpstr(fault->message, ==, text);
    fault->message[0] = '\0';
}

static void test_names_are_those_of_the_library(void)
{
    for (gint i = -1; i < 32; i++) {
        g_assert_cmpstr(gpudl_module_precision_name(i), ==, gpudl_precision_name((GpudlPrecision)i));
        g_assert_cmpstr(gpudl_module_activation_name(i), ==, gpudl_activation_name((GpudlActivation)i));
    }
    g_assert_cmpstr(gpudl_module_precision_name(GPUDL_PRECISION_BF16), ==, "bf16");
    g_assert_cmpstr(gpudl_module_precision_name(GPUDL_PRECISION_FP8), ==, "fp8");
    g_assert_cmpstr(gpudl_module_activation_name(GPUDL_ACTIVATION_SIGMOID), ==, "sigmoid");
    g_assert_cmpstr(gpudl_module_precision_name(G_MININT32), ==, "unknown");
}

static void test_messages_are_cut_to_their_room(void)
{
    GpudlFault fault[2];

    memset(fault, 'x', sizeof fault);
    g_assert_cmpint(gpudl_module_fail(fault, GPUDL_STATUS_DEVICE, "%0600d", 1), ==, GPUDL_STATUS_DEVICE);
    g_assert_cmpuint(strlen(fault[0].message), ==, sizeof fault[0].message - 1);
    g_assert_cmpint(fault[1].message[0], ==, 'x');
}

static void test_resolve(void)
{
    const GpudlModuleAbility can = {"toy", 1u << GPUDL_PRECISION_FP32 | 1u << GPUDL_PRECISION_FP16,
                                    GPUDL_PRECISION_FP16, 32, 8};
    const GpudlOpenParams good = {.activation = GPUDL_ACTIVATION_NONE};
    GpudlOpenParams params = good;
    GpudlFault fault = {""};

    g_assert_cmpint(gpudl_module_resolve(&can, &params, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(params.precision, ==, GPUDL_PRECISION_FP16);
    g_assert_cmpuint(params.batch_size, ==, 8);
    params.batch_size = 32;
    params.precision = GPUDL_PRECISION_FP32;
    g_assert_cmpint(gpudl_module_resolve(&can, &params, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(params.precision, ==, GPUDL_PRECISION_FP32);
    g_assert_cmpuint(params.batch_size, ==, 32);

    params.batch_size = 33;
    assert_says(gpudl_module_resolve(&can, &params, &fault), GPUDL_STATUS_UNSUPPORTED, &fault,
                "backend toy can't do batches of 33; an execution has at most 32 frames");
    params = good;
    params.precision = GPUDL_PRECISION_INT8;
    assert_says(gpudl_module_resolve(&can, &params, &fault), GPUDL_STATUS_UNSUPPORTED, &fault,
                "backend toy can't do precision int8; it can do fp32, fp16");
    params.precision = 33; /* not a bit of a mask of 32 */
    assert_says(gpudl_module_resolve(&can, &params, &fault), GPUDL_STATUS_UNSUPPORTED, &fault,
                "backend toy can't do precision unknown; it can do fp32, fp16");
    params = good;
    params.activation = GPUDL_ACTIVATION_AUTO;
    assert_says(gpudl_module_resolve(&can, &params, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "activation auto (0), expected none, softmax or sigmoid");
    params.activation = 4;
    assert_says(gpudl_module_resolve(&can, &params, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "activation unknown (4), expected none, softmax or sigmoid");
}

static void test_input(void)
{
    const GpudlOpenParams params = {.input_channels = 3, .input_height = 4, .input_width = 5};
    GpudlPlanTensor tensor = {.name = "x", .dtype = GPUDL_DTYPE_F32, .shape = {4, {1, 3, 4, 5}}};
    const int32_t inputs[2] = {0, 0};
    GpudlPlan plan = {.n_tensors = 1, .n_inputs = 1, .tensors = &tensor, .inputs = inputs};
    GpudlFault fault = {""};

    g_assert_cmpint(gpudl_module_check_input(&plan, &params, &fault), ==, GPUDL_STATUS_OK);
    for (int i = 0; i < 4; i++) {
        tensor.shape.dims[i]++;
        g_assert_cmpint(gpudl_module_check_input(&plan, &params, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
        tensor.shape.dims[i]--;
    }
    tensor.dtype = GPUDL_DTYPE_F16;
    tensor.shape.rank = 3;
    fault.message[0] = '\0';
    assert_says(gpudl_module_check_input(&plan, &params, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "input 'x' is float16 1x3x4, expected float32 1x3x4x5");
    tensor.shape.rank = 0;
    assert_says(gpudl_module_check_input(&plan, &params, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "input 'x' is float16 of rank 0, expected float32 1x3x4x5");
    tensor.shape.rank = GPUDL_MAX_RANK;
    for (int i = 0; i < GPUDL_MAX_RANK; i++)
        tensor.shape.dims[i] = G_MININT64;
    g_assert_cmpint(gpudl_module_check_input(&plan, &params, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    fault.message[0] = '\0';
    plan.n_inputs = 2;
    assert_says(gpudl_module_check_input(&plan, &params, &fault), GPUDL_STATUS_UNSUPPORTED, &fault,
                "the network has 2 inputs, expected 1");
}

static void test_memory(void)
{
    GpudlFault fault = {""};

    g_assert_cmpint(gpudl_module_check_memory(0, G_MAXUINT64, 9, G_MAXUINT64, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(gpudl_module_check_memory(100, 40, 3, 20, &fault), ==, GPUDL_STATUS_OK);
    assert_says(gpudl_module_check_memory(99, 40, 3, 20, &fault), GPUDL_STATUS_NO_MEMORY, &fault,
                "weights of 40 bytes and work memory of 3 x 20 bytes are more than the memory limit of 99 bytes");
    g_assert_cmpint(gpudl_module_check_memory(39, 40, 1, 0, &fault), ==, GPUDL_STATUS_NO_MEMORY);
    g_assert_cmpint(gpudl_module_check_memory(G_MAXUINT64, 40, 4, G_MAXUINT64 / 2, &fault), ==, GPUDL_STATUS_NO_MEMORY);
}

static void test_calls(void)
{
    static const GpudlBackend table = {.abi_version = GPUDL_BACKEND_ABI, .interface = "abc"};
    GpudlFault fault = {""};

    g_assert_true(gpudl_module_table(&table, GPUDL_BACKEND_ABI, "abc") == &table);
    g_assert_null(gpudl_module_table(&table, GPUDL_BACKEND_ABI + 1, "abc"));
    g_assert_null(gpudl_module_table(&table, GPUDL_BACKEND_ABI, "abd"));
    g_assert_cmpint(gpudl_module_check_slot(1, 2, &fault), ==, GPUDL_STATUS_OK);
    assert_says(gpudl_module_check_slot(2, 2, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "slot 2, expected less than 2");
    g_assert_cmpint(gpudl_module_check_jobs(4, 4, &fault), ==, GPUDL_STATUS_OK);
    g_assert_cmpint(gpudl_module_check_jobs(0, 4, &fault), ==, GPUDL_STATUS_INVALID_ARGUMENT);
    assert_says(gpudl_module_check_jobs(5, 4, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "5 jobs, expected 1 to 4");
    g_assert_cmpint(gpudl_module_check_batch(1, &fault), ==, GPUDL_STATUS_OK);
    assert_says(gpudl_module_check_batch(0, &fault), GPUDL_STATUS_INVALID_ARGUMENT, &fault,
                "batch 0, expected 1 or more");
}

static void test_heads(void)
{
    const guint16 halves[] = {0x3c00, 0x4000, 0xc000}; /* 1, 2, -2 */
    const float floats[] = {1, 2, -2};
    const GpudlPlanTensor half = {.name = "y", .dtype = GPUDL_DTYPE_F16, .shape = {2, {1, 3}}, .bytes = 6};
    const GpudlPlanTensor single = {.name = "y", .dtype = GPUDL_DTYPE_F32, .shape = {2, {1, 3}}, .bytes = 12};
    const double sum = exp(1) + exp(2) + exp(-2);
    GpudlFault fault = {""};

    for (gint activation = GPUDL_ACTIVATION_NONE; activation <= GPUDL_ACTIVATION_SIGMOID; activation++) {
        float from_half[4] = {NAN, NAN, NAN, 7}, from_single[4] = {NAN, NAN, NAN, 7};

        g_assert_cmpint(gpudl_module_write_head(&half, halves, activation, from_half, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpint(gpudl_module_write_head(&single, floats, activation, from_single, &fault), ==, GPUDL_STATUS_OK);
        g_assert_cmpmem(from_half, sizeof from_half, from_single, sizeof from_single);
        for (int i = 0; i < 3; i++) {
            double x = floats[i], expected = activation == GPUDL_ACTIVATION_SOFTMAX   ? exp(x) / sum
                                             : activation == GPUDL_ACTIVATION_SIGMOID ? 1 / (1 + exp(-x))
                                                                                      : x;

            g_assert_cmpfloat_with_epsilon(from_half[i], expected, 1e-6);
        }
        g_assert_cmpfloat(from_half[3], ==, 7);
    }
    {
        const GpudlPlanTensor odd = {.name = "y", .dtype = GPUDL_DTYPE_NONE, .shape = {1, {1}}};
        float value = 0;

        g_assert_cmpint(gpudl_module_write_head(&odd, halves, GPUDL_ACTIVATION_NONE, &value, &fault), ==,
                        GPUDL_STATUS_UNSUPPORTED);
        g_assert_true(g_str_has_prefix(fault.message, "output 'y': "));
    }
}

static guint64 flops(gint op, const GpudlAttrs *attrs, GpudlShape x, GpudlShape w, GpudlShape y)
{
    const GpudlPlanTensor tensors[] = {{.shape = x}, {.shape = w}, {.shape = y}};
    const int32_t inputs[] = {0, 1}, outputs[] = {2};
    const GpudlPlanNode node = {
        .op = op, .attrs = attrs, .n_inputs = 2, .n_outputs = 1, .inputs = inputs, .outputs = outputs};
    const GpudlPlan plan = {.n_tensors = 3, .n_nodes = 1, .tensors = tensors, .nodes = &node};

    return gpudl_module_flops(&plan, 0);
}

static void test_flops(void)
{
    const GpudlShape x = {4, {2, 6, 5, 4}}, y = {4, {2, 8, 3, 2}}, none = {0}, matrix = {2, {7, 9}}, rows = {2, {3, 7}};
    GpudlAttrs attrs;

    memset(&attrs, 0, sizeof attrs);
    /* 2 groups: each output reads 3 channels of 3 x 3 */
    attrs.window.group = 2;
    g_assert_cmpuint(flops(GPUDL_OP_CONV, &attrs, x, (GpudlShape){4, {8, 3, 3, 3}}, y), ==, 2 * 96 * 27);
    attrs.window.kernel[0] = 1;
    attrs.window.kernel[1] = 3;
    attrs.window.kernel[2] = 2;
    g_assert_cmpuint(flops(GPUDL_OP_MAX_POOL, &attrs, x, none, y), ==, 96 * 6);
    g_assert_cmpuint(flops(GPUDL_OP_GLOBAL_AVERAGE_POOL, &attrs, x, none, (GpudlShape){4, {2, 6, 1, 1}}), ==, 240);
    g_assert_cmpuint(flops(GPUDL_OP_MATMUL, &attrs, rows, matrix, (GpudlShape){2, {3, 9}}), ==, 2 * 27 * 7);
    memset(&attrs, 0, sizeof attrs);
    attrs.gemm.trans_a = 1;
    g_assert_cmpuint(flops(GPUDL_OP_GEMM, &attrs, (GpudlShape){2, {7, 3}}, matrix, (GpudlShape){2, {3, 9}}), ==,
                     2 * 27 * 7);
    g_assert_cmpuint(flops(GPUDL_OP_BATCH_NORM, &attrs, x, none, x), ==, 480);
    g_assert_cmpuint(flops(GPUDL_OP_ADD, &attrs, x, x, x), ==, 240);
    g_assert_cmpuint(flops(GPUDL_OP_SOFTMAX, &attrs, matrix, none, matrix), ==, 3 * 63);
    g_assert_cmpuint(flops(GPUDL_OP_RESHAPE, &attrs, x, none, x), ==, 0);
    g_assert_cmpuint(flops(GPUDL_OP_IDENTITY, &attrs, x, none, x), ==, 0);
}

static void test_copies(void)
{
    const GpudlPlanTensor empty = {.bytes = 0}, two = {.bytes = 2};
    gchar to[4] = "abc";

    gpudl_module_copy(&empty, NULL, NULL);
    gpudl_module_copy(&two, to, "xyz");
    g_assert_cmpstr(to, ==, "xyc");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/module/names-are-those-of-the-library", test_names_are_those_of_the_library);
    g_test_add_func("/module/messages-are-cut-to-their-room", test_messages_are_cut_to_their_room);
    g_test_add_func("/module/resolve", test_resolve);
    g_test_add_func("/module/input", test_input);
    g_test_add_func("/module/memory", test_memory);
    g_test_add_func("/module/calls", test_calls);
    g_test_add_func("/module/heads", test_heads);
    g_test_add_func("/module/flops", test_flops);
    g_test_add_func("/module/copies", test_copies);
    return g_test_run();
}
