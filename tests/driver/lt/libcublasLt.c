/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cuBLASLt that computes nothing. */
#include "libcublasLt.h"

#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) FakeLt fake_lt = {.version = CUBLAS_VERSION, .recommends = 3, .workspace = 4096};

#pragma GCC visibility push(default)

size_t cublasLtGetVersion(void)
{
    return fake_lt.version;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_OF_THE_FAKE";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    fake_lt.creates++;
    *handle = (cublasLtHandle_t)&fake_lt;
    fake_lt.alive += fake_lt.create_status == CUBLAS_STATUS_SUCCESS;
    return fake_lt.create_status;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    fake_lt.alive -= handle == (cublasLtHandle_t)&fake_lt;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale)
{
    FakeDesc *fake = calloc(1, sizeof *fake);

    if (fake == NULL || scale != CUDA_R_32F) {
        free(fake);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    fake->compute = compute;
    fake->transa = CUBLAS_OP_N;
    fake->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *desc = &fake->desc;
    fake_lt.alive++;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    free(desc);
    fake_lt.alive--;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t copy(void *to, size_t room, const void *value, size_t bytes)
{
    if (room != bytes)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    FakeDesc *fake = (FakeDesc *)desc;

    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return copy(&fake->transa, sizeof fake->transa, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return copy(&fake->epilogue, sizeof fake->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return copy(&fake->bias_type, sizeof fake->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return copy(&fake->bias, sizeof fake->bias, value, bytes);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t pitch)
{
    FakeLayout *fake = calloc(1, sizeof *fake);

    if (fake == NULL || pitch < (int64_t)rows) {
        free(fake);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    fake->type = type;
    fake->rows = rows;
    fake->cols = cols;
    fake->pitch = pitch;
    *layout = &fake->layout;
    fake_lt.alive++;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    free(layout);
    fake_lt.alive--;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = calloc(1, sizeof **preference);
    fake_lt.alive += *preference != NULL;
    return *preference != NULL ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    free(preference);
    fake_lt.alive--;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes)
{
    const int i = (int)attribute - (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;

    (void)preference;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return copy(&fake_lt.most_workspace, sizeof fake_lt.most_workspace, value, bytes);
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        return copy(&fake_lt.reductions, sizeof fake_lt.reductions, value, bytes);
    return i >= 0 && i < 4 ? copy(&fake_lt.alignments[i], sizeof *fake_lt.alignments, value, bytes)
                           : CUBLAS_STATUS_NOT_SUPPORTED;
}

static void see(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                cublasLtMatrixLayout_t d)
{
    fake_lt.desc = *(const FakeDesc *)desc;
    fake_lt.a = *(const FakeLayout *)a;
    fake_lt.b = *(const FakeLayout *)b;
    fake_lt.c = *(const FakeLayout *)c;
    fake_lt.d = *(const FakeLayout *)d;
}

/* Its algorithms are numbers from 1 on in the first word, and something in the last. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int room,
                                              cublasLtMatmulHeuristicResult_t *results, int *n)
{
    (void)handle;
    (void)preference;
    see(desc, a, b, c, d);
    fake_lt.recommendations++;
    if ((fake_lt.desc.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0 && fake_lt.desc.bias == NULL)
        return CUBLAS_STATUS_INVALID_VALUE; /* the real one wants to know its alignment */
    *n = fake_lt.recommends < room ? fake_lt.recommends : room;
    for (int i = 0; i < *n; i++)
        results[i] = (cublasLtMatmulHeuristicResult_t){
            .algo = {{(uint64_t)i + 1, 0, 0, 0, 0, 0, 0, UINT64_C(0xfedcba9876543210)}},
            .workspaceSize = fake_lt.workspace,
            .state = i + 1 == fake_lt.broken ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS};
    return fake_lt.recommend_status;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result)
{
    (void)handle;
    see(desc, a, b, c, d);
    fake_lt.checks++;
    fake_lt.algo = algo->data[0];
    result->workspaceSize = fake_lt.workspace;
    return fake_lt.check_status;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void *value,
                                                    size_t room, size_t *written)
{
    const uint32_t number = attribute == CUBLASLT_ALGO_CONFIG_ID ? 60 + (uint32_t)algo->data[0] : 4;

    *written = sizeof number;
    return copy(value, room, &number, sizeof number);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t bytes, cudaStream_t stream)
{
    (void)handle;
    (void)alpha;
    (void)a;
    (void)b;
    (void)d;
    (void)workspace;
    (void)stream;
    see(desc, a_layout, b_layout, c_layout, d_layout);
    fake_lt.beta = *(const float *)beta;
    fake_lt.c_data = c;
    fake_lt.given_workspace = bytes;
    fake_lt.algo = algo->data[0];
    return fake_lt.matmul_status;
}
