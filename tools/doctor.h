/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the parts of gpudl doctor share: lines for people. */
#ifndef GPUDL_TOOLS_DOCTOR_H
#define GPUDL_TOOLS_DOCTOR_H

#include <glib.h>

G_BEGIN_DECLS

void doctor_heading(const gchar *text);
/** One line: a mark, what it is about, what is to be said about it (or NULL). */
void doctor_finding(gboolean ok, const gchar *what, const gchar *detail);
/** The same for what nobody has to have. */
void doctor_optional(gboolean there, const gchar *what, const gchar *detail);
/** A line below a finding: what puts it right. */
void doctor_remedy(const gchar *remedy);

/** What look-gpu has found. */
typedef struct _DoctorGpu DoctorGpu;

/** Asks a program of its own, which is given up after 10 s without a word. */
DoctorGpu *doctor_gpu_look(void);
void doctor_gpu_free(DoctorGpu *gpu);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DoctorGpu, doctor_gpu_free)
/** TRUE if the driver does not answer: nothing that would start it may be called. */
gboolean doctor_gpu_hangs(const DoctorGpu *gpu);
/** Prints the section; starts GStreamer, unless the driver hangs. */
void doctor_gpu_report(const DoctorGpu *gpu);

G_END_DECLS
#endif
