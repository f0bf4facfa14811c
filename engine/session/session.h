/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of sessions, streams and requests: what session.c (life), scheduler.c (threads and queues) and request.c (one
 * frame) share. Not installed.
 */
#ifndef GPUDL_ENGINE_SESSION_SESSION_H
#define GPUDL_ENGINE_SESSION_SESSION_H

#include "engine/backend.h"
#include "engine/gpudl.h"
#include "engine/model.h"
#include "engine/plan.h"

G_BEGIN_DECLS

/** Most heads of a model that a session takes. */
#define GPUDL_MAX_HEADS 16

typedef enum {
    GPUDL_REQUEST_IDLE = 0,
    GPUDL_REQUEST_QUEUED,
    GPUDL_REQUEST_RUNNING,
    GPUDL_REQUEST_DONE
} GpudlRequestState;

struct _GpudlRequest {
    GpudlStream *stream;
    GList link;              /* in stream->queue; link.data is the request */
    GpudlRequestState state; /* under session->lock, as all of the below while QUEUED or RUNNING */
    gboolean has_frame;
    GpudlFrame frame;
    GpudlPreproc preproc;
    const float *values;
    float *outputs[GPUDL_MAX_HEADS]; /* owned; written by the backend */
    GError *error;                   /* of the last run, or NULL */
    GpudlTiming timing;
    GCond done;      /* state became DONE, or callbacks became 0 */
    guint callbacks; /* calls of func still to come or under way */
    GpudlRequestFunc func;
    gpointer user_data;
    GpudlClass *sorted; /* room for the classes of the largest head */
};

struct _GpudlStream {
    GpudlSession *session;
    GQueue queue;     /* of requests QUEUED, oldest first */
    GList ready_link; /* in session->ready while the queue is not empty; data is the stream */
    guint n_requests;
};

/** Frames of one execution. */
typedef struct {
    guint32 slot;
    guint n;
    GpudlRequest **requests; /* max_batch entries */
    GpudlJob *jobs;
} GpudlExecution;

typedef enum { GPUDL_SESSION_LOADING = 0, GPUDL_SESSION_READY, GPUDL_SESSION_FAILED } GpudlSessionState;

struct _GpudlSession {
    /* session.c; under the registry's lock */
    guint refs;
    gchar *key;
    gboolean listed;
    GpudlSessionState state;
    GError *load_error;
    GCancellable *cancellable; /* of who loads */

    GpudlModel *model;
    GpudlPlanner *planner;
    GpudlHost host;
    const GpudlBackend *backend;
    GpudlOpenParams params;
    GpudlEngineInfo info;
    void *engine;
    guint n_heads;

    /* scheduler.c */
    GMutex lock;
    GCond work; /* something to take, a slot free, or quit */
    GCond in_flight_work;
    GQueue ready;               /* streams with queued requests, next one first */
    GQueue cancelled;           /* requests whose callback is due */
    GQueue in_flight;           /* asynchronous: GpudlExecution* submitted, oldest first */
    GQueue free_slots;          /* asynchronous: GpudlExecution* */
    GpudlExecution *executions; /* n_slots */
    GPtrArray *threads;         /* GThread* */
    gboolean quit;
    GError *dead; /* DEVICE: nothing runs any more */
};

/** Starts the session's threads; engine and info are there. NO_MEMORY if the system has no thread left; then, too,
 * gpudl_scheduler_stop() cleans up. */
gboolean gpudl_scheduler_start(GpudlSession *session, GError **error);
/** Joins them; no request may be queued or running. */
void gpudl_scheduler_stop(GpudlSession *session);
/** Queues a request in state QUEUED; under the lock. */
void gpudl_scheduler_queue(GpudlSession *session, GpudlRequest *request);
/** Takes a QUEUED request out and finishes it as CANCELLED; under the lock. */
void gpudl_scheduler_cancel(GpudlSession *session, GpudlRequest *request);

/** Takes a session whose device failed out of the registry, so that the next acquire makes a new one. The session's
 * lock may be held: it comes before the registry's. */
void gpudl_session_unlist(GpudlSession *session);

/** Finds a backend by name, or for "auto"/NULL the first usable of cuda, cpu. Modules stay loaded. INVALID_ARGUMENT for
 * an unknown name, BACKEND, or what the module's probe says (NO_DEVICE). */
const GpudlBackend *gpudl_backend_find(const gchar *name, gint device_id, GError **error);

/** GError of a module's fault; prefix is put before the message. */
void gpudl_set_fault(GError **error, GpudlStatus status, const GpudlFault *fault, const gchar *prefix);

G_END_DECLS
#endif
