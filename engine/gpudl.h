/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * libgpudl: image classification networks on video frames.
 *
 * A GpudlModel is what a file holds. A GpudlDevice is where networks run. A GpudlSession is one model compiled for one
 * device, shared by everybody in the process who asks for the same. A GpudlStream is one user of a session (one video);
 * a GpudlRequest is one frame's way through.
 *
 *     g_autoptr(GpudlModel) model = gpudl_model_load("net.bin", NULL, NULL, &error);
 *     g_autoptr(GpudlSession) session = gpudl_session_acquire(model, NULL, NULL, &error);
 *     g_autoptr(GpudlStream) stream = gpudl_stream_new(session, model);
 *     g_autoptr(GpudlRequest) request = gpudl_request_new(stream);
 *     if (gpudl_request_submit(request, &frame, &preproc, &error) && gpudl_request_wait(request, &error))
 *         n = gpudl_request_top_k(request, 0, 5, 0.f, top);
 *
 * All functions are thread-safe across objects; one object other than a model or a session is used by one thread at a
 * time, but for gpudl_request_cancel() and the completion callback. Nothing here prints, exits or aborts.
 *
 * Structs that callers fill (GpudlFrame, GpudlPreproc, GpudlSessionConfig, GpudlImportOptions) begin with struct_size,
 * to be set to sizeof of the struct as the caller knows it, so that they can grow: a caller built with an older header
 * gets the defaults of newer fields; a newer caller that sets fields which this library does not know is refused,
 * INVALID_ARGUMENT. 0 stands for the fields of version 0.1. Structs that callers have filled (GpudlParity) begin with
 * it too: no byte beyond it is written, and fields that this library does not know are 0. Structs that callers read by
 * pointer (GpudlTiming) grow at their ends.
 *
 * After fork() a child can acquire and load anew; sessions, streams, requests, devices and promises of them that it has
 * inherited are the parent's: submitting to them fails (DEVICE), freeing them does nothing. A model that it has
 * inherited can be used if no thread of the parent was loading it or acquiring a session for it at that moment.
 */
#ifndef GPUDL_H
#define GPUDL_H

#include <gio/gio.h>
#include <glib.h>

#ifdef GPUDL_COMPILATION
#include "engine/settings.h"
#include "kernels/frame.h"
#define GPUDL_API __attribute__((visibility("default"))) extern
#else
#include <gpudl/frame.h>
#include <gpudl/settings.h>
#define GPUDL_API extern
#endif

G_BEGIN_DECLS

/** Error domain of the whole library. */
#define GPUDL_ERROR (gpudl_error_quark())
GPUDL_API GQuark gpudl_error_quark(void);

typedef enum {
    GPUDL_ERROR_FAILED = 0,       /* anything else */
    GPUDL_ERROR_NOT_FOUND,        /* a file is not there */
    GPUDL_ERROR_OPEN_READ,        /* a file is there but can't be read (permission, directory, I/O) */
    GPUDL_ERROR_WRITE,            /* a file can't be written */
    GPUDL_ERROR_FORMAT,           /* malformed: not a model, damaged, truncated, inconsistent */
    GPUDL_ERROR_UNSUPPORTED,      /* well-formed, but something in it is not implemented */
    GPUDL_ERROR_LIMIT,            /* larger than a stated limit */
    GPUDL_ERROR_INVALID_ARGUMENT, /* a parameter is out of range or options contradict each other */
    GPUDL_ERROR_BACKEND,          /* a backend module or a library it needs is missing or of the wrong version */
    GPUDL_ERROR_NO_DEVICE,        /* the backend is there, the device or its driver is not */
    GPUDL_ERROR_NO_MEMORY,        /* of the device or the host */
    GPUDL_ERROR_DEVICE,           /* the device failed while running; the session is dead */
    GPUDL_ERROR_CANCELLED,
    GPUDL_ERROR_NOT_FINITE /* the network's scores are NaN or infinite: there is no classification */
} GpudlError;

/** Version of the library, "major.minor.micro". */
GPUDL_API const gchar *gpudl_version(void);

