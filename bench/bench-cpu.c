/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What bench.py measures of ours. Results go to standard output as JSON, one object a line.
 *
 *   bench-cpu net MODEL THREADS [PRECISION]  runs as many frames as a line of standard input says, THREADS at a time
 *   bench-cpu open MODEL THREADS [PRECISION] from the file to a session, by three clocks; the most memory it took
 *   bench-cpu live MODEL SECONDS             frames of 768x576 I420 at 25/s through a session, all processor time
 *   bench-cpu preproc                        pre-processing alone, every format at two sizes to 224x224
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "engine/cpu/preproc.h"
#include "engine/gpudl.h"
#include "models/gpudl-import.h"

#define MOST_THREADS 64

static gint64 now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * G_GINT64_CONSTANT(1000000000) + t.tv_nsec;
}

static double processor_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* Of this thread alone: what it would take on cores that nobody else uses, if it never waits. */
static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int fail(const GError *error)
{
    fprintf(stderr, "bench-cpu: %s\n", error->message);
    return 1;
}

static GpudlSession *acquire(GpudlModel *model, guint threads, GpudlPrecision precision, GError **error)
{
    const GpudlSessionConfig config = {.struct_size = sizeof config,
                                       .backend = "cpu",
                                       .cuda_device_id = -1,
                                       .cpu_threads = threads,
                                       .precision = precision};

    return gpudl_session_acquire(model, &config, NULL, error);
}

static GpudlSession *open_session(const char *path, guint threads, GpudlPrecision precision, GError **error)
{
    g_autoptr(GpudlModel) model = gpudl_model_load(path, NULL, NULL, error);

    return model != NULL ? acquire(model, threads, precision, error) : NULL;
}

/* ---- network alone ----------------------------------------------------------------------------------------------- */

static float *random_input(const GpudlPreproc *pp)
{
    gsize n = (gsize)pp->channels * pp->height * pp->width;
    float *values = g_new(float, n);
    GRand *rand = g_rand_new_with_seed(1);

    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(rand, -2, 2);
    g_rand_free(rand);
    return values;
}

/* frames runs, in_flight of them at a time; ns of all. -1 and error on failure. */
static gint64 run_frames(GpudlRequest **requests, guint in_flight, int frames, const float *values, GError **error)
{
    gint64 start = now_ns();

    for (int i = 0; i < frames + (int)in_flight; i++) {
        GpudlRequest *request = requests[i % (int)in_flight];

        if (i >= (int)in_flight && !gpudl_request_wait(request, error))
            return -1;
        if (i < frames && !gpudl_request_submit_tensor(request, values, error))
            return -1;
    }
    return now_ns() - start;
}

static int bench_net(const char *path, guint threads, GpudlPrecision precision)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = open_session(path, threads, precision, &error);
    g_autoptr(GpudlStream) stream = NULL;
    g_autofree float *values = NULL;
    GpudlRequest *requests[MOST_THREADS];
    char line[64];
    int status = 0;

    if (session == NULL)
        return fail(error);
    stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    values = random_input(gpudl_model_get_preproc(gpudl_session_get_model(session)));
    for (guint i = 0; i < threads; i++)
        requests[i] = gpudl_request_new(stream);
    printf("{\"ready\": \"%s\", \"precision\": \"%s\"}\n", gpudl_session_get_device_name(session),
           gpudl_precision_name(gpudl_session_get_precision(session)));
    fflush(stdout);
    while (status == 0 && fgets(line, sizeof line, stdin) != NULL) {
        int frames = atoi(line);
        gint64 ns = run_frames(requests, threads, frames, values, &error);

        if (ns < 0)
            status = fail(error);
        else
            printf("{\"frames\": %d, \"ns\": %" G_GINT64_FORMAT "}\n", frames, ns);
        fflush(stdout);
    }
    for (guint i = 0; i < threads; i++)
        gpudl_request_free(requests[i]);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

