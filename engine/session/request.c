/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/session/session.h"
#include "kernels/preproc.h"

GpudlStream *gpudl_stream_new(GpudlSession *session)
{
    GpudlStream *stream = g_new0(GpudlStream, 1);

    stream->session = gpudl_session_ref(session);
    g_queue_init(&stream->queue);
    stream->ready_link.data = stream;
    return stream;
}

void gpudl_stream_free(GpudlStream *stream)
{
    if (!stream)
        return;
    g_return_if_fail(stream->n_requests == 0);
    gpudl_session_unref(stream->session);
    g_free(stream);
}

GpudlRequest *gpudl_request_new(GpudlStream *stream)
{
    GpudlSession *session = stream->session;
    GpudlRequest *request = g_new0(GpudlRequest, 1);
    guint most = 0;

    request->stream = stream;
    request->link.data = request;
    for (guint i = 0; i < session->n_heads; i++) {
        guint n = gpudl_model_get_n_classes(session->model, i);

        request->outputs[i] = g_new0(float, n);
        most = MAX(most, n);
    }
    request->sorted = g_new(GpudlClass, most);
    g_cond_init(&request->done);
    g_mutex_lock(&session->lock);
    stream->n_requests++;
    g_mutex_unlock(&session->lock);
    return request;
}

void gpudl_request_free(GpudlRequest *request)
{
    GpudlSession *session;

    if (!request)
        return;
    session = request->stream->session;
    g_mutex_lock(&session->lock);
    if (request->state == GPUDL_REQUEST_QUEUED || request->state == GPUDL_REQUEST_RUNNING) {
        g_mutex_unlock(&session->lock);
        g_critical("a request was freed that is still under way");
        return;
    }
    while (request->callbacks > 0)
        g_cond_wait(&request->done, &session->lock);
    request->stream->n_requests--;
    g_mutex_unlock(&session->lock);
    for (guint i = 0; i < session->n_heads; i++)
        g_free(request->outputs[i]);
    g_clear_error(&request->error);
    g_cond_clear(&request->done);
    g_free(request->sorted);
    g_free(request);
}

void gpudl_request_set_callback(GpudlRequest *request, GpudlRequestFunc func, gpointer user_data)
{
    GpudlSession *session = request->stream->session;

    g_mutex_lock(&session->lock);
    request->func = func;
    request->user_data = user_data;
    g_mutex_unlock(&session->lock);
}

/* ---- submitting -------------------------------------------------------------------------------------------------- */

const gchar *gpudl_frame_check(const GpudlFrame *frame)
{
    gint32 row_bytes[4] = {0}, rows[4] = {0};

    if (frame->width < 1 || frame->height < 1 || frame->width > GPUDL_LIMIT_FRAME_SIDE ||
        frame->height > GPUDL_LIMIT_FRAME_SIDE)
        return "frame sides must be 1..32768 pixels";
    if (frame->memory != GPUDL_MEMORY_HOST && frame->memory != GPUDL_MEMORY_CUDA)
        return "unknown kind of memory";
    if (gpudl_pixel_format_layout(frame->format, frame->width, frame->height, row_bytes, rows) <= 0)
        return "unknown pixel format";
    for (guint i = 0; i < 4 && rows[i] > 0; i++) {
        if (!frame->planes[i])
            return "a plane of the frame has no address";
        if (frame->strides[i] < row_bytes[i])
            return "a stride is shorter than the row";
    }
    if ((guint)frame->matrix > GPUDL_MATRIX_LAST || (guint)frame->range > GPUDL_RANGE_FULL ||
        (guint)frame->chroma_site > GPUDL_CHROMA_COSITED)
        return "unknown colour matrix, range or chroma site";
    if (frame->par_n < 0 || frame->par_d < 0)
        return "the pixel aspect ratio is negative";
    if (frame->crop_width == 0)
        return NULL;
    if (frame->crop_x < 0 || frame->crop_y < 0 || frame->crop_width < 0 || frame->crop_height < 1 ||
        frame->crop_x > frame->width - frame->crop_width || frame->crop_y > frame->height - frame->crop_height)
        return "the crop rectangle is not inside the frame";
    return NULL;
}

static gboolean check_frame(GpudlSession *session, const GpudlFrame *frame, const GpudlPreproc *pp, GError **error)
{
    const GpudlPreproc *own = &session->model->preproc;
    const gchar *wrong = gpudl_frame_check(frame);

    if (!wrong)
        wrong = gpudl_preproc_check(pp);
    if (wrong) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "frame refused: %s", wrong);
        return FALSE;
    }
    if (pp->width != own->width || pp->height != own->height || pp->channels != own->channels) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "pre-processing makes %dx%dx%d (channels, height, width), the network takes %dx%dx%d", pp->channels,
                    pp->height, pp->width, own->channels, own->height, own->width);
        return FALSE;
    }
    if (!(session->info.memory_kinds & (1u << frame->memory))) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "backend '%s' takes no frames in %s memory",
                    session->backend->name, frame->memory == GPUDL_MEMORY_CUDA ? "CUDA" : "system");
        return FALSE;
    }
    return TRUE;
}

