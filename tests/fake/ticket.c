/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets: what stage() has copied of a frame, or where the device reads it itself. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/preproc.h"
#include "tests/fake/fake-module.h"

#define MAGIC 0x7469636bu
/* A stage() that began before the host could know of a time-out may come so much later. */
#define GRACE_NS 2000000000u

/* Row lengths and numbers; ends the process for a frame that the host should have refused. */
static int layout(const GpudlFrame *frame, int32_t row_bytes[4], int32_t rows[4])
{
    int planes = gpudl_pixel_format_layout(frame->format, frame->width, frame->height, row_bytes, rows);

    if (planes <= 0)
        fake_violation("a frame of format %d, %dx%d", (int)frame->format, frame->width, frame->height);
    return planes;
}

static void copy_frame(FakeTicket *ticket, const GpudlFrame *frame)
{
    int32_t row_bytes[4] = {0}, rows[4] = {0};
    int planes = layout(frame, row_bytes, rows);
    size_t bytes = 0;

    for (int i = 0; i < planes; i++)
        bytes += (size_t)row_bytes[i] * (size_t)rows[i];
    if (bytes > ticket->room) {
        free(ticket->pixels);
        ticket->pixels = malloc(bytes);
        ticket->room = bytes;
    }
    ticket->frame = *frame;
    bytes = 0;
    for (int i = 0; i < planes; i++) {
        ticket->frame.planes[i] = ticket->pixels + bytes;
        ticket->frame.strides[i] = row_bytes[i];
        for (int32_t y = 0; y < rows[i]; y++, bytes += (size_t)row_bytes[i])
            memcpy(ticket->pixels + bytes, (const uint8_t *)frame->planes[i] + (ptrdiff_t)y * frame->strides[i],
                   (size_t)row_bytes[i]);
    }
}

static void check_pinned_locked(const FakeEngine *engine, const GpudlFrame *frame)
{
    int32_t row_bytes[4] = {0}, rows[4] = {0};
    int planes = layout(frame, row_bytes, rows);

    for (int i = 0; i < planes; i++) {
        size_t bytes = (size_t)(rows[i] - 1) * (size_t)frame->strides[i] + (size_t)row_bytes[i];

        if (!fake_is_pinned_locked(engine->device, frame->planes[i], bytes))
            fake_violation("stage(): plane %d of a frame in pinned memory is not in memory of the engine's device", i);
    }
}

static void check_stage_locked(const FakeEngine *engine, const FakeTicket *ticket, const GpudlFrame *frame,
                               const float *values)
{
    if (engine->closed)
        fake_violation("stage() on an engine that is closed");
    if (engine->lost && fake_now() > engine->lost_ns + GRACE_NS)
        fake_violation("stage() after wait() has said TIMEOUT");
    if (!frame == !values)
        fake_violation("stage() of %s", frame ? "both a frame and values" : "nothing");
    if (frame && ((unsigned)frame->memory > GPUDL_MEMORY_LAST || !(engine->info.memory_kinds & (1u << frame->memory))))
        fake_violation("stage() of a frame in memory of kind %d", (int)frame->memory);
    if (frame && frame->memory == GPUDL_MEMORY_HOST_PINNED)
        check_pinned_locked(engine, frame);
    if (ticket && (ticket->magic != MAGIC || ticket->engine != engine))
        fake_violation("stage() with a ticket of another engine, or one that was freed");
    if (ticket && ticket->staged)
        fake_violation("stage() with a ticket that is staged");
    fake_check_context_locked(engine->device, "stage()");
}

static GpudlStatus fate_of_stage_locked(GpudlFault *fault)
{
    fake.seen.stages++;
    if (fake.seen.stages == fake.does.fail_stage_at || fake_chance_locked(fake.does.fail_stage_ppm))
        return fake_fail(fault, fake.does.fail_status, "asked to fail, stage %u", fake.seen.stages);
    return GPUDL_STATUS_OK;
}

