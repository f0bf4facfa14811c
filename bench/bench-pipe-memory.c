/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames in system memory: pushed again and again out of buffers that are filled once, and copies to compare with. */
#include "bench/bench-pipe.h"

#include <gmodule.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_NS (GST_SECOND / 30)
#define RING 8 /* frames that copies go to, one after the other */

static gboolean fail(GError **error, const gchar *message)
{
    g_set_error_literal(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED, message);
    return FALSE;
}

/* Something that does not shrink to one page. */
static void fill(void *data, gsize bytes, guint64 seed)
{
    guint64 *words = data, value = seed * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) + 1;

    for (gsize i = 0; i < bytes / sizeof *words; i++) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        words[i] = value;
    }
}

static gboolean parse_caps(const PipeOptions *options, GstCaps **caps, gsize *bytes, GError **error)
{
    GstVideoInfo info;

    *caps = gst_caps_from_string(options->caps);
    if (*caps == NULL || !gst_video_info_from_caps(&info, *caps)) {
        gst_clear_caps(caps);
        return fail(error, "--caps: expected those of raw video, with format, width and height");
    }
    *bytes = info.size;
    return TRUE;
}

/* ---- pushing ----------------------------------------------------------------------------------------------------- */

/* What one stream pushes; used by its streaming thread alone while it plays. */
typedef struct {
    const PipeOptions *options;
    GstCaps *caps;
    gsize bytes;
    GstBufferPool *pool;
    GPtrArray *buffers;
    guint64 pushed;
} Feed;

static void feed_clear(Feed *feed)
{
    g_clear_pointer(&feed->buffers, g_ptr_array_unref);
    if (feed->pool != NULL)
        gst_buffer_pool_set_active(feed->pool, FALSE);
    gst_clear_object(&feed->pool);
    gst_clear_caps(&feed->caps);
}

/* Asks what comes behind the source for a pool, as any source does. */
static gboolean ask_pool(Feed *feed, GstElement *source, GError **error)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(source, "src");
    g_autoptr(GstQuery) query = gst_query_new_allocation(feed->caps, TRUE);
    GstStructure *config;
    guint size = 0, min = 0, max = 0;

    if (gst_pad_peer_query(pad, query) && gst_query_get_n_allocation_pools(query) > 0)
        gst_query_parse_nth_allocation_pool(query, 0, &feed->pool, &size, &min, &max);
    if (feed->pool == NULL)
        return fail(error, "--memory=pool: no pool is proposed for such frames");
    if (max != 0 && max < (guint)feed->options->buffers)
        return fail(error, "--memory=pool: the pool that is proposed has fewer buffers than --buffers says");
    config = gst_buffer_pool_get_config(feed->pool);
    gst_buffer_pool_config_set_params(config, feed->caps, MAX(size, (guint)feed->bytes), (guint)feed->options->buffers,
                                      max);
    return (gst_buffer_pool_set_config(feed->pool, config) && gst_buffer_pool_set_active(feed->pool, TRUE)) ||
           fail(error, "--memory=pool: the pool that is proposed can't be used");
}

static GstBuffer *new_buffer(Feed *feed)
{
    GstBuffer *buffer = NULL;

    if (feed->pool == NULL)
        return gst_buffer_new_allocate(NULL, feed->bytes, NULL);
    return gst_buffer_pool_acquire_buffer(feed->pool, &buffer, NULL) == GST_FLOW_OK ? buffer : NULL;
}

static gboolean fill_buffers(Feed *feed, GstElement *source, GError **error)
{
    if (strcmp(feed->options->memory, "pool") == 0 && !ask_pool(feed, source, error))
        return FALSE;
    for (gint i = 0; i < feed->options->buffers; i++) {
        GstBuffer *buffer = new_buffer(feed);
        GstMapInfo map;

        if (buffer == NULL)
            return fail(error, "no memory for the buffers");
        g_ptr_array_add(feed->buffers, buffer);
        if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE))
            return fail(error, "a buffer can't be written to");
        fill(map.data, map.size, (guint64)i + 1);
        gst_buffer_unmap(buffer, &map);
    }
    return TRUE;
}

/* On the streaming thread, when the source has nothing. The buffer that goes down is a new one of the same memory: what
 * is downstream may attach to it, and no pixel is copied. */
