/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Inside of what follows the code: one call under way, and what its parts share. */
#ifndef GPUDL_MODELS_TORCH_SCRIPT_FRAME_H
#define GPUDL_MODELS_TORCH_SCRIPT_FRAME_H

#include "engine/gpudl.h"
#include "script-internal.h"

G_BEGIN_DECLS

#define SCRIPT_MOST_ARGS 24

/** One call under way. */
typedef struct {
    Script *script;
    const ScriptFile *file;
    guint at; /* the next token */
    const ScriptObject *self;
    GHashTable *locals; /* gchar*, of the file -> AtenValue* */
    AtenValue *result;  /* NULL until it returns */
    guint calls, deep;
} ScriptFrame;

/** The next token. */
static inline const Token *script_peek(const ScriptFrame *frame)
{
    return &g_array_index(frame->file->tokens, Token, frame->at);
}

/** Sets "FILE, line N: ..." unless there is an error already; NULL. */
gpointer script_fail(const ScriptFrame *frame, GpudlError code, GError **error, const gchar *what);
/** The same for what could be right but is not taken, with what to do. */
gpointer script_unsupported(const ScriptFrame *frame, GError **error, const gchar *what);

/** Counts work beside that of tokens. FALSE with error: it is too much. */
gboolean script_spend(ScriptFrame *frame, guint64 steps, GError **error);

/** A value that lives as long as the import. */
AtenValue *script_keep(ScriptFrame *frame, AtenValue value);

/** What TorchScript writes as functions and is about Python's values alone. *known FALSE: it is no such function. */
AtenValue *script_call_builtin(ScriptFrame *frame, const gchar *name, const AtenArg *args, guint n, gboolean *known,
                               GError **error);
/** torch.relu_(x) and the like: a node of the network, which is named by the module that it is in. */
AtenValue *script_call_operator(ScriptFrame *frame, const gchar *name, const AtenArg *args, guint n, GError **error);

G_END_DECLS
#endif
