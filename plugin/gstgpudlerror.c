/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gpudl-config.h"

#include "gstgpudlerror.h"

#include <glib/gi18n-lib.h>

/* us */
#define LIMIT_INTERVAL (5 * G_TIME_SPAN_SECOND)

typedef enum
{
  DOMAIN_LIBRARY,
  DOMAIN_RESOURCE,
  DOMAIN_STREAM
} ErrorDomain;

static const struct
{
  ErrorDomain domain;
  gint code;
  const gchar *text;
} error_table[] = {
  [GPUDL_ERROR_FAILED] = {DOMAIN_LIBRARY, GST_LIBRARY_ERROR_FAILED,
      N_("Classification failed")},
  [GPUDL_ERROR_NOT_FOUND] = {DOMAIN_RESOURCE, GST_RESOURCE_ERROR_NOT_FOUND,
      N_("File not found")},
  [GPUDL_ERROR_OPEN_READ] = {DOMAIN_RESOURCE, GST_RESOURCE_ERROR_OPEN_READ,
      N_("File can't be read")},
  [GPUDL_ERROR_WRITE] = {DOMAIN_RESOURCE, GST_RESOURCE_ERROR_WRITE,
      N_("File can't be written")},
  [GPUDL_ERROR_FORMAT] = {DOMAIN_STREAM, GST_STREAM_ERROR_WRONG_TYPE,
      N_("Not a usable model or labels file")},
  [GPUDL_ERROR_UNSUPPORTED] = {DOMAIN_STREAM, GST_STREAM_ERROR_NOT_IMPLEMENTED,
      N_("Not implemented")},
  [GPUDL_ERROR_LIMIT] = {DOMAIN_STREAM, GST_STREAM_ERROR_NOT_IMPLEMENTED,
      N_("Model or labels file exceeds a limit")},
  [GPUDL_ERROR_INVALID_ARGUMENT] = {DOMAIN_RESOURCE,
      GST_RESOURCE_ERROR_SETTINGS, N_("Unusable settings")},
  [GPUDL_ERROR_BACKEND] = {DOMAIN_LIBRARY, GST_LIBRARY_ERROR_INIT,
      N_("Backend can't be used")},
  [GPUDL_ERROR_NO_DEVICE] = {DOMAIN_RESOURCE, GST_RESOURCE_ERROR_NOT_FOUND,
      N_("No usable device")},
  [GPUDL_ERROR_NO_MEMORY] = {DOMAIN_RESOURCE,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT, N_("Out of memory")},
  [GPUDL_ERROR_DEVICE] = {DOMAIN_STREAM, GST_STREAM_ERROR_FAILED,
      N_("Device failed")},
  [GPUDL_ERROR_CANCELLED] = {DOMAIN_STREAM, GST_STREAM_ERROR_FAILED,
      N_("Classification was cancelled")},
  [GPUDL_ERROR_NOT_FINITE] = {DOMAIN_STREAM, GST_STREAM_ERROR_FAILED,
      N_("No classification")},
};

static GQuark
error_domain_quark (ErrorDomain domain)
{
  switch (domain) {
    case DOMAIN_RESOURCE:
      return GST_RESOURCE_ERROR;
    case DOMAIN_STREAM:
      return GST_STREAM_ERROR;
    default:
      return GST_LIBRARY_ERROR;
  }
}

static void
post (GstElement * element, GstMessageType type, GError * error,
    const gchar * doing)
{
  /* they name files: messages take UTF-8 or nothing */
  g_autofree gchar *said = g_utf8_make_valid (error->message, -1);
  g_autofree gchar *done = g_utf8_make_valid (doing, -1);
  guint row = GPUDL_ERROR_FAILED;

  if (error->domain == GPUDL_ERROR && error->code >= 0
      && (guint) error->code < G_N_ELEMENTS (error_table))
    row = error->code;

  /* takes both strings */
  gst_element_message_full (element, type,
      error_domain_quark (error_table[row].domain), error_table[row].code,
      g_strdup_printf ("%s: %s", _(error_table[row].text), said),
      g_strdup_printf ("while %s", done), __FILE__, GST_FUNCTION, __LINE__);
  g_error_free (error);
}

void
gst_gpudl_element_error (GstElement * element, GError * error,
    const gchar * doing)
{
  post (element, GST_MESSAGE_ERROR, error, doing);
}

void
gst_gpudl_element_warning (GstElement * element, GError * error,
    const gchar * doing)
{
  post (element, GST_MESSAGE_WARNING, error, doing);
}

guint
gst_gpudl_limit_pass (GstGpudlLimit * limit, gint64 now)
{
  const guint n = limit->n + 1;

  if (limit->next != 0 && now < limit->next) {
    limit->n = n;
    return 0;
  }
  limit->next = now + LIMIT_INTERVAL;
  limit->n = 0;
  return n;
}

void
gst_gpudl_element_frame_warning (GstElement * element, GError * error, guint n)
{
  GST_ELEMENT_WARNING (element, STREAM, FORMAT,
      (_("Frame can't be classified: %s"), error->message),
      ("it goes on with the last classification, if there is one; %u such "
          "since the warning before", n));
  g_error_free (error);
}
