/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-gpudl.h"

#include <string.h>

FakeGpudl fake_gpudl;

static GMutex lock;
static GCond cond;
static GList *sessions;

struct _GpudlModel
{
  gint refs;
  gchar *name;
  gchar id[65];
  gchar **labels;
  GpudlPreproc preproc;
};

struct _GpudlSession
{
  gint refs;
  GpudlModel *model;
  gchar *backend;
  GpudlPrecision precision;
  GpudlActivation activation;
  GList *queue;                 /* of GpudlRequest, oldest first */
  GThread *worker;
  gboolean quit;
};

struct _GpudlStream
{
  GpudlSession *session;
};

struct _GpudlRequest
{
  GpudlStream *stream;
  GpudlFrame frame;
  gboolean under_way;
  guint number;
  GError *error;
  GpudlTiming timing;
  gfloat *scores;
};

G_DEFINE_QUARK (gpudl - error - quark, gpudl_error)
     void fake_gpudl_reset (void)
{
  g_assert_cmpint (fake_gpudl.models, ==, 0);
  g_assert_cmpint (fake_gpudl.sessions, ==, 0);
  g_assert_cmpint (fake_gpudl.streams, ==, 0);
  g_assert_cmpint (fake_gpudl.requests, ==, 0);
  memset (&fake_gpudl, 0, sizeof (fake_gpudl));
  fake_gpudl.n_classes = 10;
  fake_gpudl.n_heads = 1;
  fake_gpudl.parallelism = 2;
  fake_gpudl.run_time = 10 * 1000 * 1000;
  fake_gpudl.backend = "cpu";
  fake_gpudl.load_error = fake_gpudl.acquire_error = FAKE_GPUDL_NO_ERROR;
}

void
fake_gpudl_lock (void)
{
  g_mutex_lock (&lock);
}

void
fake_gpudl_unlock (void)
{
  g_cond_broadcast (&cond);
  g_mutex_unlock (&lock);
}

void
fake_gpudl_set_hold (gboolean hold)
{
  fake_gpudl_lock ();
  fake_gpudl.hold = hold;
  fake_gpudl_unlock ();
}

static guint
queued (void)
{
  guint n = 0;

  for (GList * l = sessions; l != NULL; l = l->next)
    n += g_list_length (((GpudlSession *) l->data)->queue);
  return n;
}

void
fake_gpudl_wait_queued (guint n)
{
  g_mutex_lock (&lock);
  while (queued () < n)
    g_cond_wait (&cond, &lock);
  g_mutex_unlock (&lock);
}

/* ---- names and checks -------------------------------------------------------------------------------------------- */

const gchar *
gpudl_precision_name (GpudlPrecision precision)
{
  return precision == GPUDL_PRECISION_FP32 ? "fp32" : "other";
}

const gchar *
gpudl_preproc_check (const GpudlPreproc * preproc)
{
  for (gint i = 0; i < preproc->channels; i++) {
    if (preproc->std[i] == 0)
      return "std is 0";
  }
  return preproc->pixel_scale > 0 ? NULL : "pixel_scale is not positive";
}

gchar **
gpudl_labels_read (const gchar * path, guint * n_labels, GError ** error)
{
  g_autofree gchar *text = NULL;
  gchar **lines;

  if (!g_file_get_contents (path, &text, NULL, NULL)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "%s: no such file",
        path);
    return NULL;
  }
  lines = g_strsplit (g_strchomp (text), "\n", -1);
  *n_labels = g_strv_length (lines);
  return lines;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static gboolean
fail (gint code, const gchar * what, GError ** error)
{
  if (code == FAKE_GPUDL_NO_ERROR)
    return FALSE;
  g_set_error (error, GPUDL_ERROR, code, "%s fails as told", what);
  return TRUE;
}

