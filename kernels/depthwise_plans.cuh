/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cuts a problem can have, and which may be the fastest. */
#ifndef GPUDL_KERNELS_DEPTHWISE_PLANS_CUH
#define GPUDL_KERNELS_DEPTHWISE_PLANS_CUH

#include "depthwise_cuda.h"
#include "depthwise_march.cuh"

/** Of a thread: channels, columns, rows (0: any number, in a loop); the largest window it has registers for. */
struct GpudlMarchForm {
    int v, w, rows, largest;
};

/** X(number, v, w, rows, largest) */
#define GPUDL_MARCH_FORMS(X)                                                                                           \
    X(1, 2, 4, 0, 7)                                                                                                   \
    X(2, 4, 2, 0, 5)                                                                                                   \
    X(3, 2, 7, 0, 5)                                                                                                   \
    X(4, 1, 4, 0, 7)                                                                                                   \
    X(5, 2, 2, 2, 7)                                                                                                   \
    X(6, 4, 2, 2, 3)
#define GPUDL_MARCH_FORM(number, v, w, rows, largest) {v, w, rows, largest},

static const GpudlMarchForm gpudl_march_forms[] = {{0, 0, 0, 0}, GPUDL_MARCH_FORMS(GPUDL_MARCH_FORM)};

#define GPUDL_MARCH_FORM_COUNT (int)(sizeof(gpudl_march_forms) / sizeof(*gpudl_march_forms))

/** Whether positions, in strips beyond the end and in padding too, can be counted in 32 bits. */
template <class T> static inline bool gpudl_march_counts(const GpudlDepthwise<T> &p)
{
    const int64_t most = INT32_MAX, line = p.xs.w * p.xs.pitch, far = 64; /* more than a strip's columns and taps */

    return p.xs.pitch <= most / 64 && p.ys.pitch <= most / 64 && line <= most && p.pad_h <= most / 4 &&
           p.pad_w <= most / 4 && p.xs.w <= most / 4 && p.xs.h <= most / 4 &&
           ((int64_t)p.ys.w + far) * p.stride_w <= most / 4 && ((int64_t)p.ys.h + far) * p.stride_h <= most / 4 &&
           ((int64_t)p.ys.h + far) * ((int64_t)p.ys.w + far) <= most &&
           (int64_t)p.ys.n * p.xs.c <= most / (((int64_t)p.ys.h + far) * ((int64_t)p.ys.w + far)) &&
           (int64_t)p.r * p.s * p.xs.c <= most;
}

template <class T> static inline bool gpudl_can_march(const GpudlDepthwise<T> &p)
{
    return p.r == p.s && (p.r == 3 || p.r == 5 || p.r == 7) && p.stride_h == p.stride_w && p.stride_h <= 2 &&
           p.dilation_h == 1 && p.dilation_w == 1 && gpudl_is_quick_act(p.act.kind) && gpudl_march_counts(p);
}

template <class T> static inline bool gpudl_has_vectors(const GpudlDepthwise<T> &p, int v)
{
    const uintptr_t places = (uintptr_t)p.x | (uintptr_t)p.y | (uintptr_t)p.w;

    return p.xs.c % v == 0 && p.xs.pitch % v == 0 && p.ys.pitch % v == 0 && places % (2 * (uintptr_t)v) == 0;
}

/** Whether a plan, which may come from a file, is one of this problem's. */
template <class T> static inline bool gpudl_march_fits(const GpudlDepthwise<T> &p, const GpudlDepthwisePlan *plan)
{
    const GpudlMarchForm *form =
        &gpudl_march_forms[plan->form > 0 && plan->form < GPUDL_MARCH_FORM_COUNT ? plan->form : 0];

    return form->v > 0 && p.r <= form->largest && gpudl_can_march(p) && gpudl_has_vectors(p, form->v) &&
           (form->rows > 0 ? plan->rows == form->rows : plan->rows >= 1 && plan->rows <= p.ys.h);
}

/** Instructions that a multiprocessor's fourth issues, about; and what a thread waits for. */
template <class T>
static inline double gpudl_march_cost(const GpudlDepthwise<T> &p, const GpudlDepthwisePlan *plan, int processors)
{
    const GpudlMarchForm *form = &gpudl_march_forms[plan->form];
    const int k = p.r, v = form->v, w = form->w, stride = p.stride_h, lines = (plan->rows - 1) * stride + k;
    const int64_t strips = gpudl_divide_up(p.ys.w, w) * gpudl_divide_up(p.ys.h, plan->rows);
    const int64_t blocks = gpudl_divide_up(p.ys.n * strips * (p.xs.c / v), GPUDL_MARCH_THREADS);
    const double sums = (double)plan->rows * k * k * w * v;
    const double moves = lines * (((w - 1) * stride + k) * (4. + v)) + plan->rows * w * (6. + v) + 3. * k * k + 80;
    const double looped = form->rows > 0 ? 0 : (plan->rows + k) * (10. + k * w * v);
    const double alone = 2 * (sums + moves + looped) + (form->rows > 0 ? 800. : 300. * lines + 500);
    const double together = (double)gpudl_divide_up(blocks, processors) * (sums + moves + looped);

    return alone > together ? alone : together;
}

/** Up to room plans, the one that is thought to be the fastest first. */
template <class T>
static inline int gpudl_march_plans(const GpudlDepthwise<T> &p, int processors, GpudlDepthwisePlan *plans, int room)
{
    double costs[GPUDL_DEPTHWISE_PLANS];
    int n = 0;

    for (int form = 1; form < GPUDL_MARCH_FORM_COUNT; form++) {
        int last = 0;

        for (int parts = 1; parts <= 64; parts *= 2) {
            const int wanted = (int)gpudl_divide_up(p.ys.h, parts);
            const int rows = gpudl_march_forms[form].rows > 0 ? gpudl_march_forms[form].rows : wanted;
            const GpudlDepthwisePlan plan = {form, rows};
            double cost;
            int at = n;

            if (rows == last || !gpudl_march_fits(p, &plan))
                continue;
            last = rows;
            cost = gpudl_march_cost(p, &plan, processors);
            while (at > 0 && costs[at - 1] > cost)
                at--;
            if (at == room)
                continue;
            n = n < room ? n + 1 : n;
            for (int i = n - 1; i > at; i--) {
                plans[i] = plans[i - 1];
                costs[i] = costs[i - 1];
            }
            plans[at] = plan;
            costs[at] = cost;
        }
    }
    return n;
}

#endif