/** "fp32" and so on; parse returns FALSE for a name it does not know. */
GPUDL_API const gchar *gpudl_precision_name(GpudlPrecision precision);
GPUDL_API gboolean gpudl_precision_parse(const gchar *name, GpudlPrecision *precision);
GPUDL_API const gchar *gpudl_activation_name(GpudlActivation activation);
GPUDL_API gboolean gpudl_activation_parse(const gchar *name, GpudlActivation *activation);

/* ---- models ------------------------------------------------------------------------------------------------------ */

/** An immutable, reference-counted model: graph, pre-processing, labels. */
typedef struct _GpudlModel GpudlModel;

GPUDL_API GpudlModel *gpudl_model_ref(GpudlModel *model);
GPUDL_API void gpudl_model_unref(GpudlModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlModel, gpudl_model_unref)

/** Name of the model (from the file, else the file's base name) in UTF-8, other bytes as U+FFFD; never NULL. */
GPUDL_API const gchar *gpudl_model_get_name(GpudlModel *model);
/** 64 lower-case hex digits: SHA-256 of a net.bin's sections, or of another file's bytes; never what a header claims.
 * Computed of the file at the first call, which may take as long as reading it. "" for a model made in memory, and as
 * long as the file is gone or another than the one that was loaded. Never NULL. */
GPUDL_API const gchar *gpudl_model_get_id(GpudlModel *model);
/** The model's own pre-processing, everything resolved (no AUTO in it). */
GPUDL_API const GpudlPreproc *gpudl_model_get_preproc(GpudlModel *model);
/** Number of outputs (heads), at least 1; name and number of values of each. */
GPUDL_API guint gpudl_model_get_n_heads(GpudlModel *model);
GPUDL_API const gchar *gpudl_model_get_head_name(GpudlModel *model, guint head);
GPUDL_API guint gpudl_model_get_n_classes(GpudlModel *model, guint head);
/** Embedded label of a class of head 0, UTF-8, or NULL if the model has none. */
GPUDL_API const gchar *gpudl_model_get_label(GpudlModel *model, guint id);
/** What AUTO means for this model; never AUTO. */
GPUDL_API GpudlActivation gpudl_model_get_activation(GpudlModel *model);
/** FALSE if the model holds for batch 1 alone; *reason (may be NULL) is then set to why, owned by the model. */
GPUDL_API gboolean gpudl_model_get_symbolic_batch(GpudlModel *model, const gchar **reason);
/** What was left out of the file or not used, one sentence each, for people; empty for most. NULL-terminated, never
 * NULL, the model's. */
GPUDL_API const gchar *const *gpudl_model_get_notes(GpudlModel *model);
/** Multiply-accumulates per frame, number of parameters. */
GPUDL_API guint64 gpudl_model_get_macs(GpudlModel *model);
GPUDL_API guint64 gpudl_model_get_parameters(GpudlModel *model);

/** Reads a labels file, UTF-8: one label a line; or a list or map of JSON or Python, pbtxt items, one line with
 * semicolons. Blanks at both ends of lines go (any white space, U+FEFF, CR), and empty lines at the end; so do quotes
 * that all lines have, ids that all lines begin with (each of 0..n-1 or 1..n once: they give the order), and WordNet's
 * ids ("nNNNNNNNN name"). A pipe is read to its end, unless nothing comes for 10 s. NULL-terminated vector, *n_labels
 * may be NULL. Errors: NOT_FOUND, OPEN_READ, FORMAT (not UTF-8, no labels, a list that does not hold), LIMIT. */
GPUDL_API gchar **gpudl_labels_read(const gchar *path, guint *n_labels, GError **error);

/* ---- devices ----------------------------------------------------------------------------------------------------- */

/**
 * A place to run on: one device of one backend, and there one context. Reference-counted, one object in the process for
 * the same place. It outlives the sessions on it and every block of its memory.
 */
typedef struct _GpudlDevice GpudlDevice;

/**
 * Finds or opens a device. backend as in GpudlSessionConfig; id < 0: the first. "cpu" and "ref" have one, 0; where
 * "auto" comes to one of these, id is no matter. context: a CUcontext, or NULL for the device's primary one (also where
 * the backend has no contexts); another device's context is INVALID_ARGUMENT.
 * context has to stay alive as long as the object: owner is what keeps it so, and release(owner) is called once, on any
 * thread, when it is not needed any more; also on failure, and at once if the object exists already, since whoever
 * made it keeps its context alive. release NULL: the caller sees to it. Errors: INVALID_ARGUMENT, BACKEND, NO_DEVICE
 * (also of an id that there is not), NO_MEMORY.
 */