GpudlModel *
gpudl_model_load (const gchar * path, const GpudlImportOptions * options,
    GCancellable * cancellable, GError ** error)
{
  g_autofree gchar *text = NULL;
  GpudlModel *model;

  if (fail (fake_gpudl.load_error, path, error))
    return NULL;
  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_NOT_FOUND, "%s: no such file",
        path);
    return NULL;
  }
  if (!g_file_get_contents (path, &text, NULL, NULL)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_OPEN_READ, "%s: can't be read",
        path);
    return NULL;
  }
  if (!g_str_has_prefix (text, FAKE_GPUDL_MAGIC)) {
    g_set_error (error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: not a model",
        path);
    return NULL;
  }

  model = g_new0 (GpudlModel, 1);
  model->refs = 1;
  model->name = g_path_get_basename (path);
  memset (model->id, 'a', 64);
  model->id[0] =
      text[strlen (FAKE_GPUDL_MAGIC)] !=
      '\0' ? text[strlen (FAKE_GPUDL_MAGIC)] : 'a';
  if (fake_gpudl.labels) {
    model->labels = g_new0 (gchar *, fake_gpudl.n_classes + 1);
    for (guint i = 0; i < fake_gpudl.n_classes; i++)
      model->labels[i] = g_strdup_printf ("label %u", i);
  }
  model->preproc = (GpudlPreproc) {
    .width = 32,.height = 24,.channels = 3,.channel_order =
        GPUDL_CHANNELS_RGB,.resize_mode = GPUDL_RESIZE_STRETCH,.scale_method =
        GPUDL_SCALE_BILINEAR,.crop_fraction = 0.875f,.pad_color =
        0x727272,.pixel_scale = 255,.mean = { 0.1f, 0.2f, 0.3f },.std =
        { 1, 2, 3 }
  };
  g_atomic_int_inc (&fake_gpudl.models);
  return model;
}

GpudlModel *
gpudl_model_ref (GpudlModel * model)
{
  g_atomic_int_inc (&model->refs);
  return model;
}

void
gpudl_model_unref (GpudlModel * model)
{
  if (!g_atomic_int_dec_and_test (&model->refs))
    return;
  g_strfreev (model->labels);
  g_free (model->name);
  g_free (model);
  g_atomic_int_add (&fake_gpudl.models, -1);
}

const gchar *
gpudl_model_get_name (GpudlModel * model)
{
  return model->name;
}

const gchar *
gpudl_model_get_id (GpudlModel * model)
{
  return model->id;
}

const GpudlPreproc *
gpudl_model_get_preproc (GpudlModel * model)
{
  return &model->preproc;
}

guint
gpudl_model_get_n_heads (GpudlModel * model)
{
  return fake_gpudl.n_heads;
}

const gchar *
gpudl_model_get_head_name (GpudlModel * model, guint head)
{
  return head == 0 ? "first" : "second";
}

guint
gpudl_model_get_n_classes (GpudlModel * model, guint head)
{
  return fake_gpudl.n_classes;
}

const gchar *
gpudl_model_get_label (GpudlModel * model, guint id)
{
  return model->labels != NULL ? model->labels[id] : NULL;
}

guint64
gpudl_model_get_macs (GpudlModel * model)
{
  return 1000;
}

