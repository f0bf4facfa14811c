/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolutions, by cuDNN's graph interface for the most part. A problem has several graphs that compute it (which
 * engines cuDNN has for it hangs on the graph), each several plans; one of them is chosen, the first that can be built
 * or the fastest.
 */
#ifndef GPUDL_ENGINE_CUDA_CONV_H
#define GPUDL_ENGINE_CUDA_CONV_H

#include "device.h"
#include "kernels/conv_gemm_cuda.h"
#include "kernels/conv_once_cuda.h"
#include "kernels/depthwise_cuda.h"
#include "kernels/gemv_cuda.h"
#include "kernels/mbconv_cuda.h"
#include "kernels/stem_cuda.h"

/** A problem; compared byte by byte, so zeroed before it is filled. x, w, y and z are NHWC or KRSC of one type. */
typedef struct {
    int32_t dtype; /* GpudlDType: float16, bfloat16 or float32 */
    int32_t tf32;  /* float32 may be rounded to TF32 */
    int32_t n, c, h, w, k, r, s, p, q, groups;
    int32_t stride[2], dilation[2], pad_begin[2], pad_end[2];
    int64_t x_pitch, y_pitch, z_pitch; /* elements from pixel to pixel; z_pitch 0: there is no residual */
    int32_t bias;
    int32_t act;       /* GpudlActKind behind all of it */
    float alpha, beta; /* of kinds that have them, else 0 */
    /* Not 0: each channel has a filter of its own, w is RSK, and x, y and w lie at multiples of so many bytes. Such a
     * problem has CUDA_CONV_DEPTHWISE and nothing else. */
    int32_t depthwise;
    /* Not 0: a block (blocks.h) of so many hidden channels; the window is the depthwise convolution's. It has
     * CUDA_CONV_BLOCK and CUDA_CONV_APART and nothing else. */
    int32_t hidden, expands;
    int32_t inner_act[2]; /* behind its first and second step, as above */
    float inner_alpha[2], inner_beta[2];
    /* Not 0: a block as well, a product with the means over each picture's pixels; the window is the product's, of one
     * tap and place. It has CUDA_CONV_GEMV and CUDA_CONV_APART and nothing else. */
    int32_t means;
    /* Not 0: a block of a convolution, whose problem this is but for p, q and y_pitch, which are the block's, and a
     * maximum over windows of 3 x 3 at stride 2. It has CUDA_CONV_STEM and CUDA_CONV_APART and nothing else. */
    int32_t pooled, pool_pad[2];
    /* Not 0: a block of two convolutions, which are this one as well (siblings.h). It has the forms of a convolution,
     * and CUDA_CONV_APART. */
    int32_t siblings;
} CudaConvKey;

/** Graphs of one problem. What a graph leaves of it is a kernel of our own behind. */
typedef enum {
    CUDA_CONV_RESIDUAL_FIRST = 0, /* conv + z + bias of the pictures' type, relu: precompiled kernels */
    CUDA_CONV_BIAS_FIRST,         /* conv + float bias + z, activation: kernels compiled when the plan is made */
    CUDA_CONV_BARE,               /* the convolution alone */
    CUDA_CONV_FORMS,
    CUDA_CONV_LT = CUDA_CONV_FORMS, /* one product of matrices, bias, z and relu, by cuBLASLt (lt.h) */
    CUDA_CONV_GEMM,                 /* all of it as our own product of gathered matrices (own.h) */
    CUDA_CONV_DEPTHWISE,            /* all of it by our own depthwise kernels (own.h) */
    CUDA_CONV_ONCE,                 /* all of it by our own kernels for few pixels (own.h) */
    CUDA_CONV_OWN,                  /* all of it by our own direct kernel: where nothing else is right */
    CUDA_CONV_BLOCK,                /* all steps of a block by our own kernel (blocks.h) */
    CUDA_CONV_APART,                /* a block's steps, one by one */
    CUDA_CONV_GEMV,                 /* all of it by our own product of a matrix and few vectors (own.h) */
    CUDA_CONV_STEM,                 /* a convolution of a network's input and maxima by our own kernel (blocks.h) */
    CUDA_CONV_LAST = CUDA_CONV_STEM
} CudaConvForm;

/** An algorithm of cuBLASLt's, as plain data. */
typedef struct {
    uint64_t data[8];
} CudaLtAlgo;

/** A way to compute a problem, ready to run. */
typedef struct {
    CudaConvForm form;
    cudnnBackendDescriptor_t plan; /* NULL: cuBLASLt or an own kernel, as the form says */
    CudaLtAlgo lt;                 /* of that form */
    GpudlConvGemmPlan gemm;        /* of that form */
    GpudlConvOncePlan once;        /* of that form */
    GpudlGemvPlan gemv;            /* of that form */
    GpudlDepthwisePlan depthwise;  /* of that form */
    GpudlMbconvPlan block;         /* of that form */
    int64_t workspace;
    float ns; /* of one run alone, 0: not measured */
    char name[32];
} CudaConvPlan;

