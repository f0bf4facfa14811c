/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GPUDL_TESTS_KERNELS_MBCONV_BENCH_H
#define GPUDL_TESTS_KERNELS_MBCONV_BENCH_H

/** Times of the inverted residuals of MobileNetV2 and some of EfficientNet, every plan, beside those of the three
 * kernels that compute the same, the fastest plan of each. */
void mbconv_bench(void);

#endif
