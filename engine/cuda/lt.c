/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lt.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence.h"

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number
#define LIBRARY "libcublasLt.so." TEXT_OF(CUBLAS_VER_MAJOR)

/* Alignment that every operand has: that of pixels. */
#define ALIGNMENT 16

#define MOST_ALGORITHMS 16
#define WORDS 8

_Static_assert(sizeof(CudaLtAlgo) == sizeof(cublasLtMatmulAlgo_t), "an algorithm is kept as it is");

typedef struct {
    size_t (*get_version)(void);
    const char *(*get_status_name)(cublasStatus_t status);
    cublasStatus_t (*create)(cublasLtHandle_t *handle);
    cublasStatus_t (*destroy)(cublasLtHandle_t handle);
    cublasStatus_t (*matmul)(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                             cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                             const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                             cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                             size_t workspace_bytes, cudaStream_t stream);
    cublasStatus_t (*desc_create)(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale);
    cublasStatus_t (*desc_destroy)(cublasLtMatmulDesc_t desc);
    cublasStatus_t (*desc_set)(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value,
                               size_t bytes);
    cublasStatus_t (*layout_create)(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows, uint64_t cols,
                                    int64_t pitch);
    cublasStatus_t (*layout_destroy)(cublasLtMatrixLayout_t layout);
    cublasStatus_t (*preference_create)(cublasLtMatmulPreference_t *preference);
    cublasStatus_t (*preference_destroy)(cublasLtMatmulPreference_t preference);
    cublasStatus_t (*preference_set)(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t bytes);
    cublasStatus_t (*recommend)(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                cublasLtMatmulPreference_t preference, int room,
                                cublasLtMatmulHeuristicResult_t *results, int *n);
    cublasStatus_t (*check)(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                            const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result);
    cublasStatus_t (*config_get)(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoConfigAttributes_t attribute,
                                 void *value, size_t room, size_t *written);
} Functions;

#define SYMBOL(symbol, member)                                                                                         \
    {                                                                                                                  \
        symbol, offsetof(Functions, member)                                                                            \
    }

static const CudaSymbol symbols[] = {SYMBOL("cublasLtGetVersion", get_version),
                                     SYMBOL("cublasLtGetStatusName", get_status_name),
                                     SYMBOL("cublasLtCreate", create),
                                     SYMBOL("cublasLtDestroy", destroy),
                                     SYMBOL("cublasLtMatmul", matmul),
                                     SYMBOL("cublasLtMatmulDescCreate", desc_create),
                                     SYMBOL("cublasLtMatmulDescDestroy", desc_destroy),
                                     SYMBOL("cublasLtMatmulDescSetAttribute", desc_set),
                                     SYMBOL("cublasLtMatrixLayoutCreate", layout_create),
                                     SYMBOL("cublasLtMatrixLayoutDestroy", layout_destroy),
                                     SYMBOL("cublasLtMatmulPreferenceCreate", preference_create),
                                     SYMBOL("cublasLtMatmulPreferenceDestroy", preference_destroy),
                                     SYMBOL("cublasLtMatmulPreferenceSetAttribute", preference_set),
                                     SYMBOL("cublasLtMatmulAlgoGetHeuristic", recommend),
                                     SYMBOL("cublasLtMatmulAlgoCheck", check),
                                     SYMBOL("cublasLtMatmulAlgoConfigGetAttribute", config_get),
                                     {NULL, 0}};