static void need_data(GstAppSrc *source, guint length, gpointer data)
{
    Feed *feed = data;
    GstBuffer *filled, *buffer;
    g_autoptr(GError) error = NULL;

    if (feed->buffers == NULL) {
        feed->buffers = g_ptr_array_new_with_free_func((GDestroyNotify)gst_buffer_unref);
        if (!fill_buffers(feed, GST_ELEMENT(source), &error))
            GST_ELEMENT_ERROR(source, RESOURCE, FAILED, ("%s", error->message), (NULL));
    }
    if (feed->buffers->len < (guint)feed->options->buffers) {
        gst_app_src_end_of_stream(source);
        return;
    }
    filled = g_ptr_array_index(feed->buffers, feed->pushed % feed->buffers->len);
    buffer = gst_buffer_copy_region(filled, GST_BUFFER_COPY_MEMORY | GST_BUFFER_COPY_META, 0, G_MAXSIZE);
    GST_BUFFER_PTS(buffer) = feed->pushed * FRAME_NS;
    GST_BUFFER_DURATION(buffer) = FRAME_NS;
    feed->pushed++;
    gst_app_src_push_buffer(source, buffer);
}

static gboolean feed_start(Feed *feed, const PipeOptions *options, PipeRun *run, guint i, GError **error)
{
    GstAppSrcCallbacks callbacks = {.need_data = need_data};
    g_autoptr(GstElement) source = pipe_run_get(run, "source", i);

    feed->options = options;
    if (!parse_caps(options, &feed->caps, &feed->bytes, error))
        return FALSE;
    g_object_set(source, "caps", feed->caps, NULL);
    gst_app_src_set_callbacks(GST_APP_SRC(source), &callbacks, feed, NULL);
    return TRUE;
}

static gchar *memory_of(const Feed *feed)
{
    GstMemory *memory = gst_buffer_peek_memory(g_ptr_array_index(feed->buffers, 0), 0);

    return g_strdup_printf(", \"memory\": \"%s\", \"frame_bytes\": %" G_GSIZE_FORMAT, memory->allocator->mem_type,
                           feed->bytes);
}

gboolean pipe_push(const PipeOptions *options, gdouble seconds, GError **error)
{
    PipeOptions mine = *options;
    g_autofree Feed *feeds = g_new0(Feed, (gsize)options->streams);
    g_autofree gchar *more = NULL;
    PipeWindow window;
    gboolean measured;
    PipeRun *run;

    mine.source = (gchar *)"appsrc name=source%u format=time max-bytes=0 max-buffers=1";
    run = pipe_run_new(&mine, error);
    measured = run != NULL;
    for (guint i = 0; measured && i < run->n; i++)
        measured = feed_start(&feeds[i], options, run, i, error);
    measured = measured && pipe_run_measure(run, options, seconds, &window, error);
    if (measured) {
        more = memory_of(&feeds[0]);
        pipe_run_print(run, &window, more);
    }
    g_clear_pointer(&run, pipe_run_free);
    for (gint i = 0; i < options->streams; i++)
        feed_clear(&feeds[i]);
    return measured;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

/* The parts of the driver that are needed, by their documented signatures: no header is. */
typedef struct {
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*set)(void *context);
    int (*stream)(void **stream, unsigned flags);
    int (*wait)(void *stream);
    int (*alloc_host)(void **data, size_t bytes, unsigned flags);
    int (*alloc)(unsigned long long *data, size_t bytes);
    int (*to_device)(unsigned long long device, const void *host, size_t bytes, void *stream);
    void *context;
} Driver;

static gboolean open_driver(Driver *driver)
{
    const struct {
        const gchar *name;
        void *at;
    } wanted[] = {{"cuInit", &driver->init},
                  {"cuDevicePrimaryCtxRetain", &driver->retain},
                  {"cuCtxSetCurrent", &driver->set},
                  {"cuStreamCreate", &driver->stream},
                  {"cuStreamSynchronize", &driver->wait},
                  {"cuMemHostAlloc", &driver->alloc_host},
                  {"cuMemAlloc_v2", &driver->alloc},
                  {"cuMemcpyHtoDAsync_v2", &driver->to_device}};
    GModule *module = g_module_open("libcuda.so.1", G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);

    if (module == NULL)
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++) {
        gpointer symbol;

        if (!g_module_symbol(module, wanted[i].name, &symbol))
            return FALSE;
        memcpy(wanted[i].at, &symbol, sizeof symbol);
    }
    return driver->init(0) == 0 && driver->retain(&driver->context, 0) == 0 && driver->set(driver->context) == 0;
}

static void print_copies(guint64 frames, gint64 ns, gsize bytes, const gchar *kind)
{
    printf("{\"frames\": %" G_GUINT64_FORMAT ", \"window_ns\": %" G_GINT64_FORMAT ", \"ns\": %.0f, \"memory\": \"%s\", "
           "\"frame_bytes\": %" G_GSIZE_FORMAT ", \"GB_s\": %.1f}\n",
           frames, ns, (gdouble)ns / (gdouble)frames, kind, bytes, (gdouble)bytes * (gdouble)frames / (gdouble)ns);
}

