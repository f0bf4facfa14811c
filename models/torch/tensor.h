/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Where the elements of one of PyTorch's tensors lie in the bytes of its storage. */
#ifndef GPUDL_MODELS_TORCH_TENSOR_H
#define GPUDL_MODELS_TORCH_TENSOR_H

#include "models/torch/aten.h"

G_BEGIN_DECLS

typedef struct {
    GpudlDType dtype;
    GpudlShape shape;
    gint64 stride[GPUDL_MAX_RANK], offset; /* in elements; 0 to GPUDL_LIMIT_TENSOR_BYTES each, as are the extents */
} TorchLayout;

/** The tensor as a constant of the graph; a part of the storage where it lies there as we have it. FORMAT if it reads
 * beyond the storage, LIMIT. Messages call it a weight of this name. */
GpudlTensor *torch_constant(AtenContext *context, const gchar *name, const TorchLayout *layout, GBytes *storage,
                            GError **error);

G_END_DECLS
#endif
