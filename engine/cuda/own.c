/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "own.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "kernels/conv_cuda.h"

/* Of so few output channels a group has, a tile is nearly empty: the direct kernel has no tiles. */
#define LEAST_CHANNELS 8

/* Pictures of the largest batches that kernels for few pixels are tried for. */
#define ONCE_PICTURES 8

/* A problem as the kernels take it. */
typedef struct {
    GpudlNhwc xs, ys;
    GpudlWindow window;
    GpudlAct act;
} Extents;

static Extents extents_of(const CudaConvKey *key, int32_t n)
{
    const Extents e = {{n, key->h, key->w, key->c, key->x_pitch},
                       {n, key->p, key->q, key->k, key->y_pitch},
                       {2,
                        {1, key->r, key->s},
                        {1, key->stride[0], key->stride[1]},
                        {0, key->pad_begin[0], key->pad_begin[1]},
                        {0, key->pad_end[0], key->pad_end[1]},
                        {1, key->dilation[0], key->dilation[1]}},
                       cuda_conv_act(key)};

    return e;
}

int cuda_conv_own(const CudaConvKey *key, const CudaConvData *data, int32_t first, int32_t n, cudaStream_t stream)
{
    const GpudlDType dtype = (GpudlDType)key->dtype;
    const Extents e = extents_of(key, n);
    const int64_t size = (int64_t)gpudl_dtype_size(dtype), pixels = (int64_t)first * key->p * key->q;
    const uint8_t *x = (const uint8_t *)data->x + (int64_t)first * key->h * key->w * key->x_pitch * size;
    const uint8_t *z = key->z_pitch > 0 ? (const uint8_t *)data->z + pixels * key->z_pitch * size : NULL;

    return gpudl_conv_cuda(dtype, x, &e.xs, data->w, key->bias ? (const float *)data->bias : NULL, z, key->z_pitch,
                           &e.window, key->groups, &e.act, (uint8_t *)data->y + pixels * key->y_pitch * size, &e.ys,
                           stream);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static GpudlConvGemmType type_of(const CudaConvKey *key)
{
    return key->dtype == GPUDL_DTYPE_F16    ? GPUDL_CONV_GEMM_F16
           : key->dtype == GPUDL_DTYPE_BF16 ? GPUDL_CONV_GEMM_BF16
           : key->tf32                      ? GPUDL_CONV_GEMM_TF32
                                            : GPUDL_CONV_GEMM_F32;
}

int cuda_gemm_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const Extents e = extents_of(key, key->n);
    GpudlConvGemmPlan found[GPUDL_CONV_GEMM_PLANS];
    int n;

    if (key->groups > 1 && key->k / key->groups < LEAST_CHANNELS)
        return 0;
    n = gpudl_conv_gemm_plans(type_of(key), &e.xs, &e.window, key->groups, &e.ys,
                              device->properties.multiProcessorCount,
                              (int32_t)device->properties.sharedMemPerBlockOptin, found);
    for (int i = 0; i < n && i < room; i++) {
        plans[i] = (CudaConvPlan){.form = CUDA_CONV_GEMM, .gemm = found[i], .workspace = found[i].workspace_bytes};
        snprintf(plans[i].name, sizeof plans[i].name, "own product, tile %d, split %d", (int)found[i].tile,
                 (int)found[i].splits);
    }
    return n < room ? n : room;
}

int cuda_gemm_run(const CudaConvKey *key, const GpudlConvGemmPlan *plan, const CudaConvData *data, cudaStream_t stream)
{
    const Extents e = extents_of(key, key->n);

    return gpudl_conv_gemm_cuda(type_of(key), data->x, &e.xs, data->w, key->bias ? (const float *)data->bias : NULL,
                                key->z_pitch > 0 ? data->z : NULL, key->z_pitch, &e.window, key->groups, &e.act,
                                data->y, &e.ys, plan, plan->workspace_bytes > 0 ? data->workspace : NULL, stream);
}

/* ---- few pixels -------------------------------------------------------------------------------------------------- */

