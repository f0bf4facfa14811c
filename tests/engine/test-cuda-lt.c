/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products by cuBLASLt, without a device: on a library that notes what it is asked for, and where there is none or a
 * broken one. Another search path is another process; the argument says what this one has to find. */
#include <dlfcn.h>
#include <glib.h>
#include <string.h>

#include "engine/cuda/fence.h"
#include "engine/cuda/lt.h"
#include "tests/driver/lt/libcublasLt.h"

static const gchar *wanted;
static FakeLt *fake;
static GString *told;

static void log_message(void *host, GpudlLogLevel level, const char *message)
{
    (void)host;
    g_assert_cmpint(level, ==, GPUDL_LOG_DEBUG);
    g_string_append_printf(told, "%s\n", message);
}

static const CudaCudnn cudnn; /* it is there */
static const GpudlHost host = {.log = log_message};

/* 32 pictures of 14x14, 64 channels to 256 in a wider picture. */
static const CudaConvKey usual = {.dtype = GPUDL_DTYPE_F16,
                                  .n = 32,
                                  .c = 64,
                                  .h = 14,
                                  .w = 14,
                                  .k = 256,
                                  .r = 1,
                                  .s = 1,
                                  .p = 14,
                                  .q = 14,
                                  .groups = 1,
                                  .stride = {1, 1},
                                  .dilation = {1, 1},
                                  .beta = 6,
                                  .x_pitch = 72,
                                  .y_pitch = 264,
                                  .bias = 1,
                                  .act = GPUDL_ACT_RELU};

static cudaError_t fence_answers;

cudaError_t __wrap_cuda_fence(const CudaDevice *device, cudaStream_t stream);

cudaError_t __wrap_cuda_fence(const CudaDevice *device, cudaStream_t stream)
{
    (void)device;
    (void)stream;
    return fence_answers;
}

static CudaDevice *begin(void)
{
    const FakeLt fresh = {.version = CUBLAS_VERSION, .recommends = 3, .workspace = 4096};
    CudaDevice *device;

    g_string_truncate(told, 0);
    *fake = fresh;
    device = g_new0(CudaDevice, 1);
    device->cudnn = &cudnn;
    return device;
}

static CudaDevice *begin_open(void)
{
    CudaDevice *device = begin();

    g_assert_true(cuda_lt_open(device, &host));
    return device;
}

