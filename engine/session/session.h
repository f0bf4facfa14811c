/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of sessions, streams and requests: what session.c (life and registry), host.c (what modules call), scheduler.c
 * (threads and queues) and request.c (one frame) share. Not installed.
 *
 * Lock order: session->lock, then the registry's (session.c) or the devices' (device.c); of these two none is taken
 * while the other is held. None of them is held while a module, a callback, or a GCancellable's handler runs.
 */
#ifndef GPUDL_ENGINE_SESSION_SESSION_H
#define GPUDL_ENGINE_SESSION_SESSION_H

#include "engine/backend.h"
#include "engine/gpudl.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "engine/session/batches.h"
#include "engine/session/device.h"

G_BEGIN_DECLS

/** Most heads of a model that a session takes. */
#define GPUDL_MAX_HEADS 16

/**
 * IDLE, DONE: the owner's. STAGING: the owner's thread is in submit(), the lock let go. QUEUED: in its stream's queue.
 * RUNNING: in an execution. LEAVING: taken out of the queue, about to be DONE; some thread unstages it, the lock let
 * go.
 */
typedef enum {
    GPUDL_REQUEST_IDLE = 0,
    GPUDL_REQUEST_STAGING,
    GPUDL_REQUEST_QUEUED,
    GPUDL_REQUEST_RUNNING,
    GPUDL_REQUEST_LEAVING,
    GPUDL_REQUEST_DONE
} GpudlRequestState;

struct _GpudlRequest {
    GpudlStream *stream;
    float *outputs[GPUDL_MAX_HEADS]; /* owned; written by the backend while RUNNING */
    GpudlClass *sorted;              /* room for the classes of the largest head; the owner's */

    /* under session->lock; what is said of a run is the owner's while IDLE or DONE */
    GpudlRequestState state;
    GList link;         /* in stream->queue while QUEUED; link.data is the request */
    gboolean cancelled; /* while STAGING: not to be queued */
    gboolean has_frame;
    GpudlFrame frame;
    GpudlPreproc preproc;
    const float *values;
    void *ticket;    /* the module's, from the first stage() on */
    gboolean staged; /* unstage() is due */
    gboolean held;   /* a device that never answered still has the request's memory */
    gboolean lost;   /* ... and its pixels */
    GError *error;   /* of the last run, or NULL */
    GpudlTiming timing;
    GCond done;      /* state became DONE, or callbacks became 0 */
    guint callbacks; /* calls of func still to come or under way */
    GpudlRequestFunc func;
    gpointer user_data;
};

struct _GpudlStream {
    GpudlSession *session;
    GpudlModel *model;

    /* under session->lock */
    GQueue queue;     /* of requests QUEUED, oldest first */
    GList ready_link; /* in session->ready while the queue is not empty; data is the stream */
    guint n_requests;
};

/** Frames of one execution. Under session->lock, but while its slot is under way: then its thread's. */
typedef struct {
    GpudlSession *session;
    GList link; /* asynchronous: in free_slots, or in_flight; data is the execution */
    guint32 slot;
    guint n;
    GpudlRequest **requests; /* max_batch entries */
    GpudlJob *jobs;
} GpudlExecution;

/** Something to be done on a slot between executions, by the thread whose slot it is. */
typedef struct {
    GpudlStatus (*func)(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault);
    gpointer data;
    GpudlStatus status;
    GpudlFault fault;
    gboolean done;
} GpudlErrand;

typedef enum { GPUDL_SESSION_LOADING = 0, GPUDL_SESSION_READY, GPUDL_SESSION_FAILED } GpudlSessionState;

struct _GpudlSession {
    /* under the registry's lock */
    guint refs;
    gchar *key;
    gboolean listed;
    GpudlSessionState state;
    gboolean strays; /* READY or FAILED: its precision moves the model's golden sample, which "auto" does not take */
    GError *load_error;

    /* fixed before open() */
    GpudlModel *model;
    GpudlDevice *device;
    GpudlPlanner *planner; /* the model's */
    GpudlHost host;
    const GpudlBackend *backend;
    GpudlOpenParams params; /* resolved */
    guint64 limit;          /* of memory, of who loads it */
    guint64 timeout_ns;
    guint generation;          /* of the process that made it */
    gint loading;              /* atomic: open() runs */
    gint closing;              /* atomic: scheduler_stop() has begun */
    GCancellable *cancellable; /* of who loads; read while loading */
    GpudlProgressFunc progress;
    gpointer progress_data;
    gchar *cache_dir;   /* params.cache_dir */
    GPtrArray *missing; /* while forecast() runs: what it names */

