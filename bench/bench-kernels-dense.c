/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense convolutions in bfloat16, 3x3 in tiles and those of three channels that networks begin with, and 1x1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-kernels.h"
#include "kernels/pointwise.h"
#include "kernels/stem.h"
#include "kernels/winograd.h"

static dnnl_primitive_desc_t describe(GpudlDType type, int c, int k, int size, int kernel, int stride,
                                      const GpudlAct *act, dnnl_format_tag_t x_tag, dnnl_format_tag_t y_tag)
{
    const int out = (size + stride - 1) / stride, end = (out - 1) * stride + kernel - size - kernel / 2;
    const int64_t x[4] = {1, c, size, size}, w[4] = {k, c, kernel, kernel}, y[4] = {1, k, out, out}, bias[1] = {k},
                  strides[2] = {stride, stride}, none[2] = {0, 0}, low[2] = {kernel / 2, kernel / 2},
                  high[2] = {end, end};
    const dnnl_data_type_t dnn = type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    const DnnPost post = {0, *act};
    DnnMd mds[4] = {dnn_md_typed(dnn, 4, x, x_tag), dnn_md_typed(dnn, 4, w, dnnl_format_tag_any),
                    dnn_md_tag(1, bias, dnnl_a), dnn_md_typed(dnn, 4, y, y_tag)};
    dnnl_primitive_attr_t attr = dnn_attr(&post);
    dnnl_primitive_desc_t pd = dnn_convolution(engine, attr, mds[0], mds[1], mds[2], mds[3], strides, none, low, high);

    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        dnn_md_free(mds[i]);
    return pd;
}

/* ---- 3x3 convolutions -------------------------------------------------------------------------------------------- */

static const struct {
    const char *net;
    int c, k, size;
} convolutions[] = {
    {"resnet", 64, 64, 56},     {"resnet", 128, 128, 28},   {"resnet", 256, 256, 14},    {"resnet", 512, 512, 7},
    {"vgg16", 64, 64, 224},     {"vgg16", 128, 256, 56},    {"vgg16", 512, 512, 14},     {"googlenet", 64, 192, 56},
    {"googlenet", 96, 128, 28}, {"googlenet", 24, 64, 14},  {"googlenet", 160, 320, 14}, {"densenet", 128, 32, 56},
    {"densenet", 128, 32, 14},  {"squeezenet", 16, 64, 55}, {"squeezenet", 32, 128, 27}, {"squeezenet", 64, 256, 13},
};

static void run_winograd(Party *party)
{
    ((const GpudlWinogradKernels *)party->kernels)->run(party->what, party->x, party->packed, party->scratch, party->y);
}