/* Nothing is left. */
static void end(CudaDevice *device)
{
    cuda_lt_close(device);
    g_assert_cmpint(fake->alive, ==, 0);
    g_free(device);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void test_why_it_cannot_be_used_is_told_once(void)
{
    const gchar *part = strcmp(wanted, "broken") == 0 ? "has no cublasLtGetVersion" : "libcublasLt.so.";
    CudaDevice device = {.cudnn = &cudnn};

    g_assert_false(cuda_lt_open(&device, &host));
    g_assert_nonnull(strstr(told->str, "without cuBLASLt: "));
    g_assert_nonnull(strstr(told->str, part));
    g_string_truncate(told, 0);
    g_assert_false(cuda_lt_open(&device, &host));
    g_assert_cmpstr(told->str, ==, "");
    cuda_lt_close(&device);
}

static void test_it_is_opened_once_for_a_device(void)
{
    CudaDevice *device = begin_open();

    g_assert_true(cuda_lt_open(device, &host));
    g_assert_cmpint(fake->creates, ==, 1);
    g_assert_cmpstr(told->str, ==, "");
    end(device);
}

static void test_a_device_without_libraries_opens_none(void)
{
    CudaDevice *device = begin();
    char text[40];

    device->cudnn = NULL;
    g_assert_false(cuda_lt_open(device, &host));
    g_assert_cmpint(fake->creates, ==, 0);
    g_assert_null(device->lt);
    g_assert_cmpstr(told->str, ==, "");
    cuda_lt_describe(device, text, sizeof text);
    g_assert_cmpstr(text, ==, "");
    end(device);
}

static void test_its_version_is_told_once_it_was_asked_for(void)
{
    CudaDevice *device = begin();
    char text[40];

    cuda_lt_describe(device, text, sizeof text);
    g_assert_cmpstr(text, ==, "");
    fake->version = CUBLAS_VER_MAJOR * 10000 + 1203;
    g_assert_true(cuda_lt_open(device, &host));
    cuda_lt_describe(device, text, sizeof text);
    g_assert_cmpstr(text, ==, ", cuBLASLt " G_STRINGIFY(CUBLAS_VER_MAJOR) ".12.3");
    end(device);
    device = begin();
    fake->version = 1;
    g_assert_false(cuda_lt_open(device, &host));
    cuda_lt_describe(device, text, sizeof text);
    g_assert_cmpstr(text, ==, ", without cuBLASLt");
    end(device);
}

static void test_other_versions_are_not_used(void)
{
    CudaDevice *device = begin();

    fake->version = (CUBLAS_VER_MAJOR - 1) * 10000 + 801;
    g_assert_false(cuda_lt_open(device, &host));
    g_assert_nonnull(strstr(told->str, "is of version"));
    g_assert_cmpint(fake->creates, ==, 0);
    end(device);
}

static void test_a_handle_that_cannot_be_had(void)
{
    CudaDevice *device = begin();

    fake->create_status = CUBLAS_STATUS_NOT_INITIALIZED;
    g_assert_false(cuda_lt_open(device, &host));
    g_assert_nonnull(strstr(told->str, "cublasLtCreate(): CUBLAS_STATUS_OF_THE_FAKE"));
    end(device);
}

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static void test_only_products_fit(void)
{
    static const struct {
        gsize offset;
        gint32 value;
    } others[] = {{G_STRUCT_OFFSET(CudaConvKey, r), 3},
                  {G_STRUCT_OFFSET(CudaConvKey, s), 3},
                  {G_STRUCT_OFFSET(CudaConvKey, groups), 2},
                  {G_STRUCT_OFFSET(CudaConvKey, stride[0]), 2},
                  {G_STRUCT_OFFSET(CudaConvKey, stride[1]), 2},
                  {G_STRUCT_OFFSET(CudaConvKey, pad_begin[0]), 1},
                  {G_STRUCT_OFFSET(CudaConvKey, pad_begin[1]), 1},
                  {G_STRUCT_OFFSET(CudaConvKey, pad_end[0]), 1},
                  {G_STRUCT_OFFSET(CudaConvKey, pad_end[1]), 1},
                  {G_STRUCT_OFFSET(CudaConvKey, act), GPUDL_ACT_CLIP},
                  {G_STRUCT_OFFSET(CudaConvKey, act), GPUDL_ACT_SILU}};
    CudaConvKey key = usual;

    g_assert_true(cuda_lt_fits(&key));
    key.act = GPUDL_ACT_HARD_SWISH; /* a kernel of ours behind */
    g_assert_true(cuda_lt_fits(&key));
    key.act = GPUDL_ACT_NONE;
    g_assert_true(cuda_lt_fits(&key));
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        key = usual;
        memcpy((gchar *)&key + others[i].offset, &others[i].value, sizeof others[i].value);
        if (cuda_lt_fits(&key))
            g_error("other %u fits", i);
    }
    key = usual;
    key.dtype = GPUDL_DTYPE_BF16;
    for (key.bias = 0; key.bias < 2; key.bias++) /* which the library would round to 8 bits */
        g_assert_cmpint(cuda_lt_fits(&key), ==, !key.bias);
}

static void check_layout(const FakeLayout *layout, cudaDataType type, guint64 rows, guint64 cols, gint64 pitch)
{
    g_assert_cmpint(layout->type, ==, type);
    g_assert_cmpuint(layout->rows, ==, rows);
    g_assert_cmpuint(layout->cols, ==, cols);
    g_assert_cmpint(layout->pitch, ==, pitch);
}