/* What is left to do is the same for frames and values. */
static gboolean submit(GpudlRequest *request, const GpudlFrame *frame, const GpudlPreproc *pp, const float *values,
                       GError **error)
{
    GpudlSession *session = request->stream->session;
    gboolean queued = FALSE;

    g_mutex_lock(&session->lock);
    if (request->state == GPUDL_REQUEST_QUEUED || request->state == GPUDL_REQUEST_RUNNING) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "the request is still under way");
    } else if (session->dead) {
        g_propagate_error(error, g_error_copy(session->dead));
    } else {
        request->has_frame = frame != NULL;
        if (frame) {
            request->frame = *frame;
            request->preproc = *pp;
        }
        request->values = values;
        g_clear_error(&request->error);
        request->state = GPUDL_REQUEST_QUEUED;
        request->timing = (GpudlTiming){.submitted = g_get_monotonic_time() * 1000};
        gpudl_scheduler_queue(session, request);
        queued = TRUE;
    }
    g_mutex_unlock(&session->lock);
    return queued;
}

gboolean gpudl_request_submit(GpudlRequest *request, const GpudlFrame *frame, const GpudlPreproc *preproc,
                              GError **error)
{
    GpudlSession *session = request->stream->session;
    const GpudlPreproc *pp = preproc ? preproc : &session->model->preproc;

    return check_frame(session, frame, pp, error) && submit(request, frame, pp, NULL, error);
}

gboolean gpudl_request_submit_tensor(GpudlRequest *request, const float *values, GError **error)
{
    if (!values) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "no values were given");
        return FALSE;
    }
    return submit(request, NULL, NULL, values, error);
}

void gpudl_request_cancel(GpudlRequest *request)
{
    GpudlSession *session = request->stream->session;

    g_mutex_lock(&session->lock);
    if (request->state == GPUDL_REQUEST_QUEUED)
        gpudl_scheduler_cancel(session, request);
    g_mutex_unlock(&session->lock);
}

gboolean gpudl_request_wait(GpudlRequest *request, GError **error)
{
    GpudlSession *session = request->stream->session;
    gboolean good;

    g_mutex_lock(&session->lock);
    while (request->state == GPUDL_REQUEST_QUEUED || request->state == GPUDL_REQUEST_RUNNING)
        g_cond_wait(&request->done, &session->lock);
    good = request->error == NULL;
    if (!good)
        g_propagate_error(error, g_error_copy(request->error));
    g_mutex_unlock(&session->lock);
    return good;
}

gboolean gpudl_request_is_done(GpudlRequest *request)
{
    GpudlSession *session = request->stream->session;
    gboolean done;

    g_mutex_lock(&session->lock);
    done = request->state == GPUDL_REQUEST_IDLE || request->state == GPUDL_REQUEST_DONE;
    g_mutex_unlock(&session->lock);
    return done;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

const float *gpudl_request_get_scores(GpudlRequest *request, guint head)
{
    g_return_val_if_fail(head < request->stream->session->n_heads, NULL);
    if (request->state != GPUDL_REQUEST_DONE || request->error)
        return NULL;
    return request->outputs[head];
}

const GpudlTiming *gpudl_request_get_timing(GpudlRequest *request)
{
    return &request->timing;
}

/* Of two that are above a threshold, which no NaN is. */
static gboolean better(GpudlClass a, GpudlClass b)
{
    return a.confidence != b.confidence ? a.confidence > b.confidence : a.id < b.id;
}

static int by_confidence(const void *a, const void *b)
{
    return better(*(const GpudlClass *)a, *(const GpudlClass *)b) ? -1 : 1;
}

guint gpudl_request_top_k(GpudlRequest *request, guint head, guint k, float threshold, GpudlClass *out)
{
    const float *scores = gpudl_request_get_scores(request, head);
    GpudlClass *best = request->sorted;
    guint n, found = 0;

    if (!scores)
        return 0;
    n = gpudl_model_get_n_classes(request->stream->session->model, head);
    if (k == 0 || k > n)
        k = n;
    if (k > 64) {
        for (guint i = 0; i < n; i++)
            if (scores[i] >= threshold)
                best[found++] = (GpudlClass){i, scores[i]};
        qsort(best, found, sizeof *best, by_confidence);
        found = MIN(found, k);
    } else {
        for (guint i = 0; i < n; i++) {
            GpudlClass c = {i, scores[i]};
            guint at;

            if (!(c.confidence >= threshold) || (found == k && !better(c, best[found - 1])))
                continue;
            for (at = found < k ? found++ : found - 1; at > 0 && better(c, best[at - 1]); at--)
                best[at] = best[at - 1];
            best[at] = c;
        }
    }
    memcpy(out, best, found * sizeof *out);
    return found;
}