GPUDL_API GpudlDevice *gpudl_device_acquire(const gchar *backend, gint id, gpointer context, GDestroyNotify release,
                                            gpointer owner, GError **error);
GPUDL_API GpudlDevice *gpudl_device_ref(GpudlDevice *device);
GPUDL_API void gpudl_device_unref(GpudlDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlDevice, gpudl_device_unref)

/** "cpu", "cuda", "ref"; number; the context, NULL where the backend has none. */
GPUDL_API const gchar *gpudl_device_get_backend(GpudlDevice *device);
GPUDL_API gint gpudl_device_get_id(GpudlDevice *device);
GPUDL_API gpointer gpudl_device_get_context(GpudlDevice *device);

/** TRUE if the device has memory of its own to reach from the host: gpudl_device_alloc_host() works. */
GPUDL_API gboolean gpudl_device_has_host_memory(GpudlDevice *device);
/**
 * Memory of the host that the device reads fast (pinned), for frames (GPUDL_MEMORY_HOST_PINNED); aligned to align, a
 * power of 2. Each block holds a reference on the device. Slow: keep blocks, do not allocate per frame. Blocks of a
 * device that was given up stay for the life of the process. Errors: UNSUPPORTED (the backend has none), NO_MEMORY,
 * DEVICE.
 */
GPUDL_API gpointer gpudl_device_alloc_host(GpudlDevice *device, gsize bytes, gsize align, GError **error);
GPUDL_API void gpudl_device_free_host(GpudlDevice *device, gpointer data);

/** What a backend can run on. Read by pointer, grows at its end. */
typedef struct {
    gint id;
    gchar *name;
    gchar *address;                          /* "0000:65:00.0", or "" */
    guint64 memory_bytes, free_bytes;        /* 0: not known */
    gint capability_major, capability_minor; /* 0, 0: has none */
    guint64 bytes_per_second;                /* of its memory, at the highest clock; 0: not known */
    guint64 flops_per_second[16];            /* likewise, by GpudlPrecision; a multiply-add is two */
} GpudlDeviceInfo;

GPUDL_API void gpudl_device_info_free(GpudlDeviceInfo *info);
/** The devices of a backend ("auto" and NULL: of the one that auto means), as an array of GpudlDeviceInfo, empty if
 * there is none; the caller unrefs it. Errors: INVALID_ARGUMENT, BACKEND, NO_DEVICE (no driver). */
GPUDL_API GPtrArray *gpudl_devices_list(const gchar *backend, GError **error);

/** A device that is being looked for and opened beside something else, as a rule the reading of the model. */
typedef struct _GpudlDevicePromise GpudlDevicePromise;

/**
 * Begins to open, on a thread of its own, the device that a GpudlSessionConfig of this backend and cuda_device_id
 * takes, and returns at once, never NULL. path: the model's file, nothing is opened where there is none; or NULL. The
 * first acquire or forecast whose configuration has the promise waits for it and takes what has come of it, be it a
 * failure: nothing is said of that before, and nothing twice. Later ones look for a device as without a promise, and
 * find this one, which stays open until the promise is freed. The strings are copied.
 */
GPUDL_API GpudlDevicePromise *gpudl_device_promise(const gchar *backend, gint cuda_device_id, const gchar *path);
/** Does not wait: a device that nobody else uses is closed, one that is being opened as soon as it is open. Only the
 * end of the process waits for that, 5 s at most. No acquire with the promise is under way. */
GPUDL_API void gpudl_device_promise_free(GpudlDevicePromise *promise);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlDevicePromise, gpudl_device_promise_free)

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/** Called now and then by what takes long: 0..1 done and what is being done. On the calling thread. */
typedef void (*GpudlProgressFunc)(double done, const gchar *what, gpointer user_data);

/**
 * What to compile for. Configurations of one model that come to the same share one session: what was left open is
 * resolved first; cache_dir, device_timeout and progress are those of whoever loads it. Zero-filled means: all
 * defaults.
 */