int cuda_once_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const Extents e = extents_of(key, key->n);
    GpudlConvOncePlan found[GPUDL_CONV_ONCE_PLANS];
    int n;

    if (key->n > ONCE_PICTURES || !gpudl_conv_once_runs())
        return 0;
    n = gpudl_conv_once_plans((GpudlDType)key->dtype, &e.xs, &e.window, key->groups, &e.ys,
                              device->properties.multiProcessorCount,
                              (int32_t)device->properties.sharedMemPerBlockOptin, found);
    for (int i = 0; i < n && i < room; i++) {
        plans[i] = (CudaConvPlan){.form = CUDA_CONV_ONCE, .once = found[i]};
        snprintf(plans[i].name, sizeof plans[i].name, "at once, %s %d, parts %d%s",
                 found[i].form == GPUDL_CONV_ONCE_ROWS ? "rows" : "tile", (int)found[i].tile, (int)found[i].parts,
                 found[i].held > 0 ? ", held" : "");
    }
    return n < room ? n : room;
}

int cuda_once_run(const CudaConvKey *key, const GpudlConvOncePlan *plan, const CudaConvData *data, cudaStream_t stream)
{
    const Extents e = extents_of(key, key->n);

    return gpudl_conv_once_cuda((GpudlDType)key->dtype, data->x, &e.xs, data->w,
                                key->bias ? (const float *)data->bias : NULL, key->z_pitch > 0 ? data->z : NULL,
                                key->z_pitch, &e.window, key->groups, &e.act, data->y, &e.ys, plan, stream);
}

/* ---- few vectors ------------------------------------------------------------------------------------------------- */

static int is_plain(const CudaConvKey *key)
{
    int plain = key->groups == 1 && key->z_pitch == 0 && key->depthwise == 0 && key->hidden == 0 && key->pooled == 0;

    for (int d = 0; d < 2; d++)
        plain = plain && key->pad_begin[d] == 0 && key->pad_end[d] == 0;
    return plain;
}

/* The vectors; n 0: the problem is another one. They are pixels, where the window is one, whole pictures, where it is
 * as large as they are, or their means. */
static GpudlNhwc vectors_of(const CudaConvKey *key)
{
    const int64_t pixels = (int64_t)key->h * key->w, terms = pixels * key->c;
    GpudlNhwc xs = {0, 1, 1, key->c, key->x_pitch};

    if (!is_plain(key) || pixels < 1 || pixels * key->n > INT32_MAX)
        return xs;
    if (key->means != 0)
        return (GpudlNhwc){key->n, key->h, key->w, key->c, key->x_pitch};
    if (key->r == 1 && key->s == 1 && key->stride[0] == 1 && key->stride[1] == 1 && key->p == key->h &&
        key->q == key->w) {
        xs.n = (int32_t)(pixels * key->n);
    } else if (key->r == key->h && key->s == key->w && key->p == 1 && key->q == 1 && key->dilation[0] == 1 &&
               key->dilation[1] == 1 && key->x_pitch == key->c && terms <= INT32_MAX) {
        xs = (GpudlNhwc){key->n, 1, 1, (int32_t)terms, terms};
    }
    return xs;
}

int cuda_gemv_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const GpudlNhwc xs = vectors_of(key);
    GpudlGemvPlan found[GPUDL_GEMV_PLANS];
    const int n =
        xs.n == 0
            ? 0
            : gpudl_gemv_plans((GpudlDType)key->dtype, &xs, key->k, device->properties.multiProcessorCount,
                               (int32_t)device->properties.sharedMemPerBlockOptin, gpudl_gemv_has_clusters(), found);

    for (int i = 0; i < n && i < room; i++) {
        plans[i] = (CudaConvPlan){.form = CUDA_CONV_GEMV, .gemv = found[i]};
        snprintf(plans[i].name, sizeof plans[i].name, "vectors, %d rows, %d x %d warps", (int)found[i].rows,
                 (int)found[i].parts, (int)found[i].warps);
    }
    return n < room ? n : room;
}

