/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Python's pickles, as PyTorch writes them, into a tree of what they say. Nothing of them is executed: calls that a
 * pickle asks for are values of the tree.
 */
#ifndef GPUDL_MODELS_TORCH_PICKLE_H
#define GPUDL_MODELS_TORCH_PICKLE_H

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum {
    PICKLE_NONE = 0,
    PICKLE_FLAG,
    PICKLE_INT,
    PICKLE_NUMBER,
    PICKLE_TEXT,
    PICKLE_LIST,      /* or a tuple: items */
    PICKLE_DICT,      /* items: key, value, key, value, ... */
    PICKLE_GLOBAL,    /* text: "module.name" */
    PICKLE_CALL,      /* of: what is called or made an object of; items: with what; state: what the object is given */
    PICKLE_PERSISTENT /* items: one, by which the archive finds a storage */
} PickleKind;

typedef struct _PickleValue PickleValue;
struct _PickleValue {
    PickleKind kind;
    gint64 integer; /* also of a flag */
    double number;
    gchar *text;
    GPtrArray *items;        /* PickleValue*, not owned: values may be parts of several, and of themselves */
    PickleValue *of, *state; /* state NULL: none */
};

typedef struct {
    GPtrArray *values; /* all there are; owned */
    PickleValue *root;
} Pickle;

/** Reads one. FORMAT for what is damaged, UNSUPPORTED for an operation that PyTorch does not write, both naming
 * the byte; LIMIT. */
Pickle *pickle_read(const guint8 *data, gsize size, GError **error);
void pickle_free(Pickle *pickle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pickle, pickle_free)

/** Value of a key of a dictionary that is a text, or NULL; value may be NULL. */
PickleValue *pickle_get(const PickleValue *dictionary, const gchar *key);
/** Item of a list, a call or a persistent value, or NULL. */
PickleValue *pickle_item(const PickleValue *value, guint i);
/** TRUE if it is a call of this name. */
gboolean pickle_is_call(const PickleValue *value, const gchar *name);

G_END_DECLS
#endif
