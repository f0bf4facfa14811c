/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Executions: from submit() to the end of wait(). */
#include <math.h>
#include <string.h>

#include "tests/fake/fake-module.h"

/* How often the device looks at a frame. */
#define READING_NS 200000
/* With scramble, how long an execution waits for a newer one to overtake it. */
#define OVERTAKING_NS 5000000
/* A call that began before the host could know of a time-out may come so much later. */
#define GRACE_NS 2000000000u

#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* ---- the device -------------------------------------------------------------------------------------------------- */

void *fake_read_frames(void *data)
{
    FakeEngine *engine = data;

    pthread_mutex_lock(&fake.lock);
    while (!engine->stop) {
        int busy = 0;

        for (uint32_t i = 0; i < engine->info.n_slots; i++) {
            const FakeSlot *slot = &engine->slots[i];

            if (slot->state == FAKE_SLOT_FREE || slot->state == FAKE_SLOT_TAKEN)
                continue;
            fake_check_context_locked(engine->device, "a frame under way");
            for (uint32_t j = 0; j < slot->n; j++)
                fake_read_job_locked(engine, &slot->jobs[j]);
            busy = 1;
        }
        fake_sleep_locked(busy ? fake_now() + READING_NS : 0);
    }
    pthread_mutex_unlock(&fake.lock);
    return NULL;
}