struct CudaLt {
    Functions f;
    cublasLtHandle_t handle;
    int is_usable;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* devices' lt, while one is opened */

/* Never NULL but without memory; says in why what is wrong with one that is not usable. */
static CudaLt *open_library(char *why, size_t room)
{
    CudaLt *lt = calloc(1, sizeof *lt);
    cublasStatus_t status;
    size_t version;

    if (lt == NULL || !cuda_library(LIBRARY, symbols, &lt->f, why, room))
        return lt;
    version = lt->f.get_version();
    if (version / 10000 != CUBLAS_VER_MAJOR) {
        snprintf(why, room, "%s is of version %zu, expected %d0000 or a newer %d", LIBRARY, version, CUBLAS_VER_MAJOR,
                 CUBLAS_VER_MAJOR);
        return lt;
    }
    status = lt->f.create(&lt->handle);
    if (status != CUBLAS_STATUS_SUCCESS)
        snprintf(why, room, "cublasLtCreate(): %s", lt->f.get_status_name(status));
    lt->is_usable = status == CUBLAS_STATUS_SUCCESS;
    return lt;
}

int cuda_lt_open(CudaDevice *device, const GpudlHost *host)
{
    char why[400] = "no memory", message[512];
    int usable;

    if (device->cudnn == NULL)
        return 0;
    pthread_mutex_lock(&lock);
    if (device->lt == NULL) {
        device->lt = open_library(why, sizeof why);
        if (device->lt == NULL || !device->lt->is_usable) {
            snprintf(message, sizeof message, "products are computed without cuBLASLt: %s", why);
            host->log(host->host, GPUDL_LOG_DEBUG, message);
        }
    }
    usable = device->lt != NULL && device->lt->is_usable;
    pthread_mutex_unlock(&lock);
    return usable;
}

void cuda_lt_describe(const CudaDevice *device, char *text, size_t room)
{
    const CudaLt *lt;
    size_t version;

    pthread_mutex_lock(&lock);
    lt = device->lt;
    pthread_mutex_unlock(&lock);
    version = lt != NULL && lt->is_usable ? lt->f.get_version() : 0;
    if (version > 0)
        snprintf(text, room, ", cuBLASLt %zu.%zu.%zu", version / 10000, version % 10000 / 100, version % 100);
    else
        snprintf(text, room, "%s", lt != NULL ? ", without cuBLASLt" : "");
}

void cuda_lt_close(CudaDevice *device)
{
    if (device->lt != NULL && device->lt->is_usable)
        device->lt->f.destroy(device->lt->handle);
    free(device->lt);
    device->lt = NULL;
}

/* ---- a problem --------------------------------------------------------------------------------------------------- */

int cuda_lt_fits(const CudaConvKey *key)
{
    return key->r == 1 && key->s == 1 && key->groups == 1 && key->stride[0] == 1 && key->stride[1] == 1 &&
           key->pad_begin[0] == 0 && key->pad_begin[1] == 0 && key->pad_end[0] == 0 && key->pad_end[1] == 0 &&
           (key->act == GPUDL_ACT_NONE || key->act == GPUDL_ACT_RELU || !cuda_conv_fuses(key)) &&
           (!key->bias || cuda_conv_rounds_bias_well(key)); /* the library's is of the result's type */
}

/* What describes a problem to cuBLASLt, and the first thing that went wrong. */
typedef struct {
    const Functions *f;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, z, y;
    cublasStatus_t status;
} Product;

static void set(Product *p, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes)
{
    if (p->status == CUBLAS_STATUS_SUCCESS)
        p->status = p->f->desc_set(p->desc, attribute, value, bytes);
}

static void lay_out(Product *p, cublasLtMatrixLayout_t *layout, cudaDataType type, int64_t rows, int64_t cols,
                    int64_t pitch)
{
    if (p->status == CUBLAS_STATUS_SUCCESS)
        p->status = p->f->layout_create(layout, type, (uint64_t)rows, (uint64_t)cols, pitch);
}

/* cuBLASLt's matrices have columns one behind the other. Its rows are our channels, its columns our pixels:
 * y[k, pixels] = w[c, k]^T x[c, pixels] + z[k, pixels], then the bias of each row, then the activation. */
static void describe(Product *p, const Functions *f, const CudaConvKey *key, const void *bias)
{
    const cudaDataType type = key->dtype == GPUDL_DTYPE_F16    ? CUDA_R_16F
                              : key->dtype == GPUDL_DTYPE_BF16 ? CUDA_R_16BF
                                                               : CUDA_R_32F;
    const cublasComputeType_t compute =
        key->tf32 && !cuda_conv_is_narrow(key) ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const int64_t pixels = (int64_t)key->n * key->p * key->q;
    const uint32_t relu = key->act == GPUDL_ACT_RELU ? CUBLASLT_EPILOGUE_RELU : 0;
    const uint32_t epilogue = (key->bias ? CUBLASLT_EPILOGUE_BIAS : 0) | relu;
    const int32_t bias_type = type;

    *p = (Product){.f = f};
    p->status = f->desc_create(&p->desc, compute, CUDA_R_32F);
    set(p, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (epilogue != 0)
        set(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (key->bias) {
        set(p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
        set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    }
    lay_out(p, &p->w, type, key->c, key->k, key->c);
    lay_out(p, &p->x, type, key->c, pixels, key->x_pitch);
    lay_out(p, &p->z, type, key->k, pixels, key->z_pitch > 0 ? key->z_pitch : key->y_pitch);
    lay_out(p, &p->y, type, key->k, pixels, key->y_pitch);
}

static void clear(Product *p)
{
    cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->z, p->y};

    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i] != NULL)
            p->f->layout_destroy(layouts[i]);
    if (p->desc != NULL)
        p->f->desc_destroy(p->desc);
}

/* Where a bias may lie as far as recommendations matter, which want to know one. */
static const void *any_bias(void)
{
    return (const void *)(uintptr_t)256;
}

/* ---- algorithms -------------------------------------------------------------------------------------------------- */

/* What it may use: memory, whatever alignment is sure, and of the ways to add up parts of a sum only those that keep
 * float32 and the order. */
static cublasStatus_t prefer(const Functions *f, cublasLtMatmulPreference_t preference)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const size_t workspace = CUDA_LT_WORKSPACE;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, alignment = ALIGNMENT;
    cublasStatus_t status =
        f->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);

    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            f->preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments && status == CUBLAS_STATUS_SUCCESS; i++)
        status = f->preference_set(preference, alignments[i], &alignment, sizeof alignment);
    return status;
}

