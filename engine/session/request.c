/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/session/session.h"
#include "engine/structs.h"
#include "kernels/preproc.h"

/* What has no threads here, or a lock that nobody will let go. */
static gboolean is_inherited(const GpudlRequest *request)
{
    return gpudl_session_is_inherited(request->stream->session);
}

gboolean gpudl_session_check(const GpudlSession *session, GError **error)
{
    if (!gpudl_session_is_inherited(session))
        return TRUE;
    g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_DEVICE,
                        "the session belongs to the process that forked this one: acquire one here");
    return FALSE;
}

static gboolean is_under_way(const GpudlRequest *request)
{
    return request->state != GPUDL_REQUEST_IDLE && request->state != GPUDL_REQUEST_DONE;
}

static gboolean is_same_network(GpudlModel *a, GpudlModel *b)
{
    if (a == b)
        return TRUE;
    if (a->preproc.width != b->preproc.width || a->preproc.height != b->preproc.height ||
        a->preproc.channels != b->preproc.channels || gpudl_model_get_n_heads(a) != gpudl_model_get_n_heads(b))
        return FALSE;
    for (guint i = 0; i < gpudl_model_get_n_heads(a); i++)
        if (gpudl_model_get_n_classes(a, i) != gpudl_model_get_n_classes(b, i))
            return FALSE;
    return TRUE;
}

GpudlStream *gpudl_stream_new(GpudlSession *session, GpudlModel *model)
{
    GpudlStream *stream;

    g_return_val_if_fail(is_same_network(session->model, model), NULL);
    stream = g_new0(GpudlStream, 1);
    stream->session = gpudl_session_ref(session);
    stream->model = gpudl_model_ref(model);
    g_queue_init(&stream->queue);
    stream->ready_link.data = stream;
    return stream;
}

void gpudl_stream_free(GpudlStream *stream)
{
    guint n_requests;

    if (!stream)
        return;
    if (!gpudl_session_is_inherited(stream->session)) {
        g_mutex_lock(&stream->session->lock);
        n_requests = stream->n_requests;
        g_mutex_unlock(&stream->session->lock);
        g_return_if_fail(n_requests == 0);
    }
    gpudl_session_unref(stream->session);
    gpudl_model_unref(stream->model);
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
    if (gpudl_session_is_inherited(session))
        return request;
    g_mutex_lock(&session->lock);
    stream->n_requests++;
    g_mutex_unlock(&session->lock);
    return request;
}

void gpudl_request_free(GpudlRequest *request)
{
    GpudlSession *session;

    if (!request || is_inherited(request))
        return;
    session = request->stream->session;
    g_mutex_lock(&session->lock);
    if (is_under_way(request)) {
        g_mutex_unlock(&session->lock);
        g_critical("a request was freed that is still under way");
        return;
    }
    while (request->callbacks > 0)
        g_cond_wait(&request->done, &session->lock);
    request->stream->n_requests--;
    g_mutex_unlock(&session->lock);
    if (request->held)
        return;
    if (request->ticket)
        session->backend->ticket_free(session->engine, request->ticket);
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

    if (is_inherited(request))
        return;
    g_mutex_lock(&session->lock);
    request->func = func;
    request->user_data = user_data;
    g_mutex_unlock(&session->lock);
}

/* ---- submitting -------------------------------------------------------------------------------------------------- */

static const gchar *check_pixels(const GpudlFrame *frame)
{
    gint32 row_bytes[4] = {0}, rows[4] = {0};

    if (frame->width < 1 || frame->height < 1 || frame->width > GPUDL_LIMIT_FRAME_SIDE ||
        frame->height > GPUDL_LIMIT_FRAME_SIDE)
        return "frame sides must be 1..32768 pixels";
    if ((guint)frame->memory > GPUDL_MEMORY_LAST)
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

const gchar *gpudl_frame_check(const GpudlFrame *frame)
{
    GpudlFrame known;

    if (!gpudl_struct_take(&known, sizeof known, frame, GPUDL_FRAME_FIRST_SIZE, "GpudlFrame", NULL))
        return "struct_size is not sizeof(GpudlFrame)";
    return check_pixels(&known);
}

gboolean gpudl_preproc_get_region(const GpudlPreproc *preproc, const GpudlFrame *frame, gdouble region[4])
{
    GpudlPreprocGeometry geometry;
    GpudlPreproc known_preproc;
    GpudlFrame known;

    region[0] = region[1] = 0;
    region[2] = region[3] = 1;
    if (!gpudl_struct_take(&known, sizeof known, frame, GPUDL_FRAME_FIRST_SIZE, "GpudlFrame", NULL) ||
        !gpudl_struct_take(&known_preproc, sizeof known_preproc, preproc, GPUDL_PREPROC_FIRST_SIZE, "GpudlPreproc",
                           NULL) ||
        known.width < 1 || known.height < 1 || gpudl_preproc_geometry(&known, &known_preproc, &geometry) != 0)
        return FALSE;
    region[0] = geometry.src_x / known.width;
    region[1] = geometry.src_y / known.height;
    region[2] = geometry.src_width / known.width;
    region[3] = geometry.src_height / known.height;
    return TRUE;
}

static gboolean check_frame(GpudlSession *session, const GpudlFrame *frame, const GpudlPreproc *pp, GError **error)
{
    static const gchar *const memories[] = {"system", "CUDA", "pinned"};
    const GpudlPreproc *own = &session->model->preproc;
    const gchar *wrong = check_pixels(frame);

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
    if (!gpudl_session_accepts_memory(session, frame->memory)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "backend '%s' takes no frames in %s memory",
                    session->backend->name, memories[frame->memory]);
        return FALSE;
    }
    return TRUE;
}

