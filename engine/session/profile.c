/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long the steps of a session's network take. */
#include "engine/graph/ops.h"
#include "engine/session/session.h"

typedef struct {
    guint batch, runs;
    GArray *steps;
} Profile;

static GpudlStatus run_profile(GpudlSession *session, guint32 slot, gpointer data, GpudlFault *fault)
{
    const GpudlPlan *plan = session->host.plan(session, ((Profile *)data)->batch, fault);
    const GpudlProfileRow *rows = NULL;
    Profile *profile = data;
    uint32_t n_rows = 0;
    GpudlStatus status;

    if (!plan)
        return GPUDL_STATUS_UNSUPPORTED;
    status = session->backend->profile(session->engine, slot, profile->batch, profile->runs, &rows, &n_rows, fault);
    for (guint i = 0; i < n_rows && status == GPUDL_STATUS_OK; i++) {
        const GpudlPlanNode *node;
        GpudlProfileStep step;

        if (rows[i].node < 0 || rows[i].last_node < rows[i].node || rows[i].last_node >= (gint64)plan->n_nodes) {
            g_snprintf(fault->message, sizeof fault->message, "row %u is of nodes %d to %d, expected 0 to %u", i,
                       rows[i].node, rows[i].last_node, plan->n_nodes - 1);
            return GPUDL_STATUS_BACKEND;
        }
        node = &plan->nodes[rows[i].node];
        step = (GpudlProfileStep){
            .node = node->name,
            .op = gpudl_op_info((GpudlOp)node->op)->name,
            .n_nodes = (guint)(rows[i].last_node - rows[i].node) + 1,
            .implementation = rows[i].implementation,
            .ns = rows[i].ns,
            .bytes = rows[i].bytes,
            .flops = rows[i].flops,
        };
        g_array_append_val(profile->steps, step);
    }
    return status;
}

GArray *gpudl_session_profile(GpudlSession *session, guint batch, guint runs, GError **error)
{
    Profile profile = {.batch = batch, .runs = runs};

    if (!session->backend->profile) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "backend '%s' can't time its steps",
                    session->backend->name);
        return NULL;
    }
    if (batch < 1 || runs < 1) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "a profile of batch %u in %u runs was asked for, expected at least 1 of each", batch, runs);
        return NULL;
    }
    profile.steps = g_array_new(FALSE, FALSE, sizeof(GpudlProfileStep));
    if (gpudl_scheduler_run(session, run_profile, &profile, error))
        return profile.steps;
    g_array_unref(profile.steps);
    return NULL;
}
