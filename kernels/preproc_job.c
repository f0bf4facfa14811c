/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_job.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "preproc_parts.h"

/* the device reads jobs as words of 8 bytes */
_Static_assert(sizeof(GpudlPreprocJob) % 8 == 0, "jobs lie one behind the other, aligned");

_Static_assert(GPUDL_JOB_BYTES_BITS == GPUDL_BYTES_BITS, "the same integers on both sides");

static void set_axis(GpudlPreprocJobAxis *to, const GpudlAxis *axis)
{
    const int narrows = axis->scale > 1 && axis->method != GPUDL_SCALE_BILINEAR_ALIASED;

    /* by field: what lies between them stays zero, so that equal jobs have equal bytes */
    to->first_centre = axis->first_centre;
    to->scale = axis->scale;
    to->lo = axis->lo;
    to->hi = axis->hi;
    to->narrow = narrows ? (float)(1 / axis->scale) : 1.f;
}

static void set_axes(GpudlPreprocJob *job, const GpudlFrame *frame, const GpudlPreproc *pp,
                     const GpudlPreprocGeometry *geometry, const GpudlPixelLayout *layout)
{
    for (int half = 0; half < 2; half++) {
        /* component 1 is chroma; formats without it have one sampling */
        const GpudlComponentLayout *component = &layout->components[layout->n_components > 1 ? half : 0];
        GpudlAxis axis;

        gpudl_preproc_axis(frame, pp, geometry, component, 0, &axis);
        set_axis(&job->x[half], &axis);
        gpudl_preproc_axis(frame, pp, geometry, component, 1, &axis);
        set_axis(&job->y[half], &axis);
    }
}

static void set_layout(GpudlPreprocJob *job, const GpudlPixelLayout *layout)
{
    int pair_bytes = 0;

    for (int p = 0; p < layout->n_planes; p++)
        job->plane_half_x[p] = 1;
    for (int k = 0; k < layout->n_components; k++) {
        const GpudlComponentLayout *component = &layout->components[k];
        const int p = component->plane;

        job->component_plane[k] = (uint8_t)p;
        job->component_offset[k] = (uint8_t)component->offset;
        job->component_step[k] = (uint8_t)component->step;
        job->component_half_x[k] = (uint8_t)component->h_shift;
        job->plane_half_y[p] = (uint8_t)component->v_shift;
        /* where luma and chroma share a plane, its positions are the luma's */
        if (job->plane_step[p] == 0 || component->h_shift == 0)
            job->plane_step[p] = (uint8_t)component->step;
        if (component->h_shift == 0)
            job->plane_half_x[p] = 0;
    }
    for (int p = 0; p < layout->n_planes; p++)
        pair_bytes += job->plane_half_x[p] ? job->plane_step[p] : 2 * job->plane_step[p];
    job->pair_bytes = (uint8_t)pair_bytes;
}

/* Most samples of a window that weigh anything; float32 may count one more, of weight 0 but for a rounding. */
static double most_taps(const GpudlPreprocJobAxis *axis, GpudlScaleMethod method)
{
    const double widen = fmax(axis->scale, 1.0);

    switch (method) {
    case GPUDL_SCALE_BILINEAR_ALIASED:
        return 2.0;
    case GPUDL_SCALE_BILINEAR:
        return ceil(2.0 * widen);
    case GPUDL_SCALE_BICUBIC:
        return ceil(4.0 * widen);
    case GPUDL_SCALE_AREA:
        /* all weigh the same: none may be left out, and a scale a rounding below a whole number may reach one more */
        return ceil(widen + 0.001);
    default:
        return 1.0;
    }
}

static uint8_t direct_taps(const GpudlPreprocJob *job, GpudlScaleMethod method)
{
    double most = 1.0;

    for (int half = 0; half < 2; half++)
        most = fmax(most, fmax(most_taps(&job->x[half], method), most_taps(&job->y[half], method)));
    return most <= 2.0 ? 2 : most <= GPUDL_JOB_DIRECT_TAPS ? GPUDL_JOB_DIRECT_TAPS : 0;
}

