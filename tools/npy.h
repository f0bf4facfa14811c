/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Reader of NumPy's .npy files, as far as expected outputs need it.
 */
#ifndef GPUDL_TOOLS_NPY_H
#define GPUDL_TOOLS_NPY_H

#include "engine/gpudl.h"

G_BEGIN_DECLS

/**
 * Reads an array of little-endian float32 or float64 in C order, format versions 1 to 3, of any shape; float64 values
 * are rounded to float32. Returns the values in file order, freed by the caller with g_free(), their number in *n.
 * Errors: NOT_FOUND, OPEN_READ, FORMAT (not .npy, truncated, other length than the shape says), UNSUPPORTED (another
 * type, Fortran order), LIMIT (more than 2^26 values). Each message begins with the path.
 */
float *gpudl_npy_read(const gchar *path, gsize *n, GError **error);

G_END_DECLS
#endif