typedef struct {
    gint64 wall;
    double processor, thread;
} Clocks;

static Clocks read_clocks(void)
{
    return (Clocks){now_ns(), processor_seconds(), thread_seconds()};
}

/* Says how long what has just ended took, and begins anew. */
static void tell_part(const char *part, Clocks *begin)
{
    const Clocks now = read_clocks();

    printf("\"%s\": {\"wall_ms\": %.1f, \"processor_ms\": %.1f, \"thread_ms\": %.1f}, ", part,
           (now.wall - begin->wall) * 1e-6, (now.processor - begin->processor) * 1e3,
           (now.thread - begin->thread) * 1e3);
    *begin = now;
}

static int bench_open(const char *path, guint threads, GpudlPrecision precision)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlModel) model = NULL;
    g_autoptr(GpudlSession) session = NULL;
    Clocks clocks = read_clocks();
    struct rusage usage;

    printf("{");
    if ((model = gpudl_model_load(path, NULL, NULL, &error)) == NULL)
        return fail(error);
    tell_part("load", &clocks);
    if ((session = acquire(model, threads, precision, &error)) == NULL)
        return fail(error);
    tell_part("open", &clocks);
    getrusage(RUSAGE_SELF, &usage);
    printf("\"peak_mb\": %.0f}\n", usage.ru_maxrss * 1024e-6);
    return 0;
}

/* ---- live -------------------------------------------------------------------------------------------------------- */

/* A frame of a format with its own bytes: a smooth picture with some noise. */
static void frame_init(GpudlFrame *frame, GpudlPixelFormat format, int width, int height)
{
    gint32 bytes[4], rows[4];
    int planes = gpudl_pixel_format_layout(format, width, height, bytes, rows);

    *frame = (GpudlFrame){.struct_size = sizeof *frame,
                          .format = format,
                          .width = width,
                          .height = height,
                          .chroma_site = GPUDL_CHROMA_H_COSITED};
    for (int p = 0; p < planes; p++) {
        guint8 *data = g_malloc((gsize)bytes[p] * rows[p]);

        for (gsize i = 0; i < (gsize)bytes[p] * rows[p]; i++)
            data[i] = (guint8)(64 + i % 97 + i / bytes[p] % 31);
        frame->planes[p] = data;
        frame->strides[p] = bytes[p];
    }
}

static void frame_clear(GpudlFrame *frame)
{
    for (int p = 0; p < 4; p++)
        g_free((gpointer)frame->planes[p]);
}

static int bench_live(const char *path, int seconds)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlSession) session = open_session(path, 0, GPUDL_PRECISION_AUTO, &error);
    g_autoptr(GpudlStream) stream = NULL;
    g_autoptr(GpudlRequest) request = NULL;
    GpudlFrame frame;
    double before, used;
    gint64 start, latency = 0;
    int frames = 25 * seconds;
    gboolean good = TRUE;

    if (session == NULL)
        return fail(error);
    stream = gpudl_stream_new(session, gpudl_session_get_model(session));
    request = gpudl_request_new(stream);
    frame_init(&frame, GPUDL_PIXEL_I420, 768, 576);
    before = processor_seconds();
    start = now_ns();
    for (int i = 0; i < frames && good; i++) {
        gint64 due = start + i * G_GINT64_CONSTANT(40000000), left = due - now_ns();

        if (left > 0)
            g_usleep((gulong)(left / 1000));
        good = gpudl_request_submit(request, &frame, NULL, &error) && gpudl_request_wait(request, &error);
        if (good)
            latency += gpudl_request_get_timing(request)->finished - gpudl_request_get_timing(request)->submitted;
    }
    used = processor_seconds() - before;
    if (good)
        printf("{\"frames\": %d, \"wall_s\": %.3f, \"cpu_s\": %.3f, \"latency_ms\": %.3f}\n", frames,
               (now_ns() - start) * 1e-9, used, latency * 1e-6 / frames);
    frame_clear(&frame);
    return good ? 0 : fail(error);
}

