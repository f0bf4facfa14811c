/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc.h"

#include <stddef.h>
#include <stdlib.h>

#include "preproc_parts.h"

/** One resampled component on the destination rectangle. */
typedef struct {
    double *values; /* [dst_height][dst_width] */
} Plane;

/* rows first, then columns: one destination row at a time */
static int resample(const GpudlFrame *frame, const GpudlPreproc *pp, const GpudlPreprocGeometry *geometry,
                    const GpudlPixelLayout *layout, const GpudlComponentLayout *component, double *out)
{
    const uint8_t *plane = (const uint8_t *)frame->planes[component->plane] + component->offset;
    ptrdiff_t stride = frame->strides[component->plane];
    GpudlAxis x_axis, y_axis;
    double *row, *x_weights, *y_weights;
    int result = -1;

    gpudl_preproc_axis(frame, pp, geometry, component, 0, &x_axis);
    gpudl_preproc_axis(frame, pp, geometry, component, 1, &y_axis);
    row = calloc((size_t)x_axis.hi, sizeof(double));
    x_weights = calloc((size_t)gpudl_axis_max_taps(&x_axis), sizeof(double));
    y_weights = calloc((size_t)gpudl_axis_max_taps(&y_axis), sizeof(double));
    if (row != NULL && x_weights != NULL && y_weights != NULL) {
        for (int32_t y = 0; y < y_axis.n; y++) {
            int32_t first, count = gpudl_axis_taps(&y_axis, y, &first, y_weights);

            for (int32_t x = x_axis.lo; x < x_axis.hi; x++) {
                row[x] = 0;
                for (int32_t k = 0; k < count; k++)
                    row[x] += y_weights[k] *
                              gpudl_sample(layout, plane + (first + k) * stride + (ptrdiff_t)x * component->step);
            }
            for (int32_t x = 0; x < x_axis.n; x++) {
                int32_t x_first, x_count = gpudl_axis_taps(&x_axis, x, &x_first, x_weights);
                double sum = 0;

                for (int32_t k = 0; k < x_count; k++)
                    sum += x_weights[k] * row[x_first + k];
                out[(size_t)y * x_axis.n + x] = sum;
            }
        }
        result = 0;
    }
    free(y_weights);
    free(x_weights);
    free(row);
    return result;
}

/* The weights of one destination sample as integers. Returns how many. */
static int32_t whole_weights(const GpudlAxis *axis, int32_t i, int32_t *first, double *weights, int32_t *whole)
{
    const int32_t count = gpudl_axis_taps(axis, i, first, weights);

    for (int32_t k = 0; k < count; k++)
        whole[k] = gpudl_bytes_weight(weights[k]);
    return count;
}

/* bicubic-bytes: along the rows from lo to hi first, into bytes [hi - lo][n]; then along the columns of those */
static int resample_bytes(const GpudlFrame *frame, const GpudlPreproc *pp, const GpudlPreprocGeometry *geometry,
                          const GpudlComponentLayout *component, double *out)
{
    const uint8_t *plane = (const uint8_t *)frame->planes[component->plane] + component->offset;
    const ptrdiff_t stride = frame->strides[component->plane];
    GpudlAxis x_axis, y_axis;
    uint8_t *between;
    double *weights;
    int32_t *whole, taps;
    int result = -1;

    gpudl_preproc_axis(frame, pp, geometry, component, 0, &x_axis);
    gpudl_preproc_axis(frame, pp, geometry, component, 1, &y_axis);
    taps = gpudl_axis_max_taps(&x_axis) > gpudl_axis_max_taps(&y_axis) ? gpudl_axis_max_taps(&x_axis)
                                                                       : gpudl_axis_max_taps(&y_axis);
    between = calloc((size_t)(y_axis.hi - y_axis.lo), (size_t)x_axis.n);
    weights = calloc((size_t)taps, sizeof(double));
    whole = calloc((size_t)taps, sizeof(int32_t));
    if (between != NULL && weights != NULL && whole != NULL) {
        for (int32_t x = 0; x < x_axis.n; x++) {
            int32_t first, count = whole_weights(&x_axis, x, &first, weights, whole);

            for (int32_t y = y_axis.lo; y < y_axis.hi; y++) {
                int32_t sum = 0;

                for (int32_t k = 0; k < count; k++)
                    sum += whole[k] * plane[y * stride + (ptrdiff_t)(first + k) * component->step];
                between[(size_t)(y - y_axis.lo) * x_axis.n + x] = gpudl_bytes_round(sum);
            }
        }
        for (int32_t y = 0; y < y_axis.n; y++) {
            int32_t first, count = whole_weights(&y_axis, y, &first, weights, whole);

            for (int32_t x = 0; x < x_axis.n; x++) {
                int32_t sum = 0;

                for (int32_t k = 0; k < count; k++)
                    sum += whole[k] * between[(size_t)(first - y_axis.lo + k) * x_axis.n + x];
                out[(size_t)y * x_axis.n + x] = gpudl_bytes_round(sum);
            }
        }
        result = 0;
    }
    free(whole);
    free(weights);
    free(between);
    return result;
}

static void write_rectangle(const GpudlPreproc *pp, const GpudlPreprocGeometry *geometry,
                            const GpudlColorTransform *transform, int32_t n_components, const Plane *components,
                            float *dst)
{
    for (int32_t c = 0; c < pp->channels; c++) {
        float *channel = dst + (size_t)c * pp->height * pp->width;

        for (size_t i = 0; i < (size_t)pp->height * pp->width; i++)
            channel[i] = (float)transform->pad[c];
        for (int32_t y = 0; y < geometry->dst_height; y++) {
            for (int32_t x = 0; x < geometry->dst_width; x++) {
                size_t from = (size_t)y * geometry->dst_width + x;
                size_t to = (size_t)(geometry->dst_y + y) * pp->width + geometry->dst_x + x;
                double pixel = transform->offset[c];

                for (int32_t k = 0; k < n_components; k++)
                    pixel += transform->matrix[c][k] * components[k].values[from];
                pixel = pixel < 0 ? 0 : pixel > 255 ? 255 : pixel;
                channel[to] = (float)(pixel * transform->gain[c] + transform->bias[c]);
            }
        }
    }
}

int gpudl_preproc_ref(const GpudlFrame *frame, const GpudlPreproc *pp, float *dst)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    GpudlPreprocGeometry geometry;
    GpudlColorTransform transform;
    Plane components[3] = {{NULL}};
    int result = 0;

    if (gpudl_preproc_fault(frame, pp) != NULL || gpudl_preproc_geometry(frame, pp, &geometry) != 0)
        return -1;
    gpudl_preproc_color(frame, pp, &transform);
    for (int32_t k = 0; k < layout->n_components && result == 0; k++) {
        components[k].values = calloc((size_t)geometry.dst_width * geometry.dst_height, sizeof(double));
        if (components[k].values == NULL)
            result = -1;
        else if (gpudl_preproc_method(frame, pp) == GPUDL_SCALE_BICUBIC_BYTES)
            result = resample_bytes(frame, pp, &geometry, &layout->components[k], components[k].values);
        else
            result = resample(frame, pp, &geometry, layout, &layout->components[k], components[k].values);
    }
    if (result == 0)
        write_rectangle(pp, &geometry, &transform, layout->n_components, components, dst);
    for (int32_t k = 0; k < 3; k++)
        free(components[k].values);
    return result;
}
