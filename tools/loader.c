/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/loader.h"

#define MOST_THREADS 32
/* decoded pictures that wait, beyond one a thread: that a slow one does not hold up the others */
#define AHEAD 4

typedef struct {
    LoadedPicture picture;
    gboolean done;
} Slot;

struct _Loader {
    const Dataset *dataset;
    GCancellable *cancellable;
    GThreadPool *pool; /* NULL: pixels are there */
    guint n_begun, n_taken;
    guint n_slots;
    Slot *slots; /* a ring: picture i has slot i % n_slots */
    GMutex lock; /* of the slots' done */
    GCond ready;
};

void loaded_picture_clear(LoadedPicture *picture)
{
    g_clear_pointer(&picture->media, gpudl_media_frame_free);
    g_clear_error(&picture->error);
}

static void decode(Loader *self, LoadedPicture *picture)
{
    const gchar *path = self->dataset->files->pdata[picture->number];
    GpudlMediaWatch watch = {.cancellable = self->cancellable};
    g_autoptr(GpudlMedia) media = gpudl_media_open_watched(path, &watch, NULL, NULL, &picture->error);

    picture->media = media != NULL ? gpudl_media_next(media, &picture->error) : NULL;
    if (picture->media != NULL) {
        picture->frame = picture->media->frame;
        picture->cut = gpudl_media_is_cut(media);
    } else if (picture->error == NULL) {
        g_set_error(&picture->error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s: has no picture in it", path);
    }
}

static void work(gpointer data, gpointer user_data)
{
    Slot *slot = data;
    Loader *self = user_data;

    decode(self, &slot->picture);
    g_mutex_lock(&self->lock);
    slot->done = TRUE;
    g_cond_broadcast(&self->ready);
    g_mutex_unlock(&self->lock);
}

Loader *loader_new(const Dataset *dataset, GCancellable *cancellable, GError **error)
{
    g_autoptr(Loader) self = g_new0(Loader, 1);
    guint n_threads = CLAMP(g_get_num_processors(), 1, MOST_THREADS);

    g_mutex_init(&self->lock);
    g_cond_init(&self->ready);
    self->dataset = dataset;
    self->cancellable = cancellable;
    self->n_slots = n_threads + AHEAD;
    self->slots = g_new0(Slot, self->n_slots);
    if (dataset->files == NULL)
        return g_steal_pointer(&self);
    /* before there are threads */
    if (gpudl_media_version(error) == NULL)
        return NULL;
    self->pool = g_thread_pool_new(work, self, (gint)n_threads, TRUE, error);
    return self->pool != NULL ? g_steal_pointer(&self) : NULL;
}

static void begin_next(Loader *self)
{
    Slot *slot = &self->slots[self->n_begun % self->n_slots];

    *slot = (Slot){.picture = {.number = self->n_begun++}};
    g_thread_pool_push(self->pool, slot, NULL);
}

gboolean loader_next(Loader *self, LoadedPicture *picture)
{
    guint n = self->dataset->pictures->len;
    Slot *slot;

    if (self->n_taken >= n)
        return FALSE;
    if (self->pool == NULL) {
        *picture = (LoadedPicture){.number = self->n_taken};
        dataset_frame(self->dataset, self->n_taken++, &picture->frame);
        return TRUE;
    }
    while (self->n_begun < n && self->n_begun - self->n_taken < self->n_slots)
        begin_next(self);
    slot = &self->slots[self->n_taken++ % self->n_slots];
    g_mutex_lock(&self->lock);
    while (!slot->done)
        g_cond_wait(&self->ready, &self->lock);
    g_mutex_unlock(&self->lock);
    *picture = slot->picture;
    slot->picture = (LoadedPicture){0};
    return TRUE;
}

void loader_free(Loader *self)
{
    /* what was begun is finished: a thread of GStreamer's is not left in the middle */
    if (self->pool != NULL)
        g_thread_pool_free(self->pool, FALSE, TRUE);
    for (guint i = 0; i < self->n_slots; i++)
        loaded_picture_clear(&self->slots[i].picture);
    g_free(self->slots);
    g_cond_clear(&self->ready);
    g_mutex_clear(&self->lock);
    g_free(self);
}