/* From the owner's hands: it is STAGING, or still the owner's with an error. Under the lock. */
static gboolean begin(GpudlSession *session, GpudlRequest *request, GError **error)
{
    if (is_under_way(request)) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "the request is still under way");
        return FALSE;
    }
    if (session->dead) {
        g_propagate_error(error, g_error_copy(session->dead));
        return FALSE;
    }
    g_clear_error(&request->error);
    request->cancelled = FALSE;
    request->state = GPUDL_REQUEST_STAGING;
    request->timing = (GpudlTiming){.submitted = g_get_monotonic_time() * 1000};
    return TRUE;
}

/* The lock is not held. */
static gboolean stage(GpudlSession *session, GpudlRequest *request, GError **error)
{
    GpudlFault fault = {""};
    GpudlStatus status;

    if (!session->backend->stage)
        return TRUE;
    status = session->backend->stage(session->engine, &request->ticket, request->has_frame ? &request->frame : NULL,
                                     request->values, &fault);
    request->staged = status == GPUDL_STATUS_OK;
    if (request->staged)
        return TRUE;
    gpudl_set_fault(error, status, &fault, session->backend->name);
    if (status == GPUDL_STATUS_DEVICE) {
        GError *death = NULL;

        gpudl_set_fault(&death, status, &fault, session->backend->name);
        g_mutex_lock(&session->lock);
        gpudl_scheduler_die(session, death);
        g_mutex_unlock(&session->lock);
    }
    return FALSE;
}

/* Back to the owner, not queued: what went wrong while it was being staged. Under the lock, which is let go
 * meanwhile. */
static void give_back(GpudlSession *session, GpudlRequest *request, const GError *error)
{
    if (request->staged) {
        g_mutex_unlock(&session->lock);
        session->backend->unstage(session->engine, request->ticket);
        request->staged = FALSE;
        g_mutex_lock(&session->lock);
    }
    request->error = g_error_copy(error);
    request->state = GPUDL_REQUEST_DONE;
    g_cond_broadcast(&request->done);
}

/* What request->frame, preproc and values say is put on its way. */
static gboolean submit(GpudlRequest *request, GError **error)
{
    GpudlSession *session = request->stream->session;
    GError *failure = NULL;
    gboolean staged = stage(session, request, &failure);

    g_mutex_lock(&session->lock);
    if (staged && session->dead)
        failure = g_error_copy(session->dead);
    if (failure)
        give_back(session, request, failure);
    else if (request->cancelled)
        gpudl_scheduler_withdraw(session, request,
                                 g_error_new_literal(GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "the request was cancelled"));
    else
        gpudl_scheduler_queue(session, request);
    g_mutex_unlock(&session->lock);
    if (!failure)
        return TRUE;
    g_propagate_error(error, failure);
    return FALSE;
}

gboolean gpudl_request_submit(GpudlRequest *request, const GpudlFrame *frame, const GpudlPreproc *preproc,
                              GError **error)
{
    GpudlSession *session = request->stream->session;
    GpudlFrame known_frame;
    GpudlPreproc known_preproc;

    if (!gpudl_session_check(session, error))
        return FALSE;
    if (!preproc)
        preproc = &request->stream->model->preproc;
    if (!gpudl_struct_take(&known_frame, sizeof known_frame, frame, GPUDL_FRAME_FIRST_SIZE, "GpudlFrame", error) ||
        !gpudl_struct_take(&known_preproc, sizeof known_preproc, preproc, GPUDL_PREPROC_FIRST_SIZE, "GpudlPreproc",
                           error) ||
        !check_frame(session, &known_frame, &known_preproc, error))
        return FALSE;
    g_mutex_lock(&session->lock);
    if (!begin(session, request, error)) {
        g_mutex_unlock(&session->lock);
        return FALSE;
    }
    request->has_frame = TRUE;
    request->frame = known_frame;
    request->preproc = known_preproc;
    request->values = NULL;
    g_mutex_unlock(&session->lock);
    return submit(request, error);
}

