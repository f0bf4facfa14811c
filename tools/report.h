/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What reports of measurements share: of what they are, and how their JSON is made.
 */
#ifndef GPUDL_TOOLS_REPORT_H
#define GPUDL_TOOLS_REPORT_H

#include <json-glib/json-glib.h>

#include "engine/gpudl.h"

G_BEGIN_DECLS

/** What was measured, when and how. Strings are the owner's. */
typedef struct {
    gchar *model, *file, *id; /* of the model */
    gchar *command, *date;
} ReportSubject;

/** argv is the command line without "gpudl". */
void report_subject_init(ReportSubject *subject, GpudlModel *model, const gchar *file, gchar *const *argv);
void report_subject_clear(ReportSubject *subject);

/** Begins the report's object: members "gpudl" (version), "date", "command", "model" {"name", "file", "id"}. The caller
 * adds what it has found. */
JsonBuilder *report_begin(const ReportSubject *subject);
/** Ends the object and gives its text, with a newline, which the caller frees. Frees the builder. */
gchar *report_end(JsonBuilder *builder);

/** Members of the object that is open. Bytes of a text that are no UTF-8 become U+FFFD; NULL becomes null. */
void report_text(JsonBuilder *builder, const gchar *name, const gchar *text);
void report_integer(JsonBuilder *builder, const gchar *name, guint64 value);
/** 0 stands for what is not known: null. */
void report_known(JsonBuilder *builder, const gchar *name, guint64 value);
/** Six digits of it; null unless finite. */
void report_number(JsonBuilder *builder, const gchar *name, double value);

G_END_DECLS
#endif
