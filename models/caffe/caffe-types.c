/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of layer types. */
#include <string.h>

#include "caffe-internal.h"

#define MAP(label, v1, param, low, high, blobs, func, op)                                                              \
    {                                                                                                                  \
        label, v1, param, CAFFE_MAPPED, low, high, blobs, caffe_map_##func, GPUDL_OP_##op                              \
    }
#define OTHER(label, v1, param, role)                                                                                  \
    {                                                                                                                  \
        label, v1, param, CAFFE_##role, 0, G_MAXUINT, 0, NULL, GPUDL_OP_NONE                                           \
    }

static const CaffeType types[] = {
    MAP("AbsVal", "ABSVAL", NULL, 1, 1, 0, abs, ABS),
    OTHER("Accuracy", "ACCURACY", NULL, LOSS),
    OTHER("ArgMax", "ARGMAX", NULL, LOSS),
    MAP("Axpy", NULL, NULL, 3, 3, 0, axpy, NONE),
    MAP("BNLL", "BNLL", NULL, 1, 1, 0, bnll, NONE),
    MAP("BatchNorm", NULL, "batch_norm_param", 1, 1, 3, batch_norm, NONE),
    MAP("Bias", NULL, "bias_param", 1, 2, 1, bias, NONE),
    MAP("Clip", NULL, "clip_param", 1, 1, 0, clip, NONE),
    MAP("Concat", "CONCAT", "concat_param", 1, G_MAXUINT, 0, concat, NONE),
    OTHER("ContrastiveLoss", "CONTRASTIVE_LOSS", NULL, QUIET),
    MAP("Convolution", "CONVOLUTION", "convolution_param", 1, G_MAXUINT, 2, convolution, NONE),
    MAP("ConvolutionDepthwise", NULL, "convolution_param", 1, 1, 2, depthwise, NONE),
    MAP("Crop", NULL, "crop_param", 2, 2, 0, crop, NONE),
    OTHER("Data", "DATA", "data_param", DATA),
    MAP("Deconvolution", "DECONVOLUTION", "convolution_param", 1, 1, 2, deconvolution, NONE),
    MAP("DepthwiseConvolution", NULL, "convolution_param", 1, 1, 2, depthwise, NONE),
    MAP("Dropout", "DROPOUT", "dropout_param", 1, 1, 0, copy, NONE),
    OTHER("DummyData", "DUMMY_DATA", "dummy_data_param", DATA),
    MAP("ELU", NULL, "elu_param", 1, 1, 0, elu, NONE),
    MAP("Eltwise", "ELTWISE", "eltwise_param", 1, G_MAXUINT, 0, eltwise, NONE),
    OTHER("EuclideanLoss", "EUCLIDEAN_LOSS", NULL, LOSS),
    MAP("Exp", "EXP", "exp_param", 1, 1, 0, exp, NONE),
    MAP("Flatten", "FLATTEN", "flatten_param", 1, 1, 0, flatten, NONE),
    OTHER("HDF5Data", "HDF5_DATA", "hdf5_data_param", DATA),
    OTHER("HDF5Output", "HDF5_OUTPUT", NULL, QUIET),
    OTHER("HingeLoss", "HINGE_LOSS", NULL, LOSS),
    OTHER("ImageData", "IMAGE_DATA", "image_data_param", DATA),
    OTHER("InfogainLoss", "INFOGAIN_LOSS", NULL, LOSS),
    MAP("InnerProduct", "INNER_PRODUCT", "inner_product_param", 1, 1, 2, inner_product, NONE),
    OTHER("Input", NULL, "input_param", INPUT),
    MAP("LRN", "LRN", "lrn_param", 1, 1, 0, lrn, NONE),
    MAP("Log", NULL, "log_param", 1, 1, 0, log, NONE),
    MAP("MVN", "MVN", "mvn_param", 1, 1, 0, mvn, NONE),
    OTHER("MemoryData", "MEMORY_DATA", "memory_data_param", DATA),
    OTHER("MultinomialLogisticLoss", "MULTINOMIAL_LOGISTIC_LOSS", NULL, LOSS),
    MAP("Normalize", NULL, "norm_param", 1, 1, 1, normalize, NONE),
    MAP("PReLU", NULL, "prelu_param", 1, 1, 1, prelu, NONE),
    MAP("Permute", NULL, "permute_param", 1, 1, 0, permute, NONE),
    MAP("Pooling", "POOLING", "pooling_param", 1, 1, 0, pooling, NONE),
    MAP("Power", "POWER", "power_param", 1, 1, 0, power, NONE),
    MAP("ReLU", "RELU", "relu_param", 1, 1, 0, relu, NONE),
    MAP("ReLU6", NULL, NULL, 1, 1, 0, relu6, NONE),
    MAP("Reduction", NULL, "reduction_param", 1, 1, 0, reduction, NONE),
    MAP("Reshape", NULL, "reshape_param", 1, 1, 0, reshape, NONE),
    MAP("Scale", NULL, "scale_param", 1, 2, 2, scale, NONE),
    MAP("ShuffleChannel", NULL, "shuffle_channel_param", 1, 1, 0, shuffle, NONE),
    MAP("Sigmoid", "SIGMOID", "sigmoid_param", 1, 1, 0, activation, NONE),
    OTHER("SigmoidCrossEntropyLoss", "SIGMOID_CROSS_ENTROPY_LOSS", NULL, LOSS),
    OTHER("Silence", "SILENCE", NULL, QUIET),
    MAP("Slice", "SLICE", "slice_param", 1, 1, 0, slice, NONE),
    MAP("Softmax", "SOFTMAX", "softmax_param", 1, 1, 0, softmax, NONE),
    OTHER("SoftmaxWithLoss", "SOFTMAX_LOSS", NULL, LOSS),
    MAP("Split", "SPLIT", NULL, 1, 1, 0, copy, NONE),
    MAP("Swish", NULL, "swish_param", 1, 1, 0, swish, NONE),
    MAP("TanH", "TANH", "tanh_param", 1, 1, 0, activation, NONE),
    OTHER("WindowData", "WINDOW_DATA", "window_data_param", DATA),
};

const CaffeType *caffe_type_find(const gchar *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const CaffeType *caffe_type_find_v1(const gchar *v1)
{
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_strcmp0(types[i].v1, v1) == 0)
            return &types[i];
    return NULL;
}