static void compute(const FakeEngine *engine, const GpudlJob *job)
{
    const GpudlFrame *frame = fake_frame_of(job);
    const float *values = fake_values_of(job);

    for (uint32_t head = 0; head < engine->n_heads; head++) {
        const uint32_t n = engine->n_classes[head];
        const uint32_t best = frame ? (*(const uint8_t *)frame->planes[0] + head) % n : 0;

        for (uint32_t i = 0; i < n; i++)
            job->outputs[head][i] =
                frame ? (float)(n - (i + n - best) % n) / (float)n : values[(i + head) % engine->n_values];
        if (frame && n > 1 && (__atomic_load_n(&fake.does.not_finite, __ATOMIC_RELAXED) >> head & 1) != 0)
            job->outputs[head][1] = NAN;
    }
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

FakeSlot *fake_check_slot_locked(FakeEngine *engine, uint32_t slot, FakeSlotState state, const char *what)
{
    static const char *const states[] = {"free", "in submit()", "under way", "in wait()", "lost", "in profile()"};

    if (engine->closed)
        fake_violation("%s on a closed engine", what);
    if (slot >= engine->info.n_slots)
        fake_violation("%s of slot %u of %u", what, slot, engine->info.n_slots);
    if (engine->slots[slot].state != state)
        fake_violation("%s of slot %u, which is %s", what, slot, states[engine->slots[slot].state]);
    if (engine->idling)
        fake_violation("%s beside idle()", what);
    if (engine->lost && fake_now() > engine->lost_ns + GRACE_NS)
        fake_violation("%s after wait() has said TIMEOUT", what);
    fake_check_context_locked(engine->device, what);
    return &engine->slots[slot];
}

void fake_die_locked(FakeEngine *engine, FakeSlot *slot)
{
    engine->dead = 1;
    for (uint32_t i = 0; i < engine->info.n_slots; i++)
        if (!slot || slot == &engine->slots[i])
            engine->slots[i].late = 1;
    pthread_cond_broadcast(&fake.changed);
}

static void free_slot_locked(FakeEngine *engine, FakeSlot *slot)
{
    for (uint32_t i = 0; i < slot->n; i++) {
        FakeTicket *ticket = slot->jobs[i].ticket;

        if (ticket)
            ticket->under_way = 0;
    }
    fake.seen.running -= slot->n;
    fake.seen.under_way--;
    slot->state = FAKE_SLOT_FREE;
    slot->jobs = NULL;
    slot->n = 0;
    pthread_cond_broadcast(&fake.changed);
}

/* Of those under way none is newer; whoever is alone gives others time to come. Asynchronous ones are waited for in
 * their order. */
static int is_its_turn_locked(const FakeEngine *engine, const FakeSlot *slot)
{
    if (!fake.does.scramble || FAKE_ASYNC)
        return 1;
    for (uint32_t i = 0; i < engine->info.n_slots; i++)
        if (engine->slots[i].state != FAKE_SLOT_FREE && engine->slots[i].number > slot->number)
            return 0;
    return fake_now() >= slot->ends_ns + OVERTAKING_NS || engine->n_calls > 1;
}

static GpudlStatus die_locked(FakeEngine *engine, FakeSlot *slot, const char *why, GpudlFault *fault)
{
    engine->dead = 1;
    slot->late = slot->late || !FAKE_ASYNC; /* there another thread submits */
    fake.seen.died++;
    pthread_cond_broadcast(&fake.changed);
    return fake_fail(fault, GPUDL_STATUS_DEVICE, "%s", why);
}

/* A frame's producer has yet to complete it: the device waits for its stream, and the host for nothing. */
static int is_incomplete_locked(const FakeSlot *slot)
{
    for (uint32_t i = 0; i < slot->n; i++) {
        const GpudlFrame *frame = fake_frame_of(&slot->jobs[i]);
        const FakeStream *stream = frame ? frame->cuda_stream : NULL;

        if (stream && __atomic_load_n(&stream->pending, __ATOMIC_SEQ_CST))
            return 1;
    }
    return 0;
}

/* Waits for the end of an execution: until it is computed, fails, or the device dies. limit_ns 0: however long. */
static GpudlStatus end_locked(FakeEngine *engine, FakeSlot *slot, uint64_t limit_ns, GpudlFault *fault)
{
    uint64_t end = limit_ns ? fake_now() + limit_ns : 0;

    for (;;) {
        const uint64_t now = fake_now();
        const int held = fake.does.hold || is_incomplete_locked(slot);
        const int over = !held && !slot->hangs && now >= slot->ends_ns;

        if (fake.does.die || (slot->dies && over)) {
            fake.does.die = 0;
            return die_locked(engine, slot, "asked to die", fault);
        }
        if (engine->dead && !slot->hangs && !fake.does.survive)
            return die_locked(engine, slot, "the device is gone", fault);
        if (over && is_its_turn_locked(engine, slot))
            break;
        if (held && !slot->hangs) {
            fake_sleep_locked(0);
            end = limit_ns ? fake_now() + limit_ns : 0;
        } else if (end != 0 && now >= end) {
            return GPUDL_STATUS_TIMEOUT;
        } else {
            fake_sleep_locked(over          ? now + OVERTAKING_NS / 8
                              : slot->hangs ? end
                              : end         ? MIN(slot->ends_ns, end)
                                            : slot->ends_ns);
        }
    }
    if (slot->fails != GPUDL_STATUS_OK) {
        fake.seen.failed++;
        return fake_fail(fault, slot->fails, "asked to fail");
    }
    for (uint32_t i = 0; i < slot->n; i++)
        compute(engine, &slot->jobs[i]);
    fake.seen.runs++;
    fake.seen.jobs += slot->n;
    return GPUDL_STATUS_OK;
}

/* ---- submit ------------------------------------------------------------------------------------------------------ */

static void decide_fate_locked(FakeSlot *slot)
{
    uint64_t us = fake.does.delay_us;

    slot->hangs = (int)fake.does.hang;
    slot->dies = fake_chance_locked(fake.does.die_ppm);
    slot->fails = fake.seen.submits == fake.does.fail_run_at || fake_chance_locked(fake.does.fail_run_ppm)
                      ? fake.does.fail_status
                      : GPUDL_STATUS_OK;
    for (uint32_t i = 0; i < slot->n; i++) {
        const float *values = fake_values_of(&slot->jobs[i]);
        float steer = values ? values[0] : 0;

        if (steer == FAKE_FAILS)
            slot->fails = GPUDL_STATUS_FAILED;
        else if (steer == FAKE_DIES)
            slot->dies = 1;
        else if (steer == FAKE_HANGS)
            slot->hangs = 1;
        else if (steer > 0 && steer < FAKE_FAILS && (uint64_t)steer > us)
            us = (uint64_t)steer;
    }
    slot->ends_ns = fake_now() + us * 1000;
}

static void check_submit_locked(FakeEngine *engine, const GpudlJob *jobs, uint32_t n)
{
    if (n < 1 || n > engine->info.max_batch)
        fake_violation("submit() of %u jobs, at most %u go into one execution", n, engine->info.max_batch);
    if (FAKE_ASYNC && engine->submitting)
        fake_violation("submit() beside submit()");
    if (FAKE_ASYNC && engine->has_submitter && !pthread_equal(engine->submitter, pthread_self()))
        fake_violation("submit() on two threads");
    engine->has_submitter = 1;
    engine->submitter = pthread_self();
    for (uint32_t i = 0; i < n; i++)
        fake_check_job_locked(engine, &jobs[i]);
}

static void begin_locked(FakeEngine *engine, FakeSlot *slot, const GpudlJob *jobs, uint32_t n)
{
    slot->state = FAKE_SLOT_SUBMITTING;
    slot->jobs = jobs;
    slot->n = n;
    slot->number = ++engine->n_submitted;
    engine->submitting++;
    engine->n_calls++;
    if (fake.seen.submits < FAKE_N_SIZES)
        fake.seen.sizes[fake.seen.submits] = n;
    fake.seen.submits++;
    fake.seen.under_way++;
    fake.seen.running += n;
    if (fake.seen.running > fake.seen.max_running)
        fake.seen.max_running = fake.seen.running;
    if (jobs[n - 1].frame) {
        fake.seen.last_preproc = *jobs[n - 1].preproc;
        if (!fake.table->stage)
            fake.seen.last_frame = *jobs[n - 1].frame;
    }
    pthread_cond_broadcast(&fake.changed);
}

/* A submit() that the host began before it could know that the device is dead: one of each thread. */
static GpudlStatus refuse_late_locked(FakeEngine *engine, FakeSlot *slot, GpudlFault *fault)
{
    if (slot->late)
        fake_violation("submit() after DEVICE");
    fake.seen.late_submits++;
    fake_die_locked(engine, FAKE_ASYNC ? NULL : slot);
    return fake_fail(fault, GPUDL_STATUS_DEVICE, "the device is gone");
}

static GpudlStatus run_submit_locked(FakeEngine *engine, FakeSlot *slot, GpudlFault *fault)
{
    if (engine->dead)
        return refuse_late_locked(engine, slot, fault);
    if (fake.does.hang_submit) {
        fake_begin_hang_locked(engine);
        while (fake.does.hang_submit)
            fake_sleep_locked(0);
        fake.seen.stuck--;
    }
    if (fake.seen.submits == fake.does.fail_submit_at || fake_chance_locked(fake.does.fail_submit_ppm)) {
        if (fake.does.fail_status == GPUDL_STATUS_DEVICE)
            fake_die_locked(engine, FAKE_ASYNC ? NULL : slot);
        fake.seen.failed++;
        return fake_fail(fault, fake.does.fail_status, "asked to fail, submit %u", fake.seen.submits);
    }
    decide_fate_locked(slot);
    if (FAKE_ASYNC || slot->hangs)
        return GPUDL_STATUS_OK;
    return end_locked(engine, slot, 0, fault);
}

GpudlStatus fake_submit(void *data, uint32_t slot, const GpudlJob *jobs, uint32_t n, GpudlFault *fault)
{
    FakeEngine *engine = data;
    GpudlStatus status;
    FakeSlot *s;

    pthread_mutex_lock(&fake.lock);
    s = fake_check_slot_locked(engine, slot, FAKE_SLOT_FREE, "submit()");
    check_submit_locked(engine, jobs, n);
    begin_locked(engine, s, jobs, n);
    status = run_submit_locked(engine, s, fault);
    if (status == GPUDL_STATUS_OK) {
        s->state = FAKE_SLOT_UNDER_WAY;
    } else {
        engine->n_submitted -= FAKE_ASYNC;
        free_slot_locked(engine, s);
    }
    engine->submitting--;
    engine->n_calls--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return status;
}

/* ---- wait -------------------------------------------------------------------------------------------------------- */

static void check_wait_locked(FakeEngine *engine, const FakeSlot *slot)
{
    if (!FAKE_ASYNC)
        return;
    if (slot->number != engine->n_waited + 1)
        fake_violation("wait() for submission %llu, expected %llu: in their order", (unsigned long long)slot->number,
                       (unsigned long long)engine->n_waited + 1);
    engine->n_waited++;
    if (engine->waiting)
        fake_violation("wait() beside wait()");
    if (engine->has_completer && !pthread_equal(engine->completer, pthread_self()))
        fake_violation("wait() on two threads");
    engine->has_completer = 1;
    engine->completer = pthread_self();
}

GpudlStatus fake_wait(void *data, uint32_t slot, uint64_t timeout_ns, GpudlFault *fault)
{
    FakeEngine *engine = data;
    GpudlStatus status = GPUDL_STATUS_OK;
    FakeSlot *s;

    if (timeout_ns == 0)
        fake_violation("wait() for no time at all");
    pthread_mutex_lock(&fake.lock);
    s = fake_check_slot_locked(engine, slot, FAKE_SLOT_UNDER_WAY, "wait()");
    check_wait_locked(engine, s);
    s->state = FAKE_SLOT_WAITING;
    engine->waiting++;
    engine->n_calls++;
    fake.seen.waits++;
    if (FAKE_ASYNC || s->hangs)
        status = end_locked(engine, s, timeout_ns, fault);
    if (status == GPUDL_STATUS_TIMEOUT) {
        s->state = FAKE_SLOT_LOST;
        fake_abandon_locked(engine);
        engine->lost = 1;
        engine->lost_ns = fake_now();
        fake.seen.timeouts++;
        fake_fail(fault, status, "asked to hang");
    } else {
        free_slot_locked(engine, s);
    }
    engine->waiting--;
    engine->n_calls--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return status;
}
