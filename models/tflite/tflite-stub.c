/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in where FlatBuffers was not there to build with. */
#include <string.h>

#include "models/tflite/tflite.h"

gboolean gpudl_tflite_sniff(const guint8 *data, gsize size)
{
    return size >= 8 && memcmp(data + 4, "TFL3", 4) == 0;
}

GpudlGraph *gpudl_tflite_import(GBytes *file, const GpudlSourceOptions *options, GpudlSourceInfo *info, GError **error)
{
    g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED,
                "a TensorFlow Lite model, which this libgpudl was built without: install libflatbuffers-dev and "
                "flatbuffers-compiler and build it again");
    return NULL;
}