typedef struct {
    guint32 struct_size;
    const gchar *backend; /* "auto" (also NULL), "cuda", "cpu", "ref" */
    GpudlDevice *device;  /* or NULL: by backend and cuda_device_id, which are ignored otherwise */
    GpudlPrecision precision;
    GpudlActivation activation;
    gint cuda_device_id; /* < 0: first; CUDA only. Note that 0 names the first device */
    guint cpu_threads;   /* workers of the CPU backend, at most 1024; 0: one per core the process may use */
    guint batch_size;    /* largest batch; 0: the backend's choice; the CPU runs 1 */
    gboolean deterministic;
    guint64 memory_limit; /* bytes of weights and work memory, 0: none */
    GpudlAutotune autotune;
    const gchar *cache_dir; /* where backends keep what they measured; NULL: the environment's GPUDL_CACHE_DIR, else the
                               user's cache folder/gpudl; "": nowhere */
    gint priority;          /* of the work on a GPU; 0: normal, higher: sooner */
    guint64 device_timeout; /* ns after which a device that does not answer to a frame is given up; 0: 10 s */
    GpudlProgressFunc progress; /* told while loading, or NULL */
    gpointer progress_data;
    GpudlDevicePromise *promise; /* of the same backend and cuda_device_id, else it is as none; or NULL. Stays the
                                    caller's */
} GpudlSessionConfig;

typedef struct _GpudlSession GpudlSession;

/**
 * Finds or makes the session for this model and configuration. Compiles without holding any global lock; a second
 * caller for the same waits for the first and shares its outcome, unless the first gives up: then it loads on its own.
 * Blocks until ready or cancelled (CANCELLED). config NULL: all defaults. Errors: BACKEND, NO_DEVICE, NO_MEMORY,
 * UNSUPPORTED, INVALID_ARGUMENT, LIMIT (more than 16 outputs). Returns a reference.
 */
GPUDL_API GpudlSession *gpudl_session_acquire(GpudlModel *model, const GpudlSessionConfig *config,
                                              GCancellable *cancellable, GError **error);

/**
 * What a session of this model would compute in on a backend ("auto" and NULL: the one that auto means) if that is left
 * open, as far as it is known without loading one: a golden sample that has not been run may still decide for fp32.
 * *device (may be NULL): on what, the caller frees it. Opens the device. Errors: as gpudl_session_acquire().
 */
GPUDL_API gboolean gpudl_session_foresee(GpudlModel *model, const gchar *backend, GpudlPrecision *precision,
                                         gchar **device, GError **error);
GPUDL_API GpudlSession *gpudl_session_ref(GpudlSession *session);
/** The last reference joins the session's threads and frees what it has on the device; of one whose device was given
 * up it leaves all to the end of the process. No request of it may be unfinished. */
GPUDL_API void gpudl_session_unref(GpudlSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlSession, gpudl_session_unref)

/** The model that it was loaded from. */
GPUDL_API GpudlModel *gpudl_session_get_model(GpudlSession *session);
GPUDL_API GpudlDevice *gpudl_session_get_device(GpudlSession *session);
/** "cpu", "cuda", "ref": never "auto"; and one line for people: device, library and version. */
GPUDL_API const gchar *gpudl_session_get_backend(GpudlSession *session);
GPUDL_API const gchar *gpudl_session_get_device_name(GpudlSession *session);
GPUDL_API GpudlPrecision gpudl_session_get_precision(GpudlSession *session);
/** Frames that run at once (workers, or slots x batch), and the largest batch. */
GPUDL_API guint gpudl_session_get_parallelism(GpudlSession *session);
GPUDL_API guint gpudl_session_get_max_batch(GpudlSession *session);
/** Frames of one stream to keep under way so that the device is never idle, at least 1. */
GPUDL_API guint gpudl_session_get_depth(GpudlSession *session);
/** Longest time of one run of the largest batch as last measured, ns: what a frame has to wait at least. May change
 * while a backend tunes. */
GPUDL_API guint64 gpudl_session_get_run_time(GpudlSession *session);
/** Bytes of weights and of work memory (all workers). */
GPUDL_API guint64 gpudl_session_get_memory(GpudlSession *session, guint64 *weights, guint64 *workspace);
/** TRUE if frames in this kind of memory are taken. */
GPUDL_API gboolean gpudl_session_accepts_memory(GpudlSession *session, GpudlMemoryKind memory);