/* ---- pre-processing ---------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void bench_format(CpuPreproc *preproc, GpudlPixelFormat format, int width, int height)
{
    const GpudlPreproc pp = {sizeof pp,
                             224,
                             224,
                             3,
                             GPUDL_CHANNELS_RGB,
                             GPUDL_RESIZE_STRETCH,
                             GPUDL_SCALE_BILINEAR,
                             1,
                             0,
                             255,
                             {0.485f, 0.456f, 0.406f},
                             {0.229f, 0.224f, 0.225f}};
    g_autofree float *dst = g_new(float, 3 * 224 * 224);
    double ms[41];
    GpudlFrame frame;

    frame_init(&frame, format, width, height);
    for (guint i = 0; i < G_N_ELEMENTS(ms) + 2; i++) { /* two to warm up */
        gint64 start = now_ns();

        if (cpu_preproc_run(preproc, &frame, &pp, CPU_PREPROC_INTERLEAVED, dst) != NULL)
            g_error("pre-processing refuses its frame");
        if (i >= 2)
            ms[i - 2] = (now_ns() - start) * 1e-6;
    }
    qsort(ms, G_N_ELEMENTS(ms), sizeof *ms, compare_doubles);
    printf("{\"format\": \"%s\", \"width\": %d, \"height\": %d, \"min_ms\": %.4f, \"median_ms\": %.4f, \"p90_ms\": "
           "%.4f}\n",
           gpudl_pixel_format_name(format), width, height, ms[0], ms[G_N_ELEMENTS(ms) / 2],
           ms[G_N_ELEMENTS(ms) * 9 / 10]);
    frame_clear(&frame);
}

static int bench_preproc(void)
{
    CpuPreproc *preproc = cpu_preproc_new(cpu_preproc_best());

    printf("{\"instructions\": \"%s\"}\n", cpu_preproc_isa_name(cpu_preproc_best()));
    for (int format = 1; format <= GPUDL_PIXEL_LAST; format++) {
        bench_format(preproc, (GpudlPixelFormat)format, 768, 576);
        bench_format(preproc, (GpudlPixelFormat)format, 1920, 1080);
    }
    cpu_preproc_free(preproc);
    return 0;
}

static gboolean precision_from(const char *name, GpudlPrecision *precision)
{
    for (int i = GPUDL_PRECISION_AUTO; i <= GPUDL_PRECISION_FP8; i++) {
        if (strcmp(name, gpudl_precision_name((GpudlPrecision)i)) != 0)
            continue;
        *precision = (GpudlPrecision)i;
        return TRUE;
    }
    return FALSE;
}

int main(int argc, char **argv)
{
    GpudlPrecision precision = GPUDL_PRECISION_AUTO;

    if ((argc == 4 || (argc == 5 && precision_from(argv[4], &precision))) && strcmp(argv[1], "net") == 0 &&
        atoi(argv[3]) >= 1 && atoi(argv[3]) <= MOST_THREADS)
        return bench_net(argv[2], (guint)atoi(argv[3]), precision);
    if ((argc == 4 || (argc == 5 && precision_from(argv[4], &precision))) && strcmp(argv[1], "open") == 0 &&
        atoi(argv[3]) >= 1 && atoi(argv[3]) <= MOST_THREADS)
        return bench_open(argv[2], (guint)atoi(argv[3]), precision);
    if (argc == 4 && strcmp(argv[1], "live") == 0 && atoi(argv[3]) >= 1)
        return bench_live(argv[2], atoi(argv[3]));
    if (argc == 2 && strcmp(argv[1], "preproc") == 0)
        return bench_preproc();
    fprintf(stderr, "usage: bench-cpu net MODEL THREADS [PRECISION] | open MODEL THREADS [PRECISION] | live MODEL "
                    "SECONDS | preproc\n");
    return 2;
}