static void name_plan(const Functions *f, const cublasLtMatmulAlgo_t *algo, CudaConvPlan *plan)
{
    int32_t id = -1, split = 1;
    uint32_t tile = 0;
    size_t n;

    f->config_get(algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &n);
    f->config_get(algo, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile, sizeof tile, &n);
    f->config_get(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split, sizeof split, &n);
    snprintf(plan->name, sizeof plan->name, "cuBLASLt %d, tile %u, split %d", (int)id, (unsigned)tile, (int)split);
}

static void fill_plan(const cublasLtMatmulHeuristicResult_t *result, CudaConvPlan *plan)
{
    *plan = (CudaConvPlan){.form = CUDA_CONV_LT, .workspace = (int64_t)result->workspaceSize};
    memcpy(&plan->lt, &result->algo, sizeof plan->lt);
}

int cuda_lt_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const CudaLt *lt = device->lt;
    cublasLtMatmulHeuristicResult_t results[MOST_ALGORITHMS];
    cublasLtMatmulPreference_t preference = NULL;
    int n = 0, taken = 0;
    Product p;

    describe(&p, &lt->f, key, any_bias());
    if (p.status == CUBLAS_STATUS_SUCCESS)
        p.status = lt->f.preference_create(&preference);
    if (p.status == CUBLAS_STATUS_SUCCESS)
        p.status = prefer(&lt->f, preference);
    if (p.status == CUBLAS_STATUS_SUCCESS)
        p.status = lt->f.recommend(lt->handle, p.desc, p.w, p.x, p.z, p.y, preference,
                                   room < MOST_ALGORITHMS ? room : MOST_ALGORITHMS, results, &n);
    for (int i = 0; i < n && taken < room && p.status == CUBLAS_STATUS_SUCCESS; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS && results[i].workspaceSize <= CUDA_LT_WORKSPACE) {
            fill_plan(&results[i], &plans[taken]);
            name_plan(&lt->f, &results[i].algo, &plans[taken++]);
        }
    if (preference != NULL)
        lt->f.preference_destroy(preference);
    clear(&p);
    return taken;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