/** One step of a network as it runs. Read by pointer, grows at its end; strings belong to the session. */
typedef struct {
    const gchar *node, *op; /* the first node of the step: name and operator */
    guint n_nodes;          /* that it computes */
    const gchar *implementation;
    guint64 ns;           /* median of the runs */
    guint64 bytes, flops; /* moved and computed; 0: not known */
} GpudlProfileStep;

/** Times the steps of one batch, runs (at least 1) times each, between other executions: an array of GpudlProfileStep,
 * the caller unrefs it. Blocks, however long the device takes: it is not given up for that. Errors: UNSUPPORTED,
 * INVALID_ARGUMENT, DEVICE. */
GPUDL_API GArray *gpudl_session_profile(GpudlSession *session, guint batch, guint runs, GError **error);

/**
 * Blocks until the backend has nothing more to do in idle time (compiling, measuring): a session acquired with
 * GPUDL_AUTOTUNE_FULL has then tuned to the end. Frames may be submitted meanwhile; they come first. progress (may be
 * NULL) is called on the calling thread. Errors: CANCELLED; DEVICE; what ended the backend's idle work.
 */
GPUDL_API gboolean gpudl_session_settle(GpudlSession *session, GpudlProgressFunc progress, gpointer user_data,
                                        GCancellable *cancellable, GError **error);

/** What a session would find and take, before it is loaded. Read by pointer, grows at its end. */
typedef struct {
    gchar *backend; /* never "auto" */
    GpudlPrecision precision;
    guint batch_size;  /* largest batch */
    guint n_choices;   /* implementations that the backend chooses by measuring; 0: it has nothing to tune */
    guint n_known;     /* of them in the cache: with all of them a start is warm */
    gchar **missing;   /* the others, for people; NULL-terminated */
    gchar *cache_dir;  /* where what is measured would be kept, NULL: nowhere */
    gchar *not_kept;   /* why it could not, or NULL */
    guint64 weights;   /* bytes on the device, 0: not known */
    guint64 workspace; /* likewise, of all slots; without what choices that are not known take for themselves */
} GpudlForecast;

GPUDL_API void gpudl_forecast_free(GpudlForecast *forecast);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlForecast, gpudl_forecast_free)

/** Asks the backend of this configuration, without loading, tuning or writing anything. Errors: as of
 * gpudl_session_acquire(). */
GPUDL_API GpudlForecast *gpudl_session_forecast(GpudlModel *model, const GpudlSessionConfig *config,
                                                GCancellable *cancellable, GError **error);

/** Backends built in or found, for diagnostics: NULL-terminated, caller frees with g_strfreev. With *reasons (may be
 * NULL; same length, freed alike) "" for a usable one or why it can't be used. */
GPUDL_API gchar **gpudl_backends_list(gchar ***reasons);

/* ---- streams and requests ---------------------------------------------------------------------------------------- */

/** One source of frames. Sessions serve their streams round-robin, frames of one stream oldest first. */
typedef struct _GpudlStream GpudlStream;

/**
 * model is whose pre-processing counts where a request brings none: the one the session was acquired for. It may be
 * another object than the session's own (same file, other options), not another network. Holds references on both.
 */
GPUDL_API GpudlStream *gpudl_stream_new(GpudlSession *session, GpudlModel *model);
/** All its requests must have been freed. */
GPUDL_API void gpudl_stream_free(GpudlStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlStream, gpudl_stream_free)

/** One class with its score. */
typedef struct {
    guint32 id;
    float confidence;
} GpudlClass;

/** Times of one finished request, ns of g_get_monotonic_time() x 1000. Read by pointer, grows at its end. */
typedef struct {
    gint64 submitted, started, finished;
    guint32 batch; /* frames of the run it was part of */
} GpudlTiming;

typedef struct _GpudlRequest GpudlRequest;

/** Called once per submitted request, from a session's thread, when it is done, failed or cancelled: no lock is held.
 * Must not block and must not free the request. */
typedef void (*GpudlRequestFunc)(GpudlRequest *request, gpointer user_data);

/** A reusable request with its result's memory: submit, wait, read, submit again. Allocates here; a backend that stages
 * frames allocates at the first frame of a size. */