GpudlStatus fake_stage(void *data, void **where, const GpudlFrame *frame, const float *values, GpudlFault *fault)
{
    FakeEngine *engine = data;
    FakeTicket *ticket = *where;
    GpudlStatus status;
    uint32_t us;

    pthread_mutex_lock(&fake.lock);
    check_stage_locked(engine, ticket, frame, values);
    status = fate_of_stage_locked(fault);
    if (status == GPUDL_STATUS_OK && frame && frame->cuda_context && frame->cuda_context != engine->device->context)
        status = fake_fail(fault, GPUDL_STATUS_INVALID_ARGUMENT, "a frame of context %p, the session's is %p",
                           frame->cuda_context, (void *)engine->device->context);
    us = fake.does.slow_stage_us;
    if (frame)
        fake.seen.last_frame = *frame;
    if (status == GPUDL_STATUS_OK && !ticket) {
        *where = ticket = calloc(1, sizeof *ticket);
        ticket->magic = MAGIC;
        ticket->engine = engine;
        ticket->values = calloc(engine->n_values, sizeof(float));
        engine->n_tickets++;
        fake.seen.tickets++;
    }
    if (status == GPUDL_STATUS_DEVICE)
        engine->dead = engine->dead_by_stage = 1;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (us > 0)
        usleep(us);
    if (status != GPUDL_STATUS_OK)
        return status;

    /* beside everything: the ticket is the caller's alone */
    ticket->has_frame = frame != NULL;
    if (frame && frame->memory == GPUDL_MEMORY_HOST)
        copy_frame(ticket, frame);
    else if (frame)
        ticket->frame = *frame;
    else
        memcpy(ticket->values, values, engine->n_values * sizeof(float));

    pthread_mutex_lock(&fake.lock);
    ticket->staged = 1;
    if (++fake.seen.staged > fake.seen.max_staged)
        fake.seen.max_staged = fake.seen.staged;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return GPUDL_STATUS_OK;
}

void fake_unstage(void *data, void *where)
{
    FakeEngine *engine = data;
    FakeTicket *ticket = where;
    uint32_t us;

    pthread_mutex_lock(&fake.lock);
    if (!ticket || ticket->magic != MAGIC || ticket->engine != engine || engine->closed)
        fake_violation("unstage() of what is no ticket of an open engine");
    if (!ticket->staged)
        fake_violation("unstage() of a ticket that is not staged");
    if (ticket->under_way)
        fake_violation("unstage() of a ticket whose slot has not been waited for");
    ticket->staged = 0;
    if (ticket->has_frame && ticket->frame.memory == GPUDL_MEMORY_HOST && ticket->pixels)
        memset(ticket->pixels, 0xdd, ticket->room); /* what comes after it sees rubbish */
    fake.seen.unstages++;
    fake.seen.staged--;
    us = fake.does.slow_unstage_us;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (us > 0)
        usleep(us);
}

void fake_ticket_free(void *data, void *where)
{
    FakeEngine *engine = data;
    FakeTicket *ticket = where;

    pthread_mutex_lock(&fake.lock);
    if (!ticket || ticket->magic != MAGIC || ticket->engine != engine || engine->closed)
        fake_violation("ticket_free() of what is no ticket of an open engine");
    if (ticket->staged)
        fake_violation("ticket_free() between stage() and unstage()");
    engine->n_tickets--;
    fake.seen.tickets--;
    ticket->magic = 0;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    free(ticket->pixels);
    free(ticket->values);
    free(ticket);
}

/* ---- in an execution --------------------------------------------------------------------------------------------- */

void fake_check_job_locked(FakeEngine *engine, const GpudlJob *job)
{
    FakeTicket *ticket = job->ticket;

    if (!job->frame == !job->values)
        fake_violation("a job with %s", job->frame ? "both a frame and values" : "neither frame nor values");
    if (job->frame && !job->preproc)
        fake_violation("a job with a frame and no pre-processing");
    for (uint32_t i = 0; i < engine->n_heads; i++)
        if (!job->outputs || !job->outputs[i])
            fake_violation("a job without a place for the values of head %u", i);
    if (!fake.table->stage) {
        if (ticket)
            fake_violation("a job with a ticket, of a module without stage()");
        return;
    }
    if (!ticket || ticket->magic != MAGIC || ticket->engine != engine || !ticket->staged)
        fake_violation("a job that is not staged");
    if (ticket->under_way)
        fake_violation("a job that is under way already");
    if (ticket->has_frame != (job->frame != NULL))
        fake_violation("a job that is not what was staged");
    ticket->under_way = 1;
}

const GpudlFrame *fake_frame_of(const GpudlJob *job)
{
    const FakeTicket *ticket = job->ticket;

    return job->frame && ticket ? &ticket->frame : job->frame;
}

const float *fake_values_of(const GpudlJob *job)
{
    const FakeTicket *ticket = job->ticket;

    return !job->frame && ticket ? ticket->values : job->values;
}

void fake_read_job_locked(const FakeEngine *engine, const GpudlJob *job)
{
    static volatile unsigned sum;
    const GpudlFrame *frame = fake_frame_of(job);
    const float *values = fake_values_of(job);
    int32_t row_bytes[4] = {0}, rows[4] = {0};
    int planes;

    if (!frame) {
        sum += (unsigned)(values[0] != 0) + (unsigned)(values[engine->n_values - 1] != 0);
        return;
    }
    planes = layout(frame, row_bytes, rows);
    for (int i = 0; i < planes; i++) {
        const uint8_t *row = frame->planes[i];

        for (int32_t y = 0; y < rows[i]; y++, row += frame->strides[i])
            sum += (unsigned)row[0] + row[row_bytes[i] - 1];
    }
}