char *cuda_lt_save(const CudaDevice *device, const CudaLtAlgo *algo, size_t *bytes)
{
    const size_t room = 32 + WORDS * 17;
    char *text = malloc(room);
    size_t n;

    if (text == NULL)
        return NULL;
    n = (size_t)snprintf(text, room, "cuBLASLt %zu", device->lt->f.get_version());
    for (int i = 0; i < WORDS; i++)
        n += (size_t)snprintf(text + n, room - n, " %016llx", (unsigned long long)algo->data[i]);
    *bytes = n;
    return text;
}

/* Just as it is written. */
static int parse(const CudaDevice *device, const char *text, size_t bytes, CudaLtAlgo *algo)
{
    char line[256], *at = line, *again;
    size_t n = 0;
    int same;

    if (bytes >= sizeof line)
        return 0;
    memcpy(line, text, bytes);
    line[bytes] = '\0';
    at = strchr(line, ' ');
    at = at != NULL ? strchr(at + 1, ' ') : NULL;
    for (int i = 0; i < WORDS && at != NULL; i++) {
        algo->data[i] = strtoull(at, &at, 16);
        if (*at != ' ' && i < WORDS - 1)
            return 0;
    }
    again = at != NULL ? cuda_lt_save(device, algo, &n) : NULL;
    same = again != NULL && n == bytes && memcmp(again, text, n) == 0;
    free(again);
    return same;
}

int cuda_lt_load(const CudaDevice *device, const CudaConvKey *key, const char *text, size_t bytes, CudaConvPlan *plan)
{
    const CudaLt *lt = device->lt;
    cublasLtMatmulHeuristicResult_t result = {.state = CUBLAS_STATUS_NOT_SUPPORTED};
    cublasLtMatmulAlgo_t algo;
    CudaLtAlgo read;
    Product p;

    if (!cuda_lt_fits(key) || !parse(device, text, bytes, &read))
        return 0;
    memcpy(&algo, &read, sizeof algo);
    describe(&p, &lt->f, key, any_bias());
    if (p.status == CUBLAS_STATUS_SUCCESS)
        p.status = lt->f.check(lt->handle, p.desc, p.w, p.x, p.z, p.y, &algo, &result);
    clear(&p);
    if (p.status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > CUDA_LT_WORKSPACE)
        return 0;
    result.algo = algo; /* the check leaves it as it was */
    fill_plan(&result, plan);
    return 1;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

int cuda_lt_run(const CudaDevice *device, const CudaConvKey *key, const CudaLtAlgo *algo, int64_t workspace,
                const CudaConvData *data, cudaStream_t stream)
{
    const CudaLt *lt = device->lt;
    const int residual = key->z_pitch > 0;
    const float alpha = 1, beta = residual ? 1 : 0;
    cublasLtMatmulAlgo_t copy;
    Product p;

    memcpy(&copy, algo, sizeof copy);
    describe(&p, &lt->f, key, cuda_conv_is_narrow(key) ? data->half_bias : data->bias);
    if (p.status == CUBLAS_STATUS_SUCCESS && cuda_fence(device, stream) != cudaSuccess)
        p.status = CUBLAS_STATUS_EXECUTION_FAILED;
    if (p.status == CUBLAS_STATUS_SUCCESS)
        p.status =
            lt->f.matmul(lt->handle, p.desc, &alpha, data->w, p.w, data->x, p.x, &beta, residual ? data->z : data->y,
                         p.z, data->y, p.y, &copy, data->workspace, (size_t)workspace, stream);
    clear(&p);
    return (int)p.status;
}

const char *cuda_lt_status_name(const CudaDevice *device, int status)
{
    return device->lt->f.get_status_name((cublasStatus_t)status);
}