int cuda_gemv_run(const CudaConvKey *key, const GpudlGemvPlan *plan, const CudaConvData *data, cudaStream_t stream)
{
    const GpudlNhwc xs = vectors_of(key);
    const GpudlAct act = cuda_conv_act(key);

    return gpudl_gemv_cuda((GpudlDType)key->dtype, data->x, &xs, data->w, key->bias ? (const float *)data->bias : NULL,
                           key->k, &act, data->y, key->y_pitch, plan, stream);
}

/* ---- a network's begin ------------------------------------------------------------------------------------------- */

GpudlStem cuda_stem_of(const CudaConvKey *key)
{
    const GpudlStem stem = {.xs = {key->n, key->h, key->w, key->c, key->x_pitch},
                            .ys = {key->n, key->p, key->q, key->k, key->y_pitch},
                            .taps = key->r,
                            .pad = {key->pad_begin[0], key->pad_begin[1]},
                            .p = (key->h + key->pad_begin[0] + key->pad_end[0] - key->r) / 2 + 1,
                            .q = (key->w + key->pad_begin[1] + key->pad_end[1] - key->s) / 2 + 1,
                            .pool_pad = {key->pool_pad[0], key->pool_pad[1]},
                            .act = cuda_conv_act(key)};

    return stem;
}

int cuda_stem_plans(const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    const GpudlStem stem = cuda_stem_of(key);

    if (room < 1 || key->pooled == 0 || key->r != key->s || key->stride[0] != 2 || key->stride[1] != 2 ||
        key->dilation[0] != 1 || key->dilation[1] != 1 || key->groups != 1 || key->z_pitch != 0 ||
        gpudl_stem_fits((GpudlDType)key->dtype, &stem) != GPUDL_KERNEL_OK)
        return 0;
    plans[0] = (CudaConvPlan){.form = CUDA_CONV_STEM, .name = "convolution and maxima"};
    return 1;
}

int cuda_stem_run(const CudaConvKey *key, const CudaConvData *data, cudaStream_t stream)
{
    const GpudlStem stem = cuda_stem_of(key);

    return gpudl_stem_cuda((GpudlDType)key->dtype, &stem, data->x, data->w,
                           key->bias ? (const float *)data->bias : NULL, data->y, stream);
}

/* ---- depthwise --------------------------------------------------------------------------------------------------- */

static GpudlDepthwiseCall call_of(const CudaConvKey *key, const Extents *e, const GpudlAct *act,
                                  const CudaConvData *data)
{
    const GpudlDepthwiseCall call = {(GpudlDType)key->dtype,
                                     data->x,
                                     data->w,
                                     key->bias ? (const float *)data->bias : NULL,
                                     data->y,
                                     &e->xs,
                                     &e->ys,
                                     &e->window,
                                     act};

    return call;
}

int cuda_depthwise_plans(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    /* addresses that are aligned as the problem's are, and no better */
    uint8_t *const place = (uint8_t *)(uintptr_t)key->depthwise;
    const CudaConvData data = {.x = place, .w = place, .y = place};
    const Extents e = extents_of(key, key->n);
    const GpudlDepthwiseCall call = call_of(key, &e, &e.act, &data);
    GpudlDepthwisePlan found[GPUDL_DEPTHWISE_PLANS];
    const int n = gpudl_depthwise_plans(&call, device->properties.multiProcessorCount, found);

    for (int i = 0; i < n && i < room; i++) {
        plans[i] = (CudaConvPlan){.form = CUDA_CONV_DEPTHWISE, .depthwise = found[i]};
        if (found[i].form == 0)
            snprintf(plans[i].name, sizeof plans[i].name, "depthwise kernel");
        else
            snprintf(plans[i].name, sizeof plans[i].name, "depthwise strips %d, %d rows", (int)found[i].form,
                     (int)found[i].rows);
    }
    return n < room ? n : room;
}