/** Most that are kept beside the fastest; of launches that take longer than it takes to launch them half as many. */
#define CUDA_CONV_OTHERS 8

typedef struct CudaConv CudaConv;
struct CudaConv {
    CudaConv *next;
    CudaConvKey key;
    int chosen; /* a plan, or an own kernel; what follows is it, as in CudaConvPlan */
    CudaConvForm form;
    cudnnBackendDescriptor_t plan;
    CudaLtAlgo lt;
    GpudlConvGemmPlan gemm;
    GpudlConvOncePlan once;
    GpudlGemvPlan gemv;
    GpudlDepthwisePlan depthwise;
    GpudlMbconvPlan block;
    int64_t workspace;
    float ns;
    char name[32];
    CudaConvPlan others[CUDA_CONV_OTHERS]; /* nearly as fast alone, fastest first, until it is settled (round.h) */
    int n_others;
    int64_t most_workspace; /* of all that it may become, while that is being found out; else 0 */
};

/** Whether a problem is more than a convolution. */
static inline int cuda_conv_is_fused(const CudaConvKey *key)
{
    return key->hidden != 0 || key->means != 0 || key->pooled != 0;
}

/** Whether a problem is that of several steps (blocks.h). */
static inline int cuda_conv_is_block(const CudaConvKey *key)
{
    return cuda_conv_is_fused(key) || key->siblings != 0;
}

/** Whether a block's plan is one launch for all of its steps. */
static inline int cuda_conv_is_one_launch(const CudaConv *block)
{
    if (block->key.siblings != 0)
        return block->chosen && block->form != CUDA_CONV_APART;
    return block->form == CUDA_CONV_BLOCK || block->form == CUDA_CONV_GEMV || block->form == CUDA_CONV_STEM;
}

/** Whether the pictures' type has 16 bits. */
static inline int cuda_conv_is_narrow(const CudaConvKey *key)
{
    return key->dtype != GPUDL_DTYPE_F32;
}

/** Whether a bias may be of the pictures' type. A bias that was rounded is off by the same in every pixel, which no
 * mean over pixels takes away as it does where results are rounded: of bfloat16's 8 bits that shows in the classes. */
static inline int cuda_conv_rounds_bias_well(const CudaConvKey *key)
{
    return key->dtype != GPUDL_DTYPE_BF16;
}

/** Whether a graph of cuDNN's computes the problem, and as exactly as its type lets it. */
int cuda_conv_has_form(const CudaConvKey *key, CudaConvForm form);

/** TRUE if cuDNN has the activation as one operation, which its engines are fast at. Its tanh overflows where its
 * argument is large. */
static inline int cuda_conv_fuses(const CudaConvKey *key)
{
    return key->act == GPUDL_ACT_NONE || key->act == GPUDL_ACT_RELU || key->act == GPUDL_ACT_SIGMOID ||
           key->act == GPUDL_ACT_SILU || (key->act == GPUDL_ACT_CLIP && key->alpha == 0 && key->beta > 0);
}
/** TRUE if a form computes all but the activation, which cuda_conv_finish() then does. BARE leaves more. */
int cuda_conv_leaves_act(const CudaConvKey *key, CudaConvForm form);
/** The activation, with what its kind does not look at being 0. */
void cuda_conv_set_act(CudaConvKey *key, const GpudlAct *act);
GpudlAct cuda_conv_act(const CudaConvKey *key);

/** Up to room plans of a form, as cuDNN recommends them; how many there are. slow: also those that it has as a last
 * resort. */
int cuda_conv_plans(const CudaDevice *device, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form, int slow,
                    CudaConvPlan *plans, int room);

/** What a plan is made from again, faster than anew: cuDNN's text of it, malloc'd, not ended by 0; NULL if it has none.
 */
char *cuda_conv_plan_save(const CudaDevice *device, cudnnBackendDescriptor_t plan, size_t *bytes);
/** A plan from its text; FALSE if it is none for this device and library. */
int cuda_conv_plan_load(const CudaDevice *device, cudnnHandle_t handle, const char *text, size_t bytes,
                        CudaConvPlan *plan);
/** The problem as one line, the same for no other. */
void cuda_conv_key_text(const CudaConvKey *key, char *text, size_t room);

/** What a run reads and writes, on the device. bias is float32; half_bias is of the pictures' type where that has 16
 * bits. */
typedef struct {
    const void *x, *w, *z, *bias, *half_bias;
    void *y, *workspace;
} CudaConvData;

/** Queues a plan on the handle's stream, which is the one given, behind a fence (fence.h). BARE computes the
 * convolution alone. */
cudnnStatus_t cuda_conv_run(const CudaDevice *device, cudnnHandle_t handle, const CudaConvKey *key, CudaConvForm form,
                            cudnnBackendDescriptor_t plan, const CudaConvData *data, cudaStream_t stream);

/** What a form leaves: y = act(y + bias + z) of BARE, y = act(y) where only that is left, else nothing; in float32.
 * Status of the launcher. */
int cuda_conv_finish(const CudaConvKey *key, CudaConvForm form, const CudaConvData *data, cudaStream_t stream);

#endif
