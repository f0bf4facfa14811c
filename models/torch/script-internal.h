/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inside of the reader of TorchScript: the archive, the tokens of its code, and what walks over them. The code is a
 * small part of Python; it is followed from forward() on, call by call, with modules and numbers that are known, and
 * tensors that are the graph's. Nothing is called but other functions of the archive and operators of the table.
 */
#ifndef GPUDL_MODELS_TORCH_SCRIPT_INTERNAL_H
#define GPUDL_MODELS_TORCH_SCRIPT_INTERNAL_H

#include "models/torch/aten.h"
#include "models/torch/pickle.h"
#include "models/zip.h"

G_BEGIN_DECLS

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

typedef enum {
    TOKEN_END = 0,
    TOKEN_NAME,
    TOKEN_INT,
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_SIGN, /* one or two characters */
    TOKEN_LINE, /* the end of a statement */
    TOKEN_INDENT,
    TOKEN_DEDENT
} TokenKind;

typedef struct {
    TokenKind kind;
    guint line;
    gchar *text; /* the file's; of a TEXT what stands between the quotes; NULL where the kind says all */
    gint64 integer;
    double number;
} Token;

/** One file of code. */
typedef struct {
    gchar *path; /* in the archive */
    GArray *tokens;
    GStringChunk *texts;
    GHashTable *functions; /* gchar* "Class.method" or "function" -> 1 + index of the token behind its name */
} ScriptFile;

/** Reads a file's tokens and finds its functions. FORMAT with path and line. */
ScriptFile *script_file_new(const gchar *path, const gchar *text, gsize length, GError **error);
void script_file_free(ScriptFile *file);

/* ---- the archive ------------------------------------------------------------------------------------------------- */

typedef struct {
    AtenContext context;
    GpudlZip *zip;
    gchar *root;               /* "net/" */
    Pickle *data;              /* the module */
    Pickle *constants;         /* CONSTANTS.c0, ...; or NULL */
    Pickle *inputs;            /* of the trace; or NULL */
    GHashTable *files;         /* gchar* path -> ScriptFile */
    GHashTable *values;        /* PickleValue* -> AtenValue*: what was made of it already */
    guint64 steps;             /* tokens that may still be looked at, and what else takes time or memory */
    gsize tokens;              /* of the files so far */
    GCancellable *cancellable; /* looked at before each operator, or NULL */
} Script;

/** Opens the archive and its pickles. pages: what the file lies in, if its memory is the reader's to give back; or
 * NULL. */
gboolean script_open(Script *script, GBytes *file, GpudlPages *pages, GError **error);
void script_close(Script *script);

/** A module: where it is in the archive, and in the network. */
typedef struct {
    const PickleValue *value;
    const gchar *path; /* "layer1.0.conv1" */
} ScriptObject;

/** What a pickled value is: a tensor's values are read. folder: of its storage, "data" or "constants". name: for
 * messages. */
AtenValue *script_value(Script *script, const PickleValue *value, const gchar *folder, const gchar *name,
                        GError **error);

/** Extents and type of a pickled tensor, without its values. FALSE: it is none. */
gboolean script_tensor_shape(const PickleValue *value, GpudlShape *shape, GpudlDType *dtype);

/** The file that has "__torch__.a.b.Name", and the token behind the name of its function ("Name" or "Name.method").
 * UNSUPPORTED if there is none. */
const ScriptFile *script_find(Script *script, const gchar *type, const gchar *method, guint *at, GError **error);

/* ---- following it ------------------------------------------------------------------------------------------------ */

/** Calls a method of a module. */
AtenValue *script_call(Script *script, const ScriptObject *self, const gchar *method, AtenValue **args, guint n_args,
                       GError **error);

G_END_DECLS
#endif