gboolean gpudl_request_submit_tensor(GpudlRequest *request, const float *values, GError **error)
{
    GpudlSession *session = request->stream->session;

    if (!values) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT, "no values were given");
        return FALSE;
    }
    if (!gpudl_session_check(session, error))
        return FALSE;
    g_mutex_lock(&session->lock);
    if (!begin(session, request, error)) {
        g_mutex_unlock(&session->lock);
        return FALSE;
    }
    request->has_frame = FALSE;
    request->values = values;
    g_mutex_unlock(&session->lock);
    return submit(request, error);
}

void gpudl_request_cancel(GpudlRequest *request)
{
    GpudlSession *session = request->stream->session;

    if (is_inherited(request))
        return;
    g_mutex_lock(&session->lock);
    if (request->state == GPUDL_REQUEST_STAGING)
        request->cancelled = TRUE;
    else if (request->state == GPUDL_REQUEST_QUEUED)
        gpudl_scheduler_withdraw(session, request,
                                 g_error_new_literal(GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "the request was cancelled"));
    g_mutex_unlock(&session->lock);
}

gboolean gpudl_request_wait(GpudlRequest *request, GError **error)
{
    GpudlSession *session = request->stream->session;
    gboolean good;

    if (!gpudl_session_check(session, error))
        return FALSE;
    g_mutex_lock(&session->lock);
    while (is_under_way(request))
        g_cond_wait(&request->done, &session->lock);
    good = request->error == NULL;
    if (!good)
        g_propagate_error(error, g_error_copy(request->error));
    g_mutex_unlock(&session->lock);
    return good;
}

gboolean gpudl_request_is_lost(GpudlRequest *request)
{
    GpudlSession *session = request->stream->session;
    gboolean lost;

    if (is_inherited(request))
        return FALSE;
    g_mutex_lock(&session->lock);
    lost = request->lost;
    g_mutex_unlock(&session->lock);
    return lost;
}

gboolean gpudl_request_is_done(GpudlRequest *request)
{
    GpudlSession *session = request->stream->session;
    gboolean done;

    if (is_inherited(request))
        return TRUE;
    g_mutex_lock(&session->lock);
    done = !is_under_way(request);
    g_mutex_unlock(&session->lock);
    return done;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

const float *gpudl_request_get_scores(GpudlRequest *request, guint head)
{
    GpudlSession *session = request->stream->session;
    const float *scores = NULL;

    g_return_val_if_fail(head < session->n_heads, NULL);
    if (is_inherited(request))
        return NULL;
    g_mutex_lock(&session->lock);
    if (request->state == GPUDL_REQUEST_DONE && !request->error)
        scores = request->outputs[head];
    g_mutex_unlock(&session->lock);
    return scores;
}

/* NaN and +infinity; without branches, so that it is vectors that are compared. */
static guint count_not_finite(const float *scores, guint n)
{
    guint bad = 0, finite = 0;

    for (guint i = 0; i < n; i++) {
        bad += !(scores[i] < INFINITY);
        finite += scores[i] > -INFINITY;
    }
    return finite > 0 ? bad : n;
}

gboolean gpudl_request_check_scores(GpudlRequest *request, guint head, GError **error)
{
    const float *scores = gpudl_request_get_scores(request, head);
    GpudlModel *model = request->stream->session->model;
    guint n, bad, first = 0;

    if (!scores) {
        g_set_error_literal(error, GPUDL_ERROR, GPUDL_ERROR_FAILED,
                            "the request has no scores: it failed or has not run");
        return FALSE;
    }
    n = gpudl_model_get_n_classes(model, head);
    bad = count_not_finite(scores, n);
    if (bad == 0)
        return TRUE;
    while (bad < n && scores[first] < INFINITY) /* where all are, it is the first in any case */
        first++;
    g_set_error(
        error, GPUDL_ERROR, GPUDL_ERROR_NOT_FINITE,
        "output '%s': %u of %u scores are no finite numbers, the first is class %u: %s (are the weights damaged, "
        "or mean, std and pixel scale not the network's?)",
        gpudl_model_get_head_name(model, head), bad, n, first,
        isnan(scores[first]) ? "nan"
        : scores[first] > 0  ? "inf"
                             : "-inf");
    return FALSE;
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