int cuda_depthwise_run(const CudaConvKey *key, const GpudlDepthwisePlan *plan, const GpudlAct *act,
                       const CudaConvData *data, cudaStream_t stream)
{
    const Extents e = extents_of(key, key->n);
    const GpudlDepthwiseCall call = call_of(key, &e, act, data);

    return gpudl_depthwise_plan_cuda(&call, plan, stream);
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

#define TEXT_ROOM 48
#define MOST_PLANS GPUDL_CONV_ONCE_PLANS
_Static_assert(GPUDL_CONV_GEMM_PLANS <= MOST_PLANS && GPUDL_GEMV_PLANS <= MOST_PLANS &&
                   GPUDL_DEPTHWISE_PLANS <= MOST_PLANS && GPUDL_MBCONV_PLANS <= MOST_PLANS,
               "all plans of a problem");

static int write_gemm(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    return snprintf(text, TEXT_ROOM, "product %d split %d", (int)plan->gemm.tile, (int)plan->gemm.splits);
}

static int write_once(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    return snprintf(text, TEXT_ROOM, "once %d tile %d parts %d held %d", (int)plan->once.form, (int)plan->once.tile,
                    (int)plan->once.parts, (int)plan->once.held);
}

static int write_gemv(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    return snprintf(text, TEXT_ROOM, "vectors %d parts %d warps %d", (int)plan->gemv.rows, (int)plan->gemv.parts,
                    (int)plan->gemv.warps);
}

static int find_stem(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room)
{
    (void)device;
    return cuda_stem_plans(key, plans, room);
}

static int write_stem(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    (void)plan;
    return snprintf(text, TEXT_ROOM, "stem");
}

static int write_depthwise(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    return snprintf(text, TEXT_ROOM, "depthwise %d rows %d", (int)plan->depthwise.form, (int)plan->depthwise.rows);
}

static int write_block(const CudaConvPlan *plan, char text[TEXT_ROOM])
{
    return snprintf(text, TEXT_ROOM, "block %d parts %d", (int)plan->block.tile, (int)plan->block.parts);
}

static const struct {
    CudaConvForm form;
    int (*find)(const CudaDevice *device, const CudaConvKey *key, CudaConvPlan *plans, int room);
    int (*write)(const CudaConvPlan *plan, char text[TEXT_ROOM]); /* its length */
} kept[] = {
    {CUDA_CONV_GEMM, cuda_gemm_plans, write_gemm},    {CUDA_CONV_DEPTHWISE, cuda_depthwise_plans, write_depthwise},
    {CUDA_CONV_ONCE, cuda_once_plans, write_once},    {CUDA_CONV_GEMV, cuda_gemv_plans, write_gemv},
    {CUDA_CONV_BLOCK, cuda_block_plans, write_block}, {CUDA_CONV_STEM, find_stem, write_stem},
};
#define N_KEPT (int)(sizeof kept / sizeof *kept)

/* The form's number in the table, -1: it is not there. */
static int number_of(CudaConvForm form)
{
    int i = N_KEPT - 1;

    while (i >= 0 && kept[i].form != form)
        i--;
    return i;
}

int cuda_own_keeps(CudaConvForm form)
{
    return number_of(form) >= 0;
}

char *cuda_own_save(const CudaConvPlan *plan, size_t *bytes)
{
    const int number = number_of(plan->form);
    char *text = malloc(TEXT_ROOM);

    assert(number >= 0);
    if (text != NULL)
        *bytes = (size_t)kept[number].write(plan, text);
    return text;
}

/* Only plans that the kernel names itself are run, whatever a file says. */
int cuda_own_load(const CudaDevice *device, const CudaConvKey *key, CudaConvForm form, const char *text, size_t bytes,
                  CudaConvPlan *plan)
{
    const int number = number_of(form);
    CudaConvPlan plans[MOST_PLANS];
    char known[TEXT_ROOM];
    int n;

    assert(number >= 0);
    n = kept[number].find(device, key, plans, MOST_PLANS);
    for (int i = 0; i < n; i++)
        if ((size_t)kept[number].write(&plans[i], known) == bytes && memcmp(known, text, bytes) == 0) {
            *plan = plans[i];
            return 1;
        }
    return 0;
}