static int is_multiple(const GpudlPreprocJob *job, int plane, unsigned of)
{
    return (uintptr_t)job->planes[plane] % of == 0 && job->strides[plane] % (int32_t)of == 0;
}

static int has_two(const GpudlPreprocJobAxis *axis)
{
    return axis->hi - axis->lo > 1;
}

/* of samples of so many bytes, how they can be fetched; two at once only where there are two along a row */
static GpudlPreprocPoints find_points(const GpudlPreprocJob *job)
{
    const int words = job->word_mask != 0, bytes = words ? 2 : 1, wide = has_two(&job->x[0]) && has_two(&job->x[1]);
    int aligned = 1;

    for (int p = 0; p < job->n_planes; p++)
        aligned = aligned && is_multiple(job, p, (unsigned)bytes);
    if (!aligned)
        return GPUDL_POINTS_ODD_WORDS;
    if (wide && job->n_planes == 2 && is_multiple(job, 1, 2 * (unsigned)bytes))
        return words ? GPUDL_POINTS_WORD_PAIRS : GPUDL_POINTS_PAIRS;
    if (wide && job->n_planes == 1 && job->component_step[0] == 4 && is_multiple(job, 0, 4))
        return GPUDL_POINTS_QUADS;
    return words ? GPUDL_POINTS_WORDS : GPUDL_POINTS_PLANES;
}

static void set_points(GpudlPreprocJob *job, GpudlScaleMethod method)
{
    GpudlPreprocJobAxis *axes[] = {&job->x[0], &job->x[1], &job->y[0], &job->y[1]};

    if (method != GPUDL_SCALE_BILINEAR_ALIASED && (method != GPUDL_SCALE_BILINEAR || job->direct_taps != 2))
        return;
    for (int i = 0; i < 4; i++)
        if (axes[i]->hi > GPUDL_JOB_POINT_SAMPLES)
            return;
    for (int i = 0; i < 4; i++) {
        axes[i]->start = llrint(ldexp(axes[i]->first_centre - 0.5, GPUDL_JOB_POINT_BITS));
        axes[i]->step = llrint(ldexp(axes[i]->scale, GPUDL_JOB_POINT_BITS));
    }
    job->points = (uint8_t)find_points(job);
}

/* Samples that the windows of GPUDL_SHRINK_COLUMNS columns span, from a multiple of so many on; float32 may add one at
 * either end. */
static double most_span(const GpudlPreprocJobAxis *axis, GpudlScaleMethod method, int multiple)
{
    const double widen = fmax(axis->scale, 1.0);
    const double window = method == GPUDL_SCALE_AREA ? widen : method == GPUDL_SCALE_BILINEAR ? 2 * widen : 4 * widen;

    return ceil((GPUDL_SHRINK_COLUMNS - 1) * axis->scale + window) + 2 + multiple - 1;
}

static GpudlPreprocShrink find_shrink(const GpudlPreprocJob *job, GpudlScaleMethod method)
{
    if (job->direct_taps != 0 || job->word_mask != 0 ||
        (method != GPUDL_SCALE_BILINEAR && method != GPUDL_SCALE_BICUBIC && method != GPUDL_SCALE_AREA))
        return GPUDL_SHRINK_NONE;
    for (int p = 0; p < job->n_planes; p++)
        if (!is_multiple(job, p, 16))
            return GPUDL_SHRINK_NONE;
    if (job->component_step[0] != 1)
        return GPUDL_SHRINK_NONE;
    if (job->n_components == 1)
        return GPUDL_SHRINK_LUMA;
    if (!job->component_half_x[1])
        return GPUDL_SHRINK_NONE;
    return job->n_planes == 2 ? GPUDL_SHRINK_PAIRS : GPUDL_SHRINK_PLANES;
}