GPUDL_API GpudlRequest *gpudl_request_new(GpudlStream *stream);
/** The request must not be under way. One that is lost is given up with all its memory. */
GPUDL_API void gpudl_request_free(GpudlRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlRequest, gpudl_request_free)

/** Sets who is told; NULL: nobody. Not while the request is under way. gpudl_request_wait() may return before the
 * callback is called: a user of both submits again from one place only. gpudl_request_free() waits for a callback that
 * is due. */
GPUDL_API void gpudl_request_set_callback(GpudlRequest *request, GpudlRequestFunc func, gpointer user_data);

/**
 * Queues a frame. frame and preproc are copied, the pixels are not: they stay valid and unchanged until the request is
 * done, and so do cuda_stream and cuda_context. May copy a frame in host memory to where a GPU reads it; does not wait
 * for a device. preproc NULL: the stream's model's own. Errors, with nothing queued: INVALID_ARGUMENT (frame or preproc
 * out of range, memory kind the session does not take, other input size than the network's, request under way),
 * NO_MEMORY (for staging), DEVICE (session dead, or the parent process' one).
 */
GPUDL_API gboolean gpudl_request_submit(GpudlRequest *request, const GpudlFrame *frame, const GpudlPreproc *preproc,
                                        GError **error);

/** The same for values made by the caller: float32 [channels][height][width], valid until the request is done. Errors:
 * INVALID_ARGUMENT (NULL, or the request is under way), DEVICE. */
GPUDL_API gboolean gpudl_request_submit_tensor(GpudlRequest *request, const float *values, GError **error);

/** Takes a queued request out of the queue (it finishes as CANCELLED); one that runs already finishes as it would.
 * Never blocks. May be called from any thread. */
GPUDL_API void gpudl_request_cancel(GpudlRequest *request);

/** Blocks until the request is done; FALSE with its error (DEVICE, CANCELLED, ...) if it failed. May be called again.
 */
GPUDL_API gboolean gpudl_request_wait(GpudlRequest *request, GError **error);

/**
 * TRUE after a run that failed with DEVICE because the device never answered: it may still read the frame, so the
 * pixels must neither be changed nor freed, ever. Their owner drops them without giving the memory back.
 */
GPUDL_API gboolean gpudl_request_is_lost(GpudlRequest *request);

/** TRUE if not under way: never submitted, or finished. */
GPUDL_API gboolean gpudl_request_is_done(GpudlRequest *request);

/** All scores of a head after the activation, gpudl_model_get_n_classes() floats, class id = index. Valid until the
 * next submit; NULL if the last run failed. */
GPUDL_API const float *gpudl_request_get_scores(GpudlRequest *request, guint head);

/**
 * FALSE with NOT_FINITE if a head's scores are no classification: one is NaN or +infinity, or all are -infinity, which
 * beside numbers means a class that is ruled out. The message says which output, how many, and the first. A request
 * that failed, or has not run, gives FALSE with FAILED. To be asked before scores are shown: top_k() would only find
 * fewer classes.
 */
GPUDL_API gboolean gpudl_request_check_scores(GpudlRequest *request, guint head, GError **error);

/** The best k (0: all) classes of a head with confidence >= threshold (NaN never is), descending, equal ones by lower
 * id first; writes at most k, or n_classes for 0, entries to out. Returns how many. */
GPUDL_API guint gpudl_request_top_k(GpudlRequest *request, guint head, guint k, float threshold, GpudlClass *out);

GPUDL_API const GpudlTiming *gpudl_request_get_timing(GpudlRequest *request);

/* ---- pre-processing helpers -------------------------------------------------------------------------------------- */

/** NULL if all is in range, else what is wrong (static text). */
GPUDL_API const gchar *gpudl_preproc_check(const GpudlPreproc *preproc);
GPUDL_API const gchar *gpudl_frame_check(const GpudlFrame *frame);

/** What the network sees of a frame, as parts of the whole frame's width and height: x, y, width, height in 0..1. The
 * frame's crop and pixel aspect ratio count, and the fraction of center-crop, squash and border; its planes aren't
 * looked at. FALSE where a struct_size or a size is wrong, or the fraction: region is the whole frame then. */
GPUDL_API gboolean gpudl_preproc_get_region(const GpudlPreproc *preproc, const GpudlFrame *frame, gdouble region[4]);

G_END_DECLS
#endif
