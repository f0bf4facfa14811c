/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What a test makes the cuBLASLt of this folder do, and what that has seen: the symbol fake_lt of the library. */
#ifndef GPUDL_TESTS_DRIVER_LIBCUBLASLT_H
#define GPUDL_TESTS_DRIVER_LIBCUBLASLT_H

#include <cublasLt.h>

typedef struct {
    cublasLtMatmulDescOpaque_t desc; /* its address is what is handed out */
    cublasComputeType_t compute;
    cublasOperation_t transa;
    uint32_t epilogue;
    int32_t bias_type;
    const void *bias;
} FakeDesc;

typedef struct {
    cublasLtMatrixLayoutOpaque_t layout;
    cudaDataType type;
    uint64_t rows, cols;
    int64_t pitch;
} FakeLayout;

typedef struct {
    size_t version;
    cublasStatus_t create_status, recommend_status, check_status, matmul_status;
    int recommends;                              /* algorithms there are */
    size_t workspace;                            /* of each; of checks as well */
    int broken;                                  /* the algorithm with this number is not usable, from 1 on */
    int alive, creates, checks, recommendations; /* descriptors not destroyed; calls */
    uint64_t most_workspace;
    uint32_t reductions, alignments[4];
    /* of the last call that has them */
    FakeDesc desc;
    FakeLayout a, b, c, d;
    float beta;
    const void *c_data;
    size_t given_workspace;
    uint64_t algo;
} FakeLt;

#endif