static void set_shrink(GpudlPreprocJob *job, GpudlScaleMethod method)
{
    const GpudlPreprocShrink shrink = find_shrink(job, method);
    const int multiple = shrink == GPUDL_SHRINK_PAIRS ? 8 : 16;

    if (shrink == GPUDL_SHRINK_NONE)
        return;
    for (int steps = 1; steps <= GPUDL_SHRINK_MOST_STEPS; steps++)
        if (most_span(&job->x[0], method, 16) <= steps * GPUDL_SHRINK_STEP &&
            (job->n_components == 1 ||
             most_span(&job->x[1], method, multiple) <= GPUDL_SHRINK_CHROMA_STEPS(steps) * GPUDL_SHRINK_STEP)) {
            job->shrink = (uint8_t)shrink;
            job->shrink_steps = (uint8_t)steps;
            return;
        }
}

GpudlPreprocShrink gpudl_preproc_jobs_shrink(const GpudlPreprocJob *jobs, int32_t count, int32_t *steps)
{
    GpudlPreprocShrink all = GPUDL_SHRINK_NONE;

    *steps = 1;
    for (int32_t i = 0; i < count; i++) {
        if (jobs[i].n_planes == 0)
            continue;
        if (jobs[i].shrink == GPUDL_SHRINK_NONE || (all != GPUDL_SHRINK_NONE && jobs[i].shrink != all))
            return GPUDL_SHRINK_NONE;
        all = (GpudlPreprocShrink)jobs[i].shrink;
        if (jobs[i].shrink_steps > *steps)
            *steps = jobs[i].shrink_steps;
    }
    return all == GPUDL_SHRINK_NONE ? GPUDL_SHRINK_LUMA : all;
}

int gpudl_preproc_jobs_are_points(const GpudlPreprocJob *jobs, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (jobs[i].n_planes != 0 && jobs[i].points == GPUDL_POINTS_NONE)
            return 0;
    return 1;
}

void gpudl_preproc_job_idle(GpudlPreprocJob *job)
{
    memset(job, 0, sizeof(*job));
}

const char *gpudl_preproc_job_fill(GpudlPreprocJob *job, const GpudlFrame *frame, const GpudlPreproc *pp)
{
    const GpudlPixelLayout *layout = gpudl_pixel_layout(frame->format);
    GpudlFrame readable = *frame;
    GpudlScaleMethod method;
    GpudlPreprocGeometry geometry;
    GpudlColorTransform color;
    int32_t row_bytes[4], rows[4];
    const char *fault;

    gpudl_preproc_job_idle(job);
    readable.memory = GPUDL_MEMORY_HOST; /* the checks are the same wherever the bytes are */
    fault = gpudl_preproc_fault(&readable, pp);
    if (fault != NULL)
        return fault;
    if (gpudl_preproc_geometry(frame, pp, &geometry) != 0)
        return "frame or network input without pixels";
    method = gpudl_preproc_method(frame, pp);
    gpudl_preproc_color(frame, pp, &color);
    gpudl_pixel_format_layout(frame->format, frame->width, frame->height, row_bytes, rows);
    set_axes(job, frame, pp, &geometry, layout);
    set_layout(job, layout);
    for (int p = 0; p < layout->n_planes; p++) {
        job->planes[p] = frame->planes[p];
        job->strides[p] = frame->strides[p];
        job->row_bytes[p] = row_bytes[p];
    }
    job->dst_x = geometry.dst_x;
    job->dst_y = geometry.dst_y;
    job->dst_width = geometry.dst_width;
    job->dst_height = geometry.dst_height;
    if (layout->depth > 8)
        job->word_mask = (uint16_t)(((1 << layout->depth) - 1) << layout->shift);
    for (int c = 0; c < pp->channels; c++) {
        for (int k = 0; k < 3; k++)
            job->matrix[c][k] = (float)(color.matrix[c][k] / (1 << layout->shift));
        job->offset[c] = (float)color.offset[c];
        job->gain[c] = (float)color.gain[c];
        job->bias[c] = (float)color.bias[c];
        job->pad[c] = (float)color.pad[c];
    }
    job->n_planes = (uint8_t)layout->n_planes;
    job->n_components = (uint8_t)layout->n_components;
    job->method = (uint8_t)method;
    job->direct_taps = method == GPUDL_SCALE_BICUBIC_BYTES ? 0 : direct_taps(job, method);
    set_points(job, method);
    set_shrink(job, method);
    return NULL;
}
