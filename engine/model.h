/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of a GpudlModel: what readers fill, writers write and sessions compile. Not installed.
 */
#ifndef GPUDL_ENGINE_MODEL_H
#define GPUDL_ENGINE_MODEL_H

#include "engine/constants.h"
#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "engine/plan.h"

G_BEGIN_DECLS

/** One input with the output that is expected for it: proves that a model computes on this machine what it did where it
 * was converted. */
typedef struct {
    gchar *description; /* "photo coffee.png" or "random, seed 1"; owned */
    GBytes *input;      /* float32 [channels][height][width] after pre-processing */
    GBytes *output;     /* float32, head 0, before the activation */
} GpudlGolden;

/** GpudlModel.assumed where nothing is known. */
#define GPUDL_ASSUMED_ALL 0xffu

/** Room for what identifies a network's content: 64 hexadecimal digits. */
#define GPUDL_CONTENT_BYTES 65

/** Where a model that came from a file gets from it again; may take as long as loading. */
typedef struct {
    /** Makes the constants readable again, the same bytes at the same addresses. FORMAT if the file is another now.
     * Called under the model's lock. */
    gboolean (*refill)(GpudlModel *model, GCancellable *cancellable, GError **error);
    /** Computes the id while the constants are not there; FALSE if the file is another now, or gone. Called under
     * id_lock alone: who wants the constants does not wait for it. */
    gboolean (*hash)(GpudlModel *model, gchar id[65]);
    /** No reference is left: nobody may be given one any more. Called without a lock, before anything is freed. */
    void (*forget)(GpudlModel *model);
    void (*free)(gpointer data);
} GpudlModelSource;

struct _GpudlModel {
    gint refs; /* atomic */
    gchar *name;
    gchar content[GPUDL_CONTENT_BYTES]; /* what was verified when it was read: equal ones compute the same; "": made by
                                           the caller, the same as itself alone */
    GpudlGraph *graph;      /* rewritten, sorted, inferred at batch 1; float32 NCHW input of rank 4; owned */
    GpudlPreproc preproc;   /* resolved */
    gboolean preproc_known; /* FALSE: nothing said mean, std or pixel_scale; they are defaults */
    guint assumed;          /* GPUDL_SET_* of models/gpudl-import.h: what nothing said */
    gchar *known_from;      /* where the rest comes from, for people; owned, or NULL */
    GPtrArray *notes;       /* gchar*: what was left out of the file, for people; owned, NULL-terminated, or NULL */
    gchar **labels;         /* NULL-terminated, or NULL; owned */
    guint n_labels;
    GpudlActivation activation; /* resolved */
    GpudlGolden *golden;        /* or NULL; owned; its values are readable as constants are */
    /* provenance: where it comes from; UTF-8; owned, NULL where unknown */
    gchar *source_file, *source_format, *producer, *licence, *converted_by;

    /* Lock order: id_lock, lock, the planner's. The lock is held while constants are read, id_lock while the id is
     * computed. */
    GMutex lock, id_lock;
    GpudlPlanner *planner; /* or NULL */
    GpudlPages *pages;     /* holds the large constants and goes when nobody holds them; NULL: they stay */
    GBytes *file;          /* of a net.bin: all of it; readable as constants are */
    void (*hash_file)(GBytes *file, gchar id[65]); /* where file is: what the id is of it */
    guint holds;                                   /* gpudl_model_hold() less gpudl_model_release() */
    gboolean used;                                 /* held once: pages go with the last hold */
    gboolean dropped;                              /* pages are not there */
    /* spend: whoever has the only reference set it, before a session: constants that it has packed go at once. spent:
     * some have gone, whoever holds them: the next hold reads the file again */
    gboolean spend, spent;
    gchar id[65], claimed_id[65];   /* id: valid once id_known; claimed_id: what a net.bin's header says, or "" */
    gint id_known;                  /* atomic */
    const GpudlModelSource *source; /* or NULL */
    gpointer source_data;
};

/**
 * Makes a model of a graph, taking ownership of the graph also on failure. The graph must be sorted, have one float32
 * input of rank 4 (N, 1 or 3 channels, H, W) and outputs whose elements at batch 1 are the classes. name is copied,
 * and may be a file's: bytes that are no UTF-8 become U+FFFD.
 * preproc NULL: defaults for the input's size (rgb or gray, stretch, bilinear, x / 255). Constants that are not aligned
 * to 64 bytes are moved. The content is left empty. Errors: UNSUPPORTED, LIMIT, NO_MEMORY.
 */
GpudlModel *gpudl_model_new(GpudlGraph *graph, const gchar *name, const GpudlPreproc *preproc, GError **error);

/** Sets the labels (copied). A number other than the classes of head 0 is FORMAT with both numbers. NULL removes them.
 */
gboolean gpudl_model_set_labels(GpudlModel *model, const gchar *const *labels, GError **error);

/** Adds a sentence to the notes, without the file's name; not after the model is shared. Whatever text of files is in
 * it, the note is one line of valid UTF-8 of at most GPUDL_SHOWN_NOTE_BYTES and "...", which a net.bin can keep. */
void gpudl_model_add_note(GpudlModel *model, const gchar *format, ...) G_GNUC_PRINTF(2, 3);

/** A reference, unless the last one has gone: FALSE. The caller knows by a lock that the memory is still there. */
gboolean gpudl_model_try_ref(GpudlModel *model);

/**
 * Makes all constants readable until gpudl_model_release(); thread-safe, and counted. A model just loaded has its
 * constants; when the last hold of one that came from a file is released, those of more than GPUDL_SMALL_CONSTANT bytes
 * and the golden sample go back to the system, and the next hold reads the file again. While nobody holds, reading them
 * is a fault and the plans say NULL. Errors: those of loading, FORMAT if the file changed since, CANCELLED; on failure
 * nothing is held.
 */
gboolean gpudl_model_hold(GpudlModel *model, GError **error);
gboolean gpudl_model_hold_cancellable(GpudlModel *model, GCancellable *cancellable, GError **error);
void gpudl_model_release(GpudlModel *model);

/** Of a model whose spend is set: size bytes at data, a constant's, are not read any more by who holds. Those in pages
 * go back to the system, and reading them is a fault until the next hold. */
void gpudl_model_spend(GpudlModel *model, gconstpointer data, gsize size);

/** The plans of this model, which are its sessions' together: made at the first call, the model's, valid as long as it.
 */
GpudlPlanner *gpudl_model_get_planner(GpudlModel *model);

/** What a net.bin's header says of the id if it says another than gpudl_model_get_id(), as no writer does; NULL if it
 * does not, or if the id can't be told. */
const gchar *gpudl_model_get_false_id(GpudlModel *model);

/** TRUE and the activation the graph's end already has (SOFTMAX, SIGMOID), FALSE if it ends otherwise. */
gboolean gpudl_graph_ends_in(const GpudlGraph *graph, GpudlActivation *activation);

void gpudl_golden_free(GpudlGolden *golden);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GpudlGolden, gpudl_golden_free)

G_END_DECLS
#endif