    /* fixed once it is READY */
    void *engine;
    guint n_heads;
    guint n_slots, max_batch;
    guint memory_kinds;
    GPtrArray *threads; /* GThread* */

    GMutex lock;          /* all below */
    gboolean opened;      /* info and batches are there */
    gboolean early;       /* changed() came before: tuned is what it said */
    GpudlEngineInfo info; /* what changed() leaves alone is fixed once it is READY */
    GpudlEngineInfo tuned;
    GpudlBatches batches;
    GCond work; /* something to take, a slot free, or quit */
    GCond in_flight_work;
    GCond errand_done, thread_ended;
    GQueue ready;               /* streams with queued requests, next one first */
    guint n_queued;             /* requests in them */
    GQueue cancelled;           /* requests whose callback is due */
    GQueue in_flight;           /* asynchronous: GpudlExecution* submitted, oldest first */
    GQueue free_slots;          /* asynchronous: GpudlExecution* */
    GQueue errands;             /* GpudlErrand*, oldest first */
    gint64 busy_since;          /* asynchronous: the submitter is in the module, g_get_monotonic_time(); 0: it is not */
    GpudlExecution *submitting; /* what for, or NULL */
    gboolean idle_due;          /* asynchronous: idle() has something to do, */
    gint64 idle_from;           /* from then on, g_get_monotonic_time() */
    GCond settling;             /* idle_due, dead, abandoned or what follows has changed */
    double idle_done;           /* what idle() has told, and that it has */
    gchar idle_what[64];
    gboolean idle_told;
    GError *idle_error;         /* why idle() is not called any more, or NULL */
    GpudlExecution *executions; /* n_slots */
    guint n_running;            /* threads that have not ended */
    gboolean quit;
    GError *dead;       /* DEVICE: nothing is submitted any more */
    gboolean abandoned; /* a slot never came back: no call on the engine any more */
};

/** TRUE in a child of the process that made the session: its threads are not there, its locks may be held for ever. */
gboolean gpudl_session_is_inherited(const GpudlSession *session);

/* request.c */
/** FALSE with DEVICE if it is the parent process' one. */
gboolean gpudl_session_check(const GpudlSession *session, GError **error);

/* host.c */
/** Takes over what open() has said, and what changed() has said already. NULL, or what is wrong with it (static text).
 */
const gchar *gpudl_host_opened(GpudlSession *session, const GpudlEngineInfo *info);
/** The table that the session's engine gets. */
void gpudl_host_init(GpudlHost *host, GpudlSession *session);

/* scheduler.c */
/** Starts the session's threads; engine and info are there. NO_MEMORY if the system has no thread left; then, too,
 * gpudl_scheduler_stop() cleans up. */
gboolean gpudl_scheduler_start(GpudlSession *session, GError **error);
/** Joins them; no request is queued or running. FALSE if one hangs in the module, or a slot never came back: then
 * nothing that the engine knows may be freed. */
gboolean gpudl_scheduler_stop(GpudlSession *session);
/** Queues a request, which becomes QUEUED; under the lock. */
void gpudl_scheduler_queue(GpudlSession *session, GpudlRequest *request);
/** Takes a QUEUED request out, or one that is STAGING no more, and finishes it with an error of this code; under the
 * lock, which is let go meanwhile. error is taken. */
void gpudl_scheduler_withdraw(GpudlSession *session, GpudlRequest *request, GError *error);
/** The device failed: what is queued fails with it, nothing more is taken. Under the lock, which is let go meanwhile.
 * error is taken. */
void gpudl_scheduler_die(GpudlSession *session, GError *error);
/** Runs func on a slot that is not under way, and waits for it. DEVICE if the session is dead. */
gboolean gpudl_scheduler_run(GpudlSession *session,
                             GpudlStatus (*func)(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault),
                             gpointer data, GError **error);

/* session.c */
/** Takes a session whose device failed out of the registry, so that the next acquire makes a new one. The session's
 * lock may be held. */
void gpudl_session_unlist(GpudlSession *session);
/** Sessions in the registry. */
guint gpudl_session_count(void);

/* acquire.c */
/** One that is neither listed nor opened, for its host's functions; its constants are not held. */
GpudlSession *gpudl_session_prepare(GpudlModel *model, const GpudlSessionConfig *config, GCancellable *cancellable,
                                    GError **error);

G_END_DECLS
#endif