guint64
gpudl_model_get_parameters (GpudlModel * model)
{
  return 100;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static void
answer (GpudlRequest * request)
{
  const guint n = fake_gpudl.n_classes;
  const guint8 byte = *(const guint8 *) request->frame.planes[0];

  for (guint head = 0; head < fake_gpudl.n_heads; head++) {
    for (guint i = 0; i < n; i++)
      request->scores[head * n + i] =
          (n - (i + n - (byte + head) % n) % n) / (gfloat) n;
  }
}

static gpointer
work (gpointer data)
{
  GpudlSession *session = data;

  g_mutex_lock (&lock);
  while (!session->quit) {
    GList *link = session->queue;
    GpudlRequest *request;

    if (link == NULL || fake_gpudl.hold) {
      g_cond_wait (&cond, &lock);
      continue;
    }
    if (fake_gpudl.scramble)
      link = g_list_last (link);
    request = link->data;
    session->queue = g_list_delete_link (session->queue, link);
    request->timing.started = g_get_monotonic_time () * 1000;
    if (fake_gpudl.delay_us > 0) {
      const guint delay = fake_gpudl.delay_us;

      g_mutex_unlock (&lock);
      g_usleep (delay);
      g_mutex_lock (&lock);
    }
    answer (request);
    fake_gpudl.runs++;
    if (request->number == fake_gpudl.fail_run_at)
      g_set_error (&request->error, GPUDL_ERROR, fake_gpudl.fail_code,
          "run %u fails as told", request->number);
    request->timing.finished = g_get_monotonic_time () * 1000;
    request->under_way = FALSE;
    g_cond_broadcast (&cond);
  }
  g_mutex_unlock (&lock);
  return NULL;
}

GpudlSession *
gpudl_session_acquire (GpudlModel * model, const GpudlSessionConfig * config,
    GCancellable * cancellable, GError ** error)
{
  const gchar *backend = g_str_equal (config->backend,
      "auto") ? fake_gpudl.backend : config->backend;
  GpudlSession *session;

  if (fail (fake_gpudl.acquire_error, "acquiring a session", error))
    return NULL;

  g_mutex_lock (&lock);
  fake_gpudl.last_config = *config;
  for (GList * l = sessions; l != NULL; l = l->next) {
    session = l->data;
    if (g_str_equal (session->model->id, model->id)
        && g_str_equal (session->backend, backend)
        && session->precision == config->precision
        && session->activation == config->activation) {
      session->refs++;
      g_mutex_unlock (&lock);
      return session;
    }
  }
  session = g_new0 (GpudlSession, 1);
  session->refs = 1;
  session->model = gpudl_model_ref (model);
  session->backend = g_strdup (backend);
  session->precision = config->precision;
  session->activation = config->activation;
  session->worker = g_thread_new ("fake-gpudl", work, session);
  sessions = g_list_append (sessions, session);
  fake_gpudl.sessions++;
  fake_gpudl.sessions_made++;
  g_mutex_unlock (&lock);
  return session;
}

GpudlSession *
gpudl_session_ref (GpudlSession * session)
{
  g_mutex_lock (&lock);
  session->refs++;
  g_mutex_unlock (&lock);
  return session;
}

void
gpudl_session_unref (GpudlSession * session)
{
  g_mutex_lock (&lock);
  if (--session->refs > 0) {
    g_mutex_unlock (&lock);
    return;
  }
  g_assert_null (session->queue);
  sessions = g_list_remove (sessions, session);
  session->quit = TRUE;
  fake_gpudl.sessions--;
  g_cond_broadcast (&cond);
  g_mutex_unlock (&lock);

  g_thread_join (session->worker);
  gpudl_model_unref (session->model);
  g_free (session->backend);
  g_free (session);
}

GpudlModel *
gpudl_session_get_model (GpudlSession * session)
{
  return session->model;
}

const gchar *
gpudl_session_get_backend (GpudlSession * session)
{
  return session->backend;
}

const gchar *
gpudl_session_get_device_name (GpudlSession * session)
{
  return "a test double";
}

GpudlPrecision
gpudl_session_get_precision (GpudlSession * session)
{
  return GPUDL_PRECISION_FP32;
}

guint
gpudl_session_get_parallelism (GpudlSession * session)
{
  return fake_gpudl.parallelism;
}

guint
gpudl_session_get_max_batch (GpudlSession * session)
{
  return 1;
}

guint64
gpudl_session_get_run_time (GpudlSession * session)
{
  return fake_gpudl.run_time;
}

guint64
gpudl_session_get_memory (GpudlSession * session, guint64 * weights,
    guint64 * workspace)
{
  *weights = 400;
  *workspace = 600;
  return 1000;
}

gboolean
gpudl_session_accepts_memory (GpudlSession * session, GpudlMemoryKind memory)
{
  return memory == GPUDL_MEMORY_HOST;
}

/* ---- streams and requests ---------------------------------------------------------------------------------------- */

GpudlStream *
gpudl_stream_new (GpudlSession * session, GpudlModel * model)
{
  GpudlStream *stream = g_new0 (GpudlStream, 1);

  stream->session = gpudl_session_ref (session);
  g_atomic_int_inc (&fake_gpudl.streams);
  return stream;
}

void
gpudl_stream_free (GpudlStream * stream)
{
  gpudl_session_unref (stream->session);
  g_free (stream);
  g_atomic_int_add (&fake_gpudl.streams, -1);
}

GpudlRequest *
gpudl_request_new (GpudlStream * stream)
{
  GpudlRequest *request = g_new0 (GpudlRequest, 1);

  request->stream = stream;
  request->scores =
      g_new0 (gfloat, (gsize) fake_gpudl.n_heads * fake_gpudl.n_classes);
  g_atomic_int_inc (&fake_gpudl.requests);
  return request;
}

void
gpudl_request_free (GpudlRequest * request)
{
  g_assert_false (request->under_way);
  g_clear_error (&request->error);
  g_free (request->scores);
  g_free (request);
  g_atomic_int_add (&fake_gpudl.requests, -1);
}

gboolean
gpudl_request_submit (GpudlRequest * request, const GpudlFrame * frame,
    const GpudlPreproc * preproc, GError ** error)
{
  GpudlSession *session = request->stream->session;

  g_mutex_lock (&lock);
  g_assert_false (request->under_way);
  g_clear_error (&request->error);
  request->number = ++fake_gpudl.submits;
  if (request->number == fake_gpudl.fail_submit_at) {
    g_set_error (error, GPUDL_ERROR, fake_gpudl.fail_code,
        "submit %u fails as told", request->number);
    g_mutex_unlock (&lock);
    return FALSE;
  }
  request->frame = *frame;
  request->under_way = TRUE;
  request->timing = (GpudlTiming) {
  .submitted = g_get_monotonic_time () * 1000,.batch = 1};
  fake_gpudl.last_frame = *frame;
  fake_gpudl.last_preproc = *preproc;
  session->queue = g_list_append (session->queue, request);
  fake_gpudl.max_queued = MAX (fake_gpudl.max_queued, queued ());
  g_cond_broadcast (&cond);
  g_mutex_unlock (&lock);
  return TRUE;
}

void
gpudl_request_cancel (GpudlRequest * request)
{
  GpudlSession *session = request->stream->session;
  GList *link;

  g_mutex_lock (&lock);
  link = g_list_find (session->queue, request);
  if (link != NULL) {
    session->queue = g_list_delete_link (session->queue, link);
    g_set_error_literal (&request->error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED,
        "cancelled");
    request->timing.started = request->timing.finished =
        g_get_monotonic_time () * 1000;
    request->under_way = FALSE;
    fake_gpudl.cancelled++;
    g_cond_broadcast (&cond);
  }
  g_mutex_unlock (&lock);
}

gboolean
gpudl_request_wait (GpudlRequest * request, GError ** error)
{
  gboolean ok;

  g_mutex_lock (&lock);
  while (request->under_way)
    g_cond_wait (&cond, &lock);
  ok = request->error == NULL;
  if (!ok && error != NULL)
    *error = g_error_copy (request->error);
  g_mutex_unlock (&lock);
  return ok;
}

const GpudlTiming *
gpudl_request_get_timing (GpudlRequest * request)
{
  return &request->timing;
}

guint
gpudl_request_top_k (GpudlRequest * request, guint head, guint k,
    float threshold, GpudlClass * out)
{
  const guint classes = fake_gpudl.n_classes;
  const gfloat *scores = request->scores + (gsize) head * classes;
  guint best = 0, n = 0;

  /* scores fall from the best one on, round the end */
  for (guint i = 1; i < classes; i++) {
    if (scores[i] > scores[best])
      best = i;
  }
  for (guint i = 0; i < classes && (k == 0 || n < k); i++) {
    const guint id = (best + i) % classes;

    if (scores[id] < threshold)
      break;
    out[n++] = (GpudlClass) {
    .id = id,.confidence = scores[id]};
  }
  return n;
}