static void test_all_pixels_are_one_matrix(void)
{
    CudaDevice *device = begin_open();
    CudaConvPlan plans[4];

    g_assert_cmpint(cuda_lt_plans(device, &usual, plans, 4), ==, 3);
    check_layout(&fake->a, CUDA_R_16F, 64, 256, 64);
    check_layout(&fake->b, CUDA_R_16F, 64, 32 * 14 * 14, 72);
    check_layout(&fake->c, CUDA_R_16F, 256, 32 * 14 * 14, 264);
    check_layout(&fake->d, CUDA_R_16F, 256, 32 * 14 * 14, 264);
    g_assert_cmpint(fake->desc.transa, ==, CUBLAS_OP_T);
    g_assert_cmpint(fake->desc.compute, ==, CUBLAS_COMPUTE_32F);
    g_assert_cmpint(fake->desc.epilogue, ==, CUBLASLT_EPILOGUE_RELU_BIAS);
    g_assert_cmpint(fake->desc.bias_type, ==, CUDA_R_16F);
    g_assert_cmpint(plans[2].form, ==, CUDA_CONV_LT);
    g_assert_null(plans[2].plan);
    g_assert_cmpuint(plans[2].lt.data[0], ==, 3);
    g_assert_cmpint(plans[2].workspace, ==, 4096);
    g_assert_cmpstr(plans[2].name, ==, "cuBLASLt 63, tile 4, split 4");
    end(device);
}

