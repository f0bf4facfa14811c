/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolution (cross-correlation, as ONNX Conv-22 and every framework means it) in 1 to 3 spatial dimensions.
 */
#ifndef GPUDL_KERNELS_CONV_H
#define GPUDL_KERNELS_CONV_H

#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = act(sum over c, taps of x * w + bias + residual).
 *
 * x        [n][c][spatial...], width fastest; outside of it, in the padding, x is 0
 * w        [k][c / group][taps...]; the kernel's extents are read from here (window->kernel is not looked at)
 * bias     [k] or NULL
 * residual like y, or NULL; added before act
 * window   strides, pads, dilations. The end pads follow from y's extents and are not looked at
 * group    divides c and k; output channel j reads the input channels of group j / (k / group)
 * y        [n][k][spatial...]
 *
 * All of one float type, else GPUDL_KERNEL_DTYPE. GPUDL_KERNEL_SHAPE if ranks, channels, batch or residual do not fit.
 */
typedef int GpudlConvFunc(const GpudlTensorView *x, const GpudlTensorView *w, const GpudlTensorView *bias,
                          const GpudlTensorView *residual, const GpudlWindow *window, int32_t group,
                          const GpudlAct *act, const GpudlTensorView *y, GpudlKernelStream stream);

GpudlConvFunc gpudl_conv_ref;

#ifdef __cplusplus
}
#endif
#endif