/* Memory stays until the process ends, for the next turn. */
static gboolean copy_pinned(const PipeOptions *options, gsize bytes, gdouble seconds, GError **error)
{
    static Driver driver;
    static void *host[1024], *stream;
    static unsigned long long device[RING];
    guint64 frames = 0;
    gint64 begin, ns;

    if (stream == NULL) {
        if (!open_driver(&driver) || driver.stream(&stream, 1) != 0)
            return fail(error, "--memory=pinned: no context on device 0: an NVIDIA GPU and driver are needed");
        for (gint i = 0; i < options->buffers; i++) {
            if (driver.alloc_host(&host[i], bytes, 0) != 0)
                return fail(error, "--memory=pinned: no memory for the frames");
            fill(host[i], bytes, (guint64)i + 1);
        }
        for (gint i = 0; i < RING; i++)
            if (driver.alloc(&device[i], bytes) != 0)
                return fail(error, "--memory=pinned: no memory on the device");
    }
    begin = pipe_now_ns();
    do {
        for (gint i = 0; i < options->buffers; i++)
            if (driver.to_device(device[i % RING], host[i], bytes, stream) != 0)
                return fail(error, "--memory=pinned: a copy failed");
        if (driver.wait(stream) != 0)
            return fail(error, "--memory=pinned: a copy failed");
        frames += (guint64)options->buffers;
        ns = pipe_now_ns() - begin;
    } while (ns < (gint64)(seconds * 1e9));
    print_copies(frames, ns, bytes, "pinned");
    return TRUE;
}

/* A thread that copies its own frames to its own ring. */
typedef struct {
    gint buffers;
    gsize bytes;
    guint8 *frames[1024], *ring[RING];
    gint64 ns; /* for so long */
    guint64 copied;
} Copier;

static gpointer copy_frames(gpointer data)
{
    Copier *copier = data;
    const gint64 begin = pipe_now_ns();

    do {
        memcpy(copier->ring[copier->copied % RING], copier->frames[copier->copied % (guint64)copier->buffers],
               copier->bytes);
        copier->copied++;
    } while (pipe_now_ns() - begin < copier->ns);
    return NULL;
}

static gboolean copier_init(Copier *copier, const Driver *driver, gint buffers, gsize bytes)
{
    copier->buffers = buffers;
    copier->bytes = bytes;
    for (gint i = 0; i < buffers; i++) {
        copier->frames[i] = g_try_malloc(bytes);
        if (copier->frames[i] == NULL)
            return FALSE;
        fill(copier->frames[i], bytes, (guint64)i + 1);
    }
    for (gint i = 0; i < RING; i++) {
        void *block = NULL;

        if (driver == NULL)
            block = g_try_malloc0(bytes);
        else if (driver->alloc_host(&block, bytes, 0) != 0)
            block = NULL;
        if (block == NULL)
            return FALSE;
        copier->ring[i] = block;
    }
    return TRUE;
}

/* Memory stays until the process ends, for the next turn. */
static gboolean copy_malloc(const PipeOptions *options, gsize bytes, gdouble seconds, GError **error)
{
    static Copier *copiers;
    static gboolean pinned;
    g_autofree GThread **threads = g_new0(GThread *, (gsize)options->streams);
    guint64 frames = 0;
    gint64 begin;

    if (copiers == NULL) {
        Driver driver;

        pinned = open_driver(&driver);
        copiers = g_new0(Copier, (gsize)options->streams);
        for (gint i = 0; i < options->streams; i++)
            if (!copier_init(&copiers[i], pinned ? &driver : NULL, options->buffers, bytes))
                return fail(error, "--memory=malloc: no memory for the frames");
    }
    begin = pipe_now_ns();
    for (gint i = 0; i < options->streams; i++) {
        copiers[i].copied = 0;
        copiers[i].ns = (gint64)(seconds * 1e9);
        threads[i] = g_thread_new("copier", copy_frames, &copiers[i]);
    }
    for (gint i = 0; i < options->streams; i++) {
        g_thread_join(threads[i]);
        frames += copiers[i].copied;
    }
    print_copies(frames, pipe_now_ns() - begin, bytes, pinned ? "malloc to pinned" : "malloc to malloc");
    return TRUE;
}

gboolean pipe_copy(const PipeOptions *options, gdouble seconds, GError **error)
{
    g_autoptr(GstCaps) caps = NULL;
    gsize bytes;

    if (!parse_caps(options, &caps, &bytes, error))
        return FALSE;
    return strcmp(options->memory, "pinned") == 0 ? copy_pinned(options, bytes, seconds, error)
                                                  : copy_malloc(options, bytes, seconds, error);
}