/* Sums stay in float32, in an order that does not change, and operands begin at 16 bytes. */
static void test_what_algorithms_may_do(void)
{
    CudaDevice *device = begin_open();
    CudaConvPlan plans[4];

    cuda_lt_plans(device, &usual, plans, 4);
    g_assert_cmpuint(fake->most_workspace, ==, CUDA_LT_WORKSPACE);
    g_assert_cmpuint(fake->reductions, ==, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    for (guint i = 0; i < 4; i++)
        g_assert_cmpuint(fake->alignments[i], ==, 16);
    end(device);
}

static void test_types_and_epilogues(void)
{
    CudaDevice *device = begin_open();
    CudaConvKey key = usual;
    CudaConvPlan plans[4];

    key.dtype = GPUDL_DTYPE_F32;
    key.act = GPUDL_ACT_NONE;
    cuda_lt_plans(device, &key, plans, 4);
    g_assert_cmpint(fake->a.type, ==, CUDA_R_32F);
    g_assert_cmpint(fake->desc.compute, ==, CUBLAS_COMPUTE_32F);
    g_assert_cmpint(fake->desc.epilogue, ==, CUBLASLT_EPILOGUE_BIAS);
    g_assert_cmpint(fake->desc.bias_type, ==, CUDA_R_32F);
    key.tf32 = 1;
    key.bias = 0;
    key.act = GPUDL_ACT_RELU;
    cuda_lt_plans(device, &key, plans, 4);
    g_assert_cmpint(fake->desc.compute, ==, CUBLAS_COMPUTE_32F_FAST_TF32);
    g_assert_cmpint(fake->desc.epilogue, ==, CUBLASLT_EPILOGUE_RELU);
    g_assert_null(fake->desc.bias);
    key.act = GPUDL_ACT_NONE;
    cuda_lt_plans(device, &key, plans, 4);
    g_assert_cmpint(fake->desc.epilogue, ==, CUBLASLT_EPILOGUE_DEFAULT);
    key.act = GPUDL_ACT_GELU;
    cuda_lt_plans(device, &key, plans, 4);
    g_assert_cmpint(fake->desc.epilogue, ==, CUBLASLT_EPILOGUE_DEFAULT);
    end(device);
}

static void test_unusable_algorithms_are_left_out(void)
{
    CudaDevice *device = begin_open();
    CudaConvPlan plans[4];

    fake->broken = 2;
    g_assert_cmpint(cuda_lt_plans(device, &usual, plans, 4), ==, 2);
    g_assert_cmpuint(plans[1].lt.data[0], ==, 3);
    fake->recommends = 100;
    fake->broken = 0;
    g_assert_cmpint(cuda_lt_plans(device, &usual, plans, 4), ==, 4);
    fake->workspace = CUDA_LT_WORKSPACE + 1;
    g_assert_cmpint(cuda_lt_plans(device, &usual, plans, 4), ==, 0);
    fake->workspace = 0;
    fake->recommend_status = CUBLAS_STATUS_NOT_SUPPORTED;
    g_assert_cmpint(cuda_lt_plans(device, &usual, plans, 4), ==, 0);
    end(device);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void test_a_run_has_the_residual_and_the_right_bias(void)
{
    static const char x[1], w[1], z[1], bias[1], half_bias[1];
    static char y[1], workspace[1];
    const CudaConvData data = {x, w, z, bias, half_bias, y, workspace};
    const CudaLtAlgo algo = {{7}};
    CudaDevice *device = begin_open();
    CudaConvKey key = usual;

    g_assert_cmpint(cuda_lt_run(device, &key, &algo, 4096, &data, NULL), ==, 0);
    g_assert_true(fake->desc.bias == half_bias);
    g_assert_true(fake->beta == 0 && fake->c_data == y);
    g_assert_cmpuint(fake->given_workspace, ==, 4096);
    g_assert_cmpuint(fake->algo, ==, 7);
    key.z_pitch = 320;
    key.dtype = GPUDL_DTYPE_F32;
    g_assert_cmpint(cuda_lt_run(device, &key, &algo, 0, &data, NULL), ==, 0);
    g_assert_true(fake->desc.bias == bias);
    g_assert_true(fake->beta == 1 && fake->c_data == z);
    check_layout(&fake->c, CUDA_R_32F, 256, 32 * 14 * 14, 320);
    fake->matmul_status = CUBLAS_STATUS_EXECUTION_FAILED;
    g_assert_cmpint(cuda_lt_run(device, &key, &algo, 0, &data, NULL), ==, CUBLAS_STATUS_EXECUTION_FAILED);
    end(device);
}

/* Nothing is queued where the fence before it can't be. */
static void test_a_run_is_fenced(void)
{
    static char y[1];
    const CudaConvData data = {y, y, y, y, y, y, y};
    const CudaLtAlgo algo = {{7}};
    CudaDevice *device = begin_open();

    fence_answers = cudaErrorInvalidValue;
    g_assert_cmpint(cuda_lt_run(device, &usual, &algo, 0, &data, NULL), ==, CUBLAS_STATUS_EXECUTION_FAILED);
    g_assert_cmpuint(fake->algo, ==, 0);
    fence_answers = cudaSuccess;
    g_assert_cmpint(cuda_lt_run(device, &usual, &algo, 0, &data, NULL), ==, 0);
    g_assert_cmpuint(fake->algo, ==, 7);
    end(device);
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

static void test_an_algorithm_is_kept_and_checked(void)
{
    CudaDevice *device = begin_open();
    CudaConvPlan plans[4], again = {0};
    g_autofree char *text = NULL;
    gsize n = 0;

    cuda_lt_plans(device, &usual, plans, 4);
    text = cuda_lt_save(device, &plans[1].lt, &n);
    fake->workspace = 8192; /* as the library says now */
    g_assert_true(cuda_lt_load(device, &usual, text, n, &again));
    g_assert_cmpint(fake->checks, ==, 1);
    g_assert_cmpuint(fake->algo, ==, 2);
    g_assert_cmpint(again.form, ==, CUDA_CONV_LT);
    g_assert_cmpmem(&again.lt, sizeof again.lt, &plans[1].lt, sizeof again.lt);
    g_assert_cmpint(again.workspace, ==, 8192);
    end(device);
}

static void test_what_is_not_of_this_library_is_not_known(void)
{
    CudaDevice *device = begin_open();
    CudaConvPlan plans[4], again;
    g_autofree char *text = NULL;
    CudaConvKey key = usual;
    gsize n = 0;

    cuda_lt_plans(device, &usual, plans, 4);
    text = cuda_lt_save(device, &plans[0].lt, &n);
    g_assert_true(cuda_lt_load(device, &usual, text, n, &again));
    fake->check_status = CUBLAS_STATUS_NOT_SUPPORTED;
    g_assert_false(cuda_lt_load(device, &usual, text, n, &again));
    fake->check_status = CUBLAS_STATUS_SUCCESS;
    fake->workspace = CUDA_LT_WORKSPACE + 1;
    g_assert_false(cuda_lt_load(device, &usual, text, n, &again));
    fake->workspace = 0;
    key.stride[0] = 2;
    g_assert_false(cuda_lt_load(device, &key, text, n, &again));
    fake->checks = 0;
    fake->version++;
    g_assert_false(cuda_lt_load(device, &usual, text, n, &again));
    fake->version--;
    for (gsize i = 0; i < n; i++) { /* cut off anywhere, or another character */
        g_autofree char *other = g_memdup2(text, n);

        g_assert_false(cuda_lt_load(device, &usual, text, i, &again));
        other[i] = other[i] == ' ' ? '\t' : ' ';
        g_assert_false(cuda_lt_load(device, &usual, other, n, &again));
    }
    g_assert_false(cuda_lt_load(device, &usual, "{\"engine\": 39}", 14, &again));
    g_assert_cmpint(fake->checks, ==, 0); /* none of it has reached the library */
    end(device);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    wanted = argv[argc - 1];
    told = g_string_new(NULL);
    if (strcmp(wanted, "good") != 0) {
        g_test_add_func("/cuda-lt/why-it-cannot-be-used-is-told-once", test_why_it_cannot_be_used_is_told_once);
        return g_test_run();
    }
    fake = dlsym(dlopen("libcublasLt.so." G_STRINGIFY(CUBLAS_VER_MAJOR), RTLD_LAZY), "fake_lt");
    g_assert_nonnull(fake);
    g_test_add_func("/cuda-lt/it-is-opened-once-for-a-device", test_it_is_opened_once_for_a_device);
    g_test_add_func("/cuda-lt/a-device-without-libraries-opens-none", test_a_device_without_libraries_opens_none);
    g_test_add_func("/cuda-lt/its-version-is-told-once-it-was-asked-for",
                    test_its_version_is_told_once_it_was_asked_for);
    g_test_add_func("/cuda-lt/other-versions-are-not-used", test_other_versions_are_not_used);
    g_test_add_func("/cuda-lt/a-handle-that-cannot-be-had", test_a_handle_that_cannot_be_had);
    g_test_add_func("/cuda-lt/only-products-fit", test_only_products_fit);
    g_test_add_func("/cuda-lt/all-pixels-are-one-matrix", test_all_pixels_are_one_matrix);
    g_test_add_func("/cuda-lt/what-algorithms-may-do", test_what_algorithms_may_do);
    g_test_add_func("/cuda-lt/types-and-epilogues", test_types_and_epilogues);
    g_test_add_func("/cuda-lt/unusable-algorithms-are-left-out", test_unusable_algorithms_are_left_out);
    g_test_add_func("/cuda-lt/a-run-has-the-residual-and-the-right-bias",
                    test_a_run_has_the_residual_and_the_right_bias);
    g_test_add_func("/cuda-lt/a-run-is-fenced", test_a_run_is_fenced);
    g_test_add_func("/cuda-lt/an-algorithm-is-kept-and-checked", test_an_algorithm_is_kept_and_checked);
    g_test_add_func("/cuda-lt/what-is-not-of-this-library-is-not-known", test_what_is_not_of_this_library_is_not_known);
    return g_test_run();
}
