/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * oneDNN 2.x and 3.x behind one interface: the only files that know which of the two it is. float32 and bfloat16,
 * forward inference, one CPU engine, scratchpads of the caller.
 *
 * Functions that make something return NULL if oneDNN can't (unimplemented, invalid, no memory); the caller decides
 * what to do instead. Dimensions are logical (n, c, spatial...), outermost first, whatever the layout.
 */
#ifndef GPUDL_ENGINE_CPU_DNN_H
#define GPUDL_ENGINE_CPU_DNN_H

#include <oneapi/dnnl/dnnl.h>

#include "kernels/types.h"
#include "kernels/winograd_weights.h"

/** Layout of a tensor: DnnMd is owned, DnnMdRef is not. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t DnnMd;
typedef const_dnnl_memory_desc_t DnnMdRef;
#else
typedef dnnl_memory_desc_t *DnnMd;
typedef const dnnl_memory_desc_t *DnnMdRef;
#endif

/** Layout by tag; dnnl_format_tag_any leaves it to the primitive. */
DnnMd dnn_md_typed(dnnl_data_type_t type, int ndims, const int64_t *dims, dnnl_format_tag_t tag);
/** The same, float32. */
DnnMd dnn_md_tag(int ndims, const int64_t *dims, dnnl_format_tag_t tag);
/** Row-major, float32. */
DnnMd dnn_md_plain(int ndims, const int64_t *dims);
/** Row-major. */
DnnMd dnn_md_dense(dnnl_data_type_t type, int ndims, const int64_t *dims);
/** By strides in elements. */
DnnMd dnn_md_strides(dnnl_data_type_t type, int ndims, const int64_t *dims, const int64_t *strides);
/** A box of a tensor, NULL where it would cut a block. */
DnnMd dnn_md_box(DnnMdRef parent, const int64_t *dims, const int64_t *offsets);
DnnMd dnn_md_copy(DnnMdRef md);
void dnn_md_free(DnnMd md);
size_t dnn_md_bytes(DnnMdRef md);
int dnn_md_equal(DnnMdRef a, DnnMdRef b);
int dnn_md_ndims(DnnMdRef md);
const int64_t *dnn_md_dims(DnnMdRef md);
dnnl_data_type_t dnn_md_type(DnnMdRef md);
/** Nonzero if row-major without gaps. */
int dnn_md_is_plain(DnnMdRef md);
/** Nonzero if it is float32 weights that Winograd's transforms have been through, as gpudl_winograd_weights() makes
 * them of dense ones for *d. */
int dnn_md_winograd(DnnMdRef md, GpudlWinogradWeights *d);
/** A dense layout of the same type and kind (plain, channels last, channel blocks of 4, 8, 16) for other dimensions of
 * the same rank; NULL if the kind is none of these. */
DnnMd dnn_md_like(DnnMdRef md, const int64_t *dims);
/** Which of these kinds a layout is: 0 row-major, 1 channels last, 4, 8, 16 blocks of so many channels, -1 none. */
int dnn_md_kind(DnnMdRef md);
/** The same dimensions and kind of layout in another type; row-major if the kind is none of dnn_md_like()'s. */
DnnMd dnn_md_as(DnnMdRef md, dnnl_data_type_t type);

/** The layout md, of dimensions dims[i] at perm[i], seen with dimension perm[i] as dimension i, if that is one of those
 * kinds but blocks; else NULL. */
DnnMd dnn_md_permuted(DnnMdRef md, const int64_t *dims, const int32_t *perm);

/** What follows a sum of products inside the same primitive: accumulation onto what is in dst, then an activation. */
typedef struct {
    int sum;
    GpudlAct act;
} DnnPost;

/** Attributes with the caller's scratchpad. post may be NULL. Free with dnnl_primitive_attr_destroy(). */
dnnl_primitive_attr_t dnn_attr(const DnnPost *post);

/** An activation as one or two (hard sigmoid) element-wise operations. Returns how many; 0 for none. */
typedef struct {
    dnnl_alg_kind_t alg;
    float alpha, beta;
} DnnEltwise;
int dnn_activation(const GpudlAct *act, DnnEltwise out[2]);

/** Primitive descriptors. attr is from dnn_attr(). bias may be NULL. */
dnnl_primitive_desc_t dnn_convolution(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                      DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                      const int64_t *pad_l, const int64_t *pad_r);
/** Whether there is one by Winograd's transforms for any shape, in float32; it, of 4x4 results at a time if large and
 * there is one, else of 2x2, else of what there is. */
int dnn_has_winograd(void);
dnnl_primitive_desc_t dnn_winograd(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef weights,
                                   DnnMdRef bias, DnnMdRef dst, const int64_t *strides, const int64_t *dilates,
                                   const int64_t *pad_l, const int64_t *pad_r, int large);
dnnl_primitive_desc_t dnn_inner_product(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src,
                                        DnnMdRef weights, DnnMdRef bias, DnnMdRef dst);
dnnl_primitive_desc_t dnn_matmul(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef a, DnnMdRef b,
                                 DnnMdRef dst);
dnnl_primitive_desc_t dnn_pooling(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src,
                                  DnnMdRef dst, const int64_t *strides, const int64_t *kernel, const int64_t *dilates,
                                  const int64_t *pad_l, const int64_t *pad_r);
dnnl_primitive_desc_t dnn_eltwise(dnnl_engine_t engine, dnnl_primitive_attr_t attr, const DnnEltwise *op, DnnMdRef md);
/** dst has src0's dimensions; src1's are equal or 1. */
dnnl_primitive_desc_t dnn_binary(dnnl_engine_t engine, dnnl_primitive_attr_t attr, dnnl_alg_kind_t alg, DnnMdRef src0,
                                 DnnMdRef src1, DnnMdRef dst);
dnnl_primitive_desc_t dnn_softmax(dnnl_engine_t engine, dnnl_primitive_attr_t attr, int logarithm, DnnMdRef md,
                                  int axis);
dnnl_primitive_desc_t dnn_lrn(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int64_t size, float alpha,
                              float beta, float k);
/** y = (x - mean) / sqrt(variance + epsilon) * scale + shift, then max(y, 0) if relu; arguments DNNL_ARG_SRC, _MEAN,
 * _VARIANCE, _SCALE, _SHIFT, _DST. */
dnnl_primitive_desc_t dnn_batch_norm(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, float epsilon,
                                     int relu);
/** Channels (dimension 1) as [groups][size] become [size][groups]: group_size = size. */
dnnl_primitive_desc_t dnn_shuffle(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef md, int axis,
                                  int64_t group_size);
dnnl_primitive_desc_t dnn_concat(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef dst, int n, int axis,
                                 const DnnMdRef *srcs);
dnnl_primitive_desc_t dnn_reorder(dnnl_engine_t engine, dnnl_primitive_attr_t attr, DnnMdRef src, DnnMdRef dst);

/** What the primitive settled on: dnnl_query_src_md, _weights_md, _dst_md, _scratchpad_md. Owned by pd. */
DnnMdRef dnn_pd_md(dnnl_primitive_desc_t pd, dnnl_query_t what, int index);
/** Name of the implementation: "jit:avx512_common". */
const char *dnn_pd_name(dnnl_primitive_desc_t pd);

/** dnnl_undefined_primitive for NULL. */
dnnl_primitive_kind_t dnn_primitive_kind(dnnl_primitive_t primitive);

/** Memory object over the caller's bytes. */
dnnl_memory_t dnn_memory(dnnl_engine_t engine, DnnMdRef md, void *data);

#endif
