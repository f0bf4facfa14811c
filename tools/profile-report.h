/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * A profile of a network in the forms it is handed out in. Nothing here measures.
 */
#ifndef GPUDL_TOOLS_PROFILE_REPORT_H
#define GPUDL_TOOLS_PROFILE_REPORT_H

#include "tools/report.h"

G_BEGIN_DECLS

typedef struct {
    ReportSubject subject;
    const gchar *backend, *device, *precision;
    guint batch, runs;
    const GpudlProfileStep *steps; /* in the order they run in */
    guint n_steps;
    guint64 whole_ns;                           /* of one run of this batch, all of it; 0: not measured */
    gboolean whole_by_frames;                   /* by frames sent through the session; else as the backend says */
    guint64 bytes_per_second, flops_per_second; /* what the device could do, in this precision; 0: not known */
} Profile;

/** Of all steps; a step that does not tell counts as none. */
typedef struct {
    guint64 ns, bytes, flops;
    guint64 floor_ns; /* the sum of their floors */
} ProfileTotal;
/** What the device takes at its highest rates for what a step has to move and to compute, whichever takes longer. 0:
 * not known, neither of the step nor of the device. */
guint64 profile_floor(const Profile *profile, const GpudlProfileStep *step);
gboolean profile_has_floor(const Profile *profile);
ProfileTotal profile_total(const Profile *profile);
/** Of those, n, that only turn a tensor into another layout or type: the backend calls them "reorder ...". */
ProfileTotal profile_reorders(const Profile *profile, guint *n);

typedef enum { PROFILE_BY_RUN = 0, PROFILE_BY_TIME } ProfileSort;

/**
 * Indices of the top steps that take most (0: of all), in the order they run in or, BY_TIME, the longest first; equally
 * long ones as they run. The caller unrefs the array of guint.
 */
GArray *profile_order(const Profile *profile, ProfileSort sort, guint top);

/** For people, in a terminal. Freed by the caller, as below. */
gchar *profile_text(const Profile *profile, ProfileSort sort, guint top);
/** All steps in the order they run in; cmd-profile.c has the schema. */
gchar *profile_json(const Profile *profile);
/** One page that needs nothing else: chart, sums, all steps. */
gchar *profile_html(const Profile *profile);

G_END_DECLS
#endif