static void bench_winograd(int i, const char *filter)
{
    const int c = convolutions[i].c, k = convolutions[i].k, size = convolutions[i].size;
    const int64_t pixels = (int64_t)size * size;
    const GpudlWinograd d = {.type = GPUDL_DTYPE_BF16,
                             .n = 1,
                             .h = size,
                             .w = size,
                             .c = c,
                             .k = k,
                             .p = size,
                             .q = size,
                             .x_pixel = c,
                             .x_row = (int64_t)c * size,
                             .x_frame = c * pixels,
                             .y_pixel = k,
                             .y_row = (int64_t)k * size,
                             .y_frame = k * pixels,
                             .pad_top = 1,
                             .pad_left = 1,
                             .act = {GPUDL_ACT_RELU, 0, 0}};
    Party parties[MOST_PARTIES] = {0}, *own = &parties[2 + GPUDL_SIMD_AVX512_BF16 - GPUDL_SIMD_AVX2];
    char name[80];

    snprintf(name, sizeof name, "%s 3x3 %dx%dx%d to %d", convolutions[i].net, c, size, size, k);
    if (strstr(name, filter) == NULL)
        return;
    own->what = &d;
    own->kernels = gpudl_winograd_kernels(GPUDL_SIMD_AVX512_BF16);
    own->x = values((size_t)d.x_frame * 2);
    own->packed = values(gpudl_winograd_weights_size(&d));
    own->scratch = values(gpudl_winograd_scratch_size(&d));
    own->y = values((size_t)d.y_frame * 2);
    own->run = own->kernels != NULL ? run_winograd : NULL;
    set_primitive(&parties[0], describe(GPUDL_DTYPE_BF16, c, k, size, 3, 1, &d.act, dnnl_nhwc, dnnl_nhwc));
    set_primitive(&parties[1], describe(GPUDL_DTYPE_BF16, c, k, size, 3, 1, &d.act, dnnl_nChw16c, dnnl_nChw16c));
    compete(parties, MOST_PARTIES - 1);
    print_line(name, GPUDL_DTYPE_BF16, 18. * c * k * (double)pixels, parties, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free((void *)own->x);
    free((void *)own->packed);
    free(own->scratch);
    free(own->y);
}

/* ---- 1x1 convolutions -------------------------------------------------------------------------------------------- */

static const struct {
    const char *net;
    int c, k, size;
    GpudlActKind act;
} products[] = {
    {"mobilenet_v2", 32, 16, 112, GPUDL_ACT_NONE},     {"mobilenet_v2", 16, 96, 112, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 96, 24, 56, GPUDL_ACT_NONE},      {"mobilenet_v2", 24, 144, 56, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 144, 32, 28, GPUDL_ACT_NONE},     {"mobilenet_v2", 32, 192, 28, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 64, 384, 14, GPUDL_ACT_CLIP},     {"mobilenet_v2", 384, 64, 14, GPUDL_ACT_NONE},
    {"mobilenet_v2", 576, 96, 14, GPUDL_ACT_NONE},     {"mobilenet_v2", 160, 960, 7, GPUDL_ACT_CLIP},
    {"mobilenet_v2", 960, 160, 7, GPUDL_ACT_NONE},     {"mobilenet_v2", 320, 1280, 7, GPUDL_ACT_CLIP},
    {"efficientnet_b0", 16, 96, 112, GPUDL_ACT_SILU},  {"efficientnet_b0", 24, 144, 56, GPUDL_ACT_SILU},
    {"efficientnet_b0", 40, 240, 28, GPUDL_ACT_SILU},  {"efficientnet_b0", 112, 672, 14, GPUDL_ACT_SILU},
    {"efficientnet_b0", 672, 112, 14, GPUDL_ACT_NONE}, {"efficientnet_b0", 192, 1152, 7, GPUDL_ACT_SILU},
    {"resnet", 64, 256, 56, GPUDL_ACT_NONE},           {"resnet", 256, 64, 56, GPUDL_ACT_RELU},
    {"resnet", 1024, 256, 14, GPUDL_ACT_RELU},         {"resnet", 2048, 512, 7, GPUDL_ACT_RELU},
    {"squeezenet", 512, 1000, 13, GPUDL_ACT_RELU},     {"regnet", 208, 208, 14, GPUDL_ACT_RELU},
};

static void run_pointwise(Party *party)
{
    ((const GpudlPointwiseKernels *)party->kernels)->run(party->what, party->x, party->packed, party->y);
}

static void bench_pointwise(int i, GpudlDType type, const char *filter)
{
    const GpudlSimd simd = type == GPUDL_DTYPE_BF16 ? GPUDL_SIMD_AVX512_BF16 : GPUDL_SIMD_AVX512;
    const int c = products[i].c, k = products[i].k, size = products[i].size;
    const int64_t pixels = (int64_t)size * size;
    const GpudlPointwise d = {.type = type,
                              .n = 1,
                              .h = size,
                              .w = size,
                              .c = c,
                              .k = k,
                              .p = size,
                              .q = size,
                              .stride = 1,
                              .x_pixel = c,
                              .x_row = (int64_t)c * size,
                              .x_frame = c * pixels,
                              .y_pixel = k,
                              .y_row = (int64_t)k * size,
                              .y_frame = k * pixels,
                              .act = {products[i].act, 0, products[i].act == GPUDL_ACT_CLIP ? 6 : 0}};
    Party parties[MOST_PARTIES] = {0}, *own = &parties[2 + simd - GPUDL_SIMD_AVX2];
    char name[80];

    snprintf(name, sizeof name, "%s 1x1 %dx%dx%d to %d", products[i].net, c, size, size, k);
    if (strstr(name, filter) == NULL)
        return;
    own->what = &d;
    own->kernels = gpudl_pointwise_kernels(simd, type);
    own->x = values((size_t)d.x_frame * gpudl_dtype_size(type));
    own->packed = values(gpudl_pointwise_weights_size(&d));
    own->y = values((size_t)d.y_frame * gpudl_dtype_size(type));
    own->run = own->kernels != NULL ? run_pointwise : NULL;
    set_primitive(&parties[0], describe(type, c, k, size, 1, 1, &d.act, dnnl_nhwc, dnnl_nhwc));
    set_primitive(&parties[1], describe(type, c, k, size, 1, 1, &d.act, dnnl_nChw16c, dnnl_nChw16c));
    compete(parties, MOST_PARTIES - 1);
    print_line(name, type, 2. * c * k * (double)pixels, parties, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free((void *)own->x);
    free((void *)own->packed);
    free(own->y);
}

/* ---- stems ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *net;
    int k, size, kernel, stride;
    GpudlActKind act;
} stems[] = {
    {"resnet", 64, 224, 7, 2, GPUDL_ACT_RELU},          {"mobilenet_v2", 32, 224, 3, 2, GPUDL_ACT_CLIP},
    {"efficientnet_b0", 32, 224, 3, 2, GPUDL_ACT_SILU}, {"mobilenet_v3", 16, 224, 3, 2, GPUDL_ACT_HARD_SWISH},
    {"shufflenet_v2", 24, 224, 3, 2, GPUDL_ACT_RELU},   {"vgg16", 64, 224, 3, 1, GPUDL_ACT_RELU},
    {"alexnet", 64, 224, 11, 4, GPUDL_ACT_RELU},
};

static void run_stem(Party *party)
{
    ((const GpudlStemKernels *)party->kernels)->run(party->what, party->x, party->packed, party->y);
}

static void bench_stem(int i, const char *filter)
{
    const int k = stems[i].k, size = stems[i].size, kernel = stems[i].kernel, stride = stems[i].stride,
              out = (size + stride - 1) / stride;
    const GpudlStem d = {.type = GPUDL_DTYPE_BF16,
                         .n = 1,
                         .h = size,
                         .w = size,
                         .c = 3,
                         .k = k,
                         .p = out,
                         .q = out,
                         .x_row = 3 * (int64_t)size,
                         .x_frame = 3 * (int64_t)size * size,
                         .y_pixel = k,
                         .y_row = (int64_t)k * out,
                         .y_frame = (int64_t)k * out * out,
                         .kernel = kernel,
                         .stride = stride,
                         .pad_top = kernel / 2,
                         .pad_left = kernel / 2,
                         .act = {stems[i].act, 0, stems[i].act == GPUDL_ACT_CLIP ? 6 : 0}};
    Party parties[MOST_PARTIES] = {0}, *own = &parties[2 + GPUDL_SIMD_AVX512_BF16 - GPUDL_SIMD_AVX2];
    char name[80];

    snprintf(name, sizeof name, "%s stem %dx%d 3x%dx%d to %d", stems[i].net, kernel, kernel, size, size, k);
    if (strstr(name, filter) == NULL)
        return;
    own->what = &d;
    own->kernels = gpudl_stem_kernels(GPUDL_SIMD_AVX512_BF16, GPUDL_DTYPE_BF16);
    own->x = values((size_t)d.x_frame * 2);
    own->packed = values(gpudl_stem_weights_size(&d));
    own->y = values((size_t)d.y_frame * 2);
    own->run = own->kernels != NULL ? run_stem : NULL;
    set_primitive(&parties[0], describe(GPUDL_DTYPE_BF16, 3, k, size, kernel, stride, &d.act, dnnl_nhwc, dnnl_nhwc));
    set_primitive(&parties[1],
                  describe(GPUDL_DTYPE_BF16, 3, k, size, kernel, stride, &d.act, dnnl_format_tag_any, dnnl_nChw16c));
    compete(parties, MOST_PARTIES - 1);
    print_line(name, GPUDL_DTYPE_BF16, 6. * kernel * kernel * k * out * out, parties, MOST_PARTIES - 1);
    free_parties(parties, MOST_PARTIES);
    free((void *)own->x);
    free((void *)own->packed);
    free(own->y);
}

void bench_dense(const char *filter)
{
    for (unsigned i = 0; i < sizeof convolutions / sizeof *convolutions; i++)
        bench_winograd((int)i, filter);
    for (unsigned i = 0; i < sizeof products / sizeof *products; i++) {
        bench_pointwise((int)i, GPUDL_DTYPE_F32, filter);
        bench_pointwise((int)i, GPUDL_DTYPE_BF16, filter);
    }
    for (unsigned i = 0; i < sizeof stems / sizeof *stems; i++)
        bench_stem((int)i, filter);
}
